//! The data directory: one server at a time, and the master key.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use cf_base::{MasterKey, Random, Secret};
use cf_db::{Db, Location};

use crate::Config;

/// Held while a server runs on a data directory.
pub struct DataDirLock {
    _file: File,
}

/// Makes the folder where it is missing, readable by its owner only, and checks
/// that it can be written.
pub fn prepare(path: &Path) -> Result<(), String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| format!("the data directory {} cannot be made: {e}", path.display()))?;
    let probe = path.join(".write-test");
    fs::write(&probe, b"")
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|e| {
            format!(
                "the data directory {} cannot be written: {e}; give this user the right to, or name \
                 another with --data-dir",
                path.display()
            )
        })
}

/// Takes the directory for a server; refused while another server has it.
pub fn lock(path: &Path) -> Result<DataDirLock, String> {
    let file = File::create(path.join("server.lock")).map_err(|e| {
        format!(
            "the data directory {} cannot be written: {e}",
            path.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(DataDirLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another server runs on the data directory {}; stop it first, or name another with \
             --data-dir",
            path.display()
        )),
        Err(TryLockError::Error(e)) => Err(format!(
            "the data directory {} cannot be locked: {e}",
            path.display()
        )),
    }
}

/// Opens the database with a sentence for what usually goes wrong.
pub async fn open_database(location: &Location) -> Result<Db, String> {
    if let Location::Sqlite(path) = location {
        // Made by us, for its owner's eyes only; SQLite's other files follow it.
        // Whether it works is for the opening to say.
        let _ = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
    }
    Db::open(location).await.map_err(|error| match location {
        Location::Sqlite(path) => format!("the database {} cannot be opened: {error}", path.display()),
        Location::Postgres(_) => format!(
            "the PostgreSQL server cannot be reached: {error}; check database_url (host, port, user, \
             password, database name)"
        ),
    })
}

/// The master key: from the settings, else from `master.key` in the data
/// directory, made at the first start. With several nodes each needs the same,
/// so on PostgreSQL a key that does not match the database's is refused.
pub async fn master_key(config: &Config, db: &Db, random: &Random) -> Result<MasterKey, String> {
    let path = config.data_dir.join("master.key");
    let key = match &config.master_key {
        Some(text) => MasterKey::parse(text.expose())
            .ok_or("master_key is 64 hexadecimal digits (openssl rand -hex 32)")?,
        None => match fs::read_to_string(&path) {
            Ok(text) => MasterKey::parse(&text)
                .ok_or_else(|| format!("{} does not hold 64 hexadecimal digits", path.display()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = MasterKey::new(random);
                write_key(&path, &key.to_text())
                    .map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
                key
            }
            Err(e) => return Err(format!("{} cannot be read: {e}", path.display())),
        },
    };
    check_fingerprint(db, &key).await?;
    Ok(key)
}

fn write_key(path: &Path, text: &Secret) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Provider keys and API keys can be used with the key they were made with only.
async fn check_fingerprint(db: &Db, key: &MasterKey) -> Result<(), String> {
    const SETTING: &str = "master_key_fingerprint";
    let fingerprint = serde_json::Value::from(key.fingerprint()).to_string();
    let insert = "insert into settings (id, key, value, created, updated) \
                  values ('masterkeyfprint', $1, $2, '', '') on conflict (key) do nothing";
    db.execute(insert, vec![SETTING.into(), (&fingerprint).into()])
        .await
        .map_err(|e| e.to_string())?;
    let stands: Option<String> = db
        .query_opt(
            "select value from settings where key = $1",
            vec![SETTING.into()],
        )
        .await
        .and_then(|row| row.map(|r| r.at(0)).transpose())
        .map_err(|e| e.to_string())?;
    if stands.as_deref() == Some(fingerprint.as_str()) {
        Ok(())
    } else {
        Err(
            "the master key is not the one this database was set up with, so no provider key could be \
             opened and no API key recognised; restore master.key from your backup or set \
             CLOUDFREEDOM_MASTER_KEY"
                .into(),
        )
    }
}
