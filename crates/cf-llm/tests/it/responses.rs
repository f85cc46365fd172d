//! OpenAI's Responses and legacy completions: one request as every provider is
//! sent it, and one answer of every provider as their clients are given it, plain,
//! streamed and split at every byte; and recordings of providers that speak
//! Responses themselves.

use bytes::Bytes;
use cf_base::Usage;
use cf_llm::{
    ChatRequest, Dialect, History, Opening, OutputPlan, Provider, Reply, Route, Settings,
    StreamFrame, Wishes,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{PLACES, answers, lines, place, sent, streamed_as};
use crate::recordings::folder;
use crate::translated;

const BOTH: [(&str, Dialect); 2] = [
    ("responses", Dialect::Responses),
    ("completions", Dialect::Completions),
];

/// Everything that every provider can do in one way or another.
fn request() -> Value {
    json!({
        "model": "public", "stream": true, "max_output_tokens": 4000,
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "Use tools."}]},
            {"role": "user", "content": [
                {"type": "input_text", "text": "What is this, and the weather?"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"},
                {"type": "input_file", "filename": "my_report.v2.pdf",
                    "file_data": "data:application/pdf;base64,JVBERi0="}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Think."}],
                "encrypted_content": "cf1.WyJ0aGlua2luZyIsIlRoaW5rLiIsImMyVmhiQT09Il0"},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAAABopenai"},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1__thought__R29vZ2xl", "name": "weather",
                "arguments": "{\"city\": \"Berlin\", \"n\": 1e400}", "status": "completed"},
            {"type": "function_call", "call_id": "call:2", "name": "now", "arguments": ""},
            {"type": "function_call_output", "call_id": "call_1__thought__R29vZ2xl", "output": "sunny"},
            {"type": "function_call_output", "call_id": "call:2",
                "output": [{"type": "input_text", "text": "noon"}]},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Sunny at noon.", "annotations": []}]},
            {"type": "message", "role": "user", "content": "And tomorrow?"}],
        "tools": [
            {"type": "function", "name": "weather", "description": "Weather of a city",
                "parameters": {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"}}},
                "strict": true},
            {"type": "function", "name": "now", "parameters": null}],
        "tool_choice": "auto",
        "text": {"format": {"type": "json_schema", "name": "answer", "strict": true,
            "schema": {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}}},
        "reasoning": {"effort": "medium", "summary": "auto"}, "temperature": 1.0, "top_p": 1, "user": "u-1",
        "include": ["reasoning.encrypted_content"], "metadata": {"k": "v"}, "truncation": "disabled",
        "previous_response_id": "resp_before", "background": false,
    })
}

fn prompt() -> Value {
    json!({
        "model": "public", "stream": true, "prompt": ["Once upon a time"], "max_tokens": 50, "n": 1,
        "temperature": 1, "stop": "\n", "echo": false, "suffix": null, "logprobs": null, "best_of": 1,
        "user": "u-1", "frequency_penalty": 0,
    })
}

#[test]
fn one_request_of_each_client_at_every_provider() {
    let compatible = [
        ("compatible", Provider::OpenAiCompatible, "llama", "{}"),
        (
            "compatible_responses",
            Provider::OpenAiCompatible,
            "llama",
            r#"{"api":"responses","completions":"chat"}"#,
        ),
        (
            "openai_instruct",
            Provider::OpenAi,
            "gpt-3.5-turbo-instruct",
            "{}",
        ),
    ];
    for (name, provider, model, settings) in PLACES.into_iter().chain(compatible) {
        for (client, dialect) in BOTH {
            let request = match dialect {
                Dialect::Responses => request(),
                _ => prompt(),
            };
            let text = sent(dialect, &request, (provider, model, settings));
            insta::assert_snapshot!(format!("request_{client}_to_{name}"), text);
        }
    }
}

fn opening(dialect: Dialect) -> Opening {
    let request = request().to_string();
    let request = ChatRequest::read_as(Dialect::Responses, request.as_bytes()).unwrap();
    Opening {
        id: match dialect {
            Dialect::Responses => "resp_made".into(),
            _ => "cmpl-made".into(),
        },
        created: 1_700_000_000,
        model: "at-the-provider".into(),
        include_usage: true,
        estimated_input: 77,
        echo: request.echo(),
    }
}

#[test]
fn one_answer_of_every_provider_for_each_client() {
    let settings = Settings {
        completions: "chat".into(),
        ..Settings::default()
    };
    for (name, provider, model, (whole, stream)) in answers() {
        for (client, dialect) in BOTH {
            let route = place(provider, model, &settings).route(dialect);
            let (reply, body) = route.reply(Bytes::from(whole.to_string()), &opening(dialect));
            let Reply::Completion(plain_usage, false) = reply else {
                panic!("{name}: {reply:?}");
            };
            let text = lines(std::str::from_utf8(&body).unwrap());
            insta::assert_snapshot!(format!("reply_{name}_for_{client}"), text);
            let (text, usage) = streamed_as(opening(dialect), route, &[&stream]);
            insta::assert_snapshot!(format!("stream_{name}_for_{client}"), text);
            assert_eq!(usage, plain_usage, "{name}: counted the same");
            assert_eq!(usage.prompt_tokens(), 100, "{name}");
            assert_eq!(usage.completion_tokens(), 42, "{name}");
            if dialect == Dialect::Responses {
                let last = assert_events_add_up(&text);
                let plain: Value = serde_json::from_slice(&body).unwrap();
                let (last, plain) = (with_arguments(last), with_arguments(plain));
                assert_eq!(last, plain, "{name}: plain and streamed say the same");
            }
        }
    }
}

/// Arguments as what they say, whichever way they are written.
fn with_arguments(mut response: Value) -> Value {
    for item in response["output"].as_array_mut().unwrap() {
        if let Some(text) = item["arguments"].as_str() {
            item["arguments"] = serde_json::from_str(text).unwrap();
        }
    }
    response
}

#[test]
fn a_stream_split_at_every_byte_is_the_same_stream() {
    let settings = Settings {
        completions: "chat".into(),
        ..Settings::default()
    };
    for (name, provider, model, (_, stream)) in answers() {
        for (_, dialect) in BOTH {
            let route = place(provider, model, &settings).route(dialect);
            let whole = streamed_as(opening(dialect), route, &[&stream]);
            for at in 0..=stream.len() {
                let (one, two) = stream.split_at(at);
                let split = streamed_as(opening(dialect), route, &[one, two]);
                assert_eq!(split, whole, "{name} split at {at}");
            }
        }
    }
    let stream = native_stream();
    let route = native(Provider::OpenAi);
    let whole = streamed_as(opening(Dialect::Responses), route, &[stream.as_bytes()]);
    for at in 0..=stream.len() {
        let (one, two) = stream.as_bytes().split_at(at);
        let split = streamed_as(opening(Dialect::Responses), route, &[one, two]);
        assert_eq!(split, whole, "native, split at {at}");
    }
}

/// Checks a stream's events as a client does that puts them together: numbers
/// without a gap, items that begin, grow and end, and a last event that repeats
/// them. Returns the response of that event.
fn assert_events_add_up(text: &str) -> Value {
    let mut items: Vec<Value> = Vec::new();
    let mut done = Vec::new();
    let mut last = Value::Null;
    for (number, event) in text.split("\n\n").filter(|e| !e.is_empty()).enumerate() {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
        assert_eq!(data["sequence_number"], number, "{data}");
        let at = usize::try_from(data["output_index"].as_u64().unwrap_or(0)).unwrap();
        if data["item_id"].is_string() {
            assert_eq!(data["item_id"], items[at]["id"], "{data}");
        }
        let part = usize::try_from(data["content_index"].as_u64().unwrap_or(0)).unwrap();
        let grow = |text: &mut Value, delta: &Value| {
            let grown = format!("{}{}", text.as_str().unwrap(), delta.as_str().unwrap());
            *text = grown.into();
        };
        match data["type"].as_str().unwrap() {
            "response.created" => assert_eq!(number, 0),
            "response.in_progress" => assert_eq!(number, 1),
            "response.output_item.added" => {
                assert_eq!(at, items.len(), "items begin one after the other");
                assert_ne!(data["item"]["status"], "completed");
                items.push(data["item"].clone());
            }
            "response.content_part.added" => {
                let parts = items[at]["content"].as_array_mut().unwrap();
                assert_eq!(part, parts.len());
                parts.push(data["part"].clone());
            }
            "response.output_text.delta" => {
                grow(&mut items[at]["content"][part]["text"], &data["delta"]);
            }
            "response.refusal.delta" => {
                grow(&mut items[at]["content"][part]["refusal"], &data["delta"]);
            }
            "response.output_text.done" => {
                assert_eq!(items[at]["content"][part]["text"], data["text"]);
            }
            "response.refusal.done" => {
                assert_eq!(items[at]["content"][part]["refusal"], data["refusal"]);
            }
            "response.content_part.done" => {
                let mut said = data["part"].clone();
                if said["logprobs"].is_array() {
                    said["logprobs"] = json!([]);
                }
                assert_eq!(items[at]["content"][part], said);
            }
            "response.reasoning_summary_part.added" => {
                items[at]["summary"] = json!([data["part"]]);
            }
            "response.reasoning_summary_text.delta" => {
                grow(&mut items[at]["summary"][0]["text"], &data["delta"]);
            }
            "response.reasoning_summary_text.done" => {
                assert_eq!(items[at]["summary"][0]["text"], data["text"]);
            }
            "response.reasoning_summary_part.done" => {
                assert_eq!(items[at]["summary"][0], data["part"]);
            }
            "response.function_call_arguments.delta" => {
                grow(&mut items[at]["arguments"], &data["delta"]);
            }
            "response.function_call_arguments.done" => {
                assert_eq!(items[at]["arguments"], data["arguments"]);
            }
            "response.output_item.done" => {
                assert_eq!(items[at]["id"], data["item"]["id"]);
                assert_eq!(items[at]["arguments"], data["item"]["arguments"]);
                assert_eq!(items[at]["summary"], data["item"]["summary"]);
                done.push((at, data["item"].clone()));
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                assert!(last.is_null(), "one end");
                last = data["response"].clone();
            }
            other => panic!("{other}"),
        }
    }
    done.sort_by_key(|(at, _)| *at);
    let done: Vec<Value> = done.into_iter().map(|(_, item)| item).collect();
    if last["status"] != "failed" {
        assert_eq!(
            last["output"],
            Value::from(done),
            "the last event repeats all"
        );
    }
    last
}

#[test]
fn recordings_of_every_provider_reach_both_clients() {
    let Some(folder) = folder() else { return };
    for (name, _) in translated::USED {
        let recording = translated::read(&folder, name);
        let body = translated::body(&recording);
        for (_, client) in BOTH {
            let route = translated::route(name, &recording, client);
            let known = translated::route(name, &recording, Dialect::OpenAi);
            if !translated::is_stream(&recording) {
                let (reply, out) = route.reply(Bytes::from(body.clone()), &opening(client));
                let (expected, _) = known.reply(Bytes::from(body.clone()), &opening(client));
                assert_eq!(reply, expected, "{name}: counted as for a chat");
                let out: Value = serde_json::from_slice(&out).unwrap();
                match client {
                    Dialect::Responses => assert_eq!(out["object"], "response", "{name}"),
                    _ => assert_eq!(out["object"], "text_completion", "{name}"),
                }
                continue;
            }
            let whole = translated::streamed(route, &body, usize::MAX);
            let expected = translated::streamed(known, &body, usize::MAX);
            assert_eq!(whole.1, expected.1, "{name}: counted as for a chat");
            for piece in [1, 7, 64] {
                let split = translated::streamed(route, &body, piece);
                assert_eq!(split, whole, "{name} in pieces of {piece}");
            }
            let text = String::from_utf8(whole.0).unwrap();
            if client == Dialect::Responses {
                let last = assert_events_add_up(&text);
                assert!(!last["output"].as_array().unwrap().is_empty(), "{name}");
            } else {
                assert!(text.ends_with("data: [DONE]\n\n"), "{name}");
            }
        }
    }
}

/// The way from a client of Responses to a provider that speaks it.
fn native(provider: Provider) -> Route {
    let settings = Settings {
        api: "responses".into(),
        ..Settings::default()
    };
    place(provider, "gpt-5", Box::leak(Box::new(settings))).route(Dialect::Responses)
}

fn native_response(status: &str, output: Value, usage: Value) -> Value {
    json!({"id": "resp_theirs", "object": "response", "created_at": 5, "status": status, "model": "gpt-5-2026",
        "output": output, "previous_response_id": null, "store": false, "service_tier": "default",
        "usage": usage, "metadata": {"größe": 1}})
}

/// What OpenAI answers, in short.
fn native_stream() -> String {
    let item = json!({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "annotations": [], "text": "Größe"}]});
    let usage = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 90},
        "output_tokens": 42, "output_tokens_details": {"reasoning_tokens": 12}, "total_tokens": 142});
    let events = [
        json!({"type": "response.created", "sequence_number": 0,
            "response": native_response("in_progress", json!([]), Value::Null)}),
        json!({"type": "response.output_text.delta", "sequence_number": 1, "delta": "Größe"}),
        json!({"type": "response.something_new", "sequence_number": 2}),
        json!({"type": "response.completed", "sequence_number": 3,
            "response": native_response("completed", json!([item]), usage)}),
    ];
    let event = |e: &Value| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap());
    events.iter().map(event).collect()
}

#[test]
fn what_speaks_responses_passes_but_for_what_we_asked_for_ourselves() {
    let stream = native_stream();
    let route = native(Provider::OpenAi);
    let mut own = opening(Dialect::Responses);
    own.echo = None;
    let (text, usage) = streamed_as(own, route, &[stream.as_bytes()]);
    assert_eq!(text, stream, "every byte");
    assert_eq!((usage.input, usage.cache_read, usage.output), (10, 90, 42));

    let (text, _) = streamed_as(opening(Dialect::Responses), route, &[stream.as_bytes()]);
    let expected = stream
        .replace(
            "\"previous_response_id\":null",
            "\"previous_response_id\":\"resp_before\"",
        )
        .replace("\"store\":false", "\"store\":true");
    assert_eq!(text, expected);
}

/// Recording, provider, and what it says was used.
const NATIVE: [(&str, Provider, [u64; 5]); 8] = [
    (
        "openai/responses_cache_read",
        Provider::OpenAi,
        [8, 4012, 0, 5, 0],
    ),
    (
        "openai/responses_cache_write",
        Provider::OpenAi,
        [8, 0, 4012, 5, 0],
    ),
    (
        "openai/responses_json_schema",
        Provider::OpenAi,
        [45, 0, 0, 752, 704],
    ),
    (
        "openai/responses_stream",
        Provider::OpenAi,
        [13, 0, 0, 284, 256],
    ),
    (
        "openai/responses_stream_logprobs",
        Provider::OpenAi,
        [25, 0, 0, 10, 0],
    ),
    (
        "azure/v1_responses_stream",
        Provider::Azure,
        [18, 0, 0, 120, 64],
    ),
    (
        "azure/v1_responses_tool_call",
        Provider::Azure,
        [57, 0, 0, 18, 0],
    ),
    (
        "bedrock/mantle_responses_stream_data_before_event",
        Provider::OpenAiCompatible,
        [88, 0, 0, 14, 0],
    ),
];

#[test]
fn recordings_of_responses_pass_and_are_counted() {
    let Some(folder) = folder() else { return };
    let counters = |u: &Usage| [u.input, u.cache_read, u.cache_write, u.output, u.reasoning];
    for (name, provider, expected) in NATIVE {
        let recording = translated::read(&folder, name);
        let body = translated::body(&recording);
        let route = native(provider);
        assert!(route.is_same_dialect(), "{name}");
        let mut own = opening(Dialect::Responses);
        own.echo = None;
        let usage = if translated::is_stream(&recording) {
            let (text, usage) = streamed_as(own, route, &[&body]);
            assert!(body.starts_with(text.as_bytes()), "{name}: every byte");
            assert!(text.contains("response.completed"), "{name}");
            usage
        } else {
            let (reply, out) = route.reply(Bytes::from(body.clone()), &own);
            assert_eq!(out, body, "{name}: every byte");
            match reply {
                Reply::Completion(usage, false) => usage,
                other => panic!("{name}: {other:?}"),
            }
        };
        assert_eq!(counters(&usage), expected, "{name}");
    }
}

/// An answer of a provider, sent back with what a tool said to it.
fn next_request(provider: Provider, model: &str, whole: &Value) -> Value {
    let settings = Settings::default();
    let route = place(provider, model, &settings).route(Dialect::Responses);
    let (_, body) = route.reply(Bytes::from(whole.to_string()), &opening(Dialect::Responses));
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let mut input = vec![json!({"role": "user", "content": "Hi"})];
    for item in answer["output"].as_array().unwrap() {
        input.push(item.clone());
    }
    for item in answer["output"].as_array().unwrap() {
        if item["type"] == "function_call" {
            input.push(
                json!({"type": "function_call_output", "call_id": item["call_id"], "output": "x"}),
            );
        }
    }
    json!({"model": "public", "input": input, "reasoning": {"effort": "medium"},
        "tools": [{"type": "function", "name": "weather"}, {"type": "function", "name": "now"}]})
}

fn body_for(provider: Provider, model: &str, request: &Value) -> String {
    let body = request.to_string();
    let settings = Settings::default();
    let request = ChatRequest::read_as(Dialect::Responses, body.as_bytes()).unwrap();
    let plan = OutputPlan {
        tokens: 4000,
        tell: true,
    };
    // Nova cannot be told how much to think.
    let wishes = Wishes {
        drop_params: true,
        ..Wishes::default()
    };
    let outgoing = request
        .outgoing(&place(provider, model, &settings), plan, &wishes)
        .unwrap();
    String::from_utf8(outgoing.body.to_vec()).unwrap()
}

#[test]
fn sealed_thinking_goes_back_to_whom_it_came_from_and_to_nobody_else() {
    for (name, provider, model, (whole, _)) in answers() {
        let request = next_request(provider, model, &whole);
        let back = body_for(provider, model, &request);
        let to_openai = body_for(Provider::OpenAi, "gpt-5", &request);
        let to_gemini = body_for(Provider::Gemini, "gemini-3-pro", &request);
        match name {
            "anthropic" => {
                assert!(
                    back.contains(r#""thinking":"Hm, so.","signature":"c2VhbA==""#),
                    "{back}"
                );
                assert!(
                    back.contains(r#""type":"redacted_thinking","data":"hidden""#),
                    "{back}"
                );
                assert!(!to_gemini.contains("c2VhbA"), "{to_gemini}");
            }
            "gemini" => {
                assert!(back.contains(r#""thoughtSignature":"c2Vh+/8=""#), "{back}");
            }
            _ => {}
        }
        for foreign in ["cf1.", "c2V", "__thought__", "\"type\":\"reasoning\""] {
            assert!(!to_openai.contains(foreign), "{name}: {to_openai}");
        }
        assert!(to_openai.contains("function_call_output"), "{name}");
    }
}

#[test]
fn what_a_provider_cannot_do_is_refused_by_name() {
    let settings = Settings::default();
    for (client, fields, expected) in [
        (
            Dialect::Responses,
            json!({"tools": [{"type": "web_search"}]}),
            "tools[0]",
        ),
        (
            Dialect::Responses,
            json!({"tools": [{"type": "custom", "name": "x"}]}),
            "tools[0]",
        ),
        (
            Dialect::Responses,
            json!({"tool_choice": {"type": "allowed_tools"}}),
            "tool_choice",
        ),
        (
            Dialect::Responses,
            json!({"truncation": "auto"}),
            "truncation",
        ),
        (Dialect::Responses, json!({"prompt": {"id": "p"}}), "prompt"),
        (
            Dialect::Responses,
            json!({"text": {"verbosity": "low"}}),
            "text.verbosity",
        ),
        (
            Dialect::Responses,
            json!({"text": {"format": {"type": "grammar"}}}),
            "text.format",
        ),
        (
            Dialect::Responses,
            json!({"reasoning": {"effort": "huge"}}),
            "reasoning.effort",
        ),
        (Dialect::Responses, json!({"include": ["x"]}), "include"),
        (
            Dialect::Responses,
            json!({"input": [{"type": "item_reference", "id": "x"}]}),
            "input[0]",
        ),
        (
            Dialect::Responses,
            json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}),
            "input[0]",
        ),
        (
            Dialect::Responses,
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}),
            "uploaded file",
        ),
        (
            Dialect::Responses,
            json!({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}]}),
            "JSON object",
        ),
        (
            Dialect::Completions,
            json!({"prompt": ["a", "b"]}),
            "one text",
        ),
        (Dialect::Completions, json!({"prompt": [1, 2]}), "one text"),
        (Dialect::Completions, json!({"echo": true}), "echo"),
        (Dialect::Completions, json!({"suffix": "x"}), "suffix"),
        (Dialect::Completions, json!({"logprobs": 1}), "logprobs"),
        (Dialect::Completions, json!({"best_of": 2}), "best_of"),
        (Dialect::Completions, json!({"n": 2}), "n cannot be used"),
    ] {
        let mut body = json!({"model": "m", "input": "x", "prompt": "x"});
        if client == Dialect::Responses {
            body.as_object_mut().unwrap().remove("prompt");
        }
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let body = body.to_string();
        let body = match client {
            Dialect::Responses => body,
            _ => body.replace(r#""input":"x","#, ""),
        };
        let request = ChatRequest::read_as(client, body.as_bytes()).unwrap();
        let place = place(Provider::Anthropic, "claude-sonnet-5", &settings);
        let plan = OutputPlan {
            tokens: 100,
            tell: false,
        };
        let error = request
            .outgoing(&place, plan, &Wishes::default())
            .expect_err(&body);
        assert!(error.message.contains(expected), "{body}: {error}");
    }
}

#[test]
fn a_stream_that_fails_ends_with_an_event_that_says_so() {
    let settings = Settings::default();
    let route = place(Provider::Anthropic, "claude-sonnet-5", &settings).route(Dialect::Responses);
    let mut stream = route.stream(opening(Dialect::Responses));
    let begun = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n\
        data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hel\"}}\n\n\
        data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy sk-secret-1234\"}}\n\n";
    stream.push(Bytes::from_static(begun.as_bytes())).unwrap();
    let mut text = String::new();
    let failed = loop {
        match stream.next_frame().unwrap() {
            Some(StreamFrame::Pass(bytes)) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Some(StreamFrame::Failed(data)) => break stream.failure_frame(&data, "sk-secret-1234"),
            other => panic!("{other:?}"),
        }
    };
    text.push_str(std::str::from_utf8(&failed).unwrap());
    let last = assert_events_add_up(&text);
    assert_eq!(last["status"], "failed");
    assert_eq!(last["error"]["code"], "overloaded_error");
    assert_eq!(last["error"]["message"], "busy •••");
    assert!(stream.response().is_none(), "nothing to keep");

    // A provider that speaks Responses says it itself.
    let mut stream = native(Provider::OpenAi).route_stream();
    let failed = json!({"type": "response.failed", "sequence_number": 4,
        "response": {"id": "r", "status": "failed", "error": {"code": "server_error", "message": "x sk-secret-1234"}}});
    let event = format!("event: response.failed\ndata: {failed}\n\n");
    stream.push(Bytes::from(event.clone())).unwrap();
    let Some(StreamFrame::Failed(data)) = stream.next_frame().unwrap() else {
        panic!("it failed");
    };
    let frame = stream.failure_frame(&data, "sk-secret-1234");
    assert_eq!(frame, event.replace("sk-secret-1234", "•••"));
    let cut = stream.error_frame("Cut off.", "upstream_timeout");
    assert_eq!(
        cut,
        "event: error\ndata: {\"code\":\"upstream_timeout\",\"message\":\"Cut off.\",\"param\":null,\"sequence_number\":5,\"type\":\"error\"}\n\n"
    );
}

trait RouteStream {
    fn route_stream(&self) -> cf_llm::ChatStream;
}

impl RouteStream for Route {
    fn route_stream(&self) -> cf_llm::ChatStream {
        self.stream(opening(Dialect::Responses))
    }
}

#[test]
fn whole_replies_that_are_none_are_told_apart() {
    let route = native(Provider::OpenAi);
    let read = |body: &str| {
        route
            .reply(Bytes::from(body.to_owned()), &opening(Dialect::Responses))
            .0
    };
    assert_eq!(read("<html>"), Reply::Unreadable);
    assert_eq!(read("{}"), Reply::Unreadable);
    assert_eq!(read(r#"{"error":{"message":"no"}}"#), Reply::Failed);
    assert_eq!(
        read(r#"{"id":"r","status":"failed","error":{"message":"no"},"output":[]}"#),
        Reply::Failed
    );
    let Reply::Completion(usage, true) =
        read(r#"{"id":"r","status":"completed","output":["abcd"]}"#)
    else {
        panic!("estimated");
    };
    assert_eq!((usage.input, usage.output), (77, 3));
}

#[test]
fn an_answer_that_is_cut_short_is_incomplete() {
    let settings = Settings::default();
    let route = place(Provider::Anthropic, "claude-sonnet-5", &settings).route(Dialect::Responses);
    for (stop, reason) in [
        ("max_tokens", "max_output_tokens"),
        ("refusal", "content_filter"),
    ] {
        let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "c",
            "content": [{"type": "text", "text": "Hel"}], "stop_reason": stop,
            "usage": {"input_tokens": 1, "output_tokens": 2}});
        let (_, body) = route.reply(Bytes::from(whole.to_string()), &opening(Dialect::Responses));
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["status"], "incomplete");
        assert_eq!(answer["incomplete_details"]["reason"], reason);
        assert_eq!(answer["output"][0]["status"], "incomplete");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_a_refusal(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (_, dialect) in BOTH {
            let _ = ChatRequest::read_as(dialect, &body);
        }
        let _ = History::read(&body);
    }

    #[test]
    fn any_json_is_sent_or_refused(input in json_value(), tools in json_value(), text in json_value()) {
        let settings = Settings::default();
        for (_, dialect) in BOTH {
            let body = json!({"model": "m", "input": input, "prompt": input, "tools": tools, "text": text});
            let body = body.to_string();
            let Ok(request) = ChatRequest::read_as(dialect, body.as_bytes()) else { continue };
            let plan = OutputPlan { tokens: 100, tell: true };
            for provider in [Provider::OpenAi, Provider::Anthropic, Provider::Gemini, Provider::Bedrock,
                             Provider::OpenAiCompatible] {
                let outgoing = request.outgoing(&place(provider, "m", &settings), plan, &Wishes::default());
                if let Ok(outgoing) = outgoing {
                    prop_assert!(serde_json::from_slice::<Value>(&outgoing.body).is_ok());
                }
            }
            if let Ok(mut history) = History::read(body.as_bytes()) {
                let body = Bytes::from(body.clone());
                let _ = history.complete(&body, &[], &Default::default());
            }
        }
    }
}

/// JSON made of the words that requests are made of.
fn json_value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("message"),
        Just("function_call"),
        Just("function_call_output"),
        Just("reasoning"),
        Just("user"),
        Just("assistant"),
        Just("input_text"),
        Just("input_image"),
        Just("input_file"),
        Just("data:image/png;base64,AA"),
        Just("item_reference"),
        Just("{}"),
        Just("x"),
        Just("json_schema"),
    ];
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("type"),
        Just("role"),
        Just("content"),
        Just("text"),
        Just("call_id"),
        Just("name"),
        Just("arguments"),
        Just("output"),
        Just("image_url"),
        Just("file_data"),
        Just("encrypted_content"),
        Just("id"),
        Just("format"),
        Just("schema"),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..5).prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<Value>()
            }),
        ]
    })
}
