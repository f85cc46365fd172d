//! OpenAI's chunks and replies, and those of the servers that speak its
//! language, read into pieces.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Calls, Finish, MAX_CHOICES, Piece};
use crate::stream::NoAnswer;
use crate::wire::prompt::Text;

/// Reads a stream, or a whole reply. Usage is the tap's (`openai/reply.rs`).
#[derive(Debug, Default)]
pub(crate) struct Reader {
    choices: Vec<Calls>,
    finished: bool,
}

#[derive(Deserialize)]
struct ChunkWire<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Option<Vec<ChoiceWire<'a>>>,
}

#[derive(Deserialize)]
struct ChoiceWire<'a> {
    #[serde(default)]
    index: usize,
    #[serde(borrow, default, alias = "message")]
    delta: Option<DeltaWire<'a>>,
    #[serde(default)]
    logprobs: Option<LogprobsWire>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct LogprobsWire {
    #[serde(default)]
    content: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
struct DeltaWire<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<CallWire<'a>>>,
}

#[derive(Deserialize)]
struct CallWire<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<FunctionWire<'a>>,
}

#[derive(Deserialize)]
struct FunctionWire<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// A part of Mistral's lists.
#[derive(Deserialize)]
struct PartWire<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
}

fn text_of(raw: Option<&RawValue>) -> String {
    raw.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
        .unwrap_or_default()
}

impl Reader {
    /// Takes the data of an event; what cannot be read holds nothing.
    pub fn chunk(&mut self, data: &[u8], out: &mut Vec<Piece>) {
        if let Ok(chunk) = serde_json::from_slice::<ChunkWire<'_>>(data) {
            self.read(chunk, out);
        }
    }

    /// Reads a whole reply.
    pub fn whole(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), NoAnswer> {
        let reply: ChunkWire<'_> =
            serde_json::from_slice(body).map_err(|_| NoAnswer::Unreadable)?;
        self.read(reply, out);
        Ok(())
    }

    /// Whether the answer came to its end.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    fn read(&mut self, chunk: ChunkWire<'_>, out: &mut Vec<Piece>) {
        let text = |text: Option<Text<'_>>| text.map(|t| t.0.into_owned()).unwrap_or_default();
        let (id, model) = (text(chunk.id), text(chunk.model));
        // Azure's first chunk names neither.
        if !(id.is_empty() && model.is_empty()) {
            out.push(Piece::Head { id, model });
        }
        for choice in chunk.choices.into_iter().flatten() {
            let index = choice.index.min(MAX_CHOICES - 1);
            if let Some(delta) = choice.delta {
                self.delta(index, delta, out);
            }
            if let Some(entries) = choice.logprobs.and_then(|l| l.content)
                && !entries.is_empty()
            {
                out.push(Piece::Logprobs {
                    choice: index,
                    entries,
                });
            }
            if let Some(Text(reason)) = choice.finish_reason {
                self.finished = true;
                out.push(Piece::Finish {
                    choice: index,
                    finish: finish_of(&reason),
                    native: reason.into_owned(),
                });
            }
        }
    }

    fn delta(&mut self, choice: usize, delta: DeltaWire<'_>, out: &mut Vec<Piece>) {
        // Some servers say the same under both names.
        let mut thought = text_of(delta.reasoning_content);
        if thought.is_empty() {
            thought = text_of(delta.reasoning);
        }
        push(thought, out, |text| Piece::Thought { choice, text });
        if let Some(raw) = delta.content {
            if raw.get().starts_with('[') {
                let parts: Vec<PartWire<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
                for part in parts {
                    push(thinking_of(part.thinking), out, |text| Piece::Thought {
                        choice,
                        text,
                    });
                    let text = part.text.map(|t| t.0.into_owned()).unwrap_or_default();
                    push(text, out, |text| Piece::Text { choice, text });
                }
            } else {
                push(text_of(Some(raw)), out, |text| Piece::Text { choice, text });
            }
        }
        let refusal = delta.refusal.map(|t| t.0.into_owned()).unwrap_or_default();
        push(refusal, out, |text| Piece::Refusal { choice, text });
        for (nth, call) in (0..).zip(delta.tool_calls.into_iter().flatten()) {
            self.call(choice, nth, call, out);
        }
    }

    fn call(&mut self, choice: usize, nth: u64, call: CallWire<'_>, out: &mut Vec<Piece>) {
        while self.choices.len() <= choice {
            self.choices.push(Calls::default());
        }
        let calls = &mut self.choices[choice];
        let function = call.function.unwrap_or(FunctionWire {
            name: None,
            arguments: None,
        });
        let name = function.name.map(|t| t.0).filter(|name| !name.is_empty());
        // Without an index, a call with a name is a new one.
        let mark = match call.index {
            Some(index) => index,
            None if name.is_some() => u64::try_from(calls.count()).unwrap_or(u64::MAX),
            None => nth,
        };
        let found = match (calls.find(mark), &name) {
            (None, Some(name)) => {
                let Some(call_index) = calls.begin(mark) else {
                    return;
                };
                let id = call.id.map(|t| t.0.into_owned()).unwrap_or_default();
                out.push(Piece::Call {
                    choice,
                    call: call_index,
                    id,
                    name: name.to_string(),
                    seal: None,
                });
                Some(call_index)
            }
            (found, _) => found,
        };
        let arguments = match function.arguments {
            // Some servers send the object itself.
            Some(raw) if raw.get().starts_with('{') => raw.get().to_owned(),
            other => text_of(other),
        };
        if let Some(call) = found {
            push(arguments, out, |text| Piece::Arguments {
                choice,
                call,
                text,
            });
        }
    }
}

fn thinking_of(raw: Option<&RawValue>) -> String {
    let Some(raw) = raw else {
        return String::new();
    };
    if raw.get().starts_with('"') {
        return text_of(Some(raw));
    }
    let parts: Vec<PartWire<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
    parts
        .into_iter()
        .filter_map(|part| part.text.map(|t| t.0.into_owned()))
        .collect()
}

fn push(text: String, out: &mut Vec<Piece>, piece: impl FnOnce(String) -> Piece) {
    if !text.is_empty() {
        out.push(piece(text));
    }
}

fn finish_of(reason: &str) -> Finish {
    match reason {
        "length" | "model_length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::Filtered,
        _ => Finish::Stop,
    }
}
