//! Providers that refuse, fail, or are not there.

use std::time::Duration;

use cf_base::{Kind, Nanos};
use cf_testkit::{MockUpstream, Reply, Step};
use serde_json::{Value, json};

use crate::fixture::{Fixture, PATIENCE, SECRET, cost, header, plain, streamed, text};

fn upstream(status: u16) -> Kind {
    Kind::Upstream { status }
}

#[tokio::test]
async fn a_failure_before_any_answer_costs_nothing_and_is_logged() {
    let page = "<html><body>Bad gateway</body></html>";
    let limited = Reply {
        headers: vec![("retry-after", "7".into())],
        ..Reply::json(429, r#"{"error":{"message":"slow down"}}"#)
    };
    let seven = Duration::from_secs(7);
    for (reply, kind) in [
        (
            Reply::json(
                401,
                format!(r#"{{"error":{{"message":"bad key {SECRET}"}}}}"#),
            ),
            upstream(502),
        ),
        (Reply::json(403, "{}"), upstream(502)),
        (
            Reply::json(404, r#"{"error":{"message":"no such model"}}"#),
            upstream(502),
        ),
        (limited, Kind::RateLimited { retry_after: seven }),
        (Reply::json(500, page), upstream(502)),
        (Reply::json(503, "{}"), upstream(503)),
        (Reply::json(529, "{}"), upstream(503)),
        (Reply::json(200, page), upstream(502)),
        (
            Reply::json(200, r#"{"error":{"message":"oops"}}"#),
            upstream(502),
        ),
        (Reply::json(302, ""), upstream(502)),
    ] {
        let f = Fixture::new("10").await;
        let told = format!("{reply:?}");
        let provider = MockUpstream::start(reply).await;
        f.at(&[&provider]).await;
        let error = f.send(&plain()).await.err().unwrap();
        assert_eq!(error.kind, kind, "{told}: {error}");
        assert!(
            !error.message.contains(SECRET) && !error.message.contains("html"),
            "{error}"
        );
        let call = f.the_call().await;
        assert_eq!(
            (call.status.as_str(), call.cost),
            ("error", Nanos::ZERO),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_provider_that_may_have_read_the_prompt_is_paid_for_it() {
    let cut = Reply::stream(vec![Step::Reset]);
    let late = Reply::chat("late", 1, 1).after(PATIENCE * 3);
    for (reply, kind) in [(cut, upstream(502)), (late, upstream(504))] {
        let f = Fixture::impatient().await;
        let provider = MockUpstream::start(reply).await;
        f.at(&[&provider]).await;
        match f.send(&streamed()).await {
            // A stream that was begun says it in the stream.
            Ok(response) => assert!(text(response.into_body()).await.contains("upstream_error")),
            Err(error) => assert_eq!(error.kind, kind),
        }
        let call = f.the_call().await;
        assert_eq!(call.status, "error");
        assert!(call.cost > Nanos::ZERO, "{kind:?}");
    }
}

#[tokio::test]
async fn a_request_that_the_provider_refuses_is_told_with_its_own_param_and_code() {
    let f = Fixture::new("10").await;
    let said = json!({"error": {"message": "too hot", "type": "invalid_request_error",
        "param": "temperature", "code": "decimal_above_max_value"}});
    let first = MockUpstream::start(Reply::json(400, said.to_string())).await;
    let second = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&first, &second]).await;
    for body in [plain(), streamed()] {
        let response = f.send(&body).await.unwrap();
        assert_eq!(response.status(), 400);
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        let reply: Value = serde_json::from_str(&text(response.into_body()).await).unwrap();
        assert_eq!(reply, said);
    }
    assert!(second.received().is_empty(), "it would refuse it too");
    f.assert_settled().await;
    assert_eq!(f.spent().await, Nanos::ZERO);
}

#[tokio::test]
async fn another_deployment_is_tried_while_nothing_was_answered() {
    for reply in [
        Reply::json(500, "{}"),
        Reply::json(429, "{}"),
        Reply::json(401, "{}"),
        Reply::json(404, "{}"),
    ] {
        let f = Fixture::new("10").await;
        let first = MockUpstream::start(reply).await;
        let second = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
        f.at(&[&first, &second]).await;
        let response = f.send(&plain()).await.unwrap();
        assert_eq!(header(&response, "x-cf-model"), Some("real-1"));
        assert_eq!(first.received().len(), 1);
        assert_eq!(f.the_call().await.cost, cost(10, 5));
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_passed_over() {
    let f = Fixture::new("10").await;
    // A port that was free a moment ago.
    let gone = MockUpstream::start(Reply::chat("", 1, 1)).await.base_url();
    let there = MockUpstream::start(Reply::chat_stream(&["Hello"], 10, 5)).await;
    let first = f.key("openai_compatible", &gone, "").await;
    let second = f.key("openai_compatible", &there.base_url(), "").await;
    let deployments = json!([
        {"provider_key": first, "model": "a", "order": 0},
        {"provider_key": second, "model": "b", "order": 1},
    ]);
    f.model("m", deployments, json!({})).await;
    let response = f.send(&streamed()).await.unwrap();
    assert_eq!(header(&response, "x-cf-model"), Some("b"));
    assert!(text(response.into_body()).await.contains("[DONE]"));
    assert_eq!(f.the_call().await.cost, cost(10, 5));
}

#[tokio::test]
async fn a_call_that_may_be_under_way_is_not_bought_twice() {
    let f = Fixture::impatient().await;
    let slow = MockUpstream::start(Reply::chat("late", 1, 1).after(PATIENCE * 3)).await;
    let second = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&slow, &second]).await;
    let error = f.send(&streamed()).await.err().unwrap();
    assert_eq!(error.kind, upstream(504));
    assert!(second.received().is_empty());
    f.the_call().await;
}

#[tokio::test]
async fn a_private_address_is_refused_with_the_switch_that_allows_it() {
    let f = Fixture::guarded().await;
    let provider = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    let by_number = f.key("openai_compatible", &provider.base_url(), "").await;
    let by_name = provider.base_url().replace("127.0.0.1", "localhost");
    let by_name = f.key("openai_compatible", &by_name, "").await;
    for (name, key) in [("number", by_number), ("name", by_name)] {
        let deployments = json!([{"provider_key": key, "model": "a"}]);
        f.model(name, deployments, json!({})).await;
        let mut body = plain();
        body["model"] = name.into();
        let error = f.send(&body).await.err().unwrap();
        assert!(
            error.message.contains("--allow-private-upstreams"),
            "{error}"
        );
    }
    assert!(provider.received().is_empty());
    f.assert_settled().await;
}
