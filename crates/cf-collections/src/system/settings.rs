//! Settings made while the program runs, one record a key.

use crate::schema::{Collection, CollectionKind, Field, JsonShape, Rules, Unique};
use crate::system::id_of;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("settings"),
        name: "settings",
        table: "settings",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("key", 200).required(),
            Field::json("value", JsonShape::Any, 1_000_000),
            Field::created(),
            Field::updated(),
        ],
        internal: &[],
        from_hook: &[],
        rules: Rules::default(),
        unique: &[Unique {
            index: "settings_key",
            columns: &["key"],
            field: "key",
        }],
        cached: false,
        read_only: false,
    }
}
