//! A request in OpenAI's language, for providers of that language that refuse what
//! they do not know.
//!
//! Mistral answers 422 to any field that is not its own (its release note of
//! 2024-01-11, "strict API parameter validation"), and a few of OpenAI's it knows by
//! another name. OpenAI's thinking models refuse `max_tokens`. Of OpenAI and Azure we
//! assume that they refuse the fields in which thinking is given out
//! (`openai/answer.rs`, and what other servers call it).

use bytes::Bytes;
use cf_base::Result;
use serde_json::value::RawValue;

use super::chat::OutputLimit;
use super::edits::{Fields, json_text};
use super::prompt::Text;
use crate::Provider;
use crate::conversation::Dropping;
use crate::place::Place;
use crate::seal::fit_id;

/// Length of Mistral's ids of calls.
const ID_LENGTH: usize = 9;
/// Names under which thinking comes in an answer, and goes back with the next request.
const THINKING: [&str; 4] = [
    "reasoning_content",
    "reasoning_details",
    "reasoning",
    "thinking_blocks",
];
/// Google's seal on a call.
const SEAL: &str = "extra_content";
/// Mistral's fields that OpenAI has too, or that its own clients send.
const KNOWN_TO_MISTRAL: [&str; 27] = [
    "model",
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "min_tokens",
    "stream",
    "stop",
    "random_seed",
    "metadata",
    "response_format",
    "tools",
    "tool_choice",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logprobs",
    "top_logprobs",
    "n",
    "prediction",
    "parallel_tool_calls",
    "reasoning_effort",
    "prompt_cache_key",
    "safe_prompt",
    "prompt_mode",
    "guardrails",
];
/// What says nothing about the answer itself: where it is kept, whose it is.
const OF_NO_USE_TO_MISTRAL: [&str; 6] = [
    "stream_options",
    "user",
    "safety_identifier",
    "prompt_cache_retention",
    "prompt_cache_options",
    "drop_params",
];

/// What becomes of a field: its new name and value, or nothing.
type Fate = Result<Option<(String, String)>>;

/// The body as the provider takes it.
pub(crate) fn fit(place: &Place<'_>, body: Bytes, dropping: &mut Dropping) -> Result<Bytes> {
    match place.provider {
        Provider::Mistral => mistral(&body, dropping),
        Provider::OpenAi | Provider::Azure => openai(place, body),
        _ => Ok(body),
    }
}

/// Most requests have nothing of it, and pass as they are.
fn openai(place: &Place<'_>, body: Bytes) -> Result<Bytes> {
    const OLD: &str = OutputLimit::MaxTokens.as_str();
    const NEW: &str = OutputLimit::MaxCompletionTokens.as_str();
    let has = |name: &str| memchr::memmem::find(&body, json_text(name).as_bytes()).is_some();
    let renames = place.refuses_max_tokens() && has(OLD);
    if !renames && !THINKING.into_iter().chain([SEAL]).any(has) {
        return Ok(body);
    }
    let Ok(text) = std::str::from_utf8(&body) else {
        return Ok(body);
    };
    let says_new = field(text, NEW).is_some_and(|raw| raw.get() != "null");
    let fitted = object(text, |name, raw| match name {
        // Two limits were made one (`chat.rs`).
        OLD if renames && says_new => Ok(None),
        OLD if renames => keep(NEW, raw),
        NEW if renames && !says_new => Ok(None),
        "messages" => changed(name, list(raw.get(), without_thinking)?),
        _ => keep(name, raw),
    })?;
    Ok(Bytes::from(fitted))
}

fn without_thinking(message: &str) -> Result<String> {
    object(message, |name, raw| match name {
        name if THINKING.contains(&name) => Ok(None),
        "tool_calls" => changed(name, list(raw.get(), without_seal)?),
        _ => keep(name, raw),
    })
}

fn without_seal(call: &str) -> Result<String> {
    object(call, |name, raw| match name {
        SEAL => Ok(None),
        _ => keep(name, raw),
    })
}

fn mistral(body: &Bytes, dropping: &mut Dropping) -> Result<Bytes> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Ok(body.clone());
    };
    let fitted = object(text, |name, raw| match (name, raw.get()) {
        ("messages", messages) => changed(name, list(messages, message)?),
        // An empty list is refused like a field that is not known.
        ("tools", "[]") => Ok(None),
        ("tools", tools) => changed(name, list(tools, tool)?),
        ("seed", _) => keep("random_seed", raw),
        // Its tiers are two; the usual one is what it does unasked.
        ("service_tier", "\"auto\"" | "\"default\"" | "\"standard\"") => Ok(None),
        ("service_tier", "\"standard_only\"") => keep(name, raw),
        // Said as it is without the field.
        ("store", "false") | ("logit_bias", "{}") => Ok(None),
        ("modalities", r#"["text"]"#) | ("verbosity", "\"medium\"") => Ok(None),
        _ if KNOWN_TO_MISTRAL.contains(&name) => keep(name, raw),
        _ if OF_NO_USE_TO_MISTRAL.contains(&name) => Ok(None),
        (_, "null") => Ok(None),
        _ => {
            dropping.refuse(name)?;
            Ok(None)
        }
    })?;
    Ok(Bytes::from(fitted))
}

fn message(message: &str) -> Result<String> {
    let role = field(message, "role").and_then(|raw| {
        let role: Option<Text<'_>> = serde_json::from_str(raw.get()).ok();
        role.map(|Text(role)| role)
    });
    let role = role.unwrap_or_default();
    let known: &[&str] = match &*role {
        "assistant" => &["role", "content", "tool_calls", "prefix"],
        "tool" => &["role", "content", "tool_call_id", "name"],
        _ => &["role", "content"],
    };
    object(message, |name, raw| match name {
        "role" if role == "developer" => changed(name, json_text("system")),
        "content" if raw.get().starts_with('[') => changed(name, list(raw.get(), part)?),
        "tool_calls" if raw.get().starts_with('[') => changed(name, list(raw.get(), call)?),
        "tool_call_id" => changed(name, fitting_id(raw)),
        _ if known.contains(&name) => keep(name, raw),
        _ => Ok(None),
    })
}

/// Marks for a cache are others' business.
fn part(part: &str) -> Result<String> {
    object(part, |name, raw| match name {
        "cache_control" | "prompt_cache_breakpoint" | "annotations" => Ok(None),
        _ => keep(name, raw),
    })
}

fn call(call: &str) -> Result<String> {
    object(call, |name, raw| match name {
        "id" => changed(name, fitting_id(raw)),
        "type" | "function" | "index" => keep(name, raw),
        _ => Ok(None),
    })
}

/// Arguments must be described, if only as none.
fn tool(tool: &str) -> Result<String> {
    object(tool, |name, raw| match name {
        "function" => {
            let mut has_parameters = false;
            let mut function = object(raw.get(), |name, raw| match (name, raw.get()) {
                (_, "null") | ("cache_control", _) => Ok(None),
                _ => {
                    has_parameters |= name == "parameters";
                    keep(name, raw)
                }
            })?;
            if !has_parameters && function.len() > 2 {
                let end = function.len() - 1;
                function.insert_str(end, r#","parameters":{"type":"object","properties":{}}"#);
            }
            changed(name, function)
        }
        "cache_control" => Ok(None),
        _ => keep(name, raw),
    })
}

fn fitting_id(raw: &RawValue) -> String {
    match serde_json::from_str::<Text<'_>>(raw.get()) {
        Ok(Text(id)) => json_text(&fit_id(&id, ID_LENGTH, "")),
        Err(_) => raw.get().to_owned(),
    }
}

fn field<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let Fields(fields) = serde_json::from_str(object).ok()?;
    let found = fields.into_iter().find(|(field, _)| field == name);
    found.map(|(_, raw)| raw)
}

fn keep(name: &str, raw: &RawValue) -> Fate {
    Ok(Some((name.to_owned(), raw.get().to_owned())))
}

fn changed(name: &str, value: String) -> Fate {
    Ok(Some((name.to_owned(), value)))
}

/// An object with what becomes of each of its fields; what is no object stays.
fn object(json: &str, mut fate: impl FnMut(&str, &RawValue) -> Fate) -> Result<String> {
    let Ok(Fields(fields)) = serde_json::from_str(json) else {
        return Ok(json.to_owned());
    };
    let mut kept = Vec::with_capacity(fields.len());
    for (name, raw) in fields {
        if let Some((name, value)) = fate(&name, raw)? {
            kept.push(format!("{}:{value}", json_text(&name)));
        }
    }
    Ok(format!("{{{}}}", kept.join(",")))
}

/// A list with each of its items rewritten; what is no list stays.
fn list(json: &str, item: impl Fn(&str) -> Result<String>) -> Result<String> {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) else {
        return Ok(json.to_owned());
    };
    let items: Result<Vec<String>> = items.iter().map(|raw| item(raw.get())).collect();
    Ok(format!("[{}]", items?.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Settings;

    fn fitted_for(
        (provider, model, base_url): (Provider, &str, &str),
        body: &str,
        drop: bool,
    ) -> (Result<String>, Vec<String>) {
        let mut dropping = Dropping::new(drop, provider.label());
        let place = Place {
            provider,
            model,
            base_url,
            region: "",
            settings: &Settings::default(),
            project: "",
            has_plain_key: false,
        };
        let body = fit(
            &place,
            Bytes::copy_from_slice(body.as_bytes()),
            &mut dropping,
        );
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        (body, dropping.into_dropped())
    }

    fn fitted(provider: Provider, body: &str, drop: bool) -> (Result<String>, Vec<String>) {
        fitted_for((provider, "m", ""), body, drop)
    }

    fn at(provider: Provider, body: &str) -> String {
        fitted(provider, body, false).0.expect("it fits")
    }

    #[test]
    fn mistral_is_sent_its_own_fields_under_its_own_names() {
        let sent = at(
            Provider::Mistral,
            r#"{"model":"m","seed":18446744073709551615,"user":"u","store":false,"stream_options":{"include_usage":true},"service_tier":"default","temperature":1.50,"logit_bias":null,"messages":[]}"#,
        );
        assert_eq!(
            sent,
            r#"{"model":"m","random_seed":18446744073709551615,"temperature":1.50,"messages":[]}"#
        );
    }

    #[test]
    fn what_mistral_cannot_do_is_refused_or_left_out_as_asked() {
        let body = r#"{"model":"m","web_search_options":{},"messages":[]}"#;
        let (refused, _) = fitted(Provider::Mistral, body, false);
        let error = refused.expect_err("a refusal");
        assert!(error.message.contains("web_search_options"), "{error}");
        assert!(error.message.contains("Mistral"), "{error}");
        let (sent, dropped) = fitted(Provider::Mistral, body, true);
        assert_eq!(sent.expect("it fits"), r#"{"model":"m","messages":[]}"#);
        assert_eq!(dropped, ["web_search_options"]);
    }

    #[test]
    fn mistral_is_sent_messages_without_what_others_put_there() {
        let sent = at(
            Provider::Mistral,
            r#"{"messages":[{"role":"developer","content":"é"},
                {"role":"user","name":"ada","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]},
                {"role":"assistant","content":null,"refusal":null,"annotations":[],"reasoning_content":"Hm.","reasoning_details":[],
                 "tool_calls":[{"id":"call_123456789","type":"function","index":0,"extra_content":{},"function":{"name":"f","arguments":"{}"}}]},
                {"role":"tool","tool_call_id":"call_123456789","content":"y"}]}"#,
        );
        let id = fit_id("call_123456789", ID_LENGTH, "");
        assert_eq!(
            sent,
            format!(
                concat!(
                    r#"{{"messages":[{{"role":"system","content":"é"}},"#,
                    r#"{{"role":"user","content":[{{"type":"text","text":"x"}}]}},"#,
                    r#"{{"role":"assistant","content":null,"tool_calls":[{{"id":"{id}","type":"function","index":0,"function":{{"name":"f","arguments":"{{}}"}}}}]}},"#,
                    r#"{{"role":"tool","tool_call_id":"{id}","content":"y"}}]}}"#
                ),
                id = id
            )
        );
    }

    #[test]
    fn mistral_is_told_of_arguments_even_where_there_are_none() {
        assert_eq!(
            at(
                Provider::Mistral,
                r#"{"tools":[{"type":"function","function":{"name":"f","strict":null}},{"type":"function","function":{"name":"g","parameters":{"type":"object"}}}]}"#
            ),
            r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}},{"type":"function","function":{"name":"g","parameters":{"type":"object"}}}]}"#
        );
    }

    #[test]
    fn thinking_models_are_told_the_limit_in_the_word_that_they_take() {
        const FOUNDRY: &str = "https://r.services.ai.azure.com/models";
        let body = r#"{"max_tokens":7,"messages":[{"role":"user","content":"max_tokens"}]}"#;
        let renamed = body.replacen("max_tokens", "max_completion_tokens", 1);
        for (place, expected) in [
            ((Provider::OpenAi, "gpt-5", ""), &renamed),
            ((Provider::OpenAi, "o4-mini", ""), &renamed),
            ((Provider::OpenAi, "gpt-4o", ""), &body.to_owned()),
            ((Provider::Azure, "our-deployment", ""), &renamed),
            ((Provider::Azure, "gpt-4o-eu", ""), &body.to_owned()),
            ((Provider::Azure, "grok-4", FOUNDRY), &body.to_owned()),
            ((Provider::Azure, "gpt-5-nano", FOUNDRY), &renamed),
            ((Provider::OpenAiCompatible, "gpt-5", ""), &body.to_owned()),
        ] {
            let (sent, _) = fitted_for(place, body, false);
            assert_eq!(&sent.expect("it fits"), expected, "{place:?}");
        }
        for both in [
            r#"{"max_tokens":7,"max_completion_tokens":7}"#,
            r#"{"max_completion_tokens":null,"max_tokens":7}"#,
        ] {
            let (sent, _) = fitted_for((Provider::OpenAi, "gpt-5", ""), both, false);
            assert_eq!(sent.expect("it fits"), r#"{"max_completion_tokens":7}"#);
        }
    }

    #[test]
    fn thinking_does_not_go_back_to_openai() {
        let body = r#"{"model":"m", "messages":[{"role":"user","content":"reasoning_content"},{"role":"assistant","content":"x","reasoning_content":"Hm.","thinking_blocks":[],
            "tool_calls":[{"id":"c","extra_content":{"google":{}},"function":{"name":"f","arguments":"{}"}}]}]}"#;
        let expected = r#"{"model":"m","messages":[{"role":"user","content":"reasoning_content"},{"role":"assistant","content":"x","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}]}"#;
        for provider in [Provider::OpenAi, Provider::Azure] {
            assert_eq!(at(provider, body), expected);
        }
        // Other servers of OpenAI's language may want it back.
        assert_eq!(at(Provider::OpenAiCompatible, body), body);
        let plain = r#"{ "model" : "m" ,"reasoning_effort":"low", "messages":[{"role":"user","content":"x"}]}"#;
        assert_eq!(at(Provider::OpenAi, plain), plain);
    }
}
