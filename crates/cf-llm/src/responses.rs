//! OpenAI's Responses: for clients that speak it, to providers of every dialect.
//!
//! ```text
//!  history.rs       what a request adds to an earlier conversation (kept elsewhere)
//!  conversation.rs  a request, read for providers that do not speak it
//!  answer.rs        replies, written from any provider's
//!  events.rs        streams, written from any provider's
//!  item.rs          what both are made of
//!  native.rs        replies and events of providers that speak it: counted, passed on
//!  echo.rs          what of the request every answer repeats
//!  thought.rs       thinking that must come back with the next request
//! ```

pub(crate) mod answer;
pub(crate) mod conversation;
pub(crate) mod echo;
pub(crate) mod events;
pub(crate) mod history;
mod item;
pub(crate) mod native;
pub(crate) mod thought;
