//! What saving a record means elsewhere: passwords are hashed, keys made and
//! their hashes kept, secrets sealed, budgets opened and limits set, and every
//! change of an administrator is written down.

mod checks;
mod notices;
mod users;

use std::sync::{Arc, OnceLock};

use cf_base::{Clock, Currency, Id, Nanos, Random, Sealer, Secret, TenantId};
use cf_collections::{
    Action, Collection, HookFuture, Hooks, Hub, Level, Principal, Record, RecordError, Result,
    Scope, Write,
};
use cf_db::{Tx, Value};
use cf_identity::{Actor, AuditEntry, AuthCollection, Identity};
use cf_ledger::{AccountKind, By, NewAccount, Period, open_account, set_limit, set_time_zone};
use serde_json::{Map, Value as Json, json};

use self::checks::{
    check_day, check_model, check_product, check_regions, check_secret_moves, check_slug,
    check_terms, check_windows, check_zone,
};
use self::notices::{check_setting, check_thresholds};
use crate::outbox;
use crate::plans::PERIOD_DAYS;

/// The record engine's hooks.
pub struct Wiring {
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Passwords, keys and who is calling.
    pub identity: Identity,
    /// Seals provider secrets.
    pub sealer: Sealer,
    /// Whether providers may be in private networks.
    pub allow_private_upstreams: bool,
    /// Realtime connections; set once the engine that they need is there.
    pub hub: Arc<OnceLock<Hub>>,
}

impl Hooks for Wiring {
    fn prepare<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        _principal: &'a Principal,
        old: Option<&'a Record>,
        write: &'a Write,
    ) -> HookFuture<'a, Vec<(&'static str, Value)>> {
        Box::pin(async move { self.prepare_password(collection, old, write).await })
    }

    fn before_create<'a>(&'a self, scope: Scope<'a>, write: &'a mut Write) -> HookFuture<'a> {
        Box::pin(async move {
            match scope.collection.name {
                "provider_keys" => {
                    self.check_address(write)?;
                    self.seal_secret(write);
                }
                "models" => check_model(write)?,
                "exchange_rates" => check_day(write)?,
                "tenants" => {
                    check_slug(write)?;
                    check_zone(write)?;
                    check_regions(write)?;
                    check_terms(write)?;
                    check_thresholds(write, "budget_notices")?;
                }
                "products" => {
                    check_windows(write)?;
                    check_terms(write)?;
                }
                "settings" => check_setting(None, write)?,
                "webhooks" => {
                    self.check_webhook(write)?;
                    self.seal_webhook_secret(write, true)?;
                }
                "users" => check_product(scope.principal, write, true)?,
                "api_keys" => {
                    return Err(RecordError::new(
                        400,
                        "API keys are made with POST /api/keys, which answers with the key, once.",
                    ));
                }
                _ => {}
            }
            Ok(())
        })
    }

    fn after_create<'a>(&'a self, scope: Scope<'a>, write: &'a mut Write) -> HookFuture<'a> {
        Box::pin(async move {
            let actor = scope.principal.email().to_owned();
            match scope.collection.name {
                "users" => {
                    self.open_users_budget(scope.tx, write, &actor).await?;
                    // Nobody would see the key of somebody who signs up.
                    if scope.principal.level() > Level::Guest {
                        self.issue_first_key(scope.tx, write, &actor).await?;
                    }
                }
                "tenants" => self.open_tenants_budget(scope.tx, write, &actor).await?,
                _ => {}
            }
            Ok(())
        })
    }

    fn before_update<'a>(
        &'a self,
        scope: Scope<'a>,
        old: &'a Record,
        write: &'a mut Write,
    ) -> HookFuture<'a> {
        Box::pin(async move {
            match scope.collection.name {
                "provider_keys" => {
                    self.check_address(write)?;
                    check_secret_moves(old, write)?;
                    self.seal_secret(write);
                    // It was probably put right: the gateway tries it at once.
                    write.set("trouble", "");
                    write.set("trouble_since", "");
                    Ok(())
                }
                "api_keys" => {
                    if old.text("status") == "revoked" && write.text("status").is_some() {
                        return Err(RecordError::field(
                            "status",
                            "validation_invalid_value",
                            "A revoked key stays revoked; make a new one.",
                        ));
                    }
                    Ok(())
                }
                "models" => check_model(write),
                "exchange_rates" => check_day(write),
                "settings" => check_setting(Some(old), write),
                "webhooks" => {
                    self.check_webhook(write)?;
                    check_secret_moves(old, write)?;
                    self.seal_webhook_secret(write, false)
                }
                "tenants" => {
                    check_slug(write)?;
                    check_zone(write)?;
                    check_regions(write)?;
                    check_terms(write)?;
                    check_thresholds(write, "budget_notices")?;
                    keep_currency(scope, old, write).await
                }
                "products" => {
                    check_windows(write)?;
                    check_terms(write)?;
                    keep_currency(scope, old, write).await
                }
                "users" | "_superusers" => {
                    if scope.collection.name == "users" {
                        check_product(scope.principal, write, false)?;
                    }
                    // Another address: who signed in with the old one must again.
                    if write.text("email").is_some() {
                        write.set("token_key", self.identity.new_token_key());
                    }
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    fn after_update<'a>(
        &'a self,
        scope: Scope<'a>,
        old: &'a Record,
        write: &'a mut Write,
    ) -> HookFuture<'a> {
        Box::pin(async move {
            let actor = scope.principal.email().to_owned();
            // A new token key ends every session, and what they listen to.
            if write.get("token_key").is_some()
                && let Some(hub) = self.hub.get().cloned()
            {
                let (collection, id) = (scope.collection.name, old.id().to_owned());
                scope.tx.after_commit(move || hub.sign_out(collection, &id));
            }
            match scope.collection.name {
                "users" => self.update_user(scope.tx, old, write, &actor).await?,
                "tenants" => {
                    if let Some(limit) = write.input_nanos("budget_total") {
                        let limit = (limit.0 > 0).then_some(limit);
                        self.set_limit(scope.tx, old.id(), limit, &actor).await?;
                    }
                    if let Some(zone) = write
                        .text("time_zone")
                        .filter(|zone| *zone != old.text("time_zone"))
                    {
                        let (owner, now) = (id(old.id())?, self.clock.now());
                        set_time_zone(scope.tx, TENANTS_OWNERS, owner, zone, now).await?;
                    }
                }
                "api_keys" => {
                    if let Some(limit) = write.input_nanos("budget_total") {
                        let limit = (limit.0 > 0).then_some(limit);
                        self.set_limit(scope.tx, old.id(), limit, &actor).await?;
                    }
                }
                _ => {}
            }
            Ok(())
        })
    }

    fn before_delete<'a>(&'a self, scope: Scope<'a>, old: &'a Record) -> HookFuture<'a> {
        Box::pin(async move {
            if scope.collection.name == "provider_keys" {
                keep_used_key(scope.tx, old).await?;
            }
            if scope.collection.name == "_superusers" {
                let others = scope
                    .tx
                    .query_opt(
                        "select 1 from superusers where id <> $1 limit 1",
                        vec![old.id().into()],
                    )
                    .await?;
                if others.is_none() {
                    return Err(RecordError::new(
                        400,
                        "This is the last superuser; make another one first.",
                    ));
                }
            }
            Ok(())
        })
    }

    fn after_delete<'a>(&'a self, scope: Scope<'a>, old: &'a Record) -> HookFuture<'a> {
        Box::pin(async move {
            outbox::forget(scope.tx, scope.collection.name, old.id()).await?;
            cf_gateway::forget_responses(scope.tx, scope.collection.name, old.id()).await?;
            Ok(())
        })
    }

    fn written<'a>(
        &'a self,
        scope: Scope<'a>,
        action: Action,
        old: Option<&'a Record>,
        new: Option<&'a Record>,
    ) -> HookFuture<'a> {
        Box::pin(async move {
            let identity = self.identity.clone();
            scope.tx.after_commit(move || identity.invalidate_all());
            let Some(record) = new.or(old) else {
                return Ok(());
            };
            if let (Some(old), "users" | "_superusers") = (old, scope.collection.name) {
                self.end_connections(scope.tx, old, new);
            }
            if scope.collection.name == "notifications" {
                return Ok(());
            }
            let tenant = match scope.collection.name {
                "tenants" => record.id(),
                _ => record.text("tenant_id"),
            };
            let entry = AuditEntry {
                actor: Actor::new(
                    scope.principal.collection(),
                    scope.principal.id(),
                    scope.principal.email(),
                ),
                action: action.as_str(),
                collection: scope.collection.name,
                record_id: record.id(),
                tenant_id: TenantId::parse(tenant).ok(),
                changes: changes(old, new),
            };
            self.identity.audit(scope.tx, entry).await?;
            Ok(())
        })
    }
}

impl Wiring {
    /// Hashes a new password. Who changes the own one must know the old one.
    async fn prepare_password(
        &self,
        collection: &Collection,
        old: Option<&Record>,
        write: &Write,
    ) -> Result<Vec<(&'static str, Value)>> {
        let Some(password) = write.input_text("password") else {
            return Ok(Vec::new());
        };
        // Handed over exactly where somebody changes the own record.
        if let Some(old) = old
            && let Some(known) = write.input_text("oldPassword")
        {
            let known = Secret::new(known);
            let account = match AuthCollection::find(collection.name) {
                Some(auth) => self.identity.account(auth, id(old.id())?).await?,
                None => None,
            };
            let right = match &account {
                Some(account) => self.identity.prove_password(account, &known).await?,
                None => false,
            };
            if !right {
                return Err(RecordError::field(
                    "oldPassword",
                    "validation_invalid_old_password",
                    "Missing or invalid old password.",
                ));
            }
        }
        let hash = self.identity.hash_password(&Secret::new(password)).await?;
        // A new token key ends every session of the record.
        Ok(vec![
            ("password_hash", hash.expose().into()),
            ("token_key", self.identity.new_token_key().into()),
        ])
    }

    fn check_address(&self, write: &Write) -> Result<()> {
        let Some(address) = write.text("base_url").filter(|a| !a.is_empty()) else {
            return Ok(());
        };
        cf_http::check_address(address, self.allow_private_upstreams)
            .map_err(|sentence| RecordError::field("base_url", "validation_invalid_url", sentence))
    }

    /// The secret goes into the database sealed; what is read back is a mask.
    fn seal_secret(&self, write: &mut Write) {
        let Some(secret) = write.input_text("secret").filter(|s| !s.is_empty()) else {
            return;
        };
        let secret = Secret::new(secret);
        let row = format!("provider_keys/{}", write.id());
        let sealed = self.sealer.seal(&secret, &row, &self.random);
        write.set("secret_sealed", sealed.0);
        write.set("secret_masked", secret.masked());
    }

    async fn open_tenants_budget(&self, tx: &mut Tx, write: &Write, actor: &str) -> Result<()> {
        let currency = write.text("currency").and_then(Currency::parse);
        let account = NewAccount {
            owner: id(write.id())?,
            kind: AccountKind::Tenant,
            currency: currency.unwrap_or(Currency::EUR),
            limit: write.input_nanos("budget_total").filter(|l| l.0 > 0),
            used: Nanos::ZERO,
            period: Period::Days(PERIOD_DAYS),
            carry_over: false,
            time_zone: write.text("time_zone").unwrap_or_default().to_owned(),
            resets_at: None,
        };
        self.open(tx, &account, actor).await
    }

    fn by<'a>(&'a self, note: &'a str, actor: &'a str) -> By<'a> {
        By {
            note,
            actor,
            clock: &self.clock,
            random: &self.random,
        }
    }

    async fn open(&self, tx: &mut Tx, account: &NewAccount, actor: &str) -> Result<()> {
        open_account(tx, account, actor, &self.clock, &self.random).await?;
        Ok(())
    }

    async fn set_limit(
        &self,
        tx: &mut Tx,
        owner: &str,
        limit: Option<Nanos>,
        actor: &str,
    ) -> Result<()> {
        let owner = id(owner)?;
        set_limit(
            tx,
            owner,
            limit,
            "limit set",
            actor,
            &self.clock,
            &self.random,
        )
        .await?;
        Ok(())
    }

    /// Whoever may no longer be signed in is no longer told of changes.
    fn end_connections(&self, tx: &mut Tx, old: &Record, new: Option<&Record>) {
        let ended = match new {
            None => true,
            Some(new) => ["status", "role", "tenant_id", "email"]
                .iter()
                .any(|field| old.get(field) != new.get(field)),
        };
        if ended && let Some(hub) = self.hub.get().cloned() {
            let (collection, id) = (old.collection().name, old.id().to_owned());
            tx.after_commit(move || hub.sign_out(collection, &id));
        }
    }
}

/// A model that runs on a key would fail at each call without it.
async fn keep_used_key(tx: &mut Tx, old: &Record) -> Result<()> {
    /// Models named in the sentence; the first are as good as all to start with.
    const NAMED: usize = 5;
    let key = old.id();
    let rows = tx
        .query(
            "select name, deployments from models where deployments like $1 order by name",
            vec![format!("%{key}%").into()],
        )
        .await?;
    let mut models = Vec::new();
    for row in rows {
        let deployments: Json = serde_json::from_str(&row.at::<String>(1)?).unwrap_or_default();
        let uses = |deployment: &Json| deployment["provider_key"] == key;
        if deployments.as_array().is_some_and(|d| d.iter().any(uses)) {
            models.push(row.at::<String>(0)?);
        }
    }
    if models.is_empty() {
        return Ok(());
    }
    let more = models.len().saturating_sub(NAMED);
    models.truncate(NAMED);
    let mut names = models.join(", ");
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    let sentence = format!(
        "The provider key \"{}\" is used by {names}. Take it out of the deployments there first.",
        old.text("name")
    );
    let mut refusal = RecordError::field("id", "validation_in_use", sentence.clone());
    refusal.message = sentence.into();
    Err(refusal)
}

/// Budgets are kept in the currency of product or tenant: it stays while
/// somebody's budget is in it.
async fn keep_currency(scope: Scope<'_>, old: &Record, write: &Write) -> Result<()> {
    let changes = write
        .text("currency")
        .is_some_and(|currency| currency != old.text("currency"));
    if !changes {
        return Ok(());
    }
    let users = match scope.collection.name {
        "products" => "select 1 from users where product_id = $1 limit 1",
        _ => "select 1 from users where tenant_id = $1 limit 1",
    };
    let used = scope.tx.query_opt(users, vec![old.id().into()]).await?;
    if used.is_some() {
        return Err(RecordError::field(
            "currency",
            "validation_invalid_value",
            "The currency cannot change while users have budgets in it; make a new record instead.",
        ));
    }
    if scope.collection.name == "tenants" {
        scope
            .tx
            .execute(
                "update ledger_accounts set currency = $1 where owner_id = $2",
                vec![
                    write.text("currency").unwrap_or_default().into(),
                    old.id().into(),
                ],
            )
            .await?;
    }
    Ok(())
}

/// Whose budgets go by a tenant's time zone, as [`set_time_zone`] wants it.
const TENANTS_OWNERS: &str = "select id from tenants where id = $1 \
    union select id from users where tenant_id = $1 \
    union select id from api_keys where tenant_id = $1";
fn id(text: &str) -> Result<Id> {
    Id::parse(text).map_err(|_| RecordError::not_found())
}

/// What became different: `{"field": [before, after]}`; of a new or deleted
/// record its fields. The audit trail itself hides what is secret.
fn changes(old: Option<&Record>, new: Option<&Record>) -> Json {
    const OF_ITSELF: &[&str] = &["collectionId", "collectionName", "created", "updated"];
    let mut changes = Map::new();
    match (old, new) {
        (Some(old), Some(new)) => {
            let before = old.to_json();
            for (field, after) in new.to_json() {
                let was = before.get(&field).cloned().unwrap_or(Json::Null);
                if was != after && !OF_ITSELF.contains(&field.as_str()) {
                    changes.insert(field, json!([was, after]));
                }
            }
        }
        (Some(record), None) | (None, Some(record)) => {
            for (field, value) in record.to_json() {
                if !OF_ITSELF.contains(&field.as_str()) {
                    changes.insert(field, value);
                }
            }
        }
        (None, None) => {}
    }
    Json::Object(changes)
}
