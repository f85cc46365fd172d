//! Prices that an operator sets: on a model record for what it costs, on a
//! product or tenant for what the customer pays.

use std::collections::BTreeMap;
use std::sync::Arc;

use cf_base::{PriceMicros, ServiceTier, parse_decimal_nanos};
use serde_json::{Map, Value};

use super::{Prices, Tier};

/// Models on one price list at most.
const MAX_LIST: usize = 2_000;
/// Context sizes with prices of their own at most.
const MAX_TIERS: usize = 10;

/// The prices on a model record, in US dollars per million tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnPrices(pub(super) Prices);

impl OwnPrices {
    /// Reads the `prices` of a model record. `None` where nothing is set; an
    /// error sentence where it cannot be a price.
    pub fn parse(json: &Value) -> Result<Option<Self>, String> {
        match json {
            Value::Null => Ok(None),
            Value::Object(fields) => Ok(read(fields, &[], true)?.map(Self)),
            _ => Err("prices are an object such as {\"input\": 0.15, \"output\": 0.6}".into()),
        }
    }
}

/// What customers of a product or of a tenant pay for models, by public name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PriceList(BTreeMap<String, Arc<Prices>>);

impl PriceList {
    /// Reads the `prices` of a product or tenant: a list such as
    /// `[{"model": "gpt-5", "input": 2, "output": 12}]`, in US dollars per million
    /// tokens with the names of the prices on a model record.
    pub fn parse(json: &Value) -> Result<Self, String> {
        let entries = match json {
            Value::Null => return Ok(Self::default()),
            Value::Array(entries) => entries,
            _ => {
                return Err(
                    "a price list is a list such as [{\"model\": \"gpt-5\", \"input\": 2, \"output\": 12}]"
                        .into(),
                );
            }
        };
        if entries.len() > MAX_LIST {
            return Err(format!("a price list has at most {MAX_LIST} models"));
        }
        let mut list = BTreeMap::new();
        for entry in entries {
            let fields = entry
                .as_object()
                .ok_or("each entry of a price list is an object")?;
            let model = fields
                .get("model")
                .and_then(Value::as_str)
                .filter(|m| !m.is_empty() && m.len() <= 200)
                .ok_or("each entry of a price list names its model")?;
            let prices = read(fields, &["model"], true)
                .and_then(|p| p.ok_or_else(|| "there are no prices".into()))
                .map_err(|e| format!("{model}: {e}"))?;
            if list.insert(model.to_owned(), Arc::new(prices)).is_some() {
                return Err(format!("{model} is on the price list twice"));
            }
        }
        Ok(Self(list))
    }

    /// Whether nothing is on it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a model of this public name costs by the list.
    pub(crate) fn find(&self, model: &str) -> Option<&Arc<Prices>> {
        self.0.get(model)
    }
}

/// `None` where no price is set at all.
fn read(
    fields: &Map<String, Value>,
    skip: &[&str],
    nested: bool,
) -> Result<Option<Prices>, String> {
    let mut prices = Prices::default();
    let mut seen = (false, false);
    for (name, value) in fields {
        match name.as_str() {
            skipped if skip.contains(&skipped) => {}
            "tiers" if nested => prices.tiers = tiers(value)?,
            "service_tiers" if nested => prices.service_tiers = service_tiers(value)?,
            name => {
                let Some(price) = price(name, value)? else {
                    continue;
                };
                seen.0 |= name == "input";
                seen.1 |= name == "output";
                if name == "audio_minute" {
                    // From one minute to a million seconds, half up.
                    let second = (price.0.saturating_mul(1_000_000).saturating_add(30)) / 60;
                    prices.audio_second = Some(PriceMicros(second));
                    continue;
                }
                *field(&mut prices, name)? = price;
            }
        }
    }
    match seen {
        (true, true) => {
            close_gaps(&mut prices);
            Ok(Some(prices))
        }
        (false, false) if prices == Prices::default() => Ok(None),
        _ => Err("own prices need both input and output".into()),
    }
}

/// The place of a price; prices that are optional are made to be there.
fn field<'a>(prices: &'a mut Prices, name: &str) -> Result<&'a mut PriceMicros, String> {
    let field = match name {
        "input" => return Ok(&mut prices.input),
        "output" => return Ok(&mut prices.output),
        "cached_input" | "cache_read" => &mut prices.cache_read,
        "cache_read_audio" => &mut prices.cache_read_audio,
        "cache_write" => &mut prices.cache_write,
        "cache_write_1h" => &mut prices.cache_write_1h,
        "reasoning" => &mut prices.reasoning,
        "audio_input" => &mut prices.audio_input,
        "audio_output" => &mut prices.audio_output,
        "image_input" => &mut prices.image_input,
        "image_output" => &mut prices.image_output,
        // For a million characters that are spoken.
        "character" => &mut prices.character,
        // These three are for one piece, not for a million.
        "image" => &mut prices.image,
        "web_search" => &mut prices.web_search,
        "request" => &mut prices.request,
        _ => return Err(format!("there is no price named {name}")),
    };
    Ok(field.get_or_insert_default())
}

/// US dollars in micro-dollars, half up; `None` where nothing is set.
fn price(name: &str, value: &Value) -> Result<Option<PriceMicros>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Number(n) => n.to_string(),
        Value::String(s) if s.trim().is_empty() => return Ok(None),
        Value::String(s) => s.clone(),
        _ => return Err(format!("the price {name} is not a number")),
    };
    let nanos =
        parse_decimal_nanos(&text).ok_or_else(|| format!("the price {name} is not a number"))?;
    if nanos < 0 {
        return Err(format!("the price {name} is below zero"));
    }
    Ok(Some(PriceMicros(
        nanos / 1000 + i64::from(nanos % 1000 >= 500),
    )))
}

/// `[{"above_input_tokens": 200000, "input": 2, "output": 8}]`
fn tiers(value: &Value) -> Result<Vec<Tier>, String> {
    let entries = value
        .as_array()
        .filter(|e| e.len() <= MAX_TIERS)
        .ok_or_else(|| {
            format!("tiers are a list of at most {MAX_TIERS} objects with above_input_tokens")
        })?;
    let mut tiers = Vec::with_capacity(entries.len());
    for entry in entries {
        let fields = entry.as_object().ok_or("a tier is an object")?;
        let above_input_tokens = fields
            .get("above_input_tokens")
            .and_then(Value::as_u64)
            .ok_or("a tier says above_input_tokens, a whole number")?;
        let prices = read(fields, &["above_input_tokens"], false)?
            .ok_or("a tier needs both input and output")?;
        tiers.push(Tier {
            above_input_tokens,
            prices,
        });
    }
    tiers.sort_by_key(|tier| tier.above_input_tokens);
    Ok(tiers)
}

/// `{"priority": {"input": 5, "output": 30}}`
fn service_tiers(value: &Value) -> Result<BTreeMap<ServiceTier, Prices>, String> {
    let fields = value
        .as_object()
        .ok_or("service_tiers are an object of prices by tier")?;
    let mut found = BTreeMap::new();
    for (name, prices) in fields {
        let tier = ServiceTier::PRICED
            .into_iter()
            .find(|tier| tier.as_str() == name)
            .ok_or_else(|| format!("there is no service tier named {name}"))?;
        let prices = prices
            .as_object()
            .ok_or_else(|| format!("the prices of {name} are an object"))?;
        let prices = read(prices, &[], false)?
            .ok_or_else(|| format!("the tier {name} needs both input and output"))?;
        found.insert(tier, prices);
    }
    Ok(found)
}

/// A service tier that says nothing of long contexts takes, above each of the
/// usual tier's thresholds, the dearer of its own price and the usual one there.
pub(super) fn close_gaps(prices: &mut Prices) {
    let usual = prices.tiers.clone();
    for served in prices.service_tiers.values_mut() {
        for tier in &usual {
            let known = |t: &Tier| t.above_input_tokens == tier.above_input_tokens;
            if !served.tiers.iter().any(known) {
                let base = served.at(tier.above_input_tokens + 1).clone();
                served.tiers.push(Tier {
                    above_input_tokens: tier.above_input_tokens,
                    prices: dearer(&base, &tier.prices),
                });
                served.tiers.sort_by_key(|t| t.above_input_tokens);
            }
        }
    }
}

fn dearer(one: &Prices, other: &Prices) -> Prices {
    let most = |a: Option<PriceMicros>, b: Option<PriceMicros>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        // Where one has no price of its own the class is billed by another.
        (a, b) => a.or(b),
    };
    Prices {
        input: one.input.max(other.input),
        output: one.output.max(other.output),
        cache_read: most(one.cache_read, other.cache_read),
        cache_read_audio: most(one.cache_read_audio, other.cache_read_audio),
        cache_write: most(one.cache_write, other.cache_write),
        cache_write_1h: most(one.cache_write_1h, other.cache_write_1h),
        reasoning: most(one.reasoning, other.reasoning),
        audio_input: most(one.audio_input, other.audio_input),
        audio_output: most(one.audio_output, other.audio_output),
        image_input: most(one.image_input, other.image_input),
        image_output: most(one.image_output, other.image_output),
        ..Prices::default()
    }
}
