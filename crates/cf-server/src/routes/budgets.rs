//! The budgets of a user, tenant or key: several windows, increases that end by
//! themselves, and the periods that are over.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use cf_base::{Error, Id, Kind, Nanos, Role, TenantId, Timestamp, parse_decimal_nanos};
use cf_collections::{Action, Principal, Shape};
use cf_db::Tx;
use cf_identity::AuditEntry;
use cf_ledger::{Account, By, MAIN};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::error::BillingError;
use crate::extract::{Params, RECORD_BODY, read_body};
use crate::idempotency::Answer;
use crate::manager::Manager;
use crate::openapi::{ErrorAnswer, IdempotencyHeader};
use crate::plans::parse_windows;

/// Longest time that an increase may last: ten years.
const MAX_INCREASE: i64 = 3_653 * 86_400_000;

/// Whose budgets, by the word in the path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owners {
    /// Of a user.
    Users,
    /// Of a tenant, for all its users together.
    Tenants,
    /// Of an API key.
    Keys,
}

impl Owners {
    fn parse(word: &str) -> Result<Self, Error> {
        match word {
            "users" => Ok(Self::Users),
            "tenants" => Ok(Self::Tenants),
            "keys" => Ok(Self::Keys),
            _ => Err(Error::new(
                Kind::NotFound,
                "There are budgets of users, tenants and keys.",
            )),
        }
    }

    fn collection(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Tenants => "tenants",
            Self::Keys => "api_keys",
        }
    }
}

/// Budgets as they are answered.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `budgets` makes")]
pub struct Budgets {
    /// Of all of them.
    currency: String,
    /// In which days, weeks and months begin.
    time_zone: String,
    /// `main`, which the budget fields of records show, comes first.
    windows: Vec<BudgetWindow>,
    /// The latest first; also those that have ended.
    increases: Vec<BudgetIncrease>,
}

/// One of an owner's budgets.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `window_json` makes")]
pub struct BudgetWindow {
    name: String,
    /// As it was set; null: none.
    limit: Option<f64>,
    /// `total` (never reset), `days`, `day`, `week` (from Monday) or `month`.
    period: String,
    /// Of `days`, else 0.
    period_days: i64,
    /// Whether what is left goes into the next period.
    carry_over: bool,
    /// Left over by earlier periods.
    carried_over: f64,
    /// Increases in force.
    increase: f64,
    /// What was set, carried over and added.
    limit_in_force: Option<f64>,
    /// Spent in this period.
    used: f64,
    /// Reserved by running calls.
    reserved: f64,
    /// The limit in force less what was spent; null without a limit.
    remaining: Option<f64>,
    period_start: String,
    /// Empty where it is never reset.
    reset_date: String,
}

/// A temporary increase.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `budgets` makes")]
pub struct BudgetIncrease {
    id: String,
    /// Of which budget.
    window: String,
    amount: f64,
    until: String,
    note: String,
    /// Who gave it.
    actor: String,
    created: String,
    /// Empty while it is in force.
    ended: String,
}

/// A budget as it is wanted.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `parse_windows` reads")]
pub struct WantedBudget {
    /// 1 to 32 small letters, digits, `-` and `_`.
    name: String,
    /// Null: none, which only `main` of tenants and keys may be.
    limit: Option<f64>,
    /// `total` (as if not said), `days`, `day`, `week` or `month`.
    period: Option<String>,
    /// For `days`: 1 to 3650.
    period_days: Option<i64>,
    /// Not, if not said.
    carry_over: Option<bool>,
}

/// The budgets that are wanted.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `parse_windows` reads")]
pub struct BudgetsChange {
    /// At most 8; `main` is one of them.
    windows: Vec<WantedBudget>,
}

/// An increase that was made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `increase` answers")]
pub struct IncreaseAnswer {
    id: String,
    window: String,
    amount: f64,
    currency: String,
    until: String,
    note: String,
}

/// A page of closed periods.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `history` answers")]
#[allow(non_snake_case, reason = "as PocketBase writes pages")]
pub struct PeriodPage {
    page: i64,
    perPage: i64,
    totalItems: i64,
    totalPages: i64,
    items: Vec<PeriodOver>,
}

/// A period that is over.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `history` answers")]
pub struct PeriodOver {
    window: String,
    currency: String,
    starts: String,
    ends: String,
    /// In force at its end; null: none.
    limit: Option<f64>,
    spent: f64,
    /// Into the period after it.
    carried_over: f64,
}

/// A record whose budgets are looked at or changed.
struct Owner {
    of: Owners,
    id: Id,
    record: Value,
}

impl Owner {
    /// Who may not see the record gets 404 before anything else.
    async fn see(app: &App, manager: &Manager, of: &str, id: &str) -> Result<Self, BillingError> {
        let of = Owners::parse(of)?;
        let record = app
            .engine
            .view(&manager.principal(), of.collection(), id, &Shape::default())
            .await?;
        let id =
            Id::parse(id).map_err(|_| Error::new(Kind::NotFound, "There is no such record."))?;
        Ok(Self { of, id, record })
    }

    async fn change(
        app: &App,
        manager: &Manager,
        of: &str,
        id: &str,
    ) -> Result<Self, BillingError> {
        let owner = Self::see(app, manager, of, id).await?;
        let of = owner.of;
        let principal = manager.principal();
        let may = match &principal {
            Principal::Guest => false,
            Principal::Superuser { .. } => true,
            Principal::User(person) => match (person.role, of) {
                (Role::Admin, _) => true,
                (Role::TenantAdmin, Owners::Users) => {
                    person.id != id && owner.record["role"] != "admin"
                }
                (Role::TenantAdmin, Owners::Keys) => {
                    let user = owner.record["user_id"].as_str().unwrap_or_default();
                    let user = app
                        .engine
                        .view(&principal, "users", user, &Shape::default())
                        .await?;
                    user["role"] != "admin"
                }
                _ => false,
            },
        };
        if may {
            return Ok(owner);
        }
        Err(Error::new(
            Kind::Forbidden,
            match of {
                Owners::Tenants => "Only administrators of the whole may change a tenant's budgets.",
                _ => {
                    "Only administrators may change budgets, and a tenant's administrator not the own one."
                }
            },
        )
        .into())
    }

    fn tenant(&self) -> Option<TenantId> {
        let id = match self.of {
            Owners::Tenants => self.record["id"].as_str(),
            _ => self.record["tenant_id"].as_str(),
        };
        id.and_then(|id| TenantId::parse(id).ok())
    }

    /// Writes down who changed what, commits, and tells those who watch.
    async fn commit(
        &self,
        app: &App,
        manager: &Manager,
        mut tx: Tx,
        action: &'static str,
        changes: Value,
    ) -> Result<(), BillingError> {
        let entry = AuditEntry {
            actor: manager.actor(),
            action,
            collection: self.of.collection(),
            record_id: self.id.as_str(),
            tenant_id: self.tenant(),
            changes,
        };
        app.identity.audit(&mut tx, entry).await?;
        tx.commit().await?;
        let (collection, id) = (self.of.collection(), self.id.as_str());
        app.publish(collection, Action::Update, id).await;
        Ok(())
    }

    /// Every window, and the increases.
    async fn budgets(&self, app: &App) -> Result<Value, BillingError> {
        let windows = cf_ledger::windows(&app.db, self.id).await?;
        let increases = cf_ledger::increases(&app.db, self.id).await?;
        let first = windows.first();
        Ok(json!({
            "currency": first.map_or("", |w| w.currency.as_str()),
            "time_zone": first.map_or("", |w| w.time_zone.as_str()),
            "windows": windows.iter().map(window_json).collect::<Vec<_>>(),
            "increases": increases.iter().map(|i| json!({
                "id": i.id,
                "window": i.window,
                "amount": i.amount.to_f64(),
                "until": i.until,
                "note": i.note,
                "actor": i.actor,
                "created": i.created,
                "ended": i.ended,
            })).collect::<Vec<_>>(),
        }))
    }
}

fn window_json(account: &Account) -> Value {
    let left = account.limit.map(|limit| (limit - account.posted).to_f64());
    json!({
        "name": account.window,
        "limit": account.base().map(Nanos::to_f64),
        "period": account.period.word(),
        "period_days": account.period.days(),
        "carry_over": account.carry_over,
        "carried_over": account.carried.to_f64(),
        "increase": account.extra.to_f64(),
        "limit_in_force": account.limit.map(Nanos::to_f64),
        "used": account.posted.to_f64(),
        "reserved": account.pending.to_f64(),
        "remaining": left,
        "period_start": account.period_start,
        "reset_date": account.reset_date,
    })
}

fn by<'a>(app: &'a App, note: &'a str, actor: &'a str) -> By<'a> {
    By {
        note,
        actor,
        clock: &app.clock,
        random: &app.random,
    }
}

/// Shows budgets: every window, and increases
///
/// Scope `read`.
#[utoipa::path(
    get, path = "/api/{owners}/{id}/budgets", tag = "Budgets", operation_id = "show_budgets",
    params(
        ("owners" = String, Path, description = "`users`, `tenants` or `keys`"),
        ("id" = String, Path, description = "The record's id"),
    ),
    responses(
        (status = 200, description = "The budgets", body = Budgets),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 404, description = "There is no such record", body = ErrorAnswer),
    )
)]
pub async fn view(
    State(app): State<App>,
    manager: Manager,
    Path((owners, id)): Path<(String, String)>,
) -> Result<Json<Value>, BillingError> {
    let owner = Owner::see(&app, &manager, &owners, &id).await?;
    Ok(Json(owner.budgets(&app).await?))
}

/// Sets budgets: these and no others
///
/// Scope `manage`.
#[utoipa::path(
    put, path = "/api/{owners}/{id}/budgets", tag = "Budgets", operation_id = "set_budgets",
    params(
        ("owners" = String, Path, description = "`users`, `tenants` or `keys`"),
        ("id" = String, Path, description = "The record's id"),
    ),
    request_body = BudgetsChange,
    responses(
        (status = 200, description = "The budgets", body = Budgets),
        (status = 400, description = "What is sent cannot be taken", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 404, description = "There is no such record", body = ErrorAnswer),
    )
)]
pub async fn set(
    State(app): State<App>,
    manager: Manager,
    Path((owners, id)): Path<(String, String)>,
    body: Body,
) -> Result<Json<Value>, BillingError> {
    let content = object(&read_body(body, RECORD_BODY).await?)?;
    let owner = Owner::change(&app, &manager, &owners, &id).await?;
    let specs = parse_windows(&content["windows"])
        .map_err(|sentence| Error::invalid_field("windows", sentence))?;
    let actor = manager.name();
    let mut tx = app.db.begin().await?;
    let zone = time_zone(&mut tx, &owner).await?;
    let by = by(&app, "budgets set", &actor);
    cf_ledger::set_windows(&mut tx, owner.id, &specs, &zone, &by).await?;
    owner
        .commit(&app, &manager, tx, "set-budgets", content)
        .await?;
    Ok(Json(owner.budgets(&app).await?))
}

/// The time zone of the owner's tenant.
async fn time_zone(tx: &mut Tx, owner: &Owner) -> Result<String, Error> {
    let Some(tenant) = owner.tenant() else {
        return Ok(String::new());
    };
    let row = tx
        .query_opt(
            "select time_zone from tenants where id = $1",
            vec![tenant.into()],
        )
        .await?;
    Ok(row.map_or(Ok(String::new()), |row| row.at(0))?)
}

/// More for a while.
#[derive(Deserialize, ToSchema)]
pub struct NewIncrease {
    /// The budget's name; `main` if not said.
    #[serde(default = "main")]
    window: String,
    /// How much, above zero.
    #[schema(value_type = f64)]
    amount: Number,
    /// The budget's currency: another one is refused.
    currency: String,
    /// When it ends by itself, within ten years.
    until: String,
    /// What it is for, at most 500 characters.
    #[serde(default)]
    note: String,
}

fn main() -> String {
    MAIN.into()
}

/// Increases a budget for a while
///
/// Scope `manage`.
#[utoipa::path(
    post, path = "/api/{owners}/{id}/budgets/increases", tag = "Budgets", operation_id = "increase_budget",
    params(
        ("owners" = String, Path, description = "`users`, `tenants` or `keys`"),
        ("id" = String, Path, description = "The record's id"),
        IdempotencyHeader,
    ),
    request_body = NewIncrease,
    responses(
        (status = 200, description = "The increase", body = IncreaseAnswer),
        (status = 400, description = "What is sent cannot be taken", body = ErrorAnswer),
        (status = 409, description = "The Idempotency-Key was used for something else, or is at work", body = ErrorAnswer),
        (status = 422, description = "The budget has no limit", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 404, description = "There is no such record", body = ErrorAnswer),
    )
)]
pub async fn increase(
    State(app): State<App>,
    manager: Manager,
    Path((owners, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, BillingError> {
    let content = object(&read_body(body, RECORD_BODY).await?)?;
    let new: NewIncrease = serde_json::from_value(content.clone()).map_err(|e| {
        Error::invalid(format!(
            "An increase is {{\"amount\": 10, \"currency\": \"EUR\", \"until\": \"2026-12-31\", \
             \"window\": \"main\", \"note\": \"…\"}}: {e}."
        ))
    })?;
    let amount = parse_decimal_nanos(&new.amount.to_string()).ok_or_else(|| {
        Error::invalid_field("amount", "amount is a decimal number within range.")
    })?;
    let longest = Timestamp::from_millis(app.clock.now().as_millis() + MAX_INCREASE);
    let until = Timestamp::parse(&new.until)
        .filter(|until| *until <= longest)
        .ok_or_else(|| {
            Error::invalid_field(
                "until",
                "until is a date within ten years, such as 2026-12-31.",
            )
        })?;
    if new.note.chars().count() > 500 {
        return Err(Error::invalid_field("note", "note has at most 500 characters.").into());
    }
    let owner = Owner::change(&app, &manager, &owners, &id).await?;
    let windows = cf_ledger::windows(&app.db, owner.id).await?;
    if let Some(main) = windows.first()
        && main.currency.as_str() != new.currency
    {
        return Err(Error::invalid_field(
            "currency",
            format!("This budget is in {}.", main.currency),
        )
        .into());
    }
    let actor = manager.name();
    let once = app.idempotency.once(
        &headers,
        &manager,
        &format!("POST /api/{owners}/{id}/budgets/increases"),
        &content,
    )?;
    let mut tx = app.db.begin().await?;
    if let Some(earlier) = once.claim(&app, &mut tx).await? {
        return Ok(earlier);
    }
    let by = by(&app, &new.note, &actor);
    let made =
        cf_ledger::increase(&mut tx, owner.id, &new.window, Nanos(amount), until, &by).await?;
    let answer = json!({
        "id": made,
        "window": new.window,
        "amount": Nanos(amount).to_f64(),
        "currency": new.currency,
        "until": until.to_date_text().to_string(),
        "note": new.note,
    });
    let answer = Answer::new(StatusCode::OK, &answer);
    once.keep(&app, &mut tx, &answer).await?;
    owner
        .commit(&app, &manager, tx, "increase-budget", content)
        .await?;
    Ok(answer)
}

/// Ends an increase now
///
/// Scope `manage`.
#[utoipa::path(
    delete, path = "/api/{owners}/{id}/budgets/increases/{increase}", tag = "Budgets", operation_id = "end_increase",
    params(
        ("owners" = String, Path, description = "`users`, `tenants` or `keys`"),
        ("id" = String, Path, description = "The record's id"),
        ("increase" = String, Path, description = "The increase's id"),
    ),
    responses(
        (status = 200, description = "The budgets", body = Budgets),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 404, description = "There is no such record", body = ErrorAnswer),
    )
)]
pub async fn end_increase(
    State(app): State<App>,
    manager: Manager,
    Path((owners, id, increase)): Path<(String, String, String)>,
) -> Result<Json<Value>, BillingError> {
    let owner = Owner::change(&app, &manager, &owners, &id).await?;
    let increase = Id::parse(&increase)
        .map_err(|_| Error::new(Kind::NotFound, "There is no such increase in force."))?;
    let actor = manager.name();
    let mut tx = app.db.begin().await?;
    let by = by(&app, "increase ended", &actor);
    cf_ledger::end_increase(&mut tx, owner.id, increase, &by).await?;
    owner
        .commit(&app, &manager, tx, "end-increase", json!({"id": increase}))
        .await?;
    Ok(Json(owner.budgets(&app).await?))
}

/// What part of the history is wanted.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// From 1.
    page: Option<i64>,
    /// 30 if not said, 500 at most.
    #[serde(rename = "perPage", alias = "per_page")]
    per_page: Option<i64>,
    /// Of one budget only.
    #[serde(default)]
    window: String,
}

/// Lists periods that are over, the latest first
///
/// Scope `read`.
#[utoipa::path(
    get, path = "/api/{owners}/{id}/budgets/history", tag = "Budgets", operation_id = "budget_history",
    params(
        ("owners" = String, Path, description = "`users`, `tenants` or `keys`"),
        ("id" = String, Path, description = "The record's id"),
        HistoryQuery,
    ),
    responses(
        (status = 200, description = "A page of periods", body = PeriodPage),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not allowed", body = ErrorAnswer),
        (status = 404, description = "There is no such record", body = ErrorAnswer),
    )
)]
pub async fn history(
    State(app): State<App>,
    manager: Manager,
    Path((owners, id)): Path<(String, String)>,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<Value>, BillingError> {
    let owner = Owner::see(&app, &manager, &owners, &id).await?;
    let page = query.page.unwrap_or(1).clamp(1, 1_000_000);
    let per_page = query
        .per_page
        .unwrap_or(30)
        .clamp(1, cf_ledger::MAX_PERIODS);
    let skip = (page - 1) * per_page;
    let (periods, count) =
        cf_ledger::closed_periods(&app.db, owner.id, &query.window, skip, per_page).await?;
    let items: Vec<Value> = periods
        .iter()
        .map(|p| {
            json!({
                "window": p.window,
                "currency": p.currency.as_str(),
                "starts": p.starts,
                "ends": p.ends,
                "limit": p.limit.map(Nanos::to_f64),
                "spent": p.spent.to_f64(),
                "carried_over": p.carried.to_f64(),
            })
        })
        .collect();
    Ok(Json(json!({
        "page": page,
        "perPage": per_page,
        "totalItems": count,
        "totalPages": (count + per_page - 1) / per_page,
        "items": items,
    })))
}

fn object(body: &[u8]) -> Result<Value, Error> {
    match serde_json::from_slice(body) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(Error::invalid("The request body is a JSON object.")),
        Err(e) => Err(Error::invalid(format!(
            "The request body is not JSON: {e}."
        ))),
    }
}
