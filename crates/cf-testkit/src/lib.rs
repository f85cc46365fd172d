//! For tests only: throwaway databases, a scripted upstream and a counting one, a
//! scripted mail server.

mod database;
mod mail;
mod numbered;
mod upstream;

pub use database::{TestDb, databases};
pub use mail::{MockMail, ReceivedMail};
pub use numbered::{Count, NumberedUpstream};
pub use upstream::{MockUpstream, Received, Reply, Step, aws_message};
