//! One call's guard: exists before anything is sent, ends it in the books once.
//!
//! The rule for calls that do not end by themselves, by how far they got:
//! - nothing was sent to a provider: released, cost 0;
//! - sent, and the client left: where the provider goes on and bills all the same,
//!   the answer is read on and its count is charged (`hang_up.rs`). Elsewhere the
//!   call is cancelled, the prompt is charged by estimate and the output by what
//!   came of it, or both by the provider's own count if that had come. So also
//!   where no byte had come: the provider may have read the prompt;
//! - a stream that the provider broke off: charged the same way;
//! - sent, and no whole plain reply came in time or the connection broke: the
//!   prompt is charged by estimate, since the provider may have read it;
//! - the provider could not be reached, or answered with an error: released, cost 0.
//!
//! Nothing here waits, and nothing depends on the client still being there.

use std::sync::Arc;

use cf_base::{Clock, Timestamp, Usage};
use cf_ledger::{CACHE, CallRecord, CallStatus, Hold, PriceVersion, Settled};
use cf_llm::ChatStream;

use crate::cache::Kept;
use crate::entry::Entry;
use crate::hang_up::Attendance;
use crate::limits::Admission;
use crate::models::Deployment;
use crate::recording::Served;
use crate::tried::Tried;

/// A call that is reserved and let in.
pub struct Meter {
    /// Taken when the call ends.
    hold: Option<Hold>,
    /// Held until the call ends; more than one where it went on to other models.
    admissions: Vec<Admission>,
    clock: Clock,
    started: Timestamp,
    first_byte: Option<Timestamp>,
    price: Arc<PriceVersion>,
    /// What is charged for calls without the provider's count.
    estimate: Usage,
    deployment: Option<Arc<Deployment>>,
    /// The model that had given the answer, where it is given again.
    kept_of: Option<String>,
    /// The place at the deployment that answers.
    entry: Option<Entry>,
    /// What was tried before.
    tried: Tried,
    /// Whether a provider may be at work on the call.
    sent: bool,
    /// What comes of a stream, and what is known of it; none before it begins.
    stream: Option<ChatStream>,
    /// Whether the client is still there.
    attendance: Arc<Attendance>,
}

impl Meter {
    pub fn new(
        hold: Hold,
        admission: Admission,
        clock: Clock,
        price: Arc<PriceVersion>,
        estimated_input: u64,
        attendance: Arc<Attendance>,
    ) -> Self {
        Self {
            hold: Some(hold),
            admissions: vec![admission],
            started: clock.now(),
            clock,
            first_byte: None,
            price,
            estimate: Usage {
                input: estimated_input,
                ..Usage::default()
            },
            deployment: None,
            kept_of: None,
            entry: None,
            tried: Tried::default(),
            sent: false,
            stream: None,
            attendance,
        }
    }

    /// What is charged where nobody counts, if that is more than a prompt.
    pub fn expect(&mut self, estimate: Usage) {
        self.estimate = estimate;
    }

    /// The call goes to this deployment, billed by its price.
    pub fn dispatch(&mut self, deployment: &Arc<Deployment>, price: Arc<PriceVersion>) {
        self.deployment = Some(Arc::clone(deployment));
        self.price = price;
        self.sent = true;
    }

    /// The call is at work there: its place is kept until it ends.
    pub fn enter(&mut self, entry: Entry) {
        self.entry = Some(entry);
    }

    /// The provider did not take the call: nothing is owed for it.
    pub fn not_taken(&mut self) {
        self.sent = false;
    }

    /// What was tried so far.
    pub fn tried(&mut self) -> &mut Tried {
        &mut self.tried
    }

    /// The call goes on to another model, whose limits let it in.
    pub fn admit(&mut self, admission: Admission) {
        self.admissions.push(admission);
    }

    /// The answer begins.
    pub fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.clock.now());
        }
    }

    /// The client has left; what is still to come is read for the count alone.
    pub fn client_left(&self) {
        self.attendance.leave();
    }

    /// The answer is this stream.
    pub fn listen(&mut self, stream: ChatStream) {
        self.stream = Some(stream);
    }

    /// The stream, once it is one.
    pub fn stream(&mut self) -> Option<&mut ChatStream> {
        self.stream.as_mut()
    }

    /// Where the call is; `None` before it is sent.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.deployment.as_deref()
    }

    /// Whether a deployment of this public model answers.
    pub fn is_at(&self, public_model: &str) -> bool {
        (self.deployment()).is_some_and(|d| *d.public_model == *public_model)
    }

    /// The estimate of the prompt.
    pub fn estimated_input(&self) -> u64 {
        self.estimate.input
    }

    /// Whether the client has left, although the answer is read on.
    pub fn client_has_left(&self) -> bool {
        self.attendance.left()
    }

    /// Who answers, with what is used for it.
    pub fn served(&self, usage: Usage, estimated: bool) -> Served {
        Served {
            usage,
            estimated,
            model: self
                .deployment()
                .map_or_else(String::new, |d| d.model.clone()),
            key: self.deployment().map(|d| d.key.id),
        }
    }

    /// The same of a stream that has ended by itself.
    pub fn served_stream(&self) -> Served {
        let (usage, estimated) = self.stream_usage();
        self.served(usage, estimated)
    }

    /// What the call is billed by.
    pub fn price(&self) -> &PriceVersion {
        &self.price
    }

    /// Books a plain reply.
    pub fn finish(mut self, usage: Usage, estimated: bool) -> Option<Settled> {
        self.all_is_well();
        self.end(usage, estimated, CallStatus::Ok)
    }

    /// Books an answer that was kept: nobody was asked.
    pub fn give_again(mut self, kept: &Kept, price: Arc<PriceVersion>) -> Option<Settled> {
        self.first_byte();
        self.price = price;
        self.kept_of = Some(kept.model.clone());
        self.end(kept.usage, kept.estimated, CallStatus::Ok)
    }

    /// Books a stream that ended by itself.
    pub fn finish_stream(mut self) -> Option<Settled> {
        self.all_is_well();
        let (usage, estimated) = self.stream_usage();
        self.end(usage, estimated, CallStatus::Ok)
    }

    /// Books a call that the provider refused or that never reached one: free.
    pub fn fail(mut self) -> Option<Settled> {
        self.it_broke_off();
        self.end(Usage::default(), false, CallStatus::Error)
    }

    /// Books a stream that the provider broke off: what was delivered.
    pub fn break_off(mut self) -> Option<Settled> {
        self.it_broke_off();
        let (usage, estimated) = self.stream_usage();
        self.end(usage, estimated, CallStatus::Error)
    }

    fn all_is_well(&mut self) {
        if let Some(entry) = &mut self.entry {
            entry.finished();
        }
    }

    fn it_broke_off(&mut self) {
        if let Some(entry) = &mut self.entry {
            entry.broke_off(self.clock.now());
        }
    }

    /// What a stream used so far, and whether that is an estimate.
    fn stream_usage(&self) -> (Usage, bool) {
        match &self.stream {
            Some(stream) => {
                let (usage, estimated) = stream.usage();
                (self.with_others(usage, &stream.other_models()), estimated)
            }
            None => (self.estimate, true),
        }
    }

    /// Adds what other models used on the call's behalf: by their own prices where
    /// the price book knows them, else as if the called one had done it.
    pub fn with_others(&self, mut usage: Usage, others: &[(String, Usage)]) -> Usage {
        for (model, used) in others {
            let known = (self.deployment.as_ref())
                .zip(self.hold.as_ref())
                .and_then(|(deployment, hold)| deployment.price_of(hold.ledger(), model));
            let cost = match known {
                Some(price) => price.provider_cost(used),
                None => self.price.provider_cost(used),
            };
            let sum = &mut usage.extra.other_models_pico_usd;
            *sum = sum.saturating_add(u64::try_from(cost.0).unwrap_or(u64::MAX));
        }
        usage
    }

    fn end(&mut self, usage: Usage, estimated: bool, status: CallStatus) -> Option<Settled> {
        let hold = self.hold.take()?;
        let status = if self.attendance.left() {
            CallStatus::Cancelled
        } else {
            status
        };
        let (model_used, provider, key) = match (&self.deployment, self.kept_of.take()) {
            (_, Some(model)) => (model, CACHE.to_owned(), None),
            (Some(d), None) => (
                d.model.clone(),
                d.key.provider.as_str().to_owned(),
                Some(d.key.id),
            ),
            (None, None) => Default::default(),
        };
        let used = usage
            .prompt_tokens()
            .saturating_add(usage.completion_tokens());
        for admission in &mut self.admissions {
            admission.used(used);
        }
        // Who was asked last without an answer stands among those tried.
        let has_answered = self.entry.as_ref().is_some_and(Entry::has_answered);
        let answered = self.deployment.as_deref().filter(|_| has_answered);
        let attempts =
            std::mem::take(&mut self.tried).into_text(answered.map(|d| (d, status.as_str())));
        if self.price.bound(&usage) > hold.granted() {
            // The provider bills what it counted, so it is booked all the same.
            tracing::warn!(
                provider,
                model = model_used,
                "a call cost more than was reserved for it: the provider does not keep to the output limit"
            );
        }
        let first_byte = self.first_byte.map(|t| t.millis_since(self.started));
        Some(hold.settle(CallRecord {
            model_used,
            provider,
            provider_key_id: key,
            usage,
            price: Arc::clone(&self.price),
            attempts,
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
            self.stream_usage()
        } else {
            (Usage::default(), false)
        };
        drop(self.end(usage, estimated, CallStatus::Cancelled));
    }
}
