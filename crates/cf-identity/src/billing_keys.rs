//! Keys of the Billing API: for other programs of the operator, with which
//! they see and change every user and budget.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{Error, HashKey, Id, Kind, MasterKey, Result, Secret};
use cf_db::Tx;
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

/// A program that calls the Billing API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BillingKey {
    /// The record; none for the key given from outside.
    pub id: Option<Id>,
    /// What it is for.
    pub name: String,
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
                let name = "CLOUDFREEDOM_BILLING_API_KEY".to_owned();
                let tag = hash.tag(&[key.expose().as_bytes()]);
                (tag, Arc::new(BillingKey { id: None, name }))
            });
        Self {
            hash,
            outside,
            known: Cache::new(KEPT),
            unknown: Cache::new(KEPT),
        }
    }
}

impl Identity {
    /// Makes a key of the Billing API; this is the only time it can be read.
    pub async fn create_billing_key(&self, tx: &mut Tx, name: &str) -> Result<(Id, Secret)> {
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err(Error::invalid_field(
                "name",
                format!("A key's name has 1 to {MAX_NAME} characters."),
            ));
        }
        let key = Secret::new(format!("cfb-{}", self.0.random.token::<RANDOM>()));
        let id = Id::new(&self.0.random);
        let text = key.expose();
        tx.execute(
            "insert into billing_keys (id, name, last4, hash, created) values ($1, $2, $3, $4, $5)",
            vec![
                id.into(),
                name.into(),
                text[text.len() - 4..].into(),
                self.0.billing.hash.hash(text.as_bytes()).into(),
                self.0.clock.now().to_date_text().to_string().into(),
            ],
        )
        .await?;
        self.note_change(tx).await?;
        Ok((id, key))
    }

    /// Ends a key of the Billing API.
    pub async fn revoke_billing_key(&self, tx: &mut Tx, id: Id) -> Result<()> {
        let changed = tx
            .execute(
                "update billing_keys set status = 'revoked' where id = $1",
                vec![id.into()],
            )
            .await?;
        if changed == 0 {
            return Err(Error::new(Kind::NotFound, "There is no such billing key."));
        }
        self.note_change(tx).await?;
        Ok(())
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
        let read = inner.generation.read_at(now);
        let row = inner
            .db
            .query_opt(
                "select id, name from billing_keys where hash = $1 and status = 'active'",
                vec![keys.hash.hash(key.as_bytes()).into()],
            )
            .await?;
        let Some(row) = row else {
            keys.unknown.insert(tag, read);
            return Ok(None);
        };
        let found = Arc::new(BillingKey {
            id: Some(row.get("id")?),
            name: row.get("name")?,
        });
        keys.known.insert(tag, (read, Arc::clone(&found)));
        Ok(Some(found))
    }
}
