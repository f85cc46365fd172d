//! One test per access rule, from the wrong tenant and the wrong role.

use std::time::Duration;

use cf_collections::{BatchRequest, Principal, Shape};
use serde_json::{Value as Json, json};

use crate::world::{World, worlds};

const ALL: [&str; 16] = [
    "tenants",
    "products",
    "users",
    "_superusers",
    "api_keys",
    "provider_keys",
    "models",
    "usage_logs",
    "ledger_entries",
    "audit_logs",
    "notifications",
    "oidc_clients",
    "settings",
    "exchange_rates",
    "webhooks",
    "messages",
];

fn status<T>(result: &Result<T, cf_collections::RecordError>) -> u16 {
    result.as_ref().map_or_else(|e| e.status, |_| 200)
}

#[tokio::test]
async fn a_guest_sees_nothing_at_all() {
    for w in worlds().await {
        // Rows that belong to nobody must not be everybody's.
        w.make("notifications", json!({"kind": "k", "title": "for nobody"}))
            .await;
        w.make("models", json!({"name": "gpt-5"})).await;
        for collection in ALL {
            let listed = w.list(&Principal::Guest, collection, "").await;
            match listed {
                Ok(items) => assert!(items.is_empty(), "{collection}: {items:?}"),
                Err(e) => assert_eq!(e.status, 403, "{collection}"),
            }
        }
        let user = w.a.user.id();
        assert_eq!(status(&w.view(&Principal::Guest, "users", user).await), 404);
    }
}

#[tokio::test]
async fn a_user_without_tenant_shares_nothing_with_others_without() {
    for w in worlds().await {
        let Principal::User(user) = &w.a.boss else {
            panic!()
        };
        let mut homeless = (**user).clone();
        homeless.tenant_id = String::new();
        let homeless = Principal::User(homeless.into());
        w.make("notifications", json!({"kind": "k", "title": "for nobody"}))
            .await;
        w.make(
            "users",
            json!({"email": "x@y.example", "password": "12345678", "passwordConfirm": "12345678"}),
        )
        .await;
        assert_eq!(w.count(&homeless, "users", "").await, 1);
        assert_eq!(w.count(&homeless, "notifications", "").await, 0);
        assert_eq!(w.count(&homeless, "usage_logs", "").await, 0);
        assert_eq!(w.count(&homeless, "tenants", "").await, 0);
    }
}

#[tokio::test]
async fn users_see_their_own_and_tenant_admins_their_tenants() {
    for w in worlds().await {
        for (collection, of_user, of_boss, of_all) in [
            ("tenants", 0, 1, 2),
            // user, tenant admin; the administrator is of tenant a too.
            ("users", 1, 3, 5),
            ("api_keys", 1, 1, 2),
            ("usage_logs", 1, 1, 2),
            ("ledger_entries", 1, 1, 2),
            ("notifications", 1, 1, 2),
            ("products", 1, 1, 2),
        ] {
            assert_eq!(
                w.count(&w.a.user, collection, "").await,
                of_user,
                "{collection}"
            );
            assert_eq!(
                w.count(&w.a.boss, collection, "").await,
                of_boss,
                "{collection}"
            );
            assert_eq!(
                w.count(&w.admin, collection, "").await,
                of_all,
                "{collection}"
            );
            assert_eq!(
                w.count(&w.root, collection, "").await,
                of_all,
                "{collection}"
            );
        }
        // By id, from the wrong tenant.
        for who in [&w.b.user, &w.b.boss] {
            for (collection, id) in [
                ("users", w.a.user.id()),
                ("tenants", &w.a.id),
                ("api_keys", &w.a.key),
                ("usage_logs", "usagealphaaaaaa"),
                ("ledger_entries", "entryalphaaaaaa"),
            ] {
                assert_eq!(
                    status(&w.view(&w.admin, collection, id).await),
                    200,
                    "{collection}"
                );
                assert_eq!(
                    status(&w.view(who, collection, id).await),
                    404,
                    "{collection}"
                );
            }
        }
        // The own tenant's boss is not the user's to see.
        assert_eq!(
            status(&w.view(&w.a.user, "users", w.a.boss.id()).await),
            404
        );
        assert_eq!(
            status(&w.view(&w.a.boss, "users", w.a.user.id()).await),
            200
        );
    }
}

#[tokio::test]
async fn the_house_is_the_administrators() {
    for w in worlds().await {
        for collection in ["provider_keys", "settings", "oidc_clients", "audit_logs"] {
            for who in [&Principal::Guest, &w.a.user, &w.a.boss] {
                let refused = w.list(who, collection, "").await.unwrap_err();
                assert_eq!(refused.status, 403, "{collection}");
                assert_eq!(refused.message, "Only superusers can perform this action.");
            }
            assert_eq!(w.count(&w.admin, collection, "").await, 0);
        }
        let key = json!({"name": "OpenAI", "provider": "openai", "secret": "sk-secret-abcd"});
        for who in [&Principal::Guest, &w.a.user, &w.a.boss] {
            let refused = w.create(who, "provider_keys", key.clone()).await;
            assert_eq!(status(&refused), 403);
        }
        let made = w.create(&w.admin, "provider_keys", key).await.unwrap();
        assert_eq!(made["secret"], "••••abcd");
        assert!(made.get("secret_sealed").is_none());
        w.make(
            "exchange_rates",
            json!({"base": "USD", "quote": "EUR", "rate": 0.92, "date": "2026-11-24"}),
        )
        .await;
        assert_eq!(w.count(&w.a.user, "exchange_rates", "rate = 0.92").await, 1);
        assert_eq!(
            status(&w.create(&w.a.boss, "exchange_rates", json!({})).await),
            403
        );
    }
}

#[tokio::test]
async fn superusers_are_superusers_business() {
    for w in worlds().await {
        let record =
            json!({"email": "s@x.example", "password": "12345678", "passwordConfirm": "12345678"});
        for who in [&Principal::Guest, &w.a.user, &w.a.boss, &w.admin] {
            assert_eq!(status(&w.list(who, "_superusers", "").await), 403);
            assert_eq!(
                status(&w.create(who, "_superusers", record.clone()).await),
                403
            );
        }
        let made = w.create(&w.root, "_superusers", record).await.unwrap();
        assert_eq!(made["collectionId"], "pbc_3142635823");
        assert_eq!(made["verified"], true);
        let id = made["id"].as_str().unwrap();
        assert_eq!(status(&w.view(&w.admin, "_superusers", id).await), 403);
        assert_eq!(
            status(&w.update(&w.admin, "_superusers", id, json!({})).await),
            403
        );
        assert_eq!(
            w.engine
                .delete(&w.admin, "_superusers", id)
                .await
                .unwrap_err()
                .status,
            403
        );
    }
}

#[tokio::test]
async fn models_are_seen_by_whom_they_are_for() {
    for w in worlds().await {
        w.make(
            "models",
            json!({"name": "all", "deployments": [{"provider_key": "k", "model": "m"}]}),
        )
        .await;
        w.make("models", json!({"name": "of a", "tenant_id": w.a.id}))
            .await;
        w.make("models", json!({"name": "off", "active": false}))
            .await;
        assert_eq!(w.count(&w.a.user, "models", "").await, 2);
        assert_eq!(w.count(&w.b.user, "models", "").await, 1);
        assert_eq!(w.count(&w.admin, "models", "").await, 3);
        let seen = &w.list(&w.a.boss, "models", "name = 'all'").await.unwrap()[0];
        assert!(seen.get("deployments").is_none() && seen.get("prices").is_none());
        let seen = &w.list(&w.admin, "models", "name = 'all'").await.unwrap()[0];
        assert_eq!(seen["deployments"][0]["model"], "m");
        // What is hidden cannot be probed.
        for probe in [
            "deployments ~ 'k'",
            "prices = ''",
            "deployments.0.model = 'm'",
        ] {
            assert_eq!(
                status(&w.list(&w.a.boss, "models", probe).await),
                400,
                "{probe}"
            );
            assert_eq!(
                status(&w.list(&w.admin, "models", probe).await),
                200,
                "{probe}"
            );
        }
        assert_eq!(
            status(&w.create(&w.a.boss, "models", json!({"name": "m"})).await),
            403
        );
    }
}

#[tokio::test]
async fn books_and_logs_are_written_by_nobody() {
    for w in worlds().await {
        for collection in ["usage_logs", "ledger_entries", "audit_logs"] {
            for who in [&w.root, &w.admin, &w.a.boss, &w.a.user, &Principal::Guest] {
                assert_eq!(status(&w.create(who, collection, json!({})).await), 403);
            }
        }
        let id = "usagealphaaaaaa";
        assert_eq!(
            status(
                &w.update(&w.root, "usage_logs", id, json!({"cost": 0}))
                    .await
            ),
            403
        );
        let refused = w.engine.delete(&w.root, "usage_logs", id).await;
        assert_eq!(refused.unwrap_err().status, 403);
    }
}

#[tokio::test]
async fn tenant_admins_manage_the_people_of_their_tenant_only() {
    for w in worlds().await {
        let new = |email: &str, tenant: &str, role: &str| {
            json!({
                "email": email, "password": "12345678", "passwordConfirm": "12345678",
                "tenant_id": tenant, "role": role, "status": "active",
            })
        };
        let made = w
            .create(
                &w.a.boss,
                "users",
                new("new@alpha.example", &w.a.id, "user"),
            )
            .await
            .unwrap();
        assert_eq!(made["status"], "active");
        // Into another tenant, or nowhere.
        for tenant in [w.b.id.as_str(), ""] {
            let refused = w
                .create(
                    &w.a.boss,
                    "users",
                    new("other@beta.example", tenant, "user"),
                )
                .await
                .unwrap_err();
            assert_eq!((refused.status, refused.data.len()), (400, 0));
        }
        let refused = w
            .create(
                &w.a.boss,
                "users",
                new("top@alpha.example", &w.a.id, "admin"),
            )
            .await;
        assert_eq!(World::codes(refused), ["role: validation_not_allowed"]);

        let id = made["id"].as_str().unwrap();
        let boss = &w.a.boss;
        for (change, code) in [
            (json!({"role": "admin"}), "role: validation_not_allowed"),
            (
                json!({"tenant_id": w.b.id}),
                "tenant_id: validation_not_allowed",
            ),
            (
                json!({"verified": true}),
                "verified: validation_values_mismatch",
            ),
            (
                json!({"product_id": w.retired}),
                "product_id: validation_missing_rel_records",
            ),
        ] {
            assert_eq!(
                World::codes(w.update(boss, "users", id, change).await),
                [code]
            );
        }
        let changed = w
            .update(boss, "users", id, json!({"status": "suspended", "product_id": w.product, "role": "tenant_admin", "email": "renamed@alpha.example"}))
            .await
            .unwrap();
        assert_eq!(changed["status"], "suspended");
        assert_eq!(changed["product_id"], w.product.as_str());
        // Not administrators, not other tenants, and nobody is deleted.
        let change = json!({"name": "x"});
        for id in [w.admin.id(), w.b.user.id(), w.b.boss.id()] {
            assert_eq!(
                status(&w.update(boss, "users", id, change.clone()).await),
                404
            );
        }
        assert_eq!(
            w.engine.delete(boss, "users", id).await.unwrap_err().status,
            403
        );
        // On the own record a tenant's administrator is a user like others.
        for (change, code) in [
            (
                json!({"status": "suspended"}),
                "status: validation_not_allowed",
            ),
            (
                json!({"budget_total": 1e6}),
                "budget_total: validation_not_allowed",
            ),
            (
                json!({"email": "x@y.example"}),
                "email: validation_values_mismatch",
            ),
        ] {
            assert_eq!(
                World::codes(w.update(boss, "users", boss.id(), change).await),
                [code]
            );
        }
        // Tenants are the operator's.
        let refused = w
            .update(boss, "tenants", &w.a.id, json!({"budget_total": 1e6}))
            .await;
        assert_eq!(status(&refused), 403);
    }
}

#[tokio::test]
async fn users_change_their_name_and_nothing_that_counts() {
    for w in worlds().await {
        let (user, id) = (&w.a.user, w.a.user.id());
        let record = w.view(user, "users", id).await.unwrap();
        // The whole record sent back is no change.
        let mut whole = record.clone();
        whole["name"] = "Renamed".into();
        let changed = w.update(user, "users", id, whole).await.unwrap();
        assert_eq!(changed["name"], "Renamed");
        for (change, code) in [
            (
                json!({"role": "tenant_admin"}),
                "role: validation_not_allowed",
            ),
            (json!({"role": "admin"}), "role: validation_not_allowed"),
            (
                json!({"status": "pending"}),
                "status: validation_not_allowed",
            ),
            (
                json!({"product_id": ""}),
                "product_id: validation_not_allowed",
            ),
            (
                json!({"tenant_id": w.b.id}),
                "tenant_id: validation_not_allowed",
            ),
            (
                json!({"budget_total": 1000}),
                "budget_total: validation_not_allowed",
            ),
            (
                json!({"budget_total+": 1}),
                "budget_total: validation_not_allowed",
            ),
            (
                json!({"budget_used": 1}),
                "budget_used: validation_not_allowed",
            ),
            (
                json!({"budget_remaining": 1}),
                "budget_remaining: validation_not_allowed",
            ),
            (
                json!({"budget_reset_date": "2030-01-01"}),
                "budget_reset_date: validation_not_allowed",
            ),
            (
                json!({"litellm_api_key": "sk-mine"}),
                "litellm_api_key: validation_not_allowed",
            ),
            (
                json!({"verified": true}),
                "verified: validation_values_mismatch",
            ),
            (
                json!({"email": "new@alpha.example"}),
                "email: validation_values_mismatch",
            ),
            (
                json!({"password": "new password", "passwordConfirm": "new password"}),
                "oldPassword: validation_invalid_old_password",
            ),
        ] {
            let refused = w.update(user, "users", id, change.clone()).await;
            assert_eq!(World::codes(refused), [code], "{change}");
        }
        for id in [w.a.boss.id(), w.b.user.id()] {
            assert_eq!(
                status(&w.update(user, "users", id, json!({"name": "x"})).await),
                404
            );
        }
        assert_eq!(
            status(&w.create(user, "users", json!({"tenant_id": w.a.id})).await),
            400
        );
        w.update(user, "users", id, json!({
            "password": "new password", "passwordConfirm": "new password", "oldPassword": "long enough",
        })).await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_made_by_tenant_admins_for_their_people() {
    for w in worlds().await {
        let key = |user: &Principal, tenant: &str| json!({"name": "k", "user_id": user.id(), "tenant_id": tenant});
        let made = w
            .create(&w.a.boss, "api_keys", key(&w.a.user, &w.a.id))
            .await
            .unwrap();
        assert!(made["key"].as_str().unwrap().starts_with("sk-"));
        assert_eq!(made["status"], "active");
        let seen = w
            .view(&w.a.user, "api_keys", made["id"].as_str().unwrap())
            .await
            .unwrap();
        assert!(seen.get("key").is_none() && seen.get("hash").is_none());
        for (who, record) in [
            (&w.a.user, key(&w.a.user, &w.a.id)),
            (&w.a.boss, key(&w.b.user, &w.a.id)),
            (&w.a.boss, key(&w.b.user, &w.b.id)),
            (&w.b.boss, key(&w.a.user, &w.a.id)),
            (&Principal::Guest, key(&w.a.user, &w.a.id)),
        ] {
            assert_eq!(status(&w.create(who, "api_keys", record).await), 400);
        }
        // Whose key it is may change some of it, and not its budget.
        for (who, refused) in [(&w.a.user, 400), (&w.b.boss, 404), (&w.b.user, 404)] {
            let change = json!({"budget_total": 5, "models": []});
            assert_eq!(
                status(&w.update(who, "api_keys", &w.a.key, change).await),
                refused
            );
            let change = json!({"name": "renamed"});
            let renamed = w.update(who, "api_keys", &w.a.key, change).await;
            assert_eq!(renamed.is_ok(), refused == 400);
            assert_eq!(
                w.engine
                    .delete(who, "api_keys", &w.a.key)
                    .await
                    .unwrap_err()
                    .status,
                404
            );
        }
        // Not for administrators, though they are of the tenant.
        let admins = key(&w.admin, &w.a.id);
        assert_eq!(
            status(&w.create(&w.a.boss, "api_keys", admins.clone()).await),
            400
        );
        let admins = w.make("api_keys", admins).await;
        let refused = w
            .update(&w.a.boss, "api_keys", &admins, json!({"name": "x"}))
            .await;
        assert_eq!(status(&refused), 404);
        assert_eq!(
            w.engine
                .delete(&w.a.boss, "api_keys", &admins)
                .await
                .unwrap_err()
                .status,
            404
        );
        let moved = w
            .update(
                &w.a.boss,
                "api_keys",
                &w.a.key,
                json!({"user_id": w.a.boss.id()}),
            )
            .await;
        assert_eq!(World::codes(moved), ["user_id: validation_not_allowed"]);
        w.engine
            .delete(&w.a.boss, "api_keys", &w.a.key)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn notifications_are_marked_read_by_their_reader() {
    for w in worlds().await {
        let note = w.list(&w.a.user, "notifications", "").await.unwrap()[0].clone();
        let id = note["id"].as_str().unwrap();
        let read = w
            .update(&w.a.user, "notifications", id, json!({"read": true}))
            .await
            .unwrap();
        assert_eq!(read["read"], true);
        let changed = w
            .update(&w.a.user, "notifications", id, json!({"title": "x"}))
            .await;
        assert_eq!(World::codes(changed), ["title: validation_not_allowed"]);
        for who in [&w.b.user, &w.b.boss] {
            assert_eq!(
                status(
                    &w.update(who, "notifications", id, json!({"read": false}))
                        .await
                ),
                404
            );
        }
        assert_eq!(
            status(&w.create(&w.a.user, "notifications", json!({})).await),
            403
        );
    }
}

#[tokio::test]
async fn strangers_sign_up_where_the_tenant_lets_them() {
    for w in worlds().await {
        let sign_up = |email: &str, tenant: &str| {
            json!({
                "id": "chosenbystrange",
                "email": email, "name": "New", "password": "12345678", "passwordConfirm": "12345678",
                "tenant_id": tenant, "role": "admin", "status": "active", "product_id": w.product,
                "budget_total": 1000, "budget_used": -5, "verified": true, "litellm_api_key": "sk-mine",
            })
        };
        let made = w
            .create(
                &Principal::Guest,
                "users",
                sign_up("n@alpha.example", &w.a.id),
            )
            .await
            .unwrap();
        // Not shown to a guest, even this one's own.
        assert!(made.get("email").is_none());
        let id = made["id"].as_str().unwrap();
        assert_ne!(id, "chosenbystrange");
        let stored = w.view(&w.root, "users", id).await.unwrap();
        assert_eq!(stored["email"], "n@alpha.example");
        for (field, value) in [
            ("role", json!("user")),
            ("status", json!("pending")),
            ("product_id", json!("")),
            ("budget_total", json!(0)),
            ("budget_used", json!(0)),
            ("verified", json!(false)),
            ("litellm_api_key", json!("")),
            ("tenant_id", json!(w.a.id)),
        ] {
            assert_eq!(stored[field], value, "{field}");
        }
        for tenant in [
            w.b.id.as_str(),
            "",
            "nosuchtenantxxx",
            "'; drop table users",
        ] {
            let refused = w
                .create(&Principal::Guest, "users", sign_up("o@x.example", tenant))
                .await
                .unwrap_err();
            assert_eq!((refused.status, refused.data.len()), (400, 0), "{tenant}");
            assert_eq!(refused.message, "Failed to create record.");
        }
        w.update(&w.admin, "tenants", &w.a.id, json!({"status": "suspended"}))
            .await
            .unwrap();
        let refused = w
            .create(&Principal::Guest, "users", sign_up("o@x.example", &w.a.id))
            .await;
        assert_eq!(status(&refused), 400);
    }
}

#[tokio::test]
async fn filters_and_expansions_stop_at_the_tenants_border() {
    for w in worlds().await {
        // Not even by way of the own record may a user ask about the tenant.
        assert_eq!(
            w.count(&w.a.user, "users", "tenant_id.slug = 'alpha'")
                .await,
            0
        );
        assert_eq!(
            w.count(&w.a.boss, "users", "tenant_id.slug = 'alpha'")
                .await,
            3
        );
        assert_eq!(
            w.count(&w.admin, "users", "tenant_id.slug = 'alpha'").await,
            3
        );
        assert_eq!(
            status(
                &w.list(&w.a.boss, "usage_logs", "provider_key_id.name = 'x'")
                    .await
            ),
            400
        );
        assert_eq!(
            status(&w.list(&w.a.boss, "models", "@request.auth.id != ''").await),
            403
        );
        assert_eq!(
            status(
                &w.list(&w.a.boss, "users", "@collection.users.id != ''")
                    .await
            ),
            403
        );
        for hidden in [
            "password != ''",
            "tokenKey != ''",
            "password_hash != ''",
            "token_key = ''",
        ] {
            assert_eq!(
                status(&w.list(&w.a.boss, "users", hidden).await),
                400,
                "{hidden}"
            );
            assert_eq!(
                status(&w.list(&w.root, "users", hidden).await),
                400,
                "{hidden}"
            );
        }
        let shape = cf_collections::Shape {
            expand: "tenant_id,product_id,nothing".into(),
            fields: String::new(),
        };
        let seen = w
            .engine
            .view(&w.a.user, "users", w.a.user.id(), &shape)
            .await
            .unwrap();
        assert!(seen["expand"].get("tenant_id").is_none());
        assert_eq!(seen["expand"]["product_id"]["name"], "Pro");
        assert!(seen["expand"]["product_id"].get("margin").is_none());
        let seen = w
            .engine
            .view(&w.a.boss, "users", w.a.user.id(), &shape)
            .await
            .unwrap();
        assert_eq!(seen["expand"]["tenant_id"]["slug"], "alpha");
    }
}

/// On SQLite there is one writer, on PostgreSQL the rows would be locked: held
/// by somebody else, both make whoever wants to write wait.
#[tokio::test]
async fn a_refused_write_takes_no_turn_of_the_writer() {
    for w in worlds().await {
        let mut held = w.test.db.begin().await.unwrap();
        if w.test.db.is_postgres() {
            for table in ["users", "tenants", "api_keys", "superusers", "settings"] {
                held.execute(&format!("lock table {table} in exclusive mode"), vec![])
                    .await
                    .unwrap();
            }
        }
        let user = w.b.user.id();
        let refused = async {
            for who in [&Principal::Guest, &w.a.user, &w.a.boss] {
                for (collection, body) in [
                    ("settings", json!({"key": "k"})),
                    ("_superusers", json!({"email": "me@x.example"})),
                    (
                        "users",
                        json!({"email": "me@x.example", "tenant_id": w.b.id}),
                    ),
                    ("usage_logs", json!({})),
                ] {
                    let made = w.create(who, collection, body).await;
                    assert!([400, 403].contains(&status(&made)), "{collection}");
                }
                let changed = w.update(who, "users", user, json!({"name": "me"})).await;
                assert_eq!(status(&changed), 404);
                let deleted = w.engine.delete(who, "users", user).await;
                assert!([403, 404].contains(&status(&deleted)));
                let deleted = w.engine.delete(who, "settings", "aaaaaaaaaaaaaaa").await;
                assert_eq!(status(&deleted), 403);
                for requests in [
                    vec![make("settings", json!({"key": "k"}))],
                    vec![change("users", user), make("tenants", json!({}))],
                    vec![BatchRequest::Delete {
                        collection: "users".to_owned(),
                        id: user.to_owned(),
                    }],
                ] {
                    assert_eq!(status(&w.engine.batch(who, requests).await), 400);
                }
            }
            // The first might pass; the second never does.
            let sign_up = json!({"email": "me@x.example", "tenant_id": w.a.id,
                "password": "long enough", "passwordConfirm": "long enough"});
            let requests = vec![
                make("users", sign_up),
                make("settings", json!({"key": "k"})),
            ];
            let refused = w.engine.batch(&Principal::Guest, requests).await;
            let refused = refused.unwrap_err().to_json();
            assert_eq!(refused["data"]["requests"]["1"]["response"]["status"], 403);
            // Nor does what may be written, but not like this.
            let blank = w.create(&w.root, "settings", json!({"key": ""})).await;
            assert_eq!(World::codes(blank), ["key: validation_required"]);
            let blank = w.update(&w.a.user, "users", w.a.user.id(), json!({"email": "x"}));
            assert_eq!(status(&blank.await), 400);
        };
        tokio::time::timeout(Duration::from_secs(20), refused)
            .await
            .unwrap_or_else(|_| panic!("{}: somebody waits for the writer", w.test.name));
        drop(held);
    }
}

fn make(collection: &str, body: Json) -> BatchRequest {
    BatchRequest::Create {
        collection: collection.to_owned(),
        body: body.as_object().unwrap().clone(),
        shape: Shape::default(),
    }
}

fn change(collection: &str, id: &str) -> BatchRequest {
    BatchRequest::Update {
        collection: collection.to_owned(),
        id: id.to_owned(),
        body: json!({"name": "me"}).as_object().unwrap().clone(),
        shape: Shape::default(),
    }
}
