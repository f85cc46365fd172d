//! The only crate that names an SQL driver: SQLite (one writer, many readers,
//! write-ahead log) or PostgreSQL behind one small interface.
//!
//! Every statement is one text for both: `$1` parameters, lower-case names, the
//! types text, bigint, double precision and bytea. It does not build queries and
//! knows no table but the two it needs for migrations.

mod error;
mod log;
mod migrate;
mod postgres;
mod sqlite;
mod value;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use error::{DbError, Result};
pub use migrate::{Migration, MigrationState};
pub use value::{FromValue, Row, Value};

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server, as a `postgres://` address.
    Postgres(String),
}

/// A database, open; cheap to clone.
#[derive(Clone)]
pub struct Db(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(Arc<sqlite::Sqlite>),
    Postgres(Arc<postgres::Postgres>),
}

/// A transaction. Dropped without [`Tx::commit`] it is rolled back.
pub struct Tx {
    inner: TxInner,
    after_commit: Vec<Box<dyn FnOnce() + Send>>,
}

enum TxInner {
    Sqlite(sqlite::SqliteTx),
    Postgres(Box<postgres::PostgresTx>),
}

impl Db {
    /// Opens the database and checks that it answers. Migrates nothing.
    pub async fn open(location: &Location) -> Result<Self> {
        Ok(Self(match location {
            Location::Sqlite(path) => Backend::Sqlite(Arc::new(sqlite::Sqlite::open(path).await?)),
            Location::Postgres(url) => {
                Backend::Postgres(Arc::new(postgres::Postgres::open(url).await?))
            }
        }))
    }

    /// Whether this is PostgreSQL. For the places where the dialects differ
    /// (case-blind `like`, upserts do not), not for whole queries written twice.
    pub fn is_postgres(&self) -> bool {
        matches!(self.0, Backend::Postgres(_))
    }

    /// Reads: runs one statement outside of a transaction.
    pub async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        match &self.0 {
            Backend::Sqlite(db) => db.query(sql, params).await,
            Backend::Postgres(db) => db.query(sql, params).await,
        }
    }

    /// Reads what others have asked for in their own words: gives up after
    /// `limit` ([`DbError::TooLong`]), and when the caller goes away.
    pub async fn query_within(
        &self,
        limit: Duration,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        match &self.0 {
            Backend::Sqlite(db) => db.query_within(limit, sql, params).await,
            Backend::Postgres(db) => db.query_within(limit, sql, params).await,
        }
    }

    /// Reads at most one row.
    pub async fn query_opt(&self, sql: &str, params: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Begins a writing transaction. On SQLite there is one at a time: the
    /// others wait their turn here, so nothing slow may be awaited inside.
    pub async fn begin(&self) -> Result<Tx> {
        Ok(Tx::new(match &self.0 {
            Backend::Sqlite(db) => TxInner::Sqlite(db.begin().await?),
            Backend::Postgres(db) => TxInner::Postgres(Box::new(db.begin(true).await?)),
        }))
    }

    /// Begins a transaction for a caller that has a thread of its own, which may
    /// be blocked. Its commit survives the end of this process; it survives a
    /// power cut once [`Db::sync_inline`] returns (PostgreSQL: at once, if `durable`).
    pub async fn begin_inline(&self, durable: bool) -> Result<Tx> {
        Ok(Tx::new(match &self.0 {
            Backend::Sqlite(db) => TxInner::Sqlite(db.begin_inline().await?),
            Backend::Postgres(db) => TxInner::Postgres(Box::new(db.begin(durable).await?)),
        }))
    }

    /// Blocks the calling thread, which must be one of the caller's own, until
    /// every commit so far is on the disk. PostgreSQL sees to that by itself. If
    /// the disk refuses the process ends; an error means that it was not asked.
    pub fn sync_inline(&self) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(db) => db.sync_inline(),
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Keeps SQLite's log short; to be called every now and then. PostgreSQL
    /// sees to that by itself.
    pub async fn checkpoint(&self) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(db) => db.checkpoint().await,
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Writes one statement in a transaction of its own.
    pub async fn execute(&self, sql: &str, params: Vec<Value>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let changed = tx.execute(sql, params).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Whether the database answers now.
    pub async fn ping(&self) -> Result<()> {
        self.query("select 1", vec![]).await.map(drop)
    }
}

impl Tx {
    fn new(inner: TxInner) -> Self {
        Self {
            inner,
            after_commit: Vec::new(),
        }
    }

    /// Reads inside the transaction.
    pub async fn query(&mut self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        match &mut self.inner {
            TxInner::Sqlite(tx) => tx.query(sql, &params),
            TxInner::Postgres(tx) => tx.query(sql, &params).await,
        }
    }

    /// Reads at most one row inside the transaction.
    pub async fn query_opt(&mut self, sql: &str, params: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Writes; returns how many rows changed.
    pub async fn execute(&mut self, sql: &str, params: Vec<Value>) -> Result<u64> {
        match &mut self.inner {
            TxInner::Sqlite(tx) => tx.execute(sql, &params),
            TxInner::Postgres(tx) => tx.execute(sql, &params).await,
        }
    }

    /// Runs one statement for each row of parameters: in a loop on SQLite,
    /// pipelined (one round trip) on PostgreSQL. Returns the changed rows of each.
    pub async fn execute_many(&mut self, sql: &str, rows: Vec<Vec<Value>>) -> Result<Vec<u64>> {
        match &mut self.inner {
            TxInner::Sqlite(tx) => tx.execute_many(sql, &rows),
            TxInner::Postgres(tx) => tx.execute_many(sql, &rows).await,
        }
    }

    /// What a `select` needs at its end to lock its rows until the commit:
    /// nothing on SQLite, where there is one writer.
    pub fn for_update(&self) -> &'static str {
        match self.inner {
            TxInner::Sqlite(_) => "",
            TxInner::Postgres(_) => " for update",
        }
    }

    /// Whether this is PostgreSQL; see [`Db::is_postgres`].
    pub fn is_postgres(&self) -> bool {
        matches!(self.inner, TxInner::Postgres(_))
    }

    /// Runs `effect` once the transaction is committed, never if it is not:
    /// for cache invalidation, events and mail.
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(effect));
    }

    /// Commits, then runs the effects.
    pub async fn commit(self) -> Result<()> {
        match self.inner {
            TxInner::Sqlite(tx) => tx.commit().await?,
            TxInner::Postgres(tx) => tx.commit().await?,
        }
        for effect in self.after_commit {
            effect();
        }
        Ok(())
    }
}
