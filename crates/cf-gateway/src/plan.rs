//! What a call may cost and where it may go, before anything is sent.

use std::sync::Arc;

use cf_base::{Caller, Error, Kind, Result, ServiceTier};
use cf_ledger::PriceVersion;
use cf_llm::{ChatRequest, OutputPlan};

use crate::Inner;
use crate::models::{Deployment, Model};

/// Output assumed where neither client, model record nor price book set a
/// limit; it is then sent with the call.
const DEFAULT_OUTPUT: u64 = 8_192;

/// A deployment with the prices its calls are billed by.
#[derive(Clone)]
pub struct Candidate {
    pub deployment: Arc<Deployment>,
    pub price: Arc<PriceVersion>,
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
    for deployment in model.deployments(caller.tenant_id) {
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
    if found.is_empty() {
        Err(reason)
    } else {
        Ok(found)
    }
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

fn not_found(model: &str) -> Error {
    Error::new(
        Kind::ModelNotFound,
        format!("The model \"{model}\" does not exist or you do not have access to it."),
    )
}
