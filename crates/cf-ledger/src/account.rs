//! The accounts of users, tenants and keys: opened with their record, given
//! limits and topped up, each change with its entry. An owner has one account for
//! each window; [`MAIN`] is there always and is what the budget fields show.

use cf_base::{Clock, Currency, Id, Kind, Nanos, Random, Timestamp};
use cf_db::{Db, Tx, Value};

use crate::notices::{move_period, rearm_at};
use crate::period::Period;

/// The window that every owner has.
pub const MAIN: &str = "main";

/// Whose account it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccountKind {
    /// A user.
    User,
    /// A tenant.
    Tenant,
    /// An API key.
    Key,
}

impl AccountKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Tenant => "tenant",
            Self::Key => "key",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "tenant" => Self::Tenant,
            "key" => Self::Key,
            _ => Self::User,
        }
    }
}

/// An account to open: the owner's main window.
pub struct NewAccount {
    /// Id of the user, tenant or key.
    pub owner: Id,
    /// Whose it is.
    pub kind: AccountKind,
    /// The budget's currency.
    pub currency: Currency,
    /// The limit; none for tenants and keys without a budget of their own.
    pub limit: Option<Nanos>,
    /// Spent already (records taken over from elsewhere).
    pub used: Nanos,
    /// How long a period lasts.
    pub period: Period,
    /// Whether what is left goes into the next period.
    pub carry_over: bool,
    /// The tenant's time zone, in which days, weeks and months begin.
    pub time_zone: String,
    /// When the first period ends, where it is not by its kind.
    pub resets_at: Option<Timestamp>,
}

/// An account as it stands: one window of its owner.
#[derive(Clone, Debug)]
pub struct Account {
    /// Which window.
    pub window: String,
    /// Whose it is.
    pub kind: AccountKind,
    /// The budget's currency.
    pub currency: Currency,
    /// The limit in force, where there is one: what was set, plus `carried`, plus `extra`.
    pub limit: Option<Nanos>,
    /// Spent in this period.
    pub posted: Nanos,
    /// Reserved by running calls.
    pub pending: Nanos,
    /// Left over by earlier periods.
    pub carried: Nanos,
    /// Temporary increases in force.
    pub extra: Nanos,
    /// How long a period lasts.
    pub period: Period,
    /// Whether what is left goes into the next period.
    pub carry_over: bool,
    /// In which days, weeks and months begin.
    pub time_zone: String,
    /// Begin of the period as a record date; empty where it is not known.
    pub period_start: String,
    /// End of the period as a record date; empty for a budget that is never reset.
    pub reset_date: String,
    /// Posted without calls, ever: resets, and what was spent before.
    pub(crate) adjusted: Nanos,
}

impl Account {
    /// The limit as it was set, without what was carried over or added for a while.
    pub fn base(&self) -> Option<Nanos> {
        self.limit.map(|limit| limit - self.carried - self.extra)
    }

    /// The limit less what was spent, as the budget fields show it.
    pub fn remaining(&self) -> Nanos {
        self.limit
            .map_or(Nanos(i64::MAX), |limit| limit - self.posted)
    }

    /// What may still be reserved; at the end of the range without a limit.
    pub fn left(&self) -> Nanos {
        self.limit.map_or(Nanos(i64::MAX), |limit| {
            limit
                .saturating_add(-self.posted)
                .saturating_add(-self.pending)
        })
    }

    /// What all calls of the owner have cost, ever.
    pub(crate) fn by_calls(&self) -> Nanos {
        self.posted - self.adjusted
    }

    /// The limit in force when `base` is set.
    pub(crate) fn in_force(&self, base: Option<Nanos>) -> cf_base::Result<Option<Nanos>> {
        let Some(base) = base else { return Ok(None) };
        let sum = base
            .0
            .checked_add(self.carried.0)
            .and_then(|sum| sum.checked_add(self.extra.0))
            .filter(|_| base.0 >= 0);
        match sum {
            Some(sum) => Ok(Some(Nanos(sum))),
            None => Err(cf_base::Error::invalid_field(
                "limit",
                "The limit must not be below zero, and within range.",
            )),
        }
    }
}

/// Opens an account. One that exists already is left as it is.
pub async fn open_account(
    tx: &mut Tx,
    new: &NewAccount,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<()> {
    let now = clock.now();
    let first = new.period.first(&new.time_zone, now);
    let reset_date = new.resets_at.or(first.map(|span| span.end)).map(date);
    let opened = tx
        .execute(
            "insert into ledger_accounts (owner_id, window_name, kind, currency, limit_nanos, \
             posted_nanos, adjusted_nanos, period, period_days, time_zone, carry_over, \
             period_start, reset_date) \
             values ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11, $12) \
             on conflict (owner_id, window_name) do nothing",
            vec![
                new.owner.into(),
                MAIN.into(),
                new.kind.as_str().into(),
                new.currency.as_str().into(),
                new.limit.into(),
                new.used.into(),
                new.period.word().into(),
                new.period.days().into(),
                (&new.time_zone).into(),
                new.carry_over.into(),
                date(first.map_or(now, |span| span.start)).into(),
                reset_date.unwrap_or_default().into(),
            ],
        )
        .await?;
    let limit = new.limit.unwrap_or_default();
    if opened == 1 && (limit != Nanos::ZERO || new.used != Nanos::ZERO) {
        let entry = Entry {
            kind: "limit",
            window: MAIN,
            posted: new.used,
            limit,
            note: "account opened",
            actor,
        };
        write_entry(tx, new.owner, new.kind, new.currency, &entry, clock, random).await?;
    }
    Ok(())
}

/// The account of a user, tenant or key: its main window.
pub async fn account(db: &Db, owner: Id) -> cf_base::Result<Option<Account>> {
    let sql = format!("{SELECT} where owner_id = $1 and window_name = $2");
    let row = db.query_opt(&sql, vec![owner.into(), MAIN.into()]).await?;
    row.map(|row| read(&row)).transpose()
}

/// Every window of a user, tenant or key, the main one first; none where it
/// has no account.
pub async fn windows(db: &Db, owner: Id) -> cf_base::Result<Vec<Account>> {
    let sql = format!("{SELECT} where owner_id = $1 order by window_name");
    sorted(db.query(&sql, vec![owner.into()]).await?)
}

/// Sets the limit of the main window.
pub async fn set_limit(
    tx: &mut Tx,
    owner: Id,
    limit: Option<Nanos>,
    note: &str,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<()> {
    let account = main(lock(tx, owner).await?)?;
    let by = By {
        note,
        actor,
        clock,
        random,
    };
    change_limit(tx, owner, &account, limit, &by).await
}

/// Sets the limit of a window that is locked.
pub(crate) async fn change_limit(
    tx: &mut Tx,
    owner: Id,
    account: &Account,
    base: Option<Nanos>,
    by: &By<'_>,
) -> cf_base::Result<()> {
    let limit = account.in_force(base)?;
    if account.limit == limit {
        return Ok(());
    }
    tx.execute(
        "update ledger_accounts set limit_nanos = $1 where owner_id = $2 and window_name = $3",
        vec![limit.into(), owner.into(), (&account.window).into()],
    )
    .await?;
    rearm_at(tx, owner, &account.window, account.posted, limit).await?;
    let entry = Entry {
        kind: "limit",
        window: &account.window,
        posted: Nanos::ZERO,
        limit: limit.unwrap_or_default() - account.limit.unwrap_or_default(),
        note: by.note,
        actor: by.actor,
    };
    let (kind, currency) = (account.kind, account.currency);
    write_entry(tx, owner, kind, currency, &entry, by.clock, by.random).await
}

/// Raises the limit of the main window by `amount`, which must be above zero.
pub async fn top_up(
    tx: &mut Tx,
    owner: Id,
    amount: Nanos,
    note: &str,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<()> {
    let account = main(lock(tx, owner).await?)?;
    let Some(base) = account.base() else {
        return Err(cf_base::Error::new(
            Kind::Unprocessable,
            "This budget has no limit, so it cannot be topped up.",
        ));
    };
    let base = base
        .0
        .checked_add(amount.0)
        .map(Nanos)
        .filter(|base| amount.0 > 0 && account.in_force(Some(*base)).is_ok())
        .ok_or_else(|| {
            cf_base::Error::invalid_field(
                "amount",
                "The amount must be above zero and within range.",
            )
        })?;
    let by = By {
        note: if note.is_empty() { "top-up" } else { note },
        actor,
        clock,
        random,
    };
    change_limit(tx, owner, &account, Some(base), &by).await
}

/// Sets when the main window's period ends; empty for never.
pub async fn set_reset_date(tx: &mut Tx, owner: Id, date: &str) -> cf_base::Result<()> {
    move_period(tx, owner, date).await?;
    tx.execute(
        "update ledger_accounts set reset_date = $1 where owner_id = $2 and window_name = $3",
        vec![date.into(), owner.into(), MAIN.into()],
    )
    .await?;
    Ok(())
}

/// Why and by whom something is changed, when, and where ids come from.
#[derive(Clone, Copy)]
pub struct By<'a> {
    /// What the entry says.
    pub note: &'a str,
    /// Who changes it.
    pub actor: &'a str,
    /// Time.
    pub clock: &'a Clock,
    /// Randomness.
    pub random: &'a Random,
}

pub(crate) const SELECT: &str = "select owner_id, window_name, kind, currency, limit_nanos, \
    posted_nanos, pending_nanos, adjusted_nanos, carried_nanos, extra_nanos, period, period_days, \
    time_zone, carry_over, period_start, reset_date from ledger_accounts";

pub(crate) fn read(row: &cf_db::Row) -> cf_base::Result<Account> {
    let days: i64 = row.get("period_days")?;
    Ok(Account {
        window: row.get("window_name")?,
        kind: AccountKind::parse(&row.get::<String>("kind")?),
        currency: Currency::parse(&row.get::<String>("currency")?).unwrap_or(Currency::EUR),
        limit: row.get("limit_nanos")?,
        posted: row.get("posted_nanos")?,
        pending: row.get("pending_nanos")?,
        carried: row.get("carried_nanos")?,
        extra: row.get("extra_nanos")?,
        period: Period::parse(&row.get::<String>("period")?, days).unwrap_or(Period::Total),
        carry_over: row.get("carry_over")?,
        time_zone: row.get("time_zone")?,
        period_start: row.get("period_start")?,
        reset_date: row.get("reset_date")?,
        adjusted: row.get("adjusted_nanos")?,
    })
}

/// Locks every window of an owner, in the order in which the writer does; the
/// main one comes first.
pub(crate) async fn lock(tx: &mut Tx, owner: Id) -> cf_base::Result<Vec<Account>> {
    let sql = format!("{SELECT} where owner_id = $1{}", in_order(tx));
    let mut found = sorted(tx.query(&sql, vec![owner.into()]).await?)?;
    if found.is_empty() {
        return Err(cf_base::Error::new(
            Kind::NotFound,
            "There is no budget account for this record.",
        ));
    }
    // On PostgreSQL the lock may have been waited for while a window was opened.
    if tx.is_postgres() {
        found = sorted(tx.query(&sql, vec![owner.into()]).await?)?;
    }
    Ok(found)
}

/// The end of a `select` that locks accounts: always in this order, so that two
/// never wait for each other. Main windows come before the others of their
/// owner, so that who has one has a say over which others there are.
pub(crate) fn in_order(tx: &Tx) -> &'static str {
    if tx.is_postgres() {
        " order by owner_id, window_name <> 'main', window_name for update"
    } else {
        ""
    }
}

fn sorted(rows: Vec<cf_db::Row>) -> cf_base::Result<Vec<Account>> {
    let mut found = rows.iter().map(read).collect::<cf_base::Result<Vec<_>>>()?;
    found.sort_by_key(|account| account.window != MAIN);
    Ok(found)
}

/// The main one of an owner's windows.
pub(crate) fn main(windows: Vec<Account>) -> cf_base::Result<Account> {
    pick(windows, MAIN)
}

/// The window of this name.
pub(crate) fn pick(windows: Vec<Account>, name: &str) -> cf_base::Result<Account> {
    windows
        .into_iter()
        .find(|account| account.window == name)
        .ok_or_else(|| {
            cf_base::Error::new(
                Kind::NotFound,
                format!("This record has no budget \"{name}\"."),
            )
        })
}

pub(crate) fn date(at: Timestamp) -> String {
    at.to_date_text().to_string()
}

pub(crate) struct Entry<'a> {
    pub(crate) kind: &'a str,
    pub(crate) window: &'a str,
    pub(crate) posted: Nanos,
    pub(crate) limit: Nanos,
    pub(crate) note: &'a str,
    pub(crate) actor: &'a str,
}

pub(crate) const INSERT_ENTRY: &str = "insert into ledger_entries (id, kind, window_name, user_id, \
    tenant_id, key_id, currency, posted_nanos, limit_nanos, tenant_currency, tenant_posted_nanos, \
    note, actor, created) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

/// The values of [`INSERT_ENTRY`].
pub(crate) fn entry_values(
    owner: Id,
    kind: AccountKind,
    currency: Currency,
    entry: &Entry<'_>,
    now: Timestamp,
    random: &Random,
) -> Vec<Value> {
    let of = |wanted| {
        if kind == wanted {
            owner.to_string()
        } else {
            String::new()
        }
    };
    // A tenant's amounts stand in the tenant's columns, as in a call's entries.
    let is_tenant = kind == AccountKind::Tenant;
    let (posted, tenant_posted) = if is_tenant {
        (Nanos::ZERO, entry.posted)
    } else {
        (entry.posted, Nanos::ZERO)
    };
    vec![
        Id::sorted(now, random).into(),
        entry.kind.into(),
        entry.window.into(),
        of(AccountKind::User).into(),
        of(AccountKind::Tenant).into(),
        of(AccountKind::Key).into(),
        currency.as_str().into(),
        posted.into(),
        entry.limit.into(),
        if is_tenant { currency.as_str() } else { "" }.into(),
        tenant_posted.into(),
        entry.note.into(),
        entry.actor.into(),
        date(now).into(),
    ]
}

pub(crate) async fn write_entry(
    tx: &mut Tx,
    owner: Id,
    kind: AccountKind,
    currency: Currency,
    entry: &Entry<'_>,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<()> {
    let values = entry_values(owner, kind, currency, entry, clock.now(), random);
    tx.execute(INSERT_ENTRY, values).await?;
    Ok(())
}
