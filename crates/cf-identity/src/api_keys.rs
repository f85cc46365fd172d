//! API keys: made, replaced and revoked. Only a keyed hash is stored, so that
//! neither the database nor a backup of it lets anybody in. What a key costs is
//! not known here: its ledger account is made by whoever calls.

use std::time::Duration;

use cf_base::{Error, KeyId, Kind, Limits, Result, Secret, TenantId, Timestamp, UserId};
use cf_db::{DbError, Tx};

use crate::Identity;
use crate::accounts::date;

/// Random letters and digits of a key of ours (285 bits).
const RANDOM: usize = 48;
/// A key from elsewhere has at least so many characters …
const MIN_KEY: usize = 16;
/// … and at most so many.
const MAX_KEY: usize = 256;
/// Longest name of a key.
const MAX_NAME: usize = 200;
/// Most models in a key's list.
const MAX_MODELS: usize = 500;
/// Longest time for which a rotated key's predecessor stays good.
pub const MAX_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Keys shorter than this show less of themselves, as less of them is random.
const SHORT_KEY: usize = 32;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The user on whose budget it runs.
    pub user_id: UserId,
    /// The user's tenant.
    pub tenant_id: Option<TenantId>,
    /// What it is for.
    pub name: String,
    /// Models it may use (empty: all that the product allows).
    pub models: Vec<String>,
    /// How much may be asked with it at a time.
    pub limits: Limits,
    /// When it ends, if it does.
    pub expires: Option<Timestamp>,
    /// A key from elsewhere, set by an admin; none: a random one is made.
    pub key: Option<Secret>,
}

/// A key that was just made. The only time that it can be read.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The record.
    pub id: KeyId,
    /// The key itself.
    pub key: Secret,
    /// What may be shown from now on, such as `sk-AbCd••••wxyz`.
    pub masked: String,
}

/// A key as it stands in the database.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The record.
    pub id: KeyId,
    /// Whose it is.
    pub user_id: UserId,
    /// The owner's tenant.
    pub tenant_id: Option<TenantId>,
    /// What it is for.
    pub name: String,
    /// Whether it was revoked.
    pub revoked: bool,
    /// When it ends, if it does.
    pub expires: Option<Timestamp>,
    /// What may be shown of it.
    pub masked: String,
}

/// Whether a text can be a key at all.
pub(crate) fn is_key_text(key: &str) -> bool {
    (MIN_KEY..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
}

/// How a key may be shown: its beginning and its end.
fn ends(key: &str) -> (&str, &str) {
    let (first, last) = if key.len() < SHORT_KEY {
        (3, 2)
    } else {
        (7, 4)
    };
    (&key[..first], &key[key.len() - last..])
}

fn masked(prefix: &str, last: &str) -> String {
    format!("{prefix}••••{last}")
}

impl Identity {
    /// Makes a key.
    pub async fn issue_key(&self, tx: &mut Tx, new: NewKey) -> Result<Issued> {
        if new.name.chars().count() > MAX_NAME {
            return Err(Error::invalid_field(
                "name",
                format!("A key's name has at most {MAX_NAME} characters."),
            ));
        }
        if new.models.len() > MAX_MODELS {
            return Err(Error::invalid_field(
                "models",
                format!("A key lists at most {MAX_MODELS} models."),
            ));
        }
        let now = self.0.clock.now();
        if new.expires.is_some_and(|expires| expires <= now) {
            return Err(Error::invalid_field(
                "expires",
                "The key would have expired already; choose a later date.",
            ));
        }
        let key = match new.key {
            Some(key) if is_key_text(key.expose()) => key,
            Some(_) => {
                return Err(Error::invalid_field(
                    "key",
                    format!(
                        "An API key has {MIN_KEY} to {MAX_KEY} letters, digits and signs, \
                         and no spaces."
                    ),
                ));
            }
            None => self.random_key(),
        };
        let hash = self.0.api_key_hash.hash(key.expose().as_bytes());
        self.refuse_taken(tx, &hash).await?;

        let id = KeyId::new(&self.0.random);
        let (prefix, last4) = ends(key.expose());
        let date = now.to_date_text().to_string();
        let models = serde_json::to_string(&new.models).map_err(Error::internal)?;
        let expires = new
            .expires
            .map(|t| t.to_date_text().to_string())
            .unwrap_or_default();
        tx.execute(
            "insert into api_keys \
             (id, name, user_id, tenant_id, prefix, last4, hash, models, expires, created, updated, \
             rate_limit, tokens_per_minute, parallel_requests) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13)",
            vec![
                id.into(),
                new.name.into(),
                new.user_id.into(),
                text(new.tenant_id).into(),
                prefix.into(),
                last4.into(),
                hash.into(),
                models.into(),
                expires.into(),
                date.into(),
                i64::from(new.limits.requests_per_minute).into(),
                i64::from(new.limits.tokens_per_minute).into(),
                i64::from(new.limits.parallel_requests).into(),
            ],
        )
        .await
        .map_err(taken)?;
        self.note_change(tx).await?;
        let masked = masked(prefix, last4);
        Ok(Issued { id, key, masked })
    }

    /// Replaces a key by a new one; the old one stays good for `grace`. A
    /// predecessor that was still good from an earlier rotation ends now.
    pub async fn rotate_key(&self, tx: &mut Tx, id: KeyId, grace: Duration) -> Result<Issued> {
        if grace > MAX_GRACE {
            return Err(Error::invalid_field(
                "grace_seconds",
                format!(
                    "The old key can stay valid for at most {} seconds.",
                    MAX_GRACE.as_secs()
                ),
            ));
        }
        let now = self.0.clock.now();
        let found = self.key(tx, id).await?.ok_or_else(no_such_key)?;
        if found.revoked || found.expires.is_some_and(|expires| expires <= now) {
            return Err(Error::new(
                Kind::Conflict,
                "This API key was revoked or has expired; create a new one instead.",
            ));
        }
        let key = self.random_key();
        let (prefix, last4) = ends(key.expose());
        let changed = tx
            .execute(
                "update api_keys set previous_hash = hash, previous_until = $1, \
                 hash = $2, prefix = $3, last4 = $4, updated = $5 \
                 where id = $6 and status = 'active'",
                vec![
                    now.after(grace).into(),
                    self.0.api_key_hash.hash(key.expose().as_bytes()).into(),
                    prefix.into(),
                    last4.into(),
                    now.to_date_text().to_string().into(),
                    id.into(),
                ],
            )
            .await
            .map_err(taken)?;
        if changed == 0 {
            return Err(no_such_key());
        }
        self.note_change(tx).await?;
        let masked = masked(prefix, last4);
        Ok(Issued { id, key, masked })
    }

    /// Ends a key and its predecessor at once. Revoking it again changes nothing.
    pub async fn revoke_key(&self, tx: &mut Tx, id: KeyId) -> Result<()> {
        let now = self.0.clock.now().to_date_text().to_string();
        // The hash stays: a key that was revoked can never be set again.
        let changed = tx
            .execute(
                "update api_keys set status = 'revoked', previous_hash = '', previous_until = 0, \
                 updated = $1 where id = $2",
                vec![now.into(), id.into()],
            )
            .await?;
        if changed == 0 {
            return Err(no_such_key());
        }
        self.note_change(tx).await?;
        Ok(())
    }

    /// A key's record, for deciding who may touch it.
    pub async fn key(&self, tx: &mut Tx, id: KeyId) -> Result<Option<ApiKey>> {
        let row = tx
            .query_opt(
                "select user_id, tenant_id, name, status, expires, prefix, last4 \
                 from api_keys where id = $1",
                vec![id.into()],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let tenant: String = row.get("tenant_id")?;
        Ok(Some(ApiKey {
            id,
            user_id: UserId(row.get("user_id")?),
            tenant_id: TenantId::parse(&tenant).ok(),
            name: row.get("name")?,
            revoked: row.get::<String>("status")? != "active",
            expires: date(&row, "expires")?,
            masked: masked(&row.get::<String>("prefix")?, &row.get::<String>("last4")?),
        }))
    }

    fn random_key(&self) -> Secret {
        Secret::new(format!("sk-{}", self.0.random.token::<RANDOM>()))
    }

    /// Also a predecessor in its grace is taken: whoever holds it would call
    /// as somebody else from one moment to the next.
    async fn refuse_taken(&self, tx: &mut Tx, hash: &str) -> Result<()> {
        let found = tx
            .query_opt(
                "select id from api_keys where hash = $1 or previous_hash = $1 limit 1",
                vec![hash.into()],
            )
            .await?;
        found.map_or(Ok(()), |_| Err(key_taken()))
    }
}

/// Takes a user's keys along to another tenant. The caller notes the change.
pub async fn move_to_tenant(
    tx: &mut Tx,
    user: UserId,
    tenant: Option<TenantId>,
) -> Result<u64, DbError> {
    tx.execute(
        "update api_keys set tenant_id = $1 where user_id = $2",
        vec![text(tenant).into(), user.into()],
    )
    .await
}

fn text(tenant: Option<TenantId>) -> String {
    tenant.map(|t| t.to_string()).unwrap_or_default()
}

fn no_such_key() -> Error {
    Error::new(Kind::NotFound, "There is no such API key.")
}

fn key_taken() -> Error {
    Error::new(
        Kind::Conflict,
        "This API key is or was in use already; choose another.",
    )
}

fn taken(error: DbError) -> Error {
    match error {
        DbError::Unique(_) => key_taken(),
        other => other.into(),
    }
}
