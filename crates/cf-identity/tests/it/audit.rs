use cf_identity::{Actor, AuditEntry, BillingKey, BillingScopes};
use serde_json::{Value, json};

use crate::fixture::{Fixture, fixtures};

async fn written(f: &Fixture, collection: &str, changes: Value) -> Value {
    let user = f
        .identity
        .account_by_email(cf_identity::AuthCollection::Users, "a@example.com");
    let actor = Actor::account(&user.await.unwrap().unwrap());
    let mut tx = f.db().begin().await.unwrap();
    let id = f
        .identity
        .audit(
            &mut tx,
            AuditEntry {
                actor,
                action: "update",
                collection,
                record_id: "x",
                tenant_id: Some(f.tenant),
                changes,
            },
        )
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let text = f
        .text("select changes from audit_logs where id = $1", id)
        .await;
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn entries_say_who_did_what_and_never_a_secret() {
    for f in fixtures().await {
        f.user("a@example.com").await;
        let harmless = json!({
            "status": ["pending", "active"], "tokens_per_minute": [0, 1000],
            "name": "sk-", "litellm_api_keys_shown": 0, "secret": null,
        });
        assert_eq!(written(&f, "users", harmless.clone()).await, harmless);
        let hidden = json!({
            "password": "a", "passwordConfirm": ["a", "b"], "oldPassword": "a", "tokenKey": "a",
            "token_key": "a", "secret": {"deep": "a"}, "secret_sealed": "1.a", "hash": "a",
            "litellm_api_key": "a", "key": "a", "authorization": "a",
        });
        let shown = written(&f, "users", hidden.clone()).await;
        for (name, value) in shown.as_object().unwrap() {
            assert_eq!(value, "•••", "{name}");
        }
        assert_eq!(
            shown.as_object().unwrap().len(),
            hidden.as_object().unwrap().len()
        );
        let nested = json!({"settings": [{"aws": {"secretAccessKey": "a", "region": "eu"}}]});
        assert_eq!(
            written(&f, "provider_keys", nested).await,
            json!({"settings": [{"aws": {"secretAccessKey": "•••", "region": "eu"}}]})
        );
        let by_look = json!({
            "note": "sk-0123456789abcdef", "header": ["Bearer sk-0123456789abcdef"],
            "masked": "sk-0123••••cdef",
        });
        assert_eq!(
            written(&f, "users", by_look).await,
            json!({"note": "•••", "header": ["•••"], "masked": "sk-0123••••cdef"})
        );
        assert_eq!(
            written(&f, "settings", json!({"key": "smtp"})).await,
            json!({"key": "smtp"})
        );
        let large = json!({"name": "x".repeat(100_000)});
        assert_eq!(
            written(&f, "users", large).await,
            json!({"too_large": true})
        );

        let row = f
            .db()
            .query_opt(
                "select actor_collection, actor_email, action, collection, tenant_id, created \
                 from audit_logs where collection = 'settings'",
                vec![],
            )
            .await
            .unwrap()
            .unwrap();
        let column = |name: &str| row.get::<String>(name).unwrap();
        assert_eq!(column("actor_collection"), "users");
        assert_eq!(column("actor_email"), "a@example.com");
        assert_eq!(column("action"), "update");
        assert_eq!(column("tenant_id"), f.tenant.as_str());
        assert_eq!(column("created"), "2026-11-24 10:00:00.000Z");
    }
}

#[tokio::test]
async fn an_entry_falls_with_its_transaction() {
    for f in fixtures().await {
        let key = BillingKey {
            id: None,
            name: "crm".into(),
            scopes: BillingScopes::all(),
            tenant_id: None,
            requests_per_minute: 1,
        };
        for actor in [Actor::system(), Actor::command(), Actor::billing_key(&key)] {
            let mut tx = f.db().begin().await.unwrap();
            let entry = AuditEntry {
                actor,
                action: "reset_budget",
                collection: "users",
                record_id: "x",
                tenant_id: None,
                changes: Value::Null,
            };
            f.identity.audit(&mut tx, entry).await.unwrap();
        }
        let rows = f.db().query("select id from audit_logs", vec![]).await;
        assert!(rows.unwrap().is_empty());
    }
}
