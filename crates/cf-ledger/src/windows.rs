//! Several windows on one owner: which there are, opened and closed so that the
//! sums of the entries stay right.

use cf_base::{Id, Nanos, Timestamp};
use cf_db::Tx;

use crate::account::{
    Account, AccountKind, By, Entry, MAIN, change_limit, date, in_order, lock, write_entry,
};
use crate::increases::end_increases_of;
use crate::period::Period;
use crate::resets::{Closed, close_period};

/// Windows that one owner may have: each is read and written with every call.
pub const MAX_WINDOWS: usize = 8;
/// Longest name of a window.
const MAX_NAME: usize = 32;

/// A window as it is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WindowSpec {
    /// Small letters, digits, `-` and `_`; [`MAIN`] is the one the budget fields show.
    pub name: String,
    /// The limit; none is possible for tenants and keys.
    pub limit: Option<Nanos>,
    /// How long a period lasts.
    pub period: Period,
    /// Whether what is left goes into the next period.
    pub carry_over: bool,
}

/// Whether this is a possible list of windows beside the main one.
pub fn check_windows(specs: &[WindowSpec]) -> cf_base::Result<()> {
    let refuse = |sentence: String| Err(cf_base::Error::invalid_field("windows", sentence));
    if specs.len() > MAX_WINDOWS {
        return refuse(format!("There may be {MAX_WINDOWS} budgets at most."));
    }
    for (at, spec) in specs.iter().enumerate() {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let name = &spec.name;
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            return refuse(format!(
                "\"{name}\" cannot name a budget: 1 to {MAX_NAME} small letters, digits, - and _."
            ));
        }
        if specs[..at].iter().any(|other| other.name == *name) {
            return refuse(format!("There are two budgets named \"{name}\"."));
        }
        if spec.limit.is_some_and(|limit| limit < Nanos::ZERO) {
            return refuse(format!("The limit of \"{name}\" must not be below zero."));
        }
        if spec.limit.is_none() && name != MAIN {
            return refuse(format!("The budget \"{name}\" needs a limit."));
        }
    }
    Ok(())
}

/// Gives an owner exactly these windows: limits and periods of those that stay
/// are changed, new ones begin empty now, others end. What running calls have
/// reserved counts in new ones too.
pub async fn set_windows(
    tx: &mut Tx,
    owner: Id,
    specs: &[WindowSpec],
    time_zone: &str,
    by: &By<'_>,
) -> cf_base::Result<()> {
    check_windows(specs)?;
    let found = lock(tx, owner).await?;
    let Some(wanted) = specs.iter().find(|spec| spec.name == MAIN) else {
        return Err(cf_base::Error::invalid_field(
            "windows",
            format!("The budget \"{MAIN}\" cannot be left out."),
        ));
    };
    if wanted.limit.is_none() && found[0].kind == AccountKind::User {
        return Err(cf_base::Error::invalid_field(
            "windows",
            "A user's main budget needs a limit.",
        ));
    }
    for account in &found {
        match specs.iter().find(|spec| spec.name == account.window) {
            Some(spec) => change(tx, owner, account, spec, time_zone, by).await?,
            None => close(tx, owner, account, by).await?,
        }
    }
    for spec in specs {
        if !found.iter().any(|account| account.window == spec.name) {
            open(tx, owner, &found[0], spec, time_zone, by).await?;
        }
    }
    tx.execute(
        "update ledger_accounts set windows = $1 where owner_id = $2 and window_name = $3",
        vec![
            i64::try_from(specs.len()).expect("a short list").into(),
            owner.into(),
            MAIN.into(),
        ],
    )
    .await?;
    Ok(())
}

async fn change(
    tx: &mut Tx,
    owner: Id,
    account: &Account,
    spec: &WindowSpec,
    time_zone: &str,
    by: &By<'_>,
) -> cf_base::Result<()> {
    change_limit(tx, owner, account, spec.limit, by).await?;
    let same_period = account.period == spec.period && account.time_zone == time_zone;
    if same_period && account.carry_over == spec.carry_over {
        return Ok(());
    }
    let (mut start, mut end) = (account.period_start.clone(), account.reset_date.clone());
    if account.period != spec.period || !same_period && spec.period.days() == 0 {
        (start, end) = dates(spec.period, time_zone, by.clock.now());
    }
    tx.execute(
        "update ledger_accounts set period = $1, period_days = $2, time_zone = $3, carry_over = $4, \
         period_start = $5, reset_date = $6 where owner_id = $7 and window_name = $8",
        vec![
            spec.period.word().into(),
            spec.period.days().into(),
            time_zone.into(),
            spec.carry_over.into(),
            start.into(),
            end.into(),
            owner.into(),
            (&account.window).into(),
        ],
    )
    .await?;
    Ok(())
}

async fn open(
    tx: &mut Tx,
    owner: Id,
    main: &Account,
    spec: &WindowSpec,
    time_zone: &str,
    by: &By<'_>,
) -> cf_base::Result<()> {
    let (start, end) = dates(spec.period, time_zone, by.clock.now());
    // Calls made before do not count in it: its first entry takes them off.
    let before = main.by_calls();
    tx.execute(
        "insert into ledger_accounts (owner_id, window_name, kind, currency, limit_nanos, \
         pending_nanos, adjusted_nanos, period, period_days, time_zone, carry_over, period_start, \
         reset_date) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        vec![
            owner.into(),
            (&spec.name).into(),
            main.kind.as_str().into(),
            main.currency.as_str().into(),
            spec.limit.into(),
            main.pending.into(),
            (-before).into(),
            spec.period.word().into(),
            spec.period.days().into(),
            time_zone.into(),
            spec.carry_over.into(),
            start.into(),
            end.into(),
        ],
    )
    .await?;
    let entry = Entry {
        kind: "open",
        window: &spec.name,
        posted: -before,
        limit: spec.limit.unwrap_or_default(),
        note: by.note,
        actor: by.actor,
    };
    write_entry(
        tx,
        owner,
        main.kind,
        main.currency,
        &entry,
        by.clock,
        by.random,
    )
    .await
}

async fn close(tx: &mut Tx, owner: Id, account: &Account, by: &By<'_>) -> cf_base::Result<()> {
    end_increases_of(tx, owner, &account.window, by.clock.now()).await?;
    let closed = Closed {
        ends: date(by.clock.now()),
        carried: Nanos::ZERO,
    };
    close_period(tx, owner, account, &closed, by).await?;
    tx.execute(
        "delete from ledger_accounts where owner_id = $1 and window_name = $2",
        vec![owner.into(), (&account.window).into()],
    )
    .await?;
    // Its own entries come to nothing, so that it can be opened again.
    let entry = Entry {
        kind: "close",
        window: &account.window,
        posted: -account.adjusted,
        limit: -account.limit.unwrap_or_default(),
        note: by.note,
        actor: by.actor,
    };
    let (kind, currency) = (account.kind, account.currency);
    write_entry(tx, owner, kind, currency, &entry, by.clock, by.random).await
}

/// The owners that `select` finds (ids, by its parameter `$1`) are in another
/// time zone now: days, weeks and months end by it from now on. What was spent
/// stays.
pub async fn set_time_zone(
    tx: &mut Tx,
    select: &str,
    id: Id,
    time_zone: &str,
    now: Timestamp,
) -> cf_base::Result<()> {
    let lock = format!(
        "select owner_id from ledger_accounts where owner_id in ({select}){}",
        in_order(tx)
    );
    if tx.is_postgres() {
        tx.query(&lock, vec![id.into()]).await?;
    }
    for period in [Period::Day, Period::Week, Period::Month] {
        let (_, end) = dates(period, time_zone, now);
        tx.execute(
            &format!(
                "update ledger_accounts set time_zone = $2, reset_date = $3 \
                 where period = $4 and owner_id in ({select})"
            ),
            vec![
                id.into(),
                time_zone.into(),
                end.into(),
                period.word().into(),
            ],
        )
        .await?;
    }
    tx.execute(
        &format!(
            "update ledger_accounts set time_zone = $2 \
             where period in ('total', 'days') and owner_id in ({select})"
        ),
        vec![id.into(), time_zone.into()],
    )
    .await?;
    Ok(())
}

/// Begin and end of a period that begins with its window.
fn dates(period: Period, time_zone: &str, now: Timestamp) -> (String, String) {
    match period.first(time_zone, now) {
        Some(span) => (date(span.start), date(span.end)),
        None => (date(now), String::new()),
    }
}
