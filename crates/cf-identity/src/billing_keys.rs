//! Keys of the Billing API: for other programs of the operator, each with what
//! it may do, for all tenants or one, at most so many requests a minute.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cf_base::{Error, HashKey, Id, Kind, MasterKey, Result, Secret, TenantId};
use cf_db::{Db, Row, Tx};
use quick_cache::sync::Cache;
use subtle::ConstantTimeEq;

use crate::Identity;
use crate::cache::ReadAt;

/// Random letters and digits of a key.
const RANDOM: usize = 48;
/// Longest text that is looked at.
const MAX_KEY: usize = 512;
/// Longest name of a key.
const MAX_NAME: usize = 200;
/// Answers that are kept, of good and of wrong keys.
const KEPT: usize = 1_000;
/// How long a wrong key is remembered to be wrong.
const UNKNOWN_AGE: Duration = Duration::from_secs(5);
/// Active keys at most: each is a program of the operator.
const MAX_KEYS: i64 = 500;
/// Requests a minute where nothing else is said: a thousand a second.
pub const BILLING_REQUESTS_PER_MINUTE: u32 = 60_000;
/// The highest number of requests a minute that can be set.
pub const MAX_BILLING_REQUESTS_PER_MINUTE: u32 = 10_000_000;

/// One thing that a billing key may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BillingScope {
    /// See users, usage and statements.
    Read,
    /// Ask whether a budget covers a call, reserve for it and release that again.
    Check,
    /// Report what was used, and release what was reserved.
    Log,
    /// Everything: make and change users, budgets and limits too.
    Manage,
}

impl BillingScope {
    /// All, in the order they are shown.
    pub const ALL: [Self; 4] = [Self::Read, Self::Check, Self::Log, Self::Manage];

    /// The word in records and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Check => "check",
            Self::Log => "log",
            Self::Manage => "manage",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// What a billing key may do; `manage` is all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BillingScopes(Vec<BillingScope>);

impl BillingScopes {
    /// Everything.
    pub fn all() -> Self {
        Self(vec![BillingScope::Manage])
    }

    /// From words; at least one, no unknown one.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut scopes = Vec::new();
        for word in words {
            let scope = BillingScope::parse(word).ok_or_else(|| {
                Error::invalid_field(
                    "scopes",
                    format!(
                        "There is no scope \"{word}\"; scopes are read, check, log and manage."
                    ),
                )
            })?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        if scopes.is_empty() {
            return Err(Error::invalid_field(
                "scopes",
                "A key has at least one of the scopes read, check, log and manage.",
            ));
        }
        Ok(Self(scopes))
    }

    /// Whether a key with these may do what needs `scope`.
    pub fn allow(&self, scope: BillingScope) -> bool {
        self.0.contains(&BillingScope::Manage) || self.0.contains(&scope)
    }

    /// The words, as given.
    pub fn words(&self) -> Vec<&'static str> {
        self.0.iter().map(|scope| scope.as_str()).collect()
    }

    fn to_json(&self) -> String {
        serde_json::to_string(&self.words()).expect("words are plain text")
    }

    fn from_json(text: &str) -> Self {
        // What cannot be read allows nothing.
        let words: Vec<String> = serde_json::from_str(text).unwrap_or_default();
        Self(
            words
                .iter()
                .filter_map(|w| BillingScope::parse(w))
                .collect(),
        )
    }
}

impl fmt::Display for BillingScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(","))
    }
}

/// A program that calls the Billing API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BillingKey {
    /// The record; none for the key given from outside.
    pub id: Option<Id>,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: BillingScopes,
    /// The one tenant it sees and touches; none for all.
    pub tenant_id: Option<TenantId>,
    /// Requests a minute.
    pub requests_per_minute: u32,
}

impl BillingKey {
    /// The key's name in places that know it by id: the record's id, or `outside`
    /// for the one key that is given from outside.
    pub fn id_text(&self) -> String {
        self.id
            .map_or_else(|| "outside".into(), |id| id.to_string())
    }
}

/// A key to make.
pub struct NewBillingKey {
    /// What it is for. Keys are told apart by their ids; a name may be given again.
    pub name: String,
    /// What it may do.
    pub scopes: BillingScopes,
    /// The one tenant it sees and touches; none for all.
    pub tenant_id: Option<TenantId>,
    /// Requests a minute.
    pub requests_per_minute: u32,
}

impl NewBillingKey {
    /// A key for everything.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            scopes: BillingScopes::all(),
            tenant_id: None,
            requests_per_minute: BILLING_REQUESTS_PER_MINUTE,
        }
    }
}

/// A key as it is listed: without the secret, which nobody has any more.
pub struct ListedBillingKey {
    /// The key; its `id` is always there.
    pub key: BillingKey,
    /// The last four characters of the secret.
    pub last4: String,
    /// When it was made.
    pub created: String,
    /// When it was revoked; empty while it works.
    pub revoked: String,
    /// Whether it works.
    pub active: bool,
}

type Tag = [u8; 32];

pub(crate) struct BillingKeys {
    hash: HashKey,
    outside: Option<(Tag, Arc<BillingKey>)>,
    known: Cache<Tag, (ReadAt, Arc<BillingKey>)>,
    unknown: Cache<Tag, ReadAt>,
}

impl BillingKeys {
    pub fn new(master: &MasterKey, outside: Option<&Secret>) -> Self {
        let hash = master.derive("billing-keys");
        let outside = outside
            // An empty variable is one that was not set, not an empty key.
            .filter(|key| !key.expose().is_empty())
            .map(|key| {
                let tag = hash.tag(&[key.expose().as_bytes()]);
                let key = BillingKey {
                    id: None,
                    name: "CLOUDFREEDOM_BILLING_API_KEY".to_owned(),
                    scopes: BillingScopes::all(),
                    tenant_id: None,
                    requests_per_minute: BILLING_REQUESTS_PER_MINUTE,
                };
                (tag, Arc::new(key))
            });
        Self {
            hash,
            outside,
            known: Cache::new(KEPT),
            unknown: Cache::new(KEPT),
        }
    }
}

fn no_such_key() -> Error {
    Error::new(Kind::NotFound, "There is no such billing key in use.")
}

const SELECT: &str = "select id, name, last4, scopes, tenant_id, requests_per_minute, status, created, \
                      revoked from billing_keys";

fn read(row: &Row) -> Result<BillingKey> {
    let tenant: String = row.get("tenant_id")?;
    let tenant_id = match tenant.as_str() {
        "" => None,
        // A tenant that cannot be read must not become all tenants.
        text => Some(TenantId::parse(text).map_err(Error::internal)?),
    };
    Ok(BillingKey {
        id: Some(row.get("id")?),
        name: row.get("name")?,
        scopes: BillingScopes::from_json(&row.get::<String>("scopes")?),
        tenant_id,
        requests_per_minute: row.get("requests_per_minute")?,
    })
}

/// How many keys there are, revoked ones too.
pub async fn count_billing_keys(db: &Db) -> Result<i64> {
    let row = db
        .query_opt("select count(*) from billing_keys", vec![])
        .await?;
    Ok(row.map_or(Ok(0), |row| row.at(0))?)
}

/// The newest keys first, those that work before those that were revoked.
pub async fn list_billing_keys(db: &Db, limit: u32, offset: u64) -> Result<Vec<ListedBillingKey>> {
    let sql = format!("{SELECT} order by status, created desc, id limit $1 offset $2");
    let rows = db
        .query(
            &sql,
            vec![
                i64::from(limit).into(),
                i64::try_from(offset).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ListedBillingKey {
                key: read(row)?,
                last4: row.get("last4")?,
                created: row.get("created")?,
                revoked: row.get("revoked")?,
                active: row.get::<String>("status")? == "active",
            })
        })
        .collect()
}

impl Identity {
    /// Makes a key of the Billing API; this is the only time it can be read.
    pub async fn create_billing_key(
        &self,
        tx: &mut Tx,
        new: &NewBillingKey,
    ) -> Result<(Id, Secret)> {
        if new.name.trim().is_empty() || new.name.chars().count() > MAX_NAME {
            return Err(Error::invalid_field(
                "name",
                format!("A key's name has 1 to {MAX_NAME} characters."),
            ));
        }
        if !(1..=MAX_BILLING_REQUESTS_PER_MINUTE).contains(&new.requests_per_minute) {
            return Err(Error::invalid_field(
                "requests_per_minute",
                format!("requests_per_minute is 1 to {MAX_BILLING_REQUESTS_PER_MINUTE}."),
            ));
        }
        if let Some(tenant) = new.tenant_id
            && tx
                .query_opt("select 1 from tenants where id = $1", vec![tenant.into()])
                .await?
                .is_none()
        {
            return Err(Error::invalid_field(
                "tenant_id",
                "There is no such tenant.",
            ));
        }
        let row = tx
            .query_opt(
                "select count(*) from billing_keys where status = 'active'",
                vec![],
            )
            .await?;
        if row.map_or(Ok(0), |row| row.at::<i64>(0))? >= MAX_KEYS {
            return Err(Error::invalid(format!(
                "There are {MAX_KEYS} billing keys in use; revoke some first."
            )));
        }
        let key = Secret::new(format!("cfb-{}", self.0.random.token::<RANDOM>()));
        let id = Id::new(&self.0.random);
        let text = key.expose();
        tx.execute(
            "insert into billing_keys (id, name, last4, hash, scopes, tenant_id, \
             requests_per_minute, created) values ($1, $2, $3, $4, $5, $6, $7, $8)",
            vec![
                id.into(),
                (&new.name).into(),
                text[text.len() - 4..].into(),
                self.0.billing.hash.hash(text.as_bytes()).into(),
                new.scopes.to_json().into(),
                new.tenant_id
                    .map(|t| t.to_string())
                    .unwrap_or_default()
                    .into(),
                i64::from(new.requests_per_minute).into(),
                self.0.clock.now().to_date_text().to_string().into(),
            ],
        )
        .await?;
        self.note_change(tx).await?;
        Ok((id, key))
    }

    /// Ends a key of the Billing API; says which one it was.
    pub async fn revoke_billing_key(&self, tx: &mut Tx, id: &str) -> Result<BillingKey> {
        let mut revoked = self.revoke_where(tx, "id", id).await?;
        revoked.pop().ok_or_else(no_such_key)
    }

    /// Ends every key of the Billing API that has this name; says which ones.
    pub async fn revoke_billing_keys_named(
        &self,
        tx: &mut Tx,
        name: &str,
    ) -> Result<Vec<BillingKey>> {
        match self.revoke_where(tx, "name", name).await? {
            none if none.is_empty() => Err(no_such_key()),
            revoked => Ok(revoked),
        }
    }

    async fn revoke_where(
        &self,
        tx: &mut Tx,
        column: &'static str,
        value: &str,
    ) -> Result<Vec<BillingKey>> {
        let sql = format!("{SELECT} where status = 'active' and {column} = $1");
        let rows = tx.query(&sql, vec![value.into()]).await?;
        let keys: Vec<BillingKey> = rows.iter().map(read).collect::<Result<_>>()?;
        let now = self.0.clock.now().to_date_text().to_string();
        for key in &keys {
            tx.execute(
                "update billing_keys set status = 'revoked', revoked = $1 where id = $2",
                vec![(&now).into(), key.id_text().into()],
            )
            .await?;
        }
        self.note_change(tx).await?;
        Ok(keys)
    }

    /// The program behind a key of the Billing API; `None` if the key is wrong.
    pub async fn billing_key(&self, key: &str) -> Result<Option<Arc<BillingKey>>> {
        let inner = &*self.0;
        let keys = &inner.billing;
        if key.is_empty() || key.len() > MAX_KEY {
            return Ok(None);
        }
        let tag = keys.hash.tag(&[key.as_bytes()]);
        if let Some((outside, found)) = &keys.outside
            && bool::from(outside.ct_eq(&tag))
        {
            return Ok(Some(Arc::clone(found)));
        }
        let now = inner.clock.now();
        if let Some((read, found)) = keys.known.get(&tag)
            && inner.generation.is_fresh(read, now)
        {
            return Ok(Some(found));
        }
        if let Some(read) = keys.unknown.get(&tag)
            && inner.generation.is_fresher_than(read, now, UNKNOWN_AGE)
        {
            return Ok(None);
        }
        let read_at = inner.generation.read_at(now);
        let row = inner
            .db
            .query_opt(
                &format!("{SELECT} where hash = $1 and status = 'active'"),
                vec![keys.hash.hash(key.as_bytes()).into()],
            )
            .await?;
        let Some(row) = row else {
            keys.unknown.insert(tag, read_at);
            return Ok(None);
        };
        let found = Arc::new(read(&row)?);
        keys.known.insert(tag, (read_at, Arc::clone(&found)));
        Ok(Some(found))
    }
}
