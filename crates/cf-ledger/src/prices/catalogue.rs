//! A price catalogue as it stands in `assets/prices.json`: prices are US dollars
//! for one token or one piece, as decimal text.

use std::collections::{BTreeMap, HashSet};

use cf_base::{PriceMicros, ServiceTier, parse_decimal_nanos};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::own::close_gaps;
use super::{PriceVersion, Prices, Tier, WHOLE};

/// Models in a catalogue at most.
const MAX_MODELS: usize = 20_000;
/// Dearest price of a token or piece: a thousand dollars. Beyond it is a slip.
const MAX_NANOS: i64 = 1_000 * 1_000_000_000;

type Texts = BTreeMap<String, String>;

/// What of a catalogue matters to money.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Catalogue {
    pub models: Vec<Model>,
}

#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
pub(crate) struct Model {
    pub id: String,
    pub provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inference_profile_geo: Option<String>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    prices: Texts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tiers: Vec<ContextTier>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    service_tiers: BTreeMap<String, Served>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    per_unit: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    multipliers: Texts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    web_search_billing_unit: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<u64>,
}

#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
struct ContextTier {
    above_input_tokens: u64,
    prices: Texts,
}

#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
struct Served {
    #[serde(default)]
    prices: Texts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tiers: Vec<ContextTier>,
}

impl Catalogue {
    /// Reads and checks a catalogue; an error sentence names what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut catalogue: Self = serde_json::from_str(text)
            .map_err(|e| format!("The file is not a price catalogue: {e}."))?;
        if catalogue.models.is_empty() || catalogue.models.len() > MAX_MODELS {
            return Err(format!(
                "A price catalogue has 1 to {MAX_MODELS} models; this one has {}.",
                catalogue.models.len()
            ));
        }
        let mut seen = HashSet::new();
        for model in &catalogue.models {
            if model.id.is_empty() || model.id.len() > 300 || model.provider.len() > 100 {
                return Err(format!("The model \"{}\" has no proper name.", model.id));
            }
            if !seen.insert(model.key()) {
                return Err(format!("{} stands there twice.", model.name()));
            }
            for (name, text) in model.all_prices() {
                let fits = parse_decimal_nanos(&text).is_some_and(|n| (0..=MAX_NANOS).contains(&n));
                if !fits || text.contains(['e', 'E']) {
                    return Err(format!(
                        "{}: {name} is not a price in US dollars (\"{text}\").",
                        model.name()
                    ));
                }
            }
            for (name, text) in &model.multipliers {
                if points(text).is_none() {
                    return Err(format!(
                        "{}: {name} is not a multiplier from 0.1 to 10 (\"{text}\").",
                        model.name()
                    ));
                }
            }
        }
        catalogue.models.sort_by(|a, b| a.key().cmp(&b.key()));
        Ok(catalogue)
    }
}

impl Model {
    /// What tells it from the others.
    pub(crate) fn key(&self) -> (&str, &str, &str, &str) {
        (
            &self.provider,
            &self.id,
            self.region.as_deref().unwrap_or_default(),
            self.variant.as_deref().unwrap_or_default(),
        )
    }

    fn name(&self) -> String {
        format!("{}/{}", self.provider, self.id)
    }

    /// The provider's name of the model as a deployment has it.
    pub(crate) fn deployed_as(&self) -> String {
        match &self.inference_profile_geo {
            Some(geo) if !self.id.starts_with(geo.as_str()) => format!("{geo}.{}", self.id),
            _ => self.id.clone(),
        }
    }

    /// All prices with a name each, for checks and comparisons.
    pub(crate) fn all_prices(&self) -> BTreeMap<String, String> {
        let mut all = self.prices.clone();
        let mut put = |prefix: &str, prices: &Texts| {
            for (name, price) in prices {
                all.insert(format!("{prefix}.{name}"), price.clone());
            }
        };
        for tier in &self.tiers {
            put(&format!("above_{}", tier.above_input_tokens), &tier.prices);
        }
        for (name, served) in &self.service_tiers {
            put(name, &served.prices);
            for tier in &served.tiers {
                put(
                    &format!("{name}.above_{}", tier.above_input_tokens),
                    &tier.prices,
                );
            }
        }
        for (name, price) in &self.per_unit {
            match price {
                Value::Object(sizes) => {
                    for (size, price) in sizes {
                        all.insert(format!("{name}.{size}"), plain(price));
                    }
                }
                price => drop(all.insert(name.clone(), plain(price))),
            }
        }
        all
    }

    /// The same with multipliers and limits: what a difference is shown of.
    pub(crate) fn all_terms(&self) -> BTreeMap<String, String> {
        let mut all = self.all_prices();
        for (name, factor) in &self.multipliers {
            all.insert(format!("multiplier.{name}"), factor.clone());
        }
        if let Some(unit) = &self.web_search_billing_unit {
            all.insert("web_search_billing_unit".into(), unit.clone());
        }
        for (name, limit) in [("input", self.limits.input), ("output", self.limits.output)] {
            if let Some(limit) = limit {
                all.insert(format!("limit.{name}"), limit.to_string());
            }
        }
        all
    }

    /// The prices of calls in no region of their own. `None` where a price is
    /// missing or all are zero: the catalogue says zero for models in a free
    /// preview, and a free model is the operator's word to give.
    pub(crate) fn version(&self, provider: &str) -> Option<PriceVersion> {
        let mut prices = read(&self.prices, None)?;
        self.fill_claudes_cache_prices(&mut prices);
        let million = |text: &String| parse_decimal_nanos(&format!("{text}e3")).map(PriceMicros);
        prices.character = self.prices.get("input_character").and_then(million);
        // One model has the same price under both names.
        prices.audio_second = ["input_cost_per_second", "output_cost_per_second"]
            .into_iter()
            .filter_map(|name| million(&plain(self.per_unit.get(name)?)))
            .find(|price| price.0 > 0);
        for (name, place) in [
            ("output_cost_per_image", &mut prices.image),
            ("input_cost_per_query", &mut prices.request),
        ] {
            *place = self.per_unit.get(name).and_then(|v| each(&plain(v)));
        }
        // Where tokens have a price, that of the piece says what they come to.
        if prices.has_token_price() {
            (prices.character, prices.audio_second) = (None, None);
        }
        if prices.image_output.is_some_and(|price| price.0 > 0) {
            prices.image = None;
        }
        // Providers say how many searches, not of which size: the dearest.
        prices.web_search = match self.per_unit.get("web_search_query") {
            Some(Value::Object(sizes)) => sizes.values().filter_map(|v| each(&plain(v))).max(),
            _ => None,
        };
        // Google bills a grounded prompt, with newer models each query.
        prices.web_search_once = prices.web_search.is_some()
            && matches!(provider, "gemini" | "vertex")
            && self.web_search_billing_unit.as_deref() != Some("per_query");
        let nothing = PriceMicros(0);
        let pieces = [
            prices.image,
            prices.request,
            prices.character,
            prices.audio_second,
        ];
        if prices.input == nothing
            && prices.output == nothing
            && pieces.into_iter().flatten().all(|price| price == nothing)
        {
            return None;
        }
        prices.tiers = context_tiers(&self.tiers, &self.prices, &prices)?;
        for (name, served) in &self.service_tiers {
            let known = ServiceTier::PRICED.into_iter().find(|t| t.as_str() == name);
            let Some(tier) = known else { continue };
            prices
                .service_tiers
                .insert(tier, self.served(tier, served, &prices)?);
        }
        close_gaps(&mut prices);
        let factor = |name: &str| self.multipliers.get(name).and_then(|text| points(text));
        prices.us_only = factor("geo_or_speed_us");
        prices.fast = factor("geo_or_speed_fast");
        let (output, input) = (self.limits.output, self.limits.input);
        Some(PriceVersion::new(
            provider, &self.id, "book", prices, output, input,
        ))
    }

    /// What a picture of one quality and size costs; `None` where this is no such
    /// entry.
    pub(crate) fn picture(&self, provider: &str) -> Option<PriceVersion> {
        let variant = self.variant.as_deref()?;
        let price = |name: &str| each(&plain(self.per_unit.get(name)?)).filter(|p| p.0 > 0);
        let image = ["output_cost_per_image", "input_cost_per_image"]
            .into_iter()
            .find_map(price)
            .or_else(|| {
                let pixel = plain(self.per_unit.get("input_cost_per_pixel")?);
                // Millionths of a dollar for a million pixels, in the end for all of them.
                let million = parse_decimal_nanos(&format!("{pixel}e3"))?;
                let micros = i128::from(million) * i128::from(pixels(variant)?);
                let micros = i64::try_from((micros + 500_000) / 1_000_000).ok()?;
                Some(PriceMicros(micros)).filter(|p| p.0 > 0)
            })?;
        let prices = Prices {
            image: Some(image),
            ..Prices::default()
        };
        let model = format!("{} {variant}", self.id);
        Some(PriceVersion::new(
            provider, &model, "book", prices, None, None,
        ))
    }

    /// The prices by region that the catalogue has as a factor; `*` is every
    /// region but `global`.
    pub(crate) fn regional_factors(&self) -> Vec<(&'static str, i64)> {
        [
            ("regional_processing_eu", "eu"),
            ("regional_processing_us", "us"),
            ("regional_endpoint", "*"),
        ]
        .into_iter()
        .filter_map(|(name, region)| Some((region, points(self.multipliers.get(name)?)?)))
        .collect()
    }

    fn served(&self, tier: ServiceTier, served: &Served, usual: &Prices) -> Option<Prices> {
        let mut prices = read(&served.prices, Some(&self.prices))?;
        self.fill_claudes_cache_prices(&mut prices);
        // The catalogue lists no batch price of an hour's cache; it is of the same share.
        if tier == ServiceTier::Batch
            && !served.prices.contains_key("cache_write_1h")
            && let Some(hour) = usual.cache_write_1h
            && usual.input.0 > 0
        {
            prices.cache_write_1h = Some(hour.scaled(WHOLE * prices.input.0 / usual.input.0));
        }
        let base = self.prices.iter().chain(&served.prices);
        let base: Texts = base.map(|(k, v)| (k.clone(), v.clone())).collect();
        prices.tiers = context_tiers(&served.tiers, &base, &prices)?;
        Some(prices)
    }

    /// Older entries of Claude lack the prices of cache writes, which are the same
    /// shares of the input price for all of them.
    fn fill_claudes_cache_prices(&self, prices: &mut Prices) {
        if self.id.contains("claude") && prices.cache_read.is_some() {
            prices
                .cache_write
                .get_or_insert(prices.input.scaled(12_500));
            prices
                .cache_write_1h
                .get_or_insert(prices.input.scaled(20_000));
        }
    }
}

/// A price missing in a tier keeps its base price.
fn context_tiers(tiers: &[ContextTier], base: &Texts, usual: &Prices) -> Option<Vec<Tier>> {
    let mut found = Vec::with_capacity(tiers.len());
    for tier in tiers {
        let mut prices = read(&tier.prices, Some(base))?;
        // Without a base price it is what storing costs by the hour (Gemini).
        if usual.cache_write.is_none() {
            prices.cache_write = None;
        }
        if prices.cache_write_1h.is_none() {
            prices.cache_write_1h = usual.cache_write_1h;
        }
        found.push(Tier {
            above_input_tokens: tier.above_input_tokens,
            prices,
        });
    }
    found.sort_by_key(|tier| tier.above_input_tokens);
    Some(found)
}

fn read(prices: &Texts, base: Option<&Texts>) -> Option<Prices> {
    let price = |name: &str| {
        let text = prices
            .get(name)
            .or_else(|| base.and_then(|base| base.get(name)))?;
        // Dollars for one token × 10⁹ × 10³ = micro-dollars for a million.
        parse_decimal_nanos(&format!("{text}e3")).map(PriceMicros)
    };
    Some(Prices {
        // What is billed by the character has no price of tokens.
        input: price("input").or_else(|| {
            let by_piece = prices.keys().all(|name| name == "input_character");
            by_piece.then(PriceMicros::default)
        })?,
        output: price("output").unwrap_or_default(),
        cache_read: price("cache_read"),
        cache_read_audio: price("cache_read_audio"),
        cache_write: price("cache_write"),
        cache_write_1h: price("cache_write_1h"),
        reasoning: price("output_reasoning"),
        audio_input: price("input_audio"),
        audio_output: price("output_audio"),
        image_input: price("input_image"),
        image_output: price("output_image"),
        ..Prices::default()
    })
}

/// Dollars for one piece × 10⁹ × 10⁻³ = micro-dollars.
fn each(text: &str) -> Option<PriceMicros> {
    parse_decimal_nanos(&format!("{text}e-3")).map(PriceMicros)
}

/// Pixels of a picture by what a catalogue calls it: `hd/1024-x-1792`.
fn pixels(variant: &str) -> Option<u32> {
    let size = variant.split('/').find(|part| part.contains("-x-"))?;
    let (width, height) = size.split_once("-x-")?;
    let (width, height): (u16, u16) = (width.parse().ok()?, height.parse().ok()?);
    Some(u32::from(width) * u32::from(height))
}

/// A factor in basis points.
fn points(text: &str) -> Option<i64> {
    let points = parse_decimal_nanos(text)? / 100_000;
    (1_000..=100_000).contains(&points).then_some(points)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
