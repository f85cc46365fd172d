use serde_json::json;

use crate::app::{PASSWORD, TestApp};

const SIGN_IN: &str = "/api/collections/users/auth-with-password";

#[tokio::test]
async fn a_user_signs_in_however_the_address_is_written_and_refreshes() {
    for test in TestApp::each().await {
        test.user("alice").await;
        let alice = test
            .guest()
            .sign_in("users", "Alice@Example.com", PASSWORD)
            .await;
        let fresh = alice
            .post("/api/collections/users/auth-refresh", &json!({}))
            .await
            .expect(200)
            .json();
        assert_eq!(fresh["record"]["email"], "alice@example.com");
        assert!(fresh["record"].get("password_hash").is_none());
        assert!(fresh["token"].as_str().unwrap().len() > 20);
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_alike() {
    let test = TestApp::new().await;
    test.user("alice").await;
    let wrong = json!({"identity": "alice@example.com", "password": "wrong password"});
    let unknown = json!({"identity": "nobody@example.com", "password": "wrong password"});
    let wrong = test.guest().post(SIGN_IN, &wrong).await.expect(400);
    let unknown = test.guest().post(SIGN_IN, &unknown).await.expect(400);
    assert_eq!(wrong.json(), unknown.json());
    assert_eq!(wrong.json()["message"], "Failed to authenticate.");
}

#[tokio::test]
async fn pending_and_suspended_users_and_those_of_a_suspended_tenant_are_told_why() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let credentials = json!({"identity": "alice@example.com", "password": PASSWORD});
        for (status, word) in [("pending", "approval"), ("suspended", "suspended")] {
            test.root
                .change("users", &alice.id, &json!({"status": status}))
                .await
                .expect(200);
            let refused = test.guest().post(SIGN_IN, &credentials).await.expect(403);
            let message = refused.json()["message"].as_str().unwrap().to_owned();
            assert!(message.contains(word), "{message}");
            // The session of before has ended.
            alice
                .post("/api/collections/users/auth-refresh", &json!({}))
                .await
                .expect(401);
        }
        test.root
            .change("users", &alice.id, &json!({"status": "active"}))
            .await
            .expect(200);
        test.root
            .change("tenants", &test.tenant, &json!({"status": "suspended"}))
            .await
            .expect(200);
        let refused = test.guest().post(SIGN_IN, &credentials).await.expect(403);
        assert!(refused.text().contains("tenant"), "{}", refused.text());
    }
}

#[tokio::test]
async fn a_new_password_ends_every_session() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let change = json!({"password": "another password", "passwordConfirm": "another password"});
        let refused = alice.change("users", &alice.id, &change).await.expect(400);
        assert!(refused.json()["data"]["oldPassword"].is_object());
        let mut right = change.clone();
        right["oldPassword"] = PASSWORD.into();
        alice.change("users", &alice.id, &right).await.expect(200);
        alice
            .post("/api/collections/users/auth-refresh", &json!({}))
            .await
            .expect(401);
        test.guest()
            .sign_in("users", "alice@example.com", "another password")
            .await;
    }
}

#[tokio::test]
async fn a_user_signs_in_at_the_own_tenants_address_only() {
    let test = TestApp::new().await;
    test.user("alice").await;
    test.new_tenant("other").await;
    let credentials = json!({"identity": "alice@example.com", "password": PASSWORD});
    let at = |host: &str| test.guest().at(host);
    at("app.localhost")
        .post(SIGN_IN, &credentials)
        .await
        .expect(200);
    at("other.localhost")
        .post(SIGN_IN, &credentials)
        .await
        .expect(400);
}

#[tokio::test]
async fn guesses_at_the_old_password_are_slowed_down() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let mut change = json!({"password": "another password", "passwordConfirm": "another password",
            "oldPassword": "a guess"});
        for _ in 0..5 {
            let refused = alice.change("users", &alice.id, &change).await.expect(400);
            assert!(refused.json()["data"]["oldPassword"].is_object());
        }
        change["oldPassword"] = PASSWORD.into();
        let refused = alice.change("users", &alice.id, &change).await.expect(429);
        assert_eq!(refused.header("retry-after"), "1");
        assert!(refused.text().contains("try again"), "{}", refused.text());
        test.clock.advance(std::time::Duration::from_secs(1));
        alice.change("users", &alice.id, &change).await.expect(200);
    }
}
