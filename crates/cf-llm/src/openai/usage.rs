//! What OpenAI and its likes say was used, made into counters that do not overlap.

use cf_base::{Extra, ServiceTier, Usage};
use serde_json::value::RawValue;

use crate::TotalGap;
use crate::count::{Count, take};
use crate::tokens::estimated_tokens;

/// A usage object as it came. Every counter may be absent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UsageWire {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_write: u64,
    audio_input: u64,
    audio_output: u64,
    image_input: u64,
    image_output: u64,
    reasoning: u64,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Fields<'a> {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens_details: Option<&'a RawValue>,
    /// DeepSeek counts hits and misses of its cache apart.
    prompt_cache_hit_tokens: Count,
    /// Together has the cached tokens at the top level.
    cached_tokens: Count,
    /// Mistral before it took over OpenAI's details.
    num_cached_tokens: Count,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
    image_tokens: Count,
    reasoning_tokens: Count,
}

impl UsageWire {
    /// Reads a usage object; `None` if it is none, or says nothing at all.
    pub(super) fn read(raw: &RawValue) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_str(raw.get()).ok()?;
        let details = |raw: Option<&RawValue>| -> Details {
            raw.and_then(|r| serde_json::from_str(r.get()).ok())
                .unwrap_or_default()
        };
        let input = details(fields.prompt_tokens_details);
        let output = details(fields.completion_tokens_details);
        let prompt = fields.prompt_tokens.0;
        let completion = fields.completion_tokens.0;
        if prompt.unwrap_or(0) == 0 && completion.unwrap_or(0) == 0 {
            return None;
        }
        Some(Self {
            prompt,
            completion,
            total: fields.total_tokens.0,
            cached: input
                .cached_tokens
                .0
                .or(fields.prompt_cache_hit_tokens.0)
                .or(fields.cached_tokens.0)
                .or(fields.num_cached_tokens.0),
            cache_write: input.cache_write_tokens.0.unwrap_or(0),
            audio_input: input.audio_tokens.0.unwrap_or(0),
            audio_output: output.audio_tokens.0.unwrap_or(0),
            image_input: input.image_tokens.0.unwrap_or(0),
            image_output: output.image_tokens.0.unwrap_or(0),
            reasoning: output.reasoning_tokens.0.unwrap_or(0),
        })
    }

    /// Into counters that do not overlap, none of them negative, and whether
    /// one of them is an estimate: a counter that is absent is no proof of
    /// nothing, so the text stands in for it.
    pub(super) fn resolve(
        self,
        gap: TotalGap,
        estimated_input: u64,
        delivered_bytes: u64,
    ) -> (Usage, bool) {
        let mut estimated = false;
        let prompt = self.prompt.filter(|n| *n > 0).unwrap_or_else(|| {
            estimated = true;
            estimated_input
        });
        let mut completion = self.completion.unwrap_or(0);
        if completion == 0 && delivered_bytes > 0 {
            estimated = true;
            completion = estimated_tokens(delivered_bytes);
        }
        let missing = match self.total {
            Some(total) if !estimated => total.saturating_sub(prompt).saturating_sub(completion),
            _ => 0,
        };
        let mut heard_apart = 0;
        match gap {
            TotalGap::Output => completion += missing,
            TotalGap::AudioInput => heard_apart = missing,
        }
        // Some report more cached tokens than there were (seen on Azure's /models).
        let cache_read = self.cached.unwrap_or(0).min(prompt);
        let cache_write = self.cache_write.min(prompt - cache_read);
        let mut input = prompt - cache_read - cache_write;
        let audio_input = take(&mut input, self.audio_input);
        let image_input = take(&mut input, self.image_input);
        let mut output = completion;
        let audio_output = take(&mut output, self.audio_output);
        let image_output = take(&mut output, self.image_output);
        let usage = Usage {
            input,
            cache_read,
            cache_write,
            cache_write_1h: 0,
            audio_input: audio_input + heard_apart,
            output,
            reasoning: self.reasoning.min(output),
            audio_output,
            extra: Extra {
                image_input,
                image_output,
                ..Extra::default()
            },
        };
        (usage, estimated)
    }
}

/// The tier that an answer says it was served in, whatever stands there.
pub(super) fn served(raw: Option<&RawValue>) -> Option<ServiceTier> {
    let name: String = serde_json::from_str(raw?.get()).ok()?;
    Some(ServiceTier::served(&name))
}

/// Usage where no provider has counted.
pub(crate) fn estimate(estimated_input: u64, delivered_bytes: u64) -> Usage {
    Usage {
        input: estimated_input,
        output: estimated_tokens(delivered_bytes),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::MOST;
    use proptest::prelude::*;

    fn resolve(text: &str, gap: TotalGap) -> (Usage, bool) {
        let raw: &RawValue = serde_json::from_str(text).expect("JSON");
        UsageWire::read(raw).expect("a usage").resolve(gap, 7, 9)
    }

    #[test]
    fn counters_do_not_overlap() {
        let (read, estimated) = resolve(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
                "prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":10,"audio_tokens":5},
                "completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":10}}"#,
            TotalGap::Output,
        );
        let expected = Usage {
            input: 45,
            cache_read: 40,
            cache_write: 10,
            cache_write_1h: 0,
            audio_input: 5,
            output: 40,
            reasoning: 20,
            audio_output: 10,
            extra: Extra::default(),
        };
        assert_eq!((read, estimated), (expected, false));
        assert_eq!(read.prompt_tokens(), 100);
        assert_eq!(read.completion_tokens(), 50);
    }

    #[test]
    fn pictures_are_told_apart_where_the_provider_does() {
        let (read, _) = resolve(
            r#"{"prompt_tokens":100,"completion_tokens":50,
                "prompt_tokens_details":{"cached_tokens":40,"image_tokens":30},
                "completion_tokens_details":{"image_tokens":60}}"#,
            TotalGap::Output,
        );
        assert_eq!((read.input, read.extra.image_input), (30, 30));
        assert_eq!((read.output, read.extra.image_output), (0, 50));
        assert_eq!(read.prompt_tokens() + read.completion_tokens(), 150);
    }

    #[test]
    fn more_cached_than_there_was_is_cut() {
        let (read, _) = resolve(
            r#"{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8,
                "prompt_tokens_details":{"cached_tokens":161}}"#,
            TotalGap::Output,
        );
        assert_eq!((read.input, read.cache_read), (0, 7));
    }

    #[test]
    fn what_the_total_holds_beyond_the_sum_is_hidden_thinking_or_mistrals_audio() {
        let text = r#"{"prompt_tokens":9,"completion_tokens":248,"total_tokens":632}"#;
        let (read, _) = resolve(text, TotalGap::Output);
        assert_eq!((read.input, read.output, read.audio_input), (9, 623, 0));
        let (read, _) = resolve(text, TotalGap::AudioInput);
        assert_eq!((read.input, read.output, read.audio_input), (9, 248, 375));
    }

    #[test]
    fn a_counter_that_is_absent_is_estimated() {
        let (read, estimated) = resolve(r#"{"prompt_tokens":12}"#, TotalGap::Output);
        assert_eq!((read.input, read.output, estimated), (12, 3, true));
        let (read, estimated) = resolve(r#"{"completion_tokens":5}"#, TotalGap::Output);
        assert_eq!((read.input, read.output, estimated), (7, 5, true));
    }

    #[test]
    fn an_odd_counter_does_not_spoil_the_rest() {
        let (read, estimated) = resolve(
            r#"{"prompt_tokens":12.0,"completion_tokens":"5","total_tokens":null,
                "prompt_tokens_details":[],"completion_tokens_details":{"reasoning_tokens":{}}}"#,
            TotalGap::Output,
        );
        assert_eq!((read.input, read.output, estimated), (12, 5, false));
        for nothing in [
            "{}",
            "null",
            "[]",
            r#"{"prompt_tokens":0,"completion_tokens":0}"#,
        ] {
            let raw: &RawValue = serde_json::from_str(nothing).expect("JSON");
            assert!(UsageWire::read(raw).is_none(), "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn no_counter_runs_over(
            prompt: u64, completion: u64, total: u64, cached: u64, written: u64, audio: u64, thought: u64,
        ) {
            let text = serde_json::json!({
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total,
                "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": audio},
                "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": audio},
            });
            let raw = serde_json::value::to_raw_value(&text).expect("JSON");
            if let Some(wire) = UsageWire::read(&raw) {
                let (usage, _) = wire.resolve(TotalGap::Output, 0, 0);
                prop_assert_eq!(usage.prompt_tokens(), prompt.min(MOST));
                prop_assert!(usage.completion_tokens() >= completion.min(MOST));
                prop_assert!(usage.reasoning <= usage.output);
            }
        }
    }
}
