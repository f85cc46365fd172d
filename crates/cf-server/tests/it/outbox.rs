use std::time::Duration;

use cf_server::Settings;
use cf_testkit::MockMail;
use serde_json::{Value, json};

use crate::app::{Client, TestApp, eventually, id, mail_settings};

const LIST: &str = "/api/collections/messages/records?sort=id";

async fn messages(client: &Client) -> Vec<Value> {
    let answer = client.get(LIST).await.expect(200).json();
    answer["items"].as_array().unwrap().clone()
}

/// Asks for a mail to oneself; returns the message's id.
async fn try_mail(client: &Client) -> String {
    let answer = client.post("/api/messages/try-mail", &json!({})).await;
    id(&answer.expect(200).json())
}

async fn until_state(test: &TestApp, id: &str, state: &str) -> Value {
    eventually(&format!("a message that is {state}"), || async {
        let message = test.root.record("messages", id).await.expect(200).json();
        (message["state"] == state).then_some(message)
    })
    .await
}

#[tokio::test]
async fn a_mail_is_sent_and_what_it_says_is_forgotten() {
    for (test, mail) in TestApp::each_with_mail().await {
        let admin = test.person("admin", "admin", &test.tenant).await;
        let id = try_mail(&admin).await;
        let message = until_state(&test, &id, "sent").await;
        assert_eq!(message["recipient"], "admin@example.com");
        assert_eq!(message["tries"], 1);
        let received = mail.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].to, "admin@example.com");
        assert_eq!(
            received[0].header("Message-ID"),
            format!("<{id}@example.com>")
        );
        assert!(
            received[0].text.contains("Guten Tag"),
            "{}",
            received[0].text
        );
        assert_eq!(
            test.count("select count(*) from messages where content_sealed <> ''")
                .await,
            0
        );
        // It cannot be sent again.
        let path = format!("/api/messages/{id}/resend");
        admin.post(&path, &json!({})).await.expect(409);
    }
}

#[tokio::test]
async fn without_a_mail_server_mails_wait_and_only_administrators_see_that() {
    for test in TestApp::each().await {
        let admin = test.person("admin", "admin", &test.tenant).await;
        let boss = test.person("boss", "tenant_admin", &test.tenant).await;
        let alice = test.user("alice").await;
        let id = try_mail(&admin).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let message = &messages(&admin).await[0];
        assert_eq!(message["state"], "waiting");
        assert_eq!(message["tries"], 0);
        assert_eq!(message["subject"], "Der Mailversand funktioniert");
        // What it says is nowhere to be read.
        assert!(!message.to_string().contains("Guten Tag"), "{message}");
        assert!(message.get("content_sealed").is_none());
        let status = admin.get("/api/messages/status").await.expect(200).json();
        assert_eq!(status["mail"], false);
        assert_eq!(status["waiting"], 1);
        let resend = format!("/api/messages/{id}/resend");
        for who in [&boss, &alice] {
            who.get(LIST).await.expect(403);
            who.record("messages", &id).await.expect(403);
            who.get("/api/messages/status").await.expect(403);
            who.post(&resend, &json!({})).await.expect(403);
            who.post("/api/messages/try-mail", &json!({}))
                .await
                .expect(403);
        }
        let guest = test.guest();
        guest.post(&resend, &json!({})).await.expect(401);
        guest.get("/api/messages/status").await.expect(401);
        // Not even administrators write the outbox by hand.
        let forged = json!({"kind": "mail", "recipient": "x@example.com", "state": "waiting"});
        let path = "/api/collections/messages/records";
        admin.post(path, &forged).await.expect(403);
        admin
            .change("messages", &id, &json!({"recipient": "x@example.com"}))
            .await
            .expect(403);
    }
}

#[tokio::test]
async fn a_mail_that_is_refused_for_now_is_tried_again_under_the_same_id() {
    for (test, mail) in TestApp::each_with_mail().await {
        mail.next(450);
        let id = try_mail(&test.root).await;
        let message = eventually("a first try that failed", || async {
            let message = test.root.record("messages", &id).await.json();
            (message["last_error"] != "").then_some(message)
        })
        .await;
        assert_eq!(message["state"], "waiting");
        assert_eq!(message["tries"], 1);
        assert!(message["last_error"].as_str().unwrap().contains("450"));
        assert!(message["next_try"].as_str().unwrap() > "2026-01-10 12:00:04");
        // Not before its time.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(mail.received().is_empty());
        test.clock.advance(Duration::from_secs(10));
        let message = until_state(&test, &id, "sent").await;
        assert_eq!(message["tries"], 2);
        assert_eq!(message["last_error"], "");
        let received = mail.received();
        assert_eq!(received.len(), 1);
        assert_eq!(
            received[0].header("Message-ID"),
            format!("<{id}@example.com>")
        );
    }
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_is_given_up_and_can_be_sent_again_by_hand() {
    for (test, mail) in TestApp::each_with_mail().await {
        mail.next(550);
        let id = try_mail(&test.root).await;
        let message = until_state(&test, &id, "dead").await;
        assert_eq!(message["tries"], 1);
        assert!(message["last_error"].as_str().unwrap().contains("550"));
        let path = format!("/api/messages/{id}/resend");
        let again = test.root.post(&path, &json!({})).await.expect(200).json();
        assert_eq!(again["state"], "waiting");
        until_state(&test, &id, "sent").await;
        assert_eq!(mail.received().len(), 1);
        // What administrators do is written down.
        let audit = test.count("select count(*) from audit_logs where action = 'resend'");
        assert_eq!(audit.await, 1);
    }
}

#[tokio::test]
async fn a_mail_is_given_up_after_eleven_tries_over_a_day() {
    let mail = MockMail::start().await;
    mail.always(451);
    let test = TestApp::with(mail_settings(&mail)).await;
    // A mail that is worth sending for long.
    test.root
        .change("tenants", &test.tenant, &json!({"budget_total": 10}))
        .await
        .expect(200);
    let boss = test.person("boss", "tenant_admin", &test.tenant).await;
    let spent = json!({
        "request_id": "spent", "user_id": boss.id, "model": "small", "prompt_tokens": 1,
        "completion_tokens": 1, "cost": 5, "currency": "EUR",
    });
    let program = test.program();
    program.post("/api/usage/log", &spent).await.expect(201);
    let mut hours = 0;
    let dead = loop {
        let failed = mail.refused();
        let dead = test
            .count("select count(*) from messages where state = 'dead'")
            .await;
        if dead > 0 || hours > 100 {
            break dead;
        }
        eventually("another try", || async {
            let waits = "select count(*) from messages where state = 'dead' or \
                         (state = 'waiting' and lease = '' and last_error <> '')";
            (mail.refused() > 0 && test.count(waits).await > 0).then_some(())
        })
        .await;
        if mail.refused() == failed {
            test.clock.advance(Duration::from_secs(3_600));
            hours += 1;
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
    };
    assert!(dead > 0);
    let tries = "select max(tries) from messages where state = 'dead'";
    assert_eq!(test.count(tries).await, 11);
    assert!((15..=36).contains(&hours), "{hours}");
    assert!(mail.received().is_empty());
}

#[tokio::test]
async fn several_nodes_send_each_mail_once() {
    for test in TestApp::each().await {
        for _ in 0..40 {
            try_mail(&test.root).await;
        }
        let mail = MockMail::start().await;
        let one = test.another_node(mail_settings(&mail)).await;
        let two = test.another_node(mail_settings(&mail)).await;
        eventually("all mails", || async {
            let waiting = "select count(*) from messages where state = 'waiting'";
            (test.count(waiting).await == 0).then_some(())
        })
        .await;
        let mut ids: Vec<String> = mail
            .received()
            .iter()
            .map(|m| m.header("Message-ID").to_owned())
            .collect();
        assert_eq!(ids.len(), 40, "{}", test.name);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 40, "{}", test.name);
        for node in [one, two] {
            node.stop().await;
        }
    }
}

#[tokio::test]
async fn what_a_dead_node_had_claimed_is_sent_when_the_claim_ends() {
    for test in TestApp::each().await {
        let id = try_mail(&test.root).await;
        let until = test.clock.now().as_millis() + 60_000;
        test.execute(&format!(
            "update messages set lease = 'a dead node', leased_until = {until}, tries = 1"
        ))
        .await;
        let mail = MockMail::start().await;
        let node = test.another_node(mail_settings(&mail)).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(mail.received().is_empty(), "{}", test.name);
        test.clock.advance(Duration::from_secs(61));
        let message = until_state(&test, &id, "sent").await;
        assert_eq!(message["tries"], 2);
        assert_eq!(mail.received().len(), 1);
        node.stop().await;
    }
}

#[tokio::test]
async fn what_was_not_sent_in_time_is_given_up_unread() {
    let test = TestApp::with(Settings::default()).await;
    let id = try_mail(&test.root).await;
    test.clock.advance(Duration::from_secs(3_601));
    let mail = MockMail::start().await;
    // A node that could send it now does not.
    let node = test.another_node(mail_settings(&mail)).await;
    let message = until_state(&test, &id, "dead").await;
    assert_eq!(message["last_error"], "not sent in time");
    let path = format!("/api/messages/{id}/resend");
    test.root.post(&path, &json!({})).await.expect(409);
    assert!(mail.received().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn the_outbox_takes_no_more_than_it_may_hold() {
    let test = TestApp::with(Settings::default()).await;
    test.execute(
        "insert into messages (id, kind, event, recipient, created, updated) \
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000) \
         select 'full' || i, 'mail', 'x', 'x', '2026-01-10', '2026-01-10' from n",
    )
    .await;
    let refused = test.root.post("/api/messages/try-mail", &json!({})).await;
    let refused = refused.expect(503).json();
    assert!(refused["message"].as_str().unwrap().contains("outbox"));
}

#[tokio::test]
async fn who_is_deleted_is_not_written_to() {
    for test in TestApp::each().await {
        let admin = test.person("admin", "admin", &test.tenant).await;
        try_mail(&admin).await;
        let path = format!("/api/collections/users/records/{}", admin.id);
        test.root.delete(&path).await.expect(204);
        assert_eq!(test.count("select count(*) from messages").await, 0);
    }
}
