//! Making the local model a provider of a running server, through the server's own API.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::server::{Api, text_at};
use crate::services::model;

const PROVIDER_KEY: &str = "Local model";

/// Creates or updates provider key and model; the address changes with every start.
pub fn add_local_model(api: &Api, base_url: &str) -> Result<()> {
    add_model(api, PROVIDER_KEY, model::NAME, base_url)?;
    allow_model_in_products(api, model::NAME)
}

/// A model without its server would only produce errors, so it is switched off until it is back.
pub fn switch_off_local_model(api: &Api) -> Result<()> {
    if let Some(record) = api.find("models", "name", model::NAME)? {
        api.update(
            "models",
            &text_at(&record, "/id")?,
            &json!({ "active": false }),
        )?;
    }
    Ok(())
}

/// A public model with one deployment at an OpenAI-compatible address.
pub fn add_model(api: &Api, provider_key: &str, name: &str, base_url: &str) -> Result<()> {
    let provider_key_id = api
        .upsert_by_name(
            "provider_keys",
            provider_key,
            &json!({
                "name": provider_key,
                "provider": "openai_compatible",
                "base_url": base_url,
                // The local servers ask for none, but a provider key without a secret would be an exception.
                "secret": "none",
                "active": true,
            }),
        )
        .context("adding the provider key")?;
    api.upsert_by_name(
        "models",
        name,
        &json!({
            "name": name,
            "deployments": [{ "provider_key": provider_key_id, "model": name }],
            "prices": { "input": 0.10, "output": 0.40 },
            "context_window": 4096,
            "max_output_tokens": 1024,
            "active": true,
        }),
    )
    .context("adding the model")?;
    Ok(())
}

/// A product with an empty list allows all models; the example product has a list.
fn allow_model_in_products(api: &Api, name: &str) -> Result<()> {
    let list = api.call("GET", "/api/collections/products/records?perPage=100", None)?;
    for product in list
        .pointer("/items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(models) = product.get("models").and_then(Value::as_array) else {
            continue;
        };
        if models.is_empty() || models.iter().any(|allowed| allowed == name) {
            continue;
        }
        let mut models = models.clone();
        models.push(json!(name));
        api.update(
            "products",
            &text_at(product, "/id")?,
            &json!({ "models": models }),
        )?;
    }
    Ok(())
}
