//! For tests only: throwaway databases and a scripted upstream.

mod database;
mod upstream;

pub use database::{TestDb, databases};
pub use upstream::{MockUpstream, Received, Reply, Step, aws_message};
