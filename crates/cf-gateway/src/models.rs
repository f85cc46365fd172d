//! Public models and the deployments behind them, kept in memory.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cf_base::{Caller, Id, ProviderKeyId, Result, Sealed, Sealer, Secret, TenantId, Timestamp};
use cf_db::{Db, Row};
use cf_ledger::OwnPrices;
use cf_llm::Provider;
use serde::Deserialize;
use serde_json::json;

/// A public model.
#[derive(Debug)]
pub struct Model {
    pub name: String,
    pub deployments: Vec<Deployment>,
    pub own_prices: Option<OwnPrices>,
    /// Output tokens at most; `None` if the record does not say.
    pub max_output_tokens: Option<u64>,
    /// Input and output together; `None` if the record does not say.
    pub context_window: Option<u64>,
    created: i64,
}

/// A model at a provider, reached with a key.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub key: Arc<ProviderKey>,
    /// The provider's name of the model.
    pub model: String,
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
    pub secret: Secret,
    /// The one tenant it is for; `None` for all.
    tenant: Option<TenantId>,
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

fn one() -> u64 {
    1
}

type Key = (Option<TenantId>, String);

/// All active models, by tenant and name.
pub struct Catalogue(ArcSwap<HashMap<Key, Arc<Model>>>);

impl Catalogue {
    pub async fn load(db: &Db, sealer: &Sealer) -> Result<Self> {
        let catalogue = Self(ArcSwap::default());
        catalogue.reload(db, sealer).await?;
        Ok(catalogue)
    }

    pub async fn reload(&self, db: &Db, sealer: &Sealer) -> Result<()> {
        let mut keys = HashMap::new();
        for row in db
            .query(
                "select id, name, provider, base_url, secret_sealed, tenant_id from provider_keys \
                 where active = 1",
                vec![],
            )
            .await?
        {
            if let Some(key) = provider_key(&row, sealer)? {
                keys.insert(key.id.0, Arc::new(key));
            }
        }
        let mut models = HashMap::new();
        for row in db
            .query(
                "select name, deployments, prices, max_output_tokens, context_window, tenant_id, \
                 created from models where active = 1",
                vec![],
            )
            .await?
        {
            let tenant = tenant(&row)?;
            let model = read_model(&row, tenant, &keys)?;
            models.insert((tenant, model.name.clone()), Arc::new(model));
        }
        self.0.store(Arc::new(models));
        Ok(())
    }

    /// The tenant's own model of this name, else the one for all.
    pub fn find(&self, tenant: TenantId, name: &str) -> Option<Arc<Model>> {
        let models = self.0.load();
        models
            .get(&(Some(tenant), name.to_owned()))
            .or_else(|| models.get(&(None, name.to_owned())))
            .cloned()
    }

    /// What this caller may use, in OpenAI's shape.
    pub fn list(&self, caller: &Caller) -> serde_json::Value {
        let models = self.0.load();
        let mut names: Vec<(&str, i64)> = models
            .iter()
            .filter(|((tenant, name), model)| {
                tenant.is_none_or(|t| t == caller.tenant_id)
                    && !model.deployments.is_empty()
                    && caller.may_use(name)
            })
            .map(|((_, name), model)| (name.as_str(), model.created))
            .collect();
        names.sort_unstable();
        names.dedup_by_key(|(name, _)| *name);
        let data: Vec<serde_json::Value> = names
            .into_iter()
            .map(|(name, created)| {
                json!({"id": name, "object": "model", "created": created, "owned_by": "cloudfreedom"})
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
    Ok(Some(ProviderKey {
        id,
        provider,
        base_url: row.get("base_url")?,
        secret,
        tenant: tenant(row)?,
    }))
}

fn read_model(
    row: &Row,
    tenant: Option<TenantId>,
    keys: &HashMap<Id, Arc<ProviderKey>>,
) -> Result<Model> {
    let name: String = row.get("name")?;
    let deployments: String = row.get("deployments")?;
    let deployments: Vec<DeploymentWire> =
        serde_json::from_str(&deployments).unwrap_or_else(|error| {
            tracing::warn!(model = name, %error, "a model's deployments cannot be read");
            Vec::new()
        });
    let mut usable: Vec<Deployment> = deployments
        .into_iter()
        .filter_map(|wire| {
            let key = keys.get(&wire.provider_key)?;
            // A tenant's own key serves that tenant's own models only.
            let allowed = key.tenant.is_none() || key.tenant == tenant;
            allowed.then(|| Deployment {
                key: Arc::clone(key),
                model: wire.model,
                weight: wire.weight,
                order: wire.order,
            })
        })
        .collect();
    usable.sort_by_key(|d| d.order);
    let prices: String = row.get("prices")?;
    let own_prices = serde_json::from_str(&prices)
        .map_err(|e| e.to_string())
        .and_then(|json| OwnPrices::parse(&json))
        .unwrap_or_else(|error| {
            tracing::warn!(model = name, error, "a model's prices cannot be read");
            None
        });
    let positive = |column| -> Result<Option<u64>> {
        let n: u64 = row.get(column)?;
        Ok((n > 0).then_some(n))
    };
    let created: String = row.get("created")?;
    Ok(Model {
        deployments: usable,
        own_prices,
        max_output_tokens: positive("max_output_tokens")?,
        context_window: positive("context_window")?,
        created: Timestamp::parse(&created).map_or(0, |t| t.as_millis() / 1000),
        name,
    })
}

fn tenant(row: &Row) -> Result<Option<TenantId>> {
    let text: String = row.get("tenant_id")?;
    Ok(TenantId::parse(&text).ok())
}
