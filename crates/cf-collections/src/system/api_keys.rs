//! Keys for the router. The key itself is made by a hook, shown once, and kept
//! as a keyed hash.

use crate::principal::Level;
use crate::schema::{
    Collection, CollectionKind, Field, JsonShape, OnDelete, Rules, Unique, Writing,
};
use crate::system::id_of;

const OWN_OR_TENANTS: &str = r#"
    (@request.auth.id != "" && user_id = @request.auth.id)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && tenant_id = @request.auth.tenant_id)
"#;

/// Administrators of the house are no tenant administrator's to touch.
const TENANTS: &str = r#"
    @request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
    && tenant_id = @request.auth.tenant_id && user_id.role != "admin"
"#;

/// Whose key it is renames it and makes it narrower; a hook refuses more.
const OWN_OR_MANAGED: &str = r#"
    (@request.auth.id != "" && user_id = @request.auth.id)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && tenant_id = @request.auth.tenant_id && user_id.role != "admin")
"#;

/// The user must be of the tenant too: a key draws on the user's budget.
const NEW: &str = r#"
    @request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
    && tenant_id = @request.auth.tenant_id && user_id.tenant_id = @request.auth.tenant_id
    && user_id.role != "admin"
"#;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("api_keys"),
        name: "api_keys",
        table: "api_keys",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("name", 200),
            Field::relation("user_id", "users", OnDelete::Cascade)
                .required()
                .set_by(Level::TenantAdmin)
                .writing(
                    Writing::Stored,
                    Writing::Refused("A key stays with its user. Make a new one instead."),
                ),
            Field::relation("tenant_id", "tenants", OnDelete::Cascade)
                .set_by(Level::TenantAdmin)
                .writing(
                    Writing::Stored,
                    Writing::Refused("A key stays with its tenant. Make a new one instead."),
                ),
            Field::text("prefix", 32).read_only(),
            Field::text("last4", 4).read_only(),
            Field::json("models", JsonShape::Texts, 100_000),
            Field::money("budget_total")
                .computed(
                    "coalesce((select a.limit_nanos - a.carried_nanos - a.extra_nanos from ledger_accounts a \
                     where a.owner_id = {t}.id and a.window_name = 'main'), 0)",
                )
                .writing(Writing::Handed, Writing::Handed)
                .set_by(Level::TenantAdmin),
            Field::signed_money("budget_used").computed(
                "coalesce((select a.posted_nanos from ledger_accounts a \
                 where a.owner_id = {t}.id and a.window_name = 'main'), 0)",
            ),
            // Of this key alone; 0 is none.
            Field::count("rate_limit"),
            Field::count("tokens_per_minute"),
            Field::count("parallel_requests"),
            Field::date("expires"),
            Field::select("status", &["active", "revoked"])
                .required()
                .or("active"),
            Field::date("last_used").read_only(),
            Field::created(),
            Field::updated(),
        ],
        internal: &["hash", "previous_hash", "previous_until"],
        from_hook: &["hash"],
        rules: Rules {
            list: Some(OWN_OR_TENANTS),
            view: Some(OWN_OR_TENANTS),
            create: Some(NEW),
            update: Some(OWN_OR_MANAGED),
            delete: Some(TENANTS),
        },
        unique: &[Unique {
            index: "api_keys_hash",
            columns: &["hash"],
            field: "name",
        }],
        cached: true,
        read_only: false,
    }
}
