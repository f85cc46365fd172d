//! One request of each endpoint that is no chat, as every provider is sent it, and
//! what becomes of an answer of each. What is expected stands in `snapshots`.

use bytes::Bytes;
use cf_llm::{Answer, Form, Part, Place, Provider, Settings, Task, TaskRequest, Told, Wishes};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A place: what a test calls it, who it is, the model, settings.
type At = (&'static str, Provider, &'static str, &'static str);

const OPENAI: At = ("openai", Provider::OpenAi, "real", "{}");
const AZURE: At = ("azure", Provider::Azure, "my deployment", "{}");
const AZURE_DATED: At = (
    "azure_dated",
    Provider::Azure,
    "my deployment",
    r#"{"api_version":"2024-10-21"}"#,
);
const MISTRAL: At = ("mistral", Provider::Mistral, "mistral-x", "{}");
const COMPATIBLE: At = ("compatible", Provider::OpenAiCompatible, "real", "{}");
const ANTHROPIC: At = ("anthropic", Provider::Anthropic, "claude-sonnet-5", "{}");
const DEMO: At = ("demo", Provider::Demo, "demo", "{}");

fn all(more: &[At]) -> Vec<At> {
    let usual = [
        OPENAI,
        AZURE,
        AZURE_DATED,
        MISTRAL,
        COMPATIBLE,
        ANTHROPIC,
        DEMO,
    ];
    usual.into_iter().chain(more.iter().copied()).collect()
}

fn at<'a>(at: &At, settings: &'a Settings) -> Place<'a> {
    Place {
        provider: at.1,
        model: at.2,
        base_url: match at.1 {
            Provider::Azure => "https://r.example",
            Provider::OpenAiCompatible => "https://vllm.example/v1",
            _ => "",
        },
        region: "eu-central-1",
        settings,
        project: "project",
        has_plain_key: false,
    }
}

fn settings(at: &At) -> Settings {
    serde_json::from_str(at.3).expect("settings")
}

/// What a place is sent: addresses and bodies, or the error.
fn sent(request: &TaskRequest, to: &At) -> Value {
    let settings = settings(to);
    match request.plan(&at(to, &settings), &Wishes::default()) {
        Err(error) => json!({"refused": error.message}),
        Ok(plan) => plan
            .calls
            .iter()
            .map(|call| {
                let body: Value = serde_json::from_slice(&call.body)
                    .unwrap_or_else(|_| String::from_utf8_lossy(&call.body).into());
                json!({"url": call.url, "body": body})
            })
            .collect(),
    }
}

fn all_sent(request: &TaskRequest, more: &[At]) -> Value {
    let each = all(more).into_iter();
    each.map(|to| (to.0.to_owned(), sent(request, &to)))
        .collect()
}

fn ask(task: Task, body: &Value) -> TaskRequest {
    TaskRequest::json(task, Bytes::from(body.to_string())).expect("a request")
}

fn refused(task: Task, body: &Value) -> String {
    let error = TaskRequest::json(task, Bytes::from(body.to_string())).expect_err("a refusal");
    error.message.into_owned()
}

/// What a place's answers come to.
fn told(request: &TaskRequest, to: &At, answers: &[(&str, Value)]) -> Told {
    let settings = settings(to);
    let plan = request.plan(&at(to, &settings), &Wishes::default());
    let plan = plan.unwrap_or_else(|e| panic!("{}: {e}", to.0));
    let parts: Vec<(HeaderMap, Bytes)> = answers
        .iter()
        .map(|(tokens, body)| {
            let mut headers = HeaderMap::new();
            if !tokens.is_empty() {
                let tokens = HeaderValue::from_str(tokens).expect("a header");
                headers.insert("x-amzn-bedrock-input-token-count", tokens);
            }
            (headers, Bytes::from(body.to_string()))
        })
        .collect();
    let answers: Vec<Answer<'_>> = parts
        .iter()
        .map(|(headers, body)| Answer { headers, body })
        .collect();
    plan.reply(request, to.2, "id-1", 1_700_000_000, &answers)
        .unwrap_or_else(|| panic!("{}: an answer", to.0))
}

fn shown(told: &Told) -> Value {
    serde_json::from_slice(&told.body).expect("JSON")
}

const EMBEDDERS: [At; 9] = [
    ("gemini", Provider::Gemini, "gemini-embedding-001", "{}"),
    ("vertex", Provider::Vertex, "text-embedding-005", "{}"),
    ("vertex_one", Provider::Vertex, "gemini-embedding-001", "{}"),
    ("vertex_new", Provider::Vertex, "gemini-embedding-2", "{}"),
    ("vertex_claude", Provider::Vertex, "claude-sonnet-5", "{}"),
    (
        "titan",
        Provider::Bedrock,
        "amazon.titan-embed-text-v2:0",
        "{}",
    ),
    (
        "nova",
        Provider::Bedrock,
        "amazon.nova-2-multimodal-embeddings-v1:0",
        "{}",
    ),
    ("cohere", Provider::Bedrock, "eu.cohere.embed-v4:0", "{}"),
    (
        "bedrock_chat",
        Provider::Bedrock,
        "amazon.nova-lite-v1:0",
        "{}",
    ),
];

#[test]
fn embeddings_are_asked_of_everybody() {
    let request = ask(
        Task::Embeddings,
        &json!({"model": "public", "input": ["One", "Zwei"], "dimensions": 256,
            "encoding_format": "base64", "user": "u"}),
    );
    insta::assert_json_snapshot!(all_sent(&request, &EMBEDDERS));
}

#[test]
fn what_a_provider_cannot_do_with_texts_is_refused_or_left_out() {
    let tokens = ask(
        Task::Embeddings,
        &json!({"model": "public", "input": [[1, 2, 3], [4]]}),
    );
    for to in [MISTRAL, EMBEDDERS[0], EMBEDDERS[5]] {
        let why = sent(&tokens, &to)["refused"].to_string();
        assert!(why.contains("takes texts, not tokens"), "{why}");
    }
    let openai = sent(&tokens, &OPENAI);
    assert_eq!(openai[0]["body"]["input"], json!([[1, 2, 3], [4]]));
    let odd = json!({"model": "public", "input": "x", "late_chunking": true});
    let why = sent(&ask(Task::Embeddings, &odd), &EMBEDDERS[0])["refused"].to_string();
    assert!(why.contains("late_chunking"), "{why}");
    let mut dropping = odd;
    dropping["drop_params"] = true.into();
    let request = ask(Task::Embeddings, &dropping);
    let plan = settings(&EMBEDDERS[0]);
    let plan = request.plan(&at(&EMBEDDERS[0], &plan), &Wishes::default());
    assert_eq!(plan.expect("a plan").calls[0].dropped, ["late_chunking"]);
    // Our own field reaches nobody.
    assert_eq!(
        sent(&request, &COMPATIBLE)[0]["body"],
        json!({"model": "real", "input": "x", "late_chunking": true})
    );
    let many = json!({"model": "public", "input": vec!["x"; 101]});
    let why = sent(&ask(Task::Embeddings, &many), &EMBEDDERS[5])["refused"].to_string();
    assert!(why.contains("at most 100 at once"), "{why}");
}

#[test]
fn vectors_come_back_as_openai_gives_them() {
    let request = ask(
        Task::Embeddings,
        &json!({"model": "public", "input": ["One", "Zwei"]}),
    );
    let vectors = |told: &Told| {
        let body = shown(told);
        assert_eq!(body["object"], "list");
        assert_eq!(body["data"][1]["index"], 1);
        json!([
            body["data"][0]["embedding"],
            body["data"][1]["embedding"],
            body["usage"]
        ])
    };
    let expected = |tokens: u64| json!([[0.5, -1.0], [2.5e-7, 0.25], {"prompt_tokens": tokens, "total_tokens": tokens}]);
    let (a, b) = (json!([0.5, -1.0]), json!([2.5e-7, 0.25]));
    let gemini = json!({"embeddings": [{"values": a}, {"values": b}],
        "usageMetadata": {"promptTokenCount": 5}});
    let predict = |v: &[&Value]| -> Value {
        let each = v
            .iter()
            .map(|v| json!({"embeddings": {"values": v, "statistics": {"token_count": 3}}}));
        json!({"predictions": each.collect::<Vec<_>>()})
    };
    let embed =
        |v: &Value| json!({"embedding": {"values": v}, "usageMetadata": {"promptTokenCount": 4}});
    let titan = |v: &Value| json!({"embedding": v, "inputTextTokenCount": 2});
    let nova = |v: &Value| json!({"embeddings": [{"embeddingType": "TEXT", "embedding": v}]});
    for (to, answers, tokens) in [
        (0, vec![("", gemini)], 5),
        (1, vec![("", predict(&[&a, &b]))], 6),
        (2, vec![("", predict(&[&a])), ("", predict(&[&b]))], 6),
        (3, vec![("", embed(&a)), ("", embed(&b))], 8),
        (5, vec![("", titan(&a)), ("", titan(&b))], 4),
        (6, vec![("7", nova(&a)), ("3", nova(&b))], 10),
        (7, vec![("9", json!({"embeddings": {"float": [a, b]}}))], 9),
        (7, vec![("9", json!({"embeddings": [a, b]}))], 9),
    ] {
        let told = told(&request, &EMBEDDERS[to], &answers);
        assert_eq!(vectors(&told), expected(tokens), "{}", EMBEDDERS[to].0);
        assert_eq!(told.tokens.map(|t| t.input), Some(tokens));
    }
    // A count that one of the answers lacks is no count.
    let half = [("", titan(&a)), ("", json!({"embedding": b}))];
    assert_eq!(told(&request, &EMBEDDERS[5], &half).tokens, None);
}

#[test]
fn floats_are_made_into_base64_where_that_is_asked_for() {
    let request = ask(
        Task::Embeddings,
        &json!({"model": "public", "input": "One", "encoding_format": "base64"}),
    );
    let floats = json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 2},
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0, -2.5]}]});
    for to in [MISTRAL, COMPATIBLE, OPENAI] {
        let told = told(&request, &to, &[("", floats.clone())]);
        // 0x3f800000 and 0xc0200000, the least significant byte first.
        assert_eq!(shown(&told)["data"][0]["embedding"], "AACAPwAAIMA=");
        assert_eq!(told.tokens.map(|t| t.input), Some(2));
    }
    let ready = json!({"data": [{"embedding": "AACAPw=="}], "usage": {"prompt_tokens": 2}});
    let passed = told(&request, &OPENAI, &[("", ready.clone())]);
    assert_eq!(passed.body, ready.to_string());
}

#[test]
fn the_demo_provider_gives_the_same_vectors_for_the_same_text() {
    let vector = |input: Value| {
        let body = json!({"model": "demo", "input": input, "dimensions": 20});
        let told = ask(Task::Embeddings, &body)
            .demo("demo", "id")
            .expect("vectors");
        shown(&told)["data"].clone()
    };
    let two = vector(json!(["a", "b"]));
    assert_eq!(two[0]["embedding"], vector(json!("a"))[0]["embedding"]);
    assert_ne!(two[0]["embedding"], two[1]["embedding"]);
    assert_eq!(two[1]["embedding"].as_array().map(Vec::len), Some(20));
    assert_eq!(vector(json!([1, 2])).as_array().map(Vec::len), Some(1));
    let size: f64 = (two[0]["embedding"].as_array().expect("a list").iter())
        .map(|n| n.as_f64().expect("a number").powi(2))
        .sum();
    assert!((size - 1.0).abs() < 1e-4, "{size}");
}

const PAINTERS: [At; 7] = [
    ("gemini", Provider::Gemini, "gemini-2.5-flash-image", "{}"),
    ("imagen", Provider::Gemini, "imagen-4.0-generate-001", "{}"),
    (
        "vertex",
        Provider::Vertex,
        "imagen-4.0-fast-generate-001",
        "{}",
    ),
    ("canvas", Provider::Bedrock, "amazon.nova-canvas-v1:0", "{}"),
    (
        "stability",
        Provider::Bedrock,
        "stability.sd3-5-large-v1:0",
        "{}",
    ),
    (
        "core",
        Provider::Bedrock,
        "stability.stable-image-core-v1:1",
        "{}",
    ),
    (
        "bedrock_chat",
        Provider::Bedrock,
        "amazon.nova-lite-v1:0",
        "{}",
    ),
];

#[test]
fn pictures_are_asked_of_everybody() {
    let request = ask(
        Task::Images,
        &json!({"model": "public", "prompt": "A \"cat\"", "n": 2, "size": "1024x1024",
            "quality": "high", "background": "auto", "output_format": "png"}),
    );
    insta::assert_json_snapshot!(all_sent(&request, &PAINTERS));
    let wide = ask(
        Task::Images,
        &json!({"model": "public", "prompt": "x", "size": "1792x1024"}),
    );
    let why = sent(&wide, &PAINTERS[1])["refused"].to_string();
    assert!(why.contains("1:1, 3:4, 4:3, 9:16, 16:9"), "{why}");
    for (field, value) in [
        ("stream", json!(true)),
        ("response_format", json!("url")),
        ("style", json!("vivid")),
        ("output_format", json!("webp")),
    ] {
        let mut body = json!({"model": "public", "prompt": "x"});
        body[field] = value;
        let why = sent(&ask(Task::Images, &body), &PAINTERS[1])["refused"].to_string();
        assert!(why.contains(field), "{why}");
    }
}

#[test]
fn pictures_come_back_as_openai_gives_them() {
    let request = ask(
        Task::Images,
        &json!({"model": "public", "prompt": "A cat", "n": 2}),
    );
    let part = |data: &str| json!({"inlineData": {"mimeType": "image/png", "data": data}});
    let gemini = |data: &str| {
        json!({"candidates": [{"content": {"parts": [{"text": "Here"}, part(data)]},
            "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1300,
            "totalTokenCount": 1303,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}})
    };
    let answers = [("", gemini("aaaa")), ("", gemini("bbbb"))];
    let of_gemini = told(&request, &PAINTERS[0], &answers);
    assert_eq!(
        shown(&of_gemini),
        json!({"created": 1_700_000_000, "data": [{"b64_json": "aaaa"}, {"b64_json": "bbbb"}],
            "usage": {"input_tokens": 6, "output_tokens": 2600, "total_tokens": 2606,
            "input_tokens_details": {"text_tokens": 6, "image_tokens": 0}}})
    );
    let usage = of_gemini.tokens.expect("tokens");
    assert_eq!((usage.output, usage.extra.image_output), (20, 2580));
    let b64 = |data: &str| json!({"bytesBase64Encoded": data, "mimeType": "image/png"});
    let stability = |data: &str| json!({"seeds": [1], "finish_reasons": [null], "images": [data]});
    for (to, answers) in [
        (
            1,
            vec![("", json!({"predictions": [b64("aaaa"), b64("bbbb")]}))],
        ),
        (
            2,
            vec![("", json!({"predictions": [b64("aaaa"), b64("bbbb")]}))],
        ),
        (
            3,
            vec![("", json!({"images": ["aaaa", "bbbb"], "error": null}))],
        ),
        (4, vec![("", stability("aaaa")), ("", stability("bbbb"))]),
    ] {
        let told = told(&request, &PAINTERS[to], &answers);
        assert_eq!(
            shown(&told)["data"],
            json!([{"b64_json": "aaaa"}, {"b64_json": "bbbb"}])
        );
        assert_eq!((told.tokens, told.pieces.images), (None, 2));
    }
}

#[test]
fn a_picture_that_is_kept_back_is_a_refusal_and_costs_what_was_made() {
    let request = ask(
        Task::Images,
        &json!({"model": "public", "prompt": "A cat", "n": 2}),
    );
    let filtered = json!({"predictions": [{"raiFilteredReason": "Support codes: 1"}]});
    let blurred = json!({"images": ["x"], "finish_reasons": ["Filter reason: prompt"]});
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}});
    for (to, answers, why) in [
        (1, vec![("", filtered)], "Support codes: 1"),
        (
            4,
            vec![("", blurred.clone()), ("", blurred)],
            "Filter reason: prompt",
        ),
        (0, vec![("", blocked.clone()), ("", blocked)], "SAFETY"),
    ] {
        let told = told(&request, &PAINTERS[to], &answers);
        let body: Value =
            serde_json::from_slice(&told.refusal().expect("a refusal")).expect("JSON");
        assert_eq!(body["error"]["code"], "content_filter");
        assert!(body["error"]["message"].to_string().contains(why), "{body}");
        assert_eq!(told.pieces.images, 0);
    }
    // One of two is an answer.
    let one = json!({"predictions": [{"bytesBase64Encoded": "aaaa"}]});
    let told = told(&request, &PAINTERS[1], &[("", one)]);
    assert_eq!((told.refusal(), told.pieces.images), (None, 1));
}

#[test]
fn what_would_be_billed_by_another_price_is_no_picture_request() {
    for (body, word) in [
        (
            json!({"model": "m", "prompt": "x", "output_format": "svg"}),
            "svg",
        ),
        (
            json!({"model": "m", "prompt": "x", "svg": {"model": "gpt-5"}}),
            "svg",
        ),
        (json!({"model": "m", "prompt": "x", "n": 11}), "n is"),
        (
            json!({"model": "m", "prompt": "x", "n": 2, "stream": true}),
            "streamed",
        ),
        (
            json!({"model": "m", "prompt": "x", "size": "9000x9000"}),
            "size",
        ),
        (
            json!({"model": "m", "prompt": "x", "service_tier": "priority"}),
            "service_tier",
        ),
        (json!({"model": "m"}), "prompt"),
        (json!({"prompt": "x"}), "model"),
    ] {
        let why = refused(Task::Images, &body);
        assert!(why.contains(word), "{why}");
    }
}

fn form(texts: &[(&str, &str)], files: &[&str]) -> Form {
    let mut form = Form::new("BOUNDARY");
    let mut push = |name: &str, more: &str, data: &str| {
        let disposition = format!("form-data; name=\"{name}\"{more}");
        form.push(Part {
            name: name.into(),
            disposition: HeaderValue::from_str(&disposition).expect("a header"),
            content_type: None,
            is_file: !more.is_empty(),
            data: Bytes::copy_from_slice(data.as_bytes()),
        })
        .expect("a part");
    };
    texts.iter().for_each(|(name, text)| push(name, "", text));
    files
        .iter()
        .for_each(|name| push(name, "; filename=\"f\"", "DATA"));
    form
}

#[test]
fn recordings_and_pictures_are_sent_on_as_forms() {
    let texts = [
        ("model", "public"),
        ("response_format", "text"),
        ("language", "de"),
    ];
    let transcript = TaskRequest::form(Task::Transcription, form(&texts, &["file"]));
    let transcript = transcript.expect("a request");
    let translation = TaskRequest::form(Task::Translation, form(&texts[..1], &["file"]));
    let texts = [
        ("model", "public"),
        ("prompt", "Red"),
        ("drop_params", "true"),
    ];
    let edit = TaskRequest::form(
        Task::ImageEdits,
        form(&texts, &["image[]", "image[]", "mask"]),
    );
    insta::assert_json_snapshot!(json!({
        "transcription": all_sent(&transcript, &[PAINTERS[0]]),
        "translation": all_sent(&translation.expect("a request"), &[]),
        "edit": all_sent(&edit.expect("a request"), &[PAINTERS[3]]),
    }));
}

#[test]
fn a_transcript_is_passed_on_and_its_length_is_read() {
    let of = |format: &str| {
        let texts = [("model", "public"), ("response_format", format)];
        TaskRequest::form(Task::Transcription, form(&texts, &["file"])).expect("a request")
    };
    let answer = |request: &TaskRequest, body: &str| {
        let settings = settings(&OPENAI);
        let plan = request.plan(&at(&OPENAI, &settings), &Wishes::default());
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/vtt"));
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answers = [Answer {
            headers: &headers,
            body: &body,
        }];
        plan.expect("a plan").reply(request, "", "", 0, &answers)
    };
    let json = r#"{"text":"Hi", "usage":{"type":"duration","seconds":7}}"#;
    let passed = answer(&of("json"), json).expect("an answer");
    assert_eq!(
        (&*passed.body, passed.pieces.audio_seconds),
        (json.as_bytes(), 7)
    );
    let text = answer(&of("text"), json).expect("an answer");
    assert_eq!((&*text.body, text.pieces.audio_seconds), (&b"Hi\n"[..], 7));
    assert_eq!(
        text.content_type.as_deref(),
        Some("text/plain; charset=utf-8")
    );
    let verbose = r#"{"task":"transcribe","duration":3.2,"text":"Hi","segments":[]}"#;
    let verbose = answer(&of("verbose_json"), verbose).expect("an answer");
    assert_eq!(verbose.pieces.audio_seconds, 4);
    let vtt = "WEBVTT\n\n00:00.000 --> 00:02.500\nHi\n";
    let vtt = answer(&of("vtt"), vtt).expect("an answer");
    assert_eq!((vtt.pieces.audio_seconds, vtt.pieces_counted), (3, true));
    assert_eq!(vtt.content_type.as_deref(), Some("text/vtt"));
    let unsaid = answer(&of("json"), r#"{"text":"Hi"}"#).expect("an answer");
    assert!(!unsaid.pieces_counted);
    assert!(answer(&of("json"), "<html>").is_none());
    let mistral = r#"{"text":"Hi","usage":{"prompt_audio_seconds":12,"prompt_tokens":4,
        "completion_tokens":9,"total_tokens":388}}"#;
    let mistral = answer(&of("json"), mistral).expect("an answer");
    assert_eq!(mistral.pieces.audio_seconds, 12);
    assert_eq!(mistral.tokens.map(|t| t.output), Some(9));
}

#[test]
fn speech_moderations_and_ranks_are_asked_of_everybody() {
    let speech = ask(
        Task::Speech,
        &json!({"model": "public", "input": "Hallo", "voice": "alloy", "drop_params": true}),
    );
    let moderation = ask(
        Task::Moderation,
        &json!({"model": "public", "input": ["a", "b"]}),
    );
    let rerank = ask(
        Task::Rerank,
        &json!({"model": "public", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}),
    );
    let rankers = [
        ("cohere", Provider::Bedrock, "cohere.rerank-v3-5:0", "{}"),
        ("amazon", Provider::Bedrock, "amazon.rerank-v1:0", "{}"),
    ];
    let older = ("openai_tts_1", Provider::OpenAi, "tts-1", "{}");
    insta::assert_json_snapshot!(json!({
        "speech": all_sent(&speech, &[older, PAINTERS[0]]),
        "moderation": all_sent(&moderation, &[PAINTERS[0]]),
        "rerank": all_sent(&rerank, &rankers),
    }));
    // Mistral's sound is in JSON.
    let spoken = json!({"audio_data": "SUQz"});
    let heard = told(&speech, &MISTRAL, &[("", spoken)]);
    assert_eq!((&*heard.body, heard.pieces.characters), (&b"ID3"[..], 5));
    assert_eq!(heard.content_type.as_deref(), Some("audio/mpeg"));
    let shows = ask(
        Task::Rerank,
        &json!({"model": "public", "query": "q", "documents": ["a", {"text": "b"}],
            "return_documents": true}),
    );
    let ranks = json!({"results": [{"index": 1, "relevance_score": 0.93},
        {"index": 0, "relevance_score": 1e-5}]});
    let told = told(&shows, &rankers[0], &[("", ranks)]);
    assert_eq!(
        shown(&told),
        json!({"id": "id-1", "meta": {"billed_units": {"search_units": 1}}, "results": [
            {"index": 1, "relevance_score": 0.93, "document": {"text": "b"}},
            {"index": 0, "relevance_score": 1e-5, "document": {"text": "a"}}]})
    );
    assert_eq!((told.pieces.units, told.pieces_counted), (1, true));
}

#[test]
fn tokens_are_counted_by_whoever_has_claude() {
    let request = ask(
        Task::CountTokens,
        &json!({"model": "public", "system": "S", "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"name": "t", "input_schema": {"type": "object"}}]}),
    );
    let counters = [
        ("foundry", Provider::Azure, "claude-sonnet-5", "{}"),
        ("vertex_claude", Provider::Vertex, "claude-sonnet-5", "{}"),
        (
            "bedrock_claude",
            Provider::Bedrock,
            "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            "{}",
        ),
    ];
    let mut places: Value = counters
        .iter()
        .chain([&ANTHROPIC])
        .map(|to| (to.0.to_owned(), sent(&request, to)))
        .collect();
    // What Bedrock is given is the body of the call that is not made.
    let body = places["bedrock_claude"][0]["body"]["input"]["invokeModel"]["body"].take();
    let body = decode(body.as_str().expect("a text"));
    assert_eq!(
        serde_json::from_slice::<Value>(&body).expect("JSON"),
        json!({"max_tokens": 1, "system": "S", "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"name": "t", "input_schema": {"type": "object"}}],
            "anthropic_version": "bedrock-2023-05-31"})
    );
    insta::assert_json_snapshot!(places);
    for (to, answer) in [
        (&counters[0], json!({"input_tokens": 14})),
        (&counters[2], json!({"inputTokens": 14})),
    ] {
        let told = told(&request, to, &[("", answer)]);
        assert_eq!(shown(&told), json!({"input_tokens": 14}));
        assert_eq!(told.tokens, None);
    }
    for (to, counts) in [(OPENAI, false), (ANTHROPIC, true), (counters[2], true)] {
        let settings = settings(&to);
        assert_eq!(request.counts_at(&at(&to, &settings)), counts, "{}", to.0);
    }
    let estimated = request.estimated_count().expect("an estimate");
    assert!(
        shown(&estimated)["input_tokens"]
            .as_u64()
            .is_some_and(|n| n > 5)
    );
    let why = refused(Task::CountTokens, &json!({"model": "m", "messages": []}));
    assert!(why.contains("messages"), "{why}");
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64")
}

/// What was really sent to providers, and what they said; kept beside the
/// repository, see `recordings.rs`.
#[test]
fn recorded_embeddings_are_asked_for_and_read_as_they_were() {
    let Some(folder) = crate::recordings::folder() else {
        return;
    };
    let text = "Ruby is a programmer's best friend";
    for (name, to, input, dimensions, tokens) in [
        (
            "gemini/embeddings_batch_dimensions",
            ("", Provider::Gemini, "gemini-embedding-2", "{}"),
            text,
            Some(768),
            8,
        ),
        (
            "bedrock/invoke_embedding_nova",
            EMBEDDERS[6],
            text,
            Some(256),
            10,
        ),
        (
            "openai/embeddings_small",
            ("", Provider::OpenAi, "text-embedding-3-small", "{}"),
            "Test embedding",
            None,
            2,
        ),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect(name);
        let recording: Value = serde_json::from_str(&text).expect("JSON");
        let mut body = json!({"model": "public", "input": input});
        if let Some(dimensions) = dimensions {
            body["dimensions"] = json!(dimensions);
        }
        let request = ask(Task::Embeddings, &body);
        let sent = sent(&request, &to);
        let was = recording["request"]["body"].as_str().expect("a body");
        let was: Value = serde_json::from_str(was).expect("JSON");
        assert_eq!(sent[0]["body"], was, "{name}");
        let answer = recording["response"]["body"].as_str().expect("a body");
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        let header = &recording["response"]["headers"]["x-amzn-bedrock-input-token-count"];
        let counted = header.as_str().unwrap_or_default();
        let told = told(&request, &to, &[(counted, answer)]);
        assert_eq!(told.tokens.map(|t| t.input), Some(tokens), "{name}");
        let vector = shown(&told)["data"][0]["embedding"]
            .as_array()
            .map(Vec::len);
        assert_eq!(vector, Some(dimensions.unwrap_or(1536)), "{name}");
    }
}

/// JSON of all shapes, with the names that answers have.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z0-9=+/ ]{0,12}".prop_map(Value::from),
    ];
    const NAMES: [&str; 27] = [
        "data",
        "embedding",
        "embeddings",
        "values",
        "float",
        "predictions",
        "usage",
        "usageMetadata",
        "promptTokenCount",
        "totalTokenCount",
        "candidates",
        "content",
        "parts",
        "inlineData",
        "images",
        "finish_reasons",
        "results",
        "index",
        "relevance_score",
        "text",
        "duration",
        "seconds",
        "input_tokens",
        "output_tokens",
        "inputTokens",
        "meta",
        "billed_units",
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(&NAMES), inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_provider_answers_is_read_or_not(answer in anything(), more: Vec<u8>) {
        let requests = [
            ask(Task::Embeddings, &json!({"model": "m", "input": "x", "encoding_format": "base64"})),
            ask(Task::Images, &json!({"model": "m", "prompt": "x"})),
            ask(Task::Moderation, &json!({"model": "m", "input": "x"})),
            ask(Task::Rerank, &json!({"model": "m", "query": "q", "documents": ["d"],
                "return_documents": true})),
            ask(Task::CountTokens, &json!({"model": "m",
                "messages": [{"role": "user", "content": "x"}]})),
            TaskRequest::form(Task::Transcription, form(&[("model", "m")], &["file"])).expect("a form"),
        ];
        let rankers = ("", Provider::Bedrock, "cohere.rerank-v3-5:0", "{}");
        let places = all(&EMBEDDERS).into_iter().chain(PAINTERS).chain([rankers]);
        let headers = HeaderMap::new();
        let bodies = [Bytes::from(answer.to_string()), Bytes::from(more)];
        for to in places {
            let settings = settings(&to);
            for request in &requests {
                let Ok(plan) = request.plan(&at(&to, &settings), &Wishes::default()) else {
                    continue;
                };
                for body in &bodies {
                    let answers = [Answer { headers: &headers, body }];
                    if let Some(told) = plan.reply(request, "m", "id", 1, &answers) {
                        prop_assert!(told.tokens.is_none_or(|t| t.prompt_tokens() <= 1 << 44));
                    }
                }
            }
        }
    }

    #[test]
    fn whatever_a_client_sends_is_taken_or_refused(body in anything(), more: Vec<u8>) {
        let mut named = body.clone();
        if let Some(fields) = named.as_object_mut() {
            fields.insert("model".into(), "m".into());
            let some = fields.values().next().cloned().unwrap_or_default();
            for name in ["input", "prompt", "query", "documents", "messages", "dimensions", "n", "size"] {
                fields.insert(name.into(), some.clone());
            }
        }
        for task in [Task::Embeddings, Task::Images, Task::Speech, Task::Moderation, Task::Rerank,
            Task::CountTokens] {
            let bodies = [body.to_string().into(), named.to_string().into(), Bytes::from(more.clone())];
            for body in bodies {
                let Ok(request) = TaskRequest::json(task, body) else { continue };
                let settings = settings(&OPENAI);
                let place = at(&OPENAI, &settings);
                let bound = request.bound(&place, None, None);
                // Whatever is estimated was reserved.
                prop_assert!(request.estimate().prompt_tokens() <= bound.input.max(1));
            }
        }
    }
}
