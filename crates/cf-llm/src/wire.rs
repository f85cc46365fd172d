//! Requests of clients, in the formats that are taken.

pub mod chat;
mod prompt;
