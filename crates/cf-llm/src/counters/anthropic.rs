//! Anthropic's Messages, on its own API, on Vertex, and as Bedrock's `invoke`.

use cf_base::{Extra, ServiceTier, Usage};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Counted;
use crate::count::{Count, MOST};

/// Passes of one call at most that are looked at.
const MAX_PASSES: usize = 1_000;

/// Listens to an answer. A stream says the input at its start and the rest at its
/// end, cumulatively: each field counts as it was said last.
#[derive(Clone, Debug, Default)]
pub struct AnthropicCounter {
    said: Map<String, Value>,
    /// The model that answers.
    model: String,
    complete: bool,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    model: String,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    message: Option<Body>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
}

/// The counters of a pass.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Pass {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Option<Creation>,
    output_tokens_details: Option<OutputDetails>,
    server_tool_use: Option<ServerTools>,
    model: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Creation {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServerTools {
    web_search_requests: Count,
}

impl AnthropicCounter {
    /// What a whole answer says; `None` if it says nothing.
    pub fn body(body: &[u8]) -> Option<Counted> {
        let body: Body = serde_json::from_slice(body).ok()?;
        let mut counter = Self {
            model: body.model,
            complete: true,
            ..Self::default()
        };
        counter.say(body.usage?);
        counter.counted()
    }

    /// Takes the data of an event.
    pub fn event(&mut self, data: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Event>(data) else {
            return;
        };
        if let Some(message) = event.message {
            self.model = message.model;
            self.say(message.usage.unwrap_or_default());
        }
        if let Some(usage) = event.usage {
            self.complete |= usage.contains_key("output_tokens");
            self.say(usage);
        }
    }

    /// What was said so far; `None` if nothing was.
    pub fn counted(&self) -> Option<Counted> {
        let whole = pass(&Value::Object(self.said.clone()));
        if whole.input_tokens.0.is_none() && whole.output_tokens.0.is_none() {
            return None;
        }
        let text = |name: &str| self.said.get(name).and_then(Value::as_str);
        let extra = Extra {
            tier: ServiceTier::served(text("service_tier").unwrap_or_default()),
            us_only: text("inference_geo") == Some("us"),
            fast: text("speed") == Some("fast"),
            ..Extra::default()
        };
        let mut counted = Counted {
            complete: self.complete,
            ..Counted::default()
        };
        // The totals leave out passes that are billed all the same: what was
        // compacted, and what a model was asked for advice.
        let passes = match self.said.get("iterations") {
            Some(Value::Array(passes)) if !passes.is_empty() => passes.as_slice(),
            _ => &[],
        };
        for entry in passes.iter().take(MAX_PASSES) {
            let pass = pass(entry);
            match pass.model.clone() {
                Some(model) if model != self.model => {
                    counted.others.push((model, pass.usage(extra)));
                }
                _ => add(&mut counted.usage, pass.usage(extra)),
            }
        }
        if passes.is_empty() {
            counted.usage = whole.usage(extra);
        } else {
            let thought = whole.thought();
            counted.usage.reasoning = thought.min(counted.usage.output);
        }
        counted.usage.extra = Extra {
            web_searches: whole.searches(),
            ..extra
        };
        Some(counted)
    }

    fn say(&mut self, usage: Map<String, Value>) {
        let news = usage.into_iter().filter(|(_, value)| !value.is_null());
        self.said.extend(news);
    }
}

/// A pass that cannot be read has used nothing that we know of.
fn pass(value: &Value) -> Pass {
    Pass::deserialize(value).unwrap_or_default()
}

impl Pass {
    fn usage(&self, extra: Extra) -> Usage {
        let (five, hour) = self.cache_creation.as_ref().map_or((0, 0), |c| {
            (
                c.ephemeral_5m_input_tokens.or_zero(),
                c.ephemeral_1h_input_tokens.or_zero(),
            )
        });
        let written = self.cache_creation_input_tokens.0.unwrap_or(five + hour);
        let hour = hour.min(written);
        let output = self.output_tokens.or_zero();
        Usage {
            input: self.input_tokens.or_zero(),
            cache_read: self.cache_read_input_tokens.or_zero(),
            cache_write: written - hour,
            cache_write_1h: hour,
            output,
            reasoning: self.thought().min(output),
            extra,
            ..Usage::default()
        }
    }

    fn thought(&self) -> u64 {
        let details = self.output_tokens_details.as_ref();
        details.map_or(0, |d| d.thinking_tokens.or_zero())
    }

    fn searches(&self) -> u64 {
        let tools = self.server_tool_use.as_ref();
        tools.map_or(0, |t| t.web_search_requests.or_zero())
    }
}

fn add(sum: &mut Usage, pass: Usage) {
    for (sum, more) in [
        (&mut sum.input, pass.input),
        (&mut sum.cache_read, pass.cache_read),
        (&mut sum.cache_write, pass.cache_write),
        (&mut sum.cache_write_1h, pass.cache_write_1h),
        (&mut sum.output, pass.output),
    ] {
        *sum = (*sum + more).min(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hours_cache_is_told_from_five_minutes() {
        let body = br#"{"model":"m","usage":{"input_tokens":5,"cache_creation_input_tokens":30,
            "cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},
            "output_tokens":9,"service_tier":"priority","inference_geo":"us","speed":"fast",
            "server_tool_use":{"web_search_requests":2}}}"#;
        let counted = AnthropicCounter::body(body).expect("counters");
        let usage = counted.usage;
        assert_eq!(
            (usage.input, usage.cache_write, usage.cache_write_1h),
            (5, 10, 20)
        );
        assert_eq!(usage.extra.tier, ServiceTier::Priority);
        assert!(usage.extra.us_only && usage.extra.fast && counted.complete);
        assert_eq!(usage.extra.web_searches, 2);
    }

    #[test]
    fn a_stream_that_broke_off_has_no_count_of_its_output() {
        let mut counter = AnthropicCounter::default();
        assert_eq!(counter.counted(), None);
        counter.event(
            br#"{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}"#,
        );
        counter.event(br#"{"type":"ping"}"#);
        counter.event(b"not json");
        assert_eq!(
            counter.counted().map(|c| (c.usage.input, c.complete)),
            Some((7, false))
        );
        counter
            .event(br#"{"type":"message_delta","usage":{"output_tokens":40,"input_tokens":null}}"#);
        let counted = counter.counted().expect("counters");
        assert_eq!((counted.usage.input, counted.usage.output), (7, 40));
        assert!(counted.complete);
    }
}
