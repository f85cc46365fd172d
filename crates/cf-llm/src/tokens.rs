//! Bounds and estimates of tokens, where no provider has counted them (yet).

use memchr::memmem;

/// Most tokens one picture is counted as: the dearest published rule is that of
/// a small OpenAI model, 2,833 + 5,667 for each of up to 8 tiles.
const IMAGE_TOKENS: u64 = 50_000;

/// An upper bound of the tokens of a request body. Every tokenizer in use makes
/// at least one byte of text a token, and the body holds more than the text;
/// pictures are counted by a rule of their own, as their bytes say little.
pub(crate) fn prompt_bound(body: &[u8]) -> u64 {
    let images = memmem::find_iter(body, b"\"image_url\"").count();
    length(body.len()) + length(images) * IMAGE_TOKENS
}

/// About how many tokens a text of `bytes` is: four bytes a token in English,
/// fewer elsewhere; three errs on the dear side.
pub fn estimated_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(3)
}

/// About how many tokens a request body is, markup taken into account.
pub fn estimated_prompt_tokens(body_bytes: u64) -> u64 {
    body_bytes.div_ceil(4)
}

fn length(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
