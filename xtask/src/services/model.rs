//! A small real model on this machine: llama.cpp with SmolLM2-135M, from two Python wheels.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::{Background, Output};
use crate::workspace::Workspace;
use crate::{http, python, wait};

/// The name clients ask for, and the name the model's server knows it by.
pub const NAME: &str = "smollm2-135m";

pub struct LocalModel {
    pub address: SocketAddr,
    _server: Background,
}

impl LocalModel {
    /// Installs what is missing (about 130 MB, once) and starts the model on a free port.
    pub fn start(workspace: &Workspace) -> Result<Self> {
        // The model's package asks for a command-line tool that we do not use: hence `--no-deps`.
        let requirements = workspace.root.join("tools/local_model.requirements.txt");
        let python = python::environment(workspace, "local-model", &requirements, &["--no-deps"])?;
        let port = http::free_port()?;
        let log = workspace.log_file("local-model")?;
        let mut command = Command::new(python);
        command
            .arg(workspace.root.join("tools/local_model.py"))
            .args(["--port", &port.to_string()]);
        let mut server = Background::spawn("the local model", &mut command, Output::Log(&log))?;
        let address = http::loopback(port);
        wait::until(
            workspace,
            "the local model to answer",
            Duration::from_secs(120),
            || {
                server.require_running()?;
                let answer = http::get(address, "/v1/models", &[]);
                Ok(answer.is_ok_and(|reply| reply.status == 200).then_some(()))
            },
        )?;
        Ok(Self {
            address,
            _server: server,
        })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}
