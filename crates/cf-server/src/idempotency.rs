//! `Idempotency-Key` on money writes: the same key again gets the first answer,
//! byte for byte; with other content it is refused. A key belongs to its caller.
//!
//! Where the write is one transaction, the answer is kept in it. A reservation
//! is made by the ledger's writer in a transaction of its own: its id is written
//! down first, so that whoever comes after a crash finds it under that id.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cf_base::{Clock, Error, HashKey, Kind, MasterKey, RequestId, Sealer, Secret};
use cf_db::{Db, DbError, Row, Tx};
use serde_json::Value as Json;

use crate::App;
use crate::error::BillingError;
use crate::manager::Manager;

/// Longest key, as Stripe has it.
const MAX_KEY: usize = 255;
/// How long an answer is kept; at least a day is promised.
const KEPT: Duration = Duration::from_secs(48 * 3600);
/// How long a reservation may be at work before the next try takes it over.
const AT_WORK: Duration = Duration::from_secs(30);
/// How long a repeat waits for the first to be answered.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a waiting repeat looks.
const LOOK: Duration = Duration::from_millis(50);
/// Old answers removed in one transaction.
const PRUNED: i64 = 1_000;

/// What keys are told apart by and answers sealed with.
pub struct Idempotency {
    hash: HashKey,
    sealer: Sealer,
}

/// A money write that may be a repeat.
pub struct Once(Option<Key>);

struct Key {
    /// The caller, by id.
    scope: String,
    key: String,
    /// Keyed, since requests hold passwords.
    request_hash: String,
}

/// An answer as it is given and kept.
#[derive(Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, JSON.
    pub body: String,
    repeated: bool,
}

/// What a reservation's claim found.
pub enum Claimed {
    /// It is a repeat.
    Answered(Answer),
    /// It is to be made, under this id.
    Mine {
        /// The reservation's id.
        reservation: RequestId,
        /// Whether an earlier try may have made it.
        begun: bool,
    },
}

impl Answer {
    /// A new answer.
    pub fn new(status: StatusCode, body: &Json) -> Self {
        Self {
            status,
            body: body.to_string(),
            repeated: false,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], self.body).into_response();
        if self.repeated {
            response
                .headers_mut()
                .insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

impl Idempotency {
    /// The keys of an installation.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            hash: master.derive("idempotency-keys"),
            sealer: Sealer::new(master),
        }
    }

    /// Reads the header. `what` names method and path, `content` is what is asked.
    pub fn once(
        &self,
        headers: &HeaderMap,
        manager: &Manager,
        what: &str,
        content: &Json,
    ) -> Result<Once, BillingError> {
        let Some(value) = headers.get("idempotency-key") else {
            return Ok(Once(None));
        };
        let key = value
            .to_str()
            .ok()
            .filter(|text| (1..=MAX_KEY).contains(&text.len()))
            .ok_or_else(|| {
                Error::invalid("Idempotency-Key is 1 to 255 visible ASCII characters.")
            })?;
        Ok(Once(Some(Key {
            scope: manager.identity(),
            key: key.to_owned(),
            // Objects are sorted by name: how the sender orders them does not matter.
            request_hash: self.hash.hash(format!("{what}\n{content}").as_bytes()),
        })))
    }

    /// The answer that was first given to what the caller names by an id of its
    /// own, such as a `request_id`; kept as long as others are, then the newest.
    pub async fn first(&self, app: &App, scope: &str, id: &str, answer: Answer) -> Answer {
        let once = Once(Some(Key {
            scope: scope.to_owned(),
            key: id.to_owned(),
            // The ledger has compared the content.
            request_hash: String::new(),
        }));
        let kept = async {
            let mut tx = app.db.begin().await?;
            if let Some(first) = once.claim(app, &mut tx).await? {
                return Ok::<_, BillingError>(first);
            }
            once.keep(app, &mut tx, &answer).await?;
            tx.commit().await?;
            Ok(answer.clone())
        };
        match kept.await {
            Ok(first) => first,
            Err(error) => {
                // What is asked for is in the books; only a repeat may be told other sums.
                tracing::warn!(error = %error.error(), "an answer could not be kept for repeats");
                answer
            }
        }
    }

    /// Forgets what was kept long enough.
    pub async fn prune(&self, db: &Db, clock: &Clock) -> cf_base::Result<()> {
        loop {
            let gone = db
                .execute(
                    "delete from idempotency_keys where (scope, key) in \
                     (select scope, key from idempotency_keys where kept_until < $1 limit $2)",
                    vec![clock.now().into(), PRUNED.into()],
                )
                .await?;
            if gone < PRUNED.unsigned_abs() {
                return Ok(());
            }
        }
    }
}

const SELECT: &str = "select request_hash, status, body, locked_until, reservation_id \
                      from idempotency_keys where scope = $1 and key = $2";

impl Key {
    async fn insert(
        &self,
        tx: &mut Tx,
        clock: &Clock,
        reservation: Option<&RequestId>,
    ) -> Result<bool, DbError> {
        let now = clock.now();
        let taken = tx
            .execute(
                "insert into idempotency_keys (scope, key, request_hash, status, body, created_at, \
                 locked_until, reservation_id, kept_until) values ($1, $2, $3, 0, '', $4, $5, $6, $7) \
                 on conflict (scope, key) do nothing",
                vec![
                    (&self.scope).into(),
                    (&self.key).into(),
                    (&self.request_hash).into(),
                    now.into(),
                    now.after(AT_WORK).into(),
                    reservation.map_or("", RequestId::as_str).into(),
                    now.after(KEPT).into(),
                ],
            )
            .await?;
        Ok(taken == 1)
    }

    /// The answer in a row, if it is answered; refuses other content.
    fn answer(&self, row: &Row, idempotency: &Idempotency) -> Result<Option<Answer>, BillingError> {
        if row.get::<String>("request_hash")? != self.request_hash {
            return Err(BillingError::coded(
                "idempotency_key_reused",
                Error::new(
                    Kind::Conflict,
                    "This Idempotency-Key was used before for another request or with other content; \
                     take a new key for each write.",
                ),
            ));
        }
        let status: i64 = row.get("status")?;
        if status == 0 {
            return Ok(None);
        }
        let broken = || Error::internal(DbError::Data("a kept answer cannot be opened".into()));
        let sealed = cf_base::Sealed(row.get("body")?);
        let body = idempotency
            .sealer
            .open(&sealed, &self.row())
            .ok_or_else(broken)?;
        Ok(Some(Answer {
            status: u16::try_from(status)
                .ok()
                .and_then(|s| StatusCode::from_u16(s).ok())
                .ok_or_else(broken)?,
            body: body.expose().to_owned(),
            repeated: true,
        }))
    }

    fn row(&self) -> String {
        format!("idempotency_keys/{}/{}", self.scope, self.key)
    }

    fn params(&self) -> Vec<cf_db::Value> {
        vec![(&self.scope).into(), (&self.key).into()]
    }

    async fn keep(&self, app: &App, tx: &mut Tx, answer: &Answer) -> Result<bool, DbError> {
        let body = Secret::new(answer.body.clone());
        let sealed = app.idempotency.sealer.seal(&body, &self.row(), &app.random);
        let kept = tx
            .execute(
                "update idempotency_keys set status = $1, body = $2 \
                 where scope = $3 and key = $4 and status = 0",
                vec![
                    i64::from(answer.status.as_u16()).into(),
                    sealed.0.into(),
                    (&self.scope).into(),
                    (&self.key).into(),
                ],
            )
            .await?;
        Ok(kept == 1)
    }
}

impl Once {
    /// The first answer, where this is a repeat: to be asked before what is dear.
    pub async fn earlier(&self, app: &App) -> Result<Option<Answer>, BillingError> {
        let Some(key) = &self.0 else {
            return Ok(None);
        };
        match app.db.query_opt(SELECT, key.params()).await? {
            Some(row) => key.answer(&row, &app.idempotency),
            None => Ok(None),
        }
    }

    /// The first answer, where this is a repeat. Holds the key until the end of
    /// the transaction otherwise: another with the same key waits for it.
    pub async fn claim(&self, app: &App, tx: &mut Tx) -> Result<Option<Answer>, BillingError> {
        let Some(key) = &self.0 else {
            return Ok(None);
        };
        if key.insert(tx, &app.clock, None).await? {
            return Ok(None);
        }
        match tx.query_opt(SELECT, key.params()).await? {
            Some(row) => match key.answer(&row, &app.idempotency)? {
                Some(answer) => Ok(Some(answer)),
                None => Err(at_work()),
            },
            // Pruned between the two statements.
            None => Err(at_work()),
        }
    }

    /// Keeps the answer in the transaction of the write.
    pub async fn keep(&self, app: &App, tx: &mut Tx, answer: &Answer) -> Result<(), DbError> {
        if let Some(key) = &self.0 {
            key.keep(app, tx, answer).await?;
        }
        Ok(())
    }

    /// Claims the key for a reservation: waits while another is at work on it,
    /// takes over what was left lying. Without a key everything is new.
    pub async fn claim_reservation(&self, app: &App) -> Result<Claimed, BillingError> {
        let reservation = RequestId::new(app.clock.now(), &app.random);
        let Some(key) = &self.0 else {
            return Ok(Claimed::Mine {
                reservation,
                begun: false,
            });
        };
        let began = tokio::time::Instant::now();
        loop {
            let mut tx = app.db.begin().await?;
            if key.insert(&mut tx, &app.clock, Some(&reservation)).await? {
                tx.commit().await?;
                return Ok(Claimed::Mine {
                    reservation,
                    begun: false,
                });
            }
            let sql = format!("{SELECT}{}", tx.for_update());
            if let Some(row) = tx.query_opt(&sql, key.params()).await? {
                if let Some(answer) = key.answer(&row, &app.idempotency)? {
                    return Ok(Claimed::Answered(answer));
                }
                let now = app.clock.now();
                if row.get::<i64>("locked_until")? <= now.as_millis() {
                    let earlier = RequestId::parse(&row.get::<String>("reservation_id")?)
                        .map_err(Error::internal)?;
                    key.lock(&mut tx, app, &earlier).await?;
                    tx.commit().await?;
                    return Ok(Claimed::Mine {
                        reservation: earlier,
                        begun: true,
                    });
                }
            }
            // Not held while waiting: on SQLite it is the only one.
            drop(tx);
            if began.elapsed() > PATIENCE {
                return Err(at_work());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Names another reservation, before it is made: the one named was made and
    /// has ended without anybody having been told of it.
    pub async fn rename_reservation(&self, app: &App) -> Result<RequestId, BillingError> {
        let reservation = RequestId::new(app.clock.now(), &app.random);
        if let Some(key) = &self.0 {
            let mut tx = app.db.begin().await?;
            key.lock(&mut tx, app, &reservation).await?;
            tx.commit().await?;
        }
        Ok(reservation)
    }

    /// Keeps the answer of a reservation, and returns what is kept: another may
    /// have taken over meanwhile and been faster.
    pub async fn finish(&self, app: &App, answer: Answer) -> Result<Answer, BillingError> {
        let Some(key) = &self.0 else {
            return Ok(answer);
        };
        let mut tx = app.db.begin().await?;
        let kept = key.keep(app, &mut tx, &answer).await?;
        tx.commit().await?;
        if kept {
            return Ok(answer);
        }
        Ok(self.earlier(app).await?.unwrap_or(answer))
    }

    /// Gives the key back: nothing was done, a later try begins anew.
    pub async fn give_back(&self, app: &App) {
        if let Some(key) = &self.0
            && let Err(error) = app
                .db
                .execute(
                    "delete from idempotency_keys where scope = $1 and key = $2 and status = 0",
                    key.params(),
                )
                .await
        {
            // Then it is taken over after a while.
            tracing::warn!(%error, "an Idempotency-Key could not be given back");
        }
    }
}

impl Key {
    async fn lock(&self, tx: &mut Tx, app: &App, reservation: &RequestId) -> Result<(), DbError> {
        tx.execute(
            "update idempotency_keys set locked_until = $1, reservation_id = $2 \
             where scope = $3 and key = $4 and status = 0",
            vec![
                app.clock.now().after(AT_WORK).into(),
                reservation.into(),
                (&self.scope).into(),
                (&self.key).into(),
            ],
        )
        .await?;
        Ok(())
    }
}

fn at_work() -> BillingError {
    BillingError::coded(
        "idempotency_key_in_use",
        Error::new(
            Kind::Conflict,
            "A request with this Idempotency-Key is still at work; send the same again in a moment.",
        ),
    )
}
