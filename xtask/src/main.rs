//! The project's own commands: `cargo xtask` lists them.
//!
//! Everything that starts a process goes through `process`, everything that waits through `wait`, and the
//! other programs we need (PostgreSQL, nginx, Chromium, a local model) each have a file in `services`.

// This is a command-line program that measures wall-clock time and talks to its user on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod bench;
mod bench_ledger;
mod bench_router;
mod browser;
mod chaos;
mod clients;
mod disk;
mod docs;
mod fuzz;
mod http;
mod model_seed;
mod named_tests;
mod node;
mod process;
mod python;
mod run;
mod scratch;
mod server;
mod services;
mod tally;
mod test;
mod wait;
mod web;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use workspace::Workspace;

pub struct Command {
    pub name: &'static str,
    pub arguments: &'static str,
    pub about: &'static str,
    run: fn(&Workspace, &[String]) -> Result<()>,
}

pub const COMMANDS: &[Command] = &[
    Command {
        name: "run",
        arguments: "[--port N] [--data-dir DIR] [--no-model]",
        about: "build everything and start a server with example data and a small local model",
        run: run::run,
    },
    Command {
        name: "test",
        arguments: "[lint|rust|chaos|web|clients|browser|docs]...",
        about: "run everything CI runs, or only the named steps",
        run: test::run,
    },
    Command {
        name: "chaos",
        arguments: "[--rounds N] [--seed N]",
        about: "kill the server in the middle of 500 calls, 1000 times, and compare the books",
        run: chaos::run,
    },
    Command {
        name: "fuzz",
        arguments: "[TARGET] [--seconds N]",
        about: "look for bytes that the wire formats cannot bear, with libFuzzer (needs a nightly toolchain)",
        run: fuzz::run,
    },
    Command {
        name: "bench",
        arguments: "[ledger [--rows N] | router [--streams N]] [--seconds N] [--rounds N]",
        about: "measure requests a second and latency: direct, through nginx, through us",
        run: bench::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        list_commands();
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        list_commands();
        return Ok(());
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        list_commands();
        bail!("there is no command `{name}`");
    };
    (command.run)(&Workspace::open()?, rest)
}

fn list_commands() {
    println!("Usage: cargo xtask COMMAND\n");
    for command in COMMANDS {
        let usage = format!("{} {}", command.name, command.arguments);
        println!("  {usage:<56} {}", command.about);
    }
}
