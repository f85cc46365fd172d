//! The order of a list.

use crate::error::Result;
use crate::filter::{self, Context, Statement};
use crate::schema::Collection;

/// Most keys in one sort.
const MAX_KEYS: usize = 8;

/// The order of insertion: ids are random, times are not.
const INSERTION: [&str; 2] = ["t0.\"created\"", "t0.\"id\""];

pub(super) fn order_by(
    collection: &Collection,
    sort: &str,
    context: &Context<'_>,
    statement: &mut Statement,
) -> Result<String> {
    let invalid = |why: &str| filter::FilterError::Invalid(why.to_owned());
    let mut keys = Vec::new();
    let mut settled = false;
    if !sort.trim().is_empty() {
        for (at, key) in sort.split(',').enumerate() {
            if at == MAX_KEYS {
                return Err(invalid("too many sort keys").into());
            }
            let key = key.trim();
            let (name, direction) = match key.strip_prefix('-') {
                Some(name) => (name, "desc"),
                None => (key.strip_prefix('+').unwrap_or(key), "asc"),
            };
            match name.trim() {
                "" => return Err(invalid("a sort key is missing").into()),
                "@random" => keys.push("random()".to_owned()),
                "@rowid" => {
                    keys.extend(INSERTION.map(|key| format!("{key} {direction}")));
                    settled = true;
                }
                name => {
                    settled |= name == "id";
                    let key = filter::sort_key(name, collection, context, statement)?;
                    keys.push(format!("{key} {direction}"));
                }
            }
        }
    }
    if keys.is_empty() {
        keys.extend(INSERTION.map(|key| format!("{key} asc")));
    } else if !settled {
        // Equal keys must not change places from page to page.
        keys.push(format!("{} asc", INSERTION[1]));
    }
    Ok(format!(" order by {}", keys.join(", ")))
}
