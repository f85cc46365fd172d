//! Sums over `usage_logs` for dashboards and the Billing API.

use cf_base::Nanos;
use cf_db::Value;

use crate::Ledger;

/// What a summary has one row for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SummaryBy {
    /// A day (UTC).
    Day,
    /// A user.
    User,
    /// A tenant.
    Tenant,
    /// A model as asked for.
    Model,
    /// A provider.
    Provider,
}

/// Which calls are summed.
#[derive(Clone, Debug, Default)]
pub struct SummaryFilter {
    /// From this time on, as a record date; empty for all.
    pub from: String,
    /// Before this time, as a record date; empty for all.
    pub until: String,
    /// Of this user; empty for all.
    pub user_id: String,
    /// Of this tenant; empty for all.
    pub tenant_id: String,
    /// Of this model; empty for all.
    pub model: String,
}

/// A row of a summary; one per key and currency.
#[derive(Clone, Debug)]
pub struct SummaryRow {
    /// The day, id or name.
    pub key: String,
    /// A name for people, where the key is an id.
    pub label: String,
    /// Calls.
    pub requests: i64,
    /// Tokens in.
    pub prompt_tokens: i64,
    /// Tokens out.
    pub completion_tokens: i64,
    /// What they cost.
    pub cost: Nanos,
    /// In this currency.
    pub currency: String,
}

/// Rows of a summary at most.
pub const SUMMARY_ROWS: usize = 1000;

impl Ledger {
    /// Sums calls, at most 1000 rows: the latest days, or what cost most.
    pub async fn summary(
        &self,
        by: SummaryBy,
        filter: &SummaryFilter,
    ) -> cf_base::Result<Vec<SummaryRow>> {
        let (key, label, join) = match by {
            SummaryBy::Day => ("substr(u.created, 1, 10)", "substr(u.created, 1, 10)", ""),
            SummaryBy::User => (
                "u.user_id",
                "coalesce(max(o.email), u.user_id)",
                "left join users o on o.id = u.user_id",
            ),
            SummaryBy::Tenant => (
                "u.tenant_id",
                "coalesce(max(o.name), u.tenant_id)",
                "left join tenants o on o.id = u.tenant_id",
            ),
            SummaryBy::Model => ("u.model", "u.model", ""),
            SummaryBy::Provider => ("u.provider", "u.provider", ""),
        };
        let order = match by {
            SummaryBy::Day => "1 desc",
            _ => "6 desc",
        };
        let mut conditions = String::new();
        let mut params: Vec<Value> = Vec::new();
        for (condition, value) in [
            ("u.created >= ", &filter.from),
            ("u.created < ", &filter.until),
            ("u.user_id = ", &filter.user_id),
            ("u.tenant_id = ", &filter.tenant_id),
            ("u.model = ", &filter.model),
        ] {
            if !value.is_empty() {
                params.push(value.into());
                conditions.push_str(&format!(" and {condition}${}", params.len()));
            }
        }
        let sql = format!(
            "select {key}, {label}, count(*), cast(sum(u.prompt_tokens) as bigint), \
             cast(sum(u.completion_tokens) as bigint), cast(sum(u.cost) as bigint), u.currency \
             from usage_logs u {join} where 1 = 1{conditions} group by {key}, u.currency \
             order by {order} limit {SUMMARY_ROWS}"
        );
        let rows = self.db().query(&sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(SummaryRow {
                    key: row.at(0)?,
                    label: row.at(1)?,
                    requests: row.at(2)?,
                    prompt_tokens: row.at(3)?,
                    completion_tokens: row.at(4)?,
                    cost: row.at(5)?,
                    currency: row.at(6)?,
                })
            })
            .collect()
    }
}
