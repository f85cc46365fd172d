//! `@now` and its kin, in UTC as PocketBase has them.

use cf_base::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::{ToSpan, tz::TimeZone};

use super::FilterError;
use super::parse::Operand;

pub(super) fn value(name: &str, now: Timestamp) -> Result<Operand, FilterError> {
    let moment = jiff::Timestamp::from_millisecond(now.as_millis())
        .map_err(|_| FilterError::invalid("the clock is out of range"))?;
    let civil = TimeZone::UTC.to_datetime(moment);
    let today = civil.date();
    let number = |n: i8| Ok(Operand::Number(n.to_string()));
    let day_end = |d: Date| text(d.at(23, 59, 59, 999_000_000));
    match name {
        "now" => text(civil),
        "yesterday" => shifted(civil, -1),
        "tomorrow" => shifted(civil, 1),
        "todayStart" => text(today.at(0, 0, 0, 0)),
        "todayEnd" => day_end(today),
        "monthStart" => text(today.first_of_month().at(0, 0, 0, 0)),
        "monthEnd" => day_end(today.last_of_month()),
        "yearStart" => text(date(today.year(), 1, 1).at(0, 0, 0, 0)),
        "yearEnd" => day_end(date(today.year(), 12, 31)),
        "second" => number(civil.second()),
        "minute" => number(civil.minute()),
        "hour" => number(civil.hour()),
        "day" => number(civil.day()),
        "month" => number(civil.month()),
        "weekday" => number(today.weekday().to_sunday_zero_offset()),
        "year" => Ok(Operand::Number(civil.year().to_string())),
        _ => Err(FilterError::invalid("unknown macro")),
    }
}

fn shifted(civil: DateTime, days: i64) -> Result<Operand, FilterError> {
    let moved = civil
        .checked_add(days.days())
        .map_err(|_| FilterError::invalid("the clock is out of range"))?;
    text(moved)
}

fn text(civil: DateTime) -> Result<Operand, FilterError> {
    let moment = TimeZone::UTC
        .to_timestamp(civil)
        .map_err(|_| FilterError::invalid("the clock is out of range"))?;
    let date = Timestamp::from_millis(moment.as_millisecond()).to_date_text();
    Ok(Operand::Text(date.to_string()))
}
