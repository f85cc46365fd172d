//! The accounts a batch of the writer touches: read once, worked on in memory in
//! the order of the queue, written once.

use std::collections::{BTreeSet, HashMap};

use cf_base::{ExchangeRate, Kind, Nanos, PicoUsd, Random};
use cf_db::{DbError, Tx, Value};

use crate::Booked;
use crate::account::AccountKind;
use crate::hold::Receipt;
use crate::rows::{Ended, Rows};
use crate::writer::{Close, Closed, Granted, Op, Reserve};

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
pub(crate) struct Accounts(HashMap<String, Balance>);

impl Accounts {
    pub(crate) async fn load(tx: &mut Tx, batch: &[Op]) -> Result<Self, DbError> {
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

    pub(crate) fn reserve(
        &mut self,
        reserve: &Reserve,
        rows: &mut Rows,
    ) -> cf_base::Result<Granted> {
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

    pub(crate) fn close(
        &mut self,
        close: &Close,
        ended: Ended,
        rows: &mut Rows,
        random: &Random,
    ) -> Closed {
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
        let id = rows.call(usage, kind, ended, random);
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

    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), DbError> {
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
