//! What a call used, in counters that do not overlap.

use serde::{Deserialize, Serialize};

/// Tokens of one call. The input counters are disjoint; `reasoning` is the
/// part of `output` that was not shown, `audio_output` the part that was sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input tokens billed at the input price (text and image).
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
}

impl Usage {
    /// Everything that went in, as OpenAI's `prompt_tokens` counts it.
    pub fn prompt_tokens(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.cache_write_1h + self.audio_input
    }

    /// Everything that came out, as OpenAI's `completion_tokens` counts it.
    pub fn completion_tokens(&self) -> u64 {
        self.output + self.audio_output
    }
}
