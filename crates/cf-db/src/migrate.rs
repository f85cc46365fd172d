//! Migrations: ordered, only forward, each in a transaction, checked by
//! checksum, one process at a time.

use cf_base::{Clock, sha256_hex};

use crate::{Backend, Db, DbError, Result};

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: u32,
    /// What it brings, as in the file's name.
    pub name: &'static str,
    /// The statements for SQLite, and for PostgreSQL where none are given for it.
    /// `{by_key}` after a table stands for `without rowid` on SQLite.
    pub sql: &'static str,
    /// The statements for PostgreSQL, where the dialects must differ.
    pub postgres: Option<&'static str>,
}

/// All migrations of this program, in order.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "records",
        sql: include_str!("../../../migrations/0001_records.sql"),
        postgres: None,
    },
    Migration {
        version: 2,
        name: "ledger",
        sql: include_str!("../../../migrations/0002_ledger.sql"),
        postgres: None,
    },
    Migration {
        version: 3,
        name: "prices",
        sql: include_str!("../../../migrations/0003_prices.sql"),
        postgres: None,
    },
    Migration {
        version: 4,
        name: "messages",
        sql: include_str!("../../../migrations/0004_messages.sql"),
        postgres: None,
    },
    Migration {
        version: 5,
        name: "billing",
        sql: include_str!("../../../migrations/0005_billing.sql"),
        postgres: None,
    },
    Migration {
        version: 6,
        name: "budgets",
        sql: include_str!("../../../migrations/0006_budgets.sql"),
        postgres: None,
    },
    Migration {
        version: 7,
        name: "rollups",
        sql: include_str!("../../../migrations/0007_rollups.sql"),
        postgres: None,
    },
    Migration {
        version: 8,
        name: "responses",
        sql: include_str!("../../../migrations/0008_responses.sql"),
        postgres: None,
    },
    Migration {
        version: 9,
        name: "routing",
        sql: include_str!("../../../migrations/0009_routing.sql"),
        postgres: None,
    },
    Migration {
        version: 10,
        name: "pieces",
        sql: include_str!("../../../migrations/0010_pieces.sql"),
        postgres: None,
    },
    Migration {
        version: 11,
        name: "cache",
        sql: include_str!("../../../migrations/0011_cache.sql"),
        postgres: None,
    },
    Migration {
        version: 12,
        name: "promptlog",
        sql: include_str!("../../../migrations/0012_promptlog.sql"),
        postgres: None,
    },
];

/// Where a database's schema stands against this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Version of the database; 0 if it is empty.
    pub current: u32,
    /// Version this program needs.
    pub target: u32,
}

impl Db {
    /// Brings the schema to this program's version. Refuses a database that a
    /// newer program has migrated, or whose history differs from ours.
    pub async fn migrate(&self, clock: &Clock) -> Result<MigrationState> {
        let mut tx = self.begin().await?;
        if self.is_postgres() {
            // Any constant number; it keeps two starting nodes apart.
            tx.query(
                "select 1 from (select pg_advisory_xact_lock(4702111234474983745)) as l",
                vec![],
            )
            .await?;
        }
        tx.execute(
            "create table if not exists schema_migrations (\
             version bigint primary key, name text not null, checksum text not null, \
             applied_at bigint not null)",
            vec![],
        )
        .await?;
        let applied = tx
            .query(
                "select version, checksum from schema_migrations order by version",
                vec![],
            )
            .await?;
        for row in &applied {
            let version: u32 = row.get("version")?;
            let Some(known) = MIGRATIONS.iter().find(|m| m.version == version) else {
                return Err(DbError::Other(format!(
                    "the database is at schema {version}, this program knows up to {}: \
                     start the newer program, or restore a backup from before its upgrade",
                    target()
                )));
            };
            if row.get::<String>("checksum")? != checksum(known) {
                return Err(DbError::Other(format!(
                    "migration {version} ({}) was applied with other statements than this \
                     program has: the database belongs to another build",
                    known.name
                )));
            }
        }
        let done = applied.len();
        for migration in &MIGRATIONS[done.min(MIGRATIONS.len())..] {
            let sql = match (&self.0, migration.postgres) {
                (Backend::Postgres(_), Some(sql)) => sql,
                _ => migration.sql,
            };
            let by_key = match &self.0 {
                Backend::Sqlite(_) => "without rowid",
                Backend::Postgres(_) => "",
            };
            for statement in statements(&sql.replace("{by_key}", by_key)) {
                tx.execute(&statement, vec![]).await?;
            }
            tx.execute(
                "insert into schema_migrations (version, name, checksum, applied_at) \
                 values ($1, $2, $3, $4)",
                vec![
                    migration.version.into(),
                    migration.name.into(),
                    checksum(migration).into(),
                    clock.now().into(),
                ],
            )
            .await?;
            tracing::info!(
                version = migration.version,
                name = migration.name,
                "migrated"
            );
        }
        tx.commit().await?;
        Ok(MigrationState {
            current: target(),
            target: target(),
        })
    }

    /// Where the schema stands, without changing it.
    pub async fn migration_state(&self) -> Result<MigrationState> {
        let exists = match &self.0 {
            Backend::Sqlite(_) => {
                "select 1 from sqlite_master where type = 'table' and name = 'schema_migrations'"
            }
            Backend::Postgres(_) => {
                "select 1 from pg_tables where tablename = 'schema_migrations' \
                 and schemaname = any (current_schemas(false))"
            }
        };
        let current = if self.query(exists, vec![]).await?.is_empty() {
            0
        } else {
            self.query_opt(
                "select coalesce(max(version), 0) from schema_migrations",
                vec![],
            )
            .await?
            .map_or(Ok(0), |row| row.at(0))?
        };
        Ok(MigrationState {
            current,
            target: target(),
        })
    }
}

fn target() -> u32 {
    MIGRATIONS.last().map_or(0, |m| m.version)
}

fn checksum(migration: &Migration) -> String {
    sha256_hex(migration.sql.as_bytes())
}

/// Splits a file into statements. Comments go; our files hold no `;` or `--`
/// inside quotes.
fn statements(sql: &str) -> Vec<String> {
    let without_comments: String = sql
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    without_comments
        .split(';')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(str::to_owned)
        .collect()
}
