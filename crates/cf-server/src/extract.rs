//! Who is calling, read from the request's head.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use cf_base::{Caller, Error, Kind, Role};
use cf_collections::{AuthRecord, Principal, RecordError};
use cf_identity::{Account, Session};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::App;
use crate::dispatch::{Peer, client_address};
use crate::error::{BillingError, CoreError, RouterError};
use crate::hosts::Site;

/// Largest body of the record and billing APIs: no field of ours holds more.
pub const RECORD_BODY: usize = 1 << 20;
/// Largest body of a sign-in or set-up, which strangers may send.
pub const SIGN_IN_BODY: usize = 16 << 10;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Largest body of the router: OpenAI takes images inline.
pub const ROUTER_BODY: usize = 32 << 20;

/// Where a request comes from and where it goes to.
pub struct Origin {
    /// What the host name stands for.
    pub site: Site,
    /// The client's address.
    pub address: IpAddr,
}

impl FromRequestParts<App> for Origin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &App,
    ) -> Result<Self, std::convert::Infallible> {
        let peer = parts.extensions.get::<Peer>().copied();
        Ok(Self {
            site: parts.extensions.get().cloned().unwrap_or(Site::Nobody),
            address: client_address(app, peer, &parts.headers),
        })
    }
}

/// The one who is signed in, if anybody is: a missing or bad token is a guest.
pub struct SignedIn {
    /// For the record engine.
    pub principal: Principal,
    /// The session, where there is one.
    pub session: Option<Arc<Session>>,
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = CoreError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, CoreError> {
        Ok(signed_in(app, &parts.headers).await?)
    }
}

/// Looks up the session that the `Authorization` header carries.
pub async fn signed_in(app: &App, headers: &HeaderMap) -> Result<SignedIn, Error> {
    let session = match token(headers) {
        Some(token) => app.identity.session(token).await?,
        None => None,
    };
    Ok(SignedIn {
        principal: session.as_deref().map_or(Principal::Guest, principal),
        session,
    })
}

impl SignedIn {
    /// The account, or PocketBase's refusal of guests.
    pub fn account(&self) -> Result<&Account, CoreError> {
        match self.session.as_deref() {
            Some(session) => Ok(session.account()),
            None => Err(RecordError::new(
                401,
                "The request requires valid record authorization token.",
            )
            .into()),
        }
    }

    /// Whether this is a superuser or a user with role admin.
    pub fn is_admin(&self) -> bool {
        match self.session.as_deref() {
            Some(Session::Superuser(_)) => true,
            Some(Session::User(account)) => account.role == Role::Admin,
            None => false,
        }
    }
}

/// A session as the record engine sees it.
pub fn principal(session: &Session) -> Principal {
    match session {
        Session::Superuser(account) => Principal::Superuser {
            id: account.id.to_string(),
            email: account.email.clone(),
        },
        Session::User(account) => Principal::User(Arc::new(AuthRecord {
            id: account.id.to_string(),
            email: account.email.clone(),
            role: account.role,
            status: account.status,
            tenant_id: account.tenant_id.map(|t| t.to_string()).unwrap_or_default(),
            product_id: account
                .product_id
                .map(|p| p.to_string())
                .unwrap_or_default(),
            collection: "users".into(),
        })),
    }
}

/// Takes `Authorization: TOKEN` and `Authorization: Bearer TOKEN`.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return None,
        None => text,
    };
    (!token.is_empty()).then_some(token)
}

/// A caller of the router: by API key, or by the session of the built-in chat.
pub struct RouterCaller(pub Arc<Caller>);

impl FromRequestParts<App> for RouterCaller {
    type Rejection = RouterError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, RouterError> {
        let key = token(&parts.headers).or_else(|| {
            ["x-api-key", "api-key"]
                .into_iter()
                .find_map(|name| parts.headers.get(name)?.to_str().ok())
        });
        let Some(key) = key else {
            return Err(Error::new(
                Kind::Unauthorized,
                "You didn't provide an API key. Send it as \"Authorization: Bearer YOUR_KEY\".",
            )
            .into());
        };
        // A session token is a JWT, three parts with dots; keys have none by our making,
        // but an operator may bring keys that do: those are looked up first.
        let caller = match app.identity.caller_by_key(key).await {
            Err(error) if error.kind == Kind::Unauthorized && key.matches('.').count() == 2 => {
                app.identity.caller_by_token(key).await?
            }
            other => other?,
        };
        if let Some(Site::Tenant(tenant)) = parts.extensions.get::<Site>()
            && tenant.id != caller.tenant_id
        {
            return Err(Error::new(
                Kind::Unauthorized,
                "Incorrect API key provided: this key does not belong to the tenant at this address.",
            )
            .into());
        }
        Ok(Self(caller))
    }
}

/// A query string; what cannot be read is 400 in the Billing API's shape.
pub struct Params<T>(pub T);

impl<T: serde::de::DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = BillingError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, BillingError> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(error) => {
                use std::error::Error as _;
                let cause = error
                    .source()
                    .map_or_else(String::new, |e| format!(": {e}"));
                Err(Error::invalid(format!("The query cannot be read{cause}.")).into())
            }
        }
    }
}

/// Reads a body up to `limit` bytes.
pub async fn read_body(body: axum::body::Body, limit: usize) -> Result<Bytes, Error> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect());
    let Ok(collected) = collected.await else {
        return Err(Error::invalid(
            "The request body did not come within a minute.",
        ));
    };
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Error::new(
            Kind::TooLarge,
            format!("The request body is larger than {} KiB.", limit >> 10),
        )),
        Err(error) => Err(Error::invalid("The request body could not be read.").because(error)),
    }
}
