//! What an answer that is no chat says was used.

use cf_base::{Extra, Usage};
use serde::Deserialize;

use crate::count::{Count, take};

/// What was counted, of tokens and of pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counted {
    /// Tokens, in classes that do not overlap.
    pub tokens: Option<Usage>,
    /// Seconds of sound.
    pub seconds: Option<u64>,
    /// Requests that the provider bills this one as.
    pub units: Option<u64>,
}

/// What the plain tokens of an answer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Output {
    Text,
    Picture,
    Sound,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    input_tokens: Count,
    prompt_tokens: Count,
    output_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    #[serde(alias = "input_token_details")]
    input_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
    /// OpenAI: the length of the sound, where that is what is billed.
    seconds: Count,
    /// Mistral's word for the same.
    prompt_audio_seconds: Count,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct Details {
    text_tokens: Count,
    image_tokens: Count,
    audio_tokens: Count,
    cached_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    usage: Option<Wire>,
    /// Cohere.
    meta: Option<Meta>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    billed_units: Option<Billed>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Billed {
    search_units: Count,
    input_tokens: Count,
}

/// Reads an answer of OpenAI's, or of a server that speaks its language.
pub(super) fn read(body: &[u8], output: Output) -> Counted {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let mut counted = body
        .usage
        .map(|wire| wire.counted(output))
        .unwrap_or_default();
    if let Some(billed) = body.meta.and_then(|m| m.billed_units) {
        counted.units = billed.search_units.0;
        if let (None, Some(input)) = (counted.tokens, billed.input_tokens.0) {
            counted.tokens = Some(Usage {
                input,
                ..Usage::default()
            });
        }
    }
    counted
}

impl Wire {
    fn counted(self, output: Output) -> Counted {
        let seconds = self.seconds.0.or(self.prompt_audio_seconds.0);
        let input = self.input_tokens.0.or(self.prompt_tokens.0);
        let out = self.output_tokens.0.or(self.completion_tokens.0);
        let (input, out) = match (input, out, self.total_tokens.0) {
            (None, None, None | Some(0)) => {
                return Counted {
                    seconds,
                    ..Counted::default()
                };
            }
            // Some say the total only, where nothing comes out.
            (None, None, Some(total)) => (total, 0),
            (input, out, _) => (input.unwrap_or(0), out.unwrap_or(0)),
        };
        let details = self.input_tokens_details.unwrap_or_default();
        let mut plain = input;
        let cache_read = take(&mut plain, details.cached_tokens.or_zero());
        let audio_input = take(&mut plain, details.audio_tokens.or_zero());
        let image_input = take(&mut plain, details.image_tokens.or_zero());
        let mut usage = Usage {
            input: plain,
            cache_read,
            audio_input,
            extra: Extra {
                image_input,
                ..Extra::default()
            },
            ..Usage::default()
        };
        // Words among them are told apart by newer models only.
        let told = self.output_tokens_details.unwrap_or_default();
        let words = told.text_tokens.or_zero().min(out);
        match output {
            Output::Text => usage.output = out,
            Output::Picture => {
                usage.output = words;
                usage.extra.image_output = out - words;
            }
            Output::Sound => {
                usage.output = words;
                usage.audio_output = out - words;
            }
        }
        Counted {
            tokens: Some(usage),
            seconds,
            units: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_count_finds_its_class() {
        let picture = read(
            br#"{"usage":{"total_tokens":4250,"input_tokens":90,"output_tokens":4160,
                "input_tokens_details":{"text_tokens":50,"image_tokens":40}}}"#,
            Output::Picture,
        );
        let usage = picture.tokens.expect("tokens");
        assert_eq!((usage.input, usage.extra.image_input), (50, 40));
        assert_eq!((usage.output, usage.extra.image_output), (0, 4160));
        let newer = read(
            br#"{"usage":{"input_tokens":9,"output_tokens":110,
                "output_tokens_details":{"text_tokens":10,"image_tokens":100}}}"#,
            Output::Picture,
        );
        let usage = newer.tokens.expect("tokens");
        assert_eq!((usage.output, usage.extra.image_output), (10, 100));
        let transcript = read(
            br#"{"text":"x","usage":{"type":"tokens","input_tokens":14,"output_tokens":45,
                "input_token_details":{"text_tokens":4,"audio_tokens":10},"total_tokens":59}}"#,
            Output::Text,
        );
        let usage = transcript.tokens.expect("tokens");
        assert_eq!((usage.input, usage.audio_input, usage.output), (4, 10, 45));
    }

    #[test]
    fn seconds_are_rounded_up_and_units_are_cohere_s() {
        let by_second = read(
            br#"{"usage":{"type":"duration","seconds":12.2}}"#,
            Output::Text,
        );
        assert_eq!((by_second.seconds, by_second.tokens), (Some(13), None));
        let cohere = read(
            br#"{"meta":{"billed_units":{"search_units":2}}}"#,
            Output::Text,
        );
        assert_eq!((cohere.units, cohere.tokens), (Some(2), None));
        let jina = read(br#"{"usage":{"total_tokens":30}}"#, Output::Text);
        assert_eq!(jina.tokens.map(|u| u.input), Some(30));
        assert_eq!(read(b"<html>", Output::Text), Counted::default());
    }
}
