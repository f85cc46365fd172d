//! The ledger as other programs use it over the Billing API: may this be
//! spent, and this was spent.

use std::sync::Arc;

use cf_base::{
    Caller, Currency, ExchangeRate, Kind, Money, Nanos, PicoUsd, RequestId, Usage, sha256_hex,
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

    /// Reserves `estimate` (in the user's currency) until it is logged with
    /// this id or `expires_in` is over. All of it or nothing.
    pub async fn reserve_external(
        &self,
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
            request_id: RequestId::new(self.0.clock.now(), &self.0.random),
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
                let cost = price.cost(&report.usage);
                (
                    cost.convert(rate.rate),
                    cost.convert(tenant_rate.rate),
                    Some(price),
                )
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
            ))
            .expect("plain values")
            .as_bytes(),
        );
        if let Some(found) = self.logged(&report.request_id, &request_hash).await? {
            return Ok(found);
        }
        let hold = match &report.reservation {
            Some(id) => Some(self.open_reservation(id, caller).await?),
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
        let logged = self.logged(&report.request_id, &request_hash).await?;
        let mut logged = logged.ok_or_else(writer::stopped)?;
        logged.repeated = false;
        Ok(logged)
    }

    async fn logged(
        &self,
        request_id: &RequestId,
        request_hash: &str,
    ) -> cf_base::Result<Option<Logged>> {
        let row = self
            .db()
            .query_opt(
                "select id, request_hash, cost, currency from usage_logs where request_id = $1",
                vec![request_id.into()],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
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

    async fn open_reservation(&self, id: &RequestId, caller: &Caller) -> cf_base::Result<HoldRow> {
        let row = self
            .db()
            .query_opt(
                "select request_id, user_id, tenant_id, key_id, model, currency, amount_nanos, \
                 tenant_currency, tenant_amount_nanos from ledger_holds \
                 where request_id = $1 and node = '' and user_id = $2",
                vec![id.into(), caller.user_id.into()],
            )
            .await?;
        match row {
            Some(row) => HoldRow::read(&row),
            None => Err(cf_base::Error::new(
                Kind::Unprocessable,
                format!(
                    "There is no open reservation \"{id}\" of this user; it may have expired. \
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
