//! Answers as Anthropic's clients read them, written from any provider's.

use bytes::Bytes;
use cf_base::Usage;

use crate::answer::{Answer, Finish, Part, Piece};
use crate::dialect::Opening;
use crate::json::{Json, Object, object, object_of};

/// Most bytes of arguments that wait for their turn.
const MAX_WAITING: usize = 4 << 20;

/// Usage in Anthropic's shape: input is without what the cache read and wrote.
fn usage(usage: &Usage) -> Json<'static> {
    let written = usage.cache_write + usage.cache_write_1h;
    object! {
        "input_tokens": usage.prompt_tokens() - usage.cache_read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.completion_tokens(),
    }
    .into()
}

/// Anthropic's word for an end; the provider's own where it is the same word.
fn stop_reason(finish: Finish, native: &str) -> &'static str {
    match native {
        "stop_sequence" => return "stop_sequence",
        "pause_turn" => return "pause_turn",
        "model_context_window_exceeded" => return "model_context_window_exceeded",
        _ => {}
    }
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Filtered => "refusal",
    }
}

/// Anthropic's clients know ids of their own kind.
fn message_id(id: &str) -> String {
    if id.starts_with("msg_") {
        id.to_owned()
    } else {
        format!("msg_{id}")
    }
}

fn message<'a>(id: String, model: &'a str, content: Vec<Json<'a>>) -> Object<'a> {
    object! {
        "id": id, "type": "message", "role": "assistant", "model": model, "content": content,
    }
}

/// A whole reply: the first choice, as there is only one.
pub(crate) fn reply(mut answer: Answer, used: &Usage, opening: &Opening) -> Bytes {
    let choice = if answer.choices.is_empty() {
        Default::default()
    } else {
        answer.choices.swap_remove(0)
    };
    let mut content = Vec::with_capacity(choice.parts.len());
    for part in choice.parts {
        content.push(match part {
            Part::Text(text) | Part::Refusal(text) => object! {"type": "text", "text": text}.into(),
            Part::Thought { text, seal } => {
                object! {"type": "thinking", "thinking": text, "signature": seal}.into()
            }
            Part::Redacted(data) => object! {"type": "redacted_thinking", "data": data}.into(),
            Part::TextSeal(_) => continue,
            Part::Call {
                id,
                name,
                arguments,
                seal,
                ..
            } => {
                // What is no object was cut short; the client sees that it is empty.
                let input = object_of(&arguments).map_or(object! {}.into(), Json::from);
                let id = sealed(id, seal);
                Json::from(object! {"type": "tool_use", "id": id, "name": name, "input": input})
            }
        });
    }
    let id = if answer.id.is_empty() {
        &opening.id
    } else {
        &answer.id
    };
    let model = if answer.model.is_empty() {
        &opening.model
    } else {
        &answer.model
    };
    let (finish, native) = choice.finish.unwrap_or((Finish::Stop, String::new()));
    let mut json = message(message_id(id), model, content);
    json.put("stop_reason", stop_reason(finish, &native));
    json.put("stop_sequence", Json::Null);
    json.put("usage", usage(used));
    Json::from(json).to_bytes()
}

fn sealed(id: String, seal: Option<String>) -> String {
    match seal {
        Some(seal) => crate::seal::sealed_id(&id, &seal),
        None => id,
    }
}

/// Writes the events of a stream. Blocks follow each other here, while other
/// providers tell several calls at once: a call that begins before the one that
/// is told has ended waits, and is told when the answer is complete.
#[derive(Debug)]
pub(crate) struct Events {
    opening: Opening,
    id: String,
    model: String,
    begun: bool,
    open: Option<Open>,
    next_index: u64,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    stop: Option<&'static str>,
}

#[derive(Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call(usize),
}

#[derive(Debug)]
struct Waiting {
    call: usize,
    id: String,
    name: String,
    arguments: String,
}

impl Events {
    pub fn new(opening: Opening) -> Self {
        Self {
            id: opening.id.clone(),
            model: opening.model.clone(),
            opening,
            begun: false,
            open: None,
            next_index: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            stop: None,
        }
    }

    /// The events for a piece. There is one choice only.
    pub fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        match piece {
            Piece::Head { id, model } if !self.begun => {
                if !id.is_empty() {
                    self.id = id;
                }
                if !model.is_empty() {
                    self.model = model;
                }
            }
            Piece::Text { choice: 0, text } | Piece::Refusal { choice: 0, text } => {
                self.open(Open::Text, out);
                self.delta(object! {"type": "text_delta", "text": text}, out);
            }
            Piece::Thought { choice: 0, text } => {
                self.open(Open::Thinking, out);
                self.delta(object! {"type": "thinking_delta", "thinking": text}, out);
            }
            Piece::ThoughtSeal { choice: 0, seal } => {
                self.open(Open::Thinking, out);
                self.delta(object! {"type": "signature_delta", "signature": seal}, out);
                self.close(out);
            }
            Piece::Redacted { choice: 0, data } => {
                self.close(out);
                self.begin(out);
                self.start(object! {"type": "redacted_thinking", "data": data}, out);
                self.stop_block(out);
            }
            Piece::Call {
                choice: 0,
                call,
                id,
                name,
                seal,
            } => {
                let id = sealed(id, seal);
                if matches!(self.open, Some(Open::Call(_))) {
                    self.waiting.push(Waiting {
                        call,
                        id,
                        name,
                        arguments: String::new(),
                    });
                } else {
                    self.call(call, id, name, out);
                }
            }
            Piece::Arguments {
                choice: 0,
                call,
                text,
            } => {
                if self.open == Some(Open::Call(call)) {
                    self.delta(
                        object! {"type": "input_json_delta", "partial_json": text},
                        out,
                    );
                } else if let Some(waiting) = self.waiting.iter_mut().find(|w| w.call == call)
                    && self.waiting_bytes + text.len() <= MAX_WAITING
                {
                    self.waiting_bytes += text.len();
                    waiting.arguments.push_str(&text);
                }
            }
            Piece::Finish {
                choice: 0,
                finish,
                native,
            } => self.stop = Some(stop_reason(finish, &native)),
            _ => {}
        }
    }

    /// The last events.
    pub fn end(&mut self, used: &Usage, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        for waiting in std::mem::take(&mut self.waiting) {
            self.call(waiting.call, waiting.id, waiting.name, out);
            let json = waiting.arguments;
            self.delta(
                object! {"type": "input_json_delta", "partial_json": json},
                out,
            );
            self.close(out);
        }
        // Who does not say why is done, as in a whole reply.
        let stop = self.stop.unwrap_or_else(|| stop_reason(Finish::Stop, ""));
        let delta = object! {"stop_reason": stop, "stop_sequence": Json::Null};
        let event = object! {"type": "message_delta", "delta": delta, "usage": usage(used)};
        write_event("message_delta", event, out);
        write_event("message_stop", object! {"type": "message_stop"}, out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        // The count comes at the end, and replaces this.
        let used = Usage {
            input: self.opening.estimated_input,
            ..Usage::default()
        };
        let mut json = message(message_id(&self.id), &self.model, Vec::new());
        json.put("stop_reason", Json::Null);
        json.put("stop_sequence", Json::Null);
        json.put("usage", usage(&used));
        let event = object! {"type": "message_start", "message": json};
        write_event("message_start", event, out);
    }

    fn open(&mut self, what: Open, out: &mut Vec<u8>) {
        if self.open.as_ref() == Some(&what) {
            return;
        }
        self.close(out);
        self.begin(out);
        let block = match what {
            Open::Text => object! {"type": "text", "text": ""},
            _ => object! {"type": "thinking", "thinking": "", "signature": ""},
        };
        self.start(block, out);
        self.open = Some(what);
    }

    fn call(&mut self, call: usize, id: String, name: String, out: &mut Vec<u8>) {
        self.close(out);
        self.begin(out);
        let input = Object::default();
        self.start(
            object! {"type": "tool_use", "id": id, "name": name, "input": input},
            out,
        );
        self.open = Some(Open::Call(call));
    }

    fn start(&mut self, block: Object<'_>, out: &mut Vec<u8>) {
        let event = object! {
            "type": "content_block_start", "index": self.next_index, "content_block": block,
        };
        write_event("content_block_start", event, out);
    }

    fn delta(&mut self, delta: Object<'_>, out: &mut Vec<u8>) {
        let event = object! {
            "type": "content_block_delta", "index": self.next_index, "delta": delta,
        };
        write_event("content_block_delta", event, out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            self.stop_block(out);
        }
    }

    fn stop_block(&mut self, out: &mut Vec<u8>) {
        let event = object! {"type": "content_block_stop", "index": self.next_index};
        write_event("content_block_stop", event, out);
        self.next_index += 1;
    }
}

fn write_event(name: &str, event: Object<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(&Json::from(event).to_line());
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_does_not_say_why_it_ended_has_ended_its_turn() {
        let mut events = Events::new(Opening::default());
        let mut out = Vec::new();
        let text = "Hi".to_owned();
        events.write(Piece::Text { choice: 0, text }, &mut out);
        events.end(&Usage::default(), &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.contains("\"stop_reason\":\"end_turn\""), "{text}");
    }
}
