//! Fills a SQLite database with users and their usage, as if they had called for a year, and sets budgets
//! due for a reset.
//!
//! `fill --database FILE --users 100000 --rows 10000000` copies the newest usage row, so that every cost
//! is one that the program itself worked out; balances, entries, rows and their sums agree. No server may be running.
//! `fill --database FILE --resets all` beside a running server makes every filled budget due, waits until
//! the server has reset them all, and prints when that began and ended.

// A stand-alone program for measurements: it prints to its user.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use bench::arguments::Arguments;
use cf_db::{Db, Location, Value};

/// Rows in one transaction.
const CHUNK: i64 = 250_000;
const TENANTS: i64 = 10;
const YEAR_MS: i64 = 365 * 86_400_000;
/// A budget of 10,000, far above what a user of the fill spends.
const LIMIT: i64 = 10_000_000_000_000;
/// The server looks once a minute for budgets that are due.
const RESET_LIMIT: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::read(&["database", "users", "rows", "resets"])?;
    let path = PathBuf::from(arguments.required("database")?);
    if !path.is_file() {
        bail!("{} does not exist", path.display());
    }
    let db = Db::open(&Location::Sqlite(path)).await?;
    if arguments.text("resets").is_some() {
        return resets(&db).await;
    }
    let users: i64 = arguments.number("users", 100_000)?;
    let rows: i64 = arguments.number("rows", 10_000_000)?;
    let start = Instant::now();
    fill(&db, users, rows).await?;
    println!(
        "{rows} rows of {users} users in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Fourteen digits of a number, which with a letter before them make an id.
fn digits(number: &str) -> String {
    format!("substr(cast(100000000000000 + {number} as text), 2)")
}

/// The numbers from `$1` to before `$2`.
const SERIES: &str =
    "with recursive s(n) as (select $1 union all select n + 1 from s where n + 1 < $2)";

async fn fill(db: &Db, users: i64, rows: i64) -> Result<()> {
    let cost = db
        .query_opt(
            "select id, cost, tenant_cost, tenant_currency from usage_logs where status = 'ok' \
             and price_version <> '' order by id desc limit 1",
            vec![],
        )
        .await?
        .context("there is no call yet to copy: make one first")?;
    let template: String = cost.get("id")?;
    let (cost, tenant_cost): (i64, i64) = (cost.get("cost")?, cost.get("tenant_cost")?);
    make_users(db, users).await?;

    // In the order of the index rows come in by chance, which costs a page each: the indexes are made at the end.
    let indexes = db
        .query(
            "select name, sql from sqlite_master where type = 'index' and sql is not null \
             and tbl_name = 'usage_logs'",
            vec![],
        )
        .await?;
    for index in &indexes {
        let name: String = index.get("name")?;
        db.execute(&format!("drop index {name}"), vec![]).await?;
    }
    let until = now_ms()?;
    let mut next = 0;
    while next < rows {
        let end = (next + CHUNK).min(rows);
        make_rows(db, &template, users, rows, until, next..end).await?;
        next = end;
        eprint!("\r{next} of {rows} rows");
    }
    eprintln!();
    for index in &indexes {
        db.execute(&index.get::<String>("sql")?, vec![]).await?;
    }
    sum(db).await?;
    // What each has spent: whoever has one call more than others, by the order of the rows.
    db.execute(
        &format!(
            "update ledger_accounts set posted_nanos = (select count(*) from usage_logs u \
             where u.user_id = ledger_accounts.owner_id) * {cost} where owner_id like 'u00%'"
        ),
        vec![],
    )
    .await?;
    db.execute(
        &format!(
            "update ledger_accounts set posted_nanos = (select count(*) from usage_logs u \
             where u.tenant_id = ledger_accounts.owner_id) * {tenant_cost} where owner_id like 't00%'"
        ),
        vec![],
    )
    .await?;
    db.execute("analyze", vec![]).await?;
    db.checkpoint().await?;
    Ok(())
}

/// The migrations that made tables of sums.
const SUMS: [&str; 2] = [
    include_str!("../../../migrations/0007_rollups.sql"),
    include_str!("../../../migrations/0009_routing.sql"),
];

/// Sums the rows by hour, day and provider key, in the words of the migrations that
/// made those tables.
async fn sum(db: &Db) -> Result<()> {
    for migration in SUMS {
        let lines = migration.lines().filter(|line| !line.starts_with("--"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let inserts = text
            .split(';')
            .filter(|s| s.trim().starts_with("insert into "));
        for insert in inserts {
            let table = insert
                .split_whitespace()
                .nth(2)
                .context("a table has a name")?;
            let mut tx = db.begin().await?;
            tx.execute(&format!("delete from {table}"), vec![]).await?;
            tx.execute(insert, vec![]).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

async fn make_users(db: &Db, users: i64) -> Result<()> {
    let (user, tenant) = (digits("n"), digits(&format!("n % {TENANTS}")));
    let date = "'2025-01-01 00:00:00.000Z'";
    let later = "'2099-01-01 00:00:00.000Z'";
    for sql in [
        format!(
            "insert into tenants (id, name, slug, created, updated) {SERIES} \
             select 't' || {user}, 'Fill ' || n, 'fill-' || n, {date}, {date} from s where n < {TENANTS}"
        ),
        format!(
            "insert into users (id, email, password_hash, token_key, status, tenant_id, created, updated) \
             {SERIES} select 'u' || {user}, 'fill' || n || '@example.com', '', '', 'active', \
             't' || {tenant}, {date}, {date} from s"
        ),
        format!(
            "insert into ledger_accounts (owner_id, kind, currency) {SERIES} \
             select 't' || {user}, 'tenant', 'EUR' from s where n < {TENANTS}"
        ),
        format!(
            "insert into ledger_accounts (owner_id, kind, currency, limit_nanos, period, period_days, \
             period_start, reset_date) {SERIES} \
             select 'u' || {user}, 'user', 'EUR', {LIMIT}, 'days', 30, {date}, {later} from s"
        ),
        format!(
            "insert into ledger_entries (id, kind, user_id, window_name, currency, limit_nanos, created) \
             {SERIES} select '0' || {user}, 'limit', 'u' || {user}, 'main', 'EUR', {LIMIT}, {date} from s"
        ),
    ] {
        db.execute(&sql, vec![Value::Int(0), Value::Int(users.max(TENANTS))])
            .await?;
    }
    Ok(())
}

async fn make_rows(
    db: &Db,
    template: &str,
    users: i64,
    rows: i64,
    until: i64,
    numbers: std::ops::Range<i64>,
) -> Result<()> {
    // A prime far from the number of users, so that neighbours in time are different users.
    let owner = format!("(n * 7919 % {users})");
    let id = format!("'1' || {}", digits("n"));
    let request = format!("'00000000-0000-7000-8000-' || {}", digits("n"));
    let user = format!("'u' || {}", digits(&owner));
    let tenant = format!("'t' || {}", digits(&format!("{owner} % {TENANTS}")));
    let ms = format!("({} + n * {YEAR_MS} / {rows})", until - YEAR_MS);
    let created = format!("strftime('%Y-%m-%d %H:%M:%fZ', {ms} / 1000.0, 'unixepoch')");
    let made = [
        ("id", id),
        ("request_id", request),
        ("user_id", user),
        ("tenant_id", tenant),
        ("key_id", "''".to_owned()),
        ("model", "'model-' || n % 8".to_owned()),
        ("created", created),
    ];
    let mut tx = db.begin().await?;
    for table in ["usage_logs", "ledger_entries"] {
        let columns = tx
            .query("select name from pragma_table_info($1)", vec![table.into()])
            .await?;
        let columns = columns
            .iter()
            .map(|row| row.at::<String>(0))
            .collect::<Result<Vec<_>, _>>()?;
        // What is not made up is as in the call that is copied.
        let values: Vec<String> = columns
            .iter()
            .map(
                |column| match made.iter().find(|(name, _)| name == column) {
                    Some((_, value)) => value.clone(),
                    None => format!("t.{column}"),
                },
            )
            .collect();
        let sql = format!(
            "insert into {table} ({}) {SERIES} select {} from s \
             cross join (select * from {table} where id = $3) t",
            columns.join(", "),
            values.join(", ")
        );
        let params = vec![
            Value::Int(numbers.start),
            Value::Int(numbers.end),
            template.into(),
        ];
        tx.execute(&sql, params).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn resets(db: &Db) -> Result<()> {
    let all = db
        .execute(
            "update ledger_accounts set reset_date = '2025-06-01 00:00:00.000Z' \
             where owner_id like 'u00%'",
            vec![],
        )
        .await?;
    let all = i64::try_from(all)?;
    let due = async || -> Result<i64> {
        let row = db
            .query_opt(
                "select count(*) from ledger_accounts where reset_date <> '' \
                 and reset_date < '2025-07-01'",
                vec![],
            )
            .await?;
        Ok(row.context("a count is a row")?.at(0)?)
    };
    let start = Instant::now();
    let mut began = None;
    loop {
        let left = due().await?;
        if left < all && began.is_none() {
            began = Some(now_ms()?);
        }
        if let (0, Some(began)) = (left, began) {
            println!(
                "{{\"users\":{all},\"began_ms\":{began},\"ended_ms\":{}}}",
                now_ms()?
            );
            return Ok(());
        }
        if start.elapsed() > RESET_LIMIT {
            bail!("{left} of {all} budgets are still due");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn now_ms() -> Result<i64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_millis())?)
}
