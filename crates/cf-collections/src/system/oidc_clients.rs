//! Programs that let people sign in with their account here.

use crate::principal::Level;
use crate::schema::{
    Collection, CollectionKind, Field, JsonShape, OnDelete, Rules, Source, Unique,
};
use crate::system::id_of;

pub(super) fn collection() -> Collection {
    // Kept as a hash, so there is no masked form to read back.
    let mut client_secret = Field::secret("client_secret", "").seen_by(Level::Nobody);
    client_secret.source = Source::Input;
    Collection {
        id: id_of("oidc_clients"),
        name: "oidc_clients",
        table: "oidc_clients",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("name", 200).required(),
            Field::text("client_id", 200),
            client_secret,
            Field::json("redirect_uris", JsonShape::Texts, 100_000),
            Field::relation("tenant_id", "tenants", OnDelete::Cascade),
            Field::bool("active").or(true),
            Field::created(),
            Field::updated(),
        ],
        internal: &["secret_hash"],
        from_hook: &[],
        rules: Rules::default(),
        unique: &[Unique {
            index: "oidc_clients_client_id",
            columns: &["client_id"],
            field: "client_id",
        }],
        cached: false,
        read_only: false,
    }
}
