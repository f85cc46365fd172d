//! Bringing related records along: one query for each relation, however many
//! records point over it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cf_db::Value;
use serde_json::{Map, Value as Json};

use crate::engine::Engine;
use crate::error::Result;
use crate::filter::{Cond, Root};
use crate::hooks::HookFuture;
use crate::principal::Principal;
use crate::record::Record;
use crate::rules::Access;
use crate::schema::{Collection, FieldKind};

/// Deepest nesting.
const MAX_DEPTH: usize = 6;
/// Most paths read of one `expand`.
const MAX_PATHS: usize = 20;
/// Ids asked for in one statement.
const CHUNK: usize = 500;

/// Relations to follow, and those to follow from there.
#[derive(Default)]
pub(super) struct Tree(BTreeMap<String, Tree>);

/// Reads `a,b.c`; what is unknown is ignored later.
pub(super) fn parse(text: &str) -> Tree {
    let mut tree = Tree::default();
    for path in text.split(',').take(MAX_PATHS) {
        let mut place = &mut tree;
        for part in path.trim().split('.').take(MAX_DEPTH) {
            if part.is_empty() {
                break;
            }
            place = place.0.entry(part.to_owned()).or_default();
        }
    }
    tree
}

/// The records as the principal sees them. Boxed, as it calls itself.
pub(super) fn show<'a>(
    engine: &'a Engine,
    principal: &'a Principal,
    records: &'a [Record],
    tree: &'a Tree,
) -> HookFuture<'a, Vec<Map<String, Json>>> {
    Box::pin(async move {
        let mut shown: Vec<Map<String, Json>> = records
            .iter()
            .map(|record| record.to_json_for(principal))
            .collect();
        let Some(first) = records.first() else {
            return Ok(shown);
        };
        let collection = Arc::clone(first.collection());
        let mut expansions: Vec<Map<String, Json>> = vec![Map::new(); records.len()];
        let mut known = false;
        for (name, below) in &tree.0 {
            let Some(field) = collection.field(name) else {
                continue;
            };
            let FieldKind::Relation { collection: to, .. } = field.kind else {
                continue;
            };
            if principal.level() < field.visible {
                continue;
            }
            known = true;
            let to = engine.collection(to, false)?;
            let mut ids: Vec<&str> = records.iter().map(|r| r.text(name)).collect();
            ids.sort_unstable();
            ids.dedup();
            ids.retain(|id| !id.is_empty());
            let related = load(engine, principal, &to, &ids).await?;
            let below = show(engine, principal, &related, below).await?;
            let by_id: HashMap<&str, &Map<String, Json>> =
                related.iter().map(Record::id).zip(&below).collect();
            for (record, expansion) in records.iter().zip(&mut expansions) {
                if let Some(found) = by_id.get(record.text(name)) {
                    expansion.insert(name.clone(), Json::Object((*found).clone()));
                }
            }
        }
        if known {
            for (record, expansion) in shown.iter_mut().zip(expansions) {
                record.insert("expand".to_owned(), Json::Object(expansion));
            }
        }
        Ok(shown)
    })
}

/// Those of the ids that the principal may view.
async fn load(
    engine: &Engine,
    principal: &Principal,
    collection: &Arc<Collection>,
    ids: &[&str],
) -> Result<Vec<Record>> {
    let mut records = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let mut statement = engine.statement();
        let condition = engine.0.rules.condition(
            Access::View,
            collection,
            &Root::Row("t0"),
            &engine.context(principal),
            &mut statement,
        )?;
        let Some(condition) = condition.filter(|c| *c != Cond::False) else {
            return Ok(records);
        };
        let places: Vec<String> = chunk
            .iter()
            .map(|id| statement.text(Value::from(*id)))
            .collect();
        let condition = Cond::Sql(format!("t0.\"id\" in ({})", places.join(", "))).and(condition);
        let (sql, params) = statement.finish(&format!(
            "select {} from \"{}\" t0{}",
            Record::columns(collection, "t0"),
            collection.table,
            condition.where_clause()
        ));
        for row in engine.read(&sql, params).await? {
            records.push(Record::read(collection, &row)?);
        }
    }
    Ok(records)
}
