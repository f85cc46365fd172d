//! The items that an answer is made of.
//!
//! Thinking that the provider shows is the summary of a reasoning item; what the
//! provider wants back with the next request is in its `encrypted_content` (see
//! `thought.rs`), and Gemini's seal on a call in the call's id (see `seal.rs`).

use cf_base::Usage;
use serde_json::value::RawValue;

use super::thought::Thought;
use crate::answer::Finish;
use crate::json::{Json, Object, object};
use crate::seal::sealed_id;

/// Usage in the shape of Responses.
pub(super) fn usage(usage: &Usage) -> Json<'static> {
    let (input, output) = (usage.prompt_tokens(), usage.completion_tokens());
    object! {
        "input_tokens": input,
        "input_tokens_details": object! {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "output_tokens": output,
        "output_tokens_details": object! {"reasoning_tokens": usage.reasoning},
        "total_tokens": input + output,
    }
    .into()
}

/// A piece of a message.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub refusal: bool,
    pub text: String,
    pub logprobs: Vec<Box<RawValue>>,
}

impl Said {
    pub fn to_json(&self) -> Json<'static> {
        if self.refusal {
            return object! {"type": "refusal", "refusal": self.text.clone()}.into();
        }
        let logprobs: Vec<Json<'_>> = self.logprobs.iter().cloned().map(Json::from).collect();
        object! {
            "type": "output_text", "annotations": Vec::new(), "logprobs": logprobs,
            "text": self.text.clone(),
        }
        .into()
    }
}

/// An item of an answer.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Message(Vec<Said>),
    Reasoning {
        summary: String,
        thought: Option<Thought>,
    },
    Call {
        call: usize,
        call_id: String,
        name: String,
        arguments: String,
    },
}

impl Item {
    pub fn call(call: usize, id: &str, name: String, seal: Option<&str>) -> Self {
        Self::Call {
            call,
            call_id: seal.map_or_else(|| id.to_owned(), |seal| sealed_id(id, seal)),
            name,
            arguments: String::new(),
        }
    }

    fn prefix(&self) -> &'static str {
        match self {
            Self::Message(_) => "msg",
            Self::Reasoning { .. } => "rs",
            Self::Call { .. } => "fc",
        }
    }

    pub fn to_json(&self, id: &str, status: &'static str) -> Object<'static> {
        let mut json = object! {"id": id.to_owned()};
        match self {
            Self::Message(parts) => {
                let content: Vec<Json<'_>> = parts.iter().map(Said::to_json).collect();
                json.put("type", "message");
                json.put("status", status);
                json.put("role", "assistant");
                json.put("content", content);
            }
            Self::Reasoning { summary, thought } => {
                let mut parts = Vec::new();
                if !summary.is_empty() {
                    parts.push(summary_part(summary));
                }
                json.put("type", "reasoning");
                json.put("summary", parts);
                let content = thought.as_ref().map(Thought::to_content);
                json.maybe("encrypted_content", content);
            }
            Self::Call {
                call_id,
                name,
                arguments,
                ..
            } => {
                json.put("type", "function_call");
                json.put("status", status);
                json.put("arguments", arguments.clone());
                json.put("call_id", call_id.clone());
                json.put("name", name.clone());
            }
        }
        json
    }
}

pub(super) fn summary_part(text: &str) -> Json<'static> {
    object! {"type": "summary_text", "text": text.to_owned()}.into()
}

/// Ids of items: of their response, and none like the other.
pub(super) fn item_id(response: &str, item: &Item, at: usize) -> String {
    let tail = response.strip_prefix("resp_").unwrap_or(response);
    let tail: String = tail.chars().take(40).collect();
    format!("{}_{tail}{at:04}", item.prefix())
}

/// How an answer ends: its status, and why it is incomplete.
pub(super) fn ending(finish: Option<Finish>) -> (&'static str, Option<&'static str>) {
    match finish {
        Some(Finish::Length) => ("incomplete", Some("max_output_tokens")),
        Some(Finish::Filtered) => ("incomplete", Some("content_filter")),
        Some(Finish::Stop | Finish::ToolCalls) | None => ("completed", None),
    }
}

/// A call without arguments has an object of none.
pub(super) fn fill(item: &mut Item, arguments: String) {
    if let Item::Call {
        arguments: known, ..
    } = item
    {
        *known = if arguments.is_empty() {
            "{}".to_owned()
        } else {
            arguments
        };
    }
}
