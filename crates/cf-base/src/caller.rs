//! Who calls, and what that caller may do: a snapshot taken when a key or
//! token was looked up, refreshed when one of its records changes.

use std::fmt;
use std::str::FromStr;

use crate::{Currency, KeyId, ProductId, TenantId, UserId};

/// What a user may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Role {
    /// Own account only.
    User,
    /// The people, keys, budgets and usage of one tenant.
    TenantAdmin,
    /// Everything.
    Admin,
}

/// Where a user stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UserStatus {
    /// Signed up, not yet approved: no access.
    Pending,
    /// May use what role, product and budget allow.
    Active,
    /// Shut out by an administrator.
    Suspended,
}

/// Where a tenant stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TenantStatus {
    /// Open.
    Active,
    /// Shut out, with everybody in it.
    Suspended,
    /// Kept for its books only.
    Archived,
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $type {
            /// The word in the records.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
        impl FromStr for $type {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($word => Ok(Self::$variant),)* _ => Err(()) }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(Role { User = "user", TenantAdmin = "tenant_admin", Admin = "admin" });
words!(UserStatus { Pending = "pending", Active = "active", Suspended = "suspended" });
words!(TenantStatus { Active = "active", Suspended = "suspended", Archived = "archived" });

/// How much a caller may do at a time; zero means no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Requests a minute.
    pub requests_per_minute: u32,
    /// Tokens a minute.
    pub tokens_per_minute: u32,
    /// Requests at the same time.
    pub parallel_requests: u32,
}

impl Limits {
    /// Whether there is no limit at all.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What is kept of a tenant's calls; nothing unless an administrator says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keeping {
    /// How long an answer is given again to the same request; zero: never.
    pub cache_seconds: u32,
    /// What such an answer costs, in percent of what the call would.
    pub cache_price_percent: u32,
    /// Days that what is asked and answered is kept to be read; zero: not at all.
    pub prompt_log_days: u32,
}

/// A caller of the router whose key, user and tenant were all found active.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user on whose budget the call runs.
    pub user_id: UserId,
    /// The user's tenant.
    pub tenant_id: TenantId,
    /// The API key; none when the user's own session calls (built-in chat).
    pub key_id: Option<KeyId>,
    /// The user's role.
    pub role: Role,
    /// The user's product, if one is assigned.
    pub product_id: Option<ProductId>,
    /// Models the product allows (empty: all).
    pub product_models: Vec<String>,
    /// Models the key allows (empty: all the product allows).
    pub key_models: Vec<String>,
    /// Limits of the product, which each user has.
    pub limits: Limits,
    /// Limits of the key.
    pub key_limits: Limits,
    /// Limits of the tenant, for all of its users together.
    pub tenant_limits: Limits,
    /// What is kept of the tenant's calls.
    pub keeping: Keeping,
    /// Where the tenant's calls may be worked on (empty: anywhere).
    pub regions: Vec<String>,
    /// Currency of the user's budget.
    pub currency: Currency,
    /// Currency of the tenant's budget.
    pub tenant_currency: Currency,
}

impl Caller {
    /// Whether product and key allow `model` (a public model name).
    pub fn may_use(&self, model: &str) -> bool {
        let allows = |list: &[String]| list.is_empty() || list.iter().any(|m| m == model);
        allows(&self.product_models) && allows(&self.key_models)
    }
}
