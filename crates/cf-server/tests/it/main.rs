//! The whole program through its real routes, on both databases: who does
//! what, and what comes back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod app;
mod billing;
mod billing_api;
mod billing_keys;
mod budgets;
mod cache;
mod exchange_rates;
mod export;
mod hosts;
mod idempotency;
mod keys;
mod messages;
mod money;
mod notices;
mod openapi;
mod outbox;
mod prices;
mod prompts;
mod realtime;
mod records;
mod responses;
mod router;
mod routing;
mod setup;
mod sign_in;
mod statements;
mod tasks;
mod webhooks;
