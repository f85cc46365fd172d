//! A chat completions request, read for providers that do not speak OpenAI's
//! language.

use std::borrow::Cow;

use cf_base::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::tools::{read_choice, read_format, read_tools};
use crate::conversation::{
    Block, Cache, Call, CallResult, Content, Conversation, Effort, Number, Source, Speaker,
};
use crate::json::object_of;
use crate::seal::unseal_id;
use crate::wire::prompt::Text;

/// Fields that are read, are the gateway's own, or change nothing about the
/// answer (where it is stored, how a cache is found).
const KNOWN: [&str; 14] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "drop_params",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "user",
    "safety_identifier",
];

#[derive(Deserialize)]
struct MessageWire<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<CallWire<'a>>>,
    #[serde(borrow, default)]
    tool_call_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_details: Option<Vec<DetailWire<'a>>>,
    #[serde(borrow, default)]
    cache_control: Option<CacheWire<'a>>,
}

#[derive(Deserialize)]
struct CallWire<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<FunctionWire<'a>>,
    #[serde(borrow, default)]
    extra_content: Option<ExtraWire<'a>>,
}

#[derive(Deserialize)]
pub(super) struct FunctionWire<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

/// Where Google's own OpenAI layer keeps the seal.
#[derive(Deserialize)]
struct ExtraWire<'a> {
    #[serde(borrow, default)]
    google: Option<GoogleWire<'a>>,
}

#[derive(Deserialize)]
struct GoogleWire<'a> {
    #[serde(borrow, default)]
    thought_signature: Option<Text<'a>>,
}

/// Thinking as it was given out (see `openai/answer.rs`).
#[derive(Deserialize)]
struct DetailWire<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    format: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct CacheWire<'a> {
    #[serde(borrow, default)]
    ttl: Option<Text<'a>>,
}

impl CacheWire<'_> {
    pub(crate) fn read(wire: Option<&Self>) -> Option<Cache> {
        let wire = wire?;
        Some(Cache {
            hour: wire.ttl.as_ref().is_some_and(|Text(ttl)| ttl == "1h"),
        })
    }
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
    image_url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_audio: Option<AudioWire<'a>>,
    #[serde(borrow, default)]
    file: Option<FileWire<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<CacheWire<'a>>,
}

#[derive(Deserialize)]
struct ImageWire<'a> {
    #[serde(borrow)]
    url: Text<'a>,
}

#[derive(Deserialize)]
struct AudioWire<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct FileWire<'a> {
    #[serde(borrow, default)]
    file_data: Option<Text<'a>>,
    #[serde(borrow, default)]
    filename: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_id: Option<Text<'a>>,
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
            "tools" => c.tools = read_tools(raw)?,
            "tool_choice" => c.tool_choice = Some(read_choice(raw)?),
            "parallel_tool_calls" => c.parallel_tools = Some(value(name, raw)?),
            "response_format" => c.format = read_format(raw)?,
            "reasoning_effort" => {
                let Text(effort) = value::<Text<'_>>(name, raw)?;
                let effort = Effort::find(&effort).ok_or_else(|| {
                    Error::invalid_field(
                        "reasoning_effort",
                        "reasoning_effort is none, minimal, low, medium, high, xhigh or max.",
                    )
                })?;
                c.effort = Some(effort);
            }
            "temperature" => c.temperature = Some(number(name, raw)?),
            "top_p" => c.top_p = Some(number(name, raw)?),
            "top_k" => c.top_k = Some(number(name, raw)?),
            "presence_penalty" => c.presence_penalty = penalty(name, raw)?,
            "frequency_penalty" => c.frequency_penalty = penalty(name, raw)?,
            "stop" => c.stop = read_stop(raw)?,
            "seed" => c.seed = Some(number(name, raw)?),
            "logprobs" => c.logprobs = value(name, raw)?,
            "top_logprobs" => c.top_logprobs = Some(value(name, raw)?),
            "service_tier" => c.service_tier = Some(value::<Text<'_>>(name, raw)?.0),
            "n" => c.n = value(name, raw)?,
            "stream" => c.stream = value(name, raw)?,
            "user" | "safety_identifier" => c.user = Some(value::<Text<'_>>(name, raw)?.0),
            // Said as it is without the field.
            "store" if raw.get() == "false" => {}
            "logit_bias" if raw.get() == "{}" => {}
            "modalities" if raw.get() == r#"["text"]"# => {}
            "verbosity" if raw.get() == r#""medium""# => {}
            known if KNOWN.contains(&known) => {}
            unknown => c.unknown.push(unknown.to_owned()),
        }
    }
    Ok(c)
}

pub(crate) fn value<'a, T: Deserialize<'a>>(name: &str, raw: &'a RawValue) -> Result<T> {
    serde_json::from_str(raw.get()).map_err(|e| {
        Error::invalid_field(
            name.to_owned(),
            format!("{name} is not what it must be: {e}."),
        )
    })
}

pub(crate) fn number<'a>(name: &str, raw: &'a RawValue) -> Result<Number<'a>> {
    Number::read(raw)
        .ok_or_else(|| Error::invalid_field(name.to_owned(), format!("{name} is a number.")))
}

/// A penalty of nothing is none.
pub(crate) fn penalty<'a>(name: &str, raw: &'a RawValue) -> Result<Option<Number<'a>>> {
    Ok(Some(number(name, raw)?).filter(|n| !n.is(0.0)))
}

pub(crate) fn read_stop(raw: &RawValue) -> Result<Vec<Cow<'_, str>>> {
    if raw.get().starts_with('"') {
        return Ok(vec![value::<Text<'_>>("stop", raw)?.0]);
    }
    let stops: Vec<Text<'_>> = value("stop", raw)?;
    Ok(stops.into_iter().map(|Text(stop)| stop).collect())
}

fn read_messages<'a>(raw: &'a RawValue, c: &mut Conversation<'a>) -> Result<()> {
    let messages: Vec<&RawValue> = value("messages", raw)?;
    for (at, raw) in messages.into_iter().enumerate() {
        let message: MessageWire<'a> = serde_json::from_str(raw.get())
            .map_err(|e| invalid(at, &format!("is not what it must be: {e}")))?;
        let Text(role) = &message.role;
        match &**role {
            "system" | "developer" => {
                let mut blocks = read_content(at, &message)?;
                blocks.retain(|b| matches!(b.content, Content::Text(_)));
                c.system.extend(blocks);
            }
            "user" => {
                let blocks = read_content(at, &message)?;
                c.say(Speaker::User, blocks);
            }
            "assistant" => {
                let blocks = read_assistant(at, message)?;
                c.say(Speaker::Assistant, blocks);
            }
            "tool" => {
                let id = message
                    .tool_call_id
                    .as_ref()
                    .ok_or_else(|| invalid(at, "has no tool_call_id"))?;
                let block = Block {
                    content: Content::Result(CallResult {
                        id: id.0.clone(),
                        content: read_content(at, &message)?,
                        failed: false,
                    }),
                    cache: CacheWire::read(message.cache_control.as_ref()),
                };
                c.say(Speaker::User, vec![block]);
            }
            "function" => {
                return Err(invalid(
                    at,
                    "has the role function; use tool and tool_calls",
                ));
            }
            _ => return Err(invalid(at, "has an unknown role")),
        }
    }
    if c.turns.is_empty() {
        return Err(Error::invalid_field(
            "messages",
            "The messages hold nothing that a user or an assistant says.",
        ));
    }
    Ok(())
}

fn invalid(at: usize, what: &str) -> Error {
    Error::invalid_field(format!("messages[{at}]"), format!("messages[{at}] {what}."))
}

/// Texts that say nothing are left out: most providers refuse them.
fn read_content<'a>(at: usize, message: &MessageWire<'a>) -> Result<Vec<Block<'a>>> {
    let Some(raw) = message.content else {
        return Ok(Vec::new());
    };
    let mut blocks = match raw.get().as_bytes().first() {
        Some(b'"') => {
            let Text(text) = value::<Text<'a>>("content", raw)?;
            vec![Content::Text(text).into()]
        }
        Some(b'[') => {
            let parts: Vec<&RawValue> = value("content", raw)?;
            let mut blocks = Vec::with_capacity(parts.len());
            for raw in parts {
                let part: PartWire<'a> = serde_json::from_str(raw.get())
                    .map_err(|e| invalid(at, &format!("has a part that cannot be read: {e}")))?;
                blocks.push(read_part(at, part)?);
            }
            blocks
        }
        _ => return Err(invalid(at, "has no text or list of parts as its content")),
    };
    blocks.retain(|b| !matches!(&b.content, Content::Text(text) if text.is_empty()));
    // A mark on the message is one on its last part.
    if let (Some(cache), Some(last)) = (
        CacheWire::read(message.cache_control.as_ref()),
        blocks.last_mut(),
    ) {
        last.cache = last.cache.or(Some(cache));
    }
    Ok(blocks)
}

fn read_part<'a>(at: usize, part: PartWire<'a>) -> Result<Block<'a>> {
    let Text(kind) = &part.kind;
    let missing = |what: &str| invalid(at, &format!("has a part without {what}"));
    let content = match &**kind {
        "text" => Content::Text(part.text.ok_or_else(|| missing("text"))?.0),
        "refusal" => Content::Text(part.refusal.ok_or_else(|| missing("refusal"))?.0),
        "image_url" => {
            let raw = part.image_url.ok_or_else(|| missing("image_url"))?;
            let Text(url) = if raw.get().starts_with('"') {
                value("image_url", raw)?
            } else {
                value::<ImageWire<'a>>("image_url", raw)?.url
            };
            Content::Image(source(at, url, None)?)
        }
        "input_audio" => {
            let audio = part.input_audio.ok_or_else(|| missing("input_audio"))?;
            Content::Audio {
                base64: audio.data.0,
                format: audio.format.0,
            }
        }
        "file" => {
            let file = part.file.ok_or_else(|| missing("file"))?;
            if file.file_id.is_some() {
                return Err(invalid(
                    at,
                    "names an uploaded file (file_id), which this model's provider does not have; send \
                     it as file_data",
                ));
            }
            let Text(data) = file.file_data.ok_or_else(|| missing("file_data"))?;
            let name = file.filename.map(|Text(name)| name);
            Content::File {
                source: source(at, data, name.as_deref())?,
                name,
            }
        }
        other => {
            return Err(invalid(
                at,
                &format!("has a part of the type \"{other}\", which cannot be sent to this model"),
            ));
        }
    };
    Ok(Block {
        content,
        cache: CacheWire::read(part.cache_control.as_ref()),
    })
}

/// A data URL taken apart, or an address.
fn source<'a>(at: usize, url: Cow<'a, str>, name: Option<&str>) -> Result<Source<'a>> {
    source_of(url, name)
        .ok_or_else(|| invalid(at, "has a URL that is neither https nor a base64 data URL"))
}

/// The same, if it is one of them. Bare base64 is taken for what the file's name
/// says it is.
pub(crate) fn source_of<'a>(url: Cow<'a, str>, name: Option<&str>) -> Option<Source<'a>> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Some(Source::Url(url));
    }
    let split = match &url {
        Cow::Borrowed(url) => {
            split_data_url(url).map(|(kind, data)| (Cow::Borrowed(kind), Cow::Borrowed(data)))
        }
        Cow::Owned(url) => split_data_url(url)
            .map(|(kind, data)| (Cow::Owned(kind.to_owned()), Cow::Owned(data.to_owned()))),
    };
    if let Some((media_type, base64)) = split {
        return Some(Source::Data { media_type, base64 });
    }
    let media_type = name.and_then(media_type_of)?;
    (!url.contains(':')).then(|| Source::Data {
        media_type: media_type.into(),
        base64: url,
    })
}

fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let (kind, encoding) = head.rsplit_once(';')?;
    let kind = kind.split(';').next().filter(|kind| !kind.is_empty())?;
    (encoding == "base64").then_some((kind, data))
}

/// What a file is, by the end of its name or address.
pub(crate) fn media_type_of(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next()?;
    let (_, end) = path.rsplit_once('.')?;
    Some(match &*end.to_ascii_lowercase() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" => "text/html",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "json" => "application/json",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => return None,
    })
}

/// Thinking first, as providers want it; then text; then calls.
fn read_assistant<'a>(at: usize, message: MessageWire<'a>) -> Result<Vec<Block<'a>>> {
    if message.function_call.is_some() {
        return Err(invalid(at, "has a function_call; use tool_calls"));
    }
    let mut blocks = Vec::new();
    let mut text_seal = None;
    for detail in message.reasoning_details.iter().flatten() {
        let text = |text: &Option<Text<'a>>| text.as_ref().map(|t| t.0.clone());
        match (&detail.kind, text(&detail.format).as_deref()) {
            (Some(Text(kind)), Some("google-gemini-v1")) if kind == "reasoning.encrypted" => {
                text_seal = text(&detail.data);
            }
            (Some(Text(kind)), _) if kind == "reasoning.encrypted" => {
                blocks.extend(text(&detail.data).map(|data| Content::Redacted(data).into()));
            }
            // Without its seal it cannot go back.
            (Some(Text(kind)), Some("anthropic-claude-v1")) if kind == "reasoning.text" => {
                if let Some(seal) = text(&detail.signature).filter(|s| !s.is_empty()) {
                    let text = text(&detail.text).unwrap_or_default();
                    blocks.push(Content::Thinking { text, seal }.into());
                }
            }
            _ => {}
        }
    }
    let said = read_content(at, &message)?;
    if said.is_empty()
        && let Some(Text(refusal)) = message.refusal
        && !refusal.is_empty()
    {
        blocks.push(Content::Text(refusal).into());
    }
    blocks.extend(said);
    blocks.extend(text_seal.map(|seal| Content::TextSeal(seal).into()));
    for (nth, call) in message.tool_calls.into_iter().flatten().enumerate() {
        blocks.push(read_call(at, nth, call)?);
    }
    Ok(blocks)
}

fn read_call<'a>(at: usize, nth: usize, call: CallWire<'a>) -> Result<Block<'a>> {
    let field = format!("messages[{at}].tool_calls[{nth}]");
    let bad = |what: &str| Error::invalid_field(field.clone(), format!("{field} {what}."));
    let function = call
        .function
        .ok_or_else(|| bad("is no call of a function"))?;
    let arguments = function.arguments.as_ref().map_or("", |Text(text)| text);
    let input =
        object_of(arguments).ok_or_else(|| bad("has arguments that are not a JSON object"))?;
    let Text(id) = call.id.ok_or_else(|| bad("has no id"))?;
    let told = call
        .extra_content
        .and_then(|extra| extra.google?.thought_signature);
    let seal = match told {
        Some(Text(seal)) => Some(seal),
        None => unseal_id(&id).1.map(Cow::Owned),
    };
    Ok(Content::Call(Call {
        id,
        name: function.name.0,
        input: Cow::Owned(input),
        seal,
    })
    .into())
}
