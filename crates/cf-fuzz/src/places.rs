//! Who is called.

use cf_llm::{Dialect, Place, Provider, Settings};

use crate::draw::Draw;

/// Provider, model, settings.
type At = (Provider, &'static str, &'static str);

/// Every way that a request goes.
const PLACES: [At; 18] = [
    (Provider::OpenAi, "gpt-5", "{}"),
    (Provider::OpenAi, "gpt-4o-audio-preview", "{}"),
    (Provider::OpenAi, "gpt-3.5-turbo-instruct", "{}"),
    (Provider::Azure, "deployment", "{}"),
    (
        Provider::Azure,
        "deployment",
        r#"{"api_version":"2024-10-21"}"#,
    ),
    (Provider::Mistral, "mistral-large", "{}"),
    (Provider::OpenAiCompatible, "llama", "{}"),
    (
        Provider::OpenAiCompatible,
        "llama",
        r#"{"api":"responses"}"#,
    ),
    (Provider::Anthropic, "claude-haiku-4-5", "{}"),
    (Provider::Anthropic, "claude-opus-5", "{}"),
    (Provider::Vertex, "claude-sonnet-5", "{}"),
    (Provider::Bedrock, "eu.anthropic.claude-sonnet-5", "{}"),
    (
        Provider::Bedrock,
        "eu.anthropic.claude-sonnet-5",
        r#"{"api":"invoke"}"#,
    ),
    (Provider::Bedrock, "amazon.nova-2-lite-v1:0", "{}"),
    (Provider::Gemini, "gemini-3-pro", "{}"),
    (Provider::Gemini, "gemini-2.0-flash", "{}"),
    (Provider::Vertex, "gemini-2.5-flash", "{}"),
    (Provider::Demo, "demo", "{}"),
];
/// Models that do something else than chat.
const OTHERS: [At; 16] = [
    (Provider::OpenAi, "gpt-image-1", "{}"),
    (Provider::OpenAiCompatible, "real", "{}"),
    (Provider::Mistral, "mistral-embed", "{}"),
    (Provider::Gemini, "gemini-embedding-001", "{}"),
    (Provider::Vertex, "text-embedding-005", "{}"),
    (Provider::Vertex, "gemini-embedding-2", "{}"),
    (Provider::Bedrock, "amazon.titan-embed-text-v2:0", "{}"),
    (
        Provider::Bedrock,
        "amazon.nova-2-multimodal-embeddings-v1:0",
        "{}",
    ),
    (Provider::Bedrock, "eu.cohere.embed-v4:0", "{}"),
    (Provider::Gemini, "gemini-2.5-flash-image", "{}"),
    (Provider::Gemini, "imagen-4.0-generate-001", "{}"),
    (Provider::Bedrock, "amazon.nova-canvas-v1:0", "{}"),
    (Provider::Bedrock, "stability.sd3-5-large-v1:0", "{}"),
    (Provider::Bedrock, "cohere.rerank-v3-5:0", "{}"),
    (Provider::Gemini, "gemini-2.5-flash-preview-tts", "{}"),
    (Provider::Anthropic, "claude-haiku-4-5", "{}"),
];

/// A place with its settings.
pub struct Somewhere {
    provider: Provider,
    model: &'static str,
    settings: Settings,
}

impl Somewhere {
    /// A place that chats.
    pub fn for_chats(draw: &mut Draw<'_>) -> Self {
        Self::of(draw.one_of(&PLACES))
    }

    /// One of those that chat on Bedrock.
    pub fn at_bedrock(draw: &mut Draw<'_>) -> Self {
        let places = PLACES.iter().filter(|at| at.0 == Provider::Bedrock);
        Self::of(draw.one_of(&places.copied().collect::<Vec<At>>()))
    }

    /// A place that does something else, or that cannot.
    pub fn for_tasks(draw: &mut Draw<'_>) -> Self {
        if draw.seldom(4) {
            return Self::for_chats(draw);
        }
        Self::of(draw.one_of(&OTHERS))
    }

    fn of((provider, model, settings): At) -> Self {
        Self {
            provider,
            model,
            settings: serde_json::from_str(settings).expect("settings"),
        }
    }

    /// What is likely spoken there with a client of this dialect: an example in
    /// another one is answered as nonsense, which must do no harm either.
    pub fn speaks(&self, client: Dialect) -> Dialect {
        let is_claude = self.model.contains("claude");
        let invokes = client == Dialect::Anthropic || self.settings.api == "invoke";
        match self.provider {
            Provider::Anthropic => Dialect::Anthropic,
            Provider::Vertex if is_claude => Dialect::Anthropic,
            Provider::Bedrock if is_claude && invokes => Dialect::Anthropic,
            Provider::Gemini | Provider::Vertex => Dialect::Gemini,
            Provider::Bedrock => Dialect::Converse,
            Provider::OpenAi | Provider::Azure if client == Dialect::Responses => client,
            Provider::OpenAiCompatible if client == Dialect::Completions => client,
            Provider::OpenAiCompatible
                if client == Dialect::Responses && self.settings.api == "responses" =>
            {
                client
            }
            _ => Dialect::OpenAi,
        }
    }

    /// Whether streams come in AWS's framing.
    pub fn frames_as_aws(&self) -> bool {
        self.provider == Provider::Bedrock
    }

    pub fn place(&self) -> Place<'_> {
        Place {
            provider: self.provider,
            model: self.model,
            base_url: "https://x.example/v1",
            region: "eu-central-1",
            settings: &self.settings,
            project: "p",
            has_plain_key: false,
        }
    }
}
