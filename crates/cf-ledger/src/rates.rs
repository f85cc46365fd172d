//! Exchange rates from US dollars, in which prices are kept, to the currencies
//! of budgets. The newest record of a pair holds, from its day on.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use cf_base::{Currency, ExchangeRate, Kind};
use cf_db::Db;

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
                 where base = 'USD' and rate > 0 and date <= $1 order by date, created",
                vec![today.into()],
            )
            .await?;
        let mut rates = HashMap::new();
        for row in rows {
            let Some(quote) = Currency::parse(&row.get::<String>("quote")?) else {
                continue;
            };
            // Ordered by date: the last one stays.
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
