//! What a call tried before it was answered, for the usage log: which deployments,
//! and why the next was taken. Nothing of what client or provider said is in it.

use std::time::Duration;

use cf_llm::UpstreamFailure;
use serde::Serialize;

use crate::models::Deployment;

/// Entries that are kept of a call; the last is always kept.
const ENTRIES: usize = 20;

/// What was tried.
#[derive(Default)]
pub struct Tried(Vec<Entry>);

#[derive(Serialize)]
struct Entry {
    /// The public model it stands for.
    #[serde(rename = "for")]
    public_model: String,
    model: String,
    provider: &'static str,
    provider_key: String,
    /// `resting`, a cause of failure, or what became of the call.
    outcome: &'static str,
    /// The provider's status.
    #[serde(skip_serializing_if = "is_zero")]
    status: u16,
    /// How long it is or asks to be left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ms: Option<u64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(status: &u16) -> bool {
    *status == 0
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Tried {
    /// It was passed over, as it is left alone yet.
    pub fn rests(&mut self, deployment: &Deployment, rest: Duration) {
        let mut entry = Entry::of(deployment, "resting");
        entry.wait_ms = Some(millis(rest));
        self.push(entry);
    }

    /// It did not take the call.
    pub fn failed(&mut self, deployment: &Deployment, failure: &UpstreamFailure, took: Duration) {
        let late = failure.taken && failure.error.kind == cf_base::Kind::Upstream { status: 504 };
        let outcome = match late {
            true => "timeout",
            false => failure.cause.as_str(),
        };
        let mut entry = Entry::of(deployment, outcome);
        entry.status = failure.status;
        entry.wait_ms = failure.wait.map(millis);
        entry.took_ms = Some(millis(took));
        self.push(entry);
    }

    /// A model in place of the one asked for may not be called so often now.
    pub fn limited(&mut self, public_model: &str) {
        self.push(Entry {
            public_model: public_model.to_owned(),
            model: String::new(),
            provider: "",
            provider_key: String::new(),
            outcome: "limit",
            status: 0,
            wait_ms: None,
            took_ms: None,
        });
    }

    fn push(&mut self, entry: Entry) {
        if self.0.len() >= ENTRIES {
            self.0.pop();
        }
        self.0.push(entry);
    }

    /// As it is logged; empty where the first deployment answered. `answered` is
    /// who did in the end, and what became of that.
    pub fn into_text(mut self, answered: Option<(&Deployment, &'static str)>) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        if let Some((deployment, outcome)) = answered {
            self.push(Entry::of(deployment, outcome));
        }
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

impl Entry {
    fn of(deployment: &Deployment, outcome: &'static str) -> Self {
        Self {
            public_model: deployment.public_model.to_string(),
            model: deployment.model.clone(),
            provider: deployment.key.provider.as_str(),
            provider_key: deployment.key.id.to_string(),
            outcome,
            status: 0,
            wait_ms: None,
            took_ms: None,
        }
    }
}
