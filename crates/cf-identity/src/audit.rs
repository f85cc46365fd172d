//! The audit trail: who changed what, written in the transaction that changes
//! it. Holds no secrets, whatever it is given.

use cf_base::{Error, Id, Result, TenantId};
use cf_db::Tx;
use serde_json::Value;

use crate::{Account, BillingKey, Identity};

/// Largest content of `changes`; of larger ones only the fact is kept.
const MAX_CHANGES: usize = 64 * 1024;
/// Deepest nesting that is looked through; what lies deeper is left out.
const MAX_DEPTH: usize = 32;
/// What stands in the place of a secret.
const HIDDEN: &str = "•••";

/// Who did something.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    collection: String,
    id: String,
    email: String,
}

impl Actor {
    /// Somebody who is signed in.
    pub fn account(account: &Account) -> Self {
        Self {
            collection: account.collection.name().to_owned(),
            id: account.id.to_string(),
            email: account.email.clone(),
        }
    }

    /// A program at the Billing API.
    pub fn billing_key(key: &BillingKey) -> Self {
        Self {
            collection: "billing_keys".to_owned(),
            id: key.id_text(),
            email: key.name.clone(),
        }
    }

    /// Somebody known by the collection, id and address of the record.
    pub fn new(collection: &str, id: &str, email: &str) -> Self {
        Self {
            collection: collection.to_owned(),
            id: id.to_owned(),
            email: email.to_owned(),
        }
    }

    /// A job of the server.
    pub fn system() -> Self {
        Self {
            collection: "system".to_owned(),
            ..Self::default()
        }
    }

    /// A command in a shell.
    pub fn command() -> Self {
        Self {
            collection: "command".to_owned(),
            ..Self::default()
        }
    }
}

/// Something that was done.
#[derive(Clone, Debug)]
pub struct AuditEntry<'a> {
    /// By whom.
    pub actor: Actor,
    /// What, such as `create`, `update`, `delete`, `sign_in`, `rotate_key`.
    pub action: &'a str,
    /// To a record of this collection …
    pub collection: &'a str,
    /// … with this id.
    pub record_id: &'a str,
    /// The tenant whose administrators may see the entry.
    pub tenant_id: Option<TenantId>,
    /// What became different, such as `{"status": ["pending", "active"]}`.
    pub changes: Value,
}

impl Identity {
    /// Writes an entry, to stand or fall with the transaction.
    pub async fn audit(&self, tx: &mut Tx, entry: AuditEntry<'_>) -> Result<Id> {
        let mut changes = entry.changes;
        hide_secrets(&mut changes, entry.collection, 0);
        let mut text = serde_json::to_string(&changes).map_err(Error::internal)?;
        if text.len() > MAX_CHANGES {
            text = r#"{"too_large":true}"#.to_owned();
        }
        let id = Id::new(&self.0.random);
        tx.execute(
            "insert into audit_logs (id, actor_collection, actor_id, actor_email, action, \
             collection, record_id, tenant_id, changes, created) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            vec![
                id.into(),
                entry.actor.collection.into(),
                entry.actor.id.into(),
                entry.actor.email.into(),
                entry.action.into(),
                entry.collection.into(),
                entry.record_id.into(),
                entry
                    .tenant_id
                    .map(|t| t.to_string())
                    .unwrap_or_default()
                    .into(),
                text.into(),
                self.0.clock.now().to_date_text().to_string().into(),
            ],
        )
        .await?;
        Ok(id)
    }
}

fn hide_secrets(value: &mut Value, collection: &str, depth: usize) {
    if depth == MAX_DEPTH {
        *value = Value::Null;
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if is_secret_name(name, collection) && !field.is_null() {
                    *field = HIDDEN.into();
                } else {
                    hide_secrets(field, collection, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                hide_secrets(item, collection, depth + 1);
            }
        }
        Value::String(text) if is_secret_text(text) => *text = HIDDEN.to_owned(),
        _ => {}
    }
}

fn is_secret_name(name: &str, collection: &str) -> bool {
    let name: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let holds = |word| name.contains(word);
    let ends = |word| name.ends_with(word);
    holds("password")
        || holds("secret")
        || holds("credential")
        || holds("privatekey")
        || ends("token")
        || ends("tokenkey")
        || ends("hash")
        || ends("apikey")
        || ends("accesskey")
        || name == "authorization"
        // In `settings` the key is the setting's name.
        || (name == "key" && collection != "settings")
}

/// Keys of ours and of the large providers, under whatever name they come.
/// A masked key, as it may be shown, is left alone.
fn is_secret_text(text: &str) -> bool {
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    text.len() >= 16
        && !text.contains('•')
        && !text.contains(char::is_whitespace)
        && ["sk-", "cfb-", "AIza", "AKIA", "eyJ"]
            .iter()
            .any(|start| text.starts_with(start))
}
