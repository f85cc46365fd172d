//! What no input may do to the wire formats, as functions of bytes: libFuzzer calls
//! them (`fuzz/`, `cargo xtask fuzz`), and so does a test with bytes by chance.
//!
//! Each takes its bytes for a row of choices ([`draw`]): which provider, which of the
//! sound examples ([`examples`]), and how that is spoilt. A panic is a finding; what
//! else is looked at ([`shape`]):
//!
//! - what goes out is JSON in the shape that its reader was promised, and no more than
//!   a few times what came in;
//! - a stream is the same in whichever pieces it comes;
//! - counters do not run over, and no part of one is more than the whole.

mod draw;
mod examples;
mod form;
mod frames;
mod places;
mod replies;
mod requests;
mod shape;
mod streams;
mod tasks;

/// A name, as the command line and the files in `fuzz/` have it, and what to call.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 7] = [
    ("sse", frames::sse),
    ("event_stream", frames::event_stream),
    ("requests", requests::requests),
    ("replies", replies::replies),
    ("streams", streams::streams),
    ("tasks", tasks::tasks),
    ("form", form::form),
];

/// Calls the target of this name; it has to be one of [`TARGETS`].
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    target(bytes);
}
