//! What guards the Billing API's door: requests a minute of each billing key,
//! and wrong keys from one address. In memory of this process, and bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use cf_base::{Clock, Error, Kind, Result, Timestamp, sha256_hex};
use cf_identity::BillingKey;
use parking_lot::Mutex;

/// A minute, in milliseconds.
const MINUTE: i64 = 60_000;
/// Wrong keys that an address may send within [`WINDOW`].
const WRONG_KEYS: u32 = 30;
/// After so long an address starts anew.
const WINDOW: Duration = Duration::from_secs(300);
/// How long an address counts as one from which this right key comes.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Addresses, and pairs of address and key, kept at most.
const KEPT: usize = 10_000;

/// Counts by billing key and by address.
#[derive(Default)]
pub struct RequestLimits {
    keys: Mutex<HashMap<String, Bucket>>,
    strangers: Mutex<Strangers>,
}

/// A bucket that fills evenly: `tokens` in thousandths of a request.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: i64,
    refilled_at: i64,
}

#[derive(Default)]
struct Strangers {
    wrong: HashMap<IpAddr, (Timestamp, u32)>,
    /// Right keys by where they came from: a neighbour's wrong ones do not shut them out.
    right: HashMap<(IpAddr, String), Timestamp>,
}

impl RequestLimits {
    /// Counts a request of a billing key, or says when to come back.
    pub fn count(&self, key: &BillingKey, clock: &Clock) -> Result<()> {
        let now = clock.now().as_millis();
        let full = i64::from(key.requests_per_minute.max(1)) * 1000;
        // As many as there are keys in use: those are limited.
        let mut keys = self.keys.lock();
        if keys.len() >= KEPT {
            keys.retain(|_, bucket| now - bucket.refilled_at < MINUTE);
        }
        let bucket = keys.entry(key.id_text()).or_insert(Bucket {
            tokens: full,
            refilled_at: now,
        });
        let gained = (now - bucket.refilled_at).max(0).saturating_mul(full) / MINUTE;
        bucket.tokens = bucket.tokens.saturating_add(gained).min(full);
        bucket.refilled_at = now;
        if bucket.tokens < 1000 {
            let wait = ((1000 - bucket.tokens) * MINUTE).div_euclid(full) + 1;
            return Err(limited(
                Duration::from_millis(u64::try_from(wait).unwrap_or(1000)),
                format!(
                    "Rate limit reached: the billing key \"{}\" allows {} requests a minute.",
                    key.name, key.requests_per_minute
                ),
            ));
        }
        bucket.tokens -= 1000;
        Ok(())
    }

    /// Refuses an address that has sent many wrong keys, before the key is
    /// looked at; not for a key that has been right from there.
    pub fn check_address(&self, address: IpAddr, key: &str, clock: &Clock) -> Result<()> {
        let now = clock.now();
        let address = network(address);
        let strangers = self.strangers.lock();
        let Some((since, count)) = strangers.wrong.get(&address) else {
            return Ok(());
        };
        let until = since.after(WINDOW);
        if *count < WRONG_KEYS || until <= now {
            return Ok(());
        }
        let known = strangers.right.get(&(address, sha256_hex(key.as_bytes())));
        if known.is_some_and(|last| last.after(REMEMBERED) > now) {
            return Ok(());
        }
        Err(limited(
            Duration::from_millis(u64::try_from(until.millis_since(now)).unwrap_or(1000)),
            "Too many wrong billing keys from this address. Wait some minutes and try again."
                .into(),
        ))
    }

    /// Notes whether the key that came from this address was right.
    pub fn note(&self, address: IpAddr, key: &str, right: bool, clock: &Clock) {
        let now = clock.now();
        let address = network(address);
        let mut strangers = self.strangers.lock();
        if right {
            if strangers.right.len() >= KEPT {
                strangers
                    .right
                    .retain(|_, last| last.after(REMEMBERED) > now);
            }
            if strangers.right.len() < KEPT {
                strangers
                    .right
                    .insert((address, sha256_hex(key.as_bytes())), now);
            }
            return;
        }
        if strangers.wrong.len() >= KEPT {
            strangers
                .wrong
                .retain(|_, (since, _)| since.after(WINDOW) > now);
        }
        // Past that all share one count.
        let address = if strangers.wrong.len() >= KEPT {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        } else {
            address
        };
        let (since, count) = strangers.wrong.entry(address).or_insert((now, 0));
        if since.after(WINDOW) <= now {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
    }
}

/// What counts as one address: of IPv6 the first 64 bits, as whoever has one
/// address has the whole network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

fn limited(retry_after: Duration, message: String) -> Error {
    Error::new(Kind::RateLimited { retry_after }, message)
}
