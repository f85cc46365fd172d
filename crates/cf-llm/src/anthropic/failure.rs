//! Errors in Anthropic's shape.

use bytes::Bytes;
use cf_base::Kind;
use serde_json::{Value, json};

use crate::UpstreamFailure;
use crate::openai::said;

/// Anthropic's word for a kind of error.
pub fn error_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::Invalid { .. } | Kind::Unprocessable | Kind::Conflict => "invalid_request_error",
        Kind::Unauthorized => "authentication_error",
        Kind::Forbidden
        | Kind::UserPending
        | Kind::UserSuspended
        | Kind::TenantSuspended
        | Kind::ModelNotAllowed
        | Kind::BudgetExceeded => "permission_error",
        Kind::ModelNotFound | Kind::NotFound => "not_found_error",
        Kind::RateLimited { .. } => "rate_limit_error",
        Kind::TooLarge => "request_too_large",
        Kind::Upstream { status: 503 } => "overloaded_error",
        Kind::Upstream { status: 504 } => "timeout_error",
        Kind::Upstream { .. } | Kind::Unavailable | Kind::Internal => "api_error",
    }
}

/// An error in Anthropic's shape.
pub fn error_body(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

pub(crate) fn refusal(failure: &UpstreamFailure) -> Option<Bytes> {
    let kind = &failure.error.kind;
    matches!(kind, Kind::Invalid { .. }).then(|| {
        let body = error_body(error_type(kind), &failure.error.message);
        Bytes::from(body.to_string())
    })
}

pub(crate) fn error_frame(message: &str, code: &str) -> Bytes {
    let kind = match code {
        "upstream_timeout" => "timeout_error",
        "overloaded_error" | "rate_limit_error" => code,
        _ => "api_error",
    };
    let body = error_body(kind, message);
    Bytes::from(format!("event: error\ndata: {body}\n\n"))
}

pub(crate) fn failure_frame(data: &[u8], secret: &str) -> Bytes {
    let (message, kind) = said(data, secret);
    error_frame(&message, &kind)
}
