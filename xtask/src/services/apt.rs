//! Debian packages that a step needs and the machine lacks.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

const LIMIT: Duration = Duration::from_secs(900);
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs packages, or says which ones a person has to install.
pub fn install(workspace: &Workspace, packages: &[&str], why: &str) -> Result<()> {
    let list = packages.join(" ");
    if !is_root() || process::find_program(&["apt-get"]).is_none() {
        bail!(
            "{why} is missing: please install it (Debian: `apt-get install {list}`) and run this again"
        );
    }
    println!("Installing {list} ({why}) …");
    let _no_daemons = NoDaemons::new()?;
    process::run(workspace, apt_get().args(["-q", "update"]), LIMIT)?;
    let mut command = apt_get();
    command
        .args(["-q", "install", "-y", "--no-install-recommends"])
        .args(packages);
    process::run(workspace, &mut command, LIMIT)
}

/// A program from the PATH, installed with its package if it is not there.
pub fn require_program(
    workspace: &Workspace,
    names: &[&str],
    package: &str,
) -> Result<std::path::PathBuf> {
    if let Some(path) = process::find_program(names) {
        return Ok(path);
    }
    install(workspace, &[package], package)?;
    process::find_program(names)
        .with_context(|| format!("{package} is installed, but {names:?} is not on the PATH"))
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Debian starts a system-wide nginx or PostgreSQL right after installing it. We run our own copies on
/// loopback ports and want no others, so we forbid it for the time of the installation.
struct NoDaemons {
    created: bool,
}

impl NoDaemons {
    fn new() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { created: false });
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("writing {POLICY}"))?;
        let policy = Self { created: true };
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if self.created {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
