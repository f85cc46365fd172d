//! Money writes sent again under the same `Idempotency-Key`.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::{Client, TestApp};

async fn again(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
    let first = client.send(method, path, Some(body)).await;
    assert!(first.status.is_success(), "{}", first.text());
    assert_eq!(first.header("idempotent-replayed"), "");
    let second = client.send(method, path, Some(body)).await;
    assert_eq!(first.status, second.status);
    assert_eq!(first.body, second.body, "byte for byte");
    assert_eq!(second.header("idempotent-replayed"), "true");
    (first.status.as_u16(), first.body.to_vec())
}

#[tokio::test]
async fn every_money_write_is_done_once_for_a_key() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let user = format!("/api/users/{}", alice.id);
        let key = |key: &str| test.program().with("idempotency-key", key);
        let new = json!({"email": "new@example.com", "tenant_id": test.tenant,
            "product_id": test.product});
        let (status, body) = again(&key("new"), "POST", "/api/users", &new).await;
        assert_eq!(status, 201);
        let made: Value = serde_json::from_slice(&body).unwrap();
        let secret = made["litellm_api_key"].as_str().unwrap();
        assert!(secret.starts_with("sk-") && made["password"].is_string());
        let users = test.program().get("/api/users").await.expect(200).json();
        assert_eq!(users["totalItems"], 2);
        // The kept answer holds key and password; it does not lie there open.
        let open = format!(
            "select count(*) from idempotency_keys where body like '%{secret}%' or body like '%sk-%'"
        );
        assert_eq!(test.count(&open).await, 0, "{}", test.name);

        let top_up = json!({"amount": 5, "currency": "EUR", "note": "paid"});
        again(&key("t"), "POST", &format!("{user}/top-up"), &top_up).await;
        again(&key("l"), "PATCH", &user, &json!({"budget_total": 20})).await;
        test.program()
            .send("PATCH", &user, Some(&json!({"budget_total": 30})))
            .await
            .expect(200);
        // The repeat changes nothing, though it says what was true then.
        let repeat = key("l")
            .send("PATCH", &user, Some(&json!({"budget_total": 20})))
            .await;
        assert_eq!(repeat.expect(200).json()["budget_total"], 20.0);
        let now = test.program().get(&user).await.expect(200).json();
        assert_eq!(now["budget_total"], 30.0);
        again(
            &key("r"),
            "POST",
            &format!("{user}/reset-budget"),
            &json!({}),
        )
        .await;
        let hold = json!({"user_id": alice.id, "estimated_cost": 8, "reserve": true});
        let (_, body) = again(&key("h"), "POST", "/api/check-budget", &hold).await;
        let held: Value = serde_json::from_slice(&body).unwrap();
        assert!(held["reservation_id"].is_string());
        assert_eq!(test.count("select count(*) from ledger_holds").await, 1);
        let path = format!(
            "/api/reservations/{}",
            held["reservation_id"].as_str().unwrap()
        );
        test.program().delete(&path).await.expect(204);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn the_same_key_for_something_else_is_refused() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let bob = test.user("bob").await;
        let once = test.program().with("idempotency-key", "k");
        let path = |who: &Client| format!("/api/users/{}/top-up", who.id);
        let five = json!({"amount": 5, "currency": "EUR"});
        once.post(&path(&alice), &five).await.expect(200);
        // The order of names does not matter, the content and the address do.
        let text = r#"{"currency":"EUR","amount":5}"#.to_owned();
        once.send_text("POST", &path(&alice), text)
            .await
            .expect(200);
        let six = json!({"amount": 6, "currency": "EUR"});
        let hold = json!({"user_id": alice.id, "estimated_cost": 1, "reserve": true});
        for (path, body) in [
            (path(&alice), &six),
            (path(&bob), &five),
            ("/api/check-budget".to_owned(), &hold),
        ] {
            let refused = once.post(&path, body).await.expect(409).json();
            assert_eq!(refused["code"], "idempotency_key_reused", "{path}");
        }
        let long = test.program().with("idempotency-key", &"x".repeat(256));
        long.post(&path(&alice), &five).await.expect(400);
        // What was refused for its content is no first answer.
        let wrong = json!({"amount": 5, "currency": "USD"});
        let fresh = test.program().with("idempotency-key", "fresh");
        fresh.post(&path(&bob), &wrong).await.expect(400);
        fresh.post(&path(&bob), &five).await.expect(200);
    }
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_by_id() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let path = format!("/api/users/{}/top-up", alice.id);
        let top_up = json!({"amount": 1, "currency": "EUR"});
        let new = json!({"name": "crm", "scopes": ["manage"]});
        let mut total = 10.0;
        for _ in 0..2 {
            // Revoked and made again under the same name: another caller.
            let made = test.root.post("/api/billing-keys", &new).await.expect(201);
            let made = made.json();
            let crm = test
                .guest()
                .with("x-api-key", made["key"].as_str().unwrap())
                .with("idempotency-key", "k");
            total += 1.0;
            let user = crm.post(&path, &top_up).await.expect(200).json();
            assert_eq!(user["budget_total"], total, "{}", test.name);
            let of_key = format!("/api/billing-keys/{}", made["id"].as_str().unwrap());
            test.root.delete(&of_key).await.expect(204);
        }
        let root = test.root.with("idempotency-key", "k");
        let user = root.post(&path, &top_up).await.expect(200).json();
        assert_eq!(user["budget_total"], total + 1.0);
    }
}

#[tokio::test]
async fn twenty_at_once_under_one_key_are_one() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let once = test.program().with("idempotency-key", "k");
        let path = format!("/api/users/{}/top-up", alice.id);
        let top_up = json!({"amount": 1, "currency": "EUR"});
        let answers = join_all((0..20).map(|_| once.post(&path, &top_up))).await;
        for answer in answers {
            let user = answer.expect(200).json();
            assert_eq!(user["budget_total"], 11.0, "{}", test.name);
        }
        let hold = test.program().with("idempotency-key", "h");
        let body = json!({"user_id": alice.id, "estimated_cost": 1, "reserve": true});
        let answers = join_all((0..20).map(|_| hold.post("/api/check-budget", &body))).await;
        let first = answers[0].body.clone();
        for answer in answers {
            assert_eq!(answer.expect(200).body, first, "{}", test.name);
        }
        assert_eq!(test.count("select count(*) from ledger_holds").await, 1);
    }
}

#[tokio::test]
async fn a_reservation_cut_off_by_a_crash_is_found_and_not_made_twice() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let once = test.program().with("idempotency-key", "k");
        let body = json!({"user_id": alice.id, "estimated_cost": 6, "reserve": true});
        let held = once.post("/api/check-budget", &body).await.expect(200);
        let held = held.json();
        // As it stands when the process dies between the reservation and its answer.
        test.execute("update idempotency_keys set status = 0, body = ''")
            .await;
        test.clock.advance(Duration::from_secs(31));
        let found = once.post("/api/check-budget", &body).await.expect(200);
        assert_eq!(found.json()["reservation_id"], held["reservation_id"]);
        assert_eq!(test.count("select count(*) from ledger_holds").await, 1);

        // And when it dies before the reservation: then it is made, under the same id.
        test.execute("update idempotency_keys set status = 0, body = ''")
            .await;
        test.execute("delete from ledger_holds").await;
        test.execute("update ledger_accounts set pending_nanos = 0")
            .await;
        test.clock.advance(Duration::from_secs(31));
        let made = once.post("/api/check-budget", &body).await.expect(200);
        assert_eq!(made.json()["reservation_id"], held["reservation_id"]);

        // And when nobody asked again before it expired: another is made.
        test.execute("update idempotency_keys set status = 0, body = ''")
            .await;
        test.clock.advance(Duration::from_secs(16 * 60));
        test.app.ledger.expire_holds(false).await.unwrap();
        let anew = once.post("/api/check-budget", &body).await.expect(200);
        let anew = anew.json();
        assert_ne!(anew["reservation_id"], held["reservation_id"]);
        let path = format!(
            "/api/reservations/{}",
            anew["reservation_id"].as_str().unwrap()
        );
        test.program().delete(&path).await.expect(204);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn while_one_is_at_work_another_is_told_so() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let once = test.program().with("idempotency-key", "k");
    let body = json!({"user_id": alice.id, "estimated_cost": 6, "reserve": true});
    once.post("/api/check-budget", &body).await.expect(200);
    test.execute("update idempotency_keys set status = 0, body = ''")
        .await;
    let waiting = once.post("/api/check-budget", &body).await.expect(409);
    assert_eq!(waiting.json()["code"], "idempotency_key_in_use");
}

#[tokio::test]
async fn answers_are_kept_for_a_day_at_least_and_pruned_after_two() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let once = test.program().with("idempotency-key", "k");
        let path = format!("/api/users/{}/top-up", alice.id);
        let top_up = json!({"amount": 1, "currency": "EUR"});
        let prune = async || {
            let (db, clock) = (&test.app.db, &test.app.clock);
            test.app.idempotency.prune(db, clock).await.unwrap();
        };
        once.post(&path, &top_up).await.expect(200);
        test.clock.advance(Duration::from_secs(47 * 3600));
        prune().await;
        let kept = once.post(&path, &top_up).await.expect(200);
        assert_eq!(kept.header("idempotent-replayed"), "true");
        test.clock.advance(Duration::from_secs(2 * 3600));
        prune().await;
        assert_eq!(test.count("select count(*) from idempotency_keys").await, 0);
    }
}
