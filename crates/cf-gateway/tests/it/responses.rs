//! Calls of Responses' clients: reserved, lowered and booked like chats, whatever
//! the provider speaks.

use std::sync::Arc;

use bytes::Bytes;
use cf_base::{Caller, Kind, Limits, RequestId};
use cf_gateway::{GatewayBody, Wishes};
use cf_testkit::{MockUpstream, Reply, Step};
use http::Response;
use serde_json::{Value, json};

use crate::fixture::{Fixture, PATIENCE, SECRET, cost, estimate, frame, header, text};

impl Fixture {
    async fn respond(&self, body: &Value) -> cf_base::Result<Response<GatewayBody>> {
        self.respond_as(&self.caller, body).await
    }

    async fn respond_as(
        &self,
        caller: &Arc<Caller>,
        body: &Value,
    ) -> cf_base::Result<Response<GatewayBody>> {
        let id = RequestId::new(self.clock.now(), &self.random);
        let body = Bytes::from(body.to_string());
        let caller = Arc::clone(caller);
        self.gateway
            .respond(Wishes::default(), caller, body, id)
            .await
    }

    /// The model `m` at a provider that speaks Responses.
    async fn native(&self, provider: &str, upstream: &MockUpstream) {
        let settings = json!({"api": "responses"});
        let key = self
            .key_with(provider, &upstream.base_url(), "", SECRET, settings)
            .await;
        self.model(
            "m",
            json!([{"provider_key": key, "model": "gpt-5"}]),
            json!({}),
        )
        .await;
    }
}

fn asked(more: Value) -> Value {
    let mut body = json!({"model": "m", "input": "Hi"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn response(status: &str, usage: Value) -> Value {
    json!({"id": "resp_1", "object": "response", "status": status, "model": "gpt-5", "store": false,
        "output": [{"id": "msg_1", "type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello"}]}],
        "usage": usage})
}

fn used() -> Value {
    json!({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})
}

fn event(kind: &str, fields: Value) -> Step {
    let mut event = fields;
    event["type"] = kind.into();
    Step::Send(Bytes::from(format!("event: {kind}\ndata: {event}\n\n")))
}

fn delta(text: &str) -> Step {
    event(
        "response.output_text.delta",
        json!({"delta": text, "sequence_number": 1}),
    )
}

#[tokio::test]
async fn the_limit_is_lowered_to_what_the_budget_covers() {
    for f in Fixture::each("0.0015").await {
        let upstream =
            MockUpstream::start(Reply::json(200, response("completed", used()).to_string())).await;
        f.native("openai", &upstream).await;
        let body = asked(json!({"max_output_tokens": 900, "store": false}));
        let answer = f.respond(&body).await.unwrap();
        let limit: i64 = header(&answer, "x-cf-output-limit")
            .unwrap()
            .parse()
            .unwrap();
        let bound = i64::try_from(body.to_string().len()).unwrap();
        assert_eq!(limit, (1500 - bound) / 2, "{}", f.name);
        let sent = upstream.received().last().unwrap().clone();
        assert_eq!(sent.path, "/v1/responses");
        assert_eq!(sent.json()["max_output_tokens"], limit);
        assert_eq!(f.the_call().await.cost, cost(10, 5));
    }
}

#[tokio::test]
async fn what_is_gone_on_from_counts_towards_what_is_reserved() {
    let f = Fixture::new("0.004").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    f.at(&[&upstream]).await;
    let long = asked(json!({"input": "x".repeat(2_000), "max_output_tokens": 16}));
    let first = f.respond(&long).await.unwrap();
    let first: Value = serde_json::from_str(&text(first.into_body()).await).unwrap();
    let next = asked(json!({"previous_response_id": first["id"], "max_output_tokens": 900}));
    let answer = f.respond(&next).await.unwrap();
    let limit: i64 = header(&answer, "x-cf-output-limit")
        .unwrap()
        .parse()
        .unwrap();
    // Some 4,000 µ$ less 2,000 for what came before, at 2 µ$ a token.
    assert!((700..900).contains(&limit), "{limit}");
    // On and on, until not even the conversation is covered.
    let longer = asked(json!({"input": "x".repeat(2_000), "previous_response_id": first["id"]}));
    let error = f.respond(&longer).await.err().unwrap();
    assert_eq!(error.kind, Kind::BudgetExceeded);
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn a_stream_that_speaks_responses_is_counted_at_its_end() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::json(500, "{}")).await;
        f.native("openai", &upstream).await;
        let last = response("incomplete", used());
        let steps = vec![
            delta("Hel"),
            delta("lo"),
            event(
                "response.incomplete",
                json!({"response": last, "sequence_number": 2}),
            ),
        ];
        upstream.next(Reply::stream(steps));
        let answer = f
            .respond(&asked(json!({"stream": true, "store": false})))
            .await
            .unwrap();
        let text = text(answer.into_body()).await;
        assert!(text.contains("response.incomplete"), "{text}");
        let call = f.the_call().await;
        assert_eq!((call.status.as_str(), call.estimated), ("ok", false));
        assert_eq!(call.cost, cost(10, 5));
    }
}

#[tokio::test]
async fn a_response_that_fails_is_told_so_and_booked_as_far_as_it_came() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::json(500, "{}")).await;
    f.native("openai", &upstream).await;
    let mut failed = response("failed", used());
    failed["error"] = json!({"code": "server_error", "message": format!("no {SECRET}")});
    let steps = vec![
        delta("Hel"),
        event(
            "response.failed",
            json!({"response": failed, "sequence_number": 2}),
        ),
    ];
    upstream.next(Reply::stream(steps));
    let answer = f.respond(&asked(json!({"stream": true}))).await.unwrap();
    let text = text(answer.into_body()).await;
    assert!(
        text.contains("event: response.failed") && !text.contains(SECRET),
        "{text}"
    );
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.cost), ("error", cost(10, 5)));
    let kept =
        f.db.query("select id from responses", vec![])
            .await
            .unwrap();
    assert!(kept.is_empty(), "a failure is not kept");
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_event_of_responses() {
    let f = Fixture::impatient().await;
    let upstream = MockUpstream::start(Reply::json(500, "{}")).await;
    f.native("openai", &upstream).await;
    for last in [Step::Stall, Step::Reset, Step::Wait(PATIENCE / 10)] {
        upstream.next(Reply::stream(vec![delta("Hel"), last]));
        let answer = f.respond(&asked(json!({"stream": true}))).await.unwrap();
        let text = text(answer.into_body()).await;
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        let data = last
            .strip_prefix("event: error\ndata: ")
            .unwrap_or_else(|| panic!("{text}"));
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], "error");
        assert_eq!(data["sequence_number"], 2, "{data}");
    }
    // Translated, the response itself fails.
    let chats = Fixture::impatient().await;
    let chunk = r#"data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#;
    let chunk = Step::Send(Bytes::from(format!("{chunk}\n\n")));
    let upstream = MockUpstream::start(Reply::stream(vec![chunk, Step::Stall])).await;
    chats.at(&[&upstream]).await;
    let answer = chats
        .respond(&asked(json!({"stream": true})))
        .await
        .unwrap();
    let text = text(answer.into_body()).await;
    assert!(text.contains("event: response.failed"), "{text}");
    assert!(text.contains(r#""code":"upstream_timeout""#), "{text}");
    let call = chats.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("error", true));
}

#[tokio::test]
async fn a_client_that_leaves_is_charged_by_the_providers_rule() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::json(500, "{}")).await;
    f.native("openai", &upstream).await;
    // A stream is cancelled there, and charged by what came.
    upstream.next(Reply::stream(vec![delta("123456"), Step::Stall]));
    let body = asked(json!({"stream": true, "store": false}));
    let mut answer = f.respond(&body).await.unwrap().into_body();
    assert!(frame(&mut answer).await.unwrap().contains("123456"));
    drop(answer);
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("cancelled", true));
    assert_eq!(call.prompt_tokens, estimate(&body));
    assert!(call.completion_tokens > 0);
}

#[tokio::test]
async fn an_answer_that_is_read_on_without_its_client_is_kept() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::json(500, "{}")).await;
    let settings = json!({"api": "responses", "hang_up": "drain"});
    let key = f
        .key_with(
            "openai_compatible",
            &upstream.base_url(),
            "",
            SECRET,
            settings,
        )
        .await;
    f.model("m", json!([{"provider_key": key, "model": "x"}]), json!({}))
        .await;
    let last = response("completed", used());
    upstream.next(Reply::stream(vec![
        delta("Hel"),
        Step::Wait(PATIENCE / 4),
        event(
            "response.completed",
            json!({"response": last, "sequence_number": 2}),
        ),
    ]));
    let mut answer = f
        .respond(&asked(json!({"stream": true})))
        .await
        .unwrap()
        .into_body();
    assert!(frame(&mut answer).await.is_some());
    drop(answer);
    let call = f.the_call().await;
    assert_eq!(
        (call.status.as_str(), call.cost),
        ("cancelled", cost(10, 5))
    );
    for _ in 0..100 {
        if f.gateway.response(&f.caller, "resp_1").await.is_ok() {
            return;
        }
        tokio::time::sleep(PATIENCE / 40).await;
    }
    panic!("it was not kept");
}

#[tokio::test]
async fn a_response_can_be_gone_on_from_once_its_last_event_is_there() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
        f.at(&[&upstream]).await;
        for _ in 0..5 {
            upstream.next(Reply::chat_stream(&["Hel", "lo"], 10, 2));
            let mut answer = f
                .respond(&asked(json!({"stream": true})))
                .await
                .unwrap()
                .into_body();
            let mut id = String::new();
            while let Some(text) = frame(&mut answer).await {
                if let Some(at) = text.find("event: response.completed") {
                    let data = text[at..].split_once("data: ").unwrap().1;
                    let data: Value = serde_json::from_str(data.trim_end()).unwrap();
                    id = data["response"]["id"].as_str().unwrap().to_owned();
                    break;
                }
            }
            f.gateway.response(&f.caller, &id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_refusal_of_the_provider_comes_back_in_openais_shape() {
    let f = Fixture::new("10").await;
    let refusal = json!({"error": {"message": "too long", "type": "invalid_request_error",
        "param": "input", "code": "context_length_exceeded"}});
    let upstream = MockUpstream::start(Reply::json(400, refusal.to_string())).await;
    f.native("openai", &upstream).await;
    let answer = f.respond(&asked(json!({}))).await.unwrap();
    assert_eq!(answer.status(), 400);
    let told: Value = serde_json::from_str(&text(answer.into_body()).await).unwrap();
    assert_eq!(told, refusal);
    assert_eq!(f.the_call().await.cost, cost(0, 0));
}

#[tokio::test]
async fn no_conversation_is_read_for_who_is_beyond_a_limit() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&upstream]).await;
    let caller = Arc::new(Caller {
        limits: Limits {
            requests_per_minute: 1,
            ..Limits::default()
        },
        ..(*f.caller).clone()
    });
    // That there is no such response would be found by looking for it.
    let body = asked(json!({"previous_response_id": "resp_nothing"}));
    let missing = f.respond_as(&caller, &body).await.err().unwrap();
    assert!(matches!(missing.kind, Kind::Invalid { .. }), "{missing:?}");
    let first = f.respond_as(&caller, &asked(json!({}))).await.unwrap();
    text(first.into_body()).await;
    let refused = f.respond_as(&caller, &body).await.err().unwrap();
    assert!(matches!(refused.kind, Kind::RateLimited { .. }));
    f.clock.advance(std::time::Duration::from_secs(60));
    let missing = f.respond_as(&caller, &body).await.err().unwrap();
    assert!(matches!(missing.kind, Kind::Invalid { .. }));
}
