//! What the web part needs to know before anybody signs in, and the forms'
//! knowledge of providers.

use axum::Json;
use axum::extract::{Extension, State};
use serde_json::{Value, json};

use crate::App;
use crate::error::CoreError;
use crate::extract::SignedIn;
use crate::hosts::Site;

/// `GET /api/info`
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

/// `GET /api/providers`: for the provider key form.
pub async fn providers(signed_in: SignedIn) -> Result<Json<Value>, CoreError> {
    signed_in.account()?;
    Ok(Json(json!({"items": cf_llm::providers()})))
}
