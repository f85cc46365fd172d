//! Sums over all calls of a filter, whatever they are grouped by elsewhere.

use cf_base::Nanos;
use cf_db::Value;

use crate::{Ledger, SummaryFilter};

/// What all calls in one currency come to.
#[derive(Clone, Debug)]
pub struct Totals {
    /// The currency.
    pub currency: String,
    /// Calls.
    pub requests: i64,
    /// Tokens in.
    pub prompt_tokens: i64,
    /// Tokens out.
    pub completion_tokens: i64,
    /// What they cost.
    pub cost: Nanos,
}

impl Ledger {
    /// Sums all calls, one row for each currency: the largest sum first.
    pub async fn totals(&self, filter: &SummaryFilter) -> cf_base::Result<Vec<Totals>> {
        let mut conditions = String::new();
        let mut params: Vec<Value> = Vec::new();
        for (condition, value) in [
            ("created >= ", &filter.from),
            ("created < ", &filter.until),
            ("user_id = ", &filter.user_id),
            ("tenant_id = ", &filter.tenant_id),
            ("model = ", &filter.model),
        ] {
            if !value.is_empty() {
                params.push(value.into());
                conditions.push_str(&format!(" and {condition}${}", params.len()));
            }
        }
        let sql = format!(
            "select currency, count(*), cast(sum(prompt_tokens) as bigint), \
             cast(sum(completion_tokens) as bigint), cast(sum(cost) as bigint) \
             from usage_logs where 1 = 1{conditions} group by currency order by 5 desc, 1"
        );
        let rows = self.db().query(&sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(Totals {
                    currency: row.at(0)?,
                    requests: row.at(1)?,
                    prompt_tokens: row.at(2)?,
                    completion_tokens: row.at(3)?,
                    cost: row.at(4)?,
                })
            })
            .collect()
    }
}
