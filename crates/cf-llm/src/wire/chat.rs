//! A chat request of a client, in OpenAI's dialect or Anthropic's. Only the fields
//! we act on are looked at; everything else goes to a provider of the same
//! dialect byte for byte.

use std::borrow::Cow;

use bytes::Bytes;
use cf_base::{Error, ServiceTier};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::edits::{Edits, Fields, fold, json_text, without};
use super::prompt::{Prompt, Text};
use crate::Provider;
use crate::bound::SEARCHES;
use crate::dialect::Dialect;
use crate::seal::unseal_id;
use crate::tokens::{IMAGE_BOUND, IMAGE_ESTIMATE, KNOWN_TOOL_BOUND, TOOLS_BOUND, length};

/// Most answers to one request, as OpenAI has it.
pub(super) const MAX_N: u64 = 128;
/// Longest name of a model.
const MAX_MODEL: usize = 256;
/// Fields that make a provider add to the prompt what is not in the request:
/// search results, or what a template unfolds to.
const OPAQUE_FIELDS: [&str; 8] = [
    "web_search_options",
    "search_parameters",
    "plugins",
    "chat_template",
    // Anthropic's: tools and files that live elsewhere, and a prompt that the
    // provider rewrites.
    "mcp_servers",
    "container",
    "context_management",
    "fallbacks",
];
/// llama.cpp takes this before `max_tokens`.
pub(super) const LLAMA_LIMIT: &str = "n_predict";

/// A field that bounds the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutputLimit {
    /// `max_tokens`, which compatible servers know.
    MaxTokens,
    /// `max_completion_tokens`, which bounds reasoning too.
    MaxCompletionTokens,
}

impl OutputLimit {
    const ALL: [Self; 2] = [Self::MaxTokens, Self::MaxCompletionTokens];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// A request body, looked at.
#[derive(Debug)]
pub struct ChatRequest<'a> {
    body: &'a [u8],
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    pub(super) prompt: Prompt,
    /// The public name of the model.
    pub model: Cow<'a, str>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the client asked for usage in the stream.
    pub include_usage: bool,
    /// The output limit that the client set.
    pub max_output_tokens: Option<u64>,
    /// How many answers are wanted.
    pub n: u64,
    /// The service tier that is asked for; which one served the call, and so its
    /// price, the provider says in its answer.
    pub tier: ServiceTier,
    /// What the body is written in.
    pub dialect: Dialect,
    /// Whether what the provider cannot do is to be left out.
    pub drop_params: bool,
}

impl<'a> ChatRequest<'a> {
    /// Looks at a body in OpenAI's dialect.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        Self::read_as(Dialect::OpenAi, body)
    }

    /// Looks at a body. Refuses what cannot be a request, and a field we act on
    /// that stands there twice: which one the provider would take is its choice.
    pub fn read_as(dialect: Dialect, body: &'a [u8]) -> Result<Self, Error> {
        let Fields(fields) = serde_json::from_slice(body).map_err(|e| {
            Error::invalid(format!(
                "We could not parse the JSON body of your request: {e}."
            ))
        })?;
        let mut request = Self {
            body,
            fields,
            prompt: Prompt::default(),
            model: Cow::Borrowed(""),
            stream: false,
            include_usage: false,
            max_output_tokens: None,
            n: 1,
            tier: ServiceTier::Standard,
            dialect,
            drop_params: false,
        };
        request.refuse_lookalikes()?;
        request.model = request
            .read::<Text<'_>>("model", "a string")?
            .map(|Text(model)| model)
            .filter(|m| !m.is_empty() && m.len() <= MAX_MODEL)
            .ok_or_else(|| {
                Error::invalid_field("model", "You must provide a model parameter, as a string.")
            })?;
        request.stream = request.read("stream", "true or false")?.unwrap_or(false);
        request.drop_params = request
            .read("drop_params", "true or false")?
            .unwrap_or(false);
        request.tier = request.service_tier()?;
        if matches!(dialect, Dialect::Anthropic | Dialect::Responses) {
            // What the provider runs itself costs more than its tokens: a tool that is
            // two things would be taken for one of them here and the other there.
            request.read::<Option<Vec<Tool<'_>>>>("tools", "a list of tools, each of one type")?;
        }
        match dialect {
            Dialect::Responses => {
                request.read_responses_fields()?;
                return Ok(request);
            }
            Dialect::Completions => {
                request.read_completions_fields()?;
                return Ok(request);
            }
            Dialect::OpenAi | Dialect::Anthropic | Dialect::Gemini | Dialect::Converse => {}
        }
        request.prompt = request
            .read::<Prompt>("messages", "a list of messages, each with role and content")?
            .filter(|prompt| prompt.messages > 0)
            .ok_or_else(|| {
                Error::invalid_field(
                    "messages",
                    "You must provide messages, a list with at least one message.",
                )
            })?;
        if dialect == Dialect::Anthropic {
            request.read_messages_fields()?;
            return Ok(request);
        }
        request.n = request.read("n", "a number")?.unwrap_or(1);
        if !(1..=MAX_N).contains(&request.n) {
            return Err(Error::invalid_field("n", format!("n is 1 to {MAX_N}.")));
        }
        for limit in OutputLimit::ALL {
            if let Some(tokens) = request.read::<u64>(limit.as_str(), "a whole number above 0")? {
                if tokens == 0 {
                    return Err(Error::invalid_field(
                        limit.as_str(),
                        format!("{} is a whole number above 0.", limit.as_str()),
                    ));
                }
                let known = request.max_output_tokens.unwrap_or(u64::MAX);
                request.max_output_tokens = Some(known.min(tokens));
            }
        }
        request.read_stream_options()?;
        Ok(request)
    }

    pub(super) fn read_stream_options(&mut self) -> Result<(), Error> {
        self.include_usage = self
            .read::<Option<StreamOptions>>("stream_options", "an object")?
            .flatten()
            .is_some_and(|o| o.include_usage == Some(true));
        Ok(())
    }

    /// What Messages has of its own. Dearer ways of being served would be billed
    /// at the usual price, so they are refused until the price book has them.
    fn read_messages_fields(&mut self) -> Result<(), Error> {
        self.read::<Option<Thinking>>("thinking", "an object with type and budget_tokens")?;
        let limit = self.read::<u64>("max_tokens", "a whole number above 0")?;
        let limit = limit.filter(|tokens| *tokens > 0).ok_or_else(|| {
            Error::invalid_field(
                "max_tokens",
                "max_tokens: a whole number above 0 is required.",
            )
        })?;
        self.max_output_tokens = Some(limit);
        // Usage is always in the stream there.
        self.include_usage = true;
        for (field, usual) in [("speed", "standard"), ("inference_geo", "global")] {
            let set = self.raw(field).map(RawValue::get);
            if set.is_some_and(|set| set != "null" && set.trim_matches('"') != usual) {
                return Err(Error::invalid_field(
                    field,
                    format!("{field}: only {usual} is offered here; leave {field} out."),
                ));
            }
        }
        // It asks another model, at that model's price.
        if self.has_tool("advisor") {
            return Err(Error::invalid_field(
                "tools",
                "tools: advisors are not offered here.",
            ));
        }
        Ok(())
    }

    /// Whether a tool is declared whose type begins so.
    pub(super) fn has_tool(&self, kind: &str) -> bool {
        self.tool_kinds()
            .iter()
            .any(|found| found.starts_with(kind))
    }

    /// The types of the tools that the provider itself runs.
    pub(crate) fn tool_kinds(&self) -> Vec<String> {
        let kinds = self.tools().into_iter().filter_map(|tool| tool.kind);
        kinds
            .map(|Text(kind)| kind.into_owned())
            .filter(|kind| kind != "function" && kind != "custom")
            .collect()
    }

    fn tools(&self) -> Vec<Tool<'a>> {
        self.raw("tools")
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default()
    }

    /// The fields of the body, as they stand.
    pub(crate) fn fields(&self) -> &[(Cow<'a, str>, &'a RawValue)] {
        &self.fields
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        self.body
    }

    pub(crate) fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// An upper bound of the tokens that go in: no tokenizer makes more than a
    /// token of a byte, the markup around the words is longer than what a chat
    /// template makes of it, and pictures are bounded by rule. `None` if something is
    /// in the request that is bounded by the model's context only.
    pub fn prompt_token_bound(&self) -> Option<u64> {
        // The client runs these itself; the provider only knows them by name.
        const RUN_BY_CLIENTS: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];
        if self.prompt.opaque || OPAQUE_FIELDS.iter().any(|name| self.raw(name).is_some()) {
            return None;
        }
        // What a tool of the provider's own finds is in no request.
        let kinds = match self.dialect {
            Dialect::Anthropic | Dialect::Responses => self.tool_kinds(),
            _ => Vec::new(),
        };
        let is_own = |kind: &String| RUN_BY_CLIENTS.iter().any(|own| kind.starts_with(own));
        if !kinds.iter().all(is_own) {
            return None;
        }
        let bytes = length(self.body.len());
        let tools = self.raw("tools").map_or(0, |_| TOOLS_BOUND);
        let known = length(kinds.len()) * KNOWN_TOOL_BOUND;
        Some(bytes + tools + known + self.prompt.images() * IMAGE_BOUND)
    }

    /// Searches that the declared tools may make; `unsaid` where one does not say.
    pub(crate) fn search_tools(&self, unsaid: u64) -> u64 {
        let mut searching = self.tools().into_iter().filter(Tool::searches);
        if self.dialect == Dialect::Responses {
            // One limit for all of them.
            let most = || self.max_tool_calls().unwrap_or(unsaid);
            return searching.next().map_or(0, |_| most());
        }
        searching
            .map(|tool| tool.max_uses.unwrap_or(unsaid))
            .fold(0, u64::saturating_add)
    }

    /// The tokens that Claude may think, where the request says so.
    pub(crate) fn thinking_budget(&self) -> Option<u64> {
        let thinking: Thinking = serde_json::from_str(self.raw("thinking")?.get()).ok()?;
        thinking.budget_tokens
    }

    /// About how many tokens go in, for calls that nobody counts.
    pub fn estimated_prompt_tokens(&self) -> u64 {
        let text = length(self.body.len()).saturating_sub(self.prompt.media_bytes);
        text.div_ceil(4) + self.prompt.images() * IMAGE_ESTIMATE
    }

    /// The text that the person wrote last, for the demo provider.
    pub fn last_user_text(&self) -> String {
        let list = match self.dialect {
            Dialect::Responses => "input",
            Dialect::Completions => "prompt",
            _ => "messages",
        };
        if let Some(Ok(text)) = self.raw(list).map(|raw| serde_json::from_str(raw.get())) {
            return text;
        }
        let messages: Vec<serde_json::Value> = self
            .raw(list)
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        let content = messages
            .iter()
            .rev()
            .find(|m| m["role"] == "user")
            .map(|m| &m["content"]);
        match content {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Array(parts)) => parts
                .iter()
                .filter_map(|p| p["text"].as_str())
                .collect::<Vec<_>>()
                .join(" "),
            _ => String::new(),
        }
    }

    /// The body for the provider: the client's bytes but for the model's name,
    /// an output limit that must be told or is not told in the provider's word,
    /// and the wish for usage in a stream.
    pub fn upstream_body(
        &self,
        model: &str,
        max_output_tokens: Option<u64>,
        provider: Provider,
    ) -> Bytes {
        self.openai_body(model, max_output_tokens, provider, true)
    }

    pub(crate) fn openai_body(
        &self,
        model: &str,
        max_output_tokens: Option<u64>,
        provider: Provider,
        asks_for_usage: bool,
    ) -> Bytes {
        let mut edits = Edits::new(self.body);
        edits.replace(self.raw("model"), &json_text(model));
        self.write_limit(max_output_tokens, provider, &mut edits);
        self.write_ids(&mut edits);
        self.ask_for_usage(
            asks_for_usage && provider.takes_stream_options(),
            &mut edits,
        );
        let body = edits.apply();
        // The gateway's own field, which providers refuse.
        match self.raw("drop_params") {
            Some(_) => without(&body, &["drop_params"], &[]),
            None => body,
        }
    }

    /// Usage in a stream, where the provider can be asked and the client did not.
    pub(super) fn ask_for_usage(&self, can_be_asked: bool, edits: &mut Edits<'a>) {
        if !self.stream || self.include_usage || !can_be_asked {
            return;
        }
        match self.raw("stream_options") {
            None => edits.insert("stream_options", r#"{"include_usage":true}"#),
            Some(raw) => {
                let mut options: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(raw.get()).unwrap_or_default();
                options.insert("include_usage".into(), true.into());
                edits.replace(Some(raw), &serde_json::Value::Object(options).to_string());
            }
        }
    }

    /// A Messages body for a provider that speaks Messages: the client's bytes but
    /// for what is left out, added, and the limit that must be told.
    pub(crate) fn messages_body(
        &self,
        model: &str,
        max_tokens: Option<u64>,
        left_out: &[&str],
        added: Vec<(&str, String)>,
    ) -> Bytes {
        let mut edits = Edits::new(self.body);
        edits.replace(self.raw("model"), &json_text(model));
        if let Some(tokens) = max_tokens {
            edits.replace(self.raw("max_tokens"), &tokens.to_string());
            // A limit that is not above the thinking is refused, and one that was
            // lowered is not the client's mistake.
            if self
                .thinking_budget()
                .is_some_and(|budget| budget >= tokens)
            {
                let thinking = lowered_thinking(tokens);
                edits.replace(self.raw("thinking"), &thinking);
            }
        }
        // As many searches as were reserved for.
        for raw in self.raw_tools() {
            let tool: Result<Tool<'_>, _> = serde_json::from_str(raw.get());
            if tool.is_ok_and(|tool| tool.searches() && tool.max_uses.is_none()) {
                let limited = without(
                    &Bytes::copy_from_slice(raw.get().as_bytes()),
                    &["max_uses"],
                    &[("max_uses", SEARCHES.to_string())],
                );
                edits.replace(Some(raw), &String::from_utf8_lossy(&limited));
            }
        }
        let body = edits.apply();
        if added.is_empty() && !left_out.iter().any(|name| self.raw(name).is_some()) {
            return body;
        }
        without(&body, left_out, &added)
    }

    fn raw_tools(&self) -> Vec<&'a RawValue> {
        self.raw("tools")
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default()
    }

    /// Gemini's seals on ids of calls are no other provider's business.
    fn write_ids(&self, edits: &mut Edits<'a>) {
        #[derive(serde::Deserialize)]
        struct Message<'a> {
            #[serde(borrow, default)]
            tool_call_id: Option<&'a RawValue>,
            #[serde(borrow, default)]
            tool_calls: Option<Vec<Call<'a>>>,
        }
        #[derive(serde::Deserialize)]
        struct Call<'a> {
            #[serde(borrow, default)]
            id: Option<&'a RawValue>,
        }
        if memchr::memmem::find(self.body, b"__thought__").is_none() {
            return;
        }
        let messages: Vec<Message<'a>> = self
            .raw("messages")
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        let ids = messages.into_iter().flat_map(|message| {
            let calls = message.tool_calls.into_iter().flatten();
            message
                .tool_call_id
                .into_iter()
                .chain(calls.filter_map(|call| call.id))
        });
        for raw in ids {
            let Ok(Text(id)) = serde_json::from_str::<Text<'_>>(raw.get()) else {
                continue;
            };
            let (unsealed, _) = unseal_id(&id);
            if unsealed != id {
                edits.replace(Some(raw), &json_text(unsealed));
            }
        }
    }

    /// What was reserved covers the limit as we read it, so the provider must
    /// not read another: two limits are made one, and one that a compatible
    /// server may not know is put into the word that it knows.
    fn write_limit(&self, told: Option<u64>, provider: Provider, edits: &mut Edits<'a>) {
        let set = |name: &str| self.raw(name).filter(|r| r.get() != "null");
        let used: Vec<OutputLimit> = OutputLimit::ALL
            .into_iter()
            .filter(|limit| set(limit.as_str()).is_some())
            .collect();
        let overridden = self.raw(LLAMA_LIMIT);
        let ambiguous = used.len() > 1 || overridden.is_some();
        let known = provider.output_limit();
        if let Some(tokens) = told.or(self.max_output_tokens.filter(|_| ambiguous)) {
            let tokens = tokens.to_string();
            for limit in &used {
                edits.replace(set(limit.as_str()), &tokens);
            }
            edits.replace(overridden, &tokens);
            if used.is_empty() {
                match self.raw(known.as_str()) {
                    Some(null) => edits.replace(Some(null), &tokens),
                    None => edits.insert(known.as_str(), &tokens),
                }
            }
        }
        if used == [OutputLimit::MaxCompletionTokens] && known == OutputLimit::MaxTokens {
            self.rename(OutputLimit::MaxCompletionTokens, known, edits);
        }
    }

    fn rename(&self, from: OutputLimit, to: OutputLimit, edits: &mut Edits<'a>) {
        let names = self.fields.iter().map(|(name, _)| name);
        // A null under the new name would stand twice: it is renamed away.
        for (old, new) in [(to, from), (from, to)] {
            let found = names.clone().find(|name| *name == old.as_str());
            match found {
                Some(Cow::Borrowed(name)) => edits.replace_text(name, new.as_str()),
                // Written with escapes: nobody does, so the limit is said once more.
                Some(Cow::Owned(_)) if old == from => {
                    if let Some(tokens) = self.max_output_tokens {
                        edits.insert(new.as_str(), &tokens.to_string());
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, raw)| *raw)
    }

    pub(super) fn read<T: Deserialize<'a>>(
        &self,
        name: &'static str,
        what: &str,
    ) -> Result<Option<T>, Error> {
        let mut found = self.fields.iter().filter(|(n, _)| n == name);
        let Some((_, raw)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(Error::invalid_field(
                name,
                format!("{name} stands in the request twice."),
            ));
        }
        serde_json::from_str(raw.get())
            .map_err(|_| Error::invalid_field(name, format!("{name} must be {what}.")))
    }

    /// Some servers match names without regard to case, and take the last one:
    /// a field that only looks like one we act on could say something else.
    fn refuse_lookalikes(&self) -> Result<(), Error> {
        const ACTED_ON: [&str; 17] = [
            "thinking",
            "model",
            "messages",
            "stream",
            "stream_options",
            "n",
            "max_tokens",
            "max_completion_tokens",
            "service_tier",
            // Of Responses and legacy completions.
            "input",
            "max_output_tokens",
            "previous_response_id",
            "store",
            "background",
            "tools",
            "prompt",
            "best_of",
        ];
        for (name, _) in &self.fields {
            let folded = fold(name);
            if let Some(known) = ACTED_ON.iter().find(|known| folded == **known)
                && name != known
            {
                return Err(Error::invalid(format!(
                    "\"{name}\" is not a field of the request; write {known}."
                )));
            }
        }
        Ok(())
    }

    /// A tier that nobody has heard of has no price: it is refused.
    fn service_tier(&self) -> Result<ServiceTier, Error> {
        let Some(Text(name)) = self.read::<Text<'_>>("service_tier", "a string")? else {
            return Ok(ServiceTier::Standard);
        };
        name.parse().map_err(|()| {
            let name: String = name.chars().take(40).collect();
            Error::invalid_field(
                "service_tier",
                format!("The service tier \"{name}\" is not known here; leave service_tier out."),
            )
        })
    }
}

/// Thinking that leaves half of the limit for the answer; Claude takes no less
/// than 1,024 tokens for it.
fn lowered_thinking(limit: u64) -> String {
    match limit / 2 {
        budget @ 1_024.. => format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#),
        _ => r#"{"type":"disabled"}"#.to_owned(),
    }
}

#[derive(serde::Deserialize)]
struct Thinking {
    budget_tokens: Option<u64>,
}

/// A tool, as far as it says what it may cost.
#[derive(serde::Deserialize)]
struct Tool<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(default)]
    max_uses: Option<u64>,
}

impl Tool<'_> {
    fn searches(&self) -> bool {
        let kind = self.kind.as_ref().map_or("", |Text(kind)| kind);
        kind.starts_with("web_search")
    }
}

#[derive(serde::Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[cfg(test)]
mod tests;
