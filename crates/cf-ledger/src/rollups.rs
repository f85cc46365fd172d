//! Sums of usage by hour and day, written in the transaction of the rows they
//! stand for: added up within a batch, one upsert for each group.

use std::collections::BTreeMap;

use cf_base::Extra;
use cf_db::{DbError, Row, Tx, Value};

use crate::CallStatus;
use crate::hold::UsageRow;

/// Columns of `usage_hours` that a group is known by, after the hour.
pub(crate) const GROUP: [&str; 8] = [
    "tenant_id",
    "user_id",
    "key_id",
    "model",
    "provider",
    "price_version",
    "currency",
    "tenant_currency",
];
const TENANT: usize = 0;
const USER: usize = 1;
const MODEL: usize = 3;
const PROVIDER: usize = 4;
const CURRENCY: usize = 6;
const TENANT_CURRENCY: usize = 7;

/// Columns of `usage_hours` that are sums.
pub(crate) const SUMS: [&str; 20] = [
    "requests",
    "failed",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "cached_audio_tokens",
    "images",
    "web_searches",
    "characters",
    "audio_seconds",
    "cost",
    "tenant_cost",
    "provider_cost",
];
/// Of these, what the counters in `extra` add up to.
pub(crate) const EXTRAS: std::ops::Range<usize> = 10..17;
/// Those counters.
pub(crate) type Extras = [i64; EXTRAS.end - EXTRAS.start];
/// Of these, what the other tables have.
pub(crate) const COARSE: [usize; 7] = [0, 1, 2, 3, 17, 18, 19];

/// A table with sums over more than `usage_hours` has a row for.
pub(crate) struct Coarse {
    pub table: &'static str,
    /// `hour` or `day`.
    pub time: &'static str,
    /// Characters of the hour that make its time.
    pub time_chars: usize,
    /// Its columns, as places in [`GROUP`].
    pub group: &'static [usize],
}

/// The tables besides `usage_hours`.
pub(crate) const COARSER: [Coarse; 3] = [
    Coarse {
        table: "usage_tenant_hours",
        time: "hour",
        time_chars: 13,
        group: &[TENANT, CURRENCY, TENANT_CURRENCY],
    },
    Coarse {
        table: "usage_user_days",
        time: "day",
        time_chars: 10,
        group: &[TENANT, USER, CURRENCY, TENANT_CURRENCY],
    },
    Coarse {
        table: "usage_model_days",
        time: "day",
        time_chars: 10,
        group: &[TENANT, MODEL, PROVIDER, CURRENCY, TENANT_CURRENCY],
    },
];

/// The hour, then the columns of [`GROUP`].
type Group = (String, [String; GROUP.len()]);
type Sums = [i64; SUMS.len()];

/// What a batch adds to the sums. In the order of the keys, so that no two
/// processes wait for each other.
#[derive(Default)]
pub(crate) struct Rollups(BTreeMap<Group, Sums>);

impl Rollups {
    /// Adds a row that is written at `created`.
    pub(crate) fn add(&mut self, usage: &UsageRow, created: &str) {
        let group = [
            usage.tenant_id.to_string(),
            usage.user_id.to_string(),
            usage.key_id.clone(),
            usage.model.clone(),
            usage.provider.clone(),
            (usage.price.as_ref()).map_or_else(String::new, |price| price.id.to_string()),
            usage.cost.currency.to_string(),
            usage.tenant_cost.currency.to_string(),
        ];
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let used = &usage.usage;
        let extra = &used.extra;
        let sums = [
            1,
            i64::from(usage.status == CallStatus::Error),
            count(used.prompt_tokens()),
            count(used.completion_tokens()),
            count(used.cache_read),
            count(used.cache_write),
            count(used.cache_write_1h),
            count(used.reasoning),
            count(used.audio_input),
            count(used.audio_output),
            count(extra.image_input),
            count(extra.image_output),
            count(extra.cache_read_audio),
            count(extra.images),
            count(extra.web_searches),
            count(extra.characters),
            count(extra.audio_seconds),
            usage.cost.nanos.0,
            usage.tenant_cost.nanos.0,
            usage.provider_cost().0,
        ];
        self.sum((hour_of(created), group), sums, 1);
    }

    /// Columns that [`Rollups::take_back`] reads.
    pub(crate) fn columns() -> String {
        let sums: Vec<&str> = (SUMS.iter().enumerate())
            .filter(|(at, _)| *at > 1 && !EXTRAS.contains(at))
            .map(|(_, name)| *name)
            .collect();
        format!(
            "created, status, extra, {}, {}",
            GROUP.join(", "),
            sums.join(", ")
        )
    }

    /// Takes a row out again that is deleted.
    pub(crate) fn take_back(&mut self, row: &Row) -> Result<(), DbError> {
        let created: String = row.get("created")?;
        self.sum((hour_of(&created), group_of(row)?), sums_of(row)?, -1);
        Ok(())
    }

    fn sum(&mut self, group: Group, sums: Sums, sign: i64) {
        let all = self.0.entry(group).or_insert([0; SUMS.len()]);
        for (all, one) in all.iter_mut().zip(sums) {
            *all = all.saturating_add(one.saturating_mul(sign));
        }
    }

    /// Adds everything to what stands in the database.
    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), DbError> {
        if self.0.is_empty() {
            return Ok(());
        }
        for (coarse, sql) in COARSER.iter().zip(upserts().coarse.iter()) {
            let mut rows: BTreeMap<Vec<&str>, [i64; COARSE.len()]> = BTreeMap::new();
            for ((hour, group), sums) in &self.0 {
                let mut key = vec![&hour[..coarse.time_chars]];
                key.extend(coarse.group.iter().map(|at| group[*at].as_str()));
                let row = rows.entry(key).or_insert([0; COARSE.len()]);
                for (all, at) in row.iter_mut().zip(COARSE) {
                    *all = all.saturating_add(sums[at]);
                }
            }
            let rows = (rows.into_iter())
                .map(|(key, sums)| {
                    let key = key.into_iter().map(Value::from);
                    key.chain(sums.into_iter().map(Value::from)).collect()
                })
                .collect();
            tx.execute_many(sql, rows).await?;
        }
        let rows = (self.0.into_iter())
            .map(|((hour, group), sums)| {
                std::iter::once(hour)
                    .chain(group)
                    .map(Value::from)
                    .chain(sums.into_iter().map(Value::from))
                    .collect()
            })
            .collect();
        tx.execute_many(&upserts().hours, rows).await?;
        Ok(())
    }
}

/// The hour of a record date.
pub(crate) fn hour_of(created: &str) -> String {
    created.get(..13).unwrap_or(created).to_owned()
}

pub(crate) fn group_of(row: &Row) -> Result<[String; GROUP.len()], DbError> {
    let mut group: [String; GROUP.len()] = Default::default();
    for (value, name) in group.iter_mut().zip(GROUP) {
        *value = row.get(name)?;
    }
    Ok(group)
}

/// The counters of a row's `extra`, in the order of [`EXTRAS`].
pub(crate) fn extras_of(extra: &str) -> Result<Extras, DbError> {
    if extra.is_empty() {
        return Ok(Extras::default());
    }
    let extra: Extra = serde_json::from_str(extra)
        .map_err(|e| DbError::Data(format!("extra of a usage row cannot be read: {e}")))?;
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Ok([
        count(extra.image_input),
        count(extra.image_output),
        count(extra.cache_read_audio),
        count(extra.images),
        count(extra.web_searches),
        count(extra.characters),
        count(extra.audio_seconds),
    ])
}

fn sums_of(row: &Row) -> Result<Sums, DbError> {
    let extras = extras_of(&row.get::<String>("extra")?)?;
    let failed = row.get::<String>("status")? == CallStatus::Error.as_str();
    let mut sums = [0; SUMS.len()];
    for (at, name) in SUMS.iter().enumerate() {
        sums[at] = match at {
            0 => 1,
            1 => i64::from(failed),
            at if EXTRAS.contains(&at) => extras[at - EXTRAS.start],
            _ => row.get(name)?,
        };
    }
    Ok(sums)
}

struct Upserts {
    hours: String,
    coarse: [String; COARSER.len()],
}

/// The statements, worked out once.
fn upserts() -> &'static Upserts {
    static UPSERTS: std::sync::OnceLock<Upserts> = std::sync::OnceLock::new();
    UPSERTS.get_or_init(|| Upserts {
        hours: upsert("usage_hours", "hour", &GROUP, &SUMS),
        coarse: COARSER.each_ref().map(|coarse| {
            let group: Vec<&str> = coarse.group.iter().map(|at| GROUP[*at]).collect();
            upsert(
                coarse.table,
                coarse.time,
                &group,
                &COARSE.map(|at| SUMS[at]),
            )
        }),
    })
}

fn upsert(table: &str, time: &str, group: &[&str], sums: &[&str]) -> String {
    let key = format!("{time}, {}", group.join(", "));
    let places: Vec<String> = (1..=1 + group.len() + sums.len())
        .map(|n| format!("${n}"))
        .collect();
    let sets: Vec<String> = (sums.iter())
        .map(|sum| format!("{sum} = {table}.{sum} + excluded.{sum}"))
        .collect();
    format!(
        "insert into {table} ({key}, {}) values ({}) on conflict ({key}) do update set {}",
        sums.join(", "),
        places.join(", "),
        sets.join(", ")
    )
}
