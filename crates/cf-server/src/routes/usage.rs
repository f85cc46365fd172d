//! What was used: rows and sums, each caller seeing what is theirs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use cf_base::{Currency, Error, Id, Kind, Role, Timestamp};
use cf_collections::{ListParams, Principal};
use cf_ledger::{SUMMARY_ROWS, SummaryBy, SummaryFilter, Zone};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json_;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::error::BillingError;
use crate::extract::Params;
use crate::manager::Manager;
use crate::openapi::ErrorAnswer;

/// Narrows usage down; all may be left out. An unknown name is refused: a
/// filter that was misspelt must not show everything.
#[derive(Deserialize, Default, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// From this day (UTC) or time on.
    #[serde(default)]
    from: String,
    /// To the end of this day (UTC), or before this time.
    #[serde(default)]
    to: String,
    /// Of this user.
    #[serde(default, alias = "user")]
    user_id: String,
    /// Of this tenant.
    #[serde(default, alias = "tenant")]
    tenant_id: String,
    /// Of this model, as it was asked for.
    #[serde(default)]
    model: String,
    /// From 1.
    page: Option<i64>,
    /// 30 if not said, 1000 at most.
    #[serde(rename = "perPage", alias = "per_page", alias = "limit")]
    per_page: Option<i64>,
}

impl UsageQuery {
    /// The rows of a filter.
    pub(super) fn new(
        from: String,
        to: String,
        user_id: String,
        tenant_id: String,
        model: String,
    ) -> Self {
        Self {
            from,
            to,
            user_id,
            tenant_id,
            model,
            ..Self::default()
        }
    }
}

/// As [`UsageQuery`], with what there is a row for.
#[derive(Deserialize, Default, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SummaryQuery {
    /// `day` (as if not said), `user`, `tenant`, `model` or `provider`.
    #[serde(default)]
    group_by: String,
    /// From this day or the hour of this time on.
    #[serde(default)]
    from: String,
    /// To the end of this day, or of the hour that this time falls into.
    #[serde(default)]
    to: String,
    /// Whose days are meant, such as `Europe/Berlin`; UTC if not said. Sums are kept by the hour of
    /// UTC: where midnight is no whole hour, a day begins with the hour it falls into.
    #[serde(default)]
    time_zone: String,
    /// Of this user.
    #[serde(default, alias = "user")]
    user_id: String,
    /// Of this tenant.
    #[serde(default, alias = "tenant")]
    tenant_id: String,
    /// Of this model, as it was asked for.
    #[serde(default)]
    model: String,
}

/// Sums of usage.
#[derive(Serialize, ToSchema)]
pub struct Summary {
    /// The latest days, or what cost most: 1000 at most.
    items: Vec<SummaryItem>,
    /// Whether there are more than these; the total has them in it.
    truncated: bool,
    /// The most rows that an answer has.
    limit: usize,
    /// Of everything, whatever stands in the items.
    total: SummaryTotal,
}

/// One group, in one currency.
#[derive(Serialize, ToSchema)]
pub struct SummaryItem {
    /// The day, id or name.
    key: String,
    /// A name for people, where the key is an id.
    label: String,
    /// Calls.
    requests: i64,
    /// Tokens in.
    prompt_tokens: i64,
    /// Tokens out.
    completion_tokens: i64,
    /// What they cost.
    cost: f64,
    /// In this currency.
    currency: String,
}

/// Everything. Amounts of several currencies are not added.
#[derive(Serialize, ToSchema)]
pub struct SummaryTotal {
    /// Calls.
    requests: i64,
    /// Tokens in.
    prompt_tokens: i64,
    /// Tokens out.
    completion_tokens: i64,
    /// The largest of the sums by currency.
    cost: f64,
    /// In this currency.
    currency: String,
    /// The sum in each currency.
    by_currency: BTreeMap<String, f64>,
}

/// A page of usage rows.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what the record engine answers")]
#[schema(rename_all = "camelCase")]
pub struct UsagePage {
    page: i64,
    per_page: i64,
    total_items: i64,
    total_pages: i64,
    /// Records of `usage_logs`.
    items: Vec<serde_json::Map<String, Json_>>,
}

/// Sums usage by day, user, tenant, model or provider
///
/// Scope `read`. People see what is theirs: users themselves, tenant administrators their tenant.
#[utoipa::path(
    get, path = "/api/usage/summary", tag = "Usage", operation_id = "usage_summary",
    params(SummaryQuery),
    responses(
        (status = 200, description = "The sums", body = Summary),
        (status = 400, description = "A filter cannot be understood", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not yours", body = ErrorAnswer),
    )
)]
pub async fn summary(
    State(app): State<App>,
    manager: Manager,
    Params(query): Params<SummaryQuery>,
) -> Result<Json<Summary>, BillingError> {
    let by = match query.group_by.as_str() {
        "" | "day" => SummaryBy::Day,
        "user" => SummaryBy::User,
        "tenant" => SummaryBy::Tenant,
        "model" => SummaryBy::Model,
        "provider" => SummaryBy::Provider,
        _ => {
            return Err(Error::invalid_field(
                "group_by",
                "group_by is day, user, tenant, model or provider.",
            )
            .into());
        }
    };
    let zone = Zone::parse(&query.time_zone).ok_or_else(|| {
        Error::invalid_field("time_zone", "time_zone is a name such as Europe/Berlin.")
    })?;
    let filter = scope(
        &manager.principal(),
        SummaryFilter {
            from: date(&query.from, "from", 0, &zone)?,
            until: date(&query.to, "to", 1, &zone)?,
            user_id: query.user_id,
            tenant_id: query.tenant_id,
            model: query.model,
            zone,
        },
    )?;
    let rows = app.ledger.summary(by, &filter).await?;
    let totals = app.ledger.totals(&filter).await?;
    let total = SummaryTotal {
        requests: totals.iter().map(|t| t.requests).sum(),
        prompt_tokens: totals.iter().map(|t| t.prompt_tokens).sum(),
        completion_tokens: totals.iter().map(|t| t.completion_tokens).sum(),
        // The others stand beside it and in the items.
        cost: totals.first().map_or(0.0, |t| t.cost.to_f64()),
        currency: totals
            .first()
            .map_or_else(|| Currency::EUR.to_string(), |t| t.currency.clone()),
        by_currency: totals
            .iter()
            .map(|t| (t.currency.clone(), t.cost.to_f64()))
            .collect(),
    };
    // Every group has a call: with fewer calls in the rows than there are, groups are missing.
    let shown: i64 = rows.iter().map(|r| r.requests).sum();
    let items: Vec<SummaryItem> = rows
        .into_iter()
        .map(|row| SummaryItem {
            key: row.key,
            label: row.label,
            requests: row.requests,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            cost: row.cost.to_f64(),
            currency: row.currency,
        })
        .collect();
    Ok(Json(Summary {
        truncated: items.len() >= SUMMARY_ROWS && shown < total.requests,
        limit: SUMMARY_ROWS,
        items,
        total,
    }))
}

/// Lists usage, the newest first
///
/// Scope `read`. People see what is theirs.
#[utoipa::path(
    get, path = "/api/usage", tag = "Usage", operation_id = "list_usage",
    params(UsageQuery),
    responses(
        (status = 200, description = "A page of usage", body = UsagePage),
        (status = 400, description = "A filter cannot be understood", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not yours", body = ErrorAnswer),
    )
)]
pub async fn list(
    State(app): State<App>,
    manager: Manager,
    Params(query): Params<UsageQuery>,
) -> Result<Json<Json_>, BillingError> {
    let (page, per_page) = (query.page, query.per_page);
    let filter = rows_of(&manager.principal(), query)?;
    let params = ListParams {
        page: page.unwrap_or(1),
        per_page: per_page.unwrap_or(30),
        sort: "-created".into(),
        filter: conditions(&filter).join(" && "),
        ..ListParams::default()
    };
    let answer = app
        .engine
        .list(&manager.principal(), "usage_logs", &params)
        .await?;
    Ok(Json(answer))
}

/// Which rows the query means, of those that are the caller's to see.
pub(super) fn rows_of(principal: &Principal, query: UsageQuery) -> Result<SummaryFilter, Error> {
    let zone = Zone::default();
    scope(
        principal,
        SummaryFilter {
            from: date(&query.from, "from", 0, &zone)?,
            until: date(&query.to, "to", 1, &zone)?,
            user_id: query.user_id,
            tenant_id: query.tenant_id,
            model: query.model,
            zone,
        },
    )
}

/// The same in the record engine's words.
pub(super) fn conditions(filter: &SummaryFilter) -> Vec<String> {
    [
        ("created", ">=", &filter.from),
        ("created", "<", &filter.until),
        ("user_id", "=", &filter.user_id),
        ("tenant_id", "=", &filter.tenant_id),
        ("model", "=", &filter.model),
    ]
    .into_iter()
    .filter(|(_, _, value)| !value.is_empty())
    .map(|(field, operator, value)| {
        let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
        format!("{field} {operator} '{quoted}'")
    })
    .collect()
}

/// Holds the caller to what is theirs: users to themselves, tenant
/// administrators to their tenant.
fn scope(principal: &Principal, mut filter: SummaryFilter) -> Result<SummaryFilter, Error> {
    for (field, id) in [
        ("user_id", &filter.user_id),
        ("tenant_id", &filter.tenant_id),
    ] {
        if !id.is_empty() && Id::parse(id).is_err() {
            return Err(Error::invalid_field(
                field,
                format!("{field} is an id of 15 characters a-z and 0-9."),
            ));
        }
    }
    if !filter.from.is_empty() && !filter.until.is_empty() && filter.from > filter.until {
        return Err(Error::invalid_field("to", "to is not before from."));
    }
    if let Principal::User(user) = principal {
        match user.role {
            Role::Admin => {}
            Role::TenantAdmin => own(&mut filter.tenant_id, &user.tenant_id)?,
            Role::User => own(&mut filter.user_id, &user.id)?,
        }
    }
    Ok(filter)
}

fn own(asked: &mut String, own: &str) -> Result<(), Error> {
    if !own.is_empty() && (asked.is_empty() || asked == own) {
        own.clone_into(asked);
        Ok(())
    } else {
        Err(Error::new(
            Kind::Forbidden,
            "You may see your own usage only (tenant administrators: their tenant's).",
        ))
    }
}

/// A day of the zone or a time as a record date; `days` later, for an end that
/// is included.
fn date(text: &str, field: &'static str, days: i64, zone: &Zone) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let time = if text.len() <= 10 {
        zone.day_start(text, days)
    } else {
        Timestamp::parse(text)
    };
    let time = time.ok_or_else(|| {
        Error::invalid_field(field, format!("{field} is a date such as 2026-01-31."))
    })?;
    Ok(time.to_date_text().to_string())
}
