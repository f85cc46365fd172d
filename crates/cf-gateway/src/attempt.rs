//! One try at one deployment.

use std::time::Duration;

use cf_base::{Clock, Error, Kind, Secret, Usage};
use cf_http::{HttpClient, HttpError};
use cf_llm::{
    Cause, ChatRequest, Credentials, Outgoing, OutputPlan, Provider, Route, UpstreamFailure, Wishes,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use crate::models::Deployment;

/// Largest error reply that is read.
const ERROR_BODY: usize = 64 << 10;
/// How long a provider may take to send its error.
const ERROR_TIME: Duration = Duration::from_secs(10);

/// A request that is ready but for the credentials, and an answer to it.
pub struct Attempt {
    /// How the answer is to be read.
    pub route: Route,
    /// Fields that were left out, as the client asked.
    pub dropped: Vec<String>,
    /// What is charged where nobody counts, if not the prompt.
    pub expects: Option<Usage>,
    outgoing: Outgoing,
}

impl Attempt {
    /// Makes the client's request into the provider's. What the provider cannot
    /// do is the client's matter, but another deployment may do it.
    pub fn new(
        request: &ChatRequest<'_>,
        deployment: &Deployment,
        plan: OutputPlan,
        wishes: &Wishes,
    ) -> Result<Self, UpstreamFailure> {
        let outgoing = request
            .outgoing(&deployment.place(), plan, wishes)
            .and_then(|outgoing| {
                request.check_version(&outgoing.route, wishes)?;
                Ok(outgoing)
            });
        outgoing.map(Self::of).map_err(refused)
    }

    /// A request that is made already.
    pub fn of(mut outgoing: Outgoing) -> Self {
        Self {
            route: outgoing.route,
            dropped: std::mem::take(&mut outgoing.dropped),
            expects: None,
            outgoing,
        }
    }

    /// Sends the request and waits for an answer that is none of failure.
    pub async fn send(
        self,
        http: &HttpClient,
        clock: &Clock,
        deployment: &Deployment,
        first_byte: Duration,
    ) -> Result<Response<Incoming>, UpstreamFailure> {
        let key = &deployment.key;
        let credentials = key
            .credentials
            .as_ref()
            .map_err(|what| failure(502, format!("{what} An administrator must check it.")))?;
        let Credentials::Token(source) = credentials else {
            return self
                .send_once(http, clock, deployment, credentials, None, first_byte)
                .await;
        };
        let token = key.tokens.get(source, http, clock).await?;
        let sent = self
            .send_once(
                http,
                clock,
                deployment,
                credentials,
                Some(&token),
                first_byte,
            )
            .await;
        match sent {
            // It may have been taken back before its time: one more try with another.
            Err(failure) if failure.is_unauthorized() => {
                key.tokens.forget(&token);
                let token = key.tokens.get(source, http, clock).await?;
                self.send_once(
                    http,
                    clock,
                    deployment,
                    credentials,
                    Some(&token),
                    first_byte,
                )
                .await
            }
            other => other,
        }
    }

    async fn send_once(
        &self,
        http: &HttpClient,
        clock: &Clock,
        deployment: &Deployment,
        credentials: &Credentials,
        token: Option<&Secret>,
        first_byte: Duration,
    ) -> Result<Response<Incoming>, UpstreamFailure> {
        let provider = deployment.key.provider;
        let mut outgoing = self.outgoing.clone();
        outgoing
            .authorize(credentials, token, clock.now())
            .map_err(refused)?;
        let mut request = Request::new(Full::new(outgoing.body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = outgoing.headers;
        // Answers are read and counted as they come.
        let plain = HeaderValue::from_static("identity");
        request.headers_mut().insert(header::ACCEPT_ENCODING, plain);
        *request.uri_mut() = outgoing.url.parse().map_err(|e| {
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
            return match encoding(response.headers()) {
                None => Ok(response),
                Some(encoding) => Err(compressed(provider, encoding)),
            };
        }
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(ERROR_TIME, Limited::new(body, ERROR_BODY).collect())
            .await
            .ok()
            .and_then(Result::ok)
            .map(|b| b.to_bytes())
            .unwrap_or_default();
        let secret = token.map_or(deployment.key.shown_secret(), Secret::expose);
        Err(self.route.failure(
            head.status.as_u16(),
            &head.headers,
            &body,
            secret,
            clock.now(),
        ))
    }
}

/// What cannot be sent there: the request's fault, or the record's.
pub fn refused(error: Error) -> UpstreamFailure {
    let cause = match error.kind {
        Kind::Invalid { .. } => Cause::Request,
        _ => Cause::Record,
    };
    UpstreamFailure::ours(cause, error)
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
    // After a time-out or a broken connection the provider may be at work on
    // the call: to send it again would buy it twice.
    let retryable = matches!(error, HttpError::Connect(_) | HttpError::Private);
    let cause = match error {
        HttpError::Private => Cause::Record,
        _ => Cause::Failed,
    };
    let told = Error::new(Kind::Upstream { status }, text).because(error);
    UpstreamFailure {
        retryable,
        taken: !retryable,
        ..UpstreamFailure::ours(cause, told)
    }
}

/// How an answer is compressed, if it is.
fn encoding(headers: &HeaderMap) -> Option<&str> {
    let encoding = headers.get(header::CONTENT_ENCODING)?;
    let encoding = encoding.to_str().unwrap_or("?").trim();
    let is_plain = encoding.is_empty() || encoding.eq_ignore_ascii_case("identity");
    (!is_plain).then_some(encoding)
}

/// The provider has done its work, and nobody can read it.
fn compressed(provider: Provider, encoding: &str) -> UpstreamFailure {
    let encoding: String = encoding.chars().take(20).collect();
    let text = format!(
        "The provider {} sent a compressed answer ({encoding}), for which it was not asked. An \
         administrator must check the address of the provider key.",
        provider.label()
    );
    UpstreamFailure {
        retryable: false,
        taken: true,
        ..failure(502, text)
    }
}

/// The record of the deployment's key is at fault.
fn failure(status: u16, text: String) -> UpstreamFailure {
    let error = Error::new(Kind::Upstream { status }, text);
    UpstreamFailure::ours(Cause::Record, error)
}
