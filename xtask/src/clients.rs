//! The official clients, unmodified, against the real binary with a real model: the harness they run in.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::process::{Background, Output};
use crate::scratch::Scratch;
use crate::server::{Demo, Options, Server};
use crate::services::apt;
use crate::services::model::{self, LocalModel};
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{http, model_seed, node, process, python, wait};

const LIMIT: Duration = Duration::from_secs(600);

/// A fresh server with example data; its providers are the local model and a scripted double of every kind.
pub struct Stack {
    server: Server,
    demo: Demo,
    model: Option<LocalModel>,
    _doubles: Option<Background>,
    data: Scratch,
}

impl Stack {
    pub fn start(workspace: &Workspace) -> Result<Self> {
        let data = Scratch::new("clients")?;
        let port = http::free_port()?;
        let data_dir = data.path().join("cf_data");
        let options = Options {
            port,
            data_dir: &data_dir,
            demo: true,
            log: Some("server-clients"),
        };
        let server = Server::start(workspace, &options)?;
        let demo = server.demo()?;
        let model = start_model(workspace)?;
        if let Some(model) = &model {
            model_seed::add_local_model(&server.superuser(&demo)?, &model.base_url())?;
        }
        let mut stack = Self {
            server,
            demo,
            model,
            _doubles: None,
            data,
        };
        stack._doubles = Some(stack.start_doubles(workspace)?);
        Ok(stack)
    }

    /// The doubles make themselves providers of the server, and write down what they are asked for by.
    fn start_doubles(&self, workspace: &Workspace) -> Result<Background> {
        let tests = workspace.root.join("tests/clients");
        let requirements = tests.join("requirements.txt");
        let python = python::environment(workspace, "clients", &requirements, &[])?;
        let mut command = Command::new(python);
        command
            .args(["-m", "doubles", "--into"])
            .arg(self.doubles_file())
            .current_dir(&tests);
        self.surround(workspace, &mut command);
        let log = workspace.log_file("doubles")?;
        let mut doubles =
            Background::spawn("the scripted providers", &mut command, Output::Log(&log))?;
        wait::until(
            workspace,
            "the scripted providers to be there",
            Duration::from_secs(60),
            || {
                doubles.require_running()?;
                Ok(self.doubles_file().exists().then_some(()))
            },
        )?;
        Ok(doubles)
    }

    fn doubles_file(&self) -> PathBuf {
        self.data.path().join("doubles.json")
    }

    pub fn python(&self, workspace: &Workspace) -> (Tally, Result<()>) {
        let tests = workspace.root.join("tests/clients");
        let prepared =
            python::environment(workspace, "clients", &tests.join("requirements.txt"), &[])
                .and_then(|python| {
                    apt::require_program(workspace, &["curl"], "curl").map(|_| python)
                });
        let python = match prepared {
            Ok(python) => python,
            Err(error) => return (Tally::default(), Err(error)),
        };
        let mut command = Command::new(python);
        // Without a cache folder nothing is left behind in the work tree.
        command
            .args(["-m", "pytest", "-p", "no:cacheprovider", "--tb=short"])
            .arg(&tests);
        self.run(workspace, &mut command)
    }

    /// LiteLLM's library as a client, and our callback in its real proxy, against a scripted provider of its own.
    pub fn litellm(&self, workspace: &Workspace) -> (Tally, Result<()>) {
        let folder = workspace.root.join("integrations/litellm");
        let requirements = folder.join("requirements.txt");
        let python = match python::environment(workspace, "litellm", &requirements, &[]) {
            Ok(python) => python,
            Err(error) => return (Tally::default(), Err(error)),
        };
        let mut command = Command::new(python);
        command
            .args(["-m", "pytest", "-p", "no:cacheprovider", "--tb=short"])
            .arg(&folder)
            // The harness and what the doubles say.
            .env("PYTHONPATH", workspace.root.join("tests/clients"));
        self.run(workspace, &mut command)
    }

    pub fn node(&self, workspace: &Workspace) -> (Tally, Result<()>) {
        let tests = workspace.root.join("tests/clients");
        let prepared = node::install_packages(workspace, &tests).and_then(|()| node::node());
        let mut command = match prepared {
            Ok(command) => command,
            Err(error) => return (Tally::default(), Err(error)),
        };
        command
            .args([
                "--test",
                "--test-reporter=spec",
                "test_ai_sdk.mjs",
                "test_openai.mjs",
                "test_responses.mjs",
                "test_pocketbase.mjs",
                "test_tasks.mjs",
            ])
            .current_dir(&tests);
        self.run(workspace, &mut command)
    }

    fn run(&self, workspace: &Workspace, command: &mut Command) -> (Tally, Result<()>) {
        self.surround(workspace, command);
        let (tally, result) = process::run_tests(workspace, command, LIMIT);
        // The server's side of a failure is what explains it.
        (
            tally,
            result.map_err(|error| anyhow!("{error:#}{}", self.server.log_tail())),
        )
    }

    /// What the tests and the doubles need to know of the server.
    fn surround(&self, workspace: &Workspace, command: &mut Command) {
        let demo = &self.demo;
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("CF_DOUBLES", self.doubles_file())
            .env("CF_URL", self.server.url())
            .env("CF_PORT", self.server.address.port().to_string())
            .env("CF_BINARY", workspace.server_binary())
            .env("CF_ADMIN_EMAIL", &demo.admin.email)
            .env("CF_ADMIN_PASSWORD", &demo.admin.password)
            .env("CF_USER_EMAIL", &demo.user.email)
            .env("CF_USER_PASSWORD", &demo.user.password)
            .env("CF_SUPERUSER_EMAIL", &demo.superuser.email)
            .env("CF_SUPERUSER_PASSWORD", &demo.superuser.password)
            .env("CF_API_KEY", &demo.api_key)
            .env("CF_BILLING_API_KEY", &demo.billing_api_key)
            .env(
                "CF_MODEL",
                if self.model.is_some() {
                    model::NAME
                } else {
                    &demo.model
                },
            );
    }
}

/// In CI the model has to be there; at a desk its absence is said so that nobody can overlook it.
pub fn start_model(workspace: &Workspace) -> Result<Option<LocalModel>> {
    match LocalModel::start(workspace) {
        Ok(model) => Ok(Some(model)),
        Err(error) if workspace.ci || workspace.stop_requested() => {
            Err(error.context("the local model is needed in CI"))
        }
        Err(error) => {
            println!(
                "\n*** THE LOCAL MODEL IS MISSING: these tests only see the built-in demo provider."
            );
            println!("*** {error:#}\n");
            Ok(None)
        }
    }
}
