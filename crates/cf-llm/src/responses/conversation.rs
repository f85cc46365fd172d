//! A Responses request, read for providers that do not speak it.

use std::borrow::Cow;

use cf_base::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::thought::Thought;
use crate::conversation::{
    Block, Call, CallResult, Content, Conversation, Effort, Format, Source, Speaker, Tool,
    ToolChoice, check_tools,
};
use crate::json::object_of;
use crate::openai::conversation::{number, source_of, value};
use crate::seal::unseal_id;
use crate::wire::prompt::Text;

/// Fields that are read elsewhere, are the gateway's own, or change nothing about
/// the answer (where it is stored, how a cache is found).
const KNOWN: [&str; 14] = [
    "model",
    "max_output_tokens",
    "drop_params",
    "metadata",
    "store",
    "previous_response_id",
    "stream_options",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    // Of tools that are run by the provider, which are refused.
    "max_tool_calls",
    "user",
    "safety_identifier",
    "background",
];
/// What `include` may name: these concern tools that are refused here.
const INCLUDES: [&str; 6] = [
    "web_search_call.action.sources",
    "web_search_call.results",
    "code_interpreter_call.outputs",
    "file_search_call.results",
    "computer_call_output.output.image_url",
    "message.input_image.image_url",
];
/// Items that tell of what another provider's tools did; the answer that came of
/// it is in the messages.
const TRACES: [&str; 6] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "mcp_list_tools",
    "mcp_call",
    "compaction",
];

#[derive(Deserialize)]
struct ItemWire<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    call_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    encrypted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct PartWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    image_url: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_url: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_data: Option<Text<'a>>,
    #[serde(borrow, default)]
    filename: Option<Text<'a>>,
    #[serde(borrow, default)]
    input_audio: Option<AudioWire<'a>>,
}

#[derive(Deserialize)]
struct AudioWire<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct ReasoningWire<'a> {
    #[serde(borrow, default)]
    effort: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct TextWire<'a> {
    #[serde(borrow, default)]
    format: Option<FormatWire<'a>>,
    #[serde(borrow, default)]
    verbosity: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct FormatWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct ToolWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct ChoiceWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

/// Reads the fields of a request.
pub(crate) fn read<'a>(fields: &[(Cow<'a, str>, &'a RawValue)]) -> Result<Conversation<'a>> {
    let mut c = Conversation::default();
    // Whatever the order of the fields, instructions come first.
    for (name, raw) in fields {
        if name == "instructions" && raw.get() != "null" {
            let Text(text) = value::<Text<'a>>(name, raw)?;
            if !text.is_empty() {
                c.system.push(Content::Text(text).into());
            }
        }
    }
    for (name, raw) in fields {
        let raw = *raw;
        if raw.get() == "null" {
            continue;
        }
        match &**name {
            "input" => read_input(raw, &mut c)?,
            "instructions" => {}
            "tools" => c.tools = read_tools(raw)?,
            "tool_choice" => c.tool_choice = Some(read_choice(raw)?),
            "parallel_tool_calls" => c.parallel_tools = Some(value(name, raw)?),
            "text" => read_text(raw, &mut c)?,
            "reasoning" => {
                let reasoning: ReasoningWire<'_> = value(name, raw)?;
                c.effort = reasoning
                    .effort
                    .map(|Text(effort)| read_effort(&effort))
                    .transpose()?;
            }
            "temperature" => c.temperature = Some(number(name, raw)?),
            "top_p" => c.top_p = Some(number(name, raw)?),
            "include" => read_include(raw, &mut c)?,
            "top_logprobs" => {
                let asked: u64 = value(name, raw)?;
                if asked > 0 {
                    c.logprobs = true;
                    c.top_logprobs = Some(asked);
                }
            }
            "service_tier" => c.service_tier = Some(value::<Text<'_>>(name, raw)?.0),
            "stream" => c.stream = value(name, raw)?,
            "user" | "safety_identifier" => c.user = Some(value::<Text<'_>>(name, raw)?.0),
            // Said as it is without the field.
            "truncation" if raw.get() == r#""disabled""# => {}
            known if KNOWN.contains(&known) => {}
            unknown => c.unknown.push(unknown.to_owned()),
        }
    }
    if c.turns.is_empty() {
        return Err(Error::invalid_field(
            "input",
            "The input holds nothing that a user or an assistant says.",
        ));
    }
    Ok(c)
}

fn read_effort(effort: &str) -> Result<Effort> {
    Effort::find(effort).ok_or_else(|| {
        Error::invalid_field(
            "reasoning.effort",
            "reasoning.effort is none, minimal, low, medium, high, xhigh or max.",
        )
    })
}

fn read_include(raw: &RawValue, c: &mut Conversation<'_>) -> Result<()> {
    let names: Vec<Text<'_>> = value("include", raw)?;
    for Text(name) in names {
        match &*name {
            // Always in the answer.
            "reasoning.encrypted_content" => {}
            "message.output_text.logprobs" => c.logprobs = true,
            known if INCLUDES.contains(&known) => {}
            _ => c.unknown.push("include".to_owned()),
        }
    }
    Ok(())
}

fn read_text<'a>(raw: &'a RawValue, c: &mut Conversation<'a>) -> Result<()> {
    let text: TextWire<'a> = value("text", raw)?;
    if text
        .verbosity
        .is_some_and(|Text(verbosity)| verbosity != "medium")
    {
        c.unknown.push("text.verbosity".to_owned());
    }
    let Some(format) = text.format else {
        return Ok(());
    };
    let bad = |what: &str| Error::invalid_field("text.format", format!("text.format {what}."));
    c.format = match &*format.kind.0 {
        "text" => None,
        "json_object" => Some(Format::Json),
        "json_schema" => Some(Format::Schema {
            name: format.name.ok_or_else(|| bad("has no name"))?.0,
            description: format.description.map(|Text(text)| text),
            schema: format.schema.ok_or_else(|| bad("has no schema"))?,
            strict: format.strict,
        }),
        _ => return Err(bad("is text, json_object or json_schema for this model")),
    };
    Ok(())
}

fn read_tools(raw: &RawValue) -> Result<Vec<Tool<'_>>> {
    let tools: Vec<ToolWire<'_>> = value("tools", raw)?;
    check_tools(tools.len())?;
    let mut read = Vec::with_capacity(tools.len());
    for (at, tool) in tools.into_iter().enumerate() {
        let field = format!("tools[{at}]");
        let Text(kind) = &tool.kind;
        if kind != "function" {
            let kind: String = kind.chars().take(40).collect();
            return Err(Error::invalid_field(
                field.clone(),
                format!(
                    "{field} is of the type \"{kind}\"; the provider of this model has no tools of its \
                     own here and takes functions only."
                ),
            ));
        }
        let name = tool
            .name
            .ok_or_else(|| Error::invalid_field(field.clone(), format!("{field} has no name.")))?;
        read.push(Tool {
            name: name.0,
            description: tool.description.map(|Text(text)| text),
            schema: tool.parameters.filter(|raw| raw.get() != "null"),
            strict: tool.strict,
            cache: None,
        });
    }
    Ok(read)
}

fn read_choice(raw: &RawValue) -> Result<ToolChoice<'_>> {
    let bad = || {
        Error::invalid_field(
            "tool_choice",
            "tool_choice is auto, none, required or {\"type\":\"function\",\"name\":…} for this model.",
        )
    };
    if raw.get().starts_with('"') {
        let Text(word) = value::<Text<'_>>("tool_choice", raw)?;
        return ToolChoice::find(&word).ok_or_else(bad);
    }
    let choice: ChoiceWire<'_> = value("tool_choice", raw)?;
    match choice.name {
        Some(Text(name)) if choice.kind.0 == "function" => Ok(ToolChoice::Tool(name)),
        _ => Err(bad()),
    }
}

fn invalid(at: usize, what: &str) -> Error {
    Error::invalid_field(format!("input[{at}]"), format!("input[{at}] {what}."))
}

fn read_input<'a>(raw: &'a RawValue, c: &mut Conversation<'a>) -> Result<()> {
    if raw.get().starts_with('"') {
        let Text(text) = value::<Text<'a>>("input", raw)?;
        if !text.is_empty() {
            c.say(Speaker::User, vec![Content::Text(text).into()]);
        }
        return Ok(());
    }
    let items: Vec<&RawValue> = value("input", raw)?;
    for (at, raw) in items.into_iter().enumerate() {
        let item: ItemWire<'a> = serde_json::from_str(raw.get())
            .map_err(|e| invalid(at, &format!("is not what it must be: {e}")))?;
        read_item(at, item, c)?;
    }
    Ok(())
}

fn read_item<'a>(at: usize, item: ItemWire<'a>, c: &mut Conversation<'a>) -> Result<()> {
    let kind = item.kind.as_ref().map_or("message", |Text(kind)| kind);
    match kind {
        "message" => {
            let role = item.role.as_ref().map_or("", |Text(role)| role);
            let blocks = match item.content {
                Some(raw) => read_content(at, raw)?,
                None => Vec::new(),
            };
            match role {
                "system" | "developer" => {
                    let texts = blocks.into_iter();
                    c.system
                        .extend(texts.filter(|b| matches!(b.content, Content::Text(_))));
                }
                "user" => c.say(Speaker::User, blocks),
                "assistant" => c.say(Speaker::Assistant, blocks),
                _ => return Err(invalid(at, "has an unknown role")),
            }
        }
        "function_call" => {
            let Text(id) = item.call_id.ok_or_else(|| invalid(at, "has no call_id"))?;
            let Text(name) = item.name.ok_or_else(|| invalid(at, "has no name"))?;
            let arguments = item.arguments.as_ref().map_or("", |Text(text)| text);
            let input = object_of(arguments)
                .ok_or_else(|| invalid(at, "has arguments that are not a JSON object"))?;
            let call = Call {
                seal: unseal_id(&id).1.map(Cow::Owned),
                id,
                name,
                input: Cow::Owned(input),
            };
            c.say(Speaker::Assistant, vec![Content::Call(call).into()]);
        }
        "function_call_output" => {
            let Text(id) = item.call_id.ok_or_else(|| invalid(at, "has no call_id"))?;
            let raw = item.output.ok_or_else(|| invalid(at, "has no output"))?;
            let result = CallResult {
                id,
                content: read_content(at, raw)?,
                failed: false,
            };
            c.say(Speaker::User, vec![Content::Result(result).into()]);
        }
        "reasoning" => {
            // What another provider sealed cannot go to this one.
            let thought = item
                .encrypted_content
                .and_then(|Text(content)| Thought::read(&content));
            let content = thought.map(|thought| match thought {
                Thought::Thinking { text, seal } => Content::Thinking {
                    text: text.into(),
                    seal: seal.into(),
                },
                Thought::Redacted(data) => Content::Redacted(data.into()),
                Thought::TextSeal(seal) => Content::TextSeal(seal.into()),
            });
            c.say(
                Speaker::Assistant,
                content.map(Block::from).into_iter().collect(),
            );
        }
        trace if TRACES.contains(&trace) => {}
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(invalid(
                at,
                &format!("is of the type \"{other}\", which cannot be sent to this model"),
            ));
        }
    }
    Ok(())
}

/// A text or a list of parts. Texts that say nothing are left out: most providers
/// refuse them.
fn read_content(at: usize, raw: &RawValue) -> Result<Vec<Block<'_>>> {
    let mut blocks = match raw.get().as_bytes().first() {
        Some(b'"') => vec![Content::Text(value::<Text<'_>>("input", raw)?.0).into()],
        Some(b'[') => {
            let parts: Vec<&RawValue> = value("input", raw)?;
            let mut blocks = Vec::with_capacity(parts.len());
            for raw in parts {
                let part: PartWire<'_> = serde_json::from_str(raw.get())
                    .map_err(|e| invalid(at, &format!("has a part that cannot be read: {e}")))?;
                blocks.push(read_part(at, part)?.into());
            }
            blocks
        }
        Some(b'n') => Vec::new(),
        _ => return Err(invalid(at, "has no text or list of parts as its content")),
    };
    blocks.retain(|b: &Block<'_>| !matches!(&b.content, Content::Text(text) if text.is_empty()));
    Ok(blocks)
}

fn read_part(at: usize, part: PartWire<'_>) -> Result<Content<'_>> {
    let missing = |what: &str| invalid(at, &format!("has a part without {what}"));
    let uploaded = || {
        invalid(
            at,
            "names an uploaded file (file_id), which this model's provider does not have; send it in \
             the request",
        )
    };
    let Text(kind) = &part.kind;
    Ok(match &**kind {
        "input_text" | "output_text" | "text" => {
            Content::Text(part.text.ok_or_else(|| missing("text"))?.0)
        }
        "refusal" => Content::Text(part.refusal.ok_or_else(|| missing("refusal"))?.0),
        "input_image" if part.file_id.is_some() => return Err(uploaded()),
        "input_image" => {
            let url = part.image_url.ok_or_else(|| missing("image_url"))?;
            Content::Image(source(at, url, None)?)
        }
        "input_file" if part.file_id.is_some() => return Err(uploaded()),
        "input_file" => {
            let name = part.filename.map(|Text(name)| name);
            let data = part
                .file_data
                .or(part.file_url)
                .ok_or_else(|| missing("file_data or file_url"))?;
            Content::File {
                source: source(at, data, name.as_deref())?,
                name,
            }
        }
        "input_audio" => {
            let audio = part.input_audio.ok_or_else(|| missing("input_audio"))?;
            Content::Audio {
                base64: audio.data.0,
                format: audio.format.0,
            }
        }
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(invalid(
                at,
                &format!("has a part of the type \"{other}\", which cannot be sent to this model"),
            ));
        }
    })
}

fn source<'a>(at: usize, Text(url): Text<'a>, name: Option<&str>) -> Result<Source<'a>> {
    source_of(url, name)
        .ok_or_else(|| invalid(at, "has a URL that is neither https nor a base64 data URL"))
}
