//! Every change of every account, written by the ledger alone.

use crate::principal::Level;
use crate::schema::{Collection, CollectionKind, Field, OnDelete, Rules};
use crate::system::id_of;

const OWN_OR_TENANTS: &str = r#"
    (@request.auth.id != "" && user_id = @request.auth.id)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && (tenant_id = @request.auth.tenant_id || user_id.tenant_id = @request.auth.tenant_id))
"#;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("ledger_entries"),
        name: "ledger_entries",
        table: "ledger_entries",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("kind", 20),
            // Which of the owner's budgets it is about; empty for calls, which count in all.
            Field::text("window", 32).column("window_name"),
            Field::text("request_id", 128),
            Field::relation("user_id", "users", OnDelete::Keep),
            Field::relation("tenant_id", "tenants", OnDelete::Keep),
            Field::relation("key_id", "api_keys", OnDelete::Keep),
            Field::text("currency", 3),
            Field::signed_money("posted").column("posted_nanos"),
            Field::signed_money("reserved").column("reserved_nanos"),
            Field::signed_money("limit").column("limit_nanos"),
            Field::text("tenant_currency", 3).seen_by(Level::TenantAdmin),
            Field::signed_money("tenant_posted")
                .column("tenant_posted_nanos")
                .seen_by(Level::TenantAdmin),
            Field::signed_money("tenant_reserved")
                .column("tenant_reserved_nanos")
                .seen_by(Level::TenantAdmin),
            Field::text("note", 1_000),
            Field::text("actor", 200),
            Field::created(),
        ],
        internal: &[],
        from_hook: &[],
        rules: Rules {
            list: Some(OWN_OR_TENANTS),
            view: Some(OWN_OR_TENANTS),
            ..Rules::default()
        },
        unique: &[],
        cached: false,
        read_only: true,
    }
}
