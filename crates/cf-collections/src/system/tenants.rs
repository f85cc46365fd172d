//! Customers, and the operator's own house.

use crate::principal::Level;
use crate::schema::{Collection, CollectionKind, Field, JsonShape, Rules, Unique, Writing};
use crate::system::{CURRENCY, HOST, SLUG, id_of};

const OWN: &str = r#"@request.auth.role = "tenant_admin" && @request.auth.tenant_id != "" && id = @request.auth.tenant_id"#;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("tenants"),
        name: "tenants",
        table: "tenants",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("name", 200).required(),
            Field::text("slug", 63).matching(SLUG).required(),
            Field::text("domain", 253).matching(HOST),
            Field::select("type", &["internal", "customer", "demo"]).or("customer"),
            Field::select("status", &["active", "suspended", "archived"])
                .required()
                .or("active"),
            Field::bool("signup_enabled"),
            // The limit for all users together; 0 is none.
            Field::money("budget_total")
                .computed(
                    "coalesce((select a.limit_nanos - a.carried_nanos - a.extra_nanos from ledger_accounts a \
                     where a.owner_id = {t}.id and a.window_name = 'main'), 0)",
                )
                .writing(Writing::Handed, Writing::Handed)
                .set_by(Level::Admin),
            Field::signed_money("budget_used").computed(
                "coalesce((select a.posted_nanos from ledger_accounts a \
                 where a.owner_id = {t}.id and a.window_name = 'main'), 0)",
            ),
            Field::text("currency", 3)
                .matching(CURRENCY)
                .required()
                .or("EUR"),
            Field::text("time_zone", 64).or("Europe/Berlin"),
            Field::text("locale", 10).or("de"),
            // Percents at which notices are given; null: as the settings say.
            Field::json("budget_notices", JsonShape::Any, 1_000),
            Field::text("chat", 500).or("builtin"),
            // Where its calls may be worked on; empty: anywhere.
            Field::json("regions", JsonShape::Texts, 10_000),
            // For all of its users together; 0 is none.
            Field::count("rate_limit").set_by(Level::Admin),
            Field::count("tokens_per_minute").set_by(Level::Admin),
            Field::count("parallel_requests").set_by(Level::Admin),
            Field::json("prices", JsonShape::Objects, 500_000)
                .seen_by(Level::Admin)
                .set_by(Level::Admin),
            // Days; 0: as the installation.
            Field::count("usage_retention_days").set_by(Level::Admin),
            // How long answers are given again to the same request; 0: not at all.
            Field::count("cache_seconds").at_most(30 * 86_400).set_by(Level::Admin),
            // What such an answer costs, of what the call would.
            Field::count("cache_price_percent").at_most(100).set_by(Level::Admin),
            // Days that what is asked and answered is kept; 0: not at all.
            Field::count("prompt_log_days")
                .at_most(3_650)
                .set_by(Level::Admin),
            Field::created(),
            Field::updated(),
        ],
        internal: &[],
        from_hook: &[],
        rules: Rules {
            list: Some(OWN),
            view: Some(OWN),
            ..Rules::default()
        },
        unique: &[
            Unique {
                index: "tenants_slug",
                columns: &["slug"],
                field: "slug",
            },
            Unique {
                index: "tenants_domain",
                columns: &["domain"],
                field: "domain",
            },
        ],
        cached: true,
        read_only: false,
    }
}
