//! Calls that are no chats: what each costs, worked out by hand, and what becomes
//! of one that does not go well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Kind, Nanos, RequestId, Result, TenantId};
use cf_gateway::{Form, GatewayBody, Part, Task, TaskRequest, Wishes};
use cf_testkit::{MockUpstream, Reply, Step};
use http::{HeaderValue, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::fixture::{Fixture, header, nanos, text};

/// The model `public` at a provider, billed by the price book.
async fn at(f: &Fixture, provider: &str, model: &str, upstream: &MockUpstream) {
    let secret = match provider {
        "bedrock" => "AKIDEXAMPLEEXAMPLE:wJalrXUtnFEMI/K7MDENG",
        _ => crate::fixture::SECRET,
    };
    let settings = json!({"region": if provider == "bedrock" { "us-east-1" } else { "" }});
    let base = upstream.base_url();
    let base = base.trim_end_matches("/v1");
    let base = match provider {
        "openai" | "mistral" | "openai_compatible" => upstream.base_url(),
        _ => base.to_owned(),
    };
    let key = f.key_with(provider, &base, "", secret, settings).await;
    let deployments = json!([{"provider_key": key, "model": model}]);
    f.model(
        "public",
        deployments,
        json!({"prices": {}, "max_output_tokens": 0}),
    )
    .await;
}

/// The same with prices of the operator's.
async fn priced(f: &Fixture, upstream: &MockUpstream, prices: Value) {
    let key = f.key("openai_compatible", &upstream.base_url(), "").await;
    let deployments = json!([{"provider_key": key, "model": "real"}]);
    f.model(
        "public",
        deployments,
        json!({"prices": prices, "max_output_tokens": 0}),
    )
    .await;
}

async fn ask(f: &Fixture, task: Task, body: Value) -> Result<Response<GatewayBody>> {
    let request = TaskRequest::json(task, Bytes::from(body.to_string()))?;
    send(f, request).await
}

async fn send(f: &Fixture, request: TaskRequest) -> Result<Response<GatewayBody>> {
    let id = RequestId::new(f.clock.now(), &f.random);
    let caller = Arc::clone(&f.caller);
    f.gateway.task(Wishes::default(), caller, request, id).await
}

fn form(texts: &[(&str, &str)], file: (&str, &[u8])) -> Form {
    let mut form = Form::new("BOUNDARY");
    let mut push = |name: &str, is_file: bool, data: &[u8]| {
        let more = if is_file { "; filename=\"a\"" } else { "" };
        let disposition = format!("form-data; name=\"{name}\"{more}");
        let part = Part {
            name: name.into(),
            disposition: HeaderValue::from_str(&disposition).unwrap(),
            content_type: None,
            is_file,
            data: Bytes::copy_from_slice(data),
        };
        form.push(part).unwrap();
    };
    for (name, text) in texts {
        push(name, false, text.as_bytes());
    }
    push(file.0, true, file.1);
    form
}

fn recording(format: &str) -> TaskRequest {
    let texts = [("model", "public"), ("response_format", format)];
    TaskRequest::form(Task::Transcription, form(&texts, ("file", &[1; 9_000]))).unwrap()
}

fn embedding() -> Value {
    json!({"model": "public", "input": ["One", "Two"]})
}

fn embedded(tokens: u64) -> Reply {
    let body = json!({"object": "list", "model": "m",
        "data": [{"embedding": [0.5], "index": 0}, {"embedding": [0.25], "index": 1}],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}});
    Reply::json(200, body.to_string())
}

#[tokio::test]
async fn each_endpoint_costs_what_its_provider_counts() {
    let picture = json!({"created": 1, "data": [{"b64_json": "aaaa"}], "usage": {
        "input_tokens": 50, "output_tokens": 4_160, "total_tokens": 4_210,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}});
    let gemini = json!({"candidates": [{"content": {"parts": [
            {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}]}}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 1_290,
            "totalTokenCount": 1_300,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1_290}]}});
    let paint = json!({"model": "public", "prompt": "A cat"});
    let moderated = json!({"id": "m", "model": "m", "results": [{"flagged": false}]});
    let rank = json!({"model": "public", "query": "q", "documents": vec!["d"; 101]});
    let ranks = json!({"results": [{"index": 0, "relevance_score": 0.5}]});
    for (provider, model, task, body, reply, cost) in [
        // 8 tokens at 0.02 US dollars a million.
        (
            "openai",
            "text-embedding-3-small",
            Task::Embeddings,
            embedding(),
            embedded(8),
            "0.00000016",
        ),
        // 10 at 5, 40 at 8, 4,160 at 32.
        (
            "openai",
            "gpt-image-1.5",
            Task::Images,
            paint.clone(),
            Reply::json(200, picture.to_string()),
            "0.13349",
        ),
        // 10 at 0.30, 1,290 at 30; not by the piece as well.
        (
            "gemini",
            "gemini-2.5-flash-image",
            Task::Images,
            paint.clone(),
            Reply::json(200, gemini.to_string()),
            "0.038703",
        ),
        // One at 0.04.
        (
            "gemini",
            "imagen-3.0-generate-001",
            Task::Images,
            paint.clone(),
            Reply::json(200, r#"{"predictions":[{"bytesBase64Encoded":"aaaa"}]}"#),
            "0.04",
        ),
        // One of this quality and size: 1,835,008 pixels at 0.0719 US dollars a million.
        (
            "azure",
            "dall-e-3",
            Task::Images,
            json!({"model": "public", "prompt": "x", "quality": "hd", "size": "1024x1792"}),
            Reply::json(200, r#"{"created":1,"data":[{"url":"https://x.example"}]}"#),
            "0.131999",
        ),
        // One at 0.06.
        (
            "bedrock",
            "amazon.nova-canvas-v1:0",
            Task::Images,
            paint,
            Reply::json(200, r#"{"images":["aaaa"]}"#),
            "0.06",
        ),
        // OpenAI takes nothing for it.
        (
            "openai",
            "omni-moderation-latest",
            Task::Moderation,
            json!({"model": "public", "input": "x"}),
            Reply::json(200, moderated.to_string()),
            "0",
        ),
        // A hundred and one documents are two requests at 0.002.
        (
            "bedrock",
            "cohere.rerank-v3-5:0",
            Task::Rerank,
            rank,
            Reply::json(200, ranks.to_string()),
            "0.004",
        ),
    ] {
        let upstream = MockUpstream::start(reply).await;
        let f = Fixture::new("10").await;
        at(&f, provider, model, &upstream).await;
        let answer = ask(&f, task, body).await.unwrap();
        assert_eq!(answer.status(), 200, "{model}");
        assert_eq!(
            header(&answer, "x-cf-cost").map(nanos),
            Some(nanos(cost)),
            "{model}"
        );
        assert_eq!(header(&answer, "x-cf-model"), Some(model));
        drop(answer);
        let call = f.the_call().await;
        assert_eq!(
            (&*call.status, call.estimated, call.cost),
            ("ok", false, nanos(cost)),
            "{model}"
        );
    }
}

#[tokio::test]
async fn a_recording_costs_by_the_second_or_by_the_token() {
    let seconds = r#"{"text":"Hi","usage":{"type":"duration","seconds":90}}"#;
    let tokens = r#"{"text":"Hi","usage":{"type":"tokens","input_tokens":900,"output_tokens":40,
        "input_token_details":{"audio_tokens":880,"text_tokens":20},"total_tokens":940}}"#;
    for (model, format, reply, body, cost, estimated) in [
        // 90 seconds at 0.006 a minute.
        ("whisper-1", "json", seconds, seconds, "0.009", false),
        ("whisper-1", "text", seconds, "Hi\n", "0.009", false),
        // 900 in at 2.50 a million, whatever they are, and 40 out at 10.
        (
            "gpt-4o-transcribe",
            "json",
            tokens,
            tokens,
            "0.00265",
            false,
        ),
        // 9,000 bytes of who knows what, told by nobody: two seconds at 64 kbit.
        (
            "whisper-1",
            "json",
            r#"{"text":"Hi"}"#,
            r#"{"text":"Hi"}"#,
            "0.0002",
            true,
        ),
    ] {
        let upstream = MockUpstream::start(Reply::json(200, reply)).await;
        let f = Fixture::new("10").await;
        at(&f, "openai", model, &upstream).await;
        let answer = send(&f, recording(format)).await.unwrap();
        assert_eq!(text(answer.into_body()).await, body);
        let call = f.the_call().await;
        assert_eq!(
            (call.cost, call.estimated),
            (nanos(cost), estimated),
            "{model} {format}"
        );
        let sent = upstream.received();
        assert_eq!(sent[0].path, "/v1/audio/transcriptions");
        let kind = sent[0].header("content-type").unwrap();
        assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
        assert!(sent[0].body.contains(model), "{}", sent[0].body);
    }
}

#[tokio::test]
async fn speech_is_passed_on_as_it_comes_and_costs_by_the_character() {
    let sound = Reply {
        headers: vec![("content-type", "audio/mpeg".into())],
        ..Reply::stream(vec![
            Step::Send(Bytes::from_static(b"\xff\xfb1")),
            Step::Send(Bytes::from_static(b"\x002")),
        ])
    };
    let upstream = MockUpstream::start(sound).await;
    let f = Fixture::new("10").await;
    at(&f, "openai", "tts-1", &upstream).await;
    let say = json!({"model": "public", "input": "Grüße", "voice": "alloy"});
    let answer = ask(&f, Task::Speech, say).await.unwrap();
    assert_eq!(header(&answer, "content-type"), Some("audio/mpeg"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&*body, b"\xff\xfb1\x002");
    // Five characters at 15 US dollars a million.
    let call = f.the_call().await;
    assert_eq!((call.cost, call.estimated), (nanos("0.000075"), false));
    assert_eq!((&*call.status, call.prompt_tokens), ("ok", 0));
}

#[tokio::test]
async fn newer_speech_is_taken_out_of_events_that_say_what_was_used() {
    let events = [
        json!({"type": "speech.audio.delta", "audio": "SUQz"}),
        json!({"type": "speech.audio.done",
            "usage": {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}}),
    ];
    let steps = events.map(|e| Step::Send(Bytes::from(format!("data: {e}\n\n"))));
    let upstream = MockUpstream::start(Reply::stream(steps.to_vec())).await;
    let f = Fixture::new("10").await;
    at(&f, "openai", "gpt-4o-mini-tts", &upstream).await;
    let say = json!({"model": "public", "input": "Hi", "voice": "alloy", "response_format": "wav"});
    let answer = ask(&f, Task::Speech, say.clone()).await.unwrap();
    assert_eq!(header(&answer, "content-type"), Some("audio/wav"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&*body, b"ID3");
    assert_eq!(upstream.received()[0].json()["stream_format"], "sse");
    // 10 tokens at 0.60 and 100 of sound at 12 US dollars a million.
    let call = f.the_call().await;
    assert_eq!((call.cost, call.estimated), (nanos("0.001206"), false));

    // Who asks for the events is given them.
    let mut asks = say;
    asks["stream_format"] = "sse".into();
    let answer = ask(&f, Task::Speech, asks).await.unwrap();
    assert_eq!(
        header(&answer, "content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert!(text(answer.into_body()).await.contains("speech.audio.done"));
    assert_eq!(f.spent().await, nanos("0.002412"));
}

#[tokio::test]
async fn sound_that_breaks_off_does_not_look_whole_and_is_charged() {
    let sound = Reply {
        headers: vec![("content-type", "audio/mpeg".into())],
        ..Reply::stream(vec![Step::Send(Bytes::from_static(b"ID3")), Step::Reset])
    };
    let upstream = MockUpstream::start(sound).await;
    let f = Fixture::new("10").await;
    at(&f, "openai", "tts-1", &upstream).await;
    let say = json!({"model": "public", "input": "12345", "voice": "alloy"});
    let answer = ask(&f, Task::Speech, say).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
    let call = f.the_call().await;
    assert_eq!((&*call.status, call.cost), ("error", nanos("0.000075")));
}

#[tokio::test]
async fn a_streamed_picture_is_passed_on_and_counted() {
    let events = [
        json!({"type": "image_generation.partial_image", "b64_json": "aa"}),
        json!({"type": "image_generation.completed", "b64_json": "aaaa",
            "usage": {"input_tokens": 10, "output_tokens": 1_000, "total_tokens": 1_010}}),
    ];
    let upstream = MockUpstream::start(Reply::stream(steps_of(&events))).await;
    let f = Fixture::new("10").await;
    at(&f, "openai", "gpt-image-1.5", &upstream).await;
    let paint = json!({"model": "public", "prompt": "A cat", "stream": true, "partial_images": 1});
    let answer = ask(&f, Task::Images, paint.clone()).await.unwrap();
    let body = text(answer.into_body()).await;
    assert!(
        body.contains("partial_image") && body.contains("completed"),
        "{body}"
    );
    // 10 at 5 and 1,000 at 32 US dollars a million.
    let call = f.the_call().await;
    assert_eq!((call.cost, call.estimated), (nanos("0.03205"), false));

    upstream.next(Reply::stream(steps_of(&events[..1])));
    let answer = ask(&f, Task::Images, paint).await.unwrap();
    let body = text(answer.into_body()).await;
    assert!(body.contains("before it was complete"), "{body}");
    let failed = f
        .logged()
        .await
        .into_iter()
        .find(|call| call.status == "error");
    assert!(failed.is_some_and(|call| call.estimated && call.cost > Nanos::ZERO));
}

fn steps_of(events: &[Value]) -> Vec<Step> {
    let each = events.iter();
    each.map(|e| Step::Send(Bytes::from(format!("data: {e}\n\n"))))
        .collect()
}

#[tokio::test]
async fn many_texts_are_many_calls_where_a_provider_takes_one() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::json(
            200,
            r#"{"embedding":[0.5],"inputTextTokenCount":3}"#,
        ))
        .await;
        at(&f, "bedrock", "amazon.titan-embed-text-v2:0", &upstream).await;
        let many = json!({"model": "public", "input": vec!["text"; 20]});
        let answer = ask(&f, Task::Embeddings, many).await.unwrap();
        let body: Value = serde_json::from_str(&text(answer.into_body()).await).unwrap();
        assert_eq!(body["data"].as_array().unwrap().len(), 20);
        assert_eq!(body["usage"]["prompt_tokens"], 60);
        assert_eq!(upstream.received().len(), 20);
        let signature = upstream.received()[19]
            .header("authorization")
            .map(str::to_owned);
        assert!(signature.unwrap().starts_with("AWS4-HMAC-SHA256"));
        // 60 tokens at 0.02 US dollars a million.
        let call = f.the_call().await;
        assert_eq!(
            (call.cost, call.prompt_tokens),
            (nanos("0.0000012"), 60),
            "{}",
            f.name
        );
    }
}

#[tokio::test]
async fn when_one_of_many_calls_fails_the_call_fails_and_is_charged_by_estimate() {
    let f = Fixture::new("10").await;
    let fine = Reply::json(200, r#"{"embedding":[0.5],"inputTextTokenCount":3}"#);
    let upstream = MockUpstream::start(Reply::json(500, "{}")).await;
    upstream.next(fine.clone());
    upstream.next(fine);
    at(&f, "bedrock", "amazon.titan-embed-text-v2:0", &upstream).await;
    let many = json!({"model": "public", "input": vec!["text"; 10]});
    let error = ask(&f, Task::Embeddings, many).await.err().unwrap();
    assert_eq!(error.kind, Kind::Upstream { status: 502 });
    let call = f.the_call().await;
    assert_eq!((&*call.status, call.estimated), ("error", true));
    assert_eq!(call.prompt_tokens, 14);
}

#[tokio::test]
async fn what_the_budget_does_not_cover_is_not_sent() {
    for f in Fixture::each("0.01").await {
        let upstream = MockUpstream::start(embedded(1)).await;
        // A dollar a token.
        priced(&f, &upstream, json!({"input": 1_000_000, "output": 0})).await;
        let error = ask(&f, Task::Embeddings, embedding()).await.err().unwrap();
        assert_eq!(error.kind, Kind::BudgetExceeded, "{}", f.name);
        priced_again(
            &f,
            &upstream,
            json!({"input": 0, "output": 0, "character": 10_000}),
        )
        .await;
        let say = |input: &str| json!({"model": "dear", "input": input, "voice": "v"});
        let error = ask(&f, Task::Speech, say("Ab")).await.err().unwrap();
        assert_eq!(error.kind, Kind::BudgetExceeded);
        assert_eq!(upstream.received().len(), 0);
        // Exactly what is left.
        upstream.next(Reply {
            headers: vec![("content-type", "audio/mpeg".into())],
            ..Reply::json(200, "ID3")
        });
        let answer = ask(&f, Task::Speech, say("A")).await.unwrap();
        text(answer.into_body()).await;
        assert_eq!(upstream.received().len(), 1);
        assert_eq!(f.the_call().await.cost, nanos("0.01"), "{}", f.name);
    }
}

async fn priced_again(f: &Fixture, upstream: &MockUpstream, prices: Value) {
    let key = f.key("openai_compatible", &upstream.base_url(), "").await;
    let deployments = json!([{"provider_key": key, "model": "real"}]);
    f.model("dear", deployments, json!({"prices": prices}))
        .await;
}

#[tokio::test]
async fn without_a_price_there_is_no_call() {
    let upstream = MockUpstream::start(embedded(1)).await;
    for (provider, task, body) in [
        ("openai_compatible", Task::Embeddings, embedding()),
        (
            "openai_compatible",
            Task::Moderation,
            json!({"model": "public", "input": "x"}),
        ),
        (
            "mistral",
            Task::Moderation,
            json!({"model": "public", "input": "x"}),
        ),
    ] {
        let f = Fixture::new("10").await;
        at(&f, provider, "unheard-of", &upstream).await;
        let error = ask(&f, task, body).await.err().unwrap();
        assert_eq!(error.kind, Kind::Unprocessable);
        assert!(error.message.contains("No price is known"), "{error}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_model_of_another_tenant_or_product_is_not_called() {
    let upstream = MockUpstream::start(embedded(1)).await;
    let f = Fixture::new("10").await;
    let other = TenantId::new(&f.random).to_string();
    let key = f
        .key("openai_compatible", &upstream.base_url(), &other)
        .await;
    let deployments = json!([{"provider_key": key, "model": "real"}]);
    f.model("public", deployments.clone(), json!({"tenant_id": other}))
        .await;
    let error = ask(&f, Task::Embeddings, embedding()).await.err().unwrap();
    assert_eq!(error.kind, Kind::ModelNotFound);
    // A key of another tenant is none, although the model is for all.
    f.model("shared", deployments, json!({})).await;
    let body = json!({"model": "shared", "input": "x"});
    let error = ask(&f, Task::Embeddings, body).await.err().unwrap();
    assert_eq!(error.kind, Kind::Upstream { status: 503 });

    priced_again(&f, &upstream, json!({"input": 1, "output": 1})).await;
    let mut caller = (*f.caller).clone();
    caller.key_models = vec!["another".into()];
    let id = RequestId::new(f.clock.now(), &f.random);
    let body = Bytes::from(json!({"model": "dear", "input": "x"}).to_string());
    let request = TaskRequest::json(Task::Embeddings, body).unwrap();
    let caller = Arc::new(caller);
    let refused = f.gateway.task(Wishes::default(), caller, request, id).await;
    assert_eq!(refused.err().unwrap().kind, Kind::ModelNotAllowed);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn another_deployment_is_asked_and_a_providers_refusal_is_told() {
    let broken = MockUpstream::start(Reply::json(503, "{}")).await;
    let fine = MockUpstream::start(embedded(4)).await;
    let f = Fixture::new("10").await;
    f.at(&[&broken, &fine]).await;
    let body = json!({"model": "m", "input": ["a", "b"]});
    let answer = ask(&f, Task::Embeddings, body.clone()).await.unwrap();
    assert_eq!(header(&answer, "x-cf-model"), Some("real-1"));
    assert_eq!(f.spent().await, Nanos(4_000));

    let refusal = r#"{"error":{"message":"input is too long","param":"input","code":"too_long"}}"#;
    broken.next(Reply::json(400, refusal));
    let answer = ask(&f, Task::Embeddings, body).await.unwrap();
    assert_eq!(answer.status(), 400);
    let body: Value = serde_json::from_str(&text(answer.into_body()).await).unwrap();
    assert_eq!(body["error"]["code"], "too_long");
    assert_eq!(body["error"]["param"], "input");
    assert_eq!(f.spent().await, Nanos(4_000));
    f.assert_settled().await;
}

#[tokio::test]
async fn another_model_answers_in_its_place_and_its_price_is_billed() {
    for f in Fixture::each("10").await {
        let down = MockUpstream::start(Reply::json(503, "{}")).await;
        let fine = MockUpstream::start(embedded(4)).await;
        in_place(&f, &down, &fine).await;
        let answer = ask(&f, Task::Embeddings, embedding()).await.unwrap();
        assert_eq!(header(&answer, "x-cf-model"), Some("real-other"));
        let sent = fine.received();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].json()["model"], "real-other");
        assert_eq!(f.spent().await, Nanos(40_000), "{}", f.name);
        let tried = f.tried().await;
        assert_eq!(tried.last().unwrap().1, "real-other");

        // Not for what the operator did not choose.
        f.change("public", "fallback_on", "[\"content_filter\"]")
            .await;
        assert!(ask(&f, Task::Embeddings, embedding()).await.is_err());
        assert_eq!(fine.received().len(), 1);
    }
}

#[tokio::test]
async fn what_breaks_off_in_another_models_place_is_charged_by_that_models_kind_of_price() {
    let f = Fixture::new("10").await;
    let down = MockUpstream::start(Reply::json(503, "{}")).await;
    let broken = Reply {
        steps: vec![Step::Send(Bytes::from_static(b"{\"object\"")), Step::Reset],
        ..Reply::json(200, "")
    };
    let broken = MockUpstream::start(broken).await;
    in_place(&f, &down, &broken).await;
    // The model asked for is paid by the character, the one in its place by the token.
    let by_piece = json!({"input": 0, "output": 0, "character": 1});
    f.change("public", "prices", by_piece.to_string()).await;
    assert!(ask(&f, Task::Embeddings, embedding()).await.is_err());
    let call = f.the_call().await;
    assert_eq!((&*call.status, call.estimated), ("error", true));
    assert!(call.prompt_tokens > 0);
    assert_eq!(call.cost.0, call.prompt_tokens * 10_000);
}

#[tokio::test]
async fn tokens_are_not_counted_by_another_model() {
    let f = Fixture::new("10").await;
    let down = MockUpstream::start(Reply::json(503, "{}")).await;
    let other = MockUpstream::start(embedded(4)).await;
    in_place(&f, &down, &other).await;
    let body = json!({"model": "public", "messages": [{"role": "user", "content": "Hello"}]});
    let answer = ask(&f, Task::CountTokens, body).await;
    assert!(answer.is_ok_and(|answer| answer.status() == 200));
    assert!(other.received().is_empty());
}

/// `public`, and `other` in its place, which costs ten times as much.
async fn in_place(f: &Fixture, public: &MockUpstream, other: &MockUpstream) {
    for (name, upstream, input) in [("other", other, 10), ("public", public, 1)] {
        let key = f.key("openai_compatible", &upstream.base_url(), "").await;
        let deployments = json!([{"provider_key": key, "model": format!("real-{name}")}]);
        let prices = json!({"prices": {"input": input, "output": 0}});
        f.model(name, deployments, prices).await;
    }
    f.change("public", "fallbacks", "[\"other\"]").await;
}

#[tokio::test]
async fn what_a_provider_has_not_is_refused_before_anything_is_sent() {
    let upstream = MockUpstream::start(embedded(1)).await;
    let f = Fixture::new("10").await;
    at(&f, "anthropic", "claude-sonnet-4-5", &upstream).await;
    let answer = ask(&f, Task::Embeddings, embedding()).await.unwrap();
    assert_eq!(answer.status(), 400);
    let body = text(answer.into_body()).await;
    assert!(body.contains("has no embeddings"), "{body}");
    assert!(upstream.received().is_empty());
    let call = f.the_call().await;
    assert_eq!((&*call.status, call.cost), ("error", Nanos::ZERO));
}

#[tokio::test]
async fn an_answer_that_is_none_is_the_providers_failure_and_free() {
    for reply in ["<html>", "{}", r#"{"data":7}"#] {
        let upstream = MockUpstream::start(Reply::json(200, reply)).await;
        let f = Fixture::new("10").await;
        at(&f, "openai", "text-embedding-3-small", &upstream).await;
        let error = ask(&f, Task::Embeddings, embedding()).await.err().unwrap();
        assert_eq!(error.kind, Kind::Upstream { status: 502 });
        let call = f.the_call().await;
        assert_eq!(
            (&*call.status, call.cost),
            ("error", Nanos::ZERO),
            "{reply}"
        );
    }
}

#[tokio::test]
async fn a_page_is_no_sound() {
    for (model, kind) in [
        ("tts-1", "text/html; charset=utf-8"),
        ("gpt-4o-mini-tts", "application/json"),
    ] {
        let mut page = Reply::json(200, "<html>Sign in</html>");
        page.headers = vec![("content-type", kind.into())];
        let upstream = MockUpstream::start(page).await;
        let f = Fixture::new("10").await;
        at(&f, "openai", model, &upstream).await;
        let say = json!({"model": "public", "input": "Hi", "voice": "alloy"});
        let error = ask(&f, Task::Speech, say).await.err().unwrap();
        assert_eq!(error.kind, Kind::Upstream { status: 502 });
        let call = f.the_call().await;
        assert_eq!((&*call.status, call.cost), ("error", Nanos::ZERO));
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_charged_what_the_provider_counts() {
    let upstream = MockUpstream::start(embedded(9).after(Duration::from_millis(200))).await;
    let f = Fixture::new("10").await;
    at(&f, "openai", "text-embedding-3-small", &upstream).await;
    let call = ask(&f, Task::Embeddings, embedding());
    assert!(
        tokio::time::timeout(Duration::from_millis(60), call)
            .await
            .is_err()
    );
    let call = f.the_call().await;
    assert_eq!(
        (&*call.status, call.prompt_tokens, call.estimated),
        ("cancelled", 9, false)
    );
}

#[tokio::test]
async fn tokens_are_counted_for_nothing_by_claude_and_estimated_elsewhere() {
    let upstream = MockUpstream::start(Reply::json(200, r#"{"input_tokens":14}"#)).await;
    let count =
        json!({"model": "public", "messages": [{"role": "user", "content": "Hello there"}]});
    let f = Fixture::new("0").await;
    at(&f, "anthropic", "claude-sonnet-4-5", &upstream).await;
    let answer = ask(&f, Task::CountTokens, count.clone()).await.unwrap();
    assert!(header(&answer, "request-id").is_some());
    assert_eq!(text(answer.into_body()).await, r#"{"input_tokens":14}"#);
    let sent = &upstream.received()[0];
    assert_eq!(sent.path, "/v1/messages/count_tokens");
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(
        sent.json(),
        json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hello there"}]})
    );
    let call = f.the_call().await;
    assert_eq!(
        (&*call.status, call.cost, call.prompt_tokens),
        ("ok", Nanos::ZERO, 0)
    );

    for (provider, reply) in [
        ("openai", Reply::json(500, "{}")),
        (
            "bedrock",
            Reply::json(
                400,
                r#"{"message":"The provided model doesn't support counting tokens"}"#,
            ),
        ),
    ] {
        let upstream = MockUpstream::start(reply).await;
        let f = Fixture::new("0").await;
        at(&f, provider, "anthropic.claude-x", &upstream).await;
        let answer = ask(&f, Task::CountTokens, count.clone()).await.unwrap();
        let body: Value = serde_json::from_str(&text(answer.into_body()).await).unwrap();
        assert!(body["input_tokens"].as_u64().unwrap() > 5, "{body}");
        assert_eq!(
            upstream.received().len(),
            usize::from(provider == "bedrock")
        );
        assert_eq!(f.the_call().await.cost, Nanos::ZERO);
    }
}

#[tokio::test]
async fn a_picture_that_was_kept_back_is_told_and_what_was_thought_is_charged() {
    let blocked = json!({"candidates": [{"finishReason": "IMAGE_SAFETY"}],
        "usageMetadata": {"promptTokenCount": 1_000, "totalTokenCount": 1_000}});
    let upstream = MockUpstream::start(Reply::json(200, blocked.to_string())).await;
    let f = Fixture::new("10").await;
    at(&f, "gemini", "gemini-2.5-flash-image", &upstream).await;
    let paint = json!({"model": "public", "prompt": "A cat"});
    let answer = ask(&f, Task::Images, paint).await.unwrap();
    assert_eq!(answer.status(), 400);
    let body: Value = serde_json::from_str(&text(answer.into_body()).await).unwrap();
    assert_eq!(body["error"]["code"], "content_filter");
    // A thousand tokens at 0.30 US dollars a million.
    assert_eq!(f.the_call().await.cost, nanos("0.0003"));
}

#[tokio::test]
async fn a_streamed_transcript_is_passed_on_and_counted() {
    let events = [
        json!({"type": "transcript.text.delta", "delta": "Hi"}),
        json!({"type": "transcript.text.done", "text": "Hi", "usage": {"type": "tokens",
            "input_tokens": 20, "output_tokens": 2, "input_token_details": {"audio_tokens": 20}}}),
    ];
    let upstream = MockUpstream::start(Reply::stream(steps_of(&events))).await;
    let f = Fixture::new("10").await;
    at(&f, "openai", "gpt-4o-transcribe", &upstream).await;
    let texts = [("model", "public"), ("stream", "true")];
    let request = TaskRequest::form(Task::Transcription, form(&texts, ("file", &[1; 900])));
    let answer = send(&f, request.unwrap()).await.unwrap();
    let body = text(answer.into_body()).await;
    assert!(body.contains("transcript.text.delta") && body.contains("transcript.text.done"));
    // 20 at 2.50 and 2 at 10 US dollars a million.
    let call = f.the_call().await;
    assert_eq!((call.cost, call.estimated), (nanos("0.00007"), false));
}

#[tokio::test]
async fn who_hangs_up_on_speech_pays_for_it() {
    let sound = Reply {
        headers: vec![("content-type", "audio/mpeg".into())],
        ..Reply::stream(vec![Step::Send(Bytes::from_static(b"ID3")), Step::Stall])
    };
    let upstream = MockUpstream::start(sound).await;
    let f = Fixture::new("10").await;
    at(&f, "openai", "tts-1", &upstream).await;
    let say = json!({"model": "public", "input": "12345", "voice": "alloy"});
    let answer = ask(&f, Task::Speech, say).await.unwrap();
    let mut body = answer.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let call = f.the_call().await;
    assert_eq!((&*call.status, call.cost), ("cancelled", nanos("0.000075")));
}

#[tokio::test]
async fn a_customers_own_prices_are_reserved_and_charged() {
    for f in Fixture::each("1").await {
        let seconds = r#"{"text":"Hi","usage":{"type":"duration","seconds":60}}"#;
        let upstream = MockUpstream::start(Reply::json(200, seconds)).await;
        at(&f, "openai", "whisper-1", &upstream).await;
        let list = json!([{"model": "public", "input": 0, "output": 0, "audio_minute": 0.5}]);
        let sql = "insert into tenants (id, name, slug, prices, created, updated) \
                   values ($1, 'T', 't', $2, '', '')";
        let values = vec![f.caller.tenant_id.into(), list.to_string().into()];
        f.db.execute(sql, values).await.unwrap();
        f.ledger.reload().await.unwrap();
        send(&f, recording("json")).await.unwrap();
        assert_eq!(f.the_call().await.cost, nanos("0.5"), "{}", f.name);
        // 100,000 bytes may hold 134 seconds, which are more than half a dollar.
        let texts = [("model", "public")];
        let long = TaskRequest::form(Task::Transcription, form(&texts, ("file", &[1; 100_000])));
        let refused = send(&f, long.unwrap()).await.err().unwrap();
        assert_eq!(refused.kind, Kind::BudgetExceeded);
        assert_eq!(upstream.received().len(), 1);
    }
}
