use cf_base::Random;
use cf_identity::SetupToken;
use serde_json::json;

use crate::app::{PASSWORD, TestApp};

#[tokio::test]
async fn the_set_up_link_makes_one_administrator_and_then_no_more() {
    for test in TestApp::each().await {
        // Nobody is there yet: the tests' own superuser goes first.
        test.execute("delete from superusers").await;
        let (setup, token) = SetupToken::new(&Random::system());
        *test.app.setup.write() = Some(setup);
        let info = test.guest().get("/api/info").await.expect(200).json();
        assert_eq!(info["setup_required"], true);
        let body = |token: &str, password: &str| json!({"token": token, "email": "boss@example.com", "password": password, "name": "Boss"});
        let post = async |body: &serde_json::Value| test.guest().post("/api/setup", body).await;
        post(&body("wrong", PASSWORD)).await.expect(403);
        // A password that is refused does not use the link up.
        post(&body(token.expose(), "short")).await.expect(400);
        let made = post(&body(token.expose(), PASSWORD))
            .await
            .expect(200)
            .json();
        assert_eq!(made["record"]["role"], "admin");
        assert_eq!(made["record"]["status"], "active");
        let boss = test
            .guest()
            .with("authorization", made["token"].as_str().unwrap());
        boss.get("/api/collections/users/records").await.expect(200);
        post(&body(token.expose(), PASSWORD)).await.expect(403);
        let info = test.guest().get("/api/info").await.expect(200).json();
        assert_eq!(info["setup_required"], false);
    }
}
