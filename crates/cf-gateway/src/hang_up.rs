//! What becomes of a call whose client has left.
//!
//! Some providers stop generating and billing when the connection closes: there
//! the call is cancelled and what was delivered is charged. Others generate to
//! the end and bill all of it (in November 2026: Bedrock, Gemini, Vertex AI,
//! Mistral, Groq, Perplexity, SambaNova; and nearly everybody for plain replies).
//! There the answer is read on without the client, so that the provider's own
//! count is booked. A server of one's own bills nobody and is freed by cancelling.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use cf_llm::Provider;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Answers that are read on without a client at a time; past that they are
/// cancelled and charged by estimate.
const AT_A_TIME: usize = 256;
/// How long one is read on at most.
const LONGEST: Duration = Duration::from_secs(300);
/// Vendors with OpenAI's API that do not stop when the connection closes.
const RUN_ON: [&str; 3] = ["groq.com", "perplexity.ai", "sambanova.ai"];

/// Whether a provider's answers are read on when the client has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HangUp {
    streamed: bool,
    plain: bool,
}

impl HangUp {
    /// The rule for a provider key. Its settings may say otherwise:
    /// `"hang_up": "cancel"` or `"drain"`.
    pub fn of(provider: Provider, base_url: &str, setting: Option<&str>) -> Self {
        let both = |drain| Self {
            streamed: drain,
            plain: drain,
        };
        match setting {
            Some("cancel") => return both(false),
            Some("drain") => return both(true),
            _ => {}
        }
        match provider {
            Provider::Gemini | Provider::Vertex | Provider::Bedrock | Provider::Mistral => {
                both(true)
            }
            Provider::OpenAi | Provider::Azure | Provider::Anthropic => Self {
                streamed: false,
                plain: true,
            },
            Provider::OpenAiCompatible => both(runs_on(base_url)),
            Provider::Demo => both(false),
        }
    }

    /// Whether to read on.
    pub fn drains(self, stream: bool) -> bool {
        if stream { self.streamed } else { self.plain }
    }
}

fn runs_on(base_url: &str) -> bool {
    let host = base_url.parse::<http::Uri>().ok();
    let host = host.as_ref().and_then(http::Uri::host).unwrap_or_default();
    RUN_ON.iter().any(|vendor| {
        let rest = host.strip_suffix(vendor);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Reads answers on whose client has left; cheap to clone.
#[derive(Clone)]
pub struct Drains {
    tasks: TaskTracker,
    stopping: CancellationToken,
    places: Arc<Semaphore>,
}

impl Drains {
    pub fn new(tasks: TaskTracker, stopping: CancellationToken) -> Self {
        Self {
            tasks,
            stopping,
            places: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Goes on with `work` in the background. Where that is not possible, and when
    /// it takes too long or the server stops, it is dropped: that cancels the call.
    pub fn read_on(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let stopping = self.stopping.clone();
        let work = async move {
            let _place = place;
            tokio::select! {
                _ = tokio::time::timeout(LONGEST, work) => {}
                () = stopping.cancelled() => {}
            }
        };
        drop(self.tasks.spawn_on(work, &runtime));
    }
}

/// What a call and the one who waits for it know of each other.
#[derive(Default)]
pub struct Attendance {
    drain: AtomicBool,
    left: AtomicBool,
}

impl Attendance {
    /// From now on the call is to be read on, or not, should the client leave.
    pub fn set_drain(&self, drain: bool) {
        self.drain.store(drain, Ordering::Relaxed);
    }

    /// Whether the client has left.
    pub fn left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

/// Work that somebody waits for and that may go on without him. Boxed, so that
/// it can be handed to a task of its own.
pub struct Attended<T: Send + 'static> {
    /// Taken when it is done.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    attendance: Arc<Attendance>,
    drains: Drains,
}

impl<T: Send + 'static> Attended<T> {
    pub fn new(
        work: impl Future<Output = T> + Send + 'static,
        attendance: Arc<Attendance>,
        drains: Drains,
    ) -> Self {
        Self {
            work: Some(Box::pin(work)),
            attendance,
            drains,
        }
    }
}

impl<T: Send + 'static> Future for Attended<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else {
            // Nobody polls what is done.
            return Poll::Pending;
        };
        let done = work.as_mut().poll(cx);
        if done.is_ready() {
            self.work = None;
        }
        done
    }
}

impl<T: Send + 'static> Drop for Attended<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        self.attendance.leave();
        if self.attendance.drain.load(Ordering::Relaxed) {
            self.drains.read_on(async move {
                // The answer has nobody to go to any more.
                drop(work.await);
            });
        }
    }
}
