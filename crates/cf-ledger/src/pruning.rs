//! Old rows of `usage_logs` and closed periods of budgets go, a few at a time;
//! entries, rollups and statements stay. A mark says from when on all usage rows
//! of an owner are there; of periods no sum is made.

use std::time::Duration;

use cf_base::{Id, Timestamp};
use cf_db::{Db, Tx, Value};

use crate::account::date;
use crate::zone::hour_text;

/// Rows deleted in one transaction: a few milliseconds of the one writer.
const ROWS: i64 = 300;
/// Between two of them, so that calls are booked meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// Whose rows go.
#[derive(Clone, Copy, Debug)]
pub enum PruneOwner {
    /// All of a tenant.
    Tenant(Id),
    /// All of a user, such as one whose data must be erased.
    User(Id),
}

/// Deletes an owner's usage rows from before the hour of `until`. Returns how many.
pub async fn prune_usage(db: &Db, owner: PruneOwner, until: Timestamp) -> cf_base::Result<u64> {
    let (column, id) = match owner {
        PruneOwner::Tenant(id) => ("tenant_id", id),
        PruneOwner::User(id) => ("user_id", id),
    };
    // Whole hours, as the rollups, and written as they are: an hour's rows are all
    // there or none need be.
    let until = hour_text(until);
    let select = format!(
        "select id from usage_logs where {column} = $1 and created < $2 order by created limit $3"
    );
    let old = vec![id.into(), until.as_str().into(), 1_i64.into()];
    if db.query_opt(&select, old).await?.is_none() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    mark(&mut tx, id, &until).await?;
    tx.commit().await?;
    let delete = format!("delete from usage_logs where id in ({select})");
    let mut deleted = 0;
    loop {
        let params = vec![id.into(), until.as_str().into(), ROWS.into()];
        match db.execute(&delete, params).await? {
            0 => return Ok(deleted),
            some => deleted += some,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says that rows from before `until` may be gone. First the mark, then the
/// rows: `verify` must never miss one without knowing why.
async fn mark(tx: &mut Tx, owner: Id, until: &str) -> cf_base::Result<()> {
    tx.execute(
        "insert into usage_pruned (owner_id, until) values ($1, $2) on conflict (owner_id) \
         do update set until = case when excluded.until > usage_pruned.until \
         then excluded.until else usage_pruned.until end",
        vec![owner.into(), until.into()],
    )
    .await?;
    Ok(())
}

/// Deletes what is older than its tenant keeps, or else the installation. 0 days:
/// everything is kept. Returns how many rows.
pub async fn prune_old_usage(db: &Db, days: i64, now: Timestamp) -> cf_base::Result<u64> {
    let tenants = db
        .query(
            "select id, usage_retention_days from tenants \
             where usage_retention_days > 0 or cast($1 as bigint) > 0 order by id",
            vec![days.into()],
        )
        .await?;
    let mut deleted = 0;
    for row in tenants {
        let own: i64 = row.at(1)?;
        let days = if own > 0 { own } else { days }.max(LEAST_RETENTION_DAYS);
        let until = now
            .as_millis()
            .saturating_sub(days.saturating_mul(86_400_000));
        let until = Timestamp::from_millis(until.max(0));
        deleted += prune_usage(db, PruneOwner::Tenant(row.at(0)?), until).await?;
    }
    Ok(deleted)
}

/// Rows are kept so long at least: a report over the Billing API that comes again
/// is known by its row, and a call that was closed by rule is corrected in it.
pub const LEAST_RETENTION_DAYS: i64 = 7;

/// Closed periods of budgets are kept so long at least, so that one of a month can
/// be looked at until the next has closed.
pub const LEAST_PERIOD_DAYS: i64 = 62;

/// Deletes closed periods that ended more than so many days ago. 0 days: all are
/// kept. Returns how many.
pub async fn prune_old_periods(db: &Db, days: i64, now: Timestamp) -> cf_base::Result<u64> {
    /// Found at a time; nothing is locked meanwhile.
    const FOUND: i64 = 16_384;
    if days <= 0 {
        return Ok(0);
    }
    let days = days.max(LEAST_PERIOD_DAYS);
    let until = now
        .as_millis()
        .saturating_sub(days.saturating_mul(86_400_000));
    let until = date(Timestamp::from_millis(until.max(0)));
    let mut deleted = 0;
    loop {
        let old = db
            .query(
                "select owner_id, id from budget_periods where ends < $1 limit $2",
                vec![until.as_str().into(), FOUND.into()],
            )
            .await?;
        let found = old.len();
        let mut keys = Vec::with_capacity(found);
        for row in old {
            let key: [Value; 2] = [row.at::<Id>(0)?.into(), row.at::<Id>(1)?.into()];
            keys.push(key.to_vec());
        }
        for rows in keys.chunks(usize::try_from(ROWS).unwrap_or(1)) {
            let mut tx = db.begin().await?;
            let gone = tx
                .execute_many(
                    "delete from budget_periods where owner_id = $1 and id = $2",
                    rows.to_vec(),
                )
                .await?;
            tx.commit().await?;
            deleted += gone.iter().sum::<u64>();
            tokio::time::sleep(PAUSE).await;
        }
        if i64::try_from(found).unwrap_or(FOUND) < FOUND {
            return Ok(deleted);
        }
    }
}
