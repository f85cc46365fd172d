//! Converse requests, written from any client's.

use cf_base::{Error, Result};

use crate::anthropic::claude::{Claude, Thinking};
use crate::conversation::{
    Block, Cache, Content, Conversation, Dropping, Effort, Format, Source, Speaker, Tool,
    ToolChoice,
};
use crate::json::{Json, Object, object};
use crate::seal::fit_id;

/// How ids of calls may look.
const ID_LENGTH: usize = 64;
const ID_SIGNS: &str = "_.:-";

/// The makers whose models have settings of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Claude(Claude),
    Nova,
    OpenAi,
    Other,
}

impl Family {
    fn of(model: &str) -> Self {
        if model.contains("claude") {
            Self::Claude(Claude::of(model))
        } else if model.contains("amazon.nova") {
            Self::Nova
        } else if model.contains("openai.") {
            Self::OpenAi
        } else {
            Self::Other
        }
    }

    fn is_claude(self) -> bool {
        matches!(self, Self::Claude(_))
    }
}

/// Writes a request; the model is in the path.
pub(crate) fn write<'a>(
    c: &'a Conversation<'a>,
    model: &str,
    max_tokens: u64,
    dropping: &mut Dropping,
) -> Result<Json<'a>> {
    refuse(c, dropping)?;
    let family = Family::of(model);
    let mut body = Object::default();
    let mut messages = Vec::with_capacity(c.turns.len());
    for turn in &c.turns {
        let content = blocks(&turn.blocks, family, dropping)?;
        let role = match turn.speaker {
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
        };
        if !content.is_empty() {
            messages.push(Json::from(object! {"role": role, "content": content}));
        }
    }
    body.put("messages", messages);
    if !c.system.is_empty() {
        body.put("system", blocks(&c.system, family, dropping)?);
    }
    let mut inference = object! {"maxTokens": max_tokens};
    sampling(c, family, &mut inference, dropping)?;
    if !c.stop.is_empty() {
        let stops: Vec<Json<'_>> = c.stop.iter().map(|stop| Json::from(&**stop)).collect();
        inference.put("stopSequences", stops);
    }
    body.put("inferenceConfig", inference);
    body.maybe("toolConfig", tools(c));
    let mut additional = Object::default();
    let mut output = Object::default();
    thinking(
        c,
        model,
        family,
        max_tokens,
        &mut additional,
        &mut output,
        dropping,
    )?;
    if let Some(top_k) = c.top_k {
        match family {
            Family::Claude(claude) if claude.takes_sampling() => {
                additional.put("top_k", top_k.raw);
            }
            Family::Nova => additional.put("inferenceConfig", object! {"topK": top_k.raw}),
            _ => dropping.refuse("top_k")?,
        }
    }
    if c.parallel_tools == Some(false) && !c.tools.is_empty() {
        if family.is_claude() {
            let kind = match &c.tool_choice {
                Some(ToolChoice::Required) => object! {"type": "any"},
                Some(ToolChoice::Tool(name)) => object! {"type": "tool", "name": &**name},
                _ => object! {"type": "auto"},
            };
            let mut choice = kind;
            choice.put("disable_parallel_tool_use", true);
            additional.put("tool_choice", choice);
        } else {
            dropping.refuse_because("parallel_tool_calls", || {
                "this model cannot be told to call one tool at a time".into()
            })?;
        }
    }
    match &c.format {
        None => {}
        Some(Format::Json) => dropping.refuse_because("response_format", || {
            "Bedrock gives JSON by a schema only (json_schema)".into()
        })?,
        Some(Format::Schema {
            name,
            description,
            schema,
            ..
        }) => {
            let mut json = object! {"schema": schema.get(), "name": &**name};
            json.maybe("description", description.as_deref());
            output.put(
                "textFormat",
                object! {"type": "json_schema", "structure": object! {"jsonSchema": json}},
            );
        }
    }
    if !output.is_empty() {
        body.put("outputConfig", output);
    }
    if !additional.is_empty() {
        body.put("additionalModelRequestFields", additional);
    }
    match c.service_tier.as_deref() {
        None | Some("auto" | "default" | "standard" | "standard_only") => {}
        Some(tier @ ("flex" | "priority")) => body.put("serviceTier", object! {"type": tier}),
        Some(_) => dropping.refuse("service_tier")?,
    }
    Ok(body.into())
}

/// What Converse has nothing like.
fn refuse(c: &Conversation<'_>, dropping: &mut Dropping) -> Result<()> {
    for field in &c.unknown {
        dropping.refuse(field)?;
    }
    if c.n > 1 {
        dropping.refuse_because("n", || "Bedrock gives one answer at a time".into())?;
    }
    for (field, set) in [
        ("seed", c.seed.is_some()),
        ("presence_penalty", c.presence_penalty.is_some()),
        ("frequency_penalty", c.frequency_penalty.is_some()),
        (
            "logprobs",
            c.logprobs || c.top_logprobs.is_some_and(|n| n > 0),
        ),
    ] {
        if set {
            dropping.refuse(field)?;
        }
    }
    Ok(())
}

fn sampling<'a>(
    c: &Conversation<'a>,
    family: Family,
    inference: &mut Object<'a>,
    dropping: &mut Dropping,
) -> Result<()> {
    let silent = matches!(family, Family::Claude(claude) if !claude.takes_sampling());
    for (field, name, number) in [
        ("temperature", "temperature", c.temperature),
        ("top_p", "topP", c.top_p),
    ] {
        let Some(number) = number else { continue };
        if silent {
            // The usual value says nothing.
            if !number.is(1.0) {
                dropping.refuse_because(field, || "this model has no sampling settings".into())?;
            }
        } else if number.value > 1.0 {
            dropping.refuse_because(field, || "it is between 0 and 1 on Bedrock".into())?;
            inference.put(name, 1_u64);
        } else {
            inference.put(name, number.raw);
        }
    }
    Ok(())
}

fn thinking<'a>(
    c: &Conversation<'a>,
    model: &str,
    family: Family,
    max_tokens: u64,
    additional: &mut Object<'a>,
    output: &mut Object<'a>,
    dropping: &mut Dropping,
) -> Result<()> {
    let effort = match (c.effort, c.thinking_budget) {
        (Some(effort), _) => effort,
        (None, Some(budget)) => Effort::of_budget(budget),
        (None, None) => return Ok(()),
    };
    // The two that have three steps.
    let step = match effort {
        Effort::None => None,
        Effort::Minimal | Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High | Effort::Xhigh | Effort::Max => Some("high"),
    };
    match family {
        Family::Claude(claude) if claude.can_think() => {
            let (thinking, effort) = claude.thinking(c, max_tokens);
            let thinking = thinking.map(|thinking| match thinking {
                Thinking::Adaptive => object! {"type": "adaptive", "display": "summarized"},
                Thinking::Budget(tokens) => object! {"type": "enabled", "budget_tokens": tokens},
                Thinking::Disabled => object! {"type": "disabled"},
            });
            additional.maybe("thinking", thinking);
            output.maybe("effort", effort);
        }
        Family::Nova if model.contains("nova-2") => {
            if let Some(step) = step {
                additional.put(
                    "reasoningConfig",
                    object! {"type": "enabled", "maxReasoningEffort": step},
                );
            }
        }
        Family::OpenAi => match step {
            Some(step) => additional.put("reasoning_effort", step),
            None => dropping.refuse_because("reasoning_effort", || {
                format!("{model} cannot be kept from thinking; low is the least")
            })?,
        },
        _ => dropping.refuse_because("reasoning_effort", || {
            format!("{model} has no such setting on Bedrock")
        })?,
    }
    Ok(())
}

/// There is no way to forbid calls but to declare no tools; that in turn is not
/// taken where tools were called before.
fn tools<'a>(c: &'a Conversation<'a>) -> Option<Object<'a>> {
    let forbidden = c.tool_choice == Some(ToolChoice::None);
    let mut tools = Vec::with_capacity(c.tools.len());
    if !forbidden || c.has_tool_blocks() {
        for tool in &c.tools {
            tools.push(spec(tool));
            tools.extend(tool.cache.map(cache_point));
        }
    }
    if tools.is_empty() {
        for name in c.called_names() {
            let schema = object! {"json": object! {"type": "object"}};
            let spec = object! {"name": name, "inputSchema": schema};
            tools.push(object! {"toolSpec": spec}.into());
        }
    }
    if tools.is_empty() {
        return None;
    }
    let mut config = object! {"tools": tools};
    let choice = match &c.tool_choice {
        Some(ToolChoice::Auto) => Some(object! {"auto": object! {}}),
        Some(ToolChoice::Required) => Some(object! {"any": object! {}}),
        Some(ToolChoice::Tool(name)) => Some(object! {"tool": object! {"name": &**name}}),
        Some(ToolChoice::None) | None => None,
    };
    config.maybe("toolChoice", choice.filter(|_| !c.tools.is_empty()));
    Some(config)
}

fn spec<'a>(tool: &'a Tool<'a>) -> Json<'a> {
    let mut spec = object! {"name": &*tool.name};
    let description = tool.description.as_deref();
    spec.maybe("description", description.filter(|text| !text.is_empty()));
    match tool.schema {
        Some(schema) => spec.put("inputSchema", object! {"json": schema}),
        None => spec.put("inputSchema", object! {"json": object! {"type": "object"}}),
    }
    spec.maybe("strict", tool.strict.filter(|strict| *strict));
    object! {"toolSpec": spec}.into()
}

fn cache_point(cache: Cache) -> Json<'static> {
    let mut point = object! {"type": "default"};
    point.maybe("ttl", cache.hour.then_some("1h"));
    object! {"cachePoint": point}.into()
}

fn blocks<'a>(
    blocks: &'a [Block<'a>],
    family: Family,
    dropping: &Dropping,
) -> Result<Vec<Json<'a>>> {
    let mut written = Vec::with_capacity(blocks.len());
    for block in blocks {
        let json = match &block.content {
            Content::Text(text) => object! {"text": &**text},
            Content::Image(source) => image(source, dropping)?,
            Content::File { source, name } => file(source, name.as_deref(), dropping)?,
            Content::Audio { base64, format } => object! {"audio": object! {
                "format": &**format, "source": object! {"bytes": &**base64},
            }},
            Content::Call(call) => object! {"toolUse": object! {
                "toolUseId": fit_id(&call.id, ID_LENGTH, ID_SIGNS), "name": &*call.name,
                "input": &*call.input,
            }},
            Content::Result(result) => {
                let mut content = self::blocks(&result.content, family, dropping)?;
                if content.is_empty() {
                    content.push(object! {"json": object! {}}.into());
                }
                let mut json = object! {
                    "toolUseId": fit_id(&result.id, ID_LENGTH, ID_SIGNS), "content": content,
                };
                json.maybe("status", result.failed.then_some("error"));
                object! {"toolResult": json}
            }
            Content::Thinking { text, seal } if family.is_claude() => {
                let text = object! {"text": &**text, "signature": &**seal};
                object! {"reasoningContent": object! {"reasoningText": text}}
            }
            Content::Redacted(data) if family.is_claude() => {
                object! {"reasoningContent": object! {"redactedContent": &**data}}
            }
            // Another provider's thinking.
            Content::Thinking { .. } | Content::Redacted(_) | Content::TextSeal(_) => continue,
        };
        written.push(json.into());
        written.extend(block.cache.map(cache_point));
    }
    Ok(written)
}

fn image<'a>(source: &'a Source<'a>, dropping: &Dropping) -> Result<Object<'a>, Error> {
    let Source::Data { media_type, base64 } = source else {
        return Err(dropping
            .refuse_content("it takes pictures as data only; send the picture as a data URL."));
    };
    let format = match media_type.strip_prefix("image/") {
        Some("jpg") => "jpeg",
        Some(format @ ("png" | "jpeg" | "gif" | "webp")) => format,
        _ => {
            return Err(dropping.refuse_content(&format!(
                "it takes pictures as PNG, JPEG, GIF or WebP, not {media_type}."
            )));
        }
    };
    Ok(object! {"image": object! {
        "format": format, "source": object! {"bytes": &**base64},
    }})
}

fn file<'a>(
    source: &'a Source<'a>,
    name: Option<&str>,
    dropping: &Dropping,
) -> Result<Object<'a>, Error> {
    let Source::Data { media_type, base64 } = source else {
        return Err(
            dropping.refuse_content("it takes files as data only; send the file as a data URL.")
        );
    };
    if media_type.starts_with("image/") {
        return image(source, dropping);
    }
    let format = match &**media_type {
        "application/pdf" => "pdf",
        "text/plain" => "txt",
        "text/markdown" => "md",
        "text/csv" => "csv",
        "text/html" => "html",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        other => {
            return Err(dropping.refuse_content(&format!("it takes no files of the type {other}.")));
        }
    };
    Ok(object! {"document": object! {
        "format": format, "name": document_name(name), "source": object! {"bytes": &**base64},
    }})
}

/// Letters, digits, single spaces, hyphens and brackets are all a name may have.
fn document_name(name: Option<&str>) -> String {
    let name = name.map_or("document", |name| {
        name.rsplit_once('.').map_or(name, |(n, _)| n)
    });
    let mut neutral = String::with_capacity(name.len());
    for c in name.chars().take(100) {
        if c.is_ascii_alphanumeric() || "-()[]".contains(c) {
            neutral.push(c);
        } else if !neutral.ends_with(' ') {
            neutral.push(' ');
        }
    }
    let neutral = neutral.trim();
    if neutral.is_empty() {
        "document".to_owned()
    } else {
        neutral.to_owned()
    }
}
