//! Converse's events and replies, read into pieces.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Calls, Piece};
use crate::anthropic::stream::finish_of;
use crate::counters::{BedrockCounter, Counted};
use crate::json::compact;
use crate::stream::{Flow, NoAnswer};
use crate::wire::prompt::Text;

/// Reads a stream, or a whole reply.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    counter: BedrockCounter,
    /// Blocks are numbered with texts among them.
    calls: Calls,
    finished: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventWire<'a> {
    #[serde(default)]
    content_block_index: u64,
    #[serde(borrow, default)]
    start: Option<BlockWire<'a>>,
    #[serde(borrow, default)]
    delta: Option<BlockWire<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
}

/// A block, the start of one, or a piece of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockWire<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_use: Option<ToolUseWire<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<ReasoningWire<'a>>,
    #[serde(borrow, default)]
    citations_content: Option<CitedWire<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUseWire<'a> {
    #[serde(borrow, default)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    /// An object when whole, a text in pieces.
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningWire<'a> {
    /// When whole.
    #[serde(borrow, default)]
    reasoning_text: Option<ReasoningTextWire<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ReasoningTextWire<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
}

/// Text with its sources; the text counts here.
#[derive(Deserialize)]
struct CitedWire<'a> {
    #[serde(borrow, default)]
    content: Option<Vec<CitedTextWire<'a>>>,
}

#[derive(Deserialize)]
struct CitedTextWire<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyWire<'a> {
    #[serde(borrow, default)]
    output: Option<OutputWire<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct OutputWire<'a> {
    #[serde(borrow, default)]
    message: Option<MessageWire<'a>>,
}

#[derive(Deserialize)]
struct MessageWire<'a> {
    #[serde(borrow, default)]
    content: Option<Vec<BlockWire<'a>>>,
}

fn owned(text: Option<Text<'_>>) -> String {
    text.map(|Text(text)| text.into_owned()).unwrap_or_default()
}

impl Reader {
    /// Takes an event. The usage comes after the message's stop, and is the last.
    pub fn event(&mut self, name: &str, data: &[u8], out: &mut Vec<Piece>) -> Flow {
        let Ok(event) = serde_json::from_slice::<EventWire<'_>>(data) else {
            return Flow::Failed;
        };
        let index = event.content_block_index;
        match name {
            "contentBlockStart" => {
                if let Some(block) = event.start {
                    self.block(index, block, out);
                }
            }
            "contentBlockDelta" => {
                if let Some(block) = event.delta {
                    self.block(index, block, out);
                }
            }
            "messageStop" => {
                let reason = owned(event.stop_reason);
                self.finish(&reason, out);
            }
            "metadata" => {
                self.counter.event(data);
                return Flow::Done;
            }
            _ => {}
        }
        Flow::More
    }

    /// Reads a whole reply.
    pub fn whole(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), NoAnswer> {
        let reply: ReplyWire<'_> =
            serde_json::from_slice(body).map_err(|_| NoAnswer::Unreadable)?;
        let output = reply.output.ok_or(NoAnswer::Unreadable)?;
        self.counter.event(body);
        let blocks = output.message.and_then(|m| m.content).unwrap_or_default();
        for (index, block) in (0..).zip(blocks) {
            self.block(index, block, out);
        }
        let reason = owned(reply.stop_reason);
        self.finish(&reason, out);
        Ok(())
    }

    /// What was used; `None` while nothing was told.
    pub fn counted(&self) -> Option<Counted> {
        self.counter.counted()
    }

    /// Whether the answer came to its end.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    fn block(&mut self, index: u64, block: BlockWire<'_>, out: &mut Vec<Piece>) {
        let choice = 0;
        say(owned(block.text), out, |text| Piece::Text { choice, text });
        for cited in block
            .citations_content
            .and_then(|c| c.content)
            .into_iter()
            .flatten()
        {
            say(owned(cited.text), out, |text| Piece::Text { choice, text });
        }
        if let Some(reasoning) = block.reasoning_content {
            let (mut text, mut seal) = (owned(reasoning.text), owned(reasoning.signature));
            if let Some(whole) = reasoning.reasoning_text {
                (text, seal) = (owned(whole.text), owned(whole.signature));
            }
            say(text, out, |text| Piece::Thought { choice, text });
            say(seal, out, |seal| Piece::ThoughtSeal { choice, seal });
            let data = owned(reasoning.redacted_content);
            say(data, out, |data| Piece::Redacted { choice, data });
        }
        if let Some(tool) = block.tool_use {
            self.tool(index, tool, out);
        }
    }

    fn tool(&mut self, index: u64, tool: ToolUseWire<'_>, out: &mut Vec<Piece>) {
        let choice = 0;
        let call = match tool.name {
            Some(Text(name)) => {
                let Some(call) = self.calls.begin(index) else {
                    return;
                };
                out.push(Piece::Call {
                    choice,
                    call,
                    id: owned(tool.tool_use_id),
                    name: name.into_owned(),
                    seal: None,
                });
                call
            }
            None => match self.calls.find(index) {
                Some(call) => call,
                None => return,
            },
        };
        let Some(input) = tool.input else {
            return;
        };
        let text = if input.get().starts_with('"') {
            serde_json::from_str(input.get()).unwrap_or_default()
        } else {
            compact(input.get())
        };
        if !text.is_empty() {
            self.calls.argued(call);
            out.push(Piece::Arguments { choice, call, text });
        }
    }

    fn finish(&mut self, reason: &str, out: &mut Vec<Piece>) {
        if self.finished {
            return;
        }
        self.finished = true;
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
