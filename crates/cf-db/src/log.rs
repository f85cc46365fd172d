//! Syncing SQLite's write-ahead log, and what happens when that fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{DbError, Result};

/// The write-ahead log's file, for syncing it. SQLite keeps its locks on other
/// files, and the log stays the same file while a connection is open.
pub struct Log {
    path: PathBuf,
    file: OnceLock<File>,
}

impl Log {
    /// The log of the database at `path`.
    pub fn of(path: &Path) -> Self {
        let mut log = path.to_owned().into_os_string();
        log.push("-wal");
        Self {
            path: log.into(),
            file: OnceLock::new(),
        }
    }

    /// Waits until every commit so far is on the disk. Ends the process if the
    /// disk refuses: what it may have lost cannot be told from what it has.
    pub fn sync(&self) -> Result<()> {
        let file = match self.file.get() {
            Some(file) => file,
            // Nothing was synced, so nothing is lost: this may be tried again. An
            // error that the kernel met meanwhile is told to who opens the file next.
            None => {
                let opened = File::open(&self.path).map_err(|error| {
                    DbError::Unavailable(format!("the log cannot be opened to sync it: {error}"))
                })?;
                self.file.get_or_init(|| opened)
            }
        };
        if let Err(error) = file.sync_data() {
            end_process(&error.to_string());
        }
        Ok(())
    }
}

/// After a failed sync Linux may forget the pages it could not write and call the
/// next sync a success. Whoever tried again would tell clients that calls are in
/// the books which no restart would find there. So nobody is told anything any
/// more: the next start reads the log as the disk has it, which is what was told
/// before, and closes what was open by rule.
pub fn end_process(error: &str) -> ! {
    tracing::error!(
        error,
        "the disk did not keep the write-ahead log (sync failed), so the process ends: what the disk \
         has is read again at the next start; check the disk and its space first"
    );
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CHILD: &str = "CF_DB_TEST_FAILING_SYNC";

    /// A device that takes everything and cannot sync: `fdatasync` fails on it.
    fn failing() -> Log {
        let log = Log::of(Path::new("/nowhere"));
        log.file
            .set(File::open("/dev/null").unwrap())
            .expect("a fresh log has no file");
        log
    }

    #[test]
    fn a_failed_sync_ends_the_process_and_says_why() {
        if std::env::var_os(CHILD).is_some() {
            let _kept = tracing::subscriber::set_default(tracing_subscriber::fmt().finish());
            let told = failing().sync();
            println!("told {told:?}");
            return;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "log::tests::a_failed_sync_ends_the_process_and_says_why",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the process ends"), "{said}");
        assert!(said.contains("check the disk"), "{said}");
        assert!(!said.contains("told "), "{said}");
    }

    #[test]
    fn a_log_that_cannot_be_opened_may_be_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.db");
        let log = Log::of(&path);
        assert!(matches!(log.sync(), Err(DbError::Unavailable(_))));
        std::fs::write(folder.path().join("data.db-wal"), "x").unwrap();
        assert!(log.sync().is_ok());
    }
}
