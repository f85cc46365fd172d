//! generateContent requests, written from any client's.

use std::borrow::Cow;
use std::collections::HashMap;

use cf_base::{Error, Result};

use crate::conversation::{
    Block, Call, CallResult, Content, Conversation, Dropping, Effort, Format, Source, Speaker,
    Tool, ToolChoice, Turn,
};
use crate::json::{Json, Object, object};
use crate::openai::conversation::media_type_of;
use crate::seal::{is_made, unseal_id};

/// Stands for a seal that was lost; the API takes it for history that it did not
/// make itself.
const NO_SEAL: &str = "skip_thought_signature_validator";

/// Where a request goes.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub model: &'a str,
    pub max_tokens: u64,
    /// Whether it is Vertex AI, which has no ids of calls.
    pub is_vertex: bool,
}

/// A model by its generation (`gemini-2.5-flash`); the newest if none is told.
fn generation(model: &str) -> (u32, u32) {
    let tail = model
        .split_once("gemini-")
        .map_or("", |(_, tail)| tail)
        .split('-')
        .next()
        .unwrap_or_default();
    let mut numbers = tail.split('.').map(|n| n.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), minor) => (major, minor.unwrap_or(0)),
        (None, _) => (u32::MAX, 0),
    }
}

/// Writes a request.
pub(crate) fn write<'a>(
    c: &'a Conversation<'a>,
    bound: Bound<'a>,
    dropping: &mut Dropping,
) -> Result<Json<'a>> {
    for field in &c.unknown {
        dropping.refuse(field)?;
    }
    let mut body = Object::default();
    if !c.system.is_empty() {
        let parts: Vec<Json<'_>> = c
            .system
            .iter()
            .filter_map(|block| match &block.content {
                Content::Text(text) => Some(object! {"text": &**text}.into()),
                _ => None,
            })
            .collect();
        body.put("systemInstruction", object! {"parts": parts});
    }
    // Results name the tool, while clients name the call.
    let names: HashMap<&str, &str> = c
        .calls()
        .map(|call| (unseal_id(&call.id).0, &*call.name))
        .collect();
    let mut contents = Vec::with_capacity(c.turns.len());
    for turn in &c.turns {
        let parts = parts(turn, bound, &names, dropping)?;
        let role = match turn.speaker {
            Speaker::User => "user",
            Speaker::Assistant => "model",
        };
        if !parts.is_empty() {
            contents.push(Json::from(object! {"role": role, "parts": parts}));
        }
    }
    body.put("contents", contents);
    if !c.tools.is_empty() {
        let declared: Vec<Json<'_>> = c.tools.iter().map(tool).collect();
        let declared = Json::from(object! {"functionDeclarations": declared});
        body.put("tools", vec![declared]);
        body.maybe("toolConfig", c.tool_choice.as_ref().map(choice));
        if c.parallel_tools == Some(false) {
            dropping.refuse_because("parallel_tool_calls", || {
                "it cannot be told to call one tool at a time".into()
            })?;
        }
    }
    body.put("generationConfig", config(c, bound, dropping)?);
    match c.service_tier.as_deref() {
        None | Some("auto" | "default" | "standard") => {}
        // On Vertex AI it is a header.
        Some(_) if bound.is_vertex => {}
        Some(tier @ ("flex" | "priority")) => body.put("serviceTier", tier),
        Some(_) => dropping.refuse("service_tier")?,
    }
    Ok(body.into())
}

fn config<'a>(
    c: &'a Conversation<'a>,
    bound: Bound<'a>,
    dropping: &mut Dropping,
) -> Result<Object<'a>> {
    let mut config = object! {"maxOutputTokens": bound.max_tokens};
    for (name, number) in [
        ("temperature", c.temperature),
        ("topP", c.top_p),
        ("topK", c.top_k),
        ("presencePenalty", c.presence_penalty),
        ("frequencyPenalty", c.frequency_penalty),
        ("seed", c.seed),
    ] {
        config.maybe(name, number.map(|n| n.raw));
    }
    if !c.stop.is_empty() {
        let stops: Vec<Json<'_>> = c.stop.iter().map(|stop| Json::from(&**stop)).collect();
        config.put("stopSequences", stops);
    }
    if c.n > 1 {
        config.put("candidateCount", c.n);
    }
    if c.logprobs {
        config.put("responseLogprobs", true);
        config.maybe("logprobs", c.top_logprobs.filter(|n| *n > 0));
    }
    match &c.format {
        None => {}
        Some(Format::Json) => config.put("responseMimeType", "application/json"),
        Some(Format::Schema { schema, .. }) => {
            config.put("responseMimeType", "application/json");
            config.put("responseJsonSchema", *schema);
        }
    }
    if let Some(thinking) = thinking(c, bound.model, dropping)? {
        config.put("thinkingConfig", thinking);
    }
    Ok(config)
}

fn thinking(
    c: &Conversation<'_>,
    model: &str,
    dropping: &mut Dropping,
) -> Result<Option<Object<'static>>> {
    let effort = match (c.effort, c.thinking_budget) {
        (Some(effort), _) => effort,
        (None, Some(budget)) => Effort::of_budget(budget),
        (None, None) => return Ok(None),
    };
    match generation(model) {
        (0..=1, _) | (2, 0..=4) => {
            dropping.refuse_because("reasoning_effort", || format!("{model} does not think"))?;
            Ok(None)
        }
        (2, _) => {
            let budget = match effort {
                Effort::None => 0,
                Effort::Minimal => 512,
                Effort::Low => 1_024,
                Effort::Medium => 8_192,
                Effort::High | Effort::Xhigh | Effort::Max => 24_576,
            };
            let budget = c.thinking_budget.unwrap_or(budget);
            Ok(Some(object! {
                "thinkingBudget": budget, "includeThoughts": effort != Effort::None,
            }))
        }
        _ => {
            let level = match effort {
                Effort::None => {
                    dropping.refuse_because("reasoning_effort", || {
                        format!("{model} cannot be kept from thinking; minimal is the least")
                    })?;
                    return Ok(None);
                }
                Effort::Minimal => "MINIMAL",
                Effort::Low => "LOW",
                Effort::Medium => "MEDIUM",
                Effort::High | Effort::Xhigh | Effort::Max => "HIGH",
            };
            Ok(Some(
                object! {"thinkingLevel": level, "includeThoughts": true},
            ))
        }
    }
}

fn tool<'a>(tool: &'a Tool<'a>) -> Json<'a> {
    let mut json = object! {"name": &*tool.name};
    json.maybe("description", tool.description.as_deref());
    json.maybe("parametersJsonSchema", tool.schema);
    json.into()
}

fn choice<'a>(choice: &'a ToolChoice<'a>) -> Object<'a> {
    let config = match choice {
        ToolChoice::Auto => object! {"mode": "AUTO"},
        ToolChoice::Required => object! {"mode": "ANY"},
        ToolChoice::None => object! {"mode": "NONE"},
        ToolChoice::Tool(name) => object! {
            "mode": "ANY", "allowedFunctionNames": vec![Json::from(&**name)],
        },
    };
    object! {"functionCallingConfig": config}
}

fn parts<'a>(
    turn: &'a Turn<'a>,
    bound: Bound<'a>,
    names: &HashMap<&'a str, &'a str>,
    dropping: &Dropping,
) -> Result<Vec<Json<'a>>> {
    let mut parts: Vec<Object<'a>> = Vec::with_capacity(turn.blocks.len());
    // Results come before what the user says with them.
    let mut said = Vec::new();
    let mut seals = turn.blocks.iter().filter(
        |block| matches!(&block.content, Content::Call(Call { seal, .. }) if seal.is_some()),
    );
    let mut unsealed = seals.next().is_none() && generation(bound.model) >= (3, 0);
    for block in &turn.blocks {
        match &block.content {
            Content::Call(call) => {
                let mut part = object! {"functionCall": call_json(call, bound)};
                match &call.seal {
                    Some(seal) => part.put("thoughtSignature", &**seal),
                    // Only the first call of a turn carries one.
                    None if unsealed => part.put("thoughtSignature", NO_SEAL),
                    None => {}
                }
                unsealed = false;
                said.push(part);
            }
            Content::Result(result) => {
                parts.push(
                    object! {"functionResponse": result_json(result, bound, names, dropping)?},
                );
                for block in &result.content {
                    if !matches!(block.content, Content::Text(_)) {
                        said.extend(media(block, dropping)?);
                    }
                }
            }
            Content::Text(text) => said.push(object! {"text": &**text}),
            Content::TextSeal(seal) => match said.last_mut() {
                Some(part) => part.put("thoughtSignature", &**seal),
                None => said.push(object! {"text": "", "thoughtSignature": &**seal}),
            },
            // Another provider's thinking.
            Content::Thinking { .. } | Content::Redacted(_) => {}
            Content::Image(_) | Content::File { .. } | Content::Audio { .. } => {
                said.extend(media(block, dropping)?);
            }
        }
    }
    parts.extend(said);
    Ok(parts.into_iter().map(Json::from).collect())
}

fn call_json<'a>(call: &'a Call<'a>, bound: Bound<'_>) -> Object<'a> {
    let mut json = object! {"name": &*call.name, "args": &*call.input};
    json.maybe("id", known_id(&call.id, bound));
    json
}

/// The id, where the provider gave it out itself or may take it.
fn known_id<'a>(id: &'a str, bound: Bound<'_>) -> Option<&'a str> {
    let (id, _) = unseal_id(id);
    (!bound.is_vertex && !is_made(id) && !id.is_empty()).then_some(id)
}

fn result_json<'a>(
    result: &'a CallResult<'a>,
    bound: Bound<'_>,
    names: &HashMap<&'a str, &'a str>,
    dropping: &Dropping,
) -> Result<Object<'a>> {
    let (id, _) = unseal_id(&result.id);
    let name = names.get(id).copied().ok_or_else(|| {
        dropping.refuse_content(&format!(
            "the result of the call \"{id}\" stands there without the call."
        ))
    })?;
    let mut texts = result
        .content
        .iter()
        .filter_map(|block| match &block.content {
            Content::Text(text) => Some(&**text),
            _ => None,
        });
    let text: Cow<'a, str> = match (texts.next(), texts.next()) {
        (None, _) => "".into(),
        (Some(only), None) => only.into(),
        (Some(first), Some(second)) => {
            let rest = texts.collect::<Vec<_>>().join("\n");
            format!("{first}\n{second}\n{rest}")
                .trim_end()
                .to_owned()
                .into()
        }
    };
    let response = if result.failed {
        object! {"error": text}
    } else {
        object! {"result": text}
    };
    let mut json = object! {"name": name, "response": response};
    json.maybe("id", known_id(&result.id, bound));
    Ok(json)
}

fn media<'a>(block: &'a Block<'a>, dropping: &Dropping) -> Result<Option<Object<'a>>, Error> {
    let inline = |media_type: Cow<'a, str>, data: &'a str| {
        object! {"inlineData": object! {"mimeType": media_type, "data": data}}
    };
    Ok(Some(match &block.content {
        Content::Image(source) | Content::File { source, .. } => match source {
            Source::Data { media_type, base64 } => inline((&**media_type).into(), base64),
            Source::Url(url) => {
                let media_type = media_type_of(url).ok_or_else(|| {
                    dropping.refuse_content(
                        "of an address that does not end in the kind of file (such as .png) it cannot \
                         tell what it is; send the file as a data URL.",
                    )
                })?;
                object! {"fileData": object! {"mimeType": media_type, "fileUri": &**url}}
            }
        },
        Content::Audio { base64, format } => inline(format!("audio/{format}").into(), base64),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_from_names() {
        for (name, expected) in [
            ("gemini-2.5-flash", (2, 5)),
            ("gemini-3.1-pro-preview", (3, 1)),
            ("gemini-3-pro", (3, 0)),
            ("gemini-2.0-flash-001", (2, 0)),
            ("gemini-flash-latest", (u32::MAX, 0)),
            ("tuned", (u32::MAX, 0)),
        ] {
            assert_eq!(generation(name), expected, "{name}");
        }
    }
}
