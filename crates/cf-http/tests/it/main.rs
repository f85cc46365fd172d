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
async fn metadata_services_are_refused_before_anything_is_sent() {
    let guarded = HttpClient::new(false);
    for host in [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[64:ff9b::a9fe:a9fe]",
        "100.100.100.200",
        "0.0.0.0",
        "[::]",
    ] {
        let url = format!("http://{host}/latest/meta-data/");
        let refused = get(&guarded, &url, PATIENCE).await.err().unwrap();
        assert!(matches!(refused, HttpError::Private), "{host}: {refused:?}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_not_followed_by_whoever_may_go_there() {
    let secret = MockUpstream::start(Reply::json(200, "secret")).await;
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply {
            headers: vec![("location", secret.base_url())],
            ..Reply::json(status, "")
        };
        let server = MockUpstream::start(reply).await;
        let answer = get(&HttpClient::new(true), &server.base_url(), PATIENCE)
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
    }
    assert!(secret.received().is_empty());
}

#[tokio::test]
async fn a_name_is_looked_at_when_it_is_connected_to_each_time() {
    // A name may change its mind between two calls: only what it stands for at the
    // moment of the connection counts. `localhost` is private whenever it is asked.
    let server = MockUpstream::start(Reply::json(200, "{}")).await;
    let by_name = server.base_url().replace("127.0.0.1", "localhost");
    // A connection that others may use is no way around the guard.
    let open = HttpClient::new(true);
    assert!(get(&open, &by_name, PATIENCE).await.is_ok());
    let guarded = HttpClient::new(false);
    for _ in 0..2 {
        let refused = get(&guarded, &by_name, PATIENCE).await.err().unwrap();
        assert!(matches!(refused, HttpError::Private), "{refused:?}");
    }
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_server_without_tls_is_no_server() {
    let server = MockUpstream::start(Reply::json(200, "{}")).await;
    let url = server.base_url().replace("http://", "https://");
    let refused = get(&HttpClient::new(true), &url, PATIENCE).await;
    let refused = refused.err().unwrap();
    assert!(matches!(refused, HttpError::Connect(_)), "{refused:?}");
    assert!(server.received().is_empty());
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
