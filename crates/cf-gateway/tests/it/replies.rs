//! Plain replies.

use cf_base::Nanos;
use cf_testkit::{MockUpstream, Reply};
use serde_json::{Value, json};

use crate::fixture::{Fixture, SECRET, cost, header, plain, text};

#[tokio::test]
async fn a_reply_is_passed_on_unchanged_and_is_in_the_books_when_it_arrives() {
    let upstream = MockUpstream::start(Reply::chat("Hello", 1000, 500)).await;
    for f in Fixture::each("10").await {
        f.at(&[&upstream]).await;
        let response = f.send(&plain()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "x-cf-cost"), Some("0.002"), "{}", f.name);
        assert_eq!(header(&response, "x-cf-budget-remaining"), Some("9.998"));
        assert_eq!(header(&response, "x-cf-model"), Some("real-0"));
        assert_eq!(
            header(&response, "x-cf-provider"),
            Some("openai_compatible")
        );
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        assert!(header(&response, "x-request-id").is_some());
        assert!(header(&response, "x-cf-output-limit").is_none());
        let reply: Value = serde_json::from_str(&text(response.into_body()).await).unwrap();
        assert_eq!(reply["choices"][0]["message"]["content"], "Hello");
        let call = f.the_call().await;
        assert_eq!((call.status.as_str(), call.estimated), ("ok", false));
        assert_eq!(call.cost, cost(1000, 500));
        assert_eq!(f.spent().await, cost(1000, 500));
    }
}

#[tokio::test]
async fn the_provider_is_sent_its_own_model_and_our_secret_and_nothing_of_the_clients_choosing() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&upstream]).await;
    let mut body = plain();
    body["api_base"] = "http://192.0.2.1/v1".into();
    body["base_url"] = "http://192.0.2.1/v1".into();
    body["api_key"] = "sk-of-the-client".into();
    f.send(&body).await.unwrap();
    let received = upstream.received();
    let received = received.first().unwrap();
    assert_eq!(received.path, "/v1/chat/completions");
    assert_eq!(
        received.header("authorization"),
        Some(&*format!("Bearer {SECRET}"))
    );
    let sent = received.json();
    assert_eq!(sent["model"], "real-0");
    // The record's limit, which the provider does not know by itself.
    assert_eq!(sent["max_tokens"], 1000);
    assert_eq!(sent["messages"], body["messages"]);
    assert_eq!(sent["api_base"], body["api_base"], "unknown fields pass");
}

#[tokio::test]
async fn azure_takes_its_key_in_a_header_of_its_own() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    let base = upstream.base_url().trim_end_matches("/v1").to_owned();
    let key = f.key("azure", &base, "").await;
    let deployments = json!([{"provider_key": key, "model": "my-deployment"}]);
    f.model("m", deployments, json!({})).await;
    f.send(&plain()).await.unwrap();
    let received = upstream.received();
    assert_eq!(received[0].path, "/openai/v1/chat/completions");
    assert_eq!(received[0].header("api-key"), Some(SECRET));
    assert_eq!(received[0].header("authorization"), None);
    assert_eq!(received[0].json()["max_completion_tokens"], 1000);
}

#[tokio::test]
async fn a_reply_without_usage_is_charged_by_estimate() {
    let f = Fixture::new("10").await;
    let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "123456789"}}]});
    let upstream = MockUpstream::start(Reply::json(200, body.to_string())).await;
    f.at(&[&upstream]).await;
    f.send(&plain()).await.unwrap();
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("ok", true));
    assert_eq!(call.completion_tokens, 3);
    assert!(call.prompt_tokens > 0);
}

#[tokio::test]
async fn the_demo_provider_answers_without_any_upstream_and_for_nothing() {
    let f = Fixture::new("10").await;
    let key = f.key("demo", "", "").await;
    let deployments = json!([{"provider_key": key, "model": "demo"}]);
    f.model("m", deployments, json!({"prices": {}})).await;
    let response = f.send(&plain()).await.unwrap();
    assert_eq!(header(&response, "x-cf-cost"), Some("0"));
    let reply: Value = serde_json::from_str(&text(response.into_body()).await).unwrap();
    let said = reply["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(
        said.contains("demo provider") && said.contains("Hi"),
        "{said}"
    );
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.cost), ("ok", Nanos::ZERO));
    assert!(call.completion_tokens > 5);
}

#[tokio::test]
async fn what_is_no_request_is_refused_before_anything_is_reserved() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&upstream]).await;
    for body in [
        json!([]),
        json!({"model": "m"}),
        json!({"model": "m", "messages": [{}], "n": 500}),
    ] {
        let error = f.send(&body).await.err().unwrap();
        assert!(
            matches!(error.kind, cf_base::Kind::Invalid { .. }),
            "{error}"
        );
    }
    assert_eq!(f.logged().await, vec![]);
    assert!(upstream.received().is_empty());
}
