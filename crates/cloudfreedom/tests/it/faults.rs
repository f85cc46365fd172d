//! What the server does when its database fails under load: it refuses calls and
//! says why, works again without a restart, and its books are right.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cf_db::{Db, Location};
use cf_http::HttpClient;
use cf_testkit::NumberedUpstream;
use serde_json::{Value, json};

use crate::chaos::books::Witness;
use crate::chaos::load::Outcome;
use crate::chaos::provider;
use crate::chaos::world::World;
use crate::cluster::Cluster;
use crate::process::{Server, call};

/// Calls of a wave: two of each user.
const WAVE: usize = 20;
/// Until calls are refused, and until they are taken again.
const SECONDS: Duration = Duration::from_secs(20);

/// A server with callers, and a witness of what they had.
struct Shop {
    server: Server,
    world: World,
    witness: Witness,
    data_dir: PathBuf,
    _provider: NumberedUpstream,
}

impl Shop {
    async fn open(server: Server, data_dir: &Path, location: &Location) -> Self {
        let provider = NumberedUpstream::start(provider::reply).await;
        let mut shop = Self {
            world: World::set_up(&server.url, data_dir, provider.base_url(), 10).await,
            witness: Witness::new(location, provider.count()),
            server,
            data_dir: data_dir.to_owned(),
            _provider: provider,
        };
        let (full, refused) = shop.wave(Duration::from_millis(300)).await;
        assert_eq!((full, refused), (WAVE, vec![]), "before the fault");
        assert_eq!(shop.health().await, (200, json!(null)));
        shop
    }

    /// Some calls: how many replies came in full, and what the refused were told.
    async fn wave(&mut self, time: Duration) -> (usize, Vec<String>) {
        let outcomes = self.world.calls(&self.server.url, WAVE, time).await;
        let full = outcomes
            .iter()
            .filter(|o| matches!(o, Outcome::Full { .. }))
            .count();
        let mut told = Vec::new();
        for outcome in &outcomes {
            if let Outcome::Refused { status, sentence } = outcome {
                assert_eq!(*status, 503, "{sentence}");
                told.push(sentence.clone());
            }
        }
        self.witness.expect(outcomes, "a fault");
        (full, told)
    }

    /// The status of /health and the checks that fail.
    async fn health(&self) -> (u16, Value) {
        let url = format!("{}/health", self.server.url);
        let client = HttpClient::new(true);
        let answer = call(&client, "GET", &url, ("x-none", ""), &json!({}))
            .await
            .unwrap();
        (answer.status, answer.json()["failing"].clone())
    }

    /// Waits until calls are refused, each with a sentence, and /health says so.
    async fn refuses(&mut self, failing: &[&str], cause: &str) {
        let start = Instant::now();
        let mut told = Vec::new();
        while told.is_empty() {
            assert!(start.elapsed() < SECONDS, "no call is refused");
            told = self.wave(Duration::from_millis(200)).await.1;
        }
        for sentence in told {
            assert!(
                sentence.starts_with("The books cannot be written now, so the "),
                "{sentence}"
            );
        }
        let (status, found) = self.health().await;
        assert_eq!(status, 503);
        for check in failing {
            assert!(found.as_array().unwrap().contains(&json!(check)), "{found}");
        }
        let log = self.server.said_later();
        assert!(log.contains("calls are refused until it can"), "{log}");
        assert!(log.contains(cause), "\"{cause}\" is not in the log: {log}");
    }

    /// Waits until calls are taken again, and compares the books.
    async fn recovers(mut self) {
        let start = Instant::now();
        while self.wave(Duration::from_millis(200)).await.0 < WAVE {
            assert!(start.elapsed() < SECONDS, "calls are still refused");
        }
        while self.health().await.0 != 200 {
            assert!(start.elapsed() < SECONDS, "/health still fails");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        eprintln!("works again after {:.1} s", start.elapsed().as_secs_f64());
        let context = "after the fault";
        // Without a restart: what was reserved meanwhile is booked or free.
        self.witness.wait_for_expiry(SECONDS, context).await;
        self.witness.look(context).await;
        self.witness.verify(&self.data_dir, context).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_grow_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("data.db"));
    let server = Server::start_limitable(folder.path(), &location, &["--demo"]);
    let id = server.id();
    let set = move |size: &str| {
        let set = Command::new("prlimit")
            .args(["--pid", &id.to_string(), &format!("--fsize={size}:")])
            .status();
        assert!(set.unwrap().success());
    };
    let mut shop = Shop::open(server, folder.path(), &location).await;
    set("1024");
    shop.refuses(&["ledger"], "disk I/O error").await;
    set("unlimited");
    shop.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        eprintln!(
            "SKIPPED: a small disk cannot be mounted without root, so none was filled; the same was \
             tested with a limit of the file size"
        );
        return;
    };
    let location = Location::Sqlite(folder.path().join("data.db"));
    let server = Server::start(folder.path(), &location, &["--demo"]);
    let mut shop = Shop::open(server, folder.path(), &location).await;
    let ballast = disk.fill();
    shop.refuses(&["ledger"], "full").await;
    std::fs::remove_file(ballast).unwrap();
    shop.recovers().await;
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_another_process_has_locked_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("data.db"));
    let server = Server::start(folder.path(), &location, &["--demo"]);
    let mut shop = Shop::open(server, folder.path(), &location).await;
    let other = Db::open(&location).await.unwrap();
    let locked = other.begin().await.unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    shop.refuses(&["ledger"], "locked").await;
    tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
    drop(locked);
    shop.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_no_longer_answers_is_survived() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Postgres(cluster.url());
    let server = Server::start(folder.path(), &location, &["--demo"]);
    let mut shop = Shop::open(server, folder.path(), &location).await;
    cluster.freeze();
    shop.refuses(&["database", "ledger"], "no answer within")
        .await;
    cluster.thaw();
    shop.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_cut_down_and_started_again_is_survived() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Postgres(cluster.url());
    let server = Server::start(folder.path(), &location, &["--demo"]);
    let mut shop = Shop::open(server, folder.path(), &location).await;
    // While calls are under way.
    let url = shop.server.url.clone();
    let load = shop.world.calls(&url, WAVE * 2, Duration::from_millis(300));
    let fault = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        cluster.cut_down();
    };
    let (outcomes, ()) = futures_util::future::join(load, fault).await;
    shop.witness.expect(outcomes, "a fault");
    shop.refuses(&["database", "ledger"], "the database is not available")
        .await;
    cluster.start_again();
    shop.recovers().await;
}

/// A few megabytes at a folder, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(at))
    }

    /// Takes all the space that is left; returns the file that has it.
    fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [1 << 16, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily, as the server may be on its way out.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
