//! The one writer: takes whatever is waiting and commits it as one
//! transaction. Reads each account once, works on it in memory in the order of
//! the queue, writes it once.
//!
//! It has a thread of its own, so that a commit blocks nobody else, and does not
//! wait for the disk: ends of calls are told by the syncer, which syncs once for
//! all batches that were committed meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cf_base::{Clock, ExchangeRate, Id, Kind, Nanos, PicoUsd, Random, Timestamp};
use cf_db::{Db, DbError};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::Booked;
use crate::balances::Accounts;
use crate::hold::{HoldRow, Receipt, UsageRow};
use crate::rollups::Rollups;
use crate::rows::{Rows, end_holds, new_versions, version_row, withdraw};

/// Operations in one transaction at most.
const BATCH: usize = 256;
/// Committed batches that may wait for the disk; past that the writer waits too.
const UNSYNCED: usize = 64;
/// Tries at once when another node was faster.
const CONTENDED: u32 = 10;
/// How long a batch may take: a database that says nothing for so long is away.
const ANSWER: Duration = Duration::from_secs(5);
/// Between tries while the database is away.
const RETRY: Duration = Duration::from_millis(250);

/// A write.
pub(crate) enum Op {
    Reserve(Box<Reserve>),
    Close(Box<Close>),
    Flush(oneshot::Sender<()>),
}

/// A reservation to make.
pub(crate) struct Reserve {
    pub row: HoldRow,
    pub node: String,
    pub worst: PicoUsd,
    pub least: PicoUsd,
    pub rate: ExchangeRate,
    pub tenant_rate: ExchangeRate,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub reply: oneshot::Sender<cf_base::Result<Granted>>,
}

/// A reservation made.
pub(crate) struct Granted {
    pub row: HoldRow,
    pub granted: PicoUsd,
    pub remaining: Nanos,
}

/// A call's end: its hold goes, its cost is posted, its usage row is written.
pub(crate) struct Close {
    /// None where nothing was reserved (usage logged over the Billing API).
    pub hold: Option<HoldRow>,
    pub usage: UsageRow,
    /// Taken when answered; kept while the database is away.
    pub reply: Option<oneshot::Sender<cf_base::Result<Receipt>>>,
}

/// What the queue's end means: the process is stopping.
pub(crate) fn stopped() -> cf_base::Error {
    cf_base::Error::new(
        Kind::Unavailable,
        "The server is shutting down; try again in a moment.",
    )
}

pub(crate) struct Writer {
    db: Db,
    clock: Clock,
    random: Random,
    /// Batches with ends of calls, to be told once they are on the disk.
    unsynced: mpsc::Sender<(Vec<Op>, Outcome)>,
    /// Price versions known to be in the database.
    versions: HashSet<Id>,
    /// Refused reservations whose commit nobody answered: they may stand in the
    /// database and are taken back as soon as it works. At most a batch of them.
    doubtful: Vec<HoldRow>,
    /// Set to 0 when the database is away; see [`crate::Ledger::writable`].
    beating_since: Arc<AtomicI64>,
}

/// Starts writer and syncer; they end when the ledger is gone.
pub(crate) fn start(
    db: Db,
    clock: Clock,
    random: Random,
    booked: broadcast::Sender<Booked>,
    beating_since: Arc<AtomicI64>,
    queue: mpsc::Receiver<Op>,
) -> cf_base::Result<()> {
    let (unsynced, committed) = mpsc::channel(UNSYNCED);
    thread("ledger-sync", sync(db.clone(), committed, booked))?;
    let writer = Writer {
        db,
        clock,
        random,
        unsynced,
        versions: HashSet::new(),
        doubtful: Vec::new(),
        beating_since,
    };
    thread("ledger", writer.run(queue))
}

/// Runs `work` on a thread of its own, which it may block.
fn thread(name: &str, work: impl Future<Output = ()> + Send + 'static) -> cf_base::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let work = std::panic::AssertUnwindSafe(|| runtime.block_on(work));
            // Without its books the process must not go on; a supervisor starts it
            // again, and what was open is closed by rule.
            if std::panic::catch_unwind(work).is_err() && !is_over(&runtime) {
                tracing::error!("the ledger's thread panicked; the process ends");
                std::process::abort();
            }
        })
        .map(drop)
        .map_err(cf_base::Error::internal)
}

/// Whether the process is ending anyhow: timers that are waited for then panic.
fn is_over(runtime: &tokio::runtime::Handle) -> bool {
    let task = runtime.spawn(std::future::ready(()));
    runtime.block_on(task).is_err()
}

/// Tells ends of calls once they are on the disk.
async fn sync(
    db: Db,
    mut committed: mpsc::Receiver<(Vec<Op>, Outcome)>,
    booked: broadcast::Sender<Booked>,
) {
    let mut batches = Vec::with_capacity(UNSYNCED);
    while committed.recv_many(&mut batches, UNSYNCED).await > 0 {
        let mut warned = false;
        // What is committed cannot be taken back: it is told as soon as the disk can
        // be asked. One that was asked and refused ends the process in there.
        while let Err(error) = db.sync_inline() {
            if !warned {
                tracing::error!(%error, "the ledger cannot be synced to the disk; answers wait until it can");
                warned = true;
            }
            tokio::time::sleep(RETRY).await;
        }
        for (batch, outcome) in batches.drain(..) {
            outcome.tell(batch, &booked);
        }
    }
}

impl Writer {
    /// Works until the ledger is gone.
    async fn run(mut self, mut queue: mpsc::Receiver<Op>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut next = None;
        loop {
            let Some(first) = (match next.take() {
                Some(op) => Some(op),
                None => queue.recv().await,
            }) else {
                return;
            };
            batch.push(first);
            // What has come meanwhile shares the commit; nobody waits for more.
            while batch.len() < BATCH {
                match queue.try_recv() {
                    Ok(op) if ends_within(&op, &batch) => {
                        next = Some(op);
                        break;
                    }
                    Ok(op) => batch.push(op),
                    Err(_) => break,
                }
            }
            self.work(&mut batch, &mut queue).await;
        }
    }

    /// Commits a batch. While the database is away reservations are refused
    /// and ends of calls are kept until it is back: they have happened.
    async fn work(&mut self, batch: &mut Vec<Op>, queue: &mut mpsc::Receiver<Op>) {
        let mut warned = false;
        let mut contended = 0;
        let mut looked_up = false;
        while !batch.is_empty() || !self.doubtful.is_empty() {
            let mut sent = false;
            let commit = self.commit(batch, looked_up, &mut sent);
            let committed = tokio::time::timeout(ANSWER, commit)
                .await
                .unwrap_or_else(|_| {
                    let seconds = ANSWER.as_secs();
                    Err(DbError::Unavailable(format!(
                        "no answer within {seconds} s"
                    )))
                });
            let error = match committed {
                Ok(outcome) => {
                    self.told(std::mem::take(batch), outcome).await;
                    if warned {
                        tracing::info!("the ledger is being written again");
                    }
                    return;
                }
                Err(error) => error,
            };
            match error {
                DbError::Contended(_) if contended < CONTENDED => contended += 1,
                // Somebody has reported one of the calls over the Billing API.
                DbError::Unique(_) if !looked_up => looked_up = true,
                DbError::Unavailable(_) | DbError::Contended(_) => {
                    if !warned {
                        tracing::error!(%error, "the ledger cannot be written; calls are refused until it can");
                        warned = true;
                    }
                    self.beating_since.store(0, Ordering::SeqCst);
                    if sent && self.db.is_postgres() {
                        self.doubt(batch);
                    }
                    // Nobody waits for a database that is away: what comes meanwhile
                    // is refused too, unless it is the end of a call.
                    while let Ok(op) = queue.try_recv() {
                        batch.push(op);
                    }
                    refuse_what_can_be(batch, &error);
                    if !batch.is_empty() || !self.doubtful.is_empty() {
                        tokio::time::sleep(RETRY).await;
                    }
                }
                // One of them is at fault: alone it harms nobody else.
                _ if batch.len() > 1 => {
                    for op in std::mem::take(batch) {
                        Box::pin(self.work(&mut vec![op], queue)).await;
                    }
                }
                error => give_up(std::mem::take(batch), &error),
            }
        }
    }

    /// Notes the reservations of a batch whose commit was sent and not answered.
    fn doubt(&mut self, batch: &[Op]) {
        for op in batch {
            if let Op::Reserve(reserve) = op {
                self.doubtful.push(reserve.row.clone());
            }
        }
    }

    /// Tells reservations at once: they must survive this process, not a power
    /// cut, with which the call they stand for would be gone too. The rest is
    /// told when it is on the disk.
    async fn told(&self, batch: Vec<Op>, outcome: Outcome) {
        let mut later = (Vec::new(), Outcome::default());
        for (op, answer) in batch.into_iter().zip(outcome.0) {
            match (op, answer) {
                (Op::Reserve(reserve), Answer::Reserved(result)) => {
                    // Whoever no longer listens has gone away; its guard has seen to the rest.
                    let _ = reserve.reply.send(result);
                }
                (op, answer) => {
                    later.0.push(op);
                    later.1.0.push(answer);
                }
            }
        }
        if !later.0.is_empty() {
            // Fails only while the process is stopping.
            let _ = self.unsynced.send(later).await;
        }
    }

    /// `look_up`: every ended call is looked for in the books, also where its hold
    /// says that it is not in there yet. `sent` is set when only the commit's own
    /// answer is waited for.
    async fn commit(
        &mut self,
        batch: &mut [Op],
        look_up: bool,
        sent: &mut bool,
    ) -> Result<Outcome, DbError> {
        let durable = batch.iter().any(|op| matches!(op, Op::Close(_)));
        let mut tx = self.db.begin_inline(durable).await?;
        withdraw(&mut tx, &self.doubtful).await?;
        let mut rollups = Rollups::default();
        let ended = end_holds(&mut tx, batch, look_up, &mut rollups).await?;
        let mut accounts = Accounts::load(&mut tx, batch).await?;
        let mut rows = Rows::new(self.clock.now(), rollups);
        let mut outcome = Outcome::default();
        for (op, ended) in batch.iter().zip(ended) {
            outcome.0.push(match op {
                Op::Reserve(reserve) => Answer::Reserved(accounts.reserve(reserve, &mut rows)),
                Op::Close(close) => {
                    Answer::Closed(accounts.close(close, ended, &mut rows, &self.random))
                }
                Op::Flush(_) => Answer::Flushed,
            });
        }
        let new_versions = new_versions(batch, &self.versions);
        rows.versions = new_versions
            .iter()
            .map(|v| version_row(v, &rows.created))
            .collect();
        let written: Vec<Id> = new_versions.iter().map(|v| v.id).collect();
        rows.write(&mut tx).await?;
        accounts.write(&mut tx).await?;
        *sent = true;
        tx.commit().await?;
        self.doubtful.clear();
        self.versions.extend(written);
        Ok(outcome)
    }
}

/// Whether `op` ends a hold that `batch` is about to make: its caller went away
/// while reserving. It must wait until the hold is in the database.
fn ends_within(op: &Op, batch: &[Op]) -> bool {
    let Op::Close(close) = op else { return false };
    let Some(hold) = close.hold.as_ref().filter(|h| !h.known) else {
        return false;
    };
    batch
        .iter()
        .any(|o| matches!(o, Op::Reserve(r) if r.row.hold_id == hold.hold_id))
}

/// How a batch came out, operation by operation, told once it is committed.
#[derive(Default)]
struct Outcome(Vec<Answer>);

enum Answer {
    Reserved(cf_base::Result<Granted>),
    Closed(Closed),
    Flushed,
}

pub(crate) struct Closed {
    pub(crate) receipt: Receipt,
    pub(crate) booked: Option<Booked>,
}

impl Outcome {
    fn tell(self, batch: Vec<Op>, booked: &broadcast::Sender<Booked>) {
        // Whoever no longer listens has gone away; its guard has seen to the rest.
        for (op, answer) in batch.into_iter().zip(self.0) {
            match (op, answer) {
                (Op::Close(close), Answer::Closed(closed)) => {
                    if let Some(reply) = close.reply {
                        let _ = reply.send(Ok(closed.receipt));
                    }
                    if let Some(event) = closed.booked {
                        let _ = booked.send(event);
                    }
                }
                (Op::Flush(reply), _) => {
                    let _ = reply.send(());
                }
                _ => unreachable!("answers are made in the order of the batch"),
            }
        }
    }
}

fn refuse_what_can_be(batch: &mut Vec<Op>, error: &DbError) {
    let (ends, rest): (Vec<Op>, Vec<Op>) = std::mem::take(batch)
        .into_iter()
        .partition(|op| matches!(op, Op::Close(_)));
    *batch = ends;
    for op in rest {
        // A flush is refused by dropping it.
        if let Op::Reserve(reserve) = op {
            let _ = reserve.reply.send(Err(cf_base::Error::new(
                Kind::Unavailable,
                "The books cannot be written now, so the call was refused and nothing was spent. \
                 Try again later.",
            )
            .because(error.to_string())));
        }
    }
}

/// An operation that the database refuses for what it is. It cannot be retried
/// for ever, and must not vanish: the log has what is needed to book it by hand.
fn give_up(batch: Vec<Op>, error: &DbError) {
    for op in batch {
        match op {
            Op::Reserve(reserve) => {
                let _ = reserve
                    .reply
                    .send(Err(cf_base::Error::internal(error.to_string())));
            }
            Op::Close(close) => {
                tracing::error!(
                    %error,
                    request_id = close.usage.request_id.as_str(),
                    user_id = close.usage.user_id.as_str(),
                    cost = %close.usage.cost.nanos,
                    currency = close.usage.cost.currency.as_str(),
                    "a call could not be booked; book it by hand"
                );
                if let Some(reply) = close.reply {
                    let _ = reply.send(Err(cf_base::Error::internal(error.to_string())));
                }
            }
            Op::Flush(reply) => drop(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_for_the_database_ends_with_its_runtime_and_aborts_nothing() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        runtime
            .block_on(async {
                thread("waiting", async move {
                    begun.send(()).unwrap();
                    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
                })
            })
            .unwrap();
        begins.recv().unwrap();
        drop(runtime);
        // An aborted process tells nobody.
        assert!(begins.recv().is_err());
    }
}
