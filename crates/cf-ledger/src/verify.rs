//! Works every balance and every cost out again from entries, usage and price
//! versions, and says what differs.

mod rollups;

use std::collections::HashMap;

use cf_base::{ExchangeRate, Nanos};
use cf_db::{Db, Row};

use crate::Ledger;
use crate::hold::{CACHE, UsageRow};
use crate::{Charge, Prices};

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about, such as `user abc… posted`.
    pub what: String,
    /// What stands in the database.
    pub stands: String,
    /// What it should be.
    pub should_be: String,
}

/// Rows read at a time.
const CHUNK: i64 = 2000;

impl Ledger {
    /// Checks the whole ledger. Each check is one statement, so it may run
    /// beside a working server.
    pub async fn verify(db: &Db) -> cf_base::Result<Vec<Difference>> {
        let mut found = Vec::new();
        balances(db, &mut found).await?;
        pending(db, &mut found).await?;
        costs(db, &mut found).await?;
        rollups::check(db, &mut found).await?;
        Ok(found)
    }
}

/// Balances against the sums of the entries: a window's own, and those of all
/// calls. A window that was opened later has an entry that takes off the calls
/// before it; the own entries of one that is gone come to nothing.
async fn balances(db: &Db, found: &mut Vec<Difference>) -> cf_base::Result<()> {
    for (kind, owner, posted) in [
        ("user", "user_id", "posted_nanos"),
        ("key", "key_id", "posted_nanos"),
        ("tenant", "tenant_id", "tenant_posted_nanos"),
    ] {
        let sum = |amount: &str, of: &str| {
            format!(
                "(select {owner} as owner, window_name, cast(sum({amount}) as bigint) as posted, \
                 cast(sum(limit_nanos) as bigint) as lim from ledger_entries \
                 where {owner} <> '' and window_name {of} '' group by {owner}, window_name)"
            )
        };
        let (calls, own) = (sum(posted, "="), sum(posted, "<>"));
        let sql = format!(
            "select a.owner_id, a.window_name, a.posted_nanos, coalesce(a.limit_nanos, 0), \
             a.adjusted_nanos, coalesce(c.posted, 0) + coalesce(e.posted, 0), coalesce(e.lim, 0), \
             coalesce(e.posted, 0) from ledger_accounts a \
             left join {calls} c on c.owner = a.owner_id \
             left join {own} e on e.owner = a.owner_id and e.window_name = a.window_name \
             where a.kind = '{kind}' and (a.adjusted_nanos <> coalesce(e.posted, 0) \
             or a.posted_nanos <> coalesce(c.posted, 0) + coalesce(e.posted, 0) \
             or coalesce(a.limit_nanos, 0) <> coalesce(e.lim, 0))"
        );
        for row in db.query(&sql, vec![]).await? {
            let id: String = row.at(0)?;
            let window: String = row.at(1)?;
            for (name, stands, should_be) in
                [("posted", 2, 5), ("limit", 3, 6), ("own entries", 4, 7)]
            {
                let what = format!("{kind} {id} {window} {name}");
                push(found, &row, &what, stands, should_be)?;
            }
        }
        let sql = format!(
            "select e.owner, e.window_name, e.posted, e.lim from {own} e \
             left join ledger_accounts a on a.owner_id = e.owner and a.window_name = e.window_name \
             where a.owner_id is null and (e.posted <> 0 or e.lim <> 0)"
        );
        for row in db.query(&sql, vec![]).await? {
            let (id, window): (String, String) = (row.at(0)?, row.at(1)?);
            let posted: Nanos = row.at(2)?;
            found.push(Difference {
                what: format!("{kind} {id} {window} entries of a budget that is gone"),
                stands: posted.to_string(),
                should_be: "0".into(),
            });
        }
    }
    let sql = "select a.owner_id, cast(count(*) as bigint), \
               cast(max(case when a.window_name = 'main' then a.windows else 0 end) as bigint) \
               from ledger_accounts a group by a.owner_id \
               having count(*) <> max(case when a.window_name = 'main' then a.windows else 0 end)";
    for row in db.query(sql, vec![]).await? {
        let id: String = row.at(0)?;
        let (stands, should_be): (i64, i64) = (row.at(1)?, row.at(2)?);
        found.push(Difference {
            what: format!("windows of {id}"),
            stands: stands.to_string(),
            should_be: should_be.to_string(),
        });
    }
    Ok(())
}

/// What is pending against the open holds.
async fn pending(db: &Db, found: &mut Vec<Difference>) -> cf_base::Result<()> {
    for (kind, owner, amount) in [
        ("user", "user_id", "amount_nanos"),
        ("key", "key_id", "amount_nanos"),
        ("tenant", "tenant_id", "tenant_amount_nanos"),
    ] {
        let sql = format!(
            "select a.owner_id, a.pending_nanos, coalesce(h.amount, 0), a.window_name \
             from ledger_accounts a \
             left join (select {owner} as owner, cast(sum({amount}) as bigint) as amount \
             from ledger_holds group by {owner}) h on h.owner = a.owner_id \
             where a.kind = '{kind}' and a.pending_nanos <> coalesce(h.amount, 0)"
        );
        for row in db.query(&sql, vec![]).await? {
            let id: String = row.at(0)?;
            let window: String = row.at(3)?;
            push(
                found,
                &row,
                &format!("{kind} {id} {window} pending against open holds"),
                1,
                2,
            )?;
        }
    }
    Ok(())
}

/// Every call's cost against its usage and prices, and against what was posted.
async fn costs(db: &Db, found: &mut Vec<Difference>) -> cf_base::Result<()> {
    let mut versions: HashMap<String, (Prices, Charge)> = HashMap::new();
    for row in db
        .query("select id, prices, charge from price_versions", vec![])
        .await?
    {
        let prices = serde_json::from_str(&row.get::<String>("prices")?)
            .map_err(cf_base::Error::internal)?;
        let charge: String = row.get("charge")?;
        let charge = if charge.is_empty() {
            Charge::NONE
        } else {
            serde_json::from_str(&charge).map_err(cf_base::Error::internal)?
        };
        versions.insert(row.get("id")?, (prices, charge));
    }
    let mut last = String::new();
    loop {
        let rows = db
            .query(
                "select u.id, u.request_id, u.prompt_tokens, u.completion_tokens, u.cached_tokens, \
                 u.cache_write_tokens, u.cache_write_1h_tokens, u.reasoning_tokens, \
                 u.audio_input_tokens, u.audio_output_tokens, u.extra, u.provider_cost, u.cost, u.tenant_cost, \
                 u.exchange_rate, u.tenant_exchange_rate, u.price_version, u.provider \
                 from usage_logs u where u.id > $1 order by u.id limit $2",
                vec![last.clone().into(), CHUNK.into()],
            )
            .await?;
        let Some(end) = rows.last() else { break };
        last = end.get("id")?;
        for row in &rows {
            check_cost(row, &versions, found)?;
        }
    }
    for row in db
        .query(
            "select u.request_id, u.cost, coalesce(e.posted, 0), \
             case when coalesce(e.times, 0) = 0 then coalesce(e.expired, 0) else e.times end \
             from usage_logs u left join (select e.request_id, cast(sum(posted_nanos) as bigint) as posted, \
             cast(sum(case when kind = 'expire' then 0 else 1 end) as bigint) as times, \
             cast(sum(case when kind = 'expire' then 1 else 0 end) as bigint) as expired \
             from ledger_entries e where e.kind in ('post', 'void', 'expire') and not exists \
             (select 1 from usage_pruned p where (p.owner_id = e.tenant_id or p.owner_id = e.user_id) \
             and e.created < p.until) \
             group by e.request_id) e on e.request_id = u.request_id \
             where (coalesce(e.posted, 0) <> u.cost or case when coalesce(e.times, 0) = 0 \
             then coalesce(e.expired, 0) else e.times end <> 1) and not exists \
             (select 1 from usage_pruned p where (p.owner_id = u.tenant_id or p.owner_id = u.user_id) \
             and u.created < p.until) limit 1000",
            vec![],
        )
        .await?
    {
        let id: String = row.at(0)?;
        push(found, &row, &format!("call {id} posted"), 2, 1)?;
        let times: i64 = row.at(3)?;
        if times != 1 {
            found.push(Difference {
                what: format!("call {id} entries that end it"),
                stands: times.to_string(),
                should_be: "1".into(),
            });
        }
    }
    Ok(())
}

fn check_cost(
    row: &Row,
    versions: &HashMap<String, (Prices, Charge)>,
    found: &mut Vec<Difference>,
) -> cf_base::Result<()> {
    let version: String = row.get("price_version")?;
    if version.is_empty() {
        return Ok(());
    }
    let request: String = row.get("request_id")?;
    let Some((prices, charge)) = versions.get(&version) else {
        found.push(Difference {
            what: format!("call {request} price version"),
            stands: version,
            should_be: "a row of price_versions".into(),
        });
        return Ok(());
    };
    let usage = UsageRow::read_usage(row)?;
    // Calls of the first version have no cost of the provider.
    let provider_cost: Nanos = row.get("provider_cost")?;
    let should_be = match row.get::<String>("provider")? == CACHE {
        true => Nanos::ZERO,
        false => prices.cost(&usage).convert(ExchangeRate::ONE),
    };
    if provider_cost != should_be && provider_cost != Nanos::ZERO {
        found.push(Difference {
            what: format!("call {request} provider cost"),
            stands: provider_cost.to_string(),
            should_be: should_be.to_string(),
        });
    }
    for (name, cost_column, rate_column) in [
        ("cost", "cost", "exchange_rate"),
        ("tenant cost", "tenant_cost", "tenant_exchange_rate"),
    ] {
        let stands: Nanos = row.get(cost_column)?;
        let rate = ExchangeRate(row.get(rate_column)?);
        let should_be = charge.of(prices, &usage, rate);
        if stands != should_be {
            found.push(Difference {
                what: format!("call {request} {name}"),
                stands: stands.to_string(),
                should_be: should_be.to_string(),
            });
        }
    }
    Ok(())
}

fn push(
    found: &mut Vec<Difference>,
    row: &Row,
    what: &str,
    stands: usize,
    should_be: usize,
) -> cf_base::Result<()> {
    let (stands, should_be): (Nanos, Nanos) = (row.at(stands)?, row.at(should_be)?);
    if stands != should_be {
        found.push(Difference {
            what: what.to_owned(),
            stands: stands.to_string(),
            should_be: should_be.to_string(),
        });
    }
    Ok(())
}
