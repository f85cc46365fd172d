use std::time::Duration;

use serde_json::json;

use crate::app::{Client, TestApp, id};

#[tokio::test]
async fn a_user_makes_rotates_and_revokes_an_own_key() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let made = alice
            .post("/api/keys", &json!({"name": "laptop"}))
            .await
            .expect(200)
            .json();
        let first = made["key"].as_str().unwrap().to_owned();
        let path = format!("/api/keys/{}", made["id"].as_str().unwrap());
        let models = async |key: &str| {
            let client = test.guest().with("authorization", &format!("Bearer {key}"));
            client.get("/v1/models").await.status.as_u16()
        };
        assert_eq!(models(&first).await, 200, "{}", test.name);

        let rotated = alice
            .post(&format!("{path}/rotate"), &json!({"grace_seconds": 60}))
            .await
            .expect(200)
            .json();
        let second = rotated["key"].as_str().unwrap().to_owned();
        assert_ne!(first, second);
        assert_eq!((models(&first).await, models(&second).await), (200, 200));
        test.clock.advance(Duration::from_secs(61));
        assert_eq!((models(&first).await, models(&second).await), (401, 200));

        alice.delete(&path).await.expect(204);
        assert_eq!(models(&second).await, 401);
    }
}

#[tokio::test]
async fn the_key_is_shown_once_and_kept_as_a_hash() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let made = alice
            .post("/api/keys", &json!({"name": "laptop"}))
            .await
            .expect(200)
            .json();
        let key = made["key"].as_str().unwrap();
        let read = alice
            .record("api_keys", made["id"].as_str().unwrap())
            .await
            .expect(200);
        assert!(!read.text().contains(key));
        assert_eq!(read.json()["last4"], key[key.len() - 4..]);
        let user = alice.record("users", &alice.id).await.expect(200);
        assert!(!user.text().contains(&alice.key), "the first key is masked");
        let kept = format!("select count(*) from api_keys where hash = '{key}'");
        assert_eq!(test.count(&kept).await, 0);
    }
}

#[tokio::test]
async fn nobody_manages_the_keys_of_a_stranger() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let bob = test.user("bob").await;
        let other = test.new_tenant("other").await;
        let eve = test.person("eve", "tenant_admin", &other).await;
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        let made = alice
            .post("/api/keys", &json!({"name": "laptop"}))
            .await
            .expect(200)
            .json();
        let path = format!("/api/keys/{}", made["id"].as_str().unwrap());
        for stranger in [&bob, &eve] {
            stranger
                .post(&format!("{path}/rotate"), &json!({}))
                .await
                .expect(404);
            stranger.delete(&path).await.expect(404);
            stranger
                .post("/api/keys", &json!({"name": "x", "user_id": alice.id}))
                .await
                .expect(404);
        }
        test.guest().delete(&path).await.expect(401);
        carol.delete(&path).await.expect(204);
    }
}

#[tokio::test]
async fn a_change_by_another_process_is_felt() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        alice.by_key().get("/v1/models").await.expect(200);
        test.execute("update users set status = 'suspended' where email = 'alice@example.com'")
            .await;
        test.execute("update data_version set version = version + 1")
            .await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        let refused = alice.by_key().get("/v1/models").await.expect(403).json();
        assert_eq!(refused["error"]["code"], "user_suspended", "{}", test.name);
    }
}

#[tokio::test]
async fn a_key_works_at_its_own_tenants_address_only() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    test.new_tenant("other").await;
    alice
        .by_key()
        .at("app.localhost")
        .get("/v1/models")
        .await
        .expect(200);
    let refused = alice
        .by_key()
        .at("other.localhost")
        .get("/v1/models")
        .await
        .expect(401);
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    for header in ["x-api-key", "api-key"] {
        test.guest()
            .with(header, &alice.key)
            .get("/v1/models")
            .await
            .expect(200);
    }
}

/// A key that an administrator has limited for alice.
async fn limited_key(test: &TestApp, user: &Client) -> String {
    let key = json!({
        "name": "robot", "user_id": user.id, "models": ["small", "other"], "budget_total": 5,
        "rate_limit": 100, "tokens_per_minute": 1000, "parallel_requests": 5,
        "expires": "2027-01-01 00:00:00.000Z",
    });
    id(&test.root.post("/api/keys", &key).await.expect(200).json())
}

#[tokio::test]
async fn a_user_makes_an_own_key_narrower_and_never_wider() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let key = limited_key(&test, &alice).await;
        for (field, narrower, wider) in [
            ("name", json!("laptop"), json!("x".repeat(300))),
            ("models", json!(["small"]), json!(["small", "other"])),
            ("models", json!(["small"]), json!([])),
            ("models", json!(["small"]), json!(["elsewhere"])),
            ("rate_limit", json!(50), json!(60)),
            ("rate_limit", json!(50), json!(0)),
            ("rate_limit+", json!(0), json!(1)),
            ("tokens_per_minute", json!(900), json!(901)),
            ("parallel_requests", json!(1), json!(2)),
            (
                "expires",
                json!("2026-06-01 00:00:00.000Z"),
                json!("2026-06-01 00:00:01.000Z"),
            ),
            ("expires", json!("2026-06-01 00:00:00.000Z"), json!("")),
            // Gone already.
            (
                "expires",
                json!("2026-06-01 00:00:00.000Z"),
                json!("2026-01-01"),
            ),
            ("budget_total", json!(5), json!(6)),
            ("user_id", json!(alice.id), json!("aaaaaaaaaaaaaaa")),
        ] {
            let (narrower, wider) = (json!({field: narrower}), json!({field: wider}));
            let changed = alice.change("api_keys", &key, &narrower).await;
            changed.expect(200);
            let before = alice.record("api_keys", &key).await.json();
            let refused = alice.change("api_keys", &key, &wider).await;
            let refused = refused.expect(400).json();
            let field = field.trim_end_matches('+');
            assert!(refused["data"][field].is_object(), "{field}: {refused}");
            let after = alice.record("api_keys", &key).await.json();
            assert_eq!(after, before, "{} {field}", test.name);
        }
        alice.delete(&format!("/api/keys/{key}")).await.expect(204);
        let revive = json!({"status": "active"});
        alice.change("api_keys", &key, &revive).await.expect(400);
    }
}

#[tokio::test]
async fn a_key_that_was_made_narrower_does_less() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let made = alice.post("/api/keys", &json!({"name": "laptop"})).await;
        let made = made.expect(200).json();
        let mut program = alice.clone();
        program.key = made["key"].as_str().unwrap().to_owned();
        program.by_key().chat(json!({})).await.expect(200);
        let narrower = json!({"models": ["other"], "rate_limit": 1});
        let changed = alice.change("api_keys", &id(&made), &narrower).await;
        assert_eq!(changed.expect(200).json()["models"], json!(["other"]));
        let refused = program.by_key().chat(json!({})).await.expect(403).json();
        assert_eq!(refused["error"]["code"], "model_not_allowed");
    }
}

#[tokio::test]
async fn who_manages_a_key_changes_all_of_it_and_nobody_else_any() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let bob = test.user("bob").await;
        let boss = test.person("boss", "admin", &test.tenant).await;
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        let other = test.new_tenant("other").await;
        let eve = test.person("eve", "tenant_admin", &other).await;
        let key = limited_key(&test, &alice).await;
        let wider =
            json!({"name": "x", "models": [], "rate_limit": 500, "expires": "", "budget_total": 7});
        for stranger in [&bob, &eve, &test.guest(), &alice.by_key()] {
            let refused = stranger.change("api_keys", &key, &wider).await;
            assert!(refused.status.is_client_error(), "{}", refused.text());
            let narrower = json!({"rate_limit": 1});
            let refused = stranger.change("api_keys", &key, &narrower).await;
            assert!(refused.status.is_client_error(), "{}", refused.text());
        }
        let kept = alice.record("api_keys", &key).await.json();
        assert_eq!(
            (&kept["name"], &kept["rate_limit"]),
            (&json!("robot"), &json!(100))
        );
        // An administrator of the house is no tenant administrator's to touch.
        let of_boss = limited_key(&test, &boss).await;
        carol.change("api_keys", &of_boss, &wider).await.expect(404);
        for manager in [&carol, &boss, &test.root] {
            let key = limited_key(&test, &alice).await;
            let record = manager.change("api_keys", &key, &wider).await.expect(200);
            let record = record.json();
            for (field, value) in wider.as_object().unwrap() {
                assert_eq!(record[field], *value, "{} {field}", test.name);
            }
        }
        // Who administers no tenant has the own key like everybody.
        let lost = test.person("lost", "tenant_admin", "").await;
        let of_lost = limited_key(&test, &lost).await;
        lost.change("api_keys", &of_lost, &wider).await.expect(400);
        let budget = json!({"budget_total": 7});
        lost.change("api_keys", &of_lost, &budget).await.expect(400);
        let narrower = json!({"name": "mine", "rate_limit": 1});
        lost.change("api_keys", &of_lost, &narrower)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_limit_set_meanwhile_is_not_undone() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let key = limited_key(&test, &alice).await;
        let (narrower, narrowest) = (json!({"rate_limit": 50}), json!({"rate_limit": 5}));
        let attempts = (0..20).map(|_| alice.change("api_keys", &key, &narrower));
        let (_, set) = tokio::join!(
            futures_util::future::join_all(attempts),
            test.root.change("api_keys", &key, &narrowest),
        );
        set.expect(200);
        let record = alice.record("api_keys", &key).await.json();
        assert_eq!(record["rate_limit"], 5, "{}", test.name);
    }
}
