//! Exchange rates from a configured address, in the daily XML of the European
//! Central Bank: units of each currency for one euro. What somebody set by hand
//! for a day stays.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Currency, Error, Id, Kind, Nanos, Result, Timestamp, parse_decimal_nanos};
use cf_collections::{RecordError, Shape};
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::{Map, Value, json};

use crate::{App, Config, provision};

/// Largest file; the ECB's has 2 KB.
const MAX_FILE: usize = 1 << 20;
/// How long the answer may take.
const TIME: Duration = Duration::from_secs(30);
/// How often rates are fetched; the source has new ones once a day.
const EVERY: i64 = 4 * 3_600_000;
/// How often old rates are warned about.
const DAY: i64 = 86_400_000;
/// Begins the source of a rate that was fetched.
const FETCHED: &str = "fetched from ";
/// A rate that moved by more than this factor is not believed.
const LEAP: i64 = 2;

/// The rates of a day.
#[derive(Debug, PartialEq, Eq)]
struct Daily {
    /// As `2026-01-31`.
    date: String,
    /// Units for one euro, in 10⁻⁹.
    per_euro: HashMap<Currency, i64>,
}

/// Fetches the day's rates of all currencies that budgets are in; returns how many
/// are new.
pub async fn fetch(app: &App, url: &str) -> Result<usize> {
    let text = load(app, url).await?;
    let daily = parse(&text).map_err(|what| failed(url, &what))?;
    let now = app.clock.now();
    // The day after ours may have begun where the rates are made.
    let tomorrow = now.after(Duration::from_secs(86_400)).to_day();
    if daily.date > tomorrow {
        return Err(failed(url, &format!("its day {} lies ahead", daily.date)));
    }
    let source = format!("{FETCHED}{}", host(url));
    let mut new = 0;
    for state in cf_ledger::rates_in_use(&app.db, now).await? {
        let Some(rate) = Currency::parse(&state.quote).and_then(|c| daily.per_dollar(c)) else {
            tracing::warn!(
                currency = state.quote,
                "the fetched exchange rates leave this currency out"
            );
            continue;
        };
        let known = state.rate.filter(|_| !state.placeholder).map(|rate| rate.0);
        if let Some(known) = known
            && (rate > known.saturating_mul(LEAP) || known > rate.saturating_mul(LEAP))
        {
            tracing::error!(
                currency = state.quote,
                rate = %Nanos(rate),
                known = %Nanos(known),
                "a fetched exchange rate is too far from the one in force to be believed; if it is \
                 right, set it by hand"
            );
            continue;
        }
        new += usize::from(keep(app, &state.quote, rate, &daily.date, &source).await?);
    }
    if new > 0 {
        app.refresh().await?;
        tracing::info!(new, date = daily.date, "exchange rates were fetched");
    }
    Ok(new)
}

/// When what was done last, in unix milliseconds; 0 for never.
#[derive(Default)]
pub struct Times {
    fetched: AtomicI64,
    warned: AtomicI64,
}

/// Fetches where it is time, or where a currency has no real rate yet; says once a
/// day in the log which rates are too old, also where they are set by hand.
pub async fn look(app: &App, times: &Times) -> Result<()> {
    let now = app.clock.now();
    let since = |what: &AtomicI64| now.millis_since(Timestamp::from_millis(what.load(Relaxed)));
    let rates = cf_ledger::rates_in_use(&app.db, now).await?;
    let lacking = rates
        .iter()
        .any(|rate| rate.rate.is_none() || rate.placeholder);
    let fetched = match &app.config.exchange_rates_url {
        Some(url) if lacking || since(&times.fetched) >= EVERY => fetch(app, url).await.map(drop),
        _ => Ok(()),
    };
    if fetched.is_ok() && since(&times.fetched) >= EVERY {
        times.fetched.store(now.as_millis(), Relaxed);
    }
    if since(&times.warned) >= DAY {
        warn_of_old_ones(app).await?;
        times.warned.store(now.as_millis(), Relaxed);
    }
    fetched
}

/// Says in the log which rates in use are too old.
async fn warn_of_old_ones(app: &App) -> Result<()> {
    let max_age = app.config.exchange_rates_max_age_days;
    for rate in cf_ledger::rates_in_use(&app.db, app.clock.now()).await? {
        if rate.rate.is_some() && !rate.placeholder && rate.age_days > max_age {
            tracing::warn!(
                currency = rate.quote,
                date = rate.date,
                age_days = rate.age_days,
                "an exchange rate is old: {}",
                remedy(&app.config)
            );
        }
    }
    Ok(())
}

/// What to do about an old rate.
pub fn remedy(config: &Config) -> &'static str {
    if config.exchange_rates_url.is_some() {
        "it can no longer be fetched; see the log, or set one in the portal under Exchange rates"
    } else {
        "set today's in the portal under Exchange rates, or have it fetched (exchange_rates_url)"
    }
}

async fn load(app: &App, url: &str) -> Result<String> {
    let request = http::Request::get(url)
        .header(http::header::USER_AGENT, "cloudfreedom")
        .body(Full::new(Bytes::new()))
        .map_err(|_| failed(url, "it is not an address"))?;
    let response = app
        .http
        .send(request, TIME)
        .await
        .map_err(|e| failed(url, &e.to_string()))?;
    let status = response.status();
    if !status.is_success() {
        return Err(failed(url, &format!("it answered {status}")));
    }
    let body = Limited::new(response.into_body(), MAX_FILE).collect();
    let body = tokio::time::timeout(TIME, body)
        .await
        .map_err(|_| failed(url, "the answer took too long"))?
        .map_err(|e| failed(url, &e.to_string()))?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| failed(url, "the answer is not text"))
}

fn failed(url: &str, what: &str) -> Error {
    Error::new(
        Kind::Upstream { status: 502 },
        format!(
            "No exchange rates could be fetched from {}: {what}.",
            host(url)
        ),
    )
}

/// Of the address only the host is told: the rest may hold a key.
fn host(url: &str) -> String {
    let uri: http::Uri = url.parse().unwrap_or_default();
    uri.host().unwrap_or("an address without a host").to_owned()
}

fn parse(text: &str) -> std::result::Result<Daily, String> {
    let document =
        roxmltree::Document::parse(text).map_err(|e| format!("the answer is not XML ({e})"))?;
    let day = document
        .descendants()
        .find(|node| is_cube(node) && node.attribute("time").is_some())
        .ok_or("the answer holds no rates of a day")?;
    let date = day.attribute("time").unwrap_or_default().to_owned();
    if Timestamp::parse(&date).is_none_or(|time| time.to_day() != date) {
        return Err(format!("\"{date}\" is no day"));
    }
    let mut per_euro = HashMap::from([(Currency::EUR, 1_000_000_000)]);
    for node in day.children().filter(is_cube) {
        let currency = node.attribute("currency").and_then(Currency::parse);
        let rate = node.attribute("rate").and_then(parse_decimal_nanos);
        if let (Some(currency), Some(rate)) = (currency, rate.filter(|rate| *rate > 0)) {
            per_euro.insert(currency, rate);
        }
    }
    if !per_euro.contains_key(&Currency::USD) {
        return Err("the answer has no rate of the US dollar".into());
    }
    Ok(Daily { date, per_euro })
}

/// Names are compared without their namespace: the ECB's has one by default.
fn is_cube(node: &roxmltree::Node<'_, '_>) -> bool {
    node.is_element() && node.tag_name().name() == "Cube"
}

impl Daily {
    /// Units for one US dollar in 10⁻⁹, half up.
    fn per_dollar(&self, currency: Currency) -> Option<i64> {
        let dollar = i128::from(*self.per_euro.get(&Currency::USD)?);
        let other = i128::from(*self.per_euro.get(&currency)?);
        let rate = (other * 1_000_000_000 * 2 + dollar).div_euclid(dollar * 2);
        i64::try_from(rate).ok().filter(|rate| *rate > 0)
    }
}

/// Keeps a rate unless somebody set one for that day by hand. Returns whether
/// something changed.
async fn keep(app: &App, quote: &str, rate: i64, date: &str, source: &str) -> Result<bool> {
    let rows = app
        .db
        .query(
            "select id, rate, source from exchange_rates \
             where base = 'USD' and quote = $1 and date = $2 and source not like 'placeholder%'",
            vec![quote.into(), date.into()],
        )
        .await?;
    let mut ours = None;
    for row in rows {
        if !row.get::<String>("source")?.starts_with(FETCHED) {
            return Ok(false);
        }
        ours = Some((row.get::<String>("id")?, row.get::<i64>("rate")?));
    }
    let rate_text = Nanos(rate).to_string();
    let written = match ours {
        Some((_, known)) if known == rate => return Ok(false),
        Some((id, _)) => {
            let change = Map::from_iter([
                ("rate".to_owned(), Value::from(rate_text)),
                ("source".to_owned(), source.into()),
            ]);
            let system = provision::system();
            let shape = Shape::default();
            let changed = app
                .engine
                .update(&system, "exchange_rates", &id, &change, &shape);
            changed.await.map(drop)
        }
        None => {
            // The same on every node: of two that fetch at once, one writes.
            let id = Id::of_content(format!("fetched USD {quote} {date}").as_bytes());
            let record = json!({"id": id, "base": "USD", "quote": quote, "rate": rate_text,
                "date": date, "source": source});
            provision::create(&app.engine, "exchange_rates", record)
                .await
                .map(drop)
        }
    };
    match written {
        Ok(()) => Ok(true),
        Err(error) if another_was_faster(&error) => Ok(false),
        Err(error) => Err(Error::internal(format!(
            "{} {:?}",
            error.message, error.data
        ))),
    }
}

fn another_was_faster(error: &RecordError) -> bool {
    error.status == 400 && error.data.contains_key("id")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECB: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
 <gesmes:subject>Reference rates</gesmes:subject>
 <Cube><Cube time='2026-01-09'>
  <Cube currency='USD' rate='1.25'/><Cube currency='JPY' rate='180.4'/><Cube currency='CHF' rate='0.9'/>
  <Cube currency='XX' rate='1'/><Cube currency='SEK' rate='-1'/>
 </Cube></Cube>
</gesmes:Envelope>"#;

    #[test]
    fn rates_are_turned_to_be_of_a_dollar() {
        let daily = parse(ECB).expect("rates");
        assert_eq!(daily.date, "2026-01-09");
        let rate = |code| daily.per_dollar(Currency::parse(code).expect("a code"));
        assert_eq!(rate("EUR"), Some(800_000_000));
        assert_eq!(rate("JPY"), Some(144_320_000_000));
        assert_eq!(rate("CHF"), Some(720_000_000));
        assert_eq!((rate("SEK"), rate("GBP")), (None, None));
        assert_eq!(rate("USD"), Some(1_000_000_000));
        let third = parse(&ECB.replace("1.25", "3")).expect("rates");
        assert_eq!(third.per_dollar(Currency::EUR), Some(333_333_333));
        let two_thirds = parse(&ECB.replace("1.25", "1.5")).expect("rates");
        assert_eq!(
            two_thirds.per_dollar(Currency::EUR),
            Some(666_666_667),
            "half up"
        );
    }

    #[test]
    fn what_holds_no_rates_is_refused() {
        for (text, what) in [
            ("", "not XML"),
            ("<html></html>", "no rates of a day"),
            (&*ECB.replace("2026-01-09", "yesterday"), "no day"),
            (&*ECB.replace("USD", "AUD"), "US dollar"),
        ] {
            let error = parse(text).expect_err(what);
            assert!(error.contains(what), "{error}");
        }
    }
}
