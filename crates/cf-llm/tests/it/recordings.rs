//! Exchanges recorded with real providers. They are kept beside the repository,
//! not in it: where they are missing the tests say so and, in CI, fail.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use cf_base::{Kind, Timestamp, Usage};
use cf_llm::{Frame, Provider, Reply, SseDecoder, SseEvent, StreamTap, parse_failure, parse_reply};
use http::{HeaderMap, HeaderName};
use serde_json::Value;

/// Input, cache read, cache write, audio in, output, reasoning.
type Counters = [u64; 6];

/// Recording, provider, and what it says was used; none where it says nothing.
const USED: [(&str, Provider, Option<Counters>); 26] = [
    (
        "openai/chat_cache_read_after_write",
        Provider::OpenAi,
        Some([8, 4012, 0, 0, 4, 0]),
    ),
    (
        "openai/chat_cache_write_tokens",
        Provider::OpenAi,
        Some([8, 0, 4012, 0, 4, 0]),
    ),
    (
        "openai/chat_cached_tokens",
        Provider::OpenAi,
        Some([125, 1024, 0, 0, 353, 0]),
    ),
    (
        "openai/chat_input_audio",
        Provider::OpenAi,
        Some([20, 0, 0, 44, 9, 0]),
    ),
    (
        "openai/chat_parallel_tool_calls",
        Provider::OpenAi,
        Some([67, 0, 0, 0, 47, 0]),
    ),
    (
        "openai/chat_service_tier_priority",
        Provider::OpenAi,
        Some([8, 0, 0, 0, 82, 64]),
    ),
    (
        "openai/chat_stream_chunk_after_usage",
        Provider::OpenAi,
        Some([13, 0, 0, 0, 11, 0]),
    ),
    ("openai/chat_stream_no_usage", Provider::OpenAi, None),
    (
        "azure/deployment_reasoning_gpt5nano",
        Provider::Azure,
        Some([11, 0, 0, 0, 203, 192]),
    ),
    (
        "azure/models_stream_gpt5nano_usage_chunk",
        Provider::Azure,
        Some([50, 0, 0, 0, 4350, 4160]),
    ),
    (
        "azure/models_stream_tool_call_usage",
        Provider::Azure,
        Some([46, 159, 0, 0, 18, 0]),
    ),
    (
        "azure/models_tools_parallel",
        Provider::Azure,
        Some([60, 159, 0, 0, 45, 0]),
    ),
    (
        "compat/deepseek_reasoning_content",
        Provider::OpenAiCompatible,
        Some([97, 0, 0, 0, 17, 15]),
    ),
    (
        "compat/deepseek_stream_usage_in_finish_chunk",
        Provider::OpenAiCompatible,
        Some([67, 384, 0, 0, 21, 0]),
    ),
    (
        "compat/groq_stream_x_groq_usage",
        Provider::OpenAiCompatible,
        Some([18, 0, 0, 0, 73, 0]),
    ),
    (
        "compat/openrouter_reasoning_details",
        Provider::OpenAiCompatible,
        Some([626, 0, 0, 0, 113, 61]),
    ),
    (
        "compat/openrouter_stream_cost",
        Provider::OpenAiCompatible,
        Some([748, 0, 0, 0, 64, 0]),
    ),
    (
        "compat/vllm_stream_no_usage",
        Provider::OpenAiCompatible,
        None,
    ),
    (
        "gemini/openai_compat_tool_call_without_id",
        Provider::OpenAiCompatible,
        Some([35, 0, 0, 0, 74, 0]),
    ),
    (
        "mistral/chat_basic",
        Provider::Mistral,
        Some([25, 0, 0, 0, 141, 0]),
    ),
    (
        "mistral/image_data_url",
        Provider::Mistral,
        Some([41, 0, 0, 0, 44, 0]),
    ),
    (
        "mistral/json_schema",
        Provider::Mistral,
        Some([8, 0, 0, 0, 14, 0]),
    ),
    (
        "mistral/reasoning_content_array",
        Provider::Mistral,
        Some([31, 0, 0, 0, 66, 0]),
    ),
    (
        "mistral/stream_after_tool_result",
        Provider::Mistral,
        Some([30, 192, 0, 0, 43, 0]),
    ),
    (
        "mistral/stream_reasoning_content_array",
        Provider::Mistral,
        Some([31, 0, 0, 0, 66, 0]),
    ),
    (
        "mistral/stream_tool_call_cached",
        Provider::Mistral,
        Some([31, 128, 0, 0, 28, 0]),
    ),
];

/// Recording, the kind of our answer, whether another deployment may do better,
/// the code that the client sees.
const REFUSED: [(&str, Kind, bool, Option<&str>); 10] = [
    (
        "openai/error_400_context_length_responses",
        INVALID,
        false,
        Some("context_length_exceeded"),
    ),
    (
        "openai/error_400_temperature_responses",
        INVALID,
        false,
        Some("decimal_below_min_value"),
    ),
    (
        "openai/error_401_bad_key",
        Kind::Upstream { status: 502 },
        true,
        None,
    ),
    (
        "openai/error_404_model_not_found",
        Kind::Upstream { status: 502 },
        true,
        None,
    ),
    (
        "azure/error_401_bad_key",
        Kind::Upstream { status: 502 },
        true,
        None,
    ),
    (
        "azure/error_404_deployment_not_found",
        Kind::Upstream { status: 502 },
        true,
        None,
    ),
    (
        "azure/quoted_error_400_content_filter",
        INVALID,
        false,
        Some("content_filter"),
    ),
    (
        "compat/deepseek_error_400_context_length",
        INVALID,
        false,
        Some("context_length_exceeded"),
    ),
    (
        "compat/groq_error_400_tool_use_failed",
        INVALID,
        false,
        Some("tool_use_failed"),
    ),
    (
        "compat/ollama_cloud_error_400_context_length",
        INVALID,
        false,
        Some("context_length_exceeded"),
    ),
];
const INVALID: Kind = Kind::Invalid { field: None };

pub fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recordings");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var("CI").is_err(),
        "the recordings are not at {}",
        folder.display()
    );
    eprintln!(
        "SKIPPED: no recordings of providers at {}",
        folder.display()
    );
    None
}

struct Recording {
    stream: bool,
    status: u16,
    headers: HeaderMap,
    body: String,
}

fn parse(recording: &Recording, body: &[u8], secret: &str) -> cf_llm::UpstreamFailure {
    let now = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
    let (status, headers) = (recording.status, &recording.headers);
    parse_failure(Provider::OpenAi, status, headers, body, secret, now)
}

fn read(folder: &Path, name: &str) -> Recording {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json")))
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let json: Value = serde_json::from_str(&text).unwrap();
    Recording {
        stream: json["stream"] == true,
        status: json["response"]["status"]
            .as_u64()
            .unwrap()
            .try_into()
            .unwrap(),
        headers: headers(&json["response"]["headers"]),
        body: json["response"]["body"].as_str().unwrap().to_owned(),
    }
}

/// A repeated header stands there as a list; the first counts.
pub fn headers(json: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in json.as_object().into_iter().flatten() {
        let value = value.as_str().or_else(|| value[0].as_str());
        if let (Ok(name), Some(Ok(value))) = (name.parse::<HeaderName>(), value.map(str::parse)) {
            headers.insert(name, value);
        }
    }
    headers
}

fn events(body: &[u8], piece: usize) -> Vec<SseEvent> {
    let mut decoder = SseDecoder::default();
    let mut events = Vec::new();
    for piece in body.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece)).unwrap();
        while let Some(event) = decoder.next_event() {
            events.push(event);
        }
    }
    events.extend(decoder.rest());
    events
}

/// The usage of a recording and whether it is an estimate, with 1 for the prompt.
fn used(recording: &Recording, provider: Provider) -> (Usage, bool) {
    if !recording.stream {
        return match parse_reply(provider, recording.body.as_bytes(), 1) {
            Reply::Completion(usage, estimated) => (usage, estimated),
            other => panic!("{other:?}"),
        };
    }
    let mut tap = StreamTap::new(true);
    let mut last = Frame::Pass;
    for event in events(recording.body.as_bytes(), usize::MAX) {
        last = tap.event(&event);
    }
    assert_eq!(last, Frame::Done);
    tap.usage(provider, 1)
}

#[test]
fn usage_is_read_as_each_provider_counts_it() {
    let Some(folder) = folder() else { return };
    for (name, provider, expected) in USED {
        let (usage, estimated) = used(&read(&folder, name), provider);
        let counters = [
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.audio_input,
            usage.output,
            usage.reasoning,
        ];
        match expected {
            Some(expected) => assert_eq!((counters, estimated), (expected, false), "{name}"),
            None => {
                assert!(
                    estimated && usage.input == 1 && usage.output > 0,
                    "{name}: {usage:?}"
                );
            }
        }
    }
}

#[test]
fn streams_are_the_same_in_any_pieces() {
    let Some(folder) = folder() else { return };
    for (name, ..) in USED {
        let recording = read(&folder, name);
        if !recording.stream {
            continue;
        }
        let body = recording.body.as_bytes();
        let whole = events(body, usize::MAX);
        let raw: Vec<u8> = whole.iter().flat_map(|e| e.raw.to_vec()).collect();
        assert_eq!(raw, body, "{name}: no byte is lost");
        for piece in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(events(body, piece), whole, "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn usage_that_was_not_asked_for_is_kept_from_the_client() {
    let Some(folder) = folder() else { return };
    let recording = read(&folder, "openai/chat_stream_chunk_after_usage");
    let mut tap = StreamTap::new(true);
    let frames: Vec<Frame> = events(recording.body.as_bytes(), usize::MAX)
        .iter()
        .map(|e| tap.event(e))
        .collect();
    assert_eq!(frames.iter().filter(|f| **f == Frame::Strip).count(), 1);
    // Usage beside an answer cannot be kept without the answer.
    let recording = read(&folder, "mistral/stream_tool_call_cached");
    let mut tap = StreamTap::new(true);
    for event in events(recording.body.as_bytes(), usize::MAX) {
        assert_ne!(tap.event(&event), Frame::Strip);
    }
}

#[test]
fn an_error_in_the_midst_of_a_stream_is_seen() {
    let Some(folder) = folder() else { return };
    let recording = read(&folder, "compat/groq_stream_error_mid_stream");
    let mut tap = StreamTap::new(true);
    let frames: Vec<Frame> = events(recording.body.as_bytes(), usize::MAX)
        .iter()
        .map(|e| tap.event(e))
        .collect();
    assert!(frames.contains(&Frame::Failed) && !frames.contains(&Frame::Done));
    let (usage, estimated) = tap.usage(Provider::OpenAiCompatible, 1);
    assert!(estimated && usage.output > 0, "{usage:?}");
}

#[test]
fn refusals_are_told_apart() {
    let Some(folder) = folder() else { return };
    for (name, kind, retryable, code) in REFUSED {
        let recording = read(&folder, name);
        let body = recording.body.as_bytes();
        let failure = parse(&recording, body, "sk-fake-key");
        match (&failure.error.kind, &kind) {
            (Kind::Invalid { .. }, Kind::Invalid { .. }) => {}
            (found, expected) => assert_eq!(found, expected, "{name}"),
        }
        assert_eq!(failure.retryable, retryable, "{name}");
        assert_eq!(failure.code.as_deref(), code, "{name}");
        assert!(!failure.error.message.contains("sk-fake-key"), "{name}");
    }
}

#[test]
fn trap_25_and_30_a_wait_is_told_and_what_no_wait_cures_is_not_one() {
    let Some(folder) = folder() else { return };
    let failed = |name| {
        let recording = read(&folder, name);
        parse(&recording, recording.body.as_bytes(), "")
    };
    for (name, seconds) in [
        ("azure/error_429_rate_limit", 1),
        ("azure/quoted_error_429_tpm", 86_400),
    ] {
        let retry_after = std::time::Duration::from_secs(seconds);
        assert_eq!(
            failed(name).error.kind,
            Kind::RateLimited { retry_after },
            "{name}"
        );
    }
    let too_large = failed("openai/quoted_error_429_request_too_large");
    assert_eq!(too_large.error.kind, Kind::TooLarge);
}
