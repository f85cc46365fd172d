//! Starting the program, and calling it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cf_db::Location;
use cf_http::HttpClient;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// The program with a command, ready to be run.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudfreedom"));
    for (name, _) in std::env::vars() {
        if name.starts_with("CLOUDFREEDOM_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Runs a command on a data directory to its end.
pub fn run(data_dir: &Path, arguments: &[&str]) -> Output {
    program(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .output()
        .unwrap()
}

/// What a command said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    /// Everything it said until it listened.
    pub said: String,
    /// Everything it said since.
    later: Arc<Mutex<String>>,
}

impl Server {
    /// Starts the server on a free port and waits for nothing.
    pub fn spawn(data_dir: &Path, location: &Location, more: &[&str]) -> Child {
        Self::command(data_dir, location, more)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn command(data_dir: &Path, location: &Location, more: &[&str]) -> Command {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.arg("--data-dir").arg(data_dir).args(more);
        if let Location::Postgres(url) = location {
            command.arg("--database-url").arg(url);
        }
        command
    }

    /// Starts the server on a free port and waits until it listens.
    pub fn start(data_dir: &Path, location: &Location, more: &[&str]) -> Self {
        Self::run(Self::command(data_dir, location, more))
    }

    /// The same with writes past a limit of the file size failing instead of
    /// ending it, as on a full disk.
    pub fn start_limitable(data_dir: &Path, location: &Location, more: &[&str]) -> Self {
        let inner = Self::command(data_dir, location, more);
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let started = Instant::now();
        let mut address = None;
        while address.is_none() {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it ended while starting:\n{said}"))
                .unwrap();
            said.push_str(&line);
            said.push('\n');
            assert!(started.elapsed() < STARTS_WITHIN, "too slow:\n{said}");
            address = serde_json::from_str::<Value>(&line)
                .ok()
                .filter(|event| event["message"] == "listening")
                .map(|event| event["address"].as_str().unwrap().to_owned());
        }
        // Whatever else it says must not fill the pipe.
        let later = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&later);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self {
            child,
            later,
            url: format!("http://{}", address.unwrap()),
            said,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said since it listened.
    pub fn said_later(&self) -> String {
        self.later.lock().unwrap().clone()
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits for its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.terminate();
        self.child.wait().unwrap().code()
    }

    /// The same while its callers go on.
    pub async fn stopped(&mut self) -> Option<i32> {
        self.terminate();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came back in full.
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Calls the server; `None` if the answer did not come in full.
pub async fn call(
    client: &HttpClient,
    method: &str,
    url: &str,
    header: (&str, &str),
    body: &Value,
) -> Option<Answer> {
    call_with(client, method, url, &[header], body).await
}

/// The same with more headers.
pub async fn call_with(
    client: &HttpClient,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Option<Answer> {
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from(body.to_string())).unwrap();
    let response = client.send(request, Duration::from_secs(30)).await.ok()?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    Some(Answer { status, body })
}
