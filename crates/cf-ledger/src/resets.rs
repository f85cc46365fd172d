//! Periods that end: by the job, at most once each, in chunks so short that
//! calls go on meanwhile; and by hand.

use std::collections::BTreeMap;

use cf_base::{Clock, Currency, Id, Nanos, Random, Timestamp};
use cf_db::{Db, DbError, Tx, Value};
use tokio::task::JoinSet;

use crate::account::{
    Account, By, Entry, INSERT_ENTRY, SELECT, date, entry_values, in_order, lock, main, read,
    write_entry,
};
use crate::increases::end_due_increases;
use crate::notices::rearm_at;
use crate::period::Period;

/// Windows that are reset in one transaction: SQLite's one writer is held for
/// some milliseconds, PostgreSQL's rows are locked for so long.
const CHUNK: usize = 250;
/// Transactions at a time on PostgreSQL, which works on each with a processor of
/// its own.
const LANES: usize = 2;
/// Windows found due at a time.
const FOUND: i64 = 16_384;
/// Closed periods in one answer.
pub const MAX_PERIODS: i64 = 500;

/// A period that is over.
#[derive(Clone, Debug)]
pub struct ClosedPeriod {
    /// Which window.
    pub window: String,
    /// The amounts' currency.
    pub currency: Currency,
    /// Its begin, as a record date; empty where it was not known.
    pub starts: String,
    /// Its end.
    pub ends: String,
    /// The limit in force at its end.
    pub limit: Option<Nanos>,
    /// What was spent.
    pub spent: Nanos,
    /// What went into the period after it.
    pub carried: Nanos,
}

/// How a period ends.
pub(crate) struct Closed {
    pub(crate) ends: String,
    pub(crate) carried: Nanos,
}

/// Sets what was spent in every window back to nothing and starts new rolling
/// periods now; days, weeks and months end when they do. What running calls have
/// reserved stays reserved. Returns the main window.
pub async fn reset_budget(
    tx: &mut Tx,
    owner: Id,
    note: &str,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<Account> {
    let now = clock.now();
    let by = By {
        note,
        actor,
        clock,
        random,
    };
    let mut found = lock(tx, owner).await?;
    for account in &mut found {
        let closed = Closed {
            ends: date(now),
            carried: account.carried,
        };
        close_period(tx, owner, account, &closed, &by).await?;
        let entry = Entry {
            kind: "reset",
            window: &account.window,
            posted: -account.posted,
            limit: Nanos::ZERO,
            note,
            actor,
        };
        let (kind, currency) = (account.kind, account.currency);
        write_entry(tx, owner, kind, currency, &entry, clock, random).await?;
        account.adjusted = account.adjusted - account.posted;
        account.posted = Nanos::ZERO;
        account.period_start = date(now);
        match account.period {
            Period::Total => account.reset_date = String::new(),
            Period::Days(_) => {
                let span = account.period.first(&account.time_zone, now);
                account.reset_date = span.map(|span| date(span.end)).unwrap_or_default();
            }
            // The day is not longer for that.
            Period::Day | Period::Week | Period::Month => {}
        }
        tx.execute(UPDATE, update_values(owner, account)).await?;
        // A budget without periods has no new one in which notices count anew.
        rearm_at(tx, owner, &account.window, Nanos::ZERO, account.limit).await?;
    }
    main(found)
}

/// Ends temporary increases and resets every budget whose time has come, at most
/// once per period, also after days of downtime and on several nodes at once.
/// Returns how many were reset.
pub async fn reset_due_budgets(db: &Db, clock: &Clock, random: &Random) -> cf_base::Result<usize> {
    end_due_increases(db, clock, random).await?;
    // Of different owners, so that none waits for another; SQLite has one writer.
    let lanes = if db.is_postgres() { LANES } else { 1 };
    let mut done = 0;
    loop {
        let due = db
            .query(
                "select distinct owner_id from ledger_accounts \
                 where reset_date <> '' and reset_date <= $1 order by owner_id limit $2",
                vec![date(clock.now()).into(), FOUND.into()],
            )
            .await?;
        let mut reset = 0;
        let owners = due
            .iter()
            .map(|row| row.at(0))
            .collect::<Result<Vec<Id>, _>>()?;
        let chunks: Vec<&[Id]> = owners.chunks(CHUNK).collect();
        for at_once in chunks.chunks(lanes) {
            // On threads that may be blocked. Nobody waits for the disk: after a
            // power cut what was not written is still due. The calls that came
            // meanwhile are next, as SQLite's writer is handed round in turn.
            let mut works = JoinSet::new();
            for chunk in at_once {
                let (db, chunk) = (db.clone(), chunk.to_vec());
                let (clock, random) = (clock.clone(), random.clone());
                works.spawn_blocking(move || {
                    tokio::runtime::Handle::current()
                        .block_on(reset_owners(&db, &chunk, &clock, &random))
                });
            }
            while let Some(work) = works.join_next().await {
                reset += work.map_err(cf_base::Error::internal)??;
            }
        }
        done += reset;
        // What another node has done, or what cannot be done, is not tried for ever.
        if reset == 0 {
            return Ok(done);
        }
    }
}

/// Resets what is due of these owners.
async fn reset_owners(
    db: &Db,
    owners: &[Id],
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<usize> {
    if let Some(done) = reset_chunk(db, owners, clock, random).await? {
        return Ok(done);
    }
    // Two ids of the same millisecond were alike; others are made up.
    let again = reset_chunk(db, owners, clock, random).await?;
    Ok(again.unwrap_or(0))
}

/// Resets what is due of these owners, in one transaction; none where an id was
/// taken already, and nothing was done.
async fn reset_chunk(
    db: &Db,
    owners: &[Id],
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<Option<usize>> {
    let now = clock.now();
    let due_until = date(now);
    let params = (0..CHUNK).map(|n| Value::from(owners[n.min(owners.len() - 1)]));
    let mut tx = db.begin_inline(false).await?;
    // What is due is decided below, not here: a condition on the date lets SQLite
    // go through the index of dates, and so through all that is due, each time.
    let sql = format!(
        "{SELECT} where owner_id in ({}){}",
        places(1),
        in_order(&tx)
    );
    let mut accounts = Vec::new();
    // Those that only begin anew, by window and new dates: mostly one group.
    let mut plain: BTreeMap<[String; 3], Vec<Value>> = BTreeMap::new();
    let (mut entries, mut periods) = (Vec::new(), Vec::new());
    for row in tx.query(&sql, params.collect()).await? {
        let owner: Id = row.get("owner_id")?;
        let mut account = read(&row)?;
        // Under the lock: another node may have been faster.
        if account.reset_date.is_empty() || account.reset_date > due_until {
            continue;
        }
        let Some(ended) = Timestamp::parse(&account.reset_date).filter(|end| *end <= now) else {
            tracing::error!(
                owner = owner.as_str(),
                reset_date = account.reset_date,
                "a budget's reset date cannot be read; set it anew"
            );
            continue;
        };
        let before = account.limit;
        let spent = account.posted;
        let span = account.period.after(&account.time_zone, ended, now);
        let carried = carry(&account, span.map_or(0, |span| span.missed));
        periods.push(period_values(
            owner,
            &account,
            &Closed {
                ends: account.reset_date.clone(),
                carried,
            },
            now,
            random,
        ));
        if let Some(limit) = account.limit {
            let base = limit - account.carried - account.extra;
            account.limit = Some(base.saturating_add(carried).saturating_add(account.extra));
        }
        let same_limit = account.limit == before && account.carried == carried;
        account.carried = carried;
        account.adjusted = account.adjusted - spent;
        account.posted = Nanos::ZERO;
        account.period_start = span.map_or_else(|| account.reset_date.clone(), |s| date(s.start));
        account.reset_date = span.map(|span| date(span.end)).unwrap_or_default();
        let entry = Entry {
            kind: "reset",
            window: &account.window,
            posted: -spent,
            limit: account.limit.unwrap_or_default() - before.unwrap_or_default(),
            note: "period ended",
            actor: "system",
        };
        entries.push(entry_values(
            owner,
            account.kind,
            account.currency,
            &entry,
            now,
            random,
        ));
        if same_limit {
            let group = [account.window, account.period_start, account.reset_date];
            plain.entry(group).or_default().push(owner.into());
        } else {
            accounts.push(update_values(owner, &account));
        }
    }
    let reset = entries.len();
    if reset == 0 {
        return Ok(Some(0));
    }
    for (group, owners) in plain {
        let mut params: Vec<Value> = group.into_iter().map(Value::from).collect();
        params.extend((0..CHUNK).map(|n| owners[n.min(owners.len() - 1)].clone()));
        let sql = format!(
            "update ledger_accounts set adjusted_nanos = adjusted_nanos - posted_nanos, \
             posted_nanos = 0, period_start = $2, reset_date = $3 \
             where window_name = $1 and owner_id in ({})",
            places(4)
        );
        tx.execute(&sql, params).await?;
    }
    if !accounts.is_empty() {
        tx.execute_many(UPDATE, accounts).await?;
    }
    for (sql, rows) in [(INSERT_ENTRY, entries), (INSERT_PERIOD, periods)] {
        match insert_all(&mut tx, sql, rows).await {
            Ok(()) => {}
            Err(DbError::Unique(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    tx.commit().await?;
    Ok(Some(reset))
}

/// [`CHUNK`] places of a list, from the one with this number.
fn places(first: usize) -> String {
    let places: Vec<String> = (first..first + CHUNK).map(|n| format!("${n}")).collect();
    places.join(", ")
}

/// Inserts many rows with few statements, as each is a round of its own inside
/// the database. `one` inserts one row and ends with its values.
async fn insert_all(tx: &mut Tx, one: &str, rows: Vec<Vec<Value>>) -> Result<(), DbError> {
    // More would only be more text to prepare.
    const AT_ONCE: usize = 50;
    let head = one.split("values").next().unwrap_or(one);
    for rows in rows.chunks(AT_ONCE) {
        let mut number = 0;
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            let places: Vec<String> = row
                .iter()
                .map(|_| {
                    number += 1;
                    format!("${number}")
                })
                .collect();
            values.push(format!("({})", places.join(", ")));
        }
        let sql = format!("{head}values {}", values.join(", "));
        tx.execute(&sql, rows.concat()).await?;
    }
    Ok(())
}

/// What goes into the next period: what is left of the limit, temporary
/// increases aside, and the whole of each period that nobody was there for.
fn carry(account: &Account, missed: i64) -> Nanos {
    let Some(base) = account.base().filter(|_| account.carry_over) else {
        return Nanos::ZERO;
    };
    let left = base
        .saturating_add(account.carried)
        .saturating_add(-account.posted)
        .max(Nanos::ZERO);
    Nanos(left.0.saturating_add(base.0.saturating_mul(missed)))
}

const UPDATE: &str = "update ledger_accounts set posted_nanos = $1, adjusted_nanos = $2, \
    limit_nanos = $3, carried_nanos = $4, period_start = $5, reset_date = $6 \
    where owner_id = $7 and window_name = $8";

fn update_values(owner: Id, account: &Account) -> Vec<Value> {
    vec![
        account.posted.into(),
        account.adjusted.into(),
        account.limit.into(),
        account.carried.into(),
        (&account.period_start).into(),
        (&account.reset_date).into(),
        owner.into(),
        (&account.window).into(),
    ]
}

const INSERT_PERIOD: &str = "insert into budget_periods (owner_id, id, window_name, currency, \
    starts, ends, limit_nanos, spent_nanos, carried_nanos) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

fn period_values(
    owner: Id,
    account: &Account,
    closed: &Closed,
    now: Timestamp,
    random: &Random,
) -> Vec<Value> {
    vec![
        owner.into(),
        Id::sorted(now, random).into(),
        (&account.window).into(),
        account.currency.as_str().into(),
        (&account.period_start).into(),
        (&closed.ends).into(),
        account.limit.into(),
        account.posted.into(),
        closed.carried.into(),
    ]
}

/// Keeps what a period came to.
pub(crate) async fn close_period(
    tx: &mut Tx,
    owner: Id,
    account: &Account,
    closed: &Closed,
    by: &By<'_>,
) -> cf_base::Result<()> {
    let values = period_values(owner, account, closed, by.clock.now(), by.random);
    tx.execute(INSERT_PERIOD, values).await?;
    Ok(())
}

/// Periods of an owner that are over, the latest first; of one window where one
/// is named. The count is of all of them.
pub async fn closed_periods(
    db: &Db,
    owner: Id,
    window: &str,
    skip: i64,
    limit: i64,
) -> cf_base::Result<(Vec<ClosedPeriod>, i64)> {
    const OF: &str = "from budget_periods where owner_id = $1 and ($2 = '' or window_name = $2)";
    let count = db
        .query_opt(
            &format!("select count(*) {OF}"),
            vec![owner.into(), window.into()],
        )
        .await?
        .map_or(Ok(0), |row| row.at(0))?;
    let rows = db
        .query(
            &format!(
                "select * {OF} order by ends desc, starts desc, id desc \
                 limit $3 offset $4"
            ),
            vec![
                owner.into(),
                window.into(),
                limit.clamp(1, MAX_PERIODS).into(),
                skip.max(0).into(),
            ],
        )
        .await?;
    let mut periods = Vec::with_capacity(rows.len());
    for row in &rows {
        periods.push(ClosedPeriod {
            window: row.get("window_name")?,
            currency: Currency::parse(&row.get::<String>("currency")?).unwrap_or(Currency::EUR),
            starts: row.get("starts")?,
            ends: row.get("ends")?,
            limit: row.get("limit_nanos")?,
            spent: row.get("spent_nanos")?,
            carried: row.get("carried_nanos")?,
        });
    }
    Ok((periods, count))
}
