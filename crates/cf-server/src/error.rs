//! The only place where an error becomes an answer: in PocketBase's shape for
//! records and sign-in, in OpenAI's for the router, in the Billing API's for billing.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http};
use cf_base::{Error, Kind};
use cf_collections::RecordError;
use serde_json::json;

/// An answer in PocketBase's shape.
pub struct CoreError(pub RecordError);

/// An answer in OpenAI's shape.
pub struct RouterError(pub Error);

/// An answer in Anthropic's shape.
pub struct MessagesError(pub Error);

/// An answer in the Billing API's shape, which PocketBase's SDK can read too.
pub struct BillingError {
    error: Error,
    /// What is wrong with which field, as the record engine found it.
    fields: serde_json::Map<String, serde_json::Value>,
    /// The code where it says more than the error's kind.
    code: Option<&'static str>,
}

impl BillingError {
    /// The user that is meant does not exist, or not for this caller.
    pub fn user_not_found() -> Self {
        Self::coded(
            "user_not_found",
            Error::new(Kind::NotFound, "There is no such user."),
        )
    }

    /// An error with a code of its own.
    pub fn coded(code: &'static str, error: Error) -> Self {
        Self {
            code: Some(code),
            ..error.into()
        }
    }

    /// The error itself.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The error itself, for where nobody is answered.
    pub fn into_error(self) -> Error {
        self.error
    }

    /// Its code in answers.
    pub fn code(&self) -> &'static str {
        match (self.code, &self.error.kind) {
            (Some(code), _) => code,
            // The router's word for it is OpenAI's.
            (None, Kind::RateLimited { .. }) => "rate_limited",
            (None, kind) => code(kind),
        }
    }
}

impl From<RecordError> for CoreError {
    fn from(error: RecordError) -> Self {
        Self(error)
    }
}

impl From<Error> for CoreError {
    fn from(error: Error) -> Self {
        let mut record = RecordError::new(status(&error.kind).as_u16(), error.message.clone());
        if let Kind::Invalid { field: Some(field) } = &error.kind {
            record.data.insert(
                field.to_string(),
                json!({"code": "validation_invalid_value", "message": error.message}),
            );
        }
        log(&error);
        if let Kind::RateLimited { .. } = error.kind {
            record.source = Some(Box::new(error));
        }
        Self(record)
    }
}

impl From<cf_db::DbError> for CoreError {
    fn from(error: cf_db::DbError) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for RouterError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Error> for MessagesError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Error> for BillingError {
    fn from(error: Error) -> Self {
        Self {
            error,
            fields: serde_json::Map::new(),
            code: None,
        }
    }
}

impl From<cf_db::DbError> for BillingError {
    fn from(error: cf_db::DbError) -> Self {
        Error::from(error).into()
    }
}

impl From<RecordError> for BillingError {
    fn from(error: RecordError) -> Self {
        let kind = match error.status {
            404 => Kind::NotFound,
            401 => Kind::Unauthorized,
            403 => Kind::Forbidden,
            500.. => Kind::Internal,
            _ => Kind::Invalid { field: None },
        };
        let mut message = error.message.to_string();
        for (field, what) in &error.data {
            if let Some(text) = what.get("message").and_then(|m| m.as_str()) {
                message.push_str(&format!(" {field}: {text}"));
            }
        }
        let mut base = Error::new(kind, message);
        base.source = error.source;
        Self {
            error: base,
            fields: error.data,
            code: None,
        }
    }
}

impl IntoResponse for CoreError {
    fn into_response(self) -> Response {
        if let Some(source) = &self.0.source {
            if self.0.status >= 500 {
                tracing::error!(error = %source, status = self.0.status, "a request failed");
            } else {
                tracing::debug!(error = %source, status = self.0.status, "a request was refused");
            }
        }
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0.to_json())).into_response();
        if let Some(Kind::RateLimited { retry_after }) = self
            .0
            .source
            .as_ref()
            .and_then(|source| source.downcast_ref::<Error>())
            .map(|error| &error.kind)
        {
            come_back_after(&mut response, *retry_after);
        }
        response
    }
}

impl IntoResponse for RouterError {
    fn into_response(self) -> Response {
        log(&self.0);
        let param = match &self.0.kind {
            Kind::Invalid { field } => field.clone(),
            Kind::ModelNotFound => Some("model".into()),
            _ => None,
        };
        let body = json!({"error": {
            "message": self.0.message,
            "type": openai_type(&self.0.kind),
            "code": match param.as_deref() {
                // Programs begin a new conversation at this word of OpenAI's.
                Some("previous_response_id") => "previous_response_not_found",
                _ => code(&self.0.kind),
            },
            "param": param,
        }});
        answer(&self.0, body)
    }
}

impl IntoResponse for MessagesError {
    fn into_response(self) -> Response {
        log(&self.0);
        let body = cf_llm::error_body(cf_llm::error_type(&self.0.kind), &self.0.message);
        answer(&self.0, body)
    }
}

impl IntoResponse for BillingError {
    fn into_response(self) -> Response {
        let code = self.code();
        let Self {
            error,
            fields: mut data,
            ..
        } = self;
        log(&error);
        if let Kind::Invalid { field: Some(field) } = &error.kind {
            data.insert(
                field.to_string(),
                json!({"code": "validation_invalid_value", "message": error.message}),
            );
        }
        let body = json!({
            "status": status(&error.kind).as_u16(),
            "code": code,
            "error": error.message,
            "message": error.message,
            "data": data,
        });
        answer(&error, body)
    }
}

fn answer(error: &Error, body: serde_json::Value) -> Response {
    let mut response = (status(&error.kind), Json(body)).into_response();
    if let Kind::RateLimited { retry_after } = error.kind {
        come_back_after(&mut response, retry_after);
    }
    response
}

fn come_back_after(response: &mut Response, wait: Duration) {
    let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
    if let Ok(value) = HeaderValue::from_str(&seconds) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
}

/// Our own faults and the store's are logged here, once, with their cause.
fn log(error: &Error) {
    let causes = || {
        std::iter::successors(std::error::Error::source(error), |e| e.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    };
    match error.kind {
        Kind::Internal | Kind::Unavailable => {
            tracing::error!(message = %error.message, cause = causes(), "a request failed");
        }
        Kind::Upstream { status } => {
            tracing::warn!(message = %error.message, cause = causes(), status, "a provider failed");
        }
        _ => {}
    }
}

/// The status of each kind.
pub fn status(kind: &Kind) -> StatusCode {
    match kind {
        Kind::Invalid { .. } => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden
        | Kind::UserPending
        | Kind::UserSuspended
        | Kind::TenantSuspended
        | Kind::ModelNotAllowed
        | Kind::BudgetExceeded => StatusCode::FORBIDDEN,
        Kind::ModelNotFound | Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Upstream { status } => {
            StatusCode::from_u16(*status).unwrap_or(http::StatusCode::BAD_GATEWAY)
        }
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code of each kind, as interface and docs name them.
pub fn code(kind: &Kind) -> &'static str {
    match kind {
        Kind::Invalid { .. } => "invalid_request",
        Kind::Unauthorized => "invalid_api_key",
        Kind::Forbidden => "forbidden",
        Kind::UserPending => "user_pending",
        Kind::UserSuspended => "user_suspended",
        Kind::TenantSuspended => "tenant_suspended",
        Kind::ModelNotAllowed => "model_not_allowed",
        Kind::ModelNotFound => "model_not_found",
        Kind::NotFound => "not_found",
        Kind::BudgetExceeded => "budget_exceeded",
        Kind::RateLimited { .. } => "rate_limit_exceeded",
        Kind::Conflict => "conflict",
        Kind::TooLarge => "request_too_large",
        Kind::Unprocessable => "unprocessable",
        Kind::Upstream { .. } => "upstream_error",
        Kind::Unavailable => "unavailable",
        Kind::Internal => "internal_error",
    }
}

fn openai_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::RateLimited { .. } => "rate_limit_error",
        Kind::Forbidden
        | Kind::UserPending
        | Kind::UserSuspended
        | Kind::TenantSuspended
        | Kind::ModelNotAllowed
        | Kind::BudgetExceeded => "permission_error",
        Kind::Upstream { .. } | Kind::Unavailable | Kind::Internal => "server_error",
        _ => "invalid_request_error",
    }
}
