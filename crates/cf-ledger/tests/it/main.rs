//! The ledger as the gateway and the Billing API use it, on both databases.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod budget;
mod calls;
mod external;
mod fixture;
mod lost_answers;
mod nodes;
mod prices;
mod resets;
mod rollups;
mod simulation;
mod windows;
