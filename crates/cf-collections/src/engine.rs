//! The engine: what all operations share.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{Clock, Id, Random};
use cf_db::{Db, Row, Tx, Value};
use serde_json::{Map, Value as Json};
use tokio::sync::broadcast;

use crate::error::{RecordError, Result};
use crate::filter::{Cond, Context, Root, Statement};
use crate::hooks::Hooks;
use crate::principal::Principal;
use crate::record::Record;
use crate::rules::{Access, RuleBook};
use crate::schema::{Action, Collection};
use crate::system::Schema;

/// Events kept for slow receivers; a receiver further behind is told so.
const EVENTS: usize = 1_024;
/// How long one statement of a reading request may take: filters, orders and
/// expansions are others' words, and a few costly ones must not keep everybody
/// waiting. The heaviest page of ours takes a tenth of it on a million records.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// The record engine; cheap to clone.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub db: Db,
    pub read_limit: Duration,
    pub hooks: Arc<dyn Hooks>,
    pub clock: Clock,
    pub random: Random,
    pub schema: Schema,
    pub rules: RuleBook,
    pub events: broadcast::Sender<RecordEvent>,
}

/// What an engine is made of.
pub struct EngineParts {
    /// Where the records are.
    pub db: Db,
    /// What saving a record means elsewhere.
    pub hooks: Arc<dyn Hooks>,
    /// The time.
    pub clock: Clock,
    /// For ids.
    pub random: Random,
}

/// A change that was committed.
#[derive(Clone, Debug)]
pub struct RecordEvent {
    /// The collection's name.
    pub collection: &'static str,
    /// What happened.
    pub action: Action,
    /// The record's id.
    pub record_id: String,
    /// The record with everything in it; of a deleted one, its last state.
    pub record: Arc<Record>,
}

/// Reads inside of a transaction, or outside of one.
pub(crate) enum Reader<'a> {
    Engine(&'a Engine),
    Tx(&'a mut Tx),
}

/// Who writes, and what was sent.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    pub principal: &'a Principal,
    pub body: Option<&'a Map<String, Json>>,
}

impl Reader<'_> {
    pub async fn query(&mut self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        Ok(match self {
            Self::Engine(engine) => engine.read(sql, params).await?,
            Self::Tx(tx) => tx.query(sql, params).await?,
        })
    }

    /// What keeps a row as it was read until the transaction ends. SQLite has
    /// one writer, which is lock enough.
    fn lock(&self, words: &'static str) -> &'static str {
        match self {
            Self::Tx(tx) if tx.is_postgres() => words,
            _ => "",
        }
    }
}

impl Engine {
    /// An engine for the built-in collections.
    pub fn new(parts: EngineParts) -> Self {
        Self::with_read_limit(parts, READ_LIMIT)
    }

    /// The same with another limit for each statement of a reading request.
    pub fn with_read_limit(parts: EngineParts, read_limit: Duration) -> Self {
        let schema = Schema::system();
        let rules = RuleBook::new(&schema);
        Self(Arc::new(Inner {
            db: parts.db,
            read_limit,
            hooks: parts.hooks,
            clock: parts.clock,
            random: parts.random,
            schema,
            rules,
            events: broadcast::channel(EVENTS).0,
        }))
    }

    /// The descriptors.
    pub fn collections(&self) -> &Schema {
        &self.0.schema
    }

    /// The database, for those who write beside the engine.
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Every change that is committed from now on. A receiver that falls more
    /// than 1,024 events behind is told how many it missed.
    pub fn events(&self) -> broadcast::Receiver<RecordEvent> {
        self.0.events.subscribe()
    }

    /// A record by its id, without asking who wants it.
    pub async fn find(&self, collection: &str, id: &str) -> Result<Option<Record>> {
        let collection = self.collection(collection, false)?;
        self.load(&mut Reader::Engine(self), &collection, id).await
    }

    /// A record by its id inside of a transaction.
    pub async fn find_in(&self, tx: &mut Tx, collection: &str, id: &str) -> Result<Option<Record>> {
        let collection = self.collection(collection, false)?;
        self.load(&mut Reader::Tx(tx), &collection, id).await
    }

    /// Tells listeners of a change that was made beside the engine (by the
    /// ledger), after it was committed. For a deletion use [`Engine::publish_record`].
    pub async fn publish(&self, collection: &str, action: Action, id: &str) -> Result<()> {
        if self.0.events.receiver_count() == 0 {
            return Ok(());
        }
        if let Some(record) = self.find(collection, id).await? {
            self.publish_record(action, record);
        }
        Ok(())
    }

    /// Tells listeners of a change, with the record in hand.
    pub fn publish_record(&self, action: Action, record: Record) {
        // Fails only if nobody listens.
        let _ = self.0.events.send(event(action, record));
    }

    /// Tells listeners once the transaction is committed.
    pub(crate) fn publish_after(&self, tx: &mut Tx, action: Action, record: Record) {
        let events = self.0.events.clone();
        tx.after_commit(move || {
            let _ = events.send(event(action, record));
        });
    }

    /// Reads outside of a transaction, within the limit.
    pub(crate) async fn read(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let limit = self.0.read_limit;
        Ok(self.0.db.query_within(limit, sql, params).await?)
    }

    pub(crate) fn collection(&self, name: &str, writing: bool) -> Result<Arc<Collection>> {
        self.0
            .schema
            .get(name)
            .cloned()
            .ok_or_else(|| RecordError::no_collection(writing))
    }

    pub(crate) fn context<'a>(&'a self, principal: &'a Principal) -> Context<'a> {
        Context {
            schema: &self.0.schema,
            rules: &self.0.rules,
            principal,
            now: self.0.clock.now(),
            body: None,
            trusted: false,
        }
    }

    pub(crate) fn statement(&self) -> Statement {
        Statement::new(self.0.db.is_postgres())
    }

    /// Reads a record; inside of a transaction it stays as it is until the end.
    pub(crate) async fn load(
        &self,
        reader: &mut Reader<'_>,
        collection: &Arc<Collection>,
        id: &str,
    ) -> Result<Option<Record>> {
        // What is no id is nobody's, and need not reach the database.
        if Id::parse(id).is_err() {
            return Ok(None);
        }
        let sql = format!(
            "select {} from \"{}\" t0 where t0.\"id\" = $1{}",
            Record::columns(collection, "t0"),
            collection.table,
            reader.lock(" for update of t0"),
        );
        let rows = reader.query(&sql, vec![id.into()]).await?;
        rows.first()
            .map(|row| Record::read(collection, row))
            .transpose()
    }

    /// Whether the principal may do this to a record with these values; `None`
    /// if only superusers may.
    pub(crate) async fn allowed(
        &self,
        reader: &mut Reader<'_>,
        access: Access,
        collection: &Collection,
        values: &[Value],
        by: By<'_>,
    ) -> Result<Option<bool>> {
        let mut statement = self.statement();
        let context = Context {
            body: by.body,
            ..self.context(by.principal)
        };
        let condition = self.0.rules.condition(
            access,
            collection,
            &Root::Values(values),
            &context,
            &mut statement,
        )?;
        match condition {
            None => Ok(None),
            Some(condition) => self.holds(reader, condition, statement).await.map(Some),
        }
    }

    /// Whether a condition on known values holds; asks the database only for
    /// what lies behind relations.
    pub(crate) async fn holds(
        &self,
        reader: &mut Reader<'_>,
        condition: Cond,
        statement: Statement,
    ) -> Result<bool> {
        match condition {
            Cond::True => Ok(true),
            Cond::False => Ok(false),
            Cond::Sql(sql) => {
                let (sql, params) = statement.finish(&format!("select 1 where {sql}"));
                Ok(!reader.query(&sql, params).await?.is_empty())
            }
        }
    }

    /// Whether a related record exists, and is one the caller may see.
    pub(crate) async fn relation_exists(
        &self,
        reader: &mut Reader<'_>,
        target: &str,
        id: &str,
        principal: &Principal,
    ) -> Result<bool> {
        let collection = self.collection(target, true)?;
        let mut statement = self.statement();
        let condition = match principal {
            // A stranger may see no tenant; the create rule says which one will do.
            Principal::Guest => Cond::True,
            _ => self
                .0
                .rules
                .condition(
                    Access::View,
                    &collection,
                    &Root::Row("t0"),
                    &self.context(principal),
                    &mut statement,
                )?
                .unwrap_or(Cond::False),
        };
        let id = statement.text(id);
        let condition = Cond::Sql(format!("t0.\"id\" = {id}")).and(condition);
        let (sql, params) = statement.finish(&format!(
            "select 1 from \"{}\" t0{}{}",
            collection.table,
            condition.where_clause(),
            // Until the write is committed the other record cannot be deleted.
            reader.lock(" for key share of t0"),
        ));
        Ok(!reader.query(&sql, params).await?.is_empty())
    }

    /// Makes other processes forget their copies of this collection's records.
    pub(crate) async fn bump(&self, tx: &mut Tx, collection: &Collection) -> Result<()> {
        if collection.cached {
            tx.execute("update data_version set version = version + 1", vec![])
                .await?;
        }
        Ok(())
    }
}

fn event(action: Action, record: Record) -> RecordEvent {
    RecordEvent {
        collection: record.collection().name,
        action,
        record_id: record.id().to_owned(),
        record: Arc::new(record),
    }
}
