//! Answers as OpenAI's clients read them, written from any provider's.
//!
//! Visible thinking is in `reasoning_content`. What must come back with the next
//! request stands in two places, as clients differ in what they keep:
//! `message.reasoning_details` holds thinking with its provider's seal
//! (`{"type":"reasoning.text","text","signature","format":"anthropic-claude-v1"}`,
//! `{"type":"reasoning.encrypted","data","format"}`), in a stream one complete
//! entry when the thought ends; and Gemini's seal on a call stands in
//! `tool_calls[].extra_content.google.thought_signature` and in the call's id
//! (see `seal.rs`). `native_finish_reason` is the provider's own word.

use bytes::Bytes;
use cf_base::Usage;

use crate::answer::{Answer, Choice, Finish, MAX_CHOICES, Part, Piece};
use crate::dialect::Opening;
use crate::json::{Json, Object, object};
use crate::seal::sealed_id;

/// Largest thought that is kept to be given out once more with its seal.
const MAX_THOUGHT: usize = 1 << 20;

/// Usage in OpenAI's shape.
pub(crate) fn usage(usage: &Usage) -> Json<'static> {
    let (prompt, completion) = (usage.prompt_tokens(), usage.completion_tokens());
    object! {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": object! {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
            "audio_tokens": usage.audio_input,
        },
        "completion_tokens_details": object! {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
        },
    }
    .into()
}

fn sealed_thought(text: &str, seal: &str) -> Json<'static> {
    object! {
        "type": "reasoning.text", "text": text.to_owned(), "signature": seal.to_owned(),
        "format": "anthropic-claude-v1",
    }
    .into()
}

fn encrypted(data: String, format: &'static str) -> Json<'static> {
    object! {"type": "reasoning.encrypted", "data": data, "format": format}.into()
}

/// A call's id and Google's own field, with the seal if there is one.
fn sealed(call: &mut Object<'_>, id: String, seal: Option<String>) {
    match seal {
        Some(seal) => {
            call.put("id", sealed_id(&id, &seal));
            call.put("type", "function");
            call.put(
                "extra_content",
                object! {"google": object! {"thought_signature": seal}},
            );
        }
        None => {
            call.put("id", id);
            call.put("type", "function");
        }
    }
}

/// A whole reply.
pub(crate) fn reply(answer: Answer, used: &Usage, opening: &Opening) -> Bytes {
    let id = if answer.id.is_empty() {
        opening.id.clone()
    } else {
        answer.id
    };
    let model = if answer.model.is_empty() {
        opening.model.clone()
    } else {
        answer.model
    };
    let choices = answer.choices.into_iter().enumerate();
    let choices: Vec<Json<'_>> = choices
        .map(|(index, choice)| choice_json(index, choice))
        .collect();
    Json::from(object! {
        "id": id,
        "object": "chat.completion",
        "created": opening.created,
        "model": model,
        "choices": choices,
        "usage": usage(used),
    })
    .to_bytes()
}

fn choice_json(index: usize, choice: Choice) -> Json<'static> {
    let mut text: Option<String> = None;
    let mut refusal: Option<String> = None;
    let mut thinking = String::new();
    let mut details = Vec::new();
    let mut calls = Vec::new();
    for part in choice.parts {
        match part {
            Part::Text(said) => text.get_or_insert_default().push_str(&said),
            Part::Refusal(said) => refusal.get_or_insert_default().push_str(&said),
            Part::Thought { text, seal } => {
                thinking.push_str(&text);
                if !seal.is_empty() {
                    details.push(sealed_thought(&text, &seal));
                }
            }
            Part::Redacted(data) => details.push(encrypted(data, "anthropic-claude-v1")),
            Part::TextSeal(seal) => details.push(encrypted(seal, "google-gemini-v1")),
            Part::Call {
                id,
                name,
                arguments,
                seal,
                ..
            } => {
                let mut call = Object::default();
                sealed(&mut call, id, seal);
                call.put(
                    "function",
                    object! {"name": name, "arguments": or_empty_object(arguments)},
                );
                calls.push(Json::from(call));
            }
        }
    }
    let mut message = object! {"role": "assistant"};
    message.put("content", text.map_or(Json::Null, Json::from));
    message.put("refusal", refusal.map_or(Json::Null, Json::from));
    if !thinking.is_empty() {
        message.put("reasoning_content", thinking);
    }
    if !details.is_empty() {
        message.put("reasoning_details", details);
    }
    if !calls.is_empty() {
        message.put("tool_calls", calls);
    }
    let (finish, native) = choice.finish.unwrap_or((Finish::Stop, String::new()));
    let mut json = object! {"index": index_of(index), "message": message};
    json.put("logprobs", logprobs(choice.logprobs));
    json.put("finish_reason", finish.as_openai());
    if !native.is_empty() {
        json.put("native_finish_reason", native);
    }
    json.into()
}

fn logprobs(entries: Vec<Box<serde_json::value::RawValue>>) -> Json<'static> {
    if entries.is_empty() {
        return Json::Null;
    }
    let entries: Vec<Json<'_>> = entries.into_iter().map(Json::from).collect();
    object! {"content": entries}.into()
}

fn or_empty_object(arguments: String) -> String {
    if arguments.is_empty() {
        "{}".to_owned()
    } else {
        arguments
    }
}

fn index_of(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

/// Writes the chunks of a stream.
#[derive(Debug)]
pub(crate) struct Chunks {
    opening: Opening,
    id: String,
    model: String,
    choices: Vec<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    begun: bool,
    /// The thought as far as it has come, for the entry with its seal.
    thought: String,
}

impl Chunks {
    pub fn new(opening: Opening) -> Self {
        Self {
            id: opening.id.clone(),
            model: opening.model.clone(),
            opening,
            choices: Vec::new(),
        }
    }

    /// The chunk for a piece; none where it changes nothing for the client.
    pub fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        let (choice, delta) = match piece {
            Piece::Head { id, model } => {
                // One id for all chunks.
                if self.choices.is_empty() {
                    if !id.is_empty() {
                        self.id = id;
                    }
                    if !model.is_empty() {
                        self.model = model;
                    }
                }
                return;
            }
            Piece::Text { choice, text } => (choice, object! {"content": text}),
            Piece::Refusal { choice, text } => (choice, object! {"refusal": text}),
            Piece::Thought { choice, text } => {
                let thought = &mut self.progress(choice).thought;
                if thought.len() + text.len() <= MAX_THOUGHT {
                    thought.push_str(&text);
                }
                (choice, object! {"reasoning_content": text})
            }
            Piece::ThoughtSeal { choice, seal } => {
                let thought = std::mem::take(&mut self.progress(choice).thought);
                let details = vec![sealed_thought(&thought, &seal)];
                (choice, object! {"reasoning_details": details})
            }
            Piece::Redacted { choice, data } => {
                let details = vec![encrypted(data, "anthropic-claude-v1")];
                (choice, object! {"reasoning_details": details})
            }
            Piece::TextSeal { choice, seal } => {
                let details = vec![encrypted(seal, "google-gemini-v1")];
                (choice, object! {"reasoning_details": details})
            }
            Piece::Call {
                choice,
                call,
                id,
                name,
                seal,
            } => {
                let mut json = object! {"index": index_of(call)};
                sealed(&mut json, id, seal);
                json.put("function", object! {"name": name, "arguments": ""});
                (choice, object! {"tool_calls": vec![Json::from(json)]})
            }
            Piece::Arguments { choice, call, text } => {
                let json = object! {
                    "index": index_of(call), "function": object! {"arguments": text},
                };
                (choice, object! {"tool_calls": vec![Json::from(json)]})
            }
            Piece::Logprobs { choice, entries } => {
                self.begin(choice, out);
                let mut json = self.choice(choice, Object::default(), None);
                json.put("logprobs", logprobs(entries));
                self.chunk(vec![json.into()], None, out);
                return;
            }
            Piece::Finish {
                choice,
                finish,
                native,
            } => {
                self.begin(choice, out);
                let mut json = self.choice(choice, Object::default(), Some(finish));
                if !native.is_empty() {
                    json.put("native_finish_reason", native);
                }
                self.chunk(vec![json.into()], None, out);
                return;
            }
        };
        self.begin(choice, out);
        let json = self.choice(choice, delta, None);
        self.chunk(vec![json.into()], None, out);
    }

    /// The last chunks: usage if the client asked for it, and the end.
    pub fn end(&mut self, used: &Usage, out: &mut Vec<u8>) {
        if self.opening.include_usage {
            self.chunk(Vec::new(), Some(used), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn progress(&mut self, choice: usize) -> &mut Progress {
        let choice = choice.min(MAX_CHOICES - 1);
        while self.choices.len() <= choice {
            self.choices.push(Progress::default());
        }
        &mut self.choices[choice]
    }

    /// The first chunk of a choice says who speaks.
    fn begin(&mut self, choice: usize, out: &mut Vec<u8>) {
        let progress = self.progress(choice);
        if !progress.begun {
            progress.begun = true;
            let delta = object! {"role": "assistant", "content": ""};
            let json = self.choice(choice, delta, None);
            self.chunk(vec![json.into()], None, out);
        }
    }

    fn choice(
        &self,
        choice: usize,
        delta: Object<'static>,
        finish: Option<Finish>,
    ) -> Object<'static> {
        let mut json = object! {"index": index_of(choice), "delta": delta};
        json.put(
            "finish_reason",
            finish.map_or(Json::Null, |finish| finish.as_openai().into()),
        );
        json
    }

    fn chunk(&self, choices: Vec<Json<'_>>, used: Option<&Usage>, out: &mut Vec<u8>) {
        let mut chunk = object! {
            "id": &*self.id, "object": "chat.completion.chunk", "created": self.opening.created,
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
