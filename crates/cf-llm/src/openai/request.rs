//! Chat completions requests, written from other dialects.

use cf_base::Result;

use crate::conversation::{
    Block, Content, Conversation, Dropping, Effort, Format, Source, Speaker, Tool, ToolChoice, Turn,
};
use crate::json::{Json, Object, object};
use crate::seal::unseal_id;
use crate::wire::chat::OutputLimit;

/// Writes a request.
pub(crate) fn write<'a>(
    c: &'a Conversation<'a>,
    model: &'a str,
    limit: OutputLimit,
    max_tokens: u64,
    stream_options: bool,
    dropping: &mut Dropping,
) -> Result<Json<'a>> {
    for field in &c.unknown {
        dropping.refuse(field)?;
    }
    if c.top_k.is_some() {
        dropping.refuse("top_k")?;
    }
    let mut body = object! {"model": model};
    let mut messages = Vec::with_capacity(c.turns.len() + 1);
    if !c.system.is_empty() {
        messages.push(object! {"role": "system", "content": texts(&c.system)}.into());
    }
    for turn in &c.turns {
        match turn.speaker {
            Speaker::User => user(turn, &mut messages, dropping)?,
            Speaker::Assistant => messages.push(assistant(turn)),
        }
    }
    body.put("messages", messages);
    body.put(limit.as_str(), max_tokens);
    if c.stream {
        body.put("stream", true);
        if stream_options {
            body.put("stream_options", object! {"include_usage": true});
        }
    }
    if !c.tools.is_empty() {
        let tools: Vec<Json<'_>> = c.tools.iter().map(tool).collect();
        body.put("tools", tools);
        body.maybe("tool_choice", c.tool_choice.as_ref().map(choice));
        body.maybe(
            "parallel_tool_calls",
            c.parallel_tools.filter(|parallel| !parallel),
        );
    }
    body.maybe("response_format", c.format.as_ref().map(format));
    let effort = c.effort.or(c.thinking_budget.map(Effort::of_budget));
    // A server without reasoning may not know the field.
    let effort = effort.filter(|effort| *effort != Effort::None);
    body.maybe("reasoning_effort", effort.map(Effort::as_str));
    body.maybe("temperature", c.temperature.map(|n| n.raw));
    body.maybe("top_p", c.top_p.map(|n| n.raw));
    if !c.stop.is_empty() {
        let stops: Vec<Json<'_>> = c.stop.iter().map(|stop| Json::from(&**stop)).collect();
        body.put("stop", stops);
    }
    if c.n > 1 {
        body.put("n", c.n);
    }
    body.maybe("seed", c.seed.map(|n| n.raw));
    body.maybe("presence_penalty", c.presence_penalty.map(|n| n.raw));
    body.maybe("frequency_penalty", c.frequency_penalty.map(|n| n.raw));
    if c.logprobs {
        body.put("logprobs", true);
        body.maybe("top_logprobs", c.top_logprobs);
    }
    body.maybe("user", c.user.as_deref());
    body.maybe("service_tier", c.service_tier.as_deref());
    Ok(body.into())
}

/// One text where there is one, else parts.
fn texts<'a>(blocks: &'a [Block<'a>]) -> Json<'a> {
    let mut texts = blocks.iter().filter_map(|block| match &block.content {
        Content::Text(text) => Some(&**text),
        _ => None,
    });
    match (texts.next(), texts.next()) {
        (Some(only), None) => only.into(),
        (None, _) => "".into(),
        (Some(first), Some(second)) => [first, second]
            .into_iter()
            .chain(texts)
            .map(|text| object! {"type": "text", "text": text}.into())
            .collect::<Vec<Json<'_>>>()
            .into(),
    }
}

/// Results are messages of their own, before what the user says with them.
fn user<'a>(turn: &'a Turn<'a>, messages: &mut Vec<Json<'a>>, dropping: &Dropping) -> Result<()> {
    let mut said = Vec::new();
    for block in &turn.blocks {
        let Content::Result(result) = &block.content else {
            said.push(part(block, dropping)?);
            continue;
        };
        let (id, _) = unseal_id(&result.id);
        messages.push(
            object! {"role": "tool", "tool_call_id": id, "content": texts(&result.content)}.into(),
        );
        // Tools answer in text only there: the rest is said by the user.
        for block in &result.content {
            if !matches!(block.content, Content::Text(_)) {
                said.push(part(block, dropping)?);
            }
        }
    }
    if let [only] = &turn.blocks[..]
        && let Content::Text(text) = &only.content
    {
        messages.push(object! {"role": "user", "content": &**text}.into());
    } else if !said.is_empty() {
        messages.push(object! {"role": "user", "content": said}.into());
    }
    Ok(())
}

fn part<'a>(block: &'a Block<'a>, dropping: &Dropping) -> Result<Json<'a>> {
    let url = |source: &'a Source<'a>| match source {
        Source::Url(url) => Json::from(&**url),
        Source::Data { media_type, base64 } => format!("data:{media_type};base64,{base64}").into(),
    };
    Ok(match &block.content {
        Content::Text(text) => object! {"type": "text", "text": &**text},
        Content::Image(source) => {
            object! {"type": "image_url", "image_url": object! {"url": url(source)}}
        }
        Content::File { source, name } => {
            if matches!(source, Source::Url(_)) {
                return Err(
                    dropping.refuse_content("files are taken as data only, not by their address.")
                );
            }
            let mut file = Object::default();
            file.put("filename", name.as_deref().unwrap_or("document.pdf"));
            file.put("file_data", url(source));
            object! {"type": "file", "file": file}
        }
        Content::Audio { base64, format } => object! {
            "type": "input_audio",
            "input_audio": object! {"data": &**base64, "format": &**format},
        },
        _ => return Err(dropping.refuse_content("a user's message holds an assistant's block.")),
    }
    .into())
}

/// Its thinking stays here: it is sealed for another provider.
fn assistant<'a>(turn: &'a Turn<'a>) -> Json<'a> {
    let mut message = object! {"role": "assistant"};
    let has_text = turn
        .blocks
        .iter()
        .any(|block| matches!(block.content, Content::Text(_)));
    if has_text {
        message.put("content", texts(&turn.blocks));
    } else {
        message.put("content", Json::Null);
    }
    let calls: Vec<Json<'_>> = turn
        .blocks
        .iter()
        .filter_map(|block| match &block.content {
            Content::Call(call) => {
                let function = object! {"name": &*call.name, "arguments": call.input.get()};
                let (id, _) = unseal_id(&call.id);
                Some(object! {"id": id, "type": "function", "function": function}.into())
            }
            _ => None,
        })
        .collect();
    if !calls.is_empty() {
        message.put("tool_calls", calls);
    }
    message.into()
}

fn tool<'a>(tool: &'a Tool<'a>) -> Json<'a> {
    let mut function = object! {"name": &*tool.name};
    function.maybe("description", tool.description.as_deref());
    function.maybe("parameters", tool.schema);
    function.maybe("strict", tool.strict);
    object! {"type": "function", "function": function}.into()
}

fn choice<'a>(choice: &'a ToolChoice<'a>) -> Json<'a> {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Tool(name) => {
            object! {"type": "function", "function": object! {"name": &**name}}.into()
        }
    }
}

fn format<'a>(format: &'a Format<'a>) -> Json<'a> {
    match format {
        Format::Json => object! {"type": "json_object"}.into(),
        Format::Schema {
            name,
            description,
            schema,
            strict,
        } => {
            let mut json = object! {"name": &**name};
            json.maybe("description", description.as_deref());
            json.put("schema", *schema);
            json.maybe("strict", *strict);
            object! {"type": "json_schema", "json_schema": json}.into()
        }
    }
}
