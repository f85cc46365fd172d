//! What a tenant owes for a month, as JSON and CSV.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cf_base::{Error, Id, Kind, Nanos, Role};
use cf_collections::{Level, Principal};
use cf_ledger::{FeeLine, Statement, UsageLine};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::App;
use crate::error::BillingError;
use crate::manager::Manager;
use crate::openapi::ErrorAnswer;
use crate::table::{cell, line};

/// A tenant's month.
#[derive(Serialize, ToSchema)]
pub struct StatementAnswer {
    /// The tenant.
    tenant_id: String,
    /// Its name.
    tenant: String,
    /// As `2026-01`.
    month: String,
    /// Whose month it is.
    time_zone: String,
    /// The first moment (UTC).
    from: String,
    /// The first moment after it.
    until: String,
    /// When the month was closed; empty while it runs, and shortly after.
    closed: String,
    /// The tenant's currency.
    currency: String,
    /// By user, model and price version.
    usage: Vec<UsageLineAnswer>,
    /// The users' plans.
    fees: Vec<FeeLineAnswer>,
    /// The sums.
    totals: StatementTotals,
}

/// Calls of one user with one model by one version of its prices.
#[derive(Serialize, ToSchema)]
pub struct UsageLineAnswer {
    user_id: String,
    /// The user's address, or the id where there is none any more.
    user: String,
    /// As it was asked for.
    model: String,
    /// Who answered.
    provider: String,
    /// Empty where another program told the cost.
    price_version: String,
    /// The provider's prices of this version; for administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    unit_prices: Option<Box<RawValue>>,
    /// `requests`, `failed` and the tokens of each class.
    #[serde(flatten)]
    counts: BTreeMap<&'static str, i64>,
    #[schema(value_type = f64)]
    amount: Box<RawValue>,
    currency: String,
}

/// A user's plan.
#[derive(Serialize, ToSchema)]
pub struct FeeLineAnswer {
    user_id: String,
    /// The user's address, or the id where there is none any more.
    user: String,
    product_id: String,
    product: String,
    /// The product's price, in its own currency.
    #[schema(value_type = f64)]
    price: Box<RawValue>,
    price_currency: String,
    #[schema(value_type = f64)]
    amount: Box<RawValue>,
    /// The tenant's; the product's where there was no exchange rate.
    currency: String,
}

/// Sums in the tenant's currency.
#[derive(Serialize, ToSchema)]
pub struct StatementTotals {
    /// Calls.
    requests: i64,
    #[schema(value_type = f64)]
    usage: Box<RawValue>,
    #[schema(value_type = f64)]
    fees: Box<RawValue>,
    /// Both together.
    #[schema(value_type = f64)]
    total: Box<RawValue>,
    currency: String,
    /// What lines are in other currencies, which are not added to the total.
    #[schema(value_type = BTreeMap<String, f64>)]
    other_currencies: BTreeMap<String, Box<RawValue>>,
}

/// A tenant's months.
#[derive(Serialize, ToSchema)]
pub struct StatementList {
    /// The latest first.
    items: Vec<StatementMonth>,
}

/// A month that there is a statement of.
#[derive(Serialize, ToSchema)]
pub struct StatementMonth {
    /// As `2026-01`.
    month: String,
    /// Whether it is closed and will not change any more.
    closed: bool,
}

/// Lists the months that a tenant has statements of
///
/// Scope `read`. Tenant administrators see their own tenant's, users none.
#[utoipa::path(
    get, path = "/api/statements/{tenant}", tag = "Statements", operation_id = "list_statements",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses(
        (status = 200, description = "The months", body = StatementList),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not yours", body = ErrorAnswer),
        (status = 404, description = "No such tenant", body = ErrorAnswer),
    )
)]
pub async fn list(
    State(app): State<App>,
    manager: Manager,
    Path(tenant): Path<String>,
) -> Result<Json<StatementList>, BillingError> {
    may_read(&manager.principal(), &tenant)?;
    let months = app.ledger.statement_months(&tenant).await?;
    let months = months.ok_or_else(|| Error::new(Kind::NotFound, "There is no such tenant."))?;
    let items = months.into_iter();
    Ok(Json(StatementList {
        items: items
            .map(|(month, closed)| StatementMonth { month, closed })
            .collect(),
    }))
}

/// A tenant's statement of a month
///
/// Scope `read`. Tenant administrators see their own tenant's, users none. `2026-01` or `2026-01.json` is
/// JSON, `2026-01.csv` a table. The month is one of the tenant's time zone; amounts are the sums of the
/// rows to the last digit. Plan fee: the whole price of the product that each active user has, as it is
/// when the month is closed, an hour after its end; nothing changes a closed month.
#[utoipa::path(
    get, path = "/api/statements/{tenant}/{month}", tag = "Statements", operation_id = "view_statement",
    params(
        ("tenant" = String, Path, description = "The tenant's id"),
        ("month" = String, Path, description = "As `2026-01`, `2026-01.json` or `2026-01.csv`"),
    ),
    responses(
        (status = 200, description = "The statement", body = StatementAnswer),
        (status = 400, description = "No month", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not yours", body = ErrorAnswer),
        (status = 404, description = "No such tenant, or nothing of this month", body = ErrorAnswer),
        (status = 422, description = "Not as PDF", body = ErrorAnswer),
    )
)]
pub async fn view(
    State(app): State<App>,
    manager: Manager,
    Path((tenant, month)): Path<(String, String)>,
) -> Result<Response, BillingError> {
    let principal = manager.principal();
    may_read(&principal, &tenant)?;
    let (month, kind) = month.split_once('.').unwrap_or((&month, "json"));
    if !is_month(month) {
        return Err(Error::invalid_field("month", "A month is written as 2026-01.").into());
    }
    match kind {
        "json" | "csv" => {}
        "pdf" => {
            return Err(Error::new(
                Kind::Unprocessable,
                "This version writes statements as JSON and CSV, not yet as PDF; ask for .csv.",
            )
            .into());
        }
        _ => {
            return Err(Error::new(Kind::NotFound, "Statements are .json or .csv.").into());
        }
    }
    let statement = app.ledger.statement(&tenant, month).await?.ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            "There is no statement of this month: it lies ahead, or the tenant was not there yet.",
        )
    })?;
    if kind == "csv" {
        return Ok(file(&tenant, &statement)?);
    }
    Ok(Json(answer(tenant, statement, principal.level())).into_response())
}

fn may_read(principal: &Principal, tenant: &str) -> Result<(), Error> {
    let may = match principal {
        Principal::Superuser { .. } => true,
        Principal::User(user) => match user.role {
            Role::Admin => true,
            Role::TenantAdmin => !tenant.is_empty() && user.tenant_id == tenant,
            Role::User => false,
        },
        Principal::Guest => false,
    };
    if !may {
        return Err(Error::new(
            Kind::Forbidden,
            "Statements are for administrators, and for tenant administrators those of their tenant.",
        ));
    }
    if Id::parse(tenant).is_err() {
        return Err(Error::invalid_field(
            "tenant",
            "tenant is an id of 15 characters a-z and 0-9.",
        ));
    }
    Ok(())
}

fn is_month(text: &str) -> bool {
    let digits =
        |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-').is_some_and(|(year, month)| {
        digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month)
    })
}

/// An amount as a JSON number, exact to the last digit.
fn number(amount: Nanos) -> Box<RawValue> {
    RawValue::from_string(amount.to_string()).expect("a decimal number is JSON")
}

/// Sums by currency.
fn sums<'a>(lines: impl Iterator<Item = (&'a str, Nanos)>) -> BTreeMap<String, Nanos> {
    let mut sums = BTreeMap::new();
    for (currency, amount) in lines {
        *sums.entry(currency.to_owned()).or_insert(Nanos::ZERO) += amount;
    }
    sums
}

fn of_usage(line: &UsageLine) -> (&str, Nanos) {
    (&line.currency, line.amount)
}

fn of_fees(line: &FeeLine) -> (&str, Nanos) {
    (&line.currency, line.amount)
}

fn answer(tenant_id: String, statement: Statement, level: Level) -> StatementAnswer {
    let usage = sums(statement.usage.iter().map(of_usage));
    let fees = sums(statement.fees.iter().map(of_fees));
    let mut all =
        sums((statement.usage.iter().map(of_usage)).chain(statement.fees.iter().map(of_fees)));
    let own = |sums: &BTreeMap<String, Nanos>| {
        number(
            sums.get(&statement.currency)
                .copied()
                .unwrap_or(Nanos::ZERO),
        )
    };
    let totals = StatementTotals {
        requests: (statement.usage.iter())
            .flat_map(|line| line.counts.iter())
            .filter(|(name, _)| *name == "requests")
            .map(|(_, count)| count)
            .sum(),
        usage: own(&usage),
        fees: own(&fees),
        total: own(&all),
        currency: statement.currency.clone(),
        other_currencies: {
            all.remove(&statement.currency);
            all.into_iter().map(|(c, sum)| (c, number(sum))).collect()
        },
    };
    let usage = statement.usage.into_iter().map(|line| UsageLineAnswer {
        user_id: line.user_id,
        user: line.user,
        model: line.model,
        provider: line.provider,
        price_version: line.price_version,
        unit_prices: (line.unit_prices)
            .filter(|_| level >= Level::Admin)
            .and_then(|prices| RawValue::from_string(prices).ok()),
        counts: line.counts.into_iter().collect(),
        amount: number(line.amount),
        currency: line.currency,
    });
    let fees = statement.fees.into_iter().map(|line| FeeLineAnswer {
        user_id: line.user_id,
        user: line.user,
        product_id: line.product_id,
        product: line.product,
        price: number(line.price),
        price_currency: line.price_currency,
        amount: number(line.amount),
        currency: line.currency,
    });
    StatementAnswer {
        tenant_id,
        tenant: statement.tenant,
        month: statement.month,
        time_zone: statement.time_zone,
        from: statement.from.to_date_text().to_string(),
        until: statement.until.to_date_text().to_string(),
        closed: statement.closed,
        currency: statement.currency,
        usage: usage.collect(),
        fees: fees.collect(),
        totals,
    }
}

/// One table: `usage` lines, `fee` lines, and a `total` for each currency.
fn file(tenant: &str, statement: &Statement) -> Result<Response, Error> {
    const NAMES: [&str; 8] = [
        "line",
        "month",
        "user_id",
        "user",
        "product",
        "model",
        "provider",
        "price_version",
    ];
    let counts = cf_ledger::statement_counts();
    let head = NAMES.iter().chain(counts).chain(&["amount", "currency"]);
    let mut table = line(head.map(|name| (*name).to_owned()))?.to_vec();
    let mut add =
        |names: [&str; 6], kind: &str, numbers: Vec<String>, amount: Nanos, currency: &str| {
            let cells = [kind.to_owned(), statement.month.clone()]
                .into_iter()
                .chain(names.into_iter().map(cell))
                .chain(numbers)
                .chain([amount.to_string(), currency.to_owned()]);
            line(cells).map(|line| table.extend_from_slice(&line))
        };
    let none = || vec![String::new(); counts.len()];
    for u in &statement.usage {
        let names = [
            &u.user_id,
            &u.user,
            "",
            &u.model,
            &u.provider,
            &u.price_version,
        ];
        let numbers = u.counts.iter().map(|(_, count)| count.to_string());
        add(names, "usage", numbers.collect(), u.amount, &u.currency)?;
    }
    for f in &statement.fees {
        let names = [f.user_id.as_str(), &f.user, &f.product, "", "", ""];
        add(names, "fee", none(), f.amount, &f.currency)?;
    }
    let mut all =
        sums((statement.usage.iter().map(of_usage)).chain(statement.fees.iter().map(of_fees)));
    all.entry(statement.currency.clone()).or_insert(Nanos::ZERO);
    for (currency, sum) in &all {
        add([""; 6], "total", none(), *sum, currency)?;
    }
    let name = format!("statement-{tenant}-{}.csv", statement.month);
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((head, table).into_response())
}
