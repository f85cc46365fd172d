//! Listing records.

use serde_json::{Value as Json, json};

use super::{pick, sort};
use crate::engine::Engine;
use crate::error::{RecordError, Result};
use crate::filter::{self, Cond, FilterError, Root};
use crate::principal::{Level, Principal};
use crate::record::Record;
use crate::rules::Access;

/// Records on a page if nothing is said, and at most.
const PER_PAGE: i64 = 30;
const PER_PAGE_MAX: i64 = 1_000;

/// What a list is asked for.
#[derive(Clone, Debug)]
pub struct ListParams {
    /// From 1.
    pub page: i64,
    /// Records on a page.
    pub per_page: i64,
    /// Keys of the order.
    pub sort: String,
    /// Which records.
    pub filter: String,
    /// Fields to keep.
    pub fields: String,
    /// Relations to bring along.
    pub expand: String,
    /// Whether to leave out the count.
    pub skip_total: bool,
}

impl Default for ListParams {
    fn default() -> Self {
        Self {
            page: 1,
            per_page: PER_PAGE,
            sort: String::new(),
            filter: String::new(),
            fields: String::new(),
            expand: String::new(),
            skip_total: false,
        }
    }
}

impl ListParams {
    /// Reads the query's names and values, in PocketBase's spelling; what is
    /// unknown is ignored, what is no number is refused.
    pub fn from_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut params = Self::default();
        let number = |text: &str, blank: i64| {
            if text.is_empty() {
                return Ok(blank);
            }
            text.parse::<i64>().map_err(|_| RecordError::bad_request())
        };
        for (name, value) in pairs {
            match name {
                "page" => params.page = number(value, 1)?,
                "perPage" => params.per_page = number(value, PER_PAGE)?,
                "sort" => value.clone_into(&mut params.sort),
                "filter" => value.clone_into(&mut params.filter),
                "fields" => value.clone_into(&mut params.fields),
                "expand" => value.clone_into(&mut params.expand),
                "skipTotal" => {
                    params.skip_total = match value {
                        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                        _ => return Err(RecordError::bad_request()),
                    }
                }
                _ => {}
            }
        }
        Ok(params)
    }
}

impl Engine {
    /// A page of the records that the principal may list.
    pub async fn list(
        &self,
        principal: &Principal,
        collection: &str,
        params: &ListParams,
    ) -> Result<Json> {
        let target = self.collection(collection, false)?;
        let picked = pick::parse(&params.fields)?;
        let context = self.context(principal);
        let mut statement = self.statement();
        let root = Root::Row("t0");
        let rule = self
            .0
            .rules
            .condition(Access::List, &target, &root, &context, &mut statement)?
            .ok_or_else(RecordError::superusers_only)?;
        refuse_request_names(principal, &[&params.filter, &params.sort])?;
        let wanted = match filter::parse(&params.filter)? {
            None => Cond::True,
            Some(expr) => filter::condition(&expr, &target, &root, &context, &mut statement)?,
        };
        let condition = rule.and(wanted);
        let order = sort::order_by(&target, &params.sort, &context, &mut statement)?;

        let page = params.page.max(1);
        let per_page = match params.per_page {
            n if n <= 0 => PER_PAGE,
            n => n.min(PER_PAGE_MAX),
        };
        let records = if condition == Cond::False {
            Vec::new()
        } else {
            let (limit, offset) = (
                statement.int(per_page),
                statement.int((page - 1).saturating_mul(per_page)),
            );
            let params = statement.params.clone();
            let mut select = self.statement();
            select.params = params;
            let (sql, params) = select.finish(&format!(
                "select {} from \"{}\" t0{}{order} limit {limit} offset {offset}",
                Record::columns(&target, "t0"),
                target.table,
                condition.where_clause()
            ));
            self.read(&sql, params)
                .await?
                .iter()
                .map(|row| Record::read(&target, row))
                .collect::<Result<Vec<_>>>()?
        };
        let total = if params.skip_total {
            -1
        } else if condition == Cond::False {
            0
        } else {
            let (sql, params) = statement.finish(&format!(
                "select count(*) from \"{}\" t0{}",
                target.table,
                condition.where_clause()
            ));
            self.read(&sql, params)
                .await?
                .into_iter()
                .next()
                .map_or(Ok(0_i64), |row| row.at(0))?
        };
        let items: Vec<Json> = self
            .show(principal, &records, &params.expand)
            .await?
            .into_iter()
            .map(|map| pick::apply(Json::Object(map), picked.as_ref()))
            .collect();
        Ok(json!({
            "items": items,
            "page": page,
            "perPage": per_page,
            "totalItems": total,
            "totalPages": if total < 0 { -1 } else { (total + per_page - 1) / per_page },
        }))
    }
}

/// PocketBase looks at the text before anything else; so do we.
pub(crate) fn refuse_request_names(
    principal: &Principal,
    texts: &[&str],
) -> Result<(), FilterError> {
    let names = |text: &&str| text.contains("@request.") || text.contains("@collection.");
    if principal.level() < Level::Admin && texts.iter().any(names) {
        return Err(FilterError::SuperusersOnly);
    }
    Ok(())
}
