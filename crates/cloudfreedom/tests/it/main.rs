//! The program itself, as a process: its commands, what it says when something
//! is wrong, and what is in the books after it was killed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a process keeps real time")]

mod chaos;
mod cluster;
mod commands;
mod faults;
mod memory;
mod process;
mod trouble;
