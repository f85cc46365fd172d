//! SQLite: one writing connection handed round under a lock, a few reading
//! ones, write-ahead log, every commit synced to disk.
//!
//! Statements of a transaction run on the calling thread: each takes some
//! microseconds, less than handing it to another thread would. What can wait for
//! the disk or for another process (begin, commit, reads) runs on the blocking
//! pool, unless the caller has a thread of its own.
//!
//! SQLite commits without waiting for the disk (`synchronous = normal`: the
//! commit survives the process); the log is then synced by us, after the writing
//! connection is free again, and many commits can share one sync.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::log::{self, Log};
use crate::{DbError, Result, Row, Value};

/// How long a statement waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Reading connections; reads past that wait for one.
const READERS: usize = 8;
/// How many of SQLite's instructions pass between two looks at whether a read is
/// to stop: some tens of microseconds.
const STOP_AFTER: i32 = 1_000;
/// Prepared statements kept per connection.
const STATEMENTS: usize = 256;

pub struct Sqlite {
    path: PathBuf,
    writer: Arc<tokio::sync::Mutex<Connection>>,
    readers: Arc<Mutex<Vec<Connection>>>,
    reading: Arc<Semaphore>,
    log: Arc<Log>,
    checkpointer: Arc<Mutex<Option<Connection>>>,
}

/// Tells a running read to stop once nobody waits for it.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Sqlite {
    pub async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let (writer, path) = blocking(move || {
            let writer = connect(&path, false)?;
            Ok((writer, path))
        })
        .await?;
        let log = Arc::new(Log::of(&path));
        Ok(Self {
            path,
            log,
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            readers: Arc::new(Mutex::new(Vec::new())),
            reading: Arc::new(Semaphore::new(READERS)),
            checkpointer: Arc::default(),
        })
    }

    pub async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.to_owned();
        self.read(move |connection| query(connection, &sql, &params))
            .await
    }

    pub async fn query_within(
        &self,
        limit: Duration,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let (sql, stop) = (sql.to_owned(), StopOnDrop::default());
        let asked_to = Arc::clone(&stop.0);
        let rows = self.read(move |connection| {
            let stop = move || asked_to.load(Ordering::Relaxed);
            connection
                .progress_handler(STOP_AFTER, Some(stop))
                .map_err(error)?;
            let rows = query(connection, &sql, &params);
            connection
                .progress_handler(0, None::<fn() -> bool>)
                .map_err(error)?;
            rows
        });
        // Either way the flag is set on leaving: the statement does not go on
        // for nobody.
        let rows = tokio::time::timeout(limit, rows)
            .await
            .unwrap_or(Err(DbError::TooLong));
        drop(stop);
        rows
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.reading)
            .acquire_owned()
            .await
            .map_err(|_| DbError::Unavailable("the database is closed".into()))?;
        let (readers, path) = (Arc::clone(&self.readers), self.path.clone());
        blocking(move || {
            let _permit = permit;
            let idle = readers.lock().pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => connect(&path, true)?,
            };
            let result = work(&mut connection);
            readers.lock().push(connection);
            result
        })
        .await
    }

    pub async fn begin(&self) -> Result<SqliteTx> {
        let guard = Arc::clone(&self.writer).lock_owned().await;
        let log = Arc::clone(&self.log);
        blocking(move || SqliteTx::begin(guard, Some(log))).await
    }

    /// On the calling thread, which may be blocked; not synced by the commit.
    pub async fn begin_inline(&self) -> Result<SqliteTx> {
        let guard = Arc::clone(&self.writer).lock_owned().await;
        SqliteTx::begin(guard, None)
    }

    /// On the calling thread, which may be blocked.
    pub fn sync_inline(&self) -> Result<()> {
        self.log.sync()
    }

    /// Moves what is in the log into the database file, as far as readers and
    /// writers allow without waiting for them.
    pub async fn checkpoint(&self) -> Result<()> {
        let path = self.path.clone();
        let checkpointer = Arc::clone(&self.checkpointer);
        blocking(move || {
            let mut kept = checkpointer.lock();
            let connection = match kept.as_ref() {
                Some(connection) => connection,
                None => kept.insert(connect(&path, false)?),
            };
            connection
                .query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
                .map_err(error)
        })
        .await
    }
}

/// A transaction on the writing connection.
pub struct SqliteTx {
    /// `None` only once it has ended.
    guard: Option<OwnedMutexGuard<Connection>>,
    /// The log to sync after the commit; none for a caller with a thread of its own.
    log: Option<Arc<Log>>,
}

impl SqliteTx {
    fn begin(guard: OwnedMutexGuard<Connection>, log: Option<Arc<Log>>) -> Result<Self> {
        run(&guard, "begin immediate")?;
        Ok(Self {
            guard: Some(guard),
            log,
        })
    }

    fn connection(&self) -> &Connection {
        self.guard
            .as_ref()
            .expect("a transaction is used only until it ends")
    }

    pub fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        query(self.connection(), sql, params)
    }

    pub fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let mut statement = prepare(self.connection(), sql)?;
        let changed = statement.execute(params_from_iter(params)).map_err(error)?;
        Ok(u64::try_from(changed).expect("a count fits"))
    }

    /// One statement for each row of parameters, prepared once.
    pub fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<u64>> {
        let mut statement = prepare(self.connection(), sql)?;
        rows.iter()
            .map(|row| {
                let changed = statement.execute(params_from_iter(row)).map_err(error)?;
                Ok(u64::try_from(changed).expect("a count fits"))
            })
            .collect()
    }

    pub async fn commit(mut self) -> Result<()> {
        let guard = self.guard.take().expect("a transaction is committed once");
        match self.log.take() {
            None => end(guard),
            Some(log) => {
                blocking(move || {
                    end(guard)?;
                    log.sync()
                })
                .await
            }
        }
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        if let Some(connection) = self.guard.take() {
            // Fails only if SQLite has rolled back by itself already.
            let _ = connection.execute_batch("rollback");
        }
    }
}

fn end(guard: OwnedMutexGuard<Connection>) -> Result<()> {
    let result = run(&guard, "commit");
    if result.is_err() {
        // A commit that failed (disk full) leaves the transaction open.
        let _ = guard.execute_batch("rollback");
    }
    result
}

/// A statement without parameters or rows, kept prepared: each transaction has two.
fn run(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = connection.prepare_cached(sql).map_err(error)?;
    statement.execute([]).map(drop).map_err(error)
}

fn connect(path: &Path, read_only: bool) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    flags |= if read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    };
    let connection = Connection::open_with_flags(path, flags).map_err(error)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(error)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if !read_only {
        // Checkpoints are made in the background; the writer makes one itself
        // only if they fall behind by 64 MiB.
        connection
            .execute_batch(
                "pragma journal_mode = wal; pragma synchronous = normal; \
                 pragma wal_autocheckpoint = 16000; pragma cache_size = -65536; \
                 pragma temp_store = memory;",
            )
            .map_err(error)?;
    } else {
        connection
            .execute_batch("pragma query_only = on; pragma cache_size = -16384;")
            .map_err(error)?;
    }
    Ok(connection)
}

/// SQLite numbers `$2` by where it stands, as a name; `?2` is the second
/// parameter, as `$2` is on PostgreSQL. No statement of ours has a `$` elsewhere.
fn prepare<'c>(connection: &'c Connection, sql: &str) -> Result<rusqlite::CachedStatement<'c>> {
    connection
        .prepare_cached(&sql.replace('$', "?"))
        .map_err(error)
}

fn query(connection: &Connection, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
    let mut statement = prepare(connection, sql)?;
    let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query(params_from_iter(params)).map_err(error)?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next().map_err(error)? {
        let values = (0..columns.len())
            .map(|i| row.get_ref(i).map_err(error).and_then(read))
            .collect::<Result<_>>()?;
        answer.push(Row {
            columns: Arc::clone(&columns),
            values,
        });
    }
    Ok(answer)
}

fn read(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::Int(v),
        ValueRef::Real(v) => Value::Real(v),
        ValueRef::Text(v) => Value::Text(
            std::str::from_utf8(v)
                .map_err(|_| DbError::Data("a text column is not UTF-8".into()))?
                .to_owned(),
        ),
        ValueRef::Blob(v) => Value::Blob(v.to_vec()),
    })
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(v) => ValueRef::Integer(*v),
            Self::Real(v) => ValueRef::Real(*v),
            Self::Text(v) => ValueRef::Text(v.as_bytes()),
            Self::Blob(v) => ValueRef::Blob(v),
        }))
    }
}

fn error(error: rusqlite::Error) -> DbError {
    let rusqlite::Error::SqliteFailure(failure, message) = &error else {
        return DbError::Other(error.to_string());
    };
    let text = message.clone().unwrap_or_else(|| failure.to_string());
    // SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC, of a checkpoint.
    if matches!(failure.extended_code, 1034 | 1290) {
        log::end_process(&text);
    }
    match failure.code {
        // 2067 and 1555: SQLITE_CONSTRAINT_UNIQUE and SQLITE_CONSTRAINT_PRIMARYKEY.
        ErrorCode::ConstraintViolation if matches!(failure.extended_code, 2067 | 1555) => {
            DbError::Unique(text)
        }
        ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => DbError::Other(format!(
            "the database file is broken ({text}); restore it from a backup"
        )),
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::DiskFull
        | ErrorCode::ReadOnly
        | ErrorCode::SystemIoFailure
        | ErrorCode::PermissionDenied
        | ErrorCode::CannotOpen => DbError::Unavailable(text),
        _ => DbError::Other(text),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| DbError::Unavailable("the process is shutting down".into()))?
}
