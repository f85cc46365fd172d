//! What saving means for who is told of what: thresholds of budget notices,
//! webhooks and their secrets.

use cf_base::Secret;
use cf_collections::{Record, RecordError, Result, Write};

use super::Wiring;
use crate::{notices, webhooks};

impl Wiring {
    /// Where a webhook leads and what it asks for.
    pub(super) fn check_webhook(&self, write: &Write) -> Result<()> {
        if let Some(address) = write.text("url").filter(|a| !a.is_empty()) {
            cf_http::check_address(address, self.allow_private_upstreams).map_err(|sentence| {
                RecordError::field("url", "validation_invalid_url", sentence)
            })?;
            if !self.allow_private_upstreams && !address.starts_with("https://") {
                return Err(RecordError::field(
                    "url",
                    "validation_invalid_url",
                    "What webhooks tell is nobody else's business: the address begins with https://.",
                ));
            }
        }
        let events: Vec<String> = write
            .text("events")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        match events
            .iter()
            .find(|e| !webhooks::EVENTS.contains(&e.as_str()))
        {
            Some(unknown) => Err(RecordError::field(
                "events",
                "validation_not_in_invalid",
                format!(
                    "There is no event \"{unknown}\"; events are {}.",
                    webhooks::EVENTS.join(", ")
                ),
            )),
            None => Ok(()),
        }
    }

    /// The secret that signs: as sent, else (of a new webhook) made and told in
    /// full in this one answer.
    pub(super) fn seal_webhook_secret(&self, write: &mut Write, new: bool) -> Result<()> {
        let sent = write.input_text("secret").filter(|s| !s.is_empty());
        let secret = match sent {
            Some(secret) => Secret::new(secret),
            None if new => {
                let made = webhooks::new_secret(&self.random);
                write.answer("secret", made.expose());
                made
            }
            None => return Ok(()),
        };
        if webhooks::secret_bytes(&secret).is_none() {
            return Err(RecordError::field(
                "secret",
                "validation_invalid_format",
                "A secret is whsec_ and 24 to 64 bytes in base64; leave it out to have one made.",
            ));
        }
        let row = webhooks::aad(write.id());
        let sealed = self.sealer.seal(&secret, &row, &self.random);
        write.set("secret_sealed", sealed.0);
        write.set("secret_masked", secret.masked());
        Ok(())
    }
}

/// Thresholds of notices are a short list of whole percents, or nothing.
pub(super) fn check_thresholds(write: &Write, field: &str) -> Result<()> {
    match write.text(field) {
        Some(text) if notices::thresholds(text).is_none() => Err(RecordError::field(
            field,
            "validation_invalid_value",
            "A list of whole percents from 1 to 100, such as [50, 80, 100]; [] for no notices.",
        )),
        _ => Ok(()),
    }
}

/// Settings that the program reads must be what it can read.
pub(super) fn check_setting(old: Option<&Record>, write: &Write) -> Result<()> {
    let key = write.text("key").or_else(|| old.map(|old| old.text("key")));
    match key {
        Some(notices::SETTING) => check_thresholds(write, "value"),
        _ => Ok(()),
    }
}
