//! What a call costs the operator and the customer, and who gets to see it.

use cf_testkit::Reply;
use serde_json::{Value, json};

use crate::app::{Client, TestApp};

/// The newest call as somebody sees it.
async fn newest(client: &Client) -> Value {
    let page = "/api/collections/usage_logs/records?sort=-created,-id&perPage=1";
    client.get(page).await.expect(200).json()["items"][0].clone()
}

#[tokio::test]
async fn a_margin_is_charged_and_shown_to_the_operator_only() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let boss = test.person("boss", "tenant_admin", &test.tenant).await;
        test.root
            .change("products", &test.product, &json!({"margin": 50}))
            .await
            .expect(200);
        // 10 tokens in and 5 out at 1 and 2 dollars a million, a euro a dollar.
        let answer = alice.by_key().chat(json!({})).await.expect(200);
        assert_eq!(answer.header("x-cf-cost"), "0.00003");
        let seen = newest(&test.root).await;
        assert_eq!(seen["cost"], 0.000_03, "{}", test.name);
        assert_eq!(seen["provider_cost"], 0.000_02);
        for customer in [&alice, &boss] {
            let seen = newest(customer).await;
            assert_eq!(seen["cost"], 0.000_03);
            assert_eq!(seen.get("provider_cost"), None);
            let product = customer.record("products", &test.product).await.expect(200);
            assert_eq!(product.json().get("margin"), None);
            assert_eq!(product.json().get("prices"), None);
            for field in ["provider_cost", "extra"] {
                let by = format!("/api/collections/usage_logs/records?filter=({field}%3E0)");
                customer.get(&by).await.expect(400);
            }
        }
        let own = boss
            .record("tenants", &test.tenant)
            .await
            .expect(200)
            .json();
        assert_eq!(own.get("prices"), None);
        let list = json!({"prices": [{"model": "small", "input": 0, "output": 0}]});
        let refused = boss.change("tenants", &test.tenant, &list).await;
        assert!(refused.status.is_client_error(), "{}", refused.status);
        let refused = boss
            .change("products", &test.product, &json!({"margin": 0}))
            .await;
        assert!(refused.status.is_client_error(), "{}", refused.status);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_reservation_is_of_what_the_customer_pays() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        // Enough for the prompt and 900 tokens at the provider's price, not at ten times that.
        test.root
            .change("users", &alice.id, &json!({"budget_total": 0.002_1}))
            .await
            .expect(200);
        let wish = json!({"max_tokens": 900});
        let answer = alice.by_key().chat(wish.clone()).await.expect(200);
        assert_eq!(answer.header("x-cf-output-limit"), "");
        test.root
            .change("products", &test.product, &json!({"margin": 900}))
            .await
            .expect(200);
        let answer = alice.by_key().chat(wish).await.expect(200);
        let limit: u64 = answer.header("x-cf-output-limit").parse().unwrap();
        assert!((30..100).contains(&limit), "{}: {limit}", test.name);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_tenants_own_list_counts_for_its_users_only() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let other = test.new_tenant("other").await;
        let bob = test.person("bob", "user", &other).await;
        let list = json!({"prices": [{"model": "small", "input": 10, "output": 20}]});
        test.root
            .change("tenants", &test.tenant, &list)
            .await
            .expect(200);
        let cost = |answer: crate::app::Answer| answer.header("x-cf-cost").to_owned();
        let paid = cost(alice.by_key().chat(json!({})).await.expect(200));
        assert_eq!(paid, "0.0002", "{}", test.name);
        assert_eq!(newest(&test.root).await["provider_cost"], 0.000_02);
        assert_eq!(
            cost(bob.by_key().chat(json!({})).await.expect(200)),
            "0.00002"
        );
        // The Billing API prices by the same list.
        let report = json!({"request_id": "call-1", "user_id": alice.id, "model": "small",
            "prompt_tokens": 10, "completion_tokens": 5});
        let logged = test
            .program()
            .post("/api/usage/log", &report)
            .await
            .expect(201);
        assert_eq!(logged.json()["cost"], 0.000_2);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn terms_that_cannot_be_are_refused_by_field() {
    let test = TestApp::new().await;
    for (change, field) in [
        (json!({"margin": -101}), "margin"),
        (json!({"margin": 10_001}), "margin"),
        (
            json!({"prices": [{"model": "small", "input": 1}]}),
            "prices",
        ),
        (json!({"prices": [{"input": 1, "output": 1}]}), "prices"),
    ] {
        let refused = test
            .root
            .change("products", &test.product, &change)
            .await
            .expect(400);
        assert!(
            refused.json()["data"][field]["message"].is_string(),
            "{}",
            refused.text()
        );
    }
}

#[tokio::test]
async fn a_dearer_tier_is_billed_where_it_has_a_price_and_refused_where_it_has_none() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let priority = json!({"service_tier": "priority"});
        let refused = alice.chat(priority.clone()).await.expect(400).json();
        assert_eq!(refused["error"]["param"], "service_tier");
        assert!(test.upstream.received().is_empty());
        let models = test
            .root
            .get("/api/collections/models/records")
            .await
            .json();
        let prices = json!({"prices": {"input": 1, "output": 2,
            "service_tiers": {"priority": {"input": 3, "output": 4}}}});
        let id = models["items"][0]["id"].as_str().unwrap();
        test.root.change("models", id, &prices).await.expect(200);
        // Served as asked for, then not: the answer's tier is billed.
        let reply = |tier: &str| {
            Reply::json(
                200,
                json!({"id": "c", "object": "chat.completion", "service_tier": tier,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
                .to_string(),
            )
        };
        for (served, cost) in [("priority", "0.00005"), ("default", "0.00002")] {
            test.upstream.next(reply(served));
            let answer = alice.chat(priority.clone()).await.expect(200);
            assert_eq!(answer.header("x-cf-cost"), cost, "{served}");
        }
        let body = test.upstream.received()[0].json();
        assert_eq!(body["service_tier"], "priority", "passed on as it came");
        test.assert_settled().await;
    }
}

/// The catalogue with another price and one model more.
const LIST: &str = r#"{"models": [
    {"id": "gpt-5", "provider": "openai", "prices": {"input": "0.000002", "output": "0.00001"}},
    {"id": "brand-new", "provider": "openai", "prices": {"input": "0.000001", "output": "0.000003"}}
]}"#;

#[tokio::test]
async fn a_price_list_is_shown_before_it_is_taken() {
    for test in TestApp::each().await {
        let import = |query: &str| {
            let path = format!("/api/prices/import{query}");
            let root = test.root.clone();
            async move { root.send_text("POST", &path, LIST.into()).await }
        };
        let shown = import("").await.expect(200).json();
        assert_eq!(shown["added"][0]["model"], "brand-new", "{}", test.name);
        let fields = shown["changed"][0]["fields"].as_array().unwrap();
        let input = json!({"name": "input", "old": "0.00000125", "new": "0.000002"});
        assert!(fields.contains(&input), "{fields:?}");
        let book = test
            .root
            .get("/api/prices?search=brand-new")
            .await
            .expect(200)
            .json();
        assert_eq!(book["total"], 0, "shown is not taken");
        import("?confirm=another").await.expect(409);
        // The hash is of this day: another day is another difference.
        let hash = shown["hash"].as_str().unwrap();
        let later = import(&format!("?effective=2027-01-01&confirm={hash}")).await;
        later.expect(409);
        import(&format!("?confirm={hash}")).await.expect(201);
        import(&format!("?confirm={hash}")).await.expect(409);
        let book = test
            .root
            .get("/api/prices?search=brand-new")
            .await
            .expect(200)
            .json();
        assert_eq!(book["models"][0]["prices"]["output"], "0.000003");
        assert_eq!(book["editions"][0]["in_force"], true);
        assert_eq!(book["editions"][0]["actor"], "root@example.com");
        let price = test.app.ledger.book_price("openai", "brand-new", "");
        assert!(price.is_some(), "at once");
        let audit = "/api/collections/audit_logs/records?filter=(action='import')";
        let audit = test.root.get(audit).await.expect(200).json();
        assert_eq!(audit["items"][0]["changes"]["added"], 1);
        let wrong = test
            .root
            .send_text("POST", "/api/prices/import", "{".into())
            .await;
        assert!(wrong.expect(400).text().contains("not a price catalogue"));
    }
}

#[tokio::test]
async fn the_price_book_is_the_administrators() {
    let test = TestApp::new().await;
    let admin = test.person("ada", "admin", &test.tenant).await;
    admin.get("/api/prices").await.expect(200);
    let user = test.user("alice").await;
    let boss = test.person("boss", "tenant_admin", &test.tenant).await;
    for (who, status) in [
        (&user, 403),
        (&boss, 403),
        (&test.program(), 403),
        (&test.guest(), 401),
        (&user.by_key(), 401),
    ] {
        who.get("/api/prices").await.expect(status);
        let list = who
            .send_text("POST", "/api/prices/import", LIST.into())
            .await;
        list.expect(status);
    }
}

#[tokio::test]
async fn the_price_book_bills_by_the_place_of_the_provider_key() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let azure = |region: &str| {
            json!({"name": format!("Azure {region}"), "provider": "azure", "region": region, "active": true,
                "base_url": test.upstream.base_url(), "secret": "sk-azure-secret-1234"})
        };
        // 10 tokens in and 5 out at 2 and 8 dollars a million, a tenth more in the EU's zone.
        for (region, cost) in [("", "0.00006"), ("eu", "0.000066")] {
            let key = test.root.create("provider_keys", azure(region)).await;
            let name = format!("gpt{region}");
            let model = json!({"name": name, "active": true,
                "deployments": [{"provider_key": key["id"], "model": "gpt-4.1"}]});
            test.root.create("models", model).await;
            let answer = alice.chat(json!({"model": name})).await.expect(200);
            assert_eq!(answer.header("x-cf-cost"), cost, "{} {region}", test.name);
        }
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn other_programs_report_every_class_of_token() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let models = test
            .root
            .get("/api/collections/models/records")
            .await
            .json();
        let prices = json!({"prices": {"input": 1, "output": 2, "cached_input": 0.1,
            "cache_write": 1.25, "cache_write_1h": 2, "reasoning": 3,
            "service_tiers": {"priority": {"input": 10, "output": 20}}}});
        let id = models["items"][0]["id"].as_str().unwrap();
        test.root.change("models", id, &prices).await.expect(200);
        let report = |id: &str, tier: &str| {
            json!({"request_id": id, "user_id": alice.id, "model": "small",
                "prompt_tokens": 1000, "cached_tokens": 500, "cache_write_tokens": 200,
                "cache_write_1h_tokens": 100, "completion_tokens": 50, "reasoning_tokens": 20,
                "service_tier": tier})
        };
        let log = |report: Value| {
            let program = test.program();
            async move {
                program
                    .post("/api/usage/log", &report)
                    .await
                    .expect(201)
                    .json()
            }
        };
        // 200 × 1 + 500 × 0.1 + 200 × 1.25 + 100 × 2 + 30 × 2 + 20 × 3 millionths.
        let logged = log(report("one", "default")).await;
        assert_eq!(logged["cost"], 0.000_82, "{}", test.name);
        // At priority without cache prices of its own: 1000 × 10 + 50 × 20.
        assert_eq!(log(report("two", "priority")).await["cost"], 0.011);
        // No more of a part than there is of the whole.
        let mut odd = report("three", "");
        odd["cached_tokens"] = 5_000.into();
        odd["reasoning_tokens"] = 5_000.into();
        assert_eq!(log(odd).await["cost"], 0.000_25);
        test.assert_settled().await;
    }
}
