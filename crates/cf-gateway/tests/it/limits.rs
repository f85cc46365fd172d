//! How much at a time.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{Caller, Kind, Limits};
use cf_testkit::{MockUpstream, Reply, Step};

use crate::fixture::{Fixture, estimate, header, plain, streamed};

fn limited(f: &Fixture, limits: Limits) -> Arc<Caller> {
    Arc::new(Caller {
        limits,
        ..(*f.caller).clone()
    })
}

#[tokio::test]
async fn requests_a_minute_are_counted_and_come_back() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&upstream]).await;
    let caller = limited(
        &f,
        Limits {
            requests_per_minute: 2,
            ..Limits::default()
        },
    );
    for left in ["1", "0"] {
        let response = f.send_as(&caller, &plain()).await.unwrap();
        assert_eq!(header(&response, "x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(
            header(&response, "x-ratelimit-remaining-requests"),
            Some(left)
        );
    }
    let Kind::RateLimited { retry_after } = f.send_as(&caller, &plain()).await.err().unwrap().kind
    else {
        panic!("the third is one too many");
    };
    assert!(
        retry_after <= Duration::from_millis(30_001),
        "{retry_after:?}"
    );
    assert_eq!(upstream.received().len(), 2);
    f.clock.advance(retry_after);
    assert!(f.send_as(&caller, &plain()).await.is_ok());
    // Without a limit there is none, and no header.
    let response = f.send(&plain()).await.unwrap();
    assert_eq!(header(&response, "x-ratelimit-limit-requests"), None);
}

#[tokio::test]
async fn parallel_requests_count_until_the_answer_has_ended() {
    let f = Fixture::new("10").await;
    let stall = Reply::stream(vec![Step::Stall]);
    let upstream = MockUpstream::start(stall).await;
    f.at(&[&upstream]).await;
    let caller = limited(
        &f,
        Limits {
            parallel_requests: 2,
            ..Limits::default()
        },
    );
    let first = f.send_as(&caller, &streamed()).await.unwrap();
    let _second = f.send_as(&caller, &streamed()).await.unwrap();
    let refused = f.send_as(&caller, &streamed()).await.err().unwrap();
    assert!(
        matches!(refused.kind, Kind::RateLimited { .. }),
        "{refused}"
    );
    drop(first);
    assert!(f.send_as(&caller, &streamed()).await.is_ok());
}

#[tokio::test]
async fn a_refused_call_does_not_count_as_running() {
    let f = Fixture::new("0").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&upstream]).await;
    let caller = limited(
        &f,
        Limits {
            parallel_requests: 1,
            ..Limits::default()
        },
    );
    for _ in 0..3 {
        let error = f.send_as(&caller, &plain()).await.err().unwrap();
        assert_eq!(error.kind, Kind::BudgetExceeded);
    }
}

#[tokio::test]
async fn tokens_a_minute_are_estimated_then_put_right_and_told() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 30, 10)).await;
    f.at(&[&upstream]).await;
    let caller = limited(
        &f,
        Limits {
            tokens_per_minute: 600,
            ..Limits::default()
        },
    );
    let mut body = plain();
    body["max_tokens"] = 500.into();
    let prompt = estimate(&body);
    let response = f.send_as(&caller, &body).await.unwrap();
    assert_eq!(header(&response, "x-ratelimit-limit-tokens"), Some("600"));
    let left = (600 - 500 - prompt).to_string();
    assert_eq!(
        header(&response, "x-ratelimit-remaining-tokens"),
        Some(&*left)
    );
    let reset = header(&response, "x-ratelimit-reset-tokens").unwrap();
    assert!(reset.ends_with('s'), "{reset}");
    // It used 40 in the end.
    let response = f.send_as(&caller, &body).await.unwrap();
    let left = (600 - 40 - 500 - prompt).to_string();
    assert_eq!(
        header(&response, "x-ratelimit-remaining-tokens"),
        Some(&*left)
    );
    // A prompt that goes on for longer than what is left has to wait.
    body["max_tokens"] = 590.into();
    let error = f.send_as(&caller, &body).await.err().unwrap();
    assert!(error.message.contains("600 tokens a minute"), "{error}");
    let Kind::RateLimited { retry_after } = error.kind else {
        panic!("{error}");
    };
    assert_eq!(upstream.received().len(), 2);
    f.clock.advance(retry_after);
    assert!(f.send_as(&caller, &body).await.is_ok());
}

#[tokio::test]
async fn a_call_that_the_provider_refuses_gives_its_tokens_back() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::json(500, "{}")).await;
    f.at(&[&upstream]).await;
    let caller = limited(
        &f,
        Limits {
            tokens_per_minute: 600,
            ..Limits::default()
        },
    );
    let mut body = plain();
    body["max_tokens"] = 400.into();
    for _ in 0..3 {
        let error = f.send_as(&caller, &body).await.err().unwrap();
        assert!(matches!(error.kind, Kind::Upstream { .. }), "{error}");
    }
}

#[tokio::test]
async fn key_tenant_and_model_have_limits_of_their_own() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    f.at(&[&upstream]).await;
    let once = Limits {
        requests_per_minute: 1,
        ..Limits::default()
    };
    let of_key = Arc::new(Caller {
        key_limits: once,
        ..(*f.caller).clone()
    });
    let of_tenant = Arc::new(Caller {
        tenant_limits: once,
        ..(*f.caller).clone()
    });
    for (caller, words) in [(of_key, "this API key"), (of_tenant, "this tenant")] {
        assert!(f.send_as(&caller, &plain()).await.is_ok());
        let error = f.send_as(&caller, &plain()).await.err().unwrap();
        assert!(error.message.contains(words), "{error}");
    }
    f.change("m", "rate_limit", 1_i64).await;
    assert!(f.send(&plain()).await.is_ok());
    // Whoever calls.
    let other = Arc::new(Caller {
        user_id: f.caller.user_id,
        key_id: None,
        ..(*f.caller).clone()
    });
    let error = f.send_as(&other, &plain()).await.err().unwrap();
    assert!(error.message.contains("this model"), "{error}");
}
