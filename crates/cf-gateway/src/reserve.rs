//! What a call may cost at most, and the reservation of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Caller, Error, Kind, PicoUsd, RequestId, Result, ServiceTier};
use cf_ledger::{CacheWrites, Hold, HoldRequest, Most};
use cf_llm::{ChatRequest, InputBound};

use crate::Inner;
use crate::models::Model;
use crate::plan::Candidate;

/// Output that makes an answer useful at all; below it a budget is used up.
const LEAST_OUTPUT: u64 = 16;
/// Prompts that are counted at a time.
pub const COUNTERS: usize = 2;
/// How long a call waits for its turn to be counted.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a call may cost at most, wherever it ends up.
#[derive(Default)]
pub struct WorstCase {
    parts: Vec<Part>,
    /// How many answers are wanted.
    n: u64,
    /// Output beyond the limit, of each.
    beyond: u64,
    tier: ServiceTier,
}

/// What it may cost at one candidate.
struct Part {
    candidate: Candidate,
    /// Tokens that the model takes there, where that is known.
    context: Option<u64>,
    /// What can go in.
    input: InputBound,
    /// The output limit there, whatever is asked for.
    most: u64,
}

impl WorstCase {
    /// By bytes and rules.
    pub fn of(request: &ChatRequest<'_>, model: &Model, candidates: &[Candidate]) -> Result<Self> {
        let part = |candidate: &Candidate| {
            let context = (model.context_window).or(candidate.deployment.max_input_tokens);
            let input = request.input_bound(&candidate.deployment.place(), context)?;
            Some(Part {
                candidate: candidate.clone(),
                context,
                input,
                most: u64::MAX,
            })
        };
        let parts: Option<Vec<Part>> = candidates.iter().map(part).collect();
        let parts = parts.ok_or_else(|| {
            Error::new(
                Kind::Unprocessable,
                format!(
                    "This request refers to files, videos or a search, and the model \"{}\" has no \
                     context_window, so what it may cost is not known. An administrator must set it \
                     on the model record.",
                    model.name
                ),
            )
        })?;
        Ok(Self {
            parts,
            n: request.n,
            beyond: request.output_beyond_limit(),
            tier: request.tier,
        })
    }

    /// The dearest of all of these, of one request; they are left without their own.
    pub fn of_all<'a>(all: impl Iterator<Item = &'a mut Self>) -> Self {
        all.map(std::mem::take)
            .reduce(|mut one, other| {
                one.parts.extend(other.parts);
                one
            })
            .unwrap_or_default()
    }

    /// No more output comes of it, whatever limit is asked for.
    pub fn never_above(&mut self, tokens: u64) {
        for part in &mut self.parts {
            part.most = tokens;
        }
    }

    /// Whether the provider may search the web, which is billed by the piece.
    pub fn searches(&self) -> bool {
        self.parts.iter().any(|part| part.input.web_searches > 0)
    }

    /// Tokens that can go in at most.
    pub fn input(&self) -> u64 {
        let tokens = self.parts.iter().map(|part| part.input.tokens());
        tokens.max().unwrap_or(0)
    }

    /// What the call costs at most with an output limit.
    pub fn cost(&self, limit: u64) -> PicoUsd {
        let costs = self.parts.iter().map(|part| {
            let input = &part.input;
            let limit = limit.min(part.most);
            let output = limit.saturating_add(self.beyond).saturating_mul(self.n);
            let most = Most {
                any: input.any,
                text: input.text,
                pictures: input.pictures,
                sound: input.sound,
                cache_writes: match (input.writes_cache, input.writes_cache_for_hours) {
                    (true, true) => CacheWrites::Hour,
                    (true, false) => CacheWrites::Short,
                    (false, _) => CacheWrites::None,
                },
                output,
                web_searches: input.web_searches,
            };
            let price = &part.candidate.price;
            price.worst_case_at_most(&most, self.tier)
        });
        costs.fold(PicoUsd(0), Ord::max)
    }

    /// The largest limit up to `most` that costs no more than `granted`; at least 1.
    pub fn most_output(&self, most: u64, granted: PicoUsd) -> u64 {
        let (mut low, mut high) = (1, most);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.cost(middle) <= granted {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// Counts the text instead of bounding it. Nothing changes where that cannot be
    /// done, or not soon.
    async fn count(&mut self, inner: &Inner, request: &ChatRequest<'_>, body: Bytes) {
        let wait = tokio::time::timeout(PATIENCE, Arc::clone(&inner.counting).acquire_owned());
        let Ok(Ok(turn)) = wait.await else { return };
        let dialect = request.dialect;
        let places: Vec<_> = self
            .parts
            .iter()
            .map(|part| (Arc::clone(&part.candidate.deployment), part.context))
            .collect();
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let request = ChatRequest::read_as(dialect, &body).ok()?;
            let bounds = places
                .iter()
                .map(|(deployment, context)| request.counted_bound(&deployment.place(), *context));
            bounds.collect::<Option<Vec<InputBound>>>()
        });
        if let Ok(Some(counted)) = work.await {
            for (part, counted) in self.parts.iter_mut().zip(counted) {
                part.input = counted;
            }
        }
    }
}

/// Who asks for what.
pub struct Reservation<'a> {
    pub request: &'a ChatRequest<'a>,
    pub body: &'a Bytes,
    pub model: &'a Model,
    pub caller: &'a Arc<Caller>,
    pub request_id: &'a RequestId,
    /// The output limit.
    pub limit: u64,
}

/// Reserves what the call costs at most, or what is left of the budget if that
/// still makes the call useful. A text that is too dear by its bytes is counted
/// first, where the model's tokenizer is known: it is a third or a fourth of that.
pub async fn reserve(
    inner: &Inner,
    asked: &Reservation<'_>,
    worst: &mut WorstCase,
) -> Result<Hold> {
    let total = asked.model.terms.deadlines(inner.deadlines).total;
    let hold = |worst: PicoUsd, least: PicoUsd| {
        inner.ledger.reserve(HoldRequest {
            request_id: asked.request_id.clone(),
            caller: Arc::clone(asked.caller),
            model: asked.model.name.clone(),
            worst,
            least,
            expires_in: total + Duration::from_secs(60),
        })
    };
    let countable = worst.parts.iter().all(|part| {
        asked
            .request
            .is_countable(&part.candidate.deployment.place())
    });
    if countable {
        let whole = worst.cost(asked.limit);
        match hold(whole, whole).await {
            Err(error) if error.kind == Kind::BudgetExceeded => {
                let body = asked.body.clone();
                worst.count(inner, asked.request, body).await;
            }
            told => return told,
        }
    }
    hold(
        worst.cost(asked.limit),
        worst.cost(asked.limit.min(LEAST_OUTPUT)),
    )
    .await
}
