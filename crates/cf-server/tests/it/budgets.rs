use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{Client, TestApp, id};

const DAY: Duration = Duration::from_secs(86_400);

fn path(of: &str, id: &str) -> String {
    format!("/api/{of}/{id}/budgets")
}

async fn budgets(client: &Client, of: &str, id: &str) -> Value {
    client.get(&path(of, id)).await.expect(200).json()
}

fn window<'a>(budgets: &'a Value, name: &str) -> &'a Value {
    let windows = budgets["windows"].as_array().unwrap();
    windows.iter().find(|w| w["name"] == name).unwrap()
}

fn daily(limit: f64) -> Value {
    json!({"windows": [
        {"name": "main", "limit": 100, "period": "month"},
        {"name": "daily", "limit": limit, "period": "day"},
    ]})
}

async fn reset(test: &TestApp) -> usize {
    cf_ledger::reset_due_budgets(&test.app.db, &test.clock, &test.app.random)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_product_gives_its_budgets_to_whoever_gets_it() {
    for test in TestApp::each().await {
        let product = json!({
            "name": "Five a day", "currency": "EUR", "budget_included": 100, "active": true,
            "budget_period": "month", "budget_carry_over": true,
            "budget_windows": [{"name": "daily", "limit": 0.00002, "period": "day"}],
        });
        let product = id(&test.root.create("products", product).await);
        let alice = test.user("alice").await;
        assert_eq!(
            budgets(&alice, "users", &alice.id).await["windows"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        test.root
            .change("users", &alice.id, &json!({"product_id": product}))
            .await
            .expect(200);
        let record = test
            .root
            .create(
                "users",
                json!({
                    "email": "bob@example.com", "name": "bob", "role": "user", "status": "active",
                    "tenant_id": test.tenant, "product_id": product, "password": "correct horse",
                    "passwordConfirm": "correct horse",
                }),
            )
            .await;
        for user in [alice.id.clone(), id(&record)] {
            let got = budgets(&test.root, "users", &user).await;
            assert_eq!(got["time_zone"], "Europe/Berlin", "{}", test.name);
            let main = window(&got, "main");
            assert_eq!(main["limit"], 100.0);
            assert_eq!(main["period"], "month");
            assert_eq!(main["carry_over"], true);
            assert_eq!(main["reset_date"], "2026-01-31 23:00:00.000Z");
            let daily = window(&got, "daily");
            assert_eq!(daily["reset_date"], "2026-01-10 23:00:00.000Z");
            assert_eq!(daily["remaining"], 0.00002);
        }
        let user = alice.record("users", &alice.id).await.json();
        assert_eq!(user["budget_total"], 100.0);
        assert_eq!(user["budget_reset_date"], "2026-01-31 23:00:00.000Z");
        // The day refuses, though the month has room, and says that it does.
        let refused = alice.by_key().chat(json!({})).await.expect(403).json();
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(
            message
                .starts_with("Budget exceeded: the user's daily budget has 0.00002 of 0.00002 EUR"),
            "{message}"
        );
        let check = json!({"user_id": alice.id, "estimated_cost": 0.001});
        test.program()
            .post("/api/check-budget", &check)
            .await
            .expect(403);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn five_a_day_are_five_again_the_next_day_and_the_day_before_is_kept() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let set = test
            .root
            .send("PUT", &path("users", &alice.id), Some(&daily(5.0)))
            .await;
        assert_eq!(
            window(&set.expect(200).json(), "daily")["limit_in_force"],
            5.0
        );
        alice.by_key().chat(json!({})).await.expect(200);
        let got = budgets(&alice, "users", &alice.id).await;
        assert_eq!(window(&got, "daily")["used"], 0.00002, "{}", test.name);
        test.clock.advance(DAY);
        // Sessions are over by now.
        let program = test.program();
        assert_eq!(reset(&test).await, 1);
        let got = budgets(&program, "users", &alice.id).await;
        assert_eq!(window(&got, "daily")["used"], 0.0);
        assert_eq!(window(&got, "main")["used"], 0.00002);
        let history = format!(
            "{}/history?window=daily&perPage=5",
            path("users", &alice.id)
        );
        let history = program.get(&history).await.expect(200).json();
        assert_eq!(history["totalItems"], 1);
        let period = &history["items"][0];
        assert_eq!(period["spent"], 0.00002);
        assert_eq!(period["starts"], "2026-01-09 23:00:00.000Z");
        assert_eq!(period["ends"], "2026-01-10 23:00:00.000Z");
        // Taken away again: the entries still add up.
        let only = json!({"windows": [{"name": "main", "limit": 10, "period": "days", "period_days": 30}]});
        program
            .send("PUT", &path("users", &alice.id), Some(&only))
            .await
            .expect(200);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn an_increase_is_given_once_and_ends_by_itself_or_by_hand() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let increases = format!("{}/increases", path("users", &alice.id));
        let program = test.program();
        let once = program.with("idempotency-key", "once");
        let wanted = json!({"amount": 5, "currency": "EUR", "until": "2026-01-12", "note": "fair"});
        let first = once.post(&increases, &wanted).await.expect(200).json();
        assert_eq!(
            once.post(&increases, &wanted).await.expect(200).json(),
            first
        );
        let other = json!({"amount": 6, "currency": "EUR", "until": "2026-01-12"});
        once.post(&increases, &other).await.expect(409);
        let second = test.root.post(&increases, &other).await.expect(200).json();
        let got = budgets(&alice, "users", &alice.id).await;
        assert_eq!(window(&got, "main")["limit"], 10.0);
        assert_eq!(window(&got, "main")["increase"], 11.0);
        let user = alice.record("users", &alice.id).await.json();
        assert_eq!(
            (&user["budget_total"], &user["budget_remaining"]),
            (&json!(10), &json!(21))
        );
        let one = format!("{increases}/{}", id(&second));
        test.root.delete(&one).await.expect(200);
        test.root.delete(&one).await.expect(404);
        test.clock.advance(DAY * 5);
        reset(&test).await;
        let got = budgets(&program, "users", &alice.id).await;
        assert_eq!(
            window(&got, "main")["limit_in_force"],
            10.0,
            "{}",
            test.name
        );
        assert_eq!(got["increases"].as_array().unwrap().len(), 2);
        assert!(
            got["increases"]
                .as_array()
                .unwrap()
                .iter()
                .all(|i| i["ended"] != "")
        );
        for wrong in [
            json!({"amount": 0, "currency": "EUR", "until": "2026-02-01"}),
            json!({"amount": 1, "currency": "USD", "until": "2026-02-01"}),
            json!({"amount": 1, "currency": "EUR", "until": "2026-01-01"}),
            json!({"amount": 1, "currency": "EUR", "until": "soon"}),
            json!({"amount": 1}),
        ] {
            program.post(&increases, &wrong).await.expect(400);
        }
        let elsewhere =
            json!({"amount": 1, "currency": "EUR", "until": "2026-02-01", "window": "x"});
        program.post(&increases, &elsewhere).await.expect(404);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn who_may_see_and_change_whose_budgets() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let boss = test.person("boss", "tenant_admin", &test.tenant).await;
    let admin = test.person("ada", "admin", &test.tenant).await;
    let other_tenant = test.new_tenant("other").await;
    let stranger = test.person("stranger", "tenant_admin", &other_tenant).await;
    let made = alice
        .post("/api/keys", &json!({"name": "k"}))
        .await
        .expect(200)
        .json();
    let key = id(&made);
    let keys = json!({"windows": [{"name": "main", "limit": null}]});
    let cases = [
        (&boss, "users", &alice.id, 200, 200),
        (&boss, "users", &boss.id, 200, 403),
        (&boss, "users", &admin.id, 200, 403),
        (&boss, "tenants", &test.tenant, 200, 403),
        (&boss, "keys", &key, 200, 200),
        (&alice, "users", &alice.id, 200, 403),
        (&alice, "users", &boss.id, 404, 404),
        (&alice, "tenants", &test.tenant, 404, 404),
        (&alice, "keys", &key, 200, 403),
        (&stranger, "users", &alice.id, 404, 404),
        (&stranger, "tenants", &test.tenant, 404, 404),
        (&stranger, "keys", &key, 404, 404),
        (&admin, "users", &boss.id, 200, 200),
        (&admin, "tenants", &test.tenant, 200, 200),
        (&admin, "keys", &key, 200, 200),
    ];
    for (who, of, owner, seen, changed) in cases {
        let path = path(of, owner);
        who.get(&path).await.expect(seen);
        who.get(&format!("{path}/history")).await.expect(seen);
        let body = if of == "keys" { &keys } else { &daily(5.0) };
        who.send("PUT", &path, Some(body)).await.expect(changed);
        let more =
            json!({"amount": 1, "currency": "EUR", "until": "2026-02-01", "window": "daily"});
        // A key without that budget has nothing to increase.
        let increased = if of == "keys" && changed == 200 {
            404
        } else {
            changed
        };
        who.post(&format!("{path}/increases"), &more)
            .await
            .expect(increased);
        let none = format!("{path}/increases/aaaaaaaaaaaaaaa");
        let ended = if changed == 200 { 404 } else { changed };
        who.delete(&none).await.expect(ended);
    }
    test.guest()
        .get(&path("users", &alice.id))
        .await
        .expect(401);
    test.program()
        .get(&path("tenants", &test.tenant))
        .await
        .expect(200);
    test.assert_settled().await;
}

#[tokio::test]
async fn budgets_that_make_no_sense_are_refused() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let main = json!({"name": "main", "limit": 1});
    for (wrong, says) in [
        (json!([]), "cannot be left out"),
        (json!([{"name": "main", "limit": null}]), "needs a limit"),
        (json!([main, {"name": "a", "limit": -1}]), "below zero"),
        (
            json!([main, {"name": "a", "limit": 1, "period": "year"}]),
            "period",
        ),
        (
            json!([main, {"name": "a", "limit": 1, "period": "days"}]),
            "period_days",
        ),
        (json!([main, {"name": "Ä", "limit": 1}]), "cannot name"),
        (json!([main, main]), "two budgets"),
        (json!([main, {"name": "a"}]), "needs a limit"),
        (
            json!([main, {"name": "a", "limit": 1, "color": "red"}]),
            "color",
        ),
        (json!("main"), "a list"),
    ] {
        let body = json!({"windows": wrong});
        let refused = test
            .root
            .send("PUT", &path("users", &alice.id), Some(&body))
            .await;
        let text = refused.expect(400).text();
        assert!(text.contains(says), "{wrong}: {text}");
    }
    for (wrong, field) in [
        (
            json!({"budget_windows": [{"name": "main", "limit": 1}]}),
            "budget_windows",
        ),
        (
            json!({"budget_windows": [{"name": "a", "limit": 1, "period": "x"}]}),
            "budget_windows",
        ),
        (json!({"budget_period": "year"}), "budget_period"),
    ] {
        let refused = test
            .root
            .change("products", &test.product, &wrong)
            .await
            .expect(400);
        assert!(
            !refused.json()["data"][field].is_null(),
            "{}",
            refused.text()
        );
    }
}

#[tokio::test]
async fn days_begin_by_the_tenants_clock() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        test.root
            .send("PUT", &path("users", &alice.id), Some(&daily(5.0)))
            .await
            .expect(200);
        let refused = test
            .root
            .change("tenants", &test.tenant, &json!({"time_zone": "Berlin"}))
            .await
            .expect(400);
        assert!(refused.text().contains("Europe/Berlin"));
        test.root
            .change("tenants", &test.tenant, &json!({"time_zone": "Asia/Tokyo"}))
            .await
            .expect(200);
        let got = budgets(&alice, "users", &alice.id).await;
        assert_eq!(got["time_zone"], "Asia/Tokyo", "{}", test.name);
        assert_eq!(
            window(&got, "daily")["reset_date"],
            "2026-01-10 15:00:00.000Z"
        );
        assert_eq!(
            window(&got, "main")["reset_date"],
            "2026-01-31 15:00:00.000Z"
        );
        // Who moves takes the new tenant's clock.
        let other = test.new_tenant("other").await;
        test.root
            .change("users", &alice.id, &json!({"tenant_id": other}))
            .await
            .expect(200);
        let got = budgets(&test.root, "users", &alice.id).await;
        assert_eq!(
            window(&got, "daily")["reset_date"],
            "2026-01-10 23:00:00.000Z"
        );
        test.assert_settled().await;
    }
}
