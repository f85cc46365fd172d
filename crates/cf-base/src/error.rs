//! One error for what a client can act on; each wire shape is made of it in
//! one place (`cf-server/error.rs`).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What a client can act on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The request cannot be understood or is not allowed to say this.
    Invalid {
        /// The field at fault, where there is one.
        field: Option<Cow<'static, str>>,
    },
    /// No key, or a wrong one.
    Unauthorized,
    /// The caller is known and may not do this.
    Forbidden,
    /// The user waits for approval.
    UserPending,
    /// The user is suspended.
    UserSuspended,
    /// The user's tenant is suspended or archived.
    TenantSuspended,
    /// Key or product do not allow the model.
    ModelNotAllowed,
    /// No such model for this caller.
    ModelNotFound,
    /// The record does not exist, or not for this caller.
    NotFound,
    /// The budget of key, user or tenant cannot cover the call.
    BudgetExceeded,
    /// Too many requests.
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// The same key or id came with other content.
    Conflict,
    /// The request is larger than allowed.
    TooLarge,
    /// The request is well formed but cannot be carried out (such as an unknown price).
    Unprocessable,
    /// The provider failed; `status` is what to answer (502, 503 or 504).
    Upstream {
        /// Status for the client.
        status: u16,
    },
    /// The store (or another part that must work) cannot be reached: nothing was done.
    Unavailable,
    /// Our own fault.
    Internal,
}

/// An error that names what was refused and what to do about it.
#[derive(Debug)]
pub struct Error {
    /// What a client can act on.
    pub kind: Kind,
    /// A sentence for the person or program that called. Holds no secret.
    pub message: Cow<'static, str>,
    /// For the log: what lay beneath.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with its sentence.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// A request that cannot be understood.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Invalid { field: None }, message)
    }

    /// A request with a field that cannot be taken.
    pub fn invalid_field(
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(
            Kind::Invalid {
                field: Some(field.into()),
            },
            message,
        )
    }

    /// Our own fault; the client learns no more than that.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            kind: Kind::Internal,
            message: "Something went wrong on our side; the log says what.".into(),
            source: Some(source.into()),
        }
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
