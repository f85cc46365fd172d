//! What was used: rows and sums, each caller seeing what is theirs.

use axum::Json;
use axum::extract::{Query, State};
use cf_base::{Currency, Error, Kind, Nanos, Role, Timestamp};
use cf_collections::{ListParams, Principal};
use cf_ledger::{SummaryBy, SummaryFilter};
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use crate::App;
use crate::error::BillingError;
use crate::extract::Manager;

/// Narrows usage down; all may be left out.
#[derive(Deserialize, Default)]
pub struct UsageQuery {
    #[serde(default)]
    group_by: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    tenant_id: String,
    #[serde(default)]
    model: String,
    page: Option<i64>,
    #[serde(rename = "perPage", alias = "per_page")]
    per_page: Option<i64>,
}

/// `GET /api/usage/summary`
pub async fn summary(
    State(app): State<App>,
    manager: Manager,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Json_>, BillingError> {
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
    let filter = scope(&manager, query)?;
    let rows = app.ledger.summary(by, &filter).await?;
    let items: Vec<Json_> = rows
        .iter()
        .map(|row| {
            json!({
                "key": row.key, "label": row.label, "requests": row.requests,
                "prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens,
                "cost": row.cost.to_f64(), "currency": row.currency,
            })
        })
        .collect();
    // Amounts of several currencies are not added: the largest one is the total,
    // the others stand in the items.
    let mut totals: std::collections::BTreeMap<&str, Nanos> = std::collections::BTreeMap::new();
    for row in &rows {
        *totals.entry(&row.currency).or_default() += row.cost;
    }
    let main = totals
        .iter()
        .max_by_key(|(_, cost)| **cost)
        .map(|(currency, _)| (*currency).to_owned())
        .unwrap_or_else(|| Currency::EUR.to_string());
    let total = json!({
        "requests": rows.iter().map(|r| r.requests).sum::<i64>(),
        "prompt_tokens": rows.iter().map(|r| r.prompt_tokens).sum::<i64>(),
        "completion_tokens": rows.iter().map(|r| r.completion_tokens).sum::<i64>(),
        "cost": totals.get(main.as_str()).copied().unwrap_or_default().to_f64(),
        "currency": main,
        "by_currency": totals.iter().map(|(c, n)| ((*c).to_owned(), n.to_f64().into()))
            .collect::<serde_json::Map<String, Json_>>(),
    });
    Ok(Json(json!({"items": items, "total": total})))
}

/// `GET /api/usage`: the rows, as records.
pub async fn list(
    State(app): State<App>,
    manager: Manager,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Json_>, BillingError> {
    let (page, per_page) = (query.page, query.per_page);
    let filter = scope(&manager, query)?;
    let mut conditions = Vec::new();
    for (field, operator, value) in [
        ("created", ">=", &filter.from),
        ("created", "<", &filter.until),
        ("user_id", "=", &filter.user_id),
        ("tenant_id", "=", &filter.tenant_id),
        ("model", "=", &filter.model),
    ] {
        if !value.is_empty() {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            conditions.push(format!("{field} {operator} '{quoted}'"));
        }
    }
    let params = ListParams {
        page: page.unwrap_or(1),
        per_page: per_page.unwrap_or(30),
        sort: "-created".into(),
        filter: conditions.join(" && "),
        ..ListParams::default()
    };
    let answer = app
        .engine
        .list(&manager.principal(), "usage_logs", &params)
        .await?;
    Ok(Json(answer))
}

/// Holds the caller to what is theirs: users to themselves, tenant
/// administrators to their tenant.
fn scope(manager: &Manager, query: UsageQuery) -> Result<SummaryFilter, Error> {
    let mut filter = SummaryFilter {
        from: date(&query.from, "from", 0)?,
        until: date(&query.to, "to", 1)?,
        user_id: query.user_id,
        tenant_id: query.tenant_id,
        model: query.model,
    };
    if let Principal::User(user) = manager.principal() {
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

/// A day or time as a record date; `days` later, for an end that is included.
fn date(text: &str, field: &'static str, days: u64) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let time = Timestamp::parse(text).ok_or_else(|| {
        Error::invalid_field(field, format!("{field} is a date such as 2026-01-31."))
    })?;
    let days = if text.len() <= 10 { days } else { 0 };
    let time = time.after(std::time::Duration::from_secs(days * 86_400));
    Ok(time.to_date_text().to_string())
}
