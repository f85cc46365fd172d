//! What is kept in memory, and until when it may be believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cf_base::Timestamp;

/// Longest time something is believed without asking the database again; a
/// net under changes made by hand, past `data_version`.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Counts how often everything kept was declared stale. Forgetting is one
/// increment: entries of an older generation are passed over and replaced.
#[derive(Clone, Default)]
pub(crate) struct Generation(Arc<AtomicU64>);

/// When something was read. Taken *before* the database is asked: what was
/// read while a change was committed counts as old.
#[derive(Clone, Copy)]
pub(crate) struct ReadAt {
    generation: u64,
    time: Timestamp,
}

impl Generation {
    pub fn read_at(&self, now: Timestamp) -> ReadAt {
        ReadAt {
            generation: self.0.load(Ordering::SeqCst),
            time: now,
        }
    }

    pub fn invalidate(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub fn is_fresh(&self, read: ReadAt, now: Timestamp) -> bool {
        self.is_fresher_than(read, now, MAX_AGE)
    }

    pub fn is_fresher_than(&self, read: ReadAt, now: Timestamp, age: Duration) -> bool {
        read.generation == self.0.load(Ordering::SeqCst) && now < read.time.after(age)
    }
}

/// Locks for loading, so that a thousand requests with one key that was just
/// forgotten ask the database once. Held only while an answer is fetched,
/// never on a hit.
pub(crate) struct Loading(Vec<tokio::sync::Mutex<()>>);

const STRIPES: usize = 64;

impl Loading {
    pub fn new() -> Self {
        Self((0..STRIPES).map(|_| tokio::sync::Mutex::default()).collect())
    }

    /// `by` is any byte that differs between what is loaded.
    pub async fn turn(&self, by: u8) -> tokio::sync::MutexGuard<'_, ()> {
        self.0[usize::from(by) % STRIPES].lock().await
    }
}
