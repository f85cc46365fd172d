//! Public models and the deployments behind them, kept in memory with the
//! prices they are billed by, so that a call asks nobody.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cf_base::{Caller, Id, ProviderKeyId, Result, Sealed, Sealer, Secret, TenantId, Timestamp};
use cf_db::{Db, Row};
use cf_ledger::{Ledger, OwnPrices, PriceVersion};
use cf_llm::{Credentials, Place, Provider, Settings};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::hang_up::HangUp;
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
    created: i64,
}

/// A model at a provider, reached with a key.
#[derive(Debug)]
pub struct Deployment {
    pub key: Arc<ProviderKey>,
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
}

impl ProviderKey {
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

/// All active models, by name.
pub struct Catalogue {
    models: ArcSwap<HashMap<String, Named>>,
    /// Held while loading: who reads last must also be who stores last.
    loading: Mutex<()>,
}

impl Catalogue {
    pub async fn load(db: &Db, sealer: &Sealer, ledger: &Ledger) -> Result<Self> {
        let catalogue = Self {
            models: ArcSwap::default(),
            loading: Mutex::default(),
        };
        catalogue.reload(db, sealer, ledger).await?;
        Ok(catalogue)
    }

    pub async fn reload(&self, db: &Db, sealer: &Sealer, ledger: &Ledger) -> Result<()> {
        let _loading = self.loading.lock().await;
        let mut keys = HashMap::new();
        for row in db
            .query(
                "select id, name, provider, base_url, region, secret_sealed, tenant_id, settings \
                 from provider_keys \
                 where active = 1",
                vec![],
            )
            .await?
        {
            if let Some(key) = provider_key(&row, sealer)? {
                keys.insert(key.id.0, Arc::new(key));
            }
        }
        let mut models: HashMap<String, Named> = HashMap::new();
        for row in db
            .query(
                "select name, deployments, prices, max_output_tokens, context_window, tenant_id, \
                 created from models where active = 1",
                vec![],
            )
            .await?
        {
            let tenant = tenant(&row)?;
            let model = Arc::new(read_model(&row, tenant, &keys, ledger)?);
            let named = models.entry(model.name.clone()).or_default();
            match tenant {
                Some(tenant) => drop(named.tenants.insert(tenant, model)),
                None => named.all = Some(model),
            }
        }
        self.models.store(Arc::new(models));
        Ok(())
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
                caller.may_use(&model.name) && model.deployments(caller.tenant_id).next().is_some()
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

fn provider_key(row: &Row, sealer: &Sealer) -> Result<Option<ProviderKey>> {
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
    Ok(Some(ProviderKey {
        id,
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
) -> Result<Model> {
    let name: String = row.get("name")?;
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
            allowed.then(|| Arc::new(deployment(key, wire, own_prices.as_ref(), ledger)))
        })
        .collect();
    usable.sort_by_key(|d| d.order);
    // Zero stands for not set, and so does what cannot be a limit.
    let positive = |column| -> Result<Option<u64>> {
        let n: i64 = row.get(column)?;
        Ok(u64::try_from(n).ok().filter(|n| *n > 0))
    };
    let created: String = row.get("created")?;
    Ok(Model {
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
    Deployment {
        key: Arc::clone(key),
        max_output_tokens: book.as_ref().and_then(|b| b.max_output_tokens),
        max_input_tokens: book.as_ref().and_then(|b| b.max_input_tokens),
        own_price: own.or_else(free),
        model: wire.model,
        weight: wire.weight,
        order: wire.order,
    }
}

fn tenant(row: &Row) -> Result<Option<TenantId>> {
    let text: String = row.get("tenant_id")?;
    Ok(TenantId::parse(&text).ok())
}
