//! Node and npm: installing a folder's packages as its lock file has them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

const INSTALL_LIMIT: Duration = Duration::from_secs(900);

/// `npm ci` in a folder, skipped when the installed packages are newer than the lock file.
pub fn install_packages(workspace: &Workspace, folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let wanted = modified(&lock).with_context(|| format!("{} is missing", lock.display()))?;
    let installed = modified(&folder.join("node_modules/.package-lock.json"));
    if installed.is_some_and(|installed| installed >= wanted) {
        return Ok(());
    }
    let mut command = npm()?;
    process::run(
        workspace,
        command
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder),
        INSTALL_LIMIT,
    )
}

pub fn npm() -> Result<Command> {
    program("npm").map(Command::new)
}

pub fn node() -> Result<Command> {
    program("node").map(Command::new)
}

fn program(name: &str) -> Result<PathBuf> {
    match process::find_program(&[name]) {
        Some(path) => Ok(path),
        None => bail!("`{name}` is not installed: the web part needs Node 20 or newer with npm"),
    }
}

pub fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}
