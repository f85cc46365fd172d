//! How deployments and provider keys fare: who is left alone for a while, who is
//! tried again, who is busy and who is quick. In memory and of this process; no
//! lock is held for longer than a few instructions.
//!
//! - A provider at its limit is left alone for as long as it asks; where it does
//!   not say, for 5 seconds, doubling up to a minute.
//! - One that fails is left alone from the third failure in a row on, for a second
//!   that doubles up to a minute, or at once where it says for how long.
//! - One that refuses credentials, access or a model is left alone for a minute,
//!   doubling up to an hour.
//!
//! After that it is half open: one call is let through, the others go elsewhere as
//! long as that one is under way. Success opens it, failure leaves it alone for
//! longer. What was under way before it was left alone changes nothing any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use cf_base::Timestamp;
use parking_lot::Mutex;

/// The longest that a provider's word is kept without trying.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);
/// The shortest: some say 0.
const SHORTEST_ASKED: Duration = Duration::from_millis(500);
/// Failures in a row that are borne.
const BORNE: u32 = 2;
/// How long others wait while one call tries.
const TRYING: Duration = Duration::from_secs(1);
/// How long a measured time is believed.
const FRESH_MS: i64 = 60_000;

/// What went wrong with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The provider is at its limit, and may have said for how long.
    Limited(Option<Duration>),
    /// It failed or could not be reached.
    Failed(Option<Duration>),
    /// It refuses us, and that will not change by itself.
    Refused,
}

/// How something fares.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
    running: AtomicU32,
    streamed: Pace,
    plain: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Calls go there; failures in a row so far.
    Open { failures: u32 },
    /// It is left alone until then.
    Cold { until: Timestamp, row: Row },
    /// One call tries.
    Trying(Row),
}

/// Failures in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    failures: u32,
    /// Whether the last of them was a refusal of us.
    refused: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::Open { failures: 0 }
    }
}

impl State {
    fn row(&self) -> Row {
        match *self {
            Self::Cold { row, .. } | Self::Trying(row) => row,
            Self::Open { failures } => Row {
                failures,
                refused: false,
            },
        }
    }
}

/// A moving average of the time to the first byte.
#[derive(Debug, Default)]
struct Pace {
    micros: AtomicU64,
    measured_at: AtomicI64,
}

/// A call that was let through; tells how it went, and counts as running until
/// it is dropped.
#[derive(Debug)]
pub struct Trial {
    health: Arc<Health>,
    /// Whether it is the one call that tries.
    tries: bool,
}

impl Health {
    /// One of which is known that it was refused before.
    pub fn refused_before(now: Timestamp) -> Self {
        Self {
            state: Mutex::new(State::Cold {
                until: now,
                row: Row {
                    failures: 1,
                    refused: true,
                },
            }),
            ..Self::default()
        }
    }

    /// How long it is left alone yet; none: calls go there, or one may try.
    #[cfg(test)]
    fn rest(&self, now: Timestamp) -> Option<Duration> {
        match *self.state.lock() {
            State::Open { .. } => None,
            State::Cold { until, .. } => left(until, now),
            State::Trying(_) => Some(TRYING),
        }
    }

    /// Lets a call through, or says how long it is left alone yet.
    pub fn enter(self: &Arc<Self>, now: Timestamp) -> Result<Trial, Duration> {
        let mut state = self.state.lock();
        let tries = match *state {
            State::Open { .. } => false,
            State::Trying(_) => return Err(TRYING),
            State::Cold { until, row } => {
                if let Some(rest) = left(until, now) {
                    return Err(rest);
                }
                *state = State::Trying(row);
                true
            }
        };
        drop(state);
        Ok(self.trial(tries))
    }

    /// Lets a call through that has nowhere else to go.
    pub fn enter_anyway(self: &Arc<Self>) -> Trial {
        let mut state = self.state.lock();
        let tries = match *state {
            State::Cold { row, .. } => {
                *state = State::Trying(row);
                true
            }
            State::Open { .. } | State::Trying(_) => false,
        };
        drop(state);
        self.trial(tries)
    }

    fn trial(self: &Arc<Self>, tries: bool) -> Trial {
        self.running.fetch_add(1, Ordering::Relaxed);
        Trial {
            health: Arc::clone(self),
            tries,
        }
    }

    /// Calls that are under way.
    pub fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// How long the first byte takes, in microseconds; 0 where that is not known,
    /// or was measured too long ago while nobody is trying it.
    pub fn latency(&self, stream: bool, now: Timestamp) -> u64 {
        let pace = if stream { &self.streamed } else { &self.plain };
        let age = now.as_millis() - pace.measured_at.load(Ordering::Relaxed);
        if age > FRESH_MS && self.running() == 0 {
            return 0;
        }
        pace.micros.load(Ordering::Relaxed)
    }
}

impl Trial {
    /// The answer began after so long, which opens what was left alone; only its
    /// end shows that all is well. Whether that ended a refusal.
    pub fn answered(&mut self, stream: bool, took: Duration, now: Timestamp) -> bool {
        let health = &self.health;
        let pace = if stream {
            &health.streamed
        } else {
            &health.plain
        };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        // Two at once may lose one of the two: it is an average.
        let average = match pace.micros.load(Ordering::Relaxed) {
            0 => micros,
            known => known - known / 8 + micros / 8,
        };
        pace.micros.store(average.max(1), Ordering::Relaxed);
        pace.measured_at.store(now.as_millis(), Ordering::Relaxed);
        if !std::mem::take(&mut self.tries) {
            return false;
        }
        let mut state = self.health.state.lock();
        let row = state.row();
        *state = State::Open {
            failures: row.failures,
        };
        row.refused
    }

    /// All is well. Whether that ended a refusal.
    pub fn works(&mut self) -> bool {
        let mut state = self.health.state.lock();
        let tried = std::mem::take(&mut self.tries);
        let refused = tried && state.row().refused;
        if tried || matches!(*state, State::Open { .. }) {
            *state = State::Open { failures: 0 };
        }
        refused
    }

    /// It went wrong.
    pub fn failed(&mut self, fault: Fault, now: Timestamp) {
        let mut state = self.health.state.lock();
        let tried = std::mem::take(&mut self.tries);
        match *state {
            State::Open { .. } => {}
            State::Trying(_) if tried => {}
            // What was sent before says nothing new, but for a longer wait.
            State::Trying(_) => return,
            State::Cold { until, row } => {
                if let Fault::Limited(Some(wait)) = fault {
                    let until = until.max(now.after(bounded(wait)));
                    *state = State::Cold { until, row };
                }
                return;
            }
        }
        let failures = state.row().failures.saturating_add(1);
        *state = match cool_down(fault, failures, tried) {
            Some(wait) => State::Cold {
                until: now.after(wait),
                row: Row {
                    failures,
                    refused: fault == Fault::Refused,
                },
            },
            None => State::Open { failures },
        };
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.health.running.fetch_sub(1, Ordering::Relaxed);
        if self.tries {
            // Nobody knows how it went: the next one may try.
            let mut state = self.health.state.lock();
            if let State::Trying(row) = *state {
                *state = State::Cold {
                    until: Timestamp::from_millis(0),
                    row,
                };
            }
        }
    }
}

/// How long to leave alone what has failed so many times in a row.
fn cool_down(fault: Fault, failures: u32, tried: bool) -> Option<Duration> {
    match fault {
        Fault::Limited(Some(wait)) | Fault::Failed(Some(wait)) => Some(bounded(wait)),
        Fault::Limited(None) => Some(doubled(5, failures, 60)),
        Fault::Failed(None) if failures <= BORNE && !tried => None,
        Fault::Failed(None) => Some(doubled(1, failures.saturating_sub(BORNE).max(1), 60)),
        Fault::Refused => Some(doubled(60, failures, 3_600)),
    }
}

fn bounded(wait: Duration) -> Duration {
    wait.clamp(SHORTEST_ASKED, LONGEST_ASKED)
}

fn doubled(first: u64, times: u32, most: u64) -> Duration {
    let factor = 1_u64 << times.saturating_sub(1).min(16);
    Duration::from_secs(first.saturating_mul(factor).min(most))
}

fn left(until: Timestamp, now: Timestamp) -> Option<Duration> {
    let ms = u64::try_from(until.millis_since(now)).ok()?;
    (ms > 0).then(|| Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use cf_base::Clock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> (Clock, Arc<Health>) {
        let clock = Clock::mock(Timestamp::from_millis(1_000_000));
        (clock, Arc::default())
    }

    fn fail(health: &Arc<Health>, fault: Fault, now: Timestamp) {
        let mut trial = health.enter(now).expect("it is let through");
        trial.failed(fault, now);
    }

    #[test]
    fn a_provider_at_its_limit_is_left_alone_for_as_long_as_it_asks() {
        let (clock, health) = start();
        for (asked, kept) in [
            (20 * SECOND, 20 * SECOND),
            (Duration::ZERO, SHORTEST_ASKED),
            (24 * 3_600 * SECOND, 3_600 * SECOND),
        ] {
            fail(&health, Fault::Limited(Some(asked)), clock.now());
            assert_eq!(health.rest(clock.now()), Some(kept));
            assert_eq!(health.enter(clock.now()).err(), Some(kept));
            clock.advance(kept - Duration::from_millis(1));
            assert!(health.enter(clock.now()).is_err());
            clock.advance(Duration::from_millis(1));
            assert_eq!(health.rest(clock.now()), None);
        }
    }

    #[test]
    fn one_call_tries_while_the_others_go_elsewhere() {
        let (clock, health) = start();
        fail(&health, Fault::Limited(Some(SECOND)), clock.now());
        clock.advance(SECOND);
        let mut trial = health.enter(clock.now()).expect("it tries");
        assert_eq!(health.enter(clock.now()).err(), Some(TRYING));
        assert!(!trial.answered(true, SECOND, clock.now()), "no refusal");
        assert!(health.enter(clock.now()).is_ok());
    }

    #[test]
    fn one_that_tries_and_is_given_up_leaves_the_place_to_the_next() {
        let (clock, health) = start();
        fail(&health, Fault::Refused, clock.now());
        clock.advance(60 * SECOND);
        drop(health.enter(clock.now()).expect("it tries"));
        let mut next = health.enter(clock.now()).expect("so may the next");
        next.failed(Fault::Refused, clock.now());
        assert_eq!(health.rest(clock.now()), Some(120 * SECOND));
    }

    #[test]
    fn failures_are_borne_twice_and_then_wait_longer_and_longer() {
        let (clock, health) = start();
        for _ in 0..BORNE {
            fail(&health, Fault::Failed(None), clock.now());
            assert_eq!(health.rest(clock.now()), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            fail(&health, Fault::Failed(None), clock.now());
            assert_eq!(health.rest(clock.now()), Some(seconds * SECOND));
            clock.advance(seconds * SECOND);
        }
        // Success forgets all of it.
        let mut trial = health.enter(clock.now()).expect("it tries");
        trial.works();
        fail(&health, Fault::Failed(None), clock.now());
        assert_eq!(health.rest(clock.now()), None);
    }

    #[test]
    fn a_success_in_between_keeps_it_open() {
        let (clock, health) = start();
        for _ in 0..10 {
            fail(&health, Fault::Failed(None), clock.now());
            let mut trial = health.enter(clock.now()).expect("it is open");
            trial.answered(false, SECOND, clock.now());
            trial.works();
        }
        assert_eq!(health.rest(clock.now()), None);
    }

    #[test]
    fn answers_that_begin_and_break_off_are_failures_too() {
        let (clock, health) = start();
        for _ in 0..=BORNE {
            let mut trial = health.enter(clock.now()).expect("it is open");
            trial.answered(true, SECOND, clock.now());
            trial.failed(Fault::Failed(None), clock.now());
        }
        assert_eq!(health.rest(clock.now()), Some(SECOND));
    }

    #[test]
    fn what_was_under_way_before_changes_nothing_but_a_longer_wait() {
        let (clock, health) = start();
        let mut early: Vec<Trial> = (0..3)
            .map(|_| health.enter(clock.now()).expect("it is open"))
            .collect();
        assert_eq!(health.running(), 3);
        fail(&health, Fault::Limited(Some(5 * SECOND)), clock.now());
        assert!(!early[0].answered(true, SECOND, clock.now()));
        early[1].failed(Fault::Failed(None), clock.now());
        assert_eq!(health.rest(clock.now()), Some(5 * SECOND));
        early[2].failed(Fault::Limited(Some(9 * SECOND)), clock.now());
        assert_eq!(health.rest(clock.now()), Some(9 * SECOND));
        drop(early);
        assert_eq!(health.running(), 0);
    }

    #[test]
    fn whoever_has_nowhere_else_to_go_is_let_through() {
        let (clock, health) = start();
        fail(&health, Fault::Limited(Some(SECOND)), clock.now());
        let mut trial = health.enter_anyway();
        assert_eq!(health.rest(clock.now()), Some(TRYING));
        assert!(!trial.works());
        assert_eq!(health.rest(clock.now()), None);
    }

    #[test]
    fn what_was_refused_before_the_start_is_tried_by_one_call() {
        let clock = Clock::mock(Timestamp::from_millis(5));
        let health = Arc::new(Health::refused_before(clock.now()));
        let mut trial = health.enter(clock.now()).expect("it tries");
        assert!(health.enter(clock.now()).is_err());
        assert!(trial.answered(true, SECOND, clock.now()), "that ended it");
        assert!(!trial.works(), "once only");
    }

    #[test]
    fn latency_is_an_average_that_grows_old() {
        let (clock, health) = start();
        assert_eq!(health.latency(true, clock.now()), 0);
        let measure = |ms| {
            let mut trial = health.enter(clock.now()).expect("it is open");
            trial.answered(true, Duration::from_millis(ms), clock.now());
        };
        measure(800);
        assert_eq!(health.latency(true, clock.now()), 800_000);
        measure(1_600);
        assert_eq!(health.latency(true, clock.now()), 900_000);
        assert_eq!(health.latency(false, clock.now()), 0, "not of plain calls");
        clock.advance(61 * SECOND);
        assert_eq!(
            health.latency(true, clock.now()),
            0,
            "it is to be tried again"
        );
        let _running = health.enter(clock.now()).expect("it is open");
        assert_eq!(
            health.latency(true, clock.now()),
            900_000,
            "by one at a time"
        );
    }
}
