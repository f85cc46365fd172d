//! Chaos: 500 calls at once on small budgets, plain and streamed mixed, and the
//! server killed in the middle of them, again and again on the same data.
//!
//! What must hold after each restart:
//! - every reply that a client had in full is booked, once, as the call that the
//!   provider answered with it;
//! - the provider's own count is the witness: an `ok` row stands for one call that
//!   it answered to the end, no two rows for the same one, and there are no fewer
//!   rows than calls that it was sent;
//! - posted plus pending is within the limit of every key, user and tenant;
//! - no reservation is left of a process that is gone;
//! - a budget change that was sent until it was answered has happened once.
//!
//! `CHAOS_ROUNDS` and `CHAOS_SEED` set how long and which; the seed decides what is
//! done when, the machine's timing does the rest. `cargo xtask chaos` runs a
//! thousand rounds.

pub mod books;
pub mod load;
pub mod provider;
pub mod world;

use std::path::Path;
use std::time::{Duration, Instant};

use cf_base::Random;
use cf_db::Location;
use cf_testkit::{NumberedUpstream, TestDb};

use crate::process::Server;
use books::Witness;
use load::Tally;
use world::World;

/// Rounds of a plain `cargo test`.
const ROUNDS: u64 = 8;
/// On PostgreSQL one round for so many on SQLite.
const FEWER: u64 = 8;
/// `ledger verify` so often, spread over the rounds, and at the end.
const VERIFIED: u64 = 20;
/// Longest time from the start of the load to the kill.
const LONGEST_MS: u64 = 700;
/// Longest time that a server which is killed while starting may live.
const STARTING_MS: u64 = 450;
/// On PostgreSQL a dead process is known as such after half a minute.
const EXPIRY: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_the_books_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("data.db"));
    chaos(folder.path(), &location, rounds()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_the_books_are_right_on_postgresql() {
    let Some(test_db) = TestDb::postgres().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let rounds = rounds().div_ceil(FEWER);
    chaos(folder.path(), &test_db.location, rounds.max(3)).await;
}

fn rounds() -> u64 {
    number("CHAOS_ROUNDS").unwrap_or(ROUNDS)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    /// Killed, started, and killed again while it puts things in order.
    KillTwice,
    Term,
}

async fn chaos(data_dir: &Path, location: &Location, rounds: u64) {
    let seed = number("CHAOS_SEED").unwrap_or_else(|| Random::system().below(u64::from(u32::MAX)));
    eprintln!("chaos: {rounds} rounds, CHAOS_SEED={seed}, {location:?}");
    let random = Random::seeded(seed);
    let provider = NumberedUpstream::start(provider::reply).await;
    let mut witness = Witness::new(location, provider.count());
    let mut world: Option<World> = None;
    let mut tally = Tally::default();
    let mut ends = [0u64; 3];
    let every = (rounds / VERIFIED).max(1);
    // On PostgreSQL what dead processes have reserved stays so for half a minute.
    let budgets = match location {
        Location::Sqlite(_) => 1,
        Location::Postgres(_) => 10,
    };
    let started = Instant::now();
    for round in 0..rounds {
        let context = format!("round {round} of CHAOS_SEED={seed}");
        let server = Server::start(data_dir, location, &["--demo"]);
        let world = match &mut world {
            Some(world) => world,
            None => world
                .insert(World::set_up(&server.url, data_dir, provider.base_url(), budgets).await),
        };
        witness.look(&context).await;
        if round % every == 0 {
            witness.verify(data_dir, &context).await;
        }
        world.prepare(&server.url, location, &random).await;
        let url = server.url.clone();
        let moment = Duration::from_millis(10 + random.below(LONGEST_MS));
        let end = match random.below(100) {
            0..15 => End::Term,
            15..35 => End::KillTwice,
            _ => End::Kill,
        };
        // The last round comes to its end, so that also a short run on a busy machine has answers.
        let last = round + 1 == rounds;
        let (end, moment) = match last {
            true => (End::Term, Duration::from_secs(2)),
            false => (end, moment),
        };
        ends[end as usize] += 1;
        let load = world.load(&url, &random, round);
        let (outcomes, ()) = futures_util::future::join(load, finish(server, moment, end)).await;
        tally.add(&outcomes);
        witness.expect(outcomes, &context);
        if end == End::Term {
            witness.nothing_open(&context).await;
        }
        if end == End::KillTwice {
            for _ in 0..=random.below(2) {
                let mut starting = Server::spawn(data_dir, location, &["--demo"]);
                tokio::time::sleep(Duration::from_millis(random.below(STARTING_MS))).await;
                starting.kill().unwrap();
                starting.wait().unwrap();
            }
        }
    }
    let context = format!("after the last round of CHAOS_SEED={seed}");
    let server = Server::start(data_dir, location, &["--demo"]);
    witness.wait_for_expiry(EXPIRY, &context).await;
    witness.look(&context).await;
    witness.verify(data_dir, &context).await;
    if let Some(world) = &mut world {
        world.prepare(&server.url, location, &random).await;
        world.limits_add_up(location, &context).await;
    }
    eprintln!(
        "chaos: {rounds} rounds in {:.0} s: {} killed, {} killed again while starting, {} ended by \
         SIGTERM; {tally}; the provider was sent {} calls and answered {} to the end; {} rows; \
         ledger verify was clean {} times",
        started.elapsed().as_secs_f64(),
        ends[End::Kill as usize],
        ends[End::KillTwice as usize],
        ends[End::Term as usize],
        provider.count().asked(),
        provider.count().answered(),
        witness.rows(),
        witness.verified(),
    );
    // A run in which nothing was answered or refused would have shown nothing.
    assert!(tally.full > rounds, "{tally} {context}");
    assert!(tally.refused > 0 || rounds < ROUNDS, "{tally} {context}");
}

async fn finish(mut server: Server, moment: Duration, end: End) {
    tokio::time::sleep(moment).await;
    match end {
        End::Kill | End::KillTwice => server.kill(),
        End::Term => assert_eq!(server.stopped().await, Some(0), "after SIGTERM"),
    }
}
