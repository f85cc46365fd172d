//! The Billing API's budget check and usage log, for programs with a billing key.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use cf_base::{
    Caller, Currency, Error, Extra, Kind, Money, Nanos, RequestId, ServiceTier, Usage, UserId,
    parse_decimal_nanos,
};
use cf_ledger::{ExternalUsage, PriceVersion};
use serde::Deserialize;
use serde_json::{Number, json};

use crate::App;
use crate::error::{BillingError, code, status};
use crate::extract::{Manager, RECORD_BODY, read_body};

/// How long a reservation of another program stands before it expires.
const RESERVATION: Duration = Duration::from_secs(15 * 60);
/// Output tokens assumed where neither request nor price book say.
const OUTPUT_TOKENS: u64 = 4096;
/// Largest amount that can be reported or estimated at once: a million units.
const MAX_AMOUNT: i64 = 1_000_000 * 1_000_000_000;
/// Most tokens that can be reported at once.
const MAX_TOKENS: u64 = 1_000_000_000;

/// Who is meant: one of the three.
#[derive(Deserialize, Default)]
struct Who {
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    api_key: Option<String>,
}

#[derive(Deserialize)]
struct CheckRequest {
    #[serde(flatten)]
    who: Who,
    model: Option<String>,
    estimated_cost: Option<Number>,
    prompt_tokens: Option<u64>,
    max_tokens: Option<u64>,
    #[serde(default)]
    reserve: bool,
}

#[derive(Deserialize)]
struct LogRequest {
    request_id: Option<String>,
    #[serde(flatten)]
    who: Who,
    model: Option<String>,
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    cached_tokens: u64,
    #[serde(default)]
    cache_write_tokens: u64,
    #[serde(default)]
    cache_write_1h_tokens: u64,
    #[serde(default)]
    reasoning_tokens: u64,
    #[serde(default)]
    service_tier: String,
    cost: Option<Number>,
    currency: Option<String>,
    reservation_id: Option<String>,
    #[serde(default)]
    metadata: serde_json::Value,
}

/// `POST /api/check-budget`
pub async fn check_budget(
    State(app): State<App>,
    manager: Manager,
    body: axum::body::Body,
) -> Result<Response, BillingError> {
    manager.require_program_or_admin()?;
    let request: CheckRequest = parse(&read_body(body, RECORD_BODY).await?)?;
    let caller = match find(&app, &request.who).await {
        Ok(caller) => caller,
        Err(error) => return refused(error),
    };
    if let Some(model) = &request.model
        && !caller.may_use(model)
    {
        return refused(Error::new(
            Kind::ModelNotAllowed,
            format!("The model \"{model}\" is not part of this user's product or key."),
        ));
    }
    let estimate = estimate(&app, &request, &caller)?;
    let check = app.ledger.check(&caller, estimate).await?;
    let mut answer = json!({
        "allowed": check.allowed,
        "user_id": caller.user_id,
        "budget_total": check.total.to_f64(),
        "budget_used": check.used.to_f64(),
        "budget_remaining": check.remaining.to_f64(),
        "budget_reset_date": check.reset_date,
        "currency": check.currency.as_str(),
        "estimated_cost": estimate.to_f64(),
    });
    if check.allowed && request.reserve {
        let model = request.model.unwrap_or_default();
        match app
            .ledger
            .reserve_external(caller, model, estimate, RESERVATION)
            .await
        {
            Ok(id) => answer["reservation_id"] = id.as_str().into(),
            // Another call was faster.
            Err(error) if error.kind == Kind::BudgetExceeded => answer["allowed"] = false.into(),
            Err(error) => return Err(error.into()),
        }
    }
    if answer["allowed"] == true {
        return Ok(Json(answer).into_response());
    }
    answer["error"] = "Budget exceeded".into();
    answer["code"] = "budget_exceeded".into();
    answer["refused_by"] = check.refused_by.into();
    Ok((StatusCode::FORBIDDEN, Json(answer)).into_response())
}

/// `POST /api/usage/log`
pub async fn log_usage(
    State(app): State<App>,
    manager: Manager,
    body: axum::body::Body,
) -> Result<Response, BillingError> {
    manager.require_program_or_admin()?;
    let request: LogRequest = parse(&read_body(body, RECORD_BODY).await?)?;
    let request_id = request_id(
        request.request_id.as_deref().unwrap_or_default(),
        "request_id",
    )?;
    let model = request
        .model
        .clone()
        .filter(|m| !m.is_empty() && m.len() <= 200)
        .ok_or_else(|| Error::invalid_field("model", "model is the name of the model used."))?;
    for (field, tokens) in [
        ("prompt_tokens", request.prompt_tokens),
        ("completion_tokens", request.completion_tokens),
    ] {
        if tokens > MAX_TOKENS {
            return Err(
                Error::invalid_field(field, format!("{field} is at most {MAX_TOKENS}.")).into(),
            );
        }
    }
    // What was used was used: a suspended user's last calls are booked too.
    let caller = find_any_status(&app, &request.who).await?;
    let usage = usage(&request);
    let cost = match &request.cost {
        None => None,
        Some(cost) => Some(Money {
            nanos: amount(cost, "cost")?,
            currency: match &request.currency {
                None => caller.currency,
                Some(text) => Currency::parse(text).ok_or_else(|| {
                    Error::invalid_field("currency", "currency is a code such as EUR.")
                })?,
            },
        }),
    };
    let reservation = request
        .reservation_id
        .as_deref()
        .map(|id| self::request_id(id, "reservation_id"))
        .transpose()?;
    let price = price(&app, &caller, &model);
    let user_id = caller.user_id;
    let logged = app
        .ledger
        .log_usage(ExternalUsage {
            request_id: request_id.clone(),
            caller,
            model,
            usage,
            cost,
            price,
            reservation,
            metadata: request.metadata.to_string(),
        })
        .await?;
    let account = cf_ledger::account(&app.db, user_id.0).await?;
    let answer = json!({
        "id": logged.id,
        "request_id": request_id,
        "cost": logged.cost.nanos.to_f64(),
        "currency": logged.cost.currency.as_str(),
        "budget_used": account.as_ref().map(|a| a.posted.to_f64()),
        "budget_remaining": account.as_ref().map(|a| a.remaining().to_f64()),
    });
    let status = if logged.repeated {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Json(answer)).into_response())
}

/// What was used, as OpenAI counts it: the parts are within the whole.
fn usage(request: &LogRequest) -> Usage {
    let mut input = request.prompt_tokens;
    let mut part = |tokens: u64| {
        let taken = tokens.min(input);
        input -= taken;
        taken
    };
    let cache_read = part(request.cached_tokens);
    let cache_write = part(request.cache_write_tokens);
    let cache_write_1h = part(request.cache_write_1h_tokens);
    Usage {
        input,
        cache_read,
        cache_write,
        cache_write_1h,
        output: request.completion_tokens,
        reasoning: request.reasoning_tokens.min(request.completion_tokens),
        extra: Extra {
            tier: ServiceTier::served(&request.service_tier),
            ..Extra::default()
        },
        ..Usage::default()
    }
}

/// A refusal of the budget check, in its own shape.
fn refused(error: Error) -> Result<Response, BillingError> {
    match error.kind {
        Kind::UserPending
        | Kind::UserSuspended
        | Kind::TenantSuspended
        | Kind::ModelNotAllowed
        | Kind::BudgetExceeded => {
            let body = json!({
                "allowed": false,
                "error": error.message,
                "code": code(&error.kind),
            });
            Ok((status(&error.kind), Json(body)).into_response())
        }
        _ => Err(error.into()),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|e| Error::invalid(format!("The request body is not what is expected: {e}.")))
}

fn request_id(text: &str, field: &'static str) -> Result<RequestId, Error> {
    RequestId::parse(text).map_err(|_| {
        Error::invalid_field(
            field,
            format!("{field} is 1 to 128 visible ASCII characters, unique for each call."),
        )
    })
}

fn amount(number: &Number, field: &'static str) -> Result<Nanos, Error> {
    parse_decimal_nanos(&number.to_string())
        .filter(|nanos| (0..=MAX_AMOUNT).contains(nanos))
        .map(Nanos)
        .ok_or_else(|| {
            Error::invalid_field(
                field,
                format!("{field} is a decimal number from 0 to 1000000."),
            )
        })
}

fn user_not_found() -> Error {
    Error::new(Kind::NotFound, "There is no such user (user_not_found).")
}

async fn find(app: &App, who: &Who) -> Result<Arc<Caller>, Error> {
    if let Some(key) = &who.api_key {
        return match app.identity.caller_by_key(key).await {
            Err(error) if error.kind == Kind::Unauthorized => Err(user_not_found()),
            other => other,
        };
    }
    app.identity
        .caller_by_user(find_user(app, who).await?)
        .await
}

async fn find_any_status(app: &App, who: &Who) -> Result<Arc<Caller>, Error> {
    let (id, key_id) = match &who.api_key {
        Some(key) => {
            let (user, key) = app
                .identity
                .user_of_key(key)
                .await?
                .ok_or_else(user_not_found)?;
            (user, Some(key))
        }
        None => (find_user(app, who).await?, None),
    };
    let mut caller = app
        .identity
        .caller_for_books(id)
        .await?
        .ok_or_else(user_not_found)?;
    // What was used with a key counts on the key's budget too.
    Arc::make_mut(&mut caller).key_id = key_id;
    Ok(caller)
}

async fn find_user(app: &App, who: &Who) -> Result<UserId, Error> {
    let row = match (&who.user_id, &who.email) {
        (Some(id), _) => {
            app.db
                .query_opt("select id from users where id = $1", vec![id.into()])
                .await?
        }
        (None, Some(email)) => {
            app.db
                .query_opt(
                    "select id from users where lower(email) = lower($1)",
                    vec![email.into()],
                )
                .await?
        }
        (None, None) => {
            return Err(Error::invalid_field(
                "user_id",
                "Say who is meant: user_id, email or api_key.",
            ));
        }
    };
    let row = row.ok_or_else(user_not_found)?;
    Ok(UserId(row.at(0)?))
}

fn price(app: &App, caller: &Caller, model: &str) -> Option<Arc<PriceVersion>> {
    let price = app
        .gateway
        .price(caller.tenant_id, model)
        .or_else(|| app.ledger.price_by_name(model))?;
    Some(app.ledger.customer_price(caller, model, &price))
}

fn estimate(app: &App, request: &CheckRequest, caller: &Caller) -> Result<Nanos, Error> {
    if let Some(cost) = &request.estimated_cost {
        return amount(cost, "estimated_cost");
    }
    let (Some(prompt), Some(model)) = (request.prompt_tokens, &request.model) else {
        return Ok(Nanos::ZERO);
    };
    let price = price(app, caller, model).ok_or_else(|| {
        Error::new(
            Kind::Unprocessable,
            format!("No price is known for the model \"{model}\"; send estimated_cost instead."),
        )
    })?;
    let output = request
        .max_tokens
        .or(price.max_output_tokens)
        .unwrap_or(OUTPUT_TOKENS);
    let (prompt, output) = (prompt.min(MAX_TOKENS), output.min(MAX_TOKENS));
    let worst = price.worst_case(prompt, output, ServiceTier::Standard);
    app.ledger.convert(worst, caller.currency)
}
