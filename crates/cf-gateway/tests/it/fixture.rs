//! A gateway with one user in one tenant, its books and its providers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{
    Caller, Clock, Currency, Id, Keeping, KeyId, Limits, MasterKey, Nanos, Random, RequestId, Role,
    Sealer, Secret, TenantId, Timestamp, UserId,
};
use cf_db::{Db, Row, Value};
use cf_gateway::{Asked, Deadlines, Dialect, Gateway, GatewayBody, GatewayParts, Wishes};
use cf_http::HttpClient;
use cf_ledger::{AccountKind, Ledger, NewAccount, Period, open_account};
use cf_testkit::{MockUpstream, TestDb};
use http::Response;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub struct Fixture {
    pub db: Db,
    pub ledger: Ledger,
    pub gateway: Gateway,
    pub caller: Arc<Caller>,
    pub clock: Clock,
    pub random: Random,
    pub name: &'static str,
    sealer: Sealer,
    _test_db: TestDb,
}

/// What a provider is sent as its secret.
pub const SECRET: &str = "sk-provider-0123456789";
/// Silence that a gateway bears which is to lose its patience.
pub const PATIENCE: Duration = Duration::from_millis(400);
/// Silence after which a client is sent a comment, where that is looked at.
pub const KEEP_ALIVE: Duration = Duration::from_millis(100);
/// Silence that any other bears, on a busy machine too.
const LONG: Duration = Duration::from_secs(30);

/// What is in `usage_logs` about one call.
#[derive(Debug, PartialEq, Eq)]
pub struct Logged {
    pub status: String,
    pub estimated: bool,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cost: Nanos,
}

impl Fixture {
    /// A user with `limit` US dollars, on SQLite.
    pub async fn new(limit: &str) -> Self {
        Self::on(TestDb::sqlite().await, limit, LONG, true).await
    }

    /// The same, of little patience with providers.
    pub async fn impatient() -> Self {
        Self::on(TestDb::sqlite().await, "10", PATIENCE, true).await
    }

    /// The same, where private addresses are not allowed.
    pub async fn guarded() -> Self {
        Self::on(TestDb::sqlite().await, "10", LONG, false).await
    }

    /// The same on each database.
    pub async fn each(limit: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for test_db in cf_testkit::databases().await {
            all.push(Self::on(test_db, limit, LONG, true).await);
        }
        all
    }

    /// The same, where clients hear something now and then.
    pub async fn talkative() -> Self {
        Self::with(TestDb::sqlite().await, "10", LONG, KEEP_ALIVE, true).await
    }

    async fn on(test_db: TestDb, limit: &str, patience: Duration, allow_private: bool) -> Self {
        Self::with(test_db, limit, patience, LONG, allow_private).await
    }

    async fn with(
        test_db: TestDb,
        limit: &str,
        patience: Duration,
        keep_alive: Duration,
        allow_private: bool,
    ) -> Self {
        let clock = Clock::mock(Timestamp::parse("2026-01-10 12:00:00Z").unwrap());
        let random = Random::seeded(11);
        let db = test_db.db.clone();
        let caller = Caller {
            user_id: UserId::new(&random),
            tenant_id: TenantId::new(&random),
            key_id: Some(KeyId::new(&random)),
            role: Role::User,
            product_id: None,
            product_models: vec![],
            key_models: vec![],
            limits: Limits::default(),
            key_limits: Limits::default(),
            tenant_limits: Limits::default(),
            keeping: Keeping::default(),
            regions: vec![],
            currency: Currency::USD,
            tenant_currency: Currency::USD,
        };
        let mut tx = db.begin().await.unwrap();
        for (owner, kind, limit) in [
            (caller.user_id.0, AccountKind::User, Some(nanos(limit))),
            (caller.tenant_id.0, AccountKind::Tenant, None),
            (caller.key_id.unwrap().0, AccountKind::Key, None),
        ] {
            let new = NewAccount {
                owner,
                kind,
                currency: Currency::USD,
                limit,
                used: Nanos::ZERO,
                period: Period::Total,
                carry_over: false,
                time_zone: String::new(),
                resets_at: None,
            };
            open_account(&mut tx, &new, "test", &clock, &random)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        let ledger = Ledger::start(db.clone(), clock.clone(), random.clone())
            .await
            .unwrap();
        let master = MasterKey::new(&random);
        let sealer = Sealer::new(&master);
        let gateway = Gateway::new(GatewayParts {
            clock: clock.clone(),
            random: random.clone(),
            deadlines: Deadlines {
                first_byte: patience,
                gap: patience,
                keep_alive,
                books: patience,
                total: patience * 10,
            },
            ledger: ledger.clone(),
            http: HttpClient::new(allow_private),
            sealer: sealer.clone(),
            requests: master.derive("requests"),
            db: db.clone(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
        .await
        .unwrap();
        Self {
            db,
            ledger,
            gateway,
            caller: Arc::new(caller),
            clock,
            random,
            name: test_db.name,
            sealer,
            _test_db: test_db,
        }
    }

    /// A provider key; `tenant` empty for all.
    pub async fn key(&self, provider: &str, base_url: &str, tenant: &str) -> Id {
        self.key_with(provider, base_url, tenant, SECRET, json!({}))
            .await
    }

    /// A provider key with this secret and these settings; `region` among them.
    pub async fn key_with(
        &self,
        provider: &str,
        base_url: &str,
        tenant: &str,
        secret: &str,
        settings: serde_json::Value,
    ) -> Id {
        let id = Id::new(&self.random);
        let row = format!("provider_keys/{id}");
        let sealed = self.sealer.seal(&Secret::new(secret), &row, &self.random);
        let values: Vec<Value> = vec![
            id.into(),
            provider.into(),
            base_url.into(),
            sealed.0.into(),
            tenant.into(),
            settings["region"].as_str().unwrap_or_default().into(),
            settings.to_string().into(),
        ];
        let sql = "insert into provider_keys (id, name, provider, base_url, secret_sealed, tenant_id, \
                   region, settings, created, updated) values ($1, 'k', $2, $3, $4, $5, $6, $7, '', '')";
        self.db.execute(sql, values).await.unwrap();
        id
    }

    /// A model record; `fields` in place of the usual ones.
    pub async fn model(
        &self,
        name: &str,
        deployments: serde_json::Value,
        fields: serde_json::Value,
    ) {
        let text = |field: &str, usual: serde_json::Value| match &fields[field] {
            serde_json::Value::Null => usual,
            set => set.clone(),
        };
        // A dollar for a million tokens in, two for a million out.
        let prices = text("prices", json!({"input": 1, "output": 2}));
        let values: Vec<Value> = vec![
            Id::new(&self.random).into(),
            name.into(),
            deployments.to_string().into(),
            prices.to_string().into(),
            text("max_output_tokens", 1000.into())
                .as_i64()
                .unwrap()
                .into(),
            text("context_window", 0.into()).as_i64().unwrap().into(),
            text("tenant_id", "".into()).as_str().unwrap().into(),
            text("active", 1.into()).as_i64().unwrap().into(),
        ];
        let sql = "insert into models (id, name, deployments, prices, max_output_tokens, context_window, \
                   tenant_id, active, created, updated) \
                   values ($1, $2, $3, $4, $5, $6, $7, $8, '2026-01-01 00:00:00.000Z', '')";
        self.db.execute(sql, values).await.unwrap();
        self.gateway.reload().await.unwrap();
    }

    /// Changes a model's record.
    pub async fn change(&self, model: &str, column: &str, value: impl Into<Value>) {
        let sql = format!("update models set {column} = $1 where name = $2");
        let values = vec![value.into(), model.into()];
        self.db.execute(&sql, values).await.unwrap();
        self.gateway.reload().await.unwrap();
    }

    /// What was tried for the last call in the books: `(outcome, model)` each.
    pub async fn tried(&self) -> Vec<(String, String)> {
        self.ledger.flush().await.unwrap();
        // What comes after this is later.
        self.clock.advance(Duration::from_millis(1));
        let sql = "select attempts from usage_logs order by id desc limit 1";
        let row = self.db.query_opt(sql, vec![]).await.unwrap().unwrap();
        let text: String = row.at(0).unwrap();
        if text.is_empty() {
            return Vec::new();
        }
        let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let word = |entry: &serde_json::Value, name: &str| entry[name].as_str().unwrap().to_owned();
        list.iter()
            .map(|entry| (word(entry, "outcome"), word(entry, "model")))
            .collect()
    }

    /// The model `m`, deployed at these upstreams, tried in this order.
    pub async fn at(&self, upstreams: &[&MockUpstream]) {
        let mut deployments = Vec::new();
        for (order, upstream) in upstreams.iter().enumerate() {
            let key = self
                .key("openai_compatible", &upstream.base_url(), "")
                .await;
            deployments.push(
                json!({"provider_key": key, "model": format!("real-{order}"), "order": order}),
            );
        }
        self.model("m", deployments.into(), json!({})).await;
    }

    pub async fn send(&self, body: &serde_json::Value) -> cf_base::Result<Response<GatewayBody>> {
        self.send_as(&self.caller, body).await
    }

    pub async fn send_as(
        &self,
        caller: &Arc<Caller>,
        body: &serde_json::Value,
    ) -> cf_base::Result<Response<GatewayBody>> {
        let id = RequestId::new(self.clock.now(), &self.random);
        let body = Bytes::from(body.to_string());
        self.gateway.chat(Arc::clone(caller), body, id).await
    }

    /// A call of one of Anthropic's clients.
    pub async fn send_messages(
        &self,
        body: &serde_json::Value,
        wishes: Wishes,
    ) -> cf_base::Result<Response<GatewayBody>> {
        let id = RequestId::new(self.clock.now(), &self.random);
        let asked = Asked {
            dialect: Dialect::Anthropic,
            wishes,
        };
        let (caller, body) = (Arc::clone(&self.caller), Bytes::from(body.to_string()));
        self.gateway.chat_in(asked, caller, body, id).await
    }

    /// Every call in the books, in no order.
    pub async fn logged(&self) -> Vec<Logged> {
        self.ledger.flush().await.unwrap();
        let sql =
            "select status, estimated, prompt_tokens, completion_tokens, cost from usage_logs";
        let rows = self.db.query(sql, vec![]).await.unwrap();
        let read = |row: &Row| Logged {
            status: row.get("status").unwrap(),
            estimated: row.get("estimated").unwrap(),
            prompt_tokens: row.get("prompt_tokens").unwrap(),
            completion_tokens: row.get("completion_tokens").unwrap(),
            cost: row.get("cost").unwrap(),
        };
        rows.iter().map(read).collect()
    }

    /// The one call in the books; waits a little for one whose client has just left.
    pub async fn the_call(&self) -> Logged {
        for _ in 0..200 {
            let mut logged = self.logged().await;
            if let Some(call) = logged.pop() {
                assert!(logged.is_empty(), "one call: {call:?} {logged:?}");
                self.assert_settled().await;
                return call;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no call was logged");
    }

    pub async fn spent(&self) -> Nanos {
        self.account().await.posted
    }

    pub async fn account(&self) -> cf_ledger::Account {
        let account = cf_ledger::account(&self.db, self.caller.user_id.0).await;
        account.unwrap().unwrap()
    }

    /// Fails unless the books add up and nothing is reserved.
    pub async fn assert_settled(&self) {
        self.ledger.flush().await.unwrap();
        let differences = Ledger::verify(&self.db).await.unwrap();
        assert_eq!(differences, vec![], "{}", self.name);
        let holds = "select count(*) from ledger_holds";
        let row = self.db.query_opt(holds, vec![]).await.unwrap().unwrap();
        assert_eq!(row.at::<i64>(0).unwrap(), 0, "nothing stays reserved");
        assert_eq!(self.account().await.pending, Nanos::ZERO);
    }
}

pub fn nanos(text: &str) -> Nanos {
    Nanos(cf_base::parse_decimal_nanos(text).unwrap())
}

pub fn plain() -> serde_json::Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
}

pub fn streamed() -> serde_json::Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true})
}

/// A prompt's tokens as the gateway estimates them.
pub fn estimate(body: &serde_json::Value) -> i64 {
    i64::try_from(body.to_string().len().div_ceil(4)).unwrap()
}

/// Cost at the usual prices.
pub fn cost(prompt: i64, completion: i64) -> Nanos {
    Nanos(prompt * 1_000 + completion * 2_000)
}

/// The next frame of a body as text; none at its end.
pub async fn frame(body: &mut GatewayBody) -> Option<String> {
    let frame = body.frame().await?.unwrap().into_data().unwrap();
    Some(String::from_utf8(frame.to_vec()).unwrap())
}

/// What is left of a body as text.
pub async fn text(body: GatewayBody) -> String {
    let bytes = body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn header<'a>(response: &'a Response<GatewayBody>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|v| v.to_str().unwrap())
}
