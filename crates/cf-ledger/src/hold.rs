//! A reservation of one call: made before anything is sent, settled or
//! released once, whatever becomes of the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cf_base::{
    Currency, ExchangeRate, Extra, Id, Money, Nanos, PicoUsd, ProviderKeyId, RequestId, Timestamp,
    Usage, UserId,
};
use cf_db::{Row, Value};
use tokio::sync::{mpsc, oneshot};

use crate::prices::PriceVersion;
use crate::writer::{self, Close, Op, Reserve};
use crate::{HoldRequest, Ledger, Rate};

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallStatus {
    /// Answered in full.
    Ok,
    /// The provider failed.
    Error,
    /// The client went away.
    Cancelled,
    /// Its process died; closed by rule.
    Expired,
}

impl CallStatus {
    /// The word for it in the usage log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// Stands in place of a provider where an answer was given again that was kept:
/// nobody was asked, and nobody is paid.
pub const CACHE: &str = "cache";

/// How a call ended, for the books.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// The provider's name of the model that answered; empty if none did.
    pub model_used: String,
    /// The provider that answered, or [`CACHE`]; empty if none did.
    pub provider: String,
    /// The provider key used.
    pub provider_key_id: Option<ProviderKeyId>,
    /// What was used.
    pub usage: Usage,
    /// The prices it is billed by.
    pub price: Arc<PriceVersion>,
    /// What was tried before, as JSON; empty where the first deployment answered.
    pub attempts: String,
    /// What became of it.
    pub status: CallStatus,
    /// Whether the usage is an estimate of ours instead of the provider's count.
    pub estimated: bool,
    /// From the request to its end.
    pub latency_ms: i64,
    /// From the request to the first byte of the answer; 0 if there was none.
    pub time_to_first_token_ms: i64,
}

/// What a settled call cost.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    /// What was booked on the user's budget.
    pub cost: Nanos,
    /// The user's currency.
    pub currency: Currency,
    /// What is left of the user's budget, running calls taken off; at its end
    /// of the range where the user has no limit.
    pub remaining: Nanos,
}

/// The row of a hold: what is reserved for whom.
#[derive(Clone, Debug)]
pub(crate) struct HoldRow {
    pub hold_id: RequestId,
    pub user_id: UserId,
    pub tenant_id: cf_base::TenantId,
    /// Empty when no key is involved.
    pub key_id: String,
    pub model: String,
    pub amount: Money,
    pub tenant_amount: Money,
    /// Whether the amounts are what was reserved. Not so where the caller went
    /// away before the writer's answer came: then the row in the database tells.
    pub known: bool,
}

impl HoldRow {
    pub(crate) fn read(row: &Row) -> cf_base::Result<Self> {
        let money = |nanos: &str, currency: &str| -> cf_base::Result<Money> {
            Ok(Money {
                nanos: row.get(nanos)?,
                currency: Currency::parse(&row.get::<String>(currency)?).unwrap_or(Currency::EUR),
            })
        };
        Ok(Self {
            hold_id: RequestId::parse(&row.get::<String>("request_id")?)
                .map_err(cf_base::Error::internal)?,
            user_id: UserId(row.get("user_id")?),
            tenant_id: cf_base::TenantId(row.get("tenant_id")?),
            key_id: row.get("key_id")?,
            model: row.get("model")?,
            amount: money("amount_nanos", "currency")?,
            tenant_amount: money("tenant_amount_nanos", "tenant_currency")?,
            known: true,
        })
    }
}

/// A reservation. Dropped unsettled it is released in full and logged as a
/// cancelled call that cost nothing.
#[must_use]
pub struct Hold {
    ledger: Ledger,
    row: HoldRow,
    granted: PicoUsd,
    remaining: Nanos,
    rate: Rate,
    tenant_rate: Rate,
    started: Timestamp,
    /// The place in the writer's queue for this hold's end; taken when it ends.
    permit: Option<mpsc::OwnedPermit<Op>>,
}

pub(crate) async fn reserve(
    ledger: &Ledger,
    request: HoldRequest,
    node: &str,
) -> cf_base::Result<Hold> {
    let inner = &ledger.0;
    let caller = &request.caller;
    let rate = inner.rates.from_usd(caller.currency)?;
    let tenant_rate = inner.rates.from_usd(caller.tenant_currency)?;
    // First the place for the end, so that no running call can ever be without.
    let end = Arc::clone(inner).permit().await?;
    let (reply, answer) = oneshot::channel();
    let now = inner.clock.now();
    let row = HoldRow {
        hold_id: request.request_id,
        user_id: caller.user_id,
        tenant_id: caller.tenant_id,
        key_id: caller.key_id.map(|k| k.to_string()).unwrap_or_default(),
        model: request.model,
        amount: Money {
            nanos: Nanos::ZERO,
            currency: caller.currency,
        },
        tenant_amount: Money {
            nanos: Nanos::ZERO,
            currency: caller.tenant_currency,
        },
        known: false,
    };
    // Made before the reservation is asked for: should this future be dropped
    // while the writer is at work, the guard releases what it may have reserved.
    let mut hold = Hold {
        ledger: ledger.clone(),
        row: row.clone(),
        granted: PicoUsd(0),
        remaining: Nanos::ZERO,
        rate: rate.clone(),
        tenant_rate: tenant_rate.clone(),
        started: now,
        permit: Some(end),
    };
    let sent = inner
        .queue
        .send(Op::Reserve(Box::new(Reserve {
            row,
            node: node.to_owned(),
            worst: request.worst,
            least: request.least,
            rate: rate.rate,
            tenant_rate: tenant_rate.rate,
            created_at: now,
            expires_at: now.after(request.expires_in),
            reply,
        })))
        .await;
    if sent.is_err() {
        hold.permit = None;
        return Err(writer::stopped());
    }
    match answer.await {
        Ok(Ok(granted)) => {
            hold.row = granted.row;
            hold.granted = granted.granted;
            hold.remaining = granted.remaining;
            Ok(hold)
        }
        Ok(Err(refused)) => {
            // Nothing was reserved: nothing to release and no call to log.
            hold.permit = None;
            Err(refused)
        }
        Err(_) => {
            hold.permit = None;
            Err(writer::stopped())
        }
    }
}

impl Hold {
    /// What the call may cost; less than asked where the budget covers only that.
    pub fn granted(&self) -> PicoUsd {
        self.granted
    }

    /// What is left of the user's budget with this reservation taken off.
    pub fn remaining(&self) -> Nanos {
        self.remaining
    }

    /// The ledger it is in.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The call's id.
    pub fn request_id(&self) -> &RequestId {
        &self.row.hold_id
    }

    /// Leaves the reservation open beyond this process: for the Billing API,
    /// whose clients settle with a later request.
    pub fn leave_open(mut self) -> RequestId {
        self.permit = None;
        self.row.hold_id.clone()
    }

    /// Books the call: posts its cost, returns the rest, writes its usage row.
    /// Cannot fail and is never lost; the answer resolves once it is durable.
    pub fn settle(mut self, call: CallRecord) -> Settled {
        let permit = self.permit.take();
        match permit {
            Some(permit) => self.close(permit, call),
            // Only a hold that has ended has no permit, and it cannot be settled again.
            None => Settled(None),
        }
    }

    fn close(&self, permit: mpsc::OwnedPermit<Op>, call: CallRecord) -> Settled {
        let cost = call.price.charge(&call.usage, self.rate.rate);
        let tenant_cost = call.price.charge(&call.usage, self.tenant_rate.rate);
        let row = UsageRow {
            request_id: self.row.hold_id.clone(),
            user_id: self.row.user_id,
            tenant_id: self.row.tenant_id,
            key_id: self.row.key_id.clone(),
            model: self.row.model.clone(),
            model_used: call.model_used,
            provider: call.provider,
            provider_key_id: call
                .provider_key_id
                .map(|k| k.to_string())
                .unwrap_or_default(),
            usage: call.usage,
            cost: Money {
                nanos: cost,
                currency: self.row.amount.currency,
            },
            tenant_cost: Money {
                nanos: tenant_cost,
                currency: self.row.tenant_amount.currency,
            },
            rate: self.rate.clone(),
            tenant_rate: self.tenant_rate.rate,
            price: Some(call.price),
            attempts: call.attempts,
            status: call.status,
            estimated: call.estimated,
            source: "router",
            latency_ms: call.latency_ms,
            time_to_first_token_ms: call.time_to_first_token_ms,
            request_hash: String::new(),
            metadata: "null".into(),
        };
        send_close(permit, Some(self.row.clone()), row)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let call = CallRecord {
                model_used: String::new(),
                provider: String::new(),
                provider_key_id: None,
                usage: Usage::default(),
                price: Arc::new(PriceVersion::free()),
                attempts: String::new(),
                status: CallStatus::Cancelled,
                estimated: false,
                latency_ms: self.ledger.0.clock.now().millis_since(self.started),
                time_to_first_token_ms: 0,
            };
            drop(self.close(permit, call));
        }
    }
}

/// Closes a hold that nobody will end any more.
pub(crate) fn expire(ledger: &Ledger, row: HoldRow, permit: mpsc::OwnedPermit<Op>) -> Settled {
    let none = Rate {
        rate: ExchangeRate(0),
        date: String::new(),
        source: String::new(),
    };
    let hold = Hold {
        ledger: ledger.clone(),
        row,
        granted: PicoUsd(0),
        remaining: Nanos::ZERO,
        rate: none.clone(),
        tenant_rate: none,
        started: ledger.0.clock.now(),
        permit: Some(permit),
    };
    hold.settle(CallRecord {
        model_used: String::new(),
        provider: String::new(),
        provider_key_id: None,
        usage: Usage::default(),
        price: Arc::new(PriceVersion::free()),
        attempts: String::new(),
        status: CallStatus::Expired,
        estimated: false,
        latency_ms: 0,
        time_to_first_token_ms: 0,
    })
}

pub(crate) fn send_close(
    permit: mpsc::OwnedPermit<Op>,
    hold: Option<HoldRow>,
    usage: UsageRow,
) -> Settled {
    let (reply, answer) = oneshot::channel();
    permit.send(Op::Close(Box::new(Close {
        hold,
        usage,
        reply: Some(reply),
    })));
    Settled(Some(answer))
}

/// Resolves once a call's end is in the books. Dropping it cancels nothing.
#[must_use = "a reply may only be released once its call is in the books"]
pub struct Settled(Option<oneshot::Receiver<cf_base::Result<Receipt>>>);

impl Future for Settled {
    type Output = cf_base::Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(answer) => Pin::new(answer)
                .poll(cx)
                .map(|told| told.unwrap_or_else(|_| Err(writer::stopped()))),
            None => Poll::Ready(Err(writer::stopped())),
        }
    }
}

/// A row of `usage_logs` as it is written.
pub(crate) struct UsageRow {
    pub request_id: RequestId,
    pub user_id: UserId,
    pub tenant_id: cf_base::TenantId,
    pub key_id: String,
    pub model: String,
    pub model_used: String,
    pub provider: String,
    pub provider_key_id: String,
    pub usage: Usage,
    pub cost: Money,
    pub tenant_cost: Money,
    pub rate: Rate,
    pub tenant_rate: ExchangeRate,
    pub price: Option<Arc<PriceVersion>>,
    pub attempts: String,
    pub status: CallStatus,
    pub estimated: bool,
    pub source: &'static str,
    pub latency_ms: i64,
    pub time_to_first_token_ms: i64,
    pub request_hash: String,
    pub metadata: String,
}

impl UsageRow {
    pub(crate) const INSERT: &'static str = "insert into usage_logs (id, request_id, user_id, tenant_id, \
        key_id, model, model_used, provider, provider_key_id, prompt_tokens, completion_tokens, \
        cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, \
        audio_input_tokens, audio_output_tokens, extra, provider_cost, cost, currency, tenant_cost, tenant_currency, \
        exchange_rate, tenant_exchange_rate, exchange_rate_date, price_version, status, estimated, \
        source, latency_ms, time_to_first_token_ms, request_hash, metadata, created, attempts) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
        $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36)";

    pub(crate) fn values(&self, id: Id, created: &str) -> Vec<Value> {
        let count = |tokens: u64| Value::Int(i64::try_from(tokens).unwrap_or(i64::MAX));
        vec![
            id.into(),
            (&self.request_id).into(),
            self.user_id.into(),
            self.tenant_id.into(),
            (&self.key_id).into(),
            (&self.model).into(),
            (&self.model_used).into(),
            (&self.provider).into(),
            (&self.provider_key_id).into(),
            count(self.usage.prompt_tokens()),
            count(self.usage.completion_tokens()),
            count(self.usage.cache_read),
            count(self.usage.cache_write),
            count(self.usage.cache_write_1h),
            count(self.usage.reasoning),
            count(self.usage.audio_input),
            count(self.usage.audio_output),
            self.extra().into(),
            self.provider_cost().into(),
            self.cost.nanos.into(),
            self.cost.currency.as_str().into(),
            self.tenant_cost.nanos.into(),
            self.tenant_cost.currency.as_str().into(),
            self.rate.rate.0.into(),
            self.tenant_rate.0.into(),
            (&self.rate.date).into(),
            self.price
                .as_ref()
                .map_or_else(String::new, |p| p.id.to_string())
                .into(),
            self.status.as_str().into(),
            self.estimated.into(),
            self.source.into(),
            self.latency_ms.into(),
            self.time_to_first_token_ms.into(),
            (&self.request_hash).into(),
            (&self.metadata).into(),
            created.into(),
            (&self.attempts).into(),
        ]
    }

    /// Empty for most calls.
    fn extra(&self) -> String {
        let extra = &self.usage.extra;
        if extra.is_none() {
            return String::new();
        }
        serde_json::to_string(extra).expect("counters are plain numbers")
    }

    /// In US dollars; unknown, and so nothing, where another program told the cost.
    pub(crate) fn provider_cost(&self) -> Nanos {
        if self.provider == CACHE {
            return Nanos::ZERO;
        }
        self.price.as_ref().map_or(Nanos::ZERO, |price| {
            price.provider_cost(&self.usage).convert(ExchangeRate::ONE)
        })
    }

    /// The usage as a row of `usage_logs` holds it.
    pub(crate) fn read_usage(row: &Row) -> cf_base::Result<Usage> {
        let cache_read: u64 = row.get("cached_tokens")?;
        let cache_write: u64 = row.get("cache_write_tokens")?;
        let cache_write_1h: u64 = row.get("cache_write_1h_tokens")?;
        let audio_input: u64 = row.get("audio_input_tokens")?;
        let audio_output: u64 = row.get("audio_output_tokens")?;
        let prompt: u64 = row.get("prompt_tokens")?;
        let completion: u64 = row.get("completion_tokens")?;
        let extra: String = row.get("extra")?;
        let extra: Extra = if extra.is_empty() {
            Extra::default()
        } else {
            serde_json::from_str(&extra).map_err(cf_base::Error::internal)?
        };
        let apart = cache_read + cache_write + cache_write_1h + audio_input + extra.image_input;
        Ok(Usage {
            input: prompt.saturating_sub(apart),
            cache_read,
            cache_write,
            cache_write_1h,
            audio_input,
            output: completion.saturating_sub(audio_output + extra.image_output),
            reasoning: row.get("reasoning_tokens")?,
            audio_output,
            extra,
        })
    }
}
