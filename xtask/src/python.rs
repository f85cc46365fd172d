//! Python virtual environments below `target`, made once and again when their requirements change.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;
use crate::services::apt;
use crate::workspace::Workspace;

const LIMIT: Duration = Duration::from_secs(900);

/// The interpreter of an environment that holds exactly these requirements.
pub fn environment(
    workspace: &Workspace,
    name: &str,
    requirements: &Path,
    options: &[&str],
) -> Result<PathBuf> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("reading {}", requirements.display()))?;
    let folder = workspace.target.join("python").join(name);
    let python = folder.join("bin/python");
    // Written last: an installation that was interrupted is made again.
    let stamp = folder.join("installed.txt");
    if python.exists() && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted)
    {
        return Ok(python);
    }
    println!("Setting up the Python environment `{name}` …");
    let system = process::find_program(&["python3"]).context("Python 3 is not installed")?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    create(workspace, &system, &folder)?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(options);
    process::run(workspace, pip.arg("-r").arg(requirements), LIMIT)?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}

fn create(workspace: &Workspace, system: &Path, folder: &Path) -> Result<()> {
    let make = || {
        let mut command = Command::new(system);
        command.args(["-m", "venv"]).arg(folder);
        command
    };
    // Debian splits `venv` off; without the package the module exists, but fails.
    let has_venv = process::read(
        workspace,
        Command::new(system).args(["-c", "import venv, ensurepip"]),
        LIMIT,
    )
    .is_ok();
    if !has_venv {
        apt::install(workspace, &["python3-venv"], "Python's venv module")?;
    }
    process::run(workspace, &mut make(), LIMIT)
}
