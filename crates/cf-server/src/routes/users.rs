//! Users for the portal and the Billing API: made with key, password and
//! budget in one step; budgets reset and topped up.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use cf_base::{Error, Id, Kind, Nanos, Role, TenantId, parse_decimal_nanos};
use cf_collections::{ListParams, Principal, RecordError, Shape};
use cf_identity::AuditEntry;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::error::BillingError;
use crate::extract::{Params, RECORD_BODY, read_body};
use crate::idempotency::Answer;
use crate::manager::Manager;
use crate::openapi::{ErrorAnswer, IdempotencyHeader};
use crate::provision;

/// A user to make.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what the record engine reads")]
pub struct NewUser {
    /// E-mail address, unique.
    email: String,
    /// Name.
    name: Option<String>,
    /// The tenant's id.
    tenant_id: Option<String>,
    /// The product's id: brings budget, models and limits.
    product_id: Option<String>,
    /// `user` or `tenant_admin`; administrators also make `admin`.
    role: Option<String>,
    /// `active` (as if not said), `pending` or `suspended`.
    status: Option<String>,
    /// Made up where it is left out, and then in the answer.
    password: Option<String>,
    /// Another limit than the product's.
    budget_total: Option<f64>,
}

/// What changes of a user; what is left out stays.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what the record engine reads")]
pub struct UserChange {
    /// E-mail address, unique.
    email: Option<String>,
    /// Name.
    name: Option<String>,
    /// The product's id.
    product_id: Option<String>,
    /// `user`, `tenant_admin` or `admin`.
    role: Option<String>,
    /// `pending`, `active` or `suspended`.
    status: Option<String>,
    /// The limit of the budget.
    budget_total: Option<f64>,
    /// When the next period begins.
    budget_reset_date: Option<String>,
}

/// A user as a record.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what the record engine answers")]
#[schema(rename_all = "camelCase")]
pub struct UserRecord {
    /// 15 characters.
    id: String,
    collection_id: String,
    collection_name: String,
    email: String,
    email_visibility: bool,
    verified: bool,
    name: String,
    /// Language of mails; empty: the tenant's.
    locale: String,
    /// `user`, `tenant_admin` or `admin`.
    role: String,
    /// `pending`, `active` or `suspended`.
    status: String,
    #[schema(rename = "tenant_id")]
    tenant_id: String,
    #[schema(rename = "product_id")]
    product_id: String,
    /// The limit of the budget.
    #[schema(rename = "budget_total")]
    budget_total: f64,
    /// Spent in this period.
    #[schema(rename = "budget_used")]
    budget_used: f64,
    /// Left in this period.
    #[schema(rename = "budget_remaining")]
    budget_remaining: f64,
    /// Currency of the budget.
    #[schema(rename = "budget_currency")]
    budget_currency: String,
    /// When the next period begins; empty where none does.
    #[schema(rename = "budget_reset_date")]
    budget_reset_date: String,
    /// Days that the tenant keeps what is asked and answered; 0: not at all.
    #[schema(rename = "prompt_log_days")]
    prompt_log_days: i64,
    /// In full in the answer to its making only, a mask afterwards.
    #[schema(rename = "litellm_api_key")]
    litellm_api_key: String,
    /// Only in the answer to its making, where it was made up.
    password: Option<String>,
    created: String,
    updated: String,
}

/// A page of users.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what the record engine answers")]
#[schema(rename_all = "camelCase")]
pub struct UserPage {
    page: i64,
    per_page: i64,
    total_items: i64,
    total_pages: i64,
    items: Vec<UserRecord>,
}

/// Makes a user with key, budget and password in one step
///
/// Scope `manage`. The key stands in the answer in full, and the password if it was made up, this
/// once. A key bound to a tenant makes users of that tenant; no billing key makes administrators.
#[utoipa::path(
    post, path = "/api/users", tag = "Users", operation_id = "create_user",
    params(IdempotencyHeader),
    request_body = NewUser,
    responses(
        (status = 201, description = "The user, with key and made-up password", body = UserRecord),
        (status = 400, description = "A field cannot be taken", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 409, description = "The Idempotency-Key was used for something else, or is at work", body = ErrorAnswer),
        (status = 429, description = "`rate_limited`, with Retry-After", body = ErrorAnswer),
    )
)]
pub async fn create(
    State(app): State<App>,
    manager: Manager,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, BillingError> {
    let mut body = object(&read_body(body, RECORD_BODY).await?)?;
    leave_admins_alone(&manager, &body, None)?;
    let content = Value::Object(body.clone());
    let once = app
        .idempotency
        .once(&headers, &manager, "POST /api/users", &content)?;
    // Before the password is hashed, which is dear.
    if let Some(earlier) = once.earlier(&app).await? {
        return Ok(earlier);
    }
    let principal = manager.principal();
    let password = provision::complete_user(&app.random, &mut body);
    let prepared = app
        .engine
        .prepare_create(&principal, "users", &body)
        .await?;
    let mut tx = app.db.begin().await?;
    if let Some(earlier) = once.claim(&app, &mut tx).await? {
        return Ok(earlier);
    }
    let (record, more) = app
        .engine
        .create_after(&mut tx, &principal, "users", &body, prepared)
        .await?;
    let mut shown = record.to_json_for(&principal);
    shown.extend(more);
    if let Some(password) = password {
        shown.insert("password".into(), password.into());
    }
    let answer = Answer::new(StatusCode::CREATED, &Value::Object(shown));
    once.keep(&app, &mut tx, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// What part of the list is wanted.
#[derive(Deserialize, Default, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// From 1.
    page: Option<i64>,
    /// 30 if not said, 1000 at most.
    #[serde(rename = "perPage", alias = "per_page")]
    per_page: Option<i64>,
    /// Fields, `-` for falling: `-created,email`.
    #[serde(default)]
    sort: String,
    /// A filter as records have it: `status = 'active' && tenant_id = '…'`.
    #[serde(default)]
    filter: String,
    /// Fields to keep.
    #[serde(default)]
    fields: String,
    /// Relations to bring along.
    #[serde(default)]
    expand: String,
    /// Leaves out the counts.
    #[serde(default, rename = "skipTotal")]
    skip_total: bool,
}

/// Lists users
///
/// Scope `read`.
#[utoipa::path(
    get, path = "/api/users", tag = "Users", operation_id = "list_users",
    params(UsersQuery),
    responses(
        (status = 200, description = "A page of users", body = UserPage),
        (status = 400, description = "Filter, sort or page cannot be understood", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "The key's scopes do not allow it", body = ErrorAnswer),
    )
)]
pub async fn list(
    State(app): State<App>,
    manager: Manager,
    Params(query): Params<UsersQuery>,
) -> Result<Json<Value>, BillingError> {
    let params = ListParams {
        page: query.page.unwrap_or(1),
        per_page: query.per_page.unwrap_or(30),
        sort: query.sort,
        filter: query.filter,
        fields: query.fields,
        expand: query.expand,
        skip_total: query.skip_total,
    };
    let answer = app
        .engine
        .list(&manager.principal(), "users", &params)
        .await?;
    Ok(Json(answer))
}

/// Shows a user
///
/// Scope `read`.
#[utoipa::path(
    get, path = "/api/users/{id}", tag = "Users", operation_id = "view_user",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user", body = UserRecord),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "The key's scopes do not allow it", body = ErrorAnswer),
        (status = 404, description = "`user_not_found`", body = ErrorAnswer),
    )
)]
pub async fn view(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
) -> Result<Json<Value>, BillingError> {
    Ok(Json(find(&app, &manager.principal(), &id).await?))
}

/// Changes a user; sets the limit of the budget
///
/// Scope `manage`. Of administrators a billing key changes name, product and budget only.
#[utoipa::path(
    patch, path = "/api/users/{id}", tag = "Users", operation_id = "update_user",
    params(("id" = String, Path, description = "The user's id"), IdempotencyHeader),
    request_body = UserChange,
    responses(
        (status = 200, description = "The user", body = UserRecord),
        (status = 400, description = "A field cannot be taken", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 404, description = "`user_not_found`", body = ErrorAnswer),
        (status = 409, description = "The Idempotency-Key was used for something else, or is at work", body = ErrorAnswer),
    )
)]
pub async fn update(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, BillingError> {
    let body = object(&read_body(body, RECORD_BODY).await?)?;
    let principal = manager.principal();
    if matches!(manager, Manager::Program(_)) {
        let user = find(&app, &principal, &id).await?;
        leave_admins_alone(&manager, &body, Some(&user))?;
    }
    let what = format!("PATCH /api/users/{id}");
    let content = Value::Object(body.clone());
    let once = app.idempotency.once(&headers, &manager, &what, &content)?;
    if let Some(earlier) = once.earlier(&app).await? {
        return Ok(earlier);
    }
    let prepared = app
        .engine
        .prepare_update(&principal, "users", &id, &body)
        .await
        .map_err(no_user)?;
    let mut tx = app.db.begin().await?;
    if let Some(earlier) = once.claim(&app, &mut tx).await? {
        return Ok(earlier);
    }
    let (record, more) = app
        .engine
        .update_after(&mut tx, &principal, "users", &id, &body, prepared)
        .await
        .map_err(no_user)?;
    let mut shown = record.to_json_for(&principal);
    shown.extend(more);
    let answer = Answer::new(StatusCode::OK, &Value::Object(shown));
    once.keep(&app, &mut tx, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Starts a new budget period now
///
/// Scope `manage`. What running calls have reserved stays reserved.
#[utoipa::path(
    post, path = "/api/users/{id}/reset-budget", tag = "Budgets", operation_id = "reset_budget",
    params(("id" = String, Path, description = "The user's id"), IdempotencyHeader),
    responses(
        (status = 200, description = "The user", body = UserRecord),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 404, description = "`user_not_found`", body = ErrorAnswer),
        (status = 409, description = "The Idempotency-Key was used for something else, or is at work", body = ErrorAnswer),
    )
)]
pub async fn reset_budget(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Answer, BillingError> {
    change_budget(&app, &manager, &id, &headers, &json!({}), Change::Reset).await
}

/// More budget for the period.
#[derive(Deserialize, ToSchema)]
pub struct TopUp {
    /// How much, above zero.
    #[schema(value_type = f64)]
    amount: Number,
    /// The budget's currency: another one is refused.
    currency: String,
    /// What it is for, at most 500 characters; stands in the ledger.
    #[serde(default)]
    note: String,
}

/// Tops a budget up
///
/// Scope `manage`.
#[utoipa::path(
    post, path = "/api/users/{id}/top-up", tag = "Budgets", operation_id = "top_up",
    params(("id" = String, Path, description = "The user's id"), IdempotencyHeader),
    request_body = TopUp,
    responses(
        (status = 200, description = "The user", body = UserRecord),
        (status = 400, description = "Amount, currency or note cannot be taken", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 404, description = "`user_not_found`", body = ErrorAnswer),
        (status = 409, description = "The Idempotency-Key was used for something else, or is at work", body = ErrorAnswer),
        (status = 422, description = "The budget has no limit", body = ErrorAnswer),
    )
)]
pub async fn top_up(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, BillingError> {
    let content = Value::Object(object(&read_body(body, RECORD_BODY).await?)?);
    let top_up: TopUp = serde_json::from_value(content.clone()).map_err(|e| {
        Error::invalid(format!(
            "A top-up is {{\"amount\": 10, \"currency\": \"EUR\", \"note\": \"…\"}}: {e}."
        ))
    })?;
    let amount = parse_decimal_nanos(&top_up.amount.to_string())
        .filter(|amount| *amount > 0)
        .ok_or_else(|| {
            Error::invalid_field(
                "amount",
                "amount is a decimal number above zero and within range.",
            )
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
) -> Result<Answer, BillingError> {
    let principal = manager.principal();
    // Who may not see the user gets 404 before anything else.
    let user = find(app, &principal, id).await?;
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
    let owner = Id::parse(id).map_err(|_| BillingError::user_not_found())?;
    let what = match &change {
        Change::Reset => "reset-budget",
        Change::TopUp { .. } => "top-up",
    };
    let once = app.idempotency.once(
        headers,
        manager,
        &format!("POST /api/users/{id}/{what}"),
        content,
    )?;
    let mut tx = app.db.begin().await?;
    if let Some(earlier) = once.claim(app, &mut tx).await? {
        return Ok(earlier);
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
    let record = record.ok_or_else(BillingError::user_not_found)?;
    let answer = Answer::new(
        StatusCode::OK,
        &Value::Object(record.to_json_for(&principal)),
    );
    once.keep(app, &mut tx, &answer).await?;
    tx.commit().await?;
    // The change is made, whatever becomes of telling it.
    if let Err(error) = app
        .engine
        .publish("users", cf_collections::Action::Update, id)
        .await
    {
        tracing::warn!(error = %error.message, "a change could not be published");
    }
    Ok(answer)
}

async fn find(app: &App, principal: &Principal, id: &str) -> Result<Value, BillingError> {
    app.engine
        .view(principal, "users", id, &Shape::default())
        .await
        .map_err(no_user)
}

fn no_user(error: RecordError) -> BillingError {
    match error.status {
        404 => BillingError::user_not_found(),
        _ => error.into(),
    }
}

/// What of an administrator's record a billing key may change.
const OF_ADMINS: &[&str] = &["name", "product_id", "budget_total", "budget_reset_date"];

/// A billing key makes no administrators and does not get at theirs: with an
/// address, a password or a role it would become one itself.
fn leave_admins_alone(
    manager: &Manager,
    body: &Map<String, Value>,
    user: Option<&Value>,
) -> Result<(), Error> {
    if matches!(manager, Manager::Person(_)) {
        return Ok(());
    }
    let is_admin = user.is_some_and(|user| user["role"] == "admin");
    if body.get("role").is_some_and(|role| role == "admin") && !is_admin {
        return Err(Error::new(
            Kind::Forbidden,
            "A billing key makes no administrators; make one in the portal or with \
             `cloudfreedom admin create`.",
        ));
    }
    if is_admin && let Some(field) = body.keys().find(|f| !OF_ADMINS.contains(&f.as_str())) {
        return Err(Error::new(
            Kind::Forbidden,
            format!(
                "Of an administrator a billing key changes {} only, not {field}.",
                OF_ADMINS.join(", ")
            ),
        ));
    }
    Ok(())
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
