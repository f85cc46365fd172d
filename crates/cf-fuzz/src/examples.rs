//! A sound request, answer and stream of each dialect, with as much in it as there is.

use cf_llm::Dialect;
use serde_json::{Value, json};

/// What clients speak.
pub const CLIENTS: [Dialect; 4] = [
    Dialect::OpenAi,
    Dialect::Anthropic,
    Dialect::Responses,
    Dialect::Completions,
];

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwC";

/// A request of a client.
pub fn request(client: Dialect) -> Value {
    let schema = json!({"type": "object", "properties": {"z": {"type": "string"}}});
    match client {
        Dialect::Anthropic => json!({
            "model": "m", "stream": true, "max_tokens": 4000,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Think.", "signature": "c2VhbA=="},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"z": "Berlin"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                        {"type": "text", "text": "rain"}]},
                    {"type": "text", "text": "And tomorrow?"}]}],
            "tools": [{"name": "weather", "description": "Weather", "input_schema": schema}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "stop_sequences": ["END"], "metadata": {"user_id": "u-1"}, "temperature": 1,
        }),
        Dialect::Responses => json!({
            "model": "m", "stream": true, "instructions": "Be brief.", "max_output_tokens": 4000,
            "input": [
                {"role": "user", "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": PIXEL, "detail": "low"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}]},
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}],
                    "encrypted_content": "eA=="},
                {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{\"z\": 1}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
                {"role": "assistant", "content": [{"type": "output_text", "text": "Sun"}]}],
            "tools": [{"type": "function", "name": "weather", "parameters": schema, "strict": true}],
            "tool_choice": {"type": "function", "name": "weather"},
            "text": {"format": {"type": "json_schema", "name": "a", "schema": schema}},
            "reasoning": {"effort": "medium", "summary": "auto"}, "temperature": 1, "top_p": 1,
            "store": false, "user": "u", "metadata": {"a": "b"}, "parallel_tool_calls": false,
        }),
        Dialect::Completions => json!({
            "model": "m", "prompt": "Once upon", "max_tokens": 16, "n": 1, "stream": true,
            "stream_options": {"include_usage": true}, "stop": ["\n"], "temperature": 0.5, "echo": false,
            "logprobs": null, "suffix": null, "user": "u",
        }),
        _ => json!({
            "model": "m", "stream": true, "max_completion_tokens": 4000,
            "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}},
                    {"type": "input_audio", "input_audio": {"data": "UklGRgAA", "format": "wav"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}]},
                {"role": "assistant", "content": "", "reasoning_content": "Think.",
                    "reasoning_details": [{"type": "reasoning.text", "text": "Think.", "signature": "c2VhbA==",
                        "format": "anthropic-claude-v1"}],
                    "tool_calls": [{"id": "call_1__thought__R29vZ2xl", "type": "function",
                        "function": {"name": "weather", "arguments": "{\"z\": \"Berlin\"}"}}]},
                {"role": "tool", "tool_call_id": "call_1__thought__R29vZ2xl", "content": "sunny"},
                {"role": "user", "content": "And tomorrow?"}],
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": schema, "strict": true}}],
            "tool_choice": "auto", "parallel_tool_calls": true,
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
            "reasoning_effort": "medium", "temperature": 1.0, "top_p": 1, "stop": ["END"], "user": "u-1",
            "n": 1, "logprobs": false, "presence_penalty": 0, "seed": 7, "service_tier": "auto",
        }),
    }
}

/// A whole answer in a provider's dialect.
pub fn answer(upstream: Dialect) -> Value {
    match upstream {
        Dialect::Anthropic => {
            json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2VhbA=="},
                {"type": "redacted_thinking", "data": "hidden"},
                {"type": "text", "text": "Größe: \"1\"\n"},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"z": 1}}],
            "stop_reason": "tool_use", "usage": {"input_tokens": 10, "cache_read_input_tokens": 90,
                "cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": 2,
                    "ephemeral_1h_input_tokens": 3}, "output_tokens": 42, "service_tier": "standard",
                "output_tokens_details": {"thinking_tokens": 12}, "server_tool_use": {"web_search_requests": 1},
                "iterations": [{"type": "message", "input_tokens": 10, "output_tokens": 42},
                    {"type": "advisor_message", "model": "claude-other", "input_tokens": 9, "output_tokens": 9}]}})
        }
        Dialect::Gemini => gemini_chunk("Größe: \"1\"\n", true),
        Dialect::Converse => json!({"output": {"message": {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2VhbA=="}}},
                {"text": "Größe: \"1\"\n"},
                {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"z": 1}}}]}},
            "stopReason": "tool_use", "usage": converse_usage()}),
        Dialect::Responses => response("completed"),
        Dialect::Completions => {
            json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "x",
            "choices": [{"text": "a time", "index": 0, "finish_reason": "stop", "logprobs": null}],
            "usage": chat_usage()})
        }
        Dialect::OpenAi => {
            json!({"id": "chatcmpl-9", "object": "chat.completion", "created": 7, "model": "x",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": null,
                "message": {"role": "assistant", "content": "Größe: \"1\"\n", "reasoning_content": "Hm.",
                    "refusal": null, "tool_calls": [{"id": "call_1", "type": "function",
                        "function": {"name": "weather", "arguments": "{\"z\":1}"}}]}}],
            "usage": chat_usage(), "service_tier": "default"})
        }
    }
}

/// The events of a streamed answer in a provider's dialect: their names, where they
/// have some, and their data.
pub fn events(upstream: Dialect) -> Vec<(&'static str, Value)> {
    match upstream {
        Dialect::Anthropic => anthropic_events(),
        Dialect::Gemini => vec![
            ("", gemini_chunk("Grö", false)),
            ("", gemini_chunk("ße", true)),
        ],
        Dialect::Converse => converse_events(),
        Dialect::Responses => vec![
            (
                "response.created",
                json!({"type": "response.created", "sequence_number": 0,
                "response": response("in_progress")}),
            ),
            (
                "response.output_text.delta",
                json!({"type": "response.output_text.delta",
                "sequence_number": 1, "delta": "Größe"}),
            ),
            (
                "response.completed",
                json!({"type": "response.completed", "sequence_number": 2,
                "response": response("completed")}),
            ),
        ],
        Dialect::Completions => vec![
            (
                "",
                json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "x",
                "choices": [{"text": "a ", "index": 0, "finish_reason": null}]}),
            ),
            (
                "",
                json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "x",
                "choices": [{"text": "time", "index": 0, "finish_reason": "stop"}], "usage": chat_usage()}),
            ),
            ("", Value::String("[DONE]".into())),
        ],
        Dialect::OpenAi => chat_events(),
    }
}

fn chat_usage() -> Value {
    json!({"prompt_tokens": 100, "completion_tokens": 42, "total_tokens": 142,
        "prompt_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 3, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 12, "audio_tokens": 1}})
}

fn converse_usage() -> Value {
    json!({"inputTokens": 10, "outputTokens": 42, "totalTokens": 142, "cacheReadInputTokens": 90,
        "cacheWriteInputTokens": 5, "cacheDetails": [{"ttl": "1h", "inputTokens": 2}]})
}

fn response(status: &str) -> Value {
    json!({"id": "resp_theirs", "object": "response", "created_at": 5, "status": status, "model": "x",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "eA=="},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "Größe", "annotations": []}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}],
        "usage": {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 1},
            "output_tokens": 42, "output_tokens_details": {"reasoning_tokens": 12}, "total_tokens": 142},
        "service_tier": "default", "error": null, "incomplete_details": null, "tools": []})
}

fn gemini_chunk(text: &str, last: bool) -> Value {
    let mut parts = vec![
        json!({"text": "Hm.", "thought": true}),
        json!({"text": text, "thoughtSignature": "c2Vh"}),
    ];
    if last {
        parts.push(json!({"functionCall": {"name": "weather", "args": {"z": 1}}, "thoughtSignature": "c2Vh"}));
    }
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if last {
        candidate["finishReason"] = "STOP".into();
        candidate["groundingMetadata"] = json!({"webSearchQueries": ["a"]});
        candidate["logprobsResult"] = json!({
            "chosenCandidates": [{"token": "Hi", "logProbability": -0.25}],
            "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.25}]}]});
    }
    json!({"candidates": [candidate], "modelVersion": "gemini-3-pro", "responseId": "resp-1",
        "promptFeedback": {}, "usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 90,
            "candidatesTokenCount": 30, "thoughtsTokenCount": 12, "toolUsePromptTokenCount": 1,
            "totalTokenCount": 143, "trafficType": "ON_DEMAND",
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}]}})
}

fn anthropic_events() -> Vec<(&'static str, Value)> {
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
            "model": "claude", "content": [], "usage": {"input_tokens": 10, "cache_read_input_tokens": 90,
                "output_tokens": 1}}}),
        start(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        json!({"type": "ping"}),
        delta(0, json!({"type": "thinking_delta", "thinking": "Hm."})),
        delta(
            0,
            json!({"type": "signature_delta", "signature": "c2VhbA=="}),
        ),
        stop(0),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "Größe"})),
        stop(1),
        start(
            2,
            json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}),
        ),
        delta(2, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": "{\"z\":1}"}),
        ),
        stop(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 42}}),
        json!({"type": "message_stop"}),
    ];
    events.into_iter().map(|event| ("", event)).collect()
}

fn converse_events() -> Vec<(&'static str, Value)> {
    let delta = |index: u64, delta: Value| {
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta, "p": "abc"}),
        )
    };
    let stop = |index: u64| ("contentBlockStop", json!({"contentBlockIndex": index}));
    vec![
        ("messageStart", json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "Hm."}})),
        delta(0, json!({"reasoningContent": {"signature": "c2VhbA=="}})),
        stop(0),
        delta(1, json!({"text": "Größe"})),
        stop(1),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 2,
            "start": {"toolUse": {"toolUseId": "tooluse_1", "name": "weather"}}}),
        ),
        delta(2, json!({"toolUse": {"input": "{\"z\":"}})),
        delta(2, json!({"toolUse": {"input": "1}"}})),
        stop(2),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({"usage": converse_usage(), "metrics": {"latencyMs": 1}}),
        ),
    ]
}

fn chat_events() -> Vec<(&'static str, Value)> {
    let chunk = |choices: Value, usage: Value| {
        json!({"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 7, "model": "x",
            "choices": choices, "usage": usage})
    };
    let delta = |delta: Value| {
        chunk(
            json!([{"index": 0, "delta": delta, "finish_reason": null}]),
            Value::Null,
        )
    };
    let events = [
        json!({"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": []}),
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"reasoning_content": "Hm."})),
        delta(json!({"content": "Größe"})),
        delta(
            json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
            "function": {"name": "weather", "arguments": ""}}]}),
        ),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"z\":1}"}}]})),
        chunk(
            json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]),
            Value::Null,
        ),
        chunk(json!([]), chat_usage()),
        chunk(json!([]), Value::Null),
        Value::String("[DONE]".into()),
    ];
    events.into_iter().map(|event| ("", event)).collect()
}
