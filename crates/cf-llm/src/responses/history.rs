//! What a request goes on from. Conversations are kept by whoever calls this; in
//! here is only how they are put into a request, and what of it is to be kept.

use std::collections::HashMap;

use bytes::Bytes;
use cf_base::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Json, object};
use crate::wire::edits::{Fields, json_text, without};
use crate::wire::prompt::Text;

/// Most items that a conversation may have.
const MAX_ITEMS: usize = 10_000;
/// Longest id of a response or an item.
const MAX_ID: usize = 256;

/// What a request says about keeping and going on.
#[derive(Debug)]
pub struct History {
    /// The response that this one goes on from.
    pub previous: Option<String>,
    /// Whether the response is to be kept.
    pub store: bool,
    /// Items that the request names instead of holding them.
    pub references: Vec<String>,
    /// What the request itself brings.
    input: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct ItemWire<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

impl History {
    /// Reads a body; refuses what is not done here.
    pub fn read(body: &[u8]) -> Result<Self> {
        let Fields(fields) = serde_json::from_slice(body).map_err(|e| {
            Error::invalid(format!(
                "We could not parse the JSON body of your request: {e}."
            ))
        })?;
        let find = |name: &str| {
            let found = fields.iter().find(|(found, _)| found == name);
            found.map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
        };
        let flag = |name: &'static str| -> Result<Option<bool>> {
            let read = |raw: &RawValue| serde_json::from_str(raw.get());
            find(name)
                .map(read)
                .transpose()
                .map_err(|_| Error::invalid_field(name, format!("{name} must be true or false.")))
        };
        for (name, _) in &fields {
            let acted_on = ["previous_response_id", "store", "background", "input"];
            if acted_on.contains(&&**name)
                && fields.iter().filter(|(other, _)| other == name).count() > 1
            {
                return Err(Error::invalid_field(
                    name.to_string(),
                    format!("{name} stands in the request twice."),
                ));
            }
        }
        if flag("background")? == Some(true) {
            return Err(Error::invalid_field(
                "background",
                "Responses are not made in the background here; leave background out and stream instead.",
            ));
        }
        if find("conversation").is_some() {
            return Err(Error::invalid_field(
                "conversation",
                "Conversations are not kept here; go on with previous_response_id.",
            ));
        }
        let previous = find("previous_response_id").map(|raw| {
            serde_json::from_str::<String>(raw.get())
                .ok()
                .filter(|id| !id.is_empty() && id.len() <= MAX_ID)
                .ok_or_else(|| {
                    Error::invalid_field(
                        "previous_response_id",
                        "previous_response_id is the id of a response.",
                    )
                })
        });
        let input = find("input")
            .map(read_items)
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            previous: previous.transpose()?,
            store: flag("store")?.unwrap_or(true),
            references: input.iter().filter_map(|item| reference(item)).collect(),
            input,
        })
    }

    /// What the request brings, as a JSON list: to be kept with the answer.
    pub fn input(&self) -> String {
        list(&self.input)
    }

    /// The request with everything in it that it goes on from: the `earlier` items,
    /// then its own, with those in place that it names.
    pub fn complete(
        &mut self,
        body: &Bytes,
        earlier: &[Box<RawValue>],
        named: &HashMap<String, Box<RawValue>>,
    ) -> Result<Bytes> {
        if !self.references.is_empty() {
            for (at, item) in self.input.iter_mut().enumerate() {
                let Some(id) = reference(item) else { continue };
                *item = named.get(&id).cloned().ok_or_else(|| {
                    Error::invalid_field(
                        format!("input[{at}]"),
                        format!(
                            "Item with id '{id}' not found. Items are kept with responses that are \
                             stored, for those who made them."
                        ),
                    )
                })?;
            }
        }
        if earlier.is_empty() && self.references.is_empty() {
            return Ok(body.clone());
        }
        if earlier.len() + self.input.len() > MAX_ITEMS {
            return Err(Error::invalid_field(
                "previous_response_id",
                format!("The conversation has more than {MAX_ITEMS} items; begin a new one."),
            ));
        }
        let all: Vec<&RawValue> = earlier.iter().chain(&self.input).map(|i| &**i).collect();
        Ok(without(body, &["input"], &[("input", list(&all))]))
    }
}

/// The items of an input, a text as the message that it stands for.
fn read_items(raw: &RawValue) -> Result<Vec<Box<RawValue>>> {
    let bad = || Error::invalid_field("input", "input must be a text or a list of items.");
    if raw.get().starts_with('"') {
        let text = raw.get();
        let message = format!(
            r#"{{"type":"message","role":"user","content":[{{"type":"input_text","text":{text}}}]}}"#
        );
        return Ok(vec![RawValue::from_string(message).map_err(|_| bad())?]);
    }
    let items: Vec<Box<RawValue>> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
    if items.len() > MAX_ITEMS {
        return Err(Error::invalid_field(
            "input",
            format!("The input has more than {MAX_ITEMS} items."),
        ));
    }
    Ok(items)
}

fn reference(item: &RawValue) -> Option<String> {
    // Most are none: they are not parsed for it.
    if !item.get().contains("item_reference") && item.get().contains("\"type\"") {
        return None;
    }
    let item: ItemWire<'_> = serde_json::from_str(item.get()).ok()?;
    let named = match item.kind {
        Some(Text(kind)) => kind == "item_reference",
        // The type may be left out of a reference, which has nothing but an id.
        None => item.role.is_none() && item.content.is_none(),
    };
    let Text(id) = item.id?;
    (named && id.len() <= MAX_ID).then(|| id.into_owned())
}

fn list<T: std::borrow::Borrow<RawValue>>(items: &[T]) -> String {
    let length: usize = items.iter().map(|i| i.borrow().get().len() + 1).sum();
    let mut text = String::with_capacity(length + 2);
    text.push('[');
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item.borrow().get());
    }
    text.push(']');
    text
}

/// An item as it is shown to who asks for the input of a response: with an id, a
/// type and a list of parts, whichever way it was sent.
pub fn shown_item(item: &RawValue, id: &str) -> Box<RawValue> {
    let Ok(wire) = serde_json::from_str::<ItemWire<'_>>(item.get()) else {
        return item.to_owned();
    };
    let mut added: Vec<(&str, String)> = Vec::new();
    let mut left_out: Vec<&str> = Vec::new();
    if wire.id.is_none() {
        added.push(("id", json_text(id)));
        left_out.push("id");
    }
    if wire.kind.is_none() {
        added.push(("type", json_text("message")));
        left_out.push("type");
    }
    if let Some(content) = wire.content.filter(|raw| raw.get().starts_with('"')) {
        let assistant = wire.role.is_some_and(|Text(role)| role == "assistant");
        let kind = if assistant {
            "output_text"
        } else {
            "input_text"
        };
        let mut part = object! {"type": kind, "text": content};
        if assistant {
            part.put("annotations", Vec::new());
        }
        let parts = Json::from(vec![Json::from(part)]).to_bytes();
        added.push(("content", String::from_utf8_lossy(&parts).into_owned()));
        left_out.push("content");
    }
    if added.is_empty() {
        return item.to_owned();
    }
    let body = Bytes::copy_from_slice(item.get().as_bytes());
    let shown = without(&body, &left_out, &added);
    let shown = String::from_utf8_lossy(&shown).into_owned();
    RawValue::from_string(shown).unwrap_or_else(|_| item.to_owned())
}

/// A response as it is kept: its id, and its items with theirs.
#[derive(Debug, Default)]
pub struct Kept {
    /// The id of the response.
    pub id: String,
    /// The items, in order.
    pub output: Vec<Box<RawValue>>,
    /// Their ids, where they have any.
    pub item_ids: Vec<String>,
}

impl Kept {
    /// Reads a response object; `None` if it is none.
    pub fn read(response: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            id: String,
            #[serde(default)]
            output: Vec<Box<RawValue>>,
        }
        let wire: Wire = serde_json::from_slice(response).ok()?;
        let ids = wire.output.iter().filter_map(|item| {
            let item: ItemWire<'_> = serde_json::from_str(item.get()).ok()?;
            item.id.map(|Text(id)| id.into_owned())
        });
        let item_ids = ids
            .filter(|id| !id.is_empty() && id.len() <= MAX_ID)
            .collect();
        (!wire.id.is_empty() && wire.id.len() <= MAX_ID).then_some(Self {
            id: wire.id,
            item_ids,
            output: wire.output,
        })
    }
}

/// The id that an item has.
pub fn item_id(item: &RawValue) -> Option<String> {
    let item: ItemWire<'_> = serde_json::from_str(item.get()).ok()?;
    item.id.map(|Text(id)| id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<History> {
        History::read(body.as_bytes())
    }

    #[test]
    fn what_is_not_done_here_is_refused_by_name() {
        for (body, expected) in [
            ("{", "parse the JSON body"),
            (r#"{"background":true}"#, "background"),
            (r#"{"background":1}"#, "background must be"),
            (r#"{"conversation":"c"}"#, "previous_response_id"),
            (r#"{"previous_response_id":7}"#, "is the id of a response"),
            (r#"{"store":"x"}"#, "store must be"),
            (r#"{"store":true,"store":false}"#, "twice"),
            (r#"{"input":7}"#, "input must be"),
        ] {
            let error = read(body).expect_err(body);
            assert!(error.message.contains(expected), "{body}: {error}");
        }
        let history = read(r#"{"background":false,"input":null,"store":null}"#).expect("fine");
        assert!(history.store && history.previous.is_none());
    }

    #[test]
    fn a_body_that_goes_on_from_nothing_stays_as_it_is() {
        let body = Bytes::from_static(br#"{ "input" : "Hi" }"#);
        let mut history = read(r#"{ "input" : "Hi" }"#).expect("fine");
        let whole = history.complete(&body, &[], &HashMap::new()).expect("fine");
        assert_eq!(whole, body);
        assert_eq!(
            history.input(),
            r#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}]"#
        );
    }

    #[test]
    fn earlier_items_come_first_and_named_ones_in_place() {
        let text = r#"{"model":"m","input":[{"type":"item_reference","id":"rs_1"},{"id":"fc_1"},{"role":"user","content":"b"}]}"#;
        let mut history = read(text).expect("fine");
        assert_eq!(history.references, ["rs_1", "fc_1"]);
        let item = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        let named: HashMap<String, Box<RawValue>> = [
            ("rs_1".to_owned(), item(r#"{"r":1}"#)),
            ("fc_1".to_owned(), item(r#"{"f":1}"#)),
        ]
        .into();
        let body = Bytes::from_static(text.as_bytes());
        let missing = history.complete(&body, &[], &HashMap::new());
        assert!(
            missing
                .expect_err("unknown")
                .message
                .contains("'rs_1' not found")
        );
        let mut history = read(text).expect("fine");
        let whole = history
            .complete(&body, &[item(r#"{"a":1}"#)], &named)
            .expect("fine");
        assert_eq!(
            whole,
            r#"{"input":[{"a":1},{"r":1},{"f":1},{"role":"user","content":"b"}],"model":"m"}"#
        );
    }

    #[test]
    fn items_are_shown_with_id_type_and_parts() {
        let item = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        let shown = shown_item(&item(r#"{"role":"user","content":"Hi"}"#), "msg_1");
        assert_eq!(
            shown.get(),
            r#"{"id":"msg_1","type":"message","content":[{"type":"input_text","text":"Hi"}],"role":"user"}"#
        );
        let whole = r#"{"id":"x","type":"message","role":"user","content":[]}"#;
        assert_eq!(shown_item(&item(whole), "msg_1").get(), whole);
    }
}
