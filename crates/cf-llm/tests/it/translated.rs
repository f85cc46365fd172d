//! Exchanges recorded with Anthropic, Google and AWS, given out to OpenAI's and
//! Anthropic's clients: what they hold, and what they used.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cf_base::{Kind, Timestamp, Usage};
use cf_llm::{
    ChatStream, Dialect, Opening, Place, Provider, Reply, Route, Settings, StreamFrame,
    UpstreamFailure,
};
use serde_json::Value;

use crate::recordings::{folder, headers};

/// Input, cache read, cache write, cache write of an hour, audio in, output, reasoning.
type Counters = [u64; 7];

/// Every recording of a chat that is not in OpenAI's dialect, and what it used;
/// none where it says nothing.
pub const USED: [(&str, Option<Counters>); 43] = [
    ("anthropic/cache_read", Some([10, 7351, 0, 0, 0, 4, 0])),
    ("anthropic/cache_write", Some([10, 0, 7351, 0, 0, 4, 0])),
    ("anthropic/messages_basic", Some([20, 0, 0, 0, 0, 13, 0])),
    (
        "anthropic/output_config_json_schema",
        Some([181, 0, 0, 0, 0, 12, 0]),
    ),
    (
        "anthropic/parallel_tool_use",
        Some([721, 0, 0, 0, 0, 112, 0]),
    ),
    (
        "anthropic/stream_advisor_iterations_other_model",
        Some([2411, 0, 0, 0, 0, 145, 47]),
    ),
    (
        "anthropic/stream_cache_read",
        Some([4, 1167, 0, 0, 0, 256, 0]),
    ),
    (
        "anthropic/stream_compaction_iterations",
        Some([281, 55096, 0, 0, 0, 91, 0]),
    ),
    (
        "anthropic/stream_older_usage_only_output",
        Some([17, 0, 0, 0, 0, 108, 0]),
    ),
    (
        "anthropic/stream_redacted_thinking",
        Some([92, 0, 0, 0, 0, 189, 0]),
    ),
    (
        "anthropic/stream_thinking",
        Some([80, 0, 0, 0, 0, 638, 353]),
    ),
    (
        "anthropic/thinking_signature",
        Some([45, 0, 0, 0, 0, 39, 23]),
    ),
    (
        "bedrock/converse_cache_read",
        Some([10, 7351, 0, 0, 0, 4, 0]),
    ),
    (
        "bedrock/converse_cache_read_and_write",
        Some([3, 1712, 236, 0, 0, 121, 0]),
    ),
    (
        "bedrock/converse_cache_write",
        Some([10, 0, 7351, 0, 0, 4, 0]),
    ),
    (
        "bedrock/converse_claude_json_schema",
        Some([181, 0, 0, 0, 0, 12, 0]),
    ),
    (
        "bedrock/converse_guardrail_intervened",
        Some([54, 0, 0, 0, 0, 18, 0]),
    ),
    (
        "bedrock/converse_nova2_reasoning",
        Some([110, 0, 0, 0, 0, 223, 0]),
    ),
    (
        "bedrock/converse_parallel_tool_calls",
        Some([701, 0, 0, 0, 0, 97, 0]),
    ),
    (
        "bedrock/converse_stream_basic",
        Some([53, 0, 0, 0, 0, 21, 0]),
    ),
    (
        "bedrock/converse_stream_citations",
        Some([887, 0, 0, 0, 0, 75, 0]),
    ),
    (
        "bedrock/converse_stream_text_then_two_tools",
        Some([415, 0, 0, 0, 0, 195, 0]),
    ),
    (
        "bedrock/converse_stream_tool_call",
        Some([986, 0, 0, 0, 0, 42, 0]),
    ),
    (
        "bedrock/converse_stream_tool_input_fragments",
        Some([446, 0, 0, 0, 0, 55, 0]),
    ),
    (
        "bedrock/invoke_claude_cache_read_headers",
        Some([4, 18131, 0, 0, 0, 50, 0]),
    ),
    (
        "bedrock/invoke_claude_cache_write_headers",
        Some([4, 0, 18131, 0, 0, 50, 0]),
    ),
    (
        "gemini/audio_input_modality_details",
        Some([85, 0, 0, 0, 144, 17, 0]),
    ),
    ("gemini/finish_safety", Some([14, 0, 0, 0, 0, 0, 0])),
    (
        "gemini/gemini3_thought_signature_tool_call",
        Some([120, 0, 0, 0, 0, 164, 132]),
    ),
    (
        "gemini/google_search_grounding",
        Some([83, 0, 0, 0, 0, 139, 109]),
    ),
    (
        "gemini/max_tokens_all_spent_on_thinking",
        Some([15, 0, 0, 0, 0, 2, 2]),
    ),
    (
        "gemini/stream_after_tool_result",
        Some([233, 0, 0, 0, 0, 21, 0]),
    ),
    (
        "gemini/stream_prompt_count_changes_in_last_chunk",
        Some([14, 0, 0, 0, 0, 33, 0]),
    ),
    ("gemini/stream_tool_call", Some([103, 0, 0, 0, 0, 73, 43])),
    (
        "gemini/stream_two_tool_calls_with_ids",
        Some([71, 0, 0, 0, 0, 126, 93]),
    ),
    (
        "gemini/structured_output_json_schema",
        Some([13, 0, 0, 0, 0, 268, 258]),
    ),
    (
        "vertex/cached_content_usage",
        Some([11, 9602, 0, 0, 0, 72, 39]),
    ),
    ("vertex/generate_basic", Some([10, 0, 0, 0, 0, 51, 29])),
    ("vertex/prompt_blocked_model_armor", None),
    (
        "vertex/response_blocked_model_armor",
        Some([19, 0, 0, 0, 0, 33, 27]),
    ),
    (
        "vertex/stream_after_tool_result",
        Some([170, 0, 0, 0, 0, 22, 0]),
    ),
    (
        "vertex/stream_json_array_enum_ints",
        Some([11, 0, 0, 0, 0, 248, 232]),
    ),
    ("vertex/stream_tool_call", Some([70, 0, 0, 0, 0, 60, 43])),
];

pub fn read(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json")));
    serde_json::from_str(&text.unwrap_or_else(|e| panic!("{name}: {e}"))).unwrap()
}

pub fn body(recording: &Value) -> Vec<u8> {
    match recording["response"]["body"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => STANDARD
            .decode(recording["response"]["body_base64"].as_str().unwrap())
            .unwrap(),
    }
}

pub fn route(name: &str, recording: &Value, client: Dialect) -> Route {
    let provider = Provider::find(name.split('/').next().unwrap()).unwrap();
    let settings = Settings {
        api: "invoke".into(),
        ..Settings::default()
    };
    let invoke = recording["request"]["url"]
        .as_str()
        .unwrap()
        .contains("/invoke");
    let place = |settings| Place {
        provider,
        model: if invoke {
            "anthropic.claude"
        } else {
            "gemini-or-nova"
        },
        base_url: "",
        region: "",
        settings,
        project: "",
        has_plain_key: false,
    };
    place(if invoke {
        &settings
    } else {
        Box::leak(Box::default())
    })
    .route(client)
}

pub fn opening() -> Opening {
    Opening {
        id: "chatcmpl-1".into(),
        created: 1,
        model: "m".into(),
        include_usage: true,
        estimated_input: 1,
        echo: None,
    }
}

/// Everything that a stream in these pieces becomes, and what it used.
pub fn streamed(route: Route, body: &[u8], piece: usize) -> (Vec<u8>, (Usage, bool)) {
    let mut stream = route.stream(opening());
    let mut out = Vec::new();
    for piece in body.chunks(piece) {
        stream.push(Bytes::copy_from_slice(piece)).unwrap();
        if drain(&mut stream, &mut out) {
            return (out, stream.usage());
        }
    }
    match stream.end() {
        StreamFrame::Done(bytes) => out.extend_from_slice(&bytes),
        other => panic!("the stream ends well: {other:?}"),
    }
    (out, stream.usage())
}

/// Whether the end came.
fn drain(stream: &mut ChatStream, out: &mut Vec<u8>) -> bool {
    while let Some(frame) = stream.next_frame().unwrap() {
        match frame {
            StreamFrame::Pass(bytes) => out.extend_from_slice(&bytes),
            StreamFrame::Done(bytes) => {
                out.extend_from_slice(&bytes);
                return true;
            }
            StreamFrame::Failed(data) => panic!("{}", String::from_utf8_lossy(&data)),
        }
    }
    false
}

/// The data of a stream's events.
pub fn events(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}")))
        .collect()
}

/// A stream of JSON chunks without a frame of events is one reply.
pub fn is_stream(recording: &Value) -> bool {
    let body = body(recording);
    recording["stream"] == true && !body.starts_with(b"[")
}

/// Text, thinking and calls of a stream for OpenAI's clients, as in a reply.
fn folded(events: &[Value]) -> Value {
    let mut text = String::new();
    let mut thinking = String::new();
    let mut calls: Vec<Value> = Vec::new();
    let mut finish = Value::Null;
    for choice in events.iter().filter_map(|e| e["choices"].get(0)) {
        let delta = &choice["delta"];
        text.push_str(delta["content"].as_str().unwrap_or_default());
        thinking.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            if index == calls.len() {
                calls.push(call.clone());
            } else {
                let more = call["function"]["arguments"].as_str().unwrap();
                let arguments = &mut calls[index]["function"]["arguments"];
                *arguments = format!("{}{more}", arguments.as_str().unwrap()).into();
            }
        }
        if choice["finish_reason"].is_string() {
            assert!(finish.is_null(), "one end");
            finish = choice["finish_reason"].clone();
        }
    }
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            let arguments = call["function"]["arguments"].as_str().unwrap();
            let arguments: Value = serde_json::from_str(arguments).unwrap();
            serde_json::json!([call["function"]["name"], arguments])
        })
        .collect();
    serde_json::json!({"text": text, "thinking": thinking, "calls": calls, "finish": finish})
}

#[test]
fn usage_is_read_as_each_provider_counts_it() {
    let Some(folder) = folder() else { return };
    for (name, expected) in USED {
        let recording = read(&folder, name);
        for client in [Dialect::OpenAi, Dialect::Anthropic] {
            let route = route(name, &recording, client);
            let body = body(&recording);
            let (usage, estimated) = if is_stream(&recording) {
                streamed(route, &body, usize::MAX).1
            } else {
                match route.reply(Bytes::from(body), &opening()) {
                    (Reply::Completion(usage, estimated), _) => (usage, estimated),
                    (other, _) => panic!("{name}: {other:?}"),
                }
            };
            let counters = [
                usage.input,
                usage.cache_read,
                usage.cache_write,
                usage.cache_write_1h,
                usage.audio_input,
                usage.output,
                usage.reasoning,
            ];
            match expected {
                Some(expected) => {
                    assert_eq!(
                        (counters, estimated),
                        (expected, false),
                        "{name} {client:?}"
                    );
                }
                None => assert!(estimated && usage.input == 1, "{name}: {usage:?}"),
            }
        }
    }
}

#[test]
fn every_answer_reaches_both_kinds_of_client() {
    let Some(folder) = folder() else { return };
    for (name, _) in USED {
        let recording = read(&folder, name);
        let body = body(&recording);
        for client in [Dialect::OpenAi, Dialect::Anthropic] {
            let route = route(name, &recording, client);
            if is_stream(&recording) {
                let (out, _) = streamed(route, &body, usize::MAX);
                let events = events(&out);
                assert!(events.len() >= 2, "{name}");
                if client == Dialect::OpenAi {
                    let folded = folded(&events);
                    let said = !folded["text"].as_str().unwrap().is_empty()
                        || !folded["calls"].as_array().unwrap().is_empty();
                    assert!(said && folded["finish"].is_string(), "{name}: {folded}");
                    assert!(out.ends_with(b"data: [DONE]\n\n"), "{name}");
                } else {
                    assert_eq!(events[0]["type"], "message_start", "{name}");
                    assert_eq!(events.last().unwrap()["type"], "message_stop", "{name}");
                }
            } else {
                let (_, out) = route.reply(Bytes::from(body.clone()), &opening());
                let out: Value = serde_json::from_slice(&out).unwrap();
                if client == Dialect::OpenAi {
                    if out["choices"][0].is_object() {
                        let choice = &out["choices"][0];
                        assert!(choice["finish_reason"].is_string(), "{name}: {out}");
                        assert_eq!(choice["message"]["role"], "assistant", "{name}");
                    } else {
                        panic!("{name}: {out}");
                    }
                    let usage = &out["usage"];
                    let sum = usage["prompt_tokens"].as_u64().unwrap()
                        + usage["completion_tokens"].as_u64().unwrap();
                    assert_eq!(usage["total_tokens"], sum, "{name}");
                } else {
                    assert_eq!(out["type"], "message", "{name}: {out}");
                    assert!(out["stop_reason"].is_string(), "{name}: {out}");
                }
            }
        }
    }
}

#[test]
fn streams_are_the_same_in_any_pieces() {
    let Some(folder) = folder() else { return };
    for (name, _) in USED {
        let recording = read(&folder, name);
        if !is_stream(&recording) {
            continue;
        }
        let body = body(&recording);
        for client in [Dialect::OpenAi, Dialect::Anthropic] {
            let route = route(name, &recording, client);
            let whole = streamed(route, &body, usize::MAX);
            for piece in [1, 2, 3, 7, 64, 1000] {
                assert_eq!(
                    streamed(route, &body, piece),
                    whole,
                    "{name} in pieces of {piece}"
                );
            }
        }
    }
}

fn openai(folder: &Path, name: &str) -> Value {
    let recording = read(folder, name);
    let route = route(name, &recording, Dialect::OpenAi);
    let body = body(&recording);
    if is_stream(&recording) {
        return folded(&events(&streamed(route, &body, usize::MAX).0));
    }
    let (_, out) = route.reply(Bytes::from(body), &opening());
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn trap_3_googles_stop_is_a_call_where_there_is_one() {
    let Some(folder) = folder() else { return };
    for name in [
        "gemini/stream_tool_call",
        "vertex/stream_tool_call",
        "gemini/stream_two_tool_calls_with_ids",
    ] {
        let folded = openai(&folder, name);
        assert_eq!(folded["finish"], "tool_calls", "{name}");
        assert!(!folded["calls"].as_array().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn trap_4_a_limit_spent_on_thinking_is_a_length() {
    let Some(folder) = folder() else { return };
    let reply = openai(&folder, "gemini/max_tokens_all_spent_on_thinking");
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!(reply["choices"][0]["message"]["content"], Value::Null);
}

#[test]
fn trap_9_what_is_blocked_is_told_and_may_have_cost() {
    let Some(folder) = folder() else { return };
    for (name, native) in [
        ("vertex/response_blocked_model_armor", "MODEL_ARMOR"),
        ("vertex/prompt_blocked_model_armor", "MODEL_ARMOR"),
        ("gemini/finish_safety", "SAFETY"),
        (
            "bedrock/converse_guardrail_intervened",
            "guardrail_intervened",
        ),
    ] {
        let choice = &openai(&folder, name)["choices"][0];
        assert_eq!(choice["finish_reason"], "content_filter", "{name}");
        assert_eq!(choice["native_finish_reason"], native, "{name}");
    }
}

#[test]
fn trap_18_texts_of_bedrock_do_not_count_as_calls() {
    let Some(folder) = folder() else { return };
    let folded = openai(&folder, "bedrock/converse_stream_text_then_two_tools");
    assert_eq!(folded["calls"].as_array().unwrap().len(), 2, "{folded}");
    assert!(folded["text"].as_str().unwrap().starts_with("<thinking"));
    let folded = openai(&folder, "bedrock/converse_stream_tool_input_fragments");
    assert_eq!(folded["calls"].as_array().unwrap().len(), 1, "{folded}");
}

#[test]
fn a_stream_that_breaks_off_is_no_answer() {
    let Some(folder) = folder() else { return };
    for name in [
        "anthropic/stream_thinking",
        "gemini/stream_after_tool_result",
        "bedrock/converse_stream_basic",
    ] {
        let recording = read(&folder, name);
        let body = body(&recording);
        let mut stream = route(name, &recording, Dialect::OpenAi).stream(opening());
        stream
            .push(Bytes::copy_from_slice(&body[..body.len() / 2]))
            .unwrap();
        let mut out = Vec::new();
        assert!(!drain(&mut stream, &mut out), "{name}");
        assert!(matches!(stream.end(), StreamFrame::Failed(_)), "{name}");
        let (usage, estimated) = stream.usage();
        assert!(estimated && usage.prompt_tokens() > 0, "{name}: {usage:?}");
    }
}

#[test]
fn trap_16_an_error_within_a_stream_is_seen_and_told_in_the_clients_shape() {
    let Some(folder) = folder() else { return };
    let name = "anthropic/quoted_stream_overloaded_error";
    let recording = read(&folder, name);
    for client in [Dialect::OpenAi, Dialect::Anthropic] {
        let mut stream = route(name, &recording, client).stream(opening());
        stream.push(Bytes::from(body(&recording))).unwrap();
        let mut failed = None;
        while let Some(frame) = stream.next_frame().unwrap() {
            if let StreamFrame::Failed(data) = frame {
                failed = Some(data);
            }
        }
        let data = failed.unwrap_or_else(|| match stream.end() {
            StreamFrame::Failed(data) => data,
            other => panic!("{other:?}"),
        });
        let frame = client.failure_frame(&data, "");
        let text = std::str::from_utf8(&frame).unwrap();
        assert!(text.contains("overloaded_error"), "{text}");
        assert_eq!(
            text.starts_with("event: error"),
            client == Dialect::Anthropic
        );
    }
}

/// Recording, kind of our answer, whether another deployment may do better, code.
const REFUSED: [(&str, Kind, bool, Option<&str>); 7] = [
    (
        "anthropic/error_401",
        Kind::Upstream { status: 502 },
        true,
        None,
    ),
    (
        "bedrock/error_400_context_length",
        INVALID,
        false,
        Some("context_length_exceeded"),
    ),
    (
        "bedrock/error_400_stream_invalid_model",
        INVALID,
        false,
        None,
    ),
    (
        "gemini/error_404_unknown_model",
        Kind::Upstream { status: 502 },
        true,
        None,
    ),
    (
        "gemini/error_429_quota_retryinfo",
        Kind::RateLimited {
            retry_after: std::time::Duration::from_secs(48),
        },
        true,
        None,
    ),
    (
        "vertex/error_400_context_length",
        INVALID,
        false,
        Some("context_length_exceeded"),
    ),
    ("vertex/error_400_temperature", INVALID, false, None),
];
const INVALID: Kind = Kind::Invalid { field: None };

fn refused(name: &str, status: u16, head: &Value, body: &[u8]) -> UpstreamFailure {
    let provider = Provider::find(name.split('/').next().unwrap()).unwrap();
    let settings = Settings::default();
    let place = Place {
        provider,
        model: "m",
        base_url: "",
        region: "",
        settings: &settings,
        project: "",
        has_plain_key: false,
    };
    let now = Timestamp::from_millis(0);
    place
        .route(Dialect::OpenAi)
        .failure(status, &headers(head), body, "", now)
}

#[test]
fn refusals_are_told_apart() {
    let Some(folder) = folder() else { return };
    for (name, kind, retryable, code) in REFUSED {
        let recording = read(&folder, name);
        let status = u16::try_from(recording["response"]["status"].as_u64().unwrap()).unwrap();
        let body = body(&recording);
        let failure = refused(name, status, &recording["response"]["headers"], &body);
        match (&failure.error.kind, &kind) {
            (Kind::Invalid { .. }, Kind::Invalid { .. }) => {}
            (found, expected) => assert_eq!(found, expected, "{name}"),
        }
        assert_eq!(
            (failure.retryable, failure.code.as_deref()),
            (retryable, code),
            "{name}"
        );
    }
}

#[test]
fn trap_6_and_21_a_refusal_is_what_it_means_not_what_its_status_says() {
    let key = br#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",
        "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
    let none = Value::Null;
    let failure = refused("gemini/x", 400, &none, key);
    assert_eq!(failure.error.kind, Kind::Upstream { status: 502 });
    assert!(failure.retryable);
    let day = br#"{"error":{"code":429,"message":"quota","details":[{"violations":[
        {"quotaId":"GenerateRequestsPerDayPerProjectPerModel"}]},{"retryDelay":"3s"}]}}"#;
    let failure = refused("gemini/x", 429, &none, day);
    assert_eq!(failure.error.kind, Kind::Upstream { status: 503 });
    let quota = serde_json::json!({"x-amzn-errortype": "ServiceQuotaExceededException:http://x/"});
    let failure = refused(
        "bedrock/x",
        400,
        &quota,
        br#"{"message":"Too many tokens"}"#,
    );
    assert!(matches!(failure.error.kind, Kind::RateLimited { .. }));
    let spent = br#"{"type":"error","error":{"type":"rate_limit_error","message":"m",
        "details":{"error_code":"enforced_spend_limit_reached"}}}"#;
    let failure = refused("anthropic/x", 429, &none, spent);
    assert_eq!(failure.error.kind, Kind::Upstream { status: 503 });
    let refusal = Dialect::Anthropic.refusal(&refused(
        "anthropic/x",
        400,
        &none,
        br#"{"type":"error","error":{"type":"invalid_request_error","message":"bad"}}"#,
    ));
    let refusal: Value = serde_json::from_slice(&refusal.unwrap()).unwrap();
    assert_eq!(
        refusal,
        serde_json::json!({"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}})
    );
}
