//! Who reads what others asked: administrators, tenant administrators of their
//! tenant, nobody else; and everybody can see that it is kept.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{Client, TestApp};

async fn keep(test: &TestApp, tenant: &str, days: i64) {
    let setting = json!({"prompt_log_days": days});
    test.root
        .change("tenants", tenant, &setting)
        .await
        .expect(200);
}

/// Makes a call and returns where its prompt is read.
async fn call(test: &TestApp, who: &Client) -> String {
    let answer = who.by_key().chat(json!({})).await.expect(200);
    test.app.gateway.flush_prompts().await;
    format!("/api/usage/{}/prompt", answer.header("x-request-id"))
}

#[tokio::test]
async fn administrators_read_and_each_reading_is_in_the_audit_log() {
    for test in TestApp::each().await {
        keep(&test, &test.tenant, 7).await;
        let alice = test.user("alice").await;
        let path = call(&test, &alice).await;
        let boss = test.person("boss", "admin", &test.tenant).await;
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        for reader in [&test.root, &boss, &carol] {
            let told = reader.get(&path).await.expect(200).json();
            assert_eq!(told["user_id"], *alice.id);
            assert_eq!(told["tenant_id"], *test.tenant);
            assert_eq!(told["endpoint"], "chat/completions");
            let question: Value = serde_json::from_str(told["question"].as_str().unwrap()).unwrap();
            assert_eq!(question["messages"][0]["content"], "Hi");
            assert!(told["answer"].as_str().unwrap().contains("choices"));
            assert_eq!(told["question_cut"], false);
        }
        let audit = "/api/collections/audit_logs/records?filter=(action='read_prompt')";
        let audit = test.root.get(audit).await.expect(200).json();
        assert_eq!(audit["totalItems"], 3, "{audit}");
        let id = path.split('/').nth(3).unwrap();
        for entry in audit["items"].as_array().unwrap() {
            assert_eq!(entry["record_id"], id);
            assert_eq!(entry["tenant_id"], *test.tenant);
            assert!(!entry.to_string().contains("content"), "{entry}");
        }
    }
}

#[tokio::test]
async fn nobody_else_reads_and_what_is_refused_is_no_reading() {
    for test in TestApp::each().await {
        keep(&test, &test.tenant, 7).await;
        let alice = test.user("alice").await;
        let path = call(&test, &alice).await;
        let other = test.new_tenant("other").await;
        let eve = test.person("eve", "tenant_admin", &other).await;
        let bob = test.user("bob").await;
        eve.get(&path).await.expect(404);
        bob.get(&path).await.expect(403);
        alice.get(&path).await.expect(403);
        alice.by_key().get(&path).await.expect(401);
        test.program().get(&path).await.expect(401);
        test.guest().get(&path).await.expect(401);
        test.root.get("/api/usage/unknown/prompt").await.expect(404);
        let audit = "select count(*) from audit_logs where action = 'read_prompt'";
        assert_eq!(test.count(audit).await, 0);
    }
}

#[tokio::test]
async fn it_is_off_by_default_and_users_are_told_when_it_is_on() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let path = call(&test, &alice).await;
        test.root.get(&path).await.expect(404);
        let days = || async {
            let record = alice.record("users", &alice.id).await.expect(200).json();
            record["prompt_log_days"].clone()
        };
        assert_eq!(days().await, 0);
        keep(&test, &test.tenant, 7).await;
        assert_eq!(days().await, 7);
        // Only administrators of the whole say so, within what can be meant.
        let carol = test.person("carol", "tenant_admin", &test.tenant).await;
        let setting = json!({"prompt_log_days": 9});
        let refused = carol.change("tenants", &test.tenant, &setting).await;
        assert!(refused.status.as_u16() >= 400);
        let setting = json!({"prompt_log_days": 3_651});
        let refused = test.root.change("tenants", &test.tenant, &setting).await;
        refused.expect(400);
        assert_eq!(days().await, 7);
    }
}

#[tokio::test]
async fn what_was_kept_goes_with_its_days_and_with_its_user() {
    for mut test in TestApp::each().await {
        keep(&test, &test.tenant, 1).await;
        let (alice, bob) = (test.user("alice").await, test.user("bob").await);
        let of_alice = call(&test, &alice).await;
        let of_bob = call(&test, &bob).await;
        let user = format!("/api/collections/users/records/{}", alice.id);
        test.root.delete(&user).await.expect(204);
        test.root.get(&of_alice).await.expect(404);
        test.root.get(&of_bob).await.expect(200);
        test.clock.advance(Duration::from_secs(86_400));
        test.app.gateway.prune_prompts().await.unwrap();
        test.sign_in_again().await;
        test.root.get(&of_bob).await.expect(404);
    }
}
