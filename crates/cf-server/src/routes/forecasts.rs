//! How budgets stand and where they lead: for pages and programs that show a
//! forecast.

use axum::Json;
use axum::extract::{Query, State};
use cf_base::{Error, Id, Nanos, Timestamp};
use cf_collections::ListParams;
use cf_ledger::{Account, AccountKind, Budget};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::App;
use crate::error::BillingError;
use crate::manager::Manager;
use crate::notices;
use crate::openapi::ErrorAnswer;

/// Owners that can be asked for at a time.
const OWNERS: usize = 100;

/// Whose budgets.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BudgetsQuery {
    /// Ids of users and tenants, separated by commas.
    #[serde(default)]
    owners: String,
}

/// `GET /api/budgets?owners=ID,ID`: the budgets of those users and tenants that
/// the caller may see.
#[utoipa::path(
    get, path = "/api/budgets", tag = "Users", operation_id = "list_budgets",
    params(BudgetsQuery),
    responses(
        (status = 200, description = "`{items}`, each with its forecast", body = Object),
        (status = 400, description = "Not 1 to 100 ids", body = ErrorAnswer),
        (status = 401, description = "No valid key or session", body = ErrorAnswer),
    )
)]
pub async fn list(
    State(app): State<App>,
    manager: Manager,
    Query(query): Query<BudgetsQuery>,
) -> Result<Json<Value>, BillingError> {
    let asked: Vec<Id> = query
        .owners
        .split(',')
        .filter(|id| !id.is_empty())
        .map(Id::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| {
            Error::invalid_field("owners", "owners is a list of ids, separated by commas.")
        })?;
    if asked.is_empty() || asked.len() > OWNERS {
        return Err(Error::invalid_field(
            "owners",
            format!("Ask for 1 to {OWNERS} users or tenants at a time."),
        )
        .into());
    }
    let mut seen = Vec::new();
    for collection in ["users", "tenants"] {
        let conditions: Vec<String> = asked.iter().map(|id| format!("id='{id}'")).collect();
        let params = ListParams {
            per_page: i64::try_from(OWNERS).unwrap_or(i64::MAX),
            filter: conditions.join("||"),
            fields: "id".into(),
            skip_total: true,
            ..ListParams::default()
        };
        let answer = app
            .engine
            .list(&manager.principal(), collection, &params)
            .await?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        seen.extend(
            items
                .iter()
                .filter_map(|item| Id::parse(item["id"].as_str()?).ok()),
        );
    }
    let owners = notices::owners(&app.db, &seen).await?;
    let now = app.clock.now();
    let items: Vec<Value> = cf_ledger::budgets_of(&app.db, &seen)
        .await?
        .iter()
        .filter_map(|budget| Some(item(budget, owners.get(&budget.owner)?.created, now)))
        .collect();
    Ok(Json(json!({"items": items})))
}

fn item(budget: &Budget, created: Timestamp, now: Timestamp) -> Value {
    let date = |time: Option<Timestamp>| {
        time.map(|t| t.to_date_text().to_string())
            .unwrap_or_default()
    };
    let Account {
        kind,
        currency,
        limit,
        posted,
        pending,
        ..
    } = &budget.account;
    let forecast = budget.forecast(created, now);
    json!({
        "owner": if *kind == AccountKind::Tenant { "tenant" } else { "user" },
        "owner_id": budget.owner,
        "window": budget.window,
        "currency": currency.as_str(),
        "limit": limit.map(Nanos::to_f64),
        "used": posted.to_f64(),
        "reserved": pending.to_f64(),
        "remaining": limit.map(|limit| (limit - *posted).to_f64()),
        "percent": budget.percent(),
        "period_start": date(Some(budget.period_start(created))),
        "period_end": date(budget.period_end()),
        "forecast": {"state": forecast.as_str(), "at": date(forecast.at())},
    })
}
