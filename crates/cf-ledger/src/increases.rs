//! More for a while: increases of a limit that end by themselves.

use cf_base::{Clock, Id, Kind, Nanos, Random, Timestamp};
use cf_db::{Db, Tx};

use crate::account::{Account, By, Entry, date, lock, pick, write_entry};
use crate::notices::rearm_at;

/// Increases in one answer, and ended in one look of the job.
const MAX_INCREASES: i64 = 200;
/// Increases in force on one owner at a time.
const MAX_IN_FORCE: i64 = 50;

/// A temporary increase.
#[derive(Clone, Debug)]
pub struct Increase {
    /// Its id.
    pub id: Id,
    /// Of which window.
    pub window: String,
    /// By how much.
    pub amount: Nanos,
    /// Until when, as a record date.
    pub until: String,
    /// What it is for.
    pub note: String,
    /// Who gave it.
    pub actor: String,
    /// Since when.
    pub created: String,
    /// When it ended; empty while it is in force.
    pub ended: String,
}

/// Raises a window's limit by `amount` until `until`.
pub async fn increase(
    tx: &mut Tx,
    owner: Id,
    window: &str,
    amount: Nanos,
    until: Timestamp,
    by: &By<'_>,
) -> cf_base::Result<Id> {
    let now = by.clock.now();
    if until <= now {
        return Err(cf_base::Error::invalid_field(
            "until",
            "The increase must end in the future.",
        ));
    }
    let account = pick(lock(tx, owner).await?, window)?;
    if account.limit.is_none() {
        return Err(cf_base::Error::new(
            Kind::Unprocessable,
            "This budget has no limit, so it cannot be increased.",
        ));
    }
    let fits = account
        .limit
        .is_some_and(|limit| limit.0.checked_add(amount.0).is_some());
    if amount <= Nanos::ZERO || !fits {
        return Err(cf_base::Error::invalid_field(
            "amount",
            "The amount must be above zero and within range.",
        ));
    }
    let in_force: i64 = tx
        .query_opt(
            "select count(*) from budget_increases where owner_id = $1 and ended = ''",
            vec![owner.into()],
        )
        .await?
        .map_or(Ok(0), |row| row.at(0))?;
    if in_force >= MAX_IN_FORCE {
        return Err(cf_base::Error::new(
            Kind::Unprocessable,
            format!("There are {MAX_IN_FORCE} increases in force already; end one of them first."),
        ));
    }
    let id = Id::sorted(now, by.random);
    tx.execute(
        "insert into budget_increases (id, owner_id, window_name, amount_nanos, until, note, actor, \
         created) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        vec![
            id.into(),
            owner.into(),
            window.into(),
            amount.into(),
            date(until).into(),
            by.note.into(),
            by.actor.into(),
            date(now).into(),
        ],
    )
    .await?;
    let note = if by.note.is_empty() {
        "increase"
    } else {
        by.note
    };
    add(tx, owner, &account, amount, &By { note, ..*by }).await?;
    Ok(id)
}

/// Ends an increase of an owner before its time.
pub async fn end_increase(tx: &mut Tx, owner: Id, id: Id, by: &By<'_>) -> cf_base::Result<()> {
    let accounts = lock(tx, owner).await?;
    let row = tx
        .query_opt(
            "select window_name, amount_nanos from budget_increases \
             where id = $1 and owner_id = $2 and ended = ''",
            vec![id.into(), owner.into()],
        )
        .await?;
    let Some(row) = row else {
        return Err(cf_base::Error::new(
            Kind::NotFound,
            "There is no such increase in force.",
        ));
    };
    let account = pick(accounts, &row.at::<String>(0)?)?;
    tx.execute(
        "update budget_increases set ended = $1 where id = $2",
        vec![date(by.clock.now()).into(), id.into()],
    )
    .await?;
    add(tx, owner, &account, -row.at::<Nanos>(1)?, by).await
}

/// Ends those whose time is over, on whichever node comes first.
pub(crate) async fn end_due_increases(
    db: &Db,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<usize> {
    let mut ended = 0;
    let by = By {
        note: "increase ended",
        actor: "system",
        clock,
        random,
    };
    loop {
        let due = db
            .query(
                "select id, owner_id from budget_increases where ended = '' and until <= $1 \
                 order by until limit $2",
                vec![date(clock.now()).into(), MAX_INCREASES.into()],
            )
            .await?;
        for row in &due {
            let (id, owner): (Id, Id) = (row.at(0)?, row.at(1)?);
            let mut tx = db.begin().await?;
            match end_increase(&mut tx, owner, id, &by).await {
                Ok(()) => {
                    tx.commit().await?;
                    ended += 1;
                }
                // Another node was faster.
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if due.len() < usize::try_from(MAX_INCREASES).expect("a small number") {
            return Ok(ended);
        }
    }
}

/// Ends those of a window that is about to go, whose limit goes with it.
pub(crate) async fn end_increases_of(
    tx: &mut Tx,
    owner: Id,
    window: &str,
    now: Timestamp,
) -> cf_base::Result<()> {
    tx.execute(
        "update budget_increases set ended = $1 \
         where owner_id = $2 and window_name = $3 and ended = ''",
        vec![date(now).into(), owner.into(), window.into()],
    )
    .await?;
    Ok(())
}

/// Adds to what is in force for a while, and to the limit where there is one.
async fn add(
    tx: &mut Tx,
    owner: Id,
    account: &Account,
    amount: Nanos,
    by: &By<'_>,
) -> cf_base::Result<()> {
    tx.execute(
        "update ledger_accounts set extra_nanos = extra_nanos + $1, limit_nanos = limit_nanos + $1 \
         where owner_id = $2 and window_name = $3",
        vec![amount.into(), owner.into(), (&account.window).into()],
    )
    .await?;
    let limit = account.limit.map(|limit| limit.saturating_add(amount));
    rearm_at(tx, owner, &account.window, account.posted, limit).await?;
    let entry = Entry {
        kind: "limit",
        window: &account.window,
        posted: Nanos::ZERO,
        limit: account.limit.map_or(Nanos::ZERO, |_| amount),
        note: by.note,
        actor: by.actor,
    };
    let (kind, currency) = (account.kind, account.currency);
    write_entry(tx, owner, kind, currency, &entry, by.clock, by.random).await
}

/// Increases of an owner, the latest first, those in force and those that ended.
pub async fn increases(db: &Db, owner: Id) -> cf_base::Result<Vec<Increase>> {
    let rows = db
        .query(
            "select id, window_name, amount_nanos, until, note, actor, created, ended \
             from budget_increases where owner_id = $1 order by id desc limit $2",
            vec![owner.into(), MAX_INCREASES.into()],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(Increase {
            id: row.get("id")?,
            window: row.get("window_name")?,
            amount: row.get("amount_nanos")?,
            until: row.get("until")?,
            note: row.get("note")?,
            actor: row.get("actor")?,
            created: row.get("created")?,
            ended: row.get("ended")?,
        });
    }
    Ok(found)
}
