//! One call's guard: exists before anything is sent, ends it in the books once.
//!
//! The rule for calls that do not end by themselves, by how far they got:
//! nothing sent upstream — released, cost 0; sent, and the client left or the
//! provider broke off — the prompt is charged by estimate and the output by
//! what was delivered, or by the provider's own count if that had come; the
//! provider answered with an error before any output — released, cost 0.

use std::sync::Arc;

use cf_base::{Clock, Timestamp, Usage};
use cf_ledger::{CallRecord, CallStatus, Hold, PriceVersion, Settled};
use cf_llm::StreamTap;

use crate::limits::Admission;
use crate::models::Deployment;

/// A call that is reserved and let in.
pub struct Meter {
    /// Taken when the call ends.
    hold: Option<Hold>,
    /// Held until the call ends.
    _admission: Admission,
    clock: Clock,
    started: Timestamp,
    first_byte: Option<Timestamp>,
    price: Arc<PriceVersion>,
    /// Estimate of the prompt, for calls without the provider's count.
    estimated_input: u64,
    deployment: Option<Deployment>,
    /// Whether a provider may be at work on the call.
    sent: bool,
    /// What is known of a stream.
    tap: StreamTap,
}

impl Meter {
    pub fn new(
        hold: Hold,
        admission: Admission,
        clock: Clock,
        price: Arc<PriceVersion>,
        estimated_input: u64,
        strip_usage: bool,
    ) -> Self {
        Self {
            hold: Some(hold),
            _admission: admission,
            started: clock.now(),
            clock,
            first_byte: None,
            price,
            estimated_input,
            deployment: None,
            sent: false,
            tap: StreamTap::new(strip_usage),
        }
    }

    /// The call goes to this deployment, billed by its price.
    pub fn dispatch(&mut self, deployment: &Deployment, price: Arc<PriceVersion>) {
        self.deployment = Some(deployment.clone());
        self.price = price;
        self.sent = true;
    }

    /// The provider did not take the call: nothing is owed for it.
    pub fn not_taken(&mut self) {
        self.sent = false;
    }

    /// The answer begins.
    pub fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.clock.now());
        }
    }

    /// What listens to the stream.
    pub fn tap(&mut self) -> &mut StreamTap {
        &mut self.tap
    }

    /// The estimate of the prompt.
    pub fn estimated_input(&self) -> u64 {
        self.estimated_input
    }

    /// Books a plain reply.
    pub fn finish(mut self, usage: Usage, estimated: bool) -> Option<Settled> {
        self.end(usage, estimated, CallStatus::Ok)
    }

    /// Books a stream that ended by itself.
    pub fn finish_stream(mut self) -> Option<Settled> {
        let (usage, estimated) = self.tap.usage(self.estimated_input);
        self.end(usage, estimated, CallStatus::Ok)
    }

    /// Books a call that the provider refused or that never reached one: free.
    pub fn fail(mut self) -> Option<Settled> {
        self.end(Usage::default(), false, CallStatus::Error)
    }

    /// Books a stream that the provider broke off: what was delivered.
    pub fn break_off(mut self) -> Option<Settled> {
        let (usage, estimated) = self.tap.usage(self.estimated_input);
        self.end(usage, estimated, CallStatus::Error)
    }

    fn end(&mut self, usage: Usage, estimated: bool, status: CallStatus) -> Option<Settled> {
        let hold = self.hold.take()?;
        let (model_used, provider, key) = match &self.deployment {
            Some(d) => (
                d.model.clone(),
                d.key.provider.as_str().to_owned(),
                Some(d.key.id),
            ),
            None => Default::default(),
        };
        let first_byte = self.first_byte.map(|t| t.millis_since(self.started));
        Some(hold.settle(CallRecord {
            model_used,
            provider,
            provider_key_id: key,
            usage,
            price: Arc::clone(&self.price),
            status,
            estimated,
            latency_ms: self.clock.now().millis_since(self.started),
            time_to_first_token_ms: first_byte.unwrap_or(0),
        }))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // Only a call that did not end otherwise still has its hold: the client left.
        let (usage, estimated) = if self.sent {
            self.tap.usage(self.estimated_input)
        } else {
            (Usage::default(), false)
        };
        drop(self.end(usage, estimated, CallStatus::Cancelled));
    }
}
