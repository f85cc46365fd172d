//! The traps of the providers that concern translation, each by its number in
//! `docs/traps.md`.

use bytes::Bytes;
use cf_base::Kind;
use cf_llm::{
    ChatRequest, Dialect, Opening, Outgoing, OutputPlan, Place, Provider, Reply, Route, Settings,
    StreamFrame, Wishes,
};
use serde_json::{Value, json};

const PLAN: OutputPlan = OutputPlan {
    tokens: 1000,
    tell: false,
};

fn route(provider: Provider, model: &str, client: Dialect) -> Route {
    let settings = Settings::default();
    let place = Place {
        provider,
        model,
        base_url: "",
        region: "",
        settings: &settings,
        project: "",
        has_plain_key: false,
    };
    place.route(client)
}

fn outgoing(
    dialect: Dialect,
    body: &Value,
    provider: Provider,
    model: &str,
    wishes: &Wishes,
) -> cf_base::Result<Outgoing> {
    let body = body.to_string();
    let request = ChatRequest::read_as(dialect, body.as_bytes())?;
    let settings = Settings::default();
    let place = Place {
        provider,
        model,
        base_url: "https://x.example",
        region: "eu",
        settings: &settings,
        project: "p",
        has_plain_key: false,
    };
    let outgoing = request.outgoing(&place, PLAN, wishes)?;
    request.check_version(&outgoing.route, wishes)?;
    Ok(outgoing)
}

fn sent(body: &Value, provider: Provider, model: &str) -> Value {
    let out = outgoing(Dialect::OpenAi, body, provider, model, &Wishes::default());
    let out = out.unwrap_or_else(|e| panic!("{provider:?}: {e}"));
    serde_json::from_slice(&out.body).unwrap()
}

fn refused(body: &Value, provider: Provider, model: &str) -> (String, String) {
    let out = outgoing(Dialect::OpenAi, body, provider, model, &Wishes::default());
    let error = out.expect_err("a refusal");
    let Kind::Invalid { field } = &error.kind else {
        panic!("{error}");
    };
    (
        field.as_deref().unwrap_or_default().to_owned(),
        error.message.to_string(),
    )
}

fn opening() -> Opening {
    Opening {
        id: "chatcmpl-abc".into(),
        include_usage: true,
        ..Opening::default()
    }
}

fn stream(route: Route, body: &[u8]) -> (String, (cf_base::Usage, bool)) {
    let mut stream = route.stream(opening());
    stream.push(Bytes::copy_from_slice(body)).unwrap();
    let mut out = Vec::new();
    loop {
        match stream.next_frame().unwrap() {
            Some(StreamFrame::Pass(bytes)) => out.extend_from_slice(&bytes),
            Some(StreamFrame::Done(bytes)) => {
                out.extend_from_slice(&bytes);
                break;
            }
            Some(StreamFrame::Failed(data)) => panic!("{}", String::from_utf8_lossy(&data)),
            None => match stream.end() {
                StreamFrame::Done(bytes) => {
                    out.extend_from_slice(&bytes);
                    break;
                }
                other => panic!("{other:?}"),
            },
        }
    }
    (String::from_utf8(out).unwrap(), stream.usage())
}

fn asking(messages: Value) -> Value {
    json!({"model": "m", "messages": messages})
}

fn hi() -> Value {
    asking(json!([{"role": "user", "content": "Hi"}]))
}

fn with(field: &str, value: Value) -> Value {
    let mut body = hi();
    body[field] = value;
    body
}

#[test]
fn trap_1_googles_counts_are_sums_so_far() {
    let chunk = |text: &str, output: u64, finish: &str| {
        let finish = if finish.is_empty() {
            Value::Null
        } else {
            finish.into()
        };
        json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": finish}],
            "usageMetadata": {"promptTokenCount": 15, "candidatesTokenCount": output, "thoughtsTokenCount": 40}})
    };
    let chunks = [chunk("a", 1, ""), chunk("b", 2, ""), chunk("c", 3, "STOP")];
    let body: String = chunks
        .iter()
        .map(|c| format!("data: {c}\r\n\r\n"))
        .collect();
    let (_, (usage, estimated)) = stream(
        route(Provider::Gemini, "gemini-3", Dialect::OpenAi),
        body.as_bytes(),
    );
    assert_eq!(
        (usage.input, usage.output, usage.reasoning, estimated),
        (15, 43, 40, false)
    );
}

#[test]
fn trap_5_googles_seals_come_back_by_field_and_by_id() {
    let reply = json!({"candidates": [{"content": {"parts": [
        {"functionCall": {"name": "weather", "args": {"a": 1}}, "thoughtSignature": "c2Vh+/8="},
        {"functionCall": {"name": "weather", "args": {"a": 2}}}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}});
    let route = route(Provider::Gemini, "gemini-3-pro", Dialect::OpenAi);
    let (_, body) = route.reply(Bytes::from(reply.to_string()), &opening());
    let body: Value = serde_json::from_slice(&body).unwrap();
    let given = &body["choices"][0]["message"]["tool_calls"];
    assert_eq!(
        given[0]["extra_content"]["google"]["thought_signature"],
        "c2Vh+/8="
    );
    assert_ne!(given[0]["id"], given[1]["id"]);
    // A client that keeps only what it knows: id, name, arguments.
    let known =
        |call: &Value| json!({"id": call["id"], "type": "function", "function": call["function"]});
    let history = asking(json!([
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": null, "tool_calls": [known(&given[0]), known(&given[1])]},
        {"role": "tool", "tool_call_id": given[0]["id"], "content": "one"},
        {"role": "tool", "tool_call_id": given[1]["id"], "content": "two"}]));
    let back = sent(&history, Provider::Gemini, "gemini-3-pro");
    let parts = &back["contents"][1]["parts"];
    assert_eq!(parts[0]["thoughtSignature"], "c2Vh+/8=");
    assert_eq!(
        parts[0]["functionCall"],
        json!({"name": "weather", "args": {"a": 1}})
    );
    assert_eq!(parts[1]["thoughtSignature"], Value::Null);
    let results = &back["contents"][2]["parts"];
    assert_eq!(
        results[1]["functionResponse"],
        json!({"name": "weather", "response": {"result": "two"}})
    );
    // Another provider is told neither the seal nor an id that is too long.
    for (provider, model, id) in [
        (
            Provider::OpenAi,
            "gpt",
            &["messages", "1", "tool_calls", "0", "id"][..],
        ),
        (
            Provider::Anthropic,
            "claude-sonnet-5",
            &["messages", "1", "content", "0", "id"],
        ),
        (
            Provider::Bedrock,
            "amazon.nova",
            &["messages", "1", "content", "0", "toolUse", "toolUseId"],
        ),
    ] {
        let body = sent(&history_with_tools(&history), provider, model);
        let id = body
            .pointer(&format!("/{}", id.join("/")))
            .unwrap()
            .as_str()
            .unwrap();
        assert!(
            id.len() <= 64 && !id.contains("__thought__"),
            "{provider:?}: {id}"
        );
        assert_eq!(
            body.to_string().matches(id).count(),
            2,
            "{provider:?}: call and result"
        );
    }
}

fn history_with_tools(history: &Value) -> Value {
    let mut body = history.clone();
    body["tools"] = json!([{"type": "function", "function": {"name": "weather"}}]);
    body
}

#[test]
fn a_history_without_seals_is_taken_by_the_newer_geminis() {
    let history = asking(json!([
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"}]));
    let newer = sent(&history, Provider::Gemini, "gemini-3-pro");
    assert_eq!(
        newer["contents"][1]["parts"][0]["thoughtSignature"],
        "skip_thought_signature_validator"
    );
    assert_eq!(
        newer["contents"][1]["parts"][0]["functionCall"]["id"],
        "call_1"
    );
    let older = sent(&history, Provider::Vertex, "gemini-2.5-flash");
    assert_eq!(
        older["contents"][1]["parts"][0],
        json!({"functionCall": {"name": "f", "args": {}}})
    );
}

#[test]
fn trap_7_vertex_speaks_of_usage_long_before_it_counts() {
    let chunk = |text: &str, usage: Value| {
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}],
            "usageMetadata": usage})
    };
    let mut last = chunk(
        "c",
        json!({"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12,
            "trafficType": "ON_DEMAND"}),
    );
    last["candidates"][0]["finishReason"] = "STOP".into();
    let chunks = [
        chunk("a", json!({"trafficType": "ON_DEMAND"})),
        chunk("b", json!({"trafficType": "ON_DEMAND"})),
        last,
    ];
    let body: String = chunks.iter().map(|c| format!("data: {c}\n\n")).collect();
    let vertex = route(Provider::Vertex, "gemini-2.5-flash", Dialect::OpenAi);
    let (_, (usage, estimated)) = stream(vertex, body.as_bytes());
    assert_eq!((usage.input, usage.output, estimated), (9, 3, false));
    // Where the counts never come, the traffic alone is no count.
    let cut = format!("data: {}\n\n", chunks[0]);
    let mut stream = vertex.stream(Opening {
        estimated_input: 77,
        ..opening()
    });
    stream.push(Bytes::from(cut)).unwrap();
    while stream.next_frame().unwrap().is_some() {}
    let (usage, estimated) = stream.usage();
    assert_eq!((usage.input, estimated), (77, true));
}

#[test]
fn trap_10_input_is_counted_as_each_client_expects() {
    let reply = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": "end_turn", "usage": {"input_tokens": 3, "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 50, "output_tokens": 5}});
    let claude = route(Provider::Anthropic, "claude", Dialect::OpenAi);
    let (_, body) = claude.reply(Bytes::from(reply.to_string()), &opening());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["usage"]["prompt_tokens"], 153);
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 100);
    let reply = json!({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 153, "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 50}}});
    let openai = route(Provider::OpenAi, "gpt", Dialect::Anthropic);
    let (_, body) = openai.reply(Bytes::from(reply.to_string()), &opening());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body["usage"],
        json!({"input_tokens": 3, "cache_creation_input_tokens": 50, "cache_read_input_tokens": 100, "output_tokens": 5})
    );
}

#[test]
fn trap_11_claudes_counts_at_the_end_replace_those_of_the_start() {
    let events = [
        json!({"type": "message_start", "message": {"id": "m", "model": "claude", "usage": {
            "input_tokens": 4, "cache_read_input_tokens": 1167, "output_tokens": 88}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {
            "input_tokens": 9, "cache_read_input_tokens": 1167, "output_tokens": 256}}),
        json!({"type": "message_stop"}),
    ];
    let body: String = events.iter().map(|e| format!("data: {e}\n\n")).collect();
    for client in [Dialect::OpenAi, Dialect::Anthropic] {
        let claude = route(Provider::Anthropic, "claude", client);
        let (_, (usage, estimated)) = stream(claude, body.as_bytes());
        assert_eq!(
            (usage.input, usage.cache_read, usage.output, estimated),
            (9, 1167, 256, false),
            "{client:?}"
        );
    }
}

#[test]
fn trap_12_passes_that_claudes_totals_leave_out_are_counted() {
    let usage = json!({"input_tokens": 181, "output_tokens": 8, "cache_read_input_tokens": 0, "iterations": [
        {"type": "compaction", "input_tokens": 100, "cache_read_input_tokens": 55_096, "output_tokens": 83},
        {"type": "message", "input_tokens": 181, "output_tokens": 8},
        {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 2_543, "output_tokens": 18}]});
    let reply = json!({"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": "end_turn", "usage": usage});
    let claude = route(Provider::Anthropic, "claude", Dialect::OpenAi);
    let body = Bytes::from(reply.to_string());
    let others = claude.other_models(&body);
    let (Reply::Completion(used, false), _) = claude.reply(body, &opening()) else {
        panic!("an answer with its counts");
    };
    assert_eq!(
        (used.input, used.cache_read, used.output),
        (281, 55_096, 91)
    );
    let [(model, adviser)] = &others[..] else {
        panic!("{others:?}");
    };
    assert_eq!(
        (&**model, adviser.input, adviser.output),
        ("claude-opus-4-8", 2_543, 18)
    );
}

#[test]
fn trap_14_sampling_settings_are_refused_where_the_model_or_the_version_has_none() {
    let warm = with("temperature", json!(0.7));
    let (field, message) = refused(&warm, Provider::Anthropic, "claude-opus-4-7");
    assert!(
        field == "temperature" && message.contains("drop_params"),
        "{message}"
    );
    // The usual value says nothing, and older models have the setting.
    let usual = sent(
        &with("temperature", json!(1)),
        Provider::Anthropic,
        "claude-opus-4-7",
    );
    assert_eq!(usual["temperature"], Value::Null);
    assert_eq!(
        sent(&warm, Provider::Anthropic, "claude-haiku-4-5")["temperature"],
        0.7
    );
    let body = json!({"model": "m", "max_tokens": 9, "temperature": 1, "messages": [{"role": "user", "content": "Hi"}]});
    let wishes = Wishes {
        anthropic_version: Some("2026-10-21".into()),
        ..Wishes::default()
    };
    for provider in [Provider::OpenAi, Provider::Bedrock, Provider::Gemini] {
        let error =
            outgoing(Dialect::Anthropic, &body, provider, "x", &wishes).expect_err("refused");
        assert!(
            error.message.contains("Extra inputs are not permitted"),
            "{error}"
        );
    }
    let passed = outgoing(
        Dialect::Anthropic,
        &body,
        Provider::Anthropic,
        "claude",
        &wishes,
    )
    .unwrap();
    assert_eq!(passed.headers["anthropic-version"], "2026-10-21");
}

#[test]
fn trap_17_bedrock_counts_after_it_said_why_it_stopped() {
    let events = [
        ("messageStart", json!({"role": "assistant"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 53, "outputTokens": 21, "totalTokens": 74}}),
        ),
    ];
    let body: Vec<u8> = events
        .iter()
        .flat_map(|(name, e)| cf_testkit::aws_message(name, e.to_string().as_bytes()))
        .collect();
    let nova = route(Provider::Bedrock, "amazon.nova-2", Dialect::OpenAi);
    let (text, (usage, estimated)) = stream(nova, &body);
    assert_eq!((usage.input, usage.output, estimated), (53, 21, false));
    let (counted, done) = (text.find("\"total_tokens\":74"), text.find("[DONE]"));
    assert!(counted.is_some() && counted < done, "{text}");
}

#[test]
fn trap_19_bedrocks_own_metrics_are_not_what_was_used() {
    use base64::Engine as _;
    let events = [
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 133}}),
        json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 97}}),
    ];
    let body: Vec<u8> = events
        .iter()
        .map(|e| json!({"bytes": base64::engine::general_purpose::STANDARD.encode(e.to_string())}))
        .flat_map(|payload| cf_testkit::aws_message("chunk", payload.to_string().as_bytes()))
        .collect();
    let claude = route(Provider::Bedrock, "anthropic.claude", Dialect::Anthropic);
    let (text, (usage, estimated)) = stream(claude, &body);
    assert_eq!((usage.input, usage.output, estimated), (9, 133, false));
    assert!(text.starts_with("event: message_start\ndata: {"), "{text}");
}

#[test]
fn trap_22_data_may_come_before_the_events_name() {
    let body = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\"}}\nevent: message_start\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"text\":\"Hi\"}}\nevent: content_block_delta\n\n\
        data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\nevent: message_delta\n\n\
        data: {\"type\":\"message_stop\"}\nevent: message_stop\n\n";
    let claude = route(Provider::Anthropic, "claude", Dialect::OpenAi);
    let (text, _) = stream(claude, body.as_bytes());
    assert!(
        text.contains("\"content\":\"Hi\"") && text.ends_with("[DONE]\n\n"),
        "{text}"
    );
}

#[test]
fn trap_23_azures_first_chunk_names_nothing_and_the_next_does() {
    let body = "data: {\"id\":\"\",\"model\":\"\",\"created\":0,\"choices\":[],\"prompt_filter_results\":[]}\n\n\
        data: {\"id\":\"chatcmpl-1\",\"model\":\"gpt-5\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n\
        data: {\"id\":\"chatcmpl-1\",\"model\":\"gpt-5\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: [DONE]\n\n";
    let azure = route(Provider::Azure, "deployment", Dialect::Anthropic);
    let (text, _) = stream(azure, body.as_bytes());
    assert!(
        text.contains("\"id\":\"msg_chatcmpl-1\"") && text.contains("\"model\":\"gpt-5\""),
        "{text}"
    );
}

#[test]
fn trap_31_mistrals_lists_and_calls_without_index_are_understood() {
    let body = "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"Hm\"}]}]}}]}\n\n\
        data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"So\"}}]}\n\n\
        data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"id\":\"abcdefghi\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\n\
        data: [DONE]\n\n";
    let mistral = route(Provider::Mistral, "m", Dialect::Anthropic);
    let (text, (usage, _)) = stream(mistral, body.as_bytes());
    for part in [
        "\"thinking\":\"Hm\"",
        "\"text\":\"So\"",
        "\"id\":\"abcdefghi\"",
        "\"stop_reason\":\"tool_use\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((usage.input, usage.output), (3, 2));
}

#[test]
fn trap_33_ids_are_made_to_fit_and_still_find_each_other() {
    let history = history_with_tools(&asking(json!([
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": format!("call:{}", "x".repeat(90)),
            "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": format!("call:{}", "x".repeat(90)), "content": "x"}])));
    let mistral = sent(&history, Provider::Mistral, "mistral-large");
    let id = mistral["messages"][1]["tool_calls"][0]["id"]
        .as_str()
        .unwrap();
    assert!(
        id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{id}"
    );
    assert_eq!(mistral["messages"][2]["tool_call_id"], id);
    let claude = sent(&history, Provider::Anthropic, "claude-sonnet-5");
    let id = claude["messages"][1]["content"][0]["id"].as_str().unwrap();
    assert!(id.len() <= 64 && !id.contains(':'), "{id}");
    assert_eq!(claude["messages"][2]["content"][0]["tool_use_id"], id);
}

#[test]
fn trap_34_nothing_is_not_an_empty_text_and_no_arguments_are_an_empty_object() {
    let history = history_with_tools(&asking(json!([
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function",
            "function": {"name": "weather", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "c1", "content": ""}])));
    let claude = sent(&history, Provider::Anthropic, "claude-sonnet-5");
    assert_eq!(
        claude["messages"][0]["content"],
        json!([{"type": "text", "text": "?"}])
    );
    assert_eq!(
        claude["messages"][1]["content"],
        json!([{"type": "tool_use", "id": "c1", "name": "weather", "input": {}}])
    );
    assert_eq!(
        claude["messages"][2]["content"],
        json!([{"type": "tool_result", "tool_use_id": "c1"}])
    );
    let nova = sent(&history, Provider::Bedrock, "amazon.nova");
    assert_eq!(
        nova["messages"][1]["content"][0]["toolUse"]["input"],
        json!({})
    );
    let gemini = sent(&history, Provider::Gemini, "gemini-2.5-pro");
    assert_eq!(
        gemini["contents"][1]["parts"][0]["functionCall"]["args"],
        json!({})
    );
}

#[test]
fn what_cannot_be_done_is_named_with_the_provider() {
    let picture = |url: &str| {
        asking(
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]),
        )
    };
    let sound = asking(json!([{"role": "user", "content": [{"type": "input_audio",
        "input_audio": {"data": "AAAA", "format": "wav"}}]}]));
    let claude = (Provider::Anthropic, "claude-sonnet-5");
    let nova = (Provider::Bedrock, "amazon.nova-2-lite-v1:0");
    let gemini = (Provider::Gemini, "gemini-3-pro");
    for (body, at, field) in [
        (with("n", json!(2)), claude, "n"),
        (with("seed", json!(1)), claude, "seed"),
        (with("logprobs", json!(true)), claude, "logprobs"),
        (
            with("presence_penalty", json!(0.5)),
            claude,
            "presence_penalty",
        ),
        (
            with("response_format", json!({"type": "json_object"})),
            claude,
            "response_format",
        ),
        (with("stop", json!([" \n"])), claude, "stop"),
        (
            with("web_search_options", json!({})),
            claude,
            "web_search_options",
        ),
        (
            with("reasoning_effort", json!("high")),
            (Provider::Anthropic, "claude-3-5-haiku"),
            "reasoning_effort",
        ),
        (sound, claude, "messages"),
        (with("n", json!(2)), nova, "n"),
        (with("seed", json!(1)), nova, "seed"),
        (with("temperature", json!(1.5)), nova, "temperature"),
        (picture("https://a.example/a.png"), nova, "messages"),
        (
            with("reasoning_effort", json!("none")),
            gemini,
            "reasoning_effort",
        ),
        (picture("https://a.example/no-end"), gemini, "messages"),
        (
            with("modalities", json!(["text", "audio"])),
            gemini,
            "modalities",
        ),
    ] {
        let (found, message) = refused(&body, at.0, at.1);
        assert_eq!(found, field, "{message}");
        assert!(!message.is_empty());
        // With leave to drop, all goes but content.
        let wishes = Wishes {
            drop_params: true,
            ..Wishes::default()
        };
        let out = outgoing(Dialect::OpenAi, &body, at.0, at.1, &wishes);
        match out {
            Ok(out) => assert_eq!(out.dropped, [field], "{message}"),
            Err(_) => assert_eq!(field, "messages"),
        }
    }
    assert_eq!(
        sent(&picture("https://a.example/a.png"), claude.0, claude.1)["messages"][0]["content"][0]
            ["source"],
        json!({"type": "url", "url": "https://a.example/a.png"})
    );
    let file = &sent(&picture("https://a.example/a.png?x=1"), gemini.0, gemini.1)["contents"][0]["parts"]
        [0];
    assert_eq!(
        file["fileData"],
        json!({"mimeType": "image/png", "fileUri": "https://a.example/a.png?x=1"})
    );
}

#[test]
fn schemas_and_arguments_keep_their_order_and_their_numbers() {
    const SCHEMA: &str =
        r#"{"type":"object","properties":{"z":{"minimum":1.50},"a":{"maximum":1e400}}}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],
            "tools":[{{"type":"function","function":{{"name":"f","parameters":{SCHEMA}}}}}],
            "response_format":{{"type":"json_schema","json_schema":{{"name":"x","schema":{SCHEMA}}}}}}}"#
    );
    let settings = Settings::default();
    for (provider, model) in EVERYBODY {
        let place = Place {
            provider,
            model,
            base_url: "",
            region: "eu",
            settings: &settings,
            project: "p",
            has_plain_key: false,
        };
        let request = ChatRequest::parse(body.as_bytes()).unwrap();
        let out = request.outgoing(&place, PLAN, &Wishes::default()).unwrap();
        let out = String::from_utf8(out.body.to_vec()).unwrap();
        let quoted = serde_json::to_string(SCHEMA).unwrap();
        let found = out.matches(SCHEMA).count() + out.matches(&quoted).count();
        assert_eq!(found, 2, "{provider:?}: {out}");
    }
}

#[test]
fn a_word_of_our_own_does_not_reach_a_provider_of_the_same_dialect() {
    let body = with("drop_params", json!(true));
    let out = sent(&body, Provider::OpenAi, "gpt");
    assert_eq!(out["drop_params"], Value::Null);
    assert_eq!(out["messages"], body["messages"]);
}

#[test]
fn log_probabilities_of_google_are_given_in_openais_shape() {
    let reply = json!({"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP",
        "logprobsResult": {"chosenCandidates": [{"token": "Hi", "logProbability": -0.25}],
            "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.25}, {"token": "é", "logProbability": -2}]}]}}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}});
    let gemini = route(Provider::Gemini, "gemini-3", Dialect::OpenAi);
    let (_, body) = gemini.reply(Bytes::from(reply.to_string()), &opening());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body["choices"][0]["logprobs"],
        json!({"content": [{"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": [
            {"token": "Hi", "logprob": -0.25, "bytes": [72, 105]},
            {"token": "é", "logprob": -2, "bytes": [195, 169]}]}]})
    );
}

const EVERYBODY: [(Provider, &str); 8] = [
    (Provider::OpenAi, "gpt"),
    (Provider::Mistral, "mistral"),
    (Provider::Anthropic, "claude-haiku-4-5"),
    (Provider::Vertex, "claude-sonnet-5"),
    (Provider::Bedrock, "anthropic.claude-sonnet-5"),
    (Provider::Bedrock, "amazon.nova-2"),
    (Provider::Gemini, "gemini-3-pro"),
    (Provider::Vertex, "gemini-2.5-flash"),
];
