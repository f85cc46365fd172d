//! From an API key to its caller. This is on the path of every call: a key
//! that was seen before costs one HMAC and one look into a cache.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{Caller, Error, KeyId, Kind, Result, Timestamp};
use cf_db::DbError;
use quick_cache::sync::Cache;

use crate::Identity;
use crate::accounts::{self, KeyTerms, NoCaller, USER_COLUMNS, USER_JOINS};
use crate::api_keys::is_key_text;
use crate::cache::ReadAt;
use crate::last_used::Use;

/// Keys of ours that are kept.
const KNOWN: usize = 100_000;
/// Texts that are remembered not to be keys. They have a cache of their own,
/// so that guessing does not push out good keys.
const UNKNOWN: usize = 10_000;
/// How long a text is remembered not to be a key.
const UNKNOWN_AGE: Duration = Duration::from_secs(5);

/// The keyed hash of a key.
type Tag = [u8; 32];

pub(crate) struct KeyCache {
    known: Cache<Tag, Arc<Known>>,
    unknown: Cache<Tag, ReadAt>,
}

impl KeyCache {
    pub fn new() -> Self {
        Self {
            known: Cache::new(KNOWN),
            unknown: Cache::new(UNKNOWN),
        }
    }
}

/// A key that is in the database.
struct Known {
    read: ReadAt,
    state: State,
    /// The first moment at which the key is no longer good: its expiry, or
    /// the end of its grace where it was rotated.
    good_until: Option<Timestamp>,
    used: Arc<Use>,
}

enum State {
    Good(Arc<Caller>),
    Refused(NoCaller),
    Revoked,
}

impl Known {
    fn answer(&self, now: Timestamp) -> Result<Arc<Caller>> {
        if self.good_until.is_some_and(|until| now >= until) {
            return Err(invalid_key());
        }
        match &self.state {
            State::Good(caller) => {
                self.used.note(now);
                Ok(Arc::clone(caller))
            }
            State::Refused(no) => Err(no.clone().into()),
            State::Revoked => Err(invalid_key()),
        }
    }
}

fn invalid_key() -> Error {
    Error::new(
        Kind::Unauthorized,
        "Invalid API key: it is unknown, was revoked or has expired. \
         Create a new key in the portal, or ask your administrator for one.",
    )
}

impl Identity {
    /// The caller behind an API key, if key, user and tenant are all active.
    pub async fn caller_by_key(&self, key: &str) -> Result<Arc<Caller>> {
        if !is_key_text(key) {
            return Err(invalid_key());
        }
        let tag = self.0.api_key_hash.tag(&[key.as_bytes()]);
        if let Some(answer) = self.kept_caller(&tag) {
            return answer;
        }
        let _turn = self.0.loading.turn(tag[0]).await;
        // Whoever had the turn before may have fetched this very key.
        if let Some(answer) = self.kept_caller(&tag) {
            return answer;
        }
        let now = self.0.clock.now();
        let read = self.0.generation.read_at(now);
        let Some(known) = self.load_key(key, read).await? else {
            self.0.keys.unknown.insert(tag, read);
            return Err(invalid_key());
        };
        let answer = known.answer(now);
        self.0.keys.known.insert(tag, Arc::new(known));
        answer
    }

    fn kept_caller(&self, tag: &Tag) -> Option<Result<Arc<Caller>>> {
        let inner = &*self.0;
        let now = inner.clock.now();
        if let Some(known) = inner.keys.known.get(tag) {
            return inner
                .generation
                .is_fresh(known.read, now)
                .then(|| known.answer(now));
        }
        let read = inner.keys.unknown.get(tag)?;
        inner
            .generation
            .is_fresher_than(read, now, UNKNOWN_AGE)
            .then(|| Err(invalid_key()))
    }

    async fn load_key(&self, key: &str, read: ReadAt) -> Result<Option<Known>> {
        let hash = self.0.api_key_hash.hash(key.as_bytes());
        let now = self.0.clock.now();
        // The key itself comes before one that it was the predecessor of.
        let sql = format!(
            "select {}, k.hash, k.previous_until, k.expires, \
             k.status as key_status, {USER_COLUMNS} \
             from api_keys k join users u on u.id = k.user_id {USER_JOINS} \
             where k.hash = $1 or (k.previous_hash = $1 and k.previous_until > $2) \
             order by case when k.hash = $1 then 0 else 1 end \
             limit 1",
            KeyTerms::COLUMNS
        );
        let params = vec![hash.as_str().into(), now.into()];
        let Some(row) = self.0.db.query_opt(&sql, params).await? else {
            return Ok(None);
        };
        let key_id = KeyId(row.get("key_id")?);
        let expires = accounts::date(&row, "expires")?;
        let is_predecessor = row.get::<String>("hash")? != hash;
        let grace_until = is_predecessor
            .then(|| row.get::<Timestamp>("previous_until"))
            .transpose()?;
        let state = if row.get::<String>("key_status")? == "active" {
            let caller = KeyTerms::read(&row).and_then(|key| {
                let account = accounts::read_user(&row)?;
                accounts::read_caller(&row, &account, Some(key))
            });
            match caller {
                Ok(caller) => State::Good(Arc::new(caller)),
                Err(no) => State::Refused(no),
            }
        } else {
            State::Revoked
        };
        Ok(Some(Known {
            read,
            state,
            good_until: [expires, grace_until].into_iter().flatten().min(),
            used: self.0.last_used.of(key_id),
        }))
    }

    /// Writes down when keys were last used; returns how many were. For a job
    /// that runs every minute or so.
    pub async fn flush_last_used(&self) -> Result<usize, DbError> {
        self.0.last_used.flush(&self.0.db).await
    }
}
