//! Requests and tokens a minute, and requests at the same time: by key, user,
//! tenant and model, in this process. All limits of a call are looked at and
//! taken in one step, so that a call refused by one does not count at another.
//!
//! Tokens are taken by estimate when a call comes in, and put right when it has
//! ended: a call that used more than was thought leaves a debt that the next ones
//! wait for, a call that failed gives everything back.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cf_base::{Caller, Clock, Error, Id, Kind, Limits, Result};
use parking_lot::Mutex;

/// A minute, in milliseconds.
const MINUTE: i64 = 60_000;
/// Counters kept before idle ones are dropped.
const COUNTERS: usize = 100_000;

/// Counts calls.
pub struct Limiter {
    clock: Clock,
    counters: Arc<Mutex<Counters>>,
}

#[derive(Default)]
struct Counters {
    of: HashMap<Id, Counter>,
    swept_at: i64,
}

/// A bucket that fills evenly within a minute. One piece is [`MINUTE`] units, and
/// a millisecond brings as many units as pieces are allowed a minute: whole
/// numbers, so that nothing is lost however often somebody calls.
#[derive(Clone, Copy, Default)]
struct Bucket {
    units: i64,
}

#[derive(Clone, Copy)]
struct Counter {
    requests: Bucket,
    tokens: Bucket,
    limits: Limits,
    refilled_at: i64,
    running: u32,
}

/// Who or what has a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Key,
    User,
    Tenant,
    Model,
}

/// The limits of one owner.
#[derive(Clone, Copy)]
struct Scope {
    owner: Owner,
    id: Id,
    limits: Limits,
}

/// A model's own limits.
#[derive(Clone, Copy)]
pub struct ModelLimits {
    /// The model record.
    pub id: Id,
    pub limits: Limits,
}

/// How a limit a minute stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    pub limit: u32,
    pub remaining: u32,
    /// Until all of it is there again.
    pub reset: Duration,
}

/// How the tightest limits of a call stand; none where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standings {
    pub requests: Option<Standing>,
    pub tokens: Option<Standing>,
}

impl Standings {
    /// The headers that OpenAI's clients read.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        const REQUESTS: [&str; 3] = [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ];
        const TOKENS: [&str; 3] = [
            "x-ratelimit-limit-tokens",
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
        ];
        [(REQUESTS, self.requests), (TOKENS, self.tokens)]
            .into_iter()
            .filter_map(|(names, standing)| Some((names, standing?)))
            .flat_map(|([limit, remaining, reset], standing)| {
                [
                    (limit, standing.limit.to_string()),
                    (remaining, standing.remaining.to_string()),
                    (reset, spelled(standing.reset)),
                ]
            })
    }
}

/// Beneath an error: the limits of ours that are reached.
#[derive(Debug, thiserror::Error)]
#[error("a rate limit is reached")]
pub struct Reached {
    standings: Standings,
}

impl Reached {
    /// The headers that tell how the limits stand.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.standings.headers()
    }
}

/// A call that was let in; dropped, it no longer counts as running, and the
/// tokens that it did not use are given back.
pub struct Admission {
    clock: Clock,
    counters: Arc<Mutex<Counters>>,
    scopes: Vec<Scope>,
    /// Tokens taken by estimate.
    estimate: u64,
    used: u64,
    pub standings: Standings,
}

impl Limiter {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            counters: Arc::default(),
        }
    }

    /// Lets a call in that will use about so many tokens, or says when to come back.
    pub fn admit(
        &self,
        caller: &Caller,
        model: Option<ModelLimits>,
        tokens: u64,
    ) -> Result<Admission> {
        self.take(scopes(caller, model), tokens)
    }

    /// Refuses what would be refused anyhow, however small the call, and counts nothing:
    /// before work that a caller beyond its limits shall not cause.
    pub fn look(&self, caller: &Caller) -> Result<()> {
        let scopes = scopes(caller, None);
        if scopes.is_empty() {
            return Ok(());
        }
        self.counters
            .lock()
            .check(&scopes, 0, self.clock.now().as_millis())
    }

    /// Lets a call of a caller who was let in on to another model.
    pub fn admit_to(&self, model: ModelLimits, tokens: u64) -> Result<Admission> {
        let scope = Scope {
            owner: Owner::Model,
            id: model.id,
            limits: model.limits,
        };
        let scopes = (!model.limits.is_none()).then_some(scope);
        self.take(scopes.into_iter().collect(), tokens)
    }

    fn take(&self, scopes: Vec<Scope>, tokens: u64) -> Result<Admission> {
        let mut admission = Admission {
            clock: self.clock.clone(),
            counters: Arc::clone(&self.counters),
            scopes: Vec::new(),
            estimate: tokens,
            used: 0,
            standings: Standings::default(),
        };
        if scopes.is_empty() {
            return Ok(admission);
        }
        let now = self.clock.now().as_millis();
        let mut counters = self.counters.lock();
        counters.sweep(now);
        counters.check(&scopes, tokens, now)?;
        for scope in &scopes {
            let counter = counters.of(scope, now);
            counter.requests.take(1);
            counter.tokens.take(tokens);
            counter.running = counter.running.saturating_add(1);
        }
        admission.standings = counters.standings(&scopes);
        drop(counters);
        admission.scopes = scopes;
        Ok(admission)
    }
}

/// Whose limits hold for a call.
fn scopes(caller: &Caller, model: Option<ModelLimits>) -> Vec<Scope> {
    let mut scopes = Vec::new();
    let mut add = |owner, id, limits: Limits| {
        if !limits.is_none() {
            scopes.push(Scope { owner, id, limits });
        }
    };
    if let Some(key) = caller.key_id {
        add(Owner::Key, key.0, caller.key_limits);
    }
    add(Owner::User, caller.user_id.0, caller.limits);
    add(Owner::Tenant, caller.tenant_id.0, caller.tenant_limits);
    if let Some(model) = model {
        add(Owner::Model, model.id, model.limits);
    }
    scopes
}

impl Admission {
    /// How many tokens the call used in the end.
    pub fn used(&mut self, tokens: u64) {
        self.used = tokens;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.scopes.is_empty() {
            return;
        }
        let now = self.clock.now().as_millis();
        let mut counters = self.counters.lock();
        for scope in &self.scopes {
            let Some(counter) = counters.of.get_mut(&scope.id) else {
                continue;
            };
            // Fills it first: what is given back must not be lost at the brim. The
            // limits may have changed since the call was let in.
            counter.refill(counter.limits, now);
            counter.running = counter.running.saturating_sub(1);
            let full = counter.limits.tokens_per_minute;
            counter.tokens.correct(self.estimate, self.used, full);
        }
    }
}

impl Counters {
    /// The counter of an owner as it stands now.
    fn of(&mut self, scope: &Scope, now: i64) -> &mut Counter {
        let counter = self.of.entry(scope.id).or_insert_with(|| Counter {
            requests: Bucket::full(scope.limits.requests_per_minute),
            tokens: Bucket::full(scope.limits.tokens_per_minute),
            limits: scope.limits,
            refilled_at: now,
            running: 0,
        });
        counter.refill(scope.limits, now);
        counter
    }

    /// Refuses a call that one of these limits has no room for.
    fn check(&mut self, scopes: &[Scope], tokens: u64, now: i64) -> Result<()> {
        for scope in scopes {
            if let Some((wait, what)) = self.of(scope, now).refuses(tokens) {
                let standings = self.standings(scopes);
                return Err(limited(wait, scope, what, standings));
            }
        }
        Ok(())
    }

    fn standings(&self, scopes: &[Scope]) -> Standings {
        let mut tightest = Standings::default();
        for counter in scopes.iter().filter_map(|scope| self.of.get(&scope.id)) {
            let limits = counter.limits;
            for (known, bucket, limit) in [
                (
                    &mut tightest.requests,
                    counter.requests,
                    limits.requests_per_minute,
                ),
                (
                    &mut tightest.tokens,
                    counter.tokens,
                    limits.tokens_per_minute,
                ),
            ] {
                let Some(standing) = bucket.standing(limit) else {
                    continue;
                };
                if known.is_none_or(|k| standing.remaining < k.remaining) {
                    *known = Some(standing);
                }
            }
        }
        tightest
    }

    /// Forgets idle counters, which are full, where there are very many; at most
    /// once a second, since all of them are looked at.
    fn sweep(&mut self, now: i64) {
        if self.of.len() < COUNTERS || now - self.swept_at < 1_000 {
            return;
        }
        self.swept_at = now;
        // A debt is a minute's tokens at most, and so two minutes make it good.
        self.of
            .retain(|_, c| c.running > 0 || now - c.refilled_at < 2 * MINUTE);
    }
}

impl Counter {
    fn refill(&mut self, limits: Limits, now: i64) {
        let passed = (now - self.refilled_at).max(0);
        self.refilled_at = now;
        let was = std::mem::replace(&mut self.limits, limits);
        let (before, after) = (was.requests_per_minute, limits.requests_per_minute);
        self.requests.refill(before, after, passed);
        let (before, after) = (was.tokens_per_minute, limits.tokens_per_minute);
        self.tokens.refill(before, after, passed);
    }

    /// How long a call has to wait, and for which limit.
    fn refuses(&self, tokens: u64) -> Option<(Duration, What)> {
        let limits = self.limits;
        if limits.parallel_requests > 0 && self.running >= limits.parallel_requests {
            let what = What::Parallel(limits.parallel_requests);
            return Some((Duration::from_secs(1), what));
        }
        if let Some(wait) = self.requests.wait(1, limits.requests_per_minute) {
            return Some((wait, What::Requests(limits.requests_per_minute)));
        }
        let wait = self.tokens.wait(tokens, limits.tokens_per_minute)?;
        Some((wait, What::Tokens(limits.tokens_per_minute)))
    }
}

/// Pieces as units.
fn units(pieces: u64) -> i64 {
    i64::try_from(pieces)
        .unwrap_or(i64::MAX)
        .saturating_mul(MINUTE)
}

impl Bucket {
    fn full(limit: u32) -> Self {
        Self {
            units: units(u64::from(limit)),
        }
    }

    /// `before` was the limit when it was last looked at, `after` is it now.
    fn refill(&mut self, before: u32, after: u32, passed: i64) {
        if after == 0 {
            return;
        }
        if before == 0 {
            // There was nothing to count by.
            *self = Self::full(after);
            return;
        }
        let gained = passed.saturating_mul(i64::from(after));
        let full = Self::full(after).units;
        self.units = self.units.saturating_add(gained).min(full);
    }

    /// How long until so many pieces are there; what is more than all waits for
    /// all. `None`: they are there.
    fn wait(&self, pieces: u64, limit: u32) -> Option<Duration> {
        if limit == 0 {
            return None;
        }
        let wanted = units(pieces.min(u64::from(limit)));
        let missing = wanted.saturating_sub(self.units);
        (missing > 0).then(|| millis(missing, limit))
    }

    fn take(&mut self, pieces: u64) {
        self.units = self.units.saturating_sub(units(pieces));
    }

    /// Puts an estimate right. A debt is a minute at most.
    fn correct(&mut self, estimate: u64, used: u64, limit: u32) {
        let full = Self::full(limit).units;
        let put_right = self.units.saturating_add(units(estimate));
        self.units = put_right.saturating_sub(units(used)).clamp(-full, full);
    }

    fn standing(&self, limit: u32) -> Option<Standing> {
        if limit == 0 {
            return None;
        }
        let missing = Self::full(limit).units.saturating_sub(self.units);
        Some(Standing {
            limit,
            remaining: u32::try_from((self.units / MINUTE).max(0)).unwrap_or(u32::MAX),
            reset: if missing > 0 {
                millis(missing, limit)
            } else {
                Duration::ZERO
            },
        })
    }
}

/// The time in which so many units come.
fn millis(units: i64, limit: u32) -> Duration {
    let per_ms = i64::from(limit.max(1));
    let whole = units.div_euclid(per_ms);
    let ms = whole + i64::from(units.rem_euclid(per_ms) > 0);
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// Which limit is reached.
#[derive(Clone, Copy)]
enum What {
    Requests(u32),
    Tokens(u32),
    Parallel(u32),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "this API key",
            Self::User => "this user's product",
            Self::Tenant => "this tenant, for all of its users together,",
            Self::Model => "this model, for all callers together,",
        })
    }
}

fn limited(wait: Duration, scope: &Scope, what: What, standings: Standings) -> Error {
    let owner = scope.owner;
    let message = match what {
        What::Requests(limit) => {
            format!("Rate limit reached: {owner} allows {limit} requests a minute.")
        }
        What::Tokens(limit) => {
            format!("Rate limit reached: {owner} allows {limit} tokens a minute.")
        }
        What::Parallel(limit) => format!(
            "Rate limit reached: {owner} allows {limit} requests at the same time, and as many are \
             running."
        ),
    };
    Error::new(Kind::RateLimited { retry_after: wait }, message).because(Reached { standings })
}

/// A duration as OpenAI writes it in its headers: `120ms`, `1s`, `1m30s`.
fn spelled(time: Duration) -> String {
    let ms = time.as_millis();
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    // A part of a second counts as one: nobody is told to come too early.
    let seconds = ms.div_ceil(1_000);
    match (seconds / 60, seconds % 60) {
        (0, s) => format!("{s}s"),
        (m, s) => format!("{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use cf_base::{Currency, Keeping, KeyId, ProductId, Random, Role, TenantId, Timestamp, UserId};

    use super::*;

    fn clock() -> Clock {
        Clock::mock(Timestamp::from_millis(0))
    }

    fn caller() -> Caller {
        let random = Random::system();
        Caller {
            user_id: UserId(Id::new(&random)),
            tenant_id: TenantId(Id::new(&random)),
            key_id: Some(KeyId::new(&random)),
            role: Role::User,
            product_id: Some(ProductId(Id::new(&random))),
            product_models: Vec::new(),
            key_models: Vec::new(),
            limits: Limits::default(),
            key_limits: Limits::default(),
            tenant_limits: Limits::default(),
            keeping: Keeping::default(),
            regions: Vec::new(),
            currency: Currency::EUR,
            tenant_currency: Currency::EUR,
        }
    }

    fn requests(requests_per_minute: u32) -> Limits {
        Limits {
            requests_per_minute,
            ..Limits::default()
        }
    }

    fn tokens(tokens_per_minute: u32) -> Limits {
        Limits {
            tokens_per_minute,
            ..Limits::default()
        }
    }

    fn wait(refused: Result<Admission>) -> Duration {
        match refused.map(drop).map_err(|error| error.kind) {
            Err(Kind::RateLimited { retry_after }) => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_every_ten_milliseconds_get_what_the_limit_says() {
        for allowed in [1, 7, 600, 4_999] {
            let clock = clock();
            let limiter = Limiter::new(clock.clone());
            let caller = Caller {
                limits: requests(allowed),
                ..caller()
            };
            // What was saved up is spent first.
            while limiter.admit(&caller, None, 0).is_ok() {}
            let mut admitted = 0;
            for _ in 0..5 * MINUTE / 10 {
                clock.advance(Duration::from_millis(10));
                admitted += u32::from(limiter.admit(&caller, None, 0).is_ok());
            }
            assert_eq!(admitted, 5 * allowed, "{allowed} a minute");
        }
    }

    #[test]
    fn whoever_waits_as_long_as_was_said_gets_in() {
        let clock = clock();
        let limiter = Limiter::new(clock.clone());
        let caller = Caller {
            limits: tokens(700),
            ..caller()
        };
        let mut first = limiter.admit(&caller, None, 700).expect("all of it");
        first.used(700);
        drop(first);
        for wanted in [1, 13, 699] {
            let wait = wait(limiter.admit(&caller, None, wanted));
            clock.advance(wait - Duration::from_millis(1));
            assert!(limiter.admit(&caller, None, wanted).is_err(), "{wanted}");
            clock.advance(Duration::from_millis(1));
            let mut next = limiter.admit(&caller, None, wanted).expect("it is time");
            next.used(wanted);
        }
    }

    #[test]
    fn a_call_that_one_limit_refuses_counts_at_no_other() {
        let limiter = Limiter::new(clock());
        let random = Random::system();
        let model = ModelLimits {
            id: Id::new(&random),
            limits: requests(1),
        };
        let caller = Caller {
            key_limits: requests(10),
            limits: requests(10),
            tenant_limits: requests(10),
            ..caller()
        };
        assert!(limiter.admit(&caller, Some(model), 0).is_ok());
        for _ in 0..20 {
            let refused = limiter.admit(&caller, Some(model), 0);
            let error = refused.err().expect("the model's one is used up");
            assert!(error.message.contains("this model"), "{error}");
        }
        let next = limiter.admit(&caller, None, 0).expect("nine are left");
        let standing = next.standings.requests.expect("there is a limit");
        assert_eq!((standing.limit, standing.remaining), (10, 8));
    }

    #[test]
    fn each_owner_has_its_own_limit_and_the_tightest_is_told() {
        let limiter = Limiter::new(clock());
        let one = Caller {
            key_limits: requests(5),
            limits: requests(4),
            tenant_limits: requests(3),
            ..caller()
        };
        // Another user of the same tenant.
        let other = Caller {
            user_id: UserId(Id::new(&Random::system())),
            key_id: None,
            ..one.clone()
        };
        for (caller, left) in [(&one, 2), (&other, 1), (&one, 0)] {
            let admission = limiter.admit(caller, None, 0).expect("there is room");
            let told = admission.standings.requests.expect("there is a limit");
            assert_eq!((told.limit, told.remaining), (3, left));
        }
        let error = limiter.admit(&other, None, 0).err().expect("none is left");
        assert!(error.message.contains("this tenant"), "{error}");
        let told = error.source.expect("what was reached");
        let told = told.downcast_ref::<Reached>().expect("the standings");
        let told = told.standings.requests.expect("there is a limit");
        assert_eq!((told.limit, told.remaining), (3, 0));
        assert_eq!(told.reset, Duration::from_secs(60));
    }

    #[test]
    fn tokens_are_estimated_and_then_put_right() {
        let clock = clock();
        let limiter = Limiter::new(clock.clone());
        let caller = Caller {
            limits: tokens(1_000),
            ..caller()
        };
        let left = |admission: &Admission| admission.standings.tokens.expect("a limit").remaining;
        let mut call = limiter.admit(&caller, None, 400).expect("there is room");
        assert_eq!(left(&call), 600);
        assert!(limiter.admit(&caller, None, 601).is_err());
        call.used(100);
        drop(call);
        // One that fails gives all back.
        let failed = limiter.admit(&caller, None, 900).expect("300 came back");
        assert_eq!(left(&failed), 0);
        drop(failed);
        // One that uses more than thought leaves a debt of a minute at most.
        let mut call = limiter.admit(&caller, None, 900).expect("900 came back");
        call.used(1_000_000);
        drop(call);
        let wait = wait(limiter.admit(&caller, None, 1));
        assert_eq!(wait, Duration::from_millis(60_060));
        // More than the limit at once is let in where all of it is there.
        clock.advance(Duration::from_secs(120));
        assert!(limiter.admit(&caller, None, 5_000).is_ok());
    }

    #[test]
    fn running_calls_count_until_they_are_dropped_and_a_new_limit_holds_at_once() {
        let limiter = Limiter::new(clock());
        let parallel = |n| Limits {
            parallel_requests: n,
            ..Limits::default()
        };
        let caller = Caller {
            tenant_limits: parallel(2),
            ..caller()
        };
        let first = limiter.admit(&caller, None, 0).expect("one");
        let second = limiter.admit(&caller, None, 0).expect("two");
        assert!(limiter.admit(&caller, None, 0).is_err());
        let more = Caller {
            tenant_limits: Limits {
                requests_per_minute: 2,
                ..parallel(3)
            },
            ..caller.clone()
        };
        let third = limiter.admit(&more, None, 0).expect("three");
        drop((first, second, third));
        assert!(limiter.admit(&more, None, 0).is_ok());
        assert!(limiter.admit(&more, None, 0).is_err(), "two a minute");
    }

    #[test]
    fn times_are_spelled_as_openai_does() {
        for (ms, told) in [
            (0, "0ms"),
            (120, "120ms"),
            (1_000, "1s"),
            (59_001, "1m0s"),
            (90_000, "1m30s"),
            (360_000, "6m0s"),
        ] {
            assert_eq!(spelled(Duration::from_millis(ms)), told);
        }
    }
}
