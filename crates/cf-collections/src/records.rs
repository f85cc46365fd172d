//! The operations on records, one file each.

mod batch;
mod create;
mod delete;
mod expand;
mod list;
mod pick;
mod sort;
mod update;
mod view;

use cf_db::{DbError, Value};

use crate::error::{FieldError, RecordError};
use crate::schema::Collection;

pub use batch::BatchRequest;
pub use list::ListParams;
pub(crate) use list::refuse_request_names;
pub use view::Shape;

/// What was worked out for a write before its transaction: columns and values.
pub struct Prepared(Vec<(&'static str, Value)>);

/// A refusal by the database, with the field to blame if a unique index was it.
fn refused_by_database(error: DbError, collection: &Collection) -> RecordError {
    let DbError::Unique(what) = &error else {
        return error.into();
    };
    let field = unique_field(collection, what);
    let mut refusal = RecordError::fields([(field.to_owned(), FieldError::not_unique())]);
    refusal.source = Some(Box::new(error));
    refusal
}

/// PostgreSQL names the index; SQLite names it only where it is one on
/// expressions, and the columns otherwise.
fn unique_field(collection: &Collection, what: &str) -> &'static str {
    let words = || {
        what.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|w| !w.is_empty())
    };
    for unique in collection.unique {
        let by_name = words().any(|w| w == unique.index);
        let by_columns = unique.columns.iter().all(|column| {
            what.split([' ', ',']).any(|w| {
                w.strip_prefix(collection.table)
                    .and_then(|w| w.strip_prefix('.'))
                    == Some(column)
            })
        });
        if by_name || by_columns {
            return unique.field;
        }
    }
    "id"
}
