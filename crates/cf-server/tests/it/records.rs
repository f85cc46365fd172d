use serde_json::json;

use crate::app::{PASSWORD, TestApp, id};

#[tokio::test]
async fn a_stranger_signs_up_where_the_tenant_allows_it_and_waits() {
    for test in TestApp::each().await {
        let body = json!({"email": "new@example.com", "password": PASSWORD,
            "passwordConfirm": PASSWORD, "role": "admin", "status": "active", "budget_total": 1000,
            "product_id": test.product, "tenant_id": test.tenant});
        let sign_up = async || {
            let guest = test.guest().at("app.localhost");
            guest.post("/api/collections/users/records", &body).await
        };
        sign_up().await.expect(400);
        test.root
            .change("tenants", &test.tenant, &json!({"signup_enabled": true}))
            .await
            .expect(200);
        let made = sign_up().await.expect(200).json();
        let id = made["id"].as_str().unwrap();
        let user = test.root.record("users", id).await.expect(200).json();
        assert_eq!(user["role"], "user");
        assert_eq!(user["status"], "pending");
        assert_eq!(user["budget_total"], 0.0);
        assert_eq!(user["product_id"], "");
        // Approved with a product, the budget comes with it.
        let approve = json!({"status": "active", "product_id": test.product});
        let user = test
            .root
            .change("users", id, &approve)
            .await
            .expect(200)
            .json();
        assert_eq!(user["budget_total"], 10.0, "{}", test.name);
        assert_eq!(user["budget_reset_date"], "2026-02-09 12:00:00.000Z");
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn provider_secrets_are_written_and_never_read() {
    for test in TestApp::each().await {
        let list = test
            .root
            .get("/api/collections/provider_keys/records")
            .await
            .expect(200);
        assert!(!list.text().contains("sk-provider-secret"));
        assert_eq!(list.json()["items"][0]["secret"], "••••1234");
        let id = list.json()["items"][0]["id"].as_str().unwrap().to_owned();
        // Nothing sent, or the mask sent back, leaves the secret as it is.
        for change in [
            json!({"name": "New"}),
            json!({"secret": "••••1234"}),
            json!({"secret": ""}),
        ] {
            test.root
                .change("provider_keys", &id, &change)
                .await
                .expect(200);
            let alice = test
                .user(&format!(
                    "u{}",
                    test.count("select count(*) from users").await
                ))
                .await;
            alice.by_key().chat(json!({})).await.expect(200);
            let last = test.upstream.received().pop().unwrap();
            assert_eq!(
                last.header("authorization"),
                Some("Bearer sk-provider-secret-1234")
            );
        }
        let clear = "select count(*) from provider_keys where secret_sealed like '%provider%'";
        assert_eq!(test.count(clear).await, 0);
        let audit = test
            .root
            .get("/api/collections/audit_logs/records?perPage=500")
            .await
            .expect(200);
        for secret in ["sk-provider-secret", PASSWORD, "$argon2"] {
            assert!(
                !audit.text().contains(secret),
                "{secret} is in the audit trail"
            );
        }
    }
}

#[tokio::test]
async fn every_change_of_an_administrator_is_written_down() {
    for test in TestApp::each().await {
        let boss = test.person("boss", "admin", &test.tenant).await;
        let alice = test.user("alice").await;
        boss.change("users", &alice.id, &json!({"status": "suspended"}))
            .await
            .expect(200);
        let filter = format!("record_id='{}' %26%26 action='update'", alice.id);
        let audit = test
            .root
            .get(&format!(
                "/api/collections/audit_logs/records?filter={}",
                filter.replace(' ', "%20")
            ))
            .await
            .expect(200)
            .json();
        let entry = &audit["items"][0];
        assert_eq!(entry["actor_email"], "boss@example.com", "{audit}");
        assert_eq!(entry["changes"]["status"], json!(["active", "suspended"]));
    }
}

#[tokio::test]
async fn budget_fields_are_changed_through_the_ledger_only() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        alice.by_key().chat(json!({})).await.expect(200);
        let refused = test
            .root
            .change("users", &alice.id, &json!({"budget_used": 0}))
            .await
            .expect(400);
        assert!(refused.json()["data"]["budget_used"].is_object());
        let user = test
            .root
            .change("users", &alice.id, &json!({"budget_total": 20}))
            .await
            .expect(200)
            .json();
        assert_eq!(user["budget_remaining"], 19.99998);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn bad_input_is_a_clear_refusal() {
    let test = TestApp::new().await;
    let path = "/api/collections/products/records";
    for (body, status) in [("{", 400), ("[]", 400), ("\"x\"", 400), ("{}", 400)] {
        let answer = test.root.send_text("POST", path, body.into()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
        assert!(answer.json()["message"].is_string());
    }
    for query in [
        "page=x",
        "perPage=x",
        "filter=(",
        "sort=nope",
        "filter=name='",
    ] {
        let answer = test.root.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{query}: {}", answer.text());
    }
    for slug in ["api", "admin", "billing"] {
        let body = json!({"name": "x", "slug": slug, "status": "active", "type": "customer"});
        test.root
            .post("/api/collections/tenants/records", &body)
            .await
            .expect(400);
    }
    let key = json!({"name": "x", "provider": "openai_compatible", "base_url": "not an address"});
    let refused = test
        .root
        .post("/api/collections/provider_keys/records", &key)
        .await
        .expect(400);
    assert!(refused.json()["data"]["base_url"].is_object());
}

#[tokio::test]
async fn a_provider_key_stays_while_models_run_on_it() {
    for test in TestApp::each().await {
        let path = |collection: &str| format!("/api/collections/{collection}/records");
        let keys = test.root.get(&path("provider_keys")).await.json();
        let key = id(&keys["items"][0]);
        let key_path = format!("{}/{key}", path("provider_keys"));
        let refused = test.root.delete(&key_path).await.expect(400).json();
        let sentence = refused["message"].as_str().unwrap();
        assert!(sentence.contains("used by small."), "{sentence}");
        assert_eq!(refused["data"]["id"]["code"], "validation_in_use");
        // Without the model, and with the tenant of both, it goes.
        let model = id(&test.root.get(&path("models")).await.json()["items"][0]);
        test.root
            .delete(&format!("{}/{model}", path("models")))
            .await
            .expect(204);
        test.root.delete(&key_path).await.expect(204);
        let tenant = test.new_tenant("other").await;
        let key = json!({"name": "Own", "provider": "demo", "tenant_id": tenant});
        let key = id(&test.root.create("provider_keys", key).await);
        let model = json!({"name": "own", "tenant_id": tenant, "prices": {"input": 1, "output": 2},
            "deployments": [{"provider_key": key, "model": "demo", "weight": 1, "order": 0}]});
        test.root.create("models", model).await;
        test.root
            .delete(&format!("{}/{tenant}", path("tenants")))
            .await
            .expect(204);
        test.root.record("provider_keys", &key).await.expect(404);
    }
}

#[tokio::test]
async fn who_deletes_the_own_account_is_told_who_can() {
    for test in TestApp::each().await {
        let boss = test.person("boss", "tenant_admin", &test.tenant).await;
        let path = format!("/api/collections/users/records/{}", boss.id);
        let refused = boss.delete(&path).await.expect(403).json();
        let sentence = refused["message"].as_str().unwrap();
        assert!(sentence.contains("your own account"), "{sentence}");
        test.root.delete(&path).await.expect(204);
    }
}

/// A tenant takes its provider keys with it, but not one that others' calls need.
#[tokio::test]
async fn a_tenant_goes_unless_a_model_for_all_needs_its_provider_key() {
    for test in TestApp::each().await {
        let tenant = test.new_tenant("acme").await;
        let key = json!({
            "name": "Acme's own", "provider": "openai_compatible", "tenant_id": tenant,
            "base_url": test.upstream.base_url(), "secret": "sk-acme-1234", "active": true,
        });
        let key = id(&test.root.create("provider_keys", key).await);
        let model = |name: &str, tenant: &str| {
            json!({
                "name": name, "active": true, "tenant_id": tenant,
                "deployments": [{"provider_key": key, "model": "x", "weight": 1, "order": 0}],
                "prices": {"input": 1, "output": 2},
            })
        };
        test.root.create("models", model("own", &tenant)).await;
        let shared = id(&test.root.create("models", model("shared", "")).await);
        let path = format!("/api/collections/tenants/records/{tenant}");
        let refused = test.root.delete(&path).await.expect(400).json();
        let sentence = refused["message"].as_str().unwrap();
        assert!(
            sentence.starts_with("The provider key \"Acme's own\" is used by")
                && sentence.contains("shared")
                && sentence.contains("Take it out of the deployments there first"),
            "{}: {sentence}",
            test.name
        );
        // Nothing of it is gone.
        test.root.record("tenants", &tenant).await.expect(200);
        test.root.record("provider_keys", &key).await.expect(200);
        // Nor is it for others to do.
        let admin = test.person("boss", "tenant_admin", &test.tenant).await;
        let status = admin.delete(&path).await.status;
        assert!(status == 403 || status == 404, "{}: {status}", test.name);

        let without = json!({"deployments": []});
        test.root
            .change("models", &shared, &without)
            .await
            .expect(200);
        test.root.delete(&path).await.expect(204);
        test.root.record("provider_keys", &key).await.expect(404);
        let own = "select count(*) from models where name = 'own'";
        assert_eq!(
            test.count(own).await,
            0,
            "{}: its own model goes too",
            test.name
        );
    }
}
