//! What the load generator and the mock upstream share. `cargo xtask bench` runs both.

pub mod arguments;
pub mod histogram;
