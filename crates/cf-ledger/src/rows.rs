//! The rows a batch of the writer deletes and inserts: holds, entries, usage.

use std::collections::HashSet;

use cf_base::{Id, Nanos, Random, Timestamp};
use cf_db::{DbError, Tx, Value};

use crate::CallStatus;
use crate::account::in_order;
use crate::hold::{HoldRow, UsageRow};
use crate::prices::PriceVersion;
use crate::rollups::Rollups;
use crate::writer::Op;

/// What was found of a call that ends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ended {
    /// What its hold had reserved, if that was still open; it is gone now.
    pub(crate) released: Nanos,
    /// The same in the tenant's currency.
    pub(crate) tenant_released: Nanos,
    /// Whether the call is in the books already: a commit whose answer was
    /// lost, or the same report twice at once.
    pub(crate) booked: bool,
}

/// Whether an operation ends a hold that was made under the call's own id, not a
/// reservation of the Billing API.
fn own_hold(op: &Op) -> bool {
    let Op::Close(close) = op else { return false };
    (close.hold.as_ref()).is_some_and(|hold| hold.hold_id == close.usage.request_id)
}

/// Deletes the holds of the calls that end, and finds those booked before.
pub(crate) async fn end_holds(
    tx: &mut Tx,
    batch: &[Op],
    look_up: bool,
    rollups: &mut Rollups,
) -> Result<Vec<Ended>, DbError> {
    let mut ended = vec![Ended::default(); batch.len()];
    let mut held = vec![false; batch.len()];
    let mut places = Vec::new();
    let mut ids = Vec::new();
    for (at, op) in batch.iter().enumerate() {
        let Op::Close(close) = op else { continue };
        let Some(hold) = &close.hold else { continue };
        ended[at].released = hold.amount.nanos;
        ended[at].tenant_released = hold.tenant_amount.nanos;
        if !hold.known {
            let row = tx
                .query_opt(
                    "select amount_nanos, tenant_amount_nanos from ledger_holds where request_id = $1",
                    vec![(&hold.hold_id).into()],
                )
                .await?;
            if let Some(row) = row {
                ended[at].released = row.at(0)?;
                ended[at].tenant_released = row.at(1)?;
            }
        }
        places.push(at);
        ids.push(vec![Value::from(&hold.hold_id)]);
    }
    if !ids.is_empty() {
        let deleted = tx
            .execute_many("delete from ledger_holds where request_id = $1", ids)
            .await?;
        for (at, count) in places.into_iter().zip(deleted) {
            held[at] = count > 0 && own_hold(&batch[at]);
            if count == 0 {
                ended[at] = Ended::default();
            }
        }
    }
    let mut seen = HashSet::new();
    for (at, op) in batch.iter().enumerate() {
        let Op::Close(close) = op else { continue };
        let id = &close.usage.request_id;
        if !seen.insert(id) {
            ended[at].booked = true;
            continue;
        }
        // A call is booked in the transaction that takes its hold away: as long as
        // that stood, only a report under the same id can be in the books, and then
        // the unique index says so.
        if held[at] && !look_up {
            continue;
        }
        let row = tx
            .query_opt(
                "select status from usage_logs where request_id = $1",
                vec![id.into()],
            )
            .await?;
        let Some(row) = row else { continue };
        // A hold may have been closed by rule although its call lived (its
        // process seemed dead): what the call really cost takes the row's place.
        let by_rule = row.at::<String>(0)? == CallStatus::Expired.as_str();
        if by_rule && close.usage.status != CallStatus::Expired {
            let columns = Rollups::columns();
            let row = tx
                .query_opt(
                    &format!("select {columns} from usage_logs where request_id = $1"),
                    vec![id.into()],
                )
                .await?;
            if let Some(row) = row {
                rollups.take_back(&row)?;
            }
            tx.execute(
                "delete from usage_logs where request_id = $1",
                vec![id.into()],
            )
            .await?;
        } else {
            ended[at].booked = true;
        }
    }
    Ok(ended)
}

/// Takes back reservations that were refused although they may stand: the answer
/// to their commit was lost. The accounts are locked first, so that a commit that
/// is still under way is over before its holds are looked for.
pub(crate) async fn withdraw(tx: &mut Tx, doubtful: &[HoldRow]) -> Result<(), DbError> {
    for hold in doubtful {
        let owners = [
            hold.key_id.as_str(),
            hold.user_id.as_str(),
            hold.tenant_id.as_str(),
        ];
        let lock = format!(
            "select owner_id from ledger_accounts where owner_id in ($1, $2, $3){}",
            in_order(tx)
        );
        tx.query(&lock, owners.map(Value::from).to_vec()).await?;
        let row = tx
            .query_opt(
                "select amount_nanos, tenant_amount_nanos from ledger_holds where request_id = $1",
                vec![(&hold.hold_id).into()],
            )
            .await?;
        let Some(row) = row else { continue };
        let (amount, tenant_amount): (Nanos, Nanos) = (row.at(0)?, row.at(1)?);
        tx.execute(
            "delete from ledger_holds where request_id = $1",
            vec![(&hold.hold_id).into()],
        )
        .await?;
        for (owner, amount) in owners.into_iter().zip([amount, amount, tenant_amount]) {
            tx.execute(
                "update ledger_accounts set pending_nanos = pending_nanos - $1 where owner_id = $2",
                vec![amount.into(), owner.into()],
            )
            .await?;
        }
    }
    Ok(())
}

/// Rows to insert at the end of a batch.
pub(crate) struct Rows {
    pub(crate) now: Timestamp,
    pub(crate) created: String,
    pub(crate) holds: Vec<Vec<Value>>,
    pub(crate) entries: Vec<Vec<Value>>,
    pub(crate) usage: Vec<Vec<Value>>,
    pub(crate) versions: Vec<Vec<Value>>,
    pub(crate) rollups: Rollups,
}

impl Rows {
    pub(crate) fn new(now: Timestamp, rollups: Rollups) -> Self {
        Self {
            now,
            created: now.to_date_text().to_string(),
            holds: Vec::new(),
            entries: Vec::new(),
            usage: Vec::new(),
            versions: Vec::new(),
            rollups,
        }
    }

    /// The end of a call: its usage row, and the entry for key, user and tenant
    /// under the same id.
    pub(crate) fn call(
        &mut self,
        usage: &UsageRow,
        kind: &str,
        ended: Ended,
        random: &Random,
    ) -> Id {
        let id = Id::sorted(self.now, random);
        self.entries.push(vec![
            id.into(),
            kind.into(),
            usage.request_id.as_str().into(),
            usage.user_id.into(),
            usage.tenant_id.into(),
            (&usage.key_id).into(),
            usage.cost.currency.as_str().into(),
            usage.cost.nanos.into(),
            ended.released.into(),
            usage.tenant_cost.currency.as_str().into(),
            usage.tenant_cost.nanos.into(),
            ended.tenant_released.into(),
            (&self.created).into(),
        ]);
        self.rollups.add(usage, &self.created);
        self.usage.push(usage.values(id, &self.created));
        id
    }

    pub(crate) async fn write(&mut self, tx: &mut Tx) -> Result<(), DbError> {
        for (sql, rows) in [
            (
                "insert into price_versions (id, provider, model, source, prices, charge, created) \
                 values ($1, $2, $3, $4, $5, $6, $7) on conflict (id) do nothing",
                std::mem::take(&mut self.versions),
            ),
            (
                "insert into ledger_holds (request_id, node, user_id, tenant_id, key_id, model, \
                 currency, amount_nanos, tenant_currency, tenant_amount_nanos, created_at, expires_at) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                std::mem::take(&mut self.holds),
            ),
            (
                "insert into ledger_entries (id, kind, request_id, user_id, tenant_id, key_id, \
                 currency, posted_nanos, reserved_nanos, tenant_currency, tenant_posted_nanos, \
                 tenant_reserved_nanos, created) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                std::mem::take(&mut self.entries),
            ),
            (UsageRow::INSERT, std::mem::take(&mut self.usage)),
        ] {
            if !rows.is_empty() {
                tx.execute_many(sql, rows).await?;
            }
        }
        std::mem::take(&mut self.rollups).write(tx).await
    }
}

/// Price versions of a batch that the database may not have yet.
pub(crate) fn new_versions<'a>(batch: &'a [Op], known: &HashSet<Id>) -> Vec<&'a PriceVersion> {
    let mut found: Vec<&PriceVersion> = Vec::new();
    for op in batch {
        if let Op::Close(close) = op
            && let Some(price) = &close.usage.price
            && !known.contains(&price.id)
            && !found.iter().any(|f| f.id == price.id)
        {
            found.push(price);
        }
    }
    found
}

pub(crate) fn version_row(version: &PriceVersion, created: &str) -> Vec<Value> {
    vec![
        version.id.into(),
        (&version.provider).into(),
        (&version.model).into(),
        version.source.into(),
        serde_json::to_string(&version.prices)
            .expect("prices are plain numbers")
            .into(),
        version.charge_text().into(),
        created.into(),
    ]
}
