//! The Billing API's budget check and usage log, for programs with a billing key.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cf_base::{
    Caller, Currency, Error, Extra, Kind, Money, Nanos, RequestId, ServiceTier, Usage, UserId,
    parse_decimal_nanos,
};
use cf_ledger::{ExternalUsage, PriceVersion, Reservation};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};
use utoipa::ToSchema;

use crate::App;
use crate::error::{BillingError, status};
use crate::extract::{RECORD_BODY, read_body};
use crate::idempotency::{Answer, Claimed, Once};
use crate::manager::{Manager, MayCheck, MayLog, MayRelease};
use crate::openapi::ErrorAnswer;
use crate::routes::who::{Who, find, find_any_status};

/// How long a reservation of another program stands before it expires.
const RESERVATION: Duration = Duration::from_secs(15 * 60);
/// Output tokens assumed where neither request nor price book say.
const OUTPUT_TOKENS: u64 = 4096;
/// Largest amount that can be reported or estimated at once: a million units.
const MAX_AMOUNT: i64 = 1_000_000 * 1_000_000_000;
/// Most tokens that can be reported at once.
const MAX_TOKENS: u64 = 1_000_000_000;

/// May this be spent?
#[derive(Deserialize, ToSchema)]
struct CheckRequest {
    #[serde(flatten)]
    who: Who,
    /// The model to be called, as the user's product names it.
    model: Option<String>,
    /// What the call may cost at most, in the currency of the user's budget.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1_000_000)]
    estimated_cost: Option<Number>,
    /// Tokens in, to be priced by the price book where `estimated_cost` is not given.
    prompt_tokens: Option<u64>,
    /// Most tokens out; without it the model's own limit.
    max_tokens: Option<u64>,
    /// Whether the amount is to be reserved until usage is logged with it, at most 15 minutes.
    #[serde(default)]
    reserve: bool,
    /// Whether it counts towards the product's rate limit; `false` where no call follows.
    #[serde(default = "yes")]
    #[schema(default = true)]
    count: bool,
}

fn yes() -> bool {
    true
}

/// Whether it may, and how the budget stands.
#[derive(Serialize, ToSchema)]
struct CheckAnswer {
    /// Whether the call may be made.
    allowed: bool,
    /// The user that was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    /// The user's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_total: Option<f64>,
    /// Spent in this period.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_used: Option<f64>,
    /// Left in this period, reservations not taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_remaining: Option<f64>,
    /// When the next period begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_reset_date: Option<String>,
    /// Currency of all amounts here.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// What was checked, or reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_cost: Option<f64>,
    /// To be sent with the usage, or released.
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation_id: Option<String>,
    /// `Budget exceeded`, or why else not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// `budget_exceeded`, `user_pending`, `user_suspended`, `tenant_suspended` or `model_not_allowed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Whose budget is too small: `user`, `key` or `tenant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_by: Option<&'static str>,
}

/// What was used.
#[derive(Deserialize, ToSchema)]
struct LogRequest {
    /// The reporter's id of the call: 1 to 128 visible ASCII characters.
    #[schema(value_type = String)]
    request_id: Option<String>,
    #[serde(flatten)]
    who: Who,
    /// The model that was used.
    #[schema(value_type = String)]
    model: Option<String>,
    /// Tokens in, cached ones included.
    #[serde(default)]
    prompt_tokens: u64,
    /// Tokens out.
    #[serde(default)]
    completion_tokens: u64,
    /// Tokens of the prompt that came from the provider's cache.
    #[serde(default)]
    cached_tokens: u64,
    /// Tokens of the prompt that were written to the provider's cache (for 5 minutes).
    #[serde(default)]
    cache_write_tokens: u64,
    /// Tokens of the prompt that were written to the provider's cache for an hour.
    #[serde(default)]
    cache_write_1h_tokens: u64,
    /// Of the tokens out: reasoning.
    #[serde(default)]
    reasoning_tokens: u64,
    /// The service tier that the provider said it served; empty for the usual one.
    #[serde(default)]
    service_tier: String,
    /// What it cost; without it the price book decides.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1_000_000)]
    cost: Option<Number>,
    /// The cost's currency; without it that of the user's budget.
    currency: Option<String>,
    /// The reservation that this ends.
    reservation_id: Option<String>,
    /// Whatever is to be kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Value,
}

/// What was booked.
#[derive(Serialize, ToSchema)]
struct LogAnswer {
    /// The row in the usage log.
    id: String,
    /// The reporter's id.
    #[schema(value_type = String)]
    request_id: RequestId,
    /// What was booked, in the currency of the user's budget.
    cost: f64,
    /// Currency of all amounts here.
    currency: String,
    /// Spent in this period.
    budget_used: Option<f64>,
    /// Left in this period.
    budget_remaining: Option<f64>,
}

/// Asks whether a budget covers a call, and reserves for it
///
/// Scope `check`. The product's rate limit counts each check as a call. With `reserve` and an
/// `Idempotency-Key` the same request again gets the first answer and makes no second reservation.
#[utoipa::path(
    post, path = "/api/check-budget", tag = "Budgets", operation_id = "check_budget",
    params(("Idempotency-Key" = Option<String>, Header, description = "with `reserve`: the same key again gets the first answer")),
    request_body = CheckRequest,
    responses(
        (status = 200, description = "It may be spent", body = CheckAnswer),
        (status = 403, description = "It may not", body = CheckAnswer),
        (status = 400, description = "The request cannot be understood", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 404, description = "`user_not_found`", body = ErrorAnswer),
        (status = 409, description = "The Idempotency-Key was used for something else, or is at work", body = ErrorAnswer),
        (status = 422, description = "No price is known for the model", body = ErrorAnswer),
        (status = 429, description = "`rate_limited`, with Retry-After", body = ErrorAnswer),
    )
)]
pub async fn check_budget(
    State(app): State<App>,
    MayCheck(manager): MayCheck,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, BillingError> {
    let content: Value = parse(&read_body(body, RECORD_BODY).await?)?;
    let request: CheckRequest = read(content.clone())?;
    if !request.reserve {
        let checked = check(&app, &manager, &request, request.count).await;
        return Ok(match checked {
            Ok((answer, _, _)) => decided(&answer).into_response(),
            Err(error) => refused(error)?.into_response(),
        });
    }
    let what = "POST /api/check-budget";
    let once = app.idempotency.once(&headers, &manager, what, &content)?;
    let (reservation, begun) = match once.claim_reservation(&app).await? {
        Claimed::Answered(answer) => return Ok(answer.into_response()),
        Claimed::Mine { reservation, begun } => (reservation, begun),
    };
    // On its own: who hangs up now must not leave the key claimed and unanswered.
    let task = app.clone();
    let reserving = app.tasks.spawn(async move {
        let reserved = reserve(&task, &manager, request, &once, reservation, begun).await;
        match reserved {
            Ok(answer) => once.finish(&task, answer).await,
            // What an earlier try may have reserved is found under the key again.
            Err(error) if begun => Err(error),
            Err(error) => {
                once.give_back(&task).await;
                Err(error)
            }
        }
    });
    Ok(reserving.await.map_err(Error::internal)??.into_response())
}

/// Releases what was reserved for a call that was not made
///
/// Scope `check` or `log`. Again it is 204 too.
#[utoipa::path(
    delete, path = "/api/reservations/{id}", tag = "Budgets", operation_id = "release_reservation",
    params(("id" = String, Path, description = "`reservation_id` of the budget check")),
    responses(
        (status = 204, description = "Nothing is reserved any more"),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "The key's scopes do not allow it", body = ErrorAnswer),
        (status = 404, description = "There is none, or usage was logged with it", body = ErrorAnswer),
    )
)]
pub async fn release(
    State(app): State<App>,
    MayRelease(manager): MayRelease,
    Path(id): Path<String>,
) -> Result<StatusCode, BillingError> {
    let id = request_id(&id, "id")?;
    app.ledger
        .release_reservation(&id, manager.only_tenant())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reports what was used
///
/// Scope `log`. Booked once for each `request_id`, whatever the user's status: what was used was used.
#[utoipa::path(
    post, path = "/api/usage/log", tag = "Usage", operation_id = "log_usage",
    request_body = LogRequest,
    responses(
        (status = 201, description = "It is in the books", body = LogAnswer),
        (status = 200, description = "It stood there already: the first answer", body = LogAnswer),
        (status = 400, description = "The request cannot be understood", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "The key's scopes do not allow it", body = ErrorAnswer),
        (status = 404, description = "`user_not_found`", body = ErrorAnswer),
        (status = 409, description = "The same request_id was logged with other content", body = ErrorAnswer),
        (status = 422, description = "No price is known for the model, or no such reservation", body = ErrorAnswer),
        (status = 429, description = "`rate_limited`, with Retry-After", body = ErrorAnswer),
    )
)]
pub async fn log_usage(
    State(app): State<App>,
    MayLog(manager): MayLog,
    body: Body,
) -> Result<Response, BillingError> {
    let request: LogRequest = read(parse(&read_body(body, RECORD_BODY).await?)?)?;
    let request_id = request_id(
        request.request_id.as_deref().unwrap_or_default(),
        "request_id",
    )?;
    let usage = usage(&request);
    let model = request
        .model
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
    let caller = find_any_status(&app, &manager, &request.who).await?;
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
    let answer = LogAnswer {
        id: logged.id,
        request_id: request_id.clone(),
        cost: logged.cost.nanos.to_f64(),
        currency: logged.cost.currency.to_string(),
        budget_used: account.as_ref().map(|a| a.posted.to_f64()),
        budget_remaining: account.as_ref().map(|a| a.remaining().to_f64()),
    };
    let answer = Answer::new(StatusCode::CREATED, &to_json(&answer)?);
    // The budget goes on: a repeat is told what the first was told.
    let mut first = app
        .idempotency
        .first(&app, "usage/log", request_id.as_str(), answer)
        .await;
    if logged.repeated {
        first.status = StatusCode::OK;
    }
    Ok(first.into_response())
}

/// Whether the call may be made, for whom, and what it may cost.
async fn check(
    app: &App,
    manager: &Manager,
    request: &CheckRequest,
    counted: bool,
) -> Result<(CheckAnswer, Arc<Caller>, Nanos), BillingError> {
    let caller = find(app, manager, &request.who).await?;
    if let Some(model) = &request.model
        && !caller.may_use(model)
    {
        return Err(Error::new(
            Kind::ModelNotAllowed,
            format!("The model \"{model}\" is not part of this user's product or key."),
        )
        .into());
    }
    let estimate = estimate(app, request, &caller)?;
    if counted {
        app.gateway.count(&caller)?;
    }
    let check = app.ledger.check(&caller, estimate).await?;
    let mut answer = CheckAnswer {
        allowed: check.allowed,
        user_id: Some(caller.user_id),
        budget_total: Some(check.total.to_f64()),
        budget_used: Some(check.used.to_f64()),
        budget_remaining: Some(check.remaining.to_f64()),
        budget_reset_date: Some(check.reset_date),
        currency: Some(check.currency.to_string()),
        estimated_cost: Some(estimate.to_f64()),
        reservation_id: None,
        error: None,
        code: None,
        refused_by: None,
    };
    if !check.allowed {
        exceeded(&mut answer, check.refused_by);
    }
    Ok((answer, caller, estimate))
}

/// Checks and reserves under the id that was written down for it.
async fn reserve(
    app: &App,
    manager: &Manager,
    request: CheckRequest,
    once: &Once,
    mut reservation: RequestId,
    begun: bool,
) -> Result<Answer, BillingError> {
    let made = match begun {
        true => app.ledger.reservation(&reservation).await?,
        false => Reservation::Unknown,
    };
    if made == Reservation::Ended {
        reservation = once.rename_reservation(app).await?;
    }
    let counted = request.count && made != Reservation::Open;
    let (mut answer, caller, estimate) = match check(app, manager, &request, counted).await {
        Ok(checked) => checked,
        Err(error) => {
            let refusal = refused(error)?;
            if made == Reservation::Open {
                app.ledger.release_reservation(&reservation, None).await?;
            }
            return Ok(refusal);
        }
    };
    if made == Reservation::Open {
        // Made by a try that did not live to say so; its own amount counts as reserved.
        answer.allowed = true;
        (answer.error, answer.code, answer.refused_by) = (None, None, None);
        answer.reservation_id = Some(reservation.as_str().into());
        return Ok(decided(&answer));
    }
    if answer.allowed {
        let model = request.model.unwrap_or_default();
        match app
            .ledger
            .reserve_external(reservation, caller, model, estimate, RESERVATION)
            .await
        {
            Ok(id) => answer.reservation_id = Some(id.as_str().into()),
            // Another call was faster.
            Err(error) if error.kind == Kind::BudgetExceeded => exceeded(&mut answer, ""),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(decided(&answer))
}

fn exceeded(answer: &mut CheckAnswer, refused_by: &'static str) {
    answer.allowed = false;
    answer.error = Some("Budget exceeded".into());
    answer.code = Some("budget_exceeded");
    answer.refused_by = (!refused_by.is_empty()).then_some(refused_by);
}

fn decided(answer: &CheckAnswer) -> Answer {
    let status = if answer.allowed {
        StatusCode::OK
    } else {
        StatusCode::FORBIDDEN
    };
    Answer::new(status, &json!(answer))
}

/// A refusal of the budget check, in its own shape.
fn refused(error: BillingError) -> Result<Answer, BillingError> {
    match error.error().kind {
        Kind::UserPending
        | Kind::UserSuspended
        | Kind::TenantSuspended
        | Kind::ModelNotAllowed
        | Kind::BudgetExceeded => {
            let body = json!({
                "allowed": false,
                "error": error.error().message,
                "code": error.code(),
            });
            Ok(Answer::new(status(&error.error().kind), &body))
        }
        _ => Err(error),
    }
}

fn to_json(answer: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(answer).map_err(Error::internal)
}

fn parse(body: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(body)
        .map_err(|e| Error::invalid(format!("The request body is not JSON: {e}.")))
}

fn read<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Error> {
    serde_json::from_value(body)
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

/// What was used. Every token is in one class: the parts are not more than the whole.
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
