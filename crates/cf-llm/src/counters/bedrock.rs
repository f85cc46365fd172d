//! Bedrock's Converse, and the headers of its `invoke`.

use cf_base::{Extra, ServiceTier, Usage};
use http::HeaderMap;
use serde::Deserialize;

use super::Counted;
use crate::count::{Count, MOST};

/// Listens to an answer of Converse. In a stream the event `metadata` counts,
/// which comes after `messageStop`.
#[derive(Clone, Debug, Default)]
pub struct BedrockCounter(Option<Answer>);

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    usage: Wire,
    #[serde(default)]
    service_tier: Option<Tier>,
}

#[derive(Clone, Debug, Deserialize)]
struct Tier {
    #[serde(rename = "type", default)]
    name: String,
}

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_write_input_tokens: Count,
    cache_details: Vec<Written>,
}

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    ttl: String,
    input_tokens: Count,
}

impl BedrockCounter {
    /// What a whole answer says; `None` if it says nothing.
    pub fn body(body: &[u8]) -> Option<Counted> {
        let mut counter = Self::default();
        counter.event(body);
        counter.counted()
    }

    /// Takes the payload of an event.
    pub fn event(&mut self, payload: &[u8]) {
        if let Ok(answer) = serde_json::from_slice::<Answer>(payload) {
            self.0 = Some(answer);
        }
    }

    /// What was said so far; `None` if nothing was.
    pub fn counted(&self) -> Option<Counted> {
        let Answer {
            usage,
            service_tier,
        } = self.0.as_ref()?;
        if usage.input_tokens.0.is_none() && usage.output_tokens.0.is_none() {
            return None;
        }
        let written = usage.cache_write_input_tokens.or_zero();
        let hour = usage.cache_details.iter().filter(|w| w.ttl == "1h");
        let hour: u64 = hour.map(|w| w.input_tokens.or_zero()).sum();
        let hour = hour.min(written);
        let tier = service_tier.as_ref().map(|t| ServiceTier::served(&t.name));
        Some(complete(Usage {
            input: usage.input_tokens.or_zero(),
            cache_read: usage.cache_read_input_tokens.or_zero(),
            cache_write: written - hour,
            cache_write_1h: hour,
            output: usage.output_tokens.or_zero(),
            extra: Extra {
                tier: tier.unwrap_or_default(),
                ..Extra::default()
            },
            ..Usage::default()
        }))
    }

    /// What the headers of an `invoke` say, for models whose body says nothing.
    pub fn headers(headers: &HeaderMap) -> Option<Counted> {
        let count = |name: &str| -> Option<u64> {
            let name = format!("x-amzn-bedrock-{name}-token-count");
            let count: u64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
            Some(count.min(MOST))
        };
        let input = count("input")?;
        Some(complete(Usage {
            input,
            cache_read: count("cache-read-input").unwrap_or(0),
            cache_write: count("cache-write-input").unwrap_or(0),
            output: count("output").unwrap_or(0),
            ..Usage::default()
        }))
    }
}

fn complete(usage: Usage) -> Counted {
    Counted {
        usage,
        others: Vec::new(),
        complete: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hours_cache_and_the_tier_are_told_apart() {
        let body =
            br#"{"serviceTier":{"type":"priority"},"usage":{"inputTokens":5,"outputTokens":9,
            "cacheReadInputTokens":3,"cacheWriteInputTokens":30,
            "cacheDetails":[{"ttl":"1h","inputTokens":20},{"ttl":"5m","inputTokens":10}]}}"#;
        let usage = BedrockCounter::body(body).expect("counters").usage;
        assert_eq!((usage.cache_write, usage.cache_write_1h), (10, 20));
        assert_eq!((usage.input, usage.cache_read, usage.output), (5, 3, 9));
        assert_eq!(usage.extra.tier, ServiceTier::Priority);
        assert_eq!(BedrockCounter::body(br#"{"output":{}}"#), None);
    }

    #[test]
    fn no_count_of_a_header_runs_over() {
        let mut headers = HeaderMap::new();
        for name in ["input", "output", "cache-read-input", "cache-write-input"] {
            let name = format!("x-amzn-bedrock-{name}-token-count");
            let name: http::HeaderName = name.parse().expect("a name");
            headers.insert(name, http::HeaderValue::from(u64::MAX));
        }
        let usage = BedrockCounter::headers(&headers).expect("counters").usage;
        assert_eq!((usage.input, usage.output), (MOST, MOST));
        assert_eq!(usage.prompt_tokens(), 3 * MOST);
        headers.insert(
            "x-amzn-bedrock-input-token-count",
            http::HeaderValue::from_static("-1"),
        );
        assert_eq!(BedrockCounter::headers(&headers), None);
    }
}
