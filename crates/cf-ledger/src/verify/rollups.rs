//! Rollups against the rows they stand for, as far as those are kept, and the
//! coarser tables against the hours. A day is one statement, so that a day's
//! groups are all that is held at a time.

use std::collections::HashMap;

use cf_base::Timestamp;
use cf_db::{Db, Row};

use super::Difference;
use crate::rollups::{COARSE, COARSER, Coarse, EXTRAS, Extras, GROUP, SUMS, extras_of, group_of};

/// Differences of one kind that are told.
const MOST: usize = 1000;
const DAY_MS: i64 = 86_400_000;

pub(super) async fn check(db: &Db, found: &mut Vec<Difference>) -> cf_base::Result<()> {
    let most = found.len() + MOST;
    if let Some((first, last)) = days(db).await? {
        let mut day = first;
        while day <= last && found.len() < most {
            let next = Timestamp::from_millis(day.as_millis() + DAY_MS);
            hours(db, &day.to_day(), &next.to_day(), found).await?;
            extras(db, &day.to_day(), &next.to_day(), found).await?;
            day = next;
        }
    }
    for table in &COARSER {
        coarser(db, table, found).await?;
    }
    Ok(())
}

/// The first and the last day that rows or rollups are of.
async fn days(db: &Db) -> cf_base::Result<Option<(Timestamp, Timestamp)>> {
    let mut days = Vec::new();
    for sql in [
        "select min(hour), max(hour) from usage_hours",
        "select min(created), max(created) from usage_logs",
    ] {
        for row in db.query(sql, vec![]).await? {
            for at in 0..2 {
                let time: Option<String> = row.at(at)?;
                let day = time.as_deref().and_then(|time| time.get(..10));
                days.extend(day.and_then(Timestamp::parse));
            }
        }
    }
    Ok(days.iter().min().copied().zip(days.iter().max().copied()))
}

/// Rows that may be gone are those before the mark of their tenant or user.
const KEPT: &str = "not exists (select 1 from usage_pruned p where p.until > $1 and \
                    (p.owner_id = {t}.tenant_id or p.owner_id = {t}.user_id) and {t}.{time} < p.until)";

fn kept(table: &str, time: &str) -> String {
    KEPT.replace("{t}", table).replace("{time}", time)
}

/// All sums that rows have in columns.
async fn hours(db: &Db, day: &str, next: &str, found: &mut Vec<Difference>) -> cf_base::Result<()> {
    let group = GROUP.join(", ");
    let sums: Vec<&str> = (SUMS.iter().enumerate())
        .filter(|(at, _)| !EXTRAS.contains(at))
        .map(|(_, name)| *name)
        .collect();
    let of_rows: Vec<String> = (sums.iter())
        .map(|sum| match *sum {
            "requests" => "count(*)".to_owned(),
            "failed" => "sum(case when status = 'error' then 1 else 0 end)".to_owned(),
            sum => format!("sum({sum})"),
        })
        .map(|sum| format!("cast({sum} as bigint)"))
        .collect();
    let both = |source: &str| -> Vec<String> {
        (sums.iter())
            .map(|sum| {
                format!("cast(sum(case when source = '{source}' then {sum} else 0 end) as bigint)")
            })
            .collect()
    };
    let (rows, rollups) = (both("rows"), both("hours"));
    let differ: Vec<String> = (rows.iter().zip(&rollups))
        .map(|(a, b)| format!("{a} <> {b}"))
        .collect();
    let named: Vec<String> = (of_rows.iter().zip(&sums))
        .map(|(value, name)| format!("{value} as {name}"))
        .collect();
    let sql = format!(
        "select hour, {group}, {}, {} from (\
         select 'rows' as source, substr(u.created, 1, 13) as hour, {group}, {} from usage_logs u \
         where u.created >= $1 and u.created < $2 and {} group by substr(u.created, 1, 13), {group} \
         union all select 'hours' as source, hour, {group}, {} from usage_hours h \
         where h.hour >= $1 and h.hour < $2 and {}) as both_of_them \
         group by hour, {group} having {} limit {MOST}",
        rows.join(", "),
        rollups.join(", "),
        named.join(", "),
        kept("u", "created"),
        sums.join(", "),
        kept("h", "hour"),
        differ.join(" or ")
    );
    let first = 1 + GROUP.len();
    for row in db.query(&sql, vec![day.into(), next.into()]).await? {
        for (at, sum) in sums.iter().enumerate() {
            push(found, &row, sum, first + sums.len() + at, first + at)?;
        }
    }
    Ok(())
}

/// The counters that rows have in `extra`.
async fn extras(
    db: &Db,
    day: &str,
    next: &str,
    found: &mut Vec<Difference>,
) -> cf_base::Result<()> {
    let group = GROUP.join(", ");
    let names = &SUMS[EXTRAS];
    let any = names.join(" <> 0 or ");
    // One statement, as nothing may be booked between two.
    let sql = format!(
        "select 1 as sign, hour, {group}, '' as extra, {} from usage_hours h \
         where hour >= $1 and hour < $2 and ({any} <> 0) and {} union all \
         select -1 as sign, substr(u.created, 1, 13) as hour, {group}, extra, {} from usage_logs u \
         where u.created >= $1 and u.created < $2 and extra <> '' and {}",
        names.join(", "),
        kept("h", "hour"),
        names.iter().map(|_| "0").collect::<Vec<_>>().join(", "),
        kept("u", "created"),
    );
    let mut sums: HashMap<(String, [String; GROUP.len()]), Extras> = HashMap::new();
    for row in db.query(&sql, vec![day.into(), next.into()]).await? {
        let key = (row.get("hour")?, group_of(&row)?);
        let sums = sums.entry(key).or_default();
        if row.get::<i64>("sign")? > 0 {
            for (sum, name) in sums.iter_mut().zip(names) {
                *sum += row.get::<i64>(name)?;
            }
        } else {
            let extras = extras_of(&row.get::<String>("extra")?)?;
            for (sum, extra) in sums.iter_mut().zip(extras) {
                *sum -= extra;
            }
        }
    }
    for ((hour, group), sums) in sums {
        for (sum, name) in sums.iter().zip(names).filter(|(sum, _)| **sum != 0) {
            found.push(Difference {
                what: format!("hour {hour} ({}) {name} against the rows", group.join(" ")),
                stands: format!("{sum} more"),
                should_be: "as many".into(),
            });
        }
    }
    Ok(())
}

async fn coarser(db: &Db, coarse: &Coarse, found: &mut Vec<Difference>) -> cf_base::Result<()> {
    let group: Vec<&str> = coarse.group.iter().map(|at| GROUP[*at]).collect();
    let group = group.join(", ");
    let sums = COARSE.map(|at| SUMS[at]);
    let (time, chars, table) = (coarse.time, coarse.time_chars, coarse.table);
    let both = |source: &str| {
        sums.map(|sum| {
            format!("cast(sum(case when source = '{source}' then {sum} else 0 end) as bigint)")
        })
    };
    let (hours, coarse) = (both("hours"), both("coarse"));
    let differ: Vec<String> = (hours.iter().zip(&coarse))
        .map(|(a, b)| format!("{a} <> {b}"))
        .collect();
    let columns = sums.join(", ");
    let sql = format!(
        "select t as hour, {group}, {}, {} from (\
         select 'hours' as source, substr(hour, 1, {chars}) as t, {group}, {columns} from usage_hours \
         union all select 'coarse' as source, {time} as t, {group}, {columns} from {table}) as both_of_them \
         group by t, {group} having {} limit {MOST}",
        hours.join(", "),
        coarse.join(", "),
        differ.join(" or ")
    );
    let first = 1 + group.split(", ").count();
    for row in db.query(&sql, vec![]).await? {
        for (at, sum) in sums.iter().enumerate() {
            push(
                found,
                &row,
                &format!("{sum} of {table}"),
                first + sums.len() + at,
                first + at,
            )?;
        }
    }
    Ok(())
}

fn push(
    found: &mut Vec<Difference>,
    row: &Row,
    what: &str,
    stands: usize,
    should_be: usize,
) -> cf_base::Result<()> {
    let (stands, should_be): (i64, i64) = (row.at(stands)?, row.at(should_be)?);
    if stands != should_be {
        let group: Vec<String> = row
            .iter()
            .skip(1)
            .take_while(|(name, _)| GROUP.contains(name))
            .filter_map(|(_, value)| match value {
                cf_db::Value::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect();
        let time: String = row.at(0)?;
        found.push(Difference {
            what: format!("sum at {time} ({}) {what}", group.join(" ")),
            stands: stands.to_string(),
            should_be: should_be.to_string(),
        });
    }
    Ok(())
}
