//! Deleting a record, and what depends on it.

use std::sync::Arc;

use cf_db::Tx;

use crate::engine::{By, Engine, Reader};
use crate::error::{RecordError, Result};
use crate::hooks::{HookFuture, Scope};
use crate::principal::Principal;
use crate::record::Record;
use crate::rules::Access;
use crate::schema::{Action, Collection, OnDelete, Source};

/// Dependents read at a time.
const PAGE: usize = 200;

const IN_USE: &str = "Failed to delete record. Make sure that the record is not part of a \
                      required relation reference.";

impl Engine {
    /// Deletes a record and what goes with it.
    pub async fn delete(&self, principal: &Principal, collection: &str, id: &str) -> Result<()> {
        let target = self.collection(collection, false)?;
        // What is refused anyway takes no turn of the writer.
        self.checked_delete(&mut Reader::Engine(self), principal, &target, id)
            .await?;
        let mut tx = self.0.db.begin().await?;
        self.delete_in(&mut tx, principal, collection, id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Deletes a record inside of a transaction that somebody else commits.
    pub async fn delete_in(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        collection: &str,
        id: &str,
    ) -> Result<()> {
        let target = self.collection(collection, false)?;
        let old = self
            .checked_delete(&mut Reader::Tx(tx), principal, &target, id)
            .await?;
        self.remove(tx, principal, old).await
    }

    /// Null rule, then whether the record is there, then the rule.
    pub(super) async fn checked_delete(
        &self,
        reader: &mut Reader<'_>,
        principal: &Principal,
        target: &Arc<Collection>,
        id: &str,
    ) -> Result<Record> {
        if target.read_only {
            return Err(super::view::read_only());
        }
        if target.rules.delete.is_none() && !principal.bypasses(target) {
            if principal.is(target, id) {
                return Err(RecordError::new(
                    403,
                    "You cannot delete your own account. Ask an administrator to delete it.",
                ));
            }
            return Err(RecordError::superusers_only());
        }
        let old = self
            .load(reader, target, id)
            .await?
            .ok_or_else(RecordError::not_found)?;
        let allowed = self
            .allowed(
                reader,
                Access::Delete,
                target,
                old.values(),
                By {
                    principal,
                    body: None,
                },
            )
            .await?;
        if allowed != Some(true) {
            return Err(RecordError::not_found());
        }
        Ok(old)
    }

    /// Boxed, as it calls itself for what depends on the record.
    fn remove<'a>(
        &'a self,
        tx: &'a mut Tx,
        principal: &'a Principal,
        old: Record,
    ) -> HookFuture<'a> {
        Box::pin(async move {
            let target = Arc::clone(old.collection());
            let hooks = &self.0.hooks;
            let pointing = self.0.schema.pointing_at(target.name);
            for (from, field, _) in pointing.iter().filter(|p| p.2 == OnDelete::Restrict) {
                if !dependents(tx, from, field, old.id(), 1).await?.is_empty() {
                    return Err(RecordError::new(400, IN_USE));
                }
            }
            let scope = Scope {
                tx,
                collection: &target,
                principal,
            };
            hooks
                .before_delete(scope, &old)
                .await
                .map_err(|e| e.or_message("Failed to delete record."))?;
            for (from, field, on_delete) in pointing {
                match on_delete {
                    OnDelete::Restrict | OnDelete::Keep => {}
                    OnDelete::Cascade => {
                        self.remove_dependents(tx, principal, from, field, old.id())
                            .await?;
                    }
                    OnDelete::Clear => {
                        self.clear_dependents(tx, from, field, old.id()).await?;
                    }
                }
            }
            tx.execute(
                &format!("delete from \"{}\" where \"id\" = $1", target.table),
                vec![old.id().into()],
            )
            .await?;
            let scope = Scope {
                tx,
                collection: &target,
                principal,
            };
            hooks
                .after_delete(scope, &old)
                .await
                .map_err(|e| e.or_message("Failed to delete record."))?;
            let scope = Scope {
                tx,
                collection: &target,
                principal,
            };
            hooks
                .written(scope, Action::Delete, Some(&old), None)
                .await
                .map_err(|e| e.or_message("Failed to delete record."))?;
            self.bump(tx, &target).await?;
            self.publish_after(tx, Action::Delete, old);
            Ok(())
        })
    }

    async fn remove_dependents(
        &self,
        tx: &mut Tx,
        principal: &Principal,
        from: &Arc<Collection>,
        field: &str,
        id: &str,
    ) -> Result<()> {
        loop {
            let ids = dependents(tx, from, field, id, PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            for id in ids {
                if let Some(record) = self.load(&mut Reader::Tx(tx), from, &id).await? {
                    self.remove(tx, principal, record).await?;
                }
            }
        }
    }

    async fn clear_dependents(
        &self,
        tx: &mut Tx,
        from: &Arc<Collection>,
        field: &str,
        id: &str,
    ) -> Result<()> {
        let column = column(from, field);
        loop {
            let ids = dependents(tx, from, field, id, PAGE).await?;
            if ids.is_empty() {
                return self.bump(tx, from).await;
            }
            for id in ids {
                tx.execute(
                    &format!(
                        "update \"{}\" set \"{column}\" = '' where \"id\" = $1",
                        from.table
                    ),
                    vec![id.as_str().into()],
                )
                .await?;
                if let Some(record) = self.load(&mut Reader::Tx(tx), from, &id).await? {
                    self.publish_after(tx, Action::Update, record);
                }
            }
        }
    }
}

fn column(collection: &Collection, field: &str) -> &'static str {
    match collection.field(field).map(|f| f.source) {
        Some(Source::Column(column)) => column,
        // Relations live in columns; a test compares them with the schema.
        _ => "id",
    }
}

async fn dependents(
    tx: &mut Tx,
    from: &Collection,
    field: &str,
    id: &str,
    limit: usize,
) -> Result<Vec<String>> {
    let rows = tx
        .query(
            &format!(
                "select \"id\" from \"{}\" where \"{}\" = $1 order by \"id\" limit {limit}",
                from.table,
                column(from, field)
            ),
            vec![id.into()],
        )
        .await?;
    rows.iter().map(|row| Ok(row.at(0)?)).collect()
}
