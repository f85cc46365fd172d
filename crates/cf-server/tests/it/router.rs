use std::time::Duration;

use bytes::Bytes;
use cf_testkit::{Reply, Step};
use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn a_call_is_answered_byte_for_byte_and_paid_from_the_budget() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let answer = alice
            .by_key()
            .chat(json!({"x_unknown": {"kept": 1.50}}))
            .await
            .expect(200);
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello!");
        // 10 tokens at 1 USD and 5 at 2 USD a million; a dollar is a euro here.
        assert_eq!(answer.header("x-cf-cost"), "0.00002");
        assert_eq!(answer.header("x-cf-budget-remaining"), "9.99998");
        assert_eq!(answer.header("x-cf-model"), "small-1");
        assert_eq!(answer.header("x-cf-provider"), "openai_compatible");

        let received = test.upstream.received();
        assert_eq!(received[0].path, "/v1/chat/completions");
        assert_eq!(
            received[0].header("authorization"),
            Some("Bearer sk-provider-secret-1234")
        );
        assert_eq!(
            received[0].body,
            r#"{"max_tokens":1000,"messages":[{"content":"Hi","role":"user"}],"model":"small-1","x_unknown":{"kept":1.5}}"#
        );
        let user = alice.record("users", &alice.id).await.expect(200).json();
        assert_eq!(user["budget_used"], 0.00002);
        let usage = test
            .root
            .get("/api/collections/usage_logs/records")
            .await
            .expect(200)
            .json();
        let row = &usage["items"][0];
        assert_eq!(row["status"], "ok");
        assert_eq!(row["prompt_tokens"], 10);
        assert_eq!(row["completion_tokens"], 5);
        assert_eq!(row["user_id"], alice.id);
        assert_eq!(row["request_id"], answer.header("x-request-id"));
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_stream_passes_unchanged_and_its_usage_is_asked_for_but_not_shown() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        test.upstream
            .next(Reply::chat_stream(&["Hel", "lo"], 10, 2));
        let answer = alice
            .by_key()
            .chat(json!({"stream": true}))
            .await
            .expect(200);
        let text = answer.text();
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(!text.contains("usage"), "{text}");
        assert_eq!(
            test.upstream.received()[0].json()["stream_options"]["include_usage"],
            true
        );
        test.upstream
            .next(Reply::chat_stream(&["Hel", "lo"], 10, 2));
        let answer = alice
            .by_key()
            .chat(json!({"stream": true, "stream_options": {"include_usage": true}}))
            .await
            .expect(200);
        assert!(answer.text().contains("\"total_tokens\":12"));
        test.assert_settled().await;
        let counted = "select count(*) from usage_logs where prompt_tokens = 10 and \
                       completion_tokens = 2 and status = 'ok' and estimated = 0";
        assert_eq!(test.count(counted).await, 2, "{}", test.name);
    }
}

#[tokio::test]
async fn a_stream_cut_at_every_byte_comes_out_the_same() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let Reply { steps, .. } = Reply::chat_stream(&["größe", "€"], 10, 2);
    let whole: Vec<u8> = steps
        .iter()
        .flat_map(|s| match s {
            Step::Send(bytes) => bytes.to_vec(),
            _ => vec![],
        })
        .collect();
    let pieces = whole
        .chunks(1)
        .map(|piece| Step::Send(Bytes::copy_from_slice(piece)))
        .collect();
    test.upstream.next(Reply::stream(pieces));
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let answer = alice.by_key().chat(more).await.expect(200);
    assert_eq!(answer.body, whole);
    test.assert_settled().await;
}

#[tokio::test]
async fn a_provider_that_breaks_off_or_fails_in_the_stream_is_told_and_booked() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let chunk = Step::Send(Bytes::from_static(
            b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"123456\"}}]}\n\n",
        ));
        test.upstream
            .next(Reply::stream(vec![chunk.clone(), Step::Reset]));
        let answer = alice
            .by_key()
            .chat(json!({"stream": true}))
            .await
            .expect(200);
        assert!(
            answer.text().contains("upstream_error"),
            "{}",
            answer.text()
        );
        assert!(!answer.text().contains("[DONE]"));
        let failed = Step::Send(Bytes::from_static(
            b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n",
        ));
        test.upstream.next(Reply::stream(vec![chunk, failed]));
        let answer = alice
            .by_key()
            .chat(json!({"stream": true}))
            .await
            .expect(200);
        assert!(answer.text().contains("overloaded"));
        assert!(!answer.text().contains("[DONE]"));
        test.assert_settled().await;
        let charged = "select count(*) from usage_logs where status = 'error' and estimated = 1 \
                       and completion_tokens = 2 and prompt_tokens > 0 and cost > 0";
        assert_eq!(test.count(charged).await, 2, "{}", test.name);
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_provider_and_is_booked() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        // Before the first byte of the answer.
        test.upstream
            .next(Reply::chat("late", 10, 5).after(Duration::from_secs(60)));
        let gone = tokio::time::timeout(Duration::from_millis(200), alice.chat(json!({}))).await;
        assert!(gone.is_err());
        // In the middle of a stream.
        let chunk = Step::Send(Bytes::from_static(
            b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"123456\"}}]}\n\n",
        ));
        test.upstream.next(Reply::stream(vec![chunk, Step::Stall]));
        let call = alice.chat(json!({"stream": true}));
        let gone = tokio::time::timeout(Duration::from_millis(300), call).await;
        assert!(gone.is_err());
        test.assert_settled().await;
        let cancelled = "select count(*) from usage_logs where status = 'cancelled' and \
                         estimated = 1 and prompt_tokens > 0 and cost > 0";
        assert_eq!(test.count(cancelled).await, 2, "{}", test.name);
        for _ in 0..50 {
            if test.upstream.cancelled() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            test.upstream.cancelled(),
            1,
            "the stream was cancelled upstream"
        );
    }
}

#[tokio::test]
async fn each_refusal_has_its_own_status_and_code() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let key = alice.by_key();
        for (body, status, code) in [
            (json!({"model": "nope"}), 404, "model_not_found"),
            (json!({"messages": []}), 400, "invalid_request"),
            (json!({"max_tokens": 0}), 400, "invalid_request"),
        ] {
            let answer = key.chat(body).await.expect(status).json();
            assert_eq!(answer["error"]["code"], code, "{answer}");
        }
        let malformed = key
            .send_text("POST", "/v1/chat/completions", "{\"model\":".into())
            .await
            .expect(400);
        assert!(malformed.text().contains("parse the JSON body"));
        let wrong = test
            .guest()
            .with("authorization", "Bearer sk-wrong-key-000000");
        let wrong = wrong.chat(json!({})).await.expect(401).json();
        assert_eq!(wrong["error"]["code"], "invalid_api_key");
        test.guest().chat(json!({})).await.expect(401);
        let huge = format!("{{\"x\":\"{}\"}}", "y".repeat(33 << 20));
        let huge = key
            .send_text("POST", "/v1/chat/completions", huge)
            .await
            .expect(413);
        assert_eq!(huge.json()["error"]["code"], "request_too_large");

        for (status, code) in [("pending", "user_pending"), ("suspended", "user_suspended")] {
            test.root
                .change("users", &alice.id, &json!({"status": status}))
                .await
                .expect(200);
            let refused = key.chat(json!({})).await.expect(403).json();
            assert_eq!(refused["error"]["code"], code);
        }
        test.root
            .change("users", &alice.id, &json!({"status": "active"}))
            .await
            .expect(200);
        test.root
            .change("tenants", &test.tenant, &json!({"status": "suspended"}))
            .await
            .expect(200);
        let refused = key.chat(json!({})).await.expect(403).json();
        assert_eq!(refused["error"]["code"], "tenant_suspended");
        assert!(test.upstream.received().is_empty(), "nothing went upstream");
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn the_product_says_which_models_and_how_often() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        test.root
            .change("products", &test.product, &json!({"models": ["other"]}))
            .await
            .expect(200);
        let refused = alice.by_key().chat(json!({})).await.expect(403).json();
        assert_eq!(refused["error"]["code"], "model_not_allowed");
        let models = alice.by_key().get("/v1/models").await.expect(200).json();
        assert_eq!(models["data"], json!([]));
        let change = json!({"models": ["small"], "rate_limit": 2});
        test.root
            .change("products", &test.product, &change)
            .await
            .expect(200);
        alice.by_key().chat(json!({})).await.expect(200);
        let second = alice.by_key().chat(json!({})).await.expect(200);
        assert_eq!(second.header("x-ratelimit-limit-requests"), "2");
        assert_eq!(second.header("x-ratelimit-remaining-requests"), "0");
        let limited = alice.by_key().chat(json!({})).await.expect(429);
        assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
        assert!(!limited.header("retry-after").is_empty());
        test.clock.advance(Duration::from_secs(31));
        alice.by_key().chat(json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn another_tenants_model_does_not_exist() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let other = test.new_tenant("other").await;
        let bob = test.person("bob", "user", &other).await;
        let key = test
            .root
            .create(
                "provider_keys",
                json!({"name": "own", "provider": "openai_compatible", "active": true,
                    "base_url": test.upstream.base_url(), "tenant_id": other}),
            )
            .await;
        let model = |name: &str, tenant: &str| {
            json!({
                "name": name, "active": true, "tenant_id": tenant, "prices": {"input": 1, "output": 1},
                "deployments": [{"provider_key": key["id"], "model": "own-1"}],
            })
        };
        test.root.create("models", model("own", &other)).await;
        bob.by_key().chat(json!({"model": "own"})).await.expect(200);
        alice
            .by_key()
            .chat(json!({"model": "own"}))
            .await
            .expect(404);
        let models = alice.by_key().get("/v1/models").await.expect(200);
        assert!(!models.text().contains("\"own\""));
        // A tenant's own key does not serve a model that is for all.
        test.root.create("models", model("for-all", "")).await;
        alice
            .by_key()
            .chat(json!({"model": "for-all"}))
            .await
            .expect(503);
    }
}

#[tokio::test]
async fn what_the_provider_refuses_is_passed_on_without_secrets() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let error = |status, message: &str| {
            Reply::json(
                status,
                json!({"error": {"message": message, "param": "temperature"}}).to_string(),
            )
        };
        test.upstream.next(error(400, "temperature is too hot"));
        let refused = alice.chat(json!({})).await.expect(400).json();
        assert_eq!(refused["error"]["message"], "temperature is too hot");
        assert_eq!(refused["error"]["param"], "temperature");
        test.upstream
            .next(error(401, "Incorrect API key: sk-provider-secret-1234"));
        let refused = alice.chat(json!({})).await.expect(502);
        assert!(
            !refused.text().contains("secret-1234"),
            "{}",
            refused.text()
        );
        test.upstream.next(error(429, "slow down"));
        alice.chat(json!({})).await.expect(429);
        test.upstream.next(Reply::json(500, "<html>oops</html>"));
        let refused = alice.chat(json!({})).await.expect(502);
        assert!(!refused.text().contains("<html>"));
        test.upstream
            .next(Reply::json(200, "<html>not json</html>"));
        alice.chat(json!({})).await.expect(502);
        test.assert_settled().await;
        let free = "select count(*) from usage_logs where status = 'error' and cost = 0";
        assert_eq!(test.count(free).await, 5, "{}", test.name);
    }
}

#[tokio::test]
async fn the_next_deployment_answers_when_the_first_cannot() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let keys = test
            .root
            .get("/api/collections/provider_keys/records")
            .await
            .json();
        let good = keys["items"][0]["id"].clone();
        let dead = test
            .root
            .create(
                "provider_keys",
                json!({"name": "dead", "provider": "openai_compatible", "active": true,
                    "base_url": "http://127.0.0.1:9/v1"}),
            )
            .await;
        test.root
            .create(
                "models",
                json!({
                    "name": "both", "active": true, "prices": {"input": 1, "output": 1},
                    "deployments": [
                        {"provider_key": dead["id"], "model": "a", "order": 0},
                        {"provider_key": good, "model": "b", "order": 1},
                    ],
                }),
            )
            .await;
        let answer = alice
            .by_key()
            .chat(json!({"model": "both"}))
            .await
            .expect(200);
        assert_eq!(answer.header("x-cf-model"), "b");
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn the_built_in_chat_calls_with_the_session() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let answer = alice.at("app.localhost").chat(json!({})).await.expect(200);
    assert_eq!(answer.header("x-cf-budget-remaining"), "9.99998");
    test.root.chat(json!({})).await.expect(403);
    test.assert_settled().await;
}

#[tokio::test]
async fn the_demo_provider_answers_and_says_what_it_is() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let key = test
        .root
        .create(
            "provider_keys",
            json!({"name": "Demo", "provider": "demo", "active": true}),
        )
        .await;
    test.root
        .create(
            "models",
            json!({"name": "demo", "active": true,
                "deployments": [{"provider_key": key["id"], "model": "demo"}]}),
        )
        .await;
    let answer = alice
        .by_key()
        .chat(json!({"model": "demo"}))
        .await
        .expect(200);
    assert!(answer.text().contains("demo provider"));
    let stream = json!({"model": "demo", "stream": true});
    let answer = alice.by_key().chat(stream).await.expect(200);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    test.assert_settled().await;
}

/// Whatever is found under `/v1`, by key or by session, in whoever's name: nothing
/// reaches a provider for somebody whose budget is used up.
#[tokio::test]
async fn no_route_leads_past_a_budget_that_is_used_up() {
    /// Counting is free at the providers that have it.
    const FREE: &str = "/v1/messages/count_tokens";
    let source = include_str!("../../src/routes.rs");
    let routes: std::collections::BTreeSet<&str> = source
        .split('"')
        .filter(|text| text.starts_with("/v1/") && !text.contains('{') && !text.contains(' '))
        .collect();
    assert!(routes.contains("/v1/chat/completions") && routes.contains("/v1/messages"));
    for test in TestApp::each().await {
        let (poor, rich) = (test.user("poor").await, test.user("rich").await);
        let nothing = json!({"budget_total": 0.000_000_01});
        let change = test.root.change("users", &poor.id, &nothing);
        change.await.expect(200);
        // As much as any endpoint may want.
        let body = json!({
            "model": "small", "max_tokens": 20, "user": rich.id,
            "messages": [{"role": "user", "content": "Hi"}], "input": "Hi", "prompt": "Hi",
            "query": "Hi", "documents": ["Hi"], "voice": "alloy",
        });
        let callers = [
            poor.by_key(),
            poor.clone(),
            poor.by_key()
                .with("x-user-id", &rich.id)
                .with("x-litellm-end-user-id", &rich.id)
                .with("openai-organization", &rich.id),
        ];
        for route in routes.iter().filter(|route| **route != FREE) {
            for caller in &callers {
                let answer = caller.post(route, &body).await;
                let told = answer.text();
                assert!(answer.status.is_client_error(), "{route}: {told}");
                if ["/v1/chat/completions", "/v1/messages"].contains(route) {
                    assert_eq!(answer.status, 403, "{route}: {told}");
                    assert!(told.contains("Budget exceeded"), "{route}: {told}");
                }
            }
        }
        assert_eq!(test.upstream.received().len(), 0, "{}", test.name);
        // The other one's budget is as it was, and opens the way.
        rich.by_key()
            .post("/v1/chat/completions", &body)
            .await
            .expect(200);
        test.assert_settled().await;
    }
}
