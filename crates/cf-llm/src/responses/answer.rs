//! Whole replies as clients of Responses read them, written from any provider's.

use bytes::Bytes;
use cf_base::Usage;

use super::echo::{Echo, Moment, response};
use super::item::{Item, Said, ending, fill, item_id, usage};
use super::thought::Thought;
use crate::answer::{Answer, Part};
use crate::dialect::Opening;
use crate::json::Json;

/// A whole reply: the first choice, as there is only one.
pub(crate) fn reply(mut answer: Answer, used: &Usage, opening: &Opening) -> Bytes {
    let choice = if answer.choices.is_empty() {
        Default::default()
    } else {
        answer.choices.swap_remove(0)
    };
    let mut items: Vec<Item> = Vec::with_capacity(choice.parts.len());
    let say = |items: &mut Vec<Item>, text: String, refusal: bool| {
        let said = Said {
            refusal,
            text,
            logprobs: Vec::new(),
        };
        match items.last_mut() {
            Some(Item::Message(parts)) => parts.push(said),
            _ => items.push(Item::Message(vec![said])),
        }
    };
    let thinks = |summary: String, thought: Option<Thought>| Item::Reasoning { summary, thought };
    for part in choice.parts {
        match part {
            Part::Text(text) => say(&mut items, text, false),
            Part::Refusal(text) => say(&mut items, text, true),
            Part::Thought { text, seal } => {
                let thought = (!seal.is_empty()).then(|| Thought::Thinking {
                    text: text.clone(),
                    seal,
                });
                items.push(thinks(text, thought));
            }
            Part::Redacted(data) => {
                items.push(thinks(String::new(), Some(Thought::Redacted(data))));
            }
            Part::TextSeal(seal) => {
                items.push(thinks(String::new(), Some(Thought::TextSeal(seal))));
            }
            Part::Call {
                call,
                id,
                name,
                arguments,
                seal,
            } => {
                let mut item = Item::call(call, &id, name, seal.as_deref());
                fill(&mut item, arguments);
                items.push(item);
            }
        }
    }
    let first_said = items.iter_mut().find_map(|item| match item {
        Item::Message(parts) => parts.iter_mut().find(|said| !said.refusal),
        _ => None,
    });
    if let Some(said) = first_said {
        said.logprobs = choice.logprobs;
    }
    let (status, incomplete) = ending(choice.finish.map(|(finish, _)| finish));
    let id = &*opening.id;
    let output = items.iter().enumerate();
    let output = output.map(|(at, item)| item.to_json(&item_id(id, item, at), status).into());
    let usual = Echo::default();
    let echo = opening.echo.as_deref().unwrap_or(&usual);
    let moment = Moment {
        id,
        created: opening.created,
        model: if answer.model.is_empty() {
            &opening.model
        } else {
            &answer.model
        },
        status,
        incomplete,
        error: Json::Null,
        output: output.collect(),
        usage: usage(used),
    };
    Json::from(response(echo, moment)).to_bytes()
}
