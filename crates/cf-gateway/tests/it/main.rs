//! The gateway between a scripted provider and the real books: each test asks
//! what the client saw, what the provider was sent, and what was written down.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod billed;
mod budget;
mod cache;
mod choice;
mod failures;
mod fallbacks;
mod faults;
mod fixture;
mod limits;
mod losses;
mod models;
mod prompts;
mod providers;
mod replies;
mod responses;
mod streams;
mod tasks;
mod traps;
mod worst_case;
