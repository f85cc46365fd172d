//! A Messages request, read for providers that do not speak Anthropic's
//! language.

use std::borrow::Cow;

use cf_base::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::conversation::{
    Block, Call, CallResult, Content, Conversation, Effort, Format, Source, Speaker, Tool,
    ToolChoice, check_tools,
};
use crate::openai::conversation::{CacheWire, number};
use crate::seal::unseal_id;
use crate::wire::prompt::Text;

#[derive(Deserialize)]
struct MessageWire<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct BlockWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    source: Option<SourceWire<'a>>,
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<CacheWire<'a>>,
}

#[derive(Deserialize)]
struct SourceWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    media_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    url: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ToolWire<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    input_schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(borrow, default)]
    cache_control: Option<CacheWire<'a>>,
}

#[derive(Deserialize)]
struct ChoiceWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct ThinkingWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    budget_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputWire<'a> {
    #[serde(borrow, default)]
    effort: Option<Text<'a>>,
    #[serde(borrow, default)]
    format: Option<FormatWire<'a>>,
}

#[derive(Deserialize)]
struct FormatWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MetadataWire<'a> {
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
}

/// Reads the fields of a request.
pub(crate) fn read<'a>(fields: &[(Cow<'a, str>, &'a RawValue)]) -> Result<Conversation<'a>> {
    let mut c = Conversation::default();
    for (name, raw) in fields {
        let raw = *raw;
        if raw.get() == "null" {
            continue;
        }
        match &**name {
            "messages" => read_messages(raw, &mut c)?,
            "system" => {
                c.system = read_content("system", raw)?;
                c.system.retain(|b| matches!(b.content, Content::Text(_)));
            }
            "tools" => c.tools = read_tools(raw)?,
            "tool_choice" => read_choice(raw, &mut c)?,
            "thinking" => {
                let thinking: ThinkingWire<'_> = value(name, raw)?;
                match &*thinking.kind.0 {
                    "disabled" => c.effort = c.effort.or(Some(Effort::None)),
                    _ => c.thinking_budget = thinking.budget_tokens,
                }
            }
            "output_config" => {
                let output: OutputWire<'_> = value(name, raw)?;
                if let Some(Text(effort)) = output.effort {
                    c.effort = Some(Effort::find(&effort).ok_or_else(|| {
                        Error::invalid_field(
                            "output_config.effort",
                            "output_config.effort is low, medium, high, xhigh or max.",
                        )
                    })?);
                }
                if let Some(format) = output.format {
                    let schema = format.schema.filter(|_| format.kind.0 == "json_schema");
                    let schema = schema.ok_or_else(|| {
                        Error::invalid_field(
                            "output_config.format",
                            "output_config.format is json_schema with a schema.",
                        )
                    })?;
                    c.format = Some(Format::Schema {
                        name: "response".into(),
                        description: None,
                        schema,
                        strict: None,
                    });
                }
            }
            "temperature" => c.temperature = Some(number(name, raw)?),
            "top_p" => c.top_p = Some(number(name, raw)?),
            "top_k" => c.top_k = Some(number(name, raw)?),
            "stop_sequences" => {
                let stops: Vec<Text<'_>> = value(name, raw)?;
                c.stop = stops.into_iter().map(|Text(stop)| stop).collect();
            }
            "stream" => c.stream = value(name, raw)?,
            "metadata" => {
                let metadata: MetadataWire<'_> = value(name, raw)?;
                c.user = metadata.user_id.map(|Text(user)| user);
            }
            "service_tier" => {
                let Text(tier) = value::<Text<'_>>(name, raw)?;
                c.service_tier = Some(if tier == "standard_only" {
                    "default".into()
                } else {
                    tier
                });
            }
            // The gateway's own, or a wish that changes nothing about the answer.
            "model" | "max_tokens" | "drop_params" | "cache_control" => {}
            unknown => c.unknown.push(unknown.to_owned()),
        }
    }
    Ok(c)
}

fn value<'a, T: Deserialize<'a>>(name: &str, raw: &'a RawValue) -> Result<T> {
    serde_json::from_str(raw.get())
        .map_err(|e| Error::invalid_field(name.to_owned(), format!("{name}: {e}.")))
}

fn read_messages<'a>(raw: &'a RawValue, c: &mut Conversation<'a>) -> Result<()> {
    let messages: Vec<MessageWire<'a>> = value("messages", raw)?;
    for (at, message) in messages.into_iter().enumerate() {
        let blocks = read_content(&format!("messages.{at}"), message.content)?;
        match &*message.role.0 {
            "user" => c.say(Speaker::User, blocks),
            "assistant" => c.say(Speaker::Assistant, blocks),
            // Newer models take instructions in between.
            "system" => c.system.extend(blocks),
            _ => {
                return Err(Error::invalid_field(
                    format!("messages.{at}.role"),
                    format!("messages.{at}.role is user or assistant."),
                ));
            }
        }
    }
    if c.turns.is_empty() {
        return Err(Error::invalid_field(
            "messages",
            "messages: at least one message is required.",
        ));
    }
    Ok(())
}

fn read_content<'a>(field: &str, raw: &'a RawValue) -> Result<Vec<Block<'a>>> {
    let mut read = if raw.get().starts_with('"') {
        vec![Content::Text(value::<Text<'a>>(field, raw)?.0).into()]
    } else {
        let blocks: Vec<&'a RawValue> = value(field, raw)?;
        let mut read = Vec::with_capacity(blocks.len());
        for raw in blocks {
            let block: BlockWire<'a> = value(field, raw)?;
            if let Some(block) = read_block(field, block)? {
                read.push(block);
            }
        }
        read
    };
    read.retain(|b| !matches!(&b.content, Content::Text(text) if text.is_empty()));
    Ok(read)
}

fn read_block<'a>(field: &str, block: BlockWire<'a>) -> Result<Option<Block<'a>>> {
    let missing = |what: &str| {
        Error::invalid_field(
            field.to_owned(),
            format!("{field}: a block without {what}."),
        )
    };
    let Text(kind) = &block.kind;
    let content = match &**kind {
        "text" => Content::Text(block.text.ok_or_else(|| missing("text"))?.0),
        "image" => Content::Image(source(field, block.source)?),
        "document" => match block.source {
            Some(SourceWire {
                kind: Text(kind),
                data: Some(Text(text)),
                ..
            }) if kind == "text" => Content::Text(text),
            other => Content::File {
                source: source(field, other)?,
                name: block.title.map(|Text(title)| title),
            },
        },
        "tool_use" => {
            let Text(id) = block.id.ok_or_else(|| missing("id"))?;
            let seal = unseal_id(&id).1.map(Cow::Owned);
            Content::Call(Call {
                id,
                name: block.name.ok_or_else(|| missing("name"))?.0,
                input: Cow::Borrowed(block.input.ok_or_else(|| missing("input"))?),
                seal,
            })
        }
        "tool_result" => Content::Result(CallResult {
            id: block.tool_use_id.ok_or_else(|| missing("tool_use_id"))?.0,
            content: match block.content {
                Some(raw) if raw.get() != "null" => results(field, raw)?,
                _ => Vec::new(),
            },
            failed: block.is_error == Some(true),
        }),
        "thinking" => {
            let seal = block.signature.map(|Text(seal)| seal).unwrap_or_default();
            // Thinking of a provider without seals cannot go back.
            if seal.is_empty() {
                return Ok(None);
            }
            let text = block.thinking.map(|Text(text)| text).unwrap_or_default();
            Content::Thinking { text, seal }
        }
        "redacted_thinking" => Content::Redacted(block.data.ok_or_else(|| missing("data"))?.0),
        other => {
            return Err(Error::invalid_field(
                field.to_owned(),
                format!("{field}: blocks of the type \"{other}\" cannot be sent to this model."),
            ));
        }
    };
    Ok(Some(Block {
        content,
        cache: CacheWire::read(block.cache_control.as_ref()),
    }))
}

/// What a tool answered: a result within a result is none.
fn results<'a>(field: &str, raw: &'a RawValue) -> Result<Vec<Block<'a>>> {
    let blocks = read_shallow(field, raw)?;
    let is_result = |b: &Block<'_>| {
        matches!(
            b.content,
            Content::Text(_) | Content::Image(_) | Content::File { .. }
        )
    };
    if blocks.iter().all(is_result) {
        return Ok(blocks);
    }
    Err(Error::invalid_field(
        field.to_owned(),
        format!("{field}: a tool_result holds text, images and documents only."),
    ))
}

/// As [`read_content`], for what must not hold results again: nesting is one deep.
fn read_shallow<'a>(field: &str, raw: &'a RawValue) -> Result<Vec<Block<'a>>> {
    #[derive(Deserialize)]
    struct KindWire<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
    }
    if !raw.get().starts_with('"') {
        let kinds: Vec<KindWire<'_>> = value(field, raw)?;
        if kinds.iter().any(|k| k.kind.0 == "tool_result") {
            return Err(Error::invalid_field(
                field.to_owned(),
                format!("{field}: a tool_result within a tool_result."),
            ));
        }
    }
    read_content(field, raw)
}

fn source<'a>(field: &str, source: Option<SourceWire<'a>>) -> Result<Source<'a>> {
    let bad = || {
        Error::invalid_field(
            field.to_owned(),
            format!(
                "{field}: the source is base64 with media_type and data, or url, for this model."
            ),
        )
    };
    let source = source.ok_or_else(bad)?;
    match (&*source.kind.0, source.media_type, source.data, source.url) {
        ("base64", Some(Text(media_type)), Some(Text(base64)), _) => {
            Ok(Source::Data { media_type, base64 })
        }
        ("url", _, _, Some(Text(url)))
            if url.starts_with("https://") || url.starts_with("http://") =>
        {
            Ok(Source::Url(url))
        }
        _ => Err(bad()),
    }
}

fn read_tools(raw: &RawValue) -> Result<Vec<Tool<'_>>> {
    let tools: Vec<ToolWire<'_>> = value("tools", raw)?;
    check_tools(tools.len())?;
    let mut read = Vec::with_capacity(tools.len());
    for (at, tool) in tools.into_iter().enumerate() {
        if let Some(Text(kind)) = tool.kind.filter(|Text(kind)| kind != "custom") {
            return Err(Error::invalid_field(
                format!("tools.{at}"),
                format!("tools.{at}: tools of the type \"{kind}\" cannot be used with this model."),
            ));
        }
        read.push(Tool {
            name: tool.name.0,
            description: tool.description.map(|Text(text)| text),
            schema: tool.input_schema,
            strict: tool.strict,
            cache: CacheWire::read(tool.cache_control.as_ref()),
        });
    }
    Ok(read)
}

fn read_choice<'a>(raw: &'a RawValue, c: &mut Conversation<'a>) -> Result<()> {
    let choice: ChoiceWire<'a> = value("tool_choice", raw)?;
    c.tool_choice = Some(match (&*choice.kind.0, choice.name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Required,
        ("none", _) => ToolChoice::None,
        ("tool", Some(Text(name))) => ToolChoice::Tool(name),
        _ => {
            return Err(Error::invalid_field(
                "tool_choice",
                "tool_choice: the type is auto, any, tool with a name, or none.",
            ));
        }
    });
    if choice.disable_parallel_tool_use == Some(true) {
        c.parallel_tools = Some(false);
    }
    Ok(())
}
