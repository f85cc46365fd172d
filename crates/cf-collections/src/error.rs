//! What went wrong, in PocketBase's shape as a plain value.

use std::borrow::Cow;

use cf_db::DbError;
use serde_json::{Map, Value as Json, json};

/// What is wrong with one field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// PocketBase's code, such as `validation_required`.
    pub code: Cow<'static, str>,
    /// A sentence for a person.
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// A field error with its code and sentence.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    pub(crate) fn required() -> Self {
        Self::new("validation_required", "Cannot be blank.")
    }

    pub(crate) fn format() -> Self {
        Self::new("validation_invalid_format", "Invalid value format.")
    }

    pub(crate) fn not_unique() -> Self {
        Self::new("validation_not_unique", "Value must be unique.")
    }

    pub(crate) fn mismatch() -> Self {
        Self::new("validation_values_mismatch", "Values don't match.")
    }

    pub(crate) fn not_allowed() -> Self {
        Self::new(
            "validation_not_allowed",
            "You are not allowed to set this field to this value.",
        )
    }
}

/// A refusal of the record API: status, message, and what is wrong with which field.
#[derive(Debug)]
pub struct RecordError {
    /// The HTTP status that PocketBase answers with.
    pub status: u16,
    /// A sentence for a person.
    pub message: Cow<'static, str>,
    /// Per field `{code, message}`; empty where no field is at fault.
    pub data: Map<String, Json>,
    /// For the log: what lay beneath.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A result with [`RecordError`].
pub type Result<T, E = RecordError> = std::result::Result<T, E>;

impl RecordError {
    /// A refusal with no field at fault.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            message: message.into(),
            data: Map::new(),
            source: None,
        }
    }

    /// A refusal because of one field. The operation puts its own message
    /// ("Failed to create record.") over it, so hooks need not know which one it is.
    pub fn field(field: &str, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::fields([(field.to_owned(), FieldError::new(code, message))])
    }

    pub(crate) fn fields(errors: impl IntoIterator<Item = (String, FieldError)>) -> Self {
        let mut error = Self::new(400, "");
        for (field, e) in errors {
            error
                .data
                .insert(field, json!({"code": e.code, "message": e.message}));
        }
        error
    }

    /// The collection is not there.
    pub(crate) fn no_collection(writing: bool) -> Self {
        Self::new(
            404,
            if writing {
                "Missing or invalid collection context."
            } else {
                "Missing collection context."
            },
        )
    }

    /// The record is not there, or not for this caller.
    pub fn not_found() -> Self {
        Self::new(404, "The requested resource wasn't found.")
    }

    pub(crate) fn superusers_only() -> Self {
        Self::new(403, "Only superusers can perform this action.")
    }

    pub(crate) fn bad_request() -> Self {
        Self::new(400, "Something went wrong while processing your request.")
    }

    pub(crate) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Gives a field error of a hook or of validation the operation's message.
    pub(crate) fn or_message(mut self, message: &'static str) -> Self {
        if self.message.is_empty() {
            self.message = message.into();
        }
        self
    }

    /// The body of the answer.
    pub fn to_json(&self) -> Json {
        let message = match self.message.as_ref() {
            "" => "Something went wrong while processing your request.",
            message => message,
        };
        json!({"status": self.status, "message": message, "data": self.data})
    }
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.message)?;
        if !self.data.is_empty() {
            write!(f, " {}", Json::Object(self.data.clone()))?;
        }
        Ok(())
    }
}

impl std::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<DbError> for RecordError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) | DbError::Contended(_) => Self::new(
                503,
                "The database cannot be reached; nothing was done. Try again later.",
            )
            .because(error),
            DbError::TooLong => Self::new(
                400,
                "This takes longer than one request may. Narrow the filter, sort by fewer fields, \
                 expand less, or leave out the count with skipTotal=1.",
            )
            .because(error),
            // Where a unique index is known to stand behind a field, the writing
            // operation has named the field before it comes to this.
            DbError::Unique(_) => Self::new(400, "").because(error),
            other => Self::new(500, "Something went wrong on our side; the log says what.")
                .because(other),
        }
    }
}

impl From<cf_base::Error> for RecordError {
    fn from(error: cf_base::Error) -> Self {
        use cf_base::Kind;
        let status = match &error.kind {
            Kind::Invalid { field: Some(field) } => {
                let mut refusal = Self::fields([(
                    field.to_string(),
                    FieldError::new("validation_invalid_value", error.message.clone()),
                )]);
                refusal.source = error.source;
                return refusal;
            }
            Kind::Invalid { field: None } => 400,
            Kind::Unauthorized => 401,
            Kind::NotFound | Kind::ModelNotFound => 404,
            Kind::Conflict => 409,
            Kind::TooLarge => 413,
            Kind::Unprocessable => 422,
            Kind::RateLimited { .. } => 429,
            Kind::Unavailable => 503,
            Kind::Upstream { status } => *status,
            Kind::Internal => 500,
            Kind::Forbidden
            | Kind::UserPending
            | Kind::UserSuspended
            | Kind::TenantSuspended
            | Kind::ModelNotAllowed
            | Kind::BudgetExceeded => 403,
        };
        let mut refusal = Self::new(status, error.message.clone());
        refusal.source = Some(Box::new(error));
        refusal
    }
}
