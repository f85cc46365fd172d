//! The outgoing client against a scripted server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use bytes::Bytes;
use cf_http::{HttpClient, HttpError};
use cf_testkit::{MockUpstream, Reply, Step};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

const PATIENCE: Duration = Duration::from_secs(5);

async fn get(
    client: &HttpClient,
    url: &str,
    patience: Duration,
) -> Result<Response<Incoming>, HttpError> {
    let request = Request::get(url).body(Full::new(Bytes::new())).unwrap();
    client.send(request, patience).await
}

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_written() {
    let server = MockUpstream::start(Reply::json(200, "{}")).await;
    let (guarded, open) = (HttpClient::new(false), HttpClient::new(true));
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
    ] {
        let url = server.base_url().replace("127.0.0.1", host);
        let refused = get(&guarded, &url, PATIENCE).await.err().unwrap();
        // What a name does not resolve to here cannot be reached either.
        let by_number = host.starts_with("127") || host == "localhost";
        assert!(
            matches!(refused, HttpError::Private)
                || (!by_number && matches!(refused, HttpError::Connect(_))),
            "{host}: {refused:?}"
        );
        if matches!(refused, HttpError::Private) {
            assert!(refused.to_string().contains("--allow-private-upstreams"));
        }
    }
    assert!(server.received().is_empty());
    assert_eq!(
        get(&open, &server.base_url(), PATIENCE)
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn redirects_are_answers_not_orders() {
    let target = MockUpstream::start(Reply::json(200, "{}")).await;
    let reply = Reply {
        headers: vec![("location", target.base_url())],
        ..Reply::json(307, "")
    };
    let server = MockUpstream::start(reply).await;
    let answer = get(&HttpClient::new(true), &server.base_url(), PATIENCE)
        .await
        .unwrap();
    assert_eq!(answer.status(), 307);
    assert!(target.received().is_empty());
}

#[tokio::test]
async fn each_failure_has_its_name() {
    let client = HttpClient::new(true);
    let soon = Duration::from_millis(100);
    let slow = MockUpstream::start(Reply::json(200, "{}").after(soon * 5)).await;
    let late = get(&client, &slow.base_url(), soon).await.err().unwrap();
    assert!(matches!(late, HttpError::Timeout(_)), "{late:?}");
    let gone = MockUpstream::start(Reply::json(200, "{}")).await.base_url();
    let refused = get(&client, &gone, PATIENCE).await.err().unwrap();
    assert!(matches!(refused, HttpError::Connect(_)), "{refused:?}");
    let unknown = get(&client, "http://no-such-host.invalid/", PATIENCE)
        .await
        .err()
        .unwrap();
    assert!(matches!(unknown, HttpError::Connect(_)), "{unknown:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_of_its_body() {
    let server = MockUpstream::start(Reply::stream(vec![
        Step::Send(Bytes::from("a")),
        Step::Reset,
    ]))
    .await;
    let answer = get(&HttpClient::new(true), &server.base_url(), PATIENCE).await;
    // The head may or may not have left before the cut.
    if let Ok(answer) = answer {
        assert!(answer.into_body().collect().await.is_err());
    }
}
