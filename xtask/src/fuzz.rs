//! `cargo xtask fuzz`: libFuzzer on the targets of `crates/cf-fuzz`, one after the other. What it needs
//! beside the project's own toolchain is looked for first.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

const SECONDS: u64 = 60;
/// Longest input: the targets make more of it themselves.
const LENGTH: usize = 2048;
/// What one input may take.
const MEMORY_MB: usize = 2048;
const INPUT_SECONDS: usize = 10;
/// The first time everything is compiled again, for coverage.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let targets = targets(workspace)?;
    let (target, seconds) = read(arguments, &targets)?;
    require_tools(workspace)?;
    let chosen = targets
        .iter()
        .filter(|name| target.is_none_or(|target| target == *name));
    for name in chosen {
        println!("\n=== {name}, {seconds} s ===");
        let mut cargo = nightly();
        cargo
            // None of our crates has unsafe code for a sanitizer to watch.
            .args(["cargo", "fuzz", "run", "--sanitizer", "none", name, "--"])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={LENGTH}"))
            .arg(format!("-rss_limit_mb={MEMORY_MB}"))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .current_dir(&workspace.root);
        let limit = BUILD_LIMIT + Duration::from_secs(seconds);
        process::run(workspace, &mut cargo, limit).with_context(|| {
            format!(
                "the target `{name}` found something: the file that it wrote does it again with \
                 `cargo +nightly fuzz run --sanitizer none {name} FILE`. Write a test of it before it is mended"
            )
        })?;
    }
    Ok(())
}

/// The names of the files in `fuzz/fuzz_targets`.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let name = entry?.file_name();
        names.extend(
            name.to_string_lossy()
                .strip_suffix(".rs")
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

/// The target that is asked for, if it is one, and the seconds for each.
fn read<'a>(arguments: &'a [String], targets: &[String]) -> Result<(Option<&'a String>, u64)> {
    let (mut target, mut seconds) = (None, SECONDS);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let number = rest.next().and_then(|text| text.parse().ok());
            seconds = number
                .filter(|n| *n > 0)
                .context("`--seconds` needs a number")?;
        } else if targets.contains(argument) && target.is_none() {
            target = Some(argument);
        } else {
            bail!(
                "there is no target `{argument}`; known: {}",
                targets.join(", ")
            );
        }
    }
    Ok((target, seconds))
}

/// A command of the nightly toolchain, whichever runs this.
fn nightly() -> Command {
    let mut rustup = Command::new("rustup");
    rustup
        .args(["run", "nightly"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO");
    rustup
}

fn require_tools(workspace: &Workspace) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(60);
    if process::find_program(&["rustup"]).is_none() {
        bail!("rustup is missing, which brings the nightly toolchain that libFuzzer needs");
    }
    let has_nightly = process::read(workspace, nightly().args(["rustc", "--version"]), LIMIT);
    if has_nightly.is_err() {
        bail!(
            "a nightly toolchain is missing: `rustup toolchain install nightly --profile minimal`"
        );
    }
    if process::find_program(&["cargo-fuzz"]).is_none() {
        bail!("cargo-fuzz is missing: `cargo install cargo-fuzz --locked`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_and_its_time_are_read() {
        let targets = ["form".to_owned(), "sse".to_owned()];
        let words =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let (all, one) = (words(""), words("sse --seconds 7"));
        assert_eq!(read(&all, &targets).unwrap(), (None, SECONDS));
        assert_eq!(read(&one, &targets).unwrap(), (Some(&"sse".to_owned()), 7));
        for wrong in [
            "nothing",
            "sse form",
            "--seconds",
            "--seconds x",
            "--seconds 0",
        ] {
            assert!(read(&words(wrong), &targets).is_err(), "{wrong}");
        }
    }
}
