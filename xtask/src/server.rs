//! Building and starting the server's own binary, and calling it as any other program would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::{self, Background, Output};
use crate::workspace::Workspace;
use crate::{http, wait};

const BUILD_LIMIT: Duration = Duration::from_secs(3600);

/// Builds release binaries in one go: two builds with other package lists could compile shared dependencies twice.
pub fn build(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let mut cargo = cargo();
    cargo.args(["build", "--release"]);
    for package in packages {
        cargo.args(["-p", package]);
    }
    process::run(workspace, cargo.current_dir(&workspace.root), BUILD_LIMIT)
}

pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

pub struct Options<'a> {
    pub port: u16,
    pub data_dir: &'a Path,
    /// Example tenant, product and people; without it an empty data directory asks to be set up.
    pub demo: bool,
    /// Whether its log is seen at the terminal; otherwise it goes into a file of this name.
    pub log: Option<&'a str>,
}

pub struct Server {
    pub address: SocketAddr,
    child: Background,
    data_dir: PathBuf,
}

impl Server {
    pub fn start(workspace: &Workspace, options: &Options) -> Result<Self> {
        let address = http::loopback(options.port);
        let mut command = Command::new(workspace.server_binary());
        command
            .arg("serve")
            .args(["--listen", &address.to_string()])
            .arg("--data-dir")
            .arg(options.data_dir);
        // `--demo` allows these too; without it the local model's address would be refused.
        command.arg("--allow-private-upstreams");
        if options.demo {
            command.arg("--demo");
        }
        let file = options
            .log
            .map(|name| workspace.log_file(name))
            .transpose()?;
        let output = match &file {
            None => Output::Terminal,
            Some(file) => {
                // Tests and measurements must not depend on the settings of the person who runs them.
                for (name, _) in std::env::vars_os() {
                    if name.to_string_lossy().starts_with("CLOUDFREEDOM_") {
                        command.env_remove(name);
                    }
                }
                Output::Log(file)
            }
        };
        // Running answers get 30 s when the server is asked to end; it needs a little longer than they do.
        let child = Background::spawn("the server", &mut command, output)?
            .stop_with("TERM", Duration::from_secs(40));
        let mut server = Self {
            address,
            child,
            data_dir: options.data_dir.to_path_buf(),
        };
        wait::until(
            workspace,
            "the server's /health to answer",
            Duration::from_secs(60),
            || {
                server.child.require_running()?;
                Ok(http::get(address, "/health", &[])
                    .is_ok_and(|reply| reply.status == 200)
                    .then_some(()))
            },
        )?;
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn require_running(&mut self) -> Result<()> {
        self.child.require_running()
    }

    pub fn log_tail(&self) -> String {
        self.child.log_tail()
    }

    /// The people and keys of a data directory that `--demo` filled, now or in an earlier run.
    pub fn demo(&self) -> Result<Demo> {
        let path = self.data_dir.join("demo.json");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "{} is missing: this data directory was not filled by `serve --demo`",
                path.display()
            )
        })?;
        Demo::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    pub fn superuser(&self, demo: &Demo) -> Result<Api> {
        Api::sign_in(self.address, "_superusers", &demo.superuser)
    }
}

pub struct Login {
    pub email: String,
    pub password: String,
}

pub struct Demo {
    pub admin: Login,
    pub user: Login,
    pub superuser: Login,
    pub api_key: String,
    pub billing_api_key: String,
    pub model: String,
}

impl Demo {
    fn parse(text: &str) -> Result<Self> {
        let all: Value = serde_json::from_str(text)?;
        let login = |who: &str| -> Result<Login> {
            Ok(Login {
                email: text_at(&all, &format!("/{who}/email"))?,
                password: text_at(&all, &format!("/{who}/password"))?,
            })
        };
        Ok(Self {
            admin: login("admin")?,
            user: login("user")?,
            superuser: login("superuser")?,
            api_key: text_at(&all, "/user/api_key")?,
            billing_api_key: text_at(&all, "/billing_api_key")?,
            model: text_at(&all, "/model")?,
        })
    }
}

/// The text at a place in a JSON value, which has to be there.
pub fn text_at(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("there is no text at {pointer}"))?
        .to_owned())
}

/// A signed-in caller of the records API.
pub struct Api {
    address: SocketAddr,
    token: String,
}

impl Api {
    pub fn sign_in(address: SocketAddr, collection: &str, login: &Login) -> Result<Self> {
        let path = format!("/api/collections/{collection}/auth-with-password");
        let body = json!({ "identity": login.email, "password": login.password });
        let reply = http::send(address, "POST", &path, &[], Some(&body))?;
        if reply.status != 200 {
            bail!(
                "signing in as {} failed ({}): {}",
                login.email,
                reply.status,
                reply.body
            );
        }
        Ok(Self {
            address,
            token: text_at(&reply.json()?, "/token")?,
        })
    }

    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let reply = http::send(
            self.address,
            method,
            path,
            &[("Authorization", &self.token)],
            body,
        )?;
        if !(200..300).contains(&reply.status) {
            bail!("{method} {path} answered {}: {}", reply.status, reply.body);
        }
        if reply.body.is_empty() {
            Ok(Value::Null)
        } else {
            reply.json()
        }
    }

    /// The record whose `field` has this value.
    pub fn find(&self, collection: &str, field: &str, value: &str) -> Result<Option<Value>> {
        let filter = http::encode(&format!("{field}='{value}'"));
        let path = format!("/api/collections/{collection}/records?perPage=1&filter={filter}");
        let list = self.call("GET", &path, None)?;
        Ok(list.pointer("/items/0").cloned())
    }

    pub fn create(&self, collection: &str, fields: &Value) -> Result<Value> {
        self.call(
            "POST",
            &format!("/api/collections/{collection}/records"),
            Some(fields),
        )
    }

    pub fn update(&self, collection: &str, id: &str, fields: &Value) -> Result<Value> {
        self.call(
            "PATCH",
            &format!("/api/collections/{collection}/records/{id}"),
            Some(fields),
        )
    }

    /// Creates the record of this `name`, or brings the existing one up to date; returns its id.
    pub fn upsert_by_name(&self, collection: &str, name: &str, fields: &Value) -> Result<String> {
        let record = match self.find(collection, "name", name)? {
            Some(existing) => self.update(collection, &text_at(&existing, "/id")?, fields)?,
            None => self.create(collection, fields)?,
        };
        text_at(&record, "/id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_file_is_read_and_a_missing_part_is_named() {
        let login = r#"{"email":"a@example.com","password":"p"}"#;
        let whole = format!(
            r#"{{"admin":{login},"user":{{"email":"u@example.com","password":"p","api_key":"sk-1"}},"superuser":{login},"billing_api_key":"b","model":"demo"}}"#
        );
        assert_eq!(Demo::parse(&whole).expect("a whole file").api_key, "sk-1");
        let error = Demo::parse(&whole.replace("api_key\":\"sk", "other\":\"sk"))
            .err()
            .expect("a missing key");
        assert!(error.to_string().contains("/user/api_key"), "{error}");
    }
}
