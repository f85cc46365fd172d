//! One record per call, written by the ledger alone.

use crate::principal::Level;
use crate::schema::{Collection, CollectionKind, Field, JsonShape, OnDelete, Rules, Unique};
use crate::system::id_of;

const OWN_OR_TENANTS: &str = r#"
    (@request.auth.id != "" && user_id = @request.auth.id)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && tenant_id = @request.auth.tenant_id)
"#;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("usage_logs"),
        name: "usage_logs",
        table: "usage_logs",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("request_id", 128),
            Field::relation("user_id", "users", OnDelete::Keep),
            Field::relation("tenant_id", "tenants", OnDelete::Keep),
            Field::relation("key_id", "api_keys", OnDelete::Keep),
            Field::text("model", 200),
            Field::text("model_used", 200),
            Field::text("provider", 100),
            Field::relation("provider_key_id", "provider_keys", OnDelete::Keep)
                .seen_by(Level::Admin),
            Field::count("prompt_tokens"),
            Field::count("completion_tokens"),
            Field::count("cached_tokens"),
            Field::count("cache_write_tokens"),
            Field::count("cache_write_1h_tokens"),
            Field::count("reasoning_tokens"),
            Field::count("audio_input_tokens"),
            Field::count("audio_output_tokens"),
            Field::json("extra", JsonShape::Any, 10_000).seen_by(Level::Admin),
            // In US dollars; what the operator earns is not the customers' to see.
            Field::money("provider_cost").seen_by(Level::Admin),
            Field::signed_money("cost"),
            Field::text("currency", 3),
            Field::signed_money("tenant_cost").seen_by(Level::TenantAdmin),
            Field::text("tenant_currency", 3).seen_by(Level::TenantAdmin),
            Field::money("exchange_rate"),
            Field::money("tenant_exchange_rate").seen_by(Level::TenantAdmin),
            Field::text("exchange_rate_date", 10),
            Field::text("price_version", 15),
            Field::select("status", &["ok", "error", "cancelled", "expired"]),
            Field::bool("estimated"),
            Field::text("source", 20),
            Field::count("latency_ms"),
            Field::count("time_to_first_token_ms"),
            // Which deployments were tried and why the next was taken.
            Field::json("attempts", JsonShape::Any, 10_000).seen_by(Level::Admin),
            Field::json("metadata", JsonShape::Any, 100_000),
            Field::created(),
        ],
        internal: &["request_hash"],
        from_hook: &[],
        rules: Rules {
            list: Some(OWN_OR_TENANTS),
            view: Some(OWN_OR_TENANTS),
            ..Rules::default()
        },
        unique: &[Unique {
            index: "usage_logs_request",
            columns: &["request_id"],
            field: "request_id",
        }],
        cached: false,
        read_only: true,
    }
}
