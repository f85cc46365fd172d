use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cf_server::Settings;
use cf_testkit::{MockUpstream, Received, Reply};
use serde_json::{Value, json};

use crate::app::{TestApp, eventually, id};

async fn receiver() -> MockUpstream {
    MockUpstream::start(Reply::json(200, "{}")).await
}

async fn webhook(test: &TestApp, url: &str, more: Value) -> Value {
    let mut record = json!({"name": "Ops", "url": url});
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    test.root.create("webhooks", record).await
}

async fn press_test(test: &TestApp, webhook: &Value) -> String {
    let path = format!("/api/webhooks/{}/test", id(webhook));
    id(&test.root.post(&path, &json!({})).await.expect(200).json())
}

async fn until_received(receiver: &MockUpstream, count: usize) -> Vec<Received> {
    eventually("a delivery", || async {
        let received = receiver.received();
        (received.len() >= count).then_some(received)
    })
    .await
}

async fn until_state(test: &TestApp, id: &str, state: &str) -> Value {
    eventually(&format!("a delivery that is {state}"), || async {
        let message = test.root.record("messages", id).await.expect(200).json();
        (message["state"] == state).then_some(message)
    })
    .await
}

/// What a receiver does by the standard.
fn is_signed(received: &Received, secret: &str) -> bool {
    let key = BASE64
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let signed = format!(
        "{}.{}.{}",
        received.header("webhook-id").unwrap(),
        received.header("webhook-timestamp").unwrap(),
        received.body
    );
    let tag = BASE64.encode(cf_base::hmac_sha256(&key, &[signed.as_bytes()]));
    received.header("webhook-signature") == Some(format!("v1,{tag}").as_str())
}

#[tokio::test]
async fn a_receiver_can_prove_who_sent_it_and_the_secret_is_shown_once() {
    for test in TestApp::each().await {
        let receiver = receiver().await;
        let made = webhook(&test, &receiver.base_url(), json!({})).await;
        let secret = made["secret"].as_str().unwrap();
        let read = test.root.record("webhooks", &id(&made)).await.json();
        assert!(
            read["secret"].as_str().unwrap().starts_with("••••"),
            "{read}"
        );
        let stored = "select count(*) from webhooks where secret_sealed like '%whsec%'";
        assert_eq!(test.count(stored).await, 0);

        let message = press_test(&test, &made).await;
        let received = until_received(&receiver, 1).await;
        assert_eq!(received[0].header("webhook-id"), Some(message.as_str()));
        assert!(is_signed(&received[0], secret), "{:?}", received[0]);
        let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr";
        assert!(!is_signed(&received[0], other));
        let seconds = test.clock.now().as_millis() / 1000;
        assert_eq!(
            received[0].header("webhook-timestamp"),
            Some(seconds.to_string().as_str())
        );
        assert_eq!(received[0].json()["type"], "webhook.test");
        let delivery = until_state(&test, &message, "sent").await;
        assert_eq!(delivery["webhook_id"], made["id"]);
        assert_eq!(delivery["recipient"], "Ops");
    }
}

#[tokio::test]
async fn a_delivery_that_fails_is_tried_again_with_the_same_id() {
    for test in TestApp::each().await {
        let receiver = receiver().await;
        receiver.next(Reply::json(500, "{}"));
        let made = webhook(&test, &receiver.base_url(), json!({})).await;
        let message = press_test(&test, &made).await;
        eventually("a failure that is written down", || async {
            let message = test.root.record("messages", &message).await.json();
            let error = message["last_error"].as_str()?;
            error.contains("answered 500").then_some(())
        })
        .await;
        test.clock.advance(Duration::from_secs(10));
        let received = until_received(&receiver, 2).await;
        assert_eq!(
            received[0].header("webhook-id"),
            received[1].header("webhook-id")
        );
        assert_eq!(received[0].body, received[1].body);
        // The time is new, and so is the signature.
        assert!(is_signed(&received[1], made["secret"].as_str().unwrap()));
        assert_ne!(
            received[0].header("webhook-signature"),
            received[1].header("webhook-signature")
        );
        until_state(&test, &message, "sent").await;
        // A delivery that came can be repeated by hand.
        let path = format!("/api/messages/{message}/resend");
        test.root.post(&path, &json!({})).await.expect(200);
        until_received(&receiver, 3).await;
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let test = TestApp::new().await;
    let (receiver, elsewhere) = (receiver().await, receiver().await);
    let mut moved = Reply::json(307, "{}");
    moved.headers.push(("location", elsewhere.base_url()));
    receiver.next(moved);
    let made = webhook(&test, &receiver.base_url(), json!({})).await;
    let message = press_test(&test, &made).await;
    let error = eventually("a failure that is written down", || async {
        let message = test.root.record("messages", &message).await.json();
        let error = message["last_error"].as_str()?.to_owned();
        (!error.is_empty()).then_some(error)
    })
    .await;
    assert!(
        error.contains("307") && error.contains("not followed"),
        "{error}"
    );
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_a_webhook_that_is_off_ends_the_tries() {
    let test = TestApp::new().await;
    let receiver = receiver().await;
    receiver.next(Reply::json(410, "{}"));
    let made = webhook(&test, &receiver.base_url(), json!({})).await;
    let message = press_test(&test, &made).await;
    let dead = until_state(&test, &message, "dead").await;
    assert!(dead["last_error"].as_str().unwrap().contains("410"));
    test.root
        .change("webhooks", &id(&made), &json!({"active": false}))
        .await
        .expect(200);
    let message = press_test(&test, &made).await;
    let dead = until_state(&test, &message, "dead").await;
    assert!(
        dead["last_error"]
            .as_str()
            .unwrap()
            .contains("switched off")
    );
    assert_eq!(receiver.received().len(), 1);
    // Deliveries go with their webhook.
    let path = format!("/api/collections/webhooks/records/{}", id(&made));
    test.root.delete(&path).await.expect(204);
    assert_eq!(test.count("select count(*) from messages").await, 0);
}

#[tokio::test]
async fn addresses_in_private_networks_and_in_clear_are_refused_unless_allowed() {
    let mut test = TestApp::new().await;
    test.app.stop().await;
    let strict = Settings {
        allow_private_upstreams: Some(false),
        ..Settings::default()
    };
    let node = test.another_node(strict).await;
    test.root = test.root.through(&node);
    let path = "/api/collections/webhooks/records";
    for (url, word) in [
        ("https://127.0.0.1/hook", "--allow-private-upstreams"),
        ("https://localhost/hook", "--allow-private-upstreams"),
        ("http://hooks.example.com/", "https://"),
        ("ftp://hooks.example.com/", "https://"),
        (
            "https://user:password@hooks.example.com/",
            "without user name",
        ),
    ] {
        let refused = test
            .root
            .post(path, &json!({"name": "x", "url": url}))
            .await
            .expect(400)
            .json();
        let sentence = refused["data"]["url"]["message"].as_str().unwrap();
        assert!(sentence.contains(word), "{url}: {sentence}");
    }
    // One that was entered when it was allowed is not reached either.
    let made = webhook(&test, "https://hooks.example.com/", json!({})).await;
    let receiver = receiver().await;
    test.execute(&format!(
        "update webhooks set url = '{}'",
        receiver.base_url()
    ))
    .await;
    let message = press_test(&test, &made).await;
    eventually("a refusal", || async {
        let message = test.root.record("messages", &message).await.json();
        let error = message["last_error"].as_str()?;
        error.contains("private network").then_some(())
    })
    .await;
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn the_secret_stays_with_the_address_it_was_made_for() {
    let test = TestApp::new().await;
    let made = webhook(&test, "https://hooks.example.com/", json!({})).await;
    let elsewhere = json!({"url": "https://elsewhere.example.com/"});
    let refused = test.root.change("webhooks", &id(&made), &elsewhere).await;
    let refused = refused.expect(400).json();
    assert_eq!(refused["data"]["secret"]["code"], "validation_required");
    for (field, value) in [
        ("secret", json!("too short")),
        ("secret", json!("whsec_c2hvcnQ=")),
        ("events", json!(["no.such.event"])),
    ] {
        let refused = test
            .root
            .change("webhooks", &id(&made), &json!({field: value}))
            .await;
        assert!(refused.expect(400).json()["data"][field].is_object());
    }
}

#[tokio::test]
async fn only_administrators_have_to_do_with_webhooks() {
    for test in TestApp::each().await {
        let receiver = receiver().await;
        let made = webhook(
            &test,
            &receiver.base_url(),
            json!({"tenant_id": test.tenant}),
        )
        .await;
        let boss = test.person("boss", "tenant_admin", &test.tenant).await;
        let alice = test.user("alice").await;
        let list = "/api/collections/webhooks/records";
        for who in [&boss, &alice, &test.guest()] {
            who.get(list).await.expect(403);
            who.record("webhooks", &id(&made)).await.expect(403);
            let new = json!({"name": "x", "url": receiver.base_url()});
            who.post(list, &new).await.expect(403);
            who.change("webhooks", &id(&made), &json!({"active": false}))
                .await
                .expect(403);
        }
        let press = format!("/api/webhooks/{}/test", id(&made));
        for who in [&boss, &alice] {
            who.post(&press, &json!({})).await.expect(403);
        }
        test.guest().post(&press, &json!({})).await.expect(401);
        test.root
            .post("/api/webhooks/aaaaaaaaaaaaaaa/test", &json!({}))
            .await
            .expect(404);
        assert!(receiver.received().is_empty());
    }
}
