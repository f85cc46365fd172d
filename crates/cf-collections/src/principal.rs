//! Who asks. The server has found out; the engine believes it.

use std::sync::Arc;

use cf_base::{Role, UserStatus};

use crate::schema::Collection;

/// Who asks for a record.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Nobody known.
    Guest,
    /// A record of `_superusers`: no rule applies.
    Superuser {
        /// Its id.
        id: String,
        /// Its address.
        email: String,
    },
    /// A signed-in user, active, of an active tenant: the server turns others away.
    User(Arc<AuthRecord>),
}

/// What rules need to know of a signed-in user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRecord {
    /// Id of the record.
    pub id: String,
    /// Its address.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Where it stands.
    pub status: UserStatus,
    /// Its tenant; empty if none.
    pub tenant_id: String,
    /// Its product; empty if none.
    pub product_id: String,
    /// Name of its collection: `users`.
    pub collection: String,
}

/// How much a principal may see and set, fields apart from rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Everybody.
    Guest,
    /// A signed-in user.
    User,
    /// An administrator of one tenant.
    TenantAdmin,
    /// An administrator.
    Admin,
    /// A superuser.
    Superuser,
    /// Nobody: not shown and not taken from anyone.
    Nobody,
}

impl Principal {
    /// How much this principal may see and set.
    pub fn level(&self) -> Level {
        match self {
            Self::Guest => Level::Guest,
            Self::Superuser { .. } => Level::Superuser,
            Self::User(user) => match user.role {
                Role::Admin if user.status == UserStatus::Active => Level::Admin,
                Role::TenantAdmin => Level::TenantAdmin,
                Role::Admin | Role::User => Level::User,
            },
        }
    }

    /// The id, empty for a guest.
    pub fn id(&self) -> &str {
        match self {
            Self::Guest => "",
            Self::Superuser { id, .. } => id,
            Self::User(user) => &user.id,
        }
    }

    /// The address, empty for a guest.
    pub fn email(&self) -> &str {
        match self {
            Self::Guest => "",
            Self::Superuser { email, .. } => email,
            Self::User(user) => &user.email,
        }
    }

    /// Name of the collection the principal is a record of, empty for a guest.
    pub fn collection(&self) -> &str {
        match self {
            Self::Guest => "",
            Self::Superuser { .. } => "_superusers",
            Self::User(user) => &user.collection,
        }
    }

    /// Whether no rule of `collection` applies: superusers everywhere,
    /// administrators everywhere but at the superusers.
    pub(crate) fn bypasses(&self, collection: &Collection) -> bool {
        match self.level() {
            Level::Superuser => true,
            Level::Admin => collection.name != "_superusers",
            _ => false,
        }
    }

    /// Whether this is the principal's own record.
    pub(crate) fn is(&self, collection: &Collection, id: &str) -> bool {
        self.collection() == collection.name && self.id() == id && !id.is_empty()
    }
}
