//! Tools, the choice among them, and the form of the answer, as OpenAI's clients
//! ask for them.

use cf_base::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::conversation::{CacheWire, FunctionWire, value};
use crate::conversation::{Format, Tool, ToolChoice, check_tools};
use crate::wire::prompt::Text;

#[derive(Deserialize)]
struct ToolWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    function: Option<ToolFunctionWire<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<CacheWire<'a>>,
}

#[derive(Deserialize)]
struct ToolFunctionWire<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
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
    function: Option<FunctionWire<'a>>,
}

#[derive(Deserialize)]
struct FormatWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    json_schema: Option<SchemaWire<'a>>,
}

#[derive(Deserialize)]
struct SchemaWire<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

pub(super) fn read_tools(raw: &RawValue) -> Result<Vec<Tool<'_>>> {
    let tools: Vec<ToolWire<'_>> = value("tools", raw)?;
    check_tools(tools.len())?;
    let mut read = Vec::with_capacity(tools.len());
    for (at, tool) in tools.into_iter().enumerate() {
        let Text(kind) = tool.kind;
        let function = tool.function.filter(|_| kind == "function");
        let function = function.ok_or_else(|| {
            Error::invalid_field(
                format!("tools[{at}]"),
                format!("tools[{at}] is of the type \"{kind}\"; this model takes functions only."),
            )
        })?;
        let cache = tool.cache_control.or(function.cache_control);
        read.push(Tool {
            name: function.name.0,
            description: function.description.map(|Text(text)| text),
            schema: function.parameters.filter(|raw| raw.get() != "null"),
            strict: function.strict,
            cache: CacheWire::read(cache.as_ref()),
        });
    }
    Ok(read)
}

pub(super) fn read_choice(raw: &RawValue) -> Result<ToolChoice<'_>> {
    let bad = || {
        Error::invalid_field(
            "tool_choice",
            "tool_choice is auto, none, required or {\"type\":\"function\",\"function\":{\"name\":…}} for this model.",
        )
    };
    if raw.get().starts_with('"') {
        let Text(word) = value::<Text<'_>>("tool_choice", raw)?;
        return ToolChoice::find(&word).ok_or_else(bad);
    }
    let choice: ChoiceWire<'_> = value("tool_choice", raw)?;
    match choice.function {
        Some(function) if choice.kind.0 == "function" => Ok(ToolChoice::Tool(function.name.0)),
        _ => Err(bad()),
    }
}

pub(super) fn read_format(raw: &RawValue) -> Result<Option<Format<'_>>> {
    let format: FormatWire<'_> = value("response_format", raw)?;
    let bad =
        |what: &str| Error::invalid_field("response_format", format!("response_format {what}."));
    match (&*format.kind.0, format.json_schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Format::Json)),
        ("json_schema", Some(schema)) => Ok(Some(Format::Schema {
            name: schema.name.0,
            description: schema.description.map(|Text(text)| text),
            schema: schema.schema.ok_or_else(|| bad("has no schema"))?,
            strict: schema.strict,
        })),
        _ => Err(bad(
            "is text, json_object or json_schema with a json_schema",
        )),
    }
}
