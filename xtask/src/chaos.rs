//! `cargo xtask chaos`: the server killed in the middle of 500 calls, again and again, on SQLite and on a
//! PostgreSQL of its own. The rounds are in `crates/cloudfreedom/tests/it/chaos.rs`.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::services::postgres::Postgres;
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{process, server, web};

const ROUNDS: u64 = 1000;
const LIMIT: Duration = Duration::from_secs(4 * 3600);

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let (mut count, mut seed) = (ROUNDS, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value: Option<u64> = rest.next().and_then(|value| value.parse().ok());
        let number = || value.with_context(|| format!("`{argument}` needs a number"));
        match argument.as_str() {
            "--rounds" => count = number()?,
            "--seed" => seed = Some(number()?),
            other => bail!("unknown argument `{other}`; known: --rounds N, --seed N"),
        }
    }
    web::ensure_output_folder(workspace)?;
    rounds(workspace, count, seed).1
}

/// The rounds on SQLite, and an eighth of them on PostgreSQL. Without a seed each run has another, which it prints.
pub fn rounds(workspace: &Workspace, count: u64, seed: Option<u64>) -> (Tally, Result<()>) {
    let postgres = match Postgres::start(workspace) {
        Ok(postgres) => postgres,
        Err(error) => return (Tally::default(), Err(error)),
    };
    let mut cargo = server::cargo();
    cargo
        .args(["test", "-p", "cloudfreedom", "--test", "it", "chaos::", "--"])
        // One after the other: the two would take each other's time, and a round is all about moments.
        .args(["--nocapture", "--test-threads=1"])
        .env("CLOUDFREEDOM_TEST_POSTGRES", &postgres.url)
        .env("CHAOS_ROUNDS", count.to_string())
        .current_dir(&workspace.root);
    match seed {
        Some(seed) => cargo.env("CHAOS_SEED", seed.to_string()),
        None => cargo.env_remove("CHAOS_SEED"),
    };
    process::run_tests(workspace, &mut cargo, LIMIT)
}
