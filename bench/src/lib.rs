//! What the load generator, the mock upstream and the filler share. `cargo xtask bench` runs both.

pub mod arguments;
pub mod histogram;
