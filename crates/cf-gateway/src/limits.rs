//! Requests a minute and at the same time, by user and by key, in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cf_base::{Caller, Clock, Error, Id, Kind, Result};
use parking_lot::Mutex;

/// A minute, in milliseconds.
const MINUTE: i64 = 60_000;
/// Callers kept at most; idle ones are dropped when there are more.
const CALLERS: usize = 100_000;

/// Counts the calls of each user and key.
pub struct Limiter {
    clock: Clock,
    counters: Arc<Mutex<HashMap<Id, Counter>>>,
}

/// A bucket that fills evenly. A request is [`MINUTE`] units and a millisecond
/// brings as many as requests are allowed a minute: whole numbers, so that
/// nothing is lost however often somebody calls.
#[derive(Clone, Copy)]
struct Counter {
    units: i64,
    refilled_at: i64,
    running: u32,
}

/// A call that was let in; dropped, it no longer counts as running.
pub struct Admission {
    counters: Arc<Mutex<HashMap<Id, Counter>>>,
    user: Id,
    /// Requests a minute that are allowed, and left; none without a limit.
    pub requests: Option<(u32, u32)>,
}

impl Limiter {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            counters: Arc::default(),
        }
    }

    /// Lets a call in, or says when to come back.
    pub fn admit(&self, caller: &Caller) -> Result<Admission> {
        let limits = caller.limits;
        let user = caller.user_id.0;
        let now = self.clock.now().as_millis();
        let mut counters = self.counters.lock();
        if counters.len() >= CALLERS {
            counters.retain(|_, c| c.running > 0 || now - c.refilled_at < MINUTE);
        }
        let per_ms = i64::from(limits.requests_per_minute);
        let full = per_ms * MINUTE;
        let counter = counters.entry(user).or_insert(Counter {
            units: full,
            refilled_at: now,
            running: 0,
        });
        if limits.parallel_requests > 0 && counter.running >= limits.parallel_requests {
            return Err(limited(
                Duration::from_secs(1),
                format!(
                    "Rate limit reached: {} requests of this user are running, which is the limit of \
                     the product.",
                    counter.running
                ),
            ));
        }
        let mut requests = None;
        if full > 0 {
            let gained = (now - counter.refilled_at).max(0).saturating_mul(per_ms);
            counter.units = counter.units.saturating_add(gained).min(full);
            counter.refilled_at = now;
            if counter.units < MINUTE {
                let wait = (MINUTE - counter.units).div_euclid(per_ms) + 1;
                return Err(limited(
                    Duration::from_millis(u64::try_from(wait).unwrap_or(1000)),
                    format!(
                        "Rate limit reached: this user's product allows {} requests a minute.",
                        limits.requests_per_minute
                    ),
                ));
            }
            counter.units -= MINUTE;
            let left = u32::try_from(counter.units / MINUTE).unwrap_or(0);
            requests = Some((limits.requests_per_minute, left));
        }
        counter.running += 1;
        drop(counters);
        Ok(Admission {
            counters: Arc::clone(&self.counters),
            user,
            requests,
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(counter) = self.counters.lock().get_mut(&self.user) {
            counter.running = counter.running.saturating_sub(1);
        }
    }
}

fn limited(retry_after: Duration, message: String) -> Error {
    Error::new(Kind::RateLimited { retry_after }, message)
}

#[cfg(test)]
mod tests {
    use cf_base::{Currency, Limits, ProductId, Random, Role, TenantId, Timestamp, UserId};

    use super::*;

    #[test]
    fn calls_every_ten_milliseconds_get_what_the_limit_says() {
        for allowed in [1, 7, 600, 4_999] {
            let clock = Clock::mock(Timestamp::from_millis(0));
            let limiter = Limiter::new(clock.clone());
            let caller = caller(allowed);
            // What was saved up is spent first.
            while limiter.admit(&caller).is_ok() {}
            let mut admitted = 0;
            for _ in 0..5 * MINUTE / 10 {
                clock.advance(Duration::from_millis(10));
                admitted += u32::from(limiter.admit(&caller).is_ok());
            }
            assert_eq!(admitted, 5 * allowed, "{allowed} a minute");
        }
    }

    fn caller(requests_per_minute: u32) -> Caller {
        let random = Random::system();
        Caller {
            user_id: UserId(Id::new(&random)),
            tenant_id: TenantId(Id::new(&random)),
            key_id: None,
            role: Role::User,
            product_id: Some(ProductId(Id::new(&random))),
            product_models: Vec::new(),
            key_models: Vec::new(),
            limits: Limits {
                requests_per_minute,
                ..Limits::default()
            },
            currency: Currency::EUR,
            tenant_currency: Currency::EUR,
        }
    }
}
