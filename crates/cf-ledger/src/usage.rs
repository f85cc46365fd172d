//! Sums of usage for dashboards and the Billing API, read from the rollups: the
//! smallest table that knows what is asked, in whole hours.

use std::collections::BTreeMap;

use cf_base::{Nanos, Timestamp};
use cf_db::{Db, Row, Value};

use crate::zone::{Zone, hour, hour_after, hour_text};
use crate::{Ledger, Totals};

/// What a summary has one row for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SummaryBy {
    /// A day of the filter's time zone.
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
    /// From the hour of this time on, as a record date; empty for all.
    pub from: String,
    /// Before this time, as a record date, up to the end of its hour; empty for all.
    pub until: String,
    /// Of this user; empty for all.
    pub user_id: String,
    /// Of this tenant; empty for all.
    pub tenant_id: String,
    /// Of this model; empty for all.
    pub model: String,
    /// Whose days are meant.
    pub zone: Zone,
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
/// Hours that days of a time zone are made of, at most; times a few currencies.
const HOURS: usize = SUMMARY_ROWS * 24 * 4;

const USER_DAYS: &str = "usage_user_days";
const MODEL_DAYS: &str = "usage_model_days";
const TENANT_HOURS: &str = "usage_tenant_hours";
const HOURS_TABLE: &str = "usage_hours";

/// The rows of one or two tables that a filter means.
struct Source {
    /// A `select` that gives the columns asked for, from each table.
    parts: Vec<(&'static str, String)>,
    params: Vec<Value>,
}

impl SummaryFilter {
    /// The smallest table that has both the columns of the filter and `column`, and
    /// the smallest one by the hour.
    fn tables(&self, column: &str) -> (&'static str, &'static str) {
        let (user, model) = (
            !self.user_id.is_empty() || column == "user_id",
            !self.model.is_empty() || matches!(column, "model" | "provider"),
        );
        match (user, model) {
            // A tenant uses fewer models on a day than the day has hours.
            (false, false) => (MODEL_DAYS, TENANT_HOURS),
            // One user's hours are few, and an index finds them.
            _ if !self.user_id.is_empty() => (HOURS_TABLE, HOURS_TABLE),
            (true, false) => (USER_DAYS, HOURS_TABLE),
            (false, true) => (MODEL_DAYS, HOURS_TABLE),
            (true, true) => (HOURS_TABLE, HOURS_TABLE),
        }
    }

    /// The first table, for the days that lie whole within the filter, and the
    /// second for the hours before and after them.
    fn source(&self, (table, hours): (&'static str, &'static str)) -> Source {
        let from = Timestamp::parse(&self.from).map(hour);
        let until = Timestamp::parse(&self.until).map(hour_after);
        let mut source = Source {
            parts: Vec::new(),
            params: Vec::new(),
        };
        if !matches!(table, USER_DAYS | MODEL_DAYS) {
            self.part(
                &mut source,
                table,
                "hour",
                from.map(hour_text),
                until.map(hour_text),
            );
            return source;
        }
        let first = from.map(|t| day(t, DAY_MS - 1));
        let end = until.map(|t| day(t, 0));
        if let (Some(first), Some(end)) = (first, end)
            && first >= end
        {
            let (from, until) = (from.map(hour_text), until.map(hour_text));
            self.part(&mut source, hours, "hour", from, until);
            return source;
        }
        let day_text = |t: Timestamp| t.to_day();
        self.part(
            &mut source,
            table,
            "day",
            first.map(day_text),
            end.map(day_text),
        );
        if let (Some(from), Some(first)) = (from, first)
            && from < first
        {
            let (from, first) = (Some(hour_text(from)), Some(hour_text(first)));
            self.part(&mut source, hours, "hour", from, first);
        }
        if let (Some(end), Some(until)) = (end, until)
            && end < until
        {
            let (end, until) = (Some(hour_text(end)), Some(hour_text(until)));
            self.part(&mut source, hours, "hour", end, until);
        }
        source
    }

    fn part(
        &self,
        source: &mut Source,
        table: &'static str,
        time: &str,
        from: Option<String>,
        until: Option<String>,
    ) {
        let mut conditions = String::from("1 = 1");
        for (condition, value) in [
            (format!("{time} >= "), from.as_ref()),
            (format!("{time} < "), until.as_ref()),
            ("user_id = ".into(), Some(&self.user_id)),
            ("tenant_id = ".into(), Some(&self.tenant_id)),
            ("model = ".into(), Some(&self.model)),
        ] {
            let Some(value) = value.filter(|v| !v.is_empty()) else {
                continue;
            };
            source.params.push(value.into());
            conditions.push_str(&format!(" and {condition}${}", source.params.len()));
        }
        source.parts.push((table, conditions));
    }
}

const DAY_MS: i64 = 86_400_000;

/// The day (UTC) of a moment, `more` ms later.
fn day(at: Timestamp, more: i64) -> Timestamp {
    let at = at.as_millis() + more;
    Timestamp::from_millis(at - at.rem_euclid(DAY_MS))
}

const SUMS: &str = "cast(sum(requests) as bigint) as requests, \
    cast(sum(prompt_tokens) as bigint) as prompt_tokens, \
    cast(sum(completion_tokens) as bigint) as completion_tokens, cast(sum(cost) as bigint) as cost";

impl Source {
    /// Sums by `key` and currency of each table, put together.
    fn sql(&self, key: impl Fn(&'static str) -> &'static str) -> String {
        let parts: Vec<String> = (self.parts.iter())
            .map(|(table, conditions)| {
                let key = key(table);
                format!(
                    "select {key} as k, currency as c, {SUMS} from {table} where {conditions} \
                     group by {key}, currency"
                )
            })
            .collect();
        format!(
            "select k, k as label, c, {SUMS} from ({}) as parts group by k, c \
             having sum(requests) <> 0",
            parts.join(" union all ")
        )
    }
}

impl Ledger {
    /// Sums calls, at most 1000 rows: the latest days, or what cost most.
    pub async fn summary(
        &self,
        by: SummaryBy,
        filter: &SummaryFilter,
    ) -> cf_base::Result<Vec<SummaryRow>> {
        let (column, people) = match by {
            SummaryBy::Day => return self.by_day(filter).await,
            SummaryBy::User => ("user_id", Some(("users", "email"))),
            SummaryBy::Tenant => ("tenant_id", Some(("tenants", "name"))),
            SummaryBy::Model => ("model", None),
            SummaryBy::Provider => ("provider", None),
        };
        let source = filter.source(filter.tables(column));
        let sums = format!(
            "{} order by cost desc, k limit {SUMMARY_ROWS}",
            source.sql(|_| column)
        );
        let sql = match people {
            None => sums,
            Some((table, name)) => format!(
                "select k, coalesce(o.{name}, k) as label, c, requests, prompt_tokens, \
                 completion_tokens, cost from ({sums}) as s left join {table} o on o.id = k \
                 order by cost desc, k"
            ),
        };
        let rows = self.db().query(&sql, source.params).await?;
        rows.iter().map(read).collect()
    }

    /// The latest days of the filter's time zone.
    async fn by_day(&self, filter: &SummaryFilter) -> cf_base::Result<Vec<SummaryRow>> {
        let utc = filter.zone.is_utc();
        let (table, hours) = filter.tables("");
        // Other days than those of UTC are made of hours.
        let source = filter.source((if utc { table } else { hours }, hours));
        let time = |table| match table {
            USER_DAYS | MODEL_DAYS => "day",
            _ if utc => "substr(hour, 1, 10)",
            _ => "hour",
        };
        let rows = if utc { SUMMARY_ROWS } else { HOURS };
        let sql = format!("{} order by k desc limit {rows}", source.sql(time));
        let mut days = BTreeMap::new();
        for row in self.db().query(&sql, source.params).await? {
            let row = read(&row)?;
            let day = match utc {
                true => Some(row.key.clone()),
                false => filter.zone.day_of_hour(&row.key),
            };
            if let Some(day) = day {
                add(&mut days, day, row);
            }
        }
        Ok(days.into_values().rev().take(SUMMARY_ROWS).collect())
    }

    /// Sums all calls, one row for each currency: the largest sum first.
    pub async fn totals(&self, filter: &SummaryFilter) -> cf_base::Result<Vec<Totals>> {
        let source = filter.source(filter.tables(""));
        let sql = format!("{} order by cost desc, c", source.sql(|_| "currency"));
        let rows = self.db().query(&sql, source.params).await?;
        rows.iter()
            .map(|row| {
                let row = read(row)?;
                Ok(Totals {
                    currency: row.currency,
                    requests: row.requests,
                    prompt_tokens: row.prompt_tokens,
                    completion_tokens: row.completion_tokens,
                    cost: row.cost,
                })
            })
            .collect()
    }
}

/// What calls with a provider key used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUsage {
    /// The key's id.
    pub provider_key_id: String,
    /// Calls.
    pub requests: i64,
    /// Calls that the provider failed.
    pub failed: i64,
    /// Tokens that went in.
    pub prompt_tokens: i64,
    /// Tokens that came out.
    pub completion_tokens: i64,
    /// In US dollars.
    pub provider_cost: Nanos,
}

/// Provider keys that are summed at most: those that cost most.
const KEYS: usize = 1000;

/// Sums calls by provider key, of the days (UTC) from this one on.
pub async fn usage_by_provider_key(db: &Db, from: Timestamp) -> cf_base::Result<Vec<KeyUsage>> {
    let sql = format!(
        "select provider_key_id, cast(sum(requests) as bigint), cast(sum(failed) as bigint), \
         cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint), \
         cast(sum(provider_cost) as bigint) as cost from usage_provider_key_days where day >= $1 \
         group by provider_key_id order by cost desc, provider_key_id limit {KEYS}"
    );
    let rows = db.query(&sql, vec![from.to_day().into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(KeyUsage {
                provider_key_id: row.at(0)?,
                requests: row.at(1)?,
                failed: row.at(2)?,
                prompt_tokens: row.at(3)?,
                completion_tokens: row.at(4)?,
                provider_cost: row.at(5)?,
            })
        })
        .collect()
}

fn add(days: &mut BTreeMap<(String, String), SummaryRow>, day: String, row: SummaryRow) {
    let sum = days
        .entry((day.clone(), row.currency.clone()))
        .or_insert_with(|| SummaryRow {
            key: day.clone(),
            label: day,
            requests: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            cost: Nanos::ZERO,
            currency: row.currency.clone(),
        });
    sum.requests += row.requests;
    sum.prompt_tokens += row.prompt_tokens;
    sum.completion_tokens += row.completion_tokens;
    sum.cost += row.cost;
}

fn read(row: &Row) -> cf_base::Result<SummaryRow> {
    Ok(SummaryRow {
        key: row.at(0)?,
        label: row.at(1)?,
        currency: row.at(2)?,
        requests: row.at(3)?,
        prompt_tokens: row.at(4)?,
        completion_tokens: row.at(5)?,
        cost: row.at(6)?,
    })
}
