//! What one event of a stream costs on its way from each provider to each kind of client: taken apart, looked
//! at for usage, and translated where the two speak different dialects. `cargo xtask bench router` runs it,
//! and so does `cargo bench -p cf-llm`.

use std::fmt;

use bytes::Bytes;
use cf_llm::{ChatStream, Dialect, Opening, Place, Provider, Settings, StreamFrame};
use cf_testkit::aws_message;
use divan::{Bencher, black_box};
use serde_json::{Value, json};

fn main() {
    divan::main();
}

const WORD: &str = " weather";

/// From whom to whom.
struct Case {
    name: String,
    /// As a provider begins its answer.
    opening: Vec<Bytes>,
    /// One word of it, which comes again and again.
    word: Bytes,
    route: cf_llm::Route,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Case {
    /// A stream that has begun.
    fn stream(&self) -> ChatStream {
        let mut stream = self.route.stream(Opening {
            id: "chatcmpl-made".into(),
            created: 1_700_000_000,
            model: "at-the-provider".into(),
            include_usage: true,
            estimated_input: 77,
            echo: None,
        });
        for event in &self.opening {
            pass(&mut stream, event);
        }
        assert!(
            pass(&mut stream, &self.word) > WORD.len(),
            "{self}: the word does not reach the client"
        );
        stream
    }
}

/// Sends an event through; returns how many bytes come out for the client.
fn pass(stream: &mut ChatStream, event: &Bytes) -> usize {
    stream.push(event.clone()).expect("a small event");
    let mut bytes = 0;
    while let Some(frame) = stream.next_frame().expect("a whole event") {
        match black_box(frame) {
            StreamFrame::Pass(out) => bytes += out.len(),
            other => panic!("the stream does not go on: {other:?}"),
        }
    }
    bytes
}

#[divan::bench(args = cases())]
fn event(bencher: Bencher<'_, '_>, case: &Case) {
    let mut stream = case.stream();
    bencher.bench_local(|| pass(&mut stream, &case.word));
}

fn cases() -> Vec<Case> {
    let chat = openai_chat as fn() -> Answer;
    let providers = [
        ("OpenAI", Provider::OpenAi, "gpt-5", chat),
        ("Azure", Provider::Azure, "deployment", chat),
        ("Mistral", Provider::Mistral, "mistral-large", chat),
        ("compatible", Provider::OpenAiCompatible, "llama", chat),
        ("Anthropic", Provider::Anthropic, "claude-sonnet-5", claude),
        (
            "Vertex, Claude",
            Provider::Vertex,
            "claude-sonnet-5",
            claude,
        ),
        ("Gemini", Provider::Gemini, "gemini-3-pro", gemini),
        ("Vertex, Gemini", Provider::Vertex, "gemini-3-pro", gemini),
        (
            "Bedrock, Converse",
            Provider::Bedrock,
            "amazon.nova",
            converse,
        ),
        (
            "Bedrock, Invoke",
            Provider::Bedrock,
            "anthropic.claude",
            invoke,
        ),
    ];
    let clients = [
        ("chat completions", Dialect::OpenAi),
        ("Responses", Dialect::Responses),
        ("Messages", Dialect::Anthropic),
    ];
    let settings = Settings::default();
    let invoking = Settings {
        api: "invoke".into(),
        ..Settings::default()
    };
    let mut cases = Vec::new();
    for (provider, kind, model, answer) in providers {
        for (client, dialect) in clients {
            let place = Place {
                provider: kind,
                model,
                base_url: "https://provider.example",
                region: "eu-central-1",
                settings: if provider.ends_with("Invoke") {
                    &invoking
                } else {
                    &settings
                },
                project: "project",
                has_plain_key: false,
            };
            let route = place.route(dialect);
            // These two have Responses of their own, which pass as they are.
            let native = dialect == Dialect::Responses && route.is_same_dialect();
            let (opening, word) = if native { native_responses() } else { answer() };
            let way = if route.is_same_dialect() {
                "passed"
            } else {
                "translated"
            };
            cases.push(Case {
                name: format!("{provider} to {client}, {way}"),
                opening,
                word,
                route,
            });
        }
    }
    cases
}

/// How an answer begins, and a word of it.
type Answer = (Vec<Bytes>, Bytes);

fn sse(data: &Value) -> Bytes {
    Bytes::from(match data["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    })
}

fn openai_chat() -> Answer {
    let chunk = |delta: Value| {
        sse(
            &json!({"id": "chatcmpl-C1a2b3c4d5e6f7g8h9i0j1k2l3m4n", "object": "chat.completion.chunk",
            "created": 1_760_000_000, "model": "the-model-2026-01-01", "service_tier": "default",
            "system_fingerprint": "fp_1a2b3c4d5e",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}],
            "usage": null, "obfuscation": "1a2b3c4d"}),
        )
    };
    (
        vec![chunk(json!({"role": "assistant", "content": ""}))],
        chunk(json!({"content": WORD})),
    )
}

fn native_responses() -> Answer {
    let item = "msg_1a2b3c4d5e6f7g8h9i0j1k2l3m4n5o6p";
    let response = json!({"id": "resp_1a2b3c4d5e6f7g8h", "object": "response", "created_at": 1_760_000_000,
        "status": "in_progress", "model": "the-model", "output": [], "usage": null});
    let opening = [
        json!({"type": "response.created", "sequence_number": 0, "response": response}),
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
            "item": {"id": item, "type": "message", "status": "in_progress", "role": "assistant", "content": []}}),
        json!({"type": "response.content_part.added", "sequence_number": 2, "item_id": item, "output_index": 0,
            "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}}),
    ];
    let word = json!({"type": "response.output_text.delta", "sequence_number": 3, "item_id": item,
        "output_index": 0, "content_index": 0, "delta": WORD, "logprobs": [], "obfuscation": "1a2b3c4d"});
    (opening.iter().map(sse).collect(), sse(&word))
}

fn claude_events() -> ([Value; 2], Value) {
    let opening = [
        json!({"type": "message_start", "message": {"id": "msg_01A2b3C4d5E6f7G8h9", "type": "message",
            "role": "assistant", "model": "claude-sonnet-5", "content": [], "stop_reason": null,
            "usage": {"input_tokens": 100, "cache_read_input_tokens": 0, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ];
    let word = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORD}});
    (opening, word)
}

fn claude() -> Answer {
    let (opening, word) = claude_events();
    (opening.iter().map(sse).collect(), sse(&word))
}

/// The same, each event in Base64 in AWS's framing.
fn invoke() -> Answer {
    use base64::Engine as _;
    let chunk = |event: &Value| {
        let bytes = base64::engine::general_purpose::STANDARD.encode(event.to_string());
        let payload = json!({"bytes": bytes, "p": "abcdefghijklm"});
        aws_message("chunk", payload.to_string().as_bytes())
    };
    let (opening, word) = claude_events();
    (opening.iter().map(chunk).collect(), chunk(&word))
}

fn converse() -> Answer {
    let message = |kind, payload: Value| aws_message(kind, payload.to_string().as_bytes());
    let opening = vec![message(
        "messageStart",
        json!({"role": "assistant", "p": "abcdefghijklm"}),
    )];
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": WORD}, "p": "abcdefghijklm"});
    (opening, message("contentBlockDelta", delta))
}

fn gemini() -> Answer {
    let chunk = |text: &str| {
        sse(
            &json!({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 12, "totalTokenCount": 124,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}], "thoughtsTokenCount": 12},
            "modelVersion": "gemini-3-pro", "responseId": "1a2b3c4d5e6f7g8h9i0j1k"}),
        )
    };
    (vec![chunk("The")], chunk(WORD))
}
