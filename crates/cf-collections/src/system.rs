//! The built-in collections, one file each.

mod api_keys;
mod audit_logs;
mod exchange_rates;
mod ledger_entries;
mod messages;
mod models;
mod notifications;
mod oidc_clients;
mod products;
mod provider_keys;
mod settings;
mod superusers;
mod tenants;
mod usage_logs;
mod users;
mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;

use crate::schema::{Collection, FieldKind, OnDelete, Pattern};

/// All collections, found by name or id.
#[derive(Clone, Debug)]
pub struct Schema {
    all: Vec<Arc<Collection>>,
    by_name: HashMap<&'static str, usize>,
}

impl Schema {
    /// The built-in collections.
    pub fn system() -> Self {
        let all: Vec<Arc<Collection>> = [
            tenants::collection(),
            products::collection(),
            users::collection(),
            superusers::collection(),
            api_keys::collection(),
            // Before the keys they run on: of a deleted tenant they go first.
            models::collection(),
            provider_keys::collection(),
            usage_logs::collection(),
            ledger_entries::collection(),
            audit_logs::collection(),
            notifications::collection(),
            oidc_clients::collection(),
            settings::collection(),
            exchange_rates::collection(),
            webhooks::collection(),
            messages::collection(),
        ]
        .into_iter()
        .map(Arc::new)
        .collect();
        let by_name = all
            .iter()
            .enumerate()
            .flat_map(|(at, c)| [(c.name, at), (c.id, at)])
            .collect();
        Self { all, by_name }
    }

    /// The collection with this name or id.
    pub fn get(&self, name_or_id: &str) -> Option<&Arc<Collection>> {
        self.by_name.get(name_or_id).map(|at| &self.all[*at])
    }

    /// All collections.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.all.iter()
    }

    /// The relation fields that point at `target`, with their collections.
    pub(crate) fn pointing_at(
        &self,
        target: &str,
    ) -> Vec<(&Arc<Collection>, &'static str, OnDelete)> {
        let mut found = Vec::new();
        for collection in &self.all {
            for field in &collection.fields {
                if let FieldKind::Relation {
                    collection: to,
                    on_delete,
                } = field.kind
                    && to == target
                {
                    found.push((collection, field.name, on_delete));
                }
            }
        }
        found
    }
}

/// The ids were drawn once and stay: clients keep them.
pub(crate) fn id_of(name: &str) -> &'static str {
    match name {
        "_superusers" => "pbc_3142635823",
        "users" => "pbc_1736455494",
        "tenants" => "pbc_9531482610",
        "products" => "pbc_6662835449",
        "api_keys" => "pbc_2927632127",
        "provider_keys" => "pbc_5883219176",
        "models" => "pbc_1756365594",
        "usage_logs" => "pbc_5823906161",
        "ledger_entries" => "pbc_5694045606",
        "audit_logs" => "pbc_4235271415",
        "notifications" => "pbc_8487253892",
        "oidc_clients" => "pbc_6477135840",
        "settings" => "pbc_3629087681",
        "exchange_rates" => "pbc_2162537816",
        "webhooks" => "pbc_4820917365",
        "messages" => "pbc_7391628054",
        _ => "",
    }
}

/// A label of a host name: the slug is the first part of the tenant's address.
pub(crate) const SLUG: Pattern = Pattern {
    regex: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    matches: |text| {
        text.len() <= 63
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    },
};

/// A host name, in lower case as hosts are compared.
pub(crate) const HOST: Pattern = Pattern {
    regex: "^[a-z0-9.-]+$",
    matches: |text| {
        text.split('.')
            .all(|label| !label.is_empty() && (SLUG.matches)(label))
    },
};

/// A currency code.
pub(crate) const CURRENCY: Pattern = Pattern {
    regex: "^[A-Z]{3}$",
    matches: |text| cf_base::Currency::parse(text).is_some(),
};
