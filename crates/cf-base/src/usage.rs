//! What a call used, in counters that do not overlap.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Tokens of one call. The input counters are disjoint; `reasoning` is the
/// part of `output` that was not shown, `audio_output` the part that was sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input tokens billed at the input price.
    pub input: u64,
    /// Input tokens read from the provider's cache.
    pub cache_read: u64,
    /// Input tokens written to a cache (for five minutes, where told apart).
    pub cache_write: u64,
    /// Input tokens written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Input tokens that were sound, not counted in `input`.
    pub audio_input: u64,
    /// All output tokens but `audio_output`, reasoning included.
    pub output: u64,
    /// Of `output`: reasoning.
    pub reasoning: u64,
    /// Output tokens that were sound, not counted in `output`.
    pub audio_output: u64,
    /// What most calls do not have.
    #[serde(skip_serializing_if = "Extra::is_none")]
    pub extra: Extra,
}

/// Counters that most calls do not have, and how the call was served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Extra {
    /// Input tokens that were pictures, where the provider tells them apart; not
    /// counted in `input`.
    #[serde(skip_serializing_if = "is_zero")]
    pub image_input: u64,
    /// Output tokens that were pictures, not counted in `output`.
    #[serde(skip_serializing_if = "is_zero")]
    pub image_output: u64,
    /// Of `cache_read`: sound.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read_audio: u64,
    /// Pictures made, where they are billed by the piece.
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Searches in the web that the provider made and bills by the piece.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// What other models cost that the provider asked on the call's behalf, in
    /// 10⁻¹² US dollars at their own prices. Their tokens are in no counter here.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_models_pico_usd: u64,
    /// Characters that were spoken, where they are billed and not tokens.
    #[serde(skip_serializing_if = "is_zero")]
    pub characters: u64,
    /// Seconds of sound, where they are billed and not tokens.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_seconds: u64,
    /// Requests that the provider bills the call as, where it is more than one.
    #[serde(skip_serializing_if = "is_zero")]
    pub units: u64,
    /// The service tier that served the call.
    #[serde(skip_serializing_if = "ServiceTier::is_standard")]
    pub tier: ServiceTier,
    /// Served within the United States only (Anthropic's `inference_geo`).
    #[serde(skip_serializing_if = "is_false")]
    pub us_only: bool,
    /// Served at the dearer speed (Anthropic's `speed`).
    #[serde(skip_serializing_if = "is_false")]
    pub fast: bool,
}

/// What a call that is no chat may use at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Tokens in.
    pub input: u64,
    /// Tokens out.
    pub output: u64,
    /// What may be billed by the piece.
    pub pieces: Extra,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(is: &bool) -> bool {
    !*is
}

impl Extra {
    /// Whether there is nothing of it.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A service tier by which providers price the same work differently.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// The usual price.
    #[default]
    Standard,
    /// Cheaper and slower.
    Flex,
    /// Later, in bulk.
    Batch,
    /// Dearer and faster.
    Priority,
    /// Dearer still.
    Ultrafast,
    /// A tier of its own for decisions.
    Decisions,
}

impl ServiceTier {
    /// The tiers that have a name in a price book.
    pub const PRICED: [Self; 5] = [
        Self::Flex,
        Self::Batch,
        Self::Priority,
        Self::Ultrafast,
        Self::Decisions,
    ];

    /// The name in price books.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Batch => "batch",
            Self::Priority => "priority",
            Self::Ultrafast => "ultrafast",
            Self::Decisions => "decisions",
        }
    }

    /// Whether it is the usual one.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub fn is_standard(&self) -> bool {
        *self == Self::Standard
    }

    /// Whether it never costs more than the usual one.
    pub fn is_cheaper(self) -> bool {
        matches!(self, Self::Standard | Self::Flex | Self::Batch)
    }

    /// The tier that a provider says it served. What is not known is taken as the
    /// usual one: providers have many names for that.
    pub fn served(name: &str) -> Self {
        name.parse().unwrap_or_default()
    }
}

impl FromStr for ServiceTier {
    type Err = ();

    /// The tier of a provider's name, however that writes it: `flex`, `FLEX`,
    /// `ON_DEMAND_FLEX`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let name = text.to_ascii_lowercase();
        let name = name.strip_prefix("on_demand_").unwrap_or(&name);
        Ok(match name {
            "standard" | "default" | "auto" | "standard_only" | "on_demand" | "scale" => {
                Self::Standard
            }
            "flex" => Self::Flex,
            "batch" => Self::Batch,
            // OpenAI takes `fast` and answers `priority`.
            "priority" | "fast" => Self::Priority,
            "ultrafast" => Self::Ultrafast,
            "decisions" => Self::Decisions,
            _ => return Err(()),
        })
    }
}

impl fmt::Display for ServiceTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Usage {
    /// Everything that went in, as OpenAI's `prompt_tokens` counts it.
    pub fn prompt_tokens(&self) -> u64 {
        self.input
            + self.cache_read
            + self.cache_write
            + self.cache_write_1h
            + self.audio_input
            + self.extra.image_input
    }

    /// Everything that came out, as OpenAI's `completion_tokens` counts it.
    pub fn completion_tokens(&self) -> u64 {
        self.output + self.audio_output + self.extra.image_output
    }
}
