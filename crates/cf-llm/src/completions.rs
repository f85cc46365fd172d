//! OpenAI's legacy completions, for providers that have chats only: the prompt is
//! what a user says, the answer is what comes back, without its thinking.

use std::borrow::Cow;

use bytes::Bytes;
use cf_base::{Error, Result, Usage};
use serde_json::value::RawValue;

use crate::answer::{Answer, Finish, Part, Piece};
use crate::conversation::{Content, Conversation, Speaker};
use crate::dialect::Opening;
use crate::json::{Json, object};
use crate::openai::answer::usage;
use crate::openai::conversation::{number, penalty, read_stop, value};
use crate::wire::prompt::Text;

/// Fields that are read, are the gateway's own, or change nothing about the answer.
const KNOWN: [&str; 9] = [
    "model",
    "max_tokens",
    "stream_options",
    "drop_params",
    "metadata",
    "store",
    "prompt_cache_key",
    "user",
    "safety_identifier",
];

/// Reads the fields of a request.
pub(crate) fn read<'a>(fields: &[(Cow<'a, str>, &'a RawValue)]) -> Result<Conversation<'a>> {
    let mut c = Conversation::default();
    let mut best_of: Option<u64> = None;
    for (name, raw) in fields {
        let raw = *raw;
        if raw.get() == "null" {
            continue;
        }
        match &**name {
            "prompt" => {
                let text = read_prompt(raw)?;
                c.say(Speaker::User, vec![Content::Text(text).into()]);
            }
            "n" => c.n = value(name, raw)?,
            "best_of" => best_of = Some(value(name, raw)?),
            "stream" => c.stream = value(name, raw)?,
            "temperature" => c.temperature = Some(number(name, raw)?),
            "top_p" => c.top_p = Some(number(name, raw)?),
            "top_k" => c.top_k = Some(number(name, raw)?),
            "presence_penalty" => c.presence_penalty = penalty(name, raw)?,
            "frequency_penalty" => c.frequency_penalty = penalty(name, raw)?,
            "stop" => c.stop = read_stop(raw)?,
            "seed" => c.seed = Some(number(name, raw)?),
            "user" => c.user = Some(value::<Text<'_>>(name, raw)?.0),
            // Said as it is without the field.
            "echo" if raw.get() == "false" => {}
            "suffix" if raw.get() == "\"\"" => {}
            "logit_bias" if raw.get() == "{}" => {}
            known if KNOWN.contains(&known) => {}
            unknown => c.unknown.push(unknown.to_owned()),
        }
    }
    if best_of.is_some_and(|best_of| best_of != c.n.max(1)) {
        c.unknown.push("best_of".to_owned());
    }
    Ok(c)
}

fn read_prompt(raw: &RawValue) -> Result<Cow<'_, str>> {
    let bad = || {
        Error::invalid_field(
            "prompt",
            "The provider of this model has chats only: prompt is one text there, not several and not \
             tokens.",
        )
    };
    let prompt = if raw.get().starts_with('"') {
        value::<Text<'_>>("prompt", raw)?.0
    } else {
        let list: Vec<Text<'_>> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
        match <[Text<'_>; 1]>::try_from(list) {
            Ok([Text(only)]) => only,
            Err(_) => return Err(bad()),
        }
    };
    if prompt.is_empty() {
        return Err(Error::invalid_field("prompt", "The prompt is empty."));
    }
    Ok(prompt)
}

/// The endpoint's word for an end.
fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::ToolCalls => "stop",
        Finish::Length => "length",
        Finish::Filtered => "content_filter",
    }
}

fn choice(index: usize, text: String, finish: Option<Finish>) -> Json<'static> {
    let mut json = object! {
        "text": text, "index": u64::try_from(index).unwrap_or(u64::MAX), "logprobs": Json::Null,
    };
    json.put(
        "finish_reason",
        finish.map_or(Json::Null, |finish| finish_reason(finish).into()),
    );
    json.into()
}

/// A whole reply.
pub(crate) fn reply(answer: Answer, used: &Usage, opening: &Opening) -> Bytes {
    let choices = answer.choices.into_iter().enumerate();
    let choices: Vec<Json<'_>> = choices
        .map(|(index, found)| {
            let texts = found.parts.into_iter().filter_map(|part| match part {
                Part::Text(text) | Part::Refusal(text) => Some(text),
                _ => None,
            });
            let finish = found.finish.map_or(Finish::Stop, |(finish, _)| finish);
            choice(index, texts.collect(), Some(finish))
        })
        .collect();
    let model = if answer.model.is_empty() {
        &opening.model
    } else {
        &answer.model
    };
    Json::from(object! {
        "id": &*opening.id,
        "object": "text_completion",
        "created": opening.created,
        "model": &**model,
        "choices": choices,
        "usage": usage(used),
    })
    .to_bytes()
}

/// Writes the chunks of a stream.
#[derive(Debug)]
pub(crate) struct Chunks {
    opening: Opening,
    model: String,
}

impl Chunks {
    pub fn new(opening: Opening) -> Self {
        Self {
            model: opening.model.clone(),
            opening,
        }
    }

    /// The chunk for a piece; none where it changes nothing for the client.
    pub fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        let json = match piece {
            Piece::Head { model, .. } => {
                if !model.is_empty() {
                    self.model = model;
                }
                return;
            }
            Piece::Text { choice: at, text } | Piece::Refusal { choice: at, text } => {
                choice(at, text, None)
            }
            Piece::Finish {
                choice: at, finish, ..
            } => choice(at, String::new(), Some(finish)),
            _ => return,
        };
        self.chunk(vec![json], None, out);
    }

    /// The last chunks: usage if the client asked for it, and the end.
    pub fn end(&mut self, used: &Usage, out: &mut Vec<u8>) {
        if self.opening.include_usage {
            self.chunk(Vec::new(), Some(used), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn chunk(&self, choices: Vec<Json<'_>>, used: Option<&Usage>, out: &mut Vec<u8>) {
        let mut chunk = object! {
            "id": &*self.opening.id, "object": "text_completion", "created": self.opening.created,
            "model": &*self.model, "choices": choices,
        };
        if self.opening.include_usage {
            chunk.put("usage", used.map_or(Json::Null, usage));
        }
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&Json::from(chunk).to_line());
        out.extend_from_slice(b"\n\n");
    }
}
