//! The router's endpoints that are no chats, as clients see them.

use cf_testkit::Reply;
use serde_json::{Value, json};

use crate::app::{Client, TestApp, id};

/// Every endpoint with a request that is right but for its model.
fn requests() -> Vec<(&'static str, Value)> {
    vec![
        ("/v1/embeddings", json!({"input": "x"})),
        ("/v1/images/generations", json!({"prompt": "x"})),
        ("/v1/audio/speech", json!({"input": "x", "voice": "v"})),
        ("/v1/moderations", json!({"input": "x"})),
        ("/v1/rerank", json!({"query": "x", "documents": ["d"]})),
        (
            "/v1/messages/count_tokens",
            json!({"messages": [{"role": "user", "content": "Hi"}]}),
        ),
    ]
}

const FORMS: [(&str, &str); 3] = [
    ("/v1/audio/transcriptions", "file"),
    ("/v1/audio/translations", "file"),
    ("/v1/images/edits", "image"),
];

async fn ask(client: &Client, path: &str, model: &str, mut body: Value) -> crate::app::Answer {
    body["model"] = model.into();
    client.post(path, &body).await
}

async fn ask_form(client: &Client, path: &str, model: &str, file: &str) -> crate::app::Answer {
    let texts = [("model", model), ("prompt", "x")];
    client.post_form(path, &texts, (file, b"bytes")).await
}

#[tokio::test]
async fn embeddings_are_answered_paid_and_logged() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let vectors = json!({"object": "list", "model": "small-1",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.50]}],
            "usage": {"prompt_tokens": 7, "total_tokens": 7}});
        test.upstream.next(Reply::json(200, vectors.to_string()));
        let answer = alice
            .by_key()
            .post(
                "/v1/embeddings",
                &json!({"model": "small", "input": "Hallo", "x": 1.50}),
            )
            .await
            .expect(200);
        assert_eq!(answer.text(), vectors.to_string());
        assert_eq!(answer.header("x-cf-cost"), "0.000007");
        assert_eq!(answer.header("x-cf-provider"), "openai_compatible");
        assert_eq!(answer.header("content-type"), "application/json");
        let received = test.upstream.received();
        assert_eq!(received[0].path, "/v1/embeddings");
        assert_eq!(
            received[0].body,
            r#"{"input":"Hallo","model":"small-1","x":1.5}"#
        );
        let logs = test.root.get("/api/collections/usage_logs/records").await;
        let row = logs.expect(200).json()["items"][0].clone();
        assert_eq!(
            (&row["status"], &row["prompt_tokens"]),
            (&json!("ok"), &json!(7))
        );
        assert_eq!(row["request_id"], answer.header("x-request-id"));
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn no_endpoint_has_a_side_door() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let other = test.new_tenant("other").await;
        // Another tenant's model, with a key that is for all.
        let keys = test
            .root
            .get("/api/collections/provider_keys/records")
            .await;
        let key = id(&keys.expect(200).json()["items"][0]);
        let theirs = json!({"name": "theirs", "active": true, "tenant_id": other,
            "deployments": [{"provider_key": key, "model": "x"}], "prices": {"input": 1, "output": 1}});
        test.root.create("models", theirs).await;
        test.root
            .change(
                "products",
                &test.product,
                &json!({"models": ["theirs", "gone"]}),
            )
            .await
            .expect(200);
        let strangers = test
            .guest()
            .with("authorization", "Bearer sk-wrong-key-000000");
        // A key at another tenant's host is no key.
        let elsewhere = alice.by_key().at("other.localhost");
        let check = |answer: crate::app::Answer, path: &str, status: u16, code: &str| {
            let answer = answer.expect(status).json();
            if path.contains("/messages/") {
                assert_eq!(answer["type"], "error", "{path}: {answer}");
            } else {
                assert_eq!(answer["error"]["code"], code, "{path}: {answer}");
            }
        };
        for (who, model, status, code) in [
            (&strangers, "small", 401, "invalid_api_key"),
            (&elsewhere, "small", 401, "invalid_api_key"),
            (&alice.by_key(), "theirs", 404, "model_not_found"),
            (&alice.by_key(), "gone", 404, "model_not_found"),
            (&alice.by_key(), "small", 403, "model_not_allowed"),
        ] {
            for (path, body) in requests() {
                check(ask(who, path, model, body).await, path, status, code);
            }
            for (path, file) in FORMS {
                check(ask_form(who, path, model, file).await, path, status, code);
            }
        }
        test.root
            .change(
                "products",
                &test.product,
                &json!({"models": [], "rate_limit": 1}),
            )
            .await
            .expect(200);
        alice.by_key().chat(json!({})).await.expect(200);
        for (path, body) in requests() {
            let limited = ask(&alice.by_key(), path, "small", body).await.expect(429);
            assert!(!limited.header("retry-after").is_empty(), "{path}");
        }
        assert_eq!(
            test.upstream.received().len(),
            1,
            "only the chat went upstream"
        );
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_budget_holds_at_every_endpoint() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        test.root
            .change("users", &alice.id, &json!({"budget_total": 0}))
            .await
            .expect(200);
        let dear = json!({"input": 1, "output": 1, "request": 1});
        let models = test.root.get("/api/collections/models/records").await;
        let small = id(&models.expect(200).json()["items"][0]);
        test.root
            .change("models", &small, &json!({"prices": dear}))
            .await
            .expect(200);
        for (path, body) in requests() {
            let answer = ask(&alice.by_key(), path, "small", body).await;
            if path.contains("count_tokens") {
                // Free: an estimate, as this provider does not count.
                let tokens = answer.expect(200).json()["input_tokens"].as_u64();
                assert!(tokens.is_some_and(|n| n > 0));
                continue;
            }
            let refused = answer.expect(403).json();
            assert_eq!(refused["error"]["code"], "budget_exceeded", "{path}");
        }
        for (path, file) in FORMS {
            let answer = ask_form(&alice.by_key(), path, "small", file).await;
            assert_eq!(
                answer.expect(403).json()["error"]["code"],
                "budget_exceeded"
            );
        }
        assert!(test.upstream.received().is_empty());
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_recording_is_sent_on_with_the_providers_name_of_the_model() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let reply = r#"{"text":"Hallo","usage":{"type":"tokens","input_tokens":30,"output_tokens":2}}"#;
    test.upstream.next(Reply::json(200, reply));
    let texts = [
        ("model", "small"),
        ("response_format", "text"),
        ("temperature", "0"),
    ];
    let file = b"RIFF\x00\xff\r\n--XY";
    let answer = alice
        .by_key()
        .post_form("/v1/audio/transcriptions", &texts, ("file", file))
        .await
        .expect(200);
    assert_eq!(answer.text(), "Hallo\n");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-cf-cost"), "0.000034");
    let received = &test.upstream.received()[0];
    assert_eq!(received.path, "/v1/audio/transcriptions");
    assert_eq!(
        received.header("content-type"),
        Some("multipart/form-data; boundary=XX")
    );
    assert!(received.body.contains("name=\"model\"\r\n\r\nsmall-1\r\n"));
    assert!(
        received
            .body
            .contains("name=\"response_format\"\r\n\r\njson\r\n")
    );
    assert!(received.body.contains("name=\"temperature\"\r\n\r\n0\r\n"));

    for (path, body) in [
        (
            "/v1/audio/transcriptions",
            json!({"model": "small", "file": "x"}),
        ),
        ("/v1/images/edits", json!({"model": "small", "prompt": "x"})),
    ] {
        let refused = alice.by_key().post(path, &body).await.expect(400);
        assert!(
            refused.text().contains("multipart/form-data"),
            "{}",
            refused.text()
        );
    }
    let big = vec![0; 33 << 20];
    let big = alice
        .by_key()
        .post_form("/v1/audio/transcriptions", &texts, ("file", &big))
        .await
        .expect(413);
    assert_eq!(big.json()["error"]["code"], "request_too_large");
    test.assert_settled().await;
}

#[tokio::test]
async fn the_demo_provider_answers_embeddings_and_moderations_and_says_what_it_is() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await.by_key();
    let key = json!({"name": "Demo", "provider": "demo", "active": true});
    let key = id(&test.root.create("provider_keys", key).await);
    let model = json!({"name": "demo", "active": true,
        "deployments": [{"provider_key": key, "model": "demo"}]});
    test.root.create("models", model).await;
    let body = json!({"input": ["a", "b"], "dimensions": 8, "encoding_format": "base64"});
    let vectors = ask(&alice, "/v1/embeddings", "demo", body)
        .await
        .expect(200)
        .json();
    assert_eq!(vectors["data"].as_array().unwrap().len(), 2);
    assert!(vectors["data"][0]["embedding"].is_string());
    let moderated = ask(
        &alice,
        "/v1/moderations",
        "demo",
        json!({"input": ["a", "b"]}),
    )
    .await;
    let moderated = moderated.expect(200).json();
    assert_eq!(moderated["results"].as_array().unwrap().len(), 2);
    assert!(
        moderated["note"]
            .as_str()
            .unwrap()
            .contains("nothing was looked at")
    );
    for (path, body) in requests() {
        if path.contains("embeddings") || path.contains("moderations") || path.contains("count") {
            continue;
        }
        let refused = ask(&alice, path, "demo", body).await.expect(400);
        assert!(
            refused.text().contains("choose another model"),
            "{}",
            refused.text()
        );
    }
    test.assert_settled().await;
}

#[tokio::test]
async fn models_are_shown_in_the_shape_that_is_asked_for() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let key = json!({"name": "Demo", "provider": "demo", "active": true});
    let key = id(&test.root.create("provider_keys", key).await);
    let model = json!({"name": "meta/llama 4", "active": true,
        "deployments": [{"provider_key": key, "model": "demo"}]});
    test.root.create("models", model).await;
    let openai = alice.by_key();
    for path in ["/v1/models/meta/llama%204", "/v1/models/meta%2Fllama%204"] {
        let model = openai.get(path).await.expect(200).json();
        assert_eq!(
            (&model["id"], &model["object"]),
            (&json!("meta/llama 4"), &json!("model"))
        );
    }
    let missing = openai.get("/v1/models/none").await.expect(404).json();
    assert_eq!(missing["error"]["code"], "model_not_found");

    let anthropic = alice.by_key().with("anthropic-version", "2023-06-01");
    let list = anthropic.get("/v1/models").await.expect(200).json();
    assert_eq!(list["first_id"], "meta/llama 4");
    assert_eq!(list["last_id"], "small");
    assert_eq!(list["has_more"], false);
    let small = anthropic.get("/v1/models/small").await.expect(200).json();
    assert_eq!(small, list["data"][1]);
    assert_eq!(
        (&small["type"], &small["display_name"]),
        (&json!("model"), &json!("small"))
    );
    assert!(small["created_at"].as_str().unwrap().contains('T'));
    let missing = anthropic.get("/v1/models/none").await.expect(404).json();
    assert_eq!(missing["error"]["type"], "not_found_error");
    // The same visibility as the list.
    test.root
        .change("products", &test.product, &json!({"models": ["other"]}))
        .await
        .expect(200);
    for client in [&openai, &anthropic] {
        client.get("/v1/models/small").await.expect(404);
        let list = client.get("/v1/models").await.expect(200).json();
        assert_eq!(list["data"], json!([]));
    }
    test.guest().get("/v1/models/small").await.expect(401);
}
