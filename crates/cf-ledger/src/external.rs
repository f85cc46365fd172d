//! The ledger as other programs use it over the Billing API: may this be
//! spent, and this was spent.

use std::sync::Arc;

use cf_base::{
    Caller, Currency, ExchangeRate, Kind, Money, Nanos, PicoUsd, RequestId, TenantId, Usage,
    sha256_hex,
};

use crate::hold::{self, HoldRow, UsageRow};
use crate::prices::PriceVersion;
use crate::writer;
use crate::{Account, CallStatus, HoldRequest, Ledger, windows};

/// What a budget check found.
#[derive(Clone, Debug)]
pub struct Check {
    /// Whether the estimate fits into user's and tenant's budget.
    pub allowed: bool,
    /// The user's currency.
    pub currency: Currency,
    /// The user's limit.
    pub total: Nanos,
    /// Spent by the user in this period.
    pub used: Nanos,
    /// Left of the user's budget.
    pub remaining: Nanos,
    /// End of the user's period.
    pub reset_date: String,
    /// Whose budget is too small, where one is: `user`, `key` or `tenant`.
    pub refused_by: &'static str,
}

/// Usage reported by another program.
pub struct ExternalUsage {
    /// The reporter's id of the call.
    pub request_id: RequestId,
    /// Who pays.
    pub caller: Arc<Caller>,
    /// The model, as reported.
    pub model: String,
    /// What was used.
    pub usage: Usage,
    /// The cost where the reporter knows it.
    pub cost: Option<Money>,
    /// The prices to bill by where it does not.
    pub price: Option<Arc<PriceVersion>>,
    /// The reservation that this ends.
    pub reservation: Option<RequestId>,
    /// Whatever the reporter wants kept with it, as JSON text.
    pub metadata: String,
}

/// Reported usage in the books.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Row in `usage_logs`.
    pub id: String,
    /// What was booked.
    pub cost: Money,
    /// Whether it stood there already.
    pub repeated: bool,
}

/// Where a reservation of the Billing API stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reservation {
    /// It holds what it reserved.
    Open,
    /// It was released or has expired, without a report that named it.
    Ended,
    /// There is none, or a report has ended it.
    Unknown,
}

impl Ledger {
    /// Whether `estimate` (in the user's currency) may be spent: it must be
    /// less than or equal to what every budget of user, key and tenant has left,
    /// running calls taken off.
    pub async fn check(&self, caller: &Caller, estimate: Nanos) -> cf_base::Result<Check> {
        let budgets = windows(self.db(), caller.user_id.0).await?;
        let Some(user) = budgets.first() else {
            return Err(no_account());
        };
        let key = match caller.key_id {
            Some(key) => windows(self.db(), key.0).await?,
            None => Vec::new(),
        };
        let tenant = windows(self.db(), caller.tenant_id.0).await?;
        let tenants_estimate = if tenant.iter().any(|budget| budget.limit.is_some()) {
            self.between(estimate, caller.currency, caller.tenant_currency)?
        } else {
            Nanos::ZERO
        };
        // Nothing left refuses even what costs nothing: the budget is used up.
        let refuses = |budgets: &[Account], estimate: Nanos| {
            let left = budgets.iter().map(Account::left).min();
            left.is_some_and(|left| estimate > left || left <= Nanos::ZERO)
        };
        let refused_by = if refuses(&budgets, estimate) {
            "user"
        } else if refuses(&key, estimate) {
            "key"
        } else if refuses(&tenant, tenants_estimate) {
            "tenant"
        } else {
            ""
        };
        Ok(Check {
            allowed: refused_by.is_empty(),
            currency: caller.currency,
            total: user.base().unwrap_or(Nanos(i64::MAX)),
            used: user.posted,
            remaining: user.remaining(),
            reset_date: user.reset_date.clone(),
            refused_by,
        })
    }

    /// Reserves `estimate` (in the user's currency) under `id` until it is logged
    /// with this id, released, or `expires_in` is over. All of it or nothing.
    pub async fn reserve_external(
        &self,
        id: RequestId,
        caller: Arc<Caller>,
        model: String,
        estimate: Nanos,
        expires_in: std::time::Duration,
    ) -> cf_base::Result<RequestId> {
        let rate = self.0.rates.from_usd(caller.currency)?;
        // The smallest sum that converts to no less than the estimate.
        let cost = PicoUsd(
            (i128::from(estimate.0) * 1_000_000_000_000 + i128::from(rate.rate.0) - 1)
                / i128::from(rate.rate.0.max(1)),
        );
        let request = HoldRequest {
            request_id: id,
            caller,
            model,
            worst: cost,
            least: cost,
            expires_in,
        };
        Ok(hold::reserve(self, request, "").await?.leave_open())
    }

    /// Books usage that another program reports, once per `request_id`: the
    /// same again is answered as before, other content is a conflict.
    pub async fn log_usage(&self, report: ExternalUsage) -> cf_base::Result<Logged> {
        let caller = &report.caller;
        let rate = self.0.rates.from_usd(caller.currency)?;
        let tenant_rate = self.0.rates.from_usd(caller.tenant_currency)?;
        let (cost, tenant_cost, price) = match (report.cost, report.price) {
            (Some(cost), _) => (
                self.between(cost.nanos, cost.currency, caller.currency)?,
                self.between(cost.nanos, cost.currency, caller.tenant_currency)?,
                None,
            ),
            (None, Some(price)) => {
                let charge = |rate| price.charge(&report.usage, rate);
                (charge(rate.rate), charge(tenant_rate.rate), Some(price))
            }
            (None, None) => {
                return Err(cf_base::Error::new(
                    Kind::Unprocessable,
                    format!(
                        "No price is known for the model \"{}\"; send cost and currency with it.",
                        report.model
                    ),
                ));
            }
        };
        let request_hash = sha256_hex(
            serde_json::to_string(&(
                caller.user_id,
                &report.model,
                report.usage,
                report.cost.map(|c| (c.nanos, c.currency.to_string())),
                report.reservation.as_ref().map(RequestId::as_str),
                caller.key_id,
                &report.metadata,
            ))
            .expect("plain values")
            .as_bytes(),
        );
        // Who reports under the reservation's own id comes after its expiry into
        // the place of the row that the expiry wrote.
        let own = report.reservation.as_ref() == Some(&report.request_id);
        if let Some(found) = self.logged(&report.request_id, &request_hash, own).await? {
            return Ok(found);
        }
        let hold = match &report.reservation {
            Some(id) => self.open_reservation(id, caller).await?,
            None => None,
        };
        let row = UsageRow {
            request_id: report.request_id.clone(),
            user_id: caller.user_id,
            tenant_id: caller.tenant_id,
            key_id: caller.key_id.map(|k| k.to_string()).unwrap_or_default(),
            model: report.model.clone(),
            model_used: report.model,
            provider: price
                .as_ref()
                .map_or_else(String::new, |p| p.provider.clone()),
            provider_key_id: String::new(),
            usage: report.usage,
            cost: Money {
                nanos: cost,
                currency: caller.currency,
            },
            tenant_cost: Money {
                nanos: tenant_cost,
                currency: caller.tenant_currency,
            },
            rate,
            tenant_rate: tenant_rate.rate,
            price,
            attempts: String::new(),
            status: CallStatus::Ok,
            estimated: false,
            source: "billing",
            latency_ms: 0,
            time_to_first_token_ms: 0,
            request_hash: request_hash.clone(),
            metadata: report.metadata,
        };
        let permit = Arc::clone(&self.0).permit().await?;
        hold::send_close(permit, hold, row).await?;
        let logged = self.logged(&report.request_id, &request_hash, own).await?;
        let mut logged = logged.ok_or_else(writer::stopped)?;
        logged.repeated = false;
        Ok(logged)
    }

    async fn logged(
        &self,
        request_id: &RequestId,
        request_hash: &str,
        expired_is_none: bool,
    ) -> cf_base::Result<Option<Logged>> {
        let row = self
            .db()
            .query_opt(
                "select id, request_hash, cost, currency, status from usage_logs where request_id = $1",
                vec![request_id.into()],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        if expired_is_none && row.get::<String>("status")? == CallStatus::Expired.as_str() {
            return Ok(None);
        }
        if row.get::<String>("request_hash")? != request_hash {
            return Err(cf_base::Error::new(
                Kind::Conflict,
                format!(
                    "The request_id \"{request_id}\" has been logged before with other content."
                ),
            ));
        }
        Ok(Some(Logged {
            id: row.get("id")?,
            cost: Money {
                nanos: row.get("cost")?,
                currency: Currency::parse(&row.get::<String>("currency")?).unwrap_or(Currency::EUR),
            },
            repeated: true,
        }))
    }

    /// Where the reservation with this id stands.
    pub async fn reservation(&self, id: &RequestId) -> cf_base::Result<Reservation> {
        if self.find_hold(id).await?.is_some() {
            return Ok(Reservation::Open);
        }
        let ended = self
            .db()
            .query_opt(
                "select 1 from usage_logs where request_id = $1 and status in ('cancelled', 'expired')",
                vec![id.into()],
            )
            .await?;
        Ok(match ended {
            Some(_) => Reservation::Ended,
            None => Reservation::Unknown,
        })
    }

    /// Gives back what was reserved for a call that was not made; of one tenant
    /// only, where one is given. A reservation that has ended already is left so.
    pub async fn release_reservation(
        &self,
        id: &RequestId,
        tenant: Option<TenantId>,
    ) -> cf_base::Result<()> {
        let unknown = || {
            cf_base::Error::new(
                Kind::NotFound,
                format!("There is no reservation \"{id}\", or usage was logged with it."),
            )
        };
        let Some(hold) = self.find_hold(id).await? else {
            let ended = self
                .db()
                .query_opt(
                    "select tenant_id from usage_logs where request_id = $1 and status in \
                     ('cancelled', 'expired')",
                    vec![id.into()],
                )
                .await?
                .ok_or_else(unknown)?;
            let of = TenantId(ended.at(0)?);
            return match tenant.is_none_or(|tenant| tenant == of) {
                true => Ok(()),
                false => Err(unknown()),
            };
        };
        if tenant.is_some_and(|tenant| tenant != hold.tenant_id) {
            return Err(unknown());
        }
        let zero = |currency| Money {
            nanos: Nanos::ZERO,
            currency,
        };
        let row = UsageRow {
            request_id: hold.hold_id.clone(),
            user_id: hold.user_id,
            tenant_id: hold.tenant_id,
            key_id: hold.key_id.clone(),
            model: hold.model.clone(),
            model_used: String::new(),
            provider: String::new(),
            provider_key_id: String::new(),
            usage: Usage::default(),
            cost: zero(hold.amount.currency),
            tenant_cost: zero(hold.tenant_amount.currency),
            rate: self.0.rates.from_usd(hold.amount.currency)?,
            tenant_rate: self.0.rates.from_usd(hold.tenant_amount.currency)?.rate,
            price: None,
            attempts: String::new(),
            status: CallStatus::Cancelled,
            estimated: false,
            source: "billing",
            latency_ms: 0,
            time_to_first_token_ms: 0,
            request_hash: String::new(),
            metadata: "null".into(),
        };
        let permit = Arc::clone(&self.0).permit().await?;
        hold::send_close(permit, Some(hold), row).await?;
        Ok(())
    }

    async fn find_hold(&self, id: &RequestId) -> cf_base::Result<Option<HoldRow>> {
        let row = self
            .db()
            .query_opt(
                "select request_id, user_id, tenant_id, key_id, model, currency, amount_nanos, \
                 tenant_currency, tenant_amount_nanos from ledger_holds \
                 where request_id = $1 and node = ''",
                vec![id.into()],
            )
            .await?;
        row.map(|row| HoldRow::read(&row)).transpose()
    }

    /// The hold that a report ends. What was used was used: one that has expired
    /// or was released before the report came holds the report up no more.
    async fn open_reservation(
        &self,
        id: &RequestId,
        caller: &Caller,
    ) -> cf_base::Result<Option<HoldRow>> {
        if let Some(hold) = self.find_hold(id).await?
            && hold.user_id == caller.user_id
        {
            return Ok(Some(hold));
        }
        let ended = self
            .db()
            .query_opt(
                "select 1 from usage_logs where request_id = $1 and user_id = $2 \
                 and status in ('cancelled', 'expired')",
                vec![id.into(), caller.user_id.into()],
            )
            .await?;
        match ended {
            Some(_) => Ok(None),
            None => Err(cf_base::Error::new(
                Kind::Unprocessable,
                format!(
                    "There is no reservation \"{id}\" of this user, or other usage was logged with it. \
                     Log the usage without reservation_id."
                ),
            )),
        }
    }

    fn between(&self, nanos: Nanos, from: Currency, to: Currency) -> cf_base::Result<Nanos> {
        if from == to {
            return Ok(nanos);
        }
        let from = self.0.rates.from_usd(from)?.rate;
        let to = self.0.rates.from_usd(to)?.rate;
        Ok(convert(nanos, from, to))
    }
}

/// From one currency to another by way of their rates to the dollar, half up.
fn convert(nanos: Nanos, from: ExchangeRate, to: ExchangeRate) -> Nanos {
    let from = i128::from(from.0.max(1));
    let exact = i128::from(nanos.0) * i128::from(to.0);
    let rounded = (exact * 2 + from).div_euclid(from * 2);
    Nanos(i64::try_from(rounded).unwrap_or(i64::MAX))
}

fn no_account() -> cf_base::Error {
    cf_base::Error::new(
        Kind::BudgetExceeded,
        "Budget exceeded: no budget has been given to this user. Ask an administrator for one.",
    )
}
