//! Which deployment is asked, which is left alone, and when a call is tried again.

use std::time::Duration;

use bytes::Bytes;
use cf_base::Kind;
use cf_gateway::{ComeBack, KeyNews};
use cf_testkit::{MockUpstream, Reply, Step};
use serde_json::json;

use crate::fixture::{Fixture, PATIENCE, cost, header, plain, streamed, text};

fn limited(retry_after: &str) -> Reply {
    Reply {
        headers: vec![("retry-after", retry_after.into())],
        ..Reply::json(429, r#"{"error":{"message":"slow down"}}"#)
    }
}

fn words(tried: &[(String, String)]) -> Vec<(&str, &str)> {
    tried.iter().map(|(a, b)| (&**a, &**b)).collect()
}

#[tokio::test]
async fn a_deployment_at_its_limit_is_left_alone_for_as_long_as_it_asks() {
    let f = Fixture::new("10").await;
    let first = MockUpstream::start(Reply::chat("first", 1, 1)).await;
    let second = MockUpstream::start(Reply::chat("second", 1, 1)).await;
    first.next(limited("20"));
    f.at(&[&first, &second]).await;
    for (asked, tried) in [
        (1, &[("rate_limit", "real-0"), ("ok", "real-1")]),
        (1, &[("resting", "real-0"), ("ok", "real-1")]),
    ] {
        let response = f.send(&plain()).await.unwrap();
        assert_eq!(header(&response, "x-cf-model"), Some("real-1"));
        assert_eq!(first.received().len(), asked);
        assert_eq!(words(&f.tried().await), tried);
    }
    f.clock.advance(Duration::from_secs(20));
    let response = f.send(&plain()).await.unwrap();
    assert_eq!(header(&response, "x-cf-model"), Some("real-0"));
    assert_eq!(f.tried().await, [], "the first one answered");
}

#[tokio::test]
async fn only_one_call_tries_a_deployment_that_was_left_alone() {
    let f = Fixture::new("10").await;
    let first = MockUpstream::start(Reply::chat("first", 1, 1).after(PATIENCE)).await;
    let second = MockUpstream::start(Reply::chat("second", 1, 1)).await;
    first.next(limited("1"));
    f.at(&[&first, &second]).await;
    f.send(&plain()).await.unwrap();
    f.clock.advance(Duration::from_secs(1));
    let trying = async {
        let response = f.send(&plain()).await.unwrap();
        assert_eq!(header(&response, "x-cf-model"), Some("real-0"));
    };
    let meanwhile = async {
        tokio::time::sleep(PATIENCE / 4).await;
        for _ in 0..3 {
            let response = f.send(&plain()).await.unwrap();
            assert_eq!(header(&response, "x-cf-model"), Some("real-1"));
        }
    };
    tokio::join!(trying, meanwhile);
    assert_eq!(first.received().len(), 2);
}

#[tokio::test]
async fn where_all_are_left_alone_the_client_is_told_when_to_come_back() {
    let f = Fixture::new("10").await;
    let only = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    only.next(limited("20"));
    f.at(&[&only]).await;
    let error = f.send(&plain()).await.err().unwrap();
    let twenty = Duration::from_secs(20);
    let at_limit = Kind::RateLimited {
        retry_after: twenty,
    };
    assert_eq!(error.kind, at_limit);
    // The provider is not asked again before that.
    let error = f.send(&plain()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Upstream { status: 503 });
    assert!(error.message.contains("in 20 seconds"), "{error}");
    let told = error.source.unwrap();
    let told: &ComeBack = told.downcast_ref().unwrap();
    assert_eq!(told.after, twenty);
    assert_eq!(only.received().len(), 1);
    // But when it is so near that nobody would come back for it.
    f.clock.advance(Duration::from_millis(19_500));
    assert!(f.send(&plain()).await.is_ok());
    f.assert_settled().await;
}

#[tokio::test]
async fn a_provider_that_fails_again_and_again_is_left_alone() {
    let f = Fixture::new("10").await;
    let first = MockUpstream::start(Reply::json(500, "{}")).await;
    let second = MockUpstream::start(Reply::chat("second", 1, 1)).await;
    f.at(&[&first, &second]).await;
    for _ in 0..10 {
        f.send(&plain()).await.unwrap();
    }
    assert_eq!(first.received().len(), 3);
    // Half open: one call tries, and it is left alone for longer.
    f.clock.advance(Duration::from_secs(1));
    for _ in 0..10 {
        f.send(&plain()).await.unwrap();
    }
    assert_eq!(first.received().len(), 4);
}

#[tokio::test]
async fn streams_that_break_off_count_as_failures() {
    let f = Fixture::new("10").await;
    let word = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let broken = Reply::stream(vec![Step::Send(Bytes::from(word)), Step::Reset]);
    let first = MockUpstream::start(broken).await;
    let second = MockUpstream::start(Reply::chat_stream(&["Hello"], 1, 1)).await;
    f.at(&[&first, &second]).await;
    for _ in 0..6 {
        if let Ok(response) = f.send(&streamed()).await {
            text(response.into_body()).await;
        }
    }
    assert_eq!(first.received().len(), 3);
    assert_eq!(second.received().len(), 3);
}

#[tokio::test]
async fn a_key_that_is_refused_is_set_aside_with_all_its_deployments() {
    for (status, body, trouble) in [
        (401, "{}", "credentials"),
        (402, "{}", "out_of_credit"),
        (
            429,
            r#"{"error":{"code":"insufficient_quota"}}"#,
            "out_of_credit",
        ),
    ] {
        let f = Fixture::new("10").await;
        let mut news = f.gateway.key_news();
        let bad = MockUpstream::start(Reply::json(status, body)).await;
        let good = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
        let bad_key = f.key("openai_compatible", &bad.base_url(), "").await;
        let good_key = f.key("openai_compatible", &good.base_url(), "").await;
        for (name, model) in [("m", "one"), ("n", "two")] {
            let deployments = json!([
                {"provider_key": bad_key, "model": model, "order": 0},
                {"provider_key": good_key, "model": model, "order": 1},
            ]);
            f.model(name, deployments, json!({})).await;
        }
        let mut other = plain();
        other["model"] = "n".into();
        assert!(f.send(&plain()).await.is_ok());
        assert!(f.send(&other).await.is_ok());
        assert_eq!(bad.received().len(), 1, "{status}");
        let KeyNews::Refused { key, trouble: told } = news.try_recv().unwrap() else {
            panic!("it is refused");
        };
        assert_eq!((key.0, &*told), (bad_key, trouble));
        // A minute later one call tries it.
        f.clock.advance(Duration::from_secs(60));
        bad.next(Reply::chat("Hello", 1, 1));
        let response = f.send(&plain()).await.unwrap();
        assert_eq!(
            header(&response, "x-cf-provider"),
            Some("openai_compatible")
        );
        assert_eq!(bad.received().len(), 2);
        let KeyNews::Works { key } = news.try_recv().unwrap() else {
            panic!("it works");
        };
        assert_eq!(key.0, bad_key);
        assert!(f.send(&other).await.is_ok());
        assert_eq!(bad.received().len(), 3);
    }
}

#[tokio::test]
async fn a_model_that_is_refused_leaves_the_keys_other_models_alone() {
    for status in [403, 404] {
        let f = Fixture::new("10").await;
        let mut news = f.gateway.key_news();
        let provider = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
        let key = f.key("openai_compatible", &provider.base_url(), "").await;
        let at = |model: &str| json!([{"provider_key": key, "model": model}]);
        f.model("m", at("refused"), json!({})).await;
        f.model("n", at("allowed"), json!({})).await;
        provider.next(Reply::json(status, "{}"));
        assert!(f.send(&plain()).await.is_err());
        let KeyNews::Refused { trouble, .. } = news.try_recv().unwrap() else {
            panic!("it is refused");
        };
        assert!(trouble.ends_with(" refused"), "{trouble}");
        let error = f.send(&plain()).await.err().unwrap();
        assert!(error.message.contains("in 60 seconds"), "{error}");
        let mut other = plain();
        other["model"] = "n".into();
        assert!(f.send(&other).await.is_ok());
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_the_clients_matter_and_takes_nothing_from_others() {
    for status in [403, 404] {
        let f = Fixture::new("10").await;
        let provider = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
        f.at(&[&provider]).await;
        let said = json!({"error": {"message": "No such File object: file-123"}});
        provider.next(Reply::json(status, said.to_string()));
        let refused = f.send(&plain()).await.unwrap();
        assert_eq!(refused.status(), 400);
        assert!(text(refused.into_body()).await.contains("file-123"));
        assert!(f.send(&plain()).await.is_ok());
    }
}

#[tokio::test]
async fn what_was_refused_before_a_restart_is_tried_by_one_call_and_told_when_it_works() {
    for trouble in [
        "credentials",
        "out_of_credit",
        "access real-0",
        "unknown_model real-0",
    ] {
        let f = Fixture::new("10").await;
        let mut news = f.gateway.key_news();
        let slow = MockUpstream::start(Reply::chat("first", 1, 1).after(PATIENCE)).await;
        let spare = MockUpstream::start(Reply::chat("second", 1, 1)).await;
        f.at(&[&slow, &spare]).await;
        // As it stands in the database when a process starts.
        let sql = "update provider_keys set trouble = $1, updated = 'x' where base_url = $2";
        let values = vec![trouble.into(), slow.base_url().into()];
        f.db.execute(sql, values).await.unwrap();
        f.gateway.reload().await.unwrap();
        let body = plain();
        let first = f.send(&body);
        let meanwhile = async {
            tokio::time::sleep(PATIENCE / 4).await;
            let response = f.send(&plain()).await.unwrap();
            assert_eq!(header(&response, "x-cf-model"), Some("real-1"), "{trouble}");
        };
        let (first, ()) = tokio::join!(first, meanwhile);
        assert_eq!(header(&first.unwrap(), "x-cf-model"), Some("real-0"));
        assert!(
            matches!(news.try_recv(), Ok(KeyNews::Works { .. })),
            "{trouble}"
        );
    }
}

#[tokio::test]
async fn a_key_that_was_saved_is_tried_at_once() {
    let f = Fixture::new("10").await;
    let provider = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    provider.next(Reply::json(401, "{}"));
    f.at(&[&provider]).await;
    assert!(f.send(&plain()).await.is_err());
    // Records that have nothing to do with it are saved all the time.
    f.gateway.reload().await.unwrap();
    assert!(f.send(&plain()).await.is_err());
    assert_eq!(provider.received().len(), 1);
    let sql = "update provider_keys set updated = 'later'";
    f.db.execute(sql, vec![]).await.unwrap();
    f.gateway.reload().await.unwrap();
    assert!(f.send(&plain()).await.is_ok());
}

#[tokio::test]
async fn what_was_tried_is_logged_without_a_word_of_the_provider() {
    for f in Fixture::each("10").await {
        let page = json!({"error": {"message": "the prompt was: secret things"}});
        let first = MockUpstream::start(Reply::json(500, page.to_string())).await;
        let second = MockUpstream::start(limited("7")).await;
        let third = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
        f.at(&[&first, &second, &third]).await;
        f.send(&plain()).await.unwrap();
        assert_eq!(f.the_call().await.cost, cost(10, 5), "{}", f.name);
        let row = f.db.query_opt("select attempts from usage_logs", vec![]);
        let row = row.await.unwrap().unwrap();
        let log: String = row.at(0).unwrap();
        assert!(!log.contains("secret things"), "{log}");
        let log: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(log[0]["status"], 500, "{log}");
        assert_eq!(log[0]["outcome"], "failed");
        assert_eq!(log[0]["for"], "m");
        assert!(log[0]["took_ms"].is_u64());
        assert_eq!(log[1]["outcome"], "rate_limit");
        assert_eq!(log[1]["wait_ms"], 7_000);
        assert_eq!(log[2]["outcome"], "ok");
        assert_eq!(log[2]["model"], "real-2");
    }
}

#[tokio::test]
async fn a_model_may_have_its_deployments_gone_through_again() {
    let f = Fixture::new("10").await;
    let only = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    f.at(&[&only]).await;
    f.change("m", "retries", 2_i64).await;
    only.next(Reply::json(500, "{}"));
    only.next(Reply::json(503, "{}"));
    f.send(&plain()).await.unwrap();
    assert_eq!(only.received().len(), 3);
    let outcomes = [("failed", "real-0"), ("failed", "real-0"), ("ok", "real-0")];
    assert_eq!(words(&f.tried().await), outcomes);
    assert_eq!(f.the_call().await.cost, cost(10, 5));
}

#[tokio::test]
async fn nobody_waits_long_and_nothing_that_may_be_under_way_is_sent_again() {
    let f = Fixture::impatient().await;
    let only = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&only]).await;
    f.change("m", "retries", 5_i64).await;
    only.next(limited("6"));
    let asked = tokio::time::Instant::now();
    assert!(f.send(&plain()).await.is_err());
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "it is told at once"
    );
    assert_eq!(only.received().len(), 1);
    f.clock.advance(Duration::from_secs(6));
    for late in [
        Reply::chat_stream(&["late"], 1, 1).after(PATIENCE * 2),
        Reply::json(400, "{}"),
    ] {
        let before = only.received().len();
        only.next(late);
        let answer = f.send(&streamed()).await;
        assert!(answer.map_or(true, |a| a.status() == 400));
        assert_eq!(only.received().len(), before + 1);
    }
}

#[tokio::test]
async fn a_client_that_leaves_between_two_tries_ends_the_call() {
    let f = Fixture::new("10").await;
    let provider = MockUpstream::start(Reply::json(500, "{}")).await;
    // One whose answers are read on where a client leaves.
    let key = f.key("mistral", &provider.base_url(), "").await;
    let deployments = json!([{"provider_key": key, "model": "real"}]);
    f.model("m", deployments, json!({})).await;
    f.change("m", "retries", 2_i64).await;
    let body = plain();
    tokio::select! {
        _ = f.send(&body) => panic!("it is tried again"),
        () = tokio::time::sleep(PATIENCE / 2) => {}
    }
    tokio::time::sleep(PATIENCE * 3).await;
    assert_eq!(provider.received().len(), 1);
    let call = f.the_call().await;
    assert_eq!((&*call.status, call.cost), ("cancelled", cost(0, 0)));
}

#[tokio::test]
async fn the_least_busy_deployment_is_asked_where_the_model_says_so() {
    let f = Fixture::new("10").await;
    let word = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let endless = Reply::stream(vec![Step::Send(Bytes::from(word)), Step::Stall]);
    let upstream = MockUpstream::start(endless).await;
    let key = f.key("openai_compatible", &upstream.base_url(), "").await;
    let deployments = json!([
        {"provider_key": key, "model": "large", "weight": 2},
        {"provider_key": key, "model": "small", "weight": 1},
        {"provider_key": key, "model": "never", "weight": 0},
    ]);
    f.model("m", deployments, json!({})).await;
    f.change("m", "balance", "least_busy").await;
    let mut running = Vec::new();
    for _ in 0..9 {
        running.push(f.send(&streamed()).await.unwrap());
    }
    let at = |model| {
        let here = running.iter();
        here.filter(|r| header(r, "x-cf-model") == Some(model))
            .count()
    };
    assert_eq!((at("large"), at("small"), at("never")), (6, 3, 0));
    // Who has ended is not busy any more.
    running.retain(|r| header(r, "x-cf-model") != Some("small"));
    let next = f.send(&streamed()).await.unwrap();
    assert_eq!(header(&next, "x-cf-model"), Some("small"));
}

#[tokio::test]
async fn the_quickest_deployment_is_asked_where_the_model_says_so() {
    let f = Fixture::new("10").await;
    let slow = Reply::chat("slow", 1, 1).after(Duration::from_millis(60));
    let slow = MockUpstream::start(slow).await;
    let quick = MockUpstream::start(Reply::chat("quick", 1, 1)).await;
    let mut deployments = Vec::new();
    for (upstream, model) in [(&slow, "slow"), (&quick, "quick")] {
        let key = f.key("openai_compatible", &upstream.base_url(), "").await;
        deployments.push(json!({"provider_key": key, "model": model}));
    }
    f.model("m", deployments.into(), json!({})).await;
    f.change("m", "balance", "lowest_latency").await;
    for _ in 0..12 {
        f.send(&plain()).await.unwrap();
    }
    // Each was tried once to be known.
    assert_eq!((slow.received().len(), quick.received().len()), (1, 11));
    // What was measured a minute ago is measured again.
    f.clock.advance(Duration::from_secs(61));
    for _ in 0..4 {
        f.send(&plain()).await.unwrap();
    }
    assert_eq!(slow.received().len(), 2);
}

#[tokio::test]
async fn a_model_may_have_time_limits_of_its_own() {
    let f = Fixture::new("10").await;
    let late = Reply::chat_stream(&["late"], 1, 1).after(Duration::from_secs(3));
    let provider = MockUpstream::start(late).await;
    f.at(&[&provider]).await;
    f.change("m", "first_byte_seconds", 1_i64).await;
    let error = f.send(&streamed()).await.err().unwrap();
    assert!(error.message.contains("within 1 seconds"), "{error}");
    assert_eq!(words(&f.tried().await), [("timeout", "real-0")]);
    f.change("m", "first_byte_seconds", 0_i64).await;
    f.change("m", "gap_seconds", 1_i64).await;
    provider.next(Reply::stream(vec![Step::Stall]));
    let response = f.send(&streamed()).await.unwrap();
    assert!(text(response.into_body()).await.contains("went silent"));
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_with_comments() {
    let f = Fixture::talkative().await;
    let mut reply = Reply::chat_stream(&["Hello"], 10, 5);
    reply
        .steps
        .insert(1, Step::Wait(Duration::from_millis(450)));
    reply
        .steps
        .insert(0, Step::Wait(Duration::from_millis(250)));
    let provider = MockUpstream::start(reply).await;
    f.at(&[&provider]).await;
    let whole = text(f.send(&streamed()).await.unwrap().into_body()).await;
    let (before, after) = whole.split_once("Hello").unwrap();
    assert!(before.matches(": keep-alive\n\n").count() >= 1, "{whole}");
    assert!(after.matches(": keep-alive\n\n").count() >= 2, "{whole}");
    assert!(whole.ends_with("data: [DONE]\n\n"));
    assert_eq!(f.the_call().await.cost, cost(10, 5));
}
