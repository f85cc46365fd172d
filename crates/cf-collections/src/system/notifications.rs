//! Notes to a person, or to the administrators of a tenant.

use crate::principal::Level;
use crate::schema::{Collection, CollectionKind, Field, JsonShape, OnDelete, Rules};
use crate::system::id_of;

const OWN_OR_TENANTS: &str = r#"
    (@request.auth.id != "" && user_id = @request.auth.id)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && tenant_id = @request.auth.tenant_id)
"#;

/// Whether it was read is the reader's to say; of one that is nobody's, a
/// tenant's administrator.
const READERS: &str = r#"
    (@request.auth.id != "" && user_id = @request.auth.id)
    || (@request.auth.role = "tenant_admin" && @request.auth.tenant_id != ""
        && tenant_id = @request.auth.tenant_id && user_id = "")
"#;

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("notifications"),
        name: "notifications",
        table: "notifications",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::relation("user_id", "users", OnDelete::Cascade).set_by(Level::Admin),
            Field::relation("tenant_id", "tenants", OnDelete::Cascade).set_by(Level::Admin),
            Field::text("kind", 100).required().set_by(Level::Admin),
            Field::text("title", 500).required().set_by(Level::Admin),
            Field::text("body", 10_000).set_by(Level::Admin),
            // The same for clients that write it in their own words.
            Field::json("data", JsonShape::Object, 10_000).set_by(Level::Admin),
            // The one thing its reader may change.
            Field::bool("read"),
            Field::created(),
            Field::updated(),
        ],
        internal: &[],
        from_hook: &[],
        rules: Rules {
            list: Some(OWN_OR_TENANTS),
            view: Some(OWN_OR_TENANTS),
            update: Some(READERS),
            ..Rules::default()
        },
        unique: &[],
        cached: false,
        read_only: false,
    }
}
