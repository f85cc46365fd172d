//! What all routes under `/v1` have in common: keys, headers, and refusals in the
//! shape of the API that was called. Added to each of them, so that none is
//! described without.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, Content, ContentBuilder, Object, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    Schema, Type,
};
use utoipa::{PartialSchema as _, ToSchema};

/// An error of the router, in OpenAI's shape.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `error.rs` answers")]
pub struct RouterErrorAnswer {
    error: RouterError,
}

/// What went wrong.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `error.rs` answers")]
struct RouterError {
    /// A sentence for people: who or what refused, and what to do.
    message: String,
    /// `invalid_request_error`, `permission_error`, `rate_limit_error`, `server_error`, or the
    /// provider's.
    r#type: String,
    /// The field at fault, where there is one.
    param: Option<String>,
    /// For programs: `invalid_request`, `previous_response_not_found`, `content_filter`,
    /// `invalid_api_key`, `budget_exceeded`, `user_pending`, `user_suspended`, `tenant_suspended`,
    /// `model_not_allowed`, `model_not_found`, `not_found`, `request_too_large`, `unprocessable`,
    /// `rate_limit_exceeded`, `upstream_error`, `unavailable`, or the provider's.
    code: Option<String>,
}

/// An error of the router, in Anthropic's shape.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `error.rs` answers")]
pub struct MessagesErrorAnswer {
    /// Always `error`.
    r#type: String,
    error: MessagesError,
}

/// What went wrong.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `error.rs` answers")]
struct MessagesError {
    /// `invalid_request_error`, `authentication_error`, `permission_error`, `not_found_error`,
    /// `request_too_large`, `rate_limit_error`, `overloaded_error`, `timeout_error` or `api_error`.
    r#type: String,
    /// A sentence for people: who or what refused, and what to do.
    message: String,
}

/// Where the key may stand.
const KEYS: [&str; 3] = ["router_key", "router_key_anthropic", "router_key_azure"];

/// Headers of answers.
const HEADERS: [(&str, Type, &str); 16] = [
    (
        "x-request-id",
        Type::String,
        "The id of the request: the usage log has it, and so does the server's log.",
    ),
    (
        "request-id",
        Type::String,
        "The same under the name that Anthropic's clients read.",
    ),
    (
        "x-cf-model",
        Type::String,
        "The provider's name of the model that was asked last.",
    ),
    (
        "x-cf-provider",
        Type::String,
        "The provider that was asked last.",
    ),
    (
        "x-cf-budget-remaining",
        Type::Number,
        "What is left of the user's budget, in its currency; of a stream, when it begins. Absent where \
         there is no limit.",
    ),
    (
        "x-cf-cost",
        Type::Number,
        "What the call cost, in the currency of the budget. Not of what comes in pieces.",
    ),
    (
        "x-cf-output-limit",
        Type::Integer,
        "The limit of output tokens, only where it was lowered to what budget or model allow.",
    ),
    (
        "x-cf-dropped-params",
        Type::String,
        "Fields that the provider cannot do and that were left out as asked, with commas between them.",
    ),
    (
        "x-cf-cache",
        Type::String,
        "`hit` or `miss`, only of tenants whose answers are given again.",
    ),
    (
        "x-ratelimit-limit-requests",
        Type::Integer,
        "Requests a minute that are allowed, by the tightest limit. Absent where there is none.",
    ),
    (
        "x-ratelimit-remaining-requests",
        Type::Integer,
        "How many of them are left now.",
    ),
    (
        "x-ratelimit-reset-requests",
        Type::String,
        "When all of them are there again, such as `1m30s` or `20ms`.",
    ),
    (
        "x-ratelimit-limit-tokens",
        Type::Integer,
        "Tokens a minute that are allowed, by the tightest limit. Absent where there is none.",
    ),
    (
        "x-ratelimit-remaining-tokens",
        Type::Integer,
        "How many of them are left now.",
    ),
    (
        "x-ratelimit-reset-tokens",
        Type::String,
        "When all of them are there again, such as `1m30s` or `20ms`.",
    ),
    (
        "retry-after",
        Type::Integer,
        "Seconds after which to come back. At 503 only where it is known.",
    ),
];

const REQUEST_ID: &[&str] = &["x-request-id"];
/// Of a call to a model.
const CALL: &[&str] = &[
    "x-request-id",
    "x-cf-model",
    "x-cf-provider",
    "x-cf-budget-remaining",
    "x-cf-cost",
    "x-cf-dropped-params",
    "x-cf-cache",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];
const LIMITED: &[&str] = &[
    "x-request-id",
    "retry-after",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];
const LATER: &[&str] = &["x-request-id", "retry-after"];

/// A refusal: its status, its name in the document, what it says, its headers, and
/// whether calls alone are refused so.
struct Refusal {
    status: u16,
    name: &'static str,
    text: &'static str,
    headers: &'static [&'static str],
    calls_only: bool,
}

const REFUSALS: [Refusal; 10] = [
    Refusal {
        status: 400,
        name: "Refused",
        text: "The request cannot be sent so: `param` names the field. Also what the provider refuses, with \
               its own words, `param` and `code`; then who was asked is in the headers.",
        headers: CALL,
        calls_only: true,
    },
    Refusal {
        status: 401,
        name: "NoKey",
        text: "There is no key, or it is unknown, expired, revoked, or not of the tenant at this address.",
        headers: REQUEST_ID,
        calls_only: false,
    },
    Refusal {
        status: 403,
        name: "NotAllowed",
        text: "The budget of key, user or tenant cannot cover the call (the message begins `Budget exceeded`), \
               the user or tenant is not active, or the model is not part of key, product or regions.",
        headers: REQUEST_ID,
        calls_only: false,
    },
    Refusal {
        status: 404,
        name: "NoSuchModel",
        text: "There is no such model for this caller.",
        headers: REQUEST_ID,
        calls_only: true,
    },
    Refusal {
        status: 413,
        name: "TooLarge",
        text: "The body is larger than 32 MiB.",
        headers: REQUEST_ID,
        calls_only: true,
    },
    Refusal {
        status: 422,
        name: "NotBillable",
        text: "What the call may cost cannot be said: no price or exchange rate is known, or the size of the \
               prompt (files, videos, searches) is bounded by nothing.",
        headers: REQUEST_ID,
        calls_only: true,
    },
    Refusal {
        status: 429,
        name: "Limited",
        text: "A limit of key, user, tenant or model is reached, or the provider's.",
        headers: LIMITED,
        calls_only: true,
    },
    Refusal {
        status: 502,
        name: "ProviderFailed",
        text: "The provider failed, or answered with something that is not what was asked for.",
        headers: REQUEST_ID,
        calls_only: true,
    },
    Refusal {
        status: 503,
        name: "Unavailable",
        text: "The books cannot be written now, or no provider can be asked.",
        headers: LATER,
        calls_only: false,
    },
    Refusal {
        status: 504,
        name: "TimedOut",
        text: "The provider did not answer in time.",
        headers: REQUEST_ID,
        calls_only: true,
    },
];

/// In whose shape errors are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    OpenAi,
    Anthropic,
    /// As the caller's headers say.
    Either,
}

impl Shape {
    const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Either];

    fn of(path: &str) -> Self {
        if path.starts_with("/v1/messages") {
            Self::Anthropic
        } else if path.starts_with("/v1/models") {
            Self::Either
        } else {
            Self::OpenAi
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::OpenAi => "Router",
            Self::Anthropic => "Messages",
            Self::Either => "Models",
        }
    }

    fn schema(self) -> RefOr<Schema> {
        let openai = || Ref::from_schema_name("RouterErrorAnswer");
        let anthropic = || Ref::from_schema_name("MessagesErrorAnswer");
        match self {
            Self::OpenAi => openai().into(),
            Self::Anthropic => anthropic().into(),
            Self::Either => utoipa::openapi::schema::AnyOfBuilder::new()
                .item(openai())
                .item(anthropic())
                .into(),
        }
    }
}

/// Adds to the routes under `/v1` what all of them have.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    add_keys(components);
    for (name, kind, text) in HEADERS {
        let header = HeaderBuilder::new()
            .schema(Some(Object::with_type(kind)))
            .description(Some(text))
            .build();
        components.headers.insert(name.to_owned(), header.into());
    }
    for parameter in parameters() {
        let name = parameter.name.clone();
        components.parameters.insert(name, parameter.into());
    }
    for (name, schema) in [
        ("RouterErrorAnswer", RouterErrorAnswer::schema()),
        ("MessagesErrorAnswer", MessagesErrorAnswer::schema()),
    ] {
        components.schemas.insert(name.to_owned(), schema);
    }
    let mut nested = Vec::new();
    RouterErrorAnswer::schemas(&mut nested);
    MessagesErrorAnswer::schemas(&mut nested);
    components.schemas.extend(nested);
    let mut used = std::collections::BTreeSet::new();
    for (path, item) in &mut document.paths.paths {
        if !path.starts_with("/v1/") {
            continue;
        }
        let shape = Shape::of(path);
        for operation in operations(item) {
            complete_operation(path, shape, operation);
            used.extend(referred(operation));
        }
    }
    for shape in Shape::ALL {
        for refusal in &REFUSALS {
            let name = name(shape, refusal);
            if used.contains(&name) {
                components.responses.insert(name, answer(shape, refusal));
            }
        }
    }
}

fn add_keys(components: &mut Components) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A user's API key, or the token of a session, as OpenAI's clients send it.",
        ))
        .build();
    let header = |name: &str, text: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, text)))
    };
    let schemes = [
        SecurityScheme::Http(bearer),
        header("x-api-key", "The same, as Anthropic's clients send it."),
        header("api-key", "The same, as Azure's clients send it."),
    ];
    for (name, scheme) in KEYS.into_iter().zip(schemes) {
        components.add_security_scheme(name, scheme);
    }
}

/// Headers of requests that are read beside the key.
fn parameters() -> [Parameter; 3] {
    let header = |name: &str, text: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(utoipa::openapi::Required::False)
            .description(Some(text))
            .schema(Some(Object::with_type(Type::String)))
            .build()
    };
    [
        header(
            "x-cf-drop-params",
            "`true`: fields that the provider cannot do are left out, not refused.",
        ),
        header(
            "anthropic-version",
            "A date, as Anthropic's clients send it.",
        ),
        header(
            "anthropic-beta",
            "Anthropic's betas, with commas between them.",
        ),
    ]
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete]
        .into_iter()
        .flatten()
}

fn complete_operation(path: &str, shape: Shape, operation: &mut Operation) {
    operation.security = Some(
        KEYS.into_iter()
            .map(|key| SecurityRequirement::new::<_, [&str; 0], _>(key, []))
            .collect(),
    );
    // What has a body is asked of a model.
    let is_call = operation.request_body.is_some();
    let mut asked: Vec<&str> = Vec::new();
    if is_call {
        asked.push("x-cf-drop-params");
    }
    match shape {
        Shape::OpenAi => {}
        Shape::Anthropic => asked.extend(["anthropic-version", "anthropic-beta"]),
        Shape::Either => asked.push("anthropic-version"),
    }
    for name in asked {
        let parameter = RefOr::Ref(Ref::new(format!("#/components/parameters/{name}")));
        operation.parameters.get_or_insert_default().push(parameter);
    }
    let mut told: Vec<&str> = if is_call { CALL } else { REQUEST_ID }.to_vec();
    let is_chat = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
    ];
    if is_call && is_chat.contains(&path) {
        told.push("x-cf-output-limit");
    }
    if shape == Shape::Anthropic {
        told.push("request-id");
    }
    for answer in operation.responses.responses.values_mut() {
        if let RefOr::T(answer) = answer {
            add_headers(answer, &told);
        }
    }
    for refusal in &REFUSALS {
        let names_model = refusal.status == 404 && path.ends_with("{model}");
        if refusal.calls_only && !is_call && !names_model {
            continue;
        }
        let place = format!("#/components/responses/{}", name(shape, refusal));
        operation
            .responses
            .responses
            .entry(refusal.status.to_string())
            .or_insert_with(|| RefOr::Ref(Ref::new(place)));
    }
}

fn name(shape: Shape, refusal: &Refusal) -> String {
    format!("{}{}", shape.prefix(), refusal.name)
}

/// Names of the refusals that an operation refers to.
fn referred(operation: &Operation) -> impl Iterator<Item = String> {
    let answers = operation.responses.responses.values();
    answers.filter_map(|answer| match answer {
        RefOr::Ref(place) => {
            let (_, name) = place.ref_location.rsplit_once('/')?;
            Some(name.to_owned())
        }
        RefOr::T(_) => None,
    })
}

fn answer(shape: Shape, refusal: &Refusal) -> RefOr<Response> {
    let content: Content = ContentBuilder::new().schema(Some(shape.schema())).build();
    let mut answer = ResponseBuilder::new()
        .description(refusal.text)
        .content("application/json", content)
        .build();
    add_headers(&mut answer, refusal.headers);
    if shape == Shape::Anthropic {
        add_headers(&mut answer, &["request-id"]);
    }
    answer.into()
}

fn add_headers(answer: &mut Response, names: &[&str]) {
    for name in names {
        let place = format!("#/components/headers/{name}");
        let header = RefOr::Ref(Ref::new(place));
        answer.headers.insert((*name).to_owned(), header);
    }
}
