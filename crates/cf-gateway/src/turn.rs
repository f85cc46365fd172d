//! One deployment after the other, until one takes the call.

use cf_base::{Error, Kind, RequestId};
use cf_llm::{Provider, Route, UpstreamFailure};
use http::Response;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::Inner;
use crate::attempt::Attempt;
use crate::hang_up::Attendance;
use crate::meter::Meter;
use crate::models::Deployment;
use crate::plan::Candidate;

/// Deployments tried for one call.
const ATTEMPTS: usize = 5;

/// What does not change from one deployment to the next.
pub struct Turn<'a> {
    pub inner: &'a Inner,
    pub request_id: &'a RequestId,
    pub attendance: &'a Attendance,
    /// When the whole call is cut off.
    pub ends_at: Instant,
    /// Whether the client wants a stream.
    pub stream: bool,
}

/// A deployment took the call; which one the meter knows.
pub struct Taken {
    /// How the answer is to be read.
    pub route: Route,
    /// Fields that were left out, as the client asked.
    pub dropped: Vec<String>,
    pub by: TakenBy,
}

/// Who answers.
pub enum TakenBy {
    /// A provider, whose answer has begun.
    Provider(Response<Incoming>),
    /// The demo provider, which is in here.
    Demo,
}

impl Turn<'_> {
    /// Sends what `prepare` makes of the call to one candidate after the other. On
    /// failure the meter is left to the caller, to be ended as
    /// [`UpstreamFailure::taken`] says.
    pub async fn take(
        &self,
        candidates: Vec<Candidate>,
        meter: &mut Meter,
        prepare: impl Fn(&Deployment) -> Result<Attempt, UpstreamFailure>,
    ) -> Result<Taken, UpstreamFailure> {
        let inner = self.inner;
        let mut last = None;
        for candidate in in_turn(inner, candidates).into_iter().take(ATTEMPTS) {
            let Candidate { deployment, price } = candidate;
            let mut attempt = match prepare(&deployment) {
                Ok(attempt) => attempt,
                Err(failure) => {
                    warn(self.request_id, &deployment, &failure);
                    last = Some(failure);
                    continue;
                }
            };
            meter.dispatch(&deployment, price);
            let drains = deployment.key.hang_up.drains(self.stream);
            self.attendance.set_drain(drains);
            let route = attempt.route;
            let dropped = std::mem::take(&mut attempt.dropped);
            let taken = |by| Taken { route, dropped, by };
            if deployment.key.provider == Provider::Demo {
                return Ok(taken(TakenBy::Demo));
            }
            let left = self.ends_at.saturating_duration_since(Instant::now());
            // A plain reply's head comes when all of it is done.
            let first_byte = if self.stream {
                inner.deadlines.first_byte.min(left)
            } else {
                left
            };
            let sent = attempt
                .send(&inner.http, &inner.clock, &deployment, first_byte)
                .await;
            let failure = match sent {
                Ok(response) => return Ok(taken(TakenBy::Provider(response))),
                Err(failure) => failure,
            };
            warn(self.request_id, &deployment, &failure);
            if failure.taken {
                // The provider may be at work on the prompt all the same.
                return Err(failure);
            }
            meter.not_taken();
            if !failure.retryable {
                return Err(failure);
            }
            last = Some(failure);
        }
        Err(last.unwrap_or_else(|| UpstreamFailure {
            error: Error::new(
                Kind::Upstream { status: 503 },
                "No deployment of the model can be called now.",
            ),
            retryable: false,
            taken: false,
            code: None,
            is_unauthorized: false,
        }))
    }
}

fn warn(request_id: &RequestId, deployment: &Deployment, failure: &UpstreamFailure) {
    // A provider's words on a request may quote it: they are the client's alone.
    let error = match failure.error.kind {
        Kind::Invalid { .. } => "the provider refused the request",
        _ => &*failure.error.message,
    };
    tracing::warn!(
        request_id = request_id.as_str(),
        provider = deployment.key.provider.as_str(),
        provider_key = deployment.key.id.as_str(),
        model = deployment.model,
        error,
        cause = failure.error.source.as_ref().map(ToString::to_string),
        "a provider did not take a call"
    );
}

/// By order; within the same order by chance, in proportion to the weights.
fn in_turn(inner: &Inner, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut turn = Vec::with_capacity(candidates.len());
    while let Some(order) = candidates.iter().map(|c| c.deployment.order).min() {
        let same: Vec<usize> = (0..candidates.len())
            .filter(|i| candidates[*i].deployment.order == order)
            .collect();
        let weights = same.iter().map(|i| candidates[*i].deployment.weight);
        let total = weights.fold(0, u64::saturating_add);
        let mut at = same[0];
        if same.len() > 1 && total > 0 {
            let mut left = inner.random.below(total);
            for i in same {
                let weight = candidates[i].deployment.weight;
                if left < weight {
                    at = i;
                    break;
                }
                left -= weight;
            }
        }
        turn.push(candidates.remove(at));
    }
    turn
}
