//! Messages requests, written from any client's.

use std::borrow::Cow;

use cf_base::{Error, Result};

use super::claude::{Claude, Thinking};
use crate::conversation::{
    Block, Cache, Content, Conversation, Dropping, Format, Source, Speaker, Tool, ToolChoice,
};
use crate::dialect::Carrier;
use crate::json::{Json, Object, object};
use crate::seal::fit_id;

/// How ids of calls may look.
const ID_LENGTH: usize = 64;
const ID_SIGNS: &str = "_-";

/// Where a request goes, and with what.
pub(crate) struct Bound<'a> {
    pub model: &'a str,
    pub carrier: Carrier,
    /// The version that goes into the body, where it does.
    pub version: Option<&'a str>,
    pub max_tokens: u64,
}

/// Writes a request.
pub(crate) fn write<'a>(
    c: &'a Conversation<'a>,
    bound: &Bound<'a>,
    dropping: &mut Dropping,
) -> Result<Json<'a>> {
    refuse(c, dropping)?;
    let claude = Claude::of(bound.model);
    let mut body = Object::default();
    body.maybe("anthropic_version", bound.version);
    if bound.carrier == Carrier::Direct {
        body.put("model", bound.model);
    }
    body.put("max_tokens", bound.max_tokens);
    if !c.system.is_empty() {
        body.put("system", blocks(&c.system, dropping)?);
    }
    let mut messages = Vec::with_capacity(c.turns.len());
    for turn in &c.turns {
        let content = blocks(&turn.blocks, dropping)?;
        if content.is_empty() {
            continue;
        }
        let role = match turn.speaker {
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
        };
        messages.push(Json::from(object! {"role": role, "content": content}));
    }
    body.put("messages", messages);
    tools(c, &mut body);
    if (c.effort.is_some() || c.thinking_budget.is_some()) && !claude.can_think() {
        dropping.refuse_because("reasoning_effort", || {
            format!("{} does not think", bound.model)
        })?;
    }
    let (thinking, effort) = claude.thinking(c, bound.max_tokens);
    body.maybe("thinking", thinking.map(thinking_json));
    let mut output = Object::default();
    output.maybe("effort", effort);
    match &c.format {
        Some(Format::Schema { schema, .. }) => {
            output.put("format", object! {"type": "json_schema", "schema": *schema});
        }
        Some(Format::Json) => dropping.refuse_because("response_format", || {
            format!(
                "{} gives JSON by a schema only (json_schema)",
                dropping_name(bound)
            )
        })?,
        None => {}
    }
    if !output.is_empty() {
        body.put("output_config", output);
    }
    stop(c, &mut body, dropping)?;
    sampling(c, claude, &mut body, dropping)?;
    if let Some(user) = &c.user {
        body.put("metadata", object! {"user_id": &**user});
    }
    match c.service_tier.as_deref() {
        None | Some("auto") => {}
        Some("default" | "standard_only") => body.put("service_tier", "standard_only"),
        Some(_) => dropping.refuse("service_tier")?,
    }
    if c.stream && bound.carrier != Carrier::Invoke {
        body.put("stream", true);
    }
    Ok(body.into())
}

fn dropping_name(bound: &Bound<'_>) -> &'static str {
    match bound.carrier {
        Carrier::Direct => "Anthropic",
        Carrier::Vertex => "Claude on Vertex AI",
        Carrier::Invoke => "Claude on Bedrock",
    }
}

/// What Messages has nothing like.
fn refuse(c: &Conversation<'_>, dropping: &mut Dropping) -> Result<()> {
    for field in &c.unknown {
        dropping.refuse(field)?;
    }
    if c.n > 1 {
        dropping.refuse_because("n", || "it gives one answer at a time".into())?;
    }
    if c.logprobs || c.top_logprobs.is_some_and(|n| n > 0) {
        dropping.refuse("logprobs")?;
    }
    for (field, set) in [
        ("seed", c.seed.is_some()),
        ("presence_penalty", c.presence_penalty.is_some()),
        ("frequency_penalty", c.frequency_penalty.is_some()),
    ] {
        if set {
            dropping.refuse(field)?;
        }
    }
    Ok(())
}

fn thinking_json(thinking: Thinking) -> Json<'static> {
    match thinking {
        // Newer models leave the text out unless it is asked for.
        Thinking::Adaptive => object! {"type": "adaptive", "display": "summarized"},
        Thinking::Budget(tokens) => object! {"type": "enabled", "budget_tokens": tokens},
        Thinking::Disabled => object! {"type": "disabled"},
    }
    .into()
}

fn stop<'a>(c: &'a Conversation<'a>, body: &mut Object<'a>, dropping: &mut Dropping) -> Result<()> {
    let mut stops = Vec::with_capacity(c.stop.len());
    for stop in &c.stop {
        if stop.trim().is_empty() {
            dropping.refuse_because("stop", || {
                "a stop sequence of white space only is not taken".into()
            })?;
        } else {
            stops.push(Json::from(&**stop));
        }
    }
    if !stops.is_empty() {
        body.put("stop_sequences", stops);
    }
    Ok(())
}

fn sampling<'a>(
    c: &Conversation<'a>,
    claude: Claude,
    body: &mut Object<'a>,
    dropping: &mut Dropping,
) -> Result<()> {
    let fields = [
        ("temperature", c.temperature),
        ("top_p", c.top_p),
        ("top_k", c.top_k),
    ];
    for (name, number) in fields {
        let Some(number) = number else { continue };
        if !claude.takes_sampling() {
            // The usual value says nothing.
            if name == "top_k" || !number.is(1.0) {
                dropping.refuse_because(name, || "this model has no sampling settings".into())?;
            }
        } else if name == "temperature" && number.value > 1.0 {
            dropping.refuse_because(name, || "it is between 0 and 1 there".into())?;
            body.put(name, 1_u64);
        } else {
            body.put(name, number.raw);
        }
    }
    Ok(())
}

fn tools<'a>(c: &'a Conversation<'a>, body: &mut Object<'a>) {
    let mut tools: Vec<Json<'_>> = c.tools.iter().map(tool).collect();
    let mut choice = match &c.tool_choice {
        None => None,
        Some(ToolChoice::Auto) => Some(object! {"type": "auto"}),
        Some(ToolChoice::Required) => Some(object! {"type": "any"}),
        Some(ToolChoice::None) => Some(object! {"type": "none"}),
        Some(ToolChoice::Tool(name)) => Some(object! {"type": "tool", "name": &**name}),
    };
    if tools.is_empty() {
        if !c.has_tool_blocks() {
            return;
        }
        // Tools that were called must be declared; none of them can be called now.
        for name in c.called_names() {
            let schema = object! {"type": "object"};
            tools.push(object! {"name": name, "input_schema": schema}.into());
        }
        choice = Some(object! {"type": "none"});
    } else if c.parallel_tools == Some(false) && c.tool_choice != Some(ToolChoice::None) {
        let choice = choice.get_or_insert_with(|| object! {"type": "auto"});
        choice.put("disable_parallel_tool_use", true);
    }
    body.put("tools", tools);
    body.maybe("tool_choice", choice);
}

fn tool<'a>(tool: &'a Tool<'a>) -> Json<'a> {
    let mut json = object! {"name": &*tool.name};
    json.maybe("description", tool.description.as_deref());
    match tool.schema {
        Some(schema) => json.put("input_schema", schema),
        None => json.put("input_schema", object! {"type": "object"}),
    }
    json.maybe("strict", tool.strict.filter(|strict| *strict));
    json.maybe("cache_control", tool.cache.map(cache));
    json.into()
}

fn cache(cache: Cache) -> Object<'static> {
    let mut json = object! {"type": "ephemeral"};
    json.maybe("ttl", cache.hour.then_some("1h"));
    json
}

fn blocks<'a>(blocks: &'a [Block<'a>], dropping: &mut Dropping) -> Result<Vec<Json<'a>>> {
    let mut written = Vec::with_capacity(blocks.len());
    for block in blocks {
        let mut json = match &block.content {
            Content::Text(text) => object! {"type": "text", "text": &**text},
            Content::Image(source) => object! {"type": "image", "source": source_json(source)},
            Content::File { source, name } => file(source, name.as_ref(), dropping)?,
            Content::Audio { .. } => {
                return Err(dropping.refuse_content("it takes no sound (input_audio)."));
            }
            Content::Call(call) => object! {
                "type": "tool_use", "id": fit_id(&call.id, ID_LENGTH, ID_SIGNS), "name": &*call.name,
                "input": &*call.input,
            },
            Content::Result(result) => {
                let mut json = object! {
                    "type": "tool_result", "tool_use_id": fit_id(&result.id, ID_LENGTH, ID_SIGNS),
                };
                let content = self::blocks(&result.content, dropping)?;
                if !content.is_empty() {
                    json.put("content", content);
                }
                json.maybe("is_error", result.failed.then_some(true));
                json
            }
            Content::Thinking { text, seal } => object! {
                "type": "thinking", "thinking": &**text, "signature": &**seal,
            },
            Content::Redacted(data) => object! {"type": "redacted_thinking", "data": &**data},
            // Another provider's.
            Content::TextSeal(_) => continue,
        };
        json.maybe("cache_control", block.cache.map(cache));
        written.push(json.into());
    }
    Ok(written)
}

fn source_json<'a>(source: &'a Source<'a>) -> Object<'a> {
    match source {
        Source::Data { media_type, base64 } => object! {
            "type": "base64", "media_type": &**media_type, "data": &**base64,
        },
        Source::Url(url) => object! {"type": "url", "url": &**url},
    }
}

fn file<'a>(
    source: &'a Source<'a>,
    name: Option<&'a Cow<'a, str>>,
    dropping: &Dropping,
) -> Result<Object<'a>, Error> {
    if let Source::Data { media_type, .. } = source {
        if media_type.starts_with("image/") {
            return Ok(object! {"type": "image", "source": source_json(source)});
        }
        if media_type != "application/pdf" {
            return Err(
                dropping.refuse_content(&format!("of files it takes PDF only, not {media_type}."))
            );
        }
    }
    let mut json = object! {"type": "document", "source": source_json(source)};
    json.maybe("title", name.map(|name| &**name));
    Ok(json)
}
