//! Streams: passed on as they come, and whatever ends them is in the books.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cf_testkit::{MockUpstream, Reply, Step};

use crate::fixture::{Fixture, PATIENCE, cost, estimate, frame, header, streamed, text};

fn send(text: &str) -> Step {
    Step::Send(Bytes::copy_from_slice(text.as_bytes()))
}

fn word(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// The whole of a scripted stream.
fn script(reply: &Reply) -> Vec<u8> {
    let sent = |step: &Step| match step {
        Step::Send(bytes) => bytes.to_vec(),
        _ => vec![],
    };
    reply.steps.iter().flat_map(sent).collect()
}

#[tokio::test]
async fn a_stream_arrives_byte_for_byte_however_it_is_cut() {
    let f = Fixture::new("10").await;
    let reply = Reply::chat_stream(&["Hé", "llo 😀"], 10, 5);
    let whole = script(&reply);
    let upstream = MockUpstream::start(reply).await;
    f.at(&[&upstream]).await;
    let mut body = streamed();
    body["stream_options"] = serde_json::json!({"include_usage": true});
    let cuts = (1..whole.len()).step_by(17);
    let mut calls = 0;
    for at in cuts {
        let (head, tail) = whole.split_at(at);
        let steps = [head, tail].map(|part| Step::Send(Bytes::copy_from_slice(part)));
        upstream.next(Reply::stream(steps.into()));
        let response = f.send(&body).await.unwrap();
        assert_eq!(
            text(response.into_body()).await.as_bytes(),
            whole,
            "cut at {at}"
        );
        calls += 1;
    }
    let bytewise = whole
        .iter()
        .map(|b| Step::Send(Bytes::copy_from_slice(&[*b])));
    upstream.next(Reply::stream(bytewise.collect()));
    let response = f.send(&body).await.unwrap();
    assert_eq!(text(response.into_body()).await.as_bytes(), whole);
    f.assert_settled().await;
    assert_eq!(f.spent().await.0, cost(10, 5).0 * (calls + 1));
}

#[tokio::test]
async fn usage_is_asked_for_and_kept_from_a_client_that_did_not_ask() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat_stream(&["Hello"], 10, 5)).await;
    f.at(&[&upstream]).await;
    let response = f.send(&streamed()).await.unwrap();
    assert_eq!(
        header(&response, "content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert!(header(&response, "x-cf-budget-remaining").is_some());
    let body = text(response.into_body()).await;
    assert!(
        body.contains("Hello") && body.ends_with(DONE) && !body.contains("usage"),
        "{body}"
    );
    let sent = upstream.received()[0].json();
    assert_eq!(sent["stream_options"]["include_usage"], true);
    let call = f.the_call().await;
    assert_eq!(
        (call.status.as_str(), call.estimated, call.cost),
        ("ok", false, cost(10, 5))
    );
}

#[tokio::test]
async fn a_frame_is_passed_on_before_the_next_one_comes() {
    let f = Fixture::new("10").await;
    let pause = Duration::from_secs(2);
    let steps = vec![send(&word("a")), Step::Wait(pause), send(USAGE), send(DONE)];
    let upstream = MockUpstream::start(Reply::stream(steps)).await;
    f.at(&[&upstream]).await;
    #[allow(clippy::disallowed_methods, reason = "real time is what is measured")]
    let started = Instant::now();
    let mut body = f.send(&streamed()).await.unwrap().into_body();
    assert_eq!(frame(&mut body).await, Some(word("a")));
    assert!(started.elapsed() < pause, "{:?}", started.elapsed());
    assert_eq!(frame(&mut body).await.as_deref(), Some(DONE));
}

#[tokio::test]
async fn the_last_event_waits_for_the_books() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::chat_stream(&["Hello"], 10, 5)).await;
        f.at(&[&upstream]).await;
        let mut body = f.send(&streamed()).await.unwrap().into_body();
        while let Some(event) = frame(&mut body).await {
            if event == DONE {
                // No flush: what is asked is whether it is there already.
                let rows =
                    f.db.query("select cost from usage_logs", vec![])
                        .await
                        .unwrap();
                assert_eq!(rows.len(), 1, "{}", f.name);
                assert_eq!(rows[0].at::<i64>(0).unwrap(), cost(10, 5).0);
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_booked_is_not_released_in_full() {
    let f = Fixture::impatient().await;
    let upstream = MockUpstream::start(Reply::chat_stream(&["Hello"], 10, 5)).await;
    f.at(&[&upstream]).await;
    let mut body = f.send(&streamed()).await.unwrap().into_body();
    assert!(frame(&mut body).await.is_some());
    // Somebody else's transaction: the books can be reached and not written.
    let mut other = f.db.begin().await.unwrap();
    let sql = "update data_version set version = version + 1";
    other.execute(sql, vec![]).await.unwrap();
    let rest = text(body).await;
    assert!(
        rest.contains("\"unavailable\"") && !rest.contains("[DONE]"),
        "{rest}"
    );
    other.commit().await.unwrap();
    // It happened, so it is booked as soon as that can be.
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.cost), ("ok", cost(10, 5)));
}

#[tokio::test]
async fn a_stream_that_ends_without_done_or_empty_line_is_whole() {
    for last in [
        String::new(),
        word("b"),
        word("b").trim_end().to_owned(),
        DONE.trim_end().to_owned(),
    ] {
        let f = Fixture::new("10").await;
        let steps = vec![send(&word("a")), send(USAGE), send(&last)];
        let upstream = MockUpstream::start(Reply::stream(steps)).await;
        f.at(&[&upstream]).await;
        let body = text(f.send(&streamed()).await.unwrap().into_body()).await;
        assert_eq!(body, word("a") + &last);
        let call = f.the_call().await;
        assert_eq!((call.status.as_str(), call.cost), ("ok", cost(10, 5)));
    }
}

#[tokio::test]
async fn usage_that_never_comes_is_estimated_and_a_null_undoes_nothing() {
    let f = Fixture::new("10").await;
    let upstream =
        MockUpstream::start(Reply::stream(vec![send(&word("123456")), send(DONE)])).await;
    f.at(&[&upstream]).await;
    text(f.send(&streamed()).await.unwrap().into_body()).await;
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("ok", true));
    assert_eq!(call.prompt_tokens, estimate(&streamed()));
    assert_eq!(call.completion_tokens, 2);

    let f = Fixture::new("10").await;
    let null = "data: {\"choices\":[],\"usage\":null}\n\n";
    let steps = vec![send(&word("a")), send(USAGE), send(null), send(DONE)];
    let upstream = MockUpstream::start(Reply::stream(steps)).await;
    f.at(&[&upstream]).await;
    text(f.send(&streamed()).await.unwrap().into_body()).await;
    assert_eq!(f.the_call().await.cost, cost(10, 5));
}

#[tokio::test]
async fn a_stream_that_the_provider_breaks_off_ends_in_an_error_and_is_charged() {
    let half = word("never whole");
    let (half, _) = half.split_at(30);
    let failure = "event: error\ndata: {\"error\":{\"message\":\"overloaded sk-provider-0123456789\",\"code\":\"busy\"}}\n\n";
    for (name, steps, code) in [
        (
            "stall",
            vec![send(&word("123456")), Step::Stall],
            "upstream_timeout",
        ),
        (
            "reset",
            vec![send(&word("123456")), Step::Reset],
            "upstream_error",
        ),
        (
            "reset in a frame",
            vec![
                send(&word("123456")),
                send(half),
                Step::Wait(Duration::from_millis(20)),
                Step::Reset,
            ],
            "upstream_error",
        ),
        (
            "error in the stream",
            vec![send(&word("123456")), send(failure), send(DONE)],
            "busy",
        ),
    ] {
        let f = match name {
            "stall" => Fixture::impatient().await,
            _ => Fixture::new("10").await,
        };
        let upstream = MockUpstream::start(Reply::stream(steps)).await;
        f.at(&[&upstream]).await;
        let body = text(f.send(&streamed()).await.unwrap().into_body()).await;
        let error = body
            .strip_prefix(&word("123456"))
            .unwrap_or_else(|| panic!("{name}: {body}"));
        let error = error
            .strip_prefix("data: ")
            .unwrap_or_else(|| panic!("{name}: {body}"));
        let error: serde_json::Value = serde_json::from_str(error).unwrap();
        assert_eq!(error["error"]["code"], code, "{name}");
        assert!(
            !body.contains("[DONE]") && !body.contains("sk-provider"),
            "{name}: {body}"
        );
        let call = f.the_call().await;
        assert_eq!(
            (call.status.as_str(), call.estimated),
            ("error", true),
            "{name}"
        );
        assert_eq!(call.cost, cost(estimate(&streamed()), 2), "{name}");
    }
}

#[tokio::test]
async fn a_stall_before_the_head_is_a_timeout() {
    let f = Fixture::impatient().await;
    let upstream = MockUpstream::start(Reply::chat_stream(&["a"], 1, 1).after(PATIENCE * 3)).await;
    f.at(&[&upstream]).await;
    let error = f.send(&streamed()).await.err().unwrap();
    assert_eq!(error.kind, cf_base::Kind::Upstream { status: 504 });
    assert_eq!(f.the_call().await.status, "error");
}

#[tokio::test]
async fn trap_36_a_client_that_leaves_midway_ends_the_upstream_call_and_pays_what_came() {
    let f = Fixture::new("10").await;
    let upstream =
        MockUpstream::start(Reply::stream(vec![send(&word("123456")), Step::Stall])).await;
    f.at(&[&upstream]).await;
    let mut body = f.send(&streamed()).await.unwrap().into_body();
    assert!(frame(&mut body).await.is_some());
    drop(body);
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("cancelled", true));
    assert_eq!(call.cost, cost(estimate(&streamed()), 2));
    for _ in 0..100 {
        if upstream.cancelled() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the provider still works for nobody");
}

#[tokio::test]
async fn the_demo_provider_streams() {
    let f = Fixture::new("10").await;
    let key = f.key("demo", "", "").await;
    let deployments = serde_json::json!([{"provider_key": key, "model": "demo"}]);
    f.model("m", deployments, serde_json::json!({})).await;
    let mut request = streamed();
    request["max_tokens"] = 4.into();
    let body = text(f.send(&request).await.unwrap().into_body()).await;
    assert!(
        body.contains("\"length\"") && body.ends_with(DONE) && !body.contains("usage"),
        "{body}"
    );
    let call = f.the_call().await;
    assert_eq!((call.completion_tokens, call.estimated), (4, false));
}
