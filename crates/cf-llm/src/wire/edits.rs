//! Changes to a body that otherwise stays as the client wrote it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::prompt::Text;

/// The top level of an object: names, and values as they stand.
pub(crate) struct Fields<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(Text(name)) = map.next_key()? {
                    fields.push((name, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Changes to a body, each at its place.
pub(crate) struct Edits<'a> {
    body: &'a [u8],
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            edits: Vec::with_capacity(4),
        }
    }

    pub fn replace(&mut self, raw: Option<&'a RawValue>, with: &str) {
        if let Some(raw) = raw {
            self.replace_text(raw.get(), with);
        }
    }

    /// Replaces a piece of the body, which `text` borrows from.
    pub fn replace_text(&mut self, text: &'a str, with: &str) {
        let start = text.as_ptr().addr() - self.body.as_ptr().addr();
        self.edits
            .push((start..start + text.len(), with.to_owned()));
    }

    /// At the front of the object, which is never empty.
    pub fn insert(&mut self, name: &str, value: &str) {
        let front = self
            .body
            .iter()
            .position(|b| *b == b'{')
            .map_or(0, |at| at + 1);
        self.edits
            .push((front..front, format!("\"{name}\":{value},")));
    }

    pub fn apply(mut self) -> Bytes {
        self.edits.sort_by_key(|(range, _)| range.start);
        let added: usize = self.edits.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(self.body.len() + added);
        let mut at = 0;
        for (range, with) in self.edits {
            out.extend_from_slice(&self.body[at..range.start]);
            out.extend_from_slice(with.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(&self.body[at..]);
        Bytes::from(out)
    }
}

/// An object without these fields and with those, everything else as it stands.
pub(crate) fn without(body: &Bytes, left_out: &[&str], added: &[(&str, String)]) -> Bytes {
    let Ok(Fields(fields)) = serde_json::from_slice(body) else {
        return body.clone();
    };
    let mut out = Vec::with_capacity(body.len() + 64);
    let kept = fields
        .iter()
        .filter(|(name, _)| !left_out.contains(&&**name));
    let added = added.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in added.chain(kept.map(|(name, raw)| (&**name, raw.get()))) {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(json_text(name).as_bytes());
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    Bytes::from(out)
}

/// A name as servers read it that match names without regard to case. Two letters
/// beyond ASCII fold to ASCII ones (long s, Kelvin sign). Most names stay as they are.
pub(crate) fn fold(name: &str) -> Cow<'_, str> {
    let folds = |b: u8| b.is_ascii_uppercase() || !b.is_ascii();
    if !name.bytes().any(folds) {
        return Cow::Borrowed(name);
    }
    let folded = name.replace('\u{17f}', "s").replace('\u{212a}', "k");
    Cow::Owned(folded.to_lowercase())
}

pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
