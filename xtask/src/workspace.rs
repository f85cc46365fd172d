//! Where things are, and whether we were asked to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

pub struct Workspace {
    pub root: PathBuf,
    /// Build products, virtual environments, screenshots and logs; `cargo clean` removes them all.
    pub target: PathBuf,
    /// In CI a missing local model is a failure; at a desk it is a loud notice.
    pub ci: bool,
    stop: Arc<AtomicBool>,
}

impl Workspace {
    pub fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the xtask crate has no parent folder")?
            .to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir)?,
            None => root.join("target"),
        };
        std::fs::create_dir_all(&target)?;
        let stop = Arc::new(AtomicBool::new(false));
        // The first Ctrl-C lets the guards end what was started; a second one does not wait for them.
        signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(SIGINT, Arc::clone(&stop))?;
        signal_hook::flag::register(SIGTERM, Arc::clone(&stop))?;
        let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        Ok(Self {
            root,
            target,
            ci,
            stop,
        })
    }

    pub fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn check_stop(&self) -> Result<()> {
        if self.stop_requested() {
            bail!("stopped by a signal");
        }
        Ok(())
    }

    /// The server's release binary, where `cargo build --release` puts it.
    pub fn server_binary(&self) -> PathBuf {
        self.release_binary("cloudfreedom")
    }

    pub fn release_binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// A file for the output of a background service; kept after the run, so that a failure can be read.
    pub fn log_file(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask-logs");
        std::fs::create_dir_all(&folder)?;
        Ok(folder.join(format!("{name}.log")))
    }
}
