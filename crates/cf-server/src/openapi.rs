//! The OpenAPI document of what is ours (records, sign-in and realtime are
//! PocketBase's and described there), made from the handlers and their types.

pub mod chats;
pub mod router;
pub mod tasks;

use axum::response::{IntoResponse, Response};
use axum::{Json, extract::State};
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};

use crate::App;
use crate::error::CoreError;

/// An error of the Billing API.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `error.rs` answers")]
pub struct ErrorAnswer {
    /// The HTTP status.
    status: u16,
    /// For programs: `invalid_request`, `invalid_api_key`, `forbidden`, `not_found`,
    /// `user_not_found`, `conflict`, `idempotency_key_reused`, `idempotency_key_in_use`,
    /// `rate_limited`, `unprocessable`, `request_too_large`, `unavailable` …
    code: String,
    /// A sentence for people.
    error: String,
    /// The same, as PocketBase's SDK reads it.
    message: String,
    /// What is wrong with which field: `{"field": {"code", "message"}}`.
    #[schema(value_type = Object)]
    data: Value,
}

/// An error in PocketBase's shape.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `error.rs` answers")]
pub struct CoreErrorAnswer {
    /// The HTTP status.
    status: u16,
    /// A sentence for people.
    message: String,
    /// What is wrong with which field: `{"field": {"code", "message"}}`.
    #[schema(value_type = Object)]
    data: Value,
}

/// The header that makes a write safe to repeat.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes a header")]
pub struct IdempotencyHeader {
    /// 1 to 255 characters: the same key with the same content again gets the first answer, for at
    /// least 24 hours; with other content 409.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "CloudFreedom",
        description = "The router (`/v1`), users, budgets and usage for other programs (the Billing API), and \
                       what the portal calls beside the record API. Money is a decimal number in the \
                       currency beside it."
    ),
    modifiers(&Keys),
    // What events hold is in no answer by name.
    components(schemas(chats::ChatCompletionChunk)),
    security(("billing_key" = []), ("session" = [])),
    tags(
        (name = "Users", description = "Users with key, budget and password"),
        (name = "Budgets", description = "Asking, reserving, resetting and topping up"),
        (name = "Usage", description = "What was used"),
        (name = "Statements", description = "What a tenant owes for a month"),
        (name = "Prices", description = "The price book and exchange rates"),
        (name = "API keys", description = "Users' keys for the router"),
        (name = "Provider keys", description = "Accounts at the providers: tried out, and their use"),
        (name = "Billing keys", description = "Keys for the Billing API"),
        (name = "Router", description = "OpenAI's and Anthropic's APIs, for every model of the caller: the fields that \
            are read or acted on here. Whatever else a request says reaches a provider that speaks the same, \
            and an answer may say more"),
        (name = "Server", description = "Health, set-up and what the web part needs to know"),
    )
)]
struct Description;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "billing_key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "X-API-Key",
                "A billing key; its scopes (read, check, log, manage) say what it may do.",
            ))),
        );
        components.add_security_scheme(
            "session",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(
                        "The token of somebody who is signed in; what they may do, their role says.",
                    ))
                    .build(),
            ),
        );
    }
}

/// A text or several, or one or several lists of tokens; at most so many.
fn texts_or_tokens(description: &str, most: usize) -> Schema {
    let token = || {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
    };
    let list = || ArrayBuilder::new().min_items(Some(1));
    OneOfBuilder::new()
        .description(Some(description))
        .item(Object::with_type(Type::String))
        .item(
            list()
                .items(Object::with_type(Type::String))
                .max_items(Some(most)),
        )
        .item(list().items(token()))
        .item(
            list()
                .items(ArrayBuilder::new().items(token()))
                .max_items(Some(most)),
        )
        .build()
        .into()
}

/// The frame of the document; the paths come with the routes.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// An object whose fields are not named may have any. Code that is made from the
/// document would else allow none.
fn open_free_objects(part: &mut Value) {
    const NO_SCHEMAS: [&str; 4] = ["example", "examples", "default", "enum"];
    let is_object = |kind: &Value| {
        let is = |kind: &Value| kind == "object";
        is(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(is))
    };
    match part {
        Value::Object(fields) => {
            let named = ["properties", "additionalProperties", "allOf"];
            let is_free = fields.get("type").is_some_and(is_object)
                && !named.iter().any(|name| fields.contains_key(*name));
            if is_free {
                fields.insert("additionalProperties".into(), true.into());
            }
            for (name, part) in fields {
                if !NO_SCHEMAS.contains(&name.as_str()) {
                    open_free_objects(part);
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(open_free_objects),
        _ => {}
    }
}

/// `GET /api/openapi.json`
pub async fn serve(State(_): State<App>) -> Result<Response, CoreError> {
    let document = serde_json::to_value(crate::routes::document());
    let mut document = document.map_err(cf_base::Error::internal)?;
    open_free_objects(&mut document);
    Ok(Json(document).into_response())
}
