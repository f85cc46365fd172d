//! What administrators do with provider keys beside their records: try one out,
//! and see what was used by each.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use cf_base::{Error, Kind, ProviderKeyId, TenantId, Timestamp};
use cf_identity::{Actor, AuditEntry};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::error::CoreError;
use crate::extract::{RECORD_BODY, SignedIn, read_body};
use crate::openapi::CoreErrorAnswer;

/// Days that usage is summed over, unless said otherwise, and at most.
const DAYS: u32 = 30;
const MOST_DAYS: u32 = 400;
/// Longest name of a model.
const MODEL: usize = 500;

fn require_admin(signed_in: &SignedIn) -> Result<(), CoreError> {
    signed_in.account()?;
    if signed_in.is_admin() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Forbidden,
        "Only administrators try provider keys out and see their use.",
    )
    .into())
}

/// What is tried.
#[derive(Default, Deserialize, ToSchema)]
struct KeyTestRequest {
    /// The provider's name of a model; none: the first that is deployed with the key.
    #[serde(default)]
    model: Option<String>,
}

/// What became of it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the answer")]
struct KeyTestAnswer {
    /// Whether the provider answered.
    ok: bool,
    /// What is wrong, in a sentence; empty where nothing is.
    message: String,
    /// The provider's name of the model that was asked.
    model: String,
    /// The provider's status; 0 where there was no answer.
    status: u16,
    latency_ms: u64,
}

/// Makes the smallest real call with a provider key
///
/// Nobody's budget pays for it. A key that works is not set aside any more, one that
/// the provider refuses is.
#[utoipa::path(
    post, path = "/api/provider-keys/{id}/test", tag = "Provider keys", operation_id = "test_provider_key",
    security(("session" = [])),
    params(("id" = String, Path, description = "The record's id")),
    request_body = KeyTestRequest,
    responses(
        (status = 200, description = "What became of it", body = KeyTestAnswer),
        (status = 400, description = "No model is deployed with the key, and none is named", body = CoreErrorAnswer),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not an administrator", body = CoreErrorAnswer),
        (status = 404, description = "There is no such record", body = CoreErrorAnswer),
    )
)]
pub async fn test(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, CoreError> {
    require_admin(&signed_in)?;
    let body = read_body(body, RECORD_BODY).await?;
    let request: KeyTestRequest = if body.is_empty() {
        KeyTestRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|e| {
            Error::invalid(format!("The request body is not what is expected: {e}."))
        })?
    };
    let model = request.model.as_deref().map(str::trim);
    let model = model.filter(|model| !model.is_empty());
    if model.is_some_and(|model| model.len() > MODEL) {
        return Err(Error::invalid_field("model", "This name of a model is too long.").into());
    }
    let key = ProviderKeyId::parse(&id)
        .map_err(|_| Error::new(Kind::NotFound, "There is no such provider key."))?;
    let result = app.gateway.test_key(key, model).await?;
    let mut tx = app.db.begin().await?;
    let entry = AuditEntry {
        actor: Actor::account(signed_in.account()?),
        action: "try_out",
        collection: "provider_keys",
        record_id: key.as_str(),
        tenant_id: None::<TenantId>,
        changes: json!({}),
    };
    app.identity.audit(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(Json(json!({
        "ok": result.ok,
        "message": result.message,
        "model": result.model,
        "status": result.status,
        "latency_ms": u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX),
    })))
}

/// Which days are summed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Days {
    /// So many, today among them; 30 unless said otherwise, at most 400.
    days: Option<u32>,
}

/// Tells what was used by provider key
#[utoipa::path(
    get, path = "/api/provider-keys/usage", tag = "Provider keys", operation_id = "provider_key_usage",
    security(("session" = [])),
    params(Days),
    responses(
        (status = 200, description = "`from` and `items`: `{provider_key_id, requests, failed, prompt_tokens, completion_tokens, provider_cost}`, in US dollars", body = Value),
        (status = 400, description = "Not a number of days", body = CoreErrorAnswer),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not an administrator", body = CoreErrorAnswer),
    )
)]
pub async fn usage(
    State(app): State<App>,
    signed_in: SignedIn,
    days: Result<Query<Days>, QueryRejection>,
) -> Result<Json<Value>, CoreError> {
    require_admin(&signed_in)?;
    let Query(days) = days.map_err(|e| Error::invalid(e.body_text()))?;
    let days = days.days.unwrap_or(DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Error::invalid_field("days", "A number of days from 1 to 400.").into());
    }
    let back = Duration::from_secs(u64::from(days - 1) * 86_400);
    let back = i64::try_from(back.as_millis()).unwrap_or(0);
    let from = Timestamp::from_millis(app.clock.now().as_millis() - back);
    let items: Vec<Value> = cf_ledger::usage_by_provider_key(&app.db, from)
        .await?
        .into_iter()
        .map(|key| {
            json!({
                "provider_key_id": key.provider_key_id,
                "requests": key.requests,
                "failed": key.failed,
                "prompt_tokens": key.prompt_tokens,
                "completion_tokens": key.completion_tokens,
                "provider_cost": key.provider_cost.to_f64(),
            })
        })
        .collect();
    Ok(Json(json!({"from": from.to_day(), "items": items})))
}
