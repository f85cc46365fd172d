//! A ledger and a plain model of it driven side by side, step by step, on a
//! clock that only the driver moves: whatever the order, both must agree on who
//! is admitted and on every balance, and `verify` must find nothing.
//!
//! `CLOUDFREEDOM_SIMULATION_STEPS` (on SQLite; a tenth of it on PostgreSQL) and
//! `CLOUDFREEDOM_SIMULATION_SEED` set how long and from where; the seed is printed.

mod model;
mod world;

use cf_base::Random;
use cf_testkit::TestDb;
use futures_util::StreamExt as _;

use world::World;

/// Steps on one database: the check of the whole ledger grows with it.
const ROUND: u64 = 25_000;
/// Where nothing else is asked for.
const STEPS: u64 = 20_000;
/// In CI: a million with those on PostgreSQL.
const CI_STEPS: u64 = 920_000;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_of_anything_keeps_the_sums() {
    let seed =
        setting("CLOUDFREEDOM_SIMULATION_SEED").unwrap_or_else(|| Random::system().below(1 << 32));
    let steps = setting("CLOUDFREEDOM_SIMULATION_STEPS").unwrap_or(match std::env::var("CI") {
        Ok(_) => CI_STEPS,
        Err(_) => STEPS,
    });
    println!("CLOUDFREEDOM_SIMULATION_SEED={seed} CLOUDFREEDOM_SIMULATION_STEPS={steps}");
    let mut rounds = Vec::new();
    for (postgres, steps) in [(false, steps), (true, steps / 10)] {
        for round in 0..steps.div_ceil(ROUND) {
            let steps = ROUND.min(steps - round * ROUND);
            rounds.push((postgres, seed + round, steps));
        }
    }
    let done = futures_util::stream::iter(rounds)
        .map(|(postgres, seed, steps)| async move {
            let db = match postgres {
                false => Some(TestDb::sqlite().await),
                true => TestDb::postgres().await,
            };
            match db {
                Some(db) => World::run(db, seed, steps).await,
                None => Default::default(),
            }
        })
        .buffer_unordered(3)
        .fold(world::Tally::default(), |sum, tally| async move {
            sum.plus(tally)
        })
        .await;
    println!("{done:?}");
    // A driver that never refuses, crashes or resets would show nothing.
    assert!(
        done.steps >= steps && done.refused > 0 && done.lowered > 0,
        "{done:?}"
    );
    assert!(
        done.crashes > 0 && done.resets > 0 && done.expired > 0,
        "{done:?}"
    );
}
