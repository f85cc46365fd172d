//! `cargo xtask bench`: the same requests sent directly to a mock provider, through nginx, and through us
//! with every check and the ledger. Rounds are interleaved, so that a noisy minute hits all three alike.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::disk::DurableWrite;
use crate::process::{self, Background, Output};
use crate::scratch::Scratch;
use crate::server::{self, Options, Server, text_at};
use crate::services::nginx::Nginx;
use crate::workspace::Workspace;
use crate::{bench_ledger, bench_router, http, model_seed, wait, web};

/// The public name of the mock's model.
pub const MODEL: &str = "bench-mock";
const CONNECTIONS: &[u32] = &[1, 32];
const PATH: &str = "/v1/chat/completions";
/// In euros; far more than the fastest machine spends in the longest run.
const BUDGET: u32 = 1_000_000;
const LOAD_LIMIT: Duration = Duration::from_secs(120);
const VERIFY_LIMIT: Duration = Duration::from_secs(600);

pub struct Settings {
    pub seconds: u32,
    pub rounds: u32,
    /// Measures only direct and nginx; for work on the bench itself, before there is a server.
    pub without_server: bool,
}

pub struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    pub key: String,
}

pub struct Case {
    name: &'static str,
    body: PathBuf,
}

/// What one target did in one case, one entry a round.
pub struct Series {
    pub case: &'static str,
    pub connections: u32,
    pub target: &'static str,
    rounds: Vec<Value>,
}

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((name, rest)) if name == "ledger" => return bench_ledger::run(workspace, rest),
        Some((name, rest)) if name == "router" => return bench_router::run(workspace, rest),
        _ => {}
    }
    let settings = read_settings(arguments)?;
    if settings.without_server {
        server::build(workspace, &["bench"])?;
    } else {
        web::build(workspace)?;
        server::build(workspace, &["cloudfreedom", "bench"])?;
    }
    let scratch = Scratch::new("bench")?;
    let disk = DurableWrite::measure(scratch.path())?;
    let mock = Mock::start(workspace)?;
    let nginx = Nginx::start(workspace, mock.address)?;
    let data_dir = scratch.path().join("cf_data");
    let ours = if settings.without_server {
        None
    } else {
        Some(Ours::start(workspace, &data_dir, mock.address)?)
    };

    let targets = targets(&mock, &nginx, ours.as_ref());
    let cases = [
        case(&scratch, "plain", false)?,
        case(&scratch, "streamed", true)?,
    ];
    let series = measure(workspace, &settings, &targets, &cases)?;
    if let Some(ours) = &ours {
        // Numbers of a server that lost a booking would be worth nothing.
        ours.check_books(workspace, &data_dir, total_requests(&series, "ours"))?;
    }
    print_series(&settings, &nginx.version, &series);
    println!();
    disk.print();
    write_series(workspace, &settings, &nginx.version, &series)
}

/// Who is asked, in the order of the table.
pub fn targets(mock: &Mock, nginx: &Nginx, ours: Option<&Ours>) -> Vec<Target> {
    let mut targets = vec![
        Target {
            name: "direct",
            address: mock.address,
            key: "none".to_owned(),
        },
        Target {
            name: "nginx",
            address: nginx.address,
            key: "none".to_owned(),
        },
    ];
    if let Some(ours) = ours {
        targets.push(Target {
            name: "ours",
            address: ours.server.address,
            key: ours.api_key.clone(),
        });
    }
    targets
}

fn read_settings(arguments: &[String]) -> Result<Settings> {
    let mut settings = Settings {
        seconds: 5,
        rounds: 3,
        without_server: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut number = || -> Result<u32> {
            let value = rest
                .next()
                .with_context(|| format!("`{argument}` needs a value"))?;
            value
                .parse()
                .ok()
                .filter(|number| (1..=60).contains(number))
                .with_context(|| format!("`{argument}` takes 1 to 60"))
        };
        match argument.as_str() {
            "--seconds" => settings.seconds = number()?,
            "--rounds" => settings.rounds = number()?,
            "--without-server" => settings.without_server = true,
            other => bail!(
                "unknown argument `{other}`; known: --seconds N, --rounds N, --without-server"
            ),
        }
    }
    Ok(settings)
}

pub fn case(scratch: &Scratch, name: &'static str, stream: bool) -> Result<Case> {
    let mut body = json!({
        "model": MODEL,
        "messages": [
            { "role": "system", "content": "You are a helpful assistant. Answer briefly." },
            { "role": "user", "content": "Tell me something about foxes, dogs and the weather." },
        ],
        "max_tokens": 64,
    });
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({ "include_usage": true });
    }
    let path = scratch.path().join(format!("{name}.json"));
    std::fs::write(&path, body.to_string())?;
    Ok(Case { name, body: path })
}

pub struct Mock {
    pub address: SocketAddr,
    _server: Background,
}

impl Mock {
    pub fn start(workspace: &Workspace) -> Result<Self> {
        let address = http::loopback(http::free_port()?);
        let log = workspace.log_file("mock-upstream")?;
        let mut command = Command::new(workspace.release_binary("mock-upstream"));
        command.args(["--port", &address.port().to_string()]);
        let mut server = Background::spawn("the mock upstream", &mut command, Output::Log(&log))?;
        wait::until(
            workspace,
            "the mock upstream to answer",
            Duration::from_secs(10),
            || {
                server.require_running()?;
                Ok(http::get(address, "/health", &[])
                    .is_ok_and(|reply| reply.status == 200)
                    .then_some(()))
            },
        )?;
        Ok(Self {
            address,
            _server: server,
        })
    }
}

pub struct Ours {
    pub server: Server,
    pub api_key: String,
    user_id: String,
    pub superuser: server::Api,
}

impl Ours {
    /// Our server with a user who may do everything, and whose every request is checked, reserved and booked.
    pub fn start(workspace: &Workspace, data_dir: &Path, mock: SocketAddr) -> Result<Self> {
        let server = start_server(workspace, data_dir)?;
        let demo = server.demo()?;
        let superuser = server.superuser(&demo)?;
        model_seed::add_model(
            &superuser,
            "Mock upstream",
            MODEL,
            &format!("http://{mock}/v1"),
        )?;
        let tenant = superuser
            .find("tenants", "slug", "app")?
            .context("the demo data has no tenant `app`")?;
        let product = superuser.create("products", &json!({
            "name": "Bench", "price": 0, "currency": "EUR", "budget_included": BUDGET, "models": [], "features": [],
            // 0 = no limit, on all three.
            "rate_limit": 0, "tokens_per_minute": 0, "parallel_requests": 0, "active": true,
        }))?;
        let body = json!({
            "email": "bench@example.com", "name": "Bench",
            "tenant_id": text_at(&tenant, "/id")?, "product_id": text_at(&product, "/id")?, "status": "active",
        });
        let headers = [("X-API-Key", demo.billing_api_key.as_str())];
        let reply = http::send(server.address, "POST", "/api/users", &headers, Some(&body))?;
        if reply.status != 201 {
            bail!(
                "creating the bench user answered {}: {}",
                reply.status,
                reply.body
            );
        }
        let user = reply.json()?;
        Ok(Self {
            server,
            api_key: text_at(&user, "/litellm_api_key")?,
            user_id: text_at(&user, "/id")?,
            superuser,
        })
    }

    /// The same people on the same data after `change`, made while no server runs.
    pub fn restarted(
        self,
        workspace: &Workspace,
        data_dir: &Path,
        change: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let Self {
            server,
            api_key,
            user_id,
            ..
        } = self;
        drop(server);
        change()?;
        let server = start_server(workspace, data_dir)?;
        let superuser = server.superuser(&server.demo()?)?;
        Ok(Self {
            server,
            api_key,
            user_id,
            superuser,
        })
    }

    /// One usage log for every answered request, and a ledger that agrees with itself.
    pub fn check_books(&self, workspace: &Workspace, data_dir: &Path, answered: u64) -> Result<()> {
        let filter = http::encode(&format!("user_id='{}' && status='ok'", self.user_id));
        let path = format!("/api/collections/usage_logs/records?perPage=1&filter={filter}");
        let count = || -> Result<u64> {
            let list = self.superuser.call("GET", &path, None)?;
            list.pointer("/totalItems")
                .and_then(Value::as_u64)
                .context("the list has no totalItems")
        };
        wait::until(
            workspace,
            "the last usage logs to be written",
            Duration::from_secs(20),
            || Ok((count()? >= answered).then_some(())),
        )
        .with_context(|| {
            format!(
                "{answered} requests were answered; usage logs: {}",
                count().unwrap_or(0)
            )
        })?;
        let logged = count()?;
        if logged != answered {
            bail!("{answered} requests were answered, but {logged} are logged");
        }
        let mut verify = Command::new(workspace.server_binary());
        verify
            .args(["ledger", "verify", "--data-dir"])
            .arg(data_dir);
        process::read(workspace, &mut verify, VERIFY_LIMIT)?;
        println!(
            "Books: {logged} usage logs for {answered} answered requests, and `ledger verify` agrees.\n"
        );
        Ok(())
    }
}

fn start_server(workspace: &Workspace, data_dir: &Path) -> Result<Server> {
    let folder = data_dir.file_name().and_then(|name| name.to_str());
    let log = format!("server-bench-{}", folder.unwrap_or("data"));
    let options = Options {
        port: http::free_port()?,
        data_dir,
        demo: true,
        log: Some(&log),
    };
    Server::start(workspace, &options)
}

pub fn measure(
    workspace: &Workspace,
    settings: &Settings,
    targets: &[Target],
    cases: &[Case],
) -> Result<Vec<Series>> {
    let mut series = Vec::new();
    for case in cases {
        for connections in CONNECTIONS {
            let mut here: Vec<Series> = targets
                .iter()
                .map(|target| Series {
                    case: case.name,
                    connections: *connections,
                    target: target.name,
                    rounds: Vec::new(),
                })
                .collect();
            eprintln!(
                "{}, {connections} connection(s): warm-up and {} rounds …",
                case.name, settings.rounds
            );
            // Round 0 warms up; it is kept out of the medians, but its requests are counted in the books.
            for round in 0..=settings.rounds {
                for (target, series) in targets.iter().zip(&mut here) {
                    let seconds = if round == 0 { 1 } else { settings.seconds };
                    series
                        .rounds
                        .push(load(workspace, target, case, *connections, seconds)?);
                }
            }
            series.extend(here);
        }
    }
    Ok(series)
}

pub fn load(
    workspace: &Workspace,
    target: &Target,
    case: &Case,
    connections: u32,
    seconds: u32,
) -> Result<Value> {
    workspace.check_stop()?;
    let mut command = Command::new(workspace.release_binary("load"));
    command
        .args([
            "--address",
            &target.address.to_string(),
            "--path",
            PATH,
            "--key",
            &target.key,
        ])
        .args([
            "--connections",
            &connections.to_string(),
            "--seconds",
            &seconds.to_string(),
            "--body-file",
        ])
        .arg(&case.body);
    let result: Value = serde_json::from_str(&process::read(workspace, &mut command, LOAD_LIMIT)?)?;
    if result["errors"] != 0 {
        bail!(
            "{}, {connections} connections: {} errors, the first: {}",
            target.name,
            result["errors"],
            result["first_error"]
        );
    }
    Ok(result)
}

pub fn total_requests(series: &[Series], target: &str) -> u64 {
    let ours = series.iter().filter(|series| series.target == target);
    ours.flat_map(|series| &series.rounds)
        .filter_map(|round| round["requests"].as_u64())
        .sum()
}

impl Series {
    /// The median over the measured rounds, without the warm-up.
    pub fn median(&self, field: &str) -> f64 {
        let measured = self.rounds.iter().skip(1);
        let mut values: Vec<f64> = measured.filter_map(|round| round[field].as_f64()).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }
}

pub fn print_series(settings: &Settings, nginx_version: &str, series: &[Series]) {
    println!(
        "Median of {} rounds of {} s; load generator, proxy and mock upstream share {} cores; nginx {nginx_version}.\n",
        settings.rounds,
        settings.seconds,
        cores()
    );
    println!(
        "| case | connections | target | requests/s | p50 ms | p99 ms | first byte p50 ms | first byte p99 ms |"
    );
    println!("|---|---:|---|---:|---:|---:|---:|---:|");
    for series in series {
        let ms = |field| series.median(field) / 1e3;
        println!(
            "| {} | {} | {} | {:.0} | {:.3} | {:.3} | {:.3} | {:.3} |",
            series.case,
            series.connections,
            series.target,
            series.median("requests_per_second"),
            ms("p50_us"),
            ms("p99_us"),
            ms("first_byte_p50_us"),
            ms("first_byte_p99_us")
        );
    }
}

/// Medians and each round, for programs.
pub fn series_json(series: &[Series]) -> Value {
    let row = |series: &Series| {
        json!({
            "case": series.case, "connections": series.connections, "target": series.target,
            "requests_per_second": series.median("requests_per_second"),
            "p50_us": series.median("p50_us"), "p99_us": series.median("p99_us"),
            "first_byte_p50_us": series.median("first_byte_p50_us"),
            "first_byte_p99_us": series.median("first_byte_p99_us"),
            "rounds": series.rounds.get(1..).unwrap_or_default(),
        })
    };
    series.iter().map(row).collect()
}

fn write_series(
    workspace: &Workspace,
    settings: &Settings,
    nginx_version: &str,
    series: &[Series],
) -> Result<()> {
    let file = workspace.target.join("bench.json");
    let result = json!({
        "rounds": settings.rounds, "seconds": settings.seconds, "cores": cores(), "nginx": nginx_version,
        "results": series_json(series),
    });
    std::fs::write(&file, format!("{result:#}\n"))?;
    println!("Written to {}", file.display());
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}
