//! Every rule of identity, on SQLite and PostgreSQL.

// Clippy lets tests unwrap, but not the helpers beside them.
#![allow(clippy::unwrap_used)]

mod accounts;
mod audit;
mod fixture;
mod keys;
mod sessions;
mod sign_in;
