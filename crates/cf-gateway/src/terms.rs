//! What a model record says about how its calls are made.

use std::time::Duration;

use cf_base::Result;
use cf_db::Row;
use cf_llm::Cause;

use crate::Deadlines;

/// How one of several deployments of the same order is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// By chance, in proportion to the weights.
    #[default]
    Weights,
    /// The one with the fewest calls under way for its weight.
    LeastBusy,
    /// The one whose answers have begun soonest of late.
    LowestLatency,
}

/// How the calls of a model are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    pub balance: Balance,
    /// Times that all deployments are gone through once more.
    pub retries: u32,
    first_byte: Option<Duration>,
    gap: Option<Duration>,
    total: Option<Duration>,
}

/// Why another model is asked in a model's place.
#[derive(Clone, Copy, Debug, Default)]
pub struct FallbackOn {
    unavailable: bool,
    context_length: bool,
    content_filter: bool,
}

/// Rounds over the deployments after the first at most, whatever the record says.
const RETRIES: i64 = 5;

impl Terms {
    /// Reads the row of a model.
    pub fn read(row: &Row) -> Result<Self> {
        let balance: String = row.get("balance")?;
        let retries: i64 = row.get("retries")?;
        // Zero stands for not set, and so does what cannot be a time.
        let seconds = |column| -> Result<Option<Duration>> {
            let seconds: i64 = row.get(column)?;
            let seconds = u64::try_from(seconds).ok().filter(|s| *s > 0);
            Ok(seconds.map(Duration::from_secs))
        };
        Ok(Self {
            balance: match &*balance {
                "least_busy" => Balance::LeastBusy,
                "lowest_latency" => Balance::LowestLatency,
                _ => Balance::Weights,
            },
            retries: u32::try_from(retries.clamp(0, RETRIES)).unwrap_or(0),
            first_byte: seconds("first_byte_seconds")?,
            gap: seconds("gap_seconds")?,
            total: seconds("total_seconds")?,
        })
    }

    /// The time limits of the model's calls.
    pub fn deadlines(&self, usual: Deadlines) -> Deadlines {
        Deadlines {
            first_byte: self.first_byte.unwrap_or(usual.first_byte),
            gap: self.gap.unwrap_or(usual.gap),
            total: self.total.unwrap_or(usual.total),
            ..usual
        }
    }
}

impl FallbackOn {
    /// Reads the list of a model; an empty one means all causes.
    pub fn read(text: &str) -> Self {
        let list: Vec<String> = serde_json::from_str(text).unwrap_or_default();
        let has = |word: &str| list.is_empty() || list.iter().any(|cause| cause == word);
        Self {
            unavailable: has("unavailable"),
            context_length: has("context_length"),
            content_filter: has("content_filter"),
        }
    }

    /// Whether another model is asked after such a failure.
    pub fn covers(self, cause: Cause) -> bool {
        match cause {
            Cause::TooLong => self.context_length,
            Cause::Filtered => self.content_filter,
            Cause::Credentials
            | Cause::Access
            | Cause::OutOfCredit
            | Cause::UnknownModel
            | Cause::Limited
            | Cause::Failed
            | Cause::Record => self.unavailable,
            // It would be the same elsewhere.
            Cause::Request => false,
        }
    }

    /// Whether another model is asked where this one has nobody to go to.
    pub fn unavailable(self) -> bool {
        self.unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_is_asked_for_the_chosen_causes_only() {
        let all = FallbackOn::read("[]");
        let long = FallbackOn::read(r#"["context_length"]"#);
        for cause in [
            Cause::TooLong,
            Cause::Filtered,
            Cause::Failed,
            Cause::Limited,
        ] {
            assert!(all.covers(cause));
            assert_eq!(long.covers(cause), cause == Cause::TooLong);
        }
        assert!(!all.covers(Cause::Request));
        assert!(!long.unavailable());
    }
}
