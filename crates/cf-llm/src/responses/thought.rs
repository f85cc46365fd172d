//! Thinking that a provider wants back with the next request. It travels in the
//! field that is there for that, `encrypted_content` of a reasoning item: opaque to
//! clients, sealed by the provider whose thinking it is, and marked as ours, so
//! that what OpenAI encrypted is told apart from it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const MARK: &str = "cf1.";

/// What is carried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Thought {
    /// Claude's, with its seal.
    Thinking { text: String, seal: String },
    /// Claude's, readable to Anthropic only.
    Redacted(String),
    /// Google's seal on a text.
    TextSeal(String),
}

impl Thought {
    /// As `encrypted_content`.
    pub fn to_content(&self) -> String {
        let parts: Vec<&str> = match self {
            Self::Thinking { text, seal } => vec!["thinking", text, seal],
            Self::Redacted(data) => vec!["redacted", data],
            Self::TextSeal(seal) => vec!["text_seal", seal],
        };
        let json = serde_json::to_vec(&parts).unwrap_or_default();
        format!("{MARK}{}", URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads an `encrypted_content`; `None` if it is not one of ours.
    pub fn read(content: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(content.strip_prefix(MARK)?).ok()?;
        let parts: Vec<String> = serde_json::from_slice(&json).ok()?;
        let mut parts = parts.into_iter();
        let kind = parts.next()?;
        let first = parts.next()?;
        Some(match &*kind {
            "thinking" => Self::Thinking {
                text: first,
                seal: parts.next()?,
            },
            "redacted" => Self::Redacted(first),
            "text_seal" => Self::TextSeal(first),
            _ => return None,
        })
    }
}

/// Whether an `encrypted_content` was made here, and so means nothing to OpenAI.
pub(crate) fn is_ours(content: &str) -> bool {
    content.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_out_is_read_back() {
        for thought in [
            Thought::Thinking {
                text: "Hm, \"so\"\nö".into(),
                seal: "c2Vh+/8=".into(),
            },
            Thought::Redacted("hidden".into()),
            Thought::TextSeal("QUJD".into()),
        ] {
            let content = thought.to_content();
            assert!(is_ours(&content));
            assert_eq!(Thought::read(&content), Some(thought));
        }
        for foreign in ["gAAAAABqhb7u", "cf1.", "cf1.!!", "cf1.W10"] {
            assert_eq!(Thought::read(foreign), None, "{foreign}");
        }
    }
}
