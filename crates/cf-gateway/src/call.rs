//! A chat call from its body to the provider's answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Caller, Error, Kind, Nanos, PicoUsd, RequestId, Result};
use cf_ledger::{HoldRequest, PriceVersion, Receipt};
use cf_llm::{ChatRequest, Provider, estimated_prompt_tokens, parse_usage};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::attempt;
use crate::body::{GatewayBody, Upstream};
use crate::meter::Meter;
use crate::models::{Deployment, Model};
use crate::{Gateway, Inner};

/// Output assumed where neither client, model record nor price book set a
/// limit; it is then sent with the call.
const DEFAULT_OUTPUT: u64 = 16_384;
/// Output that makes an answer useful at all; below it a budget is used up.
const LEAST_OUTPUT: u64 = 16;
/// Largest plain reply.
const REPLY: usize = 64 << 20;

/// A deployment with the prices its calls are billed by.
struct Candidate {
    deployment: Deployment,
    price: Arc<PriceVersion>,
}

/// How much output a call may have.
struct OutputPlan {
    /// Tokens for each answer.
    tokens: u64,
    /// Whether the provider must be told, because it would not stop there itself.
    tell: bool,
}

pub async fn chat(
    gateway: &Gateway,
    caller: Arc<Caller>,
    body: Bytes,
    request_id: RequestId,
) -> Result<Response<GatewayBody>> {
    let inner = &*gateway.0;
    let request = ChatRequest::parse(&body)?;
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
    let candidates = candidates(inner, &model)?;
    let admission = inner.limiter.admit(&caller)?;
    let requests = admission.requests;

    let input = request
        .prompt_token_bound()
        .min(model.context_window.unwrap_or(u64::MAX));
    let mut output = output_plan(&request, &model, &candidates);
    let worst = |tokens: u64| -> PicoUsd {
        candidates
            .iter()
            .map(|c| {
                c.price
                    .prices
                    .worst_case(input, tokens.saturating_mul(request.n))
            })
            .fold(PicoUsd(0), Ord::max)
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
    let mut lowered = false;
    if worst(output.tokens) > hold.granted() {
        output.tokens = most_that_fits(output.tokens, |tokens| worst(tokens) <= hold.granted());
        output.tell = true;
        lowered = true;
    }
    let remaining = hold.remaining();
    let mut meter = Meter::new(
        hold,
        admission,
        inner.clock.clone(),
        Arc::clone(&candidates[0].price),
        estimated_prompt_tokens(u64::try_from(body.len()).unwrap_or(u64::MAX)).min(input),
        !request.include_usage,
    );

    let mut headers = HeaderMap::with_capacity(8);
    set(&mut headers, "x-request-id", request_id.as_str());
    if let Some((limit, left)) = requests {
        set(
            &mut headers,
            "x-ratelimit-limit-requests",
            &limit.to_string(),
        );
        set(
            &mut headers,
            "x-ratelimit-remaining-requests",
            &left.to_string(),
        );
    }
    if lowered || (output.tell && request.max_output_tokens.is_some()) {
        set(
            &mut headers,
            "x-cf-output-limit",
            &output.tokens.to_string(),
        );
    }
    let limit = output.tell.then_some(output.tokens);
    let mut last = None;
    for candidate in in_turn(inner, candidates) {
        let Candidate { deployment, price } = candidate;
        meter.dispatch(&deployment, price);
        set(&mut headers, "x-cf-model", &deployment.model);
        set(
            &mut headers,
            "x-cf-provider",
            deployment.key.provider.as_str(),
        );
        if deployment.key.provider == Provider::Demo {
            return demo(
                inner,
                &request,
                &deployment,
                output.tokens,
                meter,
                headers,
                remaining,
            )
            .await;
        }
        let body = request.upstream_body(
            &deployment.model,
            limit,
            deployment.key.provider.output_limit(),
        );
        let sent = attempt::send(
            &inner.http,
            &deployment,
            body,
            request.stream,
            inner.deadlines.first_byte,
        )
        .await;
        match sent {
            Ok(response) => {
                return answer(inner, response, request.stream, meter, headers, remaining).await;
            }
            Err(failure) => {
                meter.not_taken();
                tracing::warn!(
                    request_id = request_id.as_str(),
                    provider = deployment.key.provider.as_str(),
                    provider_key = deployment.key.id.as_str(),
                    model = deployment.model,
                    error = %failure.error,
                    cause = failure.error.source.as_ref().map(ToString::to_string),
                    "a provider did not take a call"
                );
                let retryable = failure.retryable;
                last = Some(failure.error);
                if !retryable {
                    break;
                }
            }
        }
    }
    drop(meter.fail());
    Err(last.unwrap_or_else(|| not_found(&model.name)))
}

/// Deployments that can be called, with their prices.
fn candidates(inner: &Inner, model: &Model) -> Result<Vec<Candidate>> {
    let mut found = Vec::with_capacity(model.deployments.len());
    let mut reason = Error::new(
        Kind::Upstream { status: 503 },
        format!(
            "The model \"{}\" has no deployment with an active provider key. An administrator must check \
             the model record.",
            model.name
        ),
    );
    for deployment in &model.deployments {
        let provider = deployment.key.provider;
        if !provider.is_supported() {
            reason = Error::new(
                Kind::Upstream { status: 503 },
                format!(
                    "The model \"{}\" is deployed at {}, which this version cannot call yet.",
                    model.name,
                    provider.label()
                ),
            );
            continue;
        }
        let price = inner.ledger.price(
            provider.as_str(),
            &deployment.model,
            model.own_prices.as_ref(),
        );
        let price = match price {
            Some(price) => price,
            // The demo provider is ours and costs nothing.
            None if provider == Provider::Demo => Arc::new(PriceVersion::free()),
            None => {
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
            }
        };
        found.push(Candidate {
            deployment: deployment.clone(),
            price,
        });
    }
    if found.is_empty() {
        Err(reason)
    } else {
        Ok(found)
    }
}

fn output_plan(request: &ChatRequest<'_>, model: &Model, candidates: &[Candidate]) -> OutputPlan {
    // What every candidate stops at by itself.
    let natural = candidates
        .iter()
        .map(|c| c.price.max_output_tokens)
        .try_fold(0, |most, limit| Some(limit?.max(most)));
    let record = model
        .max_output_tokens
        .into_iter()
        .chain(model.context_window)
        .min();
    let asked = request.max_output_tokens;
    let tokens = [asked, record, natural].into_iter().flatten().min();
    let tokens = tokens.unwrap_or(DEFAULT_OUTPUT).max(1);
    // Told where the client's own limit or the model's nature would allow more.
    let known = asked.or(natural).unwrap_or(u64::MAX);
    OutputPlan {
        tokens,
        tell: tokens < known,
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
        let total: u64 = same.iter().map(|i| candidates[*i].deployment.weight).sum();
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

async fn demo(
    inner: &Inner,
    request: &ChatRequest<'_>,
    deployment: &Deployment,
    limit: u64,
    mut meter: Meter,
    headers: HeaderMap,
    remaining: Nanos,
) -> Result<Response<GatewayBody>> {
    let id = format!("chatcmpl-{}", inner.random.token::<24>());
    let created = inner.clock.now().as_millis() / 1000;
    let model = &deployment.model;
    meter.first_byte();
    if request.stream {
        let events = cf_llm::demo_stream(request, model, Some(limit), &id, created);
        return Ok(stream(
            inner,
            Upstream::Ready(events.into()),
            meter,
            headers,
            remaining,
        ));
    }
    let body = cf_llm::demo_plain(request, model, Some(limit), &id, created);
    plain(inner, body, meter, headers).await
}

async fn answer(
    inner: &Inner,
    response: Response<Incoming>,
    wants_stream: bool,
    mut meter: Meter,
    headers: HeaderMap,
    remaining: Nanos,
) -> Result<Response<GatewayBody>> {
    let (head, body) = response.into_parts();
    let is_stream = head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    if wants_stream && is_stream {
        return Ok(stream(
            inner,
            Upstream::Http(body),
            meter,
            headers,
            remaining,
        ));
    }
    meter.first_byte();
    let collected =
        tokio::time::timeout(inner.deadlines.total, Limited::new(body, REPLY).collect());
    let body = match collected.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            drop(meter.fail());
            return Err(Error::new(
                Kind::Upstream { status: 502 },
                "The provider's answer broke off or was too large.",
            )
            .because(error));
        }
        Err(_) => {
            drop(meter.fail());
            return Err(Error::new(
                Kind::Upstream { status: 504 },
                "The provider did not finish its answer in time.",
            ));
        }
    };
    plain(inner, body, meter, headers).await
}

/// A whole reply: booked, then released.
async fn plain(
    inner: &Inner,
    body: Bytes,
    meter: Meter,
    mut headers: HeaderMap,
) -> Result<Response<GatewayBody>> {
    let Some((usage, estimated, _)) = parse_usage(&body, meter.estimated_input()) else {
        drop(meter.fail());
        return Err(Error::new(
            Kind::Upstream { status: 502 },
            "The provider answered with something that is no chat completion.",
        ));
    };
    let receipt = match meter.finish(usage, estimated) {
        Some(settled) => tokio::time::timeout(inner.deadlines.books, settled)
            .await
            .unwrap_or_else(|_| Err(books_late()))?,
        None => return Err(Error::internal("a call ended twice")),
    };
    let Receipt {
        cost, remaining, ..
    } = receipt;
    set(&mut headers, "x-cf-cost", &cost.to_string());
    budget(&mut headers, remaining);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let mut response = Response::new(GatewayBody::full(body));
    *response.headers_mut() = headers;
    Ok(response)
}

fn stream(
    inner: &Inner,
    upstream: Upstream,
    meter: Meter,
    mut headers: HeaderMap,
    remaining: Nanos,
) -> Response<GatewayBody> {
    budget(&mut headers, remaining);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies in front must not collect what is meant to flow.
    set(&mut headers, "x-accel-buffering", "no");
    let mut response = Response::new(GatewayBody::stream(upstream, meter, inner.deadlines));
    *response.headers_mut() = headers;
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
