//! PostgreSQL: a pool of connections, statements prepared once per connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use futures_util::future::{join_all, join3};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::{DbError, Result, Row, Value};

/// Connections per process.
const CONNECTIONS: usize = 16;
/// How long to wait for a connection before saying that there is none.
const WAIT: Duration = Duration::from_secs(5);

pub struct Postgres {
    pool: Pool,
}

impl Postgres {
    pub async fn open(url: &str) -> Result<Self> {
        let mut config: tokio_postgres::Config = url
            .parse()
            .map_err(|e| DbError::Other(format!("the database address is not valid: {e}")))?;
        config
            .application_name("cloudfreedom")
            .connect_timeout(WAIT)
            .keepalives_idle(Duration::from_secs(15))
            .tcp_user_timeout(Duration::from_secs(15));
        let manager = Manager::from_config(
            config,
            tls()?,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .build()
            .map_err(|e| DbError::Other(e.to_string()))?;
        let db = Self { pool };
        drop(db.connection().await?);
        Ok(db)
    }

    async fn connection(&self) -> Result<Object> {
        self.pool.get().await.map_err(|e| {
            DbError::Unavailable(match e {
                deadpool_postgres::PoolError::Backend(e) => describe(&e),
                other => other.to_string(),
            })
        })
    }

    pub async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let connection = self.connection().await?;
        query(&connection, sql, &params).await
    }

    /// The limit holds for this one statement: it is set in a transaction around
    /// it, all of which goes out at once, so that a caller who goes away leaves
    /// no limit and no transaction behind.
    pub async fn query_within(
        &self,
        limit: Duration,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await.map_err(error)?;
        let begin = format!(
            "begin read only; set local statement_timeout = {}",
            limit.as_millis().max(1)
        );
        let (begun, rows, ended) = join3(
            connection.batch_execute(&begin),
            rows(&connection, &statement, &params, within_limit),
            connection.batch_execute("commit"),
        )
        .await;
        begun.map_err(error)?;
        let rows = rows?;
        ended.map_err(error)?;
        Ok(rows)
    }

    pub async fn begin(&self, synced: bool) -> Result<PostgresTx> {
        let connection = self.connection().await?;
        let begin = if synced {
            "begin"
        } else {
            "begin; set local synchronous_commit = off"
        };
        // Made first: whoever goes away while it begins must not leave an open
        // transaction in the pool.
        let mut tx = PostgresTx {
            connection: Some(connection),
            busy: true,
            failed: None,
        };
        tx.connection().batch_execute(begin).await.map_err(|e| {
            DbError::Unavailable(format!("a transaction could not begin: {}", describe(&e)))
        })?;
        tx.busy = false;
        Ok(tx)
    }
}

/// An open transaction.
pub struct PostgresTx {
    /// `None` only once it has ended.
    connection: Option<Object>,
    /// Whether a statement is under way: true at the drop if it was given up.
    busy: bool,
    /// The first error. The server refuses everything after it, with a sentence
    /// that says nothing of what was wrong.
    failed: Option<DbError>,
}

impl PostgresTx {
    fn connection(&self) -> &Object {
        self.connection
            .as_ref()
            .expect("a transaction is used only until it ends")
    }

    fn start(&mut self) -> Result<()> {
        match &self.failed {
            Some(first) => Err(first.clone()),
            None => {
                self.busy = true;
                Ok(())
            }
        }
    }

    fn done<T>(&mut self, result: Result<T>) -> Result<T> {
        self.busy = false;
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    pub async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        self.start()?;
        let result = query(self.connection(), sql, params).await;
        self.done(result)
    }

    pub async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.start()?;
        let result = execute(self.connection(), sql, params).await;
        self.done(result)
    }

    pub async fn execute_many(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<u64>> {
        self.start()?;
        let result = execute_many(self.connection(), sql, rows).await;
        self.done(result)
    }

    pub async fn commit(mut self) -> Result<()> {
        // The server would roll back and call it a success.
        if let Some(first) = self.failed.take() {
            return Err(first);
        }
        let connection = self
            .connection
            .take()
            .expect("a transaction is committed once");
        match connection.batch_execute("commit").await {
            Ok(()) => Ok(()),
            Err(e) => {
                // Its state is unknown: it must not go back to the pool.
                drop(Object::take(connection));
                Err(error(e))
            }
        }
    }
}

impl Drop for PostgresTx {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.busy {
            // Nobody knows for how long the statement that was given up still
            // waits for a lock: the server rolls back as the connection closes,
            // and whoever comes next gets another.
            drop(Object::take(connection));
        } else {
            // Sent at the first look, and done before whatever comes next on this
            // connection, which goes back to the pool: a drop cannot wait for the
            // answer, and need not.
            let _ = connection.batch_execute("rollback").now_or_never();
        }
    }
}

async fn execute(connection: &Object, sql: &str, params: &[Value]) -> Result<u64> {
    let statement = connection.prepare_cached(sql).await.map_err(error)?;
    connection
        .execute_raw(&statement, params)
        .await
        .map_err(error)
}

async fn execute_many(connection: &Object, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<u64>> {
    let statement = connection.prepare_cached(sql).await.map_err(error)?;
    let results = join_all(
        rows.iter()
            .map(|row| connection.execute_raw(&statement, row)),
    )
    .await;
    // All of them are looked at: those behind the one that failed fail too, as
    // the transaction is then broken, and may be heard of first.
    let is_first =
        |e: &tokio_postgres::Error| e.code() != Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
    let mut failed = None;
    let mut changed = Vec::with_capacity(results.len());
    for result in results {
        match result {
            Ok(rows) => changed.push(rows),
            Err(e) if failed.is_none() || is_first(&e) => {
                failed = failed.filter(is_first).or(Some(e))
            }
            Err(_) => {}
        }
    }
    match failed {
        None => Ok(changed),
        Some(e) => Err(error(e)),
    }
}

async fn query(connection: &Object, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
    let statement = connection.prepare_cached(sql).await.map_err(error)?;
    rows(connection, &statement, params, error).await
}

async fn rows(
    connection: &Object,
    statement: &tokio_postgres::Statement,
    params: &[Value],
    error_of: fn(tokio_postgres::Error) -> DbError,
) -> Result<Vec<Row>> {
    let columns: Arc<[String]> = statement
        .columns()
        .iter()
        .map(|c| c.name().to_owned())
        .collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p as _).collect();
    let rows = connection
        .query(statement, &params)
        .await
        .map_err(error_of)?;
    rows.iter()
        .map(|row| {
            let values = (0..columns.len())
                .map(|i| read(row, i))
                .collect::<Result<_>>()?;
            Ok(Row {
                columns: Arc::clone(&columns),
                values,
            })
        })
        .collect()
}

fn read(row: &tokio_postgres::Row, at: usize) -> Result<Value> {
    fn some<T>(value: Option<T>, into: impl FnOnce(T) -> Value) -> Value {
        value.map_or(Value::Null, into)
    }
    let kind = row.columns()[at].type_();
    let value = match *kind {
        Type::INT8 => row.try_get(at).map(|v| some(v, Value::Int)),
        Type::INT4 => row
            .try_get(at)
            .map(|v: Option<i32>| some(v, |v| Value::Int(i64::from(v)))),
        Type::BOOL => row
            .try_get(at)
            .map(|v: Option<bool>| some(v, |v| Value::Int(i64::from(v)))),
        Type::FLOAT8 => row.try_get(at).map(|v| some(v, Value::Real)),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR => {
            row.try_get(at).map(|v| some(v, Value::Text))
        }
        Type::BYTEA => row.try_get(at).map(|v| some(v, Value::Blob)),
        _ => {
            return Err(DbError::Data(format!(
                "column {} has type {kind}; cast it to bigint, double precision or text",
                row.columns()[at].name()
            )));
        }
    };
    value.map_err(error)
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, kind) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Int(v), &Type::INT4) => i32::try_from(*v)?.to_sql(kind, out),
            (Self::Int(v), &Type::BOOL) => (*v != 0).to_sql(kind, out),
            #[allow(clippy::cast_precision_loss)] // a whole number for a real column
            (Self::Int(v), &Type::FLOAT8) => (*v as f64).to_sql(kind, out),
            (Self::Int(v), &Type::INT8) => v.to_sql(kind, out),
            (Self::Int(v), &Type::TEXT) => v.to_string().to_sql(kind, out),
            (Self::Real(v), &Type::FLOAT8) => v.to_sql(kind, out),
            (Self::Text(v), &Type::TEXT | &Type::VARCHAR | &Type::NAME | &Type::UNKNOWN) => {
                v.to_sql(kind, out)
            }
            (Self::Blob(v), &Type::BYTEA) => v.to_sql(kind, out),
            (value, kind) => Err(format!("a {kind} parameter was given {value:?}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn tls() -> Result<tokio_postgres_rustls::MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| DbError::Other(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
}

/// The error of a statement that has a limit of ours.
fn within_limit(e: tokio_postgres::Error) -> DbError {
    if e.code() == Some(&SqlState::QUERY_CANCELED) {
        DbError::TooLong
    } else {
        error(e)
    }
}

fn error(error: tokio_postgres::Error) -> DbError {
    let text = describe(&error);
    if error.is_closed() {
        return DbError::Unavailable(text);
    }
    let Some(db) = error.as_db_error() else {
        // Without an answer from the server it is the connection that failed,
        // unless a parameter could not be written.
        return if std::error::Error::source(&error)
            .is_some_and(|s| s.downcast_ref::<std::io::Error>().is_some())
        {
            DbError::Unavailable(text)
        } else {
            DbError::Other(text)
        };
    };
    let code = db.code();
    if *code == SqlState::UNIQUE_VIOLATION {
        DbError::Unique(db.constraint().unwrap_or_default().to_owned())
    } else if *code == SqlState::T_R_DEADLOCK_DETECTED
        || *code == SqlState::T_R_SERIALIZATION_FAILURE
        || *code == SqlState::LOCK_NOT_AVAILABLE
    {
        DbError::Contended(text)
    } else if code.code().starts_with("08")
        || code.code().starts_with("53")
        || code.code().starts_with("57")
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
    {
        // Connection lost, out of resources (disk full), shut down by an operator.
        DbError::Unavailable(text)
    } else {
        DbError::Other(text)
    }
}

/// The driver says "db error" and keeps the reason beneath.
fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
