//! Sums over all calls of a filter, whatever they are grouped by elsewhere.

use cf_base::Nanos;

/// What all calls in one currency come to.
#[derive(Clone, Debug)]
pub struct Totals {
    /// The currency.
    pub currency: String,
    /// Calls.
    pub requests: i64,
    /// Tokens in.
    pub prompt_tokens: i64,
    /// Tokens out.
    pub completion_tokens: i64,
    /// What they cost.
    pub cost: Nanos,
}
