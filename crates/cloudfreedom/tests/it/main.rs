//! The program itself, as a process: its commands, what it says when something
//! is wrong, and what is in the books after it was killed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod kill;
mod process;
mod trouble;
