//! OpenAI's Responses, at OpenAI, Azure and Bedrock.

use cf_base::{Extra, ServiceTier, Usage};
use serde::Deserialize;
use serde_json::Value;

use super::Counted;
use crate::count::{Count, take};

/// Listens to an answer. A stream counts in the event that ends it.
#[derive(Clone, Debug, Default)]
pub struct ResponsesCounter(Option<Counted>);

#[derive(Deserialize)]
struct Event {
    response: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    usage: Option<Wire>,
    #[serde(default)]
    service_tier: Option<String>,
    #[serde(default)]
    output: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    action: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    input_tokens: Count,
    output_tokens: Count,
    input_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
    image_tokens: Count,
    reasoning_tokens: Count,
}

impl ResponsesCounter {
    /// What a whole answer says; `None` if it says nothing.
    pub fn body(body: &[u8]) -> Option<Counted> {
        serde_json::from_slice::<Body>(body).ok()?.counted()
    }

    /// Takes the data of an event.
    pub fn event(&mut self, data: &[u8]) {
        if let Ok(event) = serde_json::from_slice::<Event>(data)
            && let Some(counted) = event.response.counted()
        {
            self.0 = Some(counted);
        }
    }

    /// What was said so far; `None` if nothing was.
    pub fn counted(&self) -> Option<Counted> {
        self.0.clone()
    }
}

impl Body {
    fn counted(self) -> Option<Counted> {
        let wire = self.usage?;
        let prompt = wire.input_tokens.0?;
        let input_details = wire.input_tokens_details.unwrap_or_default();
        let output_details = wire.output_tokens_details.unwrap_or_default();
        let mut input = prompt;
        let cache_read = take(&mut input, input_details.cached_tokens.or_zero());
        let cache_write = take(&mut input, input_details.cache_write_tokens.or_zero());
        let audio_input = take(&mut input, input_details.audio_tokens.or_zero());
        let image_input = take(&mut input, input_details.image_tokens.or_zero());
        let mut output = wire.output_tokens.or_zero();
        let audio_output = take(&mut output, output_details.audio_tokens.or_zero());
        let image_output = take(&mut output, output_details.image_tokens.or_zero());
        // Billed by the call, and told nowhere but in the list of what was done.
        let searches = self.output.iter().filter(|item| {
            let what = item.action["type"].as_str().unwrap_or("search");
            item.kind == "web_search_call" && what == "search"
        });
        let web_searches = u64::try_from(searches.count()).unwrap_or(u64::MAX);
        let usage = Usage {
            input,
            cache_read,
            cache_write,
            audio_input,
            output,
            reasoning: output_details.reasoning_tokens.or_zero().min(output),
            audio_output,
            extra: Extra {
                image_input,
                image_output,
                web_searches,
                tier: ServiceTier::served(&self.service_tier.unwrap_or_default()),
                ..Extra::default()
            },
            ..Usage::default()
        };
        Some(Counted {
            usage,
            others: Vec::new(),
            complete: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_counted_as_they_were_made() {
        let body = br#"{"service_tier":"flex","usage":{"input_tokens":9,"output_tokens":4,
            "input_tokens_details":{"cached_tokens":20}},"output":[{"type":"reasoning"},
            {"type":"web_search_call","action":{"type":"search"}},{"type":"web_search_call"},
            {"type":"web_search_call","action":{"type":"open_page"}}]}"#;
        let usage = ResponsesCounter::body(body).expect("counters").usage;
        assert_eq!(usage.extra.web_searches, 2);
        assert_eq!(usage.extra.tier, ServiceTier::Flex);
        assert_eq!(
            (usage.input, usage.cache_read),
            (0, 9),
            "not more than there was"
        );
    }

    #[test]
    fn the_first_events_say_nothing() {
        let mut counter = ResponsesCounter::default();
        counter.event(br#"{"type":"response.created","response":{"usage":null,"output":[]}}"#);
        counter.event(br#"{"type":"response.output_text.delta","delta":"x"}"#);
        assert_eq!(counter.counted(), None);
    }
}
