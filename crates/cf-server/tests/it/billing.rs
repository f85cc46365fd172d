use serde_json::json;

use crate::app::{PASSWORD, TestApp, id};

#[tokio::test]
async fn a_program_makes_a_user_with_key_budget_and_password() {
    for test in TestApp::each().await {
        let made = test
            .program()
            .at("billing.localhost:8080")
            .post(
                "/api/users",
                &json!({"email": "max@example.com", "name": "Max Mustermann",
                    "tenant_id": test.tenant, "product_id": test.product}),
            )
            .await
            .expect(201)
            .json();
        assert_eq!(made["status"], "active");
        assert_eq!(made["role"], "user");
        assert_eq!(made["budget_total"], 10.0);
        assert_eq!(made["budget_remaining"], 10.0);
        assert_eq!(made["budget_reset_date"], "2026-02-09 12:00:00.000Z");
        let mut max = test
            .guest()
            .sign_in(
                "users",
                "max@example.com",
                made["password"].as_str().unwrap(),
            )
            .await;
        max.key = made["litellm_api_key"].as_str().unwrap().into();
        assert!(max.key.starts_with("sk-"));
        max.by_key().chat(json!({})).await.expect(200);
        let read = test
            .program()
            .get(&format!("/api/users/{}", max.id))
            .await
            .expect(200);
        assert!(!read.text().contains(&max.key));
        let again = json!({"email": "MAX@example.com", "tenant_id": test.tenant});
        let refused = test
            .program()
            .post("/api/users", &again)
            .await
            .expect(400)
            .json();
        assert_eq!(refused["data"]["email"]["code"], "validation_not_unique");
    }
}

#[tokio::test]
async fn without_a_right_key_nothing_is_done() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    for guest in [test.guest(), test.guest().with("x-api-key", "wrong")] {
        for path in ["/api/users", "/api/check-budget", "/api/usage/log"] {
            guest.post(path, &json!({})).await.expect(401);
        }
    }
    alice
        .post("/api/check-budget", &json!({"user_id": alice.id}))
        .await
        .expect(403);
    alice
        .post(
            "/api/usage/log",
            &json!({"request_id": "x", "user_id": alice.id, "model": "small"}),
        )
        .await
        .expect(403);
    // A user may not make users; the record API's own refusal.
    alice
        .post(
            "/api/users",
            &json!({"email": "x@example.com", "tenant_id": test.tenant}),
        )
        .await
        .expect(400);
}

#[tokio::test]
async fn the_budget_check_knows_status_budget_and_model() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let check =
            async |body: serde_json::Value| test.program().post("/api/check-budget", &body).await;
        let fine = check(json!({"user_id": alice.id, "estimated_cost": 1.5}))
            .await
            .expect(200)
            .json();
        assert_eq!(fine["allowed"], true);
        assert_eq!(fine["budget_remaining"], 10.0);
        check(json!({"email": "Alice@example.com"}))
            .await
            .expect(200);
        check(json!({"api_key": alice.key})).await.expect(200);
        let dear = check(json!({"user_id": alice.id, "estimated_cost": 10.01}))
            .await
            .expect(403)
            .json();
        assert_eq!(dear["allowed"], false);
        assert_eq!(dear["error"], "Budget exceeded");
        assert_eq!(dear["code"], "budget_exceeded");
        let tokens = json!({"user_id": alice.id, "model": "small", "prompt_tokens": 1000, "max_tokens": 500});
        assert_eq!(
            check(tokens).await.expect(200).json()["estimated_cost"],
            0.002
        );
        check(json!({"user_id": "unknownunknown1"}))
            .await
            .expect(404);
        check(json!({})).await.expect(400);
        check(json!({"user_id": alice.id, "estimated_cost": -1}))
            .await
            .expect(400);
        test.root
            .change("users", &alice.id, &json!({"status": "suspended"}))
            .await
            .expect(200);
        let refused = check(json!({"user_id": alice.id})).await.expect(403).json();
        assert_eq!(
            (&refused["allowed"], &refused["code"]),
            (&json!(false), &json!("user_suspended"))
        );
    }
}

#[tokio::test]
async fn reported_usage_is_booked_once_and_repeats_are_answered_the_same() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let log =
            async |body: serde_json::Value| test.program().post("/api/usage/log", &body).await;
        let report = json!({"request_id": "r-1", "user_id": alice.id, "model": "small",
            "prompt_tokens": 1000, "completion_tokens": 500, "cached_tokens": 100});
        let first = log(report.clone()).await.expect(201).json();
        assert_eq!(first["cost"], 0.002);
        assert_eq!(first["currency"], "EUR");
        assert_eq!(first["budget_used"], 0.002);
        let again = log(report.clone()).await.expect(200).json();
        assert_eq!(again["id"], first["id"]);
        let mut other = report.clone();
        other["completion_tokens"] = 501.into();
        log(other).await.expect(409);
        let unknown = json!({"request_id": "r-2", "user_id": alice.id, "model": "nobody-knows"});
        log(unknown.clone()).await.expect(422);
        let mut with_cost = unknown;
        with_cost["cost"] = json!(0.25);
        with_cost["currency"] = "EUR".into();
        assert_eq!(
            log(with_cost).await.expect(201).json()["budget_used"],
            0.252
        );
        log(json!({"user_id": alice.id, "model": "small"}))
            .await
            .expect(400);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_reservation_is_held_until_it_is_logged() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let program = test.program();
        let check = json!({"user_id": alice.id, "estimated_cost": 8, "reserve": true});
        let held = program
            .post("/api/check-budget", &check)
            .await
            .expect(200)
            .json();
        program.post("/api/check-budget", &check).await.expect(403);
        let report = json!({"request_id": "r-1", "user_id": alice.id, "model": "small",
            "cost": 2, "currency": "EUR", "reservation_id": held["reservation_id"]});
        program.post("/api/usage/log", &report).await.expect(201);
        program.post("/api/check-budget", &check).await.expect(200);
    }
}

#[tokio::test]
async fn a_budget_is_reset_and_topped_up_once_for_a_key() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        alice.by_key().chat(json!({})).await.expect(200);
        let path = |what: &str| format!("/api/users/{}/{what}", alice.id);
        let once = test.program().with("idempotency-key", "k-1");
        let top_up = json!({"amount": 5, "currency": "EUR", "note": "paid"});
        for _ in 0..3 {
            let user = once.post(&path("top-up"), &top_up).await.expect(200).json();
            assert_eq!(user["budget_total"], 15.0, "{}", test.name);
        }
        let other = json!({"amount": 6, "currency": "EUR"});
        once.post(&path("top-up"), &other).await.expect(409);
        let wrong = json!({"amount": 6, "currency": "USD"});
        test.program()
            .post(&path("top-up"), &wrong)
            .await
            .expect(400);
        alice
            .post(&path("reset-budget"), &json!({}))
            .await
            .expect(403);
        let user = test
            .program()
            .post(&path("reset-budget"), &json!({}))
            .await
            .expect(200)
            .json();
        assert_eq!(user["budget_used"], 0.0);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn the_summary_shows_each_caller_what_is_theirs() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let bob = test.user("bob").await;
        alice.by_key().chat(json!({})).await.expect(200);
        bob.by_key().chat(json!({})).await.expect(200);
        let other = test.new_tenant("other").await;
        let eve = test.person("eve", "tenant_admin", &other).await;
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        let path = "/api/usage/summary?group_by=user&from=2026-01-10&to=2026-01-10";
        for (client, requests) in [
            (test.program(), 2),
            (test.root.clone(), 2),
            (carol, 2),
            (alice.clone(), 1),
            (eve, 0),
        ] {
            let summary = client.get(path).await.expect(200).json();
            assert_eq!(summary["total"]["requests"], requests, "{summary}");
        }
        alice
            .get(&format!("{path}&user_id={}", bob.id))
            .await
            .expect(403);
        let rows = alice.get("/api/usage").await.expect(200).json();
        assert_eq!(rows["totalItems"], 1);
    }
}

#[tokio::test]
async fn the_seeds_own_user_is_taken_as_it_stands() {
    for test in TestApp::each().await {
        let key = format!("sk-{}", "0123456789abcdef".repeat(4));
        let seed = json!({
            "email": "admin@cloudfreedom.de", "password": PASSWORD, "passwordConfirm": PASSWORD,
            "name": "Admin", "role": "admin", "status": "active", "tenant_id": test.tenant,
            "product_id": test.product, "budget_total": 100.00, "budget_used": 0,
            "budget_remaining": 100.00, "budget_reset_date": "2026-11-10 00:00:00.000Z",
            "litellm_api_key": key,
        });
        let made = test.root.create("users", seed).await;
        assert_eq!(made["budget_total"], 100.0);
        assert_eq!(made["litellm_api_key"], key, "in full, this once");
        assert_eq!(made["budget_reset_date"], "2026-11-10 00:00:00.000Z");
        let read = test
            .root
            .record("users", &id(&made))
            .await
            .expect(200)
            .json();
        assert_ne!(read["litellm_api_key"], key);
        let by_key = test.guest().with("authorization", &format!("Bearer {key}"));
        by_key.chat(json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn a_keys_budget_counts_what_other_programs_report_for_it() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let key = json!({"name": "small", "budget_total": 1});
        let key = alice.post("/api/keys", &key).await.expect(200).json();
        let check = json!({"api_key": key["key"], "estimated_cost": 0.6});
        test.program()
            .post("/api/check-budget", &check)
            .await
            .expect(200);
        let report = json!({"request_id": "k-1", "api_key": key["key"], "model": "small",
            "cost": 0.5, "currency": "EUR"});
        test.program()
            .post("/api/usage/log", &report)
            .await
            .expect(201);
        let refused = test
            .program()
            .post("/api/check-budget", &check)
            .await
            .expect(403)
            .json();
        assert_eq!(refused["refused_by"], "key", "{}", test.name);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_budget_keeps_its_currency_while_something_was_spent_in_it() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let dollars =
            json!({"name": "Dollars", "currency": "USD", "budget_included": 7, "active": true});
        let dollars = id(&test.root.create("products", dollars).await);
        alice.by_key().chat(json!({})).await.expect(200);
        let change = json!({"product_id": dollars});
        test.root
            .change("users", &alice.id, &change)
            .await
            .expect(400);
        let bob = test.user("bob").await;
        let moved = test
            .root
            .change("users", &bob.id, &change)
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&moved["budget_currency"], &moved["budget_total"]),
            (&json!("USD"), &json!(7))
        );
        bob.by_key().chat(json!({})).await.expect(200);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_rate_is_for_a_day_and_holds_from_then_on() {
    let test = TestApp::new().await;
    let path = "/api/collections/exchange_rates/records";
    let rate = |date: &str, rate: f64| json!({"base": "USD", "quote": "EUR", "rate": rate, "date": date, "source": "t"});
    for nonsense in ["31.12.2025", "2026-1-1", "soon"] {
        test.root.post(path, &rate(nonsense, 2.0)).await.expect(400);
    }
    let alice = test.user("alice").await;
    test.root
        .create("exchange_rates", rate("2026-02-01", 2.0))
        .await;
    let now = alice.by_key().chat(json!({})).await.expect(200);
    assert_eq!(now.header("x-cf-cost"), "0.00002", "not before its day");
    test.root
        .create("exchange_rates", rate("2026-01-10", 0.5))
        .await;
    let today = alice.by_key().chat(json!({})).await.expect(200);
    assert_eq!(today.header("x-cf-cost"), "0.00001");
}
