//! What a tenant owes for a month: its users' plans and what they used, in the
//! tenant's currency. Usage is summed from `usage_hours`, to which nothing is
//! added once the month is over; the plans are written down when it is closed.

use cf_base::{Currency, Nanos, Timestamp};
use cf_db::{Db, Row, Tx};

use crate::rollups::SUMS;
use crate::zone::hour_text;
use crate::{Ledger, Zone};

/// Lines of one statement at most.
pub const STATEMENT_LINES: usize = 100_000;
/// A month is closed so long after its end: calls of other processes, whose
/// clocks may be behind, are in the books by then.
const GRACE_MS: i64 = 3_600_000;

/// A tenant's month.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The tenant's name.
    pub tenant: String,
    /// As `2026-01`.
    pub month: String,
    /// The first hour (UTC).
    pub from: Timestamp,
    /// The first hour after it.
    pub until: Timestamp,
    /// The time zone whose month it is.
    pub time_zone: String,
    /// The tenant's currency.
    pub currency: String,
    /// When it was closed; empty while the month runs.
    pub closed: String,
    /// What was used.
    pub usage: Vec<UsageLine>,
    /// What the users' plans cost.
    pub fees: Vec<FeeLine>,
}

/// All calls of one user with one model by one version of its prices.
#[derive(Clone, Debug)]
pub struct UsageLine {
    /// The user's id.
    pub user_id: String,
    /// The user's address, or the id where there is none any more.
    pub user: String,
    /// The model as asked for.
    pub model: String,
    /// Who answered.
    pub provider: String,
    /// What it was billed by; empty where another program told the cost.
    pub price_version: String,
    /// Its prices as JSON.
    pub unit_prices: Option<String>,
    /// Calls, failed ones, and the tokens of each class, by their names.
    pub counts: Vec<(&'static str, i64)>,
    /// What they cost.
    pub amount: Nanos,
    /// In this currency.
    pub currency: String,
}

/// A user's plan.
#[derive(Clone, Debug)]
pub struct FeeLine {
    /// The user's id.
    pub user_id: String,
    /// The user's address, or the id where there is none any more.
    pub user: String,
    /// The product's id.
    pub product_id: String,
    /// Its name.
    pub product: String,
    /// Its price,
    pub price: Nanos,
    /// in its currency.
    pub price_currency: String,
    /// What that is
    pub amount: Nanos,
    /// in this currency: the tenant's, if there is an exchange rate.
    pub currency: String,
}

/// A tenant as statements know it.
struct Tenant {
    name: String,
    zone: Zone,
    time_zone: String,
    currency: String,
    created: Timestamp,
}

/// Names of a usage line's counts: all sums but those of money.
pub fn statement_counts() -> &'static [&'static str] {
    &SUMS[..SUMS.len() - 3]
}

impl Ledger {
    /// The statement of a month; `None` for a month that has not begun, is from
    /// before the tenant, or of a tenant that does not exist.
    pub async fn statement(
        &self,
        tenant_id: &str,
        month: &str,
    ) -> cf_base::Result<Option<Statement>> {
        let Some(tenant) = tenant(self.db(), tenant_id).await? else {
            return Ok(None);
        };
        let now = self.0.clock.now();
        if month > tenant.zone.month_of(now).as_str()
            || month < tenant.zone.month_of(tenant.created).as_str()
        {
            return Ok(None);
        }
        let mut statement = match closed(self.db(), tenant_id, month).await? {
            Some(statement) => Statement {
                tenant: tenant.name.clone(),
                ..statement
            },
            None => match self.open(&tenant, tenant_id, month).await? {
                Some(statement) => statement,
                None => return Ok(None),
            },
        };
        statement.usage = usage(self.db(), tenant_id, &statement).await?;
        Ok(Some(statement))
    }

    /// The months of a tenant, the latest first, and whether each is closed.
    pub async fn statement_months(
        &self,
        tenant_id: &str,
    ) -> cf_base::Result<Option<Vec<(String, bool)>>> {
        const MOST: usize = 240;
        let Some(tenant) = tenant(self.db(), tenant_id).await? else {
            return Ok(None);
        };
        let rows = self
            .db()
            .query(
                "select month from statements where tenant_id = $1",
                vec![tenant_id.into()],
            )
            .await?;
        let closed: Vec<String> = rows.iter().map(|r| r.at(0)).collect::<Result<_, _>>()?;
        let mut month = tenant.zone.month_of(tenant.created);
        let last = tenant.zone.month_of(self.0.clock.now());
        let mut months = Vec::new();
        while month <= last && months.len() < MOST {
            months.push((month.clone(), closed.contains(&month)));
            month = next(&month);
        }
        months.reverse();
        Ok(Some(months))
    }

    /// Closes the months that are over, of all tenants. Returns how many.
    pub async fn close_statements(&self) -> cf_base::Result<usize> {
        let mut done = 0;
        for row in self
            .db()
            .query("select id from tenants order by id", vec![])
            .await?
        {
            done += self.close_months(&row.at::<String>(0)?).await?;
        }
        Ok(done)
    }

    async fn close_months(&self, tenant_id: &str) -> cf_base::Result<usize> {
        let Some(tenant) = tenant(self.db(), tenant_id).await? else {
            return Ok(0);
        };
        let mut month = match last_closed(self.db(), tenant_id).await? {
            Some((month, _)) => next(&month),
            None => tenant.zone.month_of(tenant.created),
        };
        let now = self.0.clock.now();
        let mut done = 0;
        while let Some(statement) = self.open(&tenant, tenant_id, &month).await?
            && now.millis_since(statement.until) >= GRACE_MS
        {
            let mut tx = self.db().begin().await?;
            if write(&mut tx, tenant_id, &statement, now).await? {
                tx.commit().await?;
                done += 1;
            }
            month = next(&month);
        }
        Ok(done)
    }

    /// A month that is not closed yet, without its usage.
    async fn open(
        &self,
        tenant: &Tenant,
        tenant_id: &str,
        month: &str,
    ) -> cf_base::Result<Option<Statement>> {
        let bounds = |months| tenant.zone.month_start(month, months);
        let (Some(from), Some(until)) = (bounds(0), bounds(1)) else {
            return Ok(None);
        };
        // It begins where the one before ended, also if the time zone was changed.
        let from = match last_closed(self.db(), tenant_id).await? {
            Some((last, end)) if next(&last) == month => end,
            _ => from,
        };
        Ok(Some(Statement {
            tenant: tenant.name.clone(),
            month: month.to_owned(),
            from,
            until,
            time_zone: tenant.time_zone.clone(),
            currency: tenant.currency.clone(),
            closed: String::new(),
            usage: Vec::new(),
            fees: self.fees(tenant, tenant_id, until).await?,
        }))
    }

    /// The plans of all users that are active now and were there before `until`:
    /// the whole price of the product each has now.
    async fn fees(
        &self,
        tenant: &Tenant,
        tenant_id: &str,
        until: Timestamp,
    ) -> cf_base::Result<Vec<FeeLine>> {
        let rows = self
            .db()
            .query(
                &format!(
                    "select u.id as user_id, u.email as label, p.id as product_id, p.name as product, \
                     p.price as price, p.currency as price_currency, p.price as amount, \
                     p.currency as currency from users u join products p on p.id = u.product_id \
                     where u.tenant_id = $1 and u.status = 'active' and p.price > 0 \
                     and u.created < $2 order by u.email, u.id limit {STATEMENT_LINES}"
                ),
                vec![tenant_id.into(), until.to_date_text().to_string().into()],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let mut fee = fee(row)?;
                if let Some(amount) = self.exchange(fee.price, &fee.price_currency, tenant) {
                    fee.amount = amount;
                    fee.currency.clone_from(&tenant.currency);
                }
                Ok(fee)
            })
            .collect()
    }

    /// An amount in the tenant's currency, by today's rates; `None` without one.
    fn exchange(&self, amount: Nanos, currency: &str, tenant: &Tenant) -> Option<Nanos> {
        if currency == tenant.currency {
            return Some(amount);
        }
        let rate = |currency: &str| {
            let rate = self.0.rates.from_usd(Currency::parse(currency)?).ok()?;
            Some(i128::from(rate.rate.0)).filter(|rate| *rate > 0)
        };
        let (from, to) = (rate(currency)?, rate(&tenant.currency)?);
        // Half up; prices are not negative.
        let amount = (i128::from(amount.0) * to + from / 2) / from;
        i64::try_from(amount).ok().map(Nanos)
    }
}

async fn tenant(db: &Db, id: &str) -> cf_base::Result<Option<Tenant>> {
    let row = db
        .query_opt(
            "select time_zone, currency, created, name from tenants where id = $1",
            vec![id.into()],
        )
        .await?;
    row.map(|row| {
        let time_zone: String = row.at(0)?;
        Ok(Tenant {
            name: row.at(3)?,
            zone: Zone::parse(&time_zone).unwrap_or_default(),
            time_zone,
            currency: row.at(1)?,
            created: Timestamp::parse(&row.at::<String>(2)?).unwrap_or(Timestamp::from_millis(0)),
        })
    })
    .transpose()
}

/// The last closed month and its end.
async fn last_closed(db: &Db, tenant_id: &str) -> cf_base::Result<Option<(String, Timestamp)>> {
    let row = db
        .query_opt(
            "select month, until_hour from statements where tenant_id = $1 \
             order by month desc limit 1",
            vec![tenant_id.into()],
        )
        .await?;
    row.map(|row| Ok((row.at(0)?, hour_start(&row.at::<String>(1)?)?)))
        .transpose()
}

async fn closed(db: &Db, tenant_id: &str, month: &str) -> cf_base::Result<Option<Statement>> {
    let Some(row) = db
        .query_opt(
            "select from_hour, until_hour, time_zone, currency, closed from statements \
             where tenant_id = $1 and month = $2",
            vec![tenant_id.into(), month.into()],
        )
        .await?
    else {
        return Ok(None);
    };
    let fees = db
        .query(
            "select f.user_id, coalesce(u.email, f.user_id) as label, f.product_id, f.product, \
             f.price, f.price_currency, f.amount, f.currency from statement_fees f \
             left join users u on u.id = f.user_id where f.tenant_id = $1 and f.month = $2 \
             order by label, f.user_id",
            vec![tenant_id.into(), month.into()],
        )
        .await?;
    Ok(Some(Statement {
        tenant: String::new(),
        month: month.to_owned(),
        from: hour_start(&row.at::<String>(0)?)?,
        until: hour_start(&row.at::<String>(1)?)?,
        time_zone: row.at(2)?,
        currency: row.at(3)?,
        closed: row.at(4)?,
        usage: Vec::new(),
        fees: fees.iter().map(fee).collect::<cf_base::Result<_>>()?,
    }))
}

/// Whether it was this process that closed the month.
async fn write(
    tx: &mut Tx,
    tenant_id: &str,
    statement: &Statement,
    now: Timestamp,
) -> cf_base::Result<bool> {
    let written = tx
        .execute(
            "insert into statements (tenant_id, month, from_hour, until_hour, time_zone, currency, \
             closed) values ($1, $2, $3, $4, $5, $6, $7) on conflict (tenant_id, month) do nothing",
            vec![
                tenant_id.into(),
                (&statement.month).into(),
                hour_text(statement.from).into(),
                hour_text(statement.until).into(),
                (&statement.time_zone).into(),
                (&statement.currency).into(),
                now.to_date_text().to_string().into(),
            ],
        )
        .await?;
    if written == 0 {
        return Ok(false);
    }
    let rows = (statement.fees.iter())
        .map(|fee| {
            vec![
                tenant_id.into(),
                (&statement.month).into(),
                (&fee.user_id).into(),
                (&fee.product_id).into(),
                (&fee.product).into(),
                fee.price.into(),
                (&fee.price_currency).into(),
                fee.amount.into(),
                (&fee.currency).into(),
            ]
        })
        .collect();
    tx.execute_many(
        "insert into statement_fees (tenant_id, month, user_id, product_id, product, price, \
         price_currency, amount, currency) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        rows,
    )
    .await?;
    Ok(true)
}

fn fee(row: &Row) -> cf_base::Result<FeeLine> {
    Ok(FeeLine {
        user_id: row.get("user_id")?,
        user: row.get("label")?,
        product_id: row.get("product_id")?,
        product: row.get("product")?,
        price: row.get("price")?,
        price_currency: row.get("price_currency")?,
        amount: row.get("amount")?,
        currency: row.get("currency")?,
    })
}

/// What was used in a month, by user, model and price version.
async fn usage(db: &Db, tenant_id: &str, statement: &Statement) -> cf_base::Result<Vec<UsageLine>> {
    let sums: Vec<String> = (statement_counts().iter())
        .chain(&["tenant_cost"])
        .map(|sum| format!("cast(sum({sum}) as bigint) as {sum}"))
        .collect();
    let rows = db
        .query(
            &format!(
                "select s.*, coalesce(u.email, s.user_id) as label, v.prices as unit_prices \
                 from (select user_id, model, provider, price_version, tenant_currency, {} \
                 from usage_hours where tenant_id = $1 and hour >= $2 and hour < $3 \
                 group by user_id, model, provider, price_version, tenant_currency \
                 having sum(requests) <> 0) as s left join users u on u.id = s.user_id \
                 left join price_versions v on v.id = s.price_version \
                 order by label, s.user_id, s.model, s.provider, s.price_version limit {}",
                sums.join(", "),
                STATEMENT_LINES + 1
            ),
            vec![
                tenant_id.into(),
                hour_text(statement.from).into(),
                hour_text(statement.until).into(),
            ],
        )
        .await?;
    if rows.len() > STATEMENT_LINES {
        return Err(cf_base::Error::new(
            cf_base::Kind::Unprocessable,
            format!(
                "This statement has more than {STATEMENT_LINES} lines; export the usage of the \
                 month instead."
            ),
        ));
    }
    rows.iter()
        .map(|row| {
            Ok(UsageLine {
                user_id: row.get("user_id")?,
                user: row.get("label")?,
                model: row.get("model")?,
                provider: row.get("provider")?,
                price_version: row.get("price_version")?,
                unit_prices: row.get("unit_prices")?,
                counts: (statement_counts().iter())
                    .map(|name| Ok((*name, row.get(name)?)))
                    .collect::<cf_base::Result<_>>()?,
                amount: row.get("tenant_cost")?,
                currency: row.get("tenant_currency")?,
            })
        })
        .collect()
}

/// The month after `month`.
fn next(month: &str) -> String {
    let zone = Zone::default();
    zone.month_start(month, 1)
        .map_or_else(|| "9999-12".into(), |start| zone.month_of(start))
}

fn hour_start(hour: &str) -> cf_base::Result<Timestamp> {
    Timestamp::parse(&format!("{hour}:00:00.000Z"))
        .ok_or_else(|| cf_base::Error::internal(format!("{hour} is no hour")))
}
