//! Who calls the Billing API or the portal's own calls: a program with a
//! billing key, or a person who is signed in; and what each may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use cf_base::{Error, Kind, Role, TenantId, UserStatus};
use cf_collections::{AuthRecord, Principal};
use cf_identity::{Actor, BillingKey, BillingScope};

use crate::App;
use crate::dispatch::{Peer, client_address};
use crate::error::BillingError;
use crate::extract::{SignedIn, signed_in};

/// A caller of the Billing API or of the portal's own calls. As an argument of
/// a handler it lets in keys with the scope `read` for what only reads, with
/// `manage` for everything else; see [`MayCheck`], [`MayLog`], [`MayRelease`]
/// for the rest.
pub enum Manager {
    /// A program with a billing key.
    Program(Arc<BillingKey>),
    /// A person who is signed in.
    Person(SignedIn),
}

/// A program with the scope `check`, or an administrator.
pub struct MayCheck(pub Manager);

/// A program with the scope `log`, or an administrator.
pub struct MayLog(pub Manager);

/// A program with the scope `check` or `log`, or an administrator.
pub struct MayRelease(pub Manager);

impl FromRequestParts<App> for Manager {
    type Rejection = BillingError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, BillingError> {
        let manager = Self::find(parts, app).await?;
        manager.require(&[if parts.method.is_safe() {
            BillingScope::Read
        } else {
            BillingScope::Manage
        }])?;
        Ok(manager)
    }
}

impl FromRequestParts<App> for MayCheck {
    type Rejection = BillingError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, BillingError> {
        let manager = Manager::find(parts, app).await?;
        manager.require_admin(&[BillingScope::Check]).map(Self)
    }
}

impl FromRequestParts<App> for MayLog {
    type Rejection = BillingError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, BillingError> {
        let manager = Manager::find(parts, app).await?;
        manager.require_admin(&[BillingScope::Log]).map(Self)
    }
}

impl FromRequestParts<App> for MayRelease {
    type Rejection = BillingError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, BillingError> {
        let manager = Manager::find(parts, app).await?;
        let either = [BillingScope::Check, BillingScope::Log];
        manager.require_admin(&either).map(Self)
    }
}

impl Manager {
    async fn find(parts: &Parts, app: &App) -> Result<Self, BillingError> {
        let Some(key) = parts.headers.get("x-api-key") else {
            let signed_in = signed_in(app, &parts.headers).await?;
            return if signed_in.session.is_some() {
                Ok(Self::Person(signed_in))
            } else {
                Err(unauthorized())
            };
        };
        let key = key.to_str().unwrap_or_default();
        let address = client_address(app, parts.extensions.get::<Peer>().copied(), &parts.headers);
        let limits = &app.request_limits;
        limits.check_address(address, key, &app.clock)?;
        let found = app.identity.billing_key(key).await?;
        limits.note(address, key, found.is_some(), &app.clock);
        let key = found.ok_or_else(unauthorized)?;
        limits.count(&key, &app.clock)?;
        Ok(Self::Program(key))
    }

    /// A program must have one of these scopes; what people may do, the record
    /// rules decide.
    fn require(&self, one_of: &[BillingScope]) -> Result<(), BillingError> {
        let Self::Program(key) = self else {
            return Ok(());
        };
        if one_of.iter().any(|scope| key.scopes.allow(*scope)) {
            return Ok(());
        }
        let needed: Vec<&str> = one_of.iter().map(|scope| scope.as_str()).collect();
        Err(Error::new(
            Kind::Forbidden,
            format!(
                "The billing key \"{}\" has the scopes {}; this needs {}.",
                key.name,
                key.scopes,
                needed.join(" or ")
            ),
        )
        .into())
    }

    /// As [`Manager::require`], and of people only administrators go on.
    fn require_admin(self, one_of: &[BillingScope]) -> Result<Self, BillingError> {
        self.require(one_of)?;
        match &self {
            Self::Person(signed_in) if !signed_in.is_admin() => Err(Error::new(
                Kind::Forbidden,
                "Only administrators and programs with a billing key may do this.",
            )
            .into()),
            _ => Ok(self),
        }
    }

    /// What the record engine lets this caller do. A program is an administrator
    /// of everything or of its tenant, under its own name and never a superuser.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Program(key) => Principal::User(Arc::new(AuthRecord {
                id: key.id_text(),
                email: key.name.clone(),
                role: match key.tenant_id {
                    None => Role::Admin,
                    Some(_) => Role::TenantAdmin,
                },
                status: UserStatus::Active,
                tenant_id: key.tenant_id.map(|t| t.to_string()).unwrap_or_default(),
                product_id: String::new(),
                collection: "billing_keys".into(),
            })),
            Self::Person(signed_in) => signed_in.principal.clone(),
        }
    }

    /// The one tenant a program sees and touches; none for all, and for people,
    /// for whom the record rules decide.
    pub fn only_tenant(&self) -> Option<TenantId> {
        match self {
            Self::Program(key) => key.tenant_id,
            Self::Person(_) => None,
        }
    }

    /// Who this is, for entries of the ledger.
    pub fn name(&self) -> String {
        match self {
            Self::Program(key) => format!("billing key {}", key.name),
            Self::Person(signed_in) => signed_in.principal.email().to_owned(),
        }
    }

    /// Who this is, by collection and id: names may be given again.
    pub fn identity(&self) -> String {
        let principal = self.principal();
        format!("{}/{}", principal.collection(), principal.id())
    }

    /// Who this is, for the audit trail.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Program(key) => Actor::billing_key(key),
            Self::Person(signed_in) => match signed_in.session.as_deref() {
                Some(session) => Actor::account(session.account()),
                None => Actor::system(),
            },
        }
    }
}

fn unauthorized() -> BillingError {
    Error::new(
        Kind::Unauthorized,
        "A valid billing key is needed in the header X-API-Key (make one with \
         `cloudfreedom billing-key create --name N`).",
    )
    .into()
}
