//! Google's generateContent, on the Gemini API and on Vertex.

use cf_base::{Extra, ServiceTier, Usage};
use serde::Deserialize;
use serde_json::Value;

use super::Counted;
use crate::count::{Count, take};

/// Listens to an answer. Each chunk of a stream may carry what was used up to
/// there, not what it adds: the last one counts.
#[derive(Clone, Debug, Default)]
pub struct GeminiCounter {
    last: Option<Wire>,
    tier: ServiceTier,
    searches: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    usage_metadata: Option<Wire>,
    #[serde(default)]
    candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    grounding_metadata: Option<Grounding>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grounding {
    #[serde(default)]
    web_search_queries: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    prompt_token_count: Count,
    cached_content_token_count: Count,
    tool_use_prompt_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
    total_token_count: Count,
    prompt_tokens_details: Vec<Modality>,
    cache_tokens_details: Vec<Modality>,
    candidates_tokens_details: Vec<Modality>,
    /// Vertex: by words or, if asked so, by numbers.
    traffic_type: Value,
    service_tier: Value,
}

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Modality {
    modality: Value,
    token_count: Count,
}

impl GeminiCounter {
    /// What a whole answer says; `None` if it says nothing. A stream that was not
    /// asked for as events is one list of chunks.
    pub fn body(body: &[u8]) -> Option<Counted> {
        let mut counter = Self::default();
        match serde_json::from_slice::<Vec<Chunk>>(body) {
            Ok(chunks) => chunks.into_iter().for_each(|chunk| counter.chunk(chunk)),
            Err(_) => counter.event(body),
        }
        counter.counted()
    }

    /// Takes the data of an event.
    pub fn event(&mut self, data: &[u8]) {
        if let Ok(chunk) = serde_json::from_slice(data) {
            self.chunk(chunk);
        }
    }

    /// What was said so far; `None` if nothing was.
    pub fn counted(&self) -> Option<Counted> {
        let mut usage = self.last.as_ref()?.usage();
        usage.extra.tier = self.tier;
        usage.extra.web_searches = self.searches;
        Some(Counted {
            usage,
            others: Vec::new(),
            complete: true,
        })
    }

    fn chunk(&mut self, chunk: Chunk) {
        for grounding in chunk
            .candidates
            .iter()
            .filter_map(|c| c.grounding_metadata.as_ref())
        {
            let queries = u64::try_from(grounding.web_search_queries.len()).unwrap_or(u64::MAX);
            self.searches = self.searches.max(queries);
        }
        let Some(wire) = chunk.usage_metadata else {
            return;
        };
        if let Some(tier) = wire.tier() {
            self.tier = tier;
        }
        // A chunk may say how it was served without a single count.
        if wire.prompt_token_count.0.is_some() || wire.total_token_count.0.is_some() {
            self.last = Some(wire);
        }
    }
}

impl Wire {
    fn usage(&self) -> Usage {
        let prompt = self.prompt_token_count.or_zero();
        let tools = self.tool_use_prompt_token_count.or_zero();
        let thoughts = self.thoughts_token_count.or_zero();
        // Absent where all output was thinking, and then rightly nothing; where
        // there is more in the total, that is it.
        let candidates = self.candidates_token_count.0.unwrap_or_else(|| {
            let total = self.total_token_count.or_zero();
            total.saturating_sub(prompt + tools + thoughts)
        });
        let cache_read = self.cached_content_token_count.or_zero().min(prompt);
        let cache_read_audio = sum(&self.cache_tokens_details, AUDIO).min(cache_read);
        let fresh = |modality| {
            let cached = sum(&self.cache_tokens_details, modality);
            sum(&self.prompt_tokens_details, modality).saturating_sub(cached)
        };
        let mut input = prompt - cache_read;
        let audio_input = take(&mut input, fresh(AUDIO));
        let image_input = take(&mut input, fresh(IMAGE));
        let mut answer = candidates;
        let audio_output = take(&mut answer, sum(&self.candidates_tokens_details, AUDIO));
        let image_output = take(&mut answer, sum(&self.candidates_tokens_details, IMAGE));
        Usage {
            input: input + tools,
            cache_read,
            audio_input,
            output: answer + thoughts,
            reasoning: thoughts,
            audio_output,
            extra: Extra {
                image_input,
                image_output,
                cache_read_audio,
                ..Extra::default()
            },
            ..Usage::default()
        }
    }

    fn tier(&self) -> Option<ServiceTier> {
        let names = [&self.traffic_type, &self.service_tier];
        names
            .into_iter()
            .find_map(|name| name.as_str()?.parse().ok())
    }
}

/// A modality by its name and by its number.
type Kind = (&'static str, u64);
const IMAGE: Kind = ("IMAGE", 2);
const AUDIO: Kind = ("AUDIO", 4);

fn sum(details: &[Modality], (name, number): Kind) -> u64 {
    let of_kind = |m: &&Modality| m.modality.as_str() == Some(name) || m.modality == number;
    details
        .iter()
        .filter(of_kind)
        .map(|m| m.token_count.or_zero())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_that_was_cached_is_not_counted_twice() {
        let body = br#"{"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":40,
            "candidatesTokenCount":10,"totalTokenCount":110,"trafficType":"ON_DEMAND_PRIORITY",
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":20},{"modality":"AUDIO","tokenCount":50},
                {"modality":"IMAGE","tokenCount":30}],
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":30},{"modality":"TEXT","tokenCount":10}],
            "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":4}]}}"#;
        let usage = GeminiCounter::body(body).expect("counters").usage;
        assert_eq!(
            (usage.input, usage.audio_input, usage.extra.image_input),
            (10, 20, 30)
        );
        assert_eq!((usage.cache_read, usage.extra.cache_read_audio), (40, 30));
        assert_eq!((usage.output, usage.extra.image_output), (6, 4));
        assert_eq!(usage.extra.tier, ServiceTier::Priority);
        assert_eq!(usage.prompt_tokens(), 100);
    }

    #[test]
    fn nothing_counted_is_nothing_said() {
        assert_eq!(
            GeminiCounter::body(br#"{"usageMetadata":{"trafficType":"ON_DEMAND"}}"#),
            None
        );
        assert_eq!(GeminiCounter::body(b"{}"), None);
        assert_eq!(GeminiCounter::body(b"<html>"), None);
    }
}
