//! Who changed what, written by the program alone.

use crate::schema::{Collection, CollectionKind, Field, JsonShape, Rules};
use crate::system::id_of;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("audit_logs"),
        name: "audit_logs",
        table: "audit_logs",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("actor_collection", 100),
            // Plain texts, not relations: the trail outlives whom it names.
            Field::text("actor_id", 15),
            Field::text("actor_email", 320),
            Field::text("action", 100),
            Field::text("collection", 100),
            // Of a record, or of a call.
            Field::text("record_id", 128),
            Field::text("tenant_id", 15),
            Field::json("changes", JsonShape::Any, 1_000_000),
            Field::created(),
        ],
        internal: &[],
        from_hook: &[],
        rules: Rules::default(),
        unique: &[],
        cached: false,
        read_only: true,
    }
}
