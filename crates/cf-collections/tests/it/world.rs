//! Two tenants with an administrator and a user each, an administrator of the
//! house, and hooks that do the least a server must.

use std::sync::Arc;

use cf_base::{Clock, Random, Role, Timestamp, UserStatus};
use cf_collections::{
    AuthRecord, Engine, EngineParts, HookFuture, Hooks, ListParams, Principal, RecordError, Scope,
    Shape, Write,
};
use cf_db::Value;
use cf_testkit::{TestDb, databases};
use serde_json::{Map, Value as Json, json};

pub struct World {
    pub engine: Engine,
    pub clock: Clock,
    pub written: Written,
    pub test: TestDb,
    pub root: Principal,
    pub admin: Principal,
    pub a: Tenant,
    pub b: Tenant,
    pub product: String,
    pub retired: String,
}

pub struct Tenant {
    pub id: String,
    pub boss: Principal,
    pub user: Principal,
    pub key: String,
}

/// What a server must do at the least: fill the columns no client may send.
pub struct TestHooks {
    random: Random,
    written: Written,
}

/// What hooks were told was written.
pub type Written = Arc<parking_lot::Mutex<Vec<(&'static str, &'static str)>>>;

impl Hooks for TestHooks {
    fn prepare<'a>(
        &'a self,
        _: &'a Arc<cf_collections::Collection>,
        _: &'a Principal,
        _: Option<&'a cf_collections::Record>,
        write: &'a Write,
    ) -> HookFuture<'a, Vec<(&'static str, Value)>> {
        let hash = write.input_text("password").map(|p| format!("hash of {p}"));
        Box::pin(async move {
            Ok(hash
                .map(|h| ("password_hash", Value::from(h)))
                .into_iter()
                .collect())
        })
    }

    fn before_create<'a>(&'a self, scope: Scope<'a>, write: &'a mut Write) -> HookFuture<'a> {
        Box::pin(async move {
            match scope.collection.name {
                "users" | "_superusers" => write.set("token_key", self.random.token::<50>()),
                "api_keys" => {
                    let key = format!("sk-{}", self.random.token::<40>());
                    write.set("hash", format!("hash of {key}"));
                    write.set("prefix", &key[..6]);
                    write.set("last4", &key[key.len() - 4..]);
                    write.answer("key", key);
                }
                "provider_keys" => {
                    if let Some(secret) = write.input_text("secret") {
                        let masked = format!("••••{}", &secret[secret.len() - 4..]);
                        write.set("secret_sealed", "sealed");
                        write.set("secret_masked", masked);
                    }
                }
                _ => {}
            }
            if write.text("name") == Some("forbidden") {
                return Err(RecordError::field(
                    "name",
                    "validation_forbidden",
                    "Not this one.",
                ));
            }
            Ok(())
        })
    }

    fn after_create<'a>(&'a self, scope: Scope<'a>, write: &'a mut Write) -> HookFuture<'a> {
        Box::pin(async move {
            if let Some(limit) = write.input_nanos("budget_total") {
                scope
                    .tx
                    .execute(
                        "insert into ledger_accounts (owner_id, kind, currency, limit_nanos) \
                         values ($1, $2, $3, $4)",
                        vec![
                            write.id().into(),
                            scope.collection.name.into(),
                            "EUR".into(),
                            limit.into(),
                        ],
                    )
                    .await?;
            }
            Ok(())
        })
    }

    fn written<'a>(
        &'a self,
        scope: Scope<'a>,
        action: cf_collections::Action,
        old: Option<&'a cf_collections::Record>,
        new: Option<&'a cf_collections::Record>,
    ) -> HookFuture<'a> {
        assert!(old.is_some() || new.is_some());
        self.written
            .lock()
            .push((scope.collection.name, action.as_str()));
        Box::pin(async { Ok(()) })
    }

    fn after_update<'a>(
        &'a self,
        scope: Scope<'a>,
        _: &'a cf_collections::Record,
        write: &'a mut Write,
    ) -> HookFuture<'a> {
        Box::pin(async move {
            if let Some(limit) = write.input_nanos("budget_total") {
                scope
                    .tx
                    .execute(
                        "update ledger_accounts set limit_nanos = $1 where owner_id = $2",
                        vec![limit.into(), write.id().into()],
                    )
                    .await?;
            }
            Ok(())
        })
    }
}

/// A world on each database.
pub async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for test in databases().await {
        worlds.push(World::new(test).await);
    }
    worlds
}

pub fn body(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        other => panic!("{other} is no body"),
    }
}

impl World {
    pub async fn new(test: TestDb) -> Self {
        let clock = Clock::mock(Timestamp::parse("2026-11-24 10:00:00.123Z").unwrap());
        let random = Random::seeded(7);
        let written = Written::default();
        let engine = Engine::new(EngineParts {
            db: test.db.clone(),
            hooks: Arc::new(TestHooks {
                random: random.clone(),
                written: Arc::clone(&written),
            }),
            clock: clock.clone(),
            random,
        });
        let root = Principal::Superuser {
            id: "rootrootrootroo".into(),
            email: "root@example.com".into(),
        };
        let mut world = Self {
            engine,
            clock,
            written,
            test,
            admin: root.clone(),
            root,
            a: Tenant::none(),
            b: Tenant::none(),
            product: String::new(),
            retired: String::new(),
        };
        world.product = world
            .make("products", json!({"name": "Pro", "price": 99.0}))
            .await;
        world.retired = world
            .make("products", json!({"name": "Old", "active": false}))
            .await;
        world.a = world.tenant("alpha", true).await;
        world.b = world.tenant("beta", false).await;
        world.admin = world
            .person("admin@example.com", "admin", &world.a.id)
            .await;
        world
    }

    async fn tenant(&self, slug: &str, signup: bool) -> Tenant {
        let id = self
            .make(
                "tenants",
                json!({"name": slug, "slug": slug, "signup_enabled": signup}),
            )
            .await;
        let boss = self
            .person(&format!("boss@{slug}.example"), "tenant_admin", &id)
            .await;
        let user = self
            .person(&format!("user@{slug}.example"), "user", &id)
            .await;
        let key = self
            .make(
                "api_keys",
                json!({"name": "key", "user_id": user.id(), "tenant_id": id}),
            )
            .await;
        let tenant = Tenant {
            id,
            boss,
            user,
            key,
        };
        self.log_call(&tenant, slug).await;
        tenant
    }

    async fn person(&self, email: &str, role: &str, tenant: &str) -> Principal {
        let id = self
            .make(
                "users",
                json!({
                    "email": email, "name": email.split('@').next(), "role": role,
                    "status": "active", "tenant_id": tenant, "product_id": self.product,
                    "password": "long enough", "passwordConfirm": "long enough",
                    "budget_total": 100.0,
                }),
            )
            .await;
        Principal::User(Arc::new(AuthRecord {
            id,
            email: email.to_owned(),
            role: role.parse::<Role>().unwrap(),
            status: UserStatus::Active,
            tenant_id: tenant.to_owned(),
            product_id: self.product.clone(),
            collection: "users".to_owned(),
        }))
    }

    /// A usage row, a ledger entry and a notification, as the ledger writes them.
    async fn log_call(&self, tenant: &Tenant, slug: &str) {
        let id = |kind: &str| format!("{kind}{slug}aaaaaaaaaaaaaaa")[..15].to_owned();
        let (db, user) = (&self.test.db, tenant.user.id());
        db.execute(
            "insert into usage_logs (id, request_id, user_id, tenant_id, key_id, model, cost, \
             currency, tenant_currency, exchange_rate, tenant_exchange_rate, status, created) \
             values ($1, $2, $3, $4, $5, 'gpt-5', 1250000, 'EUR', 'EUR', 920000000, 920000000, \
             'ok', '2026-11-24 09:00:00.000Z')",
            vec![
                id("usage").into(),
                format!("request-{slug}").into(),
                user.into(),
                tenant.id.as_str().into(),
                tenant.key.as_str().into(),
            ],
        )
        .await
        .unwrap();
        db.execute(
            "insert into ledger_entries (id, kind, user_id, tenant_id, currency, posted_nanos, \
             created) values ($1, 'post', $2, $3, 'EUR', 1250000, '2026-11-24 09:00:00.000Z')",
            vec![id("entry").into(), user.into(), tenant.id.as_str().into()],
        )
        .await
        .unwrap();
        self.make(
            "notifications",
            json!({"user_id": user, "tenant_id": tenant.id, "kind": "budget", "title": "Low"}),
        )
        .await;
    }

    /// Makes a record as a superuser; returns its id.
    pub async fn make(&self, collection: &str, record: Json) -> String {
        let made = self.create(&self.root, collection, record).await.unwrap();
        made["id"].as_str().unwrap().to_owned()
    }

    pub async fn create(
        &self,
        who: &Principal,
        collection: &str,
        record: Json,
    ) -> Result<Json, RecordError> {
        self.engine
            .create(who, collection, &body(record), &Shape::default())
            .await
    }

    pub async fn update(
        &self,
        who: &Principal,
        collection: &str,
        id: &str,
        record: Json,
    ) -> Result<Json, RecordError> {
        self.engine
            .update(who, collection, id, &body(record), &Shape::default())
            .await
    }

    pub async fn view(
        &self,
        who: &Principal,
        collection: &str,
        id: &str,
    ) -> Result<Json, RecordError> {
        self.engine
            .view(who, collection, id, &Shape::default())
            .await
    }

    /// The records a principal can list that pass a filter.
    pub async fn list(
        &self,
        who: &Principal,
        collection: &str,
        filter: &str,
    ) -> Result<Vec<Json>, RecordError> {
        let params = ListParams {
            filter: filter.to_owned(),
            per_page: 1_000,
            ..ListParams::default()
        };
        let page = self.engine.list(who, collection, &params).await?;
        Ok(page["items"].as_array().unwrap().clone())
    }

    pub async fn count(&self, who: &Principal, collection: &str, filter: &str) -> usize {
        self.list(who, collection, filter)
            .await
            .unwrap_or_else(|e| panic!("{collection} with {filter}: {e}"))
            .len()
    }

    /// The field errors of a refusal, as `field: code`, sorted.
    #[track_caller]
    pub fn codes(refused: Result<Json, RecordError>) -> Vec<String> {
        let error = refused.expect_err("a refusal");
        assert_eq!(error.status, 400, "{error}");
        error
            .data
            .iter()
            .map(|(field, e)| format!("{field}: {}", e["code"].as_str().unwrap()))
            .collect()
    }
}

impl Tenant {
    fn none() -> Self {
        Self {
            id: String::new(),
            boss: Principal::Guest,
            user: Principal::Guest,
            key: String::new(),
        }
    }
}
