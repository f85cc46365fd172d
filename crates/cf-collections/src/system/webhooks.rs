//! Addresses that are told of events; the secret that signs is sealed by a hook.

use crate::schema::{Collection, CollectionKind, Field, JsonShape, OnDelete, Rules};
use crate::system::id_of;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("webhooks"),
        name: "webhooks",
        table: "webhooks",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("name", 200).required(),
            Field::text("url", 1_000).required(),
            Field::secret("secret", "secret_masked"),
            // Empty: every event.
            Field::json("events", JsonShape::Texts, 2_000),
            // Empty is for all: so the webhook goes with its tenant, it is not set free.
            Field::relation("tenant_id", "tenants", OnDelete::Cascade),
            Field::bool("active").or(true),
            Field::created(),
            Field::updated(),
        ],
        internal: &["secret_sealed"],
        from_hook: &[],
        rules: Rules::default(),
        unique: &[],
        cached: false,
        read_only: false,
    }
}
