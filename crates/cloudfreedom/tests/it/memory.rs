//! A server that has worked for a while needs no more memory than before.

use std::time::Duration;

use cf_db::Location;
use cf_testkit::NumberedUpstream;

use crate::chaos::load::Outcome;
use crate::chaos::provider;
use crate::chaos::world::World;
use crate::process::Server;

/// Calls of a wave, plain and streamed in turn.
const WAVE: usize = 250;
/// Waves until everything is in memory that stays there.
const WARM: usize = 8;
/// Waves that are looked at.
const LOOKED_AT: usize = 16;
/// Kilobytes that may be more afterwards: four for each call.
const MORE: u64 = 16 << 10;

/// Memory of a process in kilobytes.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.unwrap().split_whitespace().nth(1);
    words.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_calls_leave_nothing_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("data.db"));
    let server = Server::start(folder.path(), &location, &["--demo"]);
    let upstream = NumberedUpstream::start(provider::reply).await;
    let world = World::set_up(&server.url, folder.path(), upstream.base_url(), 1_000).await;
    let waves = async |number: usize| {
        for _ in 0..number {
            let outcomes = world
                .calls(&server.url, WAVE, Duration::from_millis(200))
                .await;
            let full = outcomes
                .iter()
                .filter(|outcome| matches!(outcome, Outcome::Full { .. }));
            assert_eq!(full.count(), WAVE, "all are answered");
        }
    };
    waves(WARM).await;
    let before = resident(server.id());
    waves(LOOKED_AT).await;
    let after = resident(server.id());
    let calls = LOOKED_AT * WAVE;
    println!("{before} kB before, {after} kB after {calls} calls more");
    assert!(
        after < before + MORE,
        "{before} kB before, {after} kB after {calls} calls more"
    );
}
