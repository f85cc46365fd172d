//! A stream on its way from a provider to a client: decoded, listened to, and
//! translated where the two speak different dialects.

use std::collections::VecDeque;

use bytes::Bytes;
use cf_base::Usage;

use crate::answer::Piece;
use crate::counters::Counted;
use crate::dialect::{Dialect, Opening, Route};
use crate::frame::aws::{AwsDecoder, AwsError, AwsEvent};
use crate::frame::sse::{SseDecoder, SseError};
use crate::openai::usage::estimate;
use crate::task::TaskStream;
use crate::tokens::length;
use crate::{
    Frame, Provider, SseEvent, StreamTap, anthropic, bedrock, completions, gemini, openai,
    responses,
};

/// What to do with a piece of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamFrame {
    /// Pass this on.
    Pass(Bytes),
    /// The end: pass it on once the call is booked. Empty where there is nothing
    /// to say.
    Done(Bytes),
    /// The provider failed; this is what it said.
    Failed(Bytes),
}

/// A stream that is not what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StreamError {
    /// Server-sent events.
    #[error(transparent)]
    Sse(#[from] SseError),
    /// AWS's framing.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

/// What an event means for the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    /// It goes on.
    More,
    /// It was the last.
    Done,
    /// The provider failed, or cannot be understood.
    Failed,
}

/// Why a body is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoAnswer {
    /// It says that the provider failed.
    Failed,
    /// It is something else.
    Unreadable,
}

/// Takes a stream apart.
#[derive(Debug)]
pub(crate) enum Decoder {
    Sse(SseDecoder),
    AwsEvents(AwsDecoder),
}

/// Reads a provider's dialect.
#[derive(Debug)]
pub(crate) enum Reader {
    Anthropic(anthropic::stream::Reader),
    Gemini(Box<gemini::stream::Reader>),
    Converse(bedrock::stream::Reader),
}

impl Reader {
    /// A reader; of OpenAI's dialect there is another (`openai/stream.rs`).
    pub fn new(dialect: Dialect, answer: &str) -> Self {
        match dialect {
            Dialect::Gemini => Self::Gemini(Box::new(gemini::stream::Reader::new(answer))),
            Dialect::Converse => Self::Converse(bedrock::stream::Reader::default()),
            Dialect::Anthropic | Dialect::OpenAi | Dialect::Responses | Dialect::Completions => {
                Self::Anthropic(anthropic::stream::Reader::default())
            }
        }
    }

    pub fn whole(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), NoAnswer> {
        match self {
            Self::Anthropic(reader) => reader.whole(body, out),
            Self::Gemini(reader) => reader.whole(body, out),
            Self::Converse(reader) => reader.whole(body, out),
        }
    }

    /// What was used, and whether that was counted to the end.
    pub fn usage(&self) -> Option<(Usage, bool)> {
        let counted = self.counted()?;
        Some((counted.usage, counted.complete))
    }

    /// What other models used on the call's behalf.
    fn other_models(&self) -> Vec<(String, Usage)> {
        self.counted().map_or_else(Vec::new, |c| c.others)
    }

    fn counted(&self) -> Option<Counted> {
        match self {
            Self::Anthropic(reader) => reader.counted(),
            Self::Gemini(reader) => reader.counted(),
            Self::Converse(reader) => reader.counted(),
        }
    }

    fn event(&mut self, name: &str, data: &[u8], out: &mut Vec<Piece>) -> Flow {
        match self {
            Self::Anthropic(reader) => reader.event(data, out),
            Self::Gemini(reader) => reader.event(data, out),
            Self::Converse(reader) => reader.event(name, data, out),
        }
    }

    fn is_finished(&self) -> bool {
        match self {
            Self::Anthropic(reader) => reader.is_finished(),
            Self::Gemini(reader) => reader.is_finished(),
            Self::Converse(reader) => reader.is_finished(),
        }
    }
}

/// Writes a client's dialect.
#[derive(Debug)]
enum Writer {
    OpenAi(openai::answer::Chunks),
    Anthropic(anthropic::answer::Events),
    Responses(Box<responses::events::Events>),
    Completions(completions::Chunks),
}

impl Writer {
    fn new(client: Dialect, opening: Opening) -> Self {
        match client {
            Dialect::Anthropic => Self::Anthropic(anthropic::answer::Events::new(opening)),
            Dialect::Responses => {
                Self::Responses(Box::new(responses::events::Events::new(opening)))
            }
            Dialect::Completions => Self::Completions(completions::Chunks::new(opening)),
            Dialect::OpenAi | Dialect::Gemini | Dialect::Converse => {
                Self::OpenAi(openai::answer::Chunks::new(opening))
            }
        }
    }

    fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi(chunks) => chunks.write(piece, out),
            Self::Anthropic(events) => events.write(piece, out),
            Self::Responses(events) => events.write(piece, out),
            Self::Completions(chunks) => chunks.write(piece, out),
        }
    }

    fn end(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi(chunks) => chunks.end(usage, out),
            Self::Anthropic(events) => events.end(usage, out),
            Self::Responses(events) => events.end(usage, out),
            Self::Completions(chunks) => chunks.end(usage, out),
        }
    }
}

#[derive(Debug)]
enum Mode {
    /// OpenAI's chat or legacy completions on both sides.
    OpenAi(StreamTap),
    /// OpenAI's Responses on both sides.
    Responses(Box<responses::native::Tap>),
    /// Anthropic's on both sides: passed on, and read for what was used.
    Anthropic(Reader),
    /// OpenAI's, for another client.
    FromOpenAi {
        tap: StreamTap,
        reader: openai::stream::Reader,
        writer: Writer,
    },
    /// Another provider's, for any client.
    Translated { reader: Reader, writer: Writer },
    /// No chat at all.
    Task(TaskStream),
}

/// A stream.
#[derive(Debug)]
pub struct ChatStream {
    provider: Provider,
    client: Dialect,
    estimated_input: u64,
    decoder: Decoder,
    mode: Mode,
    /// Bytes of text that were read.
    delivered: u64,
    pieces: Vec<Piece>,
    /// Frames that came of one event.
    ready: VecDeque<StreamFrame>,
}

impl ChatStream {
    pub(crate) fn new(route: Route, opening: Opening) -> Self {
        let strip_usage = !opening.include_usage;
        let estimated_input = opening.estimated_input;
        let id = opening.id.clone();
        let writer = |opening| Writer::new(route.client, opening);
        let mode = match (route.client, route.upstream) {
            (Dialect::OpenAi, Dialect::OpenAi) | (Dialect::Completions, Dialect::Completions) => {
                Mode::OpenAi(StreamTap::new(strip_usage))
            }
            (Dialect::Responses, Dialect::Responses) => {
                let echo = opening.echo.unwrap_or_default();
                Mode::Responses(Box::new(responses::native::Tap::new(echo)))
            }
            (Dialect::Anthropic, Dialect::Anthropic) => {
                Mode::Anthropic(Reader::new(Dialect::Anthropic, &id))
            }
            (_, Dialect::OpenAi) => Mode::FromOpenAi {
                tap: StreamTap::new(strip_usage),
                reader: openai::stream::Reader::default(),
                writer: writer(opening),
            },
            (_, upstream) => Mode::Translated {
                reader: Reader::new(upstream, &id),
                writer: writer(opening),
            },
        };
        Self {
            provider: route.provider,
            client: route.client,
            estimated_input,
            decoder: route.decoder(),
            mode,
            delivered: 0,
            pieces: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// An answer that is no chat.
    pub(crate) fn of_task(stream: TaskStream) -> Self {
        Self {
            provider: Provider::OpenAi,
            client: Dialect::OpenAi,
            estimated_input: 0,
            decoder: Decoder::Sse(SseDecoder::default()),
            mode: Mode::Task(stream),
            delivered: 0,
            pieces: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes what came.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if let Mode::Task(stream) = &mut self.mode {
            return stream.push(bytes);
        }
        match &mut self.decoder {
            Decoder::Sse(decoder) => decoder.push(bytes)?,
            Decoder::AwsEvents(decoder) => decoder.push(bytes),
        }
        Ok(())
    }

    /// What comes of it next; `None` until more came.
    pub fn next_frame(&mut self) -> Result<Option<StreamFrame>, StreamError> {
        if let Mode::Task(stream) = &mut self.mode {
            return Ok(stream.next_frame());
        }
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            match &mut self.decoder {
                Decoder::Sse(decoder) => match decoder.next_event() {
                    Some(event) => self.sse(&event),
                    None => return Ok(None),
                },
                Decoder::AwsEvents(decoder) => match decoder.next_event()? {
                    Some(event) => self.aws(event),
                    None => return Ok(None),
                },
            }
        }
    }

    /// The provider has nothing more to send: what is left, and the end.
    pub fn end(&mut self) -> StreamFrame {
        if let Mode::Task(stream) = &mut self.mode {
            return stream.end();
        }
        if let Decoder::Sse(decoder) = &mut self.decoder
            && let Some(event) = decoder.rest()
        {
            self.sse(&event);
            // The rest of an event is one event, and the last.
            let mut passed = Vec::new();
            while let Some(frame) = self.ready.pop_front() {
                match frame {
                    StreamFrame::Pass(bytes) => passed.extend_from_slice(&bytes),
                    last => return joined(passed, last),
                }
            }
            let last = self.last();
            return joined(passed, last);
        }
        self.last()
    }

    /// What was used so far, and whether that is an estimate.
    pub fn usage(&self) -> (Usage, bool) {
        let told = match &self.mode {
            Mode::Task(stream) => return stream.usage(),
            Mode::OpenAi(tap) | Mode::FromOpenAi { tap, .. } => {
                return tap.usage(self.provider, self.estimated_input);
            }
            Mode::Responses(tap) => return tap.usage(self.estimated_input),
            Mode::Anthropic(reader) | Mode::Translated { reader, .. } => reader
                .usage()
                .map(|(usage, complete)| (usage, complete && reader.is_finished())),
        };
        let guess = estimate(self.estimated_input, self.delivered);
        match told {
            Some((usage, true)) => (usage, false),
            // A count on the way is too low for what was said since.
            Some((mut usage, false)) => {
                usage.output = usage.output.max(guess.output);
                (usage, true)
            }
            None => (guess, true),
        }
    }

    /// The whole answer as it is kept, once it came to its end; of Responses only.
    pub fn response(&self) -> Option<&Bytes> {
        match &self.mode {
            Mode::Responses(tap) => tap.response(),
            Mode::FromOpenAi { writer, .. } | Mode::Translated { writer, .. } => match writer {
                Writer::Responses(events) => events.response(),
                _ => None,
            },
            _ => None,
        }
    }

    /// The last frame where we had to cut the stream off.
    pub fn error_frame(&mut self, sentence: &str, code: &str) -> Bytes {
        match &mut self.mode {
            Mode::FromOpenAi {
                writer: Writer::Responses(events),
                ..
            }
            | Mode::Translated {
                writer: Writer::Responses(events),
                ..
            } => {
                let mut out = Vec::new();
                events.fail(sentence, code, &mut out);
                Bytes::from(out)
            }
            Mode::Responses(tap) => responses::native::error_frame(sentence, code, tap.sequence()),
            _ => self.client.error_frame(sentence, code),
        }
    }

    /// The last frame where the provider failed: what it said, without our secret.
    pub fn failure_frame(&mut self, data: &[u8], secret: &str) -> Bytes {
        if self.client != Dialect::Responses {
            return self.client.failure_frame(data, secret);
        }
        if let Mode::Responses(_) = self.mode
            && let Some(frame) = responses::native::failure_frame(data, secret)
        {
            return frame;
        }
        let (message, code) = openai::said_with_code(data, secret);
        self.error_frame(&message, &code)
    }

    /// What other models used on the call's behalf, which is in no counter of
    /// [`ChatStream::usage`].
    pub fn other_models(&self) -> Vec<(String, Usage)> {
        match &self.mode {
            Mode::OpenAi(_) | Mode::Responses(_) | Mode::FromOpenAi { .. } | Mode::Task(_) => {
                Vec::new()
            }
            Mode::Anthropic(reader) | Mode::Translated { reader, .. } => reader.other_models(),
        }
    }

    fn sse(&mut self, event: &SseEvent) {
        let data = event.data.trim_ascii();
        let frame = match &mut self.mode {
            // It has a decoder of its own.
            Mode::Task(_) => return,
            Mode::OpenAi(tap) => Some(match tap.event(event) {
                Frame::Pass => StreamFrame::Pass(event.raw.clone()),
                Frame::Strip => return,
                Frame::Done => StreamFrame::Done(event.raw.clone()),
                Frame::Failed => StreamFrame::Failed(event.data.clone()),
            }),
            Mode::Responses(_) if data.is_empty() => Some(StreamFrame::Pass(event.raw.clone())),
            Mode::Responses(tap) => Some(tap.event(event)),
            Mode::Anthropic(_) if data.is_empty() => Some(StreamFrame::Pass(event.raw.clone())),
            Mode::Anthropic(_) => {
                let raw = event.raw.clone();
                Some(self.native(&event.data, raw))
            }
            Mode::FromOpenAi { tap, reader, .. } => match tap.event(event) {
                Frame::Pass | Frame::Strip => {
                    reader.chunk(data, &mut self.pieces);
                    None
                }
                Frame::Done => {
                    let done = self.done();
                    self.ready.push_back(done);
                    return;
                }
                Frame::Failed => Some(StreamFrame::Failed(event.data.clone())),
            },
            Mode::Translated { .. } if data.is_empty() => return,
            Mode::Translated { .. } => {
                self.translate("", &event.data);
                return;
            }
        };
        match frame {
            Some(frame) => self.ready.push_back(frame),
            None => self.write_pieces(),
        }
    }

    fn aws(&mut self, event: AwsEvent) {
        if event.is_exception {
            self.ready
                .push_back(StreamFrame::Failed(bedrock::failure::in_stream(&event)));
            return;
        }
        // InvokeModel wraps the model's own events.
        let data = match &self.mode {
            Mode::Translated {
                reader: Reader::Converse(_),
                ..
            } => event.payload,
            _ => match bedrock::invoke::native_event(&event) {
                Some(data) => data,
                None => return,
            },
        };
        if matches!(self.mode, Mode::Anthropic(_)) {
            let raw = bedrock::invoke::as_sse(&data);
            let frame = self.native(&data, raw);
            self.ready.push_back(frame);
        } else {
            self.translate(&event.name, &data);
        }
    }

    /// Anthropic's own event for Anthropic's own client.
    fn native(&mut self, data: &Bytes, raw: Bytes) -> StreamFrame {
        let Mode::Anthropic(reader) = &mut self.mode else {
            return StreamFrame::Pass(raw);
        };
        let flow = reader.event("", data, &mut self.pieces);
        self.delivered += self
            .pieces
            .drain(..)
            .map(|p| length(p.bytes()))
            .sum::<u64>();
        match flow {
            Flow::Done => StreamFrame::Done(raw),
            Flow::Failed => StreamFrame::Failed(data.clone()),
            Flow::More => StreamFrame::Pass(raw),
        }
    }

    fn translate(&mut self, name: &str, data: &Bytes) {
        let Mode::Translated { reader, .. } = &mut self.mode else {
            return;
        };
        let flow = reader.event(name, data, &mut self.pieces);
        self.write_pieces();
        match flow {
            Flow::More => {}
            Flow::Done => {
                let last = self.last();
                self.ready.push_back(last);
            }
            Flow::Failed => self.ready.push_back(StreamFrame::Failed(data.clone())),
        }
    }

    fn write_pieces(&mut self) {
        let (Mode::FromOpenAi { writer, .. } | Mode::Translated { writer, .. }) = &mut self.mode
        else {
            return;
        };
        let mut out = Vec::new();
        for piece in self.pieces.drain(..) {
            self.delivered += length(piece.bytes());
            writer.write(piece, &mut out);
        }
        if !out.is_empty() {
            self.ready.push_back(StreamFrame::Pass(Bytes::from(out)));
        }
    }

    /// The end, if the answer came to it.
    fn last(&mut self) -> StreamFrame {
        let finished = match &self.mode {
            Mode::OpenAi(_) => return StreamFrame::Done(Bytes::new()),
            // The message's own end did not come.
            Mode::Anthropic(_) | Mode::Responses(_) | Mode::Task(_) => false,
            Mode::FromOpenAi { reader, .. } => reader.is_finished(),
            Mode::Translated { reader, .. } => reader.is_finished(),
        };
        if finished {
            self.done()
        } else {
            StreamFrame::Failed(Bytes::from_static(
                br#"{"error":{"message":"The provider ended its answer before it was complete.","code":"upstream_error"}}"#,
            ))
        }
    }

    fn done(&mut self) -> StreamFrame {
        let (usage, _) = self.usage();
        let mut out = Vec::new();
        if let Mode::FromOpenAi { writer, .. } | Mode::Translated { writer, .. } = &mut self.mode {
            writer.end(&usage, &mut out);
        }
        StreamFrame::Done(Bytes::from(out))
    }
}

/// The end, with what came just before it.
fn joined(mut passed: Vec<u8>, last: StreamFrame) -> StreamFrame {
    match last {
        StreamFrame::Done(bytes) | StreamFrame::Pass(bytes) => {
            passed.extend_from_slice(&bytes);
            StreamFrame::Done(Bytes::from(passed))
        }
        failed => failed,
    }
}
