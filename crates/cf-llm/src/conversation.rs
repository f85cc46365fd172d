//! A request in no dialect: what a client's is read into, and a provider's is
//! written from. Texts and JSON borrow from the client's body.

use std::borrow::Cow;

use cf_base::Error;
use serde_json::value::RawValue;

/// Most tools of one request; providers take a few hundred at most.
const MAX_TOOLS: usize = 1024;

/// A request.
#[derive(Debug, Default)]
pub(crate) struct Conversation<'a> {
    /// Instructions, in order; texts only.
    pub system: Vec<Block<'a>>,
    /// What was said; two turns of one speaker never follow each other.
    pub turns: Vec<Turn<'a>>,
    pub tools: Vec<Tool<'a>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether several tools may be called at once.
    pub parallel_tools: Option<bool>,
    pub format: Option<Format<'a>>,
    pub effort: Option<Effort>,
    /// Tokens for thinking, where the client says it so.
    pub thinking_budget: Option<u64>,
    pub temperature: Option<Number<'a>>,
    pub top_p: Option<Number<'a>>,
    pub top_k: Option<Number<'a>>,
    pub presence_penalty: Option<Number<'a>>,
    pub frequency_penalty: Option<Number<'a>>,
    pub stop: Vec<Cow<'a, str>>,
    pub seed: Option<Number<'a>>,
    pub logprobs: bool,
    pub top_logprobs: Option<u64>,
    pub user: Option<Cow<'a, str>>,
    pub service_tier: Option<Cow<'a, str>>,
    /// How many answers; 0 stands for 1.
    pub n: u64,
    pub stream: bool,
    /// Fields that no provider behind a translation has.
    pub unknown: Vec<String>,
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speaker {
    User,
    Assistant,
}

/// What one speaker says without a break.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub speaker: Speaker,
    pub blocks: Vec<Block<'a>>,
}

/// A piece of a turn.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub content: Content<'a>,
    /// The prompt up to here is to be kept by the provider.
    pub cache: Option<Cache>,
}

impl<'a> From<Content<'a>> for Block<'a> {
    fn from(content: Content<'a>) -> Self {
        Self {
            content,
            cache: None,
        }
    }
}

/// A wish to keep the prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cache {
    /// For an hour, not five minutes.
    pub hour: bool,
}

#[derive(Debug)]
pub(crate) enum Content<'a> {
    Text(Cow<'a, str>),
    Image(Source<'a>),
    File {
        source: Source<'a>,
        name: Option<Cow<'a, str>>,
    },
    Audio {
        base64: Cow<'a, str>,
        /// Such as `wav`.
        format: Cow<'a, str>,
    },
    Call(Call<'a>),
    Result(CallResult<'a>),
    /// Thinking with its provider's seal, without which it cannot go back.
    Thinking {
        text: Cow<'a, str>,
        seal: Cow<'a, str>,
    },
    /// Thinking that only Anthropic can read.
    Redacted(Cow<'a, str>),
    /// Google's seal on a text.
    TextSeal(Cow<'a, str>),
}

/// Where a picture or file is.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Data {
        media_type: Cow<'a, str>,
        base64: Cow<'a, str>,
    },
    Url(Cow<'a, str>),
}

/// A call of a tool.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    /// An object.
    pub input: Cow<'a, RawValue>,
    /// Google's seal on the thinking before it.
    pub seal: Option<Cow<'a, str>>,
}

/// What a tool answered.
#[derive(Debug)]
pub(crate) struct CallResult<'a> {
    pub id: Cow<'a, str>,
    /// Texts, pictures, files.
    pub content: Vec<Block<'a>>,
    pub failed: bool,
}

#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub name: Cow<'a, str>,
    pub description: Option<Cow<'a, str>>,
    /// JSON schema of its arguments.
    pub schema: Option<&'a RawValue>,
    pub strict: Option<bool>,
    pub cache: Option<Cache>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ToolChoice<'a> {
    Auto,
    /// Any, but one of them.
    Required,
    None,
    /// This one.
    Tool(Cow<'a, str>),
}

impl ToolChoice<'_> {
    /// By the word that OpenAI has for it.
    pub(crate) fn find(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "none" => Some(Self::None),
            "required" => Some(Self::Required),
            _ => None,
        }
    }
}

/// Refuses more tools than anybody needs.
pub(crate) fn check_tools(number: usize) -> Result<(), Error> {
    if number <= MAX_TOOLS {
        return Ok(());
    }
    Err(Error::invalid_field(
        "tools",
        format!("There are more than {MAX_TOOLS} tools."),
    ))
}

#[derive(Debug)]
pub(crate) enum Format<'a> {
    /// Any JSON.
    Json,
    Schema {
        name: Cow<'a, str>,
        description: Option<Cow<'a, str>>,
        schema: &'a RawValue,
        strict: Option<bool>,
    },
}

/// How much a model is to think.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    pub fn find(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::Xhigh,
            "max" => Self::Max,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The effort that a budget of thinking tokens stands for.
    pub fn of_budget(tokens: u64) -> Self {
        match tokens {
            0..4_096 => Self::Low,
            4_096..16_384 => Self::Medium,
            _ => Self::High,
        }
    }
}

/// A number as it was written, and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    pub raw: &'a RawValue,
    pub value: f64,
}

impl<'a> Number<'a> {
    pub fn read(raw: &'a RawValue) -> Option<Self> {
        let value: f64 = serde_json::from_str(raw.get()).ok()?;
        Some(Self { raw, value })
    }

    pub fn is(&self, value: f64) -> bool {
        (self.value - value).abs() < f64::EPSILON
    }
}

impl<'a> Conversation<'a> {
    /// Adds what a speaker says; without a break if it spoke last.
    pub fn say(&mut self, speaker: Speaker, blocks: Vec<Block<'a>>) {
        if blocks.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some(last) if last.speaker == speaker => last.blocks.extend(blocks),
            _ => self.turns.push(Turn { speaker, blocks }),
        }
    }

    fn blocks(&self) -> impl Iterator<Item = &Block<'a>> {
        self.turns.iter().flat_map(|turn| &turn.blocks)
    }

    /// The calls made so far.
    pub fn calls(&self) -> impl Iterator<Item = &Call<'a>> {
        self.blocks().filter_map(|block| match &block.content {
            Content::Call(call) => Some(call),
            _ => None,
        })
    }

    /// Whether tools were called or have answered.
    pub fn has_tool_blocks(&self) -> bool {
        self.blocks()
            .any(|b| matches!(b.content, Content::Call(_) | Content::Result(_)))
    }

    /// Names of the tools that were called, each once: providers that want tools
    /// declared whenever one was called are told these.
    pub fn called_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for call in self.calls() {
            if !names.contains(&&*call.name) {
                names.push(&call.name);
            }
        }
        names
    }
}

/// What to do with what a provider cannot: refuse the request, or leave it out
/// where the client asked for that.
#[derive(Debug)]
pub(crate) struct Dropping {
    allowed: bool,
    provider: &'static str,
    dropped: Vec<String>,
}

impl Dropping {
    pub fn new(allowed: bool, provider: &'static str) -> Self {
        Self {
            allowed,
            provider,
            dropped: Vec::new(),
        }
    }

    /// What was left out.
    pub fn into_dropped(self) -> Vec<String> {
        self.dropped
    }

    /// The provider has no such field.
    pub fn refuse(&mut self, field: &str) -> Result<(), Error> {
        let provider = self.provider;
        self.refuse_because(field, || format!("{provider} has nothing like it"))
    }

    /// The provider cannot do this.
    pub fn refuse_because(
        &mut self,
        field: &str,
        why: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        if self.allowed {
            if !self.dropped.iter().any(|d| d == field) {
                self.dropped.push(field.to_owned());
            }
            return Ok(());
        }
        Err(Error::invalid_field(
            field.to_owned(),
            format!(
                "{field} cannot be used with this model: {}. Leave it out, or send drop_params: true to \
                 have it left out.",
                why()
            ),
        ))
    }

    /// Content cannot be left out without changing what was asked.
    pub fn refuse_content(&self, what: &str) -> Error {
        Error::invalid_field(
            "messages",
            format!("The messages cannot be sent to {}: {what}", self.provider),
        )
    }
}
