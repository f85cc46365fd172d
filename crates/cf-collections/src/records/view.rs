//! Looking at one record, and giving an answer its shape.

use serde_json::{Map, Value as Json};

use super::{expand, pick};
use crate::engine::Engine;
use crate::error::{RecordError, Result};
use crate::filter::{Cond, Root};
use crate::principal::Principal;
use crate::record::Record;
use crate::rules::Access;

/// How an answer is wanted.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Relations to bring along, `a,b.c`.
    pub expand: String,
    /// Fields to keep, `id,expand.a.name`; empty keeps all.
    pub fields: String,
}

impl Shape {
    /// Reads the query's names and values; the others are ignored.
    pub fn from_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut shape = Self::default();
        for (name, value) in pairs {
            match name {
                "expand" => value.clone_into(&mut shape.expand),
                "fields" => value.clone_into(&mut shape.fields),
                _ => {}
            }
        }
        shape
    }
}

/// Books and logs are written by the program alone.
pub(super) fn read_only() -> RecordError {
    RecordError::new(
        403,
        "Records of this collection are written by the program itself.",
    )
}

impl Engine {
    /// One record by its id.
    pub async fn view(
        &self,
        principal: &Principal,
        collection: &str,
        id: &str,
        shape: &Shape,
    ) -> Result<Json> {
        let target = self.collection(collection, false)?;
        let mut statement = self.statement();
        let condition = self
            .0
            .rules
            .condition(
                Access::View,
                &target,
                &Root::Row("t0"),
                &self.context(principal),
                &mut statement,
            )?
            .ok_or_else(RecordError::superusers_only)?;
        if condition == Cond::False || cf_base::Id::parse(id).is_err() {
            return Err(RecordError::not_found());
        }
        let id = statement.text(id);
        let condition = Cond::Sql(format!("t0.\"id\" = {id}")).and(condition);
        let (sql, params) = statement.finish(&format!(
            "select {} from \"{}\" t0{}",
            Record::columns(&target, "t0"),
            target.table,
            condition.where_clause()
        ));
        let row = self
            .read(&sql, params)
            .await?
            .into_iter()
            .next()
            .ok_or_else(RecordError::not_found)?;
        let record = Record::read(&target, &row)?;
        self.shape(principal, record, shape).await
    }

    /// A record in hand, as the principal sees it, with what is expanded.
    pub async fn shape(
        &self,
        principal: &Principal,
        record: Record,
        shape: &Shape,
    ) -> Result<Json> {
        self.shape_with(principal, record, Map::new(), shape).await
    }

    /// The same with fields that hooks add to the answer.
    pub async fn shape_with(
        &self,
        principal: &Principal,
        record: Record,
        answer: Map<String, Json>,
        shape: &Shape,
    ) -> Result<Json> {
        let picked = pick::parse(&shape.fields)?;
        let mut shown = self.show(principal, &[record], &shape.expand).await?;
        let mut map = shown.pop().unwrap_or_default();
        map.extend(answer);
        Ok(pick::apply(Json::Object(map), picked.as_ref()))
    }

    /// Records as the principal sees them, with what is expanded.
    pub(super) async fn show(
        &self,
        principal: &Principal,
        records: &[Record],
        expand: &str,
    ) -> Result<Vec<Map<String, Json>>> {
        let tree = expand::parse(expand);
        expand::show(self, principal, records, &tree).await
    }
}
