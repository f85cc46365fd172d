//! Kinds of budget period, and where each begins and ends.

use cf_base::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, civil};

const DAY_MS: i64 = 86_400_000;
/// Longest rolling period: ten years.
pub const MAX_PERIOD_DAYS: i64 = 3_650;

/// How long a budget lasts before it is full again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Period {
    /// For ever.
    Total,
    /// So many times 24 hours from its start, and again from there.
    Days(i64),
    /// A calendar day.
    Day,
    /// A calendar week, from Monday.
    Week,
    /// A calendar month.
    Month,
}

/// A period that lasts now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant of the one after it.
    pub end: Timestamp,
    /// Whole periods between the one asked about and this one.
    pub missed: i64,
}

impl Period {
    /// By the word that records and the API use; `days` is for `days` only.
    pub fn parse(word: &str, days: i64) -> Option<Self> {
        match word {
            "total" => Some(Self::Total),
            "days" if (1..=MAX_PERIOD_DAYS).contains(&days) => Some(Self::Days(days)),
            "day" => Some(Self::Day),
            "week" => Some(Self::Week),
            "month" => Some(Self::Month),
            _ => None,
        }
    }

    /// A rolling period of so many days; none at all for 0.
    pub fn rolling(days: i64) -> Self {
        if days > 0 {
            Self::Days(days.min(MAX_PERIOD_DAYS))
        } else {
            Self::Total
        }
    }

    /// The word that records and the API use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Days(_) => "days",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// Days of a rolling period, else 0.
    pub fn days(self) -> i64 {
        match self {
            Self::Days(days) => days,
            _ => 0,
        }
    }

    /// The period that begins or lasts at `now`; none for [`Period::Total`].
    pub fn first(self, zone: &str, now: Timestamp) -> Option<Span> {
        match self {
            Self::Total => None,
            Self::Days(days) => Some(Span {
                start: now,
                end: Timestamp::from_millis(now.as_millis().saturating_add(days * DAY_MS)),
                missed: 0,
            }),
            _ => self.calendar(&time_zone(zone), now, now),
        }
    }

    /// The period that lasts at `now`, after one that ended at `ended` (not
    /// later than `now`).
    pub fn after(self, zone: &str, ended: Timestamp, now: Timestamp) -> Option<Span> {
        match self {
            Self::Total => None,
            Self::Days(days) => {
                let length = days * DAY_MS;
                let missed = now.millis_since(ended) / length;
                let start = Timestamp::from_millis(ended.as_millis() + missed * length);
                Some(Span {
                    start,
                    end: Timestamp::from_millis(start.as_millis().saturating_add(length)),
                    missed,
                })
            }
            _ => self.calendar(&time_zone(zone), ended, now),
        }
    }

    fn calendar(self, zone: &TimeZone, ended: Timestamp, now: Timestamp) -> Option<Span> {
        let start = self.beginning(date(zone, now)?)?;
        let earlier = self.beginning(date(zone, ended)?)?;
        let (next, missed) = match self {
            Self::Day => (
                start.checked_add(1.day()).ok()?,
                days_between(earlier, start),
            ),
            Self::Week => (
                start.checked_add(7.days()).ok()?,
                days_between(earlier, start) / 7,
            ),
            _ => (
                start.checked_add(1.month()).ok()?,
                i64::from(start.year() - earlier.year()) * 12
                    + i64::from(start.month() - earlier.month()),
            ),
        };
        Some(Span {
            start: midnight(zone, start)?,
            end: midnight(zone, next)?,
            missed,
        })
    }

    /// The day that the calendar period of `date` begins with.
    fn beginning(self, date: Date) -> Option<Date> {
        match self {
            Self::Week => {
                let past_monday = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(past_monday.days()).ok()
            }
            Self::Month => Some(date.first_of_month()),
            _ => Some(date),
        }
    }
}

/// Whether there is a time zone of this name, such as `Europe/Berlin`.
pub fn is_time_zone(name: &str) -> bool {
    TimeZone::get(name).is_ok()
}

/// By its name; names are checked when they are set, and no name is UTC.
fn time_zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

fn date(zone: &TimeZone, at: Timestamp) -> Option<civil::Date> {
    let instant = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
    Some(zone.to_datetime(instant).date())
}

/// The first instant of a day, which is later than midnight where the clocks
/// are put forward then.
fn midnight(zone: &TimeZone, date: Date) -> Option<Timestamp> {
    let day = zone
        .to_zoned_datetime(date.at(0, 0, 0, 0))
        .ok()?
        .start_of_day()
        .ok()?;
    Some(Timestamp::from_millis(day.timestamp().as_millisecond()))
}

fn days_between(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a date")
    }

    fn span(period: Period, zone: &str, now: &str) -> (String, String) {
        let span = period.first(zone, at(now)).expect("a period");
        let text = |t: Timestamp| t.to_date_text().to_string()[..16].to_owned();
        (text(span.start), text(span.end))
    }

    #[track_caller]
    fn lasts(period: Period, zone: &str, now: &str, start: &str, end: &str) {
        assert_eq!(
            span(period, zone, now),
            (start.into(), end.into()),
            "{period:?} in {zone} at {now}"
        );
    }

    #[test]
    fn days_of_23_and_25_hours_begin_at_local_midnight() {
        let berlin = "Europe/Berlin";
        lasts(
            Period::Day,
            berlin,
            "2026-03-29 12:00:00Z",
            "2026-03-28 23:00",
            "2026-03-29 22:00",
        );
        lasts(
            Period::Day,
            berlin,
            "2026-10-25 12:00:00Z",
            "2026-10-24 22:00",
            "2026-10-25 23:00",
        );
        // Already tomorrow in Berlin.
        lasts(
            Period::Day,
            berlin,
            "2026-06-30 22:00:00Z",
            "2026-06-30 22:00",
            "2026-07-01 22:00",
        );
        // Not yet the next day, one millisecond before.
        lasts(
            Period::Day,
            berlin,
            "2026-06-30 21:59:59.999Z",
            "2026-06-29 22:00",
            "2026-06-30 22:00",
        );
    }

    #[test]
    fn a_day_without_midnight_begins_when_the_clocks_have_moved() {
        // In Chile 6 September 2026 begins at 01:00, as 00:00 is skipped.
        lasts(
            Period::Day,
            "America/Santiago",
            "2026-09-06 12:00:00Z",
            "2026-09-06 04:00",
            "2026-09-07 03:00",
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_months_have_their_own_length() {
        let berlin = "Europe/Berlin";
        // A Sunday and the Monday after it.
        lasts(
            Period::Week,
            berlin,
            "2026-03-29 12:00:00Z",
            "2026-03-22 23:00",
            "2026-03-29 22:00",
        );
        lasts(
            Period::Week,
            berlin,
            "2026-03-30 12:00:00Z",
            "2026-03-29 22:00",
            "2026-04-05 22:00",
        );
        lasts(
            Period::Month,
            "UTC",
            "2028-02-29 23:59:59Z",
            "2028-02-01 00:00",
            "2028-03-01 00:00",
        );
        lasts(
            Period::Month,
            "UTC",
            "2027-02-28 23:59:59Z",
            "2027-02-01 00:00",
            "2027-03-01 00:00",
        );
        lasts(
            Period::Month,
            berlin,
            "2026-10-31 12:00:00Z",
            "2026-09-30 22:00",
            "2026-10-31 23:00",
        );
        lasts(
            Period::Month,
            "UTC",
            "2026-12-31 12:00:00Z",
            "2026-12-01 00:00",
            "2027-01-01 00:00",
        );
    }

    #[test]
    fn missed_periods_are_counted_and_not_made_up_for() {
        let after = |period: Period, ended: &str, now: &str| {
            let span = period
                .after("Europe/Berlin", at(ended), at(now))
                .expect("a period");
            (
                span.end.to_date_text().to_string()[..16].to_owned(),
                span.missed,
            )
        };
        let day = |now| after(Period::Day, "2026-03-27 23:00:00Z", now);
        assert_eq!(day("2026-03-27 23:00:00Z"), ("2026-03-28 23:00".into(), 0));
        assert_eq!(day("2026-03-30 12:00:00Z"), ("2026-03-30 22:00".into(), 2));
        let month = after(
            Period::Month,
            "2025-10-31 23:00:00Z",
            "2026-02-10 00:00:00Z",
        );
        assert_eq!(month, ("2026-02-28 23:00".into(), 3));
        let week = after(Period::Week, "2026-03-29 22:00:00Z", "2026-04-15 00:00:00Z");
        assert_eq!(week, ("2026-04-19 22:00".into(), 2));
        let rolling = after(
            Period::Days(30),
            "2026-02-09 12:00:00Z",
            "2026-04-20 12:00:00Z",
        );
        assert_eq!(rolling, ("2026-05-10 12:00".into(), 2));
        assert_eq!(
            Period::Total.after("UTC", at("2026-01-01"), at("2026-02-01")),
            None
        );
    }

    #[test]
    fn every_zone_comes_with_the_program_and_unknown_ones_are_told() {
        assert!(is_time_zone("America/Argentina/Buenos_Aires"));
        assert!(is_time_zone("UTC"));
        assert!(!is_time_zone("Berlin"));
        assert!(!is_time_zone(""));
    }
}
