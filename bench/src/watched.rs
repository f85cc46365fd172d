//! What another process takes of the machine, as Linux counts it.

use std::time::Duration;

use anyhow::{Context, Result};

/// `/proc` counts time in these, whatever the kernel's own ticks are.
const TICK: Duration = Duration::from_millis(10);

/// Another process.
pub struct Watched {
    pid: u32,
}

impl Watched {
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// Its resident memory in kB (of 1,024 bytes).
    pub fn resident_kb(&self) -> Result<u64> {
        resident_of(&self.read("status")?).context("no VmRSS")
    }

    /// The processor time that it has used so far.
    pub fn cpu(&self) -> Result<Duration> {
        let ticks = ticks_of(&self.read("stat")?).context("no times")?;
        Ok(TICK * ticks)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.pid);
        std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The name in brackets may hold anything; after it the eleventh and twelfth fields are the times.
fn ticks_of(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_are_found_in_what_the_kernel_says() {
        assert_eq!(
            resident_of("VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\n"),
            Some(1234)
        );
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 4 0 100 0 0";
        assert_eq!(ticks_of(stat), Some(42));
    }

    #[test]
    fn this_process_has_memory() {
        let own = Watched::new(std::process::id());
        assert!(own.resident_kb().expect("memory") > 0);
        assert!(own.cpu().is_ok());
    }
}
