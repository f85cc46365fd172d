//! A subscription: `users/*`, `users/ID`, each with `?options={…}` at its end.

use serde_json::Value as Json;

use crate::records::Shape;
use crate::system::Schema;

/// Longest subscription, in bytes.
const MAX_BYTES: usize = 2_500;

#[derive(Debug)]
pub(super) struct Topic {
    /// As it was written: the name of the events it gets.
    pub text: String,
    /// Name of the collection; empty if there is none of that name.
    collection: &'static str,
    /// The record; `None` for all.
    pub id: Option<String>,
    pub filter: String,
    pub shape: Shape,
}

impl Topic {
    /// Reads a subscription. One to nothing we have is kept, and stays silent.
    pub fn parse(text: &str, schema: &Schema) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let (name, id) = path.split_once('/').unwrap_or((path, ""));
        let options: Json = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("options="))
            .and_then(percent_decoded)
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or(Json::Null);
        let option = |name: &str| {
            options["query"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        Some(Self {
            text: text.to_owned(),
            collection: match schema.get(name) {
                Some(collection) if !id.is_empty() => collection.name,
                _ => "",
            },
            id: (id != "*").then(|| id.to_owned()),
            filter: option("filter"),
            shape: Shape {
                expand: option("expand"),
                fields: option("fields"),
            },
        })
    }

    pub fn matches(&self, collection: &str, record_id: &str) -> bool {
        self.collection == collection && self.id.as_deref().is_none_or(|id| id == record_id)
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_the_text_is_kept() {
        let schema = Schema::system();
        let text = "tenants/*?options=%7B%22query%22%3A%7B%22filter%22%3A%22slug%3D'a'%22%7D%7D";
        let topic = Topic::parse(text, &schema).unwrap();
        assert_eq!(topic.text, text);
        assert_eq!(topic.filter, "slug='a'");
        assert!(topic.matches("tenants", "anything"));
        assert!(!topic.matches("users", "anything"));
        let one = Topic::parse("pbc_1736455494/abc", &schema).unwrap();
        assert!(one.matches("users", "abc") && !one.matches("users", "abd"));
        assert!(
            !Topic::parse("@oauth2", &schema)
                .unwrap()
                .matches("users", "abc")
        );
    }
}
