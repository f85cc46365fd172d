//! Changes, deletions, batches.

use cf_collections::{BatchRequest, Shape};
use serde_json::json;

use crate::world::{World, body, worlds};

async fn version(w: &World) -> i64 {
    let rows = w
        .test
        .db
        .query("select version from data_version", vec![])
        .await
        .unwrap();
    rows[0].at(0).unwrap()
}

#[tokio::test]
async fn only_what_is_sent_changes() {
    for w in worlds().await {
        w.clock.advance(std::time::Duration::from_secs(5));
        let before = version(&w).await;
        let changed = w
            .update(
                &w.admin,
                "products",
                &w.product,
                json!({"price": "12.345678912", "models": ["x"]}),
            )
            .await
            .unwrap();
        assert_eq!(changed["price"], json!(12.345_678_912));
        assert_eq!(
            (&changed["name"], &changed["models"]),
            (&json!("Pro"), &json!(["x"]))
        );
        assert_eq!(changed["created"], "2026-11-24 10:00:00.123Z");
        assert_eq!(changed["updated"], "2026-11-24 10:00:05.123Z");
        assert_eq!(version(&w).await, before + 1);
        // What others keep no copies of raises nothing.
        w.make("settings", json!({"key": "k"})).await;
        assert_eq!(version(&w).await, before + 1);
        let refused = w
            .update(
                &w.admin,
                "products",
                &w.product,
                json!({"id": "otheridotherido"}),
            )
            .await;
        assert_eq!(World::codes(refused), ["id: validation_pk_change"]);
        for id in ["nosuchproductxx", "x", "'", "\0"] {
            let none = w
                .update(&w.admin, "products", id, json!({"name": "x"}))
                .await;
            assert_eq!(none.unwrap_err().status, 404);
        }
    }
}

#[tokio::test]
async fn budgets_are_handed_on_and_spending_is_the_ledgers() {
    for w in worlds().await {
        let id = w.a.user.id();
        let record = w.view(&w.admin, "users", id).await.unwrap();
        let mut whole = record.clone();
        whole["budget_total"] = json!(250.5);
        let changed = w.update(&w.admin, "users", id, whole).await.unwrap();
        assert_eq!(
            (&changed["budget_total"], &changed["budget_remaining"]),
            (&json!(250.5), &json!(250.5))
        );
        let changed = w
            .update(&w.a.boss, "users", id, json!({"budget_total-": 0.5}))
            .await
            .unwrap();
        assert_eq!(changed["budget_total"], 250);
        for (change, code) in [
            (
                json!({"budget_used": 1}),
                "budget_used: validation_not_allowed",
            ),
            (
                json!({"budget_used+": 1}),
                "budget_used: validation_not_allowed",
            ),
            (
                json!({"budget_remaining": 1}),
                "budget_remaining: validation_not_allowed",
            ),
            (
                json!({"budget_total-": 1000}),
                "budget_total: validation_min_number_constraint",
            ),
        ] {
            assert_eq!(
                World::codes(w.update(&w.root, "users", id, change).await),
                [code]
            );
        }
        let error = w
            .update(&w.root, "users", id, json!({"budget_used": 1}))
            .await
            .unwrap_err();
        assert!(
            error.data["budget_used"]["message"]
                .as_str()
                .unwrap()
                .contains("top it up")
        );
    }
}

#[tokio::test]
async fn parallel_additions_all_count() {
    for w in worlds().await {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (engine, root, id) = (w.engine.clone(), w.root.clone(), w.product.clone());
            tasks.spawn(async move {
                let change =
                    body(json!({"price+": 0.000_000_001, "rate_limit+": "2", "margin-": 0.5}));
                engine
                    .update(&root, "products", &id, &change, &Shape::default())
                    .await
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap().unwrap();
        }
        let product = w.view(&w.root, "products", &w.product).await.unwrap();
        assert_eq!(product["price"], json!(99.000_000_05));
        assert_eq!(product["rate_limit"], 100);
        assert_eq!(product["margin"], -25);
        for (change, code) in [
            (
                json!({"rate_limit-": 101}),
                "rate_limit: validation_min_number_constraint",
            ),
            (
                json!({"price+": 9_223_372_036.0}),
                "price: validation_max_number_constraint",
            ),
        ] {
            let refused = w.update(&w.root, "products", &w.product, change).await;
            assert_eq!(World::codes(refused), [code]);
        }
        let made = w
            .create(&w.root, "products", json!({"name": "n", "rate_limit+": 3}))
            .await
            .unwrap();
        assert_eq!(made["rate_limit"], 3);
    }
}

#[tokio::test]
async fn deletions_take_along_spare_or_are_refused() {
    for w in worlds().await {
        let (tenant, user, key) = (&w.a.id, w.a.user.id(), &w.a.key);
        for (collection, id) in [("tenants", tenant.as_str()), ("products", &w.product)] {
            let refused = w.engine.delete(&w.root, collection, id).await.unwrap_err();
            assert_eq!(refused.status, 400);
            assert_eq!(
                refused.message,
                "Failed to delete record. Make sure that the record is not part of a required \
                 relation reference."
            );
        }
        let mut events = w.engine.events();
        w.written.lock().clear();
        w.engine.delete(&w.admin, "users", user).await.unwrap();
        assert_eq!(w.written.lock().len(), 3);
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push((event.collection, event.action.as_str()));
        }
        told.sort_unstable();
        assert_eq!(
            told,
            [
                ("api_keys", "delete"),
                ("notifications", "delete"),
                ("users", "delete")
            ]
        );
        assert_eq!(
            w.view(&w.root, "api_keys", key).await.unwrap_err().status,
            404
        );
        // The books stay.
        let left = format!("user_id = '{user}'");
        assert_eq!(w.count(&w.root, "usage_logs", &left).await, 1);
        assert_eq!(w.count(&w.root, "ledger_entries", &left).await, 1);
        assert_eq!(w.count(&w.root, "notifications", &left).await, 0);
        assert_eq!(
            w.engine
                .delete(&w.root, "users", user)
                .await
                .unwrap_err()
                .status,
            404
        );

        // A tenant takes its models along: they must not become everybody's.
        let tenant = w.make("tenants", json!({"name": "c", "slug": "c"})).await;
        w.make("models", json!({"name": "of c", "tenant_id": tenant}))
            .await;
        w.engine.delete(&w.root, "tenants", &tenant).await.unwrap();
        assert_eq!(w.count(&w.root, "models", "").await, 0);
    }
}

#[tokio::test]
async fn a_batch_is_done_whole_or_not_at_all() {
    for w in worlds().await {
        let create = |key: &str| BatchRequest::Create {
            collection: "settings".into(),
            body: body(json!({"key": key})),
            shape: Shape {
                fields: "key".into(),
                expand: String::new(),
            },
        };
        let mut events = w.engine.events();
        let refused = w
            .engine
            .batch(
                &w.root,
                vec![create("a"), create("b"), create("a"), create("c")],
            )
            .await
            .unwrap_err();
        assert_eq!(refused.message, "Batch transaction failed.");
        assert_eq!(
            refused.data["requests"]["2"]["response"]["data"]["key"]["code"],
            "validation_not_unique"
        );
        assert_eq!(w.count(&w.root, "settings", "").await, 0);
        assert!(events.try_recv().is_err());

        let id = "settingsettingx";
        let upsert = |value: u32| BatchRequest::Upsert {
            collection: "settings".into(),
            body: body(json!({"id": id, "key": "u", "value": value})),
            shape: Shape::default(),
        };
        let delete = BatchRequest::Delete {
            collection: "settings".into(),
            id: id.into(),
        };
        let done = w
            .engine
            .batch(&w.root, vec![create("a"), upsert(1), upsert(2), delete])
            .await
            .unwrap();
        assert_eq!(done[0], json!({"status": 200, "body": {"key": "a"}}));
        assert_eq!(done[2]["body"]["value"], 2);
        assert_eq!(done[3], json!({"status": 204, "body": null}));
        assert_eq!(events.try_recv().unwrap().action.as_str(), "create");
        for (requests, code) in [
            (vec![], "requests: validation_required"),
            (
                vec![create("x"); 51],
                "requests: validation_length_too_long",
            ),
        ] {
            assert_eq!(
                World::codes(w.engine.batch(&w.root, requests).await),
                [code]
            );
        }
        // The outer principal's rules hold for each.
        let refused = w
            .engine
            .batch(&w.a.boss, vec![create("x")])
            .await
            .unwrap_err();
        assert_eq!(refused.data["requests"]["0"]["response"]["status"], 403);
    }
}
