//! Temporary folders that disappear with their owner.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Lies in the system's temporary folder, not in `target`: services that run as another user
    /// (PostgreSQL, nginx workers) may not be able to reach a folder below root's home.
    pub fn new(name: &str) -> Result<Self> {
        let base = std::env::temp_dir();
        let pid = std::process::id();
        let mut number = 0u32;
        loop {
            let path = base.join(format!("cloudfreedom-{name}-{pid}-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("creating {}", path.display()));
                }
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands the folder to another user, readable by nobody else.
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<()> {
        chown(&self.path, Some(uid), Some(gid))
            .with_context(|| format!("chown {}", self.path.display()))?;
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o700))?;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("xtask: could not remove {}: {error}", self.path.display());
        }
    }
}
