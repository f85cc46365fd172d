//! The accounts of users, tenants and keys: opened with their record, given
//! limits, topped up and reset, each change with its entry.

use std::time::Duration;

use cf_base::{Clock, Currency, Id, Kind, Nanos, Random, Timestamp};
use cf_db::{Db, Tx};

use crate::notices::{move_period, rearm_at};

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
    fn as_str(self) -> &'static str {
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

/// An account to open.
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
    /// Length of a period; 0 for a budget that is never reset.
    pub period_days: i64,
    /// When the period ends; none for a budget that is never reset.
    pub resets_at: Option<Timestamp>,
}

/// An account as it stands.
#[derive(Clone, Debug)]
pub struct Account {
    /// Whose it is.
    pub kind: AccountKind,
    /// The budget's currency.
    pub currency: Currency,
    /// The limit, where there is one.
    pub limit: Option<Nanos>,
    /// Spent in this period.
    pub posted: Nanos,
    /// Reserved by running calls.
    pub pending: Nanos,
    /// Length of a period; 0 for a budget that is never reset.
    pub period_days: i64,
    /// End of the period as a record date; empty for a budget that is never reset.
    pub reset_date: String,
}

impl Account {
    /// The limit less what was spent, as the budget fields show it.
    pub fn remaining(&self) -> Nanos {
        self.limit
            .map_or(Nanos(i64::MAX), |limit| limit - self.posted)
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
    let reset_date = new
        .resets_at
        .map(|t| t.to_date_text().to_string())
        .unwrap_or_default();
    let opened = tx
        .execute(
            "insert into ledger_accounts (owner_id, kind, currency, limit_nanos, posted_nanos, \
             period_days, reset_date) values ($1, $2, $3, $4, $5, $6, $7) \
             on conflict (owner_id) do nothing",
            vec![
                new.owner.into(),
                new.kind.as_str().into(),
                new.currency.as_str().into(),
                new.limit.into(),
                new.used.into(),
                new.period_days.into(),
                reset_date.into(),
            ],
        )
        .await?;
    let limit = new.limit.unwrap_or_default();
    if opened == 1 && (limit != Nanos::ZERO || new.used != Nanos::ZERO) {
        let entry = Entry {
            kind: "limit",
            posted: new.used,
            limit,
            note: "account opened",
            actor,
        };
        write_entry(tx, new.owner, new.kind, new.currency, &entry, clock, random).await?;
    }
    Ok(())
}

/// The account of a user, tenant or key.
pub async fn account(db: &Db, owner: Id) -> cf_base::Result<Option<Account>> {
    let row = db.query_opt(SELECT, vec![owner.into()]).await?;
    row.map(|row| read(&row)).transpose()
}

/// Sets the limit.
pub async fn set_limit(
    tx: &mut Tx,
    owner: Id,
    limit: Option<Nanos>,
    note: &str,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<()> {
    let account = lock(tx, owner).await?;
    if account.limit == limit {
        return Ok(());
    }
    tx.execute(
        "update ledger_accounts set limit_nanos = $1 where owner_id = $2",
        vec![limit.into(), owner.into()],
    )
    .await?;
    rearm_at(tx, owner, account.posted, limit).await?;
    let entry = Entry {
        kind: "limit",
        posted: Nanos::ZERO,
        limit: limit.unwrap_or_default() - account.limit.unwrap_or_default(),
        note,
        actor,
    };
    write_entry(
        tx,
        owner,
        account.kind,
        account.currency,
        &entry,
        clock,
        random,
    )
    .await
}

/// Raises the limit by `amount`, which must be above zero.
pub async fn top_up(
    tx: &mut Tx,
    owner: Id,
    amount: Nanos,
    note: &str,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<()> {
    let account = lock(tx, owner).await?;
    let Some(limit) = account.limit else {
        return Err(cf_base::Error::new(
            Kind::Unprocessable,
            "This budget has no limit, so it cannot be topped up.",
        ));
    };
    let limit = limit
        .0
        .checked_add(amount.0)
        .filter(|_| amount.0 > 0)
        .ok_or_else(|| {
            cf_base::Error::invalid_field(
                "amount",
                "The amount must be above zero and within range.",
            )
        })?;
    let note = if note.is_empty() { "top-up" } else { note };
    set_limit(tx, owner, Some(Nanos(limit)), note, actor, clock, random).await
}

/// Sets when the period ends; empty for never.
pub async fn set_reset_date(tx: &mut Tx, owner: Id, date: &str) -> cf_base::Result<()> {
    move_period(tx, owner, date).await?;
    tx.execute(
        "update ledger_accounts set reset_date = $1 where owner_id = $2",
        vec![date.into(), owner.into()],
    )
    .await?;
    Ok(())
}

/// Sets what was spent back to nothing and starts a new period now. What
/// running calls have reserved stays reserved.
pub async fn reset_budget(
    tx: &mut Tx,
    owner: Id,
    note: &str,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<Account> {
    let account = lock(tx, owner).await?;
    let next = if account.period_days > 0 {
        clock
            .now()
            .after(days(account.period_days))
            .to_date_text()
            .to_string()
    } else {
        String::new()
    };
    reset(tx, owner, &account, &next, note, actor, clock, random).await?;
    Ok(Account {
        posted: Nanos::ZERO,
        reset_date: next,
        ..account
    })
}

/// Resets every budget whose period has ended, at most once per period, also
/// after days of downtime. Returns how many.
pub async fn reset_due_budgets(db: &Db, clock: &Clock, random: &Random) -> cf_base::Result<usize> {
    let mut done = 0;
    loop {
        let now = clock.now();
        let due = db
            .query(
                "select owner_id from ledger_accounts where reset_date <> '' and reset_date <= $1 \
                 order by owner_id limit 500",
                vec![now.to_date_text().to_string().into()],
            )
            .await?;
        if due.is_empty() {
            return Ok(done);
        }
        let mut tx = db.begin().await?;
        for row in &due {
            let owner: Id = row.at(0)?;
            let account = lock(&mut tx, owner).await?;
            // Another node may have been faster.
            let Some(end) = Timestamp::parse(&account.reset_date).filter(|end| *end <= now) else {
                continue;
            };
            let mut next = end;
            if account.period_days > 0 {
                while next <= now {
                    next = next.after(days(account.period_days));
                }
            }
            let next = if next > now {
                next.to_date_text().to_string()
            } else {
                String::new()
            };
            reset(
                &mut tx,
                owner,
                &account,
                &next,
                "period ended",
                "system",
                clock,
                random,
            )
            .await?;
            done += 1;
        }
        tx.commit().await?;
    }
}

#[allow(clippy::too_many_arguments)] // one place that both resets share
async fn reset(
    tx: &mut Tx,
    owner: Id,
    account: &Account,
    next: &str,
    note: &str,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<()> {
    tx.execute(
        "update ledger_accounts set posted_nanos = 0, reset_date = $1 where owner_id = $2",
        vec![next.into(), owner.into()],
    )
    .await?;
    rearm_at(tx, owner, Nanos::ZERO, account.limit).await?;
    let entry = Entry {
        kind: "reset",
        posted: -account.posted,
        limit: Nanos::ZERO,
        note,
        actor,
    };
    write_entry(
        tx,
        owner,
        account.kind,
        account.currency,
        &entry,
        clock,
        random,
    )
    .await
}

const SELECT: &str = "select kind, currency, limit_nanos, posted_nanos, pending_nanos, period_days, \
                      reset_date from ledger_accounts where owner_id = $1";

pub(crate) fn read(row: &cf_db::Row) -> cf_base::Result<Account> {
    Ok(Account {
        kind: AccountKind::parse(&row.get::<String>("kind")?),
        currency: Currency::parse(&row.get::<String>("currency")?).unwrap_or(Currency::EUR),
        limit: row.get("limit_nanos")?,
        posted: row.get("posted_nanos")?,
        pending: row.get("pending_nanos")?,
        period_days: row.get("period_days")?,
        reset_date: row.get("reset_date")?,
    })
}

async fn lock(tx: &mut Tx, owner: Id) -> cf_base::Result<Account> {
    let sql = format!("{SELECT}{}", tx.for_update());
    match tx.query_opt(&sql, vec![owner.into()]).await? {
        Some(row) => read(&row),
        None => Err(cf_base::Error::new(
            Kind::NotFound,
            "There is no budget account for this record.",
        )),
    }
}

fn days(days: i64) -> Duration {
    Duration::from_secs(u64::try_from(days).unwrap_or(0) * 86_400)
}

struct Entry<'a> {
    kind: &'a str,
    posted: Nanos,
    limit: Nanos,
    note: &'a str,
    actor: &'a str,
}

async fn write_entry(
    tx: &mut Tx,
    owner: Id,
    kind: AccountKind,
    currency: Currency,
    entry: &Entry<'_>,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<()> {
    let now = clock.now();
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
    tx.execute(
        "insert into ledger_entries (id, kind, user_id, tenant_id, key_id, currency, posted_nanos, \
         limit_nanos, tenant_currency, tenant_posted_nanos, note, actor, created) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        vec![
            Id::sorted(now, random).into(),
            entry.kind.into(),
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
            now.to_date_text().to_string().into(),
        ],
    )
    .await?;
    Ok(())
}
