//! What calls cost and who may still spend: reserve before, settle after, in
//! integers, durable before the last byte of a reply is released.
//!
//! A call takes a [`Hold`] on key, user and tenant in one step; the hold is
//! settled with the actual cost, or released when it is dropped. All writes go
//! through one queue to a writer that commits whatever is waiting as one
//! transaction. No HTTP, no providers and no record rules in here.

mod account;
mod balances;
mod external;
mod forecast;
mod hold;
mod increases;
mod notices;
mod period;
mod prices;
mod pruning;
mod rates;
mod resets;
mod rollups;
mod rows;
mod statements;
mod totals;
mod usage;
mod verify;
mod windows;
mod writer;
mod zone;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cf_base::{Caller, Clock, PicoUsd, Random, RequestId, Timestamp};
use cf_db::Db;
use tokio::sync::{broadcast, mpsc};

pub use account::{
    Account, AccountKind, By, MAIN, NewAccount, account, open_account, set_limit, set_reset_date,
    top_up, windows,
};
pub use external::{Check, ExternalUsage, Logged, Reservation};
pub use forecast::{Forecast, forecast, percent_used};
pub use hold::{CACHE, CallRecord, CallStatus, Hold, Receipt, Settled};
pub use increases::{Increase, end_increase, increase, increases};
pub use notices::{Budget, OWNERS, budgets_of, give_notice, spent_budgets, unsettled};
pub use period::{MAX_PERIOD_DAYS, Period, is_time_zone};
pub use prices::{
    CacheWrites, Changed, Charge, Edition, FieldChange, Found, Import, ModelName, Most, OwnPrices,
    PriceList, PriceVersion, Prices, Tier, editions, is_outdated as prices_outdated, propose,
    search as search_prices, take,
};
pub use pruning::{
    LEAST_PERIOD_DAYS, LEAST_RETENTION_DAYS, PruneOwner, prune_old_periods, prune_old_usage,
    prune_usage,
};
pub use rates::{Rate, RateState, Rates, rates_in_use};
pub use resets::{ClosedPeriod, MAX_PERIODS, closed_periods, reset_budget, reset_due_budgets};
pub use statements::{FeeLine, STATEMENT_LINES, Statement, UsageLine, statement_counts};
pub use totals::Totals;
pub use usage::{
    KeyUsage, SUMMARY_ROWS, SummaryBy, SummaryFilter, SummaryRow, usage_by_provider_key,
};
pub use verify::Difference;
pub use windows::{MAX_WINDOWS, WindowSpec, check_windows, set_time_zone, set_windows};
pub use zone::Zone;

use hold::HoldRow;
use prices::{Customers, PriceBook};
use writer::Op;

/// Writes that may wait at a time; each running call keeps one place for its
/// end, so that settling never waits and never fails. Past that, new calls wait.
const QUEUE: usize = 1 << 16;
/// A process that has not been heard of for so long is dead.
const SILENCE: Duration = Duration::from_secs(30);
/// Booked calls that a slow listener may lag behind before it misses some.
const EVENTS: usize = 4096;

/// A call that was booked, told after the commit.
#[derive(Clone, Copy, Debug)]
pub struct Booked {
    /// Its row in `usage_logs`.
    pub usage_id: cf_base::Id,
    /// Whose budget changed.
    pub user_id: cf_base::UserId,
}

/// What a call may cost, asked before it is made.
pub struct HoldRequest {
    /// The call's id, unique for ever.
    pub request_id: RequestId,
    /// Who pays.
    pub caller: Arc<Caller>,
    /// The public name of the model.
    pub model: String,
    /// Exact worst case of the whole call at the requested output limit.
    pub worst: PicoUsd,
    /// Least that makes the call useful; not above `worst`.
    pub least: PicoUsd,
    /// When a reservation of the Billing API is over. Those of calls end with
    /// their call or their process.
    pub expires_in: Duration,
}

/// The ledger; cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    node: String,
    queue: mpsc::Sender<Op>,
    rates: Rates,
    book: PriceBook,
    customers: Customers,
    booked: broadcast::Sender<Booked>,
    /// Since when every heartbeat of ours has succeeded (unix ms); 0: the last one
    /// failed, or the writer has found the database away since.
    beating_since: Arc<AtomicI64>,
}

impl Ledger {
    /// Starts the ledger of this process: closes the holds that an earlier
    /// process left, loads prices and rates, starts the writer.
    pub async fn start(db: Db, clock: Clock, random: Random) -> cf_base::Result<Self> {
        let rates = Rates::load(&db, &clock.now().to_day()).await?;
        let book = PriceBook::load(&db, clock.now()).await?;
        let customers = Customers::load(&db).await?;
        let (queue, receiver) = mpsc::channel(QUEUE);
        let (booked, _) = broadcast::channel(EVENTS);
        let beating_since = Arc::new(AtomicI64::new(0));
        let ledger = Self(Arc::new(Inner {
            node: cf_base::Id::new(&random).to_string(),
            db: db.clone(),
            clock: clock.clone(),
            queue,
            rates,
            book,
            customers,
            booked: booked.clone(),
            beating_since: Arc::clone(&beating_since),
        }));
        writer::start(db, clock, random, booked, beating_since, receiver)?;
        ledger.heartbeat().await?;
        if let Err(error) = ledger.expire_holds(true).await {
            // They are tried again every few seconds.
            tracing::error!(%error, "old reservations could not be released");
        }
        Ok(ledger)
    }

    /// Waits for a place in the queue, reserves `worst` (or what is left, at
    /// least `least`) on key, user and tenant in one step. Durable against the
    /// end of the process when it returns.
    pub async fn reserve(&self, request: HoldRequest) -> cf_base::Result<Hold> {
        hold::reserve(self, request, &self.0.node).await
    }

    /// The price book's prices of a provider's model that hold now; `region` is
    /// where it is deployed, or empty.
    pub fn book_price(
        &self,
        provider: &str,
        provider_model: &str,
        region: &str,
    ) -> Option<Arc<PriceVersion>> {
        let now = self.0.clock.now();
        self.0.book.find(now, provider, provider_model, region)
    }

    /// The price of a picture of this quality and size (`1024x1024`), where the
    /// price book has one by the piece.
    pub fn picture_price(
        &self,
        provider: &str,
        provider_model: &str,
        quality: &str,
        size: &str,
    ) -> Option<Arc<PriceVersion>> {
        let size = size.replace('x', "-x-");
        let now = self.0.clock.now();
        [format!("{quality}/{size}"), size].iter().find_map(|name| {
            let name = prices::of_variant(provider_model, name);
            self.0.book.find(now, provider, &name, "")
        })
    }

    /// The version by which `caller` is billed for the public model
    /// `public_model`, where that costs `price`: with the margin of the product, or
    /// by a price list of tenant or product.
    pub fn customer_price(
        &self,
        caller: &Caller,
        public_model: &str,
        price: &Arc<PriceVersion>,
    ) -> Arc<PriceVersion> {
        self.0.customers.price(caller, public_model, price)
    }

    /// The price of a model that is known by its provider's name only, such as
    /// `gpt-5` or `openai/gpt-5`.
    pub fn price_by_name(&self, name: &str) -> Option<Arc<PriceVersion>> {
        const PROVIDERS: [&str; 7] = [
            "openai",
            "anthropic",
            "gemini",
            "mistral",
            "azure",
            "bedrock",
            "vertex",
        ];
        if let Some((provider, model)) = name.split_once('/')
            && let Some(found) = self.book_price(provider, model, "")
        {
            return Some(found);
        }
        PROVIDERS
            .iter()
            .find_map(|provider| self.book_price(provider, name, ""))
    }

    /// An exact cost in a budget's currency.
    pub fn convert(
        &self,
        cost: PicoUsd,
        currency: cf_base::Currency,
    ) -> cf_base::Result<cf_base::Nanos> {
        Ok(cost.convert(self.0.rates.from_usd(currency)?.rate))
    }

    /// Reads exchange rates, price book and customers' prices again, after one was
    /// changed.
    pub async fn reload(&self) -> cf_base::Result<()> {
        let now = self.0.clock.now();
        self.0.rates.reload(&self.0.db, &now.to_day()).await?;
        self.0.book.reload(&self.0.db, now).await?;
        self.0.customers.reload(&self.0.db).await
    }

    /// Told of every booked call after its commit.
    pub fn booked(&self) -> broadcast::Receiver<Booked> {
        self.0.booked.subscribe()
    }

    /// Waits until everything queued so far is in the database.
    pub async fn flush(&self) -> cf_base::Result<()> {
        let (reply, done) = tokio::sync::oneshot::channel();
        let sent = self.0.queue.send(Op::Flush(reply)).await;
        if sent.is_ok() && done.await.is_ok() {
            Ok(())
        } else {
            Err(writer::stopped())
        }
    }

    /// Whether the books can be written: the writer answers, and neither it nor the
    /// last heartbeat has found the database away. Writes nothing itself.
    pub async fn writable(&self) -> cf_base::Result<()> {
        if self.0.beating_since.load(Ordering::SeqCst) == 0 {
            return Err(cf_base::Error::new(
                cf_base::Kind::Unavailable,
                "The books could not be written when that was last tried; it is tried every few seconds.",
            ));
        }
        self.flush().await
    }

    /// Lets other processes know that this one lives; to be called every few seconds.
    pub async fn heartbeat(&self) -> cf_base::Result<()> {
        let now = self.0.clock.now();
        let beaten = self
            .0
            .db
            .execute(
                "insert into ledger_nodes (node, seen_at) values ($1, $2) \
                 on conflict (node) do update set seen_at = $2",
                vec![(&self.0.node).into(), now.into()],
            )
            .await;
        let since = &self.0.beating_since;
        match beaten {
            Ok(_) if since.load(Ordering::SeqCst) == 0 => {
                since.store(now.as_millis(), Ordering::SeqCst);
            }
            Ok(_) => {}
            Err(_) => since.store(0, Ordering::SeqCst),
        }
        beaten?;
        Ok(())
    }

    /// Whether others may be judged by their silence: only by one that has been
    /// heard itself for that long. After an outage of the database all are silent.
    fn may_judge(&self, now: Timestamp) -> bool {
        let since = self.0.beating_since.load(Ordering::SeqCst);
        since > 0 && now.millis_since(Timestamp::from_millis(since)) > millis(SILENCE)
    }

    /// Closes holds by rule: a hold whose process has died is released in full
    /// and logged as `expired`. On SQLite every hold found at the start is of a
    /// dead process (the data directory is locked); on PostgreSQL a process is
    /// dead when it has not been heard of for 30 s. Reservations of the Billing
    /// API end by their `expires_at`. A process never closes holds of its own.
    pub async fn expire_holds(&self, at_start: bool) -> cf_base::Result<usize> {
        let all = at_start && !self.0.db.is_postgres();
        let now = self.0.clock.now();
        let silent_since = now.as_millis() - millis(SILENCE);
        let dead = all || (self.0.db.is_postgres() && self.may_judge(now));
        let nodes = "cast($2 as bigint) = 1 and node <> '' and node <> $3 and \
                     (cast($5 as bigint) = 1 or node not in \
                     (select node from ledger_nodes where seen_at > $4))";
        let rows = self
            .0
            .db
            .query(
                &format!(
                    "select request_id, user_id, tenant_id, key_id, model, currency, amount_nanos, \
                     tenant_currency, tenant_amount_nanos from ledger_holds \
                     where (node = '' and expires_at <= $1) or ({nodes}) \
                     order by created_at limit 10000"
                ),
                vec![
                    now.into(),
                    dead.into(),
                    (&self.0.node).into(),
                    silent_since.into(),
                    all.into(),
                ],
            )
            .await?;
        let mut closed = 0;
        for row in &rows {
            let hold = HoldRow::read(row)?;
            let id = hold.hold_id.clone();
            let permit = Arc::clone(&self.0).permit().await?;
            match hold::expire(self, hold, permit).await {
                Ok(_) => closed += 1,
                Err(error) => tracing::error!(
                    %error,
                    request_id = id.as_str(),
                    "an old reservation could not be released"
                ),
            }
        }
        if closed > 0 {
            tracing::warn!(closed, "released reservations of calls that never ended");
        }
        Ok(closed)
    }

    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Inner {
    /// A place in the writer's queue.
    async fn permit(self: Arc<Self>) -> cf_base::Result<mpsc::OwnedPermit<Op>> {
        self.queue
            .clone()
            .reserve_owned()
            .await
            .map_err(|_| writer::stopped())
    }
}
