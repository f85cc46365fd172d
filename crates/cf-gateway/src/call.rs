//! A chat call from its body to the provider's answer.

use std::sync::Arc;

use bytes::Bytes;
use cf_base::{Caller, RequestId, Result};
use cf_llm::{ChatRequest, Dialect};
use http::{HeaderMap, Response};
use tokio::time::Instant;

use crate::attempt::{Attempt, refused};
use crate::body::GatewayBody;
use crate::cache::{Found, Question};
use crate::hang_up::Attendance;
use crate::meter::Meter;
use crate::plan::{Way, find_model, likely_tokens, ways};
use crate::recording::Recorder;
use crate::reply::{self, Call, describe, name_deployment, name_dropped, set};
use crate::reserve::{Reservation, WorstCase, reserve};
use crate::responses::Keep;
use crate::turn::{Taken, TakenBy, Turn};
use crate::{Asked, Gateway};

pub async fn chat(
    gateway: Gateway,
    asked: Asked,
    caller: Arc<Caller>,
    body: Bytes,
    request_id: RequestId,
    attendance: Arc<Attendance>,
    keep: Option<Keep>,
) -> Result<Response<GatewayBody>> {
    let inner = &*gateway.0;
    let request = ChatRequest::read_as(asked.dialect, &body)?;
    let model = find_model(inner, &caller, &request.model)?;
    let ends_at = Instant::now() + model.terms.deadlines(inner.deadlines).total;
    let mut ways = ways(inner, &model, &caller, |model| {
        Way::of_chat(inner, &request, model, &caller)
    })?;
    let first = &ways[0];
    let prompt = request
        .estimated_prompt_tokens()
        .min(first.plan.worst.input());
    let most = first.plan.output.tokens;
    let likely = likely_tokens(prompt, request.max_output_tokens, most, request.n);
    let admission = inner.limiter.admit(&caller, first.limits, likely)?;
    let mut headers = HeaderMap::with_capacity(16);
    describe(&mut headers, &request_id, &admission);
    if asked.dialect == Dialect::Anthropic {
        // Its clients look for the id under this name.
        set(&mut headers, "request-id", request_id.as_str());
    }

    // The dearest of all that may answer, the models in its place among them.
    let mut worst = WorstCase::of_all(ways.iter_mut().map(|way| &mut way.plan.worst));
    let most = ways
        .iter()
        .map(|way| way.plan.output.tokens)
        .fold(1, u64::max);
    let asked_for = Reservation {
        request: &request,
        body: &body,
        model: &model,
        caller: &caller,
        request_id: &request_id,
        limit: most,
    };
    let hold = reserve(inner, &asked_for, &mut worst).await?;
    if worst.cost(most) > hold.granted() {
        let fits = worst.most_output(most, hold.granted());
        for way in &mut ways {
            way.lower_to(fits);
        }
    }
    let remaining = hold.remaining();
    let mut meter = Meter::new(
        hold,
        admission,
        inner.clock.clone(),
        Arc::clone(&ways[0].candidates[0].price),
        prompt,
        Arc::clone(&attendance),
    );
    let mut prompt = (caller.keeping.prompt_log_days > 0).then(|| {
        let (now, endpoint) = (inner.clock.now(), endpoint(asked.dialect));
        let prompts = &inner.prompts;
        prompts.draft(&caller, &request_id, now, endpoint, body.clone())
    });
    let mut slot = None;
    if caller.keeping.cache_seconds > 0
        // Responses are made to be gone on from: each is its own.
        && asked.dialect != Dialect::Responses
        // Nothing that was cut short, and nothing of a model in this one's place.
        && !ways[0].plan.lowered
        && ways[0].public_model == model.name
    {
        let question = Question {
            caller: &caller,
            endpoint: endpoint(asked.dialect),
            model: &model.name,
            candidates: &ways[0].candidates,
            wishes: &asked.wishes,
            body: &body,
        };
        match inner.cache.look(&question).await {
            Some(Found::Answer(kept)) => {
                if let Some(prompt) = &mut prompt {
                    prompt.take(&kept.body);
                }
                return reply::again(inner, headers, *kept, &ways[0].candidates, meter).await;
            }
            Some(Found::Place(place)) => {
                set(&mut headers, "x-cf-cache", "miss");
                slot = Some(place);
            }
            None => {}
        }
    }
    let mut call = Call {
        inner,
        request: &request,
        headers,
        ends_at,
        remaining,
        recorder: None,
    };

    let turn = Turn {
        inner,
        request_id: &request_id,
        attendance: &attendance,
        ends_at,
        stream: request.stream,
    };
    let (taken, plan) = turn
        .go(ways, &model, likely, &mut meter, |plan, candidate| {
            let deployment = &candidate.deployment;
            let attempt = Attempt::new(&request, deployment, plan.output, &asked.wishes)?;
            plan.check_searches(candidate).map_err(refused)?;
            Ok(attempt)
        })
        .await?;
    if plan.lowered {
        let limit = plan.output.tokens.to_string();
        set(&mut call.headers, "x-cf-output-limit", &limit);
    }
    name_deployment(&mut call.headers, &meter);
    match taken {
        Ok(Taken { route, dropped, by }) => {
            let slot = slot.filter(|_| meter.is_at(&model.name));
            call.recorder = Recorder::new(keep, slot, prompt);
            name_dropped(&mut call.headers, &dropped);
            match by {
                TakenBy::Demo => reply::demo(call, route, plan.output.tokens, meter).await,
                TakenBy::Provider(response) => reply::answer(call, route, response, meter).await,
            }
        }
        Err(failure) if failure.taken => {
            drop(meter.break_off());
            Err(failure.error)
        }
        Err(failure) => {
            drop(meter.fail());
            call.recorder = Recorder::new(None, None, prompt);
            reply::refuse(call, failure)
        }
    }
}

/// Where calls in this dialect are made.
fn endpoint(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "chat/completions",
        Dialect::Completions => "completions",
        Dialect::Anthropic => "messages",
        Dialect::Responses => "responses",
        // No client speaks these.
        Dialect::Gemini => "gemini",
        Dialect::Converse => "converse",
    }
}
