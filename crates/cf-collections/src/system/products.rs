//! Plans: what a user's budget, models and limits are.

use crate::principal::Level;
use crate::schema::{Collection, CollectionKind, Field, JsonShape, Rules};
use crate::system::{CURRENCY, id_of};

const OFFERED: &str =
    r#"@request.auth.id != "" && (active = true || id = @request.auth.product_id)"#;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("products"),
        name: "products",
        table: "products",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("name", 200).required(),
            Field::text("description", 5_000),
            Field::money("price"),
            Field::text("currency", 3)
                .matching(CURRENCY)
                .required()
                .or("EUR"),
            Field::money("budget_included"),
            Field::json("models", JsonShape::Texts, 100_000),
            Field::json("features", JsonShape::Texts, 100_000),
            Field::count("rate_limit"),
            Field::count("tokens_per_minute"),
            Field::count("parallel_requests"),
            // How long the budget lasts; budget_period_days is for `days`.
            Field::select("budget_period", &["total", "days", "day", "week", "month"]).or("days"),
            Field::count("budget_period_days").at_least(1).or(30_i64),
            Field::bool("budget_carry_over"),
            // Budgets beside it: `[{"name": "daily", "limit": 5, "period": "day"}]`.
            Field::json("budget_windows", JsonShape::Objects, 10_000),
            // What the operator earns is not the customers' to see.
            Field::real("margin").seen_by(Level::Admin),
            // [{"model": "…", "input": 1, "output": 2}]: in place of the margin.
            Field::json("prices", JsonShape::Objects, 500_000).seen_by(Level::Admin),
            Field::bool("active").or(true),
            Field::created(),
            Field::updated(),
        ],
        internal: &[],
        from_hook: &[],
        rules: Rules {
            list: Some(OFFERED),
            view: Some(OFFERED),
            ..Rules::default()
        },
        unique: &[],
        cached: true,
        read_only: false,
    }
}
