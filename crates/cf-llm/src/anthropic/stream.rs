//! Anthropic's events and replies, read into pieces.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Calls, Finish, Piece};
use crate::counters::{AnthropicCounter, Counted};
use crate::json::compact;
use crate::stream::{Flow, NoAnswer};
use crate::wire::prompt::Text;

/// Reads a stream, or a whole message.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    counter: AnthropicCounter,
    /// Of a whole message.
    counted: Option<Counted>,
    calls: Calls,
    finished: bool,
}

#[derive(Deserialize)]
struct EventWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    message: Option<MessageWire<'a>>,
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    content_block: Option<BlockWire<'a>>,
    #[serde(borrow, default)]
    delta: Option<DeltaWire<'a>>,
}

#[derive(Deserialize)]
struct MessageWire<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Vec<BlockWire<'a>>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DeltaWire<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
}

fn owned(text: Option<Text<'_>>) -> String {
    text.map(|Text(text)| text.into_owned()).unwrap_or_default()
}

impl Reader {
    /// Takes the data of an event.
    pub fn event(&mut self, data: &[u8], out: &mut Vec<Piece>) -> Flow {
        let Ok(event) = serde_json::from_slice::<EventWire<'_>>(data) else {
            return Flow::Failed;
        };
        match &*event.kind.0 {
            "message_start" => {
                self.counter.event(data);
                if let Some(message) = event.message {
                    out.push(Piece::Head {
                        id: owned(message.id),
                        model: owned(message.model),
                    });
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.block(event.index, block, out);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.delta(event.index, delta, out);
                }
            }
            "message_delta" => {
                self.counter.event(data);
                if let Some(Text(reason)) = event.delta.and_then(|d| d.stop_reason) {
                    self.finish(&reason, out);
                }
            }
            "message_stop" => return Flow::Done,
            "error" => return Flow::Failed,
            // Pings, ends of blocks, and what is still to be invented.
            _ => {}
        }
        Flow::More
    }

    /// Reads a whole message.
    pub fn whole(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), NoAnswer> {
        let message: MessageWire<'_> =
            serde_json::from_slice(body).map_err(|_| NoAnswer::Unreadable)?;
        if message.error.is_some() {
            return Err(NoAnswer::Failed);
        }
        let is_message = message.kind.is_none_or(|Text(kind)| kind == "message");
        let content = message.content.filter(|_| is_message);
        let content = content.ok_or(NoAnswer::Unreadable)?;
        self.counted = AnthropicCounter::body(body);
        out.push(Piece::Head {
            id: owned(message.id),
            model: owned(message.model),
        });
        for (index, block) in (0..).zip(content) {
            self.block(index, block, out);
        }
        let reason = owned(message.stop_reason);
        self.finish(&reason, out);
        Ok(())
    }

    /// What was used; `None` while nothing was told.
    pub fn counted(&self) -> Option<Counted> {
        self.counted.clone().or_else(|| self.counter.counted())
    }

    /// Whether the answer came to its end.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    fn block(&mut self, index: u64, block: BlockWire<'_>, out: &mut Vec<Piece>) {
        match &*block.kind.0 {
            "text" => say(owned(block.text), out, |text| Piece::Text {
                choice: 0,
                text,
            }),
            "thinking" => {
                let thought = |text| Piece::Thought { choice: 0, text };
                say(owned(block.thinking), out, thought);
                let seal = |seal| Piece::ThoughtSeal { choice: 0, seal };
                say(owned(block.signature), out, seal);
            }
            "redacted_thinking" => out.push(Piece::Redacted {
                choice: 0,
                data: owned(block.data),
            }),
            "tool_use" => {
                let Some(call) = self.calls.begin(index) else {
                    return;
                };
                out.push(Piece::Call {
                    choice: 0,
                    call,
                    id: owned(block.id),
                    name: owned(block.name),
                    seal: None,
                });
                let input = block.input.map(|raw| compact(raw.get()));
                // A stream tells it later, and begins with an empty one.
                if let Some(text) = input.filter(|input| input != "{}") {
                    self.calls.argued(call);
                    out.push(Piece::Arguments {
                        choice: 0,
                        call,
                        text,
                    });
                }
            }
            // Searches and the like, which no request of ours asks for.
            _ => {}
        }
    }

    fn delta(&mut self, index: u64, delta: DeltaWire<'_>, out: &mut Vec<Piece>) {
        say(owned(delta.text), out, |text| Piece::Text {
            choice: 0,
            text,
        });
        let thought = |text| Piece::Thought { choice: 0, text };
        say(owned(delta.thinking), out, thought);
        let seal = |seal| Piece::ThoughtSeal { choice: 0, seal };
        say(owned(delta.signature), out, seal);
        if let (Some(Text(text)), Some(call)) = (delta.partial_json, self.calls.find(index))
            && !text.is_empty()
        {
            self.calls.argued(call);
            out.push(Piece::Arguments {
                choice: 0,
                call,
                text: text.into_owned(),
            });
        }
    }

    fn finish(&mut self, reason: &str, out: &mut Vec<Piece>) {
        if self.finished {
            return;
        }
        self.finished = true;
        // Clients parse arguments, also where there are none.
        for call in 0..self.calls.count() {
            if !self.calls.has_arguments(call) {
                out.push(Piece::Arguments {
                    choice: 0,
                    call,
                    text: "{}".into(),
                });
            }
        }
        out.push(Piece::Finish {
            choice: 0,
            finish: finish_of(reason),
            native: reason.to_owned(),
        });
    }
}

fn say(text: String, out: &mut Vec<Piece>, piece: impl FnOnce(String) -> Piece) {
    if !text.is_empty() {
        out.push(piece(text));
    }
}

/// Why Claude stopped, also as Bedrock says it.
pub(crate) fn finish_of(reason: &str) -> Finish {
    match reason {
        "max_tokens" | "model_context_window_exceeded" | "compaction" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" | "guardrail_intervened" | "content_filtered" => Finish::Filtered,
        _ => Finish::Stop,
    }
}
