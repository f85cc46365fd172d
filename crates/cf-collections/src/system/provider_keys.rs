//! Accounts at the providers; the secret is sealed by a hook.

use crate::schema::{Collection, CollectionKind, Field, JsonShape, OnDelete, Rules};
use crate::system::id_of;

const PROVIDERS: &[&str] = &[
    "openai",
    "azure",
    "gemini",
    "vertex",
    "bedrock",
    "anthropic",
    "mistral",
    "openai_compatible",
    "demo",
];

pub(super) fn collection() -> Collection {
    Collection {
        id: id_of("provider_keys"),
        name: "provider_keys",
        table: "provider_keys",
        kind: CollectionKind::Base,
        fields: vec![
            Field::id(),
            Field::text("name", 200).required(),
            Field::select("provider", PROVIDERS).required(),
            Field::text("base_url", 500),
            Field::text("region", 100),
            Field::secret("secret", "secret_masked"),
            Field::json("settings", JsonShape::Object, 100_000),
            // Empty is for all: so the key goes with its tenant, it is not set free.
            Field::relation("tenant_id", "tenants", OnDelete::Cascade),
            Field::bool("active").or(true),
            // Why it is set aside, written by the program; empty while it works.
            Field::text("trouble", 500).read_only(),
            Field::date("trouble_since").read_only(),
            Field::created(),
            Field::updated(),
        ],
        internal: &["secret_sealed"],
        from_hook: &[],
        rules: Rules::default(),
        unique: &[],
        cached: true,
        read_only: false,
    }
}
