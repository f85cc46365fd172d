//! What every answer repeats of its request.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{Json, Object, object};

/// Fields of the request that stand in the answer as they were sent.
const REPEATED: [&str; 16] = [
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
];

/// The part of a request that its answer repeats.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    fields: Vec<(&'static str, Box<RawValue>)>,
    /// Whether the answer is to be kept.
    pub(crate) store: bool,
    /// The response that this one goes on from, as JSON.
    pub(crate) previous: Option<Box<RawValue>>,
    user: Option<Box<RawValue>>,
}

impl Echo {
    pub(crate) fn read(fields: &[(Cow<'_, str>, &RawValue)]) -> Self {
        let set = |name: &str| {
            fields
                .iter()
                .find(|(found, raw)| found == name && raw.get() != "null")
                .map(|(_, raw)| (*raw).to_owned())
        };
        Self {
            fields: REPEATED
                .into_iter()
                .filter_map(|name| Some((name, set(name)?)))
                .collect(),
            store: set("store").is_none_or(|raw| raw.get() != "false"),
            previous: set("previous_response_id"),
            user: set("user"),
        }
    }

    fn field<'a>(&'a self, name: &'static str, usual: Json<'a>) -> Json<'a> {
        let found = self.fields.iter().find(|(known, _)| *known == name);
        found.map_or(usual, |(_, raw)| Json::from(&**raw))
    }
}

/// What changes from one answer, and one moment of it, to the other.
pub(crate) struct Moment<'a> {
    pub id: &'a str,
    pub created: u64,
    pub model: &'a str,
    pub status: &'static str,
    /// Why it is not complete.
    pub incomplete: Option<&'static str>,
    pub error: Json<'a>,
    pub output: Vec<Json<'a>>,
    pub usage: Json<'a>,
}

/// A response object.
pub(crate) fn response<'a>(echo: &'a Echo, moment: Moment<'a>) -> Object<'a> {
    let one = || Json::from(float_one());
    let text = object! {"format": object! {"type": "text"}, "verbosity": "medium"};
    let reasoning = object! {"effort": Json::Null, "summary": Json::Null};
    let incomplete = moment.incomplete.map(|reason| object! {"reason": reason});
    object! {
        "id": moment.id,
        "object": "response",
        "created_at": moment.created,
        "status": moment.status,
        "background": false,
        "error": moment.error,
        "incomplete_details": incomplete.map_or(Json::Null, Json::from),
        "instructions": echo.field("instructions", Json::Null),
        "max_output_tokens": echo.field("max_output_tokens", Json::Null),
        "max_tool_calls": echo.field("max_tool_calls", Json::Null),
        "model": moment.model,
        "output": moment.output,
        "parallel_tool_calls": echo.field("parallel_tool_calls", true.into()),
        "previous_response_id": echo.field("previous_response_id", Json::Null),
        "prompt_cache_key": echo.field("prompt_cache_key", Json::Null),
        "reasoning": echo.field("reasoning", reasoning.into()),
        "safety_identifier": echo.field("safety_identifier", Json::Null),
        "service_tier": "default",
        "store": echo.store,
        "temperature": echo.field("temperature", one()),
        "text": echo.field("text", text.into()),
        "tool_choice": echo.field("tool_choice", "auto".into()),
        "tools": echo.field("tools", Vec::new().into()),
        "top_logprobs": echo.field("top_logprobs", 0_u64.into()),
        "top_p": echo.field("top_p", one()),
        "truncation": echo.field("truncation", "disabled".into()),
        "usage": moment.usage,
        "user": echo.user.as_deref().map_or(Json::Null, Json::from),
        "metadata": echo.field("metadata", Object::default().into()),
    }
}

/// As OpenAI writes it.
fn float_one() -> Box<RawValue> {
    serde_json::value::to_raw_value(&1.0_f64).unwrap_or_default()
}
