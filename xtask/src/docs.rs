//! Checks that the commands the documentation names exist, with the options it names.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{COMMANDS, process};

const TOP_LEVEL: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];

pub fn check(workspace: &Workspace) -> (Tally, Result<()>) {
    let mut tally = Tally::default();
    let result = check_all(workspace, &mut tally);
    (tally, result)
}

fn check_all(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let mut problems = Vec::new();
    for file in documents(&workspace.root)? {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("reading {}", file.display()))?;
        let name = file
            .strip_prefix(&workspace.root)
            .unwrap_or(&file)
            .display()
            .to_string();
        for call in commands_in(&text) {
            match verify(workspace, &call) {
                Ok(()) => tally.passed += 1,
                Err(error) => {
                    tally.failed += 1;
                    problems.push(format!("{name}: `{}`: {error:#}", call.text));
                }
            }
        }
    }
    if !problems.is_empty() {
        bail!(
            "the documentation names commands that do not exist:\n  {}",
            problems.join("\n  ")
        );
    }
    println!("{} commands in the documentation exist", tally.passed);
    Ok(())
}

fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = TOP_LEVEL
        .iter()
        .map(|name| root.join(name))
        .filter(|file| file.exists())
        .collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

const HELP_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Eq)]
enum Program {
    Xtask,
    Server,
}

#[derive(Debug)]
struct Call {
    program: Program,
    words: Vec<String>,
    options: Vec<String>,
    text: String,
}

/// Every call of ours in a code block or between backticks.
fn commands_in(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut fenced = false;
    // A backslash at the end of a line continues the command.
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            calls.extend(line.split(['|', ';', '&']).filter_map(read_call));
        } else {
            calls.extend(line.split('`').skip(1).step_by(2).filter_map(read_call));
        }
    }
    calls
}

fn read_call(text: &str) -> Option<Call> {
    let text = text.split(" #").next().unwrap_or(text).trim();
    let mut words = text.split_whitespace().peekable();
    while words
        .next_if(|word| matches!(*word, "$" | "sudo" | "exec") || is_assignment(word))
        .is_some()
    {}
    let first = words.next()?;
    let program = if first == "cargo" && words.next_if(|word| *word == "xtask").is_some() {
        Program::Xtask
    } else if first.rsplit('/').next() == Some("cloudfreedom") {
        Program::Server
    } else {
        return None;
    };
    let rest: Vec<&str> = words.collect();
    let is_word = |word: &&&str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            && !word.starts_with('-')
    };
    let options = rest
        .iter()
        .filter(|word| word.starts_with("--") && word.len() > 2);
    let options = options.map(|word| {
        word.split('=')
            .next()
            .unwrap_or(word)
            .trim_end_matches([',', '.', ')', ']'])
    });
    Some(Call {
        program,
        words: rest
            .iter()
            .take_while(is_word)
            .map(|word| (*word).to_owned())
            .collect(),
        options: options.map(str::to_owned).collect(),
        text: text.to_owned(),
    })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

fn verify(workspace: &Workspace, call: &Call) -> Result<()> {
    let help = match call.program {
        Program::Xtask => {
            let Some(name) = call.words.first() else {
                return Ok(());
            };
            let command = COMMANDS.iter().find(|command| command.name == name);
            command
                .context("there is no such xtask command")?
                .arguments
                .to_owned()
        }
        // `--help` wins over whatever else is wrong, except over a command that does not exist.
        Program::Server => process::read(
            workspace,
            Command::new(workspace.server_binary())
                .args(&call.words)
                .arg("--help"),
            HELP_LIMIT,
        )?,
    };
    for option in &call.options {
        let known = help
            .split(|c: char| c.is_whitespace() || "[],=<".contains(c))
            .any(|word| word == option);
        if !known && option != "--help" && option != "--version" {
            bail!("it has no option {option}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_in_blocks_and_between_backticks() {
        let text = "Run `cargo xtask bench --seconds 2`, not `cargo test`.\n```sh\n$ A_B=1 ./target/release/cloudfreedom key create \\\n  --user a@example.com # one\ncurl x | cat\n```\n`cloudfreedom superuser upsert EMAIL PASSWORD`";
        let calls = commands_in(text);
        let seen: Vec<(&Program, String, String)> = calls
            .iter()
            .map(|call| (&call.program, call.words.join(" "), call.options.join(" ")))
            .collect();
        assert_eq!(
            seen,
            [
                (&Program::Xtask, "bench".to_owned(), "--seconds".to_owned()),
                (
                    &Program::Server,
                    "key create".to_owned(),
                    "--user".to_owned()
                ),
                (
                    &Program::Server,
                    "superuser upsert".to_owned(),
                    String::new()
                ),
            ]
        );
    }
}
