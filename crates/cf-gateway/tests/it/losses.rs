//! Five ways gateways lose money, all seen in the wild.

use std::time::Duration;

use bytes::Bytes;
use cf_base::Nanos;
use cf_testkit::{MockUpstream, Reply, Step};
use futures_util::future::join_all;
use serde_json::json;

use crate::fixture::{Fixture, PATIENCE, cost, estimate, frame, plain, streamed, text};

/// Waits until the provider has been sent `count` calls.
async fn received(upstream: &MockUpstream, count: usize) {
    for _ in 0..200 {
        if upstream.received().len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the provider was not called");
}

/// (1) The guard is made only when the provider's head has come, so that a
/// client that leaves earlier leaves a reservation; (3) and such a call appears
/// in no log.
#[tokio::test]
async fn a_client_that_leaves_before_the_head_leaves_no_reservation_and_is_logged() {
    for body in [plain(), streamed()] {
        for f in Fixture::each("10").await {
            let late = Reply::chat("late", 1, 1).after(PATIENCE * 2);
            let upstream = MockUpstream::start(late).await;
            f.at(&[&upstream]).await;
            tokio::select! {
                _ = f.send(&body) => panic!("the provider does not answer yet"),
                () = received(&upstream, 1) => {}
            }
            let call = f.the_call().await;
            assert_eq!(
                (call.status.as_str(), call.estimated),
                ("cancelled", true),
                "{}",
                f.name
            );
            // The provider may have read the prompt.
            assert_eq!(call.cost, cost(estimate(&body), 0));
        }
    }
}

/// (3) The same after the head, before the first byte of the answer.
#[tokio::test]
async fn a_client_that_leaves_before_the_first_byte_is_logged() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::stream(vec![Step::Stall])).await;
    f.at(&[&upstream]).await;
    let response = f.send(&streamed()).await.unwrap();
    drop(response);
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("cancelled", true));
    assert_eq!(call.cost, cost(estimate(&streamed()), 0));
}

/// (2) The charge is awaited inside the stream, the client hangs up after the
/// last frame of text, and the future is dropped.
#[tokio::test]
async fn a_client_that_leaves_after_the_last_word_pays_the_whole_price() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::chat_stream(&["Hello"], 10, 5)).await;
        f.at(&[&upstream]).await;
        let mut body = f.send(&streamed()).await.unwrap().into_body();
        // A word and the finish; next would be [DONE].
        for _ in 0..2 {
            assert!(frame(&mut body).await.is_some());
        }
        // Polled once more, so that the last event has come and waits for the books.
        let polled = tokio::time::timeout(Duration::from_millis(50), async {
            std::future::poll_fn(|cx| {
                use http_body::Body as _;
                let _ = std::pin::Pin::new(&mut body).poll_frame(cx);
                std::task::Poll::Ready(())
            })
            .await;
        });
        polled.await.unwrap();
        drop(body);
        let call = f.the_call().await;
        assert!(matches!(&*call.status, "ok" | "cancelled"), "{call:?}");
        let whole = (false, cost(10, 5));
        let by_estimate = (true, cost(estimate(&streamed()), 2));
        assert!(
            [whole, by_estimate].contains(&(call.estimated, call.cost)),
            "{call:?}"
        );
    }
}

/// (2) The same, with all that the provider sends in one packet: the last event
/// has come for certain, and its price with it.
#[tokio::test]
async fn a_client_that_leaves_while_the_books_are_written_pays_the_counted_price() {
    for f in Fixture::each("10").await {
        let reply = Reply::chat_stream(&["Hello"], 10, 5);
        let sent = |step: &Step| match step {
            Step::Send(bytes) => bytes.to_vec(),
            _ => vec![],
        };
        let all: Vec<u8> = reply.steps.iter().flat_map(sent).collect();
        let upstream = MockUpstream::start(Reply::stream(vec![Step::Send(Bytes::from(all))])).await;
        f.at(&[&upstream]).await;
        let mut body = f.send(&streamed()).await.unwrap().into_body();
        assert!(frame(&mut body).await.is_some());
        drop(body);
        let call = f.the_call().await;
        assert_eq!(
            (call.estimated, call.cost),
            (false, cost(10, 5)),
            "{}",
            f.name
        );
    }
}

/// (4) An unbounded or droppable queue between request and books.
#[tokio::test]
async fn a_crowd_that_leaves_at_once_is_in_the_books_to_the_last() {
    for f in Fixture::each("1000").await {
        let word = r#"data: {"choices":[{"index":0,"delta":{"content":"123456"}}]}"#;
        let steps = vec![Step::Send(Bytes::from(format!("{word}\n\n"))), Step::Stall];
        let upstream = MockUpstream::start(Reply::stream(steps)).await;
        f.at(&[&upstream]).await;
        let body = streamed();
        let mut streams: Vec<_> = join_all((0..150).map(|_| f.send(&body)))
            .await
            .into_iter()
            .map(|answer| answer.unwrap().into_body())
            .collect();
        join_all(streams.iter_mut().map(frame)).await;
        drop(streams);
        let logged = f.logged().await;
        assert_eq!(logged.len(), 150, "{}", f.name);
        for call in logged {
            assert_eq!(call.status, "cancelled");
            assert_eq!(call.cost, cost(estimate(&body), 2));
        }
        f.assert_settled().await;
    }
}

/// (5) Floating point between price and balance.
#[tokio::test]
async fn tenths_of_a_cent_add_up_to_the_last_digit() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 3, 7)).await;
    let key = f.key("openai_compatible", &upstream.base_url(), "").await;
    let deployments = json!([{"provider_key": key, "model": "x"}]);
    // 0.1 and 0.7 have no finite binary form.
    let prices = json!({"prices": {"input": 0.1, "output": 0.7}});
    f.model("m", deployments, prices).await;
    for _ in 0..100 {
        text(f.send(&plain()).await.unwrap().into_body()).await;
    }
    f.assert_settled().await;
    // 3 × 100 + 7 × 700 nano-dollars each.
    assert_eq!(f.spent().await, Nanos(100 * 5200));
}

/// A provider that goes on and bills to the end is read on without the client,
/// and its own count is charged: before the head, and within a stream.
#[tokio::test]
async fn a_client_that_leaves_a_provider_that_bills_on_pays_what_it_counts() {
    let word = Step::Wait(Duration::from_millis(150));
    for body in [plain(), streamed()] {
        for f in Fixture::each("10").await {
            let upstream = MockUpstream::start(Reply::json(500, "")).await;
            let key = f.key("mistral", &upstream.base_url(), "").await;
            let deployments = json!([{"provider_key": key, "model": "real"}]);
            f.model("m", deployments, json!({})).await;
            if body["stream"] == true {
                let mut reply = Reply::chat_stream(&["Hello", "there"], 10, 5);
                reply.steps.insert(1, word.clone());
                upstream.next(reply);
                let mut answer = f.send(&body).await.unwrap().into_body();
                assert!(frame(&mut answer).await.is_some());
                drop(answer);
            } else {
                upstream.next(Reply::chat("late", 10, 5).after(Duration::from_millis(150)));
                tokio::select! {
                    _ = f.send(&body) => panic!("the provider does not answer yet"),
                    () = received(&upstream, 1) => {}
                }
            }
            let call = f.the_call().await;
            assert_eq!(
                (call.status.as_str(), call.estimated, call.cost),
                ("cancelled", false, cost(10, 5)),
                "{} {body}",
                f.name
            );
            assert_eq!(upstream.cancelled(), 0, "the provider was heard to the end");
        }
    }
}

/// The setting of a provider key goes before the rule for its provider.
#[tokio::test]
async fn a_provider_key_may_say_that_its_calls_are_cancelled() {
    let f = Fixture::new("10").await;
    let stream = Reply::stream(vec![
        Step::Send(Bytes::from(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n",
        )),
        Step::Stall,
    ]);
    let upstream = MockUpstream::start(stream).await;
    let key = f.key("mistral", &upstream.base_url(), "").await;
    let sql = "update provider_keys set settings = '{\"hang_up\": \"cancel\"}' where id = $1";
    f.db.execute(sql, vec![key.into()]).await.unwrap();
    let deployments = json!([{"provider_key": key, "model": "real"}]);
    f.model("m", deployments, json!({})).await;
    let mut answer = f.send(&streamed()).await.unwrap().into_body();
    assert!(frame(&mut answer).await.is_some());
    drop(answer);
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("cancelled", true));
}
