//! The top level of a JSON body: the fields we act on are read, everything else
//! stays as the client wrote it.

use std::borrow::Cow;

use bytes::Bytes;
use cf_base::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::edits::{Edits, Fields, fold, json_text};
use crate::wire::prompt::Text;

/// Longest name of a model.
pub(super) const MAX_MODEL: usize = 256;

/// A body, looked at.
pub(super) struct Body<'a> {
    body: &'a [u8],
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Body<'a> {
    /// Looks at a body. A name that stands there twice, or differs from another by
    /// letter case alone, is refused: which one the provider takes is its choice.
    pub fn parse(body: &'a [u8]) -> Result<Self> {
        let Fields(fields) = serde_json::from_slice(body).map_err(|e| {
            Error::invalid(format!(
                "We could not parse the JSON body of your request: {e}."
            ))
        })?;
        let mut names: Vec<Cow<'_, str>> = fields.iter().map(|(name, _)| fold(name)).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let name: String = twice[0].chars().take(100).collect();
            return Err(Error::invalid(format!(
                "{name} stands in the request twice."
            )));
        }
        Ok(Self { body, fields })
    }

    /// A field as it stands; `None` also where it is null.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.fields.iter().find(|(n, _)| n == name);
        found.map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }

    /// A field that must be `what`, if it is there.
    pub fn read<T: Deserialize<'a>>(&self, name: &'static str, what: &str) -> Result<Option<T>> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get())
            .map(Some)
            .map_err(|_| Error::invalid_field(name, format!("{name} must be {what}.")))
    }

    /// A text, if it is there.
    pub fn text(&self, name: &'static str) -> Result<Option<Cow<'a, str>>> {
        let text = self.read::<Text<'_>>(name, "a string")?;
        Ok(text.map(|Text(text)| text))
    }

    /// A text that must be there.
    pub fn needed(&self, name: &'static str) -> Result<Cow<'a, str>> {
        self.text(name)?.ok_or_else(|| {
            Error::invalid_field(name, format!("You must provide {name}, as a string."))
        })
    }

    /// The public name of the model.
    pub fn model(&self) -> Result<String> {
        check_model(self.text("model")?.as_deref())
    }

    /// Whether what the provider cannot do is to be left out.
    pub fn drop_params(&self) -> Result<bool> {
        let asked = self.read("drop_params", "true or false")?;
        Ok(asked.unwrap_or(false))
    }

    /// Names of the fields that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let set = self.fields.iter().filter(|(_, raw)| raw.get() != "null");
        set.map(|(name, _)| &**name)
    }

    /// The body with another model in it.
    pub fn with_model(&self, model: &str) -> Bytes {
        self.with(&[("model", json_text(model))])
    }

    /// The body with these fields set, and without the gateway's own.
    pub fn with(&self, set: &[(&str, String)]) -> Bytes {
        let mut edits = Edits::new(self.body);
        let mut without = vec!["drop_params"];
        let mut added = Vec::new();
        for (name, value) in set {
            match self.fields.iter().find(|(n, _)| n == name) {
                Some((_, raw)) => edits.replace(Some(raw), value),
                None => added.push((*name, value.clone())),
            }
        }
        without.retain(|name| self.fields.iter().any(|(n, _)| n == name));
        let body = edits.apply();
        if without.is_empty() && added.is_empty() {
            return body;
        }
        crate::wire::edits::without(&body, &without, &added)
    }
}

/// A model's name as it must be.
pub(super) fn check_model(name: Option<&str>) -> Result<String> {
    name.filter(|m| !m.is_empty() && m.len() <= MAX_MODEL)
        .map(str::to_owned)
        .ok_or_else(|| {
            Error::invalid_field("model", "You must provide a model parameter, as a string.")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let body = br#"{ "x" : 1.50, "model": "a", "n": null,"drop_params":true }"#;
        let parsed = Body::parse(body).expect("a body");
        assert_eq!(parsed.model().expect("a model"), "a");
        assert!(parsed.raw("n").is_none());
        let with = parsed.with(&[("model", "\"b\"".into()), ("n", "2".into())]);
        assert_eq!(with, r#"{"x":1.50,"model":"b","n":2}"#);
        let body = br#"{ "x" : 1.50, "model": "a" }"#;
        let with = Body::parse(body).expect("a body").with_model("b");
        assert_eq!(with, r#"{ "x" : 1.50, "model": "b" }"#);
    }

    #[test]
    fn a_name_that_stands_there_twice_is_refused() {
        for body in [
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","Model":"b"}"#,
            r#"{"model":"a","mo\u0064el":"b"}"#,
            r#"["model"]"#,
            r#"{"model":"a""#,
        ] {
            assert!(Body::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
