//! Building the web part, which the server's binary carries inside.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{node, process};

const LIMIT: Duration = Duration::from_secs(600);

/// `npm ci` and `npm run build`, each only when something changed.
pub fn build(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("web");
    if !folder.join("package.json").exists() {
        bail!("the folder web/ has no package.json");
    }
    node::install_packages(workspace, &folder)?;
    let built = node::modified(&folder.join("dist/index.html"));
    if let (Some(built), Some(changed)) = (built, last_change(&folder)?)
        && built >= changed
    {
        return Ok(());
    }
    println!("Building the web part …");
    npm_run(workspace, "build")
}

pub fn npm_run(workspace: &Workspace, script: &str) -> Result<()> {
    let mut command = node::npm()?;
    process::run(
        workspace,
        command
            .args(["run", "--silent", script])
            .current_dir(workspace.root.join("web")),
        LIMIT,
    )
}

/// The server embeds `web/dist` when it is compiled, so the folder has to exist even before the first build.
pub fn ensure_output_folder(workspace: &Workspace) -> Result<()> {
    std::fs::create_dir_all(workspace.root.join("web/dist"))?;
    Ok(())
}

fn last_change(folder: &Path) -> Result<Option<SystemTime>> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if ["node_modules", "dist", "coverage", "tests"]
            .iter()
            .any(|skipped| name == *skipped)
        {
            continue;
        }
        let metadata = entry.metadata()?;
        let changed = if metadata.is_dir() {
            last_change(&entry.path())?
        } else {
            metadata.modified().ok()
        };
        newest = newest.max(changed);
    }
    Ok(newest)
}
