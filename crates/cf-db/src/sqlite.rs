//! SQLite: one writing connection handed round under a lock, a few reading
//! ones, write-ahead log, every commit synced to disk.
//!
//! Statements of a transaction run on the calling thread: each takes some
//! microseconds, less than handing it to another thread would. What can wait for
//! the disk or for another process (begin, commit, reads) runs on the blocking pool.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::{DbError, Result, Row, Value};

/// How long a statement waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Reading connections; reads past that wait for one.
const READERS: usize = 8;
/// Prepared statements kept per connection.
const STATEMENTS: usize = 256;

pub struct Sqlite {
    path: PathBuf,
    writer: Arc<tokio::sync::Mutex<Connection>>,
    readers: Arc<Mutex<Vec<Connection>>>,
    reading: Arc<Semaphore>,
}

impl Sqlite {
    pub async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let (writer, path) = blocking(move || {
            let writer = connect(&path, false)?;
            Ok((writer, path))
        })
        .await?;
        Ok(Self {
            path,
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            readers: Arc::new(Mutex::new(Vec::new())),
            reading: Arc::new(Semaphore::new(READERS)),
        })
    }

    pub async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let permit = Arc::clone(&self.reading)
            .acquire_owned()
            .await
            .map_err(|_| DbError::Unavailable("the database is closed".into()))?;
        let (readers, path, sql) = (Arc::clone(&self.readers), self.path.clone(), sql.to_owned());
        blocking(move || {
            let _permit = permit;
            let idle = readers.lock().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => connect(&path, true)?,
            };
            let rows = query(&connection, &sql, &params);
            readers.lock().push(connection);
            rows
        })
        .await
    }

    pub async fn begin(&self, synced: bool) -> Result<SqliteTx> {
        let guard = Arc::clone(&self.writer).lock_owned().await;
        blocking(move || {
            // Cannot change inside a transaction, so it is said before each.
            let synchronous = if synced { "full" } else { "normal" };
            guard
                .execute_batch(&format!("pragma synchronous = {synchronous}"))
                .map_err(error)?;
            guard.execute_batch("begin immediate").map_err(error)?;
            Ok(SqliteTx(Some(guard)))
        })
        .await
    }

    pub async fn copy_to(&self, path: &Path) -> Result<()> {
        let (from, to) = (self.path.clone(), path.to_owned());
        blocking(move || {
            let connection = connect(&from, true)?;
            let to = to
                .to_str()
                .ok_or_else(|| DbError::Other("the backup's path is not UTF-8".into()))?;
            connection
                .execute("vacuum into ?1", [to])
                .map(drop)
                .map_err(error)
        })
        .await
    }
}

/// A transaction on the writing connection. `None` only once it has ended.
pub struct SqliteTx(Option<OwnedMutexGuard<Connection>>);

impl SqliteTx {
    fn connection(&self) -> &Connection {
        self.0
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

    pub async fn commit(mut self) -> Result<()> {
        let guard = self.0.take().expect("a transaction is committed once");
        blocking(move || {
            let result = guard.execute_batch("commit").map_err(error);
            if result.is_err() {
                // A commit that failed (disk full) leaves the transaction open.
                let _ = guard.execute_batch("rollback");
            }
            result
        })
        .await
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Fails only if SQLite has rolled back by itself already.
            let _ = connection.execute_batch("rollback");
        }
    }
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
        // Each transaction says itself whether its commit waits for the disk.
        connection
            .execute_batch(
                "pragma journal_mode = wal; \
                 pragma wal_autocheckpoint = 4000; pragma cache_size = -65536; \
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
