//! The wire formats against what real providers sent.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bounds;
mod golden;
mod recordings;
mod requests;
mod responses;
mod tasks;
mod translated;
mod traps;
