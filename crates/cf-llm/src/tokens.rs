//! Bounds and estimates of tokens, where no provider has counted them (yet).

/// Most tokens one picture is counted as. The dearest published rule is that of
/// OpenAI's gpt-4o-mini: 2,833 and 5,667 for each of up to 8 tiles.
pub(crate) const IMAGE_BOUND: u64 = 50_000;
/// What a picture is about, for estimates: four tiles at OpenAI's usual rate.
pub(crate) const IMAGE_ESTIMATE: u64 = 800;
/// Most tokens of the words that a provider puts before tools of its own accord
/// (Anthropic's largest is about 800).
pub(crate) const TOOLS_BOUND: u64 = 1_000;
/// Most tokens of the words for one tool that Anthropic has defined and the client
/// runs (its largest is about 1,200).
pub(crate) const KNOWN_TOOL_BOUND: u64 = 2_000;
/// About how many tokens a text of `bytes` is: four bytes a token in English,
/// fewer elsewhere; three errs on the dear side.
pub(crate) fn estimated_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(3)
}

/// A length as a count.
pub(crate) fn length(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
