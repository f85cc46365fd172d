//! The one writer: takes whatever is waiting and commits it as one
//! transaction. Reads each account once, works on it in memory in the order of
//! the queue, writes it once.
//!
//! It has a thread of its own, so that a commit blocks nobody else, and does not
//! wait for the disk: ends of calls are told by the syncer, which syncs once for
//! all batches that were committed meanwhile.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use cf_base::{Clock, ExchangeRate, Id, Kind, Nanos, PicoUsd, Random, Timestamp};
use cf_db::{Db, DbError, Tx, Value};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::account::AccountKind;
use crate::hold::{HoldRow, Receipt, UsageRow};
use crate::{Booked, CallStatus, prices::PriceVersion};

/// Operations in one transaction at most.
const BATCH: usize = 256;
/// Committed batches that may wait for the disk; past that the writer waits too.
const UNSYNCED: usize = 64;
/// Tries at once when another node was faster.
const CONTENDED: u32 = 10;
/// Between tries while the database is away.
const RETRY: Duration = Duration::from_millis(250);

/// A write.
pub(crate) enum Op {
    Reserve(Box<Reserve>),
    Close(Box<Close>),
    Flush(oneshot::Sender<()>),
}

/// A reservation to make.
pub(crate) struct Reserve {
    pub row: HoldRow,
    pub node: String,
    pub worst: PicoUsd,
    pub least: PicoUsd,
    pub rate: ExchangeRate,
    pub tenant_rate: ExchangeRate,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub reply: oneshot::Sender<cf_base::Result<Granted>>,
}

/// A reservation made.
pub(crate) struct Granted {
    pub row: HoldRow,
    pub granted: PicoUsd,
    pub remaining: Nanos,
}

/// A call's end: its hold goes, its cost is posted, its usage row is written.
pub(crate) struct Close {
    /// None where nothing was reserved (usage logged over the Billing API).
    pub hold: Option<HoldRow>,
    pub usage: UsageRow,
    /// Taken when answered; kept while the database is away.
    pub reply: Option<oneshot::Sender<cf_base::Result<Receipt>>>,
}

/// What the queue's end means: the process is stopping.
pub(crate) fn stopped() -> cf_base::Error {
    cf_base::Error::new(
        Kind::Unavailable,
        "The server is shutting down; try again in a moment.",
    )
}

pub(crate) struct Writer {
    db: Db,
    clock: Clock,
    random: Random,
    /// Batches with ends of calls, to be told once they are on the disk.
    unsynced: mpsc::Sender<(Vec<Op>, Outcome)>,
    /// Price versions known to be in the database.
    versions: HashSet<Id>,
}

/// Starts writer and syncer; they end when the ledger is gone.
pub(crate) fn start(
    db: Db,
    clock: Clock,
    random: Random,
    booked: broadcast::Sender<Booked>,
    queue: mpsc::Receiver<Op>,
) -> cf_base::Result<()> {
    let (unsynced, committed) = mpsc::channel(UNSYNCED);
    thread("ledger-sync", sync(db.clone(), committed, booked))?;
    let writer = Writer {
        db,
        clock,
        random,
        unsynced,
        versions: HashSet::new(),
    };
    thread("ledger", writer.run(queue))
}

/// Runs `work` on a thread of its own, which it may block.
fn thread(name: &str, work: impl Future<Output = ()> + Send + 'static) -> cf_base::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let work = std::panic::AssertUnwindSafe(|| runtime.block_on(work));
            // Without its books the process must not go on; a supervisor starts it
            // again, and what was open is closed by rule.
            if std::panic::catch_unwind(work).is_err() {
                tracing::error!("the ledger's thread panicked; the process ends");
                std::process::abort();
            }
        })
        .map(drop)
        .map_err(cf_base::Error::internal)
}

/// Tells ends of calls once they are on the disk.
async fn sync(
    db: Db,
    mut committed: mpsc::Receiver<(Vec<Op>, Outcome)>,
    booked: broadcast::Sender<Booked>,
) {
    let mut batches = Vec::with_capacity(UNSYNCED);
    while committed.recv_many(&mut batches, UNSYNCED).await > 0 {
        let mut warned = false;
        // What is committed cannot be taken back: it is told as soon as the disk works.
        while let Err(error) = db.sync_inline() {
            if !warned {
                tracing::error!(%error, "the ledger cannot be synced to the disk; answers wait until it can");
                warned = true;
            }
            tokio::time::sleep(RETRY).await;
        }
        for (batch, outcome) in batches.drain(..) {
            outcome.tell(batch, &booked);
        }
    }
}

impl Writer {
    /// Works until the ledger is gone.
    async fn run(mut self, mut queue: mpsc::Receiver<Op>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut next = None;
        loop {
            let Some(first) = (match next.take() {
                Some(op) => Some(op),
                None => queue.recv().await,
            }) else {
                return;
            };
            batch.push(first);
            // What has come meanwhile shares the commit; nobody waits for more.
            while batch.len() < BATCH {
                match queue.try_recv() {
                    Ok(op) if ends_within(&op, &batch) => {
                        next = Some(op);
                        break;
                    }
                    Ok(op) => batch.push(op),
                    Err(_) => break,
                }
            }
            self.work(&mut batch, &mut queue).await;
        }
    }

    /// Commits a batch. While the database is away reservations are refused
    /// and ends of calls are kept until it is back: they have happened.
    async fn work(&mut self, batch: &mut Vec<Op>, queue: &mut mpsc::Receiver<Op>) {
        let mut warned = false;
        let mut contended = 0;
        while !batch.is_empty() {
            let error = match self.commit(batch).await {
                Ok(outcome) => {
                    self.told(std::mem::take(batch), outcome).await;
                    if warned {
                        tracing::info!("the ledger is being written again");
                    }
                    return;
                }
                Err(error) => error,
            };
            match error {
                DbError::Contended(_) if contended < CONTENDED => contended += 1,
                DbError::Unavailable(_) | DbError::Contended(_) => {
                    if !warned {
                        tracing::error!(%error, "the ledger cannot be written; calls are refused until it can");
                        warned = true;
                    }
                    // Nobody waits for a database that is away: what comes meanwhile
                    // is refused too, unless it is the end of a call.
                    while let Ok(op) = queue.try_recv() {
                        batch.push(op);
                    }
                    refuse_what_can_be(batch, &error);
                    if !batch.is_empty() {
                        tokio::time::sleep(RETRY).await;
                    }
                }
                // One of them is at fault: alone it harms nobody else.
                _ if batch.len() > 1 => {
                    for op in std::mem::take(batch) {
                        Box::pin(self.work(&mut vec![op], queue)).await;
                    }
                }
                error => give_up(std::mem::take(batch), &error),
            }
        }
    }

    /// Tells reservations at once: they must survive this process, not a power
    /// cut, with which the call they stand for would be gone too. The rest is
    /// told when it is on the disk.
    async fn told(&self, batch: Vec<Op>, outcome: Outcome) {
        let mut later = (Vec::new(), Outcome::default());
        for (op, answer) in batch.into_iter().zip(outcome.0) {
            match (op, answer) {
                (Op::Reserve(reserve), Answer::Reserved(result)) => {
                    // Whoever no longer listens has gone away; its guard has seen to the rest.
                    let _ = reserve.reply.send(result);
                }
                (op, answer) => {
                    later.0.push(op);
                    later.1.0.push(answer);
                }
            }
        }
        if !later.0.is_empty() {
            // Fails only while the process is stopping.
            let _ = self.unsynced.send(later).await;
        }
    }

    async fn commit(&mut self, batch: &mut [Op]) -> Result<Outcome, DbError> {
        let durable = batch.iter().any(|op| matches!(op, Op::Close(_)));
        let mut tx = self.db.begin_inline(durable).await?;
        let ended = end_holds(&mut tx, batch).await?;
        let mut accounts = Accounts::load(&mut tx, batch).await?;
        let mut rows = Rows::new(self.clock.now());
        let mut outcome = Outcome::default();
        for (op, ended) in batch.iter().zip(ended) {
            outcome.0.push(match op {
                Op::Reserve(reserve) => Answer::Reserved(accounts.reserve(reserve, &mut rows)),
                Op::Close(close) => {
                    Answer::Closed(accounts.close(close, ended, &mut rows, &self.random))
                }
                Op::Flush(_) => Answer::Flushed,
            });
        }
        let new_versions = new_versions(batch, &self.versions);
        rows.versions = new_versions
            .iter()
            .map(|v| version_row(v, &rows.created))
            .collect();
        let written: Vec<Id> = new_versions.iter().map(|v| v.id).collect();
        rows.write(&mut tx).await?;
        accounts.write(&mut tx).await?;
        tx.commit().await?;
        self.versions.extend(written);
        Ok(outcome)
    }
}

/// Whether `op` ends a hold that `batch` is about to make: its caller went away
/// while reserving. It must wait until the hold is in the database.
fn ends_within(op: &Op, batch: &[Op]) -> bool {
    let Op::Close(close) = op else { return false };
    let Some(hold) = close.hold.as_ref().filter(|h| !h.known) else {
        return false;
    };
    batch
        .iter()
        .any(|o| matches!(o, Op::Reserve(r) if r.row.hold_id == hold.hold_id))
}

/// How a batch came out, operation by operation, told once it is committed.
#[derive(Default)]
struct Outcome(Vec<Answer>);

enum Answer {
    Reserved(cf_base::Result<Granted>),
    Closed(Closed),
    Flushed,
}

struct Closed {
    receipt: Receipt,
    booked: Option<Booked>,
}

impl Outcome {
    fn tell(self, batch: Vec<Op>, booked: &broadcast::Sender<Booked>) {
        // Whoever no longer listens has gone away; its guard has seen to the rest.
        for (op, answer) in batch.into_iter().zip(self.0) {
            match (op, answer) {
                (Op::Close(close), Answer::Closed(closed)) => {
                    if let Some(reply) = close.reply {
                        let _ = reply.send(Ok(closed.receipt));
                    }
                    if let Some(event) = closed.booked {
                        let _ = booked.send(event);
                    }
                }
                (Op::Flush(reply), _) => {
                    let _ = reply.send(());
                }
                _ => unreachable!("answers are made in the order of the batch"),
            }
        }
    }
}

fn refuse_what_can_be(batch: &mut Vec<Op>, error: &DbError) {
    let (ends, rest): (Vec<Op>, Vec<Op>) = std::mem::take(batch)
        .into_iter()
        .partition(|op| matches!(op, Op::Close(_)));
    *batch = ends;
    for op in rest {
        // A flush is refused by dropping it.
        if let Op::Reserve(reserve) = op {
            let _ = reserve.reply.send(Err(cf_base::Error::new(
                Kind::Unavailable,
                "The books cannot be written now, so the call was refused and nothing was spent. \
                 Try again later.",
            )
            .because(error.to_string())));
        }
    }
}

/// An operation that the database refuses for what it is. It cannot be retried
/// for ever, and must not vanish: the log has what is needed to book it by hand.
fn give_up(batch: Vec<Op>, error: &DbError) {
    for op in batch {
        match op {
            Op::Reserve(reserve) => {
                let _ = reserve
                    .reply
                    .send(Err(cf_base::Error::internal(error.to_string())));
            }
            Op::Close(close) => {
                tracing::error!(
                    %error,
                    request_id = close.usage.request_id.as_str(),
                    user_id = close.usage.user_id.as_str(),
                    cost = %close.usage.cost.nanos,
                    currency = close.usage.cost.currency.as_str(),
                    "a call could not be booked; book it by hand"
                );
                if let Some(reply) = close.reply {
                    let _ = reply.send(Err(cf_base::Error::internal(error.to_string())));
                }
            }
            Op::Flush(reply) => drop(reply),
        }
    }
}

/// What was found of a call that ends.
#[derive(Clone, Copy, Default)]
struct Ended {
    /// What its hold had reserved, if that was still open; it is gone now.
    released: Nanos,
    /// The same in the tenant's currency.
    tenant_released: Nanos,
    /// Whether the call is in the books already: a commit whose answer was
    /// lost, or the same report twice at once.
    booked: bool,
}

/// Deletes the holds of the calls that end, and finds those booked before.
async fn end_holds(tx: &mut Tx, batch: &[Op]) -> Result<Vec<Ended>, DbError> {
    let mut ended = vec![Ended::default(); batch.len()];
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

#[derive(Clone, Copy)]
struct Balance {
    limit: Option<Nanos>,
    posted: Nanos,
    pending: Nanos,
    changed: bool,
}

impl Balance {
    /// What is left; at the end of the range without a limit.
    fn left(&self) -> Nanos {
        match self.limit {
            // Saturating: a sum past the range must never wrap round to plenty.
            Some(limit) => limit
                .saturating_add(-self.posted)
                .saturating_add(-self.pending),
            None => Nanos(i64::MAX),
        }
    }

    fn add(&mut self, posted: Nanos, pending: Nanos) {
        self.posted = self.posted.saturating_add(posted);
        self.pending = self.pending.saturating_add(pending);
        self.changed = true;
    }
}

/// The accounts a batch touches.
struct Accounts(HashMap<String, Balance>);

impl Accounts {
    async fn load(tx: &mut Tx, batch: &[Op]) -> Result<Self, DbError> {
        let mut owners = BTreeSet::new();
        for op in batch {
            let mut touch = |user: &cf_base::UserId, tenant: &cf_base::TenantId, key: &str| {
                owners.insert(user.to_string());
                owners.insert(tenant.to_string());
                if !key.is_empty() {
                    owners.insert(key.to_owned());
                }
            };
            match op {
                Op::Reserve(r) => touch(&r.row.user_id, &r.row.tenant_id, &r.row.key_id),
                Op::Close(c) => {
                    touch(&c.usage.user_id, &c.usage.tenant_id, &c.usage.key_id);
                    if let Some(hold) = &c.hold {
                        touch(&hold.user_id, &hold.tenant_id, &hold.key_id);
                    }
                }
                Op::Flush(_) => {}
            }
        }
        let mut accounts = HashMap::with_capacity(owners.len());
        if owners.is_empty() {
            return Ok(Self(accounts));
        }
        // As many places as the next power of two, so that few statements are prepared.
        let places = owners.len().next_power_of_two();
        let mut params: Vec<Value> = owners.iter().map(Value::from).collect();
        let last = params[params.len() - 1].clone();
        params.resize(places, last);
        let list = (1..=places)
            .map(|n| format!("${n}"))
            .collect::<Vec<_>>()
            .join(", ");
        let rows = tx
            .query(
                &format!(
                    "select owner_id, limit_nanos, posted_nanos, pending_nanos \
                     from ledger_accounts where owner_id in ({list}) order by owner_id{}",
                    tx.for_update()
                ),
                params,
            )
            .await?;
        for row in rows {
            accounts.insert(
                row.at(0)?,
                Balance {
                    limit: row.at(1)?,
                    posted: row.at(2)?,
                    pending: row.at(3)?,
                    changed: false,
                },
            );
        }
        Ok(Self(accounts))
    }

    fn reserve(&mut self, reserve: &Reserve, rows: &mut Rows) -> cf_base::Result<Granted> {
        let mut row = reserve.row.clone();
        let user = row.user_id.to_string();
        let tenant = row.tenant_id.to_string();
        if !self.0.contains_key(&user) {
            return Err(cf_base::Error::new(
                Kind::BudgetExceeded,
                "Budget exceeded: no budget has been given to this user. Ask an administrator for one.",
            ));
        }
        // The tightest of key, user and tenant decides.
        let mut granted = reserve.worst;
        let mut tightest = None;
        for (kind, owner, rate) in [
            (AccountKind::Key, &row.key_id, reserve.rate),
            (AccountKind::User, &user, reserve.rate),
            (AccountKind::Tenant, &tenant, reserve.tenant_rate),
        ] {
            let Some(balance) = self.0.get(owner.as_str()) else {
                continue;
            };
            let left = balance.left();
            if granted.convert(rate) > left {
                granted = affordable(left, rate);
                tightest = Some((kind, *balance));
            }
        }
        if let Some((kind, balance)) = tightest
            && (granted < reserve.least || granted.0 <= 0)
        {
            let currency = match kind {
                AccountKind::Tenant => row.tenant_amount.currency,
                _ => row.amount.currency,
            };
            let rate = match kind {
                AccountKind::Tenant => reserve.tenant_rate,
                _ => reserve.rate,
            };
            return Err(cf_base::Error::new(
                Kind::BudgetExceeded,
                format!(
                    "Budget exceeded: the {} has {} of {} {currency} left ({} {currency} are reserved by \
                     running calls), this call needs at least {} {currency}.",
                    match kind {
                        AccountKind::Key => "API key's budget",
                        AccountKind::User => "user's budget",
                        AccountKind::Tenant => "tenant's budget",
                    },
                    Nanos(balance.left().0.max(0)),
                    balance.limit.unwrap_or_default(),
                    balance.pending,
                    reserve.least.convert(rate),
                ),
            ));
        }
        row.amount.nanos = granted.convert(reserve.rate);
        row.tenant_amount.nanos = granted.convert(reserve.tenant_rate);
        row.known = true;
        self.add(&row.key_id, Nanos::ZERO, row.amount.nanos);
        self.add(&user, Nanos::ZERO, row.amount.nanos);
        self.add(&tenant, Nanos::ZERO, row.tenant_amount.nanos);
        rows.holds.push(vec![
            (&row.hold_id).into(),
            (&reserve.node).into(),
            row.user_id.into(),
            row.tenant_id.into(),
            (&row.key_id).into(),
            (&row.model).into(),
            row.amount.currency.as_str().into(),
            row.amount.nanos.into(),
            row.tenant_amount.currency.as_str().into(),
            row.tenant_amount.nanos.into(),
            reserve.created_at.into(),
            reserve.expires_at.into(),
        ]);
        Ok(Granted {
            remaining: self.0.get(&user).map_or(Nanos(i64::MAX), Balance::left),
            granted,
            row,
        })
    }

    fn close(&mut self, close: &Close, ended: Ended, rows: &mut Rows, random: &Random) -> Closed {
        let usage = &close.usage;
        let user = usage.user_id.to_string();
        let receipt = |accounts: &Self| Receipt {
            cost: usage.cost.nanos,
            currency: usage.cost.currency,
            remaining: accounts.0.get(&user).map_or(Nanos(i64::MAX), Balance::left),
        };
        // What was reserved goes back to whom it was reserved for.
        if let Some(hold) = &close.hold {
            self.add(&hold.key_id, Nanos::ZERO, -ended.released);
            self.add(hold.user_id.as_str(), Nanos::ZERO, -ended.released);
            self.add(hold.tenant_id.as_str(), Nanos::ZERO, -ended.tenant_released);
        }
        if ended.booked {
            return Closed {
                receipt: receipt(self),
                booked: None,
            };
        }
        let (cost, tenant_cost) = (usage.cost.nanos, usage.tenant_cost.nanos);
        if close.hold.is_some() && cost > ended.released {
            tracing::warn!(
                request_id = usage.request_id.as_str(),
                %cost,
                released = %ended.released,
                "a call cost more than was reserved for it"
            );
        }
        self.add(&usage.key_id, cost, Nanos::ZERO);
        self.add(&user, cost, Nanos::ZERO);
        self.add(usage.tenant_id.as_str(), tenant_cost, Nanos::ZERO);
        let kind = match (usage.status, cost) {
            (crate::CallStatus::Expired, _) => "expire",
            (_, Nanos::ZERO) => "void",
            _ => "post",
        };
        rows.entry(
            kind,
            usage.request_id.as_str(),
            &HoldRow {
                hold_id: usage.request_id.clone(),
                user_id: usage.user_id,
                tenant_id: usage.tenant_id,
                key_id: usage.key_id.clone(),
                model: String::new(),
                amount: usage.cost,
                tenant_amount: usage.tenant_cost,
                known: true,
            },
            (cost, ended.released),
            (tenant_cost, ended.tenant_released),
            random,
        );
        let id = Id::sorted(rows.now, random);
        rows.usage.push(usage.values(id, &rows.created));
        Closed {
            receipt: receipt(self),
            booked: Some(Booked {
                usage_id: id,
                user_id: usage.user_id,
            }),
        }
    }

    fn add(&mut self, owner: &str, posted: Nanos, pending: Nanos) {
        if let Some(balance) = self.0.get_mut(owner) {
            balance.add(posted, pending);
        }
    }

    async fn write(self, tx: &mut Tx) -> Result<(), DbError> {
        let rows: Vec<Vec<Value>> = self
            .0
            .into_iter()
            .filter(|(_, balance)| balance.changed)
            .map(|(owner, b)| vec![b.posted.into(), b.pending.into(), owner.into()])
            .collect();
        if !rows.is_empty() {
            tx.execute_many(
                "update ledger_accounts set posted_nanos = $1, pending_nanos = $2 where owner_id = $3",
                rows,
            )
            .await?;
        }
        Ok(())
    }
}

/// The largest cost that `left` pays for at `rate`.
fn affordable(left: Nanos, rate: ExchangeRate) -> PicoUsd {
    if left.0 <= 0 || rate.0 <= 0 {
        return PicoUsd(0);
    }
    let mut cost = PicoUsd(i128::from(left.0) * 1_000_000_000_000 / i128::from(rate.0));
    // Rounding half up may have gone a nano over.
    while cost.0 > 0 && cost.convert(rate) > left {
        cost.0 -= 1_000_000_000_000 / i128::from(rate.0) + 1;
    }
    cost
}

/// Rows to insert at the end of a batch.
struct Rows {
    now: Timestamp,
    created: String,
    holds: Vec<Vec<Value>>,
    entries: Vec<Vec<Value>>,
    usage: Vec<Vec<Value>>,
    versions: Vec<Vec<Value>>,
}

impl Rows {
    fn new(now: Timestamp) -> Self {
        Self {
            now,
            created: now.to_date_text().to_string(),
            holds: Vec::new(),
            entries: Vec::new(),
            usage: Vec::new(),
            versions: Vec::new(),
        }
    }

    /// An entry for key, user and tenant; `(posted, reserved)` each.
    fn entry(
        &mut self,
        kind: &str,
        request_id: &str,
        who: &HoldRow,
        amounts: (Nanos, Nanos),
        tenant_amounts: (Nanos, Nanos),
        random: &Random,
    ) {
        self.entries.push(vec![
            Id::sorted(self.now, random).into(),
            kind.into(),
            request_id.into(),
            who.user_id.into(),
            who.tenant_id.into(),
            (&who.key_id).into(),
            who.amount.currency.as_str().into(),
            amounts.0.into(),
            amounts.1.into(),
            who.tenant_amount.currency.as_str().into(),
            tenant_amounts.0.into(),
            tenant_amounts.1.into(),
            (&self.created).into(),
        ]);
    }

    async fn write(&mut self, tx: &mut Tx) -> Result<(), DbError> {
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
        Ok(())
    }
}

/// Price versions of a batch that the database may not have yet.
fn new_versions<'a>(batch: &'a [Op], known: &HashSet<Id>) -> Vec<&'a PriceVersion> {
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

fn version_row(version: &PriceVersion, created: &str) -> Vec<Value> {
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
