//! A record as it was read, and as each caller sees it.

use std::sync::Arc;

use cf_db::{Row, Value};
use serde_json::{Map, Value as Json};

use crate::error::Result;
use crate::principal::{Level, Principal};
use crate::schema::{Collection, CollectionKind, FieldKind, Source};
use crate::value;

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Record {
    collection: Arc<Collection>,
    /// In the order of the collection's fields.
    values: Vec<Value>,
}

impl Record {
    pub(crate) fn new(collection: Arc<Collection>, values: Vec<Value>) -> Self {
        Self { collection, values }
    }

    /// The columns to select, in the order of the fields.
    pub(crate) fn columns(collection: &Collection, alias: &str) -> String {
        let columns: Vec<String> = collection
            .fields
            .iter()
            .filter_map(|f| f.sql(alias))
            .collect();
        columns.join(", ")
    }

    /// A row of [`Record::columns`].
    pub(crate) fn read(collection: &Arc<Collection>, row: &Row) -> Result<Self> {
        let mut at = 0;
        let mut values = Vec::with_capacity(collection.fields.len());
        for field in &collection.fields {
            values.push(match field.source {
                Source::Input => Value::Null,
                Source::Column(_) | Source::Computed(_) => {
                    at += 1;
                    row.at(at - 1)?
                }
            });
        }
        Ok(Self::new(Arc::clone(collection), values))
    }

    /// The collection it is of.
    pub fn collection(&self) -> &Arc<Collection> {
        &self.collection
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// A field's value as its column holds it (money in 10⁻⁹, booleans 0 and 1).
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.collection
            .position(field)
            .and_then(|at| self.values.get(at))
    }

    /// A text field; empty if it is none.
    pub fn text(&self, field: &str) -> &str {
        match self.get(field) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A whole number, amount or boolean; 0 if it is none.
    pub fn int(&self, field: &str) -> i64 {
        match self.get(field) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    /// With everything a superuser sees.
    pub fn to_json(&self) -> Map<String, Json> {
        self.shown(Level::Superuser, true)
    }

    /// As `principal` sees it: fields above the level are left out, and so is
    /// an address that its owner does not show.
    pub fn to_json_for(&self, principal: &Principal) -> Map<String, Json> {
        let level = principal.level();
        let manages = principal.bypasses(&self.collection)
            || (level == Level::TenantAdmin
                && matches!(principal, Principal::User(user)
                    if !user.tenant_id.is_empty() && user.tenant_id == self.text("tenant_id")));
        let with_email = self.collection.kind != CollectionKind::Auth
            || manages
            || self.int("emailVisibility") != 0
            || principal.is(&self.collection, self.id());
        self.shown(level, with_email)
    }

    fn shown(&self, level: Level, with_email: bool) -> Map<String, Json> {
        let mut map = Map::new();
        map.insert("collectionId".to_owned(), self.collection.id.into());
        map.insert("collectionName".to_owned(), self.collection.name.into());
        for (field, value) in self.collection.fields.iter().zip(&self.values) {
            let hidden = level < field.visible
                || field.visible == Level::Nobody
                || matches!(field.source, Source::Input)
                || (matches!(field.kind, FieldKind::Email) && !with_email);
            if !hidden {
                map.insert(field.name.to_owned(), value::show(field, value));
            }
        }
        map
    }
}
