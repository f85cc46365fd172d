//! A legacy completions request, looked at; and its body for servers that have the
//! endpoint.

use bytes::Bytes;
use cf_base::Error;
use serde_json::value::RawValue;

use super::chat::{ChatRequest, LLAMA_LIMIT, MAX_N};
use super::edits::{Edits, json_text, without};
use super::prompt::Prompt;
use crate::Provider;
use crate::tokens::length;

/// Output where the client sets no limit: the endpoint has always had this one.
const DEFAULT_OUTPUT: u64 = 16;
/// Most prompts of one request.
const MAX_PROMPTS: u64 = 128;
/// Most answers to all prompts of one request.
const MAX_ANSWERS: u64 = 1024;

impl<'a> ChatRequest<'a> {
    /// Reads what legacy completions have of their own.
    pub(super) fn read_completions_fields(&mut self) -> Result<(), Error> {
        let missing = || {
            Error::invalid_field(
                "prompt",
                "You must provide a prompt: a text, or a list of texts or tokens.",
            )
        };
        let raw = self.read::<&RawValue>("prompt", "a text, or a list of texts or tokens")?;
        let prompts = raw.and_then(count).ok_or_else(missing)?;
        if !(1..=MAX_PROMPTS).contains(&prompts) {
            return Err(Error::invalid_field(
                "prompt",
                format!("There are 1 to {MAX_PROMPTS} prompts in a request."),
            ));
        }
        self.prompt = Prompt {
            messages: prompts,
            ..Prompt::default()
        };
        let limit = self.read::<Option<u64>>("max_tokens", "a whole number above 0")?;
        self.max_output_tokens = Some(limit.flatten().unwrap_or(DEFAULT_OUTPUT));
        if self.max_output_tokens == Some(0) {
            return Err(Error::invalid_field(
                "max_tokens",
                "max_tokens is a whole number above 0.",
            ));
        }
        self.read_stream_options()?;
        // Of the best of several, all are made and billed.
        let mut answers = 1;
        for field in ["n", "best_of"] {
            let n = self
                .read::<Option<u64>>(field, "a number")?
                .flatten()
                .unwrap_or(1);
            if !(1..=MAX_N).contains(&n) {
                return Err(Error::invalid_field(
                    field,
                    format!("{field} is 1 to {MAX_N}."),
                ));
            }
            answers = answers.max(n);
        }
        self.n = answers * prompts;
        if self.n > MAX_ANSWERS {
            return Err(Error::invalid_field(
                "n",
                format!("There are at most {MAX_ANSWERS} answers to the prompts of a request."),
            ));
        }
        Ok(())
    }

    /// The body for a server that has the endpoint: the client's bytes but for the
    /// model's name, the output limit and the wish for usage in a stream.
    pub(crate) fn completions_body(
        &self,
        model: &str,
        max_tokens: u64,
        provider: Provider,
    ) -> Bytes {
        let mut edits = Edits::new(self.body());
        edits.replace(self.raw("model"), &json_text(model));
        let tokens = max_tokens.to_string();
        // Told in any case: servers differ in what they do without.
        match self.raw("max_tokens") {
            Some(raw) => edits.replace(Some(raw), &tokens),
            None => edits.insert("max_tokens", &tokens),
        }
        edits.replace(self.raw(LLAMA_LIMIT), &tokens);
        self.ask_for_usage(provider.takes_stream_options(), &mut edits);
        let body = edits.apply();
        match self.raw("drop_params") {
            Some(_) => without(&body, &["drop_params"], &[]),
            None => body,
        }
    }
}

/// How many prompts there are: a text, a list of texts, a list of tokens, or a
/// list of such lists. `None` if it is none of these.
fn count(raw: &RawValue) -> Option<u64> {
    if raw.get().starts_with('"') {
        return Some(1);
    }
    let list: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    let kind = |raw: &RawValue| match raw.get().as_bytes().first() {
        Some(b'"') => Some('t'),
        Some(b'[') => Some('l'),
        Some(b'0'..=b'9') => Some('n'),
        _ => None,
    };
    let first = kind(list.first()?)?;
    if !list.iter().all(|raw| kind(raw) == Some(first)) {
        return None;
    }
    Some(if first == 'n' { 1 } else { length(list.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;

    fn read(body: &str) -> Result<ChatRequest<'_>, Error> {
        ChatRequest::read_as(Dialect::Completions, body.as_bytes())
    }

    #[test]
    fn prompts_and_answers_are_counted() {
        for (fields, n, limit) in [
            (r#""prompt":"x""#, 1, 16),
            (r#""prompt":["x","y"],"n":3,"max_tokens":5"#, 6, 5),
            (r#""prompt":[1,2,3],"best_of":4"#, 4, 16),
            (r#""prompt":[[1],[2]],"n":1,"best_of":null"#, 2, 16),
        ] {
            let body = format!(r#"{{"model":"m",{fields}}}"#);
            let request = read(&body).expect(fields);
            assert_eq!(
                (request.n, request.max_output_tokens),
                (n, Some(limit)),
                "{fields}"
            );
        }
        for (fields, expected) in [
            (r#""x":1"#, "prompt"),
            (r#""prompt":[]"#, "prompt"),
            (r#""prompt":[1,"x"]"#, "prompt"),
            (r#""prompt":{}"#, "prompt"),
            (r#""prompt":"x","n":0"#, "n is 1"),
            (r#""prompt":"x","best_of":129"#, "best_of is 1"),
            (r#""prompt":"x","max_tokens":0"#, "max_tokens"),
            (r#""prompt":"x","prompt":"y""#, "twice"),
        ] {
            let body = format!(r#"{{"model":"m",{fields}}}"#);
            let error = read(&body).expect_err(fields);
            assert!(error.message.contains(expected), "{fields}: {error}");
        }
    }

    #[test]
    fn the_limit_is_told_in_any_case_and_the_rest_stays() {
        let sent = |body: &str| {
            let body = read(body).expect("a request").completions_body(
                "real",
                9,
                Provider::OpenAiCompatible,
            );
            String::from_utf8(body.to_vec()).expect("UTF-8")
        };
        assert_eq!(
            sent(r#"{"model":"m", "prompt":"x","echo":true}"#),
            r#"{"max_tokens":9,"model":"real", "prompt":"x","echo":true}"#
        );
        assert_eq!(
            sent(r#"{"model":"m","prompt":"x","max_tokens":50,"n_predict":-1,"stream":true}"#),
            r#"{"stream_options":{"include_usage":true},"model":"real","prompt":"x","max_tokens":9,"n_predict":9,"stream":true}"#
        );
    }
}
