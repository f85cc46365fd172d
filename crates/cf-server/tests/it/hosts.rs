use crate::app::TestApp;

#[tokio::test]
async fn the_host_chooses_what_is_served() {
    let test = TestApp::new().await;
    for (host, path, status) in [
        ("api.localhost:8080", "/api/health", 200),
        ("api.localhost:8080", "/v1/models", 404),
        ("billing.localhost", "/api/usage/summary", 401),
        ("billing.localhost", "/api/collections/users/records", 404),
        ("admin.localhost", "/api/info", 200),
        ("admin.localhost", "/v1/models", 401),
        ("app.localhost", "/v1/models", 401),
        ("app.localhost", "/api/check-budget", 404),
        ("127.0.0.1:8080", "/v1/models", 401),
        ("127.0.0.1:8080", "/api/usage/summary", 401),
        ("[::1]:8080", "/api/health", 200),
        ("nobody.localhost", "/api/health", 404),
        ("x/#@y", "/api/health", 200),
        ("", "/api/health", 200),
    ] {
        let answer = test.guest().at(host).get(path).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{host} {path}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn each_component_says_how_it_is() {
    for test in TestApp::each().await {
        for (host, component) in [
            ("api.localhost", "core"),
            ("admin.localhost", "portal"),
            ("billing.localhost", "billing"),
            ("app.localhost", "router"),
            ("127.0.0.1", "all"),
        ] {
            let health = test
                .guest()
                .at(host)
                .get("/health")
                .await
                .expect(200)
                .json();
            assert_eq!(health["status"], "ok");
            assert_eq!(health["component"], component);
            assert_eq!(health["checks"]["database"], "ok");
        }
    }
}

#[tokio::test]
async fn a_strange_host_gives_no_rights() {
    let test = TestApp::new().await;
    for host in ["admin.localhost", "x/#@y", "api.localhost", "127.0.0.1"] {
        let list = test
            .guest()
            .at(host)
            .get("/api/collections/provider_keys/records")
            .await;
        assert_eq!(list.status.as_u16(), 403, "{host}");
        test.guest()
            .at(host)
            .post("/api/keys", &serde_json::json!({}))
            .await
            .expect(401);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_not_found_in_the_apis_shape() {
    let test = TestApp::new().await;
    let answer = test.guest().get("/api/no-such-thing").await.expect(404);
    assert_eq!(answer.json()["status"], 404);
    let answer = test.guest().delete("/api/info").await.expect(404);
    assert_eq!(answer.json()["status"], 404);
    let answer = test.guest().get("/v1/no-such-thing").await.expect(404);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Unknown request URL")
    );
}
