//! What may become of an API key. Who manages it changes all of it; whose it is may
//! rename it and make it narrower, so that what an administrator set stays the most.

use cf_base::{Clock, Timestamp};
use cf_collections::{Level, Principal, Record, RecordError, Result, Scope, Write};
use cf_db::{Tx, Value};

/// The limits of a key, by column; 0 is none.
const LIMITS: [&str; 3] = ["rate_limit", "tokens_per_minute", "parallel_requests"];

/// Before a key is changed.
pub(super) async fn check_key(
    scope: Scope<'_>,
    clock: &Clock,
    old: &Record,
    write: &Write,
) -> Result<()> {
    if old.text("status") == "revoked" && write.text("status").is_some() {
        return Err(RecordError::field(
            "status",
            "validation_invalid_value",
            "A revoked key stays revoked; make a new one.",
        ));
    }
    let ends = write.text("expires").filter(|text| !text.is_empty());
    if ends.is_some_and(|text| Timestamp::parse(text).is_none_or(|time| time <= clock.now())) {
        return Err(RecordError::field(
            "expires",
            "validation_invalid_value",
            "A time in the future, such as 2027-01-31; revoke the key to end it now.",
        ));
    }
    if manages(scope.principal, old) {
        return Ok(());
    }
    if write.input("budget_total").is_some() {
        return Err(wider("budget_total"));
    }
    if let Some(field) = LIMITS.into_iter().find(|field| write.is_relative(field)) {
        return Err(RecordError::field(
            field,
            "validation_invalid_format",
            "Send the limit itself.",
        ));
    }
    let present = Terms::lock(scope.tx, old.id()).await?;
    present.hold(write)
}

/// Whether the key is the principal's to manage: others reach only their own.
fn manages(principal: &Principal, key: &Record) -> bool {
    match principal {
        Principal::Guest => false,
        Principal::Superuser { .. } => true,
        Principal::User(person) => match principal.level() {
            Level::Admin => true,
            Level::TenantAdmin => {
                !person.tenant_id.is_empty() && key.text("tenant_id") == person.tenant_id
            }
            _ => false,
        },
    }
}

/// How much a key allows.
struct Terms {
    /// Empty is all of the product.
    models: Vec<String>,
    /// None is never.
    expires: Option<Timestamp>,
    limits: [i64; 3],
}

impl Terms {
    /// As they stand now, and stay until the end of the transaction: an administrator
    /// may be at the same key.
    async fn lock(tx: &mut Tx, key: &str) -> Result<Self> {
        tx.execute(
            "update api_keys set updated = updated where id = $1",
            vec![key.into()],
        )
        .await?;
        let row = tx
            .query_opt(
                "select models, expires, rate_limit, tokens_per_minute, parallel_requests \
                 from api_keys where id = $1",
                vec![key.into()],
            )
            .await?
            .ok_or_else(RecordError::not_found)?;
        let models = names(&row.get::<String>("models")?).ok_or_else(|| {
            RecordError::new(
                400,
                "The key's list of models cannot be read; an administrator must set it anew.",
            )
        })?;
        let expires: String = row.get("expires")?;
        Ok(Self {
            models,
            expires: Timestamp::parse(&expires),
            limits: [
                row.get(LIMITS[0])?,
                row.get(LIMITS[1])?,
                row.get(LIMITS[2])?,
            ],
        })
    }

    /// Refuses what would allow more.
    fn hold(&self, write: &Write) -> Result<()> {
        if let Some(text) = write.text("models") {
            let wanted = names(text).unwrap_or_default();
            let listed = |model: &String| self.models.contains(model);
            let within = !wanted.is_empty() && wanted.iter().all(listed);
            if !self.models.is_empty() && !within {
                return Err(wider("models"));
            }
        }
        if let Some(text) = write.text("expires")
            && let Some(present) = self.expires
            && Timestamp::parse(text).is_none_or(|wanted| wanted > present)
        {
            return Err(wider("expires"));
        }
        for (field, present) in LIMITS.into_iter().zip(self.limits) {
            if let Some(Value::Int(wanted)) = write.get(field)
                && present > 0
                && !(1..=present).contains(wanted)
            {
                return Err(wider(field));
            }
        }
        Ok(())
    }
}

/// A key's list of models as it is stored; `None` if it cannot be read.
fn names(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    serde_json::from_str(text).ok()
}

fn wider(field: &str) -> RecordError {
    RecordError::field(
        field,
        "validation_wider",
        "You may make your key narrower, not wider: ask an administrator, or make a new key.",
    )
}
