//! One try at one deployment.

use std::time::Duration;

use bytes::Bytes;
use cf_base::{Error, Kind};
use cf_http::{HttpClient, HttpError};
use cf_llm::{Provider, UpstreamFailure, parse_failure};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use crate::models::Deployment;

/// Largest error reply that is read.
const ERROR_BODY: usize = 64 << 10;
/// How long a provider may take to send its error.
const ERROR_TIME: Duration = Duration::from_secs(10);

/// Sends the request and waits for an answer that is none of failure.
pub async fn send(
    http: &HttpClient,
    deployment: &Deployment,
    body: Bytes,
    stream: bool,
    first_byte: Duration,
) -> Result<Response<Incoming>, UpstreamFailure> {
    let key = &deployment.key;
    let provider = key.provider;
    let target = provider
        .chat_target(&key.base_url, key.secret.expose())
        .ok_or_else(|| {
            failure(
                502,
                format!(
                    "The provider key for {} has no address (base_url). An administrator must set it.",
                    provider.label()
                ),
            )
        })?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "cloudfreedom")
        .header(
            header::ACCEPT,
            if stream {
                "text/event-stream"
            } else {
                "application/json"
            },
        );
    if let Some((name, value)) = target.credentials {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body)).map_err(|e| {
        failure(
            502,
            format!(
                "The address of the provider key for {} is not valid ({e}).",
                provider.label()
            ),
        )
    })?;
    let response = http
        .send(request, first_byte)
        .await
        .map_err(|error| unreachable_provider(provider, error))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = tokio::time::timeout(ERROR_TIME, Limited::new(body, ERROR_BODY).collect())
        .await
        .ok()
        .and_then(Result::ok)
        .map(|b| b.to_bytes())
        .unwrap_or_default();
    Err(parse_failure(
        provider.label(),
        head.status.as_u16(),
        retry_after(&head.headers),
        &body,
        key.secret.expose(),
    ))
}

fn unreachable_provider(provider: Provider, error: HttpError) -> UpstreamFailure {
    let name = provider.label();
    let (status, text) = match &error {
        HttpError::Private => (
            502,
            format!(
                "The address of the provider {name} is in a private network, which is not allowed: start \
                 the server with --allow-private-upstreams."
            ),
        ),
        HttpError::Timeout(limit) => (
            504,
            format!(
                "The provider {name} did not answer within {} seconds.",
                limit.as_secs()
            ),
        ),
        HttpError::Connect(_) => (502, format!("The provider {name} cannot be reached.")),
        HttpError::Broken(_) => (
            502,
            format!("The connection to the provider {name} broke before it answered."),
        ),
    };
    let mut failure = failure(status, text);
    // After a time-out or a broken connection the provider may be at work on
    // the call: to send it again would buy it twice.
    failure.retryable = matches!(error, HttpError::Connect(_) | HttpError::Private);
    failure.taken = !failure.retryable;
    failure.error = failure.error.because(error);
    failure
}

fn failure(status: u16, text: String) -> UpstreamFailure {
    UpstreamFailure {
        error: Error::new(Kind::Upstream { status }, text),
        retryable: true,
        taken: false,
        code: None,
    }
}

/// `retry-after-ms` and `retry-after` in seconds; the larger where both stand.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let seconds = number("retry-after").map(Duration::from_secs);
    let millis = number("retry-after-ms").map(Duration::from_millis);
    let longest = Duration::from_secs(24 * 3600);
    seconds.max(millis).map(|d| d.min(longest))
}
