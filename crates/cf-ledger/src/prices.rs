//! What tokens cost: the price book that comes with the program, the
//! operator's own prices, and the versions that calls were billed by.

use std::collections::HashMap;
use std::sync::Arc;

use cf_base::{Id, PicoUsd, PriceMicros, Usage, parse_decimal_nanos};
use serde::{Deserialize, Serialize};

/// Prices of a model in US dollars (micro-dollars per million tokens). A class
/// without a price of its own is billed as the class it belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Input.
    pub input: PriceMicros,
    /// Output, reasoning included unless it has its own.
    pub output: PriceMicros,
    /// Input read from the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<PriceMicros>,
    /// Input written to a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<PriceMicros>,
    /// Input written to a cache for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PriceMicros>,
    /// Reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<PriceMicros>,
    /// Sound that went in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<PriceMicros>,
    /// Sound that came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<PriceMicros>,
    /// For each call, in micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<PriceMicros>,
    /// Prices of long contexts, by rising threshold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
}

/// The prices of all tokens of a call whose whole input is larger than
/// `above_input_tokens`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tier {
    /// The threshold; cached tokens count.
    pub above_input_tokens: u64,
    /// The prices above it.
    pub prices: Prices,
}

impl Prices {
    /// What `usage` costs, exactly.
    pub fn cost(&self, usage: &Usage) -> PicoUsd {
        let total_input = usage.prompt_tokens();
        let prices = self
            .tiers
            .iter()
            .rfind(|tier| total_input > tier.above_input_tokens)
            .map_or(self, |tier| &tier.prices);
        let reasoning = usage.reasoning.min(usage.output);
        let cache_write = prices.cache_write.unwrap_or(prices.input);
        let mut cost = prices.input.times(usage.input);
        cost += prices
            .cache_read
            .unwrap_or(prices.input)
            .times(usage.cache_read);
        cost += cache_write.times(usage.cache_write);
        cost += prices
            .cache_write_1h
            .unwrap_or(cache_write)
            .times(usage.cache_write_1h);
        cost += prices
            .audio_input
            .unwrap_or(prices.input)
            .times(usage.audio_input);
        cost += prices.output.times(usage.output - reasoning);
        cost += prices.reasoning.unwrap_or(prices.output).times(reasoning);
        cost += prices
            .audio_output
            .unwrap_or(prices.output)
            .times(usage.audio_output);
        // A price for a call is for one of it, not for a million.
        cost += self.request.unwrap_or_default().times(1_000_000);
        cost
    }

    /// What a call can cost at most whose input is not larger than
    /// `input_tokens` and whose output not larger than `output_tokens`,
    /// whatever classes the tokens turn out to be.
    pub fn worst_case(&self, input_tokens: u64, output_tokens: u64) -> PicoUsd {
        let reached = self
            .tiers
            .iter()
            .filter(|tier| input_tokens > tier.above_input_tokens)
            .map(|tier| &tier.prices);
        let mut worst_input = PriceMicros(0);
        let mut worst_output = PriceMicros(0);
        for prices in std::iter::once(self).chain(reached) {
            worst_input = worst_input.max(prices.dearest_input());
            worst_output = worst_output.max(prices.dearest_output());
        }
        worst_input.times(input_tokens)
            + worst_output.times(output_tokens)
            + self.request.unwrap_or_default().times(1_000_000)
    }

    /// The dearest class of input.
    pub fn dearest_input(&self) -> PriceMicros {
        let classes = [
            self.cache_read,
            self.cache_write,
            self.cache_write_1h,
            self.audio_input,
        ];
        classes.into_iter().flatten().fold(self.input, Ord::max)
    }

    /// The dearest class of output.
    pub fn dearest_output(&self) -> PriceMicros {
        [self.reasoning, self.audio_output]
            .into_iter()
            .flatten()
            .fold(self.output, Ord::max)
    }
}

/// Prices that a call is billed by. The id is made of the content: the same
/// prices are the same version, changed prices are another, and past bills can
/// be worked out again.
#[derive(Clone, Debug)]
pub struct PriceVersion {
    /// Id in `price_versions`.
    pub id: Id,
    /// The provider.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// `book` or `own`.
    pub source: &'static str,
    /// The prices.
    pub prices: Prices,
    /// Output tokens the model gives at most, where the price book knows.
    pub max_output_tokens: Option<u64>,
    /// Input tokens the model takes at most, where the price book knows.
    pub max_input_tokens: Option<u64>,
}

impl PriceVersion {
    /// What `usage` costs, exactly.
    pub fn cost(&self, usage: &Usage) -> PicoUsd {
        self.prices.cost(usage)
    }

    /// The operator's own prices for a provider's model.
    pub fn own(provider: &str, model: &str, own: &OwnPrices) -> Self {
        Self::new(provider, model, "own", own.0.clone(), None, None)
    }

    /// No price at all, for calls that never reached a provider.
    pub fn free() -> Self {
        Self::new("", "", "none", Prices::default(), None, None)
    }

    fn new(
        provider: &str,
        model: &str,
        source: &'static str,
        prices: Prices,
        max_output_tokens: Option<u64>,
        max_input_tokens: Option<u64>,
    ) -> Self {
        let content = serde_json::to_string(&(provider, model, source, &prices))
            .expect("prices are plain numbers");
        Self {
            id: Id::of_content(content.as_bytes()),
            provider: provider.to_owned(),
            model: model.to_owned(),
            source,
            prices,
            max_output_tokens,
            max_input_tokens,
        }
    }
}

/// The prices on a model record, in US dollars per million tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnPrices(Prices);

impl OwnPrices {
    /// Reads the `prices` of a model record. `None` where nothing is set; an
    /// error sentence where it cannot be a price.
    pub fn parse(json: &serde_json::Value) -> Result<Option<Self>, String> {
        let serde_json::Value::Object(fields) = json else {
            return match json {
                serde_json::Value::Null => Ok(None),
                _ => Err("prices are an object such as {\"input\": 0.15, \"output\": 0.6}".into()),
            };
        };
        let mut prices = Prices::default();
        let mut seen = (false, false);
        for (name, value) in fields {
            let text = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::Number(n) => n.to_string(),
                serde_json::Value::String(s) if s.trim().is_empty() => continue,
                serde_json::Value::String(s) => s.clone(),
                _ => return Err(format!("the price {name} is not a number")),
            };
            let nanos = parse_decimal_nanos(&text)
                .ok_or_else(|| format!("the price {name} is not a number"))?;
            if nanos < 0 {
                return Err(format!("the price {name} is below zero"));
            }
            // US dollars per million tokens in 10⁻⁹ → micro-dollars, half up.
            let price = PriceMicros((nanos + 500) / 1000);
            match name.as_str() {
                "input" => {
                    prices.input = price;
                    seen.0 = true;
                }
                "output" => {
                    prices.output = price;
                    seen.1 = true;
                }
                "cached_input" | "cache_read" => prices.cache_read = Some(price),
                "cache_write" => prices.cache_write = Some(price),
                "cache_write_1h" => prices.cache_write_1h = Some(price),
                "reasoning" => prices.reasoning = Some(price),
                "audio_input" => prices.audio_input = Some(price),
                "audio_output" => prices.audio_output = Some(price),
                "request" => prices.request = Some(price),
                _ => return Err(format!("there is no price named {name}")),
            }
        }
        match seen {
            (true, true) => Ok(Some(Self(prices))),
            (false, false) if prices == Prices::default() => Ok(None),
            _ => Err("own prices need both input and output".into()),
        }
    }
}

/// The price book that comes with the program.
pub(crate) struct PriceBook(HashMap<(String, String), Arc<PriceVersion>>);

/// The catalogue as it stands in `assets/prices.json`; prices are US dollars
/// for one token, as decimal text.
#[derive(Deserialize)]
struct Catalogue {
    models: Vec<CatalogueModel>,
}

#[derive(Deserialize)]
struct CatalogueModel {
    id: String,
    provider: String,
    region: Option<String>,
    variant: Option<String>,
    inference_profile_geo: Option<String>,
    #[serde(default)]
    limits: CatalogueLimits,
    #[serde(default)]
    prices: CataloguePrices,
    #[serde(default)]
    tiers: Vec<CatalogueTier>,
}

#[derive(Deserialize, Default)]
struct CatalogueLimits {
    input: Option<u64>,
    output: Option<u64>,
}

#[derive(Deserialize, Default)]
struct CataloguePrices {
    input: Option<String>,
    output: Option<String>,
    cache_read: Option<String>,
    cache_write: Option<String>,
    cache_write_1h: Option<String>,
    output_reasoning: Option<String>,
    input_audio: Option<String>,
    output_audio: Option<String>,
}

#[derive(Deserialize)]
struct CatalogueTier {
    above_input_tokens: u64,
    prices: CataloguePrices,
}

impl PriceBook {
    pub(crate) fn embedded() -> Self {
        let catalogue: Catalogue =
            serde_json::from_str(include_str!("../../../assets/prices.json"))
                .expect("the price book is checked by a test");
        let mut book = HashMap::with_capacity(catalogue.models.len());
        for model in catalogue.models {
            // Regional prices need the deployment's region, which decides later.
            if model.region.is_some() || model.variant.is_some() {
                continue;
            }
            let Some(provider) = our_name(&model.provider) else {
                continue;
            };
            let id = match &model.inference_profile_geo {
                Some(geo) if !model.id.starts_with(geo.as_str()) => format!("{geo}.{}", model.id),
                _ => model.id.clone(),
            };
            if let Some(version) = price_version(provider, &model) {
                book.entry((provider.to_owned(), id))
                    .or_insert_with(|| Arc::new(version));
            }
        }
        Self(book)
    }

    pub(crate) fn find(&self, provider: &str, model: &str) -> Option<Arc<PriceVersion>> {
        self.0
            .get(&(provider.to_owned(), model.to_owned()))
            .cloned()
    }
}

/// The catalogue's provider names in ours.
fn our_name(provider: &str) -> Option<&'static str> {
    Some(match provider {
        "openai" => "openai",
        "azure" | "azure_ai" => "azure",
        "gemini" => "gemini",
        "vertex_ai" => "vertex",
        "bedrock" | "bedrock_mantle" => "bedrock",
        "anthropic" => "anthropic",
        "mistral" => "mistral",
        _ => return None,
    })
}

/// `None` where a price is missing or zero: the catalogue says zero for models
/// in a free preview, and a free model is the operator's word to give.
fn price_version(provider: &str, model: &CatalogueModel) -> Option<PriceVersion> {
    let mut prices = read(&model.prices, None)?;
    if prices.input == PriceMicros(0) && prices.output == PriceMicros(0) {
        return None;
    }
    for tier in &model.tiers {
        prices.tiers.push(Tier {
            above_input_tokens: tier.above_input_tokens,
            prices: read(&tier.prices, Some(&model.prices))?,
        });
    }
    prices.tiers.sort_by_key(|tier| tier.above_input_tokens);
    Some(PriceVersion::new(
        provider,
        &model.id,
        "book",
        prices,
        model.limits.output,
        model.limits.input,
    ))
}

/// A price missing in a tier keeps its base price.
fn read(prices: &CataloguePrices, base: Option<&CataloguePrices>) -> Option<Prices> {
    let price = |field: fn(&CataloguePrices) -> &Option<String>| {
        let text = field(prices)
            .as_deref()
            .or_else(|| base.and_then(|b| field(b).as_deref()))?;
        // Dollars for one token × 10⁹ × 10³ = micro-dollars for a million.
        parse_decimal_nanos(&format!("{text}e3")).map(PriceMicros)
    };
    Some(Prices {
        input: price(|p| &p.input)?,
        output: price(|p| &p.output).unwrap_or_default(),
        cache_read: price(|p| &p.cache_read),
        cache_write: price(|p| &p.cache_write),
        cache_write_1h: price(|p| &p.cache_write_1h),
        reasoning: price(|p| &p.output_reasoning),
        audio_input: price(|p| &p.input_audio),
        audio_output: price(|p| &p.output_audio),
        request: None,
        tiers: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_book_knows_what_the_catalogue_says() {
        let book = PriceBook::embedded();
        let gpt = book.find("openai", "gpt-5").expect("in the book");
        assert_eq!(gpt.prices.input, PriceMicros(1_250_000));
        assert_eq!(gpt.prices.output, PriceMicros(10_000_000));
        assert_eq!(gpt.prices.cache_read, Some(PriceMicros(125_000)));
        assert_eq!(gpt.max_output_tokens, Some(128_000));
        assert!(book.find("openai", "no-such-model").is_none());
        assert!(book.0.len() > 800, "{} models", book.0.len());
    }

    #[test]
    fn a_long_context_takes_the_tier_for_all_of_its_tokens() {
        let book = PriceBook::embedded();
        let model = book.find("openai", "gpt-5.6").expect("in the book");
        let at = Usage {
            input: 272_000,
            ..Usage::default()
        };
        let above = Usage {
            input: 1,
            cache_read: 272_000,
            ..Usage::default()
        };
        assert_eq!(model.cost(&at), PriceMicros(4_000_000).times(272_000));
        assert_eq!(
            model.cost(&above),
            PriceMicros(8_000_000).times(1) + PriceMicros(800_000).times(272_000)
        );
    }

    #[test]
    fn own_prices_are_read_from_the_record() {
        let own = |text| OwnPrices::parse(&serde_json::from_str(text).expect("JSON"));
        let read = own(r#"{"input": 0.15, "output": "0.6", "cached_input": 0.075}"#)
            .expect("prices")
            .expect("set");
        assert_eq!(read.0.input, PriceMicros(150_000));
        assert_eq!(read.0.output, PriceMicros(600_000));
        assert_eq!(read.0.cache_read, Some(PriceMicros(75_000)));
        assert_eq!(own("{}"), Ok(None));
        assert_eq!(own(r#"{"input": null}"#), Ok(None));
        assert!(own(r#"{"input": 1}"#).is_err());
        assert!(own(r#"{"input": -1, "output": 1}"#).is_err());
        assert!(own(r#"{"inptu": 1}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_call_costs_more_than_its_worst_case(
            input in 0u64..400_000, read in 0u64..400_000, write in 0u64..1000, hour in 0u64..1000,
            output in 0u64..200_000, reasoning in 0u64..200_000,
        ) {
            let usage = Usage {
                input, cache_read: read, cache_write: write, cache_write_1h: hour,
                output, reasoning: reasoning.min(output), ..Usage::default()
            };
            static BOOK: std::sync::LazyLock<PriceBook> = std::sync::LazyLock::new(PriceBook::embedded);
            for model in BOOK.0.values().take(40) {
                let worst = model.prices.worst_case(usage.prompt_tokens(), usage.completion_tokens());
                prop_assert!(model.cost(&usage) <= worst, "{}", model.model);
            }
        }
    }
}
