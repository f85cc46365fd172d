//! Choices made by bytes: the same bytes choose the same. Where they are used up,
//! every choice is the first and every list ends, so that all that is made of them is
//! bounded by their number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Words that mean something somewhere, so that what is made of them goes deep.
const WORDS: [&str; 92] = [
    "role",
    "user",
    "assistant",
    "tool",
    "system",
    "developer",
    "content",
    "type",
    "text",
    "image_url",
    "url",
    "image",
    "tool_calls",
    "id",
    "function",
    "name",
    "arguments",
    "{}",
    "tool_call_id",
    "tool_use",
    "tool_result",
    "tool_use_id",
    "input",
    "thinking",
    "signature",
    "source",
    "base64",
    "data",
    "media_type",
    "candidates",
    "parts",
    "functionCall",
    "args",
    "finishReason",
    "STOP",
    "usageMetadata",
    "choices",
    "delta",
    "message_start",
    "message",
    "content_block_delta",
    "content_block_start",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "index",
    "usage",
    "reasoning_details",
    "stop_reason",
    "end_turn",
    "finish_reason",
    "tool_choice",
    "tools",
    "required",
    "any",
    "auto",
    "none",
    "input_text",
    "input_image",
    "input_file",
    "input_audio",
    "file",
    "file_data",
    "file_id",
    "document",
    "function_call",
    "function_call_output",
    "reasoning",
    "summary",
    "encrypted_content",
    "output",
    "output_text",
    "call_id",
    "response",
    "item",
    "error",
    "code",
    "json_schema",
    "schema",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "input_tokens",
    "output_tokens",
    "promptTokenCount",
    "candidatesTokenCount",
    "inputTokens",
    "outputTokens",
    "toolUse",
    "max_uses",
    "web_search_20250305",
    "\u{fffd}é\u{1f600}\n\"\\",
];
/// Beginnings of pictures and sounds.
const MEDIA: [&[u8]; 5] = [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\xff\xd8\xff\xe0\0\x04\0\0\xff\xc0\0\x0b\x08",
    b"GIF89a",
    b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0",
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0",
];
/// How deep a made value goes.
const DEPTH: usize = 6;

pub struct Draw<'a> {
    bytes: &'a [u8],
}

impl<'a> Draw<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Once in so many times, and not where nothing is left.
    pub fn seldom(&mut self, times: u8) -> bool {
        !self.bytes.is_empty() && self.byte() % times == times - 1
    }

    /// Below `end`; zero if that is zero.
    pub fn below(&mut self, end: usize) -> usize {
        let high = if end > 256 { self.byte() } else { 0 };
        let n = usize::from(high) << 8 | usize::from(self.byte());
        n.checked_rem(end).unwrap_or(0)
    }

    pub fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// Up to 63 of the next bytes.
    pub fn some(&mut self) -> &'a [u8] {
        let end = usize::from(self.byte() % 64).min(self.bytes.len());
        let (some, rest) = self.bytes.split_at(end);
        self.bytes = rest;
        some
    }

    /// Pieces of these bytes, cut in a few places.
    pub fn cut<'b>(&mut self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        // Now and then each byte comes by itself.
        if self.seldom(8) && bytes.len() <= 4096 {
            return bytes.chunks(1).collect();
        }
        let mut pieces = Vec::new();
        for _ in 0..=self.byte() % 6 {
            let (piece, rest) = bytes.split_at(self.below(bytes.len() + 1));
            pieces.push(piece);
            bytes = rest;
        }
        pieces.push(bytes);
        pieces
    }

    fn text(&mut self) -> String {
        match self.byte() % 8 {
            0..=4 => self.one_of(&WORDS).to_owned(),
            5 => String::from_utf8_lossy(self.some()).into_owned(),
            6 => self.media(),
            _ => "https://a.example/a.png".to_owned(),
        }
    }

    /// A picture or a sound as base64, perhaps as an address.
    fn media(&mut self) -> String {
        let begin = self.one_of(&MEDIA);
        let data = STANDARD.encode([begin, self.some()].concat());
        if self.flag() {
            format!("data:image/png;base64,{data}")
        } else {
            data
        }
    }

    fn number(&mut self) -> Value {
        const NUMBERS: [i64; 9] = [0, 1, -1, 7, 1024, 100_000, i64::MIN, i64::MAX, 1 << 41];
        match self.byte() % 4 {
            0 | 1 => self.one_of(&NUMBERS).into(),
            2 => self.one_of(&[0.5, -0.5, 1e300, 1.5e19, 3.0]).into(),
            _ => u64::MAX.into(),
        }
    }

    /// Any JSON.
    pub fn value(&mut self) -> Value {
        self.value_within(DEPTH)
    }

    fn value_within(&mut self, depth: usize) -> Value {
        match self.byte() % 9 {
            0 => Value::Null,
            1 => self.flag().into(),
            2 => self.number(),
            3..=5 => self.text().into(),
            _ if depth == 0 => Value::Null,
            6 => {
                let length = self.byte() % 4;
                (0..length).map(|_| self.value_within(depth - 1)).collect()
            }
            _ => {
                let length = self.byte() % 5;
                let fields = (0..length).map(|_| {
                    let name = self.one_of(&WORDS).to_owned();
                    (name, self.value_within(depth - 1))
                });
                Value::Object(fields.collect())
            }
        }
    }

    /// Spoils a sound value in a few places, or leaves it alone.
    pub fn spoil(&mut self, value: &mut Value) {
        for _ in 0..self.byte() % 5 {
            self.spoil_at(value, 0);
        }
    }

    fn spoil_at(&mut self, value: &mut Value, depth: usize) {
        let deeper = depth < 24 && !self.seldom(6);
        match value {
            Value::Array(list) if deeper && !list.is_empty() => {
                let at = self.below(list.len());
                match self.byte() % 8 {
                    0 => drop(list.remove(at)),
                    1 if list.len() < 64 => list.push(list[at].clone()),
                    2 => {
                        let other = self.below(list.len());
                        list.swap(at, other);
                    }
                    3 => list.insert(at, self.value()),
                    _ => self.spoil_at(&mut list[at], depth + 1),
                }
            }
            Value::Object(fields) if deeper && !fields.is_empty() => {
                let at = self.below(fields.len());
                let name = fields.keys().nth(at).cloned().unwrap_or_default();
                match self.byte() % 8 {
                    0 => drop(fields.remove(&name)),
                    1 => rename(fields, &name, self.one_of(&WORDS)),
                    2 => drop(fields.insert(self.one_of(&WORDS).to_owned(), self.value())),
                    _ => {
                        if let Some(inner) = fields.get_mut(&name) {
                            self.spoil_at(inner, depth + 1);
                        }
                    }
                }
            }
            other => *other = self.value(),
        }
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}
