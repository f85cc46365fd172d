//! The way in: one value, cheap to clone, that knows everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cf_base::{Clock, Error, HashKey, Kind, MasterKey, Random, Result, Secret};
use cf_db::{Db, DbError, Tx};

use crate::accounts::{self, By};
use crate::billing_keys::BillingKeys;
use crate::cache::{Generation, Loading};
use crate::callers::KeyCache;
use crate::last_used::LastUsed;
use crate::passwords::{PasswordChecks, PasswordParams, Passwords};
use crate::sessions::AccountCache;
use crate::throttle::Throttle;
use crate::tokens::Tokens;
use crate::{Account, AuthCollection};

/// What can be set from outside.
#[derive(Clone, Debug, Default)]
pub struct IdentityParams {
    /// How costly passwords are.
    pub passwords: PasswordParams,
    /// A key of the Billing API beside those in the database.
    pub billing_key: Option<Secret>,
}

impl IdentityParams {
    /// For tests: passwords cost nothing and protect nothing.
    pub fn cheap_for_tests() -> Self {
        Self {
            passwords: PasswordParams::cheap_for_tests(),
            billing_key: None,
        }
    }
}

/// Who is calling. Cheap to clone.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub db: Db,
    pub clock: Clock,
    pub random: Random,
    pub generation: Generation,
    pub loading: Loading,
    /// The number in `data_version` when it was last looked at.
    version: AtomicI64,
    pub api_key_hash: HashKey,
    pub keys: KeyCache,
    pub last_used: LastUsed,
    pub accounts: AccountCache,
    pub billing: BillingKeys,
    pub passwords: Passwords,
    pub tokens: Tokens,
    pub throttle: Throttle,
}

impl Identity {
    /// Asks the database nothing yet.
    pub fn new(
        db: Db,
        clock: Clock,
        random: Random,
        master: &MasterKey,
        params: &IdentityParams,
    ) -> Self {
        Self(Arc::new(Inner {
            passwords: Passwords::new(&params.passwords, random.clone()),
            tokens: Tokens::new(master),
            throttle: Throttle::new(master.derive("sign-in-throttle")),
            api_key_hash: master.derive("api-keys"),
            billing: BillingKeys::new(master, params.billing_key.as_ref()),
            keys: KeyCache::new(),
            accounts: AccountCache::new(),
            last_used: LastUsed::new(),
            generation: Generation::default(),
            loading: Loading::new(),
            version: AtomicI64::new(i64::MIN),
            db,
            clock,
            random,
        }))
    }

    /// Forgets everything that was kept in memory: the next use of a key or
    /// token asks the database. One increment, however much was kept.
    pub fn invalidate_all(&self) {
        self.0.generation.invalidate();
    }

    /// Notes in `tx` that records were changed which processes keep in memory:
    /// counts `data_version` up, and forgets our own copies once committed.
    pub async fn note_change(&self, tx: &mut Tx) -> Result<(), DbError> {
        tx.execute("update data_version set version = version + 1", vec![])
            .await?;
        let generation = self.0.generation.clone();
        tx.after_commit(move || generation.invalidate());
        Ok(())
    }

    /// Looks whether another process changed records; if so, forgets what was
    /// kept. Says whether the number is new (it always is the first time).
    pub async fn refresh_if_changed(&self) -> Result<bool> {
        let row = self
            .0
            .db
            .query_opt("select version from data_version where id = 1", vec![])
            .await?
            .ok_or_else(|| DbError::Data("data_version has no row".into()))?;
        let version: i64 = row.at(0)?;
        let changed = self.0.version.swap(version, Ordering::SeqCst) != version;
        if changed {
            self.invalidate_all();
        }
        Ok(changed)
    }

    /// Hashes a password for storing. The rules are not checked here; see
    /// [`crate::check_password_rules`].
    pub async fn hash_password(&self, password: &Secret) -> Result<Secret> {
        self.0.passwords.hash(password).await
    }

    /// Whether `password` is the account's, for somebody who is signed in
    /// already and proves it again. Guesses are slowed down as at a sign-in:
    /// a stolen session must not find the password out.
    pub async fn prove_password(&self, account: &Account, password: &Secret) -> Result<bool> {
        let now = self.0.clock.now();
        let proof = self
            .0
            .throttle
            .begin_proof(account.id.as_str(), now)
            .map_err(|retry_after| {
                Error::new(
                    Kind::RateLimited { retry_after },
                    "Too many wrong passwords. Wait a moment and try again.",
                )
            })?;
        let right = self
            .0
            .passwords
            .verify(&account.password_hash, password)
            .await;
        match right {
            Ok(true) => proof.succeed(),
            Ok(false) => {
                tracing::info!(account = %account.id, reason = "wrong password", "a password was not proven");
            }
            Err(_) => proof.undo(),
        }
        right
    }

    /// A new `token_key` for a record: to be set whenever password or e-mail
    /// address change, so that the record's sessions end.
    pub fn new_token_key(&self) -> String {
        self.0.random.token::<50>()
    }

    /// How often passwords were checked.
    pub fn password_checks(&self) -> PasswordChecks {
        self.0.passwords.checks()
    }

    /// The account with this id, straight from the database, whatever its status.
    pub async fn account(
        &self,
        collection: AuthCollection,
        id: cf_base::Id,
    ) -> Result<Option<Account>> {
        let loaded = accounts::load(&self.0.db, collection, By::Id(id)).await?;
        Ok(loaded.map(|l| l.account))
    }

    /// The account with this e-mail address, however it is written.
    pub async fn account_by_email(
        &self,
        collection: AuthCollection,
        email: &str,
    ) -> Result<Option<Account>> {
        let loaded = accounts::load(&self.0.db, collection, By::Email(email.trim())).await?;
        Ok(loaded.map(|l| l.account))
    }
}
