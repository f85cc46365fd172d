//! New records: coercion, validation, unique values, hooks.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value as Json, json};

use crate::world::{World, worlds};

#[tokio::test]
async fn the_seeds_records_are_made_as_they_are_written() {
    for w in worlds().await {
        let product = w
            .create(&w.admin, "products", json!({
                "name": "Pro Plan", "description": "Full access to all AI models", "price": 99.00,
                "currency": "EUR", "budget_included": 100.00,
                "models": ["gpt-5", "claude-4-opus", "gemini-2.5-pro"],
                "features": ["unlimited_chat", "api_access", "priority_support"],
                "rate_limit": 1000, "active": true,
            }))
            .await
            .unwrap();
        assert_eq!(product["price"].to_string(), "99");
        assert_eq!(product["models"][1], "claude-4-opus");
        assert_eq!(product["budget_period_days"], 30);
        assert_eq!(product["created"], "2026-11-24 10:00:00.123Z");
        assert_eq!(product["id"].as_str().unwrap().len(), 15);
        let admin = w
            .create(&w.root, "users", json!({
                "email": "admin@cloudfreedom.de", "password": "sehr sicher", "passwordConfirm": "sehr sicher",
                "name": "Admin", "role": "admin", "status": "active", "tenant_id": w.a.id,
                "product_id": product["id"], "budget_total": 100.00, "budget_used": 0,
                "budget_remaining": 100.00, "budget_reset_date": "2026-12-10 00:00:00.000Z",
                "litellm_api_key": "sk-0123456789abcdef",
            }))
            .await
            .unwrap();
        assert_eq!(admin["budget_total"], 100);
        assert_eq!(admin["budget_remaining"], 100);
        assert_eq!(admin["emailVisibility"], false);
        assert!(admin.get("password").is_none() && admin.get("tokenKey").is_none());
    }
}

#[tokio::test]
async fn values_are_taken_as_forms_send_them() {
    for w in worlds().await {
        let made = w
            .create(
                &w.root,
                "products",
                json!({
                    "name": 12, "price": "12.5", "rate_limit": "7", "parallel_requests": "many",
                    "margin": "0.25", "active": "true", "models": "[\"a\"]", "features": null,
                    "unknown": "ignored", "created": "1999-01-01", "currency": "USD",
                    "tokens_per_minute": null,
                }),
            )
            .await
            .unwrap();
        for (field, value) in [
            ("name", json!("12")),
            ("price", json!(12.5)),
            ("rate_limit", json!(7)),
            ("parallel_requests", json!(0)),
            ("margin", json!(0.25)),
            ("active", json!(true)),
            ("models", json!(["a"])),
            ("features", json!([])),
            ("tokens_per_minute", json!(0)),
            ("created", json!("2026-11-24 10:00:00.123Z")),
            ("currency", json!("USD")),
        ] {
            assert_eq!(made[field], value, "{field}");
        }
        let key = |expires: Json| json!({"user_id": [w.a.user.id()], "tenant_id": w.a.id, "expires": expires});
        for (sent, stored) in [
            (
                json!("2030-01-31T12:00:00+02:00"),
                "2030-01-31 10:00:00.000Z",
            ),
            (json!("2030-01-31"), "2030-01-31 00:00:00.000Z"),
            (json!("soon"), ""),
            (json!(null), ""),
            (json!("-0001-01-01 00:00:00Z"), ""),
        ] {
            let made = w.create(&w.root, "api_keys", key(sent)).await.unwrap();
            assert_eq!(made["expires"], stored);
        }
        for (price, shown) in [
            (json!(0.1), "0.1"),
            (json!(1e-9), "1e-9"),
            (json!("0.0000000014"), "1e-9"),
            (json!(123_456.789), "123456.789"),
            (json!(7), "7"),
            (json!(""), "0"),
        ] {
            let made = w
                .create(&w.root, "products", json!({"name": "p", "price": price}))
                .await
                .unwrap();
            assert_eq!(made["price"].to_string(), shown);
        }
    }
}

#[tokio::test]
async fn each_wrong_value_has_its_code() {
    for w in worlds().await {
        let user = |with: Json| {
            let mut user = json!({"email": "v@x.example", "password": "12345678", "passwordConfirm": "12345678"});
            user.as_object_mut()
                .unwrap()
                .extend(crate::world::body(with));
            user
        };
        let missing = w.create(&w.root, "users", json!({"email": ""})).await;
        assert_eq!(
            World::codes(missing),
            [
                "email: validation_required",
                "password: validation_required",
                "passwordConfirm: validation_required",
            ]
        );
        for (collection, record, code) in [
            (
                "users",
                user(json!({"email": "no address"})),
                "email: validation_is_email",
            ),
            (
                "users",
                user(json!({"email": "a@b"})),
                "email: validation_is_email",
            ),
            (
                "users",
                user(json!({"email": "a@b.c\r\nBcc: x@y.z"})),
                "email: validation_is_email",
            ),
            (
                "users",
                user(json!({"name": "x".repeat(201)})),
                "name: validation_max_text_constraint",
            ),
            (
                "users",
                user(json!({"name": "a\u{0}b"})),
                "name: validation_invalid_format",
            ),
            (
                "users",
                user(json!({"role": "emperor"})),
                "role: validation_invalid_value",
            ),
            (
                "users",
                user(json!({"role": ""})),
                "role: validation_required",
            ),
            (
                "users",
                user(json!({"tenant_id": "nosuchtenantxxx"})),
                "tenant_id: validation_missing_rel_records",
            ),
            (
                "users",
                user(json!({"tenant_id": "'"})),
                "tenant_id: validation_missing_rel_records",
            ),
            (
                "users",
                user(json!({"budget_total": -1})),
                "budget_total: validation_min_number_constraint",
            ),
            (
                "users",
                user(json!({"budget_total": "a lot"})),
                "budget_total: validation_invalid_format",
            ),
            (
                "users",
                user(json!({"passwordConfirm": "other"})),
                "passwordConfirm: validation_values_mismatch",
            ),
            (
                "users",
                user(json!({"id": "short"})),
                "id: validation_min_text_constraint",
            ),
            (
                "users",
                user(json!({"id": "x".repeat(16)})),
                "id: validation_max_text_constraint",
            ),
            (
                "users",
                user(json!({"id": "UPPERCASE_LETTR"})),
                "id: validation_invalid_format",
            ),
            (
                "users",
                user(json!({"id": w.a.user.id()})),
                "id: validation_not_unique",
            ),
            (
                "users",
                user(json!({"email": "BOSS@alpha.example"})),
                "email: validation_not_unique",
            ),
            (
                "users",
                user(json!({"name": "forbidden"})),
                "name: validation_forbidden",
            ),
            (
                "tenants",
                json!({"name": "n", "slug": "No Slug"}),
                "slug: validation_invalid_format",
            ),
            (
                "tenants",
                json!({"name": "n", "slug": "alpha"}),
                "slug: validation_not_unique",
            ),
            (
                "products",
                json!({"name": "p", "rate_limit": 1.5}),
                "rate_limit: validation_only_int_constraint",
            ),
            (
                "products",
                json!({"name": "p", "rate_limit": -1}),
                "rate_limit: validation_min_number_constraint",
            ),
            (
                "products",
                json!({"name": "p", "rate_limit": 1e300}),
                "rate_limit: validation_max_number_constraint",
            ),
            (
                "products",
                json!({"name": "p", "models": "gpt-5"}),
                "models: validation_invalid_format",
            ),
            (
                "products",
                json!({"name": "p", "models": [1]}),
                "models: validation_invalid_format",
            ),
            (
                "products",
                json!({"name": "p", "currency": "euro"}),
                "currency: validation_max_text_constraint",
            ),
            (
                "products",
                json!({"name": "p", "currency": "eur"}),
                "currency: validation_invalid_format",
            ),
            (
                "products",
                json!({"name": "p", "models": ["x".repeat(100_000)]}),
                "models: validation_json_size_limit",
            ),
            (
                "settings",
                json!({"key": "k", "value": "a\u{0}"}),
                "value: validation_invalid_format",
            ),
            (
                "models",
                json!({"name": "m", "deployments": ["x"]}),
                "deployments: validation_invalid_format",
            ),
        ] {
            let refused = w.create(&w.root, collection, record.clone()).await;
            assert_eq!(World::codes(refused), [code], "{record} on {}", w.test.name);
        }
        let short = w
            .create(
                &w.root,
                "users",
                user(json!({"password": "1234567", "passwordConfirm": "1234567"})),
            )
            .await;
        let error = short.unwrap_err();
        assert_eq!(
            error.to_json(),
            json!({
                "status": 400, "message": "Failed to create record.",
                "data": {"password": {"code": "validation_min_text_constraint", "message": "Must be at least 8 character(s)."}},
            })
        );
        let long = "x".repeat(72);
        let long = w
            .create(
                &w.root,
                "users",
                user(json!({"password": long, "passwordConfirm": long})),
            )
            .await;
        assert_eq!(
            World::codes(long),
            ["password: validation_max_text_constraint"]
        );
    }
}

#[tokio::test]
async fn unique_values_are_named_by_their_field() {
    for w in worlds().await {
        w.make("models", json!({"name": "m"})).await;
        w.make("models", json!({"name": "m", "tenant_id": w.a.id}))
            .await;
        w.make("settings", json!({"key": "k"})).await;
        w.make("oidc_clients", json!({"name": "n", "client_id": "c"}))
            .await;
        w.update(
            &w.root,
            "tenants",
            &w.a.id,
            json!({"domain": "chat.example.com"}),
        )
        .await
        .unwrap();
        for (collection, record, field) in [
            ("models", json!({"name": "m"}), "name"),
            ("models", json!({"name": "m", "tenant_id": w.a.id}), "name"),
            ("settings", json!({"key": "k"}), "key"),
            (
                "oidc_clients",
                json!({"name": "n", "client_id": "c"}),
                "client_id",
            ),
            (
                "tenants",
                json!({"name": "n", "slug": "n", "domain": "chat.example.com"}),
                "domain",
            ),
        ] {
            let refused = w.create(&w.root, collection, record).await;
            assert_eq!(
                World::codes(refused),
                [format!("{field}: validation_not_unique")]
            );
        }
        let refused = w
            .update(&w.root, "tenants", &w.b.id, json!({"slug": "alpha"}))
            .await;
        assert_eq!(World::codes(refused), ["slug: validation_not_unique"]);
    }
}

#[tokio::test]
async fn what_a_hook_must_fill_cannot_be_left_open() {
    use cf_collections::{Engine, EngineParts, NoHooks, Shape};
    for test in cf_testkit::databases().await {
        let engine = Engine::new(EngineParts {
            db: test.db.clone(),
            hooks: std::sync::Arc::new(NoHooks),
            clock: cf_base::Clock::system(),
            random: cf_base::Random::system(),
        });
        let root = cf_collections::Principal::Superuser {
            id: "r".into(),
            email: "r".into(),
        };
        let user = crate::world::body(
            json!({"email": "a@b.example", "password": "12345678", "passwordConfirm": "12345678"}),
        );
        let refused = engine
            .create(&root, "users", &user, &Shape::default())
            .await;
        assert_eq!(refused.unwrap_err().message, "Failed to create record.");
        let none = engine
            .create(&root, "nothing", &user, &Shape::default())
            .await;
        assert_eq!(
            none.unwrap_err().message,
            "Missing or invalid collection context."
        );
    }
}

/// Any JSON, and what is near to right.
fn anything() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        (-5_i64..5).prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
        prop::sample::select(vec![
            "",
            "active",
            "EUR",
            "a@b.example",
            "\0",
            "\u{FFFD}",
            "1e999",
            "-1e400",
            "2030-01-01",
            "9999-12-31 23:59:59Z",
            "-9999-01-01",
            "[]",
            "{}",
            "null",
            "[\"\\u0000\"]",
            "12345678",
            "nosuchrecordxxx",
            "NaN",
            "99999999999999999999",
        ])
        .prop_map(Json::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::hash_map("[a-z]{0,3}", inner, 0..3)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn no_body_does_anything_but_write_or_be_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let worlds = runtime.block_on(worlds());
    let schema = cf_collections::Schema::system();
    let names: Vec<&'static str> = schema
        .iter()
        .filter(|c| !c.read_only)
        .map(|c| c.name)
        .collect();
    let bodies = (
        prop::sample::select(names),
        prop::collection::vec((any::<prop::sample::Index>(), 0..6_u8, anything()), 0..6),
        any::<bool>(),
    );
    let mut runner = TestRunner::new(Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&bodies, |(collection, sent, complete)| {
            let fields = &schema.get(collection).unwrap().fields;
            let mut body: Map<String, Json> = Map::new();
            for (at, modifier, value) in sent {
                let name = fields[at.index(fields.len())].name;
                let sign = match modifier {
                    0 => "+",
                    1 => "-",
                    _ => "",
                };
                body.insert(format!("{name}{sign}"), value);
            }
            for w in &worlds {
                let mut body = body.clone();
                if complete {
                    for (name, value) in [
                        ("name", json!("n")),
                        ("key", json!("k")),
                        ("password", json!("12345678")),
                        ("passwordConfirm", json!("12345678")),
                        ("email", json!("p@x.example")),
                    ] {
                        body.entry(name).or_insert(value);
                    }
                }
                for who in [&w.root, &w.a.boss, &cf_collections::Principal::Guest] {
                    let made = runtime.block_on(w.create(who, collection, body.clone().into()));
                    let changed = runtime.block_on(async {
                        let id = match collection {
                            "products" => w.product.as_str(),
                            "users" => w.a.user.id(),
                            "tenants" => &w.b.id,
                            "api_keys" => &w.b.key,
                            _ => return Ok(Json::Null),
                        };
                        let mut body = body.clone();
                        body.remove("id");
                        w.update(who, collection, id, body.into()).await
                    });
                    for refused in [made.err(), changed.err()].into_iter().flatten() {
                        prop_assert!(
                            matches!(refused.status, 400 | 403 | 404),
                            "{collection} {body:?} on {}: {refused} {:?}",
                            w.test.name,
                            refused.source
                        );
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}
