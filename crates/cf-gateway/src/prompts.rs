//! What was asked and answered, for tenants that want it kept: sealed, for so many
//! days, and written beside the calls, which never wait for it.
//!
//! A call of such a tenant has a [`Draft`] from the moment it is let in; where that
//! is dropped, however the call ended, it is handed over as far as it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cf_base::{
    Caller, Clock, Error, Random, RequestId, Result, Sealed, Sealer, Secret, TenantId, Timestamp,
    UserId,
};
use cf_db::{Db, Row, Tx, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::recording::Recording;

/// Most that is kept of a question, and of an answer.
const LARGEST: usize = 256 << 10;
/// Most that waits to be written, in entries and in bytes of all of them.
const WAITING: usize = 2_000;
const WAITING_BYTES: usize = 64 << 20;
/// Entries written in one transaction.
const AT_ONCE: usize = 50;
/// How often writing is tried, with how long a pause.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Entries deleted in one transaction.
const PRUNED: i64 = 500;
const DAY_MS: i64 = 86_400_000;

/// The way to the log; cheap to clone.
#[derive(Clone)]
pub struct Prompts {
    queue: mpsc::Sender<Work>,
    state: Arc<State>,
    log: PromptLog,
}

#[derive(Default)]
struct State {
    /// Bytes that wait to be written.
    waiting: AtomicUsize,
    /// Entries that were lost and not yet told of.
    lost: AtomicU64,
}

enum Work {
    Write(Box<Entry>),
    /// Everything before this is written: say so.
    Flush(oneshot::Sender<()>),
}

/// What is kept of a call.
struct Entry {
    request_id: RequestId,
    tenant: TenantId,
    user: UserId,
    created: Timestamp,
    endpoint: &'static str,
    question: Copied,
    answer: Copied,
}

/// A text, perhaps its beginning only.
#[derive(Default)]
struct Copied {
    text: String,
    cut: bool,
}

/// A call that is to be logged; handed over when it is dropped.
pub struct Draft {
    prompts: Prompts,
    entry: Option<Box<Entry>>,
    /// The request's body.
    question: Bytes,
    answer: Recording,
}

/// A call as it was logged.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Whose call it was.
    pub tenant_id: TenantId,
    /// Of this user.
    pub user_id: String,
    /// When it began.
    pub created: Timestamp,
    /// The endpoint, such as `chat/completions`.
    pub endpoint: String,
    /// The request's body; its beginning where it was larger than is kept.
    pub question: String,
    /// Whether it is only that.
    pub question_cut: bool,
    /// What the client was given, as far as it came.
    pub answer: String,
    /// Whether it is only the beginning of that.
    pub answer_cut: bool,
}

/// Writes what is handed over, and reads it.
#[derive(Clone)]
pub struct PromptLog {
    db: Db,
    sealer: Sealer,
    random: Random,
    clock: Clock,
}

impl Prompts {
    /// Starts the writer. Once the server stops it ends with the next flush.
    pub fn start(log: PromptLog, tasks: &TaskTracker, stopping: CancellationToken) -> Self {
        let (queue, work) = mpsc::channel(WAITING);
        let state = Arc::new(State::default());
        tasks.spawn((log.clone()).write_all(work, Arc::clone(&state), stopping));
        Self { queue, state, log }
    }

    /// To be read.
    pub fn log(&self) -> &PromptLog {
        &self.log
    }

    /// Begins to log a call.
    pub fn draft(
        &self,
        caller: &Caller,
        request_id: &RequestId,
        created: Timestamp,
        endpoint: &'static str,
        question: Bytes,
    ) -> Draft {
        Draft {
            prompts: self.clone(),
            entry: Some(Box::new(Entry {
                request_id: request_id.clone(),
                tenant: caller.tenant_id,
                user: caller.user_id,
                created,
                endpoint,
                question: Copied::default(),
                answer: Copied::default(),
            })),
            question,
            answer: Recording::new(LARGEST),
        }
    }

    /// Waits until everything that was handed over is written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Work::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }

    fn hand_over(&self, entry: Box<Entry>) {
        let size = entry.size();
        let waiting = &self.state.waiting;
        let fits = waiting.fetch_add(size, Ordering::Relaxed) + size <= WAITING_BYTES;
        if fits && self.queue.try_send(Work::Write(entry)).is_ok() {
            return;
        }
        waiting.fetch_sub(size, Ordering::Relaxed);
        if self.state.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "prompts come faster than they can be written: what does not fit is not logged"
            );
        }
    }
}

impl Draft {
    /// The next piece of the answer, as the client is given it.
    pub fn take(&mut self, piece: &[u8]) {
        self.answer.take(piece);
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else {
            return;
        };
        let mut question = Recording::new(LARGEST);
        question.take(&self.question);
        entry.question = Copied::of(question);
        entry.answer = Copied::of(std::mem::replace(&mut self.answer, Recording::new(0)));
        self.prompts.hand_over(entry);
    }
}

impl Copied {
    fn of(recording: Recording) -> Self {
        let (text, cut) = recording.into_text();
        Self { text, cut }
    }
}

impl Entry {
    fn size(&self) -> usize {
        self.question.text.len() + self.answer.text.len()
    }
}

impl PromptLog {
    pub fn new(db: Db, sealer: Sealer, random: Random, clock: Clock) -> Self {
        Self {
            db,
            sealer,
            random,
            clock,
        }
    }

    async fn write_all(
        self,
        mut work: mpsc::Receiver<Work>,
        state: Arc<State>,
        stopping: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while work.recv_many(&mut batch, AT_ONCE).await > 0 {
            let mut entries = Vec::with_capacity(batch.len());
            let mut flushed = Vec::new();
            for work in batch.drain(..) {
                match work {
                    Work::Write(entry) => entries.push(entry),
                    Work::Flush(done) => flushed.push(done),
                }
            }
            self.write(&entries).await;
            let size = entries.iter().map(|entry| entry.size()).sum();
            state.waiting.fetch_sub(size, Ordering::Relaxed);
            let lost = state.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(lost, "prompts were not logged, as too many waited");
            }
            let ends = stopping.is_cancelled() && !flushed.is_empty();
            for done in flushed {
                let _ = done.send(());
            }
            if ends {
                return;
            }
        }
    }

    /// Writes some, or says in the log how many could not be.
    async fn write(&self, entries: &[Box<Entry>]) {
        if entries.is_empty() {
            return;
        }
        for tried in 1..=TRIES {
            match self.insert(entries).await {
                Ok(()) => return,
                Err(error) if tried == TRIES => tracing::error!(
                    lost = entries.len(), %error, cause = ?error.source,
                    "prompts could not be logged"
                ),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn insert(&self, entries: &[Box<Entry>]) -> Result<()> {
        let rows: Vec<Vec<Value>> = entries.iter().map(|entry| self.row(entry)).collect();
        let mut tx = self.db.begin().await?;
        tx.execute_many(
            "insert into prompt_logs (request_id, tenant_id, user_id, created_at, endpoint, \
             question_cut, answer_cut, question_sealed, answer_sealed) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (request_id) do nothing",
            rows,
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    fn row(&self, entry: &Entry) -> Vec<Value> {
        let id = entry.request_id.as_str();
        let seal = |text: &str, column: &str| {
            let place = place(id, column);
            let sealed = self.sealer.seal(&Secret::new(text), &place, &self.random);
            Value::from(sealed.0)
        };
        vec![
            id.into(),
            entry.tenant.into(),
            entry.user.into(),
            entry.created.into(),
            entry.endpoint.into(),
            entry.question.cut.into(),
            entry.answer.cut.into(),
            seal(&entry.question.text, "question"),
            seal(&entry.answer.text, "answer"),
        ]
    }

    /// What was logged of a call.
    pub async fn find(&self, request_id: &str) -> Result<Option<Prompt>> {
        let sql = "select tenant_id, user_id, created_at, endpoint, question_cut, answer_cut, \
                   question_sealed, answer_sealed from prompt_logs where request_id = $1";
        let row = self.db.query_opt(sql, vec![request_id.into()]).await?;
        row.map(|row| self.read(&row, request_id)).transpose()
    }

    fn read(&self, row: &Row, request_id: &str) -> Result<Prompt> {
        let open = |column: &str, name: &str| {
            let sealed = Sealed(row.get(column)?);
            let opened = self.sealer.open(&sealed, &place(request_id, name));
            let opened = opened.ok_or_else(|| Error::internal("a prompt cannot be opened"))?;
            Ok::<_, Error>(opened.expose().to_owned())
        };
        Ok(Prompt {
            tenant_id: TenantId(row.get("tenant_id")?),
            user_id: row.get("user_id")?,
            created: row.get("created_at")?,
            endpoint: row.get("endpoint")?,
            question: open("question_sealed", "question")?,
            question_cut: row.get("question_cut")?,
            answer: open("answer_sealed", "answer")?,
            answer_cut: row.get("answer_cut")?,
        })
    }

    /// Deletes what was kept long enough, all of tenants that log no more, and what is
    /// left of users that are gone. Returns how many.
    pub async fn prune(&self) -> Result<u64> {
        let mut gone = 0;
        loop {
            let sql = "select p.request_id from prompt_logs p \
                       left join tenants t on t.id = p.tenant_id \
                       left join users u on u.id = p.user_id \
                       where t.id is null or u.id is null \
                       or p.created_at <= cast($1 as bigint) - t.prompt_log_days * cast($2 as bigint) \
                       limit $3";
            let params = vec![self.clock.now().into(), DAY_MS.into(), PRUNED.into()];
            let rows = self.db.query(sql, params).await?;
            if rows.is_empty() {
                return Ok(gone);
            }
            let mut ids = Vec::with_capacity(rows.len());
            for row in &rows {
                ids.push(vec![row.at::<String>(0)?.into()]);
            }
            let mut tx = self.db.begin().await?;
            let sql = "delete from prompt_logs where request_id = $1";
            gone += tx.execute_many(sql, ids).await?.into_iter().sum::<u64>();
            tx.commit().await?;
        }
    }
}

/// Forgets the prompts of a user or a tenant that is deleted.
pub async fn forget(tx: &mut Tx, collection: &str, id: &str) -> Result<()> {
    let of = match collection {
        "users" => "user_id",
        "tenants" => "tenant_id",
        _ => return Ok(()),
    };
    let sql = format!("delete from prompt_logs where {of} = $1");
    tx.execute(&sql, vec![id.into()]).await?;
    Ok(())
}

/// What a sealed text belongs to.
fn place(request_id: &str, column: &str) -> String {
    format!("prompt_logs/{request_id}/{column}")
}

#[cfg(test)]
mod tests {
    use cf_base::MasterKey;
    use cf_testkit::TestDb;

    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_lost_and_counted_and_what_waits_is_written() {
        let random = Random::seeded(5);
        let clock = Clock::mock(Timestamp::from_millis(0));
        let test_db = TestDb::sqlite().await;
        let sealer = Sealer::new(&MasterKey::new(&random));
        let log = PromptLog::new(test_db.db.clone(), sealer, random.clone(), clock.clone());
        let (queue, work) = mpsc::channel(2);
        let prompts = Prompts {
            queue,
            state: Arc::default(),
            log,
        };
        let entry = |size: usize| {
            Box::new(Entry {
                request_id: RequestId::new(clock.now(), &random),
                tenant: TenantId::new(&random),
                user: UserId::new(&random),
                created: clock.now(),
                endpoint: "chat/completions",
                question: Copied {
                    text: "x".repeat(size),
                    cut: false,
                },
                answer: Copied::default(),
            })
        };
        // Too many bytes, although there is a place.
        prompts.hand_over(entry(WAITING_BYTES + 1));
        let state = Arc::clone(&prompts.state);
        let lost = || state.lost.load(Ordering::Relaxed);
        assert_eq!((lost(), state.waiting.load(Ordering::Relaxed)), (1, 0));
        // Too many entries.
        for _ in 0..3 {
            prompts.hand_over(entry(10));
        }
        assert_eq!((lost(), state.waiting.load(Ordering::Relaxed)), (2, 20));
        let (log, stopping) = (prompts.log.clone(), CancellationToken::new());
        stopping.cancel();
        let writer = log.write_all(work, Arc::clone(&state), stopping);
        tokio::join!(writer, prompts.flush());
        assert_eq!((lost(), state.waiting.load(Ordering::Relaxed)), (0, 0));
        let rows = "select count(*) from prompt_logs";
        let row = test_db.db.query_opt(rows, vec![]).await.unwrap().unwrap();
        assert_eq!(row.at::<i64>(0).unwrap(), 2);
    }
}
