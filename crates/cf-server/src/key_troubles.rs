//! Provider keys that are refused: written down on the record, told to the
//! administrators once, and taken back when the key works again. Who is asked with
//! which key is the gateway's matter and does not wait for this.

use std::time::Duration;

use cf_base::ProviderKeyId;
use cf_collections::Action;
use cf_gateway::KeyNews;
use cf_mail::{KeyNotice, KeyTrouble, Locale, key_notice};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::notices::{Entry, Reader, people, write_entry};
use crate::outbox::NewMail;
use crate::{App, webhooks};

/// How long a notice is worth mailing.
const WORTH: Duration = Duration::from_secs(7 * 86_400);

/// Takes down what becomes known of keys, until the server stops.
pub async fn listen(app: App) {
    let mut news = app.gateway.key_news();
    loop {
        let known = tokio::select! {
            known = news.recv() => known,
            () = app.stopping.cancelled() => return,
        };
        let result = match known {
            Ok(KeyNews::Refused { key, trouble }) => refused(&app, key, &trouble).await,
            Ok(KeyNews::Works { key }) => works(&app, key).await,
            // What was missed is told again when the key is tried next.
            Err(RecvError::Lagged(_)) => Ok(()),
            Err(RecvError::Closed) => return,
        };
        if let Err(error) = result {
            tracing::warn!(%error, "what is known of a provider key could not be written down");
        }
    }
}

async fn refused(app: &App, key: ProviderKeyId, trouble: &str) -> cf_base::Result<()> {
    let now = app.clock.now();
    let since = now.to_date_text().to_string();
    let shown: String = trouble.chars().take(500).collect();
    let mut tx = app.db.begin().await?;
    // Once, however many processes find it out. The record itself is as it was saved.
    let first = tx
        .execute(
            "update provider_keys set trouble = $1, trouble_since = $2 where id = $3 and trouble = ''",
            vec![(&shown).into(), since.into(), key.0.into()],
        )
        .await?;
    if first == 0 {
        return Ok(tx.commit().await?);
    }
    let row = tx
        .query_opt(
            "select name, provider, tenant_id from provider_keys where id = $1",
            vec![key.0.into()],
        )
        .await?;
    let Some(row) = row else {
        return Ok(tx.commit().await?);
    };
    let (name, provider, tenant_id): (String, String, String) =
        (row.at(0)?, row.at(1)?, row.at(2)?);
    let label = cf_llm::Provider::find(&provider).map_or("?", cf_llm::Provider::label);
    let (word, model) = trouble.split_once(' ').unwrap_or((trouble, ""));
    let told = json!({
        "provider_key_id": key, "name": name, "provider": provider, "trouble": word,
        "model": model, "tenant_id": tenant_id,
    });
    let mut entries = Vec::new();
    for reader in administrators(&mut tx).await? {
        let notice = KeyNotice {
            name: &reader.name,
            key: &name,
            provider: label,
            trouble: match word {
                "credentials" => KeyTrouble::Credentials,
                "out_of_credit" => KeyTrouble::OutOfCredit,
                "access" => KeyTrouble::Access(model),
                _ => KeyTrouble::UnknownModel(model),
            },
            portal: &app.public_url("admin"),
        };
        let letter = key_notice(&notice, reader.locale);
        let entry = Entry {
            user_id: &reader.id,
            tenant_id: "",
            kind: "provider_key",
            title: &letter.subject,
            body: &letter.body(),
            data: &told,
        };
        entries.push(write_entry(&mut tx, app, entry).await?);
        let Some(email) = reader.email.filter(|email| !email.is_empty()) else {
            continue;
        };
        let mail = NewMail {
            event: "provider_key",
            to: &email,
            name: &reader.name,
            user_id: &reader.id,
            tenant_id: "",
            letter: &letter,
            valid_for: WORTH,
        };
        app.outbox.mail(&mut tx, mail).await?;
    }
    webhooks::tell(
        &app.outbox,
        &mut tx,
        webhooks::KEY_REFUSED,
        &tenant_id,
        now,
        &told,
    )
    .await?;
    tx.commit().await?;
    tracing::warn!(provider_key = %key, trouble, "a provider refuses a key");
    app.publish("provider_keys", Action::Update, key.as_str())
        .await;
    for id in entries {
        app.publish("notifications", Action::Create, id.as_str())
            .await;
    }
    Ok(())
}

async fn works(app: &App, key: ProviderKeyId) -> cf_base::Result<()> {
    let changed = app
        .db
        .execute(
            "update provider_keys set trouble = '', trouble_since = '' where id = $1 and trouble <> ''",
            vec![key.0.into()],
        )
        .await?;
    if changed > 0 {
        tracing::info!(provider_key = %key, "a provider key works again");
        app.publish("provider_keys", Action::Update, key.as_str())
            .await;
    }
    Ok(())
}

async fn administrators(tx: &mut cf_db::Tx) -> cf_base::Result<Vec<Reader>> {
    let mut readers = people(tx, "admin", "").await?;
    if readers.is_empty() {
        // Superusers see it in the portal.
        readers.push(Reader {
            id: String::new(),
            name: String::new(),
            email: None,
            locale: Locale::En,
        });
    }
    Ok(readers)
}
