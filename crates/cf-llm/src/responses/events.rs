//! Streams as clients of Responses read them, written from any provider's.

use std::sync::Arc;

use bytes::Bytes;
use cf_base::Usage;

use super::echo::{Echo, Moment, response};
use super::item::{Item, Said, ending, fill, item_id, summary_part, usage};
use super::thought::Thought;
use crate::answer::{Finish, Piece};
use crate::dialect::Opening;
use crate::json::{Json, Object, object};

/// Most bytes of an answer that are kept for its last event, which repeats all of
/// it; a provider that says more is at fault, and the answer ends there.
const MAX_ANSWER: usize = 16 << 20;
/// Most items of one answer.
const MAX_ITEMS: usize = 2048;

/// Writes the events of a stream.
#[derive(Debug)]
pub(crate) struct Events {
    opening: Opening,
    echo: Arc<Echo>,
    model: String,
    begun: bool,
    sequence: u64,
    /// In the order they began, and whether they are complete.
    items: Vec<(Item, bool)>,
    held: usize,
    finish: Option<Finish>,
    /// The response object of the last event.
    last: Option<Bytes>,
}

impl Events {
    pub fn new(mut opening: Opening) -> Self {
        Self {
            echo: opening.echo.take().unwrap_or_default(),
            model: std::mem::take(&mut opening.model),
            opening,
            begun: false,
            sequence: 0,
            items: Vec::new(),
            held: 0,
            finish: None,
            last: None,
        }
    }

    /// The response object that the stream ended with.
    pub fn response(&self) -> Option<&Bytes> {
        self.last.as_ref()
    }

    /// The events for a piece. There is one choice only.
    pub fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        let full = self.held >= MAX_ANSWER || self.items.len() >= MAX_ITEMS;
        if full && !matches!(piece, Piece::Head { .. } | Piece::Finish { .. }) {
            self.finish = Some(Finish::Length);
            return;
        }
        self.held += piece.bytes();
        match piece {
            Piece::Head { model, .. } if !self.begun && !model.is_empty() => self.model = model,
            Piece::Text { choice: 0, text } => self.say(text, false, out),
            Piece::Refusal { choice: 0, text } => self.say(text, true, out),
            Piece::Thought { choice: 0, text } => self.think(&text, out),
            Piece::ThoughtSeal { choice: 0, seal } => {
                let at = self.reasoning(out);
                if let Some((Item::Reasoning { summary, thought }, _)) = self.items.get_mut(at) {
                    *thought = Some(Thought::Thinking {
                        text: summary.clone(),
                        seal,
                    });
                }
                self.close(at, "completed", out);
            }
            Piece::Redacted { choice: 0, data } => self.sealed(Thought::Redacted(data), out),
            Piece::TextSeal { choice: 0, seal } => self.sealed(Thought::TextSeal(seal), out),
            Piece::Call {
                choice: 0,
                call,
                id,
                name,
                seal,
            } => {
                self.close_said(out);
                let item = Item::call(call, &id, name, seal.as_deref());
                self.add(item, out);
            }
            Piece::Arguments {
                choice: 0,
                call,
                text,
            } => self.argue(call, text, out),
            Piece::Logprobs { choice: 0, entries } => {
                let said = self
                    .items
                    .iter_mut()
                    .rev()
                    .find_map(|(item, _)| match item {
                        Item::Message(parts) => parts.last_mut().filter(|said| !said.refusal),
                        _ => None,
                    });
                if let Some(said) = said {
                    said.logprobs.extend(entries);
                }
            }
            Piece::Finish {
                choice: 0, finish, ..
            } => {
                // What was cut here stays cut.
                self.finish.get_or_insert(finish);
            }
            _ => {}
        }
    }

    /// The last events.
    pub fn end(&mut self, used: &Usage, out: &mut Vec<u8>) {
        self.begin(out);
        let (status, incomplete) = ending(self.finish);
        for at in 0..self.items.len() {
            self.close(at, status, out);
        }
        let name = if incomplete.is_some() {
            "response.incomplete"
        } else {
            "response.completed"
        };
        self.whole(name, status, incomplete, Json::Null, usage(used), out);
    }

    /// The last event where the provider failed.
    pub fn fail(&mut self, message: &str, code: &str, out: &mut Vec<u8>) {
        self.begin(out);
        let error = object! {"code": code.to_owned(), "message": message.to_owned()};
        self.whole(
            "response.failed",
            "failed",
            None,
            error.into(),
            Json::Null,
            out,
        );
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        for name in ["response.created", "response.in_progress"] {
            self.whole(name, "in_progress", None, Json::Null, Json::Null, out);
        }
    }

    /// An event with all of the response.
    fn whole(
        &mut self,
        name: &'static str,
        status: &'static str,
        incomplete: Option<&'static str>,
        error: Json<'_>,
        used: Json<'_>,
        out: &mut Vec<u8>,
    ) {
        let echo = Arc::clone(&self.echo);
        let output = if status == "in_progress" {
            Vec::new()
        } else {
            (0..self.items.len())
                .map(|at| self.item_json(at, status).into())
                .collect()
        };
        let model = std::mem::take(&mut self.model);
        let id = std::mem::take(&mut self.opening.id);
        let moment = Moment {
            id: &id,
            created: self.opening.created,
            model: &model,
            status,
            incomplete,
            error,
            output,
            usage: used,
        };
        let json = Json::from(response(&echo, moment));
        if matches!(status, "completed" | "incomplete") {
            self.last = Some(json.to_bytes());
        }
        self.event(name, object! {"response": json}, out);
        self.model = model;
        self.opening.id = id;
    }

    fn event(&mut self, name: &'static str, mut event: Object<'_>, out: &mut Vec<u8>) {
        event.put("type", name);
        event.put("sequence_number", self.sequence);
        self.sequence += 1;
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(&Json::from(event).to_line());
        out.extend_from_slice(b"\n\n");
    }

    fn id(&self, at: usize) -> String {
        let item = self.items.get(at).map(|(item, _)| item);
        item.map_or_else(String::new, |item| item_id(&self.opening.id, item, at))
    }

    fn item_json(&self, at: usize, status: &'static str) -> Object<'static> {
        let item = self.items.get(at).map(|(item, _)| item);
        item.map_or_else(Object::default, |item| item.to_json(&self.id(at), status))
    }

    /// Where an event belongs.
    fn place(&self, at: usize) -> Object<'static> {
        object! {"item_id": self.id(at), "output_index": index(at)}
    }

    /// A new item; its number.
    fn add(&mut self, item: Item, out: &mut Vec<u8>) -> usize {
        self.begin(out);
        self.items.push((item, false));
        let at = self.items.len() - 1;
        let event = object! {
            "output_index": index(at), "item": self.item_json(at, "in_progress"),
        };
        self.event("response.output_item.added", event, out);
        at
    }

    /// The item that is spoken in, if it is still open.
    fn open(&self, is: fn(&Item) -> bool) -> Option<usize> {
        let at = self.items.len().checked_sub(1)?;
        let (item, done) = &self.items[at];
        (is(item) && !done).then_some(at)
    }

    /// Text and thinking end when something else begins; calls may still be argued.
    fn close_said(&mut self, out: &mut Vec<u8>) {
        if let Some(at) = self.open(|item| !matches!(item, Item::Call { .. })) {
            self.close(at, "completed", out);
        }
    }

    fn say(&mut self, text: String, refusal: bool, out: &mut Vec<u8>) {
        let at = match self.open(|item| matches!(item, Item::Message(_))) {
            Some(at) => at,
            None => {
                self.close_said(out);
                self.add(Item::Message(Vec::new()), out)
            }
        };
        let Some((Item::Message(parts), _)) = self.items.get(at) else {
            return;
        };
        let (last, same) = (
            parts.len().saturating_sub(1),
            parts.last().is_some_and(|said| said.refusal == refusal),
        );
        let part = if same {
            last
        } else {
            if !parts.is_empty() {
                self.part_done(at, last, out);
            }
            let said = Said {
                refusal,
                text: String::new(),
                logprobs: Vec::new(),
            };
            let mut event = self.place(at);
            let json = said.to_json();
            let Some((Item::Message(parts), _)) = self.items.get_mut(at) else {
                return;
            };
            parts.push(said);
            let part = parts.len() - 1;
            event.put("content_index", index(part));
            event.put("part", json);
            self.event("response.content_part.added", event, out);
            part
        };
        let mut event = self.place(at);
        event.put("content_index", index(part));
        event.put("delta", text.clone());
        if let Some((Item::Message(parts), _)) = self.items.get_mut(at)
            && let Some(said) = parts.get_mut(part)
        {
            said.text.push_str(&text);
        }
        if refusal {
            self.event("response.refusal.delta", event, out);
        } else {
            event.put("logprobs", Vec::new());
            self.event("response.output_text.delta", event, out);
        }
    }

    fn part_done(&mut self, at: usize, part: usize, out: &mut Vec<u8>) {
        let Some((Item::Message(parts), _)) = self.items.get(at) else {
            return;
        };
        let Some(said) = parts.get(part).cloned() else {
            return;
        };
        let mut event = self.place(at);
        event.put("content_index", index(part));
        if said.refusal {
            event.put("refusal", said.text.clone());
            self.event("response.refusal.done", event, out);
        } else {
            let logprobs: Vec<Json<'_>> = said.logprobs.iter().cloned().map(Json::from).collect();
            event.put("logprobs", logprobs);
            event.put("text", said.text.clone());
            self.event("response.output_text.done", event, out);
        }
        let mut event = self.place(at);
        event.put("content_index", index(part));
        event.put("part", said.to_json());
        self.event("response.content_part.done", event, out);
    }

    /// The reasoning item that is open, or a new one.
    fn reasoning(&mut self, out: &mut Vec<u8>) -> usize {
        if let Some(at) = self.open(|item| matches!(item, Item::Reasoning { .. })) {
            return at;
        }
        self.close_said(out);
        let item = Item::Reasoning {
            summary: String::new(),
            thought: None,
        };
        self.add(item, out)
    }

    fn think(&mut self, text: &str, out: &mut Vec<u8>) {
        let at = self.reasoning(out);
        let Some((Item::Reasoning { summary, .. }, _)) = self.items.get_mut(at) else {
            return;
        };
        let is_first = summary.is_empty();
        summary.push_str(text);
        if is_first {
            let mut event = self.place(at);
            event.put("summary_index", 0_u64);
            event.put("part", summary_part(""));
            self.event("response.reasoning_summary_part.added", event, out);
        }
        let mut event = self.place(at);
        event.put("summary_index", 0_u64);
        event.put("delta", text.to_owned());
        self.event("response.reasoning_summary_text.delta", event, out);
    }

    /// Thinking that is not shown.
    fn sealed(&mut self, thought: Thought, out: &mut Vec<u8>) {
        self.close_said(out);
        let item = Item::Reasoning {
            summary: String::new(),
            thought: Some(thought),
        };
        let at = self.add(item, out);
        self.close(at, "completed", out);
    }

    fn argue(&mut self, call: usize, text: String, out: &mut Vec<u8>) {
        let found = self.items.iter_mut().enumerate().rev();
        let found = found
            .filter(|(_, (_, done))| !done)
            .find_map(|(at, (item, _))| match item {
                Item::Call {
                    call: known,
                    arguments,
                    ..
                } if *known == call => Some((at, arguments)),
                _ => None,
            });
        let Some((at, arguments)) = found else { return };
        arguments.push_str(&text);
        let mut event = self.place(at);
        event.put("delta", text);
        self.event("response.function_call_arguments.delta", event, out);
    }

    /// An item is complete.
    fn close(&mut self, at: usize, status: &'static str, out: &mut Vec<u8>) {
        let Some((item, done)) = self.items.get_mut(at) else {
            return;
        };
        if std::mem::replace(done, true) {
            return;
        }
        match item.clone() {
            Item::Message(parts) => {
                if !parts.is_empty() {
                    self.part_done(at, parts.len() - 1, out);
                }
            }
            Item::Reasoning { summary, .. } => {
                if !summary.is_empty() {
                    let mut event = self.place(at);
                    event.put("summary_index", 0_u64);
                    event.put("text", summary.clone());
                    self.event("response.reasoning_summary_text.done", event, out);
                    let mut event = self.place(at);
                    event.put("summary_index", 0_u64);
                    event.put("part", summary_part(&summary));
                    self.event("response.reasoning_summary_part.done", event, out);
                }
            }
            Item::Call {
                name, arguments, ..
            } => {
                fill(item, arguments.clone());
                let arguments = if arguments.is_empty() {
                    let mut event = self.place(at);
                    event.put("delta", "{}");
                    self.event("response.function_call_arguments.delta", event, out);
                    "{}".to_owned()
                } else {
                    arguments
                };
                let mut event = self.place(at);
                event.put("name", name);
                event.put("arguments", arguments);
                self.event("response.function_call_arguments.done", event, out);
            }
        }
        let event = object! {"output_index": index(at), "item": self.item_json(at, status)};
        self.event("response.output_item.done", event, out);
    }
}

fn index(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}
