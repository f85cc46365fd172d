//! Whether each component works.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::App;
use crate::extract::SignedIn;

/// How long a check may take.
const ANSWER: Duration = Duration::from_secs(2);

/// `GET /health` at `api.`
pub async fn core(State(app): State<App>) -> Response {
    health(&app, "core", false).await
}

/// `GET /health` at `admin.`
pub async fn portal(State(app): State<App>) -> Response {
    health(&app, "portal", false).await
}

/// Whether the component at this host works
#[utoipa::path(
    get, path = "/health", tag = "Server", operation_id = "health", security(()),
    responses(
        (status = 200, description = "It works: `{status, component, checks}`", body = Object),
        (status = 503, description = "`failing` names what does not", body = Object),
    )
)]
pub async fn billing(State(app): State<App>) -> Response {
    health(&app, "billing", true).await
}

/// `GET /health` at a tenant's host.
pub async fn router(State(app): State<App>) -> Response {
    health(&app, "router", true).await
}

/// `GET /health` at any other host.
pub async fn all(State(app): State<App>) -> Response {
    health(&app, "all", true).await
}

/// Whether the database answers, as PocketBase says it
#[utoipa::path(
    get, path = "/api/health", tag = "Server", operation_id = "api_health", security(()),
    responses(
        (status = 200, description = "`{code, message, data}`", body = Object),
        (status = 503, description = "The database does not answer", body = Object),
    )
)]
pub async fn pocketbase(State(app): State<App>, signed_in: SignedIn) -> Response {
    let mut data = serde_json::Map::new();
    if matches!(
        signed_in.principal,
        cf_collections::Principal::Superuser { .. }
    ) {
        data.insert("canBackup".into(), false.into());
    }
    match app.db.ping().await {
        Ok(()) => {
            Json(json!({"code": 200, "message": "API is healthy.", "data": data})).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                Json(json!({"code": 503, "message": "The database does not answer.", "data": {}})),
            )
                .into_response()
        }
    }
}

/// Who asks for the health must have an answer also when nothing else gives one.
async fn within<E: std::fmt::Display>(
    check: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    match tokio::time::timeout(ANSWER, check).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

async fn health(app: &App, component: &str, with_ledger: bool) -> Response {
    let mut checks = serde_json::Map::new();
    let mut failing = Vec::new();
    let mut check = |name: &'static str, result: Result<(), String>| match result {
        Ok(()) => {
            checks.insert(name.into(), "ok".into());
        }
        Err(error) => {
            tracing::error!(check = name, %error, "a health check failed");
            checks.insert(name.into(), "failed".into());
            failing.push(name);
        }
    };
    check("database", within(app.db.ping()).await);
    if with_ledger {
        check("ledger", within(app.ledger.writable()).await);
    }
    if failing.is_empty() {
        Json(json!({"status": "ok", "component": component, "checks": checks})).into_response()
    } else {
        let body = json!({"status": "failed", "component": component, "checks": checks,
            "failing": failing});
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    }
}
