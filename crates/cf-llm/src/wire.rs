//! Requests of clients, in the formats that are taken.

pub mod chat;
mod completions;
pub(crate) mod edits;
pub(crate) mod prompt;
pub(crate) mod responses;
pub(crate) mod strict;
