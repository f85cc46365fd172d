//! Incremental decoders of streams.

pub mod sse;
