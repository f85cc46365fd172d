//! One request of each kind of client, as every provider is sent it; and one
//! answer of every provider, plain and streamed, as each kind of client is given
//! it. What is expected stands in `snapshots`.

use bytes::Bytes;
use cf_llm::{
    ChatRequest, ChatStream, Dialect, Opening, OutputPlan, Place, Provider, Reply, Route, Settings,
    StreamFrame, Wishes,
};
use serde_json::{Value, json};

/// Everything that every provider can do in one way or another.
fn openai_request() -> Value {
    json!({
        "model": "public", "stream": true, "max_completion_tokens": 4000,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Use tools.",
                "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this, and the weather?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "file", "file": {"filename": "my_report.v2.pdf",
                    "file_data": "data:application/pdf;base64,JVBERi0="}}]},
            {"role": "assistant", "content": "", "reasoning_content": "Think.",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "Think.", "signature": "c2VhbA==",
                        "format": "anthropic-claude-v1"},
                    {"type": "reasoning.encrypted", "data": "hidden", "format": "anthropic-claude-v1"}],
                "tool_calls": [
                    {"id": "call_1__thought__R29vZ2xl", "type": "function",
                        "function": {"name": "weather", "arguments": "{\"city\": \"Berlin\", \"n\": 1e400}"}},
                    {"id": "call:2", "type": "function", "function": {"name": "now", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call_1__thought__R29vZ2xl", "content": "sunny"},
            {"role": "tool", "tool_call_id": "call:2", "content": [{"type": "text", "text": "noon"}]},
            {"role": "user", "content": "And tomorrow?"}],
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "Weather of a city",
                "parameters": {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"}}},
                "strict": true}, "cache_control": {"type": "ephemeral"}},
            {"type": "function", "function": {"name": "now"}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": true,
            "schema": {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}}},
        "reasoning_effort": "medium", "temperature": 1.0, "top_p": 1, "stop": ["END", "STOP"], "user": "u-1",
        "n": 1, "logprobs": false, "presence_penalty": 0, "store": false,
    })
}

/// The same wishes of one of Anthropic's clients.
fn anthropic_request() -> Value {
    json!({
        "model": "public", "stream": true, "max_tokens": 4000,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is this, and the weather?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Think.", "signature": "c2VhbA=="},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"z": "Berlin", "a": 1.50}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                    {"type": "text", "text": "rain"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}}]},
                {"type": "text", "text": "And tomorrow?"}]}],
        "tools": [{"name": "weather", "description": "Weather", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "stop_sequences": ["END"], "metadata": {"user_id": "u-1"}, "service_tier": "standard_only",
    })
}

pub const PLACES: [(&str, Provider, &str, &str); 12] = [
    ("openai", Provider::OpenAi, "gpt-5", "{}"),
    ("mistral", Provider::Mistral, "mistral-large", "{}"),
    ("azure", Provider::Azure, "deployment", "{}"),
    (
        "azure_dated",
        Provider::Azure,
        "deployment",
        r#"{"api_version":"2024-10-21"}"#,
    ),
    ("anthropic", Provider::Anthropic, "claude-sonnet-5", "{}"),
    (
        "anthropic_older",
        Provider::Anthropic,
        "claude-haiku-4-5",
        r#"{"anthropic_beta":"x"}"#,
    ),
    ("vertex_claude", Provider::Vertex, "claude-sonnet-5", "{}"),
    (
        "bedrock_invoke",
        Provider::Bedrock,
        "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        r#"{"api":"invoke"}"#,
    ),
    (
        "bedrock_claude",
        Provider::Bedrock,
        "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        "{}",
    ),
    (
        "bedrock_nova",
        Provider::Bedrock,
        "amazon.nova-2-lite-v1:0",
        "{}",
    ),
    ("gemini", Provider::Gemini, "gemini-3-pro", "{}"),
    ("vertex_gemini", Provider::Vertex, "gemini-2.5-flash", "{}"),
];

pub fn place<'a>(provider: Provider, model: &'a str, settings: &'a Settings) -> Place<'a> {
    Place {
        provider,
        model,
        base_url: match provider {
            Provider::Azure => "https://r.example",
            Provider::OpenAiCompatible => "https://llama.example/v1",
            _ => "",
        },
        region: "eu-central-1",
        settings,
        project: "proj",
        has_plain_key: false,
    }
}

/// What a provider is sent: address, headers, body in the order it was written.
pub fn sent(dialect: Dialect, request: &Value, at: (Provider, &str, &str)) -> String {
    let body = request.to_string();
    let request = ChatRequest::read_as(dialect, body.as_bytes()).unwrap();
    let settings: Settings = serde_json::from_str(at.2).unwrap();
    let plan = OutputPlan {
        tokens: 4000,
        tell: false,
    };
    // Bedrock's Nova cannot be told to call one tool at a time, nor older Geminis.
    let wishes = Wishes {
        drop_params: true,
        ..Wishes::default()
    };
    let outgoing = request
        .outgoing(&place(at.0, at.1, &settings), plan, &wishes)
        .unwrap_or_else(|e| panic!("{at:?}: {e}"));
    let mut text = format!("POST {}\n", outgoing.url);
    let mut headers: Vec<String> = outgoing
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    headers.sort();
    text.extend(headers);
    text.push_str(&format!("left out: {:?}\n\n", outgoing.dropped));
    assert!(
        serde_json::from_slice::<Value>(&outgoing.body).is_ok()
            || at.1.is_empty()
            || has_huge(&outgoing.body)
    );
    text.push_str(&lines(std::str::from_utf8(&outgoing.body).unwrap()));
    text
}

/// 1e400 is JSON that no f64 holds: it must pass through unread.
fn has_huge(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("1e400")
}

/// JSON with a line for each element, so that a difference is seen.
pub fn lines(json: &str) -> String {
    let (mut out, mut depth, mut in_text, mut escaped) = (String::new(), 0_usize, false, false);
    for c in json.chars() {
        if in_text {
            out.push(c);
            match (escaped, c) {
                (true, _) => escaped = false,
                (_, '\\') => escaped = true,
                (_, '"') => in_text = false,
                _ => {}
            }
            continue;
        }
        match c {
            '"' => {
                in_text = true;
                out.push(c);
            }
            '{' | '[' => {
                depth += 1;
                out.push(c);
                out.push('\n');
                out.push_str(&"  ".repeat(depth));
            }
            '}' | ']' => {
                depth -= 1;
                out.push('\n');
                out.push_str(&"  ".repeat(depth));
                out.push(c);
            }
            ',' => {
                out.push(c);
                out.push('\n');
                out.push_str(&"  ".repeat(depth));
            }
            other => out.push(other),
        }
    }
    out.push('\n');
    out
}

#[test]
fn one_request_of_openais_client_at_every_provider() {
    for (name, provider, model, settings) in PLACES {
        let text = sent(
            Dialect::OpenAi,
            &openai_request(),
            (provider, model, settings),
        );
        insta::assert_snapshot!(format!("request_openai_to_{name}"), text);
    }
}

#[test]
fn one_request_of_anthropics_client_at_every_provider() {
    for (name, provider, model, settings) in PLACES {
        let text = sent(
            Dialect::Anthropic,
            &anthropic_request(),
            (provider, model, settings),
        );
        insta::assert_snapshot!(format!("request_anthropic_to_{name}"), text);
    }
}

/// An answer with thinking, text and two calls, the second without arguments.
fn anthropic_answer() -> (Value, Vec<u8>) {
    let usage = json!({"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 0,
        "output_tokens": 42, "output_tokens_details": {"thinking_tokens": 12}});
    let whole = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
        "content": [
            {"type": "thinking", "thinking": "Hm, so.", "signature": "c2VhbA=="},
            {"type": "redacted_thinking", "data": "hidden"},
            {"type": "text", "text": "Größe: \"1\"\n"},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"z": 1, "a": "Köln"}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}],
        "stop_reason": "tool_use", "usage": usage});
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
            "model": "claude-sonnet-5", "content": [], "usage": {"input_tokens": 10, "cache_read_input_tokens": 90,
                "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm, "}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "so."}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2VhbA=="}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "hidden"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Größe: "}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "\"1\"\n"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "content_block_start", "index": 3, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "{\"z\":1,"}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "\"a\":\"Köln\"}"}}),
        json!({"type": "content_block_stop", "index": 3}),
        json!({"type": "something_new", "x": 1}),
        json!({"type": "content_block_start", "index": 4, "content_block": {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}}),
        json!({"type": "content_block_stop", "index": 4}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": usage}),
        json!({"type": "message_stop"}),
    ];
    let stream = events.iter().flat_map(|e| {
        format!("event: {}\ndata: {e}   \n\n", e["type"].as_str().unwrap()).into_bytes()
    });
    (whole, stream.collect())
}

fn gemini_answer() -> (Value, Vec<u8>) {
    let usage = |candidates: u64| {
        json!({"promptTokenCount": 100, "cachedContentTokenCount": 90,
        "candidatesTokenCount": candidates, "thoughtsTokenCount": 12, "totalTokenCount": 112 + candidates})
    };
    let thought = json!({"text": "Hm, so.", "thought": true});
    let text = json!({"text": "Größe: \"1\"\n"});
    let first = json!({"functionCall": {"name": "weather", "args": {"z": 1, "a": "Köln"}}, "thoughtSignature": "c2Vh+/8="});
    let second = json!({"functionCall": {"name": "now", "args": {}}});
    let chunk = |parts: Vec<&Value>, candidates, finish: Option<&str>| {
        let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
        if let Some(finish) = finish {
            candidate["finishReason"] = finish.into();
        }
        json!({"candidates": [candidate], "usageMetadata": usage(candidates), "modelVersion": "gemini-3-pro",
            "responseId": "resp-1"})
    };
    let whole = chunk(vec![&thought, &text, &first, &second], 30, Some("STOP"));
    let chunks = [
        chunk(vec![&thought], 0, None),
        chunk(vec![&text], 5, None),
        chunk(vec![&first, &second], 28, None),
        chunk(vec![&json!({"text": ""})], 30, Some("STOP")),
    ];
    let stream = chunks
        .iter()
        .flat_map(|c| format!("data: {c}\r\n\r\n").into_bytes());
    (whole, stream.collect())
}

fn converse_answer() -> (Value, Vec<u8>) {
    let usage = json!({"inputTokens": 10, "outputTokens": 42, "totalTokens": 142, "cacheReadInputTokens": 90});
    let whole = json!({"output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hm, so.", "signature": "c2VhbA=="}}},
            {"text": "Größe: \"1\"\n"},
            {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"z": 1, "a": "Köln"}}},
            {"toolUse": {"toolUseId": "tooluse_2", "name": "now", "input": {}}}]}},
        "stopReason": "tool_use", "usage": usage});
    let delta = |index: u64, delta: Value| {
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta, "p": "abc"}),
        )
    };
    let start = |index: u64, id: &str, name: &str| {
        (
            "contentBlockStart",
            json!({"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}),
        )
    };
    let events = [
        ("messageStart", json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "Hm, "}})),
        delta(0, json!({"reasoningContent": {"text": "so."}})),
        delta(0, json!({"reasoningContent": {"signature": "c2VhbA=="}})),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        delta(1, json!({"text": ""})),
        delta(1, json!({"text": "Größe: \"1\"\n"})),
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        start(2, "tooluse_1", "weather"),
        delta(2, json!({"toolUse": {"input": "{\"z\":1,"}})),
        delta(2, json!({"toolUse": {"input": "\"a\":\"Köln\"}"}})),
        ("contentBlockStop", json!({"contentBlockIndex": 2})),
        start(3, "tooluse_2", "now"),
        ("contentBlockStop", json!({"contentBlockIndex": 3})),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({"usage": usage, "metrics": {"latencyMs": 1}}),
        ),
    ];
    let stream = events
        .iter()
        .flat_map(|(kind, payload)| cf_testkit::aws_message(kind, payload.to_string().as_bytes()));
    (whole, stream.collect())
}

/// A compatible server that tells two calls at once.
fn openai_answer() -> (Value, Vec<u8>) {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 42, "total_tokens": 142,
        "prompt_tokens_details": {"cached_tokens": 90}, "completion_tokens_details": {"reasoning_tokens": 12}});
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let whole = json!({"id": "chatcmpl-9", "object": "chat.completion", "created": 7, "model": "llama",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
            "content": "Größe: \"1\"\n", "reasoning_content": "Hm, so.",
            "tool_calls": [call("call_1", "weather", "{\"z\":1,\"a\":\"Köln\"}"), call("call_2", "now", "")]}}],
        "usage": usage});
    let chunk = |choices: Value, usage: Value| {
        json!({"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 7, "model": "llama",
            "choices": choices, "usage": usage})
    };
    let delta = |delta: Value| {
        chunk(
            json!([{"index": 0, "delta": delta, "finish_reason": null}]),
            Value::Null,
        )
    };
    let piece = |index: u64, arguments: &str| {
        delta(json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}))
    };
    let begin = |index: u64, id: &str, name: &str| {
        delta(
            json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": ""}}]}),
        )
    };
    let chunks = [
        json!({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}),
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"reasoning_content": "Hm, so."})),
        delta(json!({"content": "Größe: \"1\"\n"})),
        begin(0, "call_1", "weather"),
        begin(1, "call_2", "now"),
        piece(0, "{\"z\":1,"),
        piece(1, "{"),
        piece(0, "\"a\":\"Köln\"}"),
        piece(1, "}"),
        chunk(
            json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]),
            Value::Null,
        ),
        chunk(json!([]), usage),
        chunk(json!([]), Value::Null),
    ];
    let stream = chunks
        .iter()
        .flat_map(|c| format!("data: {c}\n\n").into_bytes());
    let stream: Vec<u8> = stream.chain(b"data: [DONE]\n\n".iter().copied()).collect();
    (whole, stream)
}

fn opening() -> Opening {
    Opening {
        id: "chatcmpl-made".into(),
        created: 1_700_000_000,
        model: "at-the-provider".into(),
        include_usage: true,
        estimated_input: 77,
        echo: None,
    }
}

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

pub fn streamed(route: Route, pieces: &[&[u8]]) -> (String, cf_base::Usage) {
    streamed_as(opening(), route, pieces)
}

/// The same, named by this.
pub fn streamed_as(opening: Opening, route: Route, pieces: &[&[u8]]) -> (String, cf_base::Usage) {
    let mut stream = route.stream(opening);
    let mut out = Vec::new();
    let mut done = false;
    for piece in pieces {
        if !done {
            stream.push(Bytes::copy_from_slice(piece)).unwrap();
            done = drain(&mut stream, &mut out);
        }
    }
    if !done {
        match stream.end() {
            StreamFrame::Done(bytes) => out.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
    let (usage, estimated) = stream.usage();
    assert!(!estimated);
    (String::from_utf8(out).unwrap(), usage)
}

/// Name, provider, model, and an answer, whole and streamed.
pub type Answer = (&'static str, Provider, &'static str, (Value, Vec<u8>));

pub fn answers() -> [Answer; 4] {
    [
        (
            "anthropic",
            Provider::Anthropic,
            "claude-sonnet-5",
            anthropic_answer(),
        ),
        ("gemini", Provider::Gemini, "gemini-3-pro", gemini_answer()),
        (
            "converse",
            Provider::Bedrock,
            "amazon.nova",
            converse_answer(),
        ),
        (
            "openai",
            Provider::OpenAiCompatible,
            "llama",
            openai_answer(),
        ),
    ]
}

#[test]
fn one_answer_of_every_provider_for_every_client() {
    let settings = Settings::default();
    for (name, provider, model, (whole, stream)) in answers() {
        for (client, dialect) in [
            ("openai", Dialect::OpenAi),
            ("anthropic", Dialect::Anthropic),
        ] {
            let route = place(provider, model, &settings).route(dialect);
            let (reply, body) = route.reply(Bytes::from(whole.to_string()), &opening());
            let Reply::Completion(plain_usage, false) = reply else {
                panic!("{name}: {reply:?}");
            };
            let text = lines(std::str::from_utf8(&body).unwrap());
            insta::assert_snapshot!(format!("reply_{name}_for_{client}"), text);
            let (text, usage) = streamed(route, &[&stream]);
            insta::assert_snapshot!(format!("stream_{name}_for_{client}"), text);
            assert_eq!(
                usage, plain_usage,
                "{name}: plain and streamed count the same"
            );
            assert_eq!(usage.prompt_tokens(), 100, "{name}");
            assert_eq!(usage.completion_tokens(), 42, "{name}");
        }
    }
}

#[test]
fn a_stream_split_at_every_byte_is_the_same_stream() {
    let settings = Settings::default();
    for (name, provider, model, (_, stream)) in answers() {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let route = place(provider, model, &settings).route(dialect);
            let whole = streamed(route, &[&stream]);
            for at in 0..=stream.len() {
                let (one, two) = stream.split_at(at);
                assert_eq!(streamed(route, &[one, two]), whole, "{name} split at {at}");
            }
        }
    }
}
