//! The OpenAPI document: what it says is there, and what is there it says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::app::TestApp;

/// `METHOD path` of everything that is documented.
fn documented(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[tokio::test]
async fn the_document_is_as_it_was_agreed() {
    let test = TestApp::new().await;
    let document = test.guest().get("/api/openapi.json").await.expect(200);
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    insta::assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn it_is_served_at_every_component() {
    let test = TestApp::new().await;
    for host in ["api", "admin", "billing", "app"] {
        test.guest()
            .at(&format!("{host}.localhost:8080"))
            .get("/api/openapi.json")
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn every_documented_route_is_there() {
    let test = TestApp::new().await;
    let document = test.guest().get("/api/openapi.json").await.json();
    let missing = "The requested resource wasn't found.";
    for route in documented(&document) {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", "aaaaaaaaaaaaaaa");
        let answer = test.guest().send(method, &path, Some(&json!({}))).await;
        assert!(!answer.text().contains(missing), "{route}");
        assert!(answer.status.as_u16() < 500, "{route}: {}", answer.text());
    }
    let none = test.guest().get("/api/no-such-route").await.expect(404);
    assert!(none.text().contains(missing));
}

#[tokio::test]
async fn every_route_of_ours_is_documented() {
    // What is not registered through `routes!`, which documents by itself, stands here in full.
    let source = include_str!("../../src/routes.rs");
    let by_hand: BTreeSet<&str> = source
        .split('"')
        .filter(|text| text.starts_with("/api/"))
        .collect();
    let of_pocketbase: BTreeSet<&str> = [
        "/api/",
        "/api/collections",
        "/api/collections/{collection}",
        "/api/collections/{collection}/records",
        "/api/collections/{collection}/records/{id}",
        "/api/collections/{collection}/auth-methods",
        "/api/collections/{collection}/auth-with-password",
        "/api/collections/{collection}/auth-refresh",
        "/api/realtime",
        // The document itself.
        "/api/openapi.json",
    ]
    .into();
    let undocumented: Vec<_> = by_hand.difference(&of_pocketbase).collect();
    assert!(undocumented.is_empty(), "document these: {undocumented:?}");
}

#[tokio::test]
async fn answers_hold_what_the_document_says() {
    let test = TestApp::new().await;
    let document = test.guest().get("/api/openapi.json").await.json();
    let alice = test.user("alice").await;
    alice.by_key().chat(json!({})).await.expect(200);
    let program = test.program();
    let check = json!({"user_id": alice.id, "estimated_cost": 1, "reserve": true});
    let log = json!({"request_id": "r", "user_id": alice.id, "model": "small"});
    let new = json!({"email": "new@example.com", "tenant_id": test.tenant});
    let key = json!({"name": "k", "scopes": ["read"]});
    let statements = format!("/api/statements/{}", test.tenant);
    for (schema, answer) in [
        ("UserRecord", program.post("/api/users", &new).await),
        ("UserPage", program.get("/api/users").await),
        (
            "CheckAnswer",
            program.post("/api/check-budget", &check).await,
        ),
        ("LogAnswer", program.post("/api/usage/log", &log).await),
        ("UsagePage", program.get("/api/usage").await),
        ("Summary", program.get("/api/usage/summary").await),
        (
            "ErrorAnswer",
            program.post("/api/check-budget", &json!({})).await,
        ),
        ("KeyRecord", alice.post("/api/keys", &json!({})).await),
        (
            "BillingKeyAnswer",
            test.root.post("/api/billing-keys", &key).await,
        ),
        ("BillingKeyPage", test.root.get("/api/billing-keys").await),
        ("StatementList", program.get(&statements).await),
        (
            "StatementAnswer",
            program.get(&format!("{statements}/2026-01")).await,
        ),
    ] {
        let schema_of = &document["components"]["schemas"][schema];
        let known = schema_of["properties"].as_object().unwrap();
        let answer = answer.json();
        for name in answer.as_object().unwrap().keys() {
            // Every record says of which collection it is.
            let of_itself = name.starts_with("collection");
            assert!(
                known.contains_key(name) || of_itself,
                "{schema} has {name}: {answer}"
            );
        }
        for required in schema_of["required"].as_array().into_iter().flatten() {
            let required = required.as_str().unwrap();
            assert!(
                answer.get(required).is_some(),
                "{schema} lacks {required}: {answer}"
            );
        }
    }
}
