//! OpenAI's answers and those of the servers that speak its language: usage,
//! replies and stream chunks, errors.

mod failure;
mod reply;
mod usage;

pub use failure::{UpstreamFailure, parse_failure, stream_error_frame, stream_failure_frame};
pub use reply::{Frame, Reply, StreamTap, parse_reply};
