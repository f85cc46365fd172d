//! `Idempotency-Key` on money writes: the same key again gets the first answer,
//! with other content it is refused.

use axum::http::HeaderMap;
use cf_base::{Clock, Error, Kind, sha256_hex};
use cf_db::{DbError, Tx};
use serde_json::Value as Json;

/// Longest key, as Stripe has it.
const MAX_KEY: usize = 255;

/// A money write that may be a repeat.
pub struct Idempotent {
    scope: String,
    key: Option<String>,
    request_hash: String,
}

impl Idempotent {
    /// Reads the header. `scope` names who writes to what; `content` is what is asked.
    pub fn new(headers: &HeaderMap, scope: String, content: &Json) -> Result<Self, Error> {
        let key = match headers.get("idempotency-key") {
            None => None,
            Some(value) => match value.to_str() {
                Ok(text) if (1..=MAX_KEY).contains(&text.len()) => Some(text.to_owned()),
                _ => {
                    return Err(Error::invalid(
                        "Idempotency-Key is 1 to 255 visible ASCII characters.",
                    ));
                }
            },
        };
        Ok(Self {
            scope,
            key,
            request_hash: sha256_hex(content.to_string().as_bytes()),
        })
    }

    /// The first answer, where this is a repeat. Holds the key until the end of
    /// the transaction otherwise, so that two at once cannot both be the first.
    pub async fn earlier(&self, tx: &mut Tx, clock: &Clock) -> Result<Option<Json>, Error> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        let taken = tx
            .execute(
                "insert into idempotency_keys (scope, key, request_hash, status, body, created_at) \
                 values ($1, $2, $3, 0, '', $4) on conflict (scope, key) do nothing",
                vec![
                    (&self.scope).into(),
                    key.into(),
                    (&self.request_hash).into(),
                    clock.now().into(),
                ],
            )
            .await?;
        if taken == 1 {
            return Ok(None);
        }
        let row = tx
            .query_opt(
                "select request_hash, body from idempotency_keys where scope = $1 and key = $2",
                vec![(&self.scope).into(), key.into()],
            )
            .await?
            .ok_or_else(|| Error::internal(DbError::Data("an idempotency key vanished".into())))?;
        if row.get::<String>("request_hash")? != self.request_hash {
            return Err(Error::new(
                Kind::Conflict,
                "This Idempotency-Key was used before with other content.",
            ));
        }
        let body: String = row.get("body")?;
        serde_json::from_str(&body)
            .map(Some)
            .map_err(Error::internal)
    }

    /// Keeps the answer for repeats.
    pub async fn keep(&self, tx: &mut Tx, answer: &Json) -> Result<(), Error> {
        if let Some(key) = &self.key {
            tx.execute(
                "update idempotency_keys set status = 200, body = $1 where scope = $2 and key = $3",
                vec![answer.to_string().into(), (&self.scope).into(), key.into()],
            )
            .await?;
        }
        Ok(())
    }
}
