//! Which component a host name stands for. The host chooses what is served,
//! never what is allowed.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cf_base::TenantId;
use cf_db::Db;

/// A tenant as its host needs it.
#[derive(Clone, Debug)]
pub struct TenantSite {
    /// The tenant.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// Whether people may sign up themselves.
    pub signup_enabled: bool,
    /// Its language.
    pub locale: String,
}

/// What is served at a host name.
#[derive(Clone, Debug)]
pub enum Site {
    /// `api.` of the base domain.
    Core,
    /// `admin.` of the base domain.
    Portal,
    /// `billing.` of the base domain.
    Billing,
    /// A tenant's slug under the base domain, or its own domain.
    Tenant(Arc<TenantSite>),
    /// Any other name: everything by path.
    Any,
    /// A name under the base domain that belongs to nobody.
    Nobody,
}

/// The tenants' host names, kept in memory.
pub struct Hosts {
    base_domain: String,
    tenants: ArcSwap<HashMap<String, Arc<TenantSite>>>,
}

impl Hosts {
    /// Loads the tenants.
    pub async fn load(base_domain: &str, db: &Db) -> cf_base::Result<Self> {
        let hosts = Self {
            base_domain: base_domain.to_owned(),
            tenants: ArcSwap::default(),
        };
        hosts.reload(db).await?;
        Ok(hosts)
    }

    /// Loads the tenants again, after one was changed.
    pub async fn reload(&self, db: &Db) -> cf_base::Result<()> {
        let rows = db
            .query(
                "select id, name, slug, domain, signup_enabled, locale from tenants",
                vec![],
            )
            .await?;
        let mut tenants = HashMap::with_capacity(rows.len() * 2);
        for row in rows {
            let site = Arc::new(TenantSite {
                id: TenantId(row.get("id")?),
                name: row.get("name")?,
                slug: row.get("slug")?,
                signup_enabled: row.get("signup_enabled")?,
                locale: row.get("locale")?,
            });
            let domain: String = row.get("domain")?;
            if !domain.is_empty() {
                tenants.insert(domain.to_ascii_lowercase(), Arc::clone(&site));
            }
            let host = format!("{}.{}", site.slug, self.base_domain);
            tenants.entry(host).or_insert(site);
        }
        self.tenants.store(Arc::new(tenants));
        Ok(())
    }

    /// What is served at this `Host` header (port and case do not matter).
    pub fn site(&self, host: &str) -> Site {
        let name = match host.strip_prefix('[') {
            Some(_) => return Site::Any, // an IPv6 address
            None => host.split(':').next().unwrap_or_default(),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let below_base = name
            .strip_suffix(self.base_domain.as_str())
            .and_then(|rest| rest.strip_suffix('.'));
        // Ours first: no tenant can take the name of a component.
        match below_base {
            Some("api") => return Site::Core,
            Some("admin") => return Site::Portal,
            Some("billing") => return Site::Billing,
            _ => {}
        }
        if let Some(site) = self.tenants.load().get(&name) {
            return Site::Tenant(Arc::clone(site));
        }
        if below_base.is_some() {
            Site::Nobody
        } else {
            Site::Any
        }
    }
}
