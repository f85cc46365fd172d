//! What was reserved against what real providers counted.

use cf_llm::{ChatRequest, Dialect, Place, Provider, Settings};
use serde_json::Value;

use crate::recordings::folder;

/// A recording, who was asked and by which name, and what went in by the
/// provider's own count, cached input and sound included.
const COUNTED: [(&str, Provider, &str, u64); 20] = [
    (
        "openai/chat_cache_read_after_write",
        Provider::OpenAi,
        "gpt-5.6",
        4_020,
    ),
    (
        "openai/chat_cache_write_tokens",
        Provider::OpenAi,
        "gpt-5.6",
        4_020,
    ),
    (
        "openai/chat_cached_tokens",
        Provider::OpenAi,
        "gpt-4o",
        1_149,
    ),
    (
        "openai/chat_input_audio",
        Provider::OpenAi,
        "gpt-4o-audio-preview",
        64,
    ),
    (
        "openai/chat_parallel_tool_calls",
        Provider::OpenAi,
        "gpt-4o",
        67,
    ),
    (
        "openai/chat_service_tier_priority",
        Provider::OpenAi,
        "gpt-5",
        8,
    ),
    (
        "openai/chat_stream_chunk_after_usage",
        Provider::OpenAi,
        "gpt-4o",
        13,
    ),
    (
        "azure/deployment_reasoning_gpt5nano",
        Provider::Azure,
        "gpt-5-nano",
        11,
    ),
    (
        "azure/models_stream_gpt5nano_usage_chunk",
        Provider::Azure,
        "gpt-5-nano",
        50,
    ),
    (
        "azure/models_stream_tool_call_usage",
        Provider::Azure,
        "gpt-4o",
        205,
    ),
    (
        "azure/models_tools_parallel",
        Provider::Azure,
        "gpt-4o",
        219,
    ),
    (
        "mistral/image_data_url",
        Provider::Mistral,
        "pixtral-12b",
        41,
    ),
    (
        "anthropic/cache_read",
        Provider::Anthropic,
        "claude-sonnet-4-5",
        8_000,
    ),
    (
        "anthropic/cache_write",
        Provider::Anthropic,
        "claude-sonnet-4-5",
        8_000,
    ),
    (
        "anthropic/messages_basic",
        Provider::Anthropic,
        "claude-sonnet-4-5",
        20,
    ),
    (
        "anthropic/output_config_json_schema",
        Provider::Anthropic,
        "claude-sonnet-4-5",
        181,
    ),
    (
        "anthropic/parallel_tool_use",
        Provider::Anthropic,
        "claude-sonnet-4-5",
        721,
    ),
    (
        "anthropic/stream_redacted_thinking",
        Provider::Anthropic,
        "claude-3-7-sonnet",
        92,
    ),
    (
        "anthropic/stream_thinking",
        Provider::Anthropic,
        "claude-3-7-sonnet",
        80,
    ),
    (
        "anthropic/thinking_signature",
        Provider::Anthropic,
        "claude-sonnet-4-5",
        45,
    ),
];

fn body_of(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder()?.join(format!("{name}.json"))).expect(name);
    let recording: Value = serde_json::from_str(&text).expect(name);
    Some(
        recording["request"]["body"]
            .as_str()
            .expect(name)
            .to_owned(),
    )
}

#[test]
fn nothing_that_a_provider_counted_is_above_its_bound() {
    let settings = Settings::default();
    let mut counted = 0;
    for (name, provider, model, tokens) in COUNTED {
        let Some(body) = body_of(name) else { return };
        let dialect = match provider {
            Provider::Anthropic => Dialect::Anthropic,
            _ => Dialect::OpenAi,
        };
        // Where the address names the deployment the body does not.
        let mut json: Value = serde_json::from_str(&body).expect(name);
        json["model"] = model.into();
        let body = json.to_string();
        let request = ChatRequest::read_as(dialect, body.as_bytes()).expect(name);
        let place = Place {
            provider,
            model,
            base_url: "https://example.com",
            region: "",
            settings: &settings,
            project: "",
            has_plain_key: false,
        };
        let bound = request.input_bound(&place, None).expect(name).tokens();
        assert!(bound >= tokens, "{name}: {bound} for {tokens}");
        if let Some(exact) = request.counted_bound(&place, None) {
            let exact = exact.tokens();
            assert!(
                (tokens..=bound).contains(&exact),
                "{name}: {exact} of {bound} for {tokens}"
            );
            counted += 1;
        }
    }
    assert_eq!(counted, 11, "OpenAI's are counted exactly");
}

#[test]
fn a_long_text_is_counted_close_to_what_it_is() {
    let Some(body) = body_of("openai/chat_cache_write_tokens") else {
        return;
    };
    let request = ChatRequest::parse(body.as_bytes()).expect("a request");
    let settings = Settings::default();
    let place = Place {
        provider: Provider::OpenAi,
        model: "gpt-5.6",
        base_url: "",
        region: "",
        settings: &settings,
        project: "",
        has_plain_key: false,
    };
    let bytes = request.input_bound(&place, None).expect("bound").tokens();
    let exact = request
        .counted_bound(&place, None)
        .expect("a tokenizer")
        .tokens();
    assert!(bytes > 12_000, "{bytes}");
    assert!((4_020..4_400).contains(&exact), "{exact}");
}
