//! A throwaway PostgreSQL: data in a temporary folder, a free loopback port, gone at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::process::{self, Background, Output};
use crate::scratch::Scratch;
use crate::workspace::Workspace;
use crate::{http, wait};

const START_LIMIT: Duration = Duration::from_secs(60);
const READY: &str = "database system is ready to accept connections";

pub struct Postgres {
    pub url: String,
    // Fields drop in this order: first the server ends, then its folder is removed.
    _server: Background,
    _folder: Scratch,
}

impl Postgres {
    pub fn start(workspace: &Workspace) -> Result<Self> {
        let programs = find_or_install(workspace)?;
        let folder = Scratch::new("postgres")?;
        let user = unprivileged_user()?;
        if let Some(user) = &user {
            folder.give_to(user.uid, user.gid)?;
        }
        let data = folder.path().join("data");
        let mut initdb = as_user(user.as_ref(), &programs.join("initdb"));
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ]);
        process::read(
            workspace,
            initdb.arg(&data).current_dir(folder.path()),
            START_LIMIT,
        )?;

        let port = http::free_port()?;
        let mut command = as_user(user.as_ref(), &programs.join("postgres"));
        command
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"])
            .arg(folder.path());
        // Nothing here has to survive a power cut, and tests open many small databases.
        for setting in [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=300",
        ] {
            command.args(["-c", setting]);
        }
        let log = workspace.log_file("postgres")?;
        // SIGINT is PostgreSQL's "fast shutdown": it does not wait for clients to leave.
        let mut server = Background::spawn(
            "PostgreSQL",
            command.current_dir(folder.path()),
            Output::Log(&log),
        )?
        .stop_with("INT", Duration::from_secs(20));
        wait::until(
            workspace,
            "PostgreSQL to accept connections",
            START_LIMIT,
            || {
                server.require_running()?;
                let ready = std::fs::read_to_string(&log).is_ok_and(|text| text.contains(READY));
                Ok(ready.then_some(()))
            },
        )?;
        Ok(Self {
            url: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            _server: server,
            _folder: folder,
        })
    }
}

fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(folder) = find_programs() {
        return Ok(folder);
    }
    apt::install(workspace, &["postgresql"], "PostgreSQL for the tests")?;
    find_programs()
        .context("postgresql is installed, but initdb is nowhere below /usr/lib/postgresql")
}

/// The newest installed version. Debian keeps the server's programs out of the PATH.
fn find_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .ok()
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .map(|version| version.path().join("bin"))
        .filter(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .max_by_key(|folder| {
            let version = folder
                .parent()
                .and_then(Path::file_name)
                .and_then(|name| name.to_str());
            version.and_then(|name| name.parse::<u32>().ok())
        });
    newest.or_else(|| {
        let initdb = std::fs::canonicalize(process::find_program(&["initdb"])?).ok()?;
        Some(initdb.parent()?.to_path_buf())
    })
}

struct User {
    uid: u32,
    gid: u32,
}

/// PostgreSQL refuses to run as root; anybody else runs it as themselves.
fn unprivileged_user() -> Result<Option<User>> {
    if !apt::is_root() {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    for name in ["postgres", "nobody"] {
        for line in accounts.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if let [account, _, uid, gid, ..] = fields.as_slice()
                && *account == name
            {
                return Ok(Some(User {
                    uid: uid.parse()?,
                    gid: gid.parse()?,
                }));
            }
        }
    }
    bail!("PostgreSQL cannot run as root, and there is no user `postgres` or `nobody` to run it as")
}

/// `setpriv` replaces itself with the program, so that the process id we hold is PostgreSQL's own.
fn as_user(user: Option<&User>, program: &Path) -> Command {
    let Some(user) = user else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .args([
            format!("--reuid={}", user.uid),
            format!("--regid={}", user.gid),
        ])
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}
