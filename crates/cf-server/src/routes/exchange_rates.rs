//! How it stands with exchange rates, for the portal's warnings.

use axum::Json;
use axum::extract::State;
use cf_base::{Error, Kind, Nanos};
use serde_json::{Value, json};

use crate::App;
use crate::error::BillingError;
use crate::manager::Manager;
use crate::openapi::ErrorAnswer;

/// Tells how old the exchange rates in use are
///
/// For administrators who are signed in.
#[utoipa::path(
    get, path = "/api/exchange-rates/status", tag = "Prices", operation_id = "exchange_rates_status",
    security(("session" = [])),
    responses(
        (status = 200, description = "`items` by currency, `max_age_days`, and whether they are `fetched`", body = Value),
        (status = 401, description = "Not signed in", body = ErrorAnswer),
        (status = 403, description = "No administrator", body = ErrorAnswer),
    )
)]
pub async fn status(State(app): State<App>, manager: Manager) -> Result<Json<Value>, BillingError> {
    match &manager {
        Manager::Person(person) if person.is_admin() => {}
        _ => {
            return Err(Error::new(
                Kind::Forbidden,
                "Only administrators who are signed in may see this.",
            )
            .into());
        }
    }
    let rates = cf_ledger::rates_in_use(&app.db, app.clock.now()).await?;
    let max_age = app.config.exchange_rates_max_age_days;
    let items: Vec<Value> = rates
        .iter()
        .map(|rate| {
            let mut item = json!(rate);
            item["rate"] = json!(rate.rate.map(|rate| Nanos(rate.0).to_f64()));
            item["stale"] = (rate.age_days > max_age).into();
            item
        })
        .collect();
    Ok(Json(json!({
        "items": items,
        "max_age_days": max_age,
        "fetched": app.config.exchange_rates_url.is_some(),
    })))
}
