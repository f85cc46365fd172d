//! Wire formats of the providers: bytes in, bytes out. No sockets, no clock, no
//! database, no budgets.
//!
//! Exhaustive matches over [`Provider`] live in this file only; a new provider
//! is a variant here and a file of its own.

mod count;
mod counters;
mod demo;
mod frame;
mod openai;
mod tokens;
mod wire;

use http::HeaderValue;
use http::header::{self, HeaderName};
use serde::Serialize;

pub use counters::{
    AnthropicCounter, BedrockCounter, Counted, GeminiCounter, ResponsesCounter, embedding_usage,
};
pub use demo::{demo_plain, demo_stream};
pub use frame::sse::{SseDecoder, SseError, SseEvent};
pub use openai::{
    Frame, Reply, StreamTap, UpstreamFailure, parse_failure, parse_reply, stream_error_frame,
    stream_failure_frame,
};
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
    settings: [(); 0],
}

/// Where and with what a chat call goes.
pub struct Target {
    /// Full address.
    pub url: String,
    /// Header with the credentials, if any are set; marked sensitive.
    pub credentials: Option<(HeaderName, HeaderValue)>,
}

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
            Self::Azure
            | Self::Gemini
            | Self::Vertex
            | Self::Bedrock
            | Self::Anthropic
            | Self::OpenAiCompatible
            | Self::Demo => "",
        }
    }

    /// Whether this version can call it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::OpenAi | Self::Azure | Self::Mistral | Self::OpenAiCompatible | Self::Demo => {
                true
            }
            Self::Gemini | Self::Vertex | Self::Bedrock | Self::Anthropic => false,
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

    /// Where a chat call goes; `None` if no address is set and none is known.
    pub fn chat_target(self, base_url: &str, secret: &str) -> Option<Target> {
        let base = if base_url.is_empty() {
            self.default_base_url()
        } else {
            base_url
        };
        if base.is_empty() {
            return None;
        }
        let base = base.trim_end_matches('/');
        let url = match self {
            // The v1 form needs no api-version; the resource's address may be
            // given with or without the path.
            Self::Azure if base.ends_with("/openai") => format!("{base}/v1/chat/completions"),
            Self::Azure if !base.ends_with("/v1") => {
                format!("{base}/openai/v1/chat/completions")
            }
            _ => format!("{base}/chat/completions"),
        };
        Some(Target {
            url,
            credentials: self.credentials(secret),
        })
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

    fn credentials(self, secret: &str) -> Option<(HeaderName, HeaderValue)> {
        // Pasted with the line's end, as it happens.
        let secret = secret.trim();
        if secret.is_empty() {
            return None;
        }
        let (name, text) = match self {
            Self::Azure => (HeaderName::from_static("api-key"), secret.to_owned()),
            _ => (header::AUTHORIZATION, format!("Bearer {secret}")),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }

    fn info(self) -> ProviderInfo {
        ProviderInfo {
            provider: self.as_str(),
            label: self.label(),
            base_url: self.default_base_url(),
            needs_base_url: matches!(self, Self::Azure | Self::OpenAiCompatible),
            needs_secret: !matches!(self, Self::OpenAiCompatible | Self::Demo),
            needs_region: matches!(self, Self::Vertex | Self::Bedrock),
            // Where prices may depend on it.
            takes_region: matches!(self, Self::OpenAi | Self::Azure),
            supported: self.is_supported(),
            settings: [],
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

    fn target(provider: Provider, base: &str) -> (String, Option<(HeaderName, HeaderValue)>) {
        let target = provider.chat_target(base, " key\n").expect("an address");
        (target.url, target.credentials)
    }

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

    #[test]
    fn calls_go_where_the_key_says_with_its_secret() {
        let (url, credentials) = target(Provider::OpenAi, "");
        assert_eq!(url, "https://api.openai.com/v1/chat/completions");
        let (name, value) = credentials.expect("a secret is set");
        assert_eq!(
            (name, value.as_bytes()),
            (header::AUTHORIZATION, &b"Bearer key"[..])
        );
        assert!(value.is_sensitive());
        let (url, _) = target(Provider::OpenAiCompatible, "http://localhost:8081/v1/");
        assert_eq!(url, "http://localhost:8081/v1/chat/completions");
        for base in [
            "https://r.openai.azure.com",
            "https://r.openai.azure.com/",
            "https://r.openai.azure.com/openai",
            "https://r.openai.azure.com/openai/v1/",
        ] {
            let (url, credentials) = target(Provider::Azure, base);
            assert_eq!(
                url, "https://r.openai.azure.com/openai/v1/chat/completions",
                "{base}"
            );
            let (name, value) = credentials.expect("a secret is set");
            assert_eq!((name.as_str(), value.as_bytes()), ("api-key", &b"key"[..]));
        }
        assert!(Provider::OpenAiCompatible.chat_target("", "").is_none());
    }
}
