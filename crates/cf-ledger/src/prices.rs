//! What is used costs: prices by class of token, by size of the context, by
//! service tier and place.

mod book;
mod catalogue;
mod customer;
mod import;
mod own;
mod version;

use std::collections::BTreeMap;

use cf_base::{Extra, PicoUsd, PriceMicros, ServiceTier, Usage, Work};
use serde::{Deserialize, Serialize};

pub(crate) use book::{PriceBook, of_variant};
pub(crate) use customer::Customers;
pub use import::{
    Changed, Edition, FieldChange, Found, Import, ModelName, editions, is_outdated, propose,
    search, take,
};
pub use own::{OwnPrices, PriceList};
pub use version::{Charge, PriceVersion};

/// Basis points of a price that is not scaled.
const WHOLE: i64 = 10_000;

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
    /// Sound read from the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_audio: Option<PriceMicros>,
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
    /// Pictures that went in, by token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_input: Option<PriceMicros>,
    /// Pictures that came out, by token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_output: Option<PriceMicros>,
    /// For each picture made, in micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PriceMicros>,
    /// Characters that are spoken, for a million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub character: Option<PriceMicros>,
    /// Seconds of sound, for a million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_second: Option<PriceMicros>,
    /// For each search in the web, in micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_search: Option<PriceMicros>,
    /// Whether the searches of a call are billed as one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub web_search_once: bool,
    /// For each call, in micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<PriceMicros>,
    /// Prices of long contexts, by rising threshold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Prices by the service tier that served the call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_tiers: BTreeMap<ServiceTier, Prices>,
    /// Basis points of the token prices where the call was kept within the US.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub us_only: Option<i64>,
    /// Basis points of the token prices at the dearer speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast: Option<i64>,
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

/// What a call can use at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Most {
    /// Input tokens of which nobody knows what they will be counted as.
    pub any: u64,
    /// Input tokens of text.
    pub text: u64,
    /// Input tokens of pictures, or of text.
    pub pictures: u64,
    /// Input tokens of sound, or of text.
    pub sound: u64,
    /// Whether text may be written to the provider's cache.
    pub cache_writes: CacheWrites,
    /// Output tokens of all answers.
    pub output: u64,
    /// Searches in the web, which are billed by the piece.
    pub web_searches: u64,
}

impl Most {
    /// All that goes in.
    pub fn input(&self) -> u64 {
        [self.text, self.pictures, self.sound]
            .into_iter()
            .fold(self.any, u64::saturating_add)
    }
}

/// For how long a provider may be asked to keep text, at a price.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum CacheWrites {
    /// Not at all.
    None,
    /// For minutes.
    Short,
    /// For an hour.
    #[default]
    Hour,
}

impl Prices {
    /// What `usage` costs, exactly.
    pub fn cost(&self, usage: &Usage) -> PicoUsd {
        let extra = &usage.extra;
        let served = self.service_tiers.get(&extra.tier).unwrap_or(self);
        let prices = served.at(usage.prompt_tokens());
        let scale = self.scale(extra.us_only, extra.fast);
        let tokens =
            |price: PriceMicros, tokens: u64| -> PicoUsd { price.scaled(scale).times(tokens) };
        let reasoning = usage.reasoning.min(usage.output);
        let cached_audio = extra.cache_read_audio.min(usage.cache_read);
        let cache_read = prices.cache_read.unwrap_or(prices.input);
        let cache_write = prices.cache_write.unwrap_or(prices.input);
        let cache_write_1h = prices.cache_write_1h.unwrap_or(cache_write);
        let cache_read_audio = prices.cache_read_audio.unwrap_or(cache_read);
        let mut cost = tokens(prices.input, usage.input);
        cost += tokens(cache_read, usage.cache_read - cached_audio);
        cost += tokens(cache_read_audio, cached_audio);
        cost += tokens(cache_write, usage.cache_write);
        cost += tokens(cache_write_1h, usage.cache_write_1h);
        let audio_input = prices.audio_input.unwrap_or(prices.input);
        cost += tokens(audio_input, usage.audio_input);
        let image_input = prices.image_input.unwrap_or(prices.input);
        cost += tokens(image_input, extra.image_input);
        cost += tokens(prices.output, usage.output - reasoning);
        cost += tokens(prices.reasoning.unwrap_or(prices.output), reasoning);
        let audio_output = prices.audio_output.unwrap_or(prices.output);
        cost += tokens(audio_output, usage.audio_output);
        let image_output = prices.image_output.unwrap_or(prices.output);
        cost += tokens(image_output, extra.image_output);
        // What is billed by the piece is the same in every tier and place.
        cost += self.pieces(extra);
        let searches = self.web_searches(extra.web_searches);
        cost += self.web_search.unwrap_or_default().each(searches);
        cost += self.requests(extra);
        cost += PicoUsd(i128::from(extra.other_models_pico_usd));
        cost
    }

    fn pieces(&self, extra: &Extra) -> PicoUsd {
        self.image.unwrap_or_default().each(extra.images)
            + self.character.unwrap_or_default().times(extra.characters)
            + self
                .audio_second
                .unwrap_or_default()
                .times(extra.audio_seconds)
    }

    fn requests(&self, extra: &Extra) -> PicoUsd {
        self.request.unwrap_or_default().each(extra.units.max(1))
    }

    /// What a call can cost at most whose input is not larger than
    /// `input_tokens` and whose output not larger than `output_tokens`, whatever
    /// classes the tokens turn out to be, if it asked for `tier`: the provider may
    /// serve that or the usual one.
    pub fn worst_case(&self, input_tokens: u64, output_tokens: u64, tier: ServiceTier) -> PicoUsd {
        let most = Most {
            any: input_tokens,
            output: output_tokens,
            ..Most::default()
        };
        self.worst_case_at_most(&most, tier)
    }

    /// The same where it is known what the input is made of.
    pub fn worst_case_at_most(&self, most: &Most, tier: ServiceTier) -> PicoUsd {
        let searches = self.web_searches(most.web_searches);
        self.worst_tokens(most, tier)
            + self.web_search.unwrap_or_default().each(searches)
            + self.requests(&Extra::default())
    }

    fn worst_tokens(&self, most: &Most, tier: ServiceTier) -> PicoUsd {
        let served = self
            .service_tiers
            .get(&tier)
            .filter(|_| !tier.is_standard());
        let input_tokens = most.input();
        let mut worst = [PriceMicros(0); 5];
        for prices in std::iter::once(self).chain(served) {
            let reached = prices
                .tiers
                .iter()
                .filter(|tier| input_tokens > tier.above_input_tokens)
                .map(|tier| &tier.prices);
            for prices in std::iter::once(prices).chain(reached) {
                let text = prices.dearest_text(most.cache_writes);
                let dearest = [
                    prices.dearest_input(),
                    text,
                    prices.image_input.unwrap_or_default().max(text),
                    prices.dearest_sound().max(text),
                    prices.dearest_output(),
                ];
                for (worst, price) in worst.iter_mut().zip(dearest) {
                    *worst = price.max(*worst);
                }
            }
        }
        // An account may be kept within the US without a word in the request.
        let scale = self.scale(true, false).max(WHOLE);
        let tokens = [most.any, most.text, most.pictures, most.sound, most.output];
        let costs = worst
            .into_iter()
            .zip(tokens)
            .map(|(price, tokens)| price.scaled(scale).times(tokens));
        costs.fold(PicoUsd(0), |sum, cost| sum + cost)
    }

    /// What a call can cost at most that is no chat: its tokens and its pieces.
    pub fn worst_case_of(&self, work: &Work) -> PicoUsd {
        let most = Most {
            any: work.input,
            output: work.output,
            ..Most::default()
        };
        self.worst_tokens(&most, ServiceTier::Standard)
            + self.pieces(&work.pieces)
            + self.requests(&work.pieces)
    }

    /// Whether anything is billed by the token.
    pub fn has_token_price(&self) -> bool {
        self.dearest_input().0 > 0 || self.dearest_output().0 > 0
    }

    /// Whether anything is billed by the piece, or by the request.
    pub fn has_piece_price(&self) -> bool {
        [self.image, self.character, self.audio_second, self.request]
            .into_iter()
            .flatten()
            .any(|price| price.0 > 0)
    }

    /// Whether a call that asks for `tier` can be billed: a tier that may be
    /// dearer than the usual one needs its own price.
    pub fn knows(&self, tier: ServiceTier) -> bool {
        tier.is_cheaper() || self.service_tiers.contains_key(&tier)
    }

    /// The dearest class of input.
    pub fn dearest_input(&self) -> PriceMicros {
        let classes = [
            self.cache_read,
            self.cache_read_audio,
            self.cache_write,
            self.cache_write_1h,
            self.audio_input,
            self.image_input,
        ];
        classes.into_iter().flatten().fold(self.input, Ord::max)
    }

    /// The dearest class that text which goes in may turn out to be.
    fn dearest_text(&self, writes: CacheWrites) -> PriceMicros {
        let mut dearest = self.input.max(self.cache_read.unwrap_or_default());
        if writes >= CacheWrites::Short {
            dearest = dearest.max(self.cache_write.unwrap_or_default());
        }
        if writes >= CacheWrites::Hour {
            dearest = dearest.max(self.cache_write_1h.unwrap_or_default());
        }
        dearest
    }

    fn dearest_sound(&self) -> PriceMicros {
        let classes = [self.audio_input, self.cache_read_audio];
        classes.into_iter().flatten().fold(self.input, Ord::max)
    }

    /// How many of a call's searches are billed.
    fn web_searches(&self, made: u64) -> u64 {
        if self.web_search_once {
            made.min(1)
        } else {
            made
        }
    }

    /// The dearest class of output.
    pub fn dearest_output(&self) -> PriceMicros {
        [self.reasoning, self.audio_output, self.image_output]
            .into_iter()
            .flatten()
            .fold(self.output, Ord::max)
    }

    /// Every token price at `basis_points` of it, in all tiers.
    pub(crate) fn scaled(&self, basis_points: i64) -> Self {
        let mut prices = self.clone();
        prices.each_token_price(&mut |price| *price = price.scaled(basis_points));
        prices
    }

    /// The prices for an input of this size.
    fn at(&self, input_tokens: u64) -> &Self {
        self.tiers
            .iter()
            .rfind(|tier| input_tokens > tier.above_input_tokens)
            .map_or(self, |tier| &tier.prices)
    }

    fn scale(&self, us_only: bool, fast: bool) -> i64 {
        let factor =
            |applies: bool, points: Option<i64>| points.filter(|_| applies).unwrap_or(WHOLE);
        factor(us_only, self.us_only) * factor(fast, self.fast) / WHOLE
    }

    fn each_token_price(&mut self, change: &mut impl FnMut(&mut PriceMicros)) {
        change(&mut self.input);
        change(&mut self.output);
        let others = [
            &mut self.cache_read,
            &mut self.cache_read_audio,
            &mut self.cache_write,
            &mut self.cache_write_1h,
            &mut self.reasoning,
            &mut self.audio_input,
            &mut self.audio_output,
            &mut self.image_input,
            &mut self.image_output,
        ];
        others.into_iter().flatten().for_each(&mut *change);
        for tier in &mut self.tiers {
            tier.prices.each_token_price(change);
        }
        for prices in self.service_tiers.values_mut() {
            prices.each_token_price(change);
        }
    }
}

#[cfg(test)]
mod tests;
