//! The built-in demo provider: answers without any AI, and says so.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::ChatRequest;

/// Longest part of the question that is repeated.
const QUOTED: usize = 500;

/// The answer, cut to the output limit; a word is a token here.
struct Answer {
    words: Vec<String>,
    prompt_tokens: usize,
    finish: &'static str,
}

impl Answer {
    fn new(request: &ChatRequest<'_>, limit: Option<u64>) -> Self {
        let asked: String = request.last_user_text().chars().take(QUOTED).collect();
        let text = format!(
            "This is the demo provider of CloudFreedom; no AI model wrote this answer. \
             You said: \u{201c}{}\u{201d} To get real answers, add a provider key and a model in the portal.",
            asked.trim()
        );
        let mut words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        let limit = limit
            .and_then(|l| usize::try_from(l).ok())
            .unwrap_or(usize::MAX);
        let finish = if words.len() > limit {
            "length"
        } else {
            "stop"
        };
        words.truncate(limit);
        Self {
            words,
            prompt_tokens: asked.split_whitespace().count().max(1),
            finish,
        }
    }

    fn usage(&self, n: usize) -> Value {
        let completion = self.words.len() * n;
        json!({
            "prompt_tokens": self.prompt_tokens, "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        })
    }
}

/// A plain reply; `id` and `created` (seconds) as the caller makes them.
pub fn demo_plain(
    request: &ChatRequest<'_>,
    model: &str,
    limit: Option<u64>,
    id: &str,
    created: i64,
) -> Bytes {
    let answer = Answer::new(request, limit);
    let n = usize::try_from(request.n).unwrap_or(1);
    let text = answer.words.concat();
    let choices: Vec<Value> = (0..n)
        .map(|index| {
            json!({
                "index": index, "finish_reason": answer.finish, "logprobs": null,
                "message": {"role": "assistant", "content": text, "refusal": null},
            })
        })
        .collect();
    let reply = json!({
        "id": id, "object": "chat.completion", "created": created, "model": model,
        "choices": choices, "usage": answer.usage(n),
    });
    Bytes::from(reply.to_string())
}

/// A streamed reply, event by event: a word each.
pub fn demo_stream(
    request: &ChatRequest<'_>,
    model: &str,
    limit: Option<u64>,
    id: &str,
    created: i64,
) -> Vec<Bytes> {
    let answer = Answer::new(request, limit);
    let n = usize::try_from(request.n).unwrap_or(1);
    let event = |choices: Vec<Value>, usage: Option<Value>| {
        let mut chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": created, "model": model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let choice = |index: usize, delta: Value, finish: Value| json!({"index": index, "delta": delta, "finish_reason": finish});
    let mut events = Vec::with_capacity(n * (answer.words.len() + 2) + 2);
    for index in 0..n {
        let first = json!({"role": "assistant", "content": ""});
        events.push(event(vec![choice(index, first, Value::Null)], None));
        for word in &answer.words {
            let delta = json!({"content": word});
            events.push(event(vec![choice(index, delta, Value::Null)], None));
        }
        events.push(event(
            vec![choice(index, json!({}), answer.finish.into())],
            None,
        ));
    }
    events.push(event(Vec::new(), Some(answer.usage(n))));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frame, Provider, Reply, SseDecoder, StreamTap, parse_reply};

    const BODY: &[u8] = br#"{"model":"demo","messages":[{"role":"user","content":"Hello there"}]}"#;

    #[test]
    fn plain_and_streamed_say_and_count_the_same() {
        let request = ChatRequest::parse(BODY).expect("a request");
        let plain = demo_plain(&request, "demo", Some(12), "id", 0);
        let Reply::Completion(usage, false) = parse_reply(Provider::Demo, &plain, 0) else {
            panic!("a counted answer");
        };
        assert_eq!((usage.input, usage.output), (2, 12));
        let mut decoder = SseDecoder::default();
        let mut tap = StreamTap::new(false);
        let mut last = Frame::Pass;
        for bytes in demo_stream(&request, "demo", Some(12), "id", 0) {
            decoder.push(bytes).expect("small");
            while let Some(event) = decoder.next_event() {
                last = tap.event(&event);
            }
        }
        assert_eq!(last, Frame::Done);
        assert_eq!(tap.usage(Provider::Demo, 0), (usage, false));
    }

    #[test]
    fn it_says_what_it_is() {
        let request = ChatRequest::parse(BODY).expect("a request");
        let plain = demo_plain(&request, "demo", None, "id", 0);
        let text = String::from_utf8_lossy(&plain);
        assert!(text.contains("demo provider") && text.contains("Hello there"));
    }
}
