//! Exchange rates from US dollars, in which prices are kept, to the currencies
//! of budgets. The newest record of a pair holds, from its day on.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use cf_base::{Currency, ExchangeRate, Kind, Timestamp};
use cf_db::Db;
use serde::Serialize;

const DAY_MS: i64 = 86_400_000;

/// A rate with the day it was set for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units of the currency for one US dollar.
    pub rate: ExchangeRate,
    /// The day, as `2026-01-31`; empty for dollars to dollars.
    pub date: String,
    /// Where it is from; begins with `placeholder` until somebody sets a real one.
    pub source: String,
}

/// The rate of a currency that budgets are in, and how old it is.
#[derive(Clone, Debug, Serialize)]
pub struct RateState {
    /// The currency.
    pub quote: String,
    /// Units of it for one US dollar in 10⁻⁹; none where there is no rate.
    #[serde(skip)]
    pub rate: Option<ExchangeRate>,
    /// The day it is of.
    pub date: String,
    /// Where it is from.
    pub source: String,
    /// Days since then.
    pub age_days: i64,
    /// Whether somebody must set the real one.
    pub placeholder: bool,
}

/// The rates of all currencies that budgets are in, but dollars.
pub async fn rates_in_use(db: &Db, now: Timestamp) -> cf_base::Result<Vec<RateState>> {
    let today = now.to_day();
    let rates = Rates::load(db, &today).await?;
    let rows = db
        .query(
            "select distinct currency from ledger_accounts where currency <> 'USD' \
             order by currency",
            vec![],
        )
        .await?;
    let mut states = Vec::with_capacity(rows.len());
    for row in rows {
        let quote: String = row.at(0)?;
        let found = Currency::parse(&quote).and_then(|c| rates.from_usd(c).ok());
        let day = found.as_ref().and_then(|rate| Timestamp::parse(&rate.date));
        let age = day.map_or(0, |day| now.millis_since(day) / DAY_MS);
        states.push(RateState {
            quote,
            rate: found.as_ref().map(|r| r.rate),
            date: found.as_ref().map(|r| r.date.clone()).unwrap_or_default(),
            placeholder: found
                .as_ref()
                .is_some_and(|r| r.source.starts_with("placeholder")),
            source: found.map(|r| r.source).unwrap_or_default(),
            age_days: age,
        });
    }
    Ok(states)
}

/// The rates in force.
pub struct Rates(ArcSwap<HashMap<Currency, Rate>>);

impl Rates {
    /// Loads the rates in force.
    pub async fn load(db: &Db, today: &str) -> cf_base::Result<Self> {
        let rates = Self(ArcSwap::default());
        rates.reload(db, today).await?;
        Ok(rates)
    }

    pub(crate) async fn reload(&self, db: &Db, today: &str) -> cf_base::Result<()> {
        let rows = db
            .query(
                "select quote, rate, date, source from exchange_rates \
                 where base = 'USD' and rate > 0 and date <= $1 \
                 order by case when source like 'placeholder%' then 0 else 1 end, date, created",
                vec![today.into()],
            )
            .await?;
        let mut rates = HashMap::new();
        for row in rows {
            let Some(quote) = Currency::parse(&row.get::<String>("quote")?) else {
                continue;
            };
            // Ordered by date, placeholders before all real ones: the last one stays.
            rates.insert(
                quote,
                Rate {
                    rate: ExchangeRate(row.get("rate")?),
                    date: row.get::<String>("date")?.chars().take(10).collect(),
                    source: row.get("source")?,
                },
            );
        }
        self.0.store(rates.into());
        Ok(())
    }

    /// The rate from US dollars to `currency`. Without one nothing in that
    /// currency can be billed, so the call is refused.
    pub fn from_usd(&self, currency: Currency) -> cf_base::Result<Rate> {
        if currency == Currency::USD {
            return Ok(Rate {
                rate: ExchangeRate::ONE,
                date: String::new(),
                source: String::new(),
            });
        }
        self.0.load().get(&currency).cloned().ok_or_else(|| {
            cf_base::Error::new(
                Kind::Unprocessable,
                format!(
                    "There is no exchange rate from USD to {currency}; an administrator \
                     must add one under exchange rates."
                ),
            )
        })
    }
}
