//! Changing a record.

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
use crate::write::{Parsed, Write, parse_update};

const FAILED: &str = "Failed to update record.";

impl Engine {
    /// Changes a record and answers it as the principal sees it.
    pub async fn update(
        &self,
        principal: &Principal,
        collection: &str,
        id: &str,
        body: &Map<String, Json>,
        shape: &Shape,
    ) -> Result<Json> {
        let target = self.collection(collection, true)?;
        let prepared = self.prepare_update(principal, collection, id, body).await?;
        let mut tx = self.0.db.begin().await?;
        let (record, answer) = self
            .update_prepared(&mut tx, principal, &target, id, body, Some(prepared.0))
            .await?;
        tx.commit().await?;
        self.shape_with(principal, record, answer, shape).await
    }

    /// Changes a record inside of a transaction that somebody else commits;
    /// returns it with what hooks add to the answer.
    pub async fn update_in(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        collection: &str,
        id: &str,
        body: &Map<String, Json>,
    ) -> Result<(Record, Map<String, Json>)> {
        let target = self.collection(collection, true)?;
        self.update_prepared(tx, principal, &target, id, body, None)
            .await
    }

    /// Does what must not be done inside of a transaction, for
    /// [`Engine::update_after`]: refuses what rules and fields refuse, and hashes
    /// a password, which is slow.
    pub async fn prepare_update(
        &self,
        principal: &Principal,
        collection: &str,
        id: &str,
        body: &Map<String, Json>,
    ) -> Result<Prepared> {
        let target = self.collection(collection, true)?;
        // As for a new record: refused, and hashed, before the transaction.
        let (old, parsed) = self
            .checked_update(&mut Reader::Engine(self), principal, &target, id, body)
            .await?;
        if parsed.write.input("password").is_some() {
            let prepared = self
                .0
                .hooks
                .prepare(&target, principal, Some(&old), &parsed.write)
                .await
                .map_err(|e| e.or_message(FAILED))?;
            Ok(Prepared(prepared))
        } else {
            Ok(Prepared(Vec::new()))
        }
    }

    /// As [`Engine::update_in`], with what was prepared before the transaction.
    pub async fn update_after(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        collection: &str,
        id: &str,
        body: &Map<String, Json>,
        prepared: Prepared,
    ) -> Result<(Record, Map<String, Json>)> {
        let target = self.collection(collection, true)?;
        self.update_prepared(tx, principal, &target, id, body, Some(prepared.0))
            .await
    }

    async fn update_prepared(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        target: &Arc<Collection>,
        id: &str,
        body: &Map<String, Json>,
        prepared: Option<Vec<(&'static str, Value)>>,
    ) -> Result<(Record, Map<String, Json>)> {
        let hooks = &self.0.hooks;
        let (old, parsed) = self
            .checked_update(&mut Reader::Tx(tx), principal, target, id, body)
            .await?;
        let mut write = parsed.write;
        let prepared = match prepared {
            Some(prepared) => prepared,
            None if write.input("password").is_some() => hooks
                .prepare(target, principal, Some(&old), &write)
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
            .before_update(scope, &old, &mut write)
            .await
            .map_err(|e| e.or_message(FAILED))?;
        store(tx, target, &write)
            .await
            .map_err(|e| e.or_message(FAILED))?;
        let scope = Scope {
            tx,
            collection: target,
            principal,
        };
        hooks
            .after_update(scope, &old, &mut write)
            .await
            .map_err(|e| e.or_message(FAILED))?;
        let record = self
            .load(&mut Reader::Tx(tx), target, id)
            .await?
            .ok_or_else(RecordError::not_found)?;
        let scope = Scope {
            tx,
            collection: target,
            principal,
        };
        hooks
            .written(scope, Action::Update, Some(&old), Some(&record))
            .await
            .map_err(|e| e.or_message(FAILED))?;
        self.bump(tx, target).await?;
        self.publish_after(tx, Action::Update, record.clone());
        Ok((record, write.take_answer()))
    }

    /// Null rule, then whether the record is there, then the rule, then fields.
    pub(super) async fn checked_update(
        &self,
        reader: &mut Reader<'_>,
        principal: &Principal,
        target: &Arc<Collection>,
        id: &str,
        body: &Map<String, Json>,
    ) -> Result<(Record, Parsed)> {
        if target.read_only {
            return Err(super::view::read_only());
        }
        if target.rules.update.is_none() && !principal.bypasses(target) {
            return Err(RecordError::superusers_only());
        }
        let old = self
            .load(reader, target, id)
            .await?
            .ok_or_else(RecordError::not_found)?;
        let by = By {
            principal,
            body: Some(body),
        };
        if self
            .allowed(reader, Access::Update, target, old.values(), by)
            .await?
            != Some(true)
        {
            return Err(RecordError::not_found());
        }
        let parsed = parse_update(target, principal, &old, body, self.0.clock.now());
        let parsed = self
            .checked(reader, principal, parsed)
            .await
            .map_err(|e| e.or_message(FAILED))?;
        Ok((old, parsed))
    }
}

async fn store(tx: &mut Tx, collection: &Collection, write: &Write) -> Result<()> {
    let mut sets = Vec::new();
    let mut params = Vec::new();
    for (column, value) in write.values() {
        params.push(value.clone());
        sets.push(format!("\"{column}\" = ${}", params.len()));
    }
    for (column, value) in write.deltas() {
        // Added by the database, so that no addition beside it is lost.
        params.push(value.clone());
        sets.push(format!("\"{column}\" = \"{column}\" + ${}", params.len()));
    }
    if sets.is_empty() {
        return Ok(());
    }
    params.push(write.id().into());
    let sql = format!(
        "update \"{}\" set {} where \"id\" = ${}",
        collection.table,
        sets.join(", "),
        params.len()
    );
    tx.execute(&sql, params)
        .await
        .map_err(|e| refused_by_database(e, collection))?;
    Ok(())
}
