//! A record engine that answers as PocketBase does: one engine, one descriptor
//! per collection. A descriptor says which table and columns a collection's
//! fields live in, who may do what with them, and what a value must look like.
//!
//! It knows the database and the shared words only: no HTTP, no passwords, no
//! money rules. What saving a record means elsewhere is told to it as [`Hooks`].

mod engine;
mod error;
mod filter;
mod hooks;
mod principal;
mod realtime;
mod record;
mod records;
mod rules;
mod schema;
mod system;
mod value;
mod write;

pub use engine::{Engine, EngineParts, RecordEvent};
pub use error::{FieldError, RecordError, Result};
pub use hooks::{HookFuture, Hooks, NoHooks, Scope};
pub use principal::{AuthRecord, Level, Principal};
pub use realtime::{Client, ClientLimits, Frame, Hub};
pub use record::Record;
pub use records::{BatchRequest, ListParams, Prepared, Shape};
pub use schema::{
    Action, Collection, CollectionKind, Field, FieldKind, JsonShape, OnDelete, Pattern, Rules,
    Source, Unique, Writing,
};
pub use system::Schema;
pub use write::Write;
