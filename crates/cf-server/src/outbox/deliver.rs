//! The job that empties the outbox: claims what is due, sends it, writes down
//! what became of it. Every node runs it; a message is claimed for a time by one
//! of them, so that no two send it. A process that dies between sending and
//! writing down leaves the message to be sent again, under the same id.

use std::time::Duration;

use cf_base::{Id, Timestamp};
use cf_collections::Action;
use cf_db::Value;
use cf_mail::MailError;
use futures_util::future::join_all;

use super::Payload;
use crate::{App, webhooks};

/// Messages that are sent at a time.
const BATCH: i64 = 16;
/// How often is looked for what is due without being woken.
const IDLE: Duration = Duration::from_secs(1);
/// How long a claim lasts; longer than any sending, which ends after a minute.
const LEASE: Duration = Duration::from_secs(300);
/// How long the next try waits after each that failed. One more failure, after
/// about a day, and the message is given up.
const BACKOFF_SECONDS: [u64; 10] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800];
/// How much of a cause is kept.
const CAUSE: usize = 500;

/// A message that is ours to send.
struct Claimed {
    id: Id,
    recipient: String,
    webhook_id: String,
    sealed: String,
    tries: i64,
    written: Timestamp,
}

/// Why a message was not taken.
pub enum Failure {
    /// It never will be.
    Permanent(String),
    /// It may be later.
    Temporary(String),
}

impl From<MailError> for Failure {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Permanent(cause) => Self::Permanent(cause),
            MailError::Temporary(cause) => Self::Temporary(cause),
        }
    }
}

/// What is sent. Each has a loop of its own: a mail server that does not answer
/// holds up no webhook.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Mails.
    Mail,
    /// Webhook deliveries.
    Webhook,
}

impl Channel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

/// Sends what is due until the server stops.
pub async fn run(app: App, channel: Channel) {
    if channel == Channel::Mail && app.mailer.is_none() {
        // Mails wait for a mail server, or for a node that has one.
        return;
    }
    let mut failing = false;
    while !app.stopping.is_cancelled() {
        match batch(&app, channel).await {
            Ok(0) => {
                failing = false;
                tokio::select! {
                    () = app.outbox.wake.notified() => {}
                    () = tokio::time::sleep(IDLE) => {}
                    () = app.stopping.cancelled() => return,
                }
            }
            Ok(_) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::error!(%error, cause = ?error.source, "the outbox could not be emptied");
                }
                failing = true;
                tokio::select! {
                    () = tokio::time::sleep(IDLE) => {}
                    () = app.stopping.cancelled() => return,
                }
            }
        }
    }
}

/// Claims and sends one batch; returns how many messages it was.
async fn batch(app: &App, channel: Channel) -> cf_base::Result<usize> {
    let lease = Id::new(&app.random).to_string();
    let claimed = claim(app, channel, &lease).await?;
    let count = claimed.len();
    let sent = claimed.into_iter().map(|message| async {
        let outcome = send(app, &message).await;
        finish(app, &lease, message, outcome).await
    });
    for result in join_all(sent).await {
        result?;
    }
    Ok(count)
}

async fn claim(app: &App, channel: Channel, lease: &str) -> cf_base::Result<Vec<Claimed>> {
    let now = app.clock.now();
    let due = format!(
        "from messages where state = 'waiting' and next_try <= $1 and leased_until <= $2 \
         and (expires = '' or expires > $1) and kind = '{}'",
        channel.as_str()
    );
    let params: Vec<Value> = vec![now.to_date_text().to_string().into(), now.into()];
    // A read first: most of the time nothing is due, and nothing need be written.
    let any = format!("select 1 {due} limit 1");
    if app.db.query_opt(&any, params.clone()).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = app.db.begin().await?;
    let skip = if tx.is_postgres() {
        " for update skip locked"
    } else {
        ""
    };
    let sql = format!(
        "select id, recipient, webhook_id, content_sealed, tries, created {due} \
         order by next_try limit {BATCH}{skip}"
    );
    let mut claimed = Vec::new();
    for row in tx.query(&sql, params).await? {
        claimed.push(Claimed {
            id: row.at(0)?,
            recipient: row.at(1)?,
            webhook_id: row.at(2)?,
            sealed: row.at(3)?,
            // Counted now: one that ends the process must not be tried for ever.
            tries: row.at::<i64>(4)? + 1,
            written: Timestamp::parse(&row.at::<String>(5)?).unwrap_or(now),
        });
    }
    let until = now.after(LEASE);
    let rows = claimed
        .iter()
        .map(|m| vec![lease.into(), until.into(), m.tries.into(), m.id.into()])
        .collect();
    tx.execute_many(
        "update messages set lease = $1, leased_until = $2, tries = $3 where id = $4",
        rows,
    )
    .await?;
    tx.commit().await?;
    Ok(claimed)
}

async fn send(app: &App, message: &Claimed) -> Result<(), Failure> {
    let Some(payload) = app.outbox.open(message.id, message.sealed.clone()) else {
        return Err(Failure::Permanent(
            "the message cannot be opened: it was sealed with another master key".into(),
        ));
    };
    match payload {
        Payload::Mail { name, content } => match &app.mailer {
            Some(mailer) => Ok(mailer
                .send(
                    message.id.as_str(),
                    &message.recipient,
                    &name,
                    &content,
                    message.written,
                )
                .await?),
            None => Err(Failure::Temporary("no mail server is set".into())),
        },
        Payload::Webhook { body } => {
            webhooks::send(app, message.id, &message.webhook_id, body).await
        }
    }
}

async fn finish(
    app: &App,
    lease: &str,
    message: Claimed,
    outcome: Result<(), Failure>,
) -> cf_base::Result<()> {
    let now = app.clock.now();
    let date = now.to_date_text().to_string();
    let tried = usize::try_from(message.tries).unwrap_or(usize::MAX);
    let wait = BACKOFF_SECONDS.get(tried.saturating_sub(1)).copied();
    let (state, next, error) = match (outcome, wait) {
        (Ok(()), _) => ("sent", String::new(), String::new()),
        (Err(Failure::Temporary(cause)), Some(seconds)) => {
            // Up to a tenth more, so that what failed together does not return together.
            let more = app.random.below(seconds * 100 + 1);
            let next = now.after(Duration::from_millis(seconds * 1000 + more));
            ("waiting", next.to_date_text().to_string(), cause)
        }
        (Err(Failure::Temporary(cause) | Failure::Permanent(cause)), _) => {
            ("dead", String::new(), cause)
        }
    };
    let error: String = error
        .chars()
        .filter(|c| !c.is_control())
        .take(CAUSE)
        .collect();
    if state != "sent" {
        tracing::warn!(
            message = message.id.as_str(),
            tries = message.tries,
            cause = error,
            given_up = state == "dead",
            "a message was not sent"
        );
    }
    // What a mail says is of no more use once it is sent; a delivery can be repeated.
    let keep = state != "sent" || !message.webhook_id.is_empty();
    let changed = app
        .db
        .execute(
            "update messages set state = $1, next_try = $2, last_error = $3, updated = $4, \
             lease = '', leased_until = 0, content_sealed = $5 where id = $6 and lease = $7",
            vec![
                state.into(),
                next.into(),
                error.into(),
                date.into(),
                if keep { message.sealed } else { String::new() }.into(),
                message.id.into(),
                lease.into(),
            ],
        )
        .await?;
    if changed == 0 {
        tracing::warn!(
            message = message.id.as_str(),
            "a message was taken over while it was being sent"
        );
    }
    if let Err(error) = app
        .engine
        .publish("messages", Action::Update, message.id.as_str())
        .await
    {
        tracing::debug!(error = %error.message, "a change could not be published");
    }
    Ok(())
}
