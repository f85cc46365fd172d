//! For tests only: throwaway databases and a scripted upstream, a
//! scripted mail server.

mod database;
mod mail;
mod upstream;

pub use database::{TestDb, databases};
pub use mail::{MockMail, ReceivedMail};
pub use upstream::{MockUpstream, Received, Reply, Step};
