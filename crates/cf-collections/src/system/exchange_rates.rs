//! What one currency is worth in another, by day.

use crate::schema::{Collection, CollectionKind, Field, Rules};
use crate::system::{CURRENCY, id_of};

const SIGNED_IN: &str = r#"@request.auth.id != """#;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("exchange_rates"),
        name: "exchange_rates",
        table: "exchange_rates",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("base", 3).matching(CURRENCY).required(),
            Field::text("quote", 3).matching(CURRENCY).required(),
            // Units of quote for one of base.
            Field::money("rate").required(),
            Field::text("date", 24).required(),
            Field::text("source", 200),
            Field::created(),
            Field::updated(),
        ],
        internal: &[],
        from_hook: &[],
        rules: Rules {
            list: Some(SIGNED_IN),
            view: Some(SIGNED_IN),
            ..Rules::default()
        },
        unique: &[],
        cached: true,
        read_only: false,
    }
}
