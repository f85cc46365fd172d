//! What providers with formats of their own say was used: from whole answers and
//! from the frames of streams, into counters that do not overlap.

mod anthropic;
mod bedrock;
mod embeddings;
mod gemini;
mod responses;

use cf_base::Usage;

pub use anthropic::AnthropicCounter;
pub use bedrock::BedrockCounter;
pub use embeddings::embedding_usage;
pub use gemini::GeminiCounter;
pub use responses::ResponsesCounter;

/// What a provider counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// What the model used that was called.
    pub usage: Usage,
    /// What other models used on its behalf, at their own prices.
    pub others: Vec<(String, Usage)>,
    /// Whether the provider counted to the end. If not, the output is to be
    /// estimated by what was delivered.
    pub complete: bool,
}
