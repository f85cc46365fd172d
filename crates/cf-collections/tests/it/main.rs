//! Every rule of the record engine, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

mod access;
mod changes;
mod descriptors;
mod filters;
mod lists;
mod realtime;
mod world;
mod writes;
