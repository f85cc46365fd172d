//! What providers with formats of their own say was used: from whole answers and
//! from the frames of streams, into counters that do not overlap.

mod anthropic;
mod bedrock;
mod embeddings;
mod gemini;
mod responses;

use cf_base::Usage;

pub use anthropic::AnthropicCounter;
pub use bedrock::BedrockCounter;
pub use embeddings::embedding_usage;
pub use gemini::GeminiCounter;
pub use responses::ResponsesCounter;

/// What a provider counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// What the model used that was called.
    pub usage: Usage,
    /// What other models used on its behalf, at their own prices.
    pub others: Vec<(String, Usage)>,
    /// Whether the provider counted to the end. If not, the output is to be
    /// estimated by what was delivered.
    pub complete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Every reader's view of the same bytes, as a whole and as an event.
    fn all(bytes: &[u8]) -> Vec<Counted> {
        let mut anthropic = AnthropicCounter::default();
        let mut gemini = GeminiCounter::default();
        let mut bedrock = BedrockCounter::default();
        let mut responses = ResponsesCounter::default();
        anthropic.event(bytes);
        gemini.event(bytes);
        bedrock.event(bytes);
        responses.event(bytes);
        [
            AnthropicCounter::body(bytes),
            GeminiCounter::body(bytes),
            BedrockCounter::body(bytes),
            ResponsesCounter::body(bytes),
            embedding_usage(bytes),
            anthropic.counted(),
            gemini.counted(),
            bedrock.counted(),
            responses.counted(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn counter() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            Just(Value::Null),
            Just(json!("12")),
            Just(json!([])),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_are_counted_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            all(&bytes);
        }

        #[test]
        fn no_counter_runs_over_whatever_a_provider_says(n in proptest::collection::vec(counter(), 12)) {
            let body = json!({"usage": {"input_tokens": n[0], "output_tokens": n[1],
                    "cache_read_input_tokens": n[2], "cache_creation_input_tokens": n[3],
                    "cache_creation": {"ephemeral_5m_input_tokens": n[4], "ephemeral_1h_input_tokens": n[5]},
                    "output_tokens_details": {"thinking_tokens": n[6], "reasoning_tokens": n[6]},
                    "input_tokens_details": {"cached_tokens": n[2], "cache_write_tokens": n[3], "audio_tokens": n[7]},
                    "iterations": [{"input_tokens": n[8], "output_tokens": n[9]}, {"input_tokens": n[0], "model": "x"}],
                    "inputTokens": n[0], "outputTokens": n[1], "cacheWriteInputTokens": n[3],
                    "cacheDetails": [{"ttl": "1h", "inputTokens": n[5]}, {"ttl": "1h", "inputTokens": n[4]}]},
                "usageMetadata": {"promptTokenCount": n[0], "cachedContentTokenCount": n[2],
                    "candidatesTokenCount": n[1], "thoughtsTokenCount": n[6], "totalTokenCount": n[10],
                    "toolUsePromptTokenCount": n[11],
                    "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": n[7]}, {"modality": 2, "tokenCount": n[8]}],
                    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": n[9]}]}});
            for counted in all(body.to_string().as_bytes()) {
                let usage = counted.usage;
                // Sums that would panic where they ran over.
                prop_assert!(usage.prompt_tokens() <= 1 << 44 && usage.completion_tokens() <= 1 << 44);
                prop_assert!(usage.reasoning <= usage.output);
                prop_assert!(usage.extra.cache_read_audio <= usage.cache_read);
            }
        }
    }
}
