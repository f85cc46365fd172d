//! Providers that do not speak OpenAI's language, each played by a double:
//! plain and streamed, for clients of both kinds.

use std::time::Duration;

use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use cf_base::{Id, Kind};
use cf_gateway::Wishes;
use cf_testkit::{MockUpstream, Reply, Step};
use serde_json::{Value, json};

use crate::fixture::{Fixture, SECRET, cost, header, nanos, plain, streamed, text};

pub fn sse(events: &[Value]) -> Reply {
    let steps = events.iter().map(|event| {
        let name = event["type"].as_str().map(|t| format!("event: {t}\n"));
        let name = name.unwrap_or_default();
        Step::Send(Bytes::from(format!("{name}data: {event}\n\n")))
    });
    Reply::stream(steps.collect())
}

fn anthropic_message() -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
        "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 100, "cache_read_input_tokens": 0, "output_tokens": 50}})
}

fn anthropic_events() -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-5",
            "usage": {"input_tokens": 100, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50}}),
        json!({"type": "message_stop"}),
    ]
}

fn gemini_reply(text: &str, last: bool) -> Value {
    let mut candidate =
        json!({"index": 0, "content": {"role": "model", "parts": [{"text": text}]}});
    if last {
        candidate["finishReason"] = "STOP".into();
    }
    json!({"candidates": [candidate], "modelVersion": "gemini-3-pro", "responseId": "r1",
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 30, "thoughtsTokenCount": 20,
            "totalTokenCount": 150}})
}

fn converse_reply() -> Value {
    json!({"output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
        "stopReason": "end_turn", "usage": {"inputTokens": 100, "outputTokens": 50, "totalTokens": 150}})
}

fn converse_events() -> Vec<(&'static str, Value)> {
    vec![
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "lo"}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 100, "outputTokens": 50, "totalTokens": 150}}),
        ),
    ]
}

async fn deploy(f: &Fixture, key: Id, model: &str) {
    let deployments = json!([{"provider_key": key, "model": model}]);
    f.model("m", deployments, json!({})).await;
}

/// The text of a stream for OpenAI's clients.
fn said(stream: &str) -> String {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect()
}

/// Sends a plain call and a streamed one, and looks at both and at the books.
async fn both_ways(f: &Fixture, upstream: &MockUpstream, whole: Reply, stream: Reply) {
    upstream.next(whole);
    let response = f.send(&plain()).await.unwrap();
    assert_eq!(response.status(), 200);
    let reply: Value = serde_json::from_str(&text(response.into_body()).await).unwrap();
    assert_eq!(reply["choices"][0]["message"]["content"], "Hello");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(reply["usage"]["total_tokens"], 150);
    upstream.next(stream);
    let response = f.send(&streamed()).await.unwrap();
    assert_eq!(
        header(&response, "content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let stream = text(response.into_body()).await;
    assert_eq!(said(&stream), "Hello", "{stream}");
    assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
    assert!(!stream.contains("usage"), "it was not asked for: {stream}");
    let logged = f.logged().await;
    assert_eq!(logged.len(), 2);
    for call in logged {
        assert_eq!((call.status.as_str(), call.estimated), ("ok", false));
        assert_eq!((call.prompt_tokens, call.completion_tokens), (100, 50));
        assert_eq!(call.cost, cost(100, 50));
    }
    f.assert_settled().await;
}

pub fn root(upstream: &MockUpstream) -> String {
    upstream.base_url().trim_end_matches("/v1").to_owned()
}

fn nothing() -> Reply {
    Reply::json(500, "{}")
}

#[tokio::test]
async fn anthropic_answers_an_openai_client() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(nothing()).await;
        let key = f.key("anthropic", &upstream.base_url(), "").await;
        deploy(&f, key, "claude-sonnet-5").await;
        let whole = Reply::json(200, anthropic_message().to_string());
        both_ways(&f, &upstream, whole, sse(&anthropic_events())).await;
        let received = upstream.received();
        assert_eq!(received[0].path, "/v1/messages");
        assert_eq!(received[0].header("x-api-key"), Some(SECRET));
        assert_eq!(received[0].header("anthropic-version"), Some("2023-06-01"));
        assert_eq!(received[0].header("authorization"), None);
        assert_eq!(
            received[0].json(),
            json!({"model": "claude-sonnet-5", "max_tokens": 1000,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]})
        );
        assert_eq!(received[1].json()["stream"], true);
    }
}

#[tokio::test]
async fn gemini_answers_an_openai_client() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(nothing()).await;
    let key = f
        .key("gemini", &format!("{}/v1beta", root(&upstream)), "")
        .await;
    deploy(&f, key, "gemini-3-pro").await;
    let whole = Reply::json(200, gemini_reply("Hello", true).to_string());
    let stream = sse(&[gemini_reply("Hel", false), gemini_reply("lo", true)]);
    both_ways(&f, &upstream, whole, stream).await;
    let received = upstream.received();
    assert_eq!(
        received[0].path,
        "/v1beta/models/gemini-3-pro:generateContent"
    );
    assert_eq!(
        received[1].path,
        "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
    );
    assert_eq!(received[0].header("x-goog-api-key"), Some(SECRET));
    assert_eq!(received[0].json()["contents"][0]["parts"][0]["text"], "Hi");
}

#[tokio::test]
async fn bedrock_answers_an_openai_client_and_is_called_with_a_signature() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(nothing()).await;
    let secret = "AKIDEXAMPLEEXAMPLE:wJalrXUtnFEMI/K7MDENG:session+token";
    let settings = json!({"region": "eu-central-1"});
    let key = f
        .key_with("bedrock", &root(&upstream), "", secret, settings)
        .await;
    deploy(&f, key, "eu.amazon.nova-2-lite-v1:0").await;
    let whole = Reply::json(200, converse_reply().to_string());
    both_ways(&f, &upstream, whole, Reply::aws_stream(&converse_events())).await;
    let received = upstream.received();
    assert_eq!(
        received[0].path,
        "/model/eu.amazon.nova-2-lite-v1%3A0/converse"
    );
    assert_eq!(
        received[1].path,
        "/model/eu.amazon.nova-2-lite-v1%3A0/converse-stream"
    );
    let authorization = received[0].header("authorization").unwrap();
    assert!(
        authorization.starts_with(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEEXAMPLE/20260110/eu-central-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
        ),
        "{authorization}"
    );
    assert_eq!(
        received[0].header("x-amz-security-token"),
        Some("session+token")
    );
    assert_eq!(received[0].header("x-amz-date"), Some("20260110T120000Z"));
    assert_eq!(
        received[1].header("accept"),
        Some("application/vnd.amazon.eventstream")
    );
}

#[tokio::test]
async fn bedrocks_bearer_key_is_taken_and_claude_is_invoked_where_the_key_says_so() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(nothing()).await;
    let settings = json!({"api": "invoke"});
    let key = f
        .key_with("bedrock", &root(&upstream), "", SECRET, settings)
        .await;
    deploy(&f, key, "anthropic.claude-sonnet-5").await;
    let chunks: Vec<(&str, Value)> = anthropic_events()
        .iter()
        .map(|event| {
            (
                "chunk",
                json!({"bytes": STANDARD.encode(event.to_string()), "p": "abc"}),
            )
        })
        .collect();
    let whole = Reply::json(200, anthropic_message().to_string());
    both_ways(&f, &upstream, whole, Reply::aws_stream(&chunks)).await;
    let received = upstream.received();
    assert_eq!(received[0].path, "/model/anthropic.claude-sonnet-5/invoke");
    assert_eq!(
        received[1].path,
        "/model/anthropic.claude-sonnet-5/invoke-with-response-stream"
    );
    assert_eq!(
        received[0].header("authorization"),
        Some(&*format!("Bearer {SECRET}"))
    );
    let body = received[1].json();
    assert_eq!(body["anthropic_version"], "bedrock-2023-05-31");
    assert_eq!(
        (&body["model"], &body["stream"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_service_account_is_exchanged_for_a_token_once_and_again_when_it_is_refused() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(nothing()).await;
    let tokens = MockUpstream::start(nothing()).await;
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = aws_lc_rs::encoding::AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let secret = json!({"type": "service_account", "project_id": "proj", "private_key_id": "k1",
        "private_key": pem, "client_email": "a@proj.example", "token_uri": root(&tokens)});
    let settings = json!({"region": "europe-west1"});
    let key = f
        .key_with(
            "vertex",
            &upstream.base_url(),
            "",
            &secret.to_string(),
            settings,
        )
        .await;
    deploy(&f, key, "gemini-2.5-flash").await;
    let token = |text: &str| {
        Reply::json(
            200,
            json!({"access_token": text, "expires_in": 3599}).to_string(),
        )
    };
    tokens.next(token("ya29.first"));
    let whole = Reply::json(200, gemini_reply("Hello", true).to_string());
    let stream = sse(&[gemini_reply("Hel", false), gemini_reply("lo", true)]);
    both_ways(&f, &upstream, whole.clone(), stream).await;
    let received = upstream.received();
    assert_eq!(
        received[0].path,
        "/v1/projects/proj/locations/europe-west1/publishers/google/models/gemini-2.5-flash:generateContent"
    );
    for request in &received {
        assert_eq!(request.header("authorization"), Some("Bearer ya29.first"));
    }
    assert_eq!(tokens.received().len(), 1, "the token is kept");
    let form = tokens.received()[0].body.clone();
    let assertion = form
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(signed.as_bytes(), &signature).unwrap();
    let claims = URL_SAFE_NO_PAD
        .decode(signed.split_once('.').unwrap().1)
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "a@proj.example");
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        3600
    );
    // Refused before its time: one more, and the call is saved.
    upstream.next(Reply::json(
        401,
        r#"{"error":{"code":401,"status":"UNAUTHENTICATED"}}"#,
    ));
    upstream.next(whole.clone());
    tokens.next(token("ya29.second"));
    f.send(&plain()).await.unwrap();
    let received = upstream.received();
    assert_eq!(
        received[3].header("authorization"),
        Some("Bearer ya29.second")
    );
    // Near its end it is renewed before anything is refused.
    f.clock.advance(Duration::from_secs(3400));
    tokens.next(token("ya29.third"));
    upstream.next(whole);
    f.send(&plain()).await.unwrap();
    let received = upstream.received();
    assert_eq!(
        received[4].header("authorization"),
        Some("Bearer ya29.third")
    );
}

#[tokio::test]
async fn a_token_that_is_not_given_is_our_fault_and_says_nothing_of_the_secret() {
    let f = Fixture::new("10").await;
    let body = json!({"error": "invalid_client", "error_description": format!("bad {SECRET}")});
    let entra = MockUpstream::start(Reply::json(401, body.to_string())).await;
    let upstream = MockUpstream::start(nothing()).await;
    let secret = json!({"tenant_id": "t", "client_id": "c", "client_secret": SECRET});
    let settings = json!({"authority": root(&entra)});
    let key = f
        .key_with("azure", &root(&upstream), "", &secret.to_string(), settings)
        .await;
    deploy(&f, key, "gpt").await;
    let error = f.send(&plain()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Upstream { status: 502 });
    assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    assert_eq!(entra.received()[0].path, "/t/oauth2/v2.0/token");
    assert!(upstream.received().is_empty());
    f.assert_settled().await;
}

#[tokio::test]
async fn azures_dated_versions_have_the_deployment_in_the_path() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    let settings = json!({"api_version": "2024-10-21"});
    let key = f
        .key_with("azure", &root(&upstream), "", SECRET, settings)
        .await;
    deploy(&f, key, "my-deployment").await;
    f.send(&plain()).await.unwrap();
    let received = &upstream.received()[0];
    assert_eq!(
        received.path,
        "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    );
    assert_eq!(received.header("api-key"), Some(SECRET));
}

fn messages(stream: bool) -> Value {
    json!({"model": "m", "max_tokens": 64, "stream": stream,
        "messages": [{"role": "user", "content": "Hi"}]})
}

#[tokio::test]
async fn anthropics_client_and_anthropic_are_given_each_others_bytes() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(nothing()).await;
    let key = f.key("anthropic", &upstream.base_url(), "").await;
    deploy(&f, key, "claude-sonnet-5").await;
    let wishes = || Wishes {
        anthropic_version: Some("2026-10-21".into()),
        anthropic_beta: Some("a-beta".into()),
        ..Wishes::default()
    };
    upstream.next(Reply::json(200, anthropic_message().to_string()));
    let mut body = messages(false);
    body["thinking"] = json!({"type": "adaptive", "unknown": [1.50]});
    let response = f.send_messages(&body, wishes()).await.unwrap();
    assert_eq!(
        text(response.into_body()).await,
        anthropic_message().to_string()
    );
    upstream.next(sse(&anthropic_events()));
    let response = f.send_messages(&messages(true), wishes()).await.unwrap();
    let expected: String = anthropic_events()
        .iter()
        .map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap()))
        .collect();
    assert_eq!(text(response.into_body()).await, expected);
    let received = &upstream.received()[0];
    assert_eq!(
        received.body,
        body.to_string().replace("\"m\"", "\"claude-sonnet-5\"")
    );
    assert_eq!(received.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(received.header("anthropic-beta"), Some("a-beta"));
    for call in f.logged().await {
        assert_eq!((call.prompt_tokens, call.completion_tokens), (100, 50));
    }
    f.assert_settled().await;
}

#[tokio::test]
async fn anthropics_client_is_answered_by_every_other_provider() {
    let f = Fixture::new("10").await;
    let openai = MockUpstream::start(Reply::chat("Hello", 100, 50)).await;
    let gemini =
        MockUpstream::start(Reply::json(200, gemini_reply("Hello", true).to_string())).await;
    let bedrock = MockUpstream::start(Reply::json(200, converse_reply().to_string())).await;
    openai.next(Reply::chat_stream(&["Hel", "lo"], 100, 50));
    gemini.next(sse(&[gemini_reply("Hel", false), gemini_reply("lo", true)]));
    bedrock.next(Reply::aws_stream(&converse_events()));
    for (provider, base, model) in [
        ("openai_compatible", openai.base_url(), "llama"),
        ("gemini", root(&gemini), "gemini-3-pro"),
        ("bedrock", root(&bedrock), "amazon.nova-2-lite-v1:0"),
    ] {
        let key = f.key(provider, &base, "").await;
        let deployments = json!([{"provider_key": key, "model": model}]);
        f.model(provider, deployments, json!({})).await;
        let mut body = messages(true);
        body["model"] = provider.into();
        let response = f.send_messages(&body, Wishes::default()).await.unwrap();
        let stream = text(response.into_body()).await;
        let names: Vec<&str> = stream
            .lines()
            .filter_map(|line| line.strip_prefix("event: "))
            .collect();
        assert_eq!(
            names,
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop"
            ],
            "{provider}"
        );
        assert!(
            stream.contains(r#""input_tokens":100"#),
            "{provider}: {stream}"
        );
        assert!(
            stream.contains(r#""output_tokens":50"#),
            "{provider}: {stream}"
        );
        body["stream"] = false.into();
        let response = f.send_messages(&body, Wishes::default()).await.unwrap();
        let reply: Value = serde_json::from_str(&text(response.into_body()).await).unwrap();
        assert_eq!(
            reply["content"],
            json!([{"type": "text", "text": "Hello"}]),
            "{provider}"
        );
        assert_eq!(reply["stop_reason"], "end_turn");
        assert_eq!(reply["usage"]["output_tokens"], 50);
    }
    for call in f.logged().await {
        assert_eq!((call.status.as_str(), call.estimated), ("ok", false));
        assert_eq!((call.prompt_tokens, call.completion_tokens), (100, 50));
    }
}

#[tokio::test]
async fn what_a_provider_cannot_do_is_refused_or_left_out_where_the_client_asks_for_that() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::json(200, anthropic_message().to_string())).await;
    let key = f.key("anthropic", &upstream.base_url(), "").await;
    deploy(&f, key, "claude-sonnet-5").await;
    let mut body = plain();
    body["seed"] = 7.into();
    body["logit_bias"] = json!({"50256": -100});
    let response = f.send(&body).await.unwrap();
    assert_eq!(response.status(), 400);
    let error: Value = serde_json::from_str(&text(response.into_body()).await).unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("logit_bias") && message.contains("Anthropic"),
        "{message}"
    );
    assert_eq!(error["error"]["param"], "logit_bias");
    assert!(upstream.received().is_empty(), "nothing is sent");
    body["drop_params"] = true.into();
    let response = f.send(&body).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        header(&response, "x-cf-dropped-params"),
        Some("logit_bias,seed")
    );
    let sent = upstream.received()[0].json();
    assert_eq!(
        (&sent["seed"], &sent["drop_params"]),
        (&Value::Null, &Value::Null)
    );
    f.assert_settled().await;
}

#[tokio::test]
async fn trap_15_a_wait_on_an_answer_is_no_limit_and_one_on_a_refusal_is() {
    let f = Fixture::new("10").await;
    let mut answer = Reply::json(200, anthropic_message().to_string());
    answer.headers.push(("retry-after", "17".into()));
    let upstream = MockUpstream::start(answer).await;
    let key = f.key("anthropic", &upstream.base_url(), "").await;
    deploy(&f, key, "claude-sonnet-5").await;
    let response = f.send(&plain()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "retry-after")),
        (200, None)
    );
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
    let mut refusal = Reply::json(429, body);
    refusal.headers.push(("retry-after", "17".into()));
    upstream.next(refusal);
    let error = f.send(&plain()).await.err().unwrap();
    let retry_after = Duration::from_secs(17);
    assert_eq!(error.kind, Kind::RateLimited { retry_after });
}

#[tokio::test]
async fn a_deployment_that_cannot_do_it_leaves_the_call_to_one_that_can() {
    let f = Fixture::new("10").await;
    let anthropic = MockUpstream::start(nothing()).await;
    let openai = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    let first = f.key("anthropic", &anthropic.base_url(), "").await;
    let second = f.key("openai_compatible", &openai.base_url(), "").await;
    let deployments = json!([
        {"provider_key": first, "model": "claude-sonnet-5"},
        {"provider_key": second, "model": "llama", "order": 1},
    ]);
    f.model("m", deployments, json!({})).await;
    let mut body = plain();
    body["seed"] = 7.into();
    let response = f.send(&body).await.unwrap();
    assert_eq!(
        header(&response, "x-cf-provider"),
        Some("openai_compatible")
    );
    assert!(anthropic.received().is_empty());
}

#[tokio::test]
async fn an_exception_in_bedrocks_stream_ends_it_and_what_came_is_charged() {
    let f = Fixture::new("10").await;
    let events = [
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "123456789"}}),
        ),
        ("throttlingException", json!({"message": "Too many tokens"})),
    ];
    let upstream = MockUpstream::start(Reply::aws_stream(&events)).await;
    let key = f.key("bedrock", &root(&upstream), "").await;
    deploy(&f, key, "amazon.nova-2-lite-v1:0").await;
    let response = f.send(&streamed()).await.unwrap();
    let stream = text(response.into_body()).await;
    assert!(
        stream.contains("123456789") && stream.contains("throttlingException"),
        "{stream}"
    );
    assert!(!stream.contains("[DONE]"));
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("error", true));
    assert_eq!(call.completion_tokens, 3);
}

#[tokio::test]
async fn a_damaged_frame_of_aws_cuts_the_answer_off() {
    let f = Fixture::new("10").await;
    let payload = json!({"contentBlockIndex": 0, "delta": {"text": "Hello"}}).to_string();
    let mut damaged = cf_testkit::aws_message("contentBlockDelta", payload.as_bytes()).to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let mut reply = Reply::aws_stream(&[]);
    reply.steps = vec![Step::Send(Bytes::from(damaged))];
    let upstream = MockUpstream::start(reply).await;
    let key = f.key("bedrock", &root(&upstream), "").await;
    deploy(&f, key, "amazon.nova-2-lite-v1:0").await;
    let stream = text(f.send(&streamed()).await.unwrap().into_body()).await;
    assert!(stream.contains("damaged"), "{stream}");
    assert_eq!(f.the_call().await.status, "error");
}

/// What another model did on the call's behalf has that model's price, told plain
/// or streamed, and the books can work it out again.
#[tokio::test]
async fn trap_12_what_another_model_was_asked_is_charged_at_its_own_price() {
    for (other, cost) in [
        // 100 and 10 tokens at 1 and 2, 200 and 20 at Opus's 5 and 25.
        ("claude-opus-4-8", "0.00162"),
        // Nobody knows it: as the one that was called.
        ("claude-secret-9", "0.00036"),
    ] {
        let usage = json!({"input_tokens": 100, "output_tokens": 10, "iterations": [
            {"type": "message", "input_tokens": 100, "output_tokens": 10},
            {"type": "advisor_message", "model": other, "input_tokens": 200, "output_tokens": 20},
        ]});
        let whole = json!({"id": "m", "type": "message", "role": "assistant",
            "model": "claude-sonnet-5", "content": [{"type": "text", "text": "Hello"}],
            "stop_reason": "end_turn", "usage": usage});
        let stream = sse(&[
            json!({"type": "message_start", "message": {"id": "m", "type": "message",
                "role": "assistant", "model": "claude-sonnet-5", "content": [],
                "usage": {"input_tokens": 100, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": "Hello"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                "usage": usage}),
            json!({"type": "message_stop"}),
        ]);
        for (is_stream, reply) in [(false, Reply::json(200, whole.to_string())), (true, stream)] {
            for f in Fixture::each("1").await {
                let upstream = MockUpstream::start(reply.clone()).await;
                let key = f.key("anthropic", &root(&upstream), "").await;
                let at = json!([{"provider_key": key, "model": "claude-sonnet-5"}]);
                f.model("m", at, json!({})).await;
                let body = json!({"model": "m", "max_tokens": 100, "stream": is_stream,
                    "messages": [{"role": "user", "content": "Hi"}]});
                let response = f.send_messages(&body, Wishes::default()).await.unwrap();
                assert!(text(response.into_body()).await.contains("Hello"));
                let call = f.the_call().await;
                assert_eq!((call.prompt_tokens, call.completion_tokens), (100, 10));
                assert_eq!(call.cost, nanos(cost), "{} {other} {is_stream}", f.name);
                assert!(!call.estimated);
            }
        }
    }
}
