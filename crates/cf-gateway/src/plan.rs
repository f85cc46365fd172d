//! What a call may cost and where it may go, before anything is sent.

use std::sync::Arc;

use cf_base::{Caller, Error, Kind, Result, ServiceTier};
use cf_ledger::PriceVersion;
use cf_llm::{ChatRequest, OutputPlan};

use crate::Inner;
use crate::limits::ModelLimits;
use crate::models::{Deployment, Model};
use crate::reserve::WorstCase;

/// Output assumed where neither client, model record nor price book set a
/// limit; it is then sent with the call.
const DEFAULT_OUTPUT: u64 = 8_192;

/// Models in a model's place at most.
pub const FALLBACKS: usize = 5;
/// A usual answer, where the client sets no limit.
const USUAL_OUTPUT: u64 = 1_024;

/// A deployment with the prices its calls are billed by.
#[derive(Clone)]
pub struct Candidate {
    pub deployment: Arc<Deployment>,
    pub price: Arc<PriceVersion>,
}

/// A model that may answer: the one asked for, or one in its place.
pub struct Way<P> {
    pub public_model: String,
    pub candidates: Vec<Candidate>,
    pub limits: Option<ModelLimits>,
    /// What a chat brings and costs there, or what another call costs at most.
    pub plan: P,
}

/// What a chat may bring and cost at one model.
pub struct ChatPlan {
    /// What it may cost there at most.
    pub worst: WorstCase,
    pub output: OutputPlan,
    /// Whether the answer may be shorter than the client allows.
    pub lowered: bool,
    /// Whether the provider may search the web.
    searches: bool,
}

impl ChatPlan {
    /// Refuses a search whose price nobody knows: it would be given away.
    pub fn check_searches(&self, candidate: &Candidate) -> Result<()> {
        if !self.searches || candidate.price.knows_searches() {
            return Ok(());
        }
        let deployment = &candidate.deployment;
        Err(Error::new(
            Kind::Unprocessable,
            format!(
                "No price of web searches is known for the model \"{}\" ({} at {}). An administrator must \
                 set `web_search` in the prices of the model record; 0 if they are free.",
                deployment.public_model,
                deployment.model,
                deployment.key.provider.label()
            ),
        ))
    }
}

impl<P> Way<P> {
    pub fn new(model: &Model, candidates: Vec<Candidate>, plan: P) -> Self {
        Self {
            public_model: model.name.clone(),
            candidates,
            limits: model.limits(),
            plan,
        }
    }
}

impl Way<ChatPlan> {
    pub fn of_chat(
        inner: &Inner,
        request: &ChatRequest<'_>,
        model: &Model,
        caller: &Caller,
    ) -> Result<Self> {
        let candidates = candidates(inner, model, caller, request.tier)?;
        let mut worst = WorstCase::of(request, model, &candidates)?;
        let output = output_plan(request, model, &candidates, worst.input());
        worst.never_above(output.tokens);
        let plan = ChatPlan {
            searches: worst.searches(),
            worst,
            output,
            lowered: output.tell && request.max_output_tokens.is_some(),
        };
        Ok(Self::new(model, candidates, plan))
    }

    /// The budget covers no more output than this.
    pub fn lower_to(&mut self, tokens: u64) {
        let plan = &mut self.plan;
        if plan.output.tokens > tokens {
            plan.output = OutputPlan { tokens, tell: true };
            plan.lowered = true;
        }
    }
}

/// The ways a call may go, one after the other: to the model asked for, then to
/// those in its place that this caller may use too. At least one.
pub fn ways<P>(
    inner: &Inner,
    model: &Model,
    caller: &Caller,
    way: impl Fn(&Model) -> Result<Way<P>>,
) -> Result<Vec<Way<P>>> {
    let mut ways = Vec::with_capacity(1);
    let mut refusal = None;
    match way(model) {
        Ok(way) => ways.push(way),
        // It has nobody to go to.
        Err(error)
            if matches!(error.kind, Kind::Upstream { .. } | Kind::ModelNotAllowed)
                && model.fallback_on.unavailable() =>
        {
            refusal = Some(error);
        }
        Err(error) => return Err(error),
    }
    for name in model.fallbacks.iter().take(FALLBACKS) {
        if *name == model.name || ways.iter().any(|way| way.public_model == *name) {
            continue;
        }
        // What this caller may not use, or what has no price, is not in its place.
        ways.extend(find_model(inner, caller, name).and_then(|other| way(&other)));
    }
    match refusal {
        Some(refusal) if ways.is_empty() => Err(refusal),
        _ => Ok(ways),
    }
}

/// The model of this name, if it exists for this caller and may be used.
pub fn find_model(inner: &Inner, caller: &Caller, name: &str) -> Result<Arc<Model>> {
    let model = inner
        .catalogue
        .find(caller.tenant_id, name)
        .ok_or_else(|| not_found(name))?;
    if caller.may_use(&model.name) {
        return Ok(model);
    }
    Err(Error::new(
        Kind::ModelNotAllowed,
        format!(
            "The model \"{}\" is not part of your product or of this API key.",
            model.name
        ),
    ))
}

/// Deployments that can be called, with their prices for this caller.
pub fn candidates(
    inner: &Inner,
    model: &Model,
    caller: &Caller,
    tier: ServiceTier,
) -> Result<Vec<Candidate>> {
    candidates_at(inner, model, caller, tier, |d| d.price(&inner.ledger))
}

/// The same where a call has prices of its own.
pub fn candidates_at(
    inner: &Inner,
    model: &Model,
    caller: &Caller,
    tier: ServiceTier,
    price: impl Fn(&Deployment) -> Option<Arc<PriceVersion>>,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::with_capacity(2);
    let mut reason = Error::new(
        Kind::Upstream { status: 503 },
        format!(
            "The model \"{}\" has no deployment with an active provider key. An administrator must check \
             the model record.",
            model.name
        ),
    );
    let mut elsewhere = 0;
    for deployment in model.deployments(caller.tenant_id) {
        // Whatever else: a tenant limited to regions is served in these alone.
        if !deployment.works_in.is_allowed(&caller.regions) {
            elsewhere += 1;
            continue;
        }
        let provider = deployment.key.provider;
        // A call without a price cannot be held to a budget.
        let Some(price) = price(deployment) else {
            reason = Error::new(
                Kind::Unprocessable,
                format!(
                    "No price is known for the model \"{}\" ({} at {}). An administrator must set \
                     prices on the model record.",
                    model.name,
                    deployment.model,
                    provider.label()
                ),
            );
            continue;
        };
        let price = inner.ledger.customer_price(caller, &model.name, &price);
        if !price.knows(tier) {
            reason = Error::invalid_field(
                "service_tier",
                format!(
                    "No price is known for the model \"{}\" in the service tier {}; leave \
                     service_tier out.",
                    model.name, tier
                ),
            );
            continue;
        }
        found.push(Candidate {
            deployment: Arc::clone(deployment),
            price,
        });
    }
    if !found.is_empty() {
        return Ok(found);
    }
    if elsewhere > 0 {
        reason = Error::new(
            Kind::ModelNotAllowed,
            format!(
                "The model \"{}\" is not offered in the regions that your tenant is limited to ({}).",
                model.name,
                caller.regions.join(", ")
            ),
        );
    }
    Err(reason)
}

/// The most of a limit that every candidate has; `None` if one has none.
fn common(candidates: &[Candidate], limit: fn(&Deployment) -> Option<u64>) -> Option<u64> {
    candidates
        .iter()
        .map(|c| limit(&c.deployment))
        .try_fold(0, |most, limit| Some(limit?.max(most)))
}

pub fn output_plan(
    request: &ChatRequest<'_>,
    model: &Model,
    candidates: &[Candidate],
    input: u64,
) -> OutputPlan {
    // What every candidate stops at by itself.
    let natural = common(candidates, |d| d.max_output_tokens);
    let asked = request.max_output_tokens;
    let set = [asked, model.max_output_tokens, natural];
    match (set.into_iter().flatten().min(), model.context_window) {
        (Some(tokens), window) => OutputPlan {
            // Told where the client's own limit or the model's nature would allow more.
            tell: tokens < asked.or(natural).unwrap_or(u64::MAX),
            tokens: tokens.min(window.unwrap_or(u64::MAX)).max(1),
        },
        // What the context leaves is told, as some servers do not stop there. Not
        // so after a long prompt: our bound of it may then be far above its
        // tokens, and the answer must not be cut short for that.
        (None, Some(window)) => {
            let left = window.saturating_sub(input);
            let roomy = left >= window / 2;
            OutputPlan {
                tokens: if roomy { left } else { window }.max(1),
                tell: roomy,
            }
        }
        (None, None) => OutputPlan {
            tokens: DEFAULT_OUTPUT,
            tell: true,
        },
    }
}

/// Tokens that a call is likely to use, for limits a minute: the prompt by
/// estimate, and the output that the client allows, or a usual answer.
pub fn likely_tokens(prompt: u64, asked: Option<u64>, most: u64, answers: u64) -> u64 {
    let output = asked.unwrap_or(USUAL_OUTPUT).min(most);
    prompt.saturating_add(output.saturating_mul(answers))
}

fn not_found(model: &str) -> Error {
    Error::new(
        Kind::ModelNotFound,
        format!("The model \"{model}\" does not exist or you do not have access to it."),
    )
}
