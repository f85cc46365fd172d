//! The client: pooled connections over TCP or TLS, no Nagle delay, names
//! resolved by us so that what they resolve to can be refused.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{error, io};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use crate::address::{SWITCH, is_private};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// Idle connections kept to each provider, and for how long.
const IDLE_PER_HOST: usize = 256;
const IDLE: Duration = Duration::from_secs(60);

/// Why a call did not get an answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection: nothing was sent.
    #[error("no connection could be made: {0}")]
    Connect(String),
    /// The address is in a private network: nothing was sent.
    #[error("the address is in a private network; {SWITCH}")]
    Private,
    /// No head of an answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The connection broke before an answer came.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// The outgoing client; cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    allow_private: bool,
}

impl HttpClient {
    /// A client that refuses private networks unless `allow_private`.
    pub fn new(allow_private: bool) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver { allow_private });
        connector.set_nodelay(true);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_keepalive(Some(Duration::from_secs(30)));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .expect("the provider has the default protocol versions")
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(https);
        Self {
            client,
            allow_private,
        }
    }

    /// Sends a request and waits for the head of the answer, at most `first_byte`.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        first_byte: Duration,
    ) -> Result<Response<Incoming>, HttpError> {
        // An address written as a number is never resolved, so it is looked at here.
        let host = request.uri().host().unwrap_or_default();
        if !self.allow_private
            && let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>()
            && is_private(ip)
        {
            return Err(HttpError::Private);
        }
        match tokio::time::timeout(first_byte, self.client.request(request)).await {
            Err(_) => Err(HttpError::Timeout(first_byte)),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(classify(&error)),
        }
    }
}

fn classify(error: &hyper_util::client::legacy::Error) -> HttpError {
    let mut text = String::new();
    let mut source = error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<PrivateAddress>().is_some()
            || cause
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .is_some_and(|inner| inner.downcast_ref::<PrivateAddress>().is_some())
        {
            return HttpError::Private;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if error.is_connect() {
        HttpError::Connect(text)
    } else {
        HttpError::Broken(text)
    }
}

/// The address a name stands for is not of the public internet.
#[derive(Debug, thiserror::Error)]
#[error("private address")]
struct PrivateAddress;

/// Resolves names and refuses private addresses: looking at what will be
/// connected to leaves no gap for a name that changes its mind.
#[derive(Clone)]
struct Resolver {
    allow_private: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future =
        Pin<Box<dyn Future<Output = Result<std::vec::IntoIter<SocketAddr>, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|a| allow_private || !is_private(a.ip()))
                .collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(io::Error::other(PrivateAddress));
            }
            Ok(allowed.into_iter())
        })
    }
}
