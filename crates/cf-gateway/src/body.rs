//! The answer's body: whole, or a stream that is passed on event by event and
//! whose last event waits for the books.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cf_ledger::Settled;
use cf_llm::{Dialect, StreamFrame};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::hang_up::Drains;
use crate::meter::Meter;
use crate::recording::Recorder;
use crate::{Deadlines, reply};

/// A comment, which every reader of events leaves out.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// What a stream of events is.
pub const EVENTS: &str = "text/event-stream; charset=utf-8";

/// Where a stream comes from.
pub enum Upstream {
    /// A provider.
    Http(Incoming),
    /// Made here (demo provider).
    Ready(VecDeque<Bytes>),
}

/// The body of an answer.
pub struct GatewayBody(Inner);

/// An answer without words broke off: where no error can be written into what
/// comes, its end must not look like one.
#[derive(Debug, thiserror::Error)]
#[error("the provider's answer was cut off")]
pub struct Broken;

enum Inner {
    Full(Option<Bytes>),
    Stream(Box<Streaming>),
}

struct Streaming {
    upstream: Upstream,
    /// What the client reads; none where it is no events.
    dialect: Option<Dialect>,
    /// Whether the end is to be seen as broken.
    broken: bool,
    /// Events ready for the client.
    ready: VecDeque<Bytes>,
    state: State,
    /// Fires when the provider is silent for too long, or the call takes too long:
    /// at `silent_at`, or before it and is set anew then.
    silence: Pin<Box<Sleep>>,
    silent_at: Instant,
    /// Fires when the client has heard nothing for a while.
    keep_alive: Pin<Box<Sleep>>,
    heard_at: Instant,
    deadlines: Deadlines,
    ends_at: Instant,
    /// Where it is read on once the client has left; `None`: then it is cancelled.
    drains: Option<Drains>,
    /// Where the answer is kept, if it is to be.
    recorder: Option<Box<Recorder>>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "the stream is boxed as a whole, one allocation a call"
)]
enum State {
    /// The provider is at work; the meter books whatever happens.
    Reading(Meter),
    /// The call is over; its last event waits until it is in the books.
    Settling {
        settled: Settled,
        /// The answer on its way to where it is kept.
        keeping: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
        last: Option<Bytes>,
    },
    /// Nothing more comes.
    Ended,
}

impl GatewayBody {
    /// A whole body.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self(Inner::Full(Some(bytes)))
    }

    /// A stream with the meter of its call; at `ends_at` it is cut off.
    pub(crate) fn stream(
        inner: &crate::Inner,
        upstream: Upstream,
        dialect: Option<Dialect>,
        meter: Meter,
        ends_at: Instant,
    ) -> Self {
        let (usual, deployment) = (inner.deadlines, meter.deployment());
        let deadlines = deployment.map_or(usual, |d| d.terms.deadlines(usual));
        let drains = deployment
            .is_some_and(|d| d.key.hang_up.drains(true))
            .then(|| inner.drains.clone());
        let now = Instant::now();
        let silent_at = (now + deadlines.gap).min(ends_at);
        Self(Inner::Stream(Box::new(Streaming {
            upstream,
            dialect,
            broken: false,
            ready: VecDeque::new(),
            state: State::Reading(meter),
            silence: Box::pin(tokio::time::sleep_until(silent_at)),
            silent_at,
            keep_alive: Box::pin(tokio::time::sleep_until(now + deadlines.keep_alive)),
            heard_at: now,
            deadlines,
            ends_at,
            drains,
            recorder: None,
        })))
    }

    /// The same, its answer kept when it is whole.
    #[must_use]
    pub(crate) fn recorded(mut self, recorder: Option<Box<Recorder>>) -> Self {
        if let Inner::Stream(stream) = &mut self.0 {
            stream.recorder = recorder;
        }
        self
    }
}

impl Drop for GatewayBody {
    fn drop(&mut self) {
        let Inner::Stream(stream) = &mut self.0 else {
            return;
        };
        let State::Reading(meter) = &stream.state else {
            return;
        };
        let Some(drains) = stream.drains.take() else {
            return;
        };
        meter.client_left();
        if let Some(recorder) = &mut stream.recorder {
            recorder.client_left();
        }
        if let Inner::Stream(stream) = std::mem::replace(&mut self.0, Inner::Full(None)) {
            drains.read_on(stream.read_on());
        }
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            Inner::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Inner::Stream(stream) => stream.poll_event(cx).map(|event| match event {
                Some(bytes) => Some(Ok(Frame::data(bytes))),
                None => std::mem::take(&mut stream.broken).then_some(Err(Broken)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(bytes) => bytes.is_none(),
            Inner::Stream(stream) => {
                matches!(stream.state, State::Ended) && stream.ready.is_empty() && !stream.broken
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(Some(bytes)) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Inner::Full(None) => SizeHint::with_exact(0),
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}

impl Streaming {
    /// Reads to the end for the count alone.
    async fn read_on(mut self: Box<Self>) {
        while std::future::poll_fn(|cx| self.poll_event(cx))
            .await
            .is_some()
        {}
    }

    /// The next event, or a comment where the client has heard nothing for long:
    /// proxies and clients hang up on a silent line while a model thinks.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let event = self.poll_next(cx);
        if event.is_ready() {
            self.heard_at = Instant::now();
            return event;
        }
        // What is no stream of events (sound) has no comments.
        while self.dialect.is_some() && self.keep_alive.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = self.heard_at + self.deadlines.keep_alive;
            if due <= now {
                self.heard_at = now;
                return Poll::Ready(Some(Bytes::from_static(KEEP_ALIVE)));
            }
            // Set anew here alone: events are many, and most come in time.
            self.keep_alive.as_mut().reset(due);
        }
        Poll::Pending
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(bytes));
            }
            match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Settling {
                    settled,
                    keeping,
                    last,
                } => {
                    if let Some(kept) = keeping {
                        // Who has the last event may go on from the answer at once.
                        if kept.as_mut().poll(cx).is_pending()
                            && !is_over(&mut self.silence, self.silent_at, cx)
                        {
                            return Poll::Pending;
                        }
                        *keeping = None;
                    }
                    let booked = match Pin::new(settled).poll(cx) {
                        Poll::Ready(booked) => booked,
                        Poll::Pending if !is_over(&mut self.silence, self.silent_at, cx) => {
                            return Poll::Pending;
                        }
                        Poll::Pending => Err(reply::books_late()),
                    };
                    match booked {
                        Ok(_) => self.ready.extend(last.take()),
                        // A reply that is not in the books is not released in full.
                        Err(error) => {
                            let last = self.error_frame(&error.message, "unavailable");
                            self.ready.extend(last);
                        }
                    }
                    // Reads the stream's own end, so that the connection is used again.
                    let _ = poll_upstream(&mut self.upstream, cx);
                    self.state = State::Ended;
                }
                State::Reading(_) => match poll_upstream(&mut self.upstream, cx) {
                    Poll::Ready(Some(Ok(bytes))) => self.take(bytes),
                    Poll::Ready(Some(Err(sentence))) => self.break_off(sentence, "upstream_error"),
                    Poll::Ready(None) => self.upstream_ended(),
                    Poll::Pending => {
                        if !is_over(&mut self.silence, self.silent_at, cx) {
                            return Poll::Pending;
                        }
                        self.break_off(
                            "The provider went silent and the answer was cut off.",
                            "upstream_timeout",
                        );
                    }
                },
            }
        }
    }

    /// Takes bytes of the provider.
    fn take(&mut self, bytes: Bytes) {
        self.silent_at = (Instant::now() + self.deadlines.gap).min(self.ends_at);
        let State::Reading(meter) = &mut self.state else {
            return;
        };
        meter.first_byte();
        let Some(stream) = meter.stream() else {
            return;
        };
        if let Err(error) = stream.push(bytes) {
            tracing::warn!(%error, "a provider's stream cannot be read");
            self.break_off(
                "The provider sent an event that is too large.",
                "upstream_error",
            );
            return;
        }
        while let State::Reading(meter) = &mut self.state {
            let Some(stream) = meter.stream() else {
                return;
            };
            match stream.next_frame() {
                Ok(Some(frame)) => self.handle(frame),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "a provider's stream cannot be read");
                    self.break_off(
                        "The provider's stream is damaged and the answer was cut off.",
                        "upstream_error",
                    );
                }
            }
        }
    }

    fn handle(&mut self, frame: StreamFrame) {
        let State::Reading(meter) = &mut self.state else {
            return;
        };
        match frame {
            StreamFrame::Pass(bytes) => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.take(&bytes);
                }
                self.ready.push_back(bytes);
            }
            StreamFrame::Done(bytes) => {
                let response = meter.stream().and_then(|stream| stream.response().cloned());
                let keeping = self.recorder.take().map(|mut recorder| {
                    recorder.take(&bytes);
                    let kept = recorder.finish(EVENTS, meter.served_stream(), response);
                    Box::pin(kept) as Pin<Box<dyn Future<Output = ()> + Send>>
                });
                let last = Some(bytes).filter(|b| !b.is_empty());
                self.end(Meter::finish_stream, last);
                if let State::Settling { keeping: place, .. } = &mut self.state {
                    *place = keeping;
                }
            }
            StreamFrame::Failed(data) => {
                let secret = meter.deployment().map(|d| d.key.shown_secret().to_owned());
                let secret = secret.unwrap_or_default();
                let last = self.dialect.map(|dialect| match meter.stream() {
                    Some(stream) => stream.failure_frame(&data, &secret),
                    None => dialect.failure_frame(&data, &secret),
                });
                self.broken |= last.is_none();
                if let (Some(recorder), Some(last)) = (&mut self.recorder, &last) {
                    recorder.take(last);
                }
                self.end(Meter::break_off, last);
                self.hang_up();
            }
        }
    }

    /// The provider ended the stream, some of them without saying so before.
    fn upstream_ended(&mut self) {
        if let State::Reading(meter) = &mut self.state {
            match meter.stream().map(cf_llm::ChatStream::end) {
                Some(frame) => self.handle(frame),
                None => self.end(Meter::finish_stream, None),
            }
        }
    }

    /// Ends the stream with an error that the client sees.
    fn break_off(&mut self, sentence: &str, code: &str) {
        let last = self.error_frame(sentence, code);
        if let (Some(recorder), Some(last)) = (&mut self.recorder, &last) {
            recorder.take(last);
        }
        self.end(Meter::break_off, last);
        self.hang_up();
    }

    /// An error as the client reads it.
    fn error_frame(&mut self, sentence: &str, code: &str) -> Option<Bytes> {
        let stream = match &mut self.state {
            State::Reading(meter) => meter.stream(),
            _ => None,
        };
        let frame = self.dialect.map(|dialect| match stream {
            Some(stream) => stream.error_frame(sentence, code),
            None => dialect.error_frame(sentence, code),
        });
        self.broken |= frame.is_none();
        frame
    }

    /// Books the call; `last` is for the client once that is durable.
    fn end(&mut self, book: impl FnOnce(Meter) -> Option<Settled>, last: Option<Bytes>) {
        if let State::Reading(meter) = std::mem::replace(&mut self.state, State::Ended)
            && let Some(settled) = book(meter)
        {
            self.state = State::Settling {
                settled,
                keeping: None,
                last,
            };
            // Sooner than the provider's silence would be too long.
            self.silent_at = Instant::now() + self.deadlines.books;
            self.silence.as_mut().reset(self.silent_at);
        }
    }

    /// Lets go of the provider, which may still be at work.
    fn hang_up(&mut self) {
        self.upstream = Upstream::Ready(VecDeque::new());
    }
}

/// Whether this time has come. It moves with every event, and the timer is set anew
/// when it fires alone: events are many, and most come in time.
fn is_over(timer: &mut Pin<Box<Sleep>>, at: Instant, cx: &mut Context<'_>) -> bool {
    while timer.as_mut().poll(cx).is_ready() {
        if at <= Instant::now() {
            return true;
        }
        timer.as_mut().reset(at);
    }
    false
}

fn poll_upstream(
    upstream: &mut Upstream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, &'static str>>> {
    match upstream {
        Upstream::Ready(events) => Poll::Ready(events.pop_front().map(Ok)),
        Upstream::Http(body) => loop {
            return match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => Poll::Ready(Some(Ok(bytes))),
                    // Trailers.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::warn!(%error, "a provider's stream broke off");
                    Poll::Ready(Some(Err(
                        "The connection to the provider broke and the answer was cut off.",
                    )))
                }
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        },
    }
}
