//! `cargo xtask bench router`: a thousand streams at once at the pace of a model, plain calls beside nginx
//! and LiteLLM's proxy, and what translating costs.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::bench::{self, Mock, Ours, Settings, Target};
use crate::disk::DurableWrite;
use crate::scratch::Scratch;
use crate::services::litellm::LiteLlm;
use crate::services::nginx::Nginx;
use crate::workspace::Workspace;
use crate::{model_seed, process, server, web};

const MODEL: &str = "bench-paced";
/// Where the mock's streams come at a model's pace, and where ours takes calls.
const MOCKS_PATH: &str = "/paced/v1/chat/completions";
const OUR_PATH: &str = "/v1/chat/completions";
/// A stream of so many words at 50 a second lasts 8 s.
const WORDS: u32 = 400;
/// Enough to have all code run once, too few to have the memory of a thousand streams lie ready.
const WARM_UP: Plan = Plan {
    streams: 20,
    words: 50,
    seconds: 1,
};
const SETTLE: Duration = Duration::from_secs(2);
const STREAMS_LIMIT: Duration = Duration::from_secs(240);
const DIVAN_LIMIT: Duration = Duration::from_secs(1800);
/// A stream takes two of the server, one for each side.
const FILES_PER_STREAM: u32 = 3;

#[derive(Clone, Copy)]
struct Plan {
    streams: u32,
    words: u32,
    seconds: u32,
}

/// Where streams are asked for.
struct Way {
    name: &'static str,
    address: SocketAddr,
    path: &'static str,
    key: String,
    pid: Option<u32>,
}

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let (plan, settings) = read(arguments)?;
    require_files(plan.streams)?;
    // Nobody looks at the portal here: it need not be built.
    web::ensure_output_folder(workspace)?;
    server::build(workspace, &["cloudfreedom", "bench"])?;
    let translation = build_translation(workspace)?;
    let scratch = Scratch::new("bench")?;
    let disk = DurableWrite::measure(scratch.path())?;
    let data_dir = scratch.path().join("cf_data");
    let mock = Mock::start(workspace)?;
    let nginx = Nginx::start(workspace, mock.address)?;
    let ours = Ours::start(workspace, &data_dir, mock.address)?;
    model_seed::add_model(
        &ours.superuser,
        "Mock upstream, paced",
        MODEL,
        &format!("http://{}/paced/v1", mock.address),
    )?;

    let streamed = streams(workspace, plan, &mock, &nginx, &ours)?;
    report_streams(plan, &streamed)?;

    let litellm = start_litellm(workspace, mock.address);
    let mut targets = bench::targets(&mock, &nginx, Some(&ours));
    if let Some(litellm) = &litellm {
        targets.push(Target {
            name: "LiteLLM",
            address: litellm.address,
            key: litellm.key.to_owned(),
        });
    }
    let cases = [bench::case(&scratch, "plain", false)?];
    let series = bench::measure(workspace, &settings, &targets, &cases)?;
    let streamed_by_us: u64 = streamed
        .iter()
        .filter(|(way, _)| *way == "ours")
        .filter_map(|(_, result)| result["clean"].as_u64())
        .sum();
    let answered = bench::total_requests(&series, "ours") + streamed_by_us;
    ours.check_books(workspace, &data_dir, answered)?;
    bench::print_series(&settings, &nginx.version, &series);
    match &litellm {
        Some(litellm) => println!(
            "\nLiteLLM {}, {} workers, one key, no database: it counts and books nothing here.\n",
            litellm.version, litellm.workers
        ),
        None => println!("\nLiteLLM's proxy was left out, see above.\n"),
    }
    disk.print();
    drop((litellm, ours, nginx, mock));

    println!("Translating one event of a stream, and what it is counted by:\n");
    process::run(
        workspace,
        Command::new(translation).args(["--bench", "--max-time", "0.2"]),
        DIVAN_LIMIT,
    )?;
    let file = workspace.target.join("bench-router.json");
    let rows: Vec<Value> = (streamed.iter())
        .map(|(way, result)| json!({ "target": way, "result": result }))
        .collect();
    let result = json!({ "streams": rows, "plain": bench::series_json(&series) });
    std::fs::write(&file, format!("{result:#}\n"))?;
    println!("Written to {}", file.display());
    Ok(())
}

fn read(arguments: &[String]) -> Result<(Plan, Settings)> {
    let mut plan = Plan {
        streams: 1000,
        words: WORDS,
        seconds: 12,
    };
    let mut settings = Settings {
        seconds: 2,
        rounds: 2,
        without_server: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value: Option<u32> = rest.next().and_then(|value| value.parse().ok());
        let value = value.with_context(|| format!("`{argument}` needs a number"))?;
        match argument.as_str() {
            "--streams" => plan.streams = value,
            "--stand" => plan.seconds = value,
            "--seconds" => settings.seconds = value,
            "--rounds" => settings.rounds = value,
            other => bail!(
                "unknown argument `{other}`; known: --streams N, --stand SECONDS, --seconds N, --rounds N"
            ),
        }
    }
    Ok((plan, settings))
}

/// Every program that is started inherits the limit of files that may be open.
fn require_files(streams: u32) -> Result<()> {
    let Ok(limits) = std::fs::read_to_string("/proc/self/limits") else {
        bail!("memory and files are looked at in /proc: this bench needs Linux");
    };
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
    let needed = streams * FILES_PER_STREAM + 500;
    match limit {
        Some(limit) if limit < needed => bail!(
            "{streams} streams need {needed} open files, and {limit} are allowed: say `ulimit -n {needed}` before"
        ),
        _ => Ok(()),
    }
}

/// Compiles the benches of the wire formats and returns the program.
fn build_translation(workspace: &Workspace) -> Result<std::path::PathBuf> {
    let mut cargo = server::cargo();
    cargo
        .args([
            "bench",
            "-p",
            "cf-llm",
            "--bench",
            "translate",
            "--no-run",
            "--message-format",
            "json",
        ])
        .current_dir(&workspace.root);
    let messages = process::read(workspace, &mut cargo, DIVAN_LIMIT)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "translate")
        .find_map(|message| message["executable"].as_str().map(Into::into))
        .context("cargo names no program for the bench `translate`")
}

fn start_litellm(workspace: &Workspace, mock: SocketAddr) -> Option<LiteLlm> {
    if process::find_program(&["python3"]).is_none() {
        println!("*** LiteLLM's proxy is left out: Python 3 is not installed.\n");
        return None;
    }
    match LiteLlm::start(workspace, mock, bench::MODEL) {
        Ok(litellm) => Some(litellm),
        Err(error) => {
            println!("*** LiteLLM's proxy is left out: {error:#}\n");
            None
        }
    }
}

/// Each way in turn, first to warm up and then in earnest; results in the order they came.
fn streams(
    workspace: &Workspace,
    plan: Plan,
    mock: &Mock,
    nginx: &Nginx,
    ours: &Ours,
) -> Result<Vec<(&'static str, Value)>> {
    let way = |name, address, path, key: &str, pid| Way {
        name,
        address,
        path,
        key: key.to_owned(),
        pid,
    };
    let ways = [
        way("direct", mock.address, MOCKS_PATH, "none", None),
        way("nginx", nginx.address, MOCKS_PATH, "none", None),
        way(
            "ours",
            ours.server.address,
            OUR_PATH,
            &ours.api_key,
            Some(ours.server.pid()),
        ),
    ];
    let mut results = Vec::new();
    for plan in [WARM_UP, plan] {
        for way in &ways {
            eprintln!("{} streams, {} …", plan.streams, way.name);
            std::thread::sleep(SETTLE);
            results.push((way.name, stream(workspace, way, plan)?));
        }
    }
    Ok(results)
}

fn stream(workspace: &Workspace, way: &Way, plan: Plan) -> Result<Value> {
    workspace.check_stop()?;
    let mut command = Command::new(workspace.release_binary("streams"));
    command.args(["--model", MODEL, "--path", way.path, "--key", &way.key]);
    let numbers = [
        ("--streams", plan.streams),
        ("--words", plan.words),
        ("--seconds", plan.seconds),
    ];
    command.args(["--address", &way.address.to_string()]);
    for (name, value) in numbers {
        command.args([name, &value.to_string()]);
    }
    if let Some(pid) = way.pid {
        command.args(["--watch", &pid.to_string()]);
    }
    let text = process::read(workspace, &mut command, STREAMS_LIMIT)?;
    Ok(serde_json::from_str(&text)?)
}

fn report_streams(plan: Plan, streamed: &[(&'static str, Value)]) -> Result<()> {
    let Plan {
        streams,
        words,
        seconds,
    } = plan;
    println!(
        "{streams} streams at once, each an event every 20 ms ({} a second in all), evenly phased; {words} words a \
         stream. Starts are staggered evenly, one every {:.0} ms, and what ends is begun anew: the first word is that \
         of streams begun in the {seconds} s while all stand. Every event is compared with what was sent.\n",
        streams * 50,
        f64::from(words) * 20.0 / f64::from(streams)
    );
    println!(
        "| target | least standing | streams | clean | events/s | first word p50 ms | p99 ms | gap p50 ms | gap p99 ms |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    let measured = &streamed[streamed.len() / 2..];
    for (name, result) in measured {
        let ms = |field: &str| number(result, field) / 1e3;
        println!(
            "| {name} | {} | {} | {} | {:.0} | {:.3} | {:.3} | {:.3} | {:.3} |",
            result["least_standing"],
            result["begun"],
            result["clean"],
            number(result, "events") / number(result, "seconds"),
            ms("first_word_p50_us"),
            ms("first_word_p99_us"),
            ms("gap_p50_us"),
            ms("gap_p99_us"),
        );
    }
    let find = |wanted: &str| {
        let found = measured.iter().find(|(name, _)| *name == wanted);
        found
            .map(|(_, result)| result)
            .context("a target is missing")
    };
    let (direct, ours) = (find("direct")?, find("ours")?);
    let added = |field: &str| (number(ours, field) - number(direct, field)) / 1e3;
    println!(
        "\nAdded to the first word: p50 {:.3} ms, p99 {:.3} ms. Memory: {:.1} kB a stream ({:.0} kB at rest, {:.0} kB \
         at most while {streams} stand). Processor: {:.2} cores, {:.1} µs an event.\n",
        added("first_word_p50_us"),
        added("first_word_p99_us"),
        (number(ours, "standing_kb") - number(ours, "rest_kb")) / f64::from(streams),
        number(ours, "rest_kb"),
        number(ours, "standing_kb"),
        number(ours, "cpu_ms") / 1e3 / number(ours, "seconds"),
        number(ours, "cpu_ms") * 1e3 / number(ours, "events"),
    );
    for (name, result) in streamed {
        if result["clean"] != result["begun"] {
            bail!(
                "{name}: of {} streams {} were clean; the first that was not: {}",
                result["begun"],
                result["clean"],
                result["first_error"]
            );
        }
    }
    Ok(())
}

fn number(result: &Value, field: &str) -> f64 {
    result[field].as_f64().unwrap_or(f64::NAN)
}
