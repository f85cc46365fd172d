//! `cargo xtask bench ledger`: the full path with empty books and with millions of usage rows, what a
//! dashboard waits for then, and a reset of all budgets while calls go on.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::{self, Case, Mock, Ours, Series, Settings, Target};
use crate::disk::DurableWrite;
use crate::process::{self, Background, Output};
use crate::scratch::Scratch;
use crate::services::nginx::Nginx;
use crate::workspace::Workspace;
use crate::{server, web};

const ROWS: u64 = 10_000_000;
const USERS: u64 = 100_000;
const NGINX: &str = "nginx";
const EMPTY: &str = "empty books";
const FULL: &str = "full books";
const FILL_LIMIT: Duration = Duration::from_secs(3600);
/// Tries of a dashboard query; the median counts.
const TRIES: usize = 5;

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let (settings, rows) = read(arguments)?;
    // Nobody looks at the portal here: it need not be built.
    web::ensure_output_folder(workspace)?;
    server::build(workspace, &["cloudfreedom", "bench"])?;
    let scratch = Scratch::new("bench")?;
    let disk = DurableWrite::measure(scratch.path())?;
    let data_dir = scratch.path().join("cf_data");
    let mock = Mock::start(workspace)?;
    let nginx = Nginx::start(workspace, mock.address)?;
    let full = Ours::start(workspace, &data_dir, mock.address)?;
    let cases = [
        bench::case(&scratch, "plain", false)?,
        bench::case(&scratch, "streamed", true)?,
    ];

    let copied = bench::load(workspace, &target(FULL, &full), &cases[0], 1, 1)?;
    let full = full.restarted(workspace, &data_dir, || fill(workspace, &data_dir, rows))?;
    let empty_dir = scratch.path().join("cf_data_empty");
    let empty = Ours::start(workspace, &empty_dir, mock.address)?;
    // In the same rounds, so that a noisy minute hits both alike.
    let nginx_target = Target {
        name: NGINX,
        address: nginx.address,
        key: "none".to_owned(),
    };
    let targets = [nginx_target, target(EMPTY, &empty), target(FULL, &full)];
    let series = bench::measure(workspace, &settings, &targets, &cases)?;
    empty.check_books(workspace, &empty_dir, bench::total_requests(&series, EMPTY))?;
    drop(empty);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "Median of {} rounds of {} s on {cores} cores; nginx {}.\n",
        settings.rounds, settings.seconds, nginx.version
    );
    print_comparison(&series, rows);
    disk.print();
    dashboard(&full)?;
    let resets = resets(workspace, &data_dir, &full, &cases[0])?;
    let copied = copied["requests"].as_u64().unwrap_or(0);
    let answered = copied + bench::total_requests(&series, FULL) + resets;
    let start = Instant::now();
    full.check_books(workspace, &data_dir, answered)?;
    println!(
        "`ledger verify` over all rows: {:.0} s.",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn read(arguments: &[String]) -> Result<(Settings, u64)> {
    let mut settings = Settings {
        seconds: 5,
        rounds: 3,
        without_server: false,
    };
    let mut rows = ROWS;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value: Option<u64> = rest.next().and_then(|value| value.parse().ok());
        let value = value.with_context(|| format!("`{argument}` needs a number"))?;
        match argument.as_str() {
            "--rows" => rows = value,
            "--seconds" => settings.seconds = u32::try_from(value)?,
            "--rounds" => settings.rounds = u32::try_from(value)?,
            other => bail!("unknown argument `{other}`; known: --rows N, --seconds N, --rounds N"),
        }
    }
    Ok((settings, rows))
}

fn target(name: &'static str, ours: &Ours) -> Target {
    Target {
        name,
        address: ours.server.address,
        key: ours.api_key.clone(),
    }
}

fn filler(workspace: &Workspace, data_dir: &Path) -> Command {
    let mut command = Command::new(workspace.release_binary("fill"));
    command.arg("--database").arg(data_dir.join("data.db"));
    command
}

fn fill(workspace: &Workspace, data_dir: &Path, rows: u64) -> Result<()> {
    let mut command = filler(workspace, data_dir);
    command.args(["--users", &USERS.to_string(), "--rows", &rows.to_string()]);
    let done = process::read(workspace, &mut command, FILL_LIMIT)?;
    let size = std::fs::metadata(data_dir.join("data.db"))?.len() >> 20;
    println!("Filled: {}; the database has {size} MiB.\n", done.trim());
    Ok(())
}

fn print_comparison(series: &[Series], rows: u64) {
    println!("Full books: {rows} usage rows.\n");
    println!(
        "| case | connections | nginx/s | empty books/s | full books/s | share of nginx, empty | full | added \
         p99 ms, empty | full | slower |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for like in series.iter().filter(|series| series.target == NGINX) {
        let median = |target: &str, field: &str| {
            let same = series.iter().find(|s| {
                s.target == target && s.case == like.case && s.connections == like.connections
            });
            same.map_or(0.0, |s| s.median(field))
        };
        let rate = |target| median(target, "requests_per_second");
        let added = |target| (median(target, "p99_us") - median(NGINX, "p99_us")) / 1e3;
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} % |",
            like.case,
            like.connections,
            rate(NGINX),
            rate(EMPTY),
            rate(FULL),
            rate(EMPTY) / rate(NGINX),
            rate(FULL) / rate(NGINX),
            added(EMPTY),
            added(FULL),
            (1.0 - rate(FULL) / rate(EMPTY)) * 100.0,
        );
    }
    println!();
}

/// What the portal's first page and the usage page ask for.
fn dashboard(ours: &Ours) -> Result<()> {
    let from = (day_ago(30)?, day_ago(365)?);
    let queries = [
        (
            "by day, 30 days, all tenants",
            format!("group_by=day&from={}", from.0),
        ),
        (
            "by model, 30 days, all tenants",
            format!("group_by=model&from={}", from.0),
        ),
        (
            "by day, 365 days, all tenants",
            format!("group_by=day&from={}", from.1),
        ),
        (
            "by day, 365 days, one tenant",
            format!("group_by=day&from={}&tenant_id=t00000000000003", from.1),
        ),
        (
            "by day, 365 days, one user",
            format!("group_by=day&from={}&user_id=u00000000000003", from.1),
        ),
    ];
    println!("| dashboard query | ms |\n|---|---:|");
    for (name, query) in queries {
        let mut times = Vec::new();
        for _ in 0..TRIES {
            let start = Instant::now();
            ours.superuser
                .call("GET", &format!("/api/usage/summary?{query}"), None)?;
            times.push(start.elapsed());
        }
        times.sort();
        println!("| {name} | {:.1} |", times[TRIES / 2].as_secs_f64() * 1e3);
    }
    println!();
    Ok(())
}

/// The day so many days ago.
fn day_ago(days: u64) -> Result<String> {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("{days} days ago"), "+%Y-%m-%d"])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Makes every budget due and measures calls, second by second, until all are reset; returns how many
/// calls that were.
fn resets(workspace: &Workspace, data_dir: &Path, ours: &Ours, case: &Case) -> Result<u64> {
    let target = target(FULL, ours);
    let log = workspace.log_file("fill-resets")?;
    let mut command = filler(workspace, data_dir);
    command.args(["--resets", "all"]);
    let mut filler = Background::spawn("the filler", &mut command, Output::Log(&log))?;
    let mut slices: Vec<(u64, u64, Value)> = Vec::new();
    let outcome = loop {
        let began = now_ms()?;
        let slice = bench::load(workspace, &target, case, 1, 1)?;
        slices.push((began, now_ms()?, slice));
        let text = std::fs::read_to_string(&log)?;
        if let Some(line) = text.lines().find(|line| line.starts_with('{')) {
            break serde_json::from_str::<Value>(line)?;
        }
        filler.require_running()?;
    };
    let at = |name: &str| outcome[name].as_u64().with_context(|| format!("no {name}"));
    let (users, began, ended) = (at("users")?, at("began_ms")?, at("ended_ms")?);
    let p99 = |during: bool| {
        let mut values: Vec<f64> = slices
            .iter()
            // The first second has the filler's own large transaction in it.
            .skip(2)
            .filter(|(from, to, _)| (*from < ended && *to > began) == during)
            .filter_map(|(_, _, slice)| slice["p99_us"].as_f64())
            .collect();
        values.sort_by(f64::total_cmp);
        let worst = values.last().copied().unwrap_or(0.0) / 1e3;
        (
            values.get(values.len() / 2).copied().unwrap_or(0.0) / 1e3,
            worst,
        )
    };
    let ((before, _), (during, worst)) = (p99(false), p99(true));
    println!(
        "Reset of {users} budgets while one connection calls: {:.1} s; p99 of the calls {during:.2} ms a second's \
         median and {worst:.2} ms in the worst second, {before:.2} ms without resets.\n",
        (ended.saturating_sub(began)) as f64 / 1e3
    );
    Ok(slices
        .iter()
        .filter_map(|(_, _, slice)| slice["requests"].as_u64())
        .sum())
}

fn now_ms() -> Result<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}
