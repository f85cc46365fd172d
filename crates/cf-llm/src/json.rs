//! JSON as it is written: fields in the order they were put in, and pieces of
//! other JSON byte for byte. A schema or a call's arguments must arrive as they
//! were sent; `serde_json::Value` would sort their names and round their numbers.

use std::borrow::Cow;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

/// A value to be written.
#[derive(Clone, Debug)]
pub(crate) enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Number(u64),
    /// A text.
    Text(Cow<'a, str>),
    /// JSON as it stands.
    Raw(Cow<'a, RawValue>),
    /// A list.
    List(Vec<Json<'a>>),
    /// An object, its fields in this order.
    Object(Object<'a>),
}

/// An object that is being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a>(Vec<(&'static str, Json<'a>)>);

impl<'a> Object<'a> {
    /// Adds a field.
    pub fn put(&mut self, name: &'static str, value: impl Into<Json<'a>>) {
        self.0.push((name, value.into()));
    }

    /// Adds a field if there is something to put into it.
    pub fn maybe(&mut self, name: &'static str, value: Option<impl Into<Json<'a>>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An object with these fields.
macro_rules! object {
    ($($name:literal: $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "an empty object is never added to")]
        let mut object = $crate::json::Object::default();
        $(object.put($name, $value);)*
        object
    }};
}
pub(crate) use object;

impl Json<'_> {
    /// As bytes on one line, so that it fits an event's data: line breaks stand
    /// only between tokens, where a space says the same.
    pub fn to_line(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        for byte in &mut bytes {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        bytes
    }

    /// As a body.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(is) => serializer.serialize_bool(*is),
            Self::Number(n) => serializer.serialize_u64(*n),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Raw(raw) => raw.serialize(serializer),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(Object(fields)) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'a> From<&'a str> for Json<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}
impl From<String> for Json<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}
impl<'a> From<Cow<'a, str>> for Json<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}
impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self::Raw(Cow::Borrowed(raw))
    }
}
impl<'a> From<Cow<'a, RawValue>> for Json<'a> {
    fn from(raw: Cow<'a, RawValue>) -> Self {
        Self::Raw(raw)
    }
}
impl From<Box<RawValue>> for Json<'_> {
    fn from(raw: Box<RawValue>) -> Self {
        Self::Raw(Cow::Owned(raw))
    }
}
impl From<bool> for Json<'_> {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}
impl From<u64> for Json<'_> {
    fn from(n: u64) -> Self {
        Self::Number(n)
    }
}
impl<'a> From<Vec<Json<'a>>> for Json<'a> {
    fn from(list: Vec<Json<'a>>) -> Self {
        Self::List(list)
    }
}
impl<'a> From<Object<'a>> for Json<'a> {
    fn from(object: Object<'a>) -> Self {
        Self::Object(object)
    }
}

/// JSON without the spaces between its tokens.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for c in json.chars() {
        if in_text {
            out.push(c);
            match (escaped, c) {
                (true, _) => escaped = false,
                (false, '\\') => escaped = true,
                (false, '"') => in_text = false,
                _ => {}
            }
        } else if !c.is_ascii_whitespace() {
            out.push(c);
            in_text = c == '"';
        }
    }
    out
}

/// A text that must be a JSON object: a call's arguments. Nothing stands for
/// an empty object, as some clients send it so.
pub(crate) fn object_of(text: &str) -> Option<Box<RawValue>> {
    let text = text.trim();
    let text = if text.is_empty() || text == "null" {
        "{}"
    } else {
        text
    };
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    raw.get().starts_with('{').then(|| raw.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_numbers_stay_and_a_line_is_one_line() {
        let raw: &RawValue = serde_json::from_str("{\"z\": 1.50,\n\"a\": \"x\\n\"}").expect("JSON");
        let json = Json::from(object! {"b": raw, "a": "1\n2"});
        let expected = r#"{"b":{"z": 1.50, "a": "x\n"},"a":"1\n2"}"#;
        assert_eq!(String::from_utf8(json.to_line()).expect("UTF-8"), expected);
        assert_eq!(compact(raw.get()), r#"{"z":1.50,"a":"x\n"}"#);
        assert_eq!(compact(r#"{"a\" ": " b "}"#), r#"{"a\" ":" b "}"#);
    }

    #[test]
    fn arguments_are_an_object_or_nothing() {
        for (text, object) in [
            ("", Some("{}")),
            (" null ", Some("{}")),
            ("{\"a\":1e400}", Some("{\"a\":1e400}")),
            ("[]", None),
            ("{", None),
        ] {
            assert_eq!(
                object_of(text).as_deref().map(RawValue::get),
                object,
                "{text}"
            );
        }
    }
}
