use cf_testkit::Reply;
use futures_util::future::join_all;
use serde_json::json;

use crate::app::{Client, TestApp};

async fn set_budget(test: &TestApp, user: &Client, total: f64) {
    test.root
        .change("users", &user.id, &json!({"budget_total": total}))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_budget_that_is_too_small_refuses_with_its_words() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        set_budget(&test, &alice, 0.000_001).await;
        let refused = alice.by_key().chat(json!({})).await.expect(403).json();
        assert_eq!(refused["error"]["code"], "budget_exceeded");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("Budget exceeded"), "{message}");
        assert!(test.upstream.received().is_empty());
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn the_output_limit_is_lowered_when_only_that_fits() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        // The body is some 80 bytes: 80 µEUR and 16 tokens are 112 µEUR at least;
        // 1000 tokens would be 2080 µEUR.
        set_budget(&test, &alice, 0.000_5).await;
        let answer = alice
            .by_key()
            .chat(json!({"max_tokens": 900}))
            .await
            .expect(200);
        let limit: u64 = answer.header("x-cf-output-limit").parse().unwrap();
        assert!((150..=250).contains(&limit), "{limit}");
        assert_eq!(test.upstream.received()[0].json()["max_tokens"], limit);
        // With an ample budget nothing is lowered.
        set_budget(&test, &alice, 10.0).await;
        let answer = alice
            .by_key()
            .chat(json!({"max_tokens": 900}))
            .await
            .expect(200);
        assert_eq!(answer.header("x-cf-output-limit"), "");
        assert_eq!(test.upstream.received()[1].json()["max_tokens"], 900);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn two_hundred_calls_at_once_on_a_budget_for_twenty() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        // Each uses all of its limit, so that no call leaves room for another:
        // the prompt's bound is its bytes, which the provider counts in full.
        let body = json!({"model": "small", "max_tokens": 100,
            "messages": [{"role": "user", "content": "Hi"}]});
        let prompt = u64::try_from(body.to_string().len()).unwrap();
        let cost = prompt + 200;
        for _ in 0..200 {
            test.upstream.next(Reply::chat("x", prompt, 100));
        }
        set_budget(
            &test,
            &alice,
            f64::from(u32::try_from(cost * 20).unwrap()) / 1e6,
        )
        .await;
        let key = alice.by_key();
        let calls = (0..200).map(|_| key.chat(json!({"max_tokens": 100})));
        let answers = join_all(calls).await;
        let admitted = answers.iter().filter(|a| a.status == 200).count();
        let refused = answers.iter().filter(|a| a.status == 403).count();
        assert_eq!((admitted, refused), (20, 180), "{}", test.name);
        assert_eq!(test.upstream.received().len(), 20);
        test.assert_settled().await;
        let user = alice.record("users", &alice.id).await.json();
        assert_eq!(user["budget_remaining"], 0.0, "{}", test.name);
    }
}

#[tokio::test]
async fn a_keys_own_budget_and_the_tenants_hold_too() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let made = alice
            .post(
                "/api/keys",
                &json!({"name": "small", "budget_total": 0.000_001}),
            )
            .await
            .expect(200)
            .json();
        let mut by_small_key = alice.clone();
        by_small_key.key = made["key"].as_str().unwrap().into();
        let refused = by_small_key
            .by_key()
            .chat(json!({}))
            .await
            .expect(403)
            .json();
        assert!(
            refused["error"]["message"]
                .as_str()
                .unwrap()
                .contains("API key's budget")
        );
        alice.by_key().chat(json!({})).await.expect(200);
        test.root
            .change("tenants", &test.tenant, &json!({"budget_total": 0.000_03}))
            .await
            .expect(200);
        let refused = alice.by_key().chat(json!({})).await.expect(403).json();
        assert!(
            refused["error"]["message"]
                .as_str()
                .unwrap()
                .contains("tenant's budget")
        );
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_and_not_free() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let keys = test
        .root
        .get("/api/collections/provider_keys/records")
        .await
        .json();
    test.root
        .create(
            "models",
            json!({"name": "unpriced", "active": true,
                "deployments": [{"provider_key": keys["items"][0]["id"], "model": "x"}]}),
        )
        .await;
    let refused = alice
        .by_key()
        .chat(json!({"model": "unpriced"}))
        .await
        .expect(422);
    assert!(refused.text().contains("No price is known"));
}

#[tokio::test]
async fn the_books_survive_a_new_start() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        alice.by_key().chat(json!({})).await.expect(200);
        test.app.stop().await;
        test.assert_settled().await;
    }
}
