//! When each key was last used: noted in memory on every call, written down
//! by a job. A process that dies loses a minute of it, which nobody is billed by.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cf_base::{KeyId, Timestamp};
use cf_db::{Db, DbError};
use parking_lot::Mutex;

/// Keys whose use is noted at a time; the uses of others go unnoticed until
/// the next flush has made room.
const MAX_KEYS: usize = 100_000;
/// Rows written in one transaction, so that others get their turn.
const BATCH: usize = 500;

/// The last use of one key, in unix milliseconds; zero when there was none yet.
#[derive(Default)]
pub(crate) struct Use {
    seen: AtomicI64,
    written: AtomicI64,
}

impl Use {
    pub fn note(&self, now: Timestamp) {
        self.seen.fetch_max(now.as_millis(), Ordering::Relaxed);
    }
}

pub(crate) struct LastUsed(Mutex<HashMap<KeyId, Arc<Use>>>);

impl LastUsed {
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Where the uses of a key are noted. Asked once when a key is loaded.
    pub fn of(&self, key: KeyId) -> Arc<Use> {
        let mut uses = self.0.lock();
        if let Some(found) = uses.get(&key) {
            return Arc::clone(found);
        }
        let new = Arc::new(Use::default());
        if uses.len() < MAX_KEYS {
            uses.insert(key, Arc::clone(&new));
        }
        new
    }

    pub async fn flush(&self, db: &Db) -> Result<usize, DbError> {
        let due: Vec<(KeyId, Arc<Use>, i64)> = {
            let mut uses = self.0.lock();
            // A key that no cache holds any more and whose uses are written.
            uses.retain(|_, u| {
                Arc::strong_count(u) > 1
                    || u.seen.load(Ordering::Relaxed) != u.written.load(Ordering::Relaxed)
            });
            uses.iter()
                .map(|(key, u)| (*key, Arc::clone(u), u.seen.load(Ordering::Relaxed)))
                .filter(|(_, u, seen)| *seen != u.written.load(Ordering::Relaxed))
                .collect()
        };
        for batch in due.chunks(BATCH) {
            let rows = batch
                .iter()
                .map(|(key, _, seen)| {
                    let date = Timestamp::from_millis(*seen).to_date_text().to_string();
                    vec![date.into(), (*key).into()]
                })
                .collect();
            // `data_version` stays: nothing that is kept in memory changes.
            // Another node may have seen a later use already.
            let mut tx = db.begin().await?;
            tx.execute_many(
                "update api_keys set last_used = $1 where id = $2 and last_used < $1",
                rows,
            )
            .await?;
            tx.commit().await?;
            for (_, u, seen) in batch {
                u.written.fetch_max(*seen, Ordering::Relaxed);
            }
        }
        Ok(due.len())
    }
}
