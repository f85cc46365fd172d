//! Budgets: what is reserved before a call, and what becomes of it.

use cf_base::{Kind, Nanos};
use cf_testkit::{MockUpstream, Reply, Step};
use futures_util::future::join_all;
use serde_json::json;

use crate::fixture::{Fixture, cost, header, nanos, plain, streamed, text};

#[tokio::test]
async fn a_budget_that_covers_less_lowers_the_limit_and_says_so() {
    for f in Fixture::each("0.0015").await {
        let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
        f.at(&[&upstream]).await;
        let mut body = plain();
        body["max_tokens"] = 900.into();
        let response = f.send(&body).await.unwrap();
        let limit: i64 = header(&response, "x-cf-output-limit")
            .unwrap()
            .parse()
            .unwrap();
        // 1,500 µ$ less the prompt's bound at 1 µ$ a byte, at 2 µ$ a token.
        let bound = i64::try_from(body.to_string().len()).unwrap();
        assert_eq!(limit, (1500 - bound) / 2, "{}", f.name);
        assert_eq!(
            upstream.received().last().unwrap().json()["max_tokens"],
            limit
        );
        assert_eq!(f.the_call().await.cost, cost(10, 5));
    }
}

#[tokio::test]
async fn nothing_is_lowered_while_the_budget_is_ample() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    f.at(&[&upstream]).await;
    let mut body = plain();
    body["max_tokens"] = 900.into();
    let response = f.send(&body).await.unwrap();
    assert_eq!(header(&response, "x-cf-output-limit"), None);
    assert_eq!(upstream.received()[0].json()["max_tokens"], 900);
}

#[tokio::test]
async fn where_nothing_useful_fits_the_answer_is_budget_exceeded() {
    let f = Fixture::new("0.00008").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    f.at(&[&upstream]).await;
    let error = f.send(&plain()).await.err().unwrap();
    assert_eq!(error.kind, Kind::BudgetExceeded);
    assert!(error.message.starts_with("Budget exceeded"), "{error}");
    assert!(upstream.received().is_empty());
    assert_eq!(f.logged().await, vec![]);
}

#[tokio::test]
async fn the_output_limit_comes_from_the_client_the_record_or_the_context() {
    let f = Fixture::new("1000").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    let key = f.key("openai_compatible", &upstream.base_url(), "").await;
    let at = json!([{"provider_key": key, "model": "x"}]);
    let length = i64::try_from(plain().to_string().len()).unwrap();
    for (name, max_output, context, asked, told) in [
        // Nobody says: a limit of ours, so that the worst case is known.
        ("a", 0, 0, None, Some(8192)),
        ("b", 500, 0, None, Some(500)),
        ("c", 500, 0, Some(400), Some(400)),
        ("d", 500, 0, Some(600), Some(500)),
        // What the context leaves after the prompt's bound.
        ("i", 0, 4096, None, Some(4096 - length)),
        // A long prompt's bound leaves little, so the server decides.
        ("k", 0, 100, None, None),
    ] {
        let fields = json!({"max_output_tokens": max_output, "context_window": context});
        f.model(name, at.clone(), fields).await;
        let mut body = plain();
        body["model"] = name.into();
        if let Some(asked) = asked {
            body["max_tokens"] = asked.into();
        }
        let response = f.send(&body).await.unwrap();
        let sent = upstream.received().last().unwrap().json();
        assert_eq!(sent["max_tokens"].as_i64(), told, "{name}");
        let lowered = asked.is_some_and(|asked| told.is_some_and(|told| told < asked));
        assert_eq!(
            header(&response, "x-cf-output-limit").is_some(),
            lowered,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_known_model_is_not_told_what_it_does_by_itself() {
    let f = Fixture::new("1000").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1_000_000, 1_000_000)).await;
    let key = f.key("openai", &upstream.base_url(), "").await;
    let at = json!([{"provider_key": key, "model": "gpt-5"}]);
    f.model("m", at, json!({"prices": {}, "max_output_tokens": 0}))
        .await;
    let response = f.send(&plain()).await.unwrap();
    let sent = upstream.received()[0].json();
    assert_eq!(sent.get("max_completion_tokens"), None);
    assert_eq!(sent.get("max_tokens"), None);
    // 1.25 and 10 dollars a million in the price book.
    assert_eq!(header(&response, "x-cf-cost"), Some("11.25"));
}

#[tokio::test]
async fn every_answer_asked_for_is_reserved() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::stream(vec![Step::Stall])).await;
    f.at(&[&upstream]).await;
    let mut body = streamed();
    body["max_tokens"] = 100.into();
    body["n"] = 7.into();
    let response = f.send(&body).await.unwrap();
    let pending = f.account().await.pending;
    let bound = i64::try_from(body.to_string().len()).unwrap();
    assert_eq!(pending, cost(bound, 700));
    drop(response);
}

#[tokio::test]
async fn a_request_of_unknown_size_is_bounded_by_the_context_or_refused() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::stream(vec![Step::Stall])).await;
    let key = f.key("openai_compatible", &upstream.base_url(), "").await;
    let at = json!([{"provider_key": key, "model": "x"}]);
    f.model("open", at.clone(), json!({})).await;
    f.model("m", at, json!({"context_window": 100_000})).await;
    let mut body = streamed();
    body["messages"][0]["content"] = json!([{"type": "file", "file": {"file_id": "file-1"}}]);
    let response = f.send(&body).await.unwrap();
    assert_eq!(f.account().await.pending, cost(100_000, 1000));
    drop(response);
    body["model"] = "open".into();
    let error = f.send(&body).await.err().unwrap();
    assert_eq!(error.kind, Kind::Unprocessable);
    assert!(error.message.contains("context_window"), "{error}");
}

#[tokio::test]
async fn many_calls_at_once_never_spend_more_than_there_is() {
    for f in Fixture::each("0.003").await {
        // As much output as the least reservation is for.
        let upstream = MockUpstream::start(Reply::chat("Hello", 50, 16)).await;
        f.at(&[&upstream]).await;
        let body = plain();
        let answers = join_all((0..40).map(|_| f.send(&body))).await;
        let (answered, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert!(
            answered.len() >= 2 && !refused.is_empty(),
            "{}",
            answered.len()
        );
        f.assert_settled().await;
        assert!(
            f.spent().await <= nanos("0.003"),
            "{}: {}",
            f.name,
            f.spent().await
        );
    }
}

#[tokio::test]
async fn what_is_not_used_is_given_back() {
    let f = Fixture::new("0.003").await;
    let upstream = MockUpstream::start(Reply::chat_stream(&["Hello"], 10, 5)).await;
    f.at(&[&upstream]).await;
    // Each reserves most of it, and costs 20 µ$.
    for _ in 0..20 {
        text(f.send(&streamed()).await.unwrap().into_body()).await;
    }
    f.assert_settled().await;
    assert_eq!(f.spent().await, Nanos(cost(10, 5).0 * 20));
}
