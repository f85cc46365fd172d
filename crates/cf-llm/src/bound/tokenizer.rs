//! Exact counts, where the model's tokenizer is known. Costs some milliseconds
//! for each megabyte, and a tenth of a second when a vocabulary is first used:
//! not for a thread that others wait for.

use std::fmt;

use bpe_openai::Tokenizer as Bpe;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::tokens::length;
use crate::wire::prompt::Text;

/// What a message, a part or a field has around it at most: markers, role,
/// separators. OpenAI's chat templates have three or four tokens a message.
const AROUND: u64 = 8;

/// A vocabulary of OpenAI's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tokenizer {
    /// From gpt-4o on.
    O200k,
    /// gpt-4 and gpt-3.5.
    Cl100k,
}

impl Tokenizer {
    /// The one of a model of this name; none for models that nobody has said it of.
    pub(super) fn of(model: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
        if is(&[
            "gpt-4o",
            "chatgpt-4o",
            "gpt-4.1",
            "gpt-4.5",
            "gpt-5",
            "o1",
            "o3",
            "o4-mini",
            "codex-mini",
        ]) {
            Some(Self::O200k)
        } else if model == "gpt-4" || is(&["gpt-4-", "gpt-3.5"]) {
            Some(Self::Cl100k)
        } else {
            None
        }
    }

    fn bpe(self) -> &'static Bpe {
        match self {
            Self::O200k => bpe_openai::o200k_base(),
            Self::Cl100k => bpe_openai::cl100k_base(),
        }
    }

    pub(super) fn count(self, text: &str) -> u64 {
        length(self.bpe().count(text))
    }

    /// All texts in a JSON value but those of pictures and sounds, each by itself
    /// with what may stand around it. `None` if it is no JSON.
    pub(super) fn count_texts(self, json: &str) -> Option<u64> {
        let mut sum = 0;
        let mut reader = serde_json::Deserializer::from_str(json);
        let texts = Texts {
            tokenizer: self,
            sum: &mut sum,
        };
        texts.deserialize(&mut reader).ok()?;
        Some(sum)
    }
}

struct Texts<'a> {
    tokenizer: Tokenizer,
    sum: &'a mut u64,
}

impl Texts<'_> {
    fn again(&mut self) -> Texts<'_> {
        Texts {
            tokenizer: self.tokenizer,
            sum: self.sum,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        *self.sum += self.tokenizer.count(text) + AROUND;
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        *self.sum += AROUND;
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        *self.sum += AROUND;
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        *self.sum += AROUND;
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        *self.sum += AROUND;
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        *self.sum += AROUND;
        Ok(())
    }
    fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> Result<(), S::Error> {
        *self.sum += AROUND;
        while seq.next_element_seed(self.again())?.is_some() {}
        Ok(())
    }
    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        *self.sum += AROUND;
        while let Some(Text(name)) = map.next_key()? {
            // Bounded by rules of their own.
            if matches!(&*name, "image_url" | "image" | "input_audio") {
                map.next_value::<serde::de::IgnoredAny>()?;
            } else {
                *self.sum += self.tokenizer.count(&name);
                map.next_value_seed(self.again())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts that OpenAI's own tokenizer gives.
    #[test]
    fn texts_are_counted_as_openai_does() {
        for (text, o200k, cl100k) in [
            ("", 0, 0),
            ("hello world", 2, 2),
            ("tiktoken is great!", 6, 6),
            ("antidisestablishmentarianism", 6, 6),
        ] {
            assert_eq!(Tokenizer::O200k.count(text), o200k, "{text}");
            assert_eq!(Tokenizer::Cl100k.count(text), cl100k, "{text}");
        }
    }

    #[test]
    fn a_name_tells_the_vocabulary() {
        for (model, expected) in [
            ("gpt-4o-2024-08-06", Some(Tokenizer::O200k)),
            ("gpt-5.6-mini", Some(Tokenizer::O200k)),
            ("o3-pro", Some(Tokenizer::O200k)),
            ("gpt-4", Some(Tokenizer::Cl100k)),
            ("gpt-4-turbo", Some(Tokenizer::Cl100k)),
            ("gpt-3.5-turbo-0125", Some(Tokenizer::Cl100k)),
            ("gpt-6-astra", None),
            ("claude-opus-4-7", None),
            ("my-deployment", None),
        ] {
            assert_eq!(Tokenizer::of(model), expected, "{model}");
        }
    }

    #[test]
    fn what_is_no_text_is_left_out() {
        let picture = format!(
            r#"[{{"content":[{{"image_url":{{"url":"{}"}}}},{{"text":"hello world"}}]}}]"#,
            "A".repeat(9_000)
        );
        let count = Tokenizer::O200k.count_texts(&picture).expect("JSON");
        assert!((2..100).contains(&count), "{count}");
        assert_eq!(Tokenizer::O200k.count_texts("{"), None);
    }
}
