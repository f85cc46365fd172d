//! A provider's answer, plain or streamed, on its way to the client.

use bytes::Bytes;
use cf_base::{Error, Kind, Nanos, RequestId, Result};
use cf_ledger::{CACHE, Receipt, Settled};
use cf_llm::{ChatRequest, Dialect, Opening, Reply, Route, UpstreamFailure};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::Inner;
use crate::body::{EVENTS, GatewayBody, Upstream};
use crate::cache::Kept;
use crate::limits::Admission;
use crate::meter::Meter;
use crate::plan::Candidate;
use crate::recording::Recorder;

/// What a whole answer is, unless somebody says otherwise.
pub const JSON: &str = "application/json";
/// Largest plain reply.
pub const REPLY: usize = 64 << 20;

/// A call on its way: what answers need to know of it.
pub struct Call<'a> {
    pub inner: &'a Inner,
    pub request: &'a ChatRequest<'a>,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// When the whole call is cut off.
    pub ends_at: Instant,
    /// What is left of the user's budget while it runs.
    pub remaining: Nanos,
    /// Where the answer is kept, if it is to be.
    pub recorder: Option<Box<Recorder>>,
}

/// What is known of a call before it is sent.
pub fn describe(headers: &mut HeaderMap, request_id: &RequestId, admission: &Admission) {
    set(headers, "x-request-id", request_id.as_str());
    for (name, value) in admission.standings.headers() {
        set(headers, name, &value);
    }
}

/// The last failure as the client's answer. A refusal of the request itself is
/// told with the provider's own `param` and `code`, which clients act on.
pub fn refuse(mut call: Call<'_>, failure: UpstreamFailure) -> Result<Response<GatewayBody>> {
    let body = call.request.dialect.refusal(&failure);
    if let (Some(recorder), Some(body)) = (&mut call.recorder, &body) {
        recorder.take(body);
    }
    match body {
        Some(body) => Ok(whole(StatusCode::BAD_REQUEST, body, call.headers)),
        None => Err(failure.error),
    }
}

/// What the answer is named by where the provider does not say.
fn opening(call: &Call<'_>, route: Route, meter: &Meter) -> Opening {
    let seconds = call.inner.clock.now().as_millis() / 1000;
    Opening {
        // What passes as it is has a name.
        id: if route.is_same_dialect() {
            String::new()
        } else {
            let random = &call.inner.random;
            match call.request.dialect {
                Dialect::Responses => format!("resp_{}", random.token::<40>()),
                Dialect::Completions => format!("cmpl-{}", random.token::<24>()),
                _ => format!("chatcmpl-{}", random.token::<24>()),
            }
        },
        created: u64::try_from(seconds).unwrap_or(0),
        model: meter
            .deployment()
            .map_or_else(String::new, |d| d.model.clone()),
        include_usage: call.request.include_usage,
        estimated_input: meter.estimated_input(),
        echo: call.request.echo(),
    }
}

pub async fn demo(
    call: Call<'_>,
    route: Route,
    limit: u64,
    mut meter: Meter,
) -> Result<Response<GatewayBody>> {
    let Some(deployment) = meter.deployment() else {
        return Err(Error::internal("a reply without a deployment"));
    };
    let model = deployment.model.clone();
    let id = format!("chatcmpl-{}", call.inner.random.token::<24>());
    let created = call.inner.clock.now().as_millis() / 1000;
    meter.first_byte();
    if call.request.stream {
        let events = cf_llm::demo_stream(call.request, &model, Some(limit), &id, created);
        return Ok(stream(call, route, Upstream::Ready(events.into()), meter));
    }
    let body = cf_llm::demo_plain(call.request, &model, Some(limit), &id, created);
    plain(call, route, body, meter).await
}

pub async fn answer(
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
    match read(body, call.ends_at).await {
        Ok(body) => plain(call, route, body, meter).await,
        Err(error) => {
            drop(meter.break_off());
            Err(error)
        }
    }
}

/// A whole answer, within limits of size and time.
pub async fn read(body: Incoming, ends_at: Instant) -> Result<Bytes> {
    let whole = tokio::time::timeout_at(ends_at, Limited::new(body, REPLY).collect());
    match whole.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(cause)) => Err(too_large().because(cause)),
        Err(_) => Err(Error::new(
            Kind::Upstream { status: 504 },
            "The provider did not finish its answer in time.",
        )),
    }
}

pub fn too_large() -> Error {
    Error::new(
        Kind::Upstream { status: 502 },
        "The provider's answer broke off or was too large.",
    )
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
    let others = route.other_models(&body);
    let (reply, body) = route.reply(body, &opening(&call, route, &meter));
    let error = match reply {
        Reply::Completion(usage, estimated) => {
            let usage = meter.with_others(usage, &others);
            let recorder = call.recorder.take().map(|mut recorder| {
                if meter.client_has_left() {
                    recorder.client_left();
                }
                (recorder, meter.served(usage, estimated))
            });
            let Some(settled) = meter.finish(usage, estimated) else {
                return Err(Error::internal("a call ended twice"));
            };
            let receipt = booked(call.inner, settled).await?;
            set(&mut call.headers, "x-cf-cost", &receipt.cost.to_string());
            budget(&mut call.headers, receipt.remaining);
            if let Some((mut recorder, served)) = recorder {
                recorder.take(&body);
                // Late, it is an answer that is not kept.
                let kept = recorder.finish(JSON, served, Some(body.clone()));
                let _ = tokio::time::timeout(call.inner.deadlines.books, kept).await;
            }
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
            "The provider answered with something that is not what was asked for.",
        ),
    };
    drop(meter.fail());
    Err(error)
}

pub fn whole(status: StatusCode, body: Bytes, mut headers: HeaderMap) -> Response<GatewayBody> {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
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
    call.headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    let_flow(&mut call.headers);
    let dialect = Some(call.request.dialect);
    let body = GatewayBody::stream(call.inner, upstream, dialect, meter, call.ends_at);
    let mut response = Response::new(body.recorded(call.recorder));
    *response.headers_mut() = call.headers;
    response
}

/// An answer that was given before: booked, then given again as it was.
pub async fn again(
    inner: &Inner,
    mut headers: HeaderMap,
    kept: Kept,
    candidates: &[Candidate],
    meter: Meter,
) -> Result<Response<GatewayBody>> {
    let price = kept.price(candidates);
    let price = price.ok_or_else(|| Error::internal("a kept answer without a price"))?;
    let Some(settled) = meter.give_again(&kept, price) else {
        return Err(Error::internal("a call ended twice"));
    };
    let receipt = booked(inner, settled).await?;
    set(&mut headers, "x-cf-cost", &receipt.cost.to_string());
    budget(&mut headers, receipt.remaining);
    set(&mut headers, "x-cf-cache", "hit");
    set(&mut headers, "x-cf-model", &kept.model);
    set(&mut headers, "x-cf-provider", CACHE);
    if kept.content_type == EVENTS {
        let_flow(&mut headers);
    }
    let mut response = whole(StatusCode::OK, kept.body, headers);
    if let Ok(kind) = HeaderValue::from_str(&kept.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

/// Waits until a call is in the books: before that its answer is not released.
pub async fn booked(inner: &Inner, settled: Settled) -> Result<Receipt> {
    tokio::time::timeout(inner.deadlines.books, settled)
        .await
        .unwrap_or_else(|_| Err(books_late()))
}

/// Who was asked last, which is told also with a refusal.
pub fn name_deployment(headers: &mut HeaderMap, meter: &Meter) {
    if let Some(deployment) = meter.deployment() {
        set(headers, "x-cf-model", &deployment.model);
        set(headers, "x-cf-provider", deployment.key.provider.as_str());
    }
}

/// What was left out of the request, as the client asked.
pub fn name_dropped(headers: &mut HeaderMap, dropped: &[String]) {
    if !dropped.is_empty() {
        set(headers, "x-cf-dropped-params", &dropped.join(","));
    }
}

/// Proxies in front must not collect what is meant to flow.
pub fn let_flow(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    set(headers, "x-accel-buffering", "no");
}

pub fn budget(headers: &mut HeaderMap, remaining: Nanos) {
    // The end of the range stands for no limit.
    if remaining.0 < i64::MAX / 2 {
        set(headers, "x-cf-budget-remaining", &remaining.to_string());
    }
}

pub fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
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
