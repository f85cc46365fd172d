//! An answer that is no chat and comes in pieces: passed on as it comes, and
//! listened to.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cf_base::Usage;
use serde::Deserialize;

use super::usage::{self, Output};
use crate::frame::sse::{SseDecoder, SseEvent};
use crate::stream::{StreamError, StreamFrame};

/// What comes and what the client is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Bytes, passed on.
    Bytes,
    /// Events, passed on and counted.
    Events,
    /// Events with sound in them, of which the client is given the sound.
    Sound,
}

/// A stream of one of these.
#[derive(Debug)]
pub(crate) struct TaskStream {
    kind: Kind,
    output: Output,
    decoder: SseDecoder,
    ready: VecDeque<StreamFrame>,
    /// What the provider counted.
    told: Option<Usage>,
    /// Seconds of sound, where it counted those.
    seconds: Option<u64>,
    /// What is charged where it counts nothing, and whether that is a guess.
    estimate: (Usage, bool),
    /// Whether the provider said that it was done.
    is_whole: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
    r#type: String,
    audio: String,
    error: Option<serde::de::IgnoredAny>,
}

impl TaskStream {
    pub(super) fn new(kind: Kind, output: Output, estimate: (Usage, bool)) -> Self {
        Self {
            kind,
            output,
            decoder: SseDecoder::default(),
            ready: VecDeque::new(),
            told: None,
            seconds: None,
            estimate,
            is_whole: false,
        }
    }

    /// Takes what came.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        match self.kind {
            Kind::Bytes if bytes.is_empty() => {}
            Kind::Bytes => self.ready.push_back(StreamFrame::Pass(bytes)),
            Kind::Events | Kind::Sound => self.decoder.push(bytes)?,
        }
        Ok(())
    }

    /// What comes of it next.
    pub fn next_frame(&mut self) -> Option<StreamFrame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            let event = self.decoder.next_event()?;
            self.event(&event);
        }
    }

    /// The provider has nothing more to send.
    pub fn end(&mut self) -> StreamFrame {
        if let Some(event) = self.decoder.rest() {
            self.event(&event);
        }
        match self.ready.pop_front() {
            Some(StreamFrame::Failed(data)) => StreamFrame::Failed(data),
            Some(StreamFrame::Pass(bytes) | StreamFrame::Done(bytes)) if self.is_over() => {
                StreamFrame::Done(bytes)
            }
            _ if self.is_over() => StreamFrame::Done(Bytes::new()),
            _ => StreamFrame::Failed(Bytes::from_static(
                br#"{"error":{"message":"The provider ended its answer before it was complete.","code":"upstream_error"}}"#,
            )),
        }
    }

    fn is_over(&self) -> bool {
        self.is_whole || self.kind == Kind::Bytes
    }

    /// What was used so far, and whether that is an estimate.
    pub fn usage(&self) -> (Usage, bool) {
        let (estimate, is_guess) = self.estimate;
        let mut usage = self.told.unwrap_or(estimate);
        // Other pieces are known by us.
        usage.extra.characters = estimate.extra.characters;
        usage.extra.images = estimate.extra.images;
        usage.extra.audio_seconds = self.seconds.unwrap_or(estimate.extra.audio_seconds);
        let is_told = self.told.is_some() || self.seconds.is_some();
        (usage, is_guess && !is_told)
    }

    fn event(&mut self, event: &SseEvent) {
        let data = event.data.trim_ascii();
        let read: Event = serde_json::from_slice(data).unwrap_or_default();
        if read.error.is_some() || read.r#type == "error" {
            self.ready
                .push_back(StreamFrame::Failed(event.data.clone()));
            return;
        }
        // `image_generation.completed`, `transcript.text.done`, `speech.audio.done`.
        let is_last = read.r#type.ends_with(".completed") || read.r#type.ends_with(".done");
        self.is_whole |= is_last || data == b"[DONE]";
        let counted = usage::read(data, self.output);
        self.told = counted.tokens.or(self.told);
        self.seconds = counted.seconds.or(self.seconds);
        if self.kind == Kind::Events {
            self.ready.push_back(StreamFrame::Pass(event.raw.clone()));
            return;
        }
        if !read.audio.is_empty() {
            let frame = match STANDARD.decode(&read.audio) {
                Ok(sound) => StreamFrame::Pass(Bytes::from(sound)),
                Err(_) => StreamFrame::Failed(event.data.clone()),
            };
            self.ready.push_back(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAEC\"}\n\n\
        data: {\"type\":\"speech.audio.delta\",\"audio\":\"/w==\"}\n\n\
        data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":14,\"output_tokens\":101}}\n\n";

    fn estimate() -> Usage {
        let mut usage = Usage {
            input: 5,
            ..Usage::default()
        };
        usage.extra.characters = 12;
        usage
    }

    fn run(kind: Kind, text: &str, cut: usize) -> (Vec<u8>, StreamFrame, (Usage, bool)) {
        let mut stream = TaskStream::new(kind, Output::Sound, (estimate(), true));
        let mut out = Vec::new();
        for piece in [&text[..cut], &text[cut..]] {
            stream
                .push(Bytes::copy_from_slice(piece.as_bytes()))
                .expect("small");
            while let Some(frame) = stream.next_frame() {
                match frame {
                    StreamFrame::Pass(bytes) => out.extend_from_slice(&bytes),
                    other => return (out, other, stream.usage()),
                }
            }
        }
        let last = stream.end();
        (out, last, stream.usage())
    }

    #[test]
    fn sound_is_taken_out_of_events_and_counted_however_they_are_cut() {
        for cut in 0..EVENTS.len() {
            let (out, last, (usage, estimated)) = run(Kind::Sound, EVENTS, cut);
            assert_eq!(out, [0, 1, 2, 0xff]);
            assert_eq!(last, StreamFrame::Done(Bytes::new()));
            assert_eq!(
                (usage.input, usage.audio_output, estimated),
                (14, 101, false)
            );
            assert_eq!(usage.extra.characters, 12);
            let (out, ..) = run(Kind::Events, EVENTS, cut);
            assert_eq!(out, EVENTS.as_bytes());
        }
    }

    #[test]
    fn a_stream_that_ends_early_or_fails_says_so() {
        let (_, last, usage) = run(Kind::Events, &EVENTS[..60], 10);
        assert!(matches!(last, StreamFrame::Failed(_)));
        assert_eq!(usage, (estimate(), true));
        let failed = "data: {\"type\":\"error\",\"error\":{\"message\":\"no\"}}\n\n";
        let (out, last, _) = run(Kind::Sound, failed, 3);
        assert!(out.is_empty() && matches!(last, StreamFrame::Failed(_)));
        let (out, last, _) = run(Kind::Bytes, "RIFF", 2);
        assert_eq!(
            (out, last),
            (b"RIFF".to_vec(), StreamFrame::Done(Bytes::new()))
        );
    }
}
