//! What each billing key may do, see and how often; who makes and revokes them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{Client, TestApp};

/// A program with a new key, made by an administrator.
async fn program(test: &TestApp, new: Value) -> Client {
    let made = test.root.post("/api/billing-keys", &new).await.expect(201);
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("cfb-"));
    test.guest().with("x-api-key", &key)
}

#[tokio::test]
async fn each_scope_opens_its_own_calls_and_manage_all() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let user = format!("/api/users/{}", alice.id);
    let who = json!({"user_id": alice.id});
    let log = json!({"request_id": "r", "user_id": alice.id, "model": "small"});
    let new = json!({"email": "new@example.com", "tenant_id": test.tenant});
    let held = json!({"user_id": alice.id, "estimated_cost": 1, "reserve": true});
    let held = test.program().post("/api/check-budget", &held).await;
    let held = held.expect(200).json();
    let reservation = format!(
        "/api/reservations/{}",
        held["reservation_id"].as_str().unwrap()
    );
    let none = Value::Null;
    let calls: [(&str, &str, &Value, &[&str]); 11] = [
        ("GET", "/api/users", &none, &["read"]),
        ("GET", &user, &none, &["read"]),
        ("GET", "/api/usage", &none, &["read"]),
        ("GET", "/api/usage/summary", &none, &["read"]),
        ("POST", "/api/check-budget", &who, &["check"]),
        ("POST", "/api/usage/log", &log, &["log"]),
        ("DELETE", &reservation, &none, &["check", "log"]),
        ("POST", "/api/users", &new, &[]),
        ("PATCH", &user, &json!({"name": "A"}), &[]),
        ("POST", &format!("{user}/reset-budget"), &none, &[]),
        (
            "POST",
            &format!("{user}/top-up"),
            &json!({"amount": 1, "currency": "EUR"}),
            &[],
        ),
    ];
    for scope in ["read", "check", "log", "manage"] {
        let program = program(&test, json!({"name": scope, "scopes": [scope]})).await;
        for (method, path, body, scopes) in calls {
            let answer = program.send(method, path, Some(body)).await;
            if scope == "manage" || scopes.contains(&scope) {
                assert!(
                    answer.status.is_success(),
                    "{scope}: {method} {path}: {}",
                    answer.text()
                );
            } else {
                let refused = answer.expect(403).json();
                assert_eq!(refused["code"], "forbidden");
                let message = refused["message"].as_str().unwrap();
                assert!(message.contains("scopes"), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_bound_to_a_tenant_sees_and_touches_no_other() {
    for test in TestApp::each().await {
        let other = test.new_tenant("other").await;
        let alice = test.user("alice").await;
        let eve = test.person("eve", "user", &other).await;
        eve.by_key().chat(json!({})).await.expect(200);
        let new = json!({"name": "app", "scopes": ["manage"], "tenant_id": test.tenant});
        let bound = program(&test, new).await;

        let users = bound.get("/api/users").await.expect(200).json();
        assert_eq!(users["totalItems"], 1, "{users}");
        assert_eq!(users["items"][0]["email"], "alice@example.com");
        let of_eve = format!("/api/users/{}", eve.id);
        bound.get(&of_eve).await.expect(404);
        let change = json!({"name": "mine"});
        let refused = bound.send("PATCH", &of_eve, Some(&change)).await;
        assert_eq!(refused.expect(404).json()["code"], "user_not_found");
        let top_up = json!({"amount": 1, "currency": "EUR"});
        for (path, body) in [("top-up", &top_up), ("reset-budget", &json!({}))] {
            bound
                .post(&format!("{of_eve}/{path}"), body)
                .await
                .expect(404);
        }
        for who in [
            json!({"user_id": eve.id}),
            json!({"email": "eve@example.com"}),
            json!({"api_key": eve.key}),
        ] {
            let refused = bound
                .post("/api/check-budget", &who)
                .await
                .expect(404)
                .json();
            assert_eq!(refused["code"], "user_not_found");
            let mut log = who.clone();
            log["request_id"] = "stolen".into();
            log["model"] = "small".into();
            bound.post("/api/usage/log", &log).await.expect(404);
        }
        let usage = bound.get("/api/usage").await.expect(200).json();
        assert_eq!(usage["totalItems"], 0);
        let sums = bound.get("/api/usage/summary").await.expect(200).json();
        assert_eq!(sums["total"]["requests"], 0);
        bound
            .get(&format!("/api/usage?tenant_id={other}"))
            .await
            .expect(403);
        // A reservation of the other tenant is not its to release.
        let held = json!({"user_id": eve.id, "estimated_cost": 1, "reserve": true});
        let held = test.program().post("/api/check-budget", &held).await;
        let held = held.expect(200).json();
        let path = format!(
            "/api/reservations/{}",
            held["reservation_id"].as_str().unwrap()
        );
        bound.delete(&path).await.expect(404);
        test.program().delete(&path).await.expect(204);
        bound.delete(&path).await.expect(404);
        test.program().delete(&path).await.expect(204);

        // Its own it may do everything with.
        let body = json!({"email": "new@example.com", "tenant_id": test.tenant,
            "product_id": test.product});
        bound.post("/api/users", &body).await.expect(201);
        let elsewhere = json!({"email": "x@example.com", "tenant_id": other,
            "product_id": test.product});
        bound.post("/api/users", &elsewhere).await.expect(400);
        let path = format!("/api/users/{}/top-up", alice.id);
        bound.post(&path, &top_up).await.expect(200);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_billing_key_is_no_administrator() {
    let test = TestApp::new().await;
    let boss = test.person("boss", "admin", &test.tenant).await;
    let program = test.program();
    let admin = json!({"email": "x@example.com", "role": "admin", "tenant_id": test.tenant});
    program.post("/api/users", &admin).await.expect(403);
    let alice = test.user("alice").await;
    let path = format!("/api/users/{}", alice.id);
    let change = json!({"role": "admin"});
    program
        .send("PATCH", &path, Some(&change))
        .await
        .expect(403);
    let path = format!("/api/users/{}", boss.id);
    for change in [
        json!({"password": "taken over", "passwordConfirm": "taken over"}),
        json!({"email": "mine@example.com"}),
        json!({"status": "suspended"}),
    ] {
        program
            .send("PATCH", &path, Some(&change))
            .await
            .expect(403);
    }
    let budget = json!({"budget_total": 20});
    let user = program.send("PATCH", &path, Some(&budget)).await;
    assert_eq!(user.expect(200).json()["budget_total"], 20.0);
    // Neither records nor the keys themselves open to it.
    for path in [
        "/api/collections/users/records",
        "/api/collections/provider_keys/records",
    ] {
        let answer = program.get(path).await;
        assert!(
            answer.status == 401 || answer.status == 403 || answer.json()["totalItems"] == 0,
            "{}",
            answer.text()
        );
    }
    program.get("/api/billing-keys").await.expect(401);
}

#[tokio::test]
async fn what_a_program_writes_stands_in_the_audit_log_under_its_name() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let crm = program(&test, json!({"name": "crm", "scopes": ["manage"]})).await;
        let user = format!("/api/users/{}", alice.id);
        let change = json!({"name": "Alice B."});
        crm.send("PATCH", &user, Some(&change)).await.expect(200);
        let top_up = json!({"amount": 1, "currency": "EUR", "note": "paid"});
        crm.post(&format!("{user}/top-up"), &top_up)
            .await
            .expect(200);
        let logs = test
            .root
            .get("/api/collections/audit_logs/records?filter=actor_email='crm'&sort=created")
            .await
            .expect(200)
            .json();
        let mut seen: Vec<(&str, &str)> = logs["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| {
                (
                    l["actor_collection"].as_str().unwrap(),
                    l["action"].as_str().unwrap(),
                )
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(
            seen,
            [("billing_keys", "top-up"), ("billing_keys", "update")]
        );
        let entries = test
            .root
            .get("/api/collections/ledger_entries/records?filter=note='paid'")
            .await
            .expect(200)
            .json();
        assert_eq!(entries["items"][0]["actor"], "billing key crm");
    }
}

#[tokio::test]
async fn only_administrators_make_list_and_revoke_billing_keys() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        let boss = test.person("boss", "admin", &test.tenant).await;
        let new = json!({"name": "crm", "scopes": ["read", "check"]});
        for nobody in [&test.guest(), &test.program()] {
            nobody.post("/api/billing-keys", &new).await.expect(401);
            nobody.get("/api/billing-keys").await.expect(401);
        }
        for person in [&alice, &carol] {
            person.post("/api/billing-keys", &new).await.expect(403);
            person.get("/api/billing-keys").await.expect(403);
            let path = "/api/billing-keys/aaaaaaaaaaaaaaa";
            person.delete(path).await.expect(403);
        }
        let made = boss
            .post("/api/billing-keys", &new)
            .await
            .expect(201)
            .json();
        assert_eq!(made["scopes"], json!(["read", "check"]));
        assert_eq!(made["requests_per_minute"], 60_000);
        let secret = made["key"].as_str().unwrap();
        for wrong in [
            json!({"name": "", "scopes": ["read"]}),
            json!({"name": "a", "scopes": []}),
            json!({"name": "a", "scopes": ["write"]}),
            json!({"name": "a", "scopes": ["read"], "requests_per_minute": 0}),
            json!({"name": "a", "scopes": ["read"], "tenant_id": "unknownunknown1"}),
            json!({"name": "a", "scopes": ["read"], "tenant": "app"}),
        ] {
            boss.post("/api/billing-keys", &wrong).await.expect(400);
        }
        let program = test.guest().with("x-api-key", secret);
        program.get("/api/users").await.expect(200);
        let listed = boss.get("/api/billing-keys").await.expect(200);
        assert!(!listed.text().contains(secret));
        let listed = listed.json();
        assert_eq!(listed["items"][0]["name"], "crm");
        assert_eq!(listed["items"][0]["last4"], &secret[secret.len() - 4..]);
        boss.get("/api/billing-keys?perPage=x").await.expect(400);
        let path = format!("/api/billing-keys/{}", made["id"].as_str().unwrap());
        boss.delete(&path).await.expect(204);
        boss.delete(&path).await.expect(404);
        program.get("/api/users").await.expect(401);
        let listed = boss.get("/api/billing-keys").await.expect(200).json();
        assert_eq!(listed["items"][0]["status"], "revoked");
        let audit = "/api/collections/audit_logs/records?filter=collection='billing_keys'";
        let audit = test.root.get(audit).await.expect(200);
        assert!(!audit.text().contains(secret));
        assert_eq!(audit.json()["totalItems"], 2, "{}", audit.text());
    }
}

#[tokio::test]
async fn a_key_may_call_so_many_times_a_minute() {
    let test = TestApp::new().await;
    let new = json!({"name": "slow", "scopes": ["read"], "requests_per_minute": 3});
    let slow = program(&test, new).await;
    for _ in 0..3 {
        slow.get("/api/users").await.expect(200);
    }
    let refused = slow.get("/api/users").await.expect(429);
    assert_eq!(refused.json()["code"], "rate_limited");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=21).contains(&wait), "{wait}");
    test.program().get("/api/users").await.expect(200);
    test.clock.advance(Duration::from_secs(wait));
    slow.get("/api/users").await.expect(200);
}

#[tokio::test]
async fn an_address_with_many_wrong_keys_is_shut_out_for_a_while() {
    let test = TestApp::new().await;
    let good = program(&test, json!({"name": "good", "scopes": ["read"]})).await;
    let unseen = program(&test, json!({"name": "unseen", "scopes": ["read"]})).await;
    good.get("/api/users").await.expect(200);
    for n in 0..30 {
        let wrong = test.guest().with("x-api-key", &format!("wrong-{n}"));
        wrong.get("/api/users").await.expect(401);
    }
    let wrong = test.guest().with("x-api-key", "wrong");
    let refused = wrong.get("/api/users").await.expect(429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 60);
    // Guessing goes no further even with a right guess; who has been right before goes on.
    unseen.get("/api/users").await.expect(429);
    good.get("/api/users").await.expect(200);
    test.clock.advance(Duration::from_secs(301));
    unseen.get("/api/users").await.expect(200);
    wrong.get("/api/users").await.expect(401);
}
