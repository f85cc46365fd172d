//! Callers as the Billing API needs them: named by user instead of by key, and
//! for the books whatever their status.

use std::sync::Arc;

use cf_base::{Caller, Error, KeyId, Kind, Result, UserId};

use crate::accounts::{self, AuthCollection, By};
use crate::{Identity, api_keys::is_key_text};

impl Identity {
    /// The caller that this user is, if user and tenant are active.
    pub async fn caller_by_user(&self, id: UserId) -> Result<Arc<Caller>> {
        let loaded = accounts::load(&self.0.db, AuthCollection::Users, By::Id(id.0)).await?;
        match loaded {
            Some(loaded) => loaded.caller.map_err(Error::from),
            None => Err(Error::new(Kind::NotFound, "There is no such user.")),
        }
    }

    /// The caller that this user is, whatever the status: what was used before
    /// a suspension must still be booked. `None` if there is no such user, or
    /// none with a tenant.
    pub async fn caller_for_books(&self, id: UserId) -> Result<Option<Arc<Caller>>> {
        accounts::load_for_books(&self.0.db, id).await
    }

    /// The user a key belongs to and the key's id, whatever the status of either.
    pub async fn user_of_key(&self, key: &str) -> Result<Option<(UserId, KeyId)>> {
        if !is_key_text(key) {
            return Ok(None);
        }
        let hash = self.0.api_key_hash.hash(key.as_bytes());
        let row = self
            .0
            .db
            .query_opt(
                "select user_id, id from api_keys where hash = $1 or (previous_hash = $1 and previous_hash <> '')",
                vec![hash.into()],
            )
            .await?;
        row.map(|r| Ok((UserId(r.at(0)?), KeyId(r.at(1)?))))
            .transpose()
    }
}
