//! Answers given again, as records, headers and sums have them.

use cf_testkit::Reply;
use serde_json::json;

use crate::app::TestApp;

async fn keep(test: &TestApp, seconds: i64) {
    let setting = json!({"cache_seconds": seconds});
    let saved = test.root.change("tenants", &test.tenant, &setting).await;
    assert_eq!(saved.expect(200).json()["cache_seconds"], seconds);
}

fn cache(answer: &crate::app::Answer) -> Option<&str> {
    let told = answer.headers.get("x-cf-cache")?;
    told.to_str().ok()
}

#[tokio::test]
async fn people_of_a_tenant_share_answers_once_an_administrator_says_so() {
    for test in TestApp::each().await {
        let (alice, bob) = (test.user("alice").await, test.user("bob").await);
        let (alice, bob) = (alice.by_key(), bob.by_key());
        assert_eq!(cache(&alice.chat(json!({})).await.expect(200)), None);
        keep(&test, 60).await;
        test.upstream.next(Reply::chat("kept", 10, 5));
        let first = alice.chat(json!({})).await.expect(200);
        assert_eq!(cache(&first), Some("miss"));
        let hit = bob.chat(json!({})).await.expect(200);
        assert_eq!(cache(&hit), Some("hit"));
        assert_eq!(hit.json(), first.json());
        // Through the real headers: asked anew.
        let anew = bob.with("cache-control", "no-cache").chat(json!({})).await;
        assert_eq!(cache(&anew.expect(200)), Some("miss"));
        assert_eq!(test.upstream.received().len(), 3);
        // Of another tenant, with the same key's words.
        let far = test.new_tenant("far").await;
        let setting = json!({"cache_seconds": 60});
        test.root
            .change("tenants", &far, &setting)
            .await
            .expect(200);
        let carol = test.person("carol", "user", &far).await.by_key();
        assert_eq!(
            cache(&carol.chat(json!({})).await.expect(200)),
            Some("miss")
        );
        test.assert_settled().await;
        let sums = "/api/usage/summary?group_by=provider";
        let sums = test.root.get(sums).await.expect(200).json();
        let items = sums["items"].as_array().unwrap();
        let hits = items.iter().find(|item| item["key"] == "cache").unwrap();
        assert_eq!((&hits["requests"], &hits["cost"]), (&json!(1), &json!(0.0)));
    }
}

#[tokio::test]
async fn a_suspended_user_gets_nothing_although_it_is_kept() {
    for test in TestApp::each().await {
        keep(&test, 60).await;
        let alice = test.user("alice").await;
        let bob = test.user("bob").await.by_key();
        bob.chat(json!({})).await.expect(200);
        let key = alice.by_key();
        assert_eq!(cache(&key.chat(json!({})).await.expect(200)), Some("hit"));
        let shut = json!({"status": "suspended"});
        test.root
            .change("users", &alice.id, &shut)
            .await
            .expect(200);
        let refused = key.chat(json!({})).await.expect(403);
        assert_eq!(cache(&refused), None);
        test.root
            .change("tenants", &test.tenant, &shut)
            .await
            .expect(200);
        bob.chat(json!({})).await.expect(403);
        assert_eq!(test.upstream.received().len(), 1);
    }
}

#[tokio::test]
async fn what_was_kept_goes_with_its_user_and_only_administrators_set_it() {
    for test in TestApp::each().await {
        keep(&test, 60).await;
        let alice = test.user("alice").await;
        alice.by_key().chat(json!({})).await.expect(200);
        let kept = "select count(*) from kept_answers";
        assert_eq!(test.count(kept).await, 1);
        let path = format!("/api/collections/users/records/{}", alice.id);
        test.root.delete(&path).await.expect(204);
        assert_eq!(test.count(kept).await, 0);
        for (field, wrong) in [("cache_seconds", 2_592_001), ("cache_price_percent", 101)] {
            for value in [wrong, -1] {
                let setting = json!({field: value});
                let refused = test.root.change("tenants", &test.tenant, &setting).await;
                let refused = refused.expect(400).json();
                assert!(refused["data"][field]["code"].is_string(), "{refused}");
            }
        }
        let manager = test.person("manager", "tenant_admin", &test.tenant).await;
        let setting = json!({"cache_seconds": 5});
        let refused = manager.change("tenants", &test.tenant, &setting).await;
        assert!(refused.status.as_u16() >= 400, "{}", refused.status);
    }
}
