//! LiteLLM's proxy, as widely used a router as there is, for comparison.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::process::{self, Background, Output};
use crate::scratch::Scratch;
use crate::workspace::Workspace;
use crate::{http, python, wait};

const KEY: &str = "sk-of-the-bench";

pub struct LiteLlm {
    pub address: SocketAddr,
    pub key: &'static str,
    pub version: String,
    pub workers: usize,
    _server: Background,
    _folder: Scratch,
}

impl LiteLlm {
    /// The version that the callback in `integrations/litellm` is tested with, in front of one model. It has
    /// one key, no database, and so neither budgets nor books; a worker for each core, and no log.
    pub fn start(workspace: &Workspace, upstream: SocketAddr, model: &str) -> Result<Self> {
        let requirements = workspace.root.join("integrations/litellm/requirements.txt");
        let python = python::environment(workspace, "litellm", &requirements, &[])?;
        let folder = Scratch::new("litellm")?;
        let config = folder.path().join("config.yaml");
        // JSON is YAML too.
        std::fs::write(&config, configuration(upstream, model))?;
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let address = http::loopback(http::free_port()?);
        let log = workspace.log_file("litellm")?;
        let mut command = Command::new(python.with_file_name("litellm"));
        command
            .args(["--host", "127.0.0.1"])
            .args(["--port", &address.port().to_string()])
            .args(["--num_workers", &workers.to_string()])
            .arg("--config")
            .arg(&config)
            .current_dir(folder.path())
            // Nothing is fetched from outside.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("LITELLM_TELEMETRY", "False")
            .env("LITELLM_LOG", "ERROR");
        let mut server = Background::spawn("LiteLLM", &mut command, Output::Log(&log))?;
        wait::until(
            workspace,
            "LiteLLM to answer",
            Duration::from_secs(120),
            || {
                server.require_running()?;
                Ok(http::get(address, "/health/liveliness", &[])
                    .is_ok_and(|reply| reply.status == 200)
                    .then_some(()))
            },
        )?;
        Ok(Self {
            address,
            key: KEY,
            version: version(workspace, &python)?,
            workers,
            _server: server,
            _folder: folder,
        })
    }
}

fn configuration(upstream: SocketAddr, model: &str) -> String {
    json!({
        "model_list": [{
            "model_name": model,
            "litellm_params": {
                "model": format!("openai/{model}"),
                "api_base": format!("http://{upstream}/v1"),
                "api_key": "none",
            },
        }],
        "general_settings": { "master_key": KEY },
    })
    .to_string()
}

fn version(workspace: &Workspace, python: &Path) -> Result<String> {
    let program = "from importlib.metadata import version; print(version('litellm'))";
    let mut command = Command::new(python);
    command.args(["-c", program]);
    let version = process::read(workspace, &mut command, Duration::from_secs(30))
        .context("asking for LiteLLM's version")?;
    Ok(version.trim().to_owned())
}
