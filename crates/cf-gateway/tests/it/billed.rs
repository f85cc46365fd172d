//! Recorded exchanges with real providers, billed by the price book: a table that
//! was worked out by hand says what each must cost. The recordings are kept beside
//! the repository, not in it: where they are missing the tests say so and, in CI,
//! fail.

use std::path::{Path, PathBuf};

use cf_base::{Clock, ExchangeRate, Nanos, PicoUsd, Random, Timestamp, Usage, parse_decimal_nanos};
use cf_ledger::Ledger;
use cf_llm::{
    AnthropicCounter, BedrockCounter, Counted, GeminiCounter, Provider, Reply, ResponsesCounter,
    SseDecoder, StreamTap, embedding_usage, parse_reply,
};
use serde_json::Value;

const TABLE: &str = include_str!("../billed.tsv");
/// Recordings of the same answer, plain and streamed.
const PAIRS: [(&str, &str); 1] = [(
    "mistral/reasoning_content_array",
    "mistral/stream_reasoning_content_array",
)];

/// A line of the table.
struct Expected {
    recording: &'static str,
    reader: &'static str,
    provider: &'static str,
    model: &'static str,
    cost: PicoUsd,
}

fn table() -> Vec<Expected> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [recording, reader, provider, model, usd, _how] = columns[..] else {
                panic!("six columns: {line}");
            };
            // Dollars × 10³ × 10⁹ = 10⁻¹² dollars.
            let cost = parse_decimal_nanos(&format!("{usd}e3")).expect(usd);
            Expected {
                recording,
                reader,
                provider,
                model,
                cost: PicoUsd(cost.into()),
            }
        })
        .collect()
}

fn folder() -> Option<PathBuf> {
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

fn read(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json")))
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_json::from_str(&text).unwrap()
}

/// The data of the events of a stream.
fn events(recording: &Value) -> Vec<Vec<u8>> {
    if let Some(frames) = recording["response"]["frames_decoded"].as_array() {
        let payloads = frames.iter().map(|f| f["payload"].to_string().into_bytes());
        return payloads.collect();
    }
    let body = recording["response"]["body"].as_str().unwrap();
    let mut decoder = SseDecoder::default();
    decoder
        .push(bytes::Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    let mut found = Vec::new();
    while let Some(event) = decoder.next_event().or_else(|| decoder.rest()) {
        found.push(event.data.to_vec());
    }
    found
}

fn chat(recording: &Value, provider: Provider) -> Counted {
    let body = recording["response"]["body"].as_str().unwrap();
    let (usage, estimated) = if recording["stream"] == true {
        let mut tap = StreamTap::new(false);
        let mut decoder = SseDecoder::default();
        decoder
            .push(bytes::Bytes::copy_from_slice(body.as_bytes()))
            .unwrap();
        while let Some(event) = decoder.next_event().or_else(|| decoder.rest()) {
            tap.event(&event);
        }
        tap.usage(provider, 0)
    } else {
        match parse_reply(provider, body.as_bytes(), 0) {
            Reply::Completion(usage, estimated) => (usage, estimated),
            other => panic!("{other:?}"),
        }
    };
    Counted {
        usage,
        others: Vec::new(),
        complete: !estimated,
    }
}

/// What a recording says was used, by the reader of its format.
fn counted(recording: &Value, reader: &str, provider: &str) -> Option<Counted> {
    /// Feeds a stream's events, or the whole answer.
    macro_rules! listen {
        ($counter:ident) => {{
            // A list of chunks is no stream of events.
            let body = recording["response"]["body"].as_str();
            if recording["stream"] == true && body.is_none_or(|b| !b.starts_with('[')) {
                let mut counter = $counter::default();
                events(recording)
                    .iter()
                    .for_each(|event| counter.event(event));
                counter.counted()
            } else {
                $counter::body(body.unwrap().as_bytes())
            }
        }};
    }
    match reader {
        "chat" => Some(chat(recording, Provider::find(provider).unwrap())),
        "anthropic" => listen!(AnthropicCounter),
        "gemini" => listen!(GeminiCounter),
        "bedrock" => listen!(BedrockCounter),
        "responses" => listen!(ResponsesCounter),
        "embedding" => embedding_usage(recording["response"]["body"].as_str().unwrap().as_bytes()),
        "headers" => {
            let mut headers = http::HeaderMap::new();
            for (name, value) in recording["response"]["headers"].as_object().unwrap() {
                if let (Ok(name), Some(value)) = (http::HeaderName::try_from(name), value.as_str())
                {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            BedrockCounter::headers(&headers)
        }
        other => panic!("no reader {other}"),
    }
}

async fn ledger() -> (Ledger, cf_testkit::TestDb) {
    let clock = Clock::mock(Timestamp::parse("2026-11-24 12:00:00Z").unwrap());
    let test_db = cf_testkit::databases().await.remove(0);
    let ledger = Ledger::start(test_db.db.clone(), clock, Random::seeded(1)).await;
    (ledger.unwrap(), test_db)
}

#[tokio::test]
async fn recorded_answers_cost_what_was_worked_out_by_hand() {
    let Some(folder) = folder() else { return };
    let (ledger, _db) = ledger().await;
    let table = table();
    assert!(table.len() >= 60, "{} recordings", table.len());
    let mut wrong = Vec::new();
    for line in &table {
        let recording = read(&folder, line.recording);
        let Some(counted) = counted(&recording, line.reader, line.provider) else {
            wrong.push(format!("{}: nothing was read", line.recording));
            continue;
        };
        assert!(counted.complete, "{}", line.recording);
        let cost = |model: &str, usage: &Usage| {
            let price = ledger.book_price(line.provider, model, "");
            price
                .unwrap_or_else(|| panic!("{model} has no price"))
                .provider_cost(usage)
        };
        let mut sum = cost(line.model, &counted.usage);
        for (model, usage) in &counted.others {
            sum += cost(model, usage);
        }
        if sum != line.cost {
            wrong.push(format!(
                "{}: {} instead of {} pico-dollars, {counted:?}",
                line.recording, sum.0, line.cost.0
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_stream_costs_what_the_same_answer_costs_in_one_piece() {
    let Some(folder) = folder() else { return };
    let (ledger, _db) = ledger().await;
    for (plain, streamed) in PAIRS {
        let cost = |name: &str| -> Nanos {
            let line = table().into_iter().find(|l| l.recording == name).unwrap();
            let recording = read(&folder, name);
            assert_eq!(recording["stream"] == true, name == streamed);
            let counted = counted(&recording, line.reader, line.provider).unwrap();
            let price = ledger.book_price(line.provider, line.model, "").unwrap();
            price.charge(&counted.usage, ExchangeRate::ONE)
        };
        assert_eq!(cost(plain), cost(streamed), "{plain}");
    }
}

/// The readers take what a stream says at its end and what a whole answer says for
/// the same: every plain recording is told again as the stream it could have been.
#[tokio::test]
async fn a_plain_answer_told_as_a_stream_counts_the_same() {
    let Some(folder) = folder() else { return };
    let mut told = 0;
    for line in table() {
        let recording = read(&folder, line.recording);
        let Some(body) = recording["response"]["body"].as_str() else {
            continue;
        };
        let Ok(answer) = serde_json::from_str::<Value>(body) else {
            continue;
        };
        let frames = match line.reader {
            "anthropic" => {
                let mut start = answer.clone();
                start["usage"]["output_tokens"] = 1.into();
                let end = serde_json::json!({"type": "message_delta",
                    "usage": {"output_tokens": answer["usage"]["output_tokens"],
                        "output_tokens_details": answer["usage"]["output_tokens_details"]}});
                vec![
                    serde_json::json!({"type": "message_start", "message": start}),
                    end,
                ]
            }
            "responses" => vec![
                serde_json::json!({"type": "response.created", "response": {"usage": null}}),
                serde_json::json!({"type": "response.completed", "response": answer}),
            ],
            "bedrock" => vec![
                serde_json::json!({"stopReason": "end_turn"}),
                serde_json::json!({"metrics": {}, "usage": answer["usage"]}),
            ],
            "gemini" if answer.is_object() => {
                let mut early = answer.clone();
                early["usageMetadata"]["candidatesTokenCount"] = 1.into();
                vec![early, answer.clone()]
            }
            "chat" => {
                let mut end = answer.clone();
                end["choices"] = Value::Array(vec![]);
                vec![end]
            }
            _ => continue,
        };
        let text: String = frames.iter().map(|f| format!("data: {f}\n\n")).collect();
        let mut stream = recording.clone();
        stream["stream"] = true.into();
        stream["response"]["body"] = text.into();
        let (whole, streamed) = (
            counted(&recording, line.reader, line.provider).unwrap(),
            counted(&stream, line.reader, line.provider).unwrap(),
        );
        assert_eq!(whole, streamed, "{}", line.recording);
        told += 1;
    }
    assert!(told >= 30, "{told}");
}
