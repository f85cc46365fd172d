//! A ledger with one user in one tenant, on a clock that tests move.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{
    Caller, Clock, Currency, Keeping, KeyId, Limits, Nanos, PicoUsd, PriceMicros, Random,
    RequestId, Role, TenantId, Timestamp, Usage, UserId,
};
use cf_db::Db;
use cf_ledger::{
    AccountKind, CallRecord, CallStatus, Hold, HoldRequest, Ledger, NewAccount, OwnPrices, Period,
    PriceVersion, open_account,
};
use cf_testkit::TestDb;

pub struct Fixture {
    pub db: Db,
    pub ledger: Ledger,
    pub caller: Arc<Caller>,
    pub clock: Clock,
    pub random: Random,
    pub name: &'static str,
    test_db: TestDb,
}

/// One US dollar in the exact unit.
pub const DOLLAR: i128 = 1_000_000_000_000;

impl Fixture {
    /// A user with `limit` US dollars, on each database.
    pub async fn each(limit: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for test_db in cf_testkit::databases().await {
            all.push(Self::new(test_db, limit).await);
        }
        all
    }

    async fn new(test_db: TestDb, limit: &str) -> Self {
        let db = test_db.db.clone();
        Self::through(test_db, db, limit).await
    }

    /// A ledger that reaches the database in a way of its own.
    pub async fn through(test_db: TestDb, way: Db, limit: &str) -> Self {
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
                period: Period::rolling(if kind == AccountKind::User { 30 } else { 0 }),
                carry_over: false,
                time_zone: String::new(),
                resets_at: (kind == AccountKind::User)
                    .then(|| clock.now().after(Duration::from_secs(30 * 86_400))),
            };
            open_account(&mut tx, &new, "test", &clock, &random)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        let ledger = Ledger::start(way, clock.clone(), random.clone())
            .await
            .unwrap();
        Self {
            db,
            ledger,
            caller: Arc::new(caller),
            clock,
            random,
            name: test_db.name,
            test_db,
        }
    }

    /// Where the database is, for another process.
    pub fn location(&self) -> &cf_db::Location {
        &self.test_db.location
    }

    pub fn request(&self, worst: i128, least: i128) -> HoldRequest {
        HoldRequest {
            request_id: RequestId::new(self.clock.now(), &self.random),
            caller: Arc::clone(&self.caller),
            model: "small".into(),
            worst: PicoUsd(worst),
            least: PicoUsd(least),
            expires_in: Duration::from_secs(600),
        }
    }

    pub async fn reserve(&self, worst: i128) -> cf_base::Result<Hold> {
        self.ledger.reserve(self.request(worst, worst)).await
    }

    /// `(posted, pending)` of the user.
    pub async fn balance(&self) -> (Nanos, Nanos) {
        let account = cf_ledger::account(&self.db, self.caller.user_id.0)
            .await
            .unwrap()
            .unwrap();
        (account.posted, account.pending)
    }

    pub async fn count(&self, sql: &str) -> i64 {
        self.db
            .query_opt(sql, vec![])
            .await
            .unwrap()
            .unwrap()
            .at(0)
            .unwrap()
    }

    /// Fails unless the books add up and nothing is reserved.
    pub async fn assert_settled(&self) {
        self.ledger.flush().await.unwrap();
        assert_eq!(
            Ledger::verify(&self.db).await.unwrap(),
            vec![],
            "{}",
            self.name
        );
        assert_eq!(self.count("select count(*) from ledger_holds").await, 0);
        assert_eq!(self.balance().await.1, Nanos::ZERO);
    }
}

pub fn nanos(text: &str) -> Nanos {
    Nanos(cf_base::parse_decimal_nanos(text).unwrap())
}

/// A dollar for a million tokens, in and out.
pub fn price() -> Arc<PriceVersion> {
    let own = OwnPrices::parse(&serde_json::json!({"input": 1, "output": 1}))
        .unwrap()
        .unwrap();
    Arc::new(PriceVersion::own("openai", "small", &own))
}

/// A call that used `tokens` output tokens.
pub fn call(tokens: u64) -> CallRecord {
    let price = price();
    assert_eq!(price.prices.output, PriceMicros(1_000_000));
    CallRecord {
        attempts: String::new(),
        model_used: "small-1".into(),
        provider: "openai".into(),
        provider_key_id: None,
        usage: Usage {
            output: tokens,
            ..Usage::default()
        },
        price,
        status: CallStatus::Ok,
        estimated: false,
        latency_ms: 10,
        time_to_first_token_ms: 5,
    }
}
