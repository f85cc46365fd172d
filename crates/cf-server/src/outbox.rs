//! The outbox: mails and webhook deliveries, written in the transaction that
//! causes them and sent after it. A message keeps its id however often it is
//! tried, so a receiver can tell a repeat; what it says is sealed in the
//! database, since mails may carry tokens.

mod deliver;

use std::sync::Arc;
use std::time::Duration;

use cf_base::{Clock, Error, Id, Kind, Random, Sealed, Sealer, Secret};
use cf_db::{Db, Tx, Value};
use cf_mail::{Content, Letter};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use deliver::{Channel, Failure, run};

/// Messages that may wait at a time; past that new ones are dropped, aloud.
const WAITING: i64 = 10_000;
/// Largest message.
const CONTENT: usize = 256 << 10;
/// How long a message that is not wanted any more is kept for looking at.
const KEEP_SENT: Duration = Duration::from_secs(30 * 86_400);
const KEEP_DEAD: Duration = Duration::from_secs(90 * 86_400);
/// Rows that are cleaned up at a time.
const CLEANED: i64 = 1_000;

/// What is sent.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Payload {
    /// A mail.
    Mail {
        /// The recipient's name.
        name: String,
        /// What it says.
        content: Content,
    },
    /// A webhook's body.
    Webhook {
        /// JSON.
        body: String,
    },
}

/// A mail to write.
pub struct NewMail<'a> {
    /// What it tells, such as `budget_notice`.
    pub event: &'a str,
    /// The address.
    pub to: &'a str,
    /// The recipient's name; may be empty.
    pub name: &'a str,
    /// The recipient, where it is a user: the mail goes when the user goes.
    pub user_id: &'a str,
    /// The tenant it is about; may be empty.
    pub tenant_id: &'a str,
    /// What it says.
    pub letter: &'a Letter,
    /// How long it is worth sending.
    pub valid_for: Duration,
}

/// A webhook delivery to write.
pub struct NewDelivery<'a> {
    /// The event.
    pub event: &'a str,
    /// The webhook it goes to, and its name.
    pub webhook_id: &'a str,
    /// The webhook's name.
    pub webhook: &'a str,
    /// The tenant it is about; may be empty.
    pub tenant_id: &'a str,
    /// The body, JSON.
    pub body: String,
}

/// What is on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Messages still to be sent.
    pub waiting: i64,
    /// Messages that were given up.
    pub dead: i64,
}

/// The outbox; cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    clock: Clock,
    random: Random,
    sealer: Sealer,
    /// Wakes the jobs that send; one that is busy looks again by itself.
    wake: Arc<Notify>,
}

/// One row to insert.
struct Row<'a> {
    event: &'a str,
    recipient: &'a str,
    user_id: &'a str,
    tenant_id: &'a str,
    webhook_id: &'a str,
    subject: &'a str,
    expires: String,
    payload: Payload,
}

impl Outbox {
    /// An outbox in the database.
    pub fn new(clock: Clock, random: Random, sealer: Sealer) -> Self {
        Self {
            clock,
            random,
            sealer,
            wake: Arc::new(Notify::new()),
        }
    }

    /// Writes a mail, to stand or fall with the transaction. None if too many
    /// messages wait already: then nothing is written.
    pub async fn mail(&self, tx: &mut Tx, mail: NewMail<'_>) -> cf_base::Result<Option<Id>> {
        let content = mail.letter.write();
        let subject = content.subject.clone();
        let expires = self.clock.now().after(mail.valid_for).to_date_text();
        let row = Row {
            event: mail.event,
            recipient: mail.to,
            user_id: mail.user_id,
            tenant_id: mail.tenant_id,
            webhook_id: "",
            subject: &subject,
            expires: expires.to_string(),
            payload: Payload::Mail {
                name: mail.name.to_owned(),
                content,
            },
        };
        self.insert(tx, row).await
    }

    /// Writes a delivery to a webhook; as [`Self::mail`].
    pub async fn delivery(
        &self,
        tx: &mut Tx,
        delivery: NewDelivery<'_>,
    ) -> cf_base::Result<Option<Id>> {
        let row = Row {
            event: delivery.event,
            recipient: delivery.webhook,
            user_id: "",
            tenant_id: delivery.tenant_id,
            webhook_id: delivery.webhook_id,
            subject: "",
            expires: String::new(),
            payload: Payload::Webhook {
                body: delivery.body,
            },
        };
        self.insert(tx, row).await
    }

    async fn insert(&self, tx: &mut Tx, row: Row<'_>) -> cf_base::Result<Option<Id>> {
        let waiting: i64 = tx
            .query_opt(
                "select count(*) from (select 1 from messages where state = 'waiting' limit $1) w",
                vec![WAITING.into()],
            )
            .await?
            .map_or(Ok(0), |row| row.at(0))?;
        if waiting >= WAITING {
            tracing::warn!(
                event = row.event,
                waiting,
                "the outbox is full; a message was not written"
            );
            return Ok(None);
        }
        let now = self.clock.now();
        let id = Id::sorted(now, &self.random);
        let content = serde_json::to_string(&row.payload).map_err(Error::internal)?;
        if content.len() > CONTENT {
            return Err(Error::new(
                Kind::TooLarge,
                format!("A message has at most {} KiB.", CONTENT >> 10),
            ));
        }
        let sealed = self
            .sealer
            .seal(&Secret::new(content), &aad(id), &self.random);
        let date = now.to_date_text().to_string();
        let kind = match row.payload {
            Payload::Mail { .. } => "mail",
            Payload::Webhook { .. } => "webhook",
        };
        tx.execute(
            "insert into messages (id, kind, event, recipient, user_id, tenant_id, webhook_id, \
             subject, content_sealed, expires, next_try, created, updated) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $11)",
            vec![
                id.into(),
                kind.into(),
                row.event.into(),
                row.recipient.into(),
                row.user_id.into(),
                row.tenant_id.into(),
                row.webhook_id.into(),
                row.subject.into(),
                sealed.0.into(),
                row.expires.into(),
                date.into(),
            ],
        )
        .await?;
        let wake = Arc::clone(&self.wake);
        tx.after_commit(move || wake.notify_waiters());
        Ok(Some(id))
    }

    fn open(&self, id: Id, sealed: String) -> Option<Payload> {
        let content = self.sealer.open(&Sealed(sealed), &aad(id))?;
        serde_json::from_str(content.expose()).ok()
    }

    /// Sends a message once more, from the first try on: one that was given up,
    /// one that waits for its next try, or a delivery that had come.
    pub async fn resend(&self, tx: &mut Tx, id: Id) -> cf_base::Result<()> {
        let sql = format!(
            "select content_sealed, expires, leased_until, state from messages where id = $1{}",
            tx.for_update()
        );
        let Some(row) = tx.query_opt(&sql, vec![id.into()]).await? else {
            return Err(Error::new(Kind::NotFound, "There is no such message."));
        };
        let now = self.clock.now();
        let date = now.to_date_text().to_string();
        let refused = |sentence: &'static str| Err(Error::new(Kind::Conflict, sentence));
        let expires: String = row.at(1)?;
        if row.at::<String>(3)? == "waiting" && row.at::<i64>(2)? > now.as_millis() {
            return refused("This message is being sent right now.");
        }
        if !expires.is_empty() && expires <= date {
            return refused("This message is not worth sending any more: its time is over.");
        }
        if row.at::<String>(0)?.is_empty() {
            return refused("This message was sent, and what a mail says is not kept after that.");
        }
        tx.execute(
            "update messages set state = 'waiting', tries = 0, last_error = '', next_try = $1, \
             updated = $1, lease = '', leased_until = 0 where id = $2",
            vec![date.into(), id.into()],
        )
        .await?;
        let wake = Arc::clone(&self.wake);
        tx.after_commit(move || wake.notify_waiters());
        Ok(())
    }

    /// How many wait and how many were given up.
    pub async fn counts(&self, db: &Db) -> cf_base::Result<Counts> {
        let rows = db
            .query(
                "select state, count(*) from messages where state in ('waiting', 'dead') \
                 group by state",
                vec![],
            )
            .await?;
        let mut counts = Counts::default();
        for row in &rows {
            match row.at::<String>(0)?.as_str() {
                "waiting" => counts.waiting = row.at(1)?,
                _ => counts.dead = row.at(1)?,
            }
        }
        Ok(counts)
    }

    /// Gives up what is not worth sending any more, and forgets what was sent or
    /// given up long ago.
    pub async fn clean(&self, db: &Db) -> cf_base::Result<()> {
        let now = self.clock.now();
        let date = now.to_date_text().to_string();
        let expired =
            "state = 'waiting' and expires <> '' and expires <= $1 and leased_until <= $2";
        let params: Vec<Value> = vec![(&date).into(), now.into()];
        let sql = format!("select 1 from messages where {expired} limit 1");
        if db.query_opt(&sql, params.clone()).await?.is_some() {
            let sql = format!(
                "update messages set state = 'dead', content_sealed = '', updated = $1, \
                 last_error = 'not sent in time' where {expired}"
            );
            db.execute(&sql, params).await?;
        }
        for (state, keep) in [("sent", KEEP_SENT), ("dead", KEEP_DEAD)] {
            let before = cf_base::Timestamp::from_millis(
                now.as_millis() - i64::try_from(keep.as_millis()).unwrap_or(i64::MAX),
            );
            let old = format!("select id from messages where state = '{state}' and updated < $1");
            let params: Vec<Value> = vec![before.to_date_text().to_string().into()];
            // A read first: most of the time there is nothing to write.
            let sql = format!("{old} limit 1");
            if db.query_opt(&sql, params.clone()).await?.is_some() {
                let sql = format!("delete from messages where id in ({old} limit {CLEANED})");
                db.execute(&sql, params).await?;
            }
        }
        Ok(())
    }
}

/// Forgets the messages that point at a record that goes.
pub async fn forget(tx: &mut Tx, collection: &str, id: &str) -> cf_base::Result<()> {
    let sql = match collection {
        "users" => "delete from messages where user_id = $1",
        "tenants" => "delete from messages where tenant_id = $1",
        "webhooks" => "delete from messages where webhook_id = $1",
        _ => return Ok(()),
    };
    tx.execute(sql, vec![id.into()]).await?;
    Ok(())
}

/// The row a sealed content belongs to.
fn aad(id: Id) -> String {
    format!("messages/{id}")
}
