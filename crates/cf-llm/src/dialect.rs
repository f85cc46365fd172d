//! How a client's request finds its way to a provider of another dialect, and
//! the answer its way back.
//!
//! ```text
//!  ChatRequest ── outgoing() ──> Outgoing {url, headers, body} ── authorize() ──> sent
//!      │ same dialect: the client's bytes, a few of them changed in place
//!      └ other dialect: Conversation (in no dialect) ── <provider>/request.rs
//!
//!  Route::stream() ──> ChatStream: push(bytes), next_frame(), end(), usage()
//!      │ same dialect: events as they came, with a tap that counts
//!      └ other dialect: <provider>/stream.rs ──> Pieces ──> <client>/answer.rs
//!  Route::reply()   ──> a whole reply, read into the same pieces
//!  Route::failure() ──> what a refusal means, in whichever shape it came
//! ```
//!
//! Clients speak OpenAI's chat completions, its Responses, its legacy completions,
//! or Anthropic's Messages; what a provider speaks, its place says.
//!
//! A dialect is a body format; who is called, where and with what key is the
//! [`Place`]'s. Claude speaks Messages at Anthropic, on Vertex AI, through
//! Bedrock's InvokeModel and on AI Foundry; the `Carrier` says what differs.
//!
//! What a provider cannot do is refused with 400 and the name of the field, or
//! left out where the client asked for that (`drop_params: true` in the body, or
//! the header `x-cf-drop-params: true`); what was left out is told in
//! [`Outgoing::dropped`](crate::Outgoing). Content is never left out.
//!
//! Nothing is kept between requests in here: what a provider wants back with the
//! next one (sealed thinking) is given to the client, see `openai/answer.rs` and
//! `responses/thought.rs`. Responses that are kept are kept by the gateway.

use std::sync::Arc;

use bytes::Bytes;
use cf_base::{Timestamp, Usage};
use http::HeaderMap;

use crate::answer::{Answer, Piece};
use crate::counters::AnthropicCounter;
use crate::responses::echo::Echo;
use crate::stream::{ChatStream, Decoder, NoAnswer, Reader};
use crate::{
    Provider, Reply, UpstreamFailure, anthropic, completions, openai, parse_failure, responses,
};

/// A body format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// OpenAI's chat completions, and what many servers have of it.
    #[default]
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's generateContent.
    Gemini,
    /// Bedrock's Converse.
    Converse,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's legacy completions.
    Completions,
}

/// How Messages are carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    /// As Anthropic has it (and AI Foundry): the model in the body.
    Direct,
    /// Vertex AI: the model in the path, the version in the body.
    Vertex,
    /// Bedrock: the same, and streams in AWS's framing.
    Invoke,
}

/// From which dialect to which, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    pub(crate) provider: Provider,
    pub(crate) client: Dialect,
    pub(crate) upstream: Dialect,
    pub(crate) carrier: Carrier,
}

/// What an answer is named by where the provider does not say; there is neither
/// clock nor chance in here.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// An id nobody else has, such as `chatcmpl-…`.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The provider's name of the model.
    pub model: String,
    /// Whether the client asked for usage in the stream.
    pub include_usage: bool,
    /// Estimate of the prompt, for calls that nobody counts.
    pub estimated_input: u64,
    /// What the answer repeats of its request, where its dialect has that.
    pub echo: Option<Arc<Echo>>,
}

impl Route {
    /// Whether bytes pass as they are.
    pub fn is_same_dialect(&self) -> bool {
        self.client == self.upstream
    }

    /// Listens to a stream, and translates it where it must be.
    pub fn stream(&self, opening: Opening) -> ChatStream {
        ChatStream::new(*self, opening)
    }

    /// Looks at a whole reply: what it is and what it used, and the body for the
    /// client.
    pub fn reply(&self, body: Bytes, opening: &Opening) -> (Reply, Bytes) {
        if self.upstream == Dialect::Responses {
            return responses::native::whole(
                body,
                opening.echo.as_deref(),
                opening.estimated_input,
            );
        }
        if matches!(self.upstream, Dialect::OpenAi | Dialect::Completions) {
            let reply = openai::parse_reply(self.provider, &body, opening.estimated_input);
            let Reply::Completion(usage, _) = reply else {
                return (reply, body);
            };
            if self.is_same_dialect() {
                return (reply, body);
            }
            let mut pieces = Vec::new();
            let mut reader = openai::stream::Reader::default();
            return match reader.whole(&body, &mut pieces) {
                Ok(()) => (reply, self.write(pieces, &usage, opening)),
                Err(_) => (Reply::Unreadable, body),
            };
        }
        let mut pieces = Vec::new();
        let mut reader = Reader::new(self.upstream, &opening.id);
        match reader.whole(&body, &mut pieces) {
            Err(NoAnswer::Failed) => (Reply::Failed, body),
            Err(NoAnswer::Unreadable) => (Reply::Unreadable, body),
            Ok(()) => {
                let delivered = pieces.iter().map(Piece::bytes).map(crate::tokens::length);
                let delivered = delivered.sum();
                let (usage, estimated) = match reader.usage() {
                    Some((usage, _)) => (usage, false),
                    None => {
                        let estimate = openai::usage::estimate(opening.estimated_input, delivered);
                        (estimate, true)
                    }
                };
                let body = if self.is_same_dialect() {
                    body
                } else {
                    self.write(pieces, &usage, opening)
                };
                (Reply::Completion(usage, estimated), body)
            }
        }
    }

    /// What other models used on behalf of a whole reply, which is in no counter of
    /// its usage: Anthropic's advisers and fallbacks.
    pub fn other_models(&self, body: &[u8]) -> Vec<(String, Usage)> {
        let is_told = self.upstream == Dialect::Anthropic
            && memchr::memmem::find(body, b"\"iterations\"").is_some();
        if !is_told {
            return Vec::new();
        }
        AnthropicCounter::body(body).map_or_else(Vec::new, |counted| counted.others)
    }

    fn write(&self, pieces: Vec<Piece>, usage: &Usage, opening: &Opening) -> Bytes {
        let answer = Answer::of(pieces);
        match self.client {
            Dialect::Anthropic => anthropic::answer::reply(answer, usage, opening),
            Dialect::Responses => responses::answer::reply(answer, usage, opening),
            Dialect::Completions => completions::reply(answer, usage, opening),
            Dialect::OpenAi | Dialect::Gemini | Dialect::Converse => {
                openai::answer::reply(answer, usage, opening)
            }
        }
    }

    /// What a refusal means.
    pub fn failure(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        secret: &str,
        now: Timestamp,
    ) -> UpstreamFailure {
        parse_failure(self.provider, status, headers, body, secret, now)
    }

    pub(crate) fn decoder(&self) -> Decoder {
        match (self.upstream, self.carrier) {
            (Dialect::Converse, _) | (Dialect::Anthropic, Carrier::Invoke) => {
                Decoder::AwsEvents(Default::default())
            }
            _ => Decoder::Sse(Default::default()),
        }
    }
}

impl Dialect {
    /// An error inside a stream that has begun.
    pub fn error_frame(self, sentence: &str, code: &str) -> Bytes {
        match self {
            Self::Anthropic => anthropic::failure::error_frame(sentence, code),
            Self::Responses => responses::native::error_frame(sentence, code, 0),
            Self::OpenAi | Self::Gemini | Self::Converse | Self::Completions => {
                openai::stream_error_frame(sentence, code)
            }
        }
    }

    /// A provider's own error inside a stream, without our secret.
    pub fn failure_frame(self, data: &[u8], secret: &str) -> Bytes {
        match self {
            Self::Anthropic => anthropic::failure::failure_frame(data, secret),
            Self::Responses => {
                let (message, code) = openai::said_with_code(data, secret);
                responses::native::error_frame(&message, &code, 0)
            }
            Self::OpenAi | Self::Gemini | Self::Converse | Self::Completions => {
                openai::stream_failure_frame(data, secret)
            }
        }
    }

    /// A refusal of the request as the client's answer; `None` where it is not
    /// the request that is at fault.
    pub fn refusal(self, failure: &UpstreamFailure) -> Option<Bytes> {
        match self {
            Self::Anthropic => anthropic::failure::refusal(failure),
            _ => failure.refusal(),
        }
    }
}
