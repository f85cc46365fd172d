//! Wire formats of the providers: bytes in, bytes out. No sockets, no clock, no
//! database, no budgets.
//!
//! Exhaustive matches over [`Provider`] live in this file only; a new provider
//! is a variant here and a file of its own.

mod answer;
mod anthropic;
mod bedrock;
mod bound;
mod completions;
mod conversation;
mod count;
mod counters;
mod credentials;
mod demo;
mod dialect;
mod frame;
mod gemini;
mod json;
mod openai;
mod outgoing;
mod place;
mod region;
mod responses;
mod seal;
mod stream;
mod task;
mod tokens;
mod wire;

use serde::Serialize;

pub use anthropic::failure::{error_body, error_type};
pub use bedrock::sigv4::AwsKey;
pub use bound::InputBound;
pub use counters::{
    AnthropicCounter, BedrockCounter, Counted, GeminiCounter, ResponsesCounter, embedding_usage,
};
pub use credentials::{Credentials, Token, TokenRequest, TokenSource};
pub use demo::{demo_plain, demo_stream};
pub use dialect::{Dialect, Opening, Route};
pub use frame::aws::AwsError;
pub use frame::sse::{SseDecoder, SseError, SseEvent};
pub use openai::{
    Cause, Frame, Reply, StreamTap, UpstreamFailure, parse_failure, parse_reply,
    stream_error_frame, stream_failure_frame,
};
pub use outgoing::{Outgoing, OutputPlan, Wishes};
pub use place::{Missing, Place, Settings};
pub use region::WorksIn;
pub use responses::echo::Echo;
pub use responses::history::{History, Kept, item_id, shown_item};
pub use stream::{ChatStream, StreamError, StreamFrame};
pub use task::{Answer, Form, Part, Task, TaskPlan, TaskRequest, Told};
pub use wire::chat::ChatRequest;

use wire::chat::OutputLimit;

/// A kind of provider. The names are those of `provider_keys.provider`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Provider {
    /// OpenAI.
    OpenAi,
    /// Azure OpenAI and AI Foundry, v1 form.
    Azure,
    /// Gemini API.
    Gemini,
    /// Vertex AI.
    Vertex,
    /// AWS Bedrock.
    Bedrock,
    /// Anthropic.
    Anthropic,
    /// Mistral.
    Mistral,
    /// Any server with OpenAI's API (vLLM, Ollama, llama.cpp …).
    OpenAiCompatible,
    /// Built in, for trying things out.
    Demo,
}

/// What a total beyond the sum of prompt and completion tokens holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TotalGap {
    /// Thinking that is not shown (Gemini's compatible layer, xAI): output.
    Output,
    /// Sound that went in (Mistral does not count it as prompt).
    AudioInput,
}

/// What the provider key form needs to know of a provider.
#[derive(Serialize)]
pub struct ProviderInfo {
    provider: &'static str,
    label: &'static str,
    base_url: &'static str,
    needs_base_url: bool,
    needs_secret: bool,
    needs_region: bool,
    takes_region: bool,
    supported: bool,
    settings: &'static [SettingInfo],
}

/// A field of a provider key's settings.
#[derive(Serialize)]
struct SettingInfo {
    name: &'static str,
    label: &'static str,
}

const fn setting(name: &'static str, label: &'static str) -> SettingInfo {
    SettingInfo { name, label }
}

const AZURE: [SettingInfo; 1] = [setting(
    "api_version",
    "API version (empty: v1; else such as 2024-10-21)",
)];
const VERTEX: [SettingInfo; 1] = [setting(
    "project",
    "Project (empty: that of the service account)",
)];
const BEDROCK: [SettingInfo; 2] = [
    setting(
        "api",
        "API for Claude (empty: Converse; invoke: InvokeModel)",
    ),
    setting(
        "works_in",
        "Where profiles of Europe (eu.…) and of the account's own work (such as eu; empty: unknown)",
    ),
];
const COMPATIBLE: [SettingInfo; 2] = [
    setting(
        "api",
        "API for Responses (empty: chat completions; responses: /responses)",
    ),
    setting(
        "completions",
        "Legacy completions (empty: /completions; chat: chat completions)",
    ),
];
const ANTHROPIC: [SettingInfo; 2] = [
    setting("anthropic_version", "anthropic-version (empty: 2023-06-01)"),
    setting("anthropic_beta", "anthropic-beta, comma-separated"),
];

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 9] = [
        Self::OpenAi,
        Self::Azure,
        Self::Gemini,
        Self::Vertex,
        Self::Bedrock,
        Self::Anthropic,
        Self::Mistral,
        Self::OpenAiCompatible,
        Self::Demo,
    ];

    /// The provider of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == name)
    }

    /// The name in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Gemini => "gemini",
            Self::Vertex => "vertex",
            Self::Bedrock => "bedrock",
            Self::Anthropic => "anthropic",
            Self::Mistral => "mistral",
            Self::OpenAiCompatible => "openai_compatible",
            Self::Demo => "demo",
        }
    }

    /// The name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Azure => "Azure OpenAI / AI Foundry",
            Self::Gemini => "Google Gemini API",
            Self::Vertex => "Google Vertex AI",
            Self::Bedrock => "AWS Bedrock",
            Self::Anthropic => "Anthropic",
            Self::Mistral => "Mistral",
            Self::OpenAiCompatible => "OpenAI-compatible server",
            Self::Demo => "Demo (built in, no AI)",
        }
    }

    /// Where the provider's API is, unless the key says otherwise.
    pub fn default_base_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Mistral => "https://api.mistral.ai/v1",
            Self::Anthropic => "https://api.anthropic.com/v1",
            Self::Gemini => "https://generativelanguage.googleapis.com/v1beta",
            // By resource, or by region.
            Self::Azure | Self::Vertex | Self::Bedrock | Self::OpenAiCompatible | Self::Demo => "",
        }
    }

    /// The field by which it bounds the output for certain.
    pub(crate) fn output_limit(self) -> OutputLimit {
        match self {
            // Reasoning models of these two refuse `max_tokens`.
            Self::OpenAi | Self::Azure => OutputLimit::MaxCompletionTokens,
            Self::Gemini
            | Self::Vertex
            | Self::Bedrock
            | Self::Anthropic
            | Self::Mistral
            | Self::OpenAiCompatible
            | Self::Demo => OutputLimit::MaxTokens,
        }
    }

    /// Whether usage in a stream has to be asked for.
    pub(crate) fn takes_stream_options(self) -> bool {
        match self {
            // Sends it unasked, and refuses fields that it does not know.
            Self::Mistral => false,
            Self::OpenAi
            | Self::Azure
            | Self::Gemini
            | Self::Vertex
            | Self::Bedrock
            | Self::Anthropic
            | Self::OpenAiCompatible
            | Self::Demo => true,
        }
    }

    /// What it means where the total is more than prompt and completion.
    pub(crate) fn total_gap(self) -> TotalGap {
        match self {
            Self::Mistral => TotalGap::AudioInput,
            Self::OpenAi
            | Self::Azure
            | Self::Gemini
            | Self::Vertex
            | Self::Bedrock
            | Self::Anthropic
            | Self::OpenAiCompatible
            | Self::Demo => TotalGap::Output,
        }
    }

    /// The name by which a price book may have prices of the place where the
    /// provider works: what the key says, else what OpenAI's host says.
    pub fn price_region(self, base_url: &str, region: &str) -> String {
        let region = region.trim().to_ascii_lowercase();
        let host = base_url.split_once("://").map_or("", |(_, rest)| rest);
        match self {
            Self::OpenAi if host.starts_with("eu.api.openai.com") => "eu".into(),
            Self::OpenAi if host.starts_with("us.api.openai.com") => "us".into(),
            _ => region,
        }
    }

    fn info(self) -> ProviderInfo {
        ProviderInfo {
            provider: self.as_str(),
            label: self.label(),
            base_url: self.default_base_url(),
            needs_base_url: matches!(self, Self::Azure | Self::OpenAiCompatible),
            needs_secret: !matches!(self, Self::OpenAiCompatible | Self::Demo),
            needs_region: matches!(self, Self::Vertex | Self::Bedrock),
            // Prices may depend on it, and which tenants it may serve.
            takes_region: self != Self::Demo,
            supported: true,
            settings: match self {
                Self::Azure => &AZURE,
                Self::Vertex => &VERTEX,
                Self::Bedrock => &BEDROCK,
                Self::Anthropic => &ANTHROPIC,
                Self::OpenAiCompatible => &COMPATIBLE,
                Self::OpenAi | Self::Gemini | Self::Mistral | Self::Demo => &[],
            },
        }
    }
}

/// What the provider key form needs to know of each provider.
pub fn providers() -> Vec<ProviderInfo> {
    Provider::ALL.into_iter().map(Provider::info).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_the_keys_or_the_hosts() {
        let openai = |base| Provider::OpenAi.price_region(base, "");
        assert_eq!(openai("https://eu.api.openai.com/v1"), "eu");
        assert_eq!(openai("https://api.openai.com/v1"), "");
        assert_eq!(Provider::Azure.price_region("https://r", " EU "), "eu");
    }

    #[test]
    fn names_are_read_back() {
        for provider in Provider::ALL {
            assert_eq!(Provider::find(provider.as_str()), Some(provider));
        }
        assert_eq!(Provider::find("OpenAI"), None);
    }
}
