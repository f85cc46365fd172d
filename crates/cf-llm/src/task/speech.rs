//! Text to sound.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cf_base::{Error, Extra, Result, Usage, Work};
use serde::Deserialize;

use super::fields::Body;
use super::usage::{self, Output};
use super::{Answer, Call, Reading, Told, json_body, none_of_it};
use crate::Provider;
use crate::conversation::Dropping;
use crate::json::{Json, object};
use crate::place::Place;
use crate::tokens::{estimated_tokens, length};
use crate::wire::edits::json_text;
use crate::wire::prompt::Text;

/// Characters of one request at most; OpenAI takes 4,096.
const MAX_CHARACTERS: u64 = 100_000;
/// Tokens of sound that a character becomes at most, at the usual speed: a token is
/// a twentieth of a second, and nobody speaks two characters a second.
const MOST_A_CHARACTER: u64 = 10;
/// The same as it is about, in tenths: fourteen characters a second.
const USUAL_TENTHS: u64 = 14;

/// What is to be said.
#[derive(Debug)]
pub(super) struct Speech {
    characters: u64,
    bytes: u64,
    /// Speed in hundredths.
    speed: u64,
    format: String,
    /// Whether events are wanted and not the sound alone.
    pub events: bool,
}

impl Speech {
    pub fn read(body: &Body<'_>) -> Result<Self> {
        let input = body.needed("input")?;
        let characters = length(input.chars().count());
        if !(1..=MAX_CHARACTERS).contains(&characters) {
            return Err(Error::invalid_field(
                "input",
                format!("input has 1 to {MAX_CHARACTERS} characters."),
            ));
        }
        let instructions = body.text("instructions")?.unwrap_or_default();
        let speed = body.read::<f64>("speed", "a number")?.unwrap_or(1.0);
        if !(0.25..=4.0).contains(&speed) {
            return Err(Error::invalid_field("speed", "speed is 0.25 to 4."));
        }
        let events = match body.text("stream_format")?.as_deref() {
            None | Some("audio") => false,
            Some("sse") => true,
            Some(_) => {
                return Err(Error::invalid_field(
                    "stream_format",
                    "stream_format is audio or sse.",
                ));
            }
        };
        let format = body.text("response_format")?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 25 and 400"
        )]
        let speed = (speed * 100.0) as u64;
        Ok(Self {
            characters,
            bytes: length(input.len() + instructions.len()),
            speed,
            format: format.map_or_else(|| "mp3".to_owned(), |f| f.into_owned()),
            events,
        })
    }

    pub fn bound(&self) -> Work {
        let slow = self.characters * MOST_A_CHARACTER * 100 / self.speed.min(100);
        Work {
            input: self.bytes + 100,
            output: slow + 200,
            pieces: self.pieces(),
        }
    }

    pub fn estimate(&self) -> Usage {
        Usage {
            input: estimated_tokens(self.bytes),
            audio_output: (self.characters * USUAL_TENTHS * 10).div_ceil(self.speed),
            extra: self.pieces(),
            ..Usage::default()
        }
    }

    fn pieces(&self) -> Extra {
        Extra {
            characters: self.characters,
            ..Extra::default()
        }
    }

    pub fn calls(
        &self,
        body: &Body<'_>,
        place: &Place<'_>,
        dropping: &mut Dropping,
    ) -> Result<(Vec<Call>, Reading)> {
        let provider = place.provider;
        if provider == Provider::Mistral {
            let json = self.for_mistral(body, place.model, dropping)?;
            let call = Call::json(place.openai_url("audio/speech")?, json);
            return Ok((vec![call], Reading::SoundInJson));
        }
        if !matches!(
            provider,
            Provider::OpenAi | Provider::Azure | Provider::OpenAiCompatible
        ) {
            return Err(none_of_it(place, "speech"));
        }
        let mut set = vec![("model", json_text(place.model))];
        // The sound alone does not say what was used: OpenAI's newer models do when
        // they are asked for events, out of which the sound is taken.
        let counts = provider == Provider::OpenAi && !place.model.starts_with("tts-");
        let reading = if self.events {
            Reading::Events
        } else if counts {
            set.push(("stream_format", json_text("sse")));
            Reading::Sound
        } else {
            Reading::Bytes
        };
        let call = Call::json(place.openai_url("audio/speech")?, body.with(&set));
        Ok((vec![call], reading))
    }

    /// Mistral knows voices by another name, and gives the sound within JSON.
    fn for_mistral(&self, body: &Body<'_>, model: &str, dropping: &mut Dropping) -> Result<Bytes> {
        let mut json = object! {
            "model": model.to_owned(), "input": body.needed("input")?,
            "response_format": self.format.clone(),
        };
        for name in body.names() {
            let Some(raw) = body.raw(name) else { continue };
            match name {
                "voice" | "voice_id" => json.put("voice_id", raw),
                "metadata" => json.put("metadata", raw),
                "speed" if self.speed != 100 => dropping.refuse("speed")?,
                "stream_format" if self.events => {
                    return Err(Error::invalid_field(
                        "stream_format",
                        "stream_format: Mistral's speech is not given as events here; leave it out.",
                    ));
                }
                "model" | "input" | "response_format" | "speed" | "stream_format"
                | "drop_params" => {}
                other => dropping.refuse(other)?,
            }
        }
        Ok(Json::from(json).to_bytes())
    }

    /// The sound out of JSON.
    pub fn reply(&self, answer: &Answer<'_>) -> Option<Told> {
        #[derive(Deserialize)]
        struct Spoken<'a> {
            #[serde(borrow)]
            audio_data: Text<'a>,
        }
        let Text(data) = json_body::<Spoken<'_>>(answer.body)?.audio_data;
        Some(Told {
            content_type: Some(self.content_type().to_owned()),
            tokens: usage::read(answer.body, Output::Sound).tokens,
            pieces: self.pieces(),
            ..Told::json(STANDARD.decode(data.as_bytes()).ok()?.into())
        })
    }

    /// What the sound is called.
    pub fn content_type(&self) -> &'static str {
        match &*self.format {
            "mp3" => "audio/mpeg",
            "opus" => "audio/ogg",
            "aac" => "audio/aac",
            "flac" => "audio/flac",
            "wav" => "audio/wav",
            _ => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Speech> {
        Speech::read(&Body::parse(body.as_bytes()).expect("a body"))
    }

    #[test]
    fn characters_are_counted_as_people_count_them() {
        let speech = read(r#"{"input":"Grüße 👋"}"#).expect("a text");
        assert_eq!(speech.estimate().extra.characters, 7);
        let usual = speech.bound().output;
        let slow = read(r#"{"input":"Grüße 👋","speed":0.25}"#).expect("a text");
        assert!(slow.bound().output > usual);
        assert!(slow.estimate().audio_output > speech.estimate().audio_output);
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        for body in [
            r#"{"input":""}"#,
            r#"{"input":["a"]}"#,
            r#"{"input":"a","speed":9}"#,
            r#"{"input":"a","stream_format":"video"}"#,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
