//! A Responses request, looked at; and its body for providers that speak it.

use std::sync::Arc;

use bytes::Bytes;
use cf_base::Error;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::chat::ChatRequest;
use super::edits::{Edits, json_text, without};
use super::prompt::{Input, Text};
use crate::bound::SEARCHES;
use crate::dialect::Dialect;
use crate::responses::echo::Echo;
use crate::responses::thought::is_ours;
use crate::seal::unseal_id;

/// Tools of a provider's own that cost more than tokens and searches: what they
/// cost is in no price book, so no budget could be held to it.
const UNPRICED: [&str; 4] = [
    "file_search",
    "code_interpreter",
    "image_generation",
    "container",
];
/// What makes a reasoning model give out its thinking, sealed.
const SEALED: &str = "\"reasoning.encrypted_content\"";

impl<'a> ChatRequest<'a> {
    /// Reads what Responses has of its own.
    pub(super) fn read_responses_fields(&mut self) -> Result<(), Error> {
        let input = self.read::<Input>("input", "a text or a list of items")?;
        // A template that is kept at the provider may hold all of the prompt.
        let has_template = self.raw("prompt").is_some_and(|raw| raw.get() != "null");
        self.prompt = input.unwrap_or_default().0;
        if self.prompt.messages == 0 && !has_template {
            return Err(Error::invalid_field(
                "input",
                "You must provide input, a text or a list with at least one item.",
            ));
        }
        self.prompt.opaque |= has_template;
        self.max_output_tokens = self
            .read::<Option<u64>>("max_output_tokens", "a whole number above 0")?
            .flatten();
        if self.max_output_tokens == Some(0) {
            return Err(Error::invalid_field(
                "max_output_tokens",
                "max_output_tokens is a whole number above 0.",
            ));
        }
        self.read::<Option<u64>>("max_tool_calls", "a whole number")?;
        // Usage is always in the stream.
        self.include_usage = true;
        if let Some(kind) = UNPRICED.iter().find(|kind| self.has_tool(kind)) {
            return Err(Error::invalid_field(
                "tools",
                format!(
                    "tools: {kind} is not offered here, since what it costs beside tokens is not known."
                ),
            ));
        }
        Ok(())
    }

    /// What every answer repeats of the request, where its dialect has that.
    pub fn echo(&self) -> Option<Arc<Echo>> {
        let has = self.dialect == Dialect::Responses;
        has.then(|| Arc::new(Echo::read(self.fields())))
    }

    /// The body for a provider that speaks Responses: the client's bytes but for the
    /// model's name, an output limit that must be told, and what has to do with
    /// keeping. Answers are kept here and not there, so that they can be gone on
    /// from wherever the next request is sent; a thinking model's sealed thoughts
    /// are asked for, as they must come back.
    pub(crate) fn responses_body(&self, model: &str, max_output_tokens: Option<u64>) -> Bytes {
        let set = |name: &str| self.raw(name).filter(|raw| raw.get() != "null");
        let mut edits = Edits::new(self.body());
        edits.replace(self.raw("model"), &json_text(model));
        if let Some(tokens) = max_output_tokens {
            match self.raw("max_output_tokens") {
                Some(raw) => edits.replace(Some(raw), &tokens.to_string()),
                None => edits.insert("max_output_tokens", &tokens.to_string()),
            }
        }
        // As many searches as were reserved for.
        if self.has_tool("web_search") && self.max_tool_calls().is_none() {
            let most = SEARCHES.to_string();
            match self.raw("max_tool_calls") {
                Some(raw) => edits.replace(Some(raw), &most),
                None => edits.insert("max_tool_calls", &most),
            }
        }
        let is_kept = set("store").is_none_or(|raw| raw.get() != "false");
        if is_kept {
            match self.raw("store") {
                Some(raw) => edits.replace(Some(raw), "false"),
                None => edits.insert("store", "false"),
            }
            if set("reasoning").is_some() || reasons(model) {
                self.ask_for_thoughts(&mut edits);
            }
        }
        if let Some(input) = self.raw("input")
            && let Some(fitting) = fitting_input(input)
        {
            edits.replace(Some(input), &fitting);
        }
        let body = edits.apply();
        let own = ["previous_response_id", "drop_params"];
        if own.iter().any(|name| self.raw(name).is_some()) {
            return without(&body, &own, &[]);
        }
        body
    }

    /// How often tools of the provider's own may be called, where the client says so.
    pub(super) fn max_tool_calls(&self) -> Option<u64> {
        serde_json::from_str(self.raw("max_tool_calls")?.get()).ok()
    }

    fn ask_for_thoughts(&self, edits: &mut Edits<'a>) {
        let Some(raw) = self.raw("include") else {
            edits.insert("include", &format!("[{SEALED}]"));
            return;
        };
        let asked: Vec<Text<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
        if asked
            .iter()
            .any(|Text(name)| name == SEALED.trim_matches('"'))
        {
            return;
        }
        let mut names: Vec<String> = asked.iter().map(|Text(name)| json_text(name)).collect();
        names.push(SEALED.to_owned());
        edits.replace(Some(raw), &format!("[{}]", names.join(",")));
    }
}

/// Whether a model thinks, by OpenAI's names: others refuse to be asked for it.
pub(crate) fn reasons(model: &str) -> bool {
    let name = model.rsplit(['/', ':']).next().unwrap_or(model);
    let name = name.strip_prefix("openai.").unwrap_or(name);
    let is_o = name.starts_with('o') && name[1..].starts_with(|c: char| c.is_ascii_digit());
    let generation = name.strip_prefix("gpt-").and_then(|tail| {
        let digits: String = tail.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    (is_o || generation.is_some_and(|n| n >= 5)) && !name.contains("chat")
}

/// The input without what OpenAI would refuse: thinking that it did not seal, or
/// that it is only named by (nothing is kept there), and Gemini's seals in the ids
/// of calls. `None` if it can go as it is.
fn fitting_input(input: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<Text<'a>>,
        #[serde(borrow, default)]
        encrypted_content: Option<Text<'a>>,
        #[serde(borrow, default)]
        call_id: Option<&'a RawValue>,
    }
    let items: Vec<&RawValue> = serde_json::from_str(input.get()).ok()?;
    let mut changed = false;
    let mut kept = Vec::with_capacity(items.len());
    for raw in items {
        let Ok(item) = serde_json::from_str::<Item<'_>>(raw.get()) else {
            kept.push(raw.get().to_owned());
            continue;
        };
        if item.kind.is_some_and(|Text(kind)| kind == "reasoning")
            && item
                .encrypted_content
                .is_none_or(|Text(content)| content.is_empty() || is_ours(&content))
        {
            changed = true;
            continue;
        }
        let id: Option<Text<'_>> = item
            .call_id
            .and_then(|raw| serde_json::from_str(raw.get()).ok());
        match (item.call_id, id) {
            (Some(call_id), Some(Text(id))) if unseal_id(&id).0 != id => {
                let mut edits = Edits::new(raw.get().as_bytes());
                edits.replace(Some(call_id), &json_text(unseal_id(&id).0));
                kept.push(String::from_utf8_lossy(&edits.apply()).into_owned());
                changed = true;
            }
            _ => kept.push(raw.get().to_owned()),
        }
    }
    changed.then(|| format!("[{}]", kept.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<ChatRequest<'_>, Error> {
        ChatRequest::read_as(Dialect::Responses, body.as_bytes())
    }

    fn sent(body: &str, model: &str, limit: Option<u64>) -> String {
        let body = read(body).expect("a request").responses_body(model, limit);
        String::from_utf8(body.to_vec()).expect("UTF-8")
    }

    #[test]
    fn what_cannot_be_a_request_is_refused_by_name() {
        for (body, expected) in [
            (r#"{"model":"m"}"#, "input"),
            (r#"{"model":"m","input":[]}"#, "at least one item"),
            (r#"{"model":"m","input":7}"#, "input must be"),
            (r#"{"input":"x"}"#, "model"),
            (r#"{"model":"m","input":"x","Store":true}"#, "write store"),
            (
                r#"{"model":"m","input":"x","max_output_tokens":0}"#,
                "above 0",
            ),
            (
                r#"{"model":"m","input":"x","max_output_tokens":-1}"#,
                "max_output_tokens must be",
            ),
            (
                r#"{"model":"m","input":"x","tools":[{"type":"code_interpreter"}]}"#,
                "code_interpreter is not offered",
            ),
        ] {
            let error = read(body).expect_err(body);
            assert!(error.message.contains(expected), "{body}: {error}");
        }
        let request = read(r#"{"model":"m","input":"x","max_output_tokens":null}"#).expect("fine");
        assert_eq!(request.max_output_tokens, None);
    }

    #[test]
    fn what_is_not_to_be_kept_passes_but_for_the_models_name() {
        let body =
            r#"{ "model":"m", "input":[{"role":"user","content":"é"}] ,"store":false,"x":1.50}"#;
        assert_eq!(
            sent(body, "gpt-5", None),
            body.replace("\"m\"", "\"gpt-5\"")
        );
        let limited = sent(body, "gpt-5", Some(5));
        assert!(
            limited.starts_with("{\"max_output_tokens\":5,"),
            "{limited}"
        );
    }

    #[test]
    fn what_is_kept_is_kept_here_and_thinking_is_asked_for() {
        assert_eq!(
            sent(r#"{"model":"m","input":"x"}"#, "gpt-5", None),
            r#"{"store":false,"include":["reasoning.encrypted_content"],"model":"gpt-5","input":"x"}"#
        );
        assert_eq!(
            sent(r#"{"model":"m","input":"x","store":true}"#, "gpt-4o", None),
            r#"{"model":"gpt-4o","input":"x","store":false}"#
        );
        let both = sent(
            r#"{"model":"m","input":"x","include":["message.output_text.logprobs"],"reasoning":{},"previous_response_id":"resp_1"}"#,
            "deployment",
            None,
        );
        assert_eq!(
            both,
            r#"{"store":false,"model":"deployment","input":"x","include":["message.output_text.logprobs","reasoning.encrypted_content"],"reasoning":{}}"#
        );
    }

    #[test]
    fn thinking_of_others_and_seals_in_ids_stay_here() {
        let body = r#"{"model":"m","store":false,"input":[{"type":"reasoning","id":"rs_1","summary":[]},
            {"type":"reasoning","encrypted_content":"cf1.W10"},{"type":"reasoning","encrypted_content":"gAAA"},
            {"type":"function_call","call_id":"c1__thought__QUJD","name":"f","arguments":"{}"},
            {"type":"function_call_output","call_id":"c1__thought__QUJD","output":"x"}]}"#;
        assert_eq!(
            sent(body, "m", None),
            r#"{"model":"m","store":false,"input":[{"type":"reasoning","encrypted_content":"gAAA"},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"x"}]}"#
        );
    }

    #[test]
    fn searches_are_bounded_as_they_are_reserved() {
        let body = r#"{"model":"m","store":false,"input":"x","tools":[{"type":"web_search"}]}"#;
        let request = read(body).expect("a request");
        assert_eq!(request.search_tools(SEARCHES), SEARCHES);
        assert!(sent(body, "m", None).contains(r#""max_tool_calls":10,"#));
        let limited = body.replace("\"input\"", "\"max_tool_calls\":3,\"input\"");
        let request = read(&limited).expect("a request");
        assert_eq!(request.search_tools(SEARCHES), 3);
        assert_eq!(sent(&limited, "m", None), limited);
    }

    #[test]
    fn thinking_models_are_known_by_name() {
        for model in [
            "gpt-5",
            "gpt-5.6-luna",
            "o3-mini",
            "openai/o4-mini",
            "openai.gpt-5.6",
        ] {
            assert!(reasons(model), "{model}");
        }
        for model in ["gpt-4o", "gpt-5-chat-latest", "omni", "deployment", "o", ""] {
            assert!(!reasons(model), "{model}");
        }
    }

    #[test]
    fn a_prompt_is_bounded_or_not_at_all() {
        let bound = |fields: &str| {
            let body = format!(r#"{{"model":"m",{fields}}}"#);
            let request = read(&body).expect("a request");
            request
                .prompt_token_bound()
                .map(|bound| bound - body.len() as u64)
        };
        assert_eq!(bound(r#""input":"Hi""#), Some(0));
        let picture = r#"{"type":"input_image","image_url":"data:image/png;base64,AAAA"}"#;
        assert_eq!(
            bound(&format!(
                r#""input":[{{"role":"user","content":[{picture}]}}]"#
            )),
            Some(50_000)
        );
        let output = format!(r#""input":[{{"type":"function_call_output","output":[{picture}]}}]"#);
        assert_eq!(bound(&output), Some(50_000));
        for opaque in [
            r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
            r#""input":"x","tools":[{"type":"web_search"}]"#,
            r#""prompt":{"id":"p"}"#,
        ] {
            assert_eq!(bound(opaque), None, "{opaque}");
        }
    }
}
