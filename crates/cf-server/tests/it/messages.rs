//! Anthropic's clients at `/v1/messages`.

use cf_testkit::Reply;
use serde_json::json;

use crate::app::TestApp;

fn body() -> serde_json::Value {
    json!({"model": "small", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]})
}

#[tokio::test]
async fn anthropics_client_is_answered_in_its_language_with_either_key_header() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let with_x_api_key = test.guest().with("x-api-key", &alice.key);
        for client in [alice.by_key(), with_x_api_key] {
            let answer = client.post("/v1/messages", &body()).await.expect(200);
            assert_eq!(answer.header("x-cf-cost"), "0.00002");
            let reply = answer.json();
            assert_eq!(reply["type"], "message");
            assert_eq!(
                reply["content"],
                json!([{"type": "text", "text": "Hello!"}])
            );
            assert_eq!(reply["stop_reason"], "end_turn");
            assert_eq!(reply["usage"]["input_tokens"], 10);
        }
        let sent = test.upstream.received()[0].json();
        assert_eq!(
            (&sent["model"], &sent["max_tokens"]),
            (&json!("small-1"), &json!(100))
        );
        test.upstream
            .next(Reply::chat_stream(&["Hel", "lo"], 10, 2));
        let mut streamed = body();
        streamed["stream"] = true.into();
        let answer = alice
            .by_key()
            .post("/v1/messages", &streamed)
            .await
            .expect(200);
        let text = answer.text();
        assert!(text.starts_with("event: message_start\n"), "{text}");
        assert!(
            text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
            "{text}"
        );
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn each_refusal_is_in_anthropics_shape() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let other = test.new_tenant("other").await;
    let stranger = test.person("stranger", "user", &other).await;
    let no_such =
        json!({"model": "nope", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]});
    let no_limit = json!({"model": "small", "messages": [{"role": "user", "content": "Hi"}]});
    for (client, body, status, kind) in [
        (test.guest(), body(), 401, "authentication_error"),
        (
            test.guest().with("x-api-key", "sk-wrong-key-000000"),
            body(),
            401,
            "authentication_error",
        ),
        (
            stranger.by_key().at("app.localhost"),
            body(),
            401,
            "authentication_error",
        ),
        (alice.by_key(), no_such, 404, "not_found_error"),
        (alice.by_key(), no_limit, 400, "invalid_request_error"),
    ] {
        let answer = client.post("/v1/messages", &body).await.expect(status);
        // Under the name by which its library tells people of it.
        let id = answer.header("request-id");
        assert!(!id.is_empty() && id == answer.header("x-request-id"));
        let answer = answer.json();
        assert_eq!(answer["type"], "error", "{answer}");
        assert_eq!(answer["error"]["type"], kind, "{answer}");
    }
    assert!(test.upstream.received().is_empty(), "nothing went upstream");
}
