//! The one-time token with which the first admin is made.

use cf_base::{Random, Result, Secret, sha256_hex};
use cf_db::{Db, Tx};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;

/// Letters and digits of the token.
const RANDOM: usize = 32;

/// The token, as long as it was not redeemed. Lives in one process: another
/// start prints another token.
pub struct SetupToken(Mutex<Option<String>>);

impl SetupToken {
    /// A token, and its text for the console.
    pub fn new(random: &Random) -> (Self, Secret) {
        let text = random.token::<RANDOM>();
        let hash = sha256_hex(text.as_bytes());
        (Self(Mutex::new(Some(hash))), Secret::new(text))
    }

    /// Whether `token` would be redeemed now. For checking it before the rest
    /// of the form, so that a slip in the form does not use it up.
    pub fn is_valid(&self, token: &str) -> bool {
        matches(self.0.lock().as_deref(), token)
    }

    /// Takes the token, once.
    pub fn redeem(&self, token: &str) -> bool {
        let mut hash = self.0.lock();
        let right = matches(hash.as_deref(), token);
        if right {
            *hash = None;
        }
        right
    }
}

fn matches(hash: Option<&str>, token: &str) -> bool {
    hash.is_some_and(|hash| {
        sha256_hex(token.as_bytes())
            .as_bytes()
            .ct_eq(hash.as_bytes())
            .into()
    })
}

const ADMIN_EXISTS: &str = "select 1 from users where role = 'admin' \
                            union all select 1 from superusers limit 1";

/// Whether there is anybody who may do everything: an admin or a superuser.
pub async fn admin_exists(db: &Db) -> Result<bool> {
    Ok(db.query_opt(ADMIN_EXISTS, vec![]).await?.is_some())
}

/// The same inside the transaction that makes the first admin, so that two
/// nodes with a token each do not both make one.
pub async fn admin_exists_in(tx: &mut Tx) -> Result<bool> {
    Ok(tx.query_opt(ADMIN_EXISTS, vec![]).await?.is_some())
}
