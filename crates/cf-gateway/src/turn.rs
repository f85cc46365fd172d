//! One deployment after the other, until one takes the call.
//!
//! A deployment that is left alone (`health.rs`) is passed over as long as another
//! can be asked. Where all are, the one whose time is up soonest is asked all the
//! same if that is within [`SOON`]; else the client is told when to come back.

use std::time::Duration;

use cf_base::{Error, Kind, RequestId};
use cf_llm::{Cause, Provider, Route, UpstreamFailure};
use http::Response;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::Inner;
use crate::attempt::Attempt;
use crate::entry::Entry;
use crate::hang_up::Attendance;
use crate::meter::Meter;
use crate::models::{Deployment, Model};
use crate::plan::{Candidate, Way};
use crate::terms::Balance;

/// Deployments tried for one call, in each round.
const ATTEMPTS: usize = 5;
/// A deployment with so little rest left may be asked where there is no other.
const SOON: Duration = Duration::from_secs(1);
/// How long a call waits for its next round at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits where nobody says; doubled with each round.
const PAUSE: Duration = Duration::from_millis(500);

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

/// How a round ended in which nobody took the call.
enum Missed {
    /// The call is over: it may be under way, or would be refused elsewhere too.
    Over(UpstreamFailure),
    /// All were asked or are left alone; when the first may be asked again, where
    /// that is known.
    All {
        last: UpstreamFailure,
        wait: Option<Duration>,
    },
}

/// Beneath an error: when to come back.
#[derive(Debug, thiserror::Error)]
#[error("the deployments are left alone")]
pub struct ComeBack {
    /// In how long.
    pub after: Duration,
}

impl Turn<'_> {
    /// Goes one way after the other, as far as the model asked for has other models
    /// in its place for what went wrong. Returns what was planned for the last of
    /// them beside what came of it.
    pub async fn go<P>(
        &self,
        ways: Vec<Way<P>>,
        model: &Model,
        likely: u64,
        meter: &mut Meter,
        mut prepare: impl FnMut(&P, &Candidate) -> Result<Attempt, UpstreamFailure>,
    ) -> cf_base::Result<(Result<Taken, UpstreamFailure>, P)> {
        let mut ways = ways.into_iter();
        let mut way = ways
            .next()
            .ok_or_else(|| Error::internal("a call without a way to go"))?;
        loop {
            let plan = way.plan;
            let taken = self
                .take(way.candidates, meter, |candidate| prepare(&plan, candidate))
                .await;
            let goes_on = |failure: &UpstreamFailure| {
                !failure.taken && model.fallback_on.covers(failure.cause)
            };
            let next = match &taken {
                Err(failure) if goes_on(failure) => self.next_way(&mut ways, likely, meter),
                _ => None,
            };
            match next {
                Some(next) => way = next,
                None => return Ok((taken, plan)),
            }
        }
    }

    /// The next model in place of the one asked for that its own limits let the call to.
    fn next_way<P>(
        &self,
        ways: &mut impl Iterator<Item = Way<P>>,
        likely: u64,
        meter: &mut Meter,
    ) -> Option<Way<P>> {
        for way in ways {
            let Some(limits) = way.limits else {
                return Some(way);
            };
            match self.inner.limiter.admit_to(limits, likely) {
                Ok(admission) => {
                    meter.admit(admission);
                    return Some(way);
                }
                Err(_) => meter.tried().limited(&way.public_model),
            }
        }
        None
    }

    /// Sends what `prepare` makes of the call to one candidate after the other. On
    /// failure the meter is left to the caller, to be ended as
    /// [`UpstreamFailure::taken`] says.
    async fn take(
        &self,
        candidates: Vec<Candidate>,
        meter: &mut Meter,
        mut prepare: impl FnMut(&Candidate) -> Result<Attempt, UpstreamFailure>,
    ) -> Result<Taken, UpstreamFailure> {
        let terms = candidates.first().map(|c| c.deployment.terms);
        let retries = terms.unwrap_or_default().retries;
        let mut round = 0;
        loop {
            let (failure, wait) = match self.round(&candidates, meter, &mut prepare).await {
                Ok(taken) => return Ok(taken),
                Err(Missed::Over(failure)) => return Err(failure),
                Err(Missed::All { last, wait }) => (last, wait),
            };
            let wait = wait.unwrap_or(PAUSE * 2_u32.pow(round));
            let too_late = Instant::now() + wait >= self.ends_at;
            if round >= retries || wait > PATIENCE || too_late {
                return Err(failure);
            }
            tokio::time::sleep(wait).await;
            round += 1;
        }
    }

    async fn round(
        &self,
        candidates: &[Candidate],
        meter: &mut Meter,
        prepare: &mut impl FnMut(&Candidate) -> Result<Attempt, UpstreamFailure>,
    ) -> Result<Taken, Missed> {
        let clock = &self.inner.clock;
        let mut asked = 0;
        let mut last = None;
        let mut wait: Option<Duration> = None;
        let mut soonest: Option<(Duration, &Candidate)> = None;
        for candidate in self.in_turn(candidates) {
            if asked == ATTEMPTS {
                break;
            }
            let deployment = &candidate.deployment;
            match Entry::at(deployment, clock.now()) {
                Ok(entry) => {
                    asked += 1;
                    let failure = match self.ask(candidate, entry, meter, prepare).await {
                        Ok(taken) => return Ok(taken),
                        Err(failure) => failure,
                    };
                    if failure.taken || !failure.retryable {
                        return Err(Missed::Over(failure));
                    }
                    wait = shorter(wait, failure.wait);
                    last = Some(failure);
                }
                Err(rest) => {
                    meter.tried().rests(deployment, rest);
                    wait = shorter(wait, Some(rest));
                    if soonest.is_none_or(|(least, _)| rest < least) {
                        soonest = Some((rest, candidate));
                    }
                }
            }
        }
        if let Some((rest, candidate)) = soonest
            && rest <= SOON
            && asked < ATTEMPTS
        {
            let entry = Entry::anyway(&candidate.deployment);
            match self.ask(candidate, entry, meter, prepare).await {
                Ok(taken) => return Ok(taken),
                Err(failure) if failure.taken || !failure.retryable => {
                    return Err(Missed::Over(failure));
                }
                Err(failure) => last = Some(failure),
            }
        }
        let last = last.unwrap_or_else(|| resting(soonest.map(|(rest, _)| rest)));
        Err(Missed::All { last, wait })
    }

    /// Sends the call to one deployment.
    async fn ask(
        &self,
        candidate: &Candidate,
        mut entry: Entry,
        meter: &mut Meter,
        prepare: &mut impl FnMut(&Candidate) -> Result<Attempt, UpstreamFailure>,
    ) -> Result<Taken, UpstreamFailure> {
        let inner = self.inner;
        let deployment = &candidate.deployment;
        let started = Instant::now();
        let mut attempt = match prepare(candidate) {
            Ok(attempt) => attempt,
            Err(failure) => {
                warn(self.request_id, deployment, &failure);
                meter.tried().failed(deployment, &failure, Duration::ZERO);
                return Err(failure);
            }
        };
        meter.dispatch(deployment, candidate.price.clone());
        if let Some(estimate) = attempt.expects {
            meter.expect(estimate);
        }
        let drains = deployment.key.hang_up.drains(self.stream);
        self.attendance.set_drain(drains);
        let route = attempt.route;
        let dropped = std::mem::take(&mut attempt.dropped);
        let taken = |by| Taken { route, dropped, by };
        if deployment.key.provider == Provider::Demo {
            let now = inner.clock.now();
            entry.answered(self.stream, Duration::ZERO, now, &inner.key_news);
            meter.enter(entry);
            return Ok(taken(TakenBy::Demo));
        }
        let left = self.ends_at.saturating_duration_since(started);
        // A plain reply's head comes when all of it is done.
        let first_byte = if self.stream {
            let deadlines = deployment.terms.deadlines(inner.deadlines);
            deadlines.first_byte.min(left)
        } else {
            left
        };
        let sent = attempt
            .send(&inner.http, &inner.clock, deployment, first_byte)
            .await;
        let took = started.elapsed();
        let failure = match sent {
            Ok(response) => {
                entry.answered(self.stream, took, inner.clock.now(), &inner.key_news);
                meter.enter(entry);
                return Ok(taken(TakenBy::Provider(response)));
            }
            Err(failure) => failure,
        };
        warn(self.request_id, deployment, &failure);
        meter.tried().failed(deployment, &failure, took);
        if failure.taken {
            // The provider may be at work on the prompt all the same.
            meter.enter(entry);
        } else {
            entry.refused(&failure, inner.clock.now(), &inner.key_news);
            meter.not_taken();
            // Nobody is at work: a client that leaves now ends the call.
            self.attendance.set_drain(false);
        }
        Err(failure)
    }

    /// By order; within the same order as the model's record has it.
    fn in_turn<'c>(&self, candidates: &'c [Candidate]) -> Vec<&'c Candidate> {
        let mut turn = self.by_weight(candidates.iter().collect());
        let now = self.inner.clock.now();
        // Chance decides between equals: sorting leaves them as they are.
        match turn.first().map(|c| c.deployment.terms.balance) {
            None | Some(Balance::Weights) => {}
            Some(Balance::LeastBusy) => turn.sort_by_key(|c| {
                let deployment = &c.deployment;
                let running = u64::from(deployment.health.running());
                // As if it were full where nothing is to go there.
                let load = (running * 1_000_000).checked_div(deployment.weight);
                (deployment.order, load.unwrap_or(u64::MAX))
            }),
            Some(Balance::LowestLatency) => turn.sort_by_cached_key(|c| {
                let deployment = &c.deployment;
                let latency = deployment.health.latency(self.stream, now);
                (deployment.order, deployment.weight == 0, latency)
            }),
        }
        turn
    }

    /// By chance, in proportion to the weights.
    fn by_weight<'c>(&self, mut candidates: Vec<&'c Candidate>) -> Vec<&'c Candidate> {
        let mut turn = Vec::with_capacity(candidates.len());
        while let Some(order) = candidates.iter().map(|c| c.deployment.order).min() {
            let same: Vec<usize> = (0..candidates.len())
                .filter(|i| candidates[*i].deployment.order == order)
                .collect();
            let weights = same.iter().map(|i| candidates[*i].deployment.weight);
            let total = weights.fold(0, u64::saturating_add);
            let mut at = same[0];
            if same.len() > 1 && total > 0 {
                let mut left = self.inner.random.below(total);
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
}

fn shorter(known: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (known, other) {
        (Some(known), Some(other)) => Some(known.min(other)),
        (known, other) => known.or(other),
    }
}

/// Nobody was asked: all deployments are left alone, or there is none.
fn resting(rest: Option<Duration>) -> UpstreamFailure {
    let kind = Kind::Upstream { status: 503 };
    let error = match rest {
        Some(after) => {
            let sentence = format!(
                "All deployments of the model failed or reached their provider's limit a moment ago. \
                 Try again in {} seconds.",
                after.as_millis().div_ceil(1_000)
            );
            Error::new(kind, sentence).because(ComeBack { after })
        }
        None => Error::new(kind, "No deployment of the model can be called now."),
    };
    UpstreamFailure {
        wait: rest,
        ..UpstreamFailure::ours(Cause::Failed, error)
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
