//! Keys of the Billing API, for administrators: listed, made, revoked. The key
//! is shown once.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cf_base::{Error, Kind, TenantId};
use cf_identity::{
    Actor, AuditEntry, BILLING_REQUESTS_PER_MINUTE, BillingScopes, ListedBillingKey, NewBillingKey,
    count_billing_keys, list_billing_keys,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::error::BillingError;
use crate::extract::{Params, RECORD_BODY, SignedIn, read_body};
use crate::openapi::ErrorAnswer;

/// Keys on a page if nothing is said, and at most.
const PER_PAGE: u32 = 100;
const PER_PAGE_MAX: u32 = 500;

/// A billing key as it is shown.
#[derive(Serialize, ToSchema)]
pub struct BillingKeyAnswer {
    /// Its id.
    id: String,
    /// What it is for.
    name: String,
    /// `read`, `check`, `log`, `manage`; `manage` is all of them.
    scopes: Vec<&'static str>,
    /// The one tenant it sees and touches; empty for all.
    tenant_id: String,
    /// Requests a minute.
    requests_per_minute: u32,
    /// The last four characters of the key.
    last4: String,
    /// `active` or `revoked`.
    status: &'static str,
    /// When it was made.
    created: String,
    /// When it was revoked; empty while it works.
    revoked: String,
    /// The key itself, in the answer to its making only.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// A page of billing keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BillingKeyPage {
    page: u32,
    per_page: u32,
    total_items: i64,
    total_pages: i64,
    /// Those that work first, then the newest.
    items: Vec<BillingKeyAnswer>,
}

/// A billing key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBillingKeyRequest {
    /// What it is for; the audit log shows it.
    name: String,
    /// At least one of `read`, `check`, `log`, `manage`.
    scopes: Vec<String>,
    /// The one tenant it sees and touches; left out or empty for all.
    tenant_id: Option<String>,
    /// 60000 if not said.
    requests_per_minute: Option<u32>,
}

/// Which page is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// From 1.
    page: Option<u32>,
    /// 100 if not said, 500 at most.
    #[serde(rename = "perPage", alias = "per_page")]
    per_page: Option<u32>,
}

impl BillingKeyAnswer {
    fn of(listed: ListedBillingKey) -> Self {
        Self {
            id: listed.key.id_text(),
            name: listed.key.name,
            scopes: listed.key.scopes.words(),
            tenant_id: listed
                .key
                .tenant_id
                .map(|t| t.to_string())
                .unwrap_or_default(),
            requests_per_minute: listed.key.requests_per_minute,
            last4: listed.last4,
            status: if listed.active { "active" } else { "revoked" },
            created: listed.created,
            revoked: listed.revoked,
            key: None,
        }
    }
}

/// Lists billing keys
///
/// For administrators who are signed in; the key given from outside is not among them.
#[utoipa::path(
    get, path = "/api/billing-keys", tag = "Billing keys", operation_id = "list_billing_keys",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of keys", body = BillingKeyPage),
        (status = 401, description = "Nobody is signed in", body = ErrorAnswer),
        (status = 403, description = "Not an administrator", body = ErrorAnswer),
    )
)]
pub async fn list(
    State(app): State<App>,
    signed_in: SignedIn,
    Params(query): Params<PageQuery>,
) -> Result<Json<BillingKeyPage>, BillingError> {
    require_admin(&signed_in)?;
    let page = query.page.unwrap_or(1).max(1);
    let per_page = query.per_page.unwrap_or(PER_PAGE).clamp(1, PER_PAGE_MAX);
    let offset = u64::from(page - 1) * u64::from(per_page);
    let listed = list_billing_keys(&app.db, per_page, offset).await?;
    let total_items = count_billing_keys(&app.db).await?;
    Ok(Json(BillingKeyPage {
        page,
        per_page,
        total_items,
        total_pages: (total_items + i64::from(per_page) - 1) / i64::from(per_page),
        items: listed.into_iter().map(BillingKeyAnswer::of).collect(),
    }))
}

/// Makes a billing key
///
/// For administrators who are signed in. The key stands in the answer, this once.
#[utoipa::path(
    post, path = "/api/billing-keys", tag = "Billing keys", operation_id = "create_billing_key",
    request_body = NewBillingKeyRequest,
    responses(
        (status = 201, description = "The key", body = BillingKeyAnswer),
        (status = 400, description = "A field cannot be taken", body = ErrorAnswer),
        (status = 401, description = "Nobody is signed in", body = ErrorAnswer),
        (status = 403, description = "Not an administrator", body = ErrorAnswer),
    )
)]
pub async fn create(
    State(app): State<App>,
    signed_in: SignedIn,
    body: Body,
) -> Result<(StatusCode, Json<BillingKeyAnswer>), BillingError> {
    let actor = require_admin(&signed_in)?;
    let request: NewBillingKeyRequest =
        serde_json::from_slice(&read_body(body, RECORD_BODY).await?).map_err(|e| {
            Error::invalid(format!("The request body is not what is expected: {e}."))
        })?;
    let tenant_id = match request.tenant_id.as_deref().filter(|t| !t.is_empty()) {
        None => None,
        Some(text) => Some(
            TenantId::parse(text)
                .map_err(|_| Error::invalid_field("tenant_id", "There is no such tenant."))?,
        ),
    };
    let new = NewBillingKey {
        name: request.name.trim().to_owned(),
        scopes: BillingScopes::parse(request.scopes.iter().map(String::as_str))?,
        tenant_id,
        requests_per_minute: request
            .requests_per_minute
            .unwrap_or(BILLING_REQUESTS_PER_MINUTE),
    };
    let mut tx = app.db.begin().await?;
    let (id, key) = app.identity.create_billing_key(&mut tx, &new).await?;
    let entry = AuditEntry {
        actor,
        action: "create",
        collection: "billing_keys",
        record_id: id.as_str(),
        tenant_id,
        changes: json!({"name": new.name, "scopes": new.scopes.words(),
            "requests_per_minute": new.requests_per_minute}),
    };
    app.identity.audit(&mut tx, entry).await?;
    tx.commit().await?;
    let text = key.expose();
    Ok((
        StatusCode::CREATED,
        Json(BillingKeyAnswer {
            id: id.to_string(),
            scopes: new.scopes.words(),
            name: new.name,
            tenant_id: tenant_id.map(|t| t.to_string()).unwrap_or_default(),
            requests_per_minute: new.requests_per_minute,
            last4: text[text.len() - 4..].to_owned(),
            status: "active",
            created: app.clock.now().to_date_text().to_string(),
            revoked: String::new(),
            key: Some(text.to_owned()),
        }),
    ))
}

/// Revokes a billing key, by its id
///
/// For administrators who are signed in. It works no more at once, and stays listed.
#[utoipa::path(
    delete, path = "/api/billing-keys/{id}", tag = "Billing keys", operation_id = "revoke_billing_key",
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 401, description = "Nobody is signed in", body = ErrorAnswer),
        (status = 403, description = "Not an administrator", body = ErrorAnswer),
        (status = 404, description = "There is no such key in use", body = ErrorAnswer),
    )
)]
pub async fn revoke(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<StatusCode, BillingError> {
    let actor = require_admin(&signed_in)?;
    let mut tx = app.db.begin().await?;
    let key = app.identity.revoke_billing_key(&mut tx, &id).await?;
    let entry = AuditEntry {
        actor,
        action: "revoke",
        collection: "billing_keys",
        record_id: &key.id_text(),
        tenant_id: key.tenant_id,
        changes: json!({"name": key.name}),
    };
    app.identity.audit(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Billing keys see every tenant's money: administrators only, and no billing key itself.
fn require_admin(signed_in: &SignedIn) -> Result<Actor, Error> {
    match signed_in.session.as_deref() {
        None => Err(Error::new(
            Kind::Unauthorized,
            "Sign in as an administrator to manage billing keys.",
        )),
        Some(session) if signed_in.is_admin() => Ok(Actor::account(session.account())),
        Some(_) => Err(Error::new(
            Kind::Forbidden,
            "Only administrators may manage billing keys.",
        )),
    }
}
