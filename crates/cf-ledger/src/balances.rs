//! The accounts a batch of the writer touches: read once, worked on in memory in
//! the order of the queue, written once.

use std::collections::{BTreeSet, HashMap};

use cf_base::{ExchangeRate, Kind, Nanos, PicoUsd, Random};
use cf_db::{DbError, Row, Tx, Value};

use crate::Booked;
use crate::account::{AccountKind, MAIN, in_order};
use crate::hold::Receipt;
use crate::period::Period;
use crate::rows::{Ended, Rows};
use crate::writer::{Close, Closed, Granted, Op, Reserve};

/// One window of an account's owner.
#[derive(Clone)]
struct Balance {
    window: String,
    period: Period,
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

/// The accounts a batch touches: every window of every owner.
pub(crate) struct Accounts(HashMap<String, Vec<Balance>>);

/// What is left of the tightest window.
fn left(windows: Option<&Vec<Balance>>) -> Nanos {
    windows
        .into_iter()
        .flatten()
        .map(Balance::left)
        .min()
        .unwrap_or(Nanos(i64::MAX))
}

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
        if owners.is_empty() {
            return Ok(Self(HashMap::new()));
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
        let sql = format!(
            "select owner_id, window_name, limit_nanos, posted_nanos, pending_nanos, period, \
             period_days, windows from ledger_accounts where owner_id in ({list}){}",
            in_order(tx)
        );
        let (accounts, complete) = Self::read(tx.query(&sql, params.clone()).await?)?;
        if complete {
            return Ok(accounts);
        }
        // PostgreSQL: a window was opened while its owner's lock was waited for.
        // Now that the lock is held, it is seen.
        Ok(Self::read(tx.query(&sql, params).await?)?.0)
    }

    /// What was found, and whether it is every window that the owners have.
    fn read(rows: Vec<Row>) -> Result<(Self, bool), DbError> {
        let mut accounts: HashMap<String, Vec<Balance>> = HashMap::with_capacity(rows.len());
        let mut expected = 0;
        let found = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        for row in rows {
            let window: String = row.at(1)?;
            if window == MAIN {
                expected += row.at::<i64>(7)?;
            }
            accounts.entry(row.at(0)?).or_default().push(Balance {
                window,
                period: Period::parse(&row.at::<String>(5)?, row.at(6)?).unwrap_or(Period::Total),
                limit: row.at(2)?,
                posted: row.at(3)?,
                pending: row.at(4)?,
                changed: false,
            });
        }
        Ok((Self(accounts), expected == found))
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
        // The tightest window of key, user and tenant decides.
        let mut granted = reserve.worst;
        let mut tightest = None;
        for (kind, owner, rate) in [
            (AccountKind::Key, &row.key_id, reserve.rate),
            (AccountKind::User, &user, reserve.rate),
            (AccountKind::Tenant, &tenant, reserve.tenant_rate),
        ] {
            for window in self.0.get(owner.as_str()).into_iter().flatten() {
                let left = window.left();
                if granted.convert(rate) > left {
                    granted = affordable(left, rate);
                    tightest = Some((kind, window));
                }
            }
        }
        if let Some((kind, window)) = tightest
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
                    budget_of(kind, &window.window, window.period),
                    Nanos(window.left().0.max(0)),
                    window.limit.unwrap_or_default(),
                    window.pending,
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
            remaining: left(self.0.get(&user)),
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
            remaining: left(accounts.0.get(&user)),
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
        for window in self.0.get_mut(owner).into_iter().flatten() {
            window.add(posted, pending);
        }
    }

    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), DbError> {
        let mut rows: Vec<Vec<Value>> = Vec::with_capacity(self.0.len());
        for (owner, windows) in self.0 {
            for b in windows.into_iter().filter(|b| b.changed) {
                rows.push(vec![
                    b.posted.into(),
                    b.pending.into(),
                    (&owner).into(),
                    b.window.into(),
                ]);
            }
        }
        if !rows.is_empty() {
            tx.execute_many(
                "update ledger_accounts set posted_nanos = $1, pending_nanos = $2 \
                 where owner_id = $3 and window_name = $4",
                rows,
            )
            .await?;
        }
        Ok(())
    }
}

/// How a refusal calls a budget: "user's daily budget".
pub(crate) fn budget_of(kind: AccountKind, window: &str, period: Period) -> String {
    let whose = match kind {
        AccountKind::Key => "API key's",
        AccountKind::User => "user's",
        AccountKind::Tenant => "tenant's",
    };
    match period {
        Period::Day => format!("{whose} daily budget"),
        Period::Week => format!("{whose} weekly budget"),
        Period::Month => format!("{whose} monthly budget"),
        Period::Total | Period::Days(_) if window == MAIN => format!("{whose} budget"),
        Period::Total | Period::Days(_) => format!("{whose} budget \"{window}\""),
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
