//! How much at a time.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{Caller, Kind, Limits};
use cf_testkit::{MockUpstream, Reply, Step};

use crate::fixture::{Fixture, header, plain, streamed};

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
