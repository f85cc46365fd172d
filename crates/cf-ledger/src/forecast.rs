//! When a budget is used up at the present pace.

use cf_base::{Nanos, Timestamp};

/// Until a thirtieth of the period has passed, the pace says nothing.
const LEAST_SHARE: i64 = 30;
/// The same where there is no period: a day.
const LEAST_OPEN_MS: i64 = 86_400_000;
/// Without a period nothing is said about what lies further ahead: a year.
const FURTHEST_MS: i64 = 365 * 86_400_000;

/// What the present pace leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forecast {
    /// Nothing can be said: no limit, or too early in the period.
    Unknown,
    /// The budget lasts until the period ends (without a period: for a year).
    Lasts,
    /// It is used up at this time, before the period ends.
    UsedUpAt(Timestamp),
    /// It is used up now.
    UsedUp,
}

impl Forecast {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Lasts => "lasts",
            Self::UsedUpAt(_) => "used_up_at",
            Self::UsedUp => "used_up",
        }
    }

    /// The time at which it is used up, where that lies ahead.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::UsedUpAt(at) => Some(at),
            _ => None,
        }
    }
}

/// How much of a limit is spent, in whole percent rounded down. From 99.5
/// percent on it is 100: what is left then pays for no call any more. None
/// without a limit above zero.
pub fn percent_used(spent: Nanos, limit: Option<Nanos>) -> Option<i64> {
    let limit = i128::from(limit.filter(|l| l.0 > 0)?.0);
    let spent = i128::from(spent.0.max(0));
    let percent = if spent * 1000 >= limit * 995 {
        (spent * 100 / limit).max(100)
    } else {
        spent * 100 / limit
    };
    Some(i64::try_from(percent).unwrap_or(i64::MAX))
}

/// Spending goes on as on average since the period's start: the limit is
/// reached at `start + (now - start) * limit / spent`, rounded up to a
/// millisecond. Nothing is said before a thirtieth of the period has passed
/// (without an end: a day).
pub fn forecast(
    start: Timestamp,
    end: Option<Timestamp>,
    spent: Nanos,
    limit: Option<Nanos>,
    now: Timestamp,
) -> Forecast {
    let Some(percent) = percent_used(spent, limit) else {
        return Forecast::Unknown;
    };
    if percent >= 100 {
        return Forecast::UsedUp;
    }
    let elapsed = now.millis_since(start);
    let least = end.map_or(LEAST_OPEN_MS, |end| end.millis_since(start) / LEAST_SHARE);
    if elapsed == 0 || elapsed < least {
        return Forecast::Unknown;
    }
    if spent.0 <= 0 {
        return Forecast::Lasts;
    }
    let limit = i128::from(limit.unwrap_or_default().0);
    let spent = i128::from(spent.0);
    let takes = (i128::from(elapsed) * limit + spent - 1) / spent;
    let last =
        end.unwrap_or_else(|| Timestamp::from_millis(now.as_millis().saturating_add(FURTHEST_MS)));
    match i64::try_from(takes)
        .ok()
        .and_then(|takes| start.as_millis().checked_add(takes))
        .map(Timestamp::from_millis)
    {
        Some(at) if at < last => Forecast::UsedUpAt(at),
        _ => Forecast::Lasts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a date")
    }

    fn euros(n: i64) -> Option<Nanos> {
        Some(Nanos(n * 1_000_000_000))
    }

    #[test]
    fn at_this_pace_it_is_used_up_on_a_day() {
        let (start, end) = (time("2026-01-01"), Some(time("2026-01-31")));
        let spent = |n: i64| Nanos(n * 1_000_000_000);
        let on_the_13th = |spent| forecast(start, end, spent, euros(100), time("2026-01-13"));
        // Half in twelve days: all in twenty-four.
        assert_eq!(
            on_the_13th(spent(50)),
            Forecast::UsedUpAt(time("2026-01-25"))
        );
        // 40 in twelve days is all in thirty: exactly when the next period begins.
        assert_eq!(on_the_13th(spent(40)), Forecast::Lasts);
        assert_eq!(
            on_the_13th(Nanos(40_100_000_000)),
            Forecast::UsedUpAt(time("2026-01-30 22:12:16.160Z"))
        );
        assert_eq!(on_the_13th(spent(0)), Forecast::Lasts);
        assert_eq!(on_the_13th(spent(-5)), Forecast::Lasts);
        assert_eq!(on_the_13th(spent(100)), Forecast::UsedUp);
        assert_eq!(on_the_13th(spent(250)), Forecast::UsedUp);
    }

    #[test]
    fn nothing_is_said_too_early_or_without_a_limit() {
        let (start, end) = (time("2026-01-01"), Some(time("2026-01-31")));
        let spent = Nanos(50);
        for (now, limit) in [
            (time("2026-01-01 23:59:59.999Z"), Some(Nanos(100))),
            (time("2025-12-31"), Some(Nanos(100))),
            (time("2026-01-10"), None),
            (time("2026-01-10"), Some(Nanos(0))),
        ] {
            assert_eq!(forecast(start, end, spent, limit, now), Forecast::Unknown);
        }
        let open = |now| forecast(start, None, spent, Some(Nanos(100)), now);
        assert_eq!(open(time("2026-01-01 23:00:00Z")), Forecast::Unknown);
        assert_eq!(
            open(time("2026-01-02")),
            Forecast::UsedUpAt(time("2026-01-03"))
        );
        let slow = forecast(start, None, Nanos(1), Some(Nanos(1000)), time("2026-01-03"));
        assert_eq!(slow, Forecast::Lasts);
    }

    #[test]
    fn the_largest_amounts_and_times_do_not_overflow() {
        let all = Some(Nanos(i64::MAX));
        let late = Timestamp::from_millis(i64::MAX);
        let start = Timestamp::from_millis(0);
        assert_eq!(forecast(start, None, Nanos(1), all, late), Forecast::Lasts);
        assert_eq!(
            forecast(start, None, Nanos(i64::MAX), all, late),
            Forecast::UsedUp
        );
        assert_eq!(
            percent_used(Nanos(i64::MAX), Some(Nanos(1))),
            Some(i64::MAX)
        );
    }

    #[test]
    fn percents_are_rounded_down_and_the_last_half_is_all() {
        let of = |spent| percent_used(Nanos(spent), Some(Nanos(1000)));
        assert_eq!(of(499), Some(49));
        assert_eq!(of(500), Some(50));
        assert_eq!(of(994), Some(99));
        assert_eq!(of(995), Some(100));
        assert_eq!(of(1200), Some(120));
        assert_eq!(percent_used(Nanos(5), Some(Nanos(0))), None);
    }
}
