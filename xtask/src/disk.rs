//! What a durable write costs on a disk, so that a measurement's tail can be told from the disk's.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

const BLOCK: [u8; 4096] = [0x5a; 4096];
const LENGTH: Duration = Duration::from_secs(2);

/// One append of 4 KiB that is on the disk when it is over, many times in a row.
pub struct DurableWrite {
    pub count: usize,
    pub p50: Duration,
    pub p99: Duration,
}

impl DurableWrite {
    /// Writes into this folder for two seconds, one write after the other.
    pub fn measure(folder: &Path) -> Result<Self> {
        let path = folder.join("durable-write");
        let mut file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("creating {}", path.display()))?;
        let mut times = Vec::new();
        let start = Instant::now();
        while start.elapsed() < LENGTH {
            let began = Instant::now();
            file.write_all(&BLOCK)?;
            file.sync_data()?;
            times.push(began.elapsed());
        }
        drop(file);
        std::fs::remove_file(&path)?;
        times.sort();
        Ok(Self {
            count: times.len(),
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
        })
    }

    pub fn print(&self) {
        println!(
            "One durable write on this disk (4 KiB appended and synced, {} of them, nothing else running): \
             p50 {:.3} ms, p99 {:.3} ms.\n",
            self.count,
            self.p50.as_secs_f64() * 1e3,
            self.p99.as_secs_f64() * 1e3
        );
    }
}
