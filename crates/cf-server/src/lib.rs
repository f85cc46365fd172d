//! The HTTP surface and the wiring of CloudFreedom; the only crate that knows
//! axum. Commands, settings, hosts, routes, jobs, example data and self-check.

mod app;
mod commands;
mod config;
mod data_dir;
mod demo;
mod dispatch;
mod doctor;
mod error;
mod exchange_rates;
mod extract;
mod hosts;
mod idempotency;
mod jobs;
mod key_troubles;
mod manager;
mod notices;
mod openapi;
mod outbox;
mod password;
mod plans;
mod provision;
mod request_limits;
mod routes;
mod serve;
mod sign_ups;
mod table;
mod web;
mod webhooks;
mod wiring;

pub use app::{App, Parts};
pub use commands::{Command, run};
pub use config::{Config, LogFormat, Role, Settings};
pub use dispatch::Dispatch;
pub use exchange_rates::fetch as fetch_exchange_rates;
pub use password::Password;
