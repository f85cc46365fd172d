//! The price book: editions with the day from which they hold, in the database;
//! those that can still count are kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use cf_base::{Id, Timestamp, sha256_hex};
use cf_db::Db;

use super::PriceVersion;
use super::catalogue::Catalogue;

/// Editions that lie ahead, or hold now, at most.
const EDITIONS: i64 = 50;
/// From when the first edition holds: always.
const ALWAYS: &str = "1970-01-01 00:00:00.000Z";

/// Prices by our name of the provider and its name of the model.
type Models = HashMap<&'static str, HashMap<String, Entry>>;

/// The prices of a model: in no region of its own, and by region.
#[derive(Default)]
struct Entry {
    anywhere: Option<Arc<PriceVersion>>,
    regions: Vec<(String, Arc<PriceVersion>)>,
}

/// The catalogue that comes with the program.
pub(super) struct BuiltIn {
    /// What of it matters, as it is kept.
    pub text: String,
    pub hash: String,
    pub count: i64,
    models: Arc<Models>,
}

pub(super) static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(|| {
    let catalogue = Catalogue::parse(include_str!("../../../../assets/prices.json"))
        .expect("the price book is checked by a test");
    let text = serde_json::to_string(&catalogue).expect("a catalogue is plain values");
    BuiltIn {
        hash: sha256_hex(text.as_bytes()),
        count: i64::try_from(catalogue.models.len()).unwrap_or(i64::MAX),
        models: Arc::new(models(&catalogue)),
        text,
    }
});

/// An edition that can still count.
struct Kept {
    id: String,
    effective: Timestamp,
    models: Arc<Models>,
}

/// The editions that hold now or later.
#[derive(Default)]
pub(crate) struct PriceBook(ArcSwap<Vec<Arc<Kept>>>);

impl PriceBook {
    /// Loads the book; an empty one gets the edition that comes with the program.
    pub(crate) async fn load(db: &Db, now: Timestamp) -> cf_base::Result<Self> {
        seed(db, now).await?;
        let book = Self::default();
        book.reload(db, now).await?;
        Ok(book)
    }

    /// Reads editions that are new; the others are kept as they are.
    pub(crate) async fn reload(&self, db: &Db, now: Timestamp) -> cf_base::Result<()> {
        let rows = db
            .query(
                "select id, effective, hash from price_lists where effective >= coalesce(\
                 (select max(effective) from price_lists where effective <= $1), '') \
                 order by effective, created, id limit $2",
                vec![now.to_date_text().to_string().into(), EDITIONS.into()],
            )
            .await?;
        let known = self.0.load_full();
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            let id: String = row.get("id")?;
            if let Some(same) = known.iter().find(|edition| edition.id == id) {
                kept.push(Arc::clone(same));
                continue;
            }
            let effective: String = row.get("effective")?;
            let models = if row.get::<String>("hash")? == BUILT_IN.hash {
                Arc::clone(&BUILT_IN.models)
            } else {
                Arc::new(models(&content(db, &id).await?))
            };
            kept.push(Arc::new(Kept {
                id,
                effective: Timestamp::parse(&effective)
                    .ok_or_else(|| cf_base::Error::internal("a price list without a date"))?,
                models,
            }));
        }
        self.0.store(Arc::new(kept));
        Ok(())
    }

    /// The prices of a provider's model at a time, in a region where it has prices
    /// of its own.
    pub(crate) fn find(
        &self,
        now: Timestamp,
        provider: &str,
        model: &str,
        region: &str,
    ) -> Option<Arc<PriceVersion>> {
        let editions = self.0.load();
        let edition = editions.iter().rfind(|e| e.effective <= now)?;
        edition.models.get(provider)?.get(model)?.at(region)
    }
}

impl Entry {
    fn at(&self, region: &str) -> Option<Arc<PriceVersion>> {
        let of = |name: &str| {
            let found = self.regions.iter().find(|(region, _)| region == name);
            found.map(|(_, version)| Arc::clone(version))
        };
        let elsewhere = !region.is_empty() && region != "global";
        of(region)
            .or_else(|| of("*").filter(|_| elsewhere))
            .or_else(|| self.anywhere.clone())
            // Known by region only, and the region is not told: the dearest.
            .or_else(|| {
                let all = self.regions.iter().map(|(_, version)| version);
                all.max_by_key(|v| (v.prices.input, v.prices.output)).cloned()
            })
    }
}

/// The catalogue of an edition.
pub(super) async fn content(db: &Db, id: &str) -> cf_base::Result<Catalogue> {
    let row = db
        .query_opt(
            "select catalogue from price_lists where id = $1",
            vec![id.into()],
        )
        .await?
        .ok_or_else(|| cf_base::Error::internal("a price list is gone"))?;
    serde_json::from_str(&row.get::<String>("catalogue")?).map_err(cf_base::Error::internal)
}

pub(super) async fn seed(db: &Db, now: Timestamp) -> cf_base::Result<()> {
    let some = db
        .query_opt("select 1 from price_lists limit 1", vec![])
        .await?;
    if some.is_some() {
        return Ok(());
    }
    let built_in = &*BUILT_IN;
    db.execute(
        "insert into price_lists (id, hash, effective, source, models, actor, catalogue, created) \
         values ($1, $2, $3, 'built-in', $4, '', $5, $6) on conflict (id) do nothing",
        vec![
            // The same on every node that starts at the same time.
            Id::of_content(built_in.hash.as_bytes()).into(),
            (&built_in.hash).into(),
            ALWAYS.into(),
            built_in.count.into(),
            (&built_in.text).into(),
            now.to_date_text().to_string().into(),
        ],
    )
    .await?;
    Ok(())
}

fn models(catalogue: &Catalogue) -> Models {
    let mut book = Models::new();
    for model in &catalogue.models {
        let Some(provider) = our_name(&model.provider) else {
            continue;
        };
        // Qualities and sizes of pictures.
        if let Some(variant) = &model.variant {
            if let Some(version) = model.picture(provider) {
                let name = of_variant(&model.deployed_as(), variant);
                let entry = book.entry(provider).or_default().entry(name).or_default();
                entry.anywhere.get_or_insert_with(|| Arc::new(version));
            }
            continue;
        }
        let Some(version) = model.version(provider) else {
            continue;
        };
        let entry = book
            .entry(provider)
            .or_default()
            .entry(model.deployed_as())
            .or_default();
        if let Some(region) = &model.region {
            entry.regions.push((region.clone(), Arc::new(version)));
            continue;
        }
        // Two of the catalogue's providers may be one of ours: the first one counts.
        if entry.anywhere.is_some() {
            continue;
        }
        for (region, factor) in model.regional_factors() {
            let there = PriceVersion::new(
                provider,
                &version.model,
                "book",
                version.prices.scaled(factor),
                version.max_output_tokens,
                version.max_input_tokens,
            );
            entry.regions.push((region.to_owned(), Arc::new(there)));
        }
        entry.anywhere = Some(Arc::new(version));
    }
    book
}

/// The name that the price of one quality and size of a model's pictures is found
/// under; no model has a line break in its name.
pub(crate) fn of_variant(model: &str, variant: &str) -> String {
    format!("{model}\n{variant}")
}

/// The catalogue's provider names in ours.
fn our_name(provider: &str) -> Option<&'static str> {
    Some(match provider {
        "openai" => "openai",
        "azure" | "azure_ai" => "azure",
        "gemini" => "gemini",
        "vertex_ai" => "vertex",
        "bedrock" | "bedrock_mantle" => "bedrock",
        "anthropic" => "anthropic",
        "mistral" => "mistral",
        _ => return None,
    })
}

#[cfg(test)]
impl PriceBook {
    /// The edition that comes with the program, without a database.
    pub(super) fn built_in() -> Self {
        let kept = Kept {
            id: String::new(),
            effective: Timestamp::from_millis(0),
            models: Arc::clone(&BUILT_IN.models),
        };
        Self(ArcSwap::from_pointee(vec![Arc::new(kept)]))
    }

    /// All versions of it.
    pub(super) fn all(&self) -> Vec<Arc<PriceVersion>> {
        let editions = self.0.load();
        let entries = editions
            .iter()
            .flat_map(|e| e.models.values())
            .flat_map(HashMap::values);
        entries
            .flat_map(|e| e.anywhere.iter().chain(e.regions.iter().map(|(_, v)| v)))
            .cloned()
            .collect()
    }
}
