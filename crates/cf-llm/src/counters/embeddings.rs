//! Embeddings: all that is used is the input.

use cf_base::Usage;
use serde::Deserialize;

use super::Counted;
use crate::count::Count;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    /// OpenAI and its likes.
    #[serde(default)]
    usage: Option<Prompt>,
    /// The Gemini API.
    #[serde(default)]
    usage_metadata: Option<GeminiPrompt>,
    /// Vertex.
    #[serde(default)]
    predictions: Vec<Prediction>,
    /// Titan on Bedrock.
    #[serde(default)]
    input_text_token_count: Count,
}

#[derive(Deserialize)]
struct Prompt {
    #[serde(default)]
    prompt_tokens: Count,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiPrompt {
    #[serde(default)]
    prompt_token_count: Count,
}

#[derive(Deserialize)]
struct Prediction {
    embeddings: Embedding,
}

#[derive(Deserialize)]
struct Embedding {
    statistics: Statistics,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    token_count: Count,
}

/// What a whole answer says, whoever made it; `None` if it says nothing.
pub fn embedding_usage(body: &[u8]) -> Option<Counted> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let predicted: u64 = body
        .predictions
        .iter()
        .map(|p| p.embeddings.statistics.token_count.or_zero())
        .sum();
    let input = body
        .usage
        .and_then(|u| u.prompt_tokens.0)
        .or(body.usage_metadata.and_then(|u| u.prompt_token_count.0))
        .or(body.input_text_token_count.0)
        .or((predicted > 0).then_some(predicted))?;
    Some(Counted {
        usage: Usage {
            input,
            ..Usage::default()
        },
        others: Vec::new(),
        complete: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_is_understood() {
        for (body, tokens) in [
            (r#"{"usage":{"prompt_tokens":2,"total_tokens":2}}"#, Some(2)),
            (r#"{"usageMetadata":{"promptTokenCount":8}}"#, Some(8)),
            (r#"{"embedding":[1],"inputTextTokenCount":5}"#, Some(5)),
            (
                r#"{"predictions":[{"embeddings":{"values":[],"statistics":{"token_count":3}}},
                    {"embeddings":{"statistics":{"token_count":4.0}}}]}"#,
                Some(7),
            ),
            (r#"{"data":[]}"#, None),
        ] {
            let counted = embedding_usage(body.as_bytes());
            assert_eq!(counted.map(|c| c.usage.input), tokens, "{body}");
        }
    }
}
