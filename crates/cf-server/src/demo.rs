//! Example data for `--demo`: the seed's tenant and product, an administrator,
//! a user and the built-in demo provider, made once on an empty data directory.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use cf_collections::RecordError;
use cf_identity::NewBillingKey;
use serde_json::{Value, json};

use crate::App;
use crate::provision::{self, NewAdmin, create, find};

const ADMIN: &str = "admin@example.com";
const USER: &str = "user@example.com";
const SUPERUSER: &str = "root@example.com";

/// Makes the example data, and writes how to sign in to `demo.json` in the data
/// directory, readable by its owner only. Does nothing where anybody exists.
pub async fn seed(app: &App) -> Result<(), String> {
    let path = app.config.data_dir.join("demo.json");
    if cf_identity::admin_exists(&app.db)
        .await
        .map_err(|e| e.to_string())?
    {
        return Ok(());
    }
    let access = records(app).await.map_err(|e| {
        format!(
            "the example data cannot be made: {} {:?}",
            e.message, e.data
        )
    })?;
    let text = serde_json::to_string_pretty(&access).map_err(|e| e.to_string())?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
    app.refresh().await.map_err(|e| e.to_string())?;
    tracing::info!(path = %path.display(), "example data made; sign-in and keys are in this file");
    Ok(())
}

async fn records(app: &App) -> Result<Value, RecordError> {
    let engine = &app.engine;
    let password = || app.random.token::<16>();
    let (admin_password, user_password, superuser_password) = (password(), password(), password());

    let product = json!({
        "name": "Pro Plan", "description": "Full access to all AI models",
        "price": 99.00, "currency": "EUR", "budget_included": 100.00,
        "models": ["gpt-5", "claude-4-opus", "gemini-2.5-pro", "demo", "smollm2-135m"],
        "features": ["unlimited_chat", "api_access", "priority_support"],
        "rate_limit": 1000, "active": true,
    });
    let product = create(engine, "products", product).await?;
    let tenant = json!({
        "name": "CloudFreedom Internal", "slug": provision::INTERNAL_TENANT,
        "type": "internal", "status": "active",
    });
    let tenant = match find(engine, "tenants", "slug", provision::INTERNAL_TENANT).await? {
        Some(tenant) => tenant,
        None => create(engine, "tenants", tenant).await?,
    };
    let admin = NewAdmin {
        email: ADMIN.into(),
        password: admin_password.clone(),
        name: "Admin".into(),
        tenant: None,
    };
    let admin = provision::create_admin(engine, &app.clock, admin).await?;
    let with_product = json!({"product_id": product["id"]});
    if let (Value::Object(body), Some(id)) = (with_product, admin["id"].as_str()) {
        engine
            .update(
                &provision::system(),
                "users",
                id,
                &body,
                &Default::default(),
            )
            .await?;
    }
    let user = json!({
        "email": USER, "name": "Max Mustermann", "role": "user", "status": "active",
        "verified": true, "password": user_password, "passwordConfirm": user_password,
        "tenant_id": tenant["id"], "product_id": product["id"],
    });
    let user = create(engine, "users", user).await?;
    let superuser = json!({
        "email": SUPERUSER, "password": superuser_password, "passwordConfirm": superuser_password,
    });
    create(engine, "_superusers", superuser).await?;
    let key = json!({"name": "Demo provider", "provider": "demo", "active": true});
    let key = create(engine, "provider_keys", key).await?;
    let model = json!({
        "name": "demo", "active": true,
        "deployments": [{"provider_key": key["id"], "model": "demo", "weight": 1, "order": 0}],
        "prices": {"input": 1.0, "output": 2.0}, "max_output_tokens": 1024, "context_window": 32768,
    });
    create(engine, "models", model).await?;
    let mut tx = app.db.begin().await?;
    let (_, billing) = app
        .identity
        .create_billing_key(&mut tx, &NewBillingKey::new("example"))
        .await?;
    tx.commit().await?;
    Ok(json!({
        "admin": {"email": ADMIN, "password": admin_password},
        "user": {"email": USER, "password": user_password, "api_key": user["litellm_api_key"]},
        "superuser": {"email": SUPERUSER, "password": superuser_password},
        "billing_api_key": billing.expose(),
        "model": "demo",
    }))
}
