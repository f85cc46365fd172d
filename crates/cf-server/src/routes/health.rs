//! Whether each component works.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::App;
use crate::extract::SignedIn;

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
    check("database", app.db.ping().await.map_err(|e| e.to_string()));
    if with_ledger {
        let flushed =
            tokio::time::timeout(std::time::Duration::from_secs(2), app.ledger.flush()).await;
        check(
            "ledger",
            match flushed {
                Ok(result) => result.map_err(|e| e.to_string()),
                Err(_) => Err("the ledger's writer did not answer within 2 s".into()),
            },
        );
    }
    if failing.is_empty() {
        Json(json!({"status": "ok", "component": component, "checks": checks})).into_response()
    } else {
        let body = json!({"status": "failed", "component": component, "checks": checks,
            "failing": failing});
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    }
}
