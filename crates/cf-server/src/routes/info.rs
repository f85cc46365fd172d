//! What the web part needs to know before anybody signs in, and the forms'
//! knowledge of providers.

use axum::Json;
use axum::extract::{Extension, State};
use serde_json::{Value, json};

use crate::App;
use crate::error::CoreError;
use crate::extract::SignedIn;
use crate::hosts::Site;
use crate::openapi::CoreErrorAnswer;

/// What the web part needs to know before anybody signs in
#[utoipa::path(
    get, path = "/api/info", tag = "Server", operation_id = "info", security(()),
    responses((status = 200, description = "Version, component and tenant at this host", body = Object))
)]
pub async fn info(State(app): State<App>, Extension(site): Extension<Site>) -> Json<Value> {
    let (component, tenant) = match &site {
        Site::Tenant(tenant) => (
            "chat",
            json!({
                "id": tenant.id, "name": tenant.name, "slug": tenant.slug,
                "signup_enabled": tenant.signup_enabled, "locale": tenant.locale,
            }),
        ),
        _ => ("portal", Value::Null),
    };
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "component": component,
        "demo": app.config.demo,
        "setup_required": app.setup.read().is_some(),
        "tenant": tenant,
        "base_domain": app.config.base_domain,
        "public_url_hint": app.public_url("app"),
    }))
}

/// Lists the kinds of providers, for the form
#[utoipa::path(
    get, path = "/api/providers", tag = "Server", operation_id = "providers",
    security(("session" = [])),
    responses(
        (status = 200, description = "`{items}`", body = Object),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
    )
)]
pub async fn providers(signed_in: SignedIn) -> Result<Json<Value>, CoreError> {
    signed_in.account()?;
    Ok(Json(json!({"items": cf_llm::providers()})))
}
