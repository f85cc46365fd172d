//! Public models and the deployments behind them, kept in memory with the
//! prices they are billed by, so that a call asks nobody.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cf_base::{
    Caller, Clock, Error, Id, Kind, Limits, ProviderKeyId, Result, Sealed, Sealer, Secret,
    TenantId, Timestamp,
};
use cf_db::{Db, Row};
use cf_ledger::{Ledger, OwnPrices, PriceVersion};
use cf_llm::{Credentials, Place, Provider, Settings, WorksIn};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::hang_up::HangUp;
use crate::health::Health;
use crate::limits::ModelLimits;
use crate::terms::{FallbackOn, Terms};
use crate::tokens::Tokens;

/// A public model.
#[derive(Debug)]
pub struct Model {
    pub name: String,
    deployments: Vec<Arc<Deployment>>,
    /// Output tokens at most; `None` if the record does not say.
    pub max_output_tokens: Option<u64>,
    /// Input and output together; `None` if the record does not say.
    pub context_window: Option<u64>,
    /// Models that are asked in its place, one after the other.
    pub fallbacks: Vec<String>,
    /// When they are.
    pub fallback_on: FallbackOn,
    pub terms: Terms,
    id: Id,
    limits: Limits,
    created: i64,
}

/// A model at a provider, reached with a key.
#[derive(Debug)]
pub struct Deployment {
    /// The name that clients ask for.
    pub public_model: Arc<str>,
    pub terms: Terms,
    pub key: Arc<ProviderKey>,
    /// How it fares.
    pub health: Arc<Health>,
    /// Where it works.
    pub works_in: WorksIn,
    /// The provider's name of the model.
    pub model: String,
    /// The operator's own prices, or none at all for the demo provider; the price
    /// book otherwise.
    own_price: Option<Arc<PriceVersion>>,
    /// Output tokens it gives at most, where the price book knows.
    pub max_output_tokens: Option<u64>,
    /// Input tokens it takes at most, where the price book knows.
    pub max_input_tokens: Option<u64>,
    /// Share of the calls among those of the same order.
    pub weight: u64,
    /// Lower ones are tried first.
    pub order: i64,
}

/// An account at a provider.
#[derive(Debug)]
pub struct ProviderKey {
    pub id: ProviderKeyId,
    /// How it fares: whether the provider takes it.
    pub health: Arc<Health>,
    pub provider: Provider,
    pub base_url: String,
    /// What shows the provider that we may call, or what is wrong with the secret.
    pub credentials: std::result::Result<Credentials, &'static str>,
    /// The token, where the credentials are exchanged for one.
    pub tokens: Tokens,
    settings: Settings,
    /// The region as the record has it.
    place_region: String,
    /// What becomes of its calls when the client leaves.
    pub hang_up: HangUp,
    /// Where the provider works, as far as its prices depend on that; may be empty.
    price_region: String,
    /// The one tenant it is for; `None` for all.
    tenant: Option<TenantId>,
    /// When the record was saved last.
    saved: String,
    /// The model that the provider refused with it when that was last written down;
    /// empty for none.
    refused_model: String,
}

impl ProviderKey {
    /// How a model with it fares that this process has not asked yet.
    fn health_of(&self, model: &str, now: Timestamp) -> Health {
        if self.refused_model == model {
            // Refused before this process began: one call may try.
            Health::refused_before(now)
        } else {
            Health::default()
        }
    }

    /// The text that a provider may repeat and nobody is to see.
    pub fn shown_secret(&self) -> &str {
        let secrets = self.credentials.as_ref().map(Credentials::secrets);
        secrets
            .ok()
            .and_then(|s| s.first().copied())
            .unwrap_or_default()
    }
}

impl Deployment {
    /// Where it is.
    pub fn place(&self) -> Place<'_> {
        let key = &self.key;
        let credentials = key.credentials.as_ref().ok();
        Place {
            provider: key.provider,
            model: &self.model,
            base_url: &key.base_url,
            region: &key.place_region,
            settings: &key.settings,
            project: credentials.map_or("", Credentials::project),
            has_plain_key: credentials.is_some_and(Credentials::is_plain_key),
        }
    }

    /// What a call of now costs; `None` if no price is known.
    pub fn price(&self, ledger: &Ledger) -> Option<Arc<PriceVersion>> {
        let key = &self.key;
        self.own_price
            .clone()
            .or_else(|| ledger.book_price(key.provider.as_str(), &self.model, &key.price_region))
    }
}

impl Deployment {
    /// What another model costs there now, which its provider asked on its own
    /// account; at Anthropic's own price where the provider's is not known.
    pub fn price_of(&self, ledger: &Ledger, model: &str) -> Option<Arc<PriceVersion>> {
        let provider = self.key.provider.as_str();
        ledger
            .book_price(provider, model, &self.key.price_region)
            .or_else(|| ledger.book_price(Provider::Anthropic.as_str(), model, ""))
    }
}

impl Deployment {
    /// What a picture of this quality and size costs: by its tokens, or by the piece.
    pub fn picture_price(
        &self,
        ledger: &Ledger,
        quality: &str,
        size: &str,
    ) -> Option<Arc<PriceVersion>> {
        let usual = self.price(ledger);
        let by_token = usual.as_ref().is_some_and(|price| price.has_token_price());
        if self.own_price.is_some() || by_token {
            return usual;
        }
        let provider = self.key.provider.as_str();
        ledger
            .picture_price(provider, &self.model, quality, size)
            .or(usual)
    }
}

impl Model {
    /// The deployments that serve a caller: a tenant's own key serves no other, and
    /// a tenant that is limited to regions is served in these alone.
    pub fn deployments_for(&self, caller: &Caller) -> impl Iterator<Item = &Arc<Deployment>> {
        self.deployments(caller.tenant_id)
            .filter(|d| d.works_in.is_allowed(&caller.regions))
    }

    /// The limits of all its calls together.
    pub fn limits(&self) -> Option<ModelLimits> {
        (!self.limits.is_none()).then_some(ModelLimits {
            id: self.id,
            limits: self.limits,
        })
    }

    /// The deployments that serve a tenant: a tenant's own key serves no other.
    pub fn deployments(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<Deployment>> {
        self.deployments
            .iter()
            .filter(move |d| d.key.tenant.is_none_or(|t| t == tenant))
    }
}

#[derive(Deserialize)]
struct DeploymentWire {
    provider_key: Id,
    model: String,
    #[serde(default = "one")]
    weight: u64,
    #[serde(default)]
    order: i64,
}

/// What the gateway reads of a provider key's settings.
#[derive(Default, Deserialize)]
struct KeySettings {
    #[serde(default)]
    hang_up: Option<String>,
}

fn one() -> u64 {
    1
}

/// The models of one name: one for all, and tenants' own in its place.
#[derive(Default)]
struct Named {
    all: Option<Arc<Model>>,
    tenants: HashMap<TenantId, Arc<Model>>,
}

impl Named {
    fn of(&self, tenant: TenantId) -> Option<&Arc<Model>> {
        self.tenants.get(&tenant).or(self.all.as_ref())
    }
}

/// How keys and deployments fare, kept while the records are loaded again. A key
/// that was saved begins anew: it was probably put right.
#[derive(Default)]
struct Healths(HashMap<(Id, String, String), Arc<Health>>);

impl Healths {
    /// That of a model at a key as it was saved last; of the key itself without
    /// a model.
    fn keep(
        &mut self,
        before: &Self,
        (key, saved, model): (Id, &str, &str),
        new: impl FnOnce() -> Health,
    ) -> Arc<Health> {
        let name = (key, saved.to_owned(), model.to_owned());
        let known = self.0.get(&name).or_else(|| before.0.get(&name));
        let health = known.map_or_else(|| Arc::new(new()), Arc::clone);
        self.0.insert(name, Arc::clone(&health));
        health
    }
}

/// What is kept and what it is made of while records are read.
struct Loading<'a> {
    before: &'a Healths,
    healths: Healths,
    now: Timestamp,
}

/// All active models, by name.
pub struct Catalogue {
    models: ArcSwap<HashMap<String, Named>>,
    /// Held while loading: who reads last must also be who stores last.
    loading: Mutex<Healths>,
}

impl Catalogue {
    pub async fn load(db: &Db, sealer: &Sealer, ledger: &Ledger, clock: &Clock) -> Result<Self> {
        let catalogue = Self {
            models: ArcSwap::default(),
            loading: Mutex::default(),
        };
        catalogue.reload(db, sealer, ledger, clock).await?;
        Ok(catalogue)
    }

    pub async fn reload(
        &self,
        db: &Db,
        sealer: &Sealer,
        ledger: &Ledger,
        clock: &Clock,
    ) -> Result<()> {
        let mut before = self.loading.lock().await;
        let mut loading = Loading {
            before: &before,
            healths: Healths::default(),
            now: clock.now(),
        };
        let mut keys = HashMap::new();
        let sql = format!("select {KEY_COLUMNS} from provider_keys where active = 1");
        for row in db.query(&sql, vec![]).await? {
            if let Some(key) = provider_key(&row, sealer, &mut loading)? {
                keys.insert(key.id.0, Arc::new(key));
            }
        }
        let mut models: HashMap<String, Named> = HashMap::new();
        for row in db
            .query(
                "select id, name, deployments, prices, max_output_tokens, context_window, tenant_id, \
                 rate_limit, tokens_per_minute, parallel_requests, balance, retries, fallbacks, \
                 fallback_on, first_byte_seconds, gap_seconds, total_seconds, created \
                 from models where active = 1",
                vec![],
            )
            .await?
        {
            let tenant = tenant(&row)?;
            let model = Arc::new(read_model(&row, tenant, &keys, ledger, &mut loading)?);
            let named = models.entry(model.name.clone()).or_default();
            match tenant {
                Some(tenant) => drop(named.tenants.insert(tenant, model)),
                None => named.all = Some(model),
            }
        }
        self.models.store(Arc::new(models));
        *before = loading.healths;
        Ok(())
    }

    /// A deployment of a key, active or not, as it stands in the database now, or
    /// what is wrong with the key.
    pub async fn deployment_to_test(
        &self,
        (db, sealer, ledger, clock): (&Db, &Sealer, &Ledger, &Clock),
        id: ProviderKeyId,
        model: Option<&str>,
    ) -> Result<std::result::Result<Arc<Deployment>, &'static str>> {
        let sql = format!("select {KEY_COLUMNS} from provider_keys where id = $1");
        let row = db.query_opt(&sql, vec![id.0.into()]).await?;
        let row =
            row.ok_or_else(|| Error::new(Kind::NotFound, "There is no such provider key."))?;
        let model = match model {
            Some(model) => model.to_owned(),
            None => first_model_of(db, id).await?.ok_or_else(|| {
                Error::invalid_field(
                    "model",
                    "No model is deployed with this key yet: name one of the provider's to ask.",
                )
            })?,
        };
        // Held only to find out how the key fares.
        let before = self.loading.lock().await;
        let mut loading = Loading {
            before: &before,
            healths: Healths::default(),
            now: clock.now(),
        };
        let Some(key) = provider_key(&row, sealer, &mut loading)? else {
            return Ok(Err(
                "The secret cannot be opened with the master key of this server. Enter it again.",
            ));
        };
        let name = (key.id.0, &*key.saved, &*model);
        let now = loading.now;
        let health = loading
            .healths
            .keep(&before, name, || key.health_of(name.2, now));
        let wire = DeploymentWire {
            provider_key: key.id.0,
            model,
            weight: 1,
            order: 0,
        };
        let mut deployment = deployment(&Arc::new(key), wire, None, ledger);
        deployment.health = health;
        Ok(Ok(Arc::new(deployment)))
    }

    /// The tenant's own model of this name, else the one for all.
    pub fn find(&self, tenant: TenantId, name: &str) -> Option<Arc<Model>> {
        self.models.load().get(name)?.of(tenant).cloned()
    }

    /// What this caller may use, in OpenAI's shape.
    pub fn list(&self, caller: &Caller) -> serde_json::Value {
        let models = self.models.load();
        let mut usable: Vec<&Model> = models
            .values()
            .filter_map(|named| named.of(caller.tenant_id))
            .map(|model| &**model)
            .filter(|model| {
                caller.may_use(&model.name) && model.deployments_for(caller).next().is_some()
            })
            .collect();
        usable.sort_unstable_by_key(|model| &model.name);
        let data: Vec<serde_json::Value> = usable
            .into_iter()
            .map(|model| {
                json!({"id": model.name, "object": "model", "created": model.created,
                    "owned_by": "cloudfreedom"})
            })
            .collect();
        json!({"object": "list", "data": data})
    }
}

/// What is read of a provider key.
const KEY_COLUMNS: &str = "id, name, provider, base_url, region, secret_sealed, tenant_id, settings, \
    trouble, updated";

fn provider_key(
    row: &Row,
    sealer: &Sealer,
    loading: &mut Loading<'_>,
) -> Result<Option<ProviderKey>> {
    let id = ProviderKeyId(row.get("id")?);
    let name: String = row.get("provider")?;
    let Some(provider) = Provider::find(&name) else {
        tracing::warn!(
            key = id.as_str(),
            provider = name,
            "a provider key is of an unknown provider"
        );
        return Ok(None);
    };
    let sealed: String = row.get("secret_sealed")?;
    let secret = if sealed.is_empty() {
        Secret::new("")
    } else {
        match sealer.open(&Sealed(sealed), &format!("provider_keys/{id}")) {
            Some(secret) => secret,
            None => {
                tracing::error!(
                    key = id.as_str(),
                    "the secret of a provider key cannot be opened; enter it again in the portal"
                );
                return Ok(None);
            }
        }
    };
    let base_url: String = row.get("base_url")?;
    let region: String = row.get("region")?;
    let text: String = row.get("settings")?;
    let own: KeySettings = serde_json::from_str(&text).unwrap_or_default();
    let settings: Settings = serde_json::from_str(&text).unwrap_or_else(|error| {
        tracing::warn!(key = id.as_str(), %error, "a provider key's settings cannot be read");
        Settings::default()
    });
    let credentials = Credentials::read(provider, &secret, &settings);
    if let Err(what) = &credentials {
        tracing::warn!(
            key = id.as_str(),
            what,
            "a provider key's secret cannot be used"
        );
    }
    let saved: String = row.get("updated")?;
    let trouble: String = row.get("trouble")?;
    let health = loading
        .healths
        .keep(loading.before, (id.0, &saved, ""), || {
            match &*trouble {
                // Refused before this process began: one call may try.
                "credentials" | "out_of_credit" => Health::refused_before(loading.now),
                _ => Health::default(),
            }
        });
    let refused_model = trouble.split_once(' ').map_or("", |(_, model)| model);
    Ok(Some(ProviderKey {
        id,
        health,
        saved,
        refused_model: refused_model.to_owned(),
        provider,
        price_region: provider.price_region(&base_url, &region),
        place_region: region.trim().to_owned(),
        hang_up: HangUp::of(provider, &base_url, own.hang_up.as_deref()),
        base_url,
        credentials,
        tokens: Tokens::default(),
        settings,
        tenant: tenant(row)?,
    }))
}

fn read_model(
    row: &Row,
    tenant: Option<TenantId>,
    keys: &HashMap<Id, Arc<ProviderKey>>,
    ledger: &Ledger,
    loading: &mut Loading<'_>,
) -> Result<Model> {
    let name: String = row.get("name")?;
    let public_model: Arc<str> = name.as_str().into();
    let terms = Terms::read(row)?;
    let deployments: String = row.get("deployments")?;
    let deployments: Vec<DeploymentWire> =
        serde_json::from_str(&deployments).unwrap_or_else(|error| {
            tracing::warn!(model = name, %error, "a model's deployments cannot be read");
            Vec::new()
        });
    let prices: String = row.get("prices")?;
    let own_prices = serde_json::from_str(&prices)
        .map_err(|e| e.to_string())
        .and_then(|json| OwnPrices::parse(&json))
        .unwrap_or_else(|error| {
            tracing::warn!(model = name, error, "a model's prices cannot be read");
            None
        });
    let mut usable: Vec<Arc<Deployment>> = deployments
        .into_iter()
        .filter_map(|wire| {
            let key = keys.get(&wire.provider_key)?;
            // A tenant's own model is never reached with another tenant's key.
            let allowed = match (key.tenant, tenant) {
                (Some(key), Some(model)) => key == model,
                _ => true,
            };
            let health =
                loading
                    .healths
                    .keep(loading.before, (key.id.0, &key.saved, &wire.model), || {
                        key.health_of(&wire.model, loading.now)
                    });
            allowed.then(|| {
                let mut deployment = deployment(key, wire, own_prices.as_ref(), ledger);
                deployment.public_model = Arc::clone(&public_model);
                deployment.terms = terms;
                deployment.health = health;
                Arc::new(deployment)
            })
        })
        .collect();
    usable.sort_by_key(|d| d.order);
    // Zero stands for not set, and so does what cannot be a limit.
    let positive = |column| -> Result<Option<u64>> {
        let n: i64 = row.get(column)?;
        Ok(u64::try_from(n).ok().filter(|n| *n > 0))
    };
    let limit = |column| -> Result<u32> {
        let limit = positive(column)?.unwrap_or(0);
        Ok(u32::try_from(limit).unwrap_or(u32::MAX))
    };
    let created: String = row.get("created")?;
    let fallbacks: String = row.get("fallbacks")?;
    let fallback_on: String = row.get("fallback_on")?;
    Ok(Model {
        fallbacks: serde_json::from_str(&fallbacks).unwrap_or_else(|error| {
            tracing::warn!(model = name, %error, "a model's fallbacks cannot be read");
            Vec::new()
        }),
        fallback_on: FallbackOn::read(&fallback_on),
        terms,
        id: row.get("id")?,
        limits: Limits {
            requests_per_minute: limit("rate_limit")?,
            tokens_per_minute: limit("tokens_per_minute")?,
            parallel_requests: limit("parallel_requests")?,
        },
        deployments: usable,
        max_output_tokens: positive("max_output_tokens")?,
        context_window: positive("context_window")?,
        created: Timestamp::parse(&created).map_or(0, |t| t.as_millis() / 1000),
        name,
    })
}

fn deployment(
    key: &Arc<ProviderKey>,
    wire: DeploymentWire,
    own_prices: Option<&OwnPrices>,
    ledger: &Ledger,
) -> Deployment {
    let provider = key.provider.as_str();
    // The book knows a model's limits also where the operator sets its prices.
    let book = ledger.book_price(provider, &wire.model, &key.price_region);
    let own = own_prices.map(|own| Arc::new(PriceVersion::own(provider, &wire.model, own)));
    // The demo provider is ours and costs nothing unless a price is set.
    let free = || (key.provider == Provider::Demo).then(|| Arc::new(PriceVersion::free()));
    let mut deployment = Deployment {
        public_model: Arc::default(),
        terms: Terms::default(),
        health: Arc::default(),
        works_in: WorksIn::Unknown,
        key: Arc::clone(key),
        max_output_tokens: book.as_ref().and_then(|b| b.max_output_tokens),
        max_input_tokens: book.as_ref().and_then(|b| b.max_input_tokens),
        own_price: own.or_else(free),
        model: wire.model,
        weight: wire.weight,
        order: wire.order,
    };
    deployment.works_in = deployment.place().works_in();
    deployment
}

/// The provider's name of a model that is deployed with a key.
async fn first_model_of(db: &Db, key: ProviderKeyId) -> Result<Option<String>> {
    let sql = "select deployments from models where deployments like $1 order by name limit 20";
    let pattern = format!("%{key}%");
    for row in db.query(sql, vec![pattern.into()]).await? {
        let deployments: String = row.at(0)?;
        let deployments: Vec<DeploymentWire> =
            serde_json::from_str(&deployments).unwrap_or_default();
        let found = deployments.into_iter().find(|d| d.provider_key == key.0);
        if let Some(found) = found {
            return Ok(Some(found.model));
        }
    }
    Ok(None)
}

fn tenant(row: &Row) -> Result<Option<TenantId>> {
    let text: String = row.get("tenant_id")?;
    Ok(TenantId::parse(&text).ok())
}
