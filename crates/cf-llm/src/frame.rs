//! Incremental decoders of streams.

pub(crate) mod aws;
pub mod sse;
