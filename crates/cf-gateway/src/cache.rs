//! Answers that are given again to exactly the same request of the same tenant.
//!
//! Looked for once a call is let in and reserved, so that nothing is given to whom it
//! would be refused. What is known of a request is a keyed hash; answers are sealed.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cf_base::{
    Caller, Clock, Error, HashKey, ProviderKeyId, Random, Result, Sealed, Sealer, Secret, TenantId,
    Usage, UserId, sha256_hex,
};
use cf_db::{Db, Row, Tx};
use cf_ledger::PriceVersion;
use cf_llm::{Reuse, Wishes};
use parking_lot::Mutex;

use crate::plan::Candidate;
use crate::recording::{Recording, Served};

/// Largest answer that is kept.
pub const LARGEST: usize = 1 << 20;
/// Bytes kept for one tenant; what is more goes, the oldest first.
const MOST_OF_TENANT: i64 = 256 << 20;
/// After so many new bytes it is looked whether a tenant has too much.
const LOOKED_AFTER: i64 = 16 << 20;
/// Answers forgotten in one transaction.
const PRUNED: i64 = 200;

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Cache {
    db: Db,
    sealer: Sealer,
    clock: Clock,
    random: Random,
    /// Recognises requests.
    requests: HashKey,
    /// What each tenant got here since it was last looked at.
    grown: Arc<Mutex<HashMap<TenantId, i64>>>,
}

/// A request that is looked for.
pub struct Question<'a> {
    pub caller: &'a Caller,
    pub endpoint: &'static str,
    /// The public model.
    pub model: &'a str,
    /// Who would answer: a model that is moved elsewhere gives new answers, and a
    /// tenant limited to regions none from elsewhere.
    pub candidates: &'a [Candidate],
    pub wishes: &'a Wishes,
    pub body: &'a [u8],
}

/// What was found.
pub enum Found {
    Answer(Box<Kept>),
    /// Nothing: the answer to come is kept here.
    Place(Slot),
}

/// An answer that was given before.
pub struct Kept {
    pub body: Bytes,
    pub content_type: String,
    pub usage: Usage,
    pub estimated: bool,
    /// The provider's name of the model that gave it.
    pub model: String,
    key: String,
    percent: u32,
}

/// A place for an answer that is on its way.
pub struct Slot {
    cache: Cache,
    tag: String,
    tenant: TenantId,
    user: UserId,
    seconds: u32,
    copy: Recording,
}

impl Cache {
    pub fn new(db: Db, sealer: Sealer, clock: Clock, random: Random, requests: HashKey) -> Self {
        Self {
            db,
            sealer,
            clock,
            random,
            requests,
            grown: Arc::default(),
        }
    }

    /// Looks for an answer; `None` where the client wants none that is kept, or the
    /// tenant keeps none.
    pub async fn look(&self, question: &Question<'_>) -> Option<Found> {
        let caller = question.caller;
        let seconds = caller.keeping.cache_seconds;
        if seconds == 0 || question.wishes.reuse == Reuse::Never {
            return None;
        }
        let tag = self.tag(question);
        if question.wishes.reuse == Reuse::Allowed {
            match self.find(caller, &tag).await {
                Ok(Some(kept)) => return Some(Found::Answer(Box::new(kept))),
                Ok(None) => {}
                // The call goes its way without.
                Err(error) => {
                    tracing::warn!(%error, cause = ?error.source, "a kept answer could not be read");
                }
            }
        }
        Some(Found::Place(Slot {
            cache: self.clone(),
            tag,
            tenant: caller.tenant_id,
            user: caller.user_id,
            seconds,
            copy: Recording::new(LARGEST),
        }))
    }

    /// What a request is known by.
    fn tag(&self, question: &Question<'_>) -> String {
        let wishes = question.wishes;
        let candidates: Vec<(ProviderKeyId, &str)> = (question.candidates.iter())
            .map(|c| (c.deployment.key.id, c.deployment.model.as_str()))
            .collect();
        let head = serde_json::to_vec(&(
            question.caller.tenant_id,
            question.endpoint,
            question.model,
            candidates,
            wishes.drop_params,
            &wishes.anthropic_version,
            &wishes.anthropic_beta,
            sha256_hex(question.body),
        ))
        .expect("plain texts");
        self.requests.hash(&head)
    }

    async fn find(&self, caller: &Caller, tag: &str) -> Result<Option<Kept>> {
        // A shorter time holds at once, also for what was kept for longer.
        let now = self.clock.now();
        let since = now.as_millis() - i64::from(caller.keeping.cache_seconds) * 1000;
        let sql = "select content_type, model_used, provider_key_id, used, estimated, answer_sealed \
                   from kept_answers where tag = $1 and tenant_id = $2 and expires_at > $3 \
                   and made_at > $4";
        let params = vec![
            tag.into(),
            caller.tenant_id.into(),
            now.into(),
            since.into(),
        ];
        let row = self.db.query_opt(sql, params).await?;
        let read = |row: Row| {
            let sealed = Sealed(row.get("answer_sealed")?);
            let opened = self.sealer.open(&sealed, &place(tag));
            let answer = opened.ok_or_else(|| Error::internal("a kept answer cannot be opened"))?;
            let used: String = row.get("used")?;
            Ok(Kept {
                body: Bytes::copy_from_slice(answer.expose().as_bytes()),
                content_type: row.get("content_type")?,
                usage: serde_json::from_str(&used).map_err(Error::internal)?,
                estimated: row.get("estimated")?,
                model: row.get("model_used")?,
                key: row.get("provider_key_id")?,
                percent: caller.keeping.cache_price_percent,
            })
        };
        row.map(read).transpose()
    }

    /// Forgets what is too old, what tenants keep no more, and what they have too
    /// much of. Returns how many.
    pub async fn prune(&self) -> Result<u64> {
        let mut gone = 0;
        loop {
            let sql = "select tag, bytes from kept_answers where expires_at <= $1 or tenant_id not in \
                       (select id from tenants where cache_seconds > 0) limit $2";
            let params = vec![self.clock.now().into(), PRUNED.into()];
            let rows = self.db.query(sql, params).await?;
            gone += self.forget(&rows).await?;
            if rows.len() < usize::try_from(PRUNED).unwrap_or(usize::MAX) {
                break;
            }
        }
        let sql = "select tenant_id from kept_answers group by tenant_id \
                   having sum(bytes) > cast($1 as bigint)";
        let tenants = self.db.query(sql, vec![MOST_OF_TENANT.into()]).await?;
        for tenant in tenants {
            gone += self.trim(TenantId(tenant.get("tenant_id")?)).await?;
        }
        Ok(gone)
    }

    /// Forgets a tenant's oldest answers, as far as it has too many.
    async fn trim(&self, tenant: TenantId) -> Result<u64> {
        let mut gone = 0;
        loop {
            let sql = "select cast(sum(bytes) as bigint) from kept_answers where tenant_id = $1";
            let row = self.db.query_opt(sql, vec![tenant.into()]).await?;
            let sum: Option<i64> = row.map(|row| row.at(0)).transpose()?.flatten();
            let mut over = sum.unwrap_or(0) - MOST_OF_TENANT;
            if over <= 0 {
                return Ok(gone);
            }
            let sql = "select tag, bytes from kept_answers where tenant_id = $1 \
                       order by made_at, tag limit $2";
            let params = vec![tenant.into(), PRUNED.into()];
            let mut rows = self.db.query(sql, params).await?;
            let mut enough = 0;
            for row in &rows {
                if over <= 0 {
                    break;
                }
                over -= row.get::<i64>("bytes")?;
                enough += 1;
            }
            rows.truncate(enough);
            let forgotten = self.forget(&rows).await?;
            if forgotten == 0 {
                return Ok(gone);
            }
            gone += forgotten;
        }
    }

    async fn forget(&self, rows: &[Row]) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut tags = Vec::with_capacity(rows.len());
        for row in rows {
            tags.push(vec![row.get::<String>("tag")?.into()]);
        }
        let mut tx = self.db.begin().await?;
        let sql = "delete from kept_answers where tag = $1";
        let gone = tx.execute_many(sql, tags).await?;
        tx.commit().await?;
        Ok(gone.into_iter().sum())
    }
}

/// Forgets what was kept for a user or a tenant that is deleted.
pub async fn forget(tx: &mut Tx, collection: &str, id: &str) -> Result<()> {
    let of = match collection {
        "users" => "user_id",
        "tenants" => "tenant_id",
        _ => return Ok(()),
    };
    let sql = format!("delete from kept_answers where {of} = $1");
    tx.execute(&sql, vec![id.into()]).await?;
    Ok(())
}

impl Kept {
    /// What it is billed by: a share of the price of who gave it, as it is now.
    pub fn price(&self, candidates: &[Candidate]) -> Option<Arc<PriceVersion>> {
        let gave = |c: &&Candidate| {
            c.deployment.key.id.as_str() == self.key && c.deployment.model == self.model
        };
        let candidate = candidates.iter().find(gave).or(candidates.first())?;
        Some(Arc::new(candidate.price.share(self.percent)))
    }
}

impl Slot {
    /// The next piece of the answer.
    pub fn take(&mut self, piece: &[u8]) {
        self.copy.take(piece);
    }

    /// Keeps the answer, unless it is too large or no text. What cannot be kept is an
    /// answer all the same.
    pub async fn keep(self, content_type: &str, served: Served) {
        let (cache, tenant) = (self.cache.clone(), self.tenant);
        let kept = match self.write(content_type, served).await {
            Ok(bytes) => cache.grow(tenant, bytes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, cause = ?error.source, "an answer could not be kept");
        }
    }

    /// Returns how many bytes were kept.
    async fn write(self, content_type: &str, served: Served) -> Result<i64> {
        let Some(text) = self.copy.into_whole_text() else {
            return Ok(0);
        };
        let cache = &self.cache;
        let place = place(&self.tag);
        let sealed = (cache.sealer).seal(&Secret::new(text), &place, &cache.random);
        let bytes = i64::try_from(sealed.0.len()).unwrap_or(i64::MAX);
        let now = cache.clock.now();
        let expires = now.as_millis() + i64::from(self.seconds) * 1000;
        let used = serde_json::to_string(&served.usage).map_err(Error::internal)?;
        let key = served.key.map(|key| key.to_string()).unwrap_or_default();
        cache
            .db
            .execute(
                "insert into kept_answers (tag, tenant_id, user_id, made_at, expires_at, bytes, \
                 content_type, model_used, provider_key_id, used, estimated, answer_sealed) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
                 on conflict (tag) do update set user_id = excluded.user_id, \
                 made_at = excluded.made_at, expires_at = excluded.expires_at, \
                 bytes = excluded.bytes, content_type = excluded.content_type, \
                 model_used = excluded.model_used, provider_key_id = excluded.provider_key_id, \
                 used = excluded.used, estimated = excluded.estimated, \
                 answer_sealed = excluded.answer_sealed",
                vec![
                    self.tag.into(),
                    self.tenant.into(),
                    self.user.into(),
                    now.into(),
                    expires.into(),
                    bytes.into(),
                    content_type.into(),
                    served.model.into(),
                    key.into(),
                    used.into(),
                    served.estimated.into(),
                    sealed.0.into(),
                ],
            )
            .await?;
        Ok(bytes)
    }
}

impl Cache {
    /// A tenant got so many bytes more.
    async fn grow(&self, tenant: TenantId, bytes: i64) -> Result<()> {
        {
            let mut grown = self.grown.lock();
            let sum = grown.entry(tenant).or_default();
            *sum += bytes;
            if *sum < LOOKED_AFTER {
                return Ok(());
            }
            grown.remove(&tenant);
        }
        self.trim(tenant).await.map(drop)
    }
}

/// What a sealed answer belongs to.
fn place(tag: &str) -> String {
    format!("kept_answers/{tag}")
}
