//! Webhooks as Standard Webhooks has them: JSON, signed with a secret that
//! both sides know, sent through the guarded client, redirects not followed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use cf_base::{Id, Random, Sealed, Secret, Timestamp, hmac_sha256};
use cf_db::Tx;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::{Value as Json, json};

use crate::App;
use crate::outbox::{Failure, NewDelivery, Outbox};

/// How long a receiver may take to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Webhooks that are told of one event at most.
const RECEIVERS: usize = 100;
/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A user's or a tenant's budget reached a threshold.
pub const BUDGET_NOTICE: &str = "budget.threshold_reached";
/// A provider refuses a provider key, or a model with it.
pub const KEY_REFUSED: &str = "provider_key.refused";
/// Somebody tries the webhook out.
pub const TEST: &str = "webhook.test";
/// What a webhook may ask for.
pub const EVENTS: &[&str] = &[BUDGET_NOTICE, KEY_REFUSED];

/// A new secret.
pub fn new_secret(random: &Random) -> Secret {
    let bytes: [u8; 32] = random.bytes();
    Secret::new(format!("{SECRET_PREFIX}{}", BASE64.encode(bytes)))
}

/// The bytes a secret stands for, if it is one.
pub fn secret_bytes(secret: &Secret) -> Option<Vec<u8>> {
    let encoded = secret.expose().strip_prefix(SECRET_PREFIX)?;
    let bytes = BASE64.decode(encoded).ok()?;
    SECRET_BYTES.contains(&bytes.len()).then_some(bytes)
}

/// The row that a webhook's secret is sealed for.
pub fn aad(webhook_id: &str) -> String {
    format!("webhooks/{webhook_id}")
}

/// What a body looks like: the event, when it happened, and what about.
pub fn body(event: &str, now: Timestamp, data: &Json) -> String {
    json!({"type": event, "timestamp": now.to_date_text().to_string(), "data": data}).to_string()
}

/// Writes a delivery to every active webhook that asks for the event, in the
/// transaction that causes it.
pub async fn tell(
    outbox: &Outbox,
    tx: &mut Tx,
    event: &str,
    tenant_id: &str,
    now: Timestamp,
    data: &Json,
) -> cf_base::Result<()> {
    let rows = tx
        .query(
            &format!(
                "select id, name, events from webhooks where active = 1 \
                 and (tenant_id = '' or tenant_id = $1) order by id limit {RECEIVERS}"
            ),
            vec![tenant_id.into()],
        )
        .await?;
    for row in &rows {
        let events: Vec<String> = serde_json::from_str(&row.at::<String>(2)?).unwrap_or_default();
        if !events.is_empty() && !events.iter().any(|wanted| wanted == event) {
            continue;
        }
        let delivery = NewDelivery {
            event,
            webhook_id: &row.at::<String>(0)?,
            webhook: &row.at::<String>(1)?,
            tenant_id,
            body: body(event, now, data),
        };
        outbox.delivery(tx, delivery).await?;
    }
    Ok(())
}

/// `v1,` and the signature over id, time and body.
fn signature(key: &[u8], id: &str, seconds: &str, body: &str) -> String {
    let parts: [&[u8]; 5] = [
        id.as_bytes(),
        b".",
        seconds.as_bytes(),
        b".",
        body.as_bytes(),
    ];
    format!("v1,{}", BASE64.encode(hmac_sha256(key, &parts)))
}

/// Sends one delivery.
pub async fn send(app: &App, id: Id, webhook_id: &str, body: String) -> Result<(), Failure> {
    let permanent = |cause: &str| Err(Failure::Permanent(cause.to_owned()));
    let row = app
        .db
        .query_opt(
            "select url, secret_sealed, active from webhooks where id = $1",
            vec![webhook_id.into()],
        )
        .await
        .map_err(|e| Failure::Temporary(e.to_string()))?;
    let read = |row: &cf_db::Row| -> cf_db::Result<(String, String, bool)> {
        Ok((row.at(0)?, row.at(1)?, row.at(2)?))
    };
    let Some(Ok((url, sealed, active))) = row.as_ref().map(read) else {
        return permanent("there is no such webhook any more");
    };
    if !active {
        return permanent("the webhook is switched off");
    }
    let secret = app.sealer.open(&Sealed(sealed), &aad(webhook_id));
    let Some(key) = secret.as_ref().and_then(secret_bytes) else {
        return permanent("the webhook's secret cannot be opened; enter it again");
    };
    let seconds = (app.clock.now().as_millis() / 1000).to_string();
    let request = Request::builder()
        .method(Method::POST)
        .uri(&url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "CloudFreedom")
        .header("webhook-id", id.as_str())
        .header("webhook-timestamp", &seconds)
        .header(
            "webhook-signature",
            signature(&key, id.as_str(), &seconds, &body),
        )
        .body(Full::new(Bytes::from(body)));
    let Ok(request) = request else {
        return permanent("the webhook's address is none");
    };
    match app.http.send(request, ANSWER).await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) if answer.status() == http::StatusCode::GONE => {
            permanent("the receiver answered 410: it does not want this any more")
        }
        Ok(answer) if answer.status().is_redirection() => Err(Failure::Temporary(format!(
            "the receiver answered {}, and redirects are not followed",
            answer.status().as_u16()
        ))),
        Ok(answer) => Err(Failure::Temporary(format!(
            "the receiver answered {}",
            answer.status().as_u16()
        ))),
        Err(error) => Err(Failure::Temporary(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_standard() {
        // The example of the Standard Webhooks' own libraries.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let key = secret_bytes(&secret).expect("a secret");
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            "{\"test\": 2432232314}",
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_made_and_told_from_other_texts() {
        let random = Random::seeded(4);
        let made = new_secret(&random);
        assert_eq!(secret_bytes(&made).map(|b| b.len()), Some(32));
        for other in ["", "whsec_", "whsec_c2hvcnQ=", "c2VjcmV0", "whsec_%%%"] {
            assert!(secret_bytes(&Secret::new(other)).is_none(), "{other}");
        }
    }
}
