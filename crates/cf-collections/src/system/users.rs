//! The people: each with a role, a status, a tenant, a product and a budget.

use crate::principal::Level;
use crate::schema::{Collection, CollectionKind, Field, OnDelete, Rules, Unique, Writing};
use crate::system::id_of;

/// An empty id never matches: a record without a tenant is not everybody's.
const OWN_OR_TENANTS: &str = r#"
    (@request.auth.id != "" && id = @request.auth.id)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && tenant_id = @request.auth.tenant_id)
"#;

const CHANGE: &str = r#"
    (@request.auth.id != "" && id = @request.auth.id)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && tenant_id = @request.auth.tenant_id && role != "admin")
"#;

/// A stranger may sign up where the tenant allows it; a tenant's administrator
/// may add people to the own tenant.
const SIGN_UP: &str = r#"
    (@request.auth.id = "" && tenant_id.status = "active" && tenant_id.signup_enabled = true)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && tenant_id = @request.auth.tenant_id)
"#;

const BY_LEDGER: Writing =
    Writing::Refused("This amount is kept by the ledger. Reset the budget or top it up instead.");

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("users"),
        name: "users",
        table: "users",
        kind: CollectionKind::Auth,
        fields: vec![
            Field::id(),
            Field::email("email")
                .required()
                .changed_by(Level::TenantAdmin),
            Field::bool("emailVisibility").column("email_visibility"),
            Field::bool("verified").set_by(Level::Admin),
            Field::password(),
            Field::text("name", 200),
            // Language of mails; empty: the tenant's.
            Field::text("locale", 10),
            Field::select("role", &["user", "tenant_admin", "admin"])
                .required()
                .or("user")
                .set_by(Level::TenantAdmin)
                .only_admins_choose(&["admin"]),
            Field::select("status", &["pending", "active", "suspended"])
                .required()
                .or("pending")
                .set_by(Level::TenantAdmin),
            Field::relation("tenant_id", "tenants", OnDelete::Restrict).changed_by(Level::Admin),
            Field::relation("product_id", "products", OnDelete::Restrict)
                .set_by(Level::TenantAdmin),
            Field::money("budget_total")
                .computed(
                    "coalesce((select a.limit_nanos - a.carried_nanos - a.extra_nanos from ledger_accounts a \
                     where a.owner_id = {t}.id and a.window_name = 'main'), 0)",
                )
                .writing(Writing::Handed, Writing::Handed)
                .set_by(Level::TenantAdmin),
            Field::signed_money("budget_used")
                .computed(
                    "coalesce((select a.posted_nanos from ledger_accounts a \
                     where a.owner_id = {t}.id and a.window_name = 'main'), 0)",
                )
                .writing(Writing::Handed, BY_LEDGER)
                .set_by(Level::Admin),
            Field::signed_money("budget_remaining")
                .computed(
                    "coalesce((select a.limit_nanos - a.posted_nanos from ledger_accounts a \
                     where a.owner_id = {t}.id and a.window_name = 'main'), 0)",
                )
                .writing(Writing::Handed, BY_LEDGER)
                .set_by(Level::Admin),
            Field::text("budget_currency", 3).computed(
                "coalesce((select a.currency from ledger_accounts a \
                 where a.owner_id = {t}.id and a.window_name = 'main'), '')",
            ),
            Field::date("budget_reset_date")
                .computed(
                    "coalesce((select a.reset_date from ledger_accounts a \
                     where a.owner_id = {t}.id and a.window_name = 'main'), '')",
                )
                .writing(Writing::Handed, Writing::Handed)
                .set_by(Level::Admin),
            Field::secret("litellm_api_key", "litellm_api_key").set_by(Level::Admin),
            // What everybody is told: how long the tenant keeps what is asked.
            Field::count("prompt_log_days").computed(
                "coalesce((select t.prompt_log_days from tenants t where t.id = {t}.tenant_id), 0)",
            ),
            Field::created(),
            Field::updated(),
        ],
        internal: &["password_hash", "token_key"],
        from_hook: &["password_hash", "token_key"],
        rules: Rules {
            list: Some(OWN_OR_TENANTS),
            view: Some(OWN_OR_TENANTS),
            create: Some(SIGN_UP),
            update: Some(CHANGE),
            delete: None,
        },
        unique: &[Unique {
            index: "users_email",
            columns: &["email"],
            field: "email",
        }],
        cached: true,
        read_only: false,
    }
}
