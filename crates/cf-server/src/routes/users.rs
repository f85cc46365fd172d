//! Users for the portal and the Billing API: made with key, password and
//! budget in one step; budgets reset and topped up.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cf_base::{Error, Id, Kind, Nanos, Role, TenantId, parse_decimal_nanos};
use cf_collections::{ListParams, Principal, Shape};
use cf_identity::AuditEntry;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use crate::App;
use crate::error::BillingError;
use crate::extract::{Manager, RECORD_BODY, read_body};
use crate::idempotency::Idempotent;
use crate::provision;

/// `POST /api/users`
pub async fn create(
    State(app): State<App>,
    manager: Manager,
    body: Body,
) -> Result<Response, BillingError> {
    let body = object(&read_body(body, RECORD_BODY).await?)?;
    let record =
        provision::create_user(&app.engine, &app.random, &manager.principal(), body).await?;
    Ok((StatusCode::CREATED, Json(record)).into_response())
}

/// What part of the list is wanted.
#[derive(Deserialize, Default)]
pub struct UsersQuery {
    page: Option<i64>,
    #[serde(rename = "perPage", alias = "per_page")]
    per_page: Option<i64>,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    filter: String,
}

/// `GET /api/users`
pub async fn list(
    State(app): State<App>,
    manager: Manager,
    Query(query): Query<UsersQuery>,
) -> Result<Json<Value>, BillingError> {
    let params = ListParams {
        page: query.page.unwrap_or(1),
        per_page: query.per_page.unwrap_or(30),
        sort: query.sort,
        filter: query.filter,
        ..ListParams::default()
    };
    let answer = app
        .engine
        .list(&manager.principal(), "users", &params)
        .await?;
    Ok(Json(answer))
}

/// `GET /api/users/{id}`
pub async fn view(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
) -> Result<Json<Value>, BillingError> {
    let record = app
        .engine
        .view(&manager.principal(), "users", &id, &Shape::default())
        .await?;
    Ok(Json(record))
}

/// `PATCH /api/users/{id}`
pub async fn update(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, BillingError> {
    let body = object(&read_body(body, RECORD_BODY).await?)?;
    let record = app
        .engine
        .update(&manager.principal(), "users", &id, &body, &Shape::default())
        .await?;
    Ok(Json(record))
}

/// `POST /api/users/{id}/reset-budget`
pub async fn reset_budget(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, BillingError> {
    change_budget(&app, &manager, &id, &headers, &json!({}), Change::Reset).await
}

#[derive(Deserialize)]
struct TopUp {
    amount: Number,
    currency: String,
    #[serde(default)]
    note: String,
}

/// `POST /api/users/{id}/top-up`
pub async fn top_up(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, BillingError> {
    let content = Value::Object(object(&read_body(body, RECORD_BODY).await?)?);
    let top_up: TopUp = serde_json::from_value(content.clone()).map_err(|e| {
        Error::invalid(format!(
            "A top-up is {{\"amount\": 10, \"currency\": \"EUR\", \"note\": \"…\"}}: {e}."
        ))
    })?;
    let amount = parse_decimal_nanos(&top_up.amount.to_string()).ok_or_else(|| {
        Error::invalid_field("amount", "amount is a decimal number within range.")
    })?;
    if top_up.note.chars().count() > 500 {
        return Err(Error::invalid_field("note", "note has at most 500 characters.").into());
    }
    let change = Change::TopUp {
        amount: Nanos(amount),
        currency: top_up.currency,
        note: top_up.note,
    };
    change_budget(&app, &manager, &id, &headers, &content, change).await
}

enum Change {
    Reset,
    TopUp {
        amount: Nanos,
        currency: String,
        note: String,
    },
}

async fn change_budget(
    app: &App,
    manager: &Manager,
    id: &str,
    headers: &HeaderMap,
    content: &Value,
    change: Change,
) -> Result<Json<Value>, BillingError> {
    let principal = manager.principal();
    // Who may not see the user gets 404 before anything else.
    let user = app
        .engine
        .view(&principal, "users", id, &Shape::default())
        .await?;
    if let Principal::User(person) = &principal
        && (person.role < Role::TenantAdmin
            || (person.role == Role::TenantAdmin && (person.id == id || user["role"] == "admin")))
    {
        return Err(Error::new(
            Kind::Forbidden,
            "Only administrators may change budgets, and a tenant's administrator not the own one.",
        )
        .into());
    }
    let owner = Id::parse(id).map_err(|_| Error::new(Kind::NotFound, "There is no such user."))?;
    let what = match &change {
        Change::Reset => "reset-budget",
        Change::TopUp { .. } => "top-up",
    };
    let idempotent = Idempotent::new(headers, format!("{}/{what}/{id}", manager.name()), content)?;
    let mut tx = app.db.begin().await?;
    if let Some(earlier) = idempotent.earlier(&mut tx, &app.clock).await? {
        return Ok(Json(earlier));
    }
    let actor = manager.name();
    match change {
        Change::Reset => {
            cf_ledger::reset_budget(
                &mut tx,
                owner,
                "reset by hand",
                &actor,
                &app.clock,
                &app.random,
            )
            .await?;
        }
        Change::TopUp {
            amount,
            currency,
            note,
        } => {
            if user["budget_currency"] != currency.as_str() {
                return Err(Error::invalid_field(
                    "currency",
                    format!("This budget is in {}.", user["budget_currency"]),
                )
                .into());
            }
            cf_ledger::top_up(
                &mut tx,
                owner,
                amount,
                &note,
                &actor,
                &app.clock,
                &app.random,
            )
            .await?;
        }
    }
    let entry = AuditEntry {
        actor: manager.actor(),
        action: what,
        collection: "users",
        record_id: id,
        tenant_id: user["tenant_id"]
            .as_str()
            .and_then(|t| TenantId::parse(t).ok()),
        changes: content.clone(),
    };
    app.identity.audit(&mut tx, entry).await?;
    let record = app.engine.find_in(&mut tx, "users", id).await?;
    let record = record.ok_or_else(|| Error::new(Kind::NotFound, "There is no such user."))?;
    let answer = Value::Object(record.to_json_for(&principal));
    idempotent.keep(&mut tx, &answer).await?;
    tx.commit().await?;
    // The change is made, whatever becomes of telling it.
    if let Err(error) = app
        .engine
        .publish("users", cf_collections::Action::Update, id)
        .await
    {
        tracing::warn!(error = %error.message, "a change could not be published");
    }
    Ok(Json(answer))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Error> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::invalid("The request body is a JSON object.")),
        Err(e) => Err(Error::invalid(format!(
            "The request body is not JSON: {e}."
        ))),
    }
}
