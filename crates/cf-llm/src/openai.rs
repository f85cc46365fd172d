//! OpenAI's chat completions, and those of the servers that speak its language:
//! requests, replies and stream chunks, usage, errors.

pub(crate) mod answer;
pub(crate) mod conversation;
mod failure;
mod reply;
pub(crate) mod request;
pub(crate) mod stream;
mod tools;
pub(crate) mod usage;
mod wait;

pub use failure::{UpstreamFailure, parse_failure, stream_error_frame, stream_failure_frame};
pub(crate) use failure::{said, said_with_code};
pub use reply::{Frame, Reply, StreamTap, parse_reply};
