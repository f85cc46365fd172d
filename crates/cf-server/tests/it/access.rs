//! Every collection from the wrong tenant and the wrong role.

use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn nobody_reads_what_is_not_theirs() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let bob = test.user("bob").await;
        let other = test.new_tenant("other").await;
        let eve = test.person("eve", "tenant_admin", &other).await;
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        let boss = test.person("boss", "admin", &test.tenant).await;
        alice.by_key().chat(json!({})).await.expect(200);
        alice
            .post("/api/keys", &json!({"name": "k"}))
            .await
            .expect(200);

        // How many of alice's records each one finds, by collection.
        for (collection, field, counts) in [
            ("users", "id", [1, 0, 0, 1, 1]),
            ("api_keys", "user_id", [2, 0, 0, 2, 2]),
            ("usage_logs", "user_id", [1, 0, 0, 1, 1]),
            ("ledger_entries", "user_id", [2, 0, 0, 2, 2]),
        ] {
            let people = [&alice, &bob, &eve, &carol, &boss];
            for (person, count) in people.iter().zip(counts) {
                let path = format!(
                    "/api/collections/{collection}/records?filter={field}%3D'{}'",
                    alice.id
                );
                let list = person.get(&path).await.expect(200).json();
                assert_eq!(
                    list["totalItems"], count,
                    "{} {collection} {list}",
                    test.name
                );
            }
            let path = format!("/api/collections/{collection}/records");
            let guest = test.guest().get(&path).await;
            assert!(guest.status == 403 || guest.json()["totalItems"] == 0);
        }
        for person in [&bob, &eve] {
            person.record("users", &alice.id).await.expect(404);
            person
                .change("users", &alice.id, &json!({"name": "x"}))
                .await
                .expect(404);
        }
        for person in [&alice, &bob, &eve, &carol] {
            for collection in ["provider_keys", "settings", "oidc_clients", "_superusers"] {
                let path = format!("/api/collections/{collection}/records");
                person.get(&path).await.expect(403);
                person.post(&path, &json!({"name": "x"})).await.expect(403);
            }
        }
        boss.get("/api/collections/_superusers/records")
            .await
            .expect(403);
    }
}

#[tokio::test]
async fn nobody_gives_themselves_more() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let other = test.new_tenant("other").await;
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        for change in [
            json!({"role": "admin"}),
            json!({"budget_total": 1000}),
            json!({"tenant_id": other}),
            json!({"product_id": ""}),
        ] {
            alice.change("users", &alice.id, &change).await.expect(400);
        }
        carol
            .change("users", &carol.id, &json!({"role": "admin"}))
            .await
            .expect(400);
        carol
            .change("users", &alice.id, &json!({"role": "admin"}))
            .await
            .expect(400);
        carol
            .change("users", &alice.id, &json!({"tenant_id": other}))
            .await
            .expect(400);
        let foreign = json!({"email": "x@example.com", "tenant_id": other});
        carol.post("/api/users", &foreign).await.expect(400);
        let boss = json!({"email": "x@example.com", "tenant_id": test.tenant, "role": "admin"});
        carol.post("/api/users", &boss).await.expect(400);
        for collection in ["products", "models", "tenants"] {
            let path = format!("/api/collections/{collection}/records");
            let answer = carol.post(&path, &json!({"name": "x", "slug": "x"})).await;
            assert!(
                answer.status.is_client_error(),
                "{collection}: {}",
                answer.text()
            );
        }
        let usage = "/api/collections/usage_logs/records";
        test.root.post(usage, &json!({})).await.expect(403);
    }
}

#[tokio::test]
async fn models_show_their_deployments_to_administrators_only() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let models = alice
        .get("/api/collections/models/records")
        .await
        .expect(200);
    assert!(models.text().contains("small"));
    for hidden in ["deployments", "prices", "small-1"] {
        assert!(!models.text().contains(hidden), "{hidden}");
    }
}

#[tokio::test]
async fn whoever_changes_the_own_password_must_know_the_old_one() {
    for test in TestApp::each().await {
        for role in ["user", "tenant_admin", "admin"] {
            let person = test.person(&format!("p-{role}"), role, &test.tenant).await;
            let change = json!({"password": "another password", "passwordConfirm": "another password",
                "oldPassword": "a wrong guess"});
            let refused = person
                .change("users", &person.id, &change)
                .await
                .expect(400);
            assert!(refused.json()["data"]["oldPassword"].is_object(), "{role}");
        }
    }
}

#[tokio::test]
async fn a_tenants_administrator_stays_within_what_was_given() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        let top_up = json!({"amount": 5, "currency": "EUR"});
        let path = |id: &str| format!("/api/users/{id}/top-up");
        carol.post(&path(&carol.id), &top_up).await.expect(403);
        carol.post(&path(&alice.id), &top_up).await.expect(200);
        // Without a product there would be no limits but the budget.
        let without = json!({"product_id": ""});
        carol.change("users", &alice.id, &without).await.expect(400);
        let new = json!({"email": "new@example.com", "tenant_id": test.tenant});
        carol.post("/api/users", &new).await.expect(400);
        // A tenant administrator without a tenant sees nobody's usage.
        alice.by_key().chat(json!({})).await.expect(200);
        let lost = test.person("lost", "tenant_admin", "").await;
        lost.get("/api/usage/summary?group_by=tenant")
            .await
            .expect(403);
    }
}

#[tokio::test]
async fn what_was_revoked_or_sealed_cannot_be_brought_back_or_led_away() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let made = alice
            .post("/api/keys", &json!({"name": "k"}))
            .await
            .expect(200)
            .json();
        let id = made["id"].as_str().unwrap();
        alice.delete(&format!("/api/keys/{id}")).await.expect(204);
        let revive = json!({"status": "active"});
        test.root.change("api_keys", id, &revive).await.expect(400);

        let keys = test
            .root
            .get("/api/collections/provider_keys/records")
            .await
            .json();
        let id = keys["items"][0]["id"].as_str().unwrap();
        let away = json!({"base_url": "https://elsewhere.example.com/v1"});
        let refused = test
            .root
            .change("provider_keys", id, &away)
            .await
            .expect(400);
        assert!(refused.json()["data"]["secret"].is_object());
        let entered =
            json!({"base_url": "https://elsewhere.example.com/v1", "secret": "sk-new-secret"});
        test.root
            .change("provider_keys", id, &entered)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_stranger_signs_up_a_few_times_and_sends_little() {
    let test = TestApp::new().await;
    let enable = json!({"signup_enabled": true});
    test.root
        .change("tenants", &test.tenant, &enable)
        .await
        .expect(200);
    let guest = test.guest().at("app.localhost");
    let path = "/api/collections/users/records";
    for i in 0..10 {
        let body = json!({"email": format!("s{i}@example.com"), "password": "some password",
            "passwordConfirm": "some password"});
        guest.post(path, &body).await.expect(200);
    }
    guest
        .post(path, &json!({"email": "s11@example.com"}))
        .await
        .expect(429);
    let large = json!({"identity": "x".repeat(20_000), "password": "y"});
    let sign_in = "/api/collections/users/auth-with-password";
    guest.post(sign_in, &large).await.expect(413);
}
