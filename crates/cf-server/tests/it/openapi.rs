//! The OpenAPI document: what it says is there, and what is there it says.

use std::collections::BTreeSet;

use cf_testkit::Reply;
use serde_json::{Value, json};

use crate::app::{Answer, Client, TestApp};

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
    let missing = [
        "The requested resource wasn't found.",
        "Unknown request URL",
    ];
    for route in documented(&document) {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", "aaaaaaaaaaaaaaa");
        let answer = test.guest().send(method, &path, Some(&json!({}))).await;
        let text = answer.text();
        assert!(!missing.iter().any(|words| text.contains(words)), "{route}");
        assert!(answer.status.as_u16() < 500, "{route}: {}", answer.text());
    }
    for (path, words) in ["/api/no-such-route", "/v1/no-such-route"]
        .iter()
        .zip(missing)
    {
        let none = test.guest().get(path).await.expect(404);
        assert!(none.text().contains(words), "{path}");
    }
}

#[tokio::test]
async fn every_route_of_ours_is_documented() {
    // What is not registered through `routes!`, which documents by itself, stands here in full.
    let source = include_str!("../../src/routes.rs");
    let by_hand: BTreeSet<&str> = source
        .split('"')
        .filter(|text| text.starts_with("/api/") || text.starts_with("/v1/"))
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
        // Documented as `/v1/models/{model}`, which cannot say that names have slashes in them.
        "/v1/models/{*model}",
        // Everything else, which is refused.
        "/v1/{*rest}",
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

/// What answers a call at a path, so that the example of the document has an answer.
fn reply(path: &str) -> Reply {
    let body = match path {
        "/v1/completions" => {
            json!({"id": "c", "object": "text_completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "text": "x", "finish_reason": "stop", "logprobs": null}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
        }
        "/v1/embeddings" => json!({"object": "list", "model": "m",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
            "usage": {"prompt_tokens": 1, "total_tokens": 1}}),
        "/v1/images/generations" | "/v1/images/edits" => {
            json!({"created": 1, "data": [{"b64_json": "AAAA"}]})
        }
        "/v1/moderations" => json!({"id": "m", "model": "m", "results": [{"flagged": false}]}),
        "/v1/rerank" => json!({"results": [{"index": 0, "relevance_score": 0.5}]}),
        "/v1/audio/transcriptions" | "/v1/audio/translations" => json!({"text": "x"}),
        "/v1/audio/speech" => {
            let mut sound = Reply::json(200, "sound");
            sound.headers = vec![("content-type", "audio/mpeg".into())];
            return sound;
        }
        _ => return Reply::chat("Hello!", 1, 1),
    };
    Reply::json(200, body.to_string())
}

/// The part of a document that a `$ref` names; else the part itself.
fn resolved<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(place) => document.pointer(&place[1..]).expect(place),
        None => part,
    }
}

/// Why a value is not what a schema says; `None` if it is.
fn misfit(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = resolved(document, schema);
    if let Some(choices) = (schema["oneOf"].as_array()).or(schema["anyOf"].as_array()) {
        let fits = |choice| misfit(document, choice, value).is_none();
        return (!choices.iter().any(fits)).then(|| format!("{value} is none of {schema}"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let named = |name: &Value| name == kind || (name == "number" && kind == "integer");
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(named),
        one => named(one),
    };
    if !fits {
        return Some(format!("{value} is no {}", schema["type"]));
    }
    if let Some(fields) = value.as_object() {
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                return Some(format!("{name} is missing in {value}"));
            }
        }
        for (name, value) in fields {
            if let Some(schema) = schema["properties"].get(name)
                && let Some(misfit) = misfit(document, schema, value)
            {
                return Some(format!("{name}: {misfit}"));
            }
        }
    }
    let items = value.as_array().into_iter().flatten();
    items
        .filter(|_| schema["items"].is_object())
        .find_map(|item| misfit(document, &schema["items"], item))
}

/// Fails unless an answer has the status, the headers and the body that the document says.
#[track_caller]
fn assert_documented(document: &Value, method: &str, path: &str, answer: &Answer) {
    let what = format!("{method} {path} {} {}", answer.status, answer.text());
    let answers = &document["paths"][path][method]["responses"];
    let told = answers.get(answer.status.as_str());
    let told = resolved(
        document,
        told.unwrap_or_else(|| panic!("not documented: {what}")),
    );
    for name in answer.headers.keys().map(|name| name.as_str()) {
        let is_ours = name.starts_with("x-cf-") || name.starts_with("x-ratelimit-");
        if is_ours || ["x-request-id", "request-id", "retry-after"].contains(&name) {
            assert!(told["headers"].get(name).is_some(), "{name}: {what}");
        }
    }
    assert!(!answer.header("x-request-id").is_empty(), "{what}");
    let kind = answer.header("content-type");
    let kind = kind.split(';').next().unwrap();
    let content = told["content"].as_object().unwrap();
    let range = kind.split_once('/').map(|(kind, _)| format!("{kind}/*"));
    let found = content.get(kind).or_else(|| content.get(&range?));
    let schema = &found.unwrap_or_else(|| panic!("{kind}: {what}"))["schema"];
    if kind == "application/json" {
        assert_eq!(misfit(document, schema, &answer.json()), None, "{what}");
    }
}

/// Every route under `/v1` that takes a body of this type: its path, the schema and the example.
fn requests<'a>(document: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .filter(|(path, _)| path.starts_with("/v1/"))
        .filter_map(|(path, item)| {
            let content = &item["post"]["requestBody"]["content"];
            let schema = content.get(kind)?.get("schema")?;
            Some((path.as_str(), resolved(document, schema)))
        })
        .collect()
}

fn example(schema: &Value) -> Value {
    let mut example = schema["example"].clone();
    assert!(example.is_object(), "an example of {schema}");
    example["model"] = "small".into();
    example
}

/// The field that a refusal names; Anthropic's shape has it in the sentence.
fn names(answer: &Answer, field: &str) -> bool {
    let json = answer.json();
    let error = &json["error"];
    error["param"] == field || error["message"].as_str().unwrap().contains(field)
}

#[tokio::test]
async fn the_examples_of_the_document_are_answered_as_it_says() {
    let test = TestApp::new().await;
    let document = test.guest().get("/api/openapi.json").await.json();
    let alice = test.user("alice").await;
    let limits = json!({"rate_limit": 1000, "tokens_per_minute": 10_000_000});
    let change = test.root.change("products", &test.product, &limits);
    change.await.expect(200);
    let json_requests = requests(&document, "application/json");
    assert_eq!(json_requests.len(), 10);
    for (path, schema) in json_requests {
        let body = example(schema);
        // Nobody is asked where the provider does not count.
        let is_asked = path != "/v1/messages/count_tokens";
        if is_asked {
            test.upstream.next(reply(path));
        }
        let answer = alice.by_key().post(path, &body).await.expect(200);
        assert_documented(&document, "post", path, &answer);
        assert!(
            !answer.header("x-ratelimit-limit-tokens").is_empty(),
            "{path}"
        );
        let refused = test.guest().post(path, &body).await.expect(401);
        assert_documented(&document, "post", path, &refused);
        if is_asked {
            let words =
                json!({"error": {"message": "No.", "type": "x", "code": "odd", "param": null}});
            test.upstream.next(Reply::json(400, words.to_string()));
            let refused = alice.by_key().post(path, &body).await.expect(400);
            assert_documented(&document, "post", path, &refused);
            test.upstream.next(Reply::json(429, "{}"));
            let refused = alice.by_key().post(path, &body).await.expect(429);
            assert_documented(&document, "post", path, &refused);
            test.clock.advance(std::time::Duration::from_secs(60));
        }
    }
    for (path, texts, file) in forms() {
        test.upstream.next(reply(path));
        let answer = alice
            .by_key()
            .post_form(path, &texts, (file, b"data"))
            .await;
        assert_documented(&document, "post", path, &answer.expect(200));
    }
    test.assert_settled().await;
}

/// Path, texts and name of the file of each form.
type Forms = [(
    &'static str,
    Vec<(&'static str, &'static str)>,
    &'static str,
); 3];

fn forms() -> Forms {
    [
        (
            "/v1/images/edits",
            vec![("model", "small"), ("prompt", "x")],
            "image",
        ),
        ("/v1/audio/transcriptions", vec![("model", "small")], "file"),
        ("/v1/audio/translations", vec![("model", "small")], "file"),
    ]
}

#[tokio::test]
async fn what_is_kept_and_listed_is_as_the_document_says() {
    let test = TestApp::new().await;
    let document = test.guest().get("/api/openapi.json").await.json();
    let alice = test.user("alice").await.by_key();
    let claude = alice.with("anthropic-version", "2023-06-01");
    let made = alice
        .post("/v1/responses", &json!({"model": "small", "input": "x"}))
        .await;
    let id = made.expect(200).json()["id"].as_str().unwrap().to_owned();
    let check = async |client: &Client, method: &str, path: &str, place: &str, status: u16| {
        let answer = client
            .send(&method.to_uppercase(), place, None)
            .await
            .expect(status);
        assert_documented(&document, method, path, &answer);
    };
    for client in [&alice, &claude] {
        check(client, "get", "/v1/models", "/v1/models", 200).await;
        check(client, "get", "/v1/models/{model}", "/v1/models/small", 200).await;
        check(
            client,
            "get",
            "/v1/models/{model}",
            "/v1/models/none%2Fsuch",
            404,
        )
        .await;
    }
    check(&test.guest(), "get", "/v1/models", "/v1/models", 401).await;
    let (one, items) = ("/v1/responses/{id}", "/v1/responses/{id}/input_items");
    let place = format!("/v1/responses/{id}");
    check(&alice, "get", one, &place, 200).await;
    check(&alice, "get", one, &format!("{place}?stream=true"), 400).await;
    check(&alice, "get", items, &format!("{place}/input_items"), 200).await;
    check(
        &alice,
        "get",
        items,
        &format!("{place}/input_items?limit=0"),
        400,
    )
    .await;
    let cancel = "/v1/responses/{id}/cancel";
    check(&alice, "post", cancel, &format!("{place}/cancel"), 400).await;
    check(
        &test.guest(),
        "post",
        cancel,
        &format!("{place}/cancel"),
        401,
    )
    .await;
    check(&alice, "delete", one, &place, 200).await;
    check(&alice, "delete", one, &place, 404).await;
    check(&alice, "get", one, &place, 404).await;
}

/// Values that a schema says are no good.
fn beyond(document: &Value, schema: &Value) -> Vec<Value> {
    let schema = resolved(document, schema);
    let mut values = Vec::new();
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        values.extend(beyond(document, choice));
    }
    if let Some(least) = schema["minimum"].as_f64() {
        values.push(json!(least.ceil() as i64 - 1));
    }
    if let Some(most) = schema["maximum"].as_f64() {
        values.push(json!(most.floor() as i64 + 1));
    }
    let count = |name: &str| {
        schema[name]
            .as_u64()
            .map(|count| usize::try_from(count).unwrap())
    };
    if let Some(most) = count("maxLength") {
        values.push("x".repeat(most + 1).into());
    }
    if count("minLength").is_some() {
        values.push("".into());
    }
    if count("minItems").is_some() {
        values.push(json!([]));
    }
    if let Some(most) = count("maxItems") {
        let item = resolved(document, &schema["items"]);
        let item = match item["type"].as_str() {
            Some("array") => json!([1]),
            _ => json!("x"),
        };
        values.push(vec![item; most + 1].into());
    }
    if schema["enum"].is_array() {
        values.push("nonsense".into());
    }
    if schema["pattern"].is_string() {
        values.push("1x".into());
    }
    values
}

#[tokio::test]
async fn what_the_document_requires_and_bounds_is_required_and_bounded() {
    let test = TestApp::new().await;
    let document = test.guest().get("/api/openapi.json").await.json();
    let alice = test.user("alice").await.by_key();
    let mut tried = 0;
    for (path, schema) in requests(&document, "application/json") {
        let body = example(schema);
        for field in schema["required"].as_array().unwrap() {
            let field = field.as_str().unwrap();
            let mut without = body.clone();
            without.as_object_mut().unwrap().remove(field);
            let refused = alice.post(path, &without).await.expect(400);
            assert!(names(&refused, field), "{path} {field}: {}", refused.text());
        }
        for (field, schema) in schema["properties"].as_object().unwrap() {
            for value in beyond(&document, schema) {
                let mut odd = body.clone();
                odd[field] = value;
                let refused = alice.post(path, &odd).await;
                assert_eq!(refused.status, 400, "{path} {field}");
                assert!(names(&refused, field), "{path} {field}: {}", refused.text());
                tried += 1;
            }
        }
    }
    assert!(tried > 50, "only {tried}");
    for (path, schema) in requests(&document, "multipart/form-data") {
        let (_, texts, file) = forms().into_iter().find(|form| form.0 == path).unwrap();
        let ask = async |texts: &[(&str, &str)], file: &str, field: &str| {
            let refused = alice
                .post_form(path, texts, (file, b"data"))
                .await
                .expect(400);
            assert!(names(&refused, field), "{path} {field}: {}", refused.text());
        };
        for field in schema["required"].as_array().unwrap() {
            let field = field.as_str().unwrap();
            let mut rest = texts.clone();
            rest.retain(|(name, _)| *name != field);
            let file = if file == field { "other" } else { file };
            ask(&rest, file, field).await;
        }
        for (field, schema) in schema["properties"].as_object().unwrap() {
            let of_files = ["image", "mask", "file"].contains(&field.as_str());
            for value in beyond(&document, schema).iter().filter(|_| !of_files) {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let mut odd = texts.clone();
                odd.retain(|(name, _)| name != field);
                odd.push((field, &value));
                ask(&odd, file, field).await;
            }
        }
    }
    assert_eq!(test.upstream.received().len(), 0);
}
