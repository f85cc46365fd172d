//! A chat call from its body to the provider's answer.

use std::sync::Arc;

use bytes::Bytes;
use cf_base::{Caller, RequestId, Result};
use cf_llm::{ChatRequest, Dialect};
use http::{HeaderMap, Response};
use tokio::time::Instant;

use crate::attempt::Attempt;
use crate::body::GatewayBody;
use crate::hang_up::Attendance;
use crate::meter::Meter;
use crate::plan::{candidates, find_model, output_plan};
use crate::reply::{self, Call, describe, set};
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
    let ends_at = Instant::now() + inner.deadlines.total;
    let request = ChatRequest::read_as(asked.dialect, &body)?;
    let model = find_model(inner, &caller, &request.model)?;
    let candidates = candidates(inner, &model, &caller, request.tier)?;
    let mut worst = WorstCase::of(&request, &model, &candidates)?;
    let mut output = output_plan(&request, &model, &candidates, worst.input());
    let admission = inner.limiter.admit(&caller)?;
    let mut headers = HeaderMap::with_capacity(12);
    describe(&mut headers, &request_id, &admission);
    if asked.dialect == Dialect::Anthropic {
        // Its clients look for the id under this name.
        set(&mut headers, "request-id", request_id.as_str());
    }

    let asked_for = Reservation {
        request: &request,
        body: &body,
        model: &model,
        caller: &caller,
        request_id: &request_id,
        limit: output.tokens,
    };
    let hold = reserve(inner, &asked_for, &mut worst).await?;
    let mut lowered = output.tell && request.max_output_tokens.is_some();
    if worst.cost(output.tokens) > hold.granted() {
        output.tokens = worst.most_output(output.tokens, hold.granted());
        output.tell = true;
        lowered = true;
    }
    if lowered {
        let limit = output.tokens.to_string();
        set(&mut headers, "x-cf-output-limit", &limit);
    }
    let remaining = hold.remaining();
    let mut meter = Meter::new(
        hold,
        admission,
        inner.clock.clone(),
        Arc::clone(&candidates[0].price),
        request.estimated_prompt_tokens().min(worst.input()),
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
    let taken = turn
        .take(candidates, &mut meter, |deployment| {
            Attempt::new(&request, deployment, output, &asked.wishes)
        })
        .await;
    // Who was asked last is told also with a refusal.
    if let Some(deployment) = meter.deployment() {
        let provider = deployment.key.provider.as_str();
        set(&mut call.headers, "x-cf-model", &deployment.model);
        set(&mut call.headers, "x-cf-provider", provider);
    }
    match taken {
        Ok(Taken { route, dropped, by }) => {
            if !dropped.is_empty() {
                let dropped = dropped.join(",");
                set(&mut call.headers, "x-cf-dropped-params", &dropped);
            }
            match by {
                TakenBy::Demo => reply::demo(call, route, output.tokens, meter).await,
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
