//! Requests of clients, in the formats that are taken.

pub mod chat;
pub(crate) mod edits;
pub(crate) mod prompt;
