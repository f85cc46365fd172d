//! What each reader was promised.

use cf_base::Usage;
use cf_llm::{Dialect, Outgoing};
use serde_json::Value;
use serde_json::value::RawValue;

/// More tokens than any sum of counters that were read is.
const MOST_TOKENS: u64 = 1 << 44;

/// Counters add up without running over, and no part is more than the whole.
pub fn usage(usage: &Usage) {
    assert!(usage.prompt_tokens() <= MOST_TOKENS, "{usage:?}");
    assert!(usage.completion_tokens() <= MOST_TOKENS, "{usage:?}");
    assert!(usage.reasoning <= usage.output, "{usage:?}");
    assert!(
        usage.extra.cache_read_audio <= usage.cache_read,
        "{usage:?}"
    );
    assert!(usage.cache_read <= usage.prompt_tokens(), "{usage:?}");
}

/// What came of so many bytes is no more than a few times as long.
pub fn bounded(out: usize, came: usize) {
    assert!(out <= 16 * came + (64 << 10), "{out} bytes of {came}");
}

pub fn json(bytes: &[u8]) -> Option<Value> {
    let raw: Result<&RawValue, _> = serde_json::from_slice(bytes);
    assert!(raw.is_ok(), "no JSON: {}", String::from_utf8_lossy(bytes));
    // Numbers of any size are JSON, but not all are values here.
    serde_json::from_slice(bytes).ok()
}

/// A request as a provider takes it, with no other limit than `limit`, where one is
/// to be told.
pub fn outgoing(outgoing: &Outgoing, limit: Option<u64>) {
    let Some(body) = json(&outgoing.body) else {
        return;
    };
    let told = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
        .map(|name| &body[name])
        .into_iter()
        .chain([
            &body["generationConfig"]["maxOutputTokens"],
            &body["inferenceConfig"]["maxTokens"],
        ]);
    let told: Vec<&Value> = told.filter(|told| !told.is_null()).collect();
    if let Some(limit) = limit {
        assert!(!told.is_empty(), "no limit is told: {body}");
        for told in told {
            assert_eq!(told.as_u64(), Some(limit), "{body}");
        }
    }
    let url = outgoing.url.split('?').next().unwrap_or_default();
    let list = match url.rsplit(['/', ':']).next().unwrap_or_default() {
        "generateContent" | "streamGenerateContent" => "contents",
        // A text or a list.
        "responses" | "embeddings" => return,
        "completions" if !url.ends_with("chat/completions") => return,
        _ => "messages",
    };
    // The demo provider is sent nothing.
    if !url.is_empty() {
        assert!(body[list].is_array(), "{url} {body}");
    }
}

/// A whole answer of ours in a client's dialect.
pub fn reply(client: Dialect, body: &[u8]) {
    let Some(body) = json(body) else {
        return;
    };
    let texts = |names: &[&str]| {
        for name in names {
            assert!(body[name].is_string(), "{name}: {body}");
        }
    };
    match client {
        Dialect::Anthropic => {
            texts(&["id", "model", "stop_reason"]);
            assert_eq!(
                (&body["type"], &body["role"]),
                (&"message".into(), &"assistant".into())
            );
            for block in list(&body["content"]) {
                assert!(block["type"].is_string(), "{body}");
            }
            assert!(body["usage"]["input_tokens"].is_u64(), "{body}");
            assert!(body["usage"]["output_tokens"].is_u64(), "{body}");
        }
        Dialect::Responses => {
            texts(&["id", "object", "status", "model"]);
            for item in list(&body["output"]) {
                assert!(item["type"].is_string() && item["id"].is_string(), "{body}");
            }
            whole_and_parts(&body["usage"], "input_tokens", "output_tokens");
        }
        Dialect::Completions => {
            texts(&["id", "object", "model"]);
            for choice in list(&body["choices"]) {
                assert!(choice["text"].is_string(), "{body}");
            }
            whole_and_parts(&body["usage"], "prompt_tokens", "completion_tokens");
        }
        _ => {
            texts(&["id", "object", "model"]);
            for (at, choice) in list(&body["choices"]).iter().enumerate() {
                assert_eq!(choice["index"], at, "{body}");
                assert!(choice["finish_reason"].is_string(), "{body}");
                let message = &choice["message"];
                assert_eq!(message["role"], "assistant", "{body}");
                if !message["tool_calls"].is_null() {
                    for call in list(&message["tool_calls"]) {
                        assert!(call["id"].is_string(), "{body}");
                        assert!(call["function"]["name"].is_string(), "{body}");
                        assert!(call["function"]["arguments"].is_string(), "{body}");
                    }
                }
            }
            whole_and_parts(&body["usage"], "prompt_tokens", "completion_tokens");
        }
    }
}

/// OpenAI's usage: the total is the sum, and what was cached or thought is part of it.
fn whole_and_parts(usage: &Value, input: &str, output: &str) {
    let count = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{usage}"));
    let (put_in, came_out) = (count(&usage[input]), count(&usage[output]));
    assert_eq!(count(&usage["total_tokens"]), put_in + came_out, "{usage}");
    let part = |whole: &str, name: &str| usage[format!("{whole}_details")][name].as_u64();
    assert!(
        part(input, "cached_tokens").unwrap_or(0) <= put_in,
        "{usage}"
    );
    assert!(
        part(output, "reasoning_tokens").unwrap_or(0) <= came_out,
        "{usage}"
    );
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

/// A stream of ours in a client's dialect, to its end.
pub fn stream(client: Dialect, body: &[u8]) {
    let events = events(body);
    match client {
        Dialect::Anthropic => messages(&events),
        Dialect::Responses => responses(&events),
        _ => chunks(&events, client == Dialect::Completions),
    }
}

/// Events of ours, or of ours and an error.
pub fn events(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).expect("UTF-8");
    let mut found = Vec::new();
    for event in text.split_terminator("\n\n") {
        for line in event.lines() {
            if let Some(data) = line.strip_prefix("data: ") {
                found.push(match data {
                    "[DONE]" => Value::String(data.into()),
                    data => json(data.as_bytes()).unwrap_or_default(),
                });
            } else {
                assert!(
                    line.starts_with("event: ") || line.starts_with(':'),
                    "{event}"
                );
            }
        }
    }
    assert!(text.is_empty() || text.ends_with("\n\n"), "{text}");
    found
}

fn chunks(events: &[Value], is_text: bool) {
    let (last, chunks) = events.split_last().expect("an end");
    assert_eq!(*last, "[DONE]");
    let mut calls: Vec<(u64, u64)> = Vec::new();
    for chunk in chunks {
        for choice in list(&chunk["choices"]) {
            let index = choice["index"].as_u64().expect("an index");
            if is_text {
                assert!(choice["text"].is_string(), "{chunk}");
                continue;
            }
            let Some(pieces) = choice["delta"]["tool_calls"].as_array() else {
                continue;
            };
            for piece in pieces {
                let call = piece["index"].as_u64().expect("an index");
                let known = calls.contains(&(index, call));
                // A call says its name and id as it begins, and they are counted from zero.
                assert_eq!(known, piece["id"].is_null(), "{chunk}");
                if !known {
                    let before = calls.iter().filter(|(of, _)| *of == index).count();
                    assert_eq!(usize::try_from(call), Ok(before), "{chunk}");
                    calls.push((index, call));
                }
            }
        }
    }
}

fn messages(events: &[Value]) {
    let kind = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
    assert_eq!(kind(events.first().expect("events")), "message_start");
    assert_eq!(kind(events.last().expect("events")), "message_stop");
    let (mut next, mut open) = (0, None);
    for event in events {
        let index = event["index"].as_u64();
        match &*kind(event) {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(next)), "{event}");
                (open, next) = (index, next + 1);
            }
            "content_block_delta" => assert_eq!((open, open.is_some()), (index, true), "{event}"),
            "content_block_stop" => {
                assert_eq!((open, open.is_some()), (index, true), "{event}");
                open = None;
            }
            "message_delta" => {
                assert_eq!(open, None, "{event}");
                assert!(event["delta"]["stop_reason"].is_string(), "{event}");
            }
            "message_start" | "message_stop" | "ping" => {}
            other => panic!("an event of the kind {other}"),
        }
    }
}

fn responses(events: &[Value]) {
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], at, "{event}");
    }
    assert_eq!(events.first().expect("events")["type"], "response.created");
    let last = events.last().expect("events");
    let kind = last["type"].as_str().unwrap_or_default();
    assert!(
        ["response.completed", "response.incomplete"].contains(&kind),
        "{last}"
    );
    whole_and_parts(&last["response"]["usage"], "input_tokens", "output_tokens");
}
