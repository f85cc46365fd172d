//! The price book: its editions, what is in it, and a new one, which is shown as a
//! difference first.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use cf_base::{Error, Kind};
use cf_identity::AuditEntry;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::App;
use crate::error::BillingError;
use crate::extract::read_body;
use crate::manager::Manager;
use crate::openapi::ErrorAnswer;

/// Largest price list: ten times the one that comes with the program.
const LIST_BODY: usize = 16 << 20;
/// Models that are shown at a time.
const SHOWN: usize = 200;

/// What is looked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BookQuery {
    /// A part of the name of provider and model, such as `openai/gpt`.
    #[serde(default)]
    search: String,
}

/// Shows the price book: its editions and the models of the one in force
///
/// For administrators who are signed in. Prices are US dollars for one token or piece, as text.
#[utoipa::path(
    get, path = "/api/prices", tag = "Prices", operation_id = "price_book",
    params(BookQuery), security(("session" = [])),
    responses(
        (status = 200, description = "`editions`, up to 200 `models`, and how many there are in `total`", body = Value),
        (status = 401, description = "Not signed in", body = ErrorAnswer),
        (status = 403, description = "No administrator", body = ErrorAnswer),
    )
)]
pub async fn book(
    State(app): State<App>,
    manager: Manager,
    Query(query): Query<BookQuery>,
) -> Result<Json<Value>, BillingError> {
    require_admin(&manager)?;
    let now = app.clock.now();
    let editions = cf_ledger::editions(&app.db, now).await?;
    let found = cf_ledger::search_prices(&app.db, now, &query.search, SHOWN).await?;
    Ok(Json(json!({
        "editions": editions,
        "models": found.models,
        "total": found.total,
    })))
}

/// How a list is to be taken.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The day from which it holds; empty: today.
    #[serde(default)]
    effective: String,
    /// The hash of the difference that was shown; empty: only show it.
    #[serde(default)]
    confirm: String,
}

/// Shows what a new price list changes, and takes it when that is confirmed
///
/// For administrators who are signed in. The body is the file, in the format of the `prices.json` that
/// comes with the program; without one it is that file.
#[utoipa::path(
    post, path = "/api/prices/import", tag = "Prices", operation_id = "import_prices",
    params(ImportQuery), request_body = Value, security(("session" = [])),
    responses(
        (status = 200, description = "What it would change, with the `hash` that confirms it", body = Value),
        (status = 201, description = "Taken: `id` and `effective`", body = Value),
        (status = 400, description = "The file or the day cannot be understood", body = ErrorAnswer),
        (status = 401, description = "Not signed in", body = ErrorAnswer),
        (status = 403, description = "No administrator", body = ErrorAnswer),
        (status = 409, description = "Not the changes that were confirmed", body = ErrorAnswer),
        (status = 422, description = "It changes nothing", body = ErrorAnswer),
    )
)]
pub async fn import(
    State(app): State<App>,
    manager: Manager,
    Query(query): Query<ImportQuery>,
    body: axum::body::Body,
) -> Result<Response, BillingError> {
    require_admin(&manager)?;
    let body = read_body(body, LIST_BODY).await?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Error::invalid_field("file", "The file is not text in UTF-8."))?;
    let text = Some(text).filter(|text| !text.trim().is_empty());
    let import = cf_ledger::propose(&app.db, &app.clock, text, &query.effective).await?;
    if query.confirm.is_empty() {
        return Ok(Json(import).into_response());
    }
    let mut tx = app.db.begin().await?;
    let actor = manager.name();
    let taken = cf_ledger::take(
        &mut tx,
        &import,
        &query.confirm,
        &actor,
        &app.clock,
        &app.random,
    )
    .await?;
    let entry = AuditEntry {
        actor: manager.actor(),
        action: "import",
        collection: "price_lists",
        record_id: taken.as_str(),
        tenant_id: None,
        changes: json!({
            "effective": import.effective,
            "added": import.added.len(),
            "changed": import.changed.len(),
            "removed": import.removed.len(),
        }),
    };
    app.identity.audit(&mut tx, entry).await?;
    tx.commit().await?;
    app.refresh().await?;
    let answer = json!({"id": taken, "effective": import.effective});
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Prices are the operator's: no tenant sees them, no program changes them.
fn require_admin(manager: &Manager) -> Result<(), BillingError> {
    match manager {
        Manager::Person(person) if person.is_admin() => Ok(()),
        _ => Err(Error::new(
            Kind::Forbidden,
            "Only administrators who are signed in may see and change the price book.",
        )
        .into()),
    }
}
