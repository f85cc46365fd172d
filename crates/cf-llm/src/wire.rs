//! Request bodies of the APIs we answer.

pub mod chat;
