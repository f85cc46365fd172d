//! What was said: sound to text, in the same language or in English.

use bytes::Bytes;
use cf_base::{Error, Extra, Result, Usage, Work};
use serde::Deserialize;

use super::form::Form;
use super::sound::{about_seconds, most_seconds};
use super::usage::{self, Output};
use super::{Answer, Call, Reading, Told, json_body, none_of_it};
use crate::Provider;
use crate::place::Place;
use crate::tokens::{estimated_tokens, length};

/// Tokens that a second of sound is taken as at most; Whisper's encoder makes 50.
const TOKENS_A_SECOND: u64 = 50;
/// OpenAI's, for estimates.
const USUAL_TOKENS_A_SECOND: u64 = 10;
/// Tokens that are said in a second at most, and about.
const SAID: u64 = 25;
const USUALLY_SAID: u64 = 4;

/// A recording.
#[derive(Debug)]
pub(super) struct Transcription {
    most_seconds: u64,
    about_seconds: u64,
    prompt_bytes: u64,
    format: Format,
    pub stream: bool,
}

/// How the text is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// JSON of some kind.
    Json,
    /// The words alone.
    Text,
    /// With the times, in a format of subtitles.
    Subtitles,
}

impl Transcription {
    pub fn read(form: &Form) -> Result<Self> {
        let mut files = form.all("file");
        let file = files
            .next()
            .filter(|part| part.is_file && !part.data.is_empty());
        let Some(file) = file else {
            return Err(Error::invalid_field(
                "file",
                "You must provide file, the recording.",
            ));
        };
        if files.next().is_some() {
            return Err(Error::invalid_field(
                "file",
                "file stands in the form twice.",
            ));
        }
        // What lies elsewhere may be of any length.
        for name in ["file_id", "file_url"] {
            if form.has(name) {
                return Err(Error::invalid_field(
                    name,
                    format!("{name}: the recording must be in the form, as file."),
                ));
            }
        }
        let format = match form.text("response_format")? {
            None | Some("json" | "verbose_json" | "diarized_json") => Format::Json,
            Some("text") => Format::Text,
            Some("srt" | "vtt") => Format::Subtitles,
            Some(_) => {
                return Err(Error::invalid_field(
                    "response_format",
                    "response_format is json, verbose_json, diarized_json, text, srt or vtt.",
                ));
            }
        };
        let prompt = form.text("prompt")?.unwrap_or_default();
        Ok(Self {
            most_seconds: most_seconds(&file.data),
            about_seconds: about_seconds(&file.data),
            prompt_bytes: length(prompt.len()),
            format,
            stream: form.flag("stream")?,
        })
    }

    pub fn bound(&self) -> Work {
        Work {
            input: self.most_seconds * TOKENS_A_SECOND + self.prompt_bytes + 100,
            output: self.most_seconds * SAID + 100,
            pieces: seconds(self.most_seconds),
        }
    }

    pub fn estimate(&self) -> Usage {
        Usage {
            input: estimated_tokens(self.prompt_bytes),
            audio_input: self.about_seconds * USUAL_TOKENS_A_SECOND,
            output: self.about_seconds * USUALLY_SAID,
            extra: seconds(self.about_seconds),
            ..Usage::default()
        }
    }

    pub fn calls(
        &self,
        form: &Form,
        place: &Place<'_>,
        to_english: bool,
    ) -> Result<(Vec<Call>, Reading)> {
        let path = match (place.provider, to_english) {
            (Provider::OpenAi | Provider::Azure | Provider::OpenAiCompatible, true) => {
                "audio/translations"
            }
            (
                Provider::OpenAi | Provider::Azure | Provider::Mistral | Provider::OpenAiCompatible,
                false,
            ) => "audio/transcriptions",
            _ => return Err(none_of_it(place, "transcriptions")),
        };
        let mut set = vec![("model", Some(place.model)), ("drop_params", None)];
        match self.format {
            // It has one format and no name for it.
            Format::Subtitles if place.provider == Provider::Mistral => {
                return Err(Error::invalid_field(
                    "response_format",
                    "response_format: Mistral gives JSON or text.",
                ));
            }
            _ if place.provider == Provider::Mistral => set.push(("response_format", None)),
            // The words alone are taken out of JSON, where it is told what was used.
            Format::Text if !self.stream => set.push(("response_format", Some("json"))),
            _ => {}
        }
        let call = Call::form(place.openai_url(path)?, form, &set)?;
        Ok((vec![call], Reading::Transcript))
    }

    pub fn reply(&self, answer: &Answer<'_>) -> Option<Told> {
        if self.format == Format::Subtitles {
            let seconds = last_cue(answer.body);
            return Some(Told {
                pieces: seconds_of(seconds),
                pieces_counted: seconds.is_some(),
                ..Told::passed(answer)
            });
        }
        let counted = usage::read(answer.body, Output::Text);
        let body: Body = json_body(answer.body)?;
        let heard = counted.seconds.or(body.duration.0);
        let (kind, text) = match self.format {
            Format::Text => ("text/plain; charset=utf-8", Bytes::from(body.text + "\n")),
            _ => ("application/json", answer.body.clone()),
        };
        Some(Told {
            tokens: counted.tokens,
            pieces: seconds_of(heard),
            pieces_counted: heard.is_some(),
            content_type: Some(kind.into()),
            ..Told::json(text)
        })
    }
}

#[derive(Deserialize)]
struct Body {
    text: String,
    /// In the longer answer, with fractions.
    #[serde(default)]
    duration: crate::count::Count,
}

fn seconds(audio_seconds: u64) -> Extra {
    Extra {
        audio_seconds,
        ..Extra::default()
    }
}

fn seconds_of(told: Option<u64>) -> Extra {
    seconds(told.unwrap_or(0))
}

/// Where the last subtitle ends, in whole seconds: `00:01:02,500 --> 00:01:04,000`.
fn last_cue(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    let line = text.lines().rev().find(|line| line.contains(" --> "))?;
    let end = line.split(" --> ").nth(1)?.split_whitespace().next()?;
    let (whole, fraction) = end.split_once(['.', ',']).unwrap_or((end, ""));
    let mut seconds = 0_u64;
    for part in whole.split(':') {
        let part: u64 = part.parse().ok()?;
        seconds = seconds.checked_mul(60)?.checked_add(part)?;
    }
    let more = fraction.bytes().any(|b| (b'1'..=b'9').contains(&b));
    Some(seconds + u64::from(more)).filter(|n| *n <= 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::super::form::tests::form;
    use super::super::sound::wave;
    use super::*;

    #[test]
    fn a_recording_is_bounded_by_its_bytes() {
        let file = wave(60, 16_000, 16);
        let request = Transcription::read(&form(&[("prompt", "Namen")], &[("file", &file)]));
        let request = request.expect("a recording");
        let bound = request.bound();
        assert_eq!(bound.pieces.audio_seconds, 61);
        assert_eq!((bound.input, bound.output), (61 * 50 + 105, 61 * 25 + 100));
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        let file: (&str, &[u8]) = ("file", b"sound");
        for (texts, files) in [
            (vec![], vec![]),
            (vec![("file", "no file")], vec![]),
            (vec![], vec![file, file]),
            (vec![("file_url", "https://example.com/a.mp3")], vec![file]),
            (vec![("response_format", "pdf")], vec![file]),
            (vec![("stream", "maybe")], vec![file]),
        ] {
            assert!(
                Transcription::read(&form(&texts, &files)).is_err(),
                "{texts:?}"
            );
        }
    }

    #[test]
    fn subtitles_say_how_long_it_was() {
        let srt =
            b"1\n00:00:00,000 --> 00:00:02,000\nHi\n\n2\n00:01:02,000 --> 01:01:04,250\nBye\n";
        assert_eq!(last_cue(srt), Some(3665));
        let vtt = b"WEBVTT\n\n00:00.000 --> 00:03.000 align:start\nHi\n";
        assert_eq!(last_cue(vtt), Some(3));
        assert_eq!(last_cue(b"WEBVTT\n"), None);
        assert_eq!(last_cue(b"a --> b\n"), None);
    }
}
