//! Everything that can go wrong on the way to a provider and back: what the client
//! sees, whether another deployment is asked, and what is charged.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Kind, Nanos};
use cf_testkit::{MockUpstream, Reply, Step};
use serde_json::{Value, json};

use crate::fixture::{Fixture, PATIENCE, cost, estimate, header, plain, streamed, text};

/// So that what was sent before a cut has left.
const SENT: Duration = Duration::from_millis(30);

fn send(text: &str) -> Step {
    Step::Send(Bytes::copy_from_slice(text.as_bytes()))
}

fn word(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

/// The model `m` at this address, and after it at a provider that works.
async fn first_at(f: &Fixture, address: &str, spare: &MockUpstream) {
    let mut deployments = Vec::new();
    for (order, url) in [address, &spare.base_url()].into_iter().enumerate() {
        let key = f.key("openai_compatible", url, "").await;
        deployments
            .push(json!({"provider_key": key, "model": format!("real-{order}"), "order": order}));
    }
    f.model("m", deployments.into(), json!({})).await;
}

fn answer_to(body: &Value) -> Reply {
    match body["stream"] == true {
        true => Reply::chat_stream(&["Hello"], 10, 5),
        false => Reply::chat("Hello", 10, 5),
    }
}

#[tokio::test]
async fn where_no_connection_is_made_another_deployment_is_asked() {
    // A port that was free a moment ago; a server that speaks no TLS; a name that
    // is none.
    let gone = MockUpstream::start(Reply::json(200, "{}")).await.base_url();
    let clear = MockUpstream::start(Reply::json(200, "{}")).await;
    let no_tls = clear.base_url().replace("http://", "https://");
    let no_name = "http://no-such-host.invalid/v1".to_owned();
    for address in [&gone, &no_tls, &no_name] {
        for body in [plain(), streamed()] {
            let f = Fixture::new("10").await;
            let spare = MockUpstream::start(answer_to(&body)).await;
            first_at(&f, address, &spare).await;
            let response = f.send(&body).await.unwrap();
            assert_eq!(header(&response, "x-cf-model"), Some("real-1"), "{address}");
            text(response.into_body()).await;
            let tried = f.tried().await;
            assert_eq!(tried[0].0, "failed", "{address}");
            assert_eq!(f.the_call().await.cost, cost(10, 5));
        }
    }
    assert!(clear.received().is_empty());
}

#[tokio::test]
async fn where_nobody_is_there_the_client_is_told_so_and_nothing_is_charged() {
    for address in [
        "https://127.0.0.1:1/v1",
        "http://127.0.0.1:1/v1",
        "http://no-such-host.invalid/v1",
    ] {
        let f = Fixture::new("10").await;
        let key = f.key("openai_compatible", address, "").await;
        let deployments = json!([{"provider_key": key, "model": "x"}]);
        f.model("m", deployments, json!({})).await;
        let error = f.send(&plain()).await.err().unwrap();
        assert_eq!(error.kind, Kind::Upstream { status: 502 });
        assert!(error.message.contains("cannot be reached"), "{error}");
        assert!(!error.message.contains("127.0.0.1"), "{error}");
        assert_eq!(f.the_call().await.cost, Nanos::ZERO);
    }
}

#[tokio::test]
async fn a_stall_or_cut_before_the_head_may_have_been_taken_and_is_not_tried_elsewhere() {
    for body in [plain(), streamed()] {
        let f = Fixture::impatient().await;
        let slow = MockUpstream::start(answer_to(&body).after(PATIENCE * 12)).await;
        let spare = MockUpstream::start(answer_to(&body)).await;
        first_at(&f, &slow.base_url(), &spare).await;
        let error = f.send(&body).await.err().unwrap();
        assert_eq!(error.kind, Kind::Upstream { status: 504 }, "{body}");
        assert!(spare.received().is_empty());
        let call = f.the_call().await;
        assert_eq!((&*call.status, call.estimated), ("error", true));
        assert_eq!(call.cost, cost(estimate(&body), 0));
        assert_eq!(f.tried().await[0].0, "timeout");
    }
}

#[tokio::test]
async fn a_plain_answer_that_breaks_off_or_never_ends_is_an_error_and_paid_by_estimate() {
    let half = || send(r#"{"id":"x","choices":[{"message":{"content":"Hel"#);
    for (last, status) in [(Step::Reset, 502), (Step::Stall, 504)] {
        let f = Fixture::impatient().await;
        let reply = Reply {
            steps: vec![half(), last],
            ..Reply::json(200, "")
        };
        let provider = MockUpstream::start(reply).await;
        f.at(&[&provider]).await;
        let error = f.send(&plain()).await.err().unwrap();
        assert_eq!(error.kind, Kind::Upstream { status }, "{error}");
        let call = f.the_call().await;
        assert_eq!((&*call.status, call.estimated), ("error", true));
        assert_eq!(call.cost, cost(estimate(&plain()), 0));
    }
}

#[tokio::test]
async fn a_stream_that_stalls_or_is_cut_within_a_frame_ends_in_an_error() {
    let half = &word("never")[..20];
    for (steps, code) in [
        (vec![send(&word("123456")), Step::Stall], "upstream_timeout"),
        (
            vec![send(&word("123456")), send(half), Step::Stall],
            "upstream_timeout",
        ),
        (
            vec![
                send(&word("123456")),
                send(half),
                Step::Wait(SENT),
                Step::Reset,
            ],
            "upstream_error",
        ),
        (
            vec![send(&word("123456")), Step::Wait(SENT), Step::Reset],
            "upstream_error",
        ),
    ] {
        let f = Fixture::impatient().await;
        let provider = MockUpstream::start(Reply::stream(steps)).await;
        let spare = MockUpstream::start(Reply::chat_stream(&["Hello"], 1, 1)).await;
        first_at(&f, &provider.base_url(), &spare).await;
        let whole = text(f.send(&streamed()).await.unwrap().into_body()).await;
        let (first, rest) = whole.split_once("\n\n").unwrap();
        assert_eq!(format!("{first}\n\n"), word("123456"));
        let error = rest.strip_prefix("data: ").unwrap().trim_end();
        let error: Value = serde_json::from_str(error).unwrap();
        assert_eq!(error["error"]["code"], code);
        let call = f.the_call().await;
        assert_eq!((&*call.status, call.estimated), ("error", true));
        assert_eq!(call.cost, cost(estimate(&streamed()), 2));
        assert!(spare.received().is_empty(), "the client has a part of it");
    }
}

#[tokio::test]
async fn half_a_character_at_the_end_of_a_packet_is_whole_for_the_client_in_every_dialect() {
    let event = |kind: &str, data: Value| format!("event: {kind}\ndata: {data}\n\n");
    let messages = [
        event(
            "message_start",
            json!({"type": "message_start", "message": {"id": "m",
            "type": "message", "role": "assistant", "model": "c", "content": [],
            "usage": {"input_tokens": 10, "output_tokens": 1}}}),
        ),
        event(
            "content_block_start",
            json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}}),
        ),
        event(
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": "Grüße 😀"}}),
        ),
        event(
            "content_block_stop",
            json!({"type": "content_block_stop", "index": 0}),
        ),
        event(
            "message_delta",
            json!({"type": "message_delta",
            "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
        ),
        event("message_stop", json!({"type": "message_stop"})),
    ]
    .concat();
    let chat = format!(
        "{}data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":10,\"completion_tokens\":5}}}}\n\n\
         data: [DONE]\n\n",
        word("Grüße 😀")
    );
    for (provider, script) in [("anthropic", messages), ("openai_compatible", chat)] {
        let f = Fixture::new("10").await;
        let upstream = MockUpstream::start(Reply::json(500, "{}")).await;
        let key = f.key(provider, &upstream.base_url(), "").await;
        let deployments = json!([{"provider_key": key, "model": "claude-x"}]);
        f.model("m", deployments, json!({})).await;
        let script = script.into_bytes();
        let borders = (0..script.len()).filter(|at| script[*at] & 0xc0 == 0x80);
        for border in borders.collect::<Vec<_>>() {
            let (head, tail) = script.split_at(border);
            let steps = vec![
                Step::Send(Bytes::copy_from_slice(head)),
                Step::Wait(Duration::from_millis(5)),
                Step::Send(Bytes::copy_from_slice(tail)),
            ];
            upstream.next(Reply::stream(steps));
            let whole = text(f.send(&streamed()).await.unwrap().into_body()).await;
            assert!(whole.contains("Grüße 😀"), "{provider} {border}: {whole}");
        }
        f.assert_settled().await;
    }
}

/// What a provider answers, and for how long it is left alone then.
fn refusals() -> Vec<(Reply, Option<u64>)> {
    let with = |status, headers: &[(&'static str, &str)], body: &str| Reply {
        headers: headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
        ..Reply::json(status, body)
    };
    let google = r#"{"error":{"code":429,"message":"Resource exhausted","details":[
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"48s"}]}}"#;
    let words = r#"{"error":{"message":"Rate limit reached. Please try again in 11.5s."}}"#;
    let azure = r#"{"error":{"code":"429","message":"Please retry after 26 seconds."}}"#;
    vec![
        (with(429, &[("retry-after", "7")], "{}"), Some(7_000)),
        (
            with(
                429,
                &[("retry-after", "Sat, 10 Jan 2026 12:00:30 GMT")],
                "{}",
            ),
            Some(30_000),
        ),
        (with(429, &[("retry-after-ms", "2500")], "{}"), Some(2_500)),
        (
            with(
                429,
                &[("retry-after", "0"), ("retry-after-ms", "900")],
                "{}",
            ),
            Some(900),
        ),
        (
            with(429, &[("x-ratelimit-reset-tokens", "1m30s")], "{}"),
            Some(90_000),
        ),
        (
            with(429, &[("x-ratelimit-reset-requests", "20s")], "{}"),
            Some(20_000),
        ),
        (
            with(
                429,
                &[("anthropic-ratelimit-tokens-reset", "2026-01-10T12:00:09Z")],
                "{}",
            ),
            Some(9_000),
        ),
        (with(429, &[], google), Some(48_000)),
        (with(429, &[], words), Some(11_500)),
        (with(429, &[], azure), Some(26_000)),
        (with(429, &[], "<html>slow down</html>"), Some(5_000)),
        (
            with(429, &[("retry-after", "999999")], "{}"),
            Some(3_600_000),
        ),
        (with(500, &[("retry-after", "4")], "{}"), Some(4_000)),
        (
            with(503, &[("retry-after", "12")], "<html>busy</html>"),
            Some(12_000),
        ),
        (with(503, &[("retry-after-ms", "1500")], "{}"), Some(1_500)),
        (with(529, &[("retry-after", "3")], "{}"), Some(3_000)),
        // Once is borne, and limits that are told with every answer say nothing.
        (
            with(500, &[("x-ratelimit-reset-tokens", "6m0s")], "{}"),
            None,
        ),
        (with(503, &[], "{}"), None),
        (with(529, &[], "{}"), None),
    ]
}

#[tokio::test]
async fn every_way_to_say_wait_is_heard_while_another_deployment_answers() {
    for (reply, rest) in refusals() {
        let told = format!("{} {:?}", reply.status, reply.headers);
        let f = Fixture::new("10").await;
        let first = MockUpstream::start(Reply::chat("first", 10, 5)).await;
        let spare = MockUpstream::start(Reply::chat("spare", 10, 5)).await;
        first_at(&f, &first.base_url(), &spare).await;
        first.next(reply);
        let response = f.send(&plain()).await.unwrap();
        assert_eq!(header(&response, "x-cf-model"), Some("real-1"), "{told}");
        let asked = async || {
            let response = f.send(&plain()).await.unwrap();
            header(&response, "x-cf-model").unwrap().to_owned()
        };
        if let Some(rest) = rest {
            f.clock.advance(Duration::from_millis(rest - 1));
            assert_eq!(asked().await, "real-1", "{told}: it is left alone");
            f.clock.advance(Duration::from_millis(1));
        }
        assert_eq!(asked().await, "real-0", "{told}: it is asked again");
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn pages_and_other_answers_that_are_none_are_not_passed_on() {
    let page = "<html><body>Bad gateway: sk-provider-0123456789</body></html>";
    let of_kind = |status, kind: &str, body: &str| Reply {
        headers: vec![("content-type", kind.to_owned())],
        ..Reply::json(status, body)
    };
    for body in [plain(), streamed()] {
        for reply in [
            of_kind(200, "text/html", page),
            of_kind(200, "text/html; charset=utf-8", page),
            of_kind(200, "application/json", page),
            of_kind(502, "text/html", page),
            of_kind(503, "text/html", page),
            of_kind(404, "text/html", page),
        ] {
            let told = format!("{reply:?}");
            let f = Fixture::new("10").await;
            let provider = MockUpstream::start(reply).await;
            f.at(&[&provider]).await;
            let error = f.send(&body).await.err().unwrap();
            assert!(matches!(error.kind, Kind::Upstream { .. }), "{told}");
            assert!(!error.message.contains("<html>"), "{told}: {error}");
            assert!(!error.message.contains("0123456789"), "{told}: {error}");
            let call = f.the_call().await;
            assert_eq!((&*call.status, call.cost), ("error", Nanos::ZERO), "{told}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_asked_for_and_answered_plainly_is_passed_on_plainly() {
    let f = Fixture::new("10").await;
    let provider = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    f.at(&[&provider]).await;
    let response = f.send(&streamed()).await.unwrap();
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let reply: Value = serde_json::from_str(&text(response.into_body()).await).unwrap();
    assert_eq!(reply["choices"][0]["message"]["content"], "Hello");
    assert_eq!(f.the_call().await.cost, cost(10, 5));
}

#[tokio::test]
async fn a_compressed_answer_is_told_as_what_it_is_and_paid_by_estimate() {
    let mut gzip = vec![0x1f, 0x8b, 8, 0];
    gzip.write_all(&[0; 64]).unwrap();
    for body in [plain(), streamed()] {
        let f = Fixture::new("10").await;
        let kind = match body["stream"] == true {
            true => "text/event-stream",
            false => "application/json",
        };
        let reply = Reply {
            headers: vec![
                ("content-type", kind.to_owned()),
                ("content-encoding", "gzip".to_owned()),
            ],
            steps: vec![Step::Send(Bytes::from(gzip.clone()))],
            ..Reply::json(200, "")
        };
        let provider = MockUpstream::start(reply).await;
        let spare = MockUpstream::start(answer_to(&body)).await;
        first_at(&f, &provider.base_url(), &spare).await;
        let error = f.send(&body).await.err().unwrap();
        assert!(
            error.message.contains("compressed answer (gzip)"),
            "{error}"
        );
        // Nobody asked for it.
        let asked = provider.received()[0]
            .header("accept-encoding")
            .map(str::to_owned);
        assert_eq!(asked.as_deref(), Some("identity"));
        assert!(
            spare.received().is_empty(),
            "the work is done and will be billed"
        );
        let call = f.the_call().await;
        assert_eq!(call.cost, cost(estimate(&body), 0));
    }
}

#[tokio::test]
async fn an_event_that_is_too_large_cuts_the_answer_off() {
    let f = Fixture::new("10").await;
    let huge = "a".repeat(1 << 20);
    let mut steps = vec![send(&word("123456")), send("data: {\"choices\":\"")];
    steps.extend((0..10).map(|_| send(&huge)));
    steps.push(Step::Stall);
    let provider = MockUpstream::start(Reply::stream(steps)).await;
    f.at(&[&provider]).await;
    let whole = text(f.send(&streamed()).await.unwrap().into_body()).await;
    assert!(
        whole.contains("too large"),
        "{}",
        &whole[whole.len() - 300..]
    );
    assert!(whole.len() < 10_000, "nothing of it is passed on");
    let call = f.the_call().await;
    assert_eq!(call.cost, cost(estimate(&streamed()), 2));
    for _ in 0..200 {
        if provider.cancelled() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the provider is still listened to");
}

#[tokio::test]
async fn usage_that_is_missing_is_estimated_and_usage_that_is_null_in_the_end_is_kept() {
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
    let null = r#"data: {"choices":[],"usage":null}"#;
    let done = "data: [DONE]\n\n";
    let last = |events: &[&str]| {
        let mut steps = vec![send(&word("123456"))];
        steps.extend(events.iter().map(|event| send(&format!("{event}\n\n"))));
        steps.push(send(done));
        Reply::stream(steps)
    };
    let counted = (false, cost(10, 5));
    let estimated = (true, cost(estimate(&streamed()), 2));
    for (reply, expected) in [
        (last(&[usage, null]), counted),
        (last(&[null, usage]), counted),
        (last(&[usage]), counted),
        (last(&[null]), estimated),
        (last(&[]), estimated),
    ] {
        let f = Fixture::new("10").await;
        let provider = MockUpstream::start(reply).await;
        f.at(&[&provider]).await;
        text(f.send(&streamed()).await.unwrap().into_body()).await;
        let call = f.the_call().await;
        assert_eq!((call.estimated, call.cost), expected);
        assert_eq!(call.status, "ok");
    }
}
