//! What can go wrong with a database, as far as callers can act on it.

/// An error of the database.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DbError {
    /// A unique index refused the row; holds the index's or columns' name.
    #[error("a row with this value exists already ({0})")]
    Unique(String),
    /// The database cannot be reached, is locked by another process, full or
    /// read-only: nothing was written.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Another transaction was in the way and this one was given up; trying again
    /// may work.
    #[error("another transaction was in the way: {0}")]
    Contended(String),
    /// A read took longer than it may.
    #[error("the query took longer than it may")]
    TooLong,
    /// A column does not hold what was expected.
    #[error("unexpected data: {0}")]
    Data(String),
    /// Anything else: a wrong statement, a broken file.
    #[error("{0}")]
    Other(String),
}

/// A result with [`DbError`].
pub type Result<T, E = DbError> = std::result::Result<T, E>;

impl From<DbError> for cf_base::Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) | DbError::Contended(_) => Self::new(
                cf_base::Kind::Unavailable,
                "The database cannot be reached; nothing was done. Try again later.",
            )
            .because(error),
            DbError::TooLong => Self::new(
                cf_base::Kind::Unavailable,
                "The query takes too long; ask for less at a time.",
            )
            .because(error),
            other => Self::internal(other),
        }
    }
}
