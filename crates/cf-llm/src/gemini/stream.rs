//! Google's chunks and replies, read into pieces. A reply is one chunk; without
//! `alt=sse` a stream is a list of them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Finish, MAX_CHOICES, Piece};
use crate::counters::{Counted, GeminiCounter};
use crate::json::{Json, Object, compact, object};
use crate::seal::made_id;
use crate::stream::{Flow, NoAnswer};
use crate::wire::prompt::Text;

/// Reads a stream, or a whole reply.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The name of the answer, for the ids of calls that come without.
    answer: String,
    counter: GeminiCounter,
    /// Of a whole reply.
    counted: Option<Counted>,
    /// Calls of each candidate.
    calls: Vec<usize>,
    finished: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChunkWire<'a> {
    #[serde(borrow, default)]
    candidates: Option<Vec<CandidateWire<'a>>>,
    #[serde(borrow, default)]
    prompt_feedback: Option<FeedbackWire<'a>>,
    #[serde(borrow, default)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model_version: Option<Text<'a>>,
    #[serde(borrow, default)]
    response_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CandidateWire<'a> {
    #[serde(default)]
    index: usize,
    #[serde(borrow, default)]
    content: Option<ContentWire<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs_result: Option<LogprobsWire<'a>>,
}

#[derive(Deserialize)]
struct ContentWire<'a> {
    #[serde(borrow, default)]
    parts: Option<Vec<PartWire<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartWire<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(borrow, default)]
    thought_signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    function_call: Option<CallWire<'a>>,
    #[serde(borrow, default)]
    inline_data: Option<DataWire<'a>>,
}

#[derive(Deserialize)]
struct CallWire<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataWire<'a> {
    #[serde(borrow)]
    mime_type: Text<'a>,
    #[serde(borrow)]
    data: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeedbackWire<'a> {
    #[serde(borrow, default)]
    block_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogprobsWire<'a> {
    #[serde(borrow, default)]
    chosen_candidates: Option<Vec<TokenWire<'a>>>,
    #[serde(borrow, default)]
    top_candidates: Option<Vec<TopWire<'a>>>,
}

#[derive(Deserialize)]
struct TopWire<'a> {
    #[serde(borrow, default)]
    candidates: Option<Vec<TokenWire<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenWire<'a> {
    #[serde(borrow, default)]
    token: Option<Text<'a>>,
    #[serde(borrow, default)]
    log_probability: Option<&'a RawValue>,
}

fn owned(text: Option<Text<'_>>) -> String {
    text.map(|Text(text)| text.into_owned()).unwrap_or_default()
}

impl Reader {
    /// A reader of the answer of this name.
    pub fn new(answer: &str) -> Self {
        Self {
            answer: answer.to_owned(),
            ..Self::default()
        }
    }

    /// Takes the data of an event. There is no last one: the stream just ends.
    pub fn event(&mut self, data: &[u8], out: &mut Vec<Piece>) -> Flow {
        match serde_json::from_slice::<ChunkWire<'_>>(data) {
            Ok(chunk) if chunk.error.is_none() => {
                self.counter.event(data);
                self.chunk(chunk, out);
                Flow::More
            }
            _ => Flow::Failed,
        }
    }

    /// Reads a whole reply.
    pub fn whole(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), NoAnswer> {
        let chunks: Vec<ChunkWire<'_>> = if body.trim_ascii_start().starts_with(b"[") {
            serde_json::from_slice(body)
        } else {
            serde_json::from_slice(body).map(|chunk| vec![chunk])
        }
        .map_err(|_| NoAnswer::Unreadable)?;
        if chunks.iter().any(|chunk| chunk.error.is_some()) {
            return Err(NoAnswer::Failed);
        }
        let is_answer = |chunk: &ChunkWire<'_>| {
            chunk.candidates.is_some()
                || chunk.prompt_feedback.is_some()
                || chunk.usage_metadata.is_some()
        };
        if !chunks.iter().any(is_answer) {
            return Err(NoAnswer::Unreadable);
        }
        self.counted = GeminiCounter::body(body);
        for chunk in chunks {
            self.chunk(chunk, out);
        }
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

    fn chunk(&mut self, chunk: ChunkWire<'_>, out: &mut Vec<Piece>) {
        let (id, model) = (owned(chunk.response_id), owned(chunk.model_version));
        if !(id.is_empty() && model.is_empty()) {
            out.push(Piece::Head { id, model });
        }
        let blocked = chunk.prompt_feedback.and_then(|f| f.block_reason);
        if let Some(reason) = blocked {
            self.finished = true;
            out.push(Piece::Finish {
                choice: 0,
                finish: Finish::Filtered,
                native: word(reason),
            });
        }
        for candidate in chunk.candidates.into_iter().flatten() {
            self.candidate(candidate, out);
        }
    }

    fn candidate(&mut self, candidate: CandidateWire<'_>, out: &mut Vec<Piece>) {
        let choice = candidate.index.min(MAX_CHOICES - 1);
        while self.calls.len() <= choice {
            self.calls.push(0);
        }
        let parts = candidate.content.and_then(|c| c.parts).unwrap_or_default();
        for part in parts {
            self.part(choice, part, out);
        }
        let logprobs = candidate.logprobs_result.map(logprobs).unwrap_or_default();
        if !logprobs.is_empty() {
            out.push(Piece::Logprobs {
                choice,
                entries: logprobs,
            });
        }
        let Some(reason) = candidate.finish_reason else {
            return;
        };
        let native = word(reason);
        if native == "FINISH_REASON_UNSPECIFIED" {
            return;
        }
        self.finished = true;
        let finish = match finish_of(&native) {
            // Google has no word of its own for it.
            Finish::Stop if self.calls[choice] > 0 => Finish::ToolCalls,
            finish => finish,
        };
        out.push(Piece::Finish {
            choice,
            finish,
            native,
        });
    }

    fn part(&mut self, choice: usize, part: PartWire<'_>, out: &mut Vec<Piece>) {
        let seal = part.thought_signature.map(|Text(seal)| seal.into_owned());
        if let Some(function) = part.function_call {
            let call = self.calls[choice];
            self.calls[choice] += 1;
            let mut id = owned(function.id);
            if id.is_empty() {
                let answer = format!("{}{choice}x", self.answer);
                id = made_id(&answer, call);
            }
            out.push(Piece::Call {
                choice,
                call,
                id,
                name: owned(function.name),
                seal,
            });
            let args = function.args.map(RawValue::get).filter(|a| *a != "null");
            out.push(Piece::Arguments {
                choice,
                call,
                text: compact(args.unwrap_or("{}")),
            });
            return;
        }
        if let Some(data) = part.inline_data {
            // There is no other place for a picture in a chat's answer.
            let (Text(kind), Text(data)) = (data.mime_type, data.data);
            let text = format!("![image](data:{kind};base64,{data})");
            out.push(Piece::Text { choice, text });
        }
        let text = owned(part.text);
        let thought = part.thought == Some(true);
        if !text.is_empty() {
            out.push(if thought {
                Piece::Thought { choice, text }
            } else {
                Piece::Text { choice, text }
            });
        }
        if let Some(seal) = seal.filter(|_| !thought) {
            out.push(Piece::TextSeal { choice, seal });
        }
    }
}

/// Enums come as words, or as numbers where the client asked for those.
fn word(raw: &RawValue) -> String {
    if let Ok(Text(word)) = serde_json::from_str::<Text<'_>>(raw.get()) {
        return word.into_owned();
    }
    match raw.get() {
        "0" => "FINISH_REASON_UNSPECIFIED",
        "1" => "STOP",
        "2" => "MAX_TOKENS",
        "3" => "SAFETY",
        "4" => "RECITATION",
        "5" => "OTHER",
        "6" => "BLOCKLIST",
        "7" => "PROHIBITED_CONTENT",
        "8" => "SPII",
        "9" => "MALFORMED_FUNCTION_CALL",
        other => return other.to_owned(),
    }
    .to_owned()
}

fn finish_of(reason: &str) -> Finish {
    match reason {
        "MAX_TOKENS" => Finish::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
        | "MODEL_ARMOR" => Finish::Filtered,
        image if image.starts_with("IMAGE_") && image != "IMAGE_OTHER" => Finish::Filtered,
        _ => Finish::Stop,
    }
}

fn logprobs(wire: LogprobsWire<'_>) -> Vec<Box<RawValue>> {
    let mut tops = wire.top_candidates.unwrap_or_default().into_iter();
    let chosen = wire.chosen_candidates.unwrap_or_default();
    chosen
        .into_iter()
        .filter_map(|token| {
            let top = tops.next().and_then(|top| top.candidates);
            let top: Vec<Json<'_>> = top
                .into_iter()
                .flatten()
                .map(|token| token_json(token).into())
                .collect();
            let mut json = token_json(token);
            json.put("top_logprobs", top);
            let text = String::from_utf8(Json::from(json).to_line()).ok()?;
            RawValue::from_string(text).ok()
        })
        .collect()
}

fn token_json(token: TokenWire<'_>) -> Object<'_> {
    let text = token.token.map(|Text(text)| text).unwrap_or_default();
    let bytes: Vec<Json<'_>> = text.bytes().map(|b| Json::from(u64::from(b))).collect();
    let mut json = object! {"token": text};
    json.put(
        "logprob",
        token.log_probability.map_or(Json::Number(0), Json::from),
    );
    json.put("bytes", bytes);
    json
}
