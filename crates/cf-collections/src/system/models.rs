//! The models clients ask for, and where they run.

use crate::principal::Level;
use crate::schema::{Collection, CollectionKind, Field, JsonShape, OnDelete, Rules, Unique};
use crate::system::id_of;

const OFFERED: &str = r#"
    @request.auth.id != "" && active = true
    && (tenant_id = "" || tenant_id = @request.auth.tenant_id)
"#;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("models"),
        name: "models",
        table: "models",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("name", 200).required(),
            // Which provider keys stand behind a model, and what they cost, is
            // the operator's business.
            Field::json("deployments", JsonShape::Objects, 100_000).seen_by(Level::Admin),
            Field::select("balance", &["weights", "least_busy", "lowest_latency"])
                .or("weights")
                .seen_by(Level::Admin),
            // Times that all deployments are gone through once more.
            Field::count("retries").at_most(5).seen_by(Level::Admin),
            // Models that are asked in its place, one after the other.
            Field::json("fallbacks", JsonShape::Texts, 100_000),
            // On unavailable, context_length, content_filter; empty: on all of them.
            Field::json("fallback_on", JsonShape::Texts, 1_000).seen_by(Level::Admin),
            // For all calls of the model together; 0 is none.
            Field::count("rate_limit").seen_by(Level::Admin),
            Field::count("tokens_per_minute").seen_by(Level::Admin),
            Field::count("parallel_requests").seen_by(Level::Admin),
            // 0: as the installation.
            Field::count("first_byte_seconds")
                .at_most(86_400)
                .seen_by(Level::Admin),
            Field::count("gap_seconds")
                .at_most(86_400)
                .seen_by(Level::Admin),
            Field::count("total_seconds")
                .at_most(86_400)
                .seen_by(Level::Admin),
            Field::json("prices", JsonShape::Object, 100_000).seen_by(Level::Admin),
            Field::count("max_output_tokens"),
            Field::count("context_window"),
            // Empty is for all: so the model goes with its tenant, it is not set free.
            Field::relation("tenant_id", "tenants", OnDelete::Cascade),
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
        unique: &[Unique {
            index: "models_name",
            columns: &["name", "tenant_id"],
            field: "name",
        }],
        cached: true,
        read_only: false,
    }
}
