//! `cargo xtask test`: what CI runs, step by step, ending at the first failure.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::clients::Stack;
use crate::services::postgres::Postgres;
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{browser, chaos, docs, named_tests, node, process, server, web};

const LIMIT: Duration = Duration::from_secs(3600);

type StepResult = (Tally, Result<()>);

struct Step {
    /// The names on the command line that ask for this step.
    groups: &'static [&'static str],
    title: &'static str,
    run: fn(&mut Session) -> StepResult,
}

/// The web part is built before the release binary, which embeds it.
const STEPS: &[Step] = &[
    Step {
        groups: &["lint"],
        title: "cargo fmt",
        run: |session| session.cargo(&["fmt", "--all", "--check"]),
    },
    Step {
        groups: &["lint"],
        title: "cargo clippy",
        run: |session| {
            session.cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])
        },
    },
    Step {
        groups: &["lint"],
        title: "cargo deny",
        run: |session| session.cargo_deny(),
    },
    Step {
        groups: &["lint"],
        title: "tests named in the docs",
        run: |session| named_tests::check(session.workspace),
    },
    Step {
        groups: &["rust"],
        title: "cargo test",
        run: |session| session.cargo_test(),
    },
    Step {
        groups: &["chaos"],
        title: "chaos",
        run: |session| chaos::rounds(session.workspace, 200, None),
    },
    Step {
        groups: &["web"],
        title: "web check",
        run: |session| session.web("check"),
    },
    Step {
        groups: &["web"],
        title: "web test",
        run: |session| session.web("test"),
    },
    Step {
        groups: &["web", "clients", "browser", "docs"],
        title: "web build",
        run: |session| plain(web::build(session.workspace)),
    },
    Step {
        groups: &["clients", "browser", "docs"],
        title: "release build",
        run: |session| plain(server::build(session.workspace, &["cloudfreedom"])),
    },
    Step {
        groups: &["clients"],
        title: "Python client and curl",
        run: |session| session.clients(Stack::python),
    },
    Step {
        groups: &["clients"],
        title: "Node clients",
        run: |session| session.clients(Stack::node),
    },
    Step {
        groups: &["clients"],
        title: "LiteLLM proxy",
        run: |session| session.clients(Stack::litellm),
    },
    Step {
        groups: &["browser"],
        title: "browser",
        run: |session| session.browser(),
    },
    Step {
        groups: &["docs"],
        title: "commands in the docs",
        run: |session| docs::check(session.workspace),
    },
];

struct Session<'a> {
    workspace: &'a Workspace,
    /// Started by the first client step, ended before the browser needs the machine's two cores.
    stack: Option<Stack>,
    /// Set by a step that could not check anything: it is not counted, and the summary says so.
    skipped: bool,
}

struct Report {
    title: &'static str,
    seconds: f64,
    outcome: &'static str,
}

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    for name in arguments {
        if !STEPS
            .iter()
            .any(|step| step.groups.contains(&name.as_str()))
        {
            bail!(
                "there is no step `{name}`; known: lint, rust, chaos, web, clients, browser, docs"
            );
        }
    }
    web::ensure_output_folder(workspace)?;
    let asked = |step: &&Step| {
        arguments.is_empty()
            || step
                .groups
                .iter()
                .any(|group| arguments.iter().any(|name| name == group))
    };
    let mut session = Session {
        workspace,
        stack: None,
        skipped: false,
    };
    let mut reports = Vec::new();
    let mut tally = Tally::default();
    let mut failure = None;
    for step in STEPS.iter().filter(asked) {
        println!("\n=== {} ===", step.title);
        let start = Instant::now();
        session.skipped = false;
        let (mut counted, result) = (step.run)(&mut session);
        // A failed step that reported no failed test is one failure; a step without tests is one check.
        match &result {
            Err(_) if counted.failed == 0 => counted.failed = 1,
            Ok(()) if counted == Tally::default() && !session.skipped => counted.passed = 1,
            _ => {}
        }
        tally.add(counted);
        let outcome = match &result {
            Err(_) => "FAILED",
            Ok(()) if session.skipped => "skipped",
            Ok(()) => "ok",
        };
        reports.push(Report {
            title: step.title,
            seconds: start.elapsed().as_secs_f64(),
            outcome,
        });
        if let Err(error) = result {
            failure = Some(error.context(format!("the step `{}` failed", step.title)));
            break;
        }
    }
    drop(session);
    print_summary(&reports, tally, failure.as_ref());
    match failure {
        // Already shown above the summary's last line, which has to stay the last one.
        Some(_) => std::process::exit(1),
        None => Ok(()),
    }
}

fn print_summary(reports: &[Report], tally: Tally, failure: Option<&anyhow::Error>) {
    println!("\n=== summary ===");
    for report in reports {
        println!(
            "{:<24} {:>8.1} s  {}",
            report.title, report.seconds, report.outcome
        );
    }
    if let Some(error) = failure {
        println!("\n{error:#}\n");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
}

fn plain(result: Result<()>) -> StepResult {
    (Tally::default(), result)
}

impl Session<'_> {
    fn cargo(&mut self, arguments: &[&str]) -> StepResult {
        let mut cargo = server::cargo();
        plain(process::run(
            self.workspace,
            cargo.args(arguments).current_dir(&self.workspace.root),
            LIMIT,
        ))
    }

    fn cargo_deny(&mut self) -> StepResult {
        if process::find_program(&["cargo-deny"]).is_none() {
            self.skipped = true;
            println!(
                "SKIPPED: cargo-deny is not installed, so licences and advisories (deny.toml) were not checked."
            );
            return plain(Ok(()));
        }
        self.cargo(&["deny", "check"])
    }

    /// The tests of the workspace on SQLite, and the same on a PostgreSQL that exists only for them.
    fn cargo_test(&mut self) -> StepResult {
        let postgres = match Postgres::start(self.workspace) {
            Ok(postgres) => postgres,
            Err(error) => return plain(Err(error)),
        };
        let mut cargo = server::cargo();
        cargo
            .args(["test", "--workspace", "--no-fail-fast"])
            .env("CLOUDFREEDOM_TEST_POSTGRES", &postgres.url)
            .current_dir(&self.workspace.root);
        process::run_tests(self.workspace, &mut cargo, LIMIT)
    }

    fn web(&mut self, script: &str) -> StepResult {
        let folder = self.workspace.root.join("web");
        if let Err(error) = node::install_packages(self.workspace, &folder) {
            return plain(Err(error));
        }
        let mut command = match node::npm() {
            Ok(command) => command,
            Err(error) => return plain(Err(error)),
        };
        process::run_tests(
            self.workspace,
            command
                .args(["run", "--silent", script])
                .current_dir(&folder),
            LIMIT,
        )
    }

    fn clients(&mut self, run: fn(&Stack, &Workspace) -> StepResult) -> StepResult {
        let stack = match self
            .stack
            .take()
            .map_or_else(|| Stack::start(self.workspace), Ok)
        {
            Ok(stack) => self.stack.insert(stack),
            Err(error) => return plain(Err(error)),
        };
        run(stack, self.workspace)
    }

    fn browser(&mut self) -> StepResult {
        self.stack = None;
        browser::run(self.workspace)
    }
}
