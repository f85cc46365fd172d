//! nginx as a plain reverse proxy: what a request costs when nothing but forwarding is done.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::apt;
use crate::process::{self, Background, Output};
use crate::scratch::Scratch;
use crate::workspace::Workspace;
use crate::{http, wait};

pub struct Nginx {
    pub address: SocketAddr,
    pub version: String,
    _server: Background,
    _folder: Scratch,
}

impl Nginx {
    pub fn start(workspace: &Workspace, upstream: SocketAddr) -> Result<Self> {
        let program = find_or_install(workspace)?;
        let folder = Scratch::new("nginx")?;
        let address = http::loopback(http::free_port()?);
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(folder.path(), address, upstream))?;
        let log = workspace.log_file("nginx")?;
        let mut command = Command::new(&program);
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .arg("-c")
            .arg(&config);
        let mut server = Background::spawn("nginx", &mut command, Output::Log(&log))?;
        wait::until(
            workspace,
            "nginx to answer",
            Duration::from_secs(20),
            || {
                server.require_running()?;
                Ok(http::get(address, "/health", &[])
                    .is_ok_and(|reply| reply.status == 200)
                    .then_some(()))
            },
        )?;
        let output = Command::new(&program)
            .arg("-v")
            .output()
            .context("asking nginx for its version")?;
        let version = String::from_utf8_lossy(&output.stderr)
            .trim()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        Ok(Self {
            address,
            version,
            _server: server,
            _folder: folder,
        })
    }
}

fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    let system = Path::new("/usr/sbin/nginx");
    if system.is_file() {
        return Ok(system.to_path_buf());
    }
    if let Some(program) = process::find_program(&["nginx"]) {
        return Ok(program);
    }
    apt::require_program(workspace, &["nginx"], "nginx-light")
}

/// As a careful operator would write it for speed: connections to the upstream are kept open, nothing is
/// logged, and answers are passed on as they come, as they have to be for streams.
fn configuration(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream mock {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    )
}
