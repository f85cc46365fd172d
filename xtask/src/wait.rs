//! Waiting with a limit, and saying what was waited for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const POLL: Duration = Duration::from_millis(50);

/// Polls `probe` until it answers; an error from it ends the wait at once.
pub fn until<T>(
    workspace: &Workspace,
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        workspace.check_stop()?;
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}
