//! Whether a text or picture is harmful.

use cf_base::{Error, Result, Usage, Work};
use serde_json::{Map, Value, json};

use super::fields::Body;
use super::{Call, Reading, Told, none_of_it};
use crate::Provider;
use crate::place::Place;
use crate::tokens::{IMAGE_BOUND, estimated_tokens, length};

/// OpenAI's categories, for the demo provider.
const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

/// What is to be looked at.
#[derive(Debug)]
pub(super) struct Moderation {
    bytes: u64,
    images: u64,
    inputs: usize,
}

impl Moderation {
    pub fn read(body: &Body<'_>) -> Result<Self> {
        let Some(raw) = body.raw("input") else {
            return Err(Error::invalid_field("input", "You must provide input."));
        };
        let input: Value = serde_json::from_str(raw.get()).unwrap_or_default();
        let (inputs, images) = match &input {
            Value::String(_) => (1, 0),
            Value::Array(list) if !list.is_empty() => {
                let images = list
                    .iter()
                    .filter(|part| part["type"] == "image_url")
                    .count();
                // Parts with a type are one input together.
                let parts = list.iter().any(Value::is_object);
                (if parts { 1 } else { list.len() }, images)
            }
            _ => {
                return Err(Error::invalid_field(
                    "input",
                    "input must be a string, a list of strings, or a list of parts.",
                ));
            }
        };
        Ok(Self {
            bytes: length(raw.get().len()),
            images: length(images),
            inputs,
        })
    }

    pub fn bound(&self) -> Work {
        Work {
            input: self.bytes + self.images * IMAGE_BOUND,
            ..Work::default()
        }
    }

    pub fn estimate(&self) -> Usage {
        Usage {
            input: estimated_tokens(self.bytes),
            ..Usage::default()
        }
    }

    pub fn calls(&self, body: &Body<'_>, place: &Place<'_>) -> Result<(Vec<Call>, Reading)> {
        match place.provider {
            Provider::OpenAi | Provider::Mistral | Provider::OpenAiCompatible | Provider::Demo => {}
            _ => return Err(none_of_it(place, "moderations")),
        }
        let call = Call::json(
            place.openai_url("moderations")?,
            body.with_model(place.model),
        );
        Ok((vec![call], Reading::Json))
    }

    /// The demo provider looks at nothing, and says so.
    pub fn demo(&self, model: &str, id: &str) -> Told {
        let all = |value: &Value| -> Map<String, Value> {
            let entries = CATEGORIES
                .iter()
                .map(|name| ((*name).to_owned(), value.clone()));
            entries.collect()
        };
        let result = json!({
            "flagged": false, "categories": all(&json!(false)),
            "category_scores": all(&json!(0.0)), "category_applied_input_types": all(&json!([])),
        });
        let body = json!({
            "id": id, "model": model, "results": vec![result; self.inputs],
            "note": "This is the demo provider of CloudFreedom: nothing was looked at.",
        });
        Told {
            tokens: Some(self.estimate()),
            ..Told::json(body.to_string().into())
        }
    }
}
