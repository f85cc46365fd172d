//! OpenAI's Responses and legacy completions: made, kept for whom made them, gone
//! on from at any provider, forgotten.

use std::time::Duration;

use bytes::Bytes;
use cf_testkit::{Reply, Step};
use serde_json::{Value, json};

use crate::app::{Answer, Client, TestApp, id};

impl Client {
    /// A response of the model `small`.
    async fn respond(&self, more: Value) -> Answer {
        let mut body = json!({"model": "small", "input": "Hi"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.post("/v1/responses", &body).await
    }

    /// The same, which must work: its id.
    async fn responded(&self, more: Value) -> String {
        id(&self.respond(more).await.expect(200).json())
    }

    async fn kept(&self, id: &str) -> Answer {
        self.get(&format!("/v1/responses/{id}")).await
    }

    async fn input_items(&self, id: &str, query: &str) -> Answer {
        self.get(&format!("/v1/responses/{id}/input_items{query}"))
            .await
    }
}

fn code(answer: &Answer) -> String {
    let error = answer.json()["error"].clone();
    error["code"].as_str().unwrap_or_default().to_owned()
}

/// Events of a stream: their names and data.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.text();
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    let read = |event: &str| {
        let (name, data) = event.split_once("\ndata: ").unwrap();
        let name = name.strip_prefix("event: ").unwrap().to_owned();
        (name, serde_json::from_str(data).unwrap())
    };
    events.map(read).collect()
}

/// A provider that speaks Responses itself, under the model `native`.
async fn native(test: &TestApp, settings: Value) {
    let key = json!({
        "name": "Native", "provider": "openai_compatible", "base_url": test.upstream.base_url(),
        "secret": "sk-provider-secret-1234", "active": true, "settings": settings,
    });
    let key = id(&test.root.create("provider_keys", key).await);
    let model = json!({
        "name": "native", "active": true, "max_output_tokens": 1000, "context_window": 100_000,
        "deployments": [{"provider_key": key, "model": "gpt-5", "weight": 1, "order": 0}],
        "prices": {"input": 1, "output": 2},
    });
    test.root.create("models", model).await;
}

fn native_response(id: &str, text: &str) -> Value {
    json!({"id": id, "object": "response", "created_at": 5, "status": "completed", "model": "gpt-5-2026",
        "output": [
            {"id": format!("rs_{id}"), "type": "reasoning", "summary": [], "encrypted_content": "gAAAA"},
            {"id": format!("msg_{id}"), "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "annotations": [], "text": text}]}],
        "previous_response_id": null, "store": false,
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}})
}

fn native_stream(id: &str, text: &str) -> Reply {
    let mut begun = native_response(id, text);
    begun["status"] = "in_progress".into();
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let events = [
        json!({"type": "response.created", "sequence_number": 0, "response": begun}),
        json!({"type": "response.output_text.delta", "sequence_number": 1, "delta": text}),
        json!({"type": "response.completed", "sequence_number": 2, "response": native_response(id, text)}),
    ];
    let steps = events.iter().map(|event| {
        let name = event["type"].as_str().unwrap();
        Step::Send(Bytes::from(format!("event: {name}\ndata: {event}\n\n")))
    });
    Reply::stream(steps.collect())
}

#[tokio::test]
async fn a_response_is_answered_booked_kept_and_forgotten() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let answer = alice
            .respond(json!({"metadata": {"k": "v"}}))
            .await
            .expect(200);
        assert_eq!(answer.header("x-cf-cost"), "0.00002");
        let response = answer.json();
        assert_eq!(response["object"], "response");
        assert_eq!(response["status"], "completed");
        assert_eq!(response["output"][0]["content"][0]["text"], "Hello!");
        assert_eq!(response["usage"]["total_tokens"], 15);
        assert_eq!(response["metadata"], json!({"k": "v"}));
        let received = test.upstream.received();
        assert_eq!(received[0].path, "/v1/chat/completions");
        assert_eq!(
            received[0].json()["messages"],
            json!([{"role": "user", "content": "Hi"}])
        );

        let id = id(&response);
        assert!(id.starts_with("resp_"), "{id}");
        let kept = alice.kept(&id).await.expect(200);
        assert_eq!(kept.body, answer.body, "as it was given");
        assert_eq!(kept.header("content-type"), "application/json");
        let items = alice.input_items(&id, "").await.expect(200).json();
        assert_eq!(
            items["data"][0]["content"],
            json!([{"type": "input_text", "text": "Hi"}])
        );
        assert_eq!(items["data"][0]["role"], "user");
        assert_eq!(items["has_more"], false);

        let gone = alice
            .delete(&format!("/v1/responses/{id}"))
            .await
            .expect(200)
            .json();
        assert_eq!(
            gone,
            json!({"id": id, "object": "response", "deleted": true})
        );
        for answer in [
            alice.kept(&id).await,
            alice.input_items(&id, "").await,
            alice.delete(&format!("/v1/responses/{id}")).await,
        ] {
            assert_eq!(code(&answer.expect(404)), "not_found");
        }
        let refused = alice
            .respond(json!({"previous_response_id": id}))
            .await
            .expect(400);
        assert_eq!(code(&refused), "previous_response_not_found");
        assert_eq!(test.count("select count(*) from response_items").await, 0);
        test.assert_settled().await;
        let booked = "select count(*) from usage_logs where prompt_tokens = 10 and \
                      completion_tokens = 5 and status = 'ok'";
        assert_eq!(test.count(booked).await, 1, "{}", test.name);
    }
}

#[tokio::test]
async fn a_conversation_goes_on_from_what_is_kept() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let first = alice
            .responded(
                json!({"input": [{"role": "user", "content": "One"}], "instructions": "Be brief."}),
            )
            .await;
        test.upstream
            .next(Reply::chat_stream(&["Two", " words"], 10, 2));
        let more = json!({"input": "Two?", "previous_response_id": first, "stream": true});
        let streamed = alice.respond(more).await.expect(200);
        let events = events(&streamed);
        assert_eq!(events[0].0, "response.created");
        let (name, last) = events.last().unwrap();
        assert_eq!(name, "response.completed");
        let second = last["response"].clone();
        assert_eq!(second["previous_response_id"], first);
        assert_eq!(second["output"][0]["content"][0]["text"], "Two words");
        assert_eq!(second["usage"]["total_tokens"], 12);
        let second_id = id(&second);
        assert_eq!(alice.kept(&second_id).await.expect(200).json(), second);

        let more = json!({"input": "Three?", "previous_response_id": second_id, "store": false});
        let third = alice.responded(more).await;
        let sent: Vec<Value> = test.upstream.received().iter().map(|r| r.json()).collect();
        assert_eq!(
            sent[2]["messages"],
            json!([
                {"role": "user", "content": "One"},
                {"role": "assistant", "content": "Hello!"},
                {"role": "user", "content": "Two?"},
                {"role": "assistant", "content": "Two words"},
                {"role": "user", "content": "Three?"},
            ]),
            "all of it, without the instructions of before"
        );
        alice.kept(&third).await.expect(404);
        let rows = test.count("select count(*) from responses").await;
        assert_eq!(rows, 2, "store: false keeps nothing");

        let listed = alice
            .input_items(&second_id, "?order=asc")
            .await
            .expect(200)
            .json();
        let texts: Vec<&str> = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["content"][0]["text"].as_str().unwrap())
            .collect();
        assert_eq!(texts, ["One", "Hello!", "Two?"]);

        // Without its beginning there is nothing to go on from.
        alice
            .delete(&format!("/v1/responses/{first}"))
            .await
            .expect(200);
        let more = json!({"previous_response_id": second_id});
        let refused = alice.respond(more).await.expect(400);
        assert_eq!(code(&refused), "previous_response_not_found");
        assert!(
            refused.text().contains("not kept any more"),
            "{}",
            refused.text()
        );
        let left = alice.input_items(&second_id, "").await.expect(200).json();
        assert_eq!(left["data"][0]["content"][0]["text"], "Two?");
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn nobody_else_reads_goes_on_from_or_deletes_a_response() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let response = alice.respond(json!({})).await.expect(200).json();
        let (kept, item) = (id(&response), id(&response["output"][0]));
        let other_tenant = test.new_tenant("other").await;
        let others = [
            ("same tenant", test.user("bob").await.by_key()),
            (
                "its administrator",
                test.person("carol", "tenant_admin", &test.tenant)
                    .await
                    .by_key(),
            ),
            (
                "another tenant",
                test.person("dora", "user", &other_tenant).await.by_key(),
            ),
            (
                "an administrator",
                test.person("erik", "admin", &test.tenant).await.by_key(),
            ),
        ];
        for (who, other) in others {
            for answer in [
                other.kept(&kept).await,
                other.input_items(&kept, "").await,
                other.delete(&format!("/v1/responses/{kept}")).await,
            ] {
                assert_eq!(answer.status, 404, "{who}");
                assert!(answer.text().contains("not found"), "{who}");
            }
            let refused = other
                .respond(json!({"previous_response_id": kept}))
                .await
                .expect(400);
            assert_eq!(code(&refused), "previous_response_not_found", "{who}");
            let named = json!({"input": [{"type": "item_reference", "id": item}]});
            other.respond(named).await.expect(400);
        }
        let guest = test.guest();
        for answer in [
            guest.respond(json!({})).await,
            guest.kept(&kept).await,
            guest.input_items(&kept, "").await,
            guest.delete(&format!("/v1/responses/{kept}")).await,
            guest
                .post(&format!("/v1/responses/{kept}/cancel"), &json!({}))
                .await,
        ] {
            assert_eq!(code(&answer.expect(401)), "invalid_api_key");
        }
        // At the host of another tenant the key is none.
        let elsewhere = alice.at("other.localhost:8080").kept(&kept).await;
        assert_eq!(code(&elsewhere.expect(401)), "invalid_api_key");
        alice.at("app.localhost:8080").kept(&kept).await.expect(200);
        // Whoever goes to another tenant leaves the old one's responses behind.
        let user = json!({"tenant_id": other_tenant});
        let person = test
            .root
            .get("/api/collections/users/records?filter=(name='alice')")
            .await;
        let person = person.expect(200).json()["items"][0].clone();
        test.root
            .change("users", &id(&person), &user)
            .await
            .expect(200);
        alice.kept(&kept).await.expect(404);
        assert_eq!(
            test.upstream.received().len(),
            1,
            "nothing else went upstream"
        );
    }
}

#[tokio::test]
async fn what_is_kept_is_sealed() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        test.upstream.next(Reply::chat("A secret answer", 10, 5));
        alice.responded(json!({"input": "A secret question"})).await;
        let readable = "select count(*) from responses where input_sealed like '%secret%' or \
                        response_sealed like '%secret%' or input_sealed like '%question%'";
        assert_eq!(test.count(readable).await, 0, "{}", test.name);
        // Copied to another row, it does not open.
        let bob = test.user("bob").await;
        let copied = format!(
            "insert into responses (user_id, id, tenant_id, created_at, used_at, bytes, input_sealed, response_sealed) \
             select '{}', id, tenant_id, created_at, used_at, bytes, input_sealed, response_sealed from responses",
            bob.id
        );
        test.execute(&copied).await;
        let listed = test.count("select count(*) from responses").await;
        assert_eq!(listed, 2);
        let kept = alice.responded(json!({"store": true})).await;
        alice.kept(&kept).await.expect(200);
        let stolen = format!(
            "update responses set id = '{kept}x' where user_id = '{}'",
            bob.id
        );
        test.execute(&stolen).await;
        bob.by_key().kept(&format!("{kept}x")).await.expect(500);
    }
}

#[tokio::test]
async fn items_may_be_named_instead_of_sent() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let first = alice.respond(json!({})).await.expect(200).json();
        let item = id(&first["output"][0]);
        let input = json!([
            {"role": "user", "content": "Hi"},
            {"type": "item_reference", "id": item},
            {"role": "user", "content": "More"},
        ]);
        let second = alice.responded(json!({"input": input})).await;
        let sent = test.upstream.received()[1].json();
        assert_eq!(
            sent["messages"][1],
            json!({"role": "assistant", "content": "Hello!"})
        );
        let input = json!([{"type": "item_reference", "id": "msg_nobodys"}]);
        let refused = alice.respond(json!({"input": input})).await.expect(400);
        assert!(
            refused.text().contains("'msg_nobodys' not found"),
            "{}",
            refused.text()
        );
        // What was named is kept with the response that named it.
        alice
            .delete(&format!("/v1/responses/{}", id(&first)))
            .await
            .expect(200);
        let listed = alice
            .input_items(&second, "?order=asc")
            .await
            .expect(200)
            .json();
        assert_eq!(listed["data"][1]["content"][0]["text"], "Hello!");
        assert_eq!(listed["data"][1]["id"], item.as_str());
    }
}

#[tokio::test]
async fn an_input_is_read_by_pages() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let input: Vec<Value> = (0..5)
            .map(|n| json!({"role": "user", "content": format!("m{n}")}))
            .collect();
        let kept = alice.responded(json!({"input": input})).await;
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let query = format!("?limit=2&order=asc{after}");
            let page = alice.input_items(&kept, &query).await.expect(200).json();
            let items = page["data"].as_array().unwrap();
            assert_eq!(page["first_id"], items[0]["id"]);
            assert_eq!(page["last_id"], items[items.len() - 1]["id"]);
            seen.extend(
                items
                    .iter()
                    .map(|i| i["content"][0]["text"].as_str().unwrap().to_owned()),
            );
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", page["last_id"].as_str().unwrap());
        }
        assert_eq!(seen, ["m0", "m1", "m2", "m3", "m4"]);
        let newest = alice
            .input_items(&kept, "?limit=1")
            .await
            .expect(200)
            .json();
        assert_eq!(newest["data"][0]["content"][0]["text"], "m4");
        for bad in [
            "?limit=0",
            "?limit=101",
            "?limit=x",
            "?order=up",
            "?after=nobody",
        ] {
            let refused = alice.input_items(&kept, bad).await.expect(400);
            assert_eq!(code(&refused), "invalid_request", "{bad}");
        }
    }
}

#[tokio::test]
async fn what_is_not_done_here_is_refused() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await.by_key();
    let kept = alice.responded(json!({})).await;
    for (body, word) in [
        (json!({"background": true}), "background"),
        (json!({"conversation": "conv_1"}), "previous_response_id"),
        (json!({"tools": [{"type": "web_search"}]}), "functions only"),
        (
            json!({"tools": [{"type": "code_interpreter"}]}),
            "not offered",
        ),
        (json!({"input": []}), "input"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
    ] {
        let refused = alice.respond(body.clone()).await.expect(400);
        assert!(refused.text().contains(word), "{body}: {}", refused.text());
    }
    let cancel = alice
        .post(&format!("/v1/responses/{kept}/cancel"), &json!({}))
        .await;
    assert!(cancel.expect(400).text().contains("background"));
    let stream = alice
        .get(&format!("/v1/responses/{kept}?stream=true"))
        .await;
    assert_eq!(stream.expect(400).json()["error"]["param"], "stream");
    alice
        .get(&format!("/v1/responses/{kept}?include[]=x"))
        .await
        .expect(200);
    let malformed = alice
        .send_text("POST", "/v1/responses", "{\"model\":".into())
        .await;
    assert!(malformed.expect(400).text().contains("parse the JSON body"));
    let huge = format!("{{\"x\":\"{}\"}}", "y".repeat(33 << 20));
    let huge = alice
        .send_text("POST", "/v1/responses", huge)
        .await
        .expect(413);
    assert_eq!(code(&huge), "request_too_large");
    assert_eq!(
        test.upstream.received().len(),
        1,
        "nothing else went upstream"
    );
    test.assert_settled().await;
}

#[tokio::test]
async fn the_limits_of_chats_hold_for_responses_and_completions() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let key = alice.by_key();
        let calls = [
            (
                "/v1/responses",
                json!({"model": "small", "input": "Hi", "max_output_tokens": 500}),
            ),
            (
                "/v1/completions",
                json!({"model": "small", "prompt": "Hi", "max_tokens": 500}),
            ),
        ];
        let limit = |models: Value, rate: u64| json!({"models": models, "rate_limit": rate});
        test.root
            .change("products", &test.product, &limit(json!(["other"]), 0))
            .await
            .expect(200);
        for (path, body) in &calls {
            assert_eq!(
                code(&key.post(path, body).await.expect(403)),
                "model_not_allowed",
                "{path}"
            );
        }
        test.root
            .change("products", &test.product, &limit(json!([]), 1))
            .await
            .expect(200);
        for (path, body) in &calls {
            test.clock.advance(Duration::from_secs(120));
            key.post(path, body).await.expect(200);
            let refused = key.post(path, body).await.expect(429);
            assert_eq!(code(&refused), "rate_limit_exceeded", "{path}");
            assert!(!refused.header("retry-after").is_empty());
        }
        test.root
            .change("products", &test.product, &limit(json!([]), 0))
            .await
            .expect(200);
        // 0.0006 EUR: enough for the prompt and a part of the answer.
        test.root
            .change("users", &alice.id, &json!({"budget_total": 0.0006}))
            .await
            .expect(200);
        let before = test.upstream.received().len();
        for (at, (path, body)) in calls.iter().enumerate() {
            let answer = key.post(path, body).await.expect(200);
            let lowered: u64 = answer.header("x-cf-output-limit").parse().unwrap();
            assert!((16..500).contains(&lowered), "{path}: {lowered}");
            let sent = test.upstream.received()[before + at].json();
            assert_eq!(sent["max_tokens"], lowered, "{path}");
        }
        test.root
            .change("users", &alice.id, &json!({"budget_total": 0.00001}))
            .await
            .expect(200);
        for (path, body) in &calls {
            assert_eq!(
                code(&key.post(path, body).await.expect(403)),
                "budget_exceeded",
                "{path}"
            );
        }
        for (path, body) in &calls {
            let mut unknown = body.clone();
            unknown["model"] = "nope".into();
            assert_eq!(
                code(&key.post(path, &unknown).await.expect(404)),
                "model_not_found",
                "{path}"
            );
        }
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn a_provider_that_speaks_responses_keeps_nothing_and_is_told_all() {
    for test in TestApp::each().await {
        native(&test, json!({"api": "responses"})).await;
        let alice = test.user("alice").await.by_key();
        test.upstream.next(Reply::json(
            200,
            native_response("resp_a", "First").to_string(),
        ));
        let body = r#"{ "model":"native", "input":"Hi", "x":1.50 }"#;
        let first = alice
            .send_text("POST", "/v1/responses", body.into())
            .await
            .expect(200);
        let received = test.upstream.received();
        assert_eq!(received[0].path, "/v1/responses");
        assert_eq!(
            received[0].body,
            r#"{"max_output_tokens":1000,"store":false,"include":["reasoning.encrypted_content"], "model":"gpt-5", "input":"Hi", "x":1.50 }"#
        );
        assert_eq!(
            first.text(),
            native_response("resp_a", "First")
                .to_string()
                .replace("\"store\":false", "\"store\":true"),
            "it is kept, though not there"
        );
        assert_eq!(first.header("x-cf-cost"), "0.00002");

        test.upstream.next(native_stream("resp_b", "Second"));
        let more = json!({"model": "native", "previous_response_id": "resp_a", "input": "And?", "stream": true});
        let answer = alice.post("/v1/responses", &more).await.expect(200);
        let sent = test.upstream.received()[1].json();
        assert!(sent["previous_response_id"].is_null(), "{sent}");
        assert_eq!(sent["input"][0]["content"][0]["text"], "Hi");
        assert_eq!(sent["input"][1]["encrypted_content"], "gAAAA");
        assert_eq!(sent["input"][2]["content"][0]["text"], "First");
        assert_eq!(
            sent["input"][3],
            json!({"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "And?"}]})
        );
        let events = events(&answer);
        for (name, event) in [&events[0], &events[2]] {
            assert_eq!(
                event["response"]["previous_response_id"], "resp_a",
                "{name}"
            );
            assert_eq!(event["response"]["store"], true, "{name}");
        }
        let kept = alice.kept("resp_b").await.expect(200).json();
        assert_eq!(kept, events[2].1["response"]);

        // On at a provider that has chats only, without the other's sealed thinking.
        let more = json!({"previous_response_id": "resp_b", "input": "So?"});
        alice.respond(more).await.expect(200);
        let sent = test.upstream.received()[2].json();
        assert_eq!(sent["messages"].as_array().unwrap().len(), 5, "{sent}");
        assert_eq!(
            sent["messages"][3],
            json!({"role": "assistant", "content": "Second"})
        );

        // What is not to be kept passes byte for byte.
        let reply = native_response("resp_c", "Third").to_string();
        test.upstream.next(Reply::json(200, reply.clone()));
        let body =
            json!({"model": "native", "input": "Hi", "store": false, "max_output_tokens": 50})
                .to_string();
        let answer = alice
            .send_text("POST", "/v1/responses", body.clone())
            .await
            .expect(200);
        assert_eq!(answer.text(), reply);
        assert_eq!(
            test.upstream.received()[3].body,
            body.replace("native", "gpt-5")
        );
        alice.kept("resp_c").await.expect(404);
        test.assert_settled().await;
        let counted = "select count(*) from usage_logs where prompt_tokens = 10 and \
                       completion_tokens = 5 and status = 'ok' and estimated = 0";
        assert_eq!(test.count(counted).await, 4, "{}", test.name);
    }
}

#[tokio::test]
async fn a_providers_id_that_comes_twice_is_nobody_elses() {
    let test = TestApp::new().await;
    native(&test, json!({"api": "responses"})).await;
    let (alice, bob) = (
        test.user("alice").await.by_key(),
        test.user("bob").await.by_key(),
    );
    for (who, text) in [(&alice, "Hers"), (&bob, "His"), (&alice, "Again")] {
        test.upstream.next(Reply::json(
            200,
            native_response("resp_1", text).to_string(),
        ));
        let body = json!({"model": "native", "input": "Hi"});
        who.post("/v1/responses", &body).await.expect(200);
    }
    assert!(
        alice
            .kept("resp_1")
            .await
            .expect(200)
            .text()
            .contains("Hers")
    );
    assert!(bob.kept("resp_1").await.expect(200).text().contains("His"));
}

#[tokio::test]
async fn responses_are_forgotten_after_a_while_and_conversations_together() {
    for mut test in TestApp::each().await {
        const DAY: Duration = Duration::from_secs(86_400);
        const KEPT: Duration = Duration::from_secs(30 * 86_400);
        let alice = test.user("alice").await.by_key();
        let alone = alice.responded(json!({})).await;
        let first = alice.responded(json!({})).await;
        test.clock.advance(DAY * 20);
        let second = alice
            .responded(json!({"previous_response_id": first}))
            .await;
        test.clock.advance(DAY * 11);
        assert_eq!(test.app.gateway.prune_responses(KEPT).await.unwrap(), 1);
        alice.kept(&alone).await.expect(404);
        alice.kept(&first).await.expect(200);
        alice
            .responded(json!({"previous_response_id": second}))
            .await;
        test.clock.advance(DAY * 31);
        assert_eq!(test.app.gateway.prune_responses(KEPT).await.unwrap(), 3);
        let left =
            "select (select count(*) from responses) + (select count(*) from response_items)";
        assert_eq!(test.count(left).await, 0, "{}", test.name);
        test.sign_in_again().await;
    }
}

#[tokio::test]
async fn a_user_who_keeps_too_much_loses_the_oldest() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let mut kept = Vec::new();
        for _ in 0..3 {
            kept.push(alice.responded(json!({})).await);
            test.clock.advance(Duration::from_secs(60));
        }
        test.execute(&format!("update responses set bytes = {}", 256 << 20))
            .await;
        let gone = test
            .app
            .gateway
            .prune_responses(Duration::from_secs(86_400))
            .await
            .unwrap();
        assert_eq!(gone, 1, "{}", test.name);
        alice.kept(&kept[0]).await.expect(404);
        alice.kept(&kept[1]).await.expect(200);
        // A conversation that is larger than a request may be is not read at all.
        test.execute(&format!("update responses set bytes = {}", 64 << 20))
            .await;
        let refused = alice
            .respond(json!({"previous_response_id": kept[2]}))
            .await
            .expect(413);
        assert_eq!(code(&refused), "request_too_large");
    }
}

#[tokio::test]
async fn responses_go_with_their_user() {
    for test in TestApp::each().await {
        let (alice, bob) = (test.user("alice").await, test.user("bob").await);
        alice.by_key().responded(json!({})).await;
        let left = bob.by_key().responded(json!({})).await;
        test.assert_settled().await;
        let path = format!("/api/collections/users/records/{}", alice.id);
        test.root.delete(&path).await.expect(204);
        let of_alice = format!(
            "select (select count(*) from responses where user_id = '{0}') + \
             (select count(*) from response_items where user_id = '{0}')",
            alice.id
        );
        assert_eq!(test.count(&of_alice).await, 0, "{}", test.name);
        bob.by_key().kept(&left).await.expect(200);
        assert_eq!(test.count("select count(*) from response_items").await, 1);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_an_answer_all_the_same() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        test.execute("drop table responses").await;
        let plain = alice.respond(json!({})).await.expect(200).json();
        assert_eq!(plain["status"], "completed");
        test.upstream
            .next(Reply::chat_stream(&["Hel", "lo"], 10, 2));
        let streamed = alice.respond(json!({"stream": true})).await.expect(200);
        assert_eq!(events(&streamed).last().unwrap().0, "response.completed");
        test.assert_settled().await;
        let booked = "select count(*) from usage_logs where status = 'ok'";
        assert_eq!(test.count(booked).await, 2, "{}", test.name);
        // Going on from what cannot be read is our fault, not the client's.
        let gone = json!({"previous_response_id": id(&plain)});
        alice.respond(gone).await.expect(500);
    }
}

#[tokio::test]
async fn what_is_too_large_is_answered_and_not_kept() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await.by_key();
    let image = format!("data:image/png;base64,{}", "A".repeat(9 << 20));
    let input = json!([{"role": "user", "content": [{"type": "input_image", "image_url": image}]}]);
    let answered = alice.responded(json!({"input": input})).await;
    alice.kept(&answered).await.expect(404);
}

#[tokio::test]
async fn a_session_of_the_portal_may_respond_too() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    let kept = alice.responded(json!({})).await;
    alice.kept(&kept).await.expect(200);
    alice.by_key().kept(&kept).await.expect(200);
}

#[tokio::test]
async fn legacy_completions_pass_to_servers_that_have_them() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await.by_key();
        let reply = json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "text": " upon", "logprobs": null, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
        .to_string();
        test.upstream.next(Reply::json(200, reply.clone()));
        let body = r#"{"model":"small","prompt":["Once"],"echo":true,"x":1.50}"#;
        let answer = alice
            .send_text("POST", "/v1/completions", body.into())
            .await
            .expect(200);
        assert_eq!(answer.text(), reply);
        assert_eq!(answer.header("x-cf-cost"), "0.00002");
        let received = test.upstream.received();
        assert_eq!(received[0].path, "/v1/completions");
        assert_eq!(
            received[0].body,
            r#"{"max_tokens":16,"model":"small-1","prompt":["Once"],"echo":true,"x":1.50}"#
        );
        let chunk = |choices: Value, usage: Value| {
            let chunk =
                json!({"id": "c", "object": "text_completion", "choices": choices, "usage": usage});
            Step::Send(Bytes::from(format!("data: {chunk}\n\n")))
        };
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
        test.upstream.next(Reply::stream(vec![
            chunk(
                json!([{"index": 0, "text": " upon", "finish_reason": null}]),
                Value::Null,
            ),
            chunk(json!([]), usage),
            Step::Send(Bytes::from_static(b"data: [DONE]\n\n")),
        ]));
        let body = json!({"model": "small", "prompt": "Once", "stream": true});
        let answer = alice.post("/v1/completions", &body).await.expect(200);
        assert!(answer.text().contains(" upon") && answer.text().ends_with("data: [DONE]\n\n"));
        assert!(
            !answer.text().contains("total_tokens"),
            "usage was not asked for"
        );
        let sent = test.upstream.received()[1].json();
        assert_eq!(sent["stream_options"]["include_usage"], true);
        test.assert_settled().await;
        let counted = "select count(*) from usage_logs where prompt_tokens = 10 and \
                       completion_tokens = 5 and status = 'ok' and estimated = 0";
        assert_eq!(test.count(counted).await, 2, "{}", test.name);
    }
}

#[tokio::test]
async fn legacy_completions_are_chats_where_there_is_nothing_else() {
    let test = TestApp::new().await;
    native(&test, json!({"completions": "chat"})).await;
    let alice = test.user("alice").await.by_key();
    let body = json!({"model": "native", "prompt": "Once", "max_tokens": 20, "stop": ["."]});
    let answer = alice
        .post("/v1/completions", &body)
        .await
        .expect(200)
        .json();
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"][0]["text"], "Hello!");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert!(answer["id"].as_str().unwrap().starts_with("cmpl-"));
    let sent = test.upstream.received();
    assert_eq!(sent[0].path, "/v1/chat/completions");
    assert_eq!(
        sent[0].json(),
        json!({"model": "gpt-5", "messages": [{"role": "user", "content": "Once"}], "max_tokens": 20,
            "stop": ["."]})
    );
    test.upstream
        .next(Reply::chat_stream(&["Hel", "lo"], 10, 2));
    let streamed = json!({"model": "native", "prompt": "Once", "stream": true,
        "stream_options": {"include_usage": true}});
    let text = alice
        .post("/v1/completions", &streamed)
        .await
        .expect(200)
        .text();
    assert!(
        text.contains(r#""text":"Hel""#) && text.contains(r#""total_tokens":12"#),
        "{text}"
    );
    for (fields, word) in [
        (json!({"prompt": ["a", "b"]}), "prompt"),
        (json!({"echo": true}), "echo"),
        (json!({"suffix": "x"}), "suffix"),
        (json!({"logprobs": 2}), "logprobs"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"prompt": null}), "prompt"),
    ] {
        let mut body = json!({"model": "native", "prompt": "Once"});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let refused = alice
            .post("/v1/completions", &body)
            .await
            .expect(400)
            .json();
        assert_eq!(refused["error"]["param"], word, "{refused}");
    }
    let dropped = json!({"model": "native", "prompt": "Once", "suffix": "x", "drop_params": true});
    let answer = alice.post("/v1/completions", &dropped).await.expect(200);
    assert_eq!(answer.header("x-cf-dropped-params"), "suffix");
    test.assert_settled().await;
}
