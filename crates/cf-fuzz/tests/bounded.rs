//! Every target, called with bytes by chance: a few thousand times or for some seconds,
//! whichever is over first. `FUZZ_SEED=N` does the same again.
#![allow(
    clippy::disallowed_methods,
    reason = "how long it runs is measured by the wall's clock"
)]

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use cf_base::Random;
use cf_fuzz::TARGETS;

/// Calls of a target.
const CASES: usize = 20_000;
/// How long a target is called.
const TIME: Duration = Duration::from_secs(5);
/// Longest input.
const LENGTH: u64 = 600;

fn seed() -> u64 {
    match std::env::var("FUZZ_SEED") {
        Ok(text) => text.parse().expect("FUZZ_SEED is a number"),
        Err(_) => Random::system().below(u64::MAX),
    }
}

#[test]
fn no_bytes_make_a_target_fail() {
    let seed = seed();
    println!("FUZZ_SEED={seed}");
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let random = Random::seeded(seed);
        let begun = Instant::now();
        let mut cases = 0;
        while cases < CASES && begun.elapsed() < TIME {
            let length = usize::try_from(random.below(LENGTH)).expect("short");
            let mut bytes = vec![0; length];
            random.fill(&mut bytes);
            cases += 1;
            if catch_unwind(|| target(&bytes)).is_err() {
                failed.push(format!("{name} at case {cases}, with {}", hex(&bytes)));
                break;
            }
        }
        println!("{name}: {cases} cases in {:?}", begun.elapsed());
    }
    assert!(
        failed.is_empty(),
        "with FUZZ_SEED={seed} fails:\n{}",
        failed.join("\n")
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_target_is_found_by_its_name() {
    cf_fuzz::run("sse", b"data: x\n\n");
    assert!(catch_unwind(|| cf_fuzz::run("nothing", b"")).is_err());
}

#[test]
fn every_target_has_a_file_for_libfuzzer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("the targets")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    let mut names: Vec<String> = TARGETS
        .iter()
        .map(|(name, _)| format!("{name}.rs"))
        .collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
}
