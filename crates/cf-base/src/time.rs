//! Time as a parameter, and the date texts of the record API.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in milliseconds since 1970 (UTC).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970 (UTC).
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970 (UTC).
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time plus `duration`.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Milliseconds from `earlier` until now, not below zero.
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// As the record API writes it: `2026-01-31 10:00:00.123Z`.
    pub fn to_date_text(self) -> DateText {
        DateText(self)
    }

    /// The day in UTC, as `2026-01-31`.
    pub fn to_day(self) -> String {
        self.civil().strftime("%Y-%m-%d").to_string()
    }

    /// Reads what the record API accepts: a date alone, `T` or a space between
    /// date and time, any offset (converted), none (UTC), more or fewer digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let with_zone = text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|t| Self(t.as_millisecond()));
        with_zone.or_else(|| {
            let civil: jiff::civil::DateTime = text.trim_end_matches(['Z', 'z']).parse().ok()?;
            let instant = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
            Some(Self(instant.as_millisecond()))
        })
    }

    fn civil(self) -> jiff::civil::DateTime {
        jiff::tz::TimeZone::UTC.to_datetime(
            jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH),
        )
    }
}

/// Writes a [`Timestamp`] as `2026-01-31 10:00:00.123Z`; sorts as the time does.
#[derive(Clone, Copy)]
pub struct DateText(Timestamp);

impl fmt::Display for DateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.0.civil();
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.subsec_nanosecond() / 1_000_000
        )
    }
}

/// Where the time comes from: the system, or a test's hand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Mock(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is advanced.
    pub fn mock(start: Timestamp) -> Self {
        Self(Source::Mock(Arc::new(AtomicI64::new(start.0))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp(jiff::Timestamp::now().as_millisecond()),
            Source::Mock(ms) => Timestamp(ms.load(Ordering::SeqCst)),
        }
    }

    /// Moves a mock clock forward. A system clock is left alone.
    pub fn advance(&self, duration: Duration) {
        if let Source::Mock(ms) = &self.0 {
            ms.fetch_add(
                i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
                Ordering::SeqCst,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_form_and_written_in_one() {
        let written = "2022-01-01 10:00:00.123Z";
        for text in [
            "2022-01-01 10:00:00.123Z",
            "2022-01-01T10:00:00.123Z",
            "2022-01-01 12:00:00.123+02:00",
            "2022-01-01 10:00:00.123456",
        ] {
            let time = Timestamp::parse(text).unwrap_or_else(|| panic!("{text} is a date"));
            assert_eq!(time.to_date_text().to_string(), written, "{text}");
        }
        let day = Timestamp::parse("2022-01-01").expect("a date alone");
        assert_eq!(day.to_date_text().to_string(), "2022-01-01 00:00:00.000Z");
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
