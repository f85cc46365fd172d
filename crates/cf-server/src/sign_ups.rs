//! How often a stranger's address may sign people up: each costs a password
//! hash and a row.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use cf_base::{Clock, Error, Kind, Timestamp};
use parking_lot::Mutex;

/// Sign-ups of one address in [`WINDOW`].
const SIGN_UPS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(600);
/// Addresses kept at most; past that all share one count.
const ADDRESSES: usize = 10_000;

/// Counts sign-ups by address.
#[derive(Default)]
pub struct SignUps(Mutex<HashMap<IpAddr, (Timestamp, u32)>>);

impl SignUps {
    /// Counts one, or says when to come back.
    pub fn count(&self, address: IpAddr, clock: &Clock) -> Result<(), Error> {
        let now = clock.now();
        let mut counts = self.0.lock();
        if counts.len() >= ADDRESSES {
            counts.retain(|_, (since, _)| since.after(WINDOW) > now);
        }
        let address = if counts.len() >= ADDRESSES {
            IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
        } else {
            address
        };
        let (since, count) = counts.entry(address).or_insert((now, 0));
        if since.after(WINDOW) <= now {
            (*since, *count) = (now, 0);
        }
        if *count >= SIGN_UPS {
            return Err(Error::new(
                Kind::RateLimited {
                    retry_after: WINDOW,
                },
                "Too many sign-ups from this address. Wait some minutes and try again.",
            ));
        }
        *count += 1;
        Ok(())
    }
}
