//! The budgets that product and tenant give to a user, and budgets as JSON.

use cf_base::{Currency, Id, Nanos, Timestamp, parse_decimal_nanos};
use cf_collections::{RecordError, Result};
use cf_db::Tx;
use cf_ledger::{By, MAIN, Period, WindowSpec, check_windows, set_windows};
use serde::Deserialize;
use serde_json::{Number, Value as Json};

/// Days of a budget period where no product says otherwise, as in the seed.
pub const PERIOD_DAYS: i64 = 30;

/// What product and tenant say of a user's budgets.
pub struct Plan {
    /// The main budget's limit.
    pub budget: Nanos,
    /// Of all of them.
    pub currency: Currency,
    /// How long the main budget lasts.
    pub period: Period,
    /// Whether what is left of it goes into the next period.
    pub carry_over: bool,
    /// Budgets beside it.
    pub more: Vec<WindowSpec>,
    /// The tenant's.
    pub time_zone: String,
}

impl Plan {
    /// Of a user with this product in this tenant; either may be missing.
    pub async fn of(tx: &mut Tx, product: &str, tenant: &str) -> Result<Self> {
        let tenant = tx
            .query_opt(
                "select currency, time_zone from tenants where id = $1",
                vec![tenant.into()],
            )
            .await?;
        let (currency, time_zone) = match tenant {
            Some(row) => (row.at::<String>(0)?, row.at(1)?),
            None => (String::new(), String::new()),
        };
        let row = tx
            .query_opt(
                "select budget_included, currency, budget_period, budget_period_days, \
                 budget_carry_over, budget_windows from products where id = $1",
                vec![product.into()],
            )
            .await?;
        let Some(row) = row else {
            return Ok(Self {
                budget: Nanos::ZERO,
                currency: Currency::parse(&currency).unwrap_or(Currency::EUR),
                period: Period::Days(PERIOD_DAYS),
                carry_over: false,
                more: Vec::new(),
                time_zone,
            });
        };
        let days = row.at(3)?;
        let more = serde_json::from_str(&row.at::<String>(5)?).unwrap_or(Json::Null);
        Ok(Self {
            budget: row.at(0)?,
            currency: Currency::parse(&row.at::<String>(1)?).unwrap_or(Currency::EUR),
            period: Period::parse(&row.at::<String>(2)?, days)
                .unwrap_or_else(|| Period::rolling(days)),
            carry_over: row.at(4)?,
            // Checked when the product was saved.
            more: parse_windows(&more).unwrap_or_default(),
            time_zone,
        })
    }

    /// When a period of the main budget that begins now ends.
    pub fn next_reset(&self, now: Timestamp) -> Option<Timestamp> {
        self.period.first(&self.time_zone, now).map(|span| span.end)
    }

    /// Gives a user exactly these budgets, the main one with `limit`.
    pub async fn give(&self, tx: &mut Tx, user: Id, limit: Nanos, by: &By<'_>) -> Result<()> {
        let mut specs = vec![WindowSpec {
            name: MAIN.into(),
            limit: Some(limit),
            period: self.period,
            carry_over: self.carry_over,
        }];
        specs.extend(self.more.iter().cloned());
        set_windows(tx, user, &specs, &self.time_zone, by).await?;
        Ok(())
    }
}

/// A budget as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    limit: Option<Number>,
    #[serde(default = "total")]
    period: String,
    #[serde(default)]
    period_days: i64,
    #[serde(default)]
    carry_over: bool,
}

fn total() -> String {
    "total".into()
}

/// Reads a list of budgets; the error says what is wrong with it.
pub fn parse_windows(json: &Json) -> std::result::Result<Vec<WindowSpec>, String> {
    let written: Vec<Written> = serde_json::from_value(json.clone()).map_err(|e| {
        format!("Budgets are a list such as [{{\"name\": \"daily\", \"limit\": 5, \"period\": \"day\"}}]: {e}.")
    })?;
    let mut specs = Vec::with_capacity(written.len());
    for window in written {
        let name = &window.name;
        let limit = match window.limit {
            None => None,
            Some(number) => Some(Nanos(
                parse_decimal_nanos(&number.to_string())
                    .ok_or_else(|| format!("The limit of \"{name}\" is out of range."))?,
            )),
        };
        let period = Period::parse(&window.period, window.period_days).ok_or_else(|| {
            format!(
                "The period of \"{name}\" is total, day, week, month, or days with period_days \
                 from 1 to {}.",
                cf_ledger::MAX_PERIOD_DAYS
            )
        })?;
        specs.push(WindowSpec {
            limit,
            period,
            carry_over: window.carry_over,
            name: window.name,
        });
    }
    check_windows(&specs).map_err(|error| error.message)?;
    Ok(specs)
}

/// Whether these may be a product's budgets beside the main one.
pub fn check_product_windows(text: &str) -> Result<()> {
    let json = serde_json::from_str(text).unwrap_or(Json::Null);
    let refuse = |sentence: String| {
        Err(RecordError::field(
            "budget_windows",
            "validation_invalid_value",
            sentence,
        ))
    };
    match parse_windows(&json) {
        Err(sentence) => refuse(sentence),
        Ok(specs) if specs.iter().any(|spec| spec.name == MAIN) => refuse(format!(
            "\"{MAIN}\" is the product's own budget; its fields are budget_included, \
             budget_period and budget_carry_over."
        )),
        Ok(specs) if specs.len() >= cf_ledger::MAX_WINDOWS => refuse(format!(
            "There may be {} budgets beside the main one.",
            cf_ledger::MAX_WINDOWS - 1
        )),
        Ok(_) => Ok(()),
    }
}
