//! The data path: from a caller's request to a provider and back, within
//! limits and budget, with every call in the books however it ends.
//!
//! No HTTP routes, no keys of callers, no record rules in here; providers'
//! formats are `cf-llm`'s, money is `cf-ledger`'s.

mod attempt;
mod body;
mod cache;
mod call;
mod entry;
mod hang_up;
mod health;
mod key_test;
mod limits;
mod meter;
mod models;
mod plan;
mod prompts;
mod recording;
mod reply;
mod reserve;
mod responses;
mod task;
mod terms;
mod tokens;
mod tried;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Caller, Clock, HashKey, Random, RequestId, Result, Sealer, TenantId};
use cf_db::{Db, Tx};
use cf_http::HttpClient;
use cf_ledger::{Ledger, PriceVersion};
pub use cf_llm::{Dialect, Form, Part, Reuse, Task, TaskRequest, Wishes};
use http::Response;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use body::GatewayBody;
pub use entry::KeyNews;
pub use key_test::KeyTest;
pub use limits::Reached;
pub use plan::FALLBACKS;
pub use prompts::Prompt;
pub use responses::InputPage;
pub use turn::ComeBack;

use cache::Cache;
use hang_up::{Attendance, Attended, Drains};
use limits::Limiter;
use models::Catalogue;
use prompts::{PromptLog, Prompts};
use responses::Responses;

/// Time limits of a call.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Until the provider's answer begins.
    pub first_byte: Duration,
    /// Between two pieces of a stream.
    pub gap: Duration,
    /// After so much silence in a stream the client is sent a comment.
    pub keep_alive: Duration,
    /// Until a call that has ended is in the books.
    pub books: Duration,
    /// The whole call. Holds of a dead process expire after it.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(300),
            gap: Duration::from_secs(120),
            keep_alive: Duration::from_secs(15),
            books: Duration::from_secs(15),
            total: Duration::from_secs(1800),
        }
    }
}

/// What a gateway is made of.
pub struct GatewayParts {
    /// Time.
    pub clock: Clock,
    /// Randomness, for ids of demo answers and weighted choices.
    pub random: Random,
    /// Time limits.
    pub deadlines: Deadlines,
    /// The books.
    pub ledger: Ledger,
    /// The way out.
    pub http: HttpClient,
    /// Opens provider secrets; seals what is kept of calls.
    pub sealer: Sealer,
    /// Recognises requests that were made before.
    pub requests: HashKey,
    /// Where models and provider keys are.
    pub db: Db,
    /// Where answers without a client are read on.
    pub tasks: TaskTracker,
    /// Cancelled when the server begins to stop: nothing is read on any more.
    pub stopping: CancellationToken,
}

/// Forgets what is kept of the calls of a user or a tenant that is deleted.
pub async fn forget(tx: &mut Tx, collection: &str, id: &str) -> Result<()> {
    responses::forget(tx, collection, id).await?;
    cache::forget(tx, collection, id).await?;
    prompts::forget(tx, collection, id).await
}

/// What a client asks for beside the body.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// What the body is written in, and the answer is to be.
    pub dialect: Dialect,
    /// What its headers say.
    pub wishes: Wishes,
}

/// The gateway; cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    clock: Clock,
    random: Random,
    deadlines: Deadlines,
    ledger: Ledger,
    http: HttpClient,
    sealer: Sealer,
    db: Db,
    catalogue: Catalogue,
    limiter: Limiter,
    drains: Drains,
    /// What becomes known of provider keys.
    key_news: broadcast::Sender<KeyNews>,
    responses: Responses,
    cache: Cache,
    prompts: Prompts,
    /// Turns at counting prompts.
    counting: Arc<Semaphore>,
}

impl Gateway {
    /// Loads models and provider keys.
    pub async fn new(parts: GatewayParts) -> Result<Self> {
        let catalogue =
            Catalogue::load(&parts.db, &parts.sealer, &parts.ledger, &parts.clock).await?;
        Ok(Self(Arc::new(Inner {
            limiter: Limiter::new(parts.clock.clone()),
            responses: Responses::new(
                parts.db.clone(),
                parts.sealer.clone(),
                parts.clock.clone(),
                parts.random.clone(),
            ),
            cache: Cache::new(
                parts.db.clone(),
                parts.sealer.clone(),
                parts.clock.clone(),
                parts.random.clone(),
                parts.requests,
            ),
            prompts: Prompts::start(
                PromptLog::new(
                    parts.db.clone(),
                    parts.sealer.clone(),
                    parts.random.clone(),
                    parts.clock.clone(),
                ),
                &parts.tasks,
                parts.stopping.clone(),
            ),
            clock: parts.clock,
            random: parts.random,
            deadlines: parts.deadlines,
            ledger: parts.ledger,
            http: parts.http,
            sealer: parts.sealer,
            db: parts.db,
            catalogue,
            drains: Drains::new(parts.tasks, parts.stopping),
            key_news: broadcast::Sender::new(entry::NEWS),
            counting: Arc::new(Semaphore::new(reserve::COUNTERS)),
        })))
    }

    /// Loads models and provider keys again, after one was changed.
    pub async fn reload(&self) -> Result<()> {
        let Inner {
            db,
            sealer,
            ledger,
            clock,
            ..
        } = &*self.0;
        self.0.catalogue.reload(db, sealer, ledger, clock).await
    }

    /// What becomes known of provider keys from now on.
    pub fn key_news(&self) -> broadcast::Receiver<KeyNews> {
        self.0.key_news.subscribe()
    }

    /// A chat completion, plain or streamed. Dropped, it is cancelled or read on,
    /// as the provider's rule has it, and booked in either case.
    pub async fn chat(
        &self,
        caller: Arc<Caller>,
        body: Bytes,
        request_id: RequestId,
    ) -> Result<Response<GatewayBody>> {
        let asked = Asked::default();
        self.chat_in(asked, caller, body, request_id).await
    }

    /// The same for a client of any dialect, with what its headers ask for.
    pub async fn chat_in(
        &self,
        asked: Asked,
        caller: Arc<Caller>,
        body: Bytes,
        request_id: RequestId,
    ) -> Result<Response<GatewayBody>> {
        self.call(asked, caller, body, request_id, None).await
    }

    /// A response (of OpenAI's Responses), plain or streamed: the same, but that it
    /// may go on from one that was kept, and is kept itself unless the client says
    /// otherwise.
    pub async fn respond(
        &self,
        wishes: Wishes,
        caller: Arc<Caller>,
        body: Bytes,
        request_id: RequestId,
    ) -> Result<Response<GatewayBody>> {
        // A conversation may be long: it is not read for who may not go on with it.
        self.0.limiter.look(&caller)?;
        let (body, keep) = self.0.responses.complete(&caller, body).await?;
        let asked = Asked {
            dialect: Dialect::Responses,
            wishes,
        };
        self.call(asked, caller, body, request_id, keep).await
    }

    async fn call(
        &self,
        asked: Asked,
        caller: Arc<Caller>,
        body: Bytes,
        request_id: RequestId,
        keep: Option<responses::Keep>,
    ) -> Result<Response<GatewayBody>> {
        let attendance = Arc::new(Attendance::default());
        let call = call::chat(
            self.clone(),
            asked,
            caller,
            body,
            request_id,
            Arc::clone(&attendance),
            keep,
        );
        Attended::new(call, attendance, self.0.drains.clone()).await
    }

    /// A call that is no chat: embeddings, pictures, sound and the like. Dropped, it is
    /// cancelled or read on as a chat is.
    pub async fn task(
        &self,
        wishes: Wishes,
        caller: Arc<Caller>,
        request: TaskRequest,
        request_id: RequestId,
    ) -> Result<Response<GatewayBody>> {
        let attendance = Arc::new(Attendance::default());
        let call = task::run(
            self.clone(),
            wishes,
            caller,
            request,
            request_id,
            Arc::clone(&attendance),
        );
        Attended::new(call, attendance, self.0.drains.clone()).await
    }

    /// A response that was kept, as it was given.
    pub async fn response(&self, caller: &Caller, id: &str) -> Result<String> {
        self.0.responses.find(caller, id).await
    }

    /// Forgets a response: nothing goes on from it any more.
    pub async fn delete_response(&self, caller: &Caller, id: &str) -> Result<()> {
        self.0.responses.delete(caller, id).await
    }

    /// What a response was made from, a page of it, in OpenAI's shape.
    pub async fn response_input(
        &self,
        caller: &Caller,
        id: &str,
        page: &InputPage,
    ) -> Result<String> {
        self.0.responses.input(caller, id, page).await
    }

    /// Forgets responses that were neither made nor gone on from for so long, and
    /// the oldest of users who have too many. Returns how many.
    pub async fn prune_responses(&self, kept: Duration) -> Result<u64> {
        self.0.responses.prune(kept).await
    }

    /// Forgets kept answers that are too old, or more than a tenant may have. Returns
    /// how many.
    pub async fn prune_cache(&self) -> Result<u64> {
        self.0.cache.prune().await
    }

    /// What was asked and answered in a call, where that is kept.
    pub async fn prompt(&self, request_id: &str) -> Result<Option<Prompt>> {
        self.0.prompts.log().find(request_id).await
    }

    /// Waits until what was asked and answered so far is written down.
    pub async fn flush_prompts(&self) {
        self.0.prompts.flush().await;
    }

    /// Deletes what was asked and answered as long ago as its tenant keeps it. Returns
    /// how many calls.
    pub async fn prune_prompts(&self) -> Result<u64> {
        self.0.prompts.log().prune().await
    }

    /// The models this caller may use, in OpenAI's shape.
    pub fn models(&self, caller: &Caller) -> serde_json::Value {
        self.0.catalogue.list(caller)
    }

    /// Counts a call that another program is about to make for this caller, or
    /// says when to come back: one limit for both ways.
    pub fn count(&self, caller: &Caller) -> Result<()> {
        self.0.limiter.admit(caller, None, 0).map(drop)
    }

    /// The price of a public model at its first deployment for a tenant, without
    /// margin; `None` if it is unknown or has none.
    pub fn price(&self, tenant: TenantId, model: &str) -> Option<Arc<PriceVersion>> {
        let model = self.0.catalogue.find(tenant, model)?;
        let deployment = model.deployments(tenant).next()?;
        deployment.price(&self.0.ledger)
    }
}
