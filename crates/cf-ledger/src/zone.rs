//! Days and months in a time zone, in whole hours of UTC: sums are kept by the
//! hour. Where a zone's offset is no whole hour, a day begins with the hour that
//! its first moment falls into.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use cf_base::Timestamp;

const HOUR_MS: i64 = 3_600_000;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// By its IANA name, such as `Europe/Berlin`; empty is UTC.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "UTC" => Some(Self::default()),
            _ => TimeZone::get(name).ok().map(Self),
        }
    }

    /// Whether its days are those of UTC.
    pub fn is_utc(&self) -> bool {
        self.0 == TimeZone::UTC
    }

    /// The hour that a day begins with, such as `2026-01-31`; `days` later.
    pub fn day_start(&self, day: &str, days: i64) -> Option<Timestamp> {
        let day: Date = day.parse().ok()?;
        let day = day
            .checked_add(jiff::Span::new().try_days(days).ok()?)
            .ok()?;
        self.start(day).map(hour)
    }

    /// The hour that a month begins with, such as `2026-01`; `months` later.
    pub fn month_start(&self, month: &str, months: i64) -> Option<Timestamp> {
        let first: Date = format!("{month}-01").parse().ok()?;
        let first = first
            .checked_add(jiff::Span::new().try_months(months).ok()?)
            .ok()?;
        self.start(first).map(hour)
    }

    /// The month of a moment.
    pub fn month_of(&self, at: Timestamp) -> String {
        let date = self.date(at);
        format!("{:04}-{:02}", date.year(), date.month())
    }

    /// The day that an hour of UTC, such as `2026-01-31 10`, is counted to.
    pub fn day_of_hour(&self, hour: &str) -> Option<String> {
        let begin = Timestamp::parse(&format!("{hour}:00:00.000Z"))?;
        // The last moment of the hour: with half hours a day begins within one.
        let last = Timestamp::from_millis(begin.as_millis() + HOUR_MS - 1);
        Some(self.date(last).to_string())
    }

    fn date(&self, at: Timestamp) -> Date {
        let instant = jiff::Timestamp::from_millisecond(at.as_millis())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        self.0.to_datetime(instant).date()
    }

    fn start(&self, day: Date) -> Option<Timestamp> {
        // Later than midnight where the clocks are put forward then.
        let start = self
            .0
            .to_zoned_datetime(day.at(0, 0, 0, 0))
            .ok()?
            .start_of_day()
            .ok()?;
        Some(Timestamp::from_millis(start.timestamp().as_millisecond()))
    }
}

/// The whole hour before or at a moment.
pub(crate) fn hour(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() - at.as_millis().rem_euclid(HOUR_MS))
}

/// The hour of a moment, as sums are kept by it: `2026-01-31 10`.
pub(crate) fn hour_text(at: Timestamp) -> String {
    at.to_date_text().to_string()[..13].to_owned()
}

/// The whole hour at or after a moment.
pub(crate) fn hour_after(at: Timestamp) -> Timestamp {
    hour(Timestamp::from_millis(at.as_millis() + HOUR_MS - 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn start(zone: &str, month: &str, months: i64) -> String {
        let zone = Zone::parse(zone).unwrap();
        hour_text(zone.month_start(month, months).unwrap())
    }

    #[test]
    fn months_begin_at_midnight_of_the_zone_with_and_without_summer_time() {
        assert_eq!(start("Europe/Berlin", "2026-01", 0), "2025-12-31 23");
        assert_eq!(start("Europe/Berlin", "2026-03", 1), "2026-03-31 22");
        assert_eq!(start("America/New_York", "2025-12", 1), "2026-01-01 05");
        assert_eq!(start("", "2026-02", 0), "2026-02-01 00");
        // Half past six in the evening belongs to the month that begins then.
        assert_eq!(start("Asia/Kolkata", "2026-02", 0), "2026-01-31 18");
    }

    #[test]
    fn an_hour_belongs_to_the_day_of_the_zone() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        assert_eq!(berlin.day_of_hour("2026-03-28 22").unwrap(), "2026-03-28");
        assert_eq!(berlin.day_of_hour("2026-03-28 23").unwrap(), "2026-03-29");
        // The day with 23 hours ends an hour earlier.
        assert_eq!(berlin.day_of_hour("2026-03-29 22").unwrap(), "2026-03-30");
        let kolkata = Zone::parse("Asia/Kolkata").unwrap();
        assert_eq!(kolkata.day_of_hour("2026-01-31 18").unwrap(), "2026-02-01");
        assert!(Zone::parse("Europe/Nowhere").is_none());
    }
}
