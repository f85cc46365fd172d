//! Slows down guessing of passwords without locking anybody out for good.
//!
//! Failures are counted by account and address together, by address alone and
//! by account alone. The last is what a crowd of addresses guessing at one
//! account meets; it is mild, and does not hold for the address from which the
//! account's owner last came. Whoever is signed in and must prove the password
//! again is counted by account, apart from those. In memory of one process, and
//! bounded.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use cf_base::{HashKey, Timestamp};
use parking_lot::Mutex;
use quick_cache::unsync::Cache;

/// Failures after which each further one doubles the wait.
#[derive(Clone, Copy)]
struct Rule {
    free: u32,
    longest: Duration,
}

/// One address at one account: a person who mistypes, or a guesser.
const PAIR: Rule = Rule {
    free: 5,
    longest: Duration::from_secs(15 * 60),
};
/// One address at any accounts; an office may sit behind it.
const ADDRESS: Rule = Rule {
    free: 30,
    longest: Duration::from_secs(5 * 60),
};
/// Any addresses at one account.
const ACCOUNT: Rule = Rule {
    free: 20,
    longest: Duration::from_secs(30),
};
/// Failures are forgotten after so long a time without a further one.
const FORGET: Duration = Duration::from_secs(60 * 60);
/// Counters of each of the three kinds; the least used make room.
const KEPT: usize = 50_000;

/// A keyed hash, so that long names take no more room than short ones.
type Key = [u8; 16];

#[derive(Clone, Copy)]
struct Counter {
    failures: u32,
    last: Timestamp,
}

impl Counter {
    fn is_forgotten(self, now: Timestamp) -> bool {
        now >= self.last.after(FORGET)
    }

    /// When the next attempt may be made.
    fn next(self, rule: Rule) -> Timestamp {
        let Some(over) = self.failures.checked_sub(rule.free) else {
            return self.last;
        };
        let seconds = 1u64.checked_shl(over).unwrap_or(u64::MAX);
        self.last
            .after(Duration::from_secs(seconds.min(rule.longest.as_secs())))
    }
}

struct Counters {
    rule: Rule,
    cache: Cache<Key, Counter>,
}

impl Counters {
    fn new(rule: Rule) -> Self {
        Self {
            rule,
            cache: Cache::new(KEPT),
        }
    }

    fn get(&self, key: &Key, now: Timestamp) -> Option<Counter> {
        self.cache
            .get(key)
            .copied()
            .filter(|c| !c.is_forgotten(now))
    }

    fn wait(&self, key: &Key, now: Timestamp) -> i64 {
        self.get(key, now)
            .map_or(0, |counter| counter.next(self.rule).millis_since(now))
    }

    fn add(&mut self, key: Key, now: Timestamp) {
        let failures = self.get(&key, now).map_or(0, |c| c.failures);
        let counter = Counter {
            failures: failures.saturating_add(1),
            last: now,
        };
        self.cache.insert(key, counter);
    }

    fn take_back(&mut self, key: &Key, count: u32) {
        let Some(counter) = self.cache.get(key).copied() else {
            return;
        };
        let failures = counter.failures.saturating_sub(count);
        if failures == 0 {
            self.cache.remove(key);
        } else {
            self.cache.insert(
                *key,
                Counter {
                    failures,
                    ..counter
                },
            );
        }
    }
}

struct State {
    pairs: Counters,
    addresses: Counters,
    accounts: Counters,
    /// Passwords asked for once more, of accounts that are signed in.
    proofs: Counters,
    /// Address from which each account's owner last came in.
    owners: Cache<Key, Key>,
}

pub(crate) struct Throttle {
    hash: HashKey,
    state: Mutex<State>,
}

/// An attempt that is counted as failed unless it is said to have been
/// something else: one that is broken off must count, or breaking off would
/// make guessing free.
pub(crate) struct Attempt<'t> {
    throttle: &'t Throttle,
    account: Key,
    address: Key,
    pair: Key,
    /// Whether it was counted against the account as well.
    for_account: bool,
}

/// As [`Attempt`], of somebody who is signed in.
pub(crate) struct Proof<'t> {
    throttle: &'t Throttle,
    account: Key,
}

impl Proof<'_> {
    /// The right password: slips before it are forgiven.
    pub fn succeed(self) {
        let mut state = self.throttle.state.lock();
        state.proofs.cache.remove(&self.account);
    }

    /// Nothing was found out about the password.
    pub fn undo(self) {
        let mut state = self.throttle.state.lock();
        state.proofs.take_back(&self.account, 1);
    }
}

impl Throttle {
    pub fn new(hash: HashKey) -> Self {
        Self {
            hash,
            state: Mutex::new(State {
                pairs: Counters::new(PAIR),
                addresses: Counters::new(ADDRESS),
                accounts: Counters::new(ACCOUNT),
                proofs: Counters::new(PAIR),
                owners: Cache::new(KEPT),
            }),
        }
    }

    /// Counts an attempt before it is made, so that many at the same time
    /// cannot all slip through; or says how long to wait.
    ///
    /// An account is a name here, whether it exists or not, and in whichever
    /// collection: the portal tries users first and superusers second.
    pub fn begin(
        &self,
        identity: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Attempt<'_>, Duration> {
        let account = self.key(&[b"account", identity.trim().to_lowercase().as_bytes()]);
        let address = self.key(&[b"address", &network(address)]);
        let pair = self.key(&[b"pair", &account, &address]);

        let mut state = self.state.lock();
        let is_owner = state.owners.get(&account) == Some(&address);
        let mut wait = state
            .pairs
            .wait(&pair, now)
            .max(state.addresses.wait(&address, now));
        if !is_owner {
            wait = wait.max(state.accounts.wait(&account, now));
        }
        if wait > 0 {
            return Err(Duration::from_millis(wait.unsigned_abs()));
        }
        state.pairs.add(pair, now);
        state.addresses.add(address, now);
        if !is_owner {
            state.accounts.add(account, now);
        }
        Ok(Attempt {
            throttle: self,
            account,
            address,
            pair,
            for_account: !is_owner,
        })
    }

    /// Counts an attempt of somebody who is signed in to prove the account's
    /// password, before it is made; or says how long to wait.
    pub fn begin_proof(&self, account: &str, now: Timestamp) -> Result<Proof<'_>, Duration> {
        let account = self.key(&[b"proof", account.as_bytes()]);
        let mut state = self.state.lock();
        let wait = state.proofs.wait(&account, now);
        if wait > 0 {
            return Err(Duration::from_millis(wait.unsigned_abs()));
        }
        state.proofs.add(account, now);
        Ok(Proof {
            throttle: self,
            account,
        })
    }

    fn key(&self, parts: &[&[u8]]) -> Key {
        let mut key = [0; 16];
        key.copy_from_slice(&self.hash.tag(parts)[..16]);
        key
    }
}

impl Attempt<'_> {
    /// The right password: the person's own slips at this account are forgiven,
    /// failures at other accounts are not, or a guesser could wash them off
    /// with an account of their own.
    pub fn succeed(self, now: Timestamp) {
        let mut state = self.throttle.state.lock();
        let own = state.pairs.get(&self.pair, now).map_or(1, |c| c.failures);
        state.pairs.cache.remove(&self.pair);
        state.addresses.take_back(&self.address, own);
        if self.for_account {
            state.accounts.take_back(&self.account, own);
        }
        state.owners.insert(self.account, self.address);
    }

    /// Nothing was found out about the password.
    pub fn undo(self) {
        let mut state = self.throttle.state.lock();
        state.pairs.take_back(&self.pair, 1);
        state.addresses.take_back(&self.address, 1);
        if self.for_account {
            state.accounts.take_back(&self.account, 1);
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, as whoever has one
/// address has the whole network.
fn network(address: IpAddr) -> [u8; 16] {
    let address = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    if address.to_ipv4_mapped().is_some() {
        return address.octets();
    }
    Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).octets()
}
