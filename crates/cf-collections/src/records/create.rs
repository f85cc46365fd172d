//! Making a record.

use std::sync::Arc;

use cf_db::{Tx, Value};
use serde_json::{Map, Value as Json};

use super::view::Shape;
use super::{Prepared, refused_by_database};
use crate::engine::{By, Engine, Reader};
use crate::error::{RecordError, Result};
use crate::hooks::Scope;
use crate::principal::Principal;
use crate::record::Record;
use crate::rules::Access;
use crate::schema::{Action, Collection};
use crate::value::missing_relation;
use crate::write::{Parsed, Write, parse_create};

const FAILED: &str = "Failed to create record.";

impl Engine {
    /// Makes a record and answers it as the principal sees it.
    pub async fn create(
        &self,
        principal: &Principal,
        collection: &str,
        body: &Map<String, Json>,
        shape: &Shape,
    ) -> Result<Json> {
        let target = self.collection(collection, true)?;
        let prepared = self.prepare_create(principal, collection, body).await?;
        let mut tx = self.0.db.begin().await?;
        let (record, answer) = self
            .create_prepared(&mut tx, principal, &target, body, Some(prepared.0))
            .await?;
        tx.commit().await?;
        self.shape_with(principal, record, answer, shape).await
    }

    /// Makes a record inside of a transaction that somebody else commits;
    /// returns it with what hooks add to the answer.
    pub async fn create_in(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        collection: &str,
        body: &Map<String, Json>,
    ) -> Result<(Record, Map<String, Json>)> {
        let target = self.collection(collection, true)?;
        self.create_prepared(tx, principal, &target, body, None)
            .await
    }

    /// Does what must not be done inside of a transaction, for
    /// [`Engine::create_after`]: refuses what rules and fields refuse, and hashes
    /// a password, which is slow.
    pub async fn prepare_create(
        &self,
        principal: &Principal,
        collection: &str,
        body: &Map<String, Json>,
    ) -> Result<Prepared> {
        let target = self.collection(collection, true)?;
        // What is refused anyway takes no turn of the writer, and the password is
        // hashed before the transaction, which must not be slow.
        let parsed = self
            .checked_create(&mut Reader::Engine(self), principal, &target, body)
            .await?;
        if parsed.write.input("password").is_some() {
            let prepared = self
                .0
                .hooks
                .prepare(&target, principal, None, &parsed.write)
                .await
                .map_err(|e| e.or_message(FAILED))?;
            Ok(Prepared(prepared))
        } else {
            Ok(Prepared(Vec::new()))
        }
    }

    /// As [`Engine::create_in`], with what was prepared before the transaction.
    pub async fn create_after(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        collection: &str,
        body: &Map<String, Json>,
        prepared: Prepared,
    ) -> Result<(Record, Map<String, Json>)> {
        let target = self.collection(collection, true)?;
        self.create_prepared(tx, principal, &target, body, Some(prepared.0))
            .await
    }

    async fn create_prepared(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        target: &Arc<Collection>,
        body: &Map<String, Json>,
        prepared: Option<Vec<(&'static str, Value)>>,
    ) -> Result<(Record, Map<String, Json>)> {
        let hooks = &self.0.hooks;
        let parsed = self
            .checked_create(&mut Reader::Tx(tx), principal, target, body)
            .await?;
        let mut write = parsed.write;
        let prepared = match prepared {
            Some(prepared) => prepared,
            None if write.input("password").is_some() => hooks
                .prepare(target, principal, None, &write)
                .await
                .map_err(|e| e.or_message(FAILED))?,
            None => Vec::new(),
        };
        for (column, value) in prepared {
            write.set(column, value);
        }
        let scope = Scope {
            tx,
            collection: target,
            principal,
        };
        hooks
            .before_create(scope, &mut write)
            .await
            .map_err(|e| e.or_message(FAILED))?;
        insert(tx, target, &write)
            .await
            .map_err(|e| e.or_message(FAILED))?;
        let scope = Scope {
            tx,
            collection: target,
            principal,
        };
        hooks
            .after_create(scope, &mut write)
            .await
            .map_err(|e| e.or_message(FAILED))?;
        let record = self
            .load(&mut Reader::Tx(tx), target, write.id())
            .await?
            .ok_or_else(RecordError::not_found)?;
        let scope = Scope {
            tx,
            collection: target,
            principal,
        };
        hooks
            .written(scope, Action::Create, None, Some(&record))
            .await
            .map_err(|e| e.or_message(FAILED))?;
        self.bump(tx, target).await?;
        self.publish_after(tx, Action::Create, record.clone());
        Ok((record, write.take_answer()))
    }

    /// Rule first, then fields, as PocketBase does.
    pub(super) async fn checked_create(
        &self,
        reader: &mut Reader<'_>,
        principal: &Principal,
        target: &Arc<Collection>,
        body: &Map<String, Json>,
    ) -> Result<Parsed> {
        if target.read_only {
            return Err(super::view::read_only());
        }
        let parsed = parse_create(target, principal, body, self.0.clock.now(), &self.0.random);
        let by = By {
            principal,
            body: Some(body),
        };
        match self
            .allowed(reader, Access::Create, target, &parsed.row, by)
            .await?
        {
            None => return Err(RecordError::superusers_only()),
            Some(false) => return Err(RecordError::new(400, FAILED)),
            Some(true) => {}
        }
        self.checked(reader, principal, parsed)
            .await
            .map_err(|e| e.or_message(FAILED))
    }

    /// The parsed body, if nothing is wrong with it.
    pub(super) async fn checked(
        &self,
        reader: &mut Reader<'_>,
        principal: &Principal,
        mut parsed: Parsed,
    ) -> Result<Parsed> {
        for (field, target, id) in std::mem::take(&mut parsed.relations) {
            if !self.relation_exists(reader, target, &id, principal).await? {
                parsed.errors.push((field.to_owned(), missing_relation()));
            }
        }
        if parsed.errors.is_empty() {
            Ok(parsed)
        } else {
            Err(RecordError::fields(parsed.errors))
        }
    }
}

async fn insert(tx: &mut Tx, collection: &Collection, write: &Write) -> Result<()> {
    let values = write.values();
    if let Some(missing) = collection
        .from_hook
        .iter()
        .find(|column| !values.contains_key(*column))
    {
        // Records of this kind are made in a place of their own (keys, accounts).
        return Err(RecordError::new(400, "").because(format!(
            "no hook has set {missing} of a new record of {}",
            collection.name
        )));
    }
    let columns: Vec<String> = values.keys().map(|c| format!("\"{c}\"")).collect();
    let places: Vec<String> = (1..=values.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "insert into \"{}\" ({}) values ({})",
        collection.table,
        columns.join(", "),
        places.join(", ")
    );
    tx.execute(&sql, values.values().cloned().collect())
        .await
        .map_err(|e| refused_by_database(e, collection))?;
    Ok(())
}
