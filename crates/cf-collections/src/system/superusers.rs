//! Those whom no rule binds; PocketBase's `_superusers`.

use crate::schema::{Collection, CollectionKind, Field, Rules, Unique};
use crate::system::id_of;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("_superusers"),
        name: "_superusers",
        table: "superusers",
        kind: CollectionKind::Auth,
        fields: vec![
            Field::id(),
            Field::email("email").required(),
            Field::bool("emailVisibility").column("email_visibility"),
            Field::bool("verified").or(true),
            Field::password(),
            Field::created(),
            Field::updated(),
        ],
        internal: &["password_hash", "token_key"],
        from_hook: &["password_hash", "token_key"],
        rules: Rules::default(),
        unique: &[Unique {
            index: "superusers_email",
            columns: &["email"],
            field: "email",
        }],
        cached: false,
        read_only: false,
    }
}
