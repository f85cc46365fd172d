//! OpenAI's answers and those of the servers that speak its language: usage,
//! stream chunks, errors.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Error, Kind, Usage};
use serde::Deserialize;
use serde_json::json;

use crate::SseEvent;
use crate::tokens::estimated_tokens;

#[derive(Deserialize, Default)]
#[serde(default)]
struct UsageWire {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    /// DeepSeek counts hits and misses of its cache apart.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    audio_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

impl UsageWire {
    /// Into counters that do not overlap; nothing can come out negative.
    fn normalize(self) -> Usage {
        let input = self.prompt_tokens_details.unwrap_or_default();
        let output = self.completion_tokens_details.unwrap_or_default();
        let prompt = self.prompt_tokens;
        // Some report more cached tokens than there were (seen on Azure's /models).
        let cache_read = input
            .cached_tokens
            .or(self.prompt_cache_hit_tokens)
            .unwrap_or(0)
            .min(prompt);
        let cache_write = input
            .cache_write_tokens
            .unwrap_or(0)
            .min(prompt - cache_read);
        let audio_input = input
            .audio_tokens
            .unwrap_or(0)
            .min(prompt - cache_read - cache_write);
        // A total above the sum holds hidden thinking (Gemini's own compatible
        // layer, xAI): it is billed as output.
        let completion = self
            .completion_tokens
            .max(self.total_tokens.saturating_sub(prompt));
        let audio_output = output.audio_tokens.unwrap_or(0).min(completion);
        let text_output = completion - audio_output;
        Usage {
            input: prompt - cache_read - cache_write - audio_input,
            cache_read,
            cache_write,
            cache_write_1h: 0,
            audio_input,
            output: text_output,
            reasoning: output.reasoning_tokens.unwrap_or(0).min(text_output),
            audio_output,
        }
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    usage: Option<UsageWire>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Vec<ReplyChoice<'a>>,
}

#[derive(Deserialize)]
struct ReplyChoice<'a> {
    #[serde(borrow)]
    message: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a serde_json::value::RawValue>,
}

/// A text, or parts of one: only its length matters here.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    #[serde(borrow)]
    Plain(Cow<'a, str>),
    Other(serde::de::IgnoredAny),
}

impl Delta<'_> {
    fn bytes(&self) -> u64 {
        let text = |t: &Option<Text<'_>>| match t {
            Some(Text::Plain(text)) => text.len(),
            _ => 0,
        };
        let tools = self.tool_calls.map_or(0, |raw| raw.get().len());
        let all = text(&self.content) + text(&self.reasoning_content) + tools;
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

/// The usage of a plain reply, and whether it had to be estimated from its text
/// because the provider sent none; `estimated_input` stands in for the prompt.
/// `None` if the reply is not one of this kind.
pub fn parse_usage(body: &[u8], estimated_input: u64) -> Option<(Usage, bool, String)> {
    let reply: Reply<'_> = serde_json::from_slice(body).ok()?;
    let model = reply.model.unwrap_or_default().into_owned();
    match reply.usage {
        Some(usage) if usage.prompt_tokens + usage.completion_tokens > 0 => {
            Some((usage.normalize(), false, model))
        }
        _ => {
            let bytes = reply
                .choices
                .iter()
                .filter_map(|c| c.message.as_ref())
                .map(Delta::bytes)
                .sum();
            let usage = Usage {
                input: estimated_input,
                output: estimated_tokens(bytes),
                ..Usage::default()
            };
            Some((usage, true, model))
        }
    }
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<ChunkChoice<'a>>,
    usage: Option<UsageWire>,
    /// Older Groq keeps usage here.
    x_groq: Option<Groq>,
    #[serde(borrow, default)]
    error: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Groq {
    usage: Option<UsageWire>,
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
#[derive(Default)]
pub struct StreamTap {
    usage: Option<Usage>,
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
        let data = &event.data[..];
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
        if chunk.error.is_some_and(|raw| raw.get() != "null") {
            return Frame::Failed;
        }
        self.delivered_bytes += chunk
            .choices
            .iter()
            .filter_map(|c| c.delta.as_ref())
            .map(Delta::bytes)
            .sum::<u64>();
        // The last usage that is not null counts; a null after it does not undo it.
        let usage = chunk.usage.or(chunk.x_groq.and_then(|g| g.usage));
        let has_usage = usage.is_some();
        if let Some(usage) = usage {
            self.usage = Some(usage.normalize());
        }
        if has_usage && chunk.choices.is_empty() && self.strip_usage {
            Frame::Strip
        } else {
            Frame::Pass
        }
    }

    /// What was used so far, and whether that is an estimate.
    pub fn usage(&self, estimated_input: u64) -> (Usage, bool) {
        match self.usage {
            Some(usage) => (usage, false),
            None => (
                Usage {
                    input: estimated_input,
                    output: estimated_tokens(self.delivered_bytes),
                    ..Usage::default()
                },
                true,
            ),
        }
    }
}

/// A provider's refusal, for the client and for the decision whether another
/// deployment may be tried.
#[derive(Debug)]
pub struct UpstreamFailure {
    /// For the client.
    pub error: Error,
    /// Whether another deployment may do better.
    pub retryable: bool,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Option<ErrorWire>,
    message: Option<String>,
    detail: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorWire {
    Object {
        message: Option<String>,
        param: Option<String>,
    },
    Text(String),
}

/// Longest text of a provider that is passed on.
const MAX_MESSAGE: usize = 2000;

/// Reads a provider's error. Its own text is kept where it speaks of the
/// client's request; where it speaks of our credentials it is not the client's.
pub fn parse_failure(
    provider: &str,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    secret: &str,
) -> UpstreamFailure {
    let (message, param) = read_error(body);
    let message: String = message.chars().take(MAX_MESSAGE).collect();
    // Some providers quote the key they were sent.
    let message = if secret.len() >= 8 {
        message.replace(secret, "•••")
    } else {
        message
    };
    let said = if message.is_empty() {
        String::new()
    } else {
        format!(" It said: {message}")
    };
    let upstream = |status, text: String| Error::new(Kind::Upstream { status }, text);
    let (error, retryable) = match status {
        400 | 422 => {
            let text = if message.is_empty() {
                format!("The provider {provider} refused the request.")
            } else {
                message
            };
            let field = param.map(Cow::Owned);
            (Error::new(Kind::Invalid { field }, text), false)
        }
        413 => (
            Error::new(
                Kind::TooLarge,
                format!("The request is too large for the provider {provider}.{said}"),
            ),
            false,
        ),
        401 | 403 => (
            upstream(
                502,
                format!(
                    "The provider {provider} refused our credentials or access to the model. An \
                     administrator must check the provider key."
                ),
            ),
            true,
        ),
        404 => (
            upstream(
                502,
                format!(
                    "The provider {provider} does not know the model of this deployment. An administrator \
                     must check the model record.{said}"
                ),
            ),
            true,
        ),
        408 | 504 => (
            upstream(
                504,
                format!("The provider {provider} did not answer in time.{said}"),
            ),
            true,
        ),
        429 => (
            Error::new(
                Kind::RateLimited {
                    retry_after: retry_after.unwrap_or(Duration::from_secs(5)),
                },
                format!("The provider {provider} is at its rate limit.{said}"),
            ),
            true,
        ),
        500..=599 => (
            upstream(
                if matches!(status, 503 | 529) {
                    503
                } else {
                    502
                },
                format!("The provider {provider} failed (status {status}).{said}"),
            ),
            true,
        ),
        _ => (
            upstream(
                502,
                format!("The provider {provider} answered with status {status}.{said}"),
            ),
            false,
        ),
    };
    UpstreamFailure { error, retryable }
}

fn read_error(body: &[u8]) -> (String, Option<String>) {
    let Ok(parsed) = serde_json::from_slice::<ErrorBody>(body) else {
        // An HTML page of some proxy is of no use to the client.
        return (String::new(), None);
    };
    match parsed.error {
        Some(ErrorWire::Object { message, param }) => (message.unwrap_or_default(), param),
        Some(ErrorWire::Text(text)) => (text, None),
        None => {
            let text = parsed.message.or_else(|| match parsed.detail {
                Some(serde_json::Value::String(text)) => Some(text),
                Some(other) => Some(other.to_string()),
                None => None,
            });
            (text.unwrap_or_default(), None)
        }
    }
}

/// An error inside a stream that has begun, as OpenAI's clients expect it.
pub fn stream_error_frame(message: &str, code: &str) -> Bytes {
    let body =
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": code}});
    Bytes::from(format!("data: {body}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> SseEvent {
        SseEvent {
            raw: Bytes::from(format!("data: {data}\n\n")),
            data: Bytes::copy_from_slice(data.as_bytes()),
        }
    }

    fn usage(text: &str) -> Usage {
        let body = format!(r#"{{"choices":[],"usage":{text}}}"#);
        parse_usage(body.as_bytes(), 0).expect("a reply").0
    }

    #[test]
    fn counters_do_not_overlap() {
        let read = usage(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
                "prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":10,"audio_tokens":5},
                "completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":10}}"#,
        );
        assert_eq!(
            read,
            Usage {
                input: 45,
                cache_read: 40,
                cache_write: 10,
                cache_write_1h: 0,
                audio_input: 5,
                output: 40,
                reasoning: 20,
                audio_output: 10,
            }
        );
        assert_eq!(read.prompt_tokens(), 100);
        assert_eq!(read.completion_tokens(), 50);
    }

    #[test]
    fn more_cached_than_there_was_is_cut() {
        let read = usage(
            r#"{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8,
                "prompt_tokens_details":{"cached_tokens":161}}"#,
        );
        assert_eq!((read.input, read.cache_read), (0, 7));
    }

    #[test]
    fn hidden_thinking_in_the_total_is_output() {
        let read = usage(r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}"#);
        assert_eq!(read.output, 30);
    }

    #[test]
    fn without_usage_the_text_is_counted_and_marked() {
        let body = br#"{"model":"m","choices":[{"message":{"content":"123456789"}}]}"#;
        let (usage, estimated, model) = parse_usage(body, 4).expect("a reply");
        assert!(estimated);
        assert_eq!((usage.input, usage.output, model.as_str()), (4, 3, "m"));
        assert!(parse_usage(b"<html>", 4).is_none());
    }

    #[test]
    fn the_last_usage_that_is_not_null_counts() {
        let mut tap = StreamTap::new(true);
        let usage =
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
        assert_eq!(
            tap.event(&event(
                r#"{"choices":[{"delta":{"content":"abc"}}],"usage":null}"#
            )),
            Frame::Pass
        );
        assert_eq!(tap.event(&event(usage)), Frame::Strip);
        assert_eq!(
            tap.event(&event(r#"{"choices":[],"usage":null}"#)),
            Frame::Pass
        );
        assert_eq!(tap.event(&event("[DONE]")), Frame::Done);
        let (read, estimated) = tap.usage(0);
        assert_eq!((read.input, read.output, estimated), (3, 2, false));
        assert_eq!(StreamTap::new(false).event(&event(usage)), Frame::Pass);
    }

    #[test]
    fn an_interrupted_stream_is_estimated_from_what_was_delivered() {
        let mut tap = StreamTap::new(true);
        tap.event(&event(r#"{"choices":[{"delta":{"content":"123456"}}]}"#));
        let (read, estimated) = tap.usage(9);
        assert_eq!((read.input, read.output, estimated), (9, 2, true));
        assert_eq!(
            tap.event(&event(r#"{"error":{"message":"overloaded"}}"#)),
            Frame::Failed
        );
    }

    #[test]
    fn a_providers_refusal_of_our_key_is_not_the_clients() {
        let body = br#"{"error":{"message":"Incorrect API key provided: sk-secret-123456"}}"#;
        let failure = parse_failure("openai", 401, None, body, "sk-secret-123456");
        assert_eq!(failure.error.kind, Kind::Upstream { status: 502 });
        assert!(!failure.error.message.contains("sk-secret"));
        let body = br#"{"error":{"message":"bad sk-secret-123456","param":"temperature"}}"#;
        let failure = parse_failure("openai", 400, None, body, "sk-secret-123456");
        assert_eq!(failure.error.message, "bad •••");
        assert!(!failure.retryable);
        let failure = parse_failure("openai", 500, None, b"<html>oops</html>", "");
        assert!(failure.retryable && !failure.error.message.contains("html"));
    }
}
