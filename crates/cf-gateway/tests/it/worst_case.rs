//! What is reserved: not less than a call may cost, and not much more.

use cf_base::Kind;
use cf_gateway::Wishes;
use cf_testkit::{MockUpstream, Reply};
use serde_json::{Value, json};

use crate::fixture::{Fixture, header};

/// A model `m` at this provider under this name, a dollar a million tokens in and
/// two out.
async fn deployed(f: &Fixture, provider: &str, upstream: &MockUpstream, model: &str) {
    let key = f.key(provider, &upstream.base_url(), "").await;
    let at = json!([{"provider_key": key, "model": model}]);
    f.model("m", at, json!({"max_output_tokens": 2000})).await;
}

/// 4,500 bytes that are 1,001 tokens.
fn long() -> Value {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(100);
    json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": text}]})
}

/// The budget pays for what the prompt is, not for its bytes.
#[tokio::test]
async fn a_budget_that_pays_for_the_tokens_but_not_for_the_bytes_is_admitted() {
    for f in Fixture::each("0.0016").await {
        let upstream = MockUpstream::start(Reply::chat("Hello", 1_008, 5)).await;
        deployed(&f, "openai", &upstream, "gpt-4o").await;
        let response = f.send(&long()).await.unwrap();
        assert_eq!(header(&response, "x-cf-output-limit"), None, "{}", f.name);
        assert_eq!(upstream.received()[0].json()["max_tokens"], 100);
        assert_eq!(f.the_call().await.prompt_tokens, 1_008);
    }
}

#[tokio::test]
async fn where_no_tokenizer_is_known_the_bytes_are_reserved() {
    for (provider, model) in [("openai_compatible", "gpt-4o"), ("openai", "gpt-9")] {
        let f = Fixture::new("0.0016").await;
        let upstream = MockUpstream::start(Reply::chat("Hello", 1_008, 5)).await;
        deployed(&f, provider, &upstream, model).await;
        let error = f.send(&long()).await.err().unwrap();
        assert_eq!(error.kind, Kind::BudgetExceeded, "{provider} {model}");
        assert!(upstream.received().is_empty());
        assert_eq!(f.logged().await, vec![]);
    }
}

/// A budget that does not even pay for the tokens.
#[tokio::test]
async fn a_prompt_that_is_counted_and_still_too_dear_is_refused_or_its_answer_lowered() {
    let f = Fixture::new("0.0009").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1_008, 5)).await;
    deployed(&f, "openai", &upstream, "gpt-4o").await;
    let error = f.send(&long()).await.err().unwrap();
    assert_eq!(error.kind, Kind::BudgetExceeded);
    assert!(error.message.starts_with("Budget exceeded"), "{error}");

    let f = Fixture::new("0.0013").await;
    deployed(&f, "openai", &upstream, "gpt-4o").await;
    let response = f.send(&long()).await.unwrap();
    let limit: u64 = header(&response, "x-cf-output-limit")
        .unwrap()
        .parse()
        .unwrap();
    assert!((16..100).contains(&limit), "{limit}");
    assert_eq!(
        upstream.received().last().unwrap().json()["max_tokens"],
        limit
    );
}

/// A hundred prompts at once, each of which has to be counted: the budget admits
/// as many as it pays for, and no more.
#[tokio::test]
async fn counted_calls_at_once_stay_within_the_budget() {
    for f in Fixture::each("0.0045").await {
        let upstream = MockUpstream::start(Reply::chat("Hello", 1_008, 100)).await;
        deployed(&f, "openai", &upstream, "gpt-4o").await;
        let body = long();
        let calls = (0..20).map(|_| f.send(&body));
        let answers = futures_util::future::join_all(calls).await;
        let admitted = answers.iter().filter(|answer| answer.is_ok()).count();
        // 1.3 m$ are reserved and 1.208 spent for each.
        assert_eq!(admitted, 3, "{}", f.name);
        drop(answers);
        f.assert_settled().await;
        assert!(f.spent().await <= crate::fixture::nanos("0.0045"));
    }
}

/// The flat 50,000 tokens of before would have been 0.05 dollars.
#[tokio::test]
async fn a_picture_is_reserved_by_its_size() {
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=";
    let body = json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}},
    ]}]});
    let f = Fixture::new("0.002").await;
    let upstream = MockUpstream::start(Reply::chat("A dot", 280, 5)).await;
    deployed(&f, "openai", &upstream, "gpt-4o").await;
    let response = f.send(&body).await.unwrap();
    assert_eq!(header(&response, "x-cf-output-limit"), None);

    let f = Fixture::new("0.002").await;
    deployed(&f, "openai_compatible", &upstream, "gpt-4o").await;
    let error = f.send(&body).await.err().unwrap();
    assert_eq!(error.kind, Kind::BudgetExceeded, "nobody knows its rule");
}

/// Three searches at a cent each, and a context of 1,000 tokens.
#[tokio::test]
async fn searches_are_reserved_by_the_piece() {
    let body = json!({"model": "m", "max_tokens": 10,
        "messages": [{"role": "user", "content": "News?"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]});
    let upstream = MockUpstream::start(Reply::json(
        200,
        json!({"id": "m", "type": "message", "role": "assistant", "model": "c",
            "content": [{"type": "text", "text": "None."}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 500, "output_tokens": 5,
                "server_tool_use": {"web_search_requests": 2}}})
        .to_string(),
    ))
    .await;
    for (budget, admitted) in [("0.0305", false), ("0.0315", true)] {
        let f = Fixture::new(budget).await;
        let key = f.key("anthropic", &upstream.base_url(), "").await;
        let at = json!([{"provider_key": key, "model": "claude-sonnet-4-5"}]);
        let prices = json!({"input": 1, "output": 2, "web_search": 0.01});
        f.model("m", at, json!({"prices": prices, "context_window": 1000}))
            .await;
        let answer = f.send_messages(&body, Wishes::default()).await;
        assert_eq!(answer.is_ok(), admitted, "{budget}");
        if admitted {
            assert_eq!(f.the_call().await.cost, crate::fixture::nanos("0.02051"));
            let sent = upstream.received().last().unwrap().json();
            assert_eq!(sent["tools"], body["tools"]);
        }
    }
    // Who does not say how many gets ten, which the provider is told.
    let mut body = body;
    body["tools"][0].as_object_mut().unwrap().remove("max_uses");
    let f = Fixture::new("0.12").await;
    let key = f.key("anthropic", &upstream.base_url(), "").await;
    let at = json!([{"provider_key": key, "model": "claude-sonnet-4-5"}]);
    let prices = json!({"input": 1, "output": 2, "web_search": 0.01});
    f.model("m", at, json!({"prices": prices, "context_window": 1000}))
        .await;
    assert!(f.send_messages(&body, Wishes::default()).await.is_ok());
    let sent = upstream.received().last().unwrap().json();
    assert_eq!(sent["tools"][0]["max_uses"], 10, "{sent}");
    assert_eq!(sent["tools"][0]["name"], "web_search");
}

#[tokio::test]
async fn a_search_whose_price_nobody_knows_is_refused_and_not_given_away() {
    let upstream = MockUpstream::start(Reply::json(200, "{}")).await;
    let f = Fixture::new("10").await;
    let key = f.key("anthropic", &upstream.base_url(), "").await;
    let at = json!([{"provider_key": key, "model": "claude-sonnet-4-5"}]);
    let prices = json!({"input": 1, "output": 2});
    f.model("m", at, json!({"prices": prices, "context_window": 1000}))
        .await;
    let mut body = json!({"model": "m", "max_tokens": 10,
        "messages": [{"role": "user", "content": "News?"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]});
    let refused = f
        .send_messages(&body, Wishes::default())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.kind, Kind::Unprocessable);
    assert!(
        refused.message.contains("set `web_search` in the prices"),
        "{}",
        refused.message
    );
    assert!(upstream.received().is_empty());
    // Without the search the same model is called.
    body.as_object_mut().unwrap().remove("tools");
    let _ = f.send_messages(&body, Wishes::default()).await;
    assert_eq!(upstream.received().len(), 1);
}

/// Anthropic lets thinking go beyond the limit over several turns of tools.
#[tokio::test]
async fn thinking_beyond_the_limit_is_reserved_and_lowered_with_it() {
    let body = |budget: u64| {
        json!({"model": "m", "max_tokens": 4_000,
            "thinking": {"type": "enabled", "budget_tokens": budget},
            "messages": [{"role": "user", "content": "Hi"}]})
    };
    let upstream = MockUpstream::start(Reply::json(
        200,
        json!({"id": "m", "type": "message", "role": "assistant", "model": "c",
            "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 10, "output_tokens": 5}})
        .to_string(),
    ))
    .await;
    let deployed = async |budget: &str| {
        let f = Fixture::new(budget).await;
        let key = f.key("anthropic", &upstream.base_url(), "").await;
        let at = json!([{"provider_key": key, "model": "claude-sonnet-4-5"}]);
        f.model("m", at, json!({"max_output_tokens": 64_000})).await;
        f
    };
    // 4,000 tokens of output are 8 m$; with 20,000 of thinking beyond, 48.
    let f = deployed("0.02").await;
    assert!(
        f.send_messages(&body(3_000), Wishes::default())
            .await
            .is_ok()
    );
    let f = deployed("0.02").await;
    let error = f.send_messages(&body(20_000), Wishes::default()).await;
    assert_eq!(error.err().unwrap().kind, Kind::BudgetExceeded);
    // A lowered limit takes the thinking with it, which must stay below it.
    let f = deployed("0.006").await;
    let response = f
        .send_messages(&body(3_500), Wishes::default())
        .await
        .unwrap();
    let limit: u64 = header(&response, "x-cf-output-limit")
        .unwrap()
        .parse()
        .unwrap();
    let sent = upstream.received().last().unwrap().json();
    assert_eq!(sent["max_tokens"], limit);
    assert_eq!(sent["thinking"]["budget_tokens"], limit / 2, "{sent}");
}
