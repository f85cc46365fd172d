//! The outbox: mails and webhook deliveries. What they say is sealed and not shown.

use crate::schema::{Collection, CollectionKind, Field, OnDelete, Rules};
use crate::system::id_of;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("messages"),
        name: "messages",
        table: "messages",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::select("kind", &["mail", "webhook"]),
            Field::text("event", 100),
            Field::text("recipient", 500),
            // They go with what they point at, all at once, by a hook.
            // They go with what they point at, all at once, by a hook.
            Field::relation("user_id", "users", OnDelete::Keep),
            Field::relation("tenant_id", "tenants", OnDelete::Keep),
            Field::relation("webhook_id", "webhooks", OnDelete::Keep),
            Field::text("subject", 500),
            Field::select("state", &["waiting", "sent", "dead"]),
            Field::count("tries"),
            Field::text("last_error", 1_000),
            Field::date("next_try"),
            Field::date("expires"),
            Field::created(),
            Field::updated(),
        ],
        internal: &["content_sealed", "lease", "leased_until"],
        from_hook: &[],
        rules: Rules::default(),
        unique: &[],
        cached: false,
        read_only: true,
    }
}
