//! What every handler works with: one handle, cheap to clone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cf_base::{Clock, MasterKey, Random, Sealer};
use cf_collections::{Action, ClientLimits, Engine, EngineParts, Hub, RecordError};
use cf_db::Db;
use cf_gateway::{Gateway, GatewayParts};
use cf_http::HttpClient;
use cf_identity::{Identity, IdentityParams, SetupToken};
use cf_ledger::Ledger;
use cf_mail::Mailer;
use parking_lot::RwLock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hosts::Hosts;
use crate::idempotency::Idempotency;
use crate::notices::Touched;
use crate::outbox::Outbox;
use crate::request_limits::RequestLimits;
use crate::routes::EXPORTS;
use crate::sign_ups::SignUps;
use crate::wiring::Wiring;
use crate::{Config, jobs};

/// How long a stopping server waits for its books.
const FLUSH: Duration = Duration::from_secs(15);

/// The running program.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// Its parts.
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Who is calling.
    pub identity: Identity,
    /// Records.
    pub engine: Engine,
    /// Realtime subscriptions.
    pub hub: Hub,
    /// Budgets and prices.
    pub ledger: Ledger,
    /// The way out.
    pub http: HttpClient,
    /// The data path to providers.
    pub gateway: Gateway,
    /// Opens the secrets of webhooks.
    pub sealer: Sealer,
    /// Mails and webhook deliveries on their way.
    pub outbox: Outbox,
    /// The way to the mail server, where one is set.
    pub mailer: Option<Mailer>,
    /// Whose budgets changed and are to be looked at for notices.
    pub touched: Touched,
    /// Which host is whose.
    pub hosts: Hosts,
    /// The one-time set-up link, while there is no administrator.
    pub setup: RwLock<Option<SetupToken>>,
    /// Answers to money writes, by `Idempotency-Key`.
    pub idempotency: Idempotency,
    /// How often billing keys are used, and wrong ones tried.
    pub request_limits: RequestLimits,
    /// How often strangers sign up.
    pub sign_ups: SignUps,
    /// Places for exports that run.
    pub exports: Arc<Semaphore>,
    /// Background work, waited for when the server stops.
    pub tasks: TaskTracker,
    /// Cancelled when the server begins to stop.
    pub stopping: CancellationToken,
    /// Cancelled when answers that still run are cut off.
    pub cut_off: CancellationToken,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What the program is made of; tests bring their own clock and passwords' cost.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// The database, migrated.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// The secret of the installation.
    pub master: MasterKey,
    /// How dear a password hash is.
    pub identity: IdentityParams,
}

impl App {
    /// Puts the parts together, closes what an earlier process left open and
    /// starts the background work.
    pub async fn start(parts: Parts) -> cf_base::Result<Self> {
        let Parts {
            config,
            db,
            clock,
            random,
            master,
            identity,
        } = parts;
        let tasks = TaskTracker::new();
        let stopping = CancellationToken::new();
        let sealer = Sealer::new(&master);
        let idempotency = Idempotency::new(&master);
        let identity = Identity::new(
            db.clone(),
            clock.clone(),
            random.clone(),
            &master,
            &identity,
        );
        let ledger = Ledger::start(db.clone(), clock.clone(), random.clone()).await?;
        let http = HttpClient::new(config.allow_private_upstreams);
        let gateway = Gateway::new(GatewayParts {
            clock: clock.clone(),
            random: random.clone(),
            deadlines: config.deadlines,
            ledger: ledger.clone(),
            http: http.clone(),
            sealer: sealer.clone(),
            requests: master.derive("requests"),
            db: db.clone(),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
        })
        .await?;
        let hosts = Hosts::load(&config.base_domain, &db).await?;
        let hub_of_hooks = Arc::new(OnceLock::new());
        let engine = Engine::new(EngineParts {
            db: db.clone(),
            clock: clock.clone(),
            random: random.clone(),
            hooks: Arc::new(Wiring {
                clock: clock.clone(),
                random: random.clone(),
                identity: identity.clone(),
                sealer: sealer.clone(),
                allow_private_upstreams: config.allow_private_upstreams,
                hub: Arc::clone(&hub_of_hooks),
            }),
        });
        let hub = Hub::new(engine.clone(), ClientLimits::default());
        let _ = hub_of_hooks.set(hub.clone());
        let outbox = Outbox::new(clock.clone(), random.clone(), sealer.clone());
        let app = Self(Arc::new(Inner {
            mailer: config.mailer.clone(),
            sealer,
            outbox,
            touched: Touched::default(),
            config,
            db,
            clock,
            random,
            identity,
            engine,
            hub,
            ledger,
            http,
            gateway,
            hosts,
            setup: RwLock::new(None),
            idempotency,
            request_limits: RequestLimits::default(),
            sign_ups: SignUps::default(),
            exports: Arc::new(Semaphore::new(EXPORTS)),
            tasks,
            stopping,
            cut_off: CancellationToken::new(),
        }));
        jobs::start(&app);
        Ok(app)
    }

    /// Takes over changes made by this process or another: forgets what is
    /// kept in memory and reads it again.
    pub async fn refresh(&self) -> cf_base::Result<()> {
        self.identity.invalidate_all();
        self.hosts.reload(&self.db).await?;
        self.ledger.reload().await?;
        self.gateway.reload().await?;
        Ok(())
    }

    /// Takes over a change of a record at once where something is kept in memory
    /// of its collection; callers are forgotten by the write itself.
    pub async fn changed(&self, collection: &str) -> Result<(), RecordError> {
        let kept = self.engine.collections().get(collection).is_some_and(|c| {
            matches!(
                c.name,
                "tenants" | "products" | "provider_keys" | "models" | "exchange_rates"
            )
        });
        if kept {
            self.refresh().await?;
        }
        Ok(())
    }

    /// Tells subscribers of a change that is made, whatever becomes of telling it.
    pub async fn publish(&self, collection: &str, action: Action, id: &str) {
        if let Err(error) = self.engine.publish(collection, action, id).await {
            tracing::warn!(error = %error.message, "a change could not be published");
        }
    }

    /// The address of a component or tenant under the base domain.
    pub fn public_url(&self, name: &str) -> String {
        let domain = &self.config.base_domain;
        // On a developer's machine there is no proxy in front that ends TLS.
        if domain == "localhost" || domain.ends_with(".localhost") {
            format!("http://{name}.{domain}:{}", self.config.listen.port())
        } else {
            format!("https://{name}.{domain}")
        }
    }

    /// Stops: ends background work and waits until the books are written.
    pub async fn stop(&self) {
        self.stopping.cancel();
        match tokio::time::timeout(FLUSH, self.ledger.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the ledger could not be flushed"),
            Err(_) => tracing::error!("the ledger could not be flushed in time"),
        }
        if (tokio::time::timeout(FLUSH, self.gateway.flush_prompts()).await).is_err() {
            tracing::error!("prompts could not be logged in time: some are lost");
        }
        if let Err(error) = self.identity.flush_last_used().await {
            tracing::warn!(%error, "the keys' last use could not be written");
        }
        // The ledger's writer ends with the process; the jobs end now.
        let _ = tokio::time::timeout(Duration::from_millis(200), self.tasks.wait()).await;
    }
}
