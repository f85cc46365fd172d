//! For tests only: throwaway databases, a scripted upstream and a counting one.

mod database;
mod numbered;
mod upstream;

pub use database::{TestDb, databases};
pub use numbered::{Count, NumberedUpstream};
pub use upstream::{MockUpstream, Received, Reply, Step};
