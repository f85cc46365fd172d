//! Counters in providers' answers, read without trust.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// More tokens than any call can use; a number above it is a provider's mistake
/// and must not run over a column or a sum.
pub(crate) const MOST: u64 = 1 << 40;

/// Takes up to `most` off a counter.
pub(crate) fn take(from: &mut u64, most: u64) -> u64 {
    let taken = most.min(*from);
    *from -= taken;
    taken
}

/// A counter, whatever a server puts there: a null, a float or a text must not
/// make the whole reply unreadable.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count(pub Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl<'de> Visitor<'de> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Count, E> {
                Ok(Count(Some(n.min(MOST))))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Count, E> {
                Ok(Count(u64::try_from(n).ok()))
            }
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "within 0 and MOST the conversion is exact after rounding up"
            )]
            fn visit_f64<E>(self, n: f64) -> Result<Count, E> {
                let fits = (0.0..=MOST as f64).contains(&n);
                Ok(Count(fits.then(|| n.ceil() as u64)))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
                Ok(Count(None))
            }
            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(None))
            }
            fn visit_str<E>(self, text: &str) -> Result<Count, E> {
                Ok(Count(text.trim().parse().ok().filter(|n| *n <= MOST)))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Count, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Count(None))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Count, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Count(None))
            }
        }
        deserializer.deserialize_any(CountVisitor)
    }
}

impl Count {
    /// The number, or nothing.
    pub(crate) fn or_zero(self) -> u64 {
        self.0.unwrap_or(0)
    }
}
