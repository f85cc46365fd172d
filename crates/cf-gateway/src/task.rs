//! A call that is no chat: its worst case is reserved, one deployment after the
//! other is asked, and what came of it is booked before it is released.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Caller, Error, Extra, Kind, Nanos, PicoUsd, RequestId, Result, ServiceTier, Usage};
use cf_ledger::{HoldRequest, PriceVersion};
use cf_llm::{
    Answer, Dialect, Outgoing, Task, TaskPlan, TaskRequest, Told, UpstreamFailure, Wishes,
};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::attempt::{Attempt, refused};
use crate::body::{GatewayBody, Upstream};
use crate::cache::{Found, Question, Slot};
use crate::hang_up::Attendance;
use crate::meter::Meter;
use crate::models::{Deployment, Model};
use crate::plan::{Candidate, Way, candidates_at, find_model, ways};
use crate::prompts::Draft;
use crate::recording::Recorder;
use crate::reply::{
    self, JSON, REPLY, booked, budget, describe, let_flow, name_deployment, name_dropped, read,
    set, too_large, whole,
};
use crate::turn::{Taken, TakenBy, Turn};
use crate::{Gateway, Inner};

/// Calls to a provider at a time, where one request becomes several.
const AT_ONCE: usize = 8;

/// A call on its way.
struct Running<'a> {
    inner: &'a Inner,
    request: &'a TaskRequest,
    headers: HeaderMap,
    ends_at: Instant,
    remaining: Nanos,
    /// Where the answer is kept to be given again, if it is to be.
    slot: Option<Slot>,
    /// Where it is kept to be read.
    prompt: Option<Draft>,
}

pub async fn run(
    gateway: Gateway,
    wishes: Wishes,
    caller: Arc<Caller>,
    request: TaskRequest,
    request_id: RequestId,
    attendance: Arc<Attendance>,
) -> Result<Response<GatewayBody>> {
    let inner = &*gateway.0;
    let model = find_model(inner, &caller, &request.model)?;
    let total = model.terms.deadlines(inner.deadlines).total;
    let ends_at = Instant::now() + total;
    let mut ways = ways(inner, &model, &caller, |model| {
        way(inner, &request, model, &caller)
    })?;
    if request.task == Task::CountTokens {
        // Another model's tokens are others.
        ways.truncate(1);
    }
    let first = &ways[0];
    let (likely, _) = billed(&request, &first.candidates[0].price, None);
    let likely = likely
        .prompt_tokens()
        .saturating_add(likely.completion_tokens());
    let admission = inner.limiter.admit(&caller, first.limits, likely)?;
    let mut headers = HeaderMap::with_capacity(12);
    describe(&mut headers, &request_id, &admission);
    if request.dialect() == Dialect::Anthropic {
        set(&mut headers, "request-id", request_id.as_str());
    }
    // The dearest of all that may answer, the models in its place among them.
    let worst = ways.iter().map(|way| way.plan);
    let worst = worst.fold(PicoUsd(0), Ord::max);
    let hold = inner
        .ledger
        .reserve(HoldRequest {
            request_id: request_id.clone(),
            caller: Arc::clone(&caller),
            model: model.name.clone(),
            worst,
            // It is made whole or not at all.
            least: worst,
            expires_in: total + Duration::from_secs(60),
        })
        .await?;
    let mut running = Running {
        inner,
        request: &request,
        headers,
        ends_at,
        remaining: hold.remaining(),
        slot: None,
        prompt: (caller.keeping.prompt_log_days > 0).then(|| {
            let (now, question) = (inner.clock.now(), request.shown());
            let prompts = &inner.prompts;
            prompts.draft(&caller, &request_id, now, endpoint(request.task), question)
        }),
    };
    let mut meter = Meter::new(
        hold,
        admission,
        inner.clock.clone(),
        Arc::clone(&first.candidates[0].price),
        0,
        Arc::clone(&attendance),
    );
    if caller.keeping.cache_seconds > 0
        && let Some(body) = kept_request(&request)
        && ways[0].public_model == model.name
    {
        let question = Question {
            caller: &caller,
            endpoint: endpoint(request.task),
            model: &model.name,
            candidates: &ways[0].candidates,
            wishes: &wishes,
            body,
        };
        match inner.cache.look(&question).await {
            Some(Found::Answer(kept)) => {
                if let Some(prompt) = &mut running.prompt {
                    prompt.take(&kept.body);
                }
                let headers = running.headers;
                return reply::again(inner, headers, *kept, &ways[0].candidates, meter).await;
            }
            Some(Found::Place(place)) => {
                set(&mut running.headers, "x-cf-cache", "miss");
                running.slot = Some(place);
            }
            None => {}
        }
    }
    let asked = &mut ways[0].candidates;
    asked.retain(|c| request.counts_at(&c.deployment.place()));
    if asked.is_empty()
        && let Some(told) = request.estimated_count()
    {
        return running.finish(told, meter).await;
    }

    // Of the deployment that is asked last.
    let mut planned: Option<(TaskPlan, Vec<Outgoing>)> = None;
    let turn = Turn {
        inner,
        request_id: &request_id,
        attendance: &attendance,
        ends_at,
        stream: request.stream(),
    };
    let (taken, _) = turn
        .go(ways, &model, likely, &mut meter, |_, candidate| {
            let mut plan = request
                .plan(&candidate.deployment.place(), &wishes)
                .map_err(refused)?;
            let mut calls = std::mem::take(&mut plan.calls).into_iter();
            let first = calls
                .next()
                .ok_or_else(|| refused(Error::internal("a plan without a call")))?;
            planned = Some((plan, calls.collect()));
            let (expected, _) = billed(&request, &candidate.price, None);
            let mut attempt = Attempt::of(first);
            attempt.expects = Some(expected);
            Ok(attempt)
        })
        .await?;
    name_deployment(&mut running.headers, &meter);
    let taken = match taken {
        Ok(taken) => taken,
        Err(failure) if failure.taken => {
            drop(meter.break_off());
            return Err(failure.error);
        }
        Err(failure) => {
            if cannot_count(&failure)
                && let Some(told) = request.estimated_count()
            {
                return running.finish(told, meter).await;
            }
            drop(meter.fail());
            let body = request.dialect().refusal(&failure);
            if let (Some(prompt), Some(body)) = (&mut running.prompt, &body) {
                prompt.take(body);
            }
            return match body {
                Some(body) => Ok(whole(StatusCode::BAD_REQUEST, body, running.headers)),
                None => Err(failure.error),
            };
        }
    };
    running.slot = (running.slot).filter(|_| meter.is_at(&model.name));
    let Taken { dropped, by, .. } = taken;
    name_dropped(&mut running.headers, &dropped);
    match (by, planned) {
        (TakenBy::Demo, _) => running.demo(meter).await,
        (TakenBy::Provider(response), Some((plan, more))) => {
            running.answer(plan, more, response, meter).await
        }
        (TakenBy::Provider(_), None) => Err(Error::internal("an answer to no plan")),
    }
}

/// The body of a request whose answer may be given again. Not so for forms, which are
/// put together anew each time, for what comes in pieces, and for counts, which cost
/// nothing.
fn kept_request(request: &TaskRequest) -> Option<&Bytes> {
    let kept = matches!(
        request.task,
        Task::Embeddings | Task::Moderation | Task::Rerank | Task::Images
    );
    request.body().filter(|_| kept && !request.stream())
}

fn endpoint(task: Task) -> &'static str {
    match task {
        Task::Embeddings => "embeddings",
        Task::Images => "images/generations",
        Task::ImageEdits => "images/edits",
        Task::Transcription => "audio/transcriptions",
        Task::Translation => "audio/translations",
        Task::Speech => "audio/speech",
        Task::Moderation => "moderations",
        Task::Rerank => "rerank",
        Task::CountTokens => "messages/count_tokens",
    }
}

/// The deployments of a model that can be called, with what such calls cost there, and
/// what this one may cost at most.
fn way(
    inner: &Inner,
    request: &TaskRequest,
    model: &Model,
    caller: &Caller,
) -> Result<Way<PicoUsd>> {
    let ledger = &inner.ledger;
    let free = || Arc::new(PriceVersion::free());
    let price = |deployment: &Deployment| {
        let known = match request.picture() {
            Some((quality, size)) => deployment.picture_price(ledger, quality, &size),
            None => deployment.price(ledger),
        };
        let is_free = request.is_free(deployment.key.provider);
        known.or_else(|| is_free.then(free))
    };
    let mut found = candidates_at(inner, model, caller, ServiceTier::Standard, price)?;
    if request.task == Task::CountTokens {
        found.iter_mut().for_each(|c| c.price = free());
    }
    let worst = found.iter().map(|c| worst(request, model, c));
    let worst = worst.fold(PicoUsd(0), Ord::max);
    Ok(Way::new(model, found, worst))
}

/// What the call may cost at most at a deployment.
fn worst(request: &TaskRequest, model: &Model, candidate: &Candidate) -> PicoUsd {
    let deployment = &candidate.deployment;
    let input = model.context_window.or(deployment.max_input_tokens);
    let output = deployment.max_output_tokens;
    let work = request.bound(&deployment.place(), input, output);
    candidate.price.worst_case_of(&work)
}

/// What is billed, and whether that is a guess: what was told, and what was not told
/// by estimate. What nobody pays for is not guessed.
fn billed(request: &TaskRequest, price: &PriceVersion, told: Option<&Told>) -> (Usage, bool) {
    let estimate = request.estimate();
    let by_token = price.has_token_price();
    let tokens = told.and_then(|told| told.tokens);
    let mut usage = match tokens {
        Some(tokens) => tokens,
        None if by_token => estimate,
        None => Usage::default(),
    };
    let by_piece = price.has_piece_price();
    let pieces_guessed = match told {
        Some(told) => by_piece && !told.pieces_counted,
        None => by_piece && !request.knows_pieces(),
    };
    let pieces = match told {
        Some(told) if !pieces_guessed => told.pieces,
        _ => estimate.extra,
    };
    let Extra {
        images,
        characters,
        audio_seconds,
        units,
        ..
    } = pieces;
    usage.extra = Extra {
        images,
        characters,
        audio_seconds,
        units,
        ..usage.extra
    };
    let is_guess = pieces_guessed || (by_token && tokens.is_none());
    (usage, is_guess)
}

/// Whether the provider says that this model's tokens are not counted.
fn cannot_count(failure: &UpstreamFailure) -> bool {
    matches!(failure.error.kind, Kind::Invalid { .. })
        && failure.error.message.contains("support counting tokens")
}

impl Running<'_> {
    async fn demo(self, mut meter: Meter) -> Result<Response<GatewayBody>> {
        meter.first_byte();
        let model = meter.deployment().map(|d| d.model.clone());
        let id = format!("demo-{}", self.inner.random.token::<24>());
        match self.request.demo(&model.unwrap_or_default(), &id) {
            Ok(told) => self.finish(told, meter).await,
            Err(error) => {
                drop(meter.fail());
                Err(error)
            }
        }
    }

    async fn answer(
        self,
        plan: TaskPlan,
        more: Vec<Outgoing>,
        response: Response<Incoming>,
        mut meter: Meter,
    ) -> Result<Response<GatewayBody>> {
        let (head, body) = response.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if plan.streams(self.request, kind) {
            return Ok(self.stream(&plan, kind, body, meter));
        }
        meter.first_byte();
        let mut parts = vec![(head.headers, Bytes::new())];
        let gathered = self.gather(body, more, &meter, &mut parts).await;
        if let Err(error) = gathered {
            drop(meter.break_off());
            return Err(error);
        }
        let answers: Vec<Answer<'_>> = parts
            .iter()
            .map(|(headers, body)| Answer { headers, body })
            .collect();
        let model = meter.deployment().map_or("", |d| &d.model);
        let id = format!("cf-{}", self.inner.random.token::<24>());
        let seconds = self.inner.clock.now().as_millis() / 1000;
        let created = u64::try_from(seconds).unwrap_or(0);
        match plan.reply(self.request, model, &id, created, &answers) {
            Some(told) => self.finish(told, meter).await,
            None => {
                drop(meter.fail());
                Err(Error::new(
                    Kind::Upstream { status: 502 },
                    "The provider answered with something that is no answer to this request.",
                ))
            }
        }
    }

    /// Reads the answer to the first call, and makes the others.
    async fn gather(
        &self,
        first: Incoming,
        more: Vec<Outgoing>,
        meter: &Meter,
        parts: &mut Vec<(HeaderMap, Bytes)>,
    ) -> Result<()> {
        let (inner, ends_at) = (self.inner, self.ends_at);
        let body = read(first, ends_at).await?;
        parts[0].1 = body;
        let Some(deployment) = meter.deployment() else {
            return Err(Error::internal("an answer without a deployment"));
        };
        let calls = more.into_iter().map(|outgoing| async move {
            let left = ends_at.saturating_duration_since(Instant::now());
            let response = Attempt::of(outgoing)
                .send(&inner.http, &inner.clock, deployment, left)
                .await
                .map_err(|failure| failure.error)?;
            let (head, body) = response.into_parts();
            Ok::<_, Error>((head.headers, read(body, ends_at).await?))
        });
        let mut calls = futures_util::stream::iter(calls).buffered(AT_ONCE);
        let mut size = parts[0].1.len();
        while let Some(part) = calls.next().await {
            let part = part?;
            size += part.1.len();
            if size > REPLY {
                return Err(too_large());
            }
            parts.push(part);
        }
        Ok(())
    }

    /// A whole answer: booked, then released.
    async fn finish(mut self, told: Told, meter: Meter) -> Result<Response<GatewayBody>> {
        let (usage, is_guess) = billed(self.request, meter.price(), Some(&told));
        let slot = (self.slot.take()).filter(|_| !meter.client_has_left());
        let slot = slot.map(|slot| (slot, meter.served(usage, is_guess)));
        let Some(settled) = meter.finish(usage, is_guess) else {
            return Err(Error::internal("a call ended twice"));
        };
        let receipt = booked(self.inner, settled).await?;
        set(&mut self.headers, "x-cf-cost", &receipt.cost.to_string());
        budget(&mut self.headers, receipt.remaining);
        let refusal = told.refusal();
        if let Some(prompt) = &mut self.prompt {
            prompt.take(refusal.as_ref().unwrap_or(&told.body));
        }
        if let Some(body) = refusal {
            return Ok(whole(StatusCode::BAD_REQUEST, body, self.headers));
        }
        if let Some((mut slot, served)) = slot {
            slot.take(&told.body);
            let kind = told.content_type.as_deref().unwrap_or(JSON);
            // Late, it is an answer that is not kept.
            let kept = slot.keep(kind, served);
            let _ = tokio::time::timeout(self.inner.deadlines.books, kept).await;
        }
        let mut response = whole(StatusCode::OK, told.body, self.headers);
        let kind = told.content_type.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(kind)) = kind {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        Ok(response)
    }

    /// An answer that is passed on as it comes.
    fn stream(
        mut self,
        plan: &TaskPlan,
        kind: &str,
        body: Incoming,
        mut meter: Meter,
    ) -> Response<GatewayBody> {
        let estimate = billed(self.request, meter.price(), None);
        let (listening, shown) = plan.stream(self.request, kind, estimate);
        meter.listen(listening);
        budget(&mut self.headers, self.remaining);
        let is_events = shown.starts_with("text/event-stream");
        if let Ok(shown) = HeaderValue::from_str(&shown) {
            self.headers.insert(header::CONTENT_TYPE, shown);
        }
        let_flow(&mut self.headers);
        let dialect = is_events.then_some(Dialect::OpenAi);
        let body = GatewayBody::stream(
            self.inner,
            Upstream::Http(body),
            dialect,
            meter,
            self.ends_at,
        );
        let recorder = Recorder::new(None, None, self.prompt);
        let mut response = Response::new(body.recorded(recorder));
        *response.headers_mut() = self.headers;
        response
    }
}
