use std::time::Duration;

use serde_json::json;

use crate::app::TestApp;

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
