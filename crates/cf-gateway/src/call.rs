//! A chat call from its body to the provider's answer.

use std::sync::Arc;

use bytes::Bytes;
use cf_base::{Caller, Error, RequestId, Result};
use cf_llm::{ChatRequest, Dialect, UpstreamFailure};
use http::{HeaderMap, Response};
use tokio::time::Instant;

use crate::attempt::Attempt;
use crate::body::GatewayBody;
use crate::hang_up::Attendance;
use crate::meter::Meter;
use crate::plan::{Way, find_model, likely_tokens, ways};
use crate::reply::{self, Call, describe, name_deployment, name_dropped, set};
use crate::reserve::{Reservation, WorstCase, reserve};
use crate::responses::Keep;
use crate::turn::{Taken, TakenBy, Turn};
use crate::{Asked, Gateway, Inner};

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
    let mut ways = ways(inner, &request, &model, &caller)?;
    let first = &ways[0];
    let prompt = request.estimated_prompt_tokens().min(first.worst.input());
    let most = first.output.tokens;
    let likely = likely_tokens(prompt, request.max_output_tokens, most, request.n);
    let admission = inner.limiter.admit(&caller, first.limits, likely)?;
    let mut headers = HeaderMap::with_capacity(16);
    describe(&mut headers, &request_id, &admission);
    if asked.dialect == Dialect::Anthropic {
        // Its clients look for the id under this name.
        set(&mut headers, "request-id", request_id.as_str());
    }

    // The dearest of all that may answer, the models in its place among them.
    let mut worst = WorstCase::of_all(ways.iter_mut().map(|way| &mut way.worst));
    let most = ways.iter().map(|way| way.output.tokens).fold(1, u64::max);
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
    let mut call = Call {
        inner,
        request: &request,
        headers,
        ends_at,
        remaining,
        keep,
    };

    let turn = Turn {
        inner,
        request_id: &request_id,
        attendance: &attendance,
        ends_at,
        stream: request.stream,
    };
    let mut ways = ways.into_iter();
    let Some(mut way) = ways.next() else {
        return Err(Error::internal("a call without a way to go"));
    };
    let taken = loop {
        let (output, lowered) = (way.output, way.lowered);
        let taken = turn
            .take(way.candidates, &mut meter, |deployment| {
                Attempt::new(&request, deployment, output, &asked.wishes)
            })
            .await;
        let goes_on =
            |failure: &UpstreamFailure| !failure.taken && model.fallback_on.covers(failure.cause);
        let next = match &taken {
            Err(failure) if goes_on(failure) => next_way(inner, &mut ways, likely, &mut meter),
            _ => None,
        };
        match next {
            Some(next) => way = next,
            None => {
                if lowered {
                    let limit = output.tokens.to_string();
                    set(&mut call.headers, "x-cf-output-limit", &limit);
                }
                break taken.map(|taken| (taken, output.tokens));
            }
        }
    };
    name_deployment(&mut call.headers, &meter);
    match taken {
        Ok((Taken { route, dropped, by }, most)) => {
            name_dropped(&mut call.headers, &dropped);
            match by {
                TakenBy::Demo => reply::demo(call, route, most, meter).await,
                TakenBy::Provider(response) => reply::answer(call, route, response, meter).await,
            }
        }
        Err(failure) if failure.taken => {
            drop(meter.break_off());
            Err(failure.error)
        }
        Err(failure) => {
            drop(meter.fail());
            reply::refuse(call, failure)
        }
    }
}

/// The next model in place of the one asked for that its own limits let the call to.
fn next_way(
    inner: &Inner,
    ways: &mut impl Iterator<Item = Way>,
    likely: u64,
    meter: &mut Meter,
) -> Option<Way> {
    for way in ways {
        let Some(limits) = way.limits else {
            return Some(way);
        };
        match inner.limiter.admit_to(limits, likely) {
            Ok(admission) => {
                meter.admit(admission);
                return Some(way);
            }
            Err(_) => meter.tried().limited(&way.public_model),
        }
    }
    None
}
