//! A new edition of the price book: first what it would change, then, with the
//! hash of exactly that, it is taken. Past bills stay as they are: they are
//! addressed by the content of their prices.

use std::collections::BTreeMap;
use std::time::Duration;

use cf_base::{Clock, Error, Id, Kind, Random, Timestamp, sha256_hex};
use cf_db::{Db, Tx};
use serde::Serialize;

use super::book::{self, BUILT_IN};
use super::catalogue::{Catalogue, Model};

/// How far ahead an edition may lie.
const AHEAD: Duration = Duration::from_secs(2 * 366 * 86_400);
/// Editions that are listed.
const LISTED: i64 = 100;

/// What a new edition would change.
#[derive(Clone, Debug, Serialize)]
pub struct Import {
    /// Confirms exactly these changes.
    pub hash: String,
    /// From when it would hold.
    pub effective: String,
    /// The edition it is compared with: the one in force at that time.
    pub base: String,
    /// Models that are new.
    pub added: Vec<ModelName>,
    /// Models with other prices, multipliers or limits.
    pub changed: Vec<Changed>,
    /// Models that are gone.
    pub removed: Vec<ModelName>,
    /// Models that stay as they are.
    pub unchanged: usize,
    #[serde(skip)]
    catalogue: Catalogue,
}

/// A model in a price book.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ModelName {
    /// The provider, by the catalogue's name.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// The region, where it has prices of its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Quality and size, of pictures.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Its prices, in US dollars for one token or piece.
    pub prices: BTreeMap<String, String>,
}

/// A model whose terms change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Changed {
    /// The provider, by the catalogue's name.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// The region, where it has prices of its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Quality and size, of pictures.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// What changes.
    pub fields: Vec<FieldChange>,
}

/// A price, multiplier or limit that changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FieldChange {
    /// Its name, such as `input` or `priority.output`.
    pub name: String,
    /// Before; none where it is new.
    pub old: Option<String>,
    /// After; none where it is gone.
    pub new: Option<String>,
}

/// An edition in the database.
#[derive(Clone, Debug, Serialize)]
pub struct Edition {
    /// Its id.
    pub id: String,
    /// From when it holds.
    pub effective: String,
    /// `built-in` or `import`.
    pub source: String,
    /// How many models it has.
    pub models: i64,
    /// Who took it.
    pub actor: String,
    /// When it was taken.
    pub created: String,
    /// Whether it holds now.
    pub in_force: bool,
}

impl Import {
    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// What the catalogue `text` would change from `effective` on (a date; empty:
/// today). Without a text it is the catalogue that comes with the program.
pub async fn propose(
    db: &Db,
    clock: &Clock,
    text: Option<&str>,
    effective: &str,
) -> cf_base::Result<Import> {
    book::seed(db, clock.now()).await?;
    let catalogue = Catalogue::parse(text.unwrap_or(&BUILT_IN.text))
        .map_err(|sentence| Error::invalid_field("file", sentence))?;
    let effective = effective_date(clock, effective)?;
    let row = db
        .query_opt(
            "select id, hash from price_lists where effective <= $1 \
             order by effective desc, created desc, id desc limit 1",
            vec![(&effective).into()],
        )
        .await?;
    let (base, base_hash, old) = match row {
        Some(row) => {
            let id: String = row.get("id")?;
            let old = book::content(db, &id).await?;
            (id, row.get("hash")?, old)
        }
        None => (
            String::new(),
            String::new(),
            Catalogue { models: Vec::new() },
        ),
    };
    let new_hash = content_hash(&catalogue);
    let mut import = Import {
        hash: sha256_hex(format!("{base} {base_hash} {new_hash} {effective}").as_bytes()),
        effective,
        base,
        added: Vec::new(),
        changed: Vec::new(),
        removed: Vec::new(),
        unchanged: 0,
        catalogue,
    };
    compare(&old, &mut import);
    Ok(import)
}

/// Takes an import whose hash was confirmed. A change of the book meanwhile
/// makes it a conflict: what was confirmed was another difference.
pub async fn take(
    tx: &mut Tx,
    import: &Import,
    confirmed: &str,
    actor: &str,
    clock: &Clock,
    random: &Random,
) -> cf_base::Result<Id> {
    if confirmed != import.hash {
        return Err(Error::new(
            Kind::Conflict,
            "These are not the changes that were confirmed: the file, the date or the price book has \
             changed since. Look at the changes again.",
        ));
    }
    if import.is_empty() {
        return Err(Error::new(
            Kind::Unprocessable,
            "This price list changes nothing, so there is nothing to take.",
        ));
    }
    // Holds off whoever takes another list at the same time.
    tx.execute("update data_version set version = version + 1", vec![])
        .await?;
    let now = tx
        .query_opt(
            "select id from price_lists where effective <= $1 \
             order by effective desc, created desc, id desc limit 1",
            vec![(&import.effective).into()],
        )
        .await?;
    let now: String = now.map_or(Ok(String::new()), |row| row.get("id"))?;
    if now != import.base {
        return Err(Error::new(
            Kind::Conflict,
            "Another price list was taken meanwhile. Look at the changes again.",
        ));
    }
    let id = Id::new(random);
    let text = serde_json::to_string(&import.catalogue).map_err(Error::internal)?;
    tx.execute(
        "insert into price_lists (id, hash, effective, source, models, actor, catalogue, created) \
         values ($1, $2, $3, 'import', $4, $5, $6, $7)",
        vec![
            id.into(),
            sha256_hex(text.as_bytes()).into(),
            (&import.effective).into(),
            i64::try_from(import.catalogue.models.len())
                .unwrap_or(i64::MAX)
                .into(),
            actor.into(),
            text.into(),
            clock.now().to_date_text().to_string().into(),
        ],
    )
    .await?;
    Ok(id)
}

/// The editions, latest first.
pub async fn editions(db: &Db, now: Timestamp) -> cf_base::Result<Vec<Edition>> {
    let now = now.to_date_text().to_string();
    let rows = db
        .query(
            "select id, effective, source, models, actor, created from price_lists \
             order by effective desc, created desc, id desc limit $1",
            vec![LISTED.into()],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut in_force = true;
    for row in rows {
        let effective: String = row.get("effective")?;
        let holds = in_force && effective <= now;
        in_force &= !holds;
        found.push(Edition {
            id: row.get("id")?,
            effective,
            source: row.get("source")?,
            models: row.get("models")?,
            actor: row.get("actor")?,
            created: row.get("created")?,
            in_force: holds,
        });
    }
    Ok(found)
}

/// Models that were found in a price book.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The first of them.
    pub models: Vec<ModelName>,
    /// How many there are.
    pub total: usize,
}

/// Models of the price book in force whose name holds `search`, the first `limit`.
pub async fn search(db: &Db, now: Timestamp, search: &str, limit: usize) -> cf_base::Result<Found> {
    let editions = editions(db, now).await?;
    let Some(edition) = editions.iter().find(|e| e.in_force) else {
        return Ok(Found::default());
    };
    let catalogue = book::content(db, &edition.id).await?;
    let wanted = search.trim().to_lowercase();
    let mut found = Found::default();
    for model in &catalogue.models {
        let (provider, id, ..) = model.key();
        if format!("{provider}/{id}").to_lowercase().contains(&wanted) {
            found.total += 1;
            if found.models.len() < limit {
                found.models.push(name(model));
            }
        }
    }
    Ok(found)
}

/// Whether the program brings a price book that is not the one in force, which
/// came with an earlier one. A list that an administrator took is not questioned.
pub async fn is_outdated(db: &Db, clock: &Clock) -> cf_base::Result<bool> {
    let editions = editions(db, clock.now()).await?;
    let built_in = editions
        .iter()
        .any(|e| e.in_force && e.source == "built-in");
    Ok(built_in && !propose(db, clock, None, "").await?.is_empty())
}

fn content_hash(catalogue: &Catalogue) -> String {
    let text = serde_json::to_string(catalogue).unwrap_or_default();
    sha256_hex(text.as_bytes())
}

fn effective_date(clock: &Clock, text: &str) -> cf_base::Result<String> {
    let now = clock.now();
    let today = Timestamp::parse(&now.to_day()).unwrap_or(now);
    let effective = if text.is_empty() {
        Some(today)
    } else {
        Timestamp::parse(text)
    };
    effective
        .filter(|t| *t >= today && *t <= now.after(AHEAD))
        .map(|t| t.to_date_text().to_string())
        .ok_or_else(|| {
            Error::invalid_field(
                "effective",
                "effective is a date such as 2026-01-31, from today to two years ahead.",
            )
        })
}

fn compare(old: &Catalogue, import: &mut Import) {
    let mut before: BTreeMap<_, &Model> = old.models.iter().map(|m| (m.key(), m)).collect();
    for model in &import.catalogue.models {
        let Some(was) = before.remove(&model.key()) else {
            import.added.push(name(model));
            continue;
        };
        let fields = differences(was, model);
        if fields.is_empty() {
            import.unchanged += 1;
            continue;
        }
        let ModelName {
            provider,
            model,
            region,
            variant,
            ..
        } = name(model);
        import.changed.push(Changed {
            provider,
            model,
            region,
            variant,
            fields,
        });
    }
    import.removed = before.into_values().map(name).collect();
}

fn differences(old: &Model, new: &Model) -> Vec<FieldChange> {
    let (old, mut new) = (old.all_terms(), new.all_terms());
    let mut fields = Vec::new();
    for (name, was) in old {
        let is = new.remove(&name);
        if is.as_ref() != Some(&was) {
            fields.push(FieldChange {
                name,
                old: Some(was),
                new: is,
            });
        }
    }
    fields.extend(new.into_iter().map(|(name, is)| FieldChange {
        name,
        old: None,
        new: Some(is),
    }));
    fields
}

fn name(model: &Model) -> ModelName {
    let (provider, id, region, variant) = model.key();
    ModelName {
        provider: provider.to_owned(),
        model: id.to_owned(),
        region: region.to_owned(),
        variant: variant.to_owned(),
        prices: model.all_prices(),
    }
}
