//! The traps of the providers that end in a wrong bill, each by its number in
//! `docs/traps.md`: what a client asks, what the provider says it used, and what is
//! charged at the price book's prices.

use std::time::Duration;

use bytes::Bytes;
use cf_base::Nanos;
use cf_testkit::{MockUpstream, Reply, Step};
use serde_json::{Value, json};

use crate::fixture::{Fixture, Logged, PATIENCE, SECRET, nanos, plain, streamed, text};
use crate::providers::{root, sse};

/// A call as it is in the books, and what its client was told.
struct Charged {
    call: Logged,
    answer: String,
}

/// Sends this to a model at the price book's prices, whose provider answers so.
async fn ask(provider: &str, model: &str, region: &str, body: &Value, reply: Reply) -> Charged {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(reply).await;
    let base = match provider {
        "openai" | "anthropic" => upstream.base_url(),
        "gemini" => format!("{}/v1beta", root(&upstream)),
        _ => root(&upstream),
    };
    let settings = json!({"region": region});
    let key = f.key_with(provider, &base, "", SECRET, settings).await;
    let deployments = json!([{"provider_key": key, "model": model}]);
    f.model("m", deployments, json!({"prices": {}})).await;
    let response = f.send(body).await.unwrap();
    assert_eq!(response.status(), 200);
    let answer = text(response.into_body()).await;
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("ok", false));
    Charged { call, answer }
}

/// The same asked plainly and in a stream, which must cost the same.
async fn ask_both(provider: &str, model: &str, whole: Value, events: &[Value]) -> Nanos {
    let whole = Reply::json(200, whole.to_string());
    let plainly = ask(provider, model, "", &plain(), whole).await;
    let in_stream = ask(provider, model, "", &streamed(), sse(events)).await;
    assert_eq!(plainly.call, in_stream.call);
    plainly.call.cost
}

/// An answer of OpenAI's with this usage.
fn completion(usage: Value) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "said-by-the-provider",
        "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hello"}}],
        "usage": usage})
}

fn chunk(choices: Value, usage: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x",
        "choices": choices, "usage": usage})
}

fn hello() -> Value {
    json!([{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}])
}

/// Chunks of OpenAI's, and its end.
fn chunks(list: &[Value]) -> Reply {
    let mut reply = sse(list);
    let done = Bytes::from_static(b"data: [DONE]\n\n");
    reply.steps.push(Step::Send(done));
    reply
}

#[tokio::test]
async fn trap_2_thinking_is_paid_for_although_google_counts_it_apart() {
    let chunk = |text: &str, said: u64, thought: u64, last: bool| {
        json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]},
                "finishReason": if last { json!("STOP") } else { Value::Null }}],
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": said,
                "thoughtsTokenCount": thought, "totalTokenCount": 100 + said + thought}})
    };
    let whole = chunk("Hello", 30, 500, true);
    let events = [chunk("Hel", 10, 500, false), chunk("lo", 30, 500, true)];
    let cost = ask_both("gemini", "gemini-2.5-flash", whole, &events).await;
    // (100 × 0.3 + (30 + 500) × 2.5) / 1,000,000
    assert_eq!(cost, nanos("0.001355"));
}

#[tokio::test]
async fn trap_13_a_cache_for_an_hour_costs_twice_the_input() {
    for (five, hour, cost) in [
        // (10 × 1 + 4,000 × 1.25 + 5 × 5) / 1,000,000
        (4_000, 0, "0.005035"),
        // (10 × 1 + 4,000 × 2 + 5 × 5) / 1,000,000
        (0, 4_000, "0.008035"),
    ] {
        let usage = |output: u64| {
            json!({"input_tokens": 10, "cache_read_input_tokens": 0, "output_tokens": output,
                "cache_creation_input_tokens": 4_000, "cache_creation": {
                    "ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}})
        };
        let message = |usage: Value, text: &str, stop: Value| {
            json!({"id": "m", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
                "content": [{"type": "text", "text": text}], "stop_reason": stop, "usage": usage})
        };
        let mut start = message(usage(1), "", Value::Null);
        start["content"] = json!([]);
        let events = [
            json!({"type": "message_start", "message": start}),
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": "Hello"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 5}}),
            json!({"type": "message_stop"}),
        ];
        let whole = message(usage(5), "Hello", json!("end_turn"));
        let found = ask_both("anthropic", "claude-haiku-4-5-20251001", whole, &events).await;
        assert_eq!(found, nanos(cost), "{five} {hour}");
    }
}

#[tokio::test]
async fn trap_24_more_cached_than_was_asked_is_no_credit() {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 161}});
    let events = [chunk(hello(), Value::Null), chunk(json!([]), usage.clone())];
    let whole = Reply::json(200, completion(usage).to_string());
    for (body, reply) in [(plain(), whole), (streamed(), chunks(&events))] {
        let charged = ask("azure", "gpt-4.1", "", &body, reply).await;
        // (7 × 0.5 + 5 × 8) / 1,000,000: all of the prompt was cached, and no more.
        assert_eq!(charged.call.cost, nanos("0.0000435"), "{body}");
        assert_eq!(charged.call.prompt_tokens, 7);
    }
}

#[tokio::test]
async fn trap_26_the_deployments_place_sets_the_price_whatever_the_answer_calls_its_model() {
    let usage = json!({"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100});
    for (region, cost) in [
        // (1,000 × 2 + 100 × 8) / 1,000,000
        ("", "0.0028"),
        // (1,000 × 2.2 + 100 × 8.8) / 1,000,000
        ("eu", "0.00308"),
    ] {
        let reply = Reply::json(200, completion(usage.clone()).to_string());
        let charged = ask("azure", "gpt-4.1", region, &plain(), reply).await;
        assert_eq!(charged.call.cost, nanos(cost), "{region}");
        assert!(charged.answer.contains("said-by-the-provider"));
    }
}

#[tokio::test]
async fn trap_27_usage_counts_wherever_it_comes_and_a_null_after_it_undoes_nothing() {
    let usage = json!({"prompt_tokens": 13, "completion_tokens": 11, "total_tokens": 24});
    let moderated = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x",
        "choices": [], "usage": null, "moderation": {"flagged": false}});
    let events = [
        chunk(hello(), Value::Null),
        chunk(json!([]), usage),
        moderated,
    ];
    let charged = ask("openai", "gpt-5", "", &streamed(), chunks(&events)).await;
    // (13 × 1.25 + 11 × 10) / 1,000,000
    assert_eq!(charged.call.cost, nanos("0.00012625"));
    // The client did not ask for it, and is given the rest.
    assert!(
        !charged.answer.contains("\"usage\":{"),
        "{}",
        charged.answer
    );
    assert!(charged.answer.contains("moderation"), "{}", charged.answer);
    assert!(charged.answer.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn trap_28_what_openai_writes_to_its_cache_costs_more_than_input() {
    let usage = json!({"prompt_tokens": 4_020, "completion_tokens": 4, "total_tokens": 4_024,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 4_012}});
    let events = [chunk(hello(), Value::Null), chunk(json!([]), usage.clone())];
    let whole = Reply::json(200, completion(usage).to_string());
    for (body, reply) in [(plain(), whole), (streamed(), chunks(&events))] {
        let charged = ask("openai", "gpt-5.6", "", &body, reply).await;
        // (8 × 4 + 4,012 × 5 + 4 × 20) / 1,000,000
        assert_eq!(charged.call.cost, nanos("0.020172"), "{body}");
    }
}

#[tokio::test]
async fn trap_29_the_tier_that_served_is_billed_and_not_the_one_that_was_asked_for() {
    let usage = json!({"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100});
    for (asked, served, cost) in [
        // (1,000 × 2.5 + 100 × 15) / 1,000,000, and the double and the half of it.
        ("priority", "default", "0.004"),
        ("priority", "priority", "0.008"),
        ("flex", "default", "0.004"),
        ("flex", "flex", "0.002"),
        ("auto", "priority", "0.008"),
    ] {
        let mut whole = completion(usage.clone());
        whole["service_tier"] = served.into();
        let mut first = chunk(hello(), Value::Null);
        first["service_tier"] = served.into();
        let events = [first, chunk(json!([]), usage.clone())];
        let whole = Reply::json(200, whole.to_string());
        for (mut body, reply) in [(plain(), whole), (streamed(), chunks(&events))] {
            body["service_tier"] = asked.into();
            let charged = ask("openai", "gpt-5.4", "", &body, reply).await;
            assert_eq!(charged.call.cost, nanos(cost), "{asked} {served} {body}");
        }
    }
}

#[tokio::test]
async fn trap_32_usage_is_found_in_every_place_that_servers_have_for_it() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105});
    let mut groq = chunk(hello(), Value::Null);
    groq["x_groq"] = json!({"id": "r", "usage": usage});
    let mut deepseek = usage.clone();
    deepseek["prompt_cache_hit_tokens"] = 60.into();
    deepseek["prompt_cache_miss_tokens"] = 40.into();
    let mut together = usage.clone();
    together["cached_tokens"] = 60.into();
    for (name, last, cost) in [
        ("with the last word", chunk(hello(), usage), 100_000),
        ("Groq's own field", groq, 100_000),
        ("DeepSeek's hits", chunk(hello(), deepseek), 46_000),
        ("cached, at the top", chunk(hello(), together), 46_000),
    ] {
        let f = Fixture::new("10").await;
        let upstream = MockUpstream::start(chunks(&[last])).await;
        let key = f.key("openai_compatible", &upstream.base_url(), "").await;
        let deployments = json!([{"provider_key": key, "model": "x"}]);
        let prices = json!({"prices": {"input": 1, "output": 2, "cached_input": 0.1}});
        f.model("m", deployments, prices).await;
        let response = f.send(&streamed()).await.unwrap();
        assert!(text(response.into_body()).await.contains("Hello"));
        let call = f.the_call().await;
        // 100 or 40 at a dollar, 60 at a tenth of it, 5 at two dollars a million.
        assert_eq!(call.cost, Nanos(cost + 10_000), "{name}");
        assert!(!call.estimated, "{name}");
    }
}

#[tokio::test]
async fn trap_35_a_long_context_makes_every_token_dearer_cached_ones_count_too() {
    for (prompt, cached, cost) in [
        // (2,000 × 4 + 270,000 × 0.4 + 10 × 20) / 1,000,000: not above the line yet.
        (272_000, 270_000, "0.1162"),
        // (2,001 × 8 + 270,000 × 0.8 + 10 × 30) / 1,000,000
        (272_001, 270_000, "0.232308"),
    ] {
        let usage = json!({"prompt_tokens": prompt, "completion_tokens": 10,
            "total_tokens": prompt + 10, "prompt_tokens_details": {"cached_tokens": cached}});
        let events = [chunk(hello(), Value::Null), chunk(json!([]), usage.clone())];
        let whole = Reply::json(200, completion(usage).to_string());
        for (body, reply) in [(plain(), whole), (streamed(), chunks(&events))] {
            let charged = ask("openai", "gpt-5.6", "", &body, reply).await;
            assert_eq!(charged.call.cost, nanos(cost), "{prompt} {body}");
        }
    }
}

#[tokio::test]
async fn trap_37_searches_are_billed_beside_the_tokens() {
    // A search of Claude's: (100 × 2 + 10 × 10) / 1,000,000, and 3 × 0.01.
    let message = json!({"id": "m", "type": "message", "role": "assistant",
        "model": "claude-sonnet-5", "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 100, "output_tokens": 10,
            "server_tool_use": {"web_search_requests": 3}}});
    let whole = Reply::json(200, message.to_string());
    let charged = ask("anthropic", "claude-sonnet-5", "", &plain(), whole).await;
    assert_eq!(charged.call.cost, nanos("0.0303"));
    // Google's, billed once for a prompt: (100 × 0.3 + 10 × 2.5) / 1,000,000, and 0.035.
    let grounded = json!({"candidates": [{"index": 0, "finishReason": "STOP",
            "content": {"role": "model", "parts": [{"text": "Hello"}]},
            "groundingMetadata": {"webSearchQueries": ["a", "b"]}}],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 10}});
    let cost = ask_both("gemini", "gemini-2.5-flash", grounded.clone(), &[grounded]).await;
    assert_eq!(cost, nanos("0.035055"));
}

#[tokio::test]
async fn trap_38_tries_that_were_refused_are_free_and_none_is_made_while_one_may_be_billed() {
    let f = Fixture::impatient().await;
    let limited = MockUpstream::start(Reply::json(429, "{}")).await;
    let broken = MockUpstream::start(Reply::json(503, "{}")).await;
    let answers = MockUpstream::start(Reply::chat("Hello", 1_000, 100)).await;
    f.at(&[&limited, &broken, &answers]).await;
    let response = f.send(&plain()).await.unwrap();
    assert!(text(response.into_body()).await.contains("Hello"));
    let call = f.the_call().await;
    assert_eq!(call.cost, crate::fixture::cost(1_000, 100), "one answer");
    let tried = f.tried().await;
    let models: Vec<&str> = tried.iter().map(|(_, model)| &**model).collect();
    assert_eq!(models, ["real-0", "real-1", "real-2"], "{tried:?}");

    // One that took the call and is silent may bill it: it is charged for the prompt,
    // and the call is not bought a second time.
    let f = Fixture::impatient().await;
    let silent = MockUpstream::start(Reply::chat("late", 1, 1).after(PATIENCE * 3)).await;
    let answers = MockUpstream::start(Reply::chat("Hello", 1_000, 100)).await;
    f.at(&[&silent, &answers]).await;
    assert!(f.send(&streamed()).await.is_err());
    let call = f.the_call().await;
    assert_eq!((call.status.as_str(), call.estimated), ("error", true));
    assert!(call.cost > Nanos::ZERO);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(answers.received().is_empty());
}
