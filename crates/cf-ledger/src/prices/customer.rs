//! What customers pay: the margin of their product, or a price list of their
//! product or tenant. Kept in memory, so that a call asks nobody.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cf_base::{Caller, Id, Margin, ProductId, TenantId};
use cf_db::{Db, Row};
use parking_lot::RwLock;

use super::{Charge, PriceList, PriceVersion, Prices};

/// Versions worked out at most; past that they are worked out again.
const VERSIONS: usize = 100_000;

/// The terms of all products and tenants.
#[derive(Default)]
pub(crate) struct Customers(ArcSwap<Terms>);

#[derive(Default)]
struct Terms {
    products: HashMap<ProductId, Product>,
    tenants: HashMap<TenantId, PriceList>,
    /// Versions that were worked out, by the provider's version and the charge.
    versions: RwLock<HashMap<(Id, Key), Arc<PriceVersion>>>,
}

struct Product {
    margin: Margin,
    list: PriceList,
}

/// What tells charges apart; the lists' prices live as long as the terms do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Margin(Margin),
    Prices(usize),
}

impl Customers {
    /// Loads the terms.
    pub(crate) async fn load(db: &Db) -> cf_base::Result<Self> {
        let customers = Self::default();
        customers.reload(db).await?;
        Ok(customers)
    }

    /// Reads the terms again.
    pub(crate) async fn reload(&self, db: &Db) -> cf_base::Result<()> {
        let mut terms = Terms::default();
        let products =
            "select id, margin, prices from products where margin <> 0 or prices <> '[]'";
        for row in db.query(products, vec![]).await? {
            let id = ProductId(row.get("id")?);
            let margin = Margin::of_percent(row.get("margin")?).unwrap_or_else(|| {
                tracing::error!(
                    product = id.as_str(),
                    "the margin of a product cannot be used"
                );
                Margin::NONE
            });
            let list = price_list(&row, "product", id.as_str())?;
            terms.products.insert(id, Product { margin, list });
        }
        let tenants = "select id, prices from tenants where prices <> '[]'";
        for row in db.query(tenants, vec![]).await? {
            let id = TenantId(row.get("id")?);
            let list = price_list(&row, "tenant", id.as_str())?;
            terms.tenants.insert(id, list);
        }
        self.0.store(Arc::new(terms));
        Ok(())
    }

    /// The version by which a caller is billed for a public model that costs
    /// `price`: the tenant's list comes first, then the product's list, then the
    /// product's margin.
    pub(crate) fn price(
        &self,
        caller: &Caller,
        public_model: &str,
        price: &Arc<PriceVersion>,
    ) -> Arc<PriceVersion> {
        let terms = self.0.load();
        let product = caller.product_id.and_then(|id| terms.products.get(&id));
        let listed = terms
            .tenants
            .get(&caller.tenant_id)
            .and_then(|list| list.find(public_model))
            .or_else(|| product.and_then(|p| p.list.find(public_model)));
        let (key, charge) = match (listed, product) {
            (Some(prices), _) => (
                Key::Prices(Arc::as_ptr(prices).cast::<Prices>().addr()),
                Charge::Prices(Arc::clone(prices)),
            ),
            (None, Some(product)) if product.margin != Margin::NONE => {
                (Key::Margin(product.margin), Charge::Margin(product.margin))
            }
            _ => return Arc::clone(price),
        };
        let key = (price.id, key);
        if let Some(found) = terms.versions.read().get(&key) {
            return Arc::clone(found);
        }
        let version = Arc::new(price.charged(charge));
        let mut versions = terms.versions.write();
        if versions.len() >= VERSIONS {
            versions.clear();
        }
        versions.insert(key, Arc::clone(&version));
        version
    }
}

/// A list that cannot be read is none: saving it was refused, so it was changed
/// behind our back, and the customer then pays the provider's price.
fn price_list(row: &Row, what: &str, id: &str) -> cf_base::Result<PriceList> {
    let text: String = row.get("prices")?;
    let list = serde_json::from_str(&text)
        .map_err(|e| e.to_string())
        .and_then(|json| PriceList::parse(&json));
    Ok(list.unwrap_or_else(|error| {
        tracing::error!(what, id, error, "a price list cannot be read");
        PriceList::default()
    }))
}
