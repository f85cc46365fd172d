//! Provider keys that are refused or tried out, and the limits and regions of
//! tenants, keys and models, as records and answers have them.

use std::time::Duration;

use cf_testkit::{MockMail, Reply};
use serde_json::{Value, json};

use crate::app::{Client, TestApp, eventually, mail_settings};

async fn provider_key(test: &TestApp) -> Value {
    let keys = "/api/collections/provider_keys/records";
    test.root.get(keys).await.expect(200).json()["items"][0].clone()
}

async fn model(test: &TestApp) -> String {
    let models = "/api/collections/models/records";
    let models = test.root.get(models).await.expect(200).json();
    models["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn try_out(client: &Client, key: &Value, body: Value) -> crate::app::Answer {
    let path = format!("/api/provider-keys/{}/test", key["id"].as_str().unwrap());
    client.post(&path, &body).await
}

#[tokio::test]
async fn a_refused_key_is_set_aside_and_told_once_and_taken_back_when_it_works() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let boss = test.person("boss", "admin", &test.tenant).await;
        for _ in 0..2 {
            test.upstream
                .next(Reply::json(401, r#"{"error":{"message":"bad key"}}"#));
            alice.chat(json!({})).await.expect(502);
            // The next call tries it again.
            test.clock.advance(Duration::from_secs(120));
        }
        let key = eventually("the trouble on the record", || async {
            let key = provider_key(&test).await;
            (key["trouble"] == "credentials").then_some(key)
        })
        .await;
        assert!(!key["trouble_since"].as_str().unwrap().is_empty());
        let notes = "/api/collections/notifications/records?filter=(kind='provider_key')";
        let told = boss.get(notes).await.expect(200).json();
        assert_eq!(told["totalItems"], 1, "{told}");
        assert_eq!(told["items"][0]["data"]["trouble"], "credentials");
        assert_eq!(told["items"][0]["data"]["name"], "Mock");
        let messages = "select count(*) from messages where event = 'provider_key'";
        assert_eq!(test.count(messages).await, 1);
        let nobody = test.user("bob").await;
        let told = nobody.get(notes).await.expect(200).json();
        assert_eq!(told["totalItems"], 0);

        alice.chat(json!({})).await.expect(200);
        eventually("the trouble to be over", || async {
            (provider_key(&test).await["trouble"] == "").then_some(())
        })
        .await;
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn administrators_are_written_to_when_a_key_is_out_of_credit() {
    let mail = MockMail::start().await;
    let test = TestApp::with(mail_settings(&mail)).await;
    test.person("boss", "admin", &test.tenant).await;
    let alice = test.user("alice").await.by_key();
    let spent = r#"{"error":{"code":"insufficient_quota","message":"x"}}"#;
    test.upstream.next(Reply::json(429, spent));
    alice.chat(json!({})).await.expect(503);
    let letter = eventually("a mail", || async { mail.received().first().cloned() }).await;
    assert_eq!(letter.to, "boss@example.com");
    assert!(letter.text.contains("Guthaben"), "{}", letter.text);
}

#[tokio::test]
async fn a_saved_key_is_tried_at_once() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        test.upstream.next(Reply::json(401, "{}"));
        alice.chat(json!({})).await.expect(502);
        alice.chat(json!({})).await.expect(503);
        let key = eventually("the trouble on the record", || async {
            let key = provider_key(&test).await;
            (key["trouble"] != "").then_some(key)
        })
        .await;
        test.clock.advance(Duration::from_millis(1));
        let id = key["id"].as_str().unwrap();
        let saved = test
            .root
            .change(
                "provider_keys",
                id,
                &json!({"secret": "sk-another-secret-1"}),
            )
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&saved["trouble"], &saved["trouble_since"]),
            (&json!(""), &json!(""))
        );
        alice.chat(json!({})).await.expect(200);
        // What the program writes is not for others to write.
        let saved = test
            .root
            .change("provider_keys", id, &json!({"trouble": "credentials"}))
            .await
            .expect(200)
            .json();
        assert_eq!(saved["trouble"], "");
    }
}

#[tokio::test]
async fn an_administrator_tries_a_key_out_with_a_real_call() {
    for test in TestApp::each().await {
        let key = provider_key(&test).await;
        let boss = test.person("boss", "admin", &test.tenant).await;
        let works = try_out(&boss, &key, json!({})).await.expect(200).json();
        assert_eq!(
            (&works["ok"], &works["message"]),
            (&json!(true), &json!(""))
        );
        assert_eq!(works["model"], "small-1");
        let sent = test.upstream.received();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].json()["max_tokens"], 16);
        assert_eq!(
            sent[0].header("authorization"),
            Some("Bearer sk-provider-secret-1234")
        );
        // It costs nobody's budget anything.
        assert_eq!(test.count("select count(*) from usage_logs").await, 0);
        let audit = "select count(*) from audit_logs where action = 'try_out'";
        assert_eq!(test.count(audit).await, 1);

        let named = json!({"model": "another"});
        try_out(&boss, &key, named).await.expect(200);
        assert_eq!(test.upstream.received()[1].json()["model"], "another");

        for (reply, words) in [
            (
                Reply::json(
                    401,
                    r#"{"error":{"message":"no: sk-provider-secret-1234"}}"#,
                ),
                "refused our credentials",
            ),
            (
                Reply::json(404, r#"{"error":{"message":"no such model"}}"#),
                "does not know the model",
            ),
            (
                Reply::json(400, r#"{"error":{"message":"max_tokens is too small"}}"#),
                "max_tokens is too small",
            ),
            (Reply::json(500, "<html>oops</html>"), "failed (status 500)"),
            (Reply::json(200, "<html>hello</html>"), "no chat completion"),
        ] {
            test.upstream.next(reply);
            let failed = try_out(&boss, &key, json!({})).await.expect(200);
            assert!(!failed.text().contains("secret-1234"), "{}", failed.text());
            let failed = failed.json();
            assert_eq!(failed["ok"], false);
            let message = failed["message"].as_str().unwrap();
            assert!(message.contains(words), "{message}");
        }
    }
}

#[tokio::test]
async fn a_key_without_a_model_has_to_be_told_which_to_ask() {
    let test = TestApp::new().await;
    let key = json!({"name": "new", "provider": "openai_compatible", "active": false,
        "base_url": test.upstream.base_url(), "secret": "sk-another-secret-1"});
    let key = test.root.create("provider_keys", key).await;
    let refused = try_out(&test.root, &key, json!({}))
        .await
        .expect(400)
        .json();
    assert!(refused["data"]["model"].is_object(), "{refused}");
    let works = try_out(&test.root, &key, json!({"model": "some"})).await;
    assert_eq!(works.expect(200).json()["ok"], true);
    let unknown = json!({"id": "abcdefghij12345"});
    try_out(&test.root, &unknown, json!({})).await.expect(404);
    let nowhere = json!({"base_url": "http://127.0.0.1:1/v1", "secret": "sk-another-secret-1"});
    test.root
        .change("provider_keys", key["id"].as_str().unwrap(), &nowhere)
        .await
        .expect(200);
    let failed = try_out(&test.root, &key, json!({"model": "some"})).await;
    let failed = failed.expect(200).json();
    assert_eq!(failed["ok"], false);
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("cannot be reached")
    );
}

#[tokio::test]
async fn only_administrators_try_keys_out_and_see_their_use() {
    let test = TestApp::new().await;
    let key = provider_key(&test).await;
    let other = test.new_tenant("other").await;
    for (client, status) in [
        (test.guest(), 401),
        (test.user("alice").await, 403),
        (test.person("head", "tenant_admin", &test.tenant).await, 403),
        (test.person("stranger", "tenant_admin", &other).await, 403),
    ] {
        try_out(&client, &key, json!({})).await.expect(status);
        client.get("/api/provider-keys/usage").await.expect(status);
    }
    assert!(test.upstream.received().is_empty());
}

#[tokio::test]
async fn what_was_used_is_told_by_provider_key() {
    for mut test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let key = provider_key(&test).await;
        for _ in 0..3 {
            alice.chat(json!({})).await.expect(200);
        }
        test.upstream.next(Reply::json(500, "{}"));
        alice.chat(json!({})).await.expect(502);
        test.assert_settled().await;
        let usage = "/api/provider-keys/usage";
        let told = test.root.get(usage).await.expect(200).json();
        assert_eq!(told["from"], "2025-12-12");
        assert_eq!(
            told["items"],
            json!([{
                "provider_key_id": key["id"], "requests": 4, "failed": 1, "prompt_tokens": 30,
                "completion_tokens": 15, "provider_cost": 0.00006,
            }]),
            "{}",
            test.name
        );
        test.clock.advance(Duration::from_secs(86_400));
        test.sign_in_again().await;
        let today = test.root.get("/api/provider-keys/usage?days=1").await;
        assert_eq!(today.expect(200).json()["items"], json!([]));
        for wrong in ["days=0", "days=401", "days=x", "day=1"] {
            let path = format!("{usage}?{wrong}");
            test.root.get(&path).await.expect(400);
        }
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn attempts_are_shown_to_administrators_alone() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let head = test.person("head", "tenant_admin", &test.tenant).await;
    test.upstream.next(Reply::json(500, "{}"));
    alice.by_key().chat(json!({})).await.expect(502);
    test.assert_settled().await;
    let logs = "/api/collections/usage_logs/records";
    let shown = test.root.get(logs).await.expect(200).json();
    let attempts = &shown["items"][0]["attempts"];
    assert_eq!(attempts[0]["outcome"], "failed", "{shown}");
    assert_eq!(attempts[0]["status"], 500);
    for client in [alice, head] {
        let shown = client.get(logs).await.expect(200).json();
        assert_eq!(shown["totalItems"], 1);
        assert!(shown["items"][0].get("attempts").is_none(), "{shown}");
    }
}

#[tokio::test]
async fn tenants_keys_and_models_have_limits_as_their_records_say() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let bob = test.user("bob").await;
        let limit = json!({"rate_limit": 1});
        let off = json!({"rate_limit": 0});
        let limited = |answer: crate::app::Answer, words: &str| {
            let answer = answer.expect(429);
            assert_eq!(answer.header("x-ratelimit-remaining-requests"), "0");
            assert_eq!(answer.header("x-ratelimit-limit-requests"), "1");
            assert!(!answer.header("x-ratelimit-reset-requests").is_empty());
            let message = answer.json()["error"]["message"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(message.contains(words), "{message}");
        };
        // The tenant's, for all of its users together.
        test.root
            .change("tenants", &test.tenant, &limit)
            .await
            .expect(200);
        alice.by_key().chat(json!({})).await.expect(200);
        limited(bob.by_key().chat(json!({})).await, "this tenant");
        test.root
            .change("tenants", &test.tenant, &off)
            .await
            .expect(200);
        // The model's.
        let id = model(&test).await;
        test.root.change("models", &id, &limit).await.expect(200);
        alice.by_key().chat(json!({})).await.expect(200);
        limited(bob.by_key().chat(json!({})).await, "this model");
        test.root.change("models", &id, &off).await.expect(200);
        // A key's, of that key alone.
        let body = json!({"name": "limited", "rate_limit": 1, "tokens_per_minute": 5000});
        let key = alice.post("/api/keys", &body).await.expect(200).json();
        assert_eq!(
            (&key["rate_limit"], &key["tokens_per_minute"]),
            (&json!(1), &json!(5000))
        );
        let mut with_key = alice.clone();
        with_key.key = key["key"].as_str().unwrap().to_owned();
        let answer = with_key.by_key().chat(json!({})).await.expect(200);
        assert_eq!(answer.header("x-ratelimit-limit-tokens"), "5000");
        limited(with_key.by_key().chat(json!({})).await, "this API key");
        alice.by_key().chat(json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn a_tenants_administrator_does_not_change_the_tenants_limits_or_regions() {
    let test = TestApp::new().await;
    let head = test.person("head", "tenant_admin", &test.tenant).await;
    for change in [
        json!({"rate_limit": 0}),
        json!({"tokens_per_minute": 0}),
        json!({"regions": []}),
    ] {
        let answer = head.change("tenants", &test.tenant, &change).await;
        assert!(answer.status.is_client_error(), "{change}");
    }
}

#[tokio::test]
async fn a_tenant_limited_to_the_eu_is_served_there_alone() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let eu = json!({"regions": ["eu"]});
        test.root
            .change("tenants", &test.tenant, &eu)
            .await
            .expect(200);
        let refused = alice.chat(json!({})).await.expect(403).json();
        assert_eq!(refused["error"]["code"], "model_not_allowed");
        let models = alice.get("/v1/models").await.expect(200).json();
        assert_eq!(models["data"], json!([]));
        assert!(test.upstream.received().is_empty());
        let key = provider_key(&test).await;
        let key = key["id"].as_str().unwrap();
        for (region, status) in [
            ("us-east-1", 403),
            ("europe-west2", 403),
            ("eu-west-3", 200),
        ] {
            test.root
                .change("provider_keys", key, &json!({"region": region}))
                .await
                .expect(200);
            alice.chat(json!({})).await.expect(status);
        }
        assert_eq!(test.upstream.received().len(), 1);
        for nonsense in [json!([""]), json!(["*"]), json!(["eu", " "])] {
            test.root
                .change("tenants", &test.tenant, &json!({"regions": nonsense}))
                .await
                .expect(400);
        }
    }
}

/// A small request to each endpoint of the router.
fn each_endpoint() -> Vec<(&'static str, Value)> {
    let said = json!([{"role": "user", "content": "Hi"}]);
    vec![
        (
            "/v1/chat/completions",
            json!({"model": "small", "messages": said}),
        ),
        (
            "/v1/messages",
            json!({"model": "small", "max_tokens": 10, "messages": said}),
        ),
        (
            "/v1/messages/count_tokens",
            json!({"model": "small", "messages": said}),
        ),
        ("/v1/responses", json!({"model": "small", "input": "Hi"})),
        ("/v1/completions", json!({"model": "small", "prompt": "Hi"})),
        ("/v1/embeddings", json!({"model": "small", "input": "Hi"})),
        (
            "/v1/images/generations",
            json!({"model": "small", "prompt": "a cat"}),
        ),
        (
            "/v1/audio/speech",
            json!({"model": "small", "input": "Hi", "voice": "alloy"}),
        ),
        ("/v1/moderations", json!({"model": "small", "input": "Hi"})),
        (
            "/v1/rerank",
            json!({"model": "small", "query": "Hi", "documents": ["a", "b"]}),
        ),
    ]
}

#[tokio::test]
async fn no_endpoint_is_a_side_door_around_regions_or_limits() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await.by_key();
    let prices = json!({"input": 1, "output": 2, "image": 0.01, "character": 1});
    let id = model(&test).await;
    test.root
        .change("models", &id, &json!({"prices": prices}))
        .await
        .expect(200);
    let eu = json!({"regions": ["eu"]});
    test.root
        .change("tenants", &test.tenant, &eu)
        .await
        .expect(200);
    for (path, body) in each_endpoint() {
        let refused = alice.post(path, &body).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
    }
    assert!(test.upstream.received().is_empty());
    let limited = json!({"regions": [], "rate_limit": 1});
    test.root
        .change("tenants", &test.tenant, &limited)
        .await
        .expect(200);
    alice.chat(json!({})).await.expect(200);
    for (path, body) in each_endpoint() {
        let refused = alice.post(path, &body).await;
        assert_eq!(refused.status, 429, "{path}: {}", refused.text());
        assert!(!refused.header("retry-after").is_empty(), "{path}");
    }
    assert_eq!(test.upstream.received().len(), 1);
}

#[tokio::test]
async fn a_model_that_cannot_be_is_refused() {
    let test = TestApp::new().await;
    let id = model(&test).await;
    for (change, field) in [
        (json!({"fallback_on": ["rain"]}), "fallback_on"),
        (
            json!({"fallbacks": ["a", "b", "c", "d", "e", "f"]}),
            "fallbacks",
        ),
        (json!({"balance": "luck"}), "balance"),
        (json!({"retries": 6}), "retries"),
        (json!({"gap_seconds": 100_000}), "gap_seconds"),
        (json!({"rate_limit": -1}), "rate_limit"),
    ] {
        let refused = test.root.change("models", &id, &change).await;
        let refused = refused.expect(400).json();
        assert!(refused["data"][field].is_object(), "{change}: {refused}");
    }
}
