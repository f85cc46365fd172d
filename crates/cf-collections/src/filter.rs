//! The filter language: text to tokens, tokens to a tree, the tree to SQL with
//! bound parameters. Access rules are written in it too.
//!
//! Back-relations (`x_via_y`), `@collection`, `:each`, `:length`, `:changed`,
//! functions, and of `@request` all but `auth` and `body` are not part of it:
//! they are refused as unknown.

mod compare;
mod lex;
mod macros;
mod parse;
mod resolve;
mod sql;
#[cfg(test)]
mod tests;

pub(crate) use parse::{Expr, parse};
pub(crate) use resolve::Root;
pub(crate) use sql::{Cond, Context, Statement, condition, sort_key};

/// Why a filter or sort is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum FilterError {
    /// It is not understood, or names what the caller may not see.
    #[error("{0}")]
    Invalid(String),
    /// It asks for what only superusers may ask for.
    #[error("only superusers may filter by @request and @collection")]
    SuperusersOnly,
}

impl FilterError {
    fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }
}

impl From<FilterError> for crate::RecordError {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::Invalid(_) => Self::bad_request().because(error),
            FilterError::SuperusersOnly => {
                Self::new(403, "Only superusers can filter by @request.")
            }
        }
    }
}
