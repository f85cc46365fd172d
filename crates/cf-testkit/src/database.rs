//! Throwaway databases: a SQLite file in a temporary folder, and a fresh
//! database on the PostgreSQL server that `CLOUDFREEDOM_TEST_POSTGRES` names.

use cf_base::{Clock, Id, Random};
use cf_db::{Db, Location};

/// A migrated database that goes away when dropped.
pub struct TestDb {
    /// The database.
    pub db: Db,
    /// Where it is, for a second connection or a process of its own.
    pub location: Location,
    /// `sqlite` or `postgres`, for messages.
    pub name: &'static str,
    _folder: Option<tempfile::TempDir>,
}

impl TestDb {
    /// A fresh SQLite database.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::open(
            "sqlite",
            Location::Sqlite(folder.path().join("data.db")),
            Some(folder),
        )
        .await
    }

    /// A fresh PostgreSQL database; `None` where no server is named. In CI a
    /// missing server is a failure, elsewhere it is said aloud.
    pub async fn postgres() -> Option<Self> {
        let Ok(server) = std::env::var("CLOUDFREEDOM_TEST_POSTGRES") else {
            assert!(
                std::env::var("CI").is_err(),
                "CLOUDFREEDOM_TEST_POSTGRES is not set: in CI every data test runs on PostgreSQL too"
            );
            eprintln!(
                "SKIPPED on PostgreSQL: CLOUDFREEDOM_TEST_POSTGRES is not set (cargo xtask test sets it)"
            );
            return None;
        };
        let name = format!("cf_{}", Id::new(&Random::system()));
        let admin = Db::open(&Location::Postgres(server.clone()))
            .await
            .expect("the test server answers");
        let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls)
            .await
            .expect("the test server answers");
        #[allow(clippy::disallowed_methods)] // ends with the client, a line below
        let driver = tokio::spawn(connection);
        client
            .batch_execute(&format!("create database {name}"))
            .await
            .expect("the test role may create databases");
        drop((client, admin));
        let _ = driver.await;
        let at = server
            .rfind('/')
            .expect("an address ends with a database name");
        let url = format!("{}/{name}", &server[..at]);
        Some(Self::open("postgres", Location::Postgres(url), None).await)
    }

    async fn open(
        name: &'static str,
        location: Location,
        folder: Option<tempfile::TempDir>,
    ) -> Self {
        let db = Db::open(&location).await.expect("a fresh database opens");
        db.migrate(&Clock::system())
            .await
            .expect("a fresh database migrates");
        Self {
            db,
            location,
            name,
            _folder: folder,
        }
    }
}

/// Both databases, for the tests that every data rule runs on.
pub async fn databases() -> Vec<TestDb> {
    let mut all = vec![TestDb::sqlite().await];
    all.extend(TestDb::postgres().await);
    all
}
