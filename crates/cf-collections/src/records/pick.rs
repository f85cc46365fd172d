//! Keeping only the fields that were asked for: `id,expand.tenant_id.name,*`.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::error::{RecordError, Result};

/// Most fields read of one `fields`.
const MAX_FIELDS: usize = 200;
/// Deepest path.
const MAX_DEPTH: usize = 20;

/// What to keep on one level.
#[derive(Default, Debug)]
pub(super) struct Picked {
    all: bool,
    fields: BTreeMap<String, Picked>,
    excerpt: Option<(usize, bool)>,
}

/// Reads a field list; `None` keeps everything.
pub(super) fn parse(text: &str) -> Result<Option<Picked>> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut root = Picked::default();
    for path in split(text).into_iter().take(MAX_FIELDS) {
        let (path, modifier) = match path.split_once(':') {
            Some((path, modifier)) => (path, Some(modifier)),
            None => (path, None),
        };
        let excerpt = modifier.map(excerpt_of).transpose()?;
        let mut place = &mut root;
        for part in path.trim().split('.').take(MAX_DEPTH) {
            if part == "*" {
                place.all = true;
                break;
            }
            place = place.fields.entry(part.to_owned()).or_default();
        }
        if excerpt.is_some() {
            place.excerpt = excerpt;
        }
    }
    Ok(Some(root))
}

/// Commas inside of a modifier's parentheses do not separate.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|p| !p.is_empty());
    parts
}

fn excerpt_of(modifier: &str) -> Result<(usize, bool)> {
    modifier
        .trim()
        .strip_prefix("excerpt(")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|arguments| {
            let mut arguments = arguments.split(',').map(str::trim);
            let max = arguments.next()?.parse().ok()?;
            let ellipsis = arguments.next().is_some_and(|a| a == "true");
            arguments.next().is_none().then_some((max, ellipsis))
        })
        .ok_or_else(RecordError::bad_request)
}

/// The value with only what was picked.
pub(super) fn apply(value: Json, picked: Option<&Picked>) -> Json {
    match picked {
        None => value,
        Some(picked) => keep(value, picked),
    }
}

fn keep(value: Json, picked: &Picked) -> Json {
    match value {
        Json::Object(map) => Json::Object(
            map.into_iter()
                .filter_map(|(name, value)| match picked.fields.get(&name) {
                    Some(below) if below.fields.is_empty() && !below.all => {
                        Some((name, cut(value, below.excerpt)))
                    }
                    Some(below) => Some((name, keep(value, below))),
                    None if picked.all => Some((name, value)),
                    None => None,
                })
                .collect(),
        ),
        Json::Array(items) => {
            Json::Array(items.into_iter().map(|item| keep(item, picked)).collect())
        }
        other => other,
    }
}

/// The text without tags, at most so many characters.
fn cut(value: Json, excerpt: Option<(usize, bool)>) -> Json {
    let (Some((max, ellipsis)), Json::String(text)) = (excerpt, &value) else {
        return value;
    };
    let mut plain = String::new();
    let mut inside = false;
    for c in text.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                plain.push(' ');
            }
            c if !inside => plain.push(c),
            _ => {}
        }
    }
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if plain.chars().count() <= max {
        return plain.into();
    }
    let mut short: String = plain.chars().take(max).collect();
    short.truncate(short.trim_end().len());
    if ellipsis {
        short.push_str("...");
    }
    short.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn picked(value: &Json, fields: &str) -> Json {
        apply(value.clone(), parse(fields).unwrap().as_ref())
    }

    #[test]
    fn only_what_was_asked_for_stays() {
        let record = json!({"id": "a", "name": "n", "expand": {"t": {"id": "b", "name": "m"}}});
        assert_eq!(picked(&record, ""), record);
        assert_eq!(picked(&record, "*"), record);
        assert_eq!(picked(&record, "id,nothing"), json!({"id": "a"}));
        assert_eq!(picked(&record, "nothing"), json!({}));
        assert_eq!(
            picked(&record, "id, expand.t.name"),
            json!({"id": "a", "expand": {"t": {"name": "m"}}})
        );
        assert_eq!(
            picked(&record, "expand.*"),
            json!({"expand": record["expand"]})
        );
    }

    #[test]
    fn excerpts_are_plain_and_short() {
        let record = json!({"body": "<p>Good <b>morning</b></p>"});
        assert_eq!(
            picked(&record, "body:excerpt(6,true)"),
            json!({"body": "Good m..."})
        );
        assert!(parse("body:nothing").is_err());
    }
}
