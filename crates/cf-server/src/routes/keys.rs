//! A user's API keys: made, rotated, revoked. The key is shown once.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cf_base::{Id, KeyId, Limits, TenantId, Timestamp, UserId, parse_decimal_nanos};
use cf_collections::{Principal, RecordError, Shape};
use cf_identity::{Actor, AuditEntry, NewKey};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use utoipa::ToSchema;

use crate::App;
use crate::error::CoreError;
use crate::extract::{RECORD_BODY, SignedIn, read_body};
use crate::openapi::CoreErrorAnswer;
use crate::provision;

/// Longest time that a rotated key stays good: 30 days.
const MAX_GRACE: u64 = 30 * 86_400;
/// Keys of one user at most.
const MAX_KEYS: i64 = 100;

/// An API key to make.
#[derive(Deserialize, ToSchema)]
struct NewKeyRequest {
    /// A name, at most 100 characters.
    #[serde(default)]
    name: String,
    /// Whose key it is; one's own if not said.
    user_id: Option<String>,
    /// The models it may use; empty for all of the product.
    #[serde(default)]
    models: Vec<String>,
    /// A budget of its own.
    #[schema(value_type = Option<f64>)]
    budget_total: Option<Number>,
    /// Requests a minute of this key; 0 for no limit of its own.
    #[serde(default)]
    rate_limit: u32,
    /// Tokens a minute of this key; 0 for no limit of its own.
    #[serde(default)]
    tokens_per_minute: u32,
    /// Requests at the same time of this key; 0 for no limit of its own.
    #[serde(default)]
    parallel_requests: u32,
    /// When it ends.
    expires: Option<String>,
}

/// An API key as a record.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what the record engine answers")]
pub struct KeyRecord {
    id: String,
    name: String,
    user_id: String,
    tenant_id: String,
    prefix: String,
    last4: String,
    models: Vec<String>,
    budget_total: f64,
    budget_used: f64,
    rate_limit: u64,
    tokens_per_minute: u64,
    parallel_requests: u64,
    expires: String,
    /// `active` or `revoked`.
    status: String,
    last_used: String,
    /// The key itself, this once.
    key: String,
    created: String,
    updated: String,
}

/// Makes an API key
///
/// For oneself, or by those who manage the user.
#[utoipa::path(
    post, path = "/api/keys", tag = "API keys", operation_id = "create_key",
    security(("session" = [])),
    request_body = NewKeyRequest,
    responses(
        (status = 200, description = "The key, in full this once", body = KeyRecord),
        (status = 400, description = "A field cannot be taken", body = CoreErrorAnswer),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not one's own to manage", body = CoreErrorAnswer),
        (status = 404, description = "There is no such user", body = CoreErrorAnswer),
    )
)]
pub async fn create(
    State(app): State<App>,
    signed_in: SignedIn,
    body: Body,
) -> Result<Json<Value>, CoreError> {
    let account = signed_in.account()?;
    let request: NewKeyRequest = parse(&read_body(body, RECORD_BODY).await?)?;
    let user_id = match (&request.user_id, account.is_superuser()) {
        (Some(id), _) if !id.is_empty() => id.clone(),
        (_, false) => account.id.to_string(),
        (_, true) => {
            return Err(RecordError::field(
                "user_id",
                "validation_required",
                "Say whose key it is: a superuser has none of its own.",
            )
            .into());
        }
    };
    let user = may_manage(&app, &signed_in.principal, &user_id).await?;
    if request.name.chars().count() > 100 {
        return Err(field("name", "A name has at most 100 characters."));
    }
    if request.models.len() > 200 || request.models.iter().any(|m| m.len() > 200) {
        return Err(field(
            "models",
            "At most 200 models, of 200 characters each.",
        ));
    }
    let expires = match request.expires.as_deref().filter(|t| !t.is_empty()) {
        None => None,
        Some(text) => Some(
            Timestamp::parse(text)
                .filter(|time| *time > app.clock.now())
                .ok_or_else(|| field("expires", "A time in the future, such as 2027-01-31."))?,
        ),
    };
    let limit = match &request.budget_total {
        None => None,
        Some(number) => Some(
            parse_decimal_nanos(&number.to_string())
                .filter(|nanos| *nanos >= 0)
                .map(cf_base::Nanos)
                .ok_or_else(|| field("budget_total", "An amount, not below zero."))?,
        )
        .filter(|limit| limit.0 > 0),
    };
    let count: i64 = app
        .db
        .query_opt(
            "select count(*) from api_keys where user_id = $1 and status = 'active'",
            vec![(&user_id).into()],
        )
        .await?
        .map_or(Ok(0), |row| row.at(0))?;
    if count >= MAX_KEYS {
        return Err(field("name", "This user has 100 keys; revoke one first."));
    }
    let owner = Id::parse(&user_id).map_err(|_| field("user_id", "There is no such user."))?;
    let mut tx = app.db.begin().await?;
    let issued = provision::issue_key(
        &mut tx,
        &app.clock,
        &app.random,
        &app.identity,
        NewKey {
            user_id: UserId(owner),
            tenant_id: user["tenant_id"]
                .as_str()
                .and_then(|t| TenantId::parse(t).ok()),
            name: request.name,
            models: request.models,
            limits: Limits {
                requests_per_minute: request.rate_limit,
                tokens_per_minute: request.tokens_per_minute,
                parallel_requests: request.parallel_requests,
            },
            expires,
            key: None,
        },
        limit,
        signed_in.principal.email(),
    )
    .await?;
    audit(&app, &mut tx, &signed_in, "create", issued.id).await?;
    let record = answer(&app, &mut tx, &signed_in.principal, &issued).await?;
    tx.commit().await?;
    Ok(Json(record))
}

/// How a key is rotated.
#[derive(Deserialize, Default, ToSchema)]
struct Rotation {
    /// How long the old key stays good, at most 30 days.
    #[serde(default)]
    grace_seconds: u64,
}

/// Gives an API key a new secret
#[utoipa::path(
    post, path = "/api/keys/{id}/rotate", tag = "API keys", operation_id = "rotate_key",
    security(("session" = [])),
    params(("id" = String, Path, description = "The key's id")),
    request_body = Rotation,
    responses(
        (status = 200, description = "The key, in full this once", body = KeyRecord),
        (status = 400, description = "A field cannot be taken", body = CoreErrorAnswer),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not one's own to manage", body = CoreErrorAnswer),
        (status = 404, description = "There is no such key", body = CoreErrorAnswer),
    )
)]
pub async fn rotate(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, CoreError> {
    signed_in.account()?;
    let body = read_body(body, RECORD_BODY).await?;
    let rotation: Rotation = if body.is_empty() {
        Rotation::default()
    } else {
        parse(&body)?
    };
    if rotation.grace_seconds > MAX_GRACE {
        return Err(field("grace_seconds", "At most 30 days."));
    }
    let (key, old_mask) = managed_key(&app, &signed_in.principal, &id).await?;
    let mut tx = app.db.begin().await?;
    let grace = Duration::from_secs(rotation.grace_seconds);
    let issued = app.identity.rotate_key(&mut tx, key, grace).await?;
    // The user's record shows the mask of its first key.
    tx.execute(
        "update users set litellm_api_key = $1 where id = (select user_id from api_keys where id = $2) \
         and litellm_api_key = $3",
        vec![
            issued.masked.clone().into(),
            key.into(),
            old_mask.into(),
        ],
    )
    .await?;
    audit(&app, &mut tx, &signed_in, "rotate", key).await?;
    let record = answer(&app, &mut tx, &signed_in.principal, &issued).await?;
    tx.commit().await?;
    Ok(Json(record))
}

/// Revokes an API key
#[utoipa::path(
    delete, path = "/api/keys/{id}", tag = "API keys", operation_id = "revoke_key",
    security(("session" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not one's own to manage", body = CoreErrorAnswer),
        (status = 404, description = "There is no such key", body = CoreErrorAnswer),
    )
)]
pub async fn revoke(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<StatusCode, CoreError> {
    signed_in.account()?;
    let (key, _) = managed_key(&app, &signed_in.principal, &id).await?;
    let mut tx = app.db.begin().await?;
    app.identity.revoke_key(&mut tx, key).await?;
    audit(&app, &mut tx, &signed_in, "revoke", key).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The key's record with the key itself, this once.
async fn answer(
    app: &App,
    tx: &mut cf_db::Tx,
    principal: &Principal,
    issued: &cf_identity::Issued,
) -> Result<Value, CoreError> {
    let record = app
        .engine
        .find_in(tx, "api_keys", issued.id.as_str())
        .await?
        .ok_or_else(|| field("id", "There is no such key."))?;
    let mut shown = record.to_json_for(principal);
    shown.insert("key".into(), issued.key.expose().into());
    Ok(Value::Object(shown))
}

/// The user whose keys are managed: one's own, or one that an administrator may change.
async fn may_manage(app: &App, principal: &Principal, user_id: &str) -> Result<Value, CoreError> {
    let user = app
        .engine
        .view(principal, "users", user_id, &Shape::default())
        .await?;
    let allowed = match principal {
        Principal::Guest => false,
        Principal::Superuser { .. } => true,
        Principal::User(person) => {
            person.id == user_id
                || person.role == cf_base::Role::Admin
                || (person.role == cf_base::Role::TenantAdmin
                    && user["tenant_id"] == person.tenant_id.as_str()
                    && user["role"] != "admin")
        }
    };
    if allowed {
        Ok(user)
    } else {
        Err(RecordError::new(403, "You may not manage this user's keys.").into())
    }
}

/// The key, and how its mask stands with the user.
async fn managed_key(
    app: &App,
    principal: &Principal,
    id: &str,
) -> Result<(KeyId, String), CoreError> {
    let key = app
        .engine
        .view(principal, "api_keys", id, &Shape::default())
        .await?;
    may_manage(app, principal, key["user_id"].as_str().unwrap_or_default()).await?;
    let mask = format!(
        "{}••••{}",
        key["prefix"].as_str().unwrap_or_default(),
        key["last4"].as_str().unwrap_or_default()
    );
    match KeyId::parse(id) {
        Ok(key) => Ok((key, mask)),
        Err(_) => Err(field("id", "There is no such key.")),
    }
}

async fn audit(
    app: &App,
    tx: &mut cf_db::Tx,
    signed_in: &SignedIn,
    action: &'static str,
    key: KeyId,
) -> Result<(), CoreError> {
    let account = signed_in.account()?;
    let entry = AuditEntry {
        actor: Actor::account(account),
        action,
        collection: "api_keys",
        record_id: key.as_str(),
        tenant_id: account.tenant_id,
        changes: json!({}),
    };
    app.identity.audit(tx, entry).await?;
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, CoreError> {
    serde_json::from_slice(body).map_err(|e| {
        RecordError::new(
            400,
            format!("The request body is not what is expected: {e}."),
        )
        .into()
    })
}

fn field(name: &str, message: &'static str) -> CoreError {
    let mut error = RecordError::field(name, "validation_invalid_value", message);
    error.message = message.into();
    error.into()
}
