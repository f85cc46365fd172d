//! Plain replies and stream chunks: what is read of them is usage and how much
//! text they hold; they are passed on as they came.

use cf_base::{ServiceTier, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage::{UsageWire, estimate, served};
use crate::{Provider, SseEvent};

/// A plain reply, looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// An answer, what it used, and whether that had to be estimated from its
    /// text because the provider did not count.
    Completion(Usage, bool),
    /// An error in the dress of a success.
    Failed,
    /// Something else, such as a proxy's page.
    Unreadable,
}

#[derive(Deserialize)]
struct ReplyWire<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<Vec<ReplyChoice<'a>>>,
    #[serde(borrow, default)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ReplyChoice<'a> {
    #[serde(borrow, default)]
    message: Option<Delta<'a>>,
    /// Of legacy completions.
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

/// Looks at a plain reply; `estimated_input` stands in for a prompt that the
/// provider did not count.
pub fn parse_reply(provider: Provider, body: &[u8], estimated_input: u64) -> Reply {
    let Ok(reply) = serde_json::from_slice::<ReplyWire<'_>>(body) else {
        return Reply::Unreadable;
    };
    let Some(choices) = reply.choices else {
        return match reply.error {
            Some(_) => Reply::Failed,
            None => Reply::Unreadable,
        };
    };
    let bytes = choices
        .iter()
        .map(|c| bytes_of(c.message.as_ref(), c.text))
        .sum();
    let (mut usage, estimated) = match reply.usage.and_then(UsageWire::read) {
        Some(wire) => wire.resolve(provider.total_gap(), estimated_input, bytes),
        None => (estimate(estimated_input, bytes), true),
    };
    usage.extra.tier = served(reply.service_tier).unwrap_or_default();
    Reply::Completion(usage, estimated)
}

fn bytes_of(delta: Option<&Delta<'_>>, text: Option<&RawValue>) -> u64 {
    delta.map_or(0, Delta::bytes) + text.map_or(0, |text| text_length(text.get()))
}

/// A message or a piece of one.
#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
}

impl Delta<'_> {
    fn bytes(&self) -> u64 {
        let length = |raw: Option<&RawValue>| raw.map_or(0, |r| text_length(r.get()));
        // Some servers say the same under both names.
        let reasoning = length(self.reasoning_content).max(length(self.reasoning));
        length(self.content)
            + reasoning
            + length(self.refusal)
            + length(self.tool_calls)
            + length(self.function_call)
    }
}

/// How many bytes of text a JSON text stands for; of lists and objects (tool
/// calls, Mistral's parts) their length as JSON.
fn text_length(json: &str) -> u64 {
    let bytes = json.as_bytes();
    if bytes.first() != Some(&b'"') {
        return u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }
    let mut length = 0;
    let mut at = 1;
    while at + 1 < bytes.len() {
        let (step, text) = match (bytes[at], bytes.get(at + 1)) {
            // Two bytes of UTF-8 or three: taken as three.
            (b'\\', Some(b'u')) => (6, 3),
            (b'\\', _) => (2, 1),
            _ => (1, 1),
        };
        at += step;
        length += text;
    }
    length
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<ChunkChoice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    /// Older Groq keeps usage here.
    #[serde(borrow, default)]
    x_groq: Option<Groq<'a>>,
    #[serde(borrow, default)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    /// Of legacy completions.
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Groq<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// What to do with an event of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Pass it on.
    Pass,
    /// Keep it from the client, which did not ask for usage.
    Strip,
    /// The stream's last event: pass it on once the call is booked.
    Done,
    /// The provider says in the stream that it failed.
    Failed,
}

/// Listens to a stream: what was used, and how much was delivered.
#[derive(Debug, Default)]
pub struct StreamTap {
    usage: Option<UsageWire>,
    tier: ServiceTier,
    delivered_bytes: u64,
    strip_usage: bool,
}

impl StreamTap {
    /// A tap; `strip_usage` where the client did not ask for usage.
    pub fn new(strip_usage: bool) -> Self {
        Self {
            strip_usage,
            ..Self::default()
        }
    }

    /// Takes an event.
    pub fn event(&mut self, event: &SseEvent) -> Frame {
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            return Frame::Done;
        }
        if data.is_empty() {
            return Frame::Pass;
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
            // Not ours to judge: it is passed on, and counted by its length.
            self.delivered_bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
            return Frame::Pass;
        };
        let choices = chunk.choices.unwrap_or_default();
        self.delivered_bytes += choices
            .iter()
            .map(|c| bytes_of(c.delta.as_ref(), c.text))
            .sum::<u64>();
        // The last usage that is not null counts; a null after it does not undo it.
        let usage = chunk.usage.or(chunk.x_groq.and_then(|g| g.usage));
        if let Some(usage) = usage.and_then(UsageWire::read) {
            self.usage = Some(usage);
        }
        if let Some(tier) = served(chunk.service_tier) {
            self.tier = tier;
        }
        if chunk.error.is_some() {
            Frame::Failed
        } else if usage.is_some() && choices.is_empty() && self.strip_usage {
            Frame::Strip
        } else {
            Frame::Pass
        }
    }

    /// What was used so far, and whether that is an estimate.
    pub fn usage(&self, provider: Provider, estimated_input: u64) -> (Usage, bool) {
        let (mut usage, estimated) = match self.usage {
            Some(wire) => wire.resolve(provider.total_gap(), estimated_input, self.delivered_bytes),
            None => (estimate(estimated_input, self.delivered_bytes), true),
        };
        usage.extra.tier = self.tier;
        (usage, estimated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const PROVIDER: Provider = Provider::OpenAi;

    fn event(data: &str) -> SseEvent {
        SseEvent {
            raw: Bytes::from(format!("data: {data}\n\n")),
            data: Bytes::copy_from_slice(data.as_bytes()),
        }
    }

    #[test]
    fn without_usage_the_text_is_counted_and_marked() {
        let body = br#"{"model":"m","choices":[{"message":{"content":"123456789"}}]}"#;
        let Reply::Completion(usage, true) = parse_reply(PROVIDER, body, 4) else {
            panic!("an estimated answer");
        };
        assert_eq!((usage.input, usage.output), (4, 3));
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let read = |body: &[u8]| parse_reply(PROVIDER, body, 4);
        assert_eq!(read(b"<html>"), Reply::Unreadable);
        assert_eq!(read(b"[]"), Reply::Unreadable);
        assert_eq!(read(b"{\"object\":\"list\"}"), Reply::Unreadable);
        assert_eq!(read(b"{\"error\":{\"message\":\"no\"}}"), Reply::Failed);
        assert!(matches!(
            read(b"{\"choices\":[],\"error\":null}"),
            Reply::Completion(..)
        ));
    }

    #[test]
    fn the_last_usage_that_is_not_null_counts() {
        let mut tap = StreamTap::new(true);
        let usage =
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
        let text = r#"{"choices":[{"delta":{"content":"abc"}}],"usage":null}"#;
        assert_eq!(tap.event(&event(text)), Frame::Pass);
        assert_eq!(tap.event(&event(usage)), Frame::Strip);
        let null = r#"{"choices":[],"usage":null}"#;
        assert_eq!(tap.event(&event(null)), Frame::Pass);
        assert_eq!(tap.event(&event("[DONE] ")), Frame::Done);
        let (read, estimated) = tap.usage(PROVIDER, 0);
        assert_eq!((read.input, read.output, estimated), (3, 2, false));
        assert_eq!(StreamTap::new(false).event(&event(usage)), Frame::Pass);
    }

    #[test]
    fn the_tier_that_served_is_taken_from_the_answer() {
        let body = br#"{"choices":[],"service_tier":"priority","usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        let Reply::Completion(usage, false) = parse_reply(PROVIDER, body, 0) else {
            panic!("an answer");
        };
        assert_eq!(usage.extra.tier, ServiceTier::Priority);
        let mut tap = StreamTap::new(false);
        tap.event(&event(r#"{"choices":[],"service_tier":"flex"}"#));
        tap.event(&event(r#"{"choices":[],"service_tier":null}"#));
        tap.event(&event(r#"{"choices":[],"service_tier":{}}"#));
        assert_eq!(tap.usage(PROVIDER, 0).0.extra.tier, ServiceTier::Flex);
    }

    #[test]
    fn a_usage_of_nothing_is_no_proof_that_nothing_was_used() {
        let mut tap = StreamTap::new(false);
        tap.event(&event(r#"{"choices":[{"delta":{"content":"123456"}}]}"#));
        let zero = r#"{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#;
        tap.event(&event(zero));
        let (read, estimated) = tap.usage(PROVIDER, 9);
        assert_eq!((read.input, read.output, estimated), (9, 2, true));
    }

    #[test]
    fn an_error_may_carry_the_usage_of_what_was_done() {
        let mut tap = StreamTap::new(true);
        let data = r#"{"choices":[{"delta":{"content":""}}],"error":{"message":"overloaded"},
            "usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        assert_eq!(tap.event(&event(data)), Frame::Failed);
        assert_eq!(tap.usage(PROVIDER, 0).0.output, 2);
    }

    #[test]
    fn every_kind_of_text_is_counted() {
        for (delta, bytes) in [
            (r#"{"content":"123456"}"#, 6),
            (r#"{"content":"a\n\u00e9\u4e16"}"#, 8),
            (r#"{"content":null,"reasoning":"1234"}"#, 4),
            (r#"{"reasoning":"1234","reasoning_content":"1234"}"#, 4),
            (r#"{"content":[{"text":"abc"}]}"#, 16),
            (r#"{"tool_calls":[{"index":0}]}"#, 13),
            (r#"{"refusal":"no"}"#, 2),
            (r#"{"content":""}"#, 0),
        ] {
            let mut tap = StreamTap::new(false);
            let data = format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#);
            tap.event(&event(&data));
            assert_eq!(tap.delivered_bytes, bytes, "{delta}");
        }
    }
}
