//! A chat call from its body to the provider's answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Caller, Error, Kind, Nanos, PicoUsd, RequestId, Result};
use cf_ledger::{HoldRequest, PriceVersion};
use cf_llm::{ChatRequest, Dialect, Opening, OutputPlan, Provider, Reply, Route, UpstreamFailure};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::attempt::Attempt;
use crate::body::{GatewayBody, Upstream};
use crate::hang_up::Attendance;
use crate::limits::Admission;
use crate::meter::Meter;
use crate::models::{Deployment, Model};
use crate::{Asked, Gateway, Inner};

/// Output assumed where neither client, model record nor price book set a
/// limit; it is then sent with the call.
const DEFAULT_OUTPUT: u64 = 8_192;
/// Output that makes an answer useful at all; below it a budget is used up.
const LEAST_OUTPUT: u64 = 16;
/// Largest plain reply.
const REPLY: usize = 64 << 20;
/// Deployments tried for one call.
const ATTEMPTS: usize = 5;

/// A deployment with the prices its calls are billed by.
#[derive(Clone)]
struct Candidate {
    deployment: Arc<Deployment>,
    price: Arc<PriceVersion>,
}

/// A call on its way: what answers need to know of it.
struct Call<'a> {
    inner: &'a Inner,
    request: &'a ChatRequest<'a>,
    /// Headers of the answer.
    headers: HeaderMap,
    /// When the whole call is cut off.
    ends_at: Instant,
    /// What is left of the user's budget while it runs.
    remaining: Nanos,
}

pub async fn chat(
    gateway: Gateway,
    asked: Asked,
    caller: Arc<Caller>,
    body: Bytes,
    request_id: RequestId,
    attendance: Arc<Attendance>,
) -> Result<Response<GatewayBody>> {
    let inner = &*gateway.0;
    let ends_at = Instant::now() + inner.deadlines.total;
    let request = ChatRequest::read_as(asked.dialect, &body)?;
    let model = inner
        .catalogue
        .find(caller.tenant_id, &request.model)
        .ok_or_else(|| not_found(&request.model))?;
    if !caller.may_use(&model.name) {
        return Err(Error::new(
            Kind::ModelNotAllowed,
            format!(
                "The model \"{}\" is not part of your product or of this API key.",
                model.name
            ),
        ));
    }
    let candidates = candidates(inner, &request, &model, &caller)?;
    let input = input_bound(&request, &model, &candidates)?;
    let mut output = output_plan(&request, &model, &candidates, input);
    let admission = inner.limiter.admit(&caller)?;
    let mut headers = HeaderMap::with_capacity(12);
    describe(&mut headers, &request_id, &admission);
    if asked.dialect == Dialect::Anthropic {
        // Its clients look for the id under this name.
        set(&mut headers, "request-id", request_id.as_str());
    }

    let worst = |tokens: u64| -> PicoUsd {
        let output = tokens.saturating_mul(request.n);
        let costs = candidates
            .iter()
            .map(|c| c.price.worst_case(input, output, request.tier));
        costs.fold(PicoUsd(0), Ord::max)
    };
    let hold = inner
        .ledger
        .reserve(HoldRequest {
            request_id: request_id.clone(),
            caller: Arc::clone(&caller),
            model: model.name.clone(),
            worst: worst(output.tokens),
            least: worst(output.tokens.min(LEAST_OUTPUT)),
            expires_in: inner.deadlines.total + Duration::from_secs(60),
        })
        .await?;
    let mut lowered = output.tell && request.max_output_tokens.is_some();
    if worst(output.tokens) > hold.granted() {
        output.tokens = most_that_fits(output.tokens, |tokens| worst(tokens) <= hold.granted());
        output.tell = true;
        lowered = true;
    }
    if lowered {
        let limit = output.tokens.to_string();
        set(&mut headers, "x-cf-output-limit", &limit);
    }
    let remaining = hold.remaining();
    let mut meter = Meter::new(
        hold,
        admission,
        inner.clock.clone(),
        Arc::clone(&candidates[0].price),
        request.estimated_prompt_tokens().min(input),
        Arc::clone(&attendance),
    );
    let mut call = Call {
        inner,
        request: &request,
        headers,
        ends_at,
        remaining,
    };

    let mut last = None;
    for candidate in in_turn(inner, candidates).into_iter().take(ATTEMPTS) {
        let Candidate { deployment, price } = candidate;
        let provider = deployment.key.provider;
        let attempt = match Attempt::new(&request, &deployment, output, &asked.wishes) {
            Ok(attempt) => attempt,
            Err(failure) => {
                warn(&request_id, &deployment, &failure);
                last = Some(failure);
                continue;
            }
        };
        meter.dispatch(&deployment, price);
        attendance.set_drain(deployment.key.hang_up.drains(request.stream));
        set(&mut call.headers, "x-cf-model", &deployment.model);
        set(&mut call.headers, "x-cf-provider", provider.as_str());
        if !attempt.dropped.is_empty() {
            let dropped = attempt.dropped.join(",");
            set(&mut call.headers, "x-cf-dropped-params", &dropped);
        }
        let route = attempt.route;
        if provider == Provider::Demo {
            return demo(call, route, &deployment.model, output.tokens, meter).await;
        }
        let left = ends_at.saturating_duration_since(Instant::now());
        // A plain reply's head comes when all of it is done.
        let first_byte = if request.stream {
            inner.deadlines.first_byte.min(left)
        } else {
            left
        };
        let sent = attempt
            .send(&inner.http, &inner.clock, &deployment, first_byte)
            .await;
        match sent {
            Ok(response) => return answer(call, route, response, meter).await,
            Err(failure) => {
                warn(&request_id, &deployment, &failure);
                if failure.taken {
                    // The provider may be at work on the prompt all the same.
                    drop(meter.break_off());
                    return Err(failure.error);
                }
                meter.not_taken();
                let retryable = failure.retryable;
                last = Some(failure);
                if !retryable {
                    break;
                }
            }
        }
    }
    drop(meter.fail());
    match last {
        Some(failure) => refuse(call, failure),
        None => Err(not_found(&model.name)),
    }
}

/// What is known of a call before it is sent.
fn describe(headers: &mut HeaderMap, request_id: &RequestId, admission: &Admission) {
    set(headers, "x-request-id", request_id.as_str());
    if let Some((limit, left)) = admission.requests {
        set(headers, "x-ratelimit-limit-requests", &limit.to_string());
        set(headers, "x-ratelimit-remaining-requests", &left.to_string());
    }
}

fn warn(request_id: &RequestId, deployment: &Deployment, failure: &UpstreamFailure) {
    // A provider's words on a request may quote it: they are the client's alone.
    let error = match failure.error.kind {
        Kind::Invalid { .. } => "the provider refused the request",
        _ => &*failure.error.message,
    };
    tracing::warn!(
        request_id = request_id.as_str(),
        provider = deployment.key.provider.as_str(),
        provider_key = deployment.key.id.as_str(),
        model = deployment.model,
        error,
        cause = failure.error.source.as_ref().map(ToString::to_string),
        "a provider did not take a call"
    );
}

/// The last failure as the client's answer. A refusal of the request itself is
/// told with the provider's own `param` and `code`, which clients act on.
fn refuse(call: Call<'_>, failure: UpstreamFailure) -> Result<Response<GatewayBody>> {
    match call.request.dialect.refusal(&failure) {
        Some(body) => Ok(whole(StatusCode::BAD_REQUEST, body, call.headers)),
        None => Err(failure.error),
    }
}

/// Deployments that can be called, with their prices for this caller.
fn candidates(
    inner: &Inner,
    request: &ChatRequest<'_>,
    model: &Model,
    caller: &Caller,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::with_capacity(2);
    let mut reason = Error::new(
        Kind::Upstream { status: 503 },
        format!(
            "The model \"{}\" has no deployment with an active provider key. An administrator must check \
             the model record.",
            model.name
        ),
    );
    for deployment in model.deployments(caller.tenant_id) {
        let provider = deployment.key.provider;
        // A call without a price cannot be held to a budget.
        let Some(price) = deployment.price(&inner.ledger) else {
            reason = Error::new(
                Kind::Unprocessable,
                format!(
                    "No price is known for the model \"{}\" ({} at {}). An administrator must set \
                     prices on the model record.",
                    model.name,
                    deployment.model,
                    provider.label()
                ),
            );
            continue;
        };
        let price = inner.ledger.customer_price(caller, &model.name, &price);
        if !price.knows(request.tier) {
            reason = Error::invalid_field(
                "service_tier",
                format!(
                    "No price is known for the model \"{}\" in the service tier {}; leave \
                     service_tier out.",
                    model.name, request.tier
                ),
            );
            continue;
        }
        found.push(Candidate {
            deployment: Arc::clone(deployment),
            price,
        });
    }
    if found.is_empty() {
        Err(reason)
    } else {
        Ok(found)
    }
}

/// The most of a limit that every candidate has; `None` if one has none.
fn common(candidates: &[Candidate], limit: fn(&Deployment) -> Option<u64>) -> Option<u64> {
    candidates
        .iter()
        .map(|c| limit(&c.deployment))
        .try_fold(0, |most, limit| Some(limit?.max(most)))
}

/// Tokens that can go in at most.
fn input_bound(request: &ChatRequest<'_>, model: &Model, candidates: &[Candidate]) -> Result<u64> {
    let context = model
        .context_window
        .or_else(|| common(candidates, |d| d.max_input_tokens));
    match (request.prompt_token_bound(), context) {
        (Some(bound), Some(context)) => Ok(bound.min(context)),
        (Some(bound), None) => Ok(bound),
        (None, Some(context)) => Ok(context),
        (None, None) => Err(Error::new(
            Kind::Unprocessable,
            format!(
                "This request refers to files, videos or a search, and the model \"{}\" has no \
                 context_window, so what it may cost is not known. An administrator must set it on the \
                 model record.",
                model.name
            ),
        )),
    }
}

fn output_plan(
    request: &ChatRequest<'_>,
    model: &Model,
    candidates: &[Candidate],
    input: u64,
) -> OutputPlan {
    // What every candidate stops at by itself.
    let natural = common(candidates, |d| d.max_output_tokens);
    let asked = request.max_output_tokens;
    let set = [asked, model.max_output_tokens, natural];
    match (set.into_iter().flatten().min(), model.context_window) {
        (Some(tokens), window) => OutputPlan {
            // Told where the client's own limit or the model's nature would allow more.
            tell: tokens < asked.or(natural).unwrap_or(u64::MAX),
            tokens: tokens.min(window.unwrap_or(u64::MAX)).max(1),
        },
        // What the context leaves is told, as some servers do not stop there. Not
        // so after a long prompt: our bound of it may then be far above its
        // tokens, and the answer must not be cut short for that.
        (None, Some(window)) => {
            let left = window.saturating_sub(input);
            let roomy = left >= window / 2;
            OutputPlan {
                tokens: if roomy { left } else { window }.max(1),
                tell: roomy,
            }
        }
        (None, None) => OutputPlan {
            tokens: DEFAULT_OUTPUT,
            tell: true,
        },
    }
}

/// The largest number up to `most` for which `fits`; at least 1.
fn most_that_fits(most: u64, fits: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// By order; within the same order by chance, in proportion to the weights.
fn in_turn(inner: &Inner, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut turn = Vec::with_capacity(candidates.len());
    while let Some(order) = candidates.iter().map(|c| c.deployment.order).min() {
        let same: Vec<usize> = (0..candidates.len())
            .filter(|i| candidates[*i].deployment.order == order)
            .collect();
        let weights = same.iter().map(|i| candidates[*i].deployment.weight);
        let total = weights.fold(0, u64::saturating_add);
        let mut at = same[0];
        if same.len() > 1 && total > 0 {
            let mut left = inner.random.below(total);
            for i in same {
                let weight = candidates[i].deployment.weight;
                if left < weight {
                    at = i;
                    break;
                }
                left -= weight;
            }
        }
        turn.push(candidates.remove(at));
    }
    turn
}

/// What the answer is named by where the provider does not say.
fn opening(call: &Call<'_>, route: Route, meter: &Meter) -> Opening {
    let seconds = call.inner.clock.now().as_millis() / 1000;
    Opening {
        // What passes as it is has a name.
        id: if route.is_same_dialect() {
            String::new()
        } else {
            format!("chatcmpl-{}", call.inner.random.token::<24>())
        },
        created: u64::try_from(seconds).unwrap_or(0),
        model: meter
            .deployment()
            .map_or_else(String::new, |d| d.model.clone()),
        include_usage: call.request.include_usage,
        estimated_input: meter.estimated_input(),
    }
}

async fn demo(
    call: Call<'_>,
    route: Route,
    model: &str,
    limit: u64,
    mut meter: Meter,
) -> Result<Response<GatewayBody>> {
    let id = format!("chatcmpl-{}", call.inner.random.token::<24>());
    let created = call.inner.clock.now().as_millis() / 1000;
    meter.first_byte();
    if call.request.stream {
        let events = cf_llm::demo_stream(call.request, model, Some(limit), &id, created);
        return Ok(stream(call, route, Upstream::Ready(events.into()), meter));
    }
    let body = cf_llm::demo_plain(call.request, model, Some(limit), &id, created);
    plain(call, route, body, meter).await
}

async fn answer(
    call: Call<'_>,
    route: Route,
    response: Response<Incoming>,
    mut meter: Meter,
) -> Result<Response<GatewayBody>> {
    let (head, body) = response.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE);
    let is_stream = kind.is_none_or(|kind| {
        const STREAMS: [&[u8]; 2] = [b"text/event-stream", b"application/vnd.amazon.eventstream"];
        let kind = kind.as_bytes();
        STREAMS.iter().any(|stream| {
            let begins = kind.get(..stream.len());
            begins.is_some_and(|begins| begins.eq_ignore_ascii_case(stream))
        })
    });
    if call.request.stream && is_stream {
        return Ok(stream(call, route, Upstream::Http(body), meter));
    }
    meter.first_byte();
    let whole = tokio::time::timeout_at(call.ends_at, Limited::new(body, REPLY).collect());
    let error = match whole.await {
        Ok(Ok(body)) => return plain(call, route, body.to_bytes(), meter).await,
        Ok(Err(cause)) => {
            let sentence = "The provider's answer broke off or was too large.";
            Error::new(Kind::Upstream { status: 502 }, sentence).because(cause)
        }
        Err(_) => {
            let sentence = "The provider did not finish its answer in time.";
            Error::new(Kind::Upstream { status: 504 }, sentence)
        }
    };
    drop(meter.break_off());
    Err(error)
}

/// A whole reply: booked, then released.
async fn plain(
    mut call: Call<'_>,
    route: Route,
    body: Bytes,
    meter: Meter,
) -> Result<Response<GatewayBody>> {
    let Some(deployment) = meter.deployment() else {
        return Err(Error::internal("a reply without a deployment"));
    };
    let key = &deployment.key;
    let (reply, body) = route.reply(body, &opening(&call, route, &meter));
    let error = match reply {
        Reply::Completion(usage, estimated) => {
            let Some(settled) = meter.finish(usage, estimated) else {
                return Err(Error::internal("a call ended twice"));
            };
            let receipt = tokio::time::timeout(call.inner.deadlines.books, settled)
                .await
                .unwrap_or_else(|_| Err(books_late()))?;
            set(&mut call.headers, "x-cf-cost", &receipt.cost.to_string());
            budget(&mut call.headers, receipt.remaining);
            return Ok(whole(StatusCode::OK, body, call.headers));
        }
        // With a status of success, but it is the provider that failed.
        Reply::Failed => {
            let (none, now) = (HeaderMap::new(), call.inner.clock.now());
            route
                .failure(500, &none, &body, key.shown_secret(), now)
                .error
        }
        Reply::Unreadable => Error::new(
            Kind::Upstream { status: 502 },
            "The provider answered with something that is no chat completion.",
        ),
    };
    drop(meter.fail());
    Err(error)
}

fn whole(status: StatusCode, body: Bytes, mut headers: HeaderMap) -> Response<GatewayBody> {
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let mut response = Response::new(GatewayBody::full(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn stream(
    mut call: Call<'_>,
    route: Route,
    upstream: Upstream,
    mut meter: Meter,
) -> Response<GatewayBody> {
    let listening = route.stream(opening(&call, route, &meter));
    meter.listen(listening);
    budget(&mut call.headers, call.remaining);
    call.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    call.headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies in front must not collect what is meant to flow.
    set(&mut call.headers, "x-accel-buffering", "no");
    let drains = (meter.deployment())
        .is_some_and(|d| d.key.hang_up.drains(true))
        .then(|| call.inner.drains.clone());
    let body = GatewayBody::stream(
        upstream,
        call.request.dialect,
        meter,
        call.inner.deadlines,
        call.ends_at,
        drains,
    );
    let mut response = Response::new(body);
    *response.headers_mut() = call.headers;
    response
}

fn budget(headers: &mut HeaderMap, remaining: Nanos) {
    // The end of the range stands for no limit.
    if remaining.0 < i64::MAX / 2 {
        set(headers, "x-cf-budget-remaining", &remaining.to_string());
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // A model's name may hold what a header cannot: then it is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The books cannot be written now: the answer is kept back. The call itself is
/// booked as soon as they can.
pub fn books_late() -> Error {
    Error::new(
        Kind::Unavailable,
        "The books cannot be written now, so the answer is not released. Try again later.",
    )
}

fn not_found(model: &str) -> Error {
    Error::new(
        Kind::ModelNotFound,
        format!("The model \"{model}\" does not exist or you do not have access to it."),
    )
}
