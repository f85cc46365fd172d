//! What was asked and answered, for those who may read it; each reading is written
//! down before it is answered.

use axum::Json;
use axum::extract::{Path, State};
use cf_base::{Error, Kind, Role, TenantId};
use cf_collections::Principal;
use cf_identity::{Actor, AuditEntry};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::App;
use crate::error::CoreError;
use crate::extract::SignedIn;
use crate::openapi::CoreErrorAnswer;

/// A call as it was kept.
#[derive(Serialize, ToSchema)]
pub struct LoggedPrompt {
    request_id: String,
    user_id: String,
    tenant_id: String,
    /// When it began.
    created: String,
    /// The endpoint, such as `chat/completions`.
    endpoint: String,
    /// The request's body; of a form its fields, without the files.
    question: String,
    /// Whether that is its beginning only.
    question_cut: bool,
    /// What the client was given, as far as it came; of a stream its events.
    answer: String,
    /// Whether that is its beginning only.
    answer_cut: bool,
}

/// Reads what was asked and answered in a call
///
/// For administrators, and tenant administrators of calls of their tenant, where the tenant keeps
/// prompts. Each reading stands in the audit log.
#[utoipa::path(
    get, path = "/api/usage/{request_id}/prompt", tag = "Usage", operation_id = "read_prompt",
    security(("session" = [])),
    params(("request_id" = String, Path, description = "The call's id, as in `x-request-id`")),
    responses(
        (status = 200, description = "What was kept", body = LoggedPrompt),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not an administrator", body = CoreErrorAnswer),
        (status = 404, description = "Nothing is kept of such a call, or it is not your tenant's", body = CoreErrorAnswer),
    )
)]
pub async fn read(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(request_id): Path<String>,
) -> Result<Json<LoggedPrompt>, CoreError> {
    let reader = signed_in.account()?;
    let only = only_tenant(&signed_in)?;
    let found = app.gateway.prompt(&request_id).await?;
    let prompt = found
        .filter(|prompt| only.is_none_or(|tenant| tenant == prompt.tenant_id))
        .ok_or_else(|| Error::new(Kind::NotFound, "Nothing is kept of such a call."))?;
    let mut tx = app.db.begin().await?;
    let entry = AuditEntry {
        actor: Actor::account(reader),
        action: "read_prompt",
        collection: "usage_logs",
        record_id: &request_id,
        tenant_id: Some(prompt.tenant_id),
        changes: json!({"user_id": prompt.user_id}),
    };
    app.identity.audit(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(Json(LoggedPrompt {
        request_id,
        user_id: prompt.user_id,
        tenant_id: prompt.tenant_id.to_string(),
        created: prompt.created.to_date_text().to_string(),
        endpoint: prompt.endpoint,
        question: prompt.question,
        question_cut: prompt.question_cut,
        answer: prompt.answer,
        answer_cut: prompt.answer_cut,
    }))
}

/// The tenant whose calls may be read; none for all of them.
fn only_tenant(signed_in: &SignedIn) -> Result<Option<TenantId>, Error> {
    if signed_in.is_admin() {
        return Ok(None);
    }
    match &signed_in.principal {
        Principal::User(user) if user.role == Role::TenantAdmin => {
            if let Ok(tenant) = TenantId::parse(&user.tenant_id) {
                return Ok(Some(tenant));
            }
        }
        _ => {}
    }
    Err(Error::new(
        Kind::Forbidden,
        "Only administrators read what others asked, tenant administrators that of their tenant.",
    ))
}
