//! Budgets as notices, forecasts and pages look at them, and which notices
//! were given: once for each budget, period and threshold.
//!
//! The hot path has no part in this: whoever gives notices asks now and then.
//! What a reset or a higher limit takes back is taken back with it, in its
//! transaction, so that the threshold counts anew.

use cf_base::{Clock, Id, Nanos, Timestamp};
use cf_db::{Db, Row, Tx};

use crate::account::{Account, MAIN, SELECT, read};
use crate::forecast::{Forecast, forecast, percent_used};

/// Owners asked for at a time.
pub const OWNERS: usize = 500;

/// One budget of a user or tenant.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Whose it is.
    pub owner: Id,
    /// Which of the owner's budgets.
    pub window: String,
    /// How it stands.
    pub account: Account,
}

impl Budget {
    /// How much is spent, in whole percent; none without a limit.
    pub fn percent(&self) -> Option<i64> {
        percent_used(self.account.posted, self.account.limit)
    }

    /// The end of the period, where it has one.
    pub fn period_end(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.account.reset_date)
    }

    /// The start of the period, but not before the owner was there.
    pub fn period_start(&self, opened: Timestamp) -> Timestamp {
        Timestamp::parse(&self.account.period_start).map_or(opened, |start| start.max(opened))
    }

    /// What the present pace leads to.
    pub fn forecast(&self, opened: Timestamp, now: Timestamp) -> Forecast {
        let (spent, limit) = (self.account.posted, self.account.limit);
        forecast(
            self.period_start(opened),
            self.period_end(),
            spent,
            limit,
            now,
        )
    }

    /// What tells this period from others.
    fn period(&self) -> &str {
        period_of(&self.account.reset_date)
    }

    /// Those of `thresholds` that are reached.
    fn reached<'a>(&self, thresholds: &'a [i64]) -> impl Iterator<Item = i64> + use<'a> {
        let percent = self.percent().unwrap_or(-1);
        thresholds.iter().copied().filter(move |t| *t <= percent)
    }
}

fn period_of(reset_date: &str) -> &str {
    match reset_date {
        "" => "open",
        date => date,
    }
}

fn budget(row: &Row) -> cf_base::Result<Budget> {
    let account = read(row)?;
    Ok(Budget {
        owner: row.get("owner_id")?,
        window: account.window.clone(),
        account,
    })
}

/// The budgets of these owners; at most [`OWNERS`] are asked for.
pub async fn budgets_of(db: &Db, owners: &[Id]) -> cf_base::Result<Vec<Budget>> {
    let owners = &owners[..owners.len().min(OWNERS)];
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "{SELECT} where owner_id in ({}) order by owner_id, window_name",
        parameters(owners.len())
    );
    let ids = owners.iter().map(|id| (*id).into()).collect();
    let rows = db.query(&sql, ids).await?;
    rows.iter().map(budget).collect()
}

/// Budgets of users and tenants of which something is spent, by owner, those of
/// the next [`OWNERS`] after `after`.
pub async fn spent_budgets(db: &Db, after: Option<Id>) -> cf_base::Result<Vec<Budget>> {
    let sql = format!(
        "{SELECT} where limit_nanos > 0 and posted_nanos > 0 and owner_id in \
         (select owner_id from ledger_accounts where owner_id > $1 and kind in ('user', 'tenant') \
         and limit_nanos > 0 and posted_nanos > 0 group by owner_id order by owner_id limit {OWNERS}) \
         order by owner_id, window_name"
    );
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let rows = db.query(&sql, vec![after.into()]).await?;
    rows.iter().map(budget).collect()
}

/// Of budgets with their thresholds, those for which a notice is to be given
/// or taken back. Reads only, so that most can be passed over at no cost.
pub async fn unsettled(
    db: &Db,
    budgets: Vec<(Budget, Vec<i64>)>,
) -> cf_base::Result<Vec<(Budget, Vec<i64>)>> {
    let mut found = Vec::new();
    for chunk in budgets.chunks(OWNERS) {
        let sql = format!(
            "select owner_id, window_name, period, percent from budget_notices \
             where owner_id in ({})",
            parameters(chunk.len())
        );
        let ids = chunk.iter().map(|(b, _)| b.owner.into()).collect();
        let mut given: Vec<(Id, String, String, i64)> = Vec::new();
        for row in db.query(&sql, ids).await? {
            given.push((row.at(0)?, row.at(1)?, row.at(2)?, row.at(3)?));
        }
        given.sort();
        for (budget, thresholds) in chunk {
            let level = budget.percent().unwrap_or(-1);
            let mut missing = budget.reached(thresholds);
            let missing = missing.any(|t| {
                let key = (
                    budget.owner,
                    budget.window.clone(),
                    budget.period().to_owned(),
                    t,
                );
                given.binary_search(&key).is_err()
            });
            let above = given.iter().any(|(owner, window, _, percent)| {
                *owner == budget.owner && *window == budget.window && *percent > level
            });
            if missing || above {
                found.push((budget.clone(), thresholds.clone()));
            }
        }
    }
    Ok(found)
}

/// Looks at a budget once more and writes down which of `thresholds` it has
/// reached. Returns the budget as it is and the highest threshold of which no
/// notice had been given in this period: to be given in this transaction.
pub async fn give_notice(
    tx: &mut Tx,
    seen: &Budget,
    thresholds: &[i64],
    clock: &Clock,
) -> cf_base::Result<Option<(Budget, i64)>> {
    let sql = format!("{SELECT} where owner_id = $1 and window_name = $2");
    let row = tx
        .query_opt(&sql, vec![seen.owner.into(), (&seen.window).into()])
        .await?;
    let Some(budget) = row.as_ref().map(budget).transpose()? else {
        return Ok(None);
    };
    let level = budget.percent().unwrap_or(-1);
    rearm(tx, budget.owner, &budget.window, level).await?;
    let mut highest = None;
    for threshold in budget.reached(thresholds) {
        // Another node that is just doing the same is waited for here.
        let new = tx
            .execute(
                "insert into budget_notices (owner_id, window_name, period, percent, created) \
                 values ($1, $2, $3, $4, $5) on conflict do nothing",
                vec![
                    budget.owner.into(),
                    (&budget.window).into(),
                    budget.period().into(),
                    threshold.into(),
                    clock.now().to_date_text().to_string().into(),
                ],
            )
            .await?;
        if new == 1 {
            highest = highest.max(Some(threshold));
        }
    }
    Ok(highest.map(|threshold| (budget, threshold)))
}

/// Takes back what was noticed above `level` percent: those thresholds count
/// anew. Part of whatever lowers the level: a reset, a higher limit.
async fn rearm(tx: &mut Tx, owner: Id, window: &str, level: i64) -> cf_base::Result<()> {
    tx.execute(
        "delete from budget_notices where owner_id = $1 and window_name = $2 and percent > $3",
        vec![owner.into(), window.into(), level.into()],
    )
    .await?;
    Ok(())
}

/// The same for a budget that stands so now.
pub(crate) async fn rearm_at(
    tx: &mut Tx,
    owner: Id,
    window: &str,
    posted: Nanos,
    limit: Option<Nanos>,
) -> cf_base::Result<()> {
    rearm(tx, owner, window, percent_used(posted, limit).unwrap_or(-1)).await
}

/// Another end of the main window makes no other period: what was noticed stays
/// noticed.
pub(crate) async fn move_period(tx: &mut Tx, owner: Id, date: &str) -> cf_base::Result<()> {
    let sql = format!(
        "select reset_date from ledger_accounts where owner_id = $1 and window_name = $2{}",
        tx.for_update()
    );
    let Some(row) = tx.query_opt(&sql, vec![owner.into(), MAIN.into()]).await? else {
        return Ok(());
    };
    let old: String = row.at(0)?;
    let of = "where owner_id = $1 and window_name = $2";
    tx.execute(
        &format!("delete from budget_notices {of} and period <> $3"),
        vec![owner.into(), MAIN.into(), period_of(&old).into()],
    )
    .await?;
    tx.execute(
        &format!("update budget_notices set period = $3 {of}"),
        vec![owner.into(), MAIN.into(), period_of(date).into()],
    )
    .await?;
    Ok(())
}

/// `$1, $2, …`
fn parameters(count: usize) -> String {
    let all: Vec<String> = (1..=count).map(|n| format!("${n}")).collect();
    all.join(", ")
}
