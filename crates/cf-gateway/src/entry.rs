//! A call's place at a deployment: counts there while the call runs, and tells how
//! it went, to the deployment or to its key, whichever is to blame.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{ProviderKeyId, Timestamp};
use cf_llm::{Cause, UpstreamFailure};
use tokio::sync::broadcast;

use crate::health::{Fault, Trial};
use crate::models::Deployment;

/// News of keys that are kept until somebody reads them; what is missed is told
/// again with the next failure.
pub const NEWS: usize = 256;

/// What became known of a provider key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyNews {
    /// The provider refuses it, or a model with it.
    Refused {
        /// The key.
        key: ProviderKeyId,
        /// `credentials`, `out_of_credit`, or `access` and `unknown_model` with the
        /// model's name after them.
        trouble: String,
    },
    /// It works again.
    Works {
        /// The key.
        key: ProviderKeyId,
    },
}

/// A place at a deployment.
pub struct Entry {
    deployment: Arc<Deployment>,
    at_key: Trial,
    at_deployment: Trial,
    has_answered: bool,
}

impl Entry {
    /// A place, or how long the deployment or its key is left alone yet.
    pub fn at(deployment: &Arc<Deployment>, now: Timestamp) -> Result<Self, Duration> {
        let at_key = deployment.key.health.enter(now)?;
        let at_deployment = deployment.health.enter(now)?;
        Ok(Self {
            deployment: Arc::clone(deployment),
            at_key,
            at_deployment,
            has_answered: false,
        })
    }

    /// A place for a call that has nowhere else to go.
    pub fn anyway(deployment: &Arc<Deployment>) -> Self {
        Self {
            deployment: Arc::clone(deployment),
            at_key: deployment.key.health.enter_anyway(),
            at_deployment: deployment.health.enter_anyway(),
            has_answered: false,
        }
    }

    /// The answer began after so long.
    pub fn answered(
        &mut self,
        stream: bool,
        took: Duration,
        now: Timestamp,
        news: &broadcast::Sender<KeyNews>,
    ) {
        self.has_answered = true;
        let key_was_refused = self.at_key.works();
        if self.at_deployment.answered(stream, took, now) || key_was_refused {
            self.tell_that_it_works(news);
        }
    }

    /// Whether an answer has begun.
    pub fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// The provider did not take the call.
    pub fn refused(
        &mut self,
        failure: &UpstreamFailure,
        now: Timestamp,
        news: &broadcast::Sender<KeyNews>,
    ) {
        let trouble = match failure.cause {
            // It is there and answers: the request is at fault.
            Cause::Request | Cause::TooLong | Cause::Filtered => {
                let key_was_refused = self.at_key.works();
                if self.at_deployment.works() || key_was_refused {
                    self.tell_that_it_works(news);
                }
                return;
            }
            Cause::Record => return,
            Cause::Limited => {
                self.at_deployment.failed(Fault::Limited(failure.wait), now);
                return;
            }
            Cause::Failed => {
                self.at_deployment.failed(Fault::Failed(failure.wait), now);
                return;
            }
            Cause::Credentials | Cause::OutOfCredit => {
                self.at_key.failed(Fault::Refused, now);
                failure.cause.as_str().to_owned()
            }
            Cause::Access | Cause::UnknownModel => {
                self.at_deployment.failed(Fault::Refused, now);
                format!("{} {}", failure.cause.as_str(), self.deployment.model)
            }
        };
        let key = self.deployment.key.id;
        // Nobody may be listening, in tests.
        let _ = news.send(KeyNews::Refused { key, trouble });
    }

    /// The answer came to its end.
    pub fn finished(&mut self) {
        self.at_deployment.works();
    }

    /// The answer broke off, came too late, or was none.
    pub fn broke_off(&mut self, now: Timestamp) {
        self.at_deployment.failed(Fault::Failed(None), now);
    }

    /// Says that the key works, whatever is known of it here.
    pub fn tell_that_it_works(&self, news: &broadcast::Sender<KeyNews>) {
        let key = self.deployment.key.id;
        let _ = news.send(KeyNews::Works { key });
    }
}
