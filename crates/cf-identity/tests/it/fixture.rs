//! A small installation: two tenants, a product, users in each.

use std::net::IpAddr;
use std::time::Duration;

use cf_base::{
    Clock, Error, Id, Kind, Limits, MasterKey, Random, Secret, TenantId, Timestamp, UserId,
};
use cf_db::{Db, Value};
use cf_identity::{Account, AuthCollection, Identity, IdentityParams, Issued, NewKey, SignInError};
use cf_testkit::{TestDb, databases};

pub const PASSWORD: &str = "correct horse";
pub const PRODUCT: &str = "productproduct1";

pub struct Fixture {
    pub identity: Identity,
    pub clock: Clock,
    pub random: Random,
    pub master: MasterKey,
    pub test: TestDb,
    pub tenant: TenantId,
    pub other_tenant: TenantId,
}

/// The installation on each database.
pub async fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    for test in databases().await {
        all.push(Fixture::new(test).await);
    }
    all
}

impl Fixture {
    async fn new(test: TestDb) -> Self {
        let clock = Clock::mock(Timestamp::parse("2026-11-24 10:00:00.000Z").unwrap());
        let random = Random::seeded(11);
        let master = MasterKey::new(&random);
        let identity = Identity::new(
            test.db.clone(),
            clock.clone(),
            random.clone(),
            &master,
            &IdentityParams::cheap_for_tests(),
        );
        let tenant = TenantId::parse("tenanttenant001").unwrap();
        let other_tenant = TenantId::parse("tenanttenant002").unwrap();
        for (id, slug, currency) in [(tenant, "app", "EUR"), (other_tenant, "other", "CHF")] {
            test.db
                .execute(
                    "insert into tenants (id, name, slug, currency, created, updated) \
                     values ($1, $2, $2, $3, '', '')",
                    vec![id.into(), slug.into(), currency.into()],
                )
                .await
                .unwrap();
        }
        test.db
            .execute(
                "insert into products (id, name, currency, models, rate_limit, tokens_per_minute, \
                 parallel_requests, created, updated) \
                 values ($1, 'Pro', 'USD', '[\"small\",\"large\"]', 60, 1000, 3, '', '')",
                vec![PRODUCT.into()],
            )
            .await
            .unwrap();
        Self {
            identity,
            clock,
            random,
            master,
            test,
            tenant,
            other_tenant,
        }
    }

    pub fn db(&self) -> &Db {
        &self.test.db
    }

    /// A user of the first tenant with the product, active, role `user`.
    pub async fn user(&self, email: &str) -> UserId {
        let id = UserId::new(&self.random);
        let hash = self
            .identity
            .hash_password(&Secret::new(PASSWORD))
            .await
            .unwrap();
        self.db()
            .execute(
                "insert into users (id, email, password_hash, token_key, status, tenant_id, \
                 product_id, created, updated) \
                 values ($1, $2, $3, $4, 'active', $5, $6, '', '')",
                vec![
                    id.into(),
                    email.into(),
                    hash.expose().into(),
                    self.identity.new_token_key().into(),
                    self.tenant.into(),
                    PRODUCT.into(),
                ],
            )
            .await
            .unwrap();
        id
    }

    pub async fn superuser(&self, email: &str) -> Id {
        let id = Id::new(&self.random);
        let hash = self
            .identity
            .hash_password(&Secret::new(PASSWORD))
            .await
            .unwrap();
        self.db()
            .execute(
                "insert into superusers (id, email, password_hash, token_key, created, updated) \
                 values ($1, $2, $3, $4, '', '')",
                vec![
                    id.into(),
                    email.into(),
                    hash.expose().into(),
                    self.identity.new_token_key().into(),
                ],
            )
            .await
            .unwrap();
        id
    }

    pub fn new_key(&self, user: UserId) -> NewKey {
        NewKey {
            user_id: user,
            tenant_id: Some(self.tenant),
            name: "test".into(),
            models: vec![],
            limits: Limits::default(),
            expires: None,
            key: None,
        }
    }

    pub async fn key(&self, user: UserId) -> Issued {
        self.issue(self.new_key(user)).await.unwrap()
    }

    pub async fn issue(&self, new: NewKey) -> Result<Issued, Error> {
        let mut tx = self.db().begin().await.unwrap();
        let issued = self.identity.issue_key(&mut tx, new).await?;
        tx.commit().await.unwrap();
        Ok(issued)
    }

    /// Changes one column in this process, as the server does.
    pub async fn set(&self, table: &str, id: impl Into<Value>, column: &str, value: &str) {
        let mut tx = self.db().begin().await.unwrap();
        let sql = format!("update {table} set {column} = $1 where id = $2");
        let changed = tx
            .execute(&sql, vec![value.into(), id.into()])
            .await
            .unwrap();
        assert_eq!(changed, 1, "{table}.{column}");
        self.identity.note_change(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn text(&self, sql: &str, id: impl Into<Value>) -> String {
        let row = self.db().query_opt(sql, vec![id.into()]).await.unwrap();
        row.expect("a row").at(0).unwrap()
    }

    pub async fn account(&self, user: UserId) -> Account {
        self.identity
            .account(AuthCollection::Users, user.0)
            .await
            .unwrap()
            .expect("the user exists")
    }

    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        address: &str,
    ) -> Result<Account, SignInError> {
        let address: IpAddr = address.parse().unwrap();
        self.identity
            .sign_in(
                AuthCollection::Users,
                email,
                &Secret::new(password),
                address,
            )
            .await
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// What the key is answered with, where it is refused.
    pub async fn refused(&self, key: &str) -> Kind {
        let error = self
            .identity
            .caller_by_key(key)
            .await
            .expect_err("the key is refused");
        assert!(!error.message.contains(key), "a key is never echoed");
        error.kind
    }
}
