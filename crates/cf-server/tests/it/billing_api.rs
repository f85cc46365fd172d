//! The Billing API line by line: codes, limits, repeats, pages, filters, sums.

use std::time::Duration;

use serde_json::json;

use crate::app::{TestApp, id};

#[tokio::test]
async fn each_refusal_of_the_budget_check_has_its_code() {
    for test in TestApp::each().await {
        let program = test.program();
        let check = async |body: serde_json::Value| program.post("/api/check-budget", &body).await;
        let pending = test.user("pending").await;
        let status = json!({"status": "pending"});
        test.root
            .change("users", &pending.id, &status)
            .await
            .expect(200);
        let other = test.new_tenant("other").await;
        let shut_out = test.person("shut", "user", &other).await;
        let status = json!({"status": "suspended"});
        test.root
            .change("tenants", &other, &status)
            .await
            .expect(200);
        let product = json!({"name": "One model", "currency": "EUR", "budget_included": 10,
            "models": ["small"], "active": true});
        let product = id(&test.root.create("products", product).await);
        let alice = test.user("alice").await;
        let change = json!({"product_id": product});
        test.root
            .change("users", &alice.id, &change)
            .await
            .expect(200);
        for (body, code) in [
            (json!({"user_id": pending.id}), "user_pending"),
            (json!({"user_id": shut_out.id}), "tenant_suspended"),
            (
                json!({"user_id": alice.id, "model": "large"}),
                "model_not_allowed",
            ),
            (
                json!({"user_id": alice.id, "estimated_cost": 11}),
                "budget_exceeded",
            ),
            (
                json!({"user_id": alice.id, "estimated_cost": 11, "reserve": true}),
                "budget_exceeded",
            ),
        ] {
            let refused = check(body).await.expect(403).json();
            assert_eq!(refused["allowed"], false);
            assert_eq!(refused["code"], code, "{}", test.name);
            assert!(refused["error"].is_string());
        }
        for nobody in [
            json!({"user_id": "unknownunknown1"}),
            json!({"user_id": "no id at all"}),
            json!({"email": "nobody@example.com"}),
            json!({"api_key": "sk-nobody"}),
        ] {
            let refused = check(nobody.clone()).await.expect(404).json();
            assert_eq!(refused["code"], "user_not_found");
            let mut log = nobody;
            log["request_id"] = "r".into();
            log["model"] = "small".into();
            let refused = program.post("/api/usage/log", &log).await.expect(404);
            assert_eq!(refused.json()["code"], "user_not_found");
        }
        let bob = test.user("bob").await;
        let two = json!({"user_id": alice.id, "email": "bob@example.com"});
        check(two).await.expect(400);
        let one = json!({"user_id": bob.id, "email": "BOB@example.com", "api_key": bob.key});
        check(one).await.expect(200);
        let unpriced = json!({"user_id": bob.id, "model": "nobody-knows", "prompt_tokens": 1});
        check(unpriced).await.expect(422);
    }
}

#[tokio::test]
async fn the_products_rate_limit_holds_for_checks_and_calls_together() {
    let test = TestApp::new().await;
    let product = json!({"name": "Slow", "currency": "EUR", "budget_included": 10,
        "rate_limit": 3, "active": true});
    let product = id(&test.root.create("products", product).await);
    let alice = test.user("alice").await;
    let change = json!({"product_id": product});
    test.root
        .change("users", &alice.id, &change)
        .await
        .expect(200);
    let program = test.program();
    let ask = json!({"user_id": alice.id});
    alice.by_key().chat(json!({})).await.expect(200);
    let only_asked = json!({"user_id": alice.id, "count": false});
    for _ in 0..5 {
        program
            .post("/api/check-budget", &only_asked)
            .await
            .expect(200);
    }
    for _ in 0..2 {
        program.post("/api/check-budget", &ask).await.expect(200);
    }
    let once = program.with("idempotency-key", "k");
    let hold = json!({"user_id": alice.id, "estimated_cost": 1, "reserve": true});
    for refused in [
        program.post("/api/check-budget", &ask).await,
        once.post("/api/check-budget", &hold).await,
    ] {
        let refused = refused.expect(429);
        assert_eq!(refused.json()["code"], "rate_limited");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=21).contains(&wait), "{wait}");
    }
    alice.by_key().chat(json!({})).await.expect(429);
    test.clock.advance(Duration::from_secs(60));
    // What was refused for the moment is no answer to keep.
    once.post("/api/check-budget", &hold).await.expect(200);
}

#[tokio::test]
async fn a_repeated_report_is_told_what_the_first_was_told() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let log =
            async |body: serde_json::Value| test.program().post("/api/usage/log", &body).await;
        let report = json!({"request_id": "r-1", "user_id": alice.id, "model": "small",
            "cost": 1, "currency": "EUR", "metadata": {"job": 7}});
        let first = log(report.clone()).await.expect(201);
        let more = json!({"request_id": "r-2", "user_id": alice.id, "model": "small",
            "cost": 2, "currency": "EUR"});
        assert_eq!(log(more).await.expect(201).json()["budget_used"], 3.0);
        let again = log(report.clone()).await.expect(200);
        assert_eq!(again.body, first.body, "{}", test.name);
        let mut other = report;
        other["metadata"] = json!({"job": 8});
        log(other).await.expect(409);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn reported_tokens_are_priced_by_their_class() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let model = json!({"name": "cached", "active": true,
            "prices": {"input": 10, "output": 20, "cached_input": 1, "cache_write": 12.5},
            "deployments": [{"provider_key": test.root
                .get("/api/collections/provider_keys/records").await.json()["items"][0]["id"],
                "model": "x"}]});
        test.root.create("models", model).await;
        let report = json!({"request_id": "r", "user_id": alice.id, "model": "cached",
            "prompt_tokens": 1000, "cached_tokens": 600, "cache_write_tokens": 100,
            "completion_tokens": 10});
        let logged = test.program().post("/api/usage/log", &report).await;
        // (300 × 10 + 600 × 1 + 100 × 12.5 + 10 × 20) / 1 000 000
        assert_eq!(logged.expect(201).json()["cost"], 0.005_05, "{}", test.name);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_late_report_is_booked_although_its_reservation_is_over() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let program = test.program();
        let hold = json!({"user_id": alice.id, "estimated_cost": 8, "reserve": true});
        let held = program
            .post("/api/check-budget", &hold)
            .await
            .expect(200)
            .json();
        test.clock.advance(Duration::from_secs(16 * 60));
        test.app.ledger.expire_holds(false).await.unwrap();
        let report = json!({"request_id": "late", "user_id": alice.id, "model": "small",
            "cost": 3, "currency": "EUR", "reservation_id": held["reservation_id"]});
        let logged = program.post("/api/usage/log", &report).await.expect(201);
        assert_eq!(logged.json()["budget_used"], 3.0, "{}", test.name);
        let unknown = json!({"request_id": "x", "user_id": alice.id, "model": "small",
            "cost": 3, "currency": "EUR", "reservation_id": "nobody-knows"});
        program.post("/api/usage/log", &unknown).await.expect(422);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_filter_that_is_not_understood_shows_nothing() {
    let test = TestApp::new().await;
    let program = test.program();
    for path in [
        "/api/usage?userid=aaaaaaaaaaaaaaa",
        "/api/usage?user_id=alice",
        "/api/usage?tenant_id=app",
        "/api/usage?from=yesterday",
        "/api/usage?from=2026-02-01&to=2026-01-01",
        "/api/usage?page=first",
        "/api/usage/summary?group_by=colour",
        "/api/usage/summary?groupBy=day",
        "/api/users?filter=nonsense",
        "/api/users?filtre=status='active'",
        "/api/users?perPage=many",
    ] {
        let refused = program.get(path).await.expect(400).json();
        assert_eq!(refused["code"], "invalid_request", "{path}");
        assert!(refused["message"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let program = test.program();
        for n in 0..3 {
            let report = json!({"request_id": format!("r-{n}"), "user_id": alice.id,
                "model": "small", "cost": 1, "currency": "EUR"});
            program.post("/api/usage/log", &report).await.expect(201);
            test.clock.advance(Duration::from_secs(60));
        }
        let path = format!(
            "/api/usage?user={}&tenant={}&perPage=2",
            alice.id, test.tenant
        );
        let first = program.get(&path).await.expect(200).json();
        assert_eq!(
            (
                &first["totalItems"],
                &first["totalPages"],
                &first["perPage"]
            ),
            (&json!(3), &json!(2), &json!(2))
        );
        let second = program.get(&format!("{path}&page=2")).await.expect(200);
        let second = second.json();
        let ids = |page: &serde_json::Value| -> Vec<String> {
            let items = page["items"].as_array().unwrap().iter();
            items
                .map(|r| r["request_id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!([ids(&first), ids(&second)].concat(), ["r-2", "r-1", "r-0"]);
        let one_day = "/api/usage?from=2026-01-11&to=2026-01-12";
        assert_eq!(program.get(one_day).await.json()["totalItems"], 0);
        let huge = program.get("/api/users?perPage=100000").await.expect(200);
        assert_eq!(huge.json()["perPage"], 1000);
    }
}

#[tokio::test]
async fn the_summarys_total_has_everything_in_it_and_says_when_groups_are_missing() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        for part in 0..4 {
            let rows: Vec<String> = (0..300)
                .map(|n| {
                    let n = part * 300 + n;
                    format!(
                        "('row{n}', 'r{n}', '{}', '{}', 'model-{n}', 10, 5, 2000000, 'EUR', 2000000,                          'EUR', 1, 1, 'ok', '2026-01-10 10:00:00.000Z')",
                        alice.id, test.tenant
                    )
                })
                .collect();
            test.execute(&format!(
                "insert into usage_logs (id, request_id, user_id, tenant_id, model, prompt_tokens,                  completion_tokens, cost, currency, tenant_cost, tenant_currency, exchange_rate,                  tenant_exchange_rate, status, created) values {}",
                rows.join(", ")
            ))
            .await;
        }
        test.sum_rows().await;
        let program = test.program();
        let by_model = program.get("/api/usage/summary?group_by=model").await;
        let by_model = by_model.expect(200).json();
        assert_eq!(by_model["items"].as_array().unwrap().len(), 1000);
        assert_eq!(by_model["truncated"], true);
        let by_day = program.get("/api/usage/summary").await.expect(200).json();
        assert_eq!(by_day["truncated"], false);
        for summary in [by_model, by_day] {
            let total = &summary["total"];
            assert_eq!(total["requests"], 1200, "{}", test.name);
            assert_eq!(total["prompt_tokens"], 12_000);
            assert_eq!(total["completion_tokens"], 6_000);
            assert_eq!(total["cost"], 2.4);
            assert_eq!(total["by_currency"], json!({"EUR": 2.4}));
        }
    }
}
