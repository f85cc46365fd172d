//! What the load generators, the mock upstream and the filler share. `cargo xtask bench` runs them.

pub mod arguments;
pub mod client;
pub mod histogram;
pub mod paced;
pub mod pacer;
pub mod watched;
