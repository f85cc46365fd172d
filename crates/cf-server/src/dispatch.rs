//! Chooses by host name which routes a request gets, and what all answers have
//! in common: request id, cross-origin and safety headers.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use cf_base::RequestId;
use futures_util::future::BoxFuture;
use tower::{Service, ServiceExt as _};

use crate::App;
use crate::config::Role;
use crate::error::CoreError;
use crate::hosts::Site;
use crate::routes;

/// The whole program as one service; cheap to clone, once per request.
#[derive(Clone)]
pub struct Dispatch(Arc<Inner>);

struct Inner {
    app: App,
    core: Router,
    portal: Router,
    billing: Router,
    tenant: Router,
    any: Router,
}

impl Dispatch {
    /// Builds the routes of each component once.
    pub fn new(app: App) -> Self {
        Self(Arc::new(Inner {
            core: routes::core(&app),
            portal: routes::portal(&app),
            billing: routes::billing(&app),
            tenant: routes::tenant(&app),
            any: routes::any(&app),
            app,
        }))
    }
}

impl Inner {
    fn routes(&self, site: &Site) -> &Router {
        match site {
            Site::Core => &self.core,
            Site::Portal => &self.portal,
            Site::Billing => &self.billing,
            Site::Tenant(_) => &self.tenant,
            Site::Any | Site::Nobody => &self.any,
        }
    }
}

impl Service<Request<Body>> for Dispatch {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let inner = &*self.0;
        let id = RequestId::new(inner.app.clock.now(), &inner.app.random);
        let site = inner.app.hosts.site(host(&request));
        let routes = inner.routes(&site).clone();
        let nobody = matches!(site, Site::Nobody);
        let running = site_roles(&site)
            .iter()
            .any(|role| inner.app.config.roles.contains(role));
        let cross_origin = request.headers().contains_key(header::ORIGIN);
        let preflight = cross_origin && request.method() == Method::OPTIONS;
        let is_messages = request.uri().path().starts_with("/v1/messages");
        let wanted = request
            .headers()
            .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
            .cloned();
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(site);
        Box::pin(async move {
            let mut response = if preflight {
                preflight_answer(wanted)
            } else if nobody {
                CoreError(cf_collections::RecordError::new(
                    404,
                    "There is no tenant at this address.",
                ))
                .into_response()
            } else if !running {
                CoreError(cf_collections::RecordError::new(
                    404,
                    "This component does not run on this server (see --roles).",
                ))
                .into_response()
            } else {
                routes.oneshot(request).await?
            };
            if is_messages {
                // Anthropic's clients look for the id under this name, with refusals too.
                name_request(response.headers_mut(), "request-id", &id);
            }
            dress(response.headers_mut(), &id, cross_origin);
            Ok(response)
        })
    }
}

fn host(request: &Request<Body>) -> &str {
    request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .or_else(|| request.uri().host())
        .unwrap_or_default()
}

fn site_roles(site: &Site) -> &'static [Role] {
    match site {
        Site::Core => &[Role::Core],
        Site::Portal => &[Role::Portal],
        Site::Billing => &[Role::Billing],
        Site::Tenant(_) => &[Role::Router],
        Site::Any | Site::Nobody => &Role::ALL,
    }
}

/// The address of the other end of the connection.
#[derive(Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The client's address: that of the connection, or what a trusted proxy says;
/// of several the last that is no trusted proxy, since the first are the client's word.
pub fn client_address(app: &App, peer: Option<Peer>, headers: &HeaderMap) -> IpAddr {
    let trusted = &app.config.trusted_proxies;
    let mut address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |p| p.0.ip());
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in forwarded.iter().rev() {
        if !trusted.contains(&address) {
            break;
        }
        match hop.trim().parse() {
            Ok(next) => address = next,
            Err(_) => break,
        }
    }
    address
}

fn preflight_answer(wanted: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
    );
    if let Some(wanted) = wanted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    }
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    response
}

fn name_request(headers: &mut HeaderMap, name: &'static str, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        let name = HeaderName::from_static(name);
        headers.entry(name).or_insert(value);
    }
}

fn dress(headers: &mut HeaderMap, id: &RequestId, cross_origin: bool) {
    name_request(headers, "x-request-id", id);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::X_FRAME_OPTIONS,
        HeaderValue::from_static("SAMEORIGIN"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if cross_origin {
        // Keys and tokens are sent by the caller's own code, never by a cookie,
        // so any page may call as PocketBase and OpenAI allow it.
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("*"),
        );
    }
}
