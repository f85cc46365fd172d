//! What administrators do with the outbox and with webhooks: look, send once
//! more, try out. The lists themselves are the collections `messages` and
//! `webhooks`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use cf_base::{Error, Id, Kind, TenantId};
use cf_collections::Action;
use cf_db::Tx;
use cf_identity::{Actor, AuditEntry};
use cf_mail::Locale;
use serde_json::{Value, json};

use crate::App;
use crate::error::CoreError;
use crate::extract::SignedIn;
use crate::openapi::CoreErrorAnswer;
use crate::outbox::{NewDelivery, NewMail};
use crate::webhooks;

/// How long a mail that tries out is worth sending.
const WORTH: Duration = Duration::from_secs(3_600);

fn require_admin(signed_in: &SignedIn) -> Result<(), CoreError> {
    signed_in.account()?;
    if signed_in.is_admin() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Forbidden,
        "Only administrators see what is sent and change it.",
    )
    .into())
}

fn not_found(what: &str) -> CoreError {
    Error::new(Kind::NotFound, format!("There is no such {what}.")).into()
}

fn full() -> CoreError {
    Error::new(
        Kind::Unavailable,
        "Too many messages wait already; see in the outbox why they are not sent.",
    )
    .into()
}

/// `GET /api/messages/status`
#[utoipa::path(
    get, path = "/api/messages/status", tag = "Messages", operation_id = "outbox_status",
    security(("session" = [])),
    responses(
        (status = 200, description = "`{mail, waiting, dead, webhook_events}`", body = Object),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not an administrator", body = CoreErrorAnswer),
    )
)]
pub async fn status(State(app): State<App>, signed_in: SignedIn) -> Result<Json<Value>, CoreError> {
    require_admin(&signed_in)?;
    let counts = app.outbox.counts(&app.db).await?;
    Ok(Json(json!({
        "mail": app.mailer.is_some(),
        "waiting": counts.waiting,
        "dead": counts.dead,
        "webhook_events": webhooks::EVENTS,
    })))
}

/// `POST /api/messages/{id}/resend`
#[utoipa::path(
    post, path = "/api/messages/{id}/resend", tag = "Messages", operation_id = "resend_message",
    security(("session" = [])),
    params(("id" = String, Path, description = "The record's id")),
    responses(
        (status = 200, description = "The message", body = Object),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not an administrator", body = CoreErrorAnswer),
        (status = 404, description = "There is no such record", body = CoreErrorAnswer),
        (status = 409, description = "Its time is over, or what it said is not kept", body = CoreErrorAnswer),
    )
)]
pub async fn resend(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Json<Value>, CoreError> {
    require_admin(&signed_in)?;
    let id = Id::parse(&id).map_err(|_| not_found("message"))?;
    let mut tx = app.db.begin().await?;
    app.outbox.resend(&mut tx, id).await?;
    audit(
        &app,
        &mut tx,
        &signed_in,
        ("resend", "messages", id.as_str()),
        "",
    )
    .await?;
    let record = app.engine.find_in(&mut tx, "messages", id.as_str()).await?;
    let record = record.ok_or_else(|| not_found("message"))?;
    tx.commit().await?;
    let answer = record.to_json_for(&signed_in.principal);
    app.engine.publish_record(Action::Update, record);
    Ok(Json(Value::Object(answer)))
}

/// `POST /api/messages/try-mail`: a mail to whoever asks.
#[utoipa::path(
    post, path = "/api/messages/try-mail", tag = "Messages", operation_id = "try_mail",
    security(("session" = [])),
    responses(
        (status = 200, description = "`{id}` of the message", body = Object),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not an administrator", body = CoreErrorAnswer),
        (status = 503, description = "Too many messages wait already", body = CoreErrorAnswer),
    )
)]
pub async fn try_mail(
    State(app): State<App>,
    signed_in: SignedIn,
) -> Result<Json<Value>, CoreError> {
    require_admin(&signed_in)?;
    let account = signed_in.account()?;
    let user = match account.is_superuser() {
        true => String::new(),
        false => account.id.to_string(),
    };
    let mut tx = app.db.begin().await?;
    let row = tx
        .query_opt(
            "select case when u.locale <> '' then u.locale else coalesce(t.locale, 'de') end \
             from users u left join tenants t on t.id = u.tenant_id where u.id = $1",
            vec![(&user).into()],
        )
        .await?;
    let locale = row.map_or(Ok("de".to_owned()), |row| row.at(0))?;
    let letter = cf_mail::try_out(&app.public_url("admin"), Locale::of(&locale));
    let mail = NewMail {
        event: "try_out",
        to: &account.email,
        name: "",
        user_id: &user,
        tenant_id: "",
        letter: &letter,
        valid_for: WORTH,
    };
    let id = app.outbox.mail(&mut tx, mail).await?.ok_or_else(full)?;
    audit(
        &app,
        &mut tx,
        &signed_in,
        ("try_out", "messages", id.as_str()),
        "",
    )
    .await?;
    tx.commit().await?;
    Ok(Json(json!({"id": id})))
}

/// `POST /api/webhooks/{id}/test`: a delivery that says it is a test.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/test", tag = "Messages", operation_id = "test_webhook",
    security(("session" = [])),
    params(("id" = String, Path, description = "The record's id")),
    responses(
        (status = 200, description = "`{id}` of the message", body = Object),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
        (status = 403, description = "Not an administrator", body = CoreErrorAnswer),
        (status = 404, description = "There is no such record", body = CoreErrorAnswer),
        (status = 503, description = "Too many messages wait already", body = CoreErrorAnswer),
    )
)]
pub async fn test_webhook(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Json<Value>, CoreError> {
    require_admin(&signed_in)?;
    let mut tx = app.db.begin().await?;
    let webhook = app.engine.find_in(&mut tx, "webhooks", &id).await?;
    let webhook = webhook.ok_or_else(|| not_found("webhook"))?;
    let data = json!({"webhook_id": webhook.id(), "name": webhook.text("name")});
    let delivery = NewDelivery {
        event: webhooks::TEST,
        webhook_id: webhook.id(),
        webhook: webhook.text("name"),
        tenant_id: webhook.text("tenant_id"),
        body: webhooks::body(webhooks::TEST, app.clock.now(), &data),
    };
    let message = app
        .outbox
        .delivery(&mut tx, delivery)
        .await?
        .ok_or_else(full)?;
    audit(
        &app,
        &mut tx,
        &signed_in,
        ("try_out", "webhooks", webhook.id()),
        webhook.text("tenant_id"),
    )
    .await?;
    tx.commit().await?;
    Ok(Json(json!({"id": message})))
}

async fn audit(
    app: &App,
    tx: &mut Tx,
    signed_in: &SignedIn,
    (action, collection, record_id): (&str, &str, &str),
    tenant: &str,
) -> Result<(), CoreError> {
    let entry = AuditEntry {
        actor: Actor::account(signed_in.account()?),
        action,
        collection,
        record_id,
        tenant_id: TenantId::parse(tenant).ok(),
        changes: json!({}),
    };
    app.identity.audit(tx, entry).await?;
    Ok(())
}
