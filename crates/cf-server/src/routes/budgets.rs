//! The budgets of a user, tenant or key: several windows, increases that end by
//! themselves, and the periods that are over.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use cf_base::{Error, Id, Kind, Nanos, Role, TenantId, Timestamp, parse_decimal_nanos};
use cf_collections::{Action, Principal, Shape};
use cf_db::Tx;
use cf_identity::AuditEntry;
use cf_ledger::{Account, By, MAIN};
use serde::Deserialize;
use serde_json::{Number, Value, json};

use crate::App;
use crate::error::BillingError;
use crate::extract::{Manager, RECORD_BODY, read_body};
use crate::idempotency::Idempotent;
use crate::plans::parse_windows;

/// Longest time that an increase may last: ten years.
const MAX_INCREASE: i64 = 3_653 * 86_400_000;

/// Whose budgets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Of a user.
    Users,
    /// Of a tenant, for all its users together.
    Tenants,
    /// Of an API key.
    Keys,
}

impl Owners {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Users, Self::Tenants, Self::Keys];

    /// In the endpoint's path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Tenants => "tenants",
            Self::Keys => "keys",
        }
    }

    fn collection(self) -> &'static str {
        match self {
            Self::Keys => "api_keys",
            other => other.path(),
        }
    }
}

/// A record whose budgets are looked at or changed.
struct Owner {
    of: Owners,
    id: Id,
    record: Value,
}

impl Owner {
    /// Who may not see the record gets 404 before anything else.
    async fn see(app: &App, manager: &Manager, of: Owners, id: &str) -> Result<Self, BillingError> {
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
        of: Owners,
        id: &str,
    ) -> Result<Self, BillingError> {
        let owner = Self::see(app, manager, of, id).await?;
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
        // The change is made, whatever becomes of telling it.
        if let Err(error) = app.engine.publish(collection, Action::Update, id).await {
            tracing::warn!(error = %error.message, "a change could not be published");
        }
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

/// `GET /api/{users,tenants,keys}/{id}/budgets`
pub async fn view(
    owners: Owners,
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
) -> Result<Json<Value>, BillingError> {
    let owner = Owner::see(&app, &manager, owners, &id).await?;
    Ok(Json(owner.budgets(&app).await?))
}

/// `PUT /api/{users,tenants,keys}/{id}/budgets`: these and no others.
pub async fn set(
    owners: Owners,
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, BillingError> {
    let content = object(&read_body(body, RECORD_BODY).await?)?;
    let owner = Owner::change(&app, &manager, owners, &id).await?;
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

#[derive(Deserialize)]
struct NewIncrease {
    #[serde(default = "main")]
    window: String,
    amount: Number,
    currency: String,
    until: String,
    #[serde(default)]
    note: String,
}

fn main() -> String {
    MAIN.into()
}

/// `POST /api/{users,tenants,keys}/{id}/budgets/increases`
pub async fn increase(
    owners: Owners,
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, BillingError> {
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
    let owner = Owner::change(&app, &manager, owners, &id).await?;
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
    let scope = format!("{actor}/increase/{}/{id}", owners.path());
    let idempotent = Idempotent::new(&headers, scope, &content)?;
    let mut tx = app.db.begin().await?;
    if let Some(earlier) = idempotent.earlier(&mut tx, &app.clock).await? {
        return Ok(Json(earlier));
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
    idempotent.keep(&mut tx, &answer).await?;
    owner
        .commit(&app, &manager, tx, "increase-budget", content)
        .await?;
    Ok(Json(answer))
}

/// `DELETE /api/{users,tenants,keys}/{id}/budgets/increases/{increase}`: it ends now.
pub async fn end_increase(
    owners: Owners,
    State(app): State<App>,
    manager: Manager,
    Path((id, increase)): Path<(String, String)>,
) -> Result<Json<Value>, BillingError> {
    let owner = Owner::change(&app, &manager, owners, &id).await?;
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
#[derive(Deserialize, Default)]
pub struct HistoryQuery {
    page: Option<i64>,
    #[serde(rename = "perPage", alias = "per_page")]
    per_page: Option<i64>,
    #[serde(default)]
    window: String,
}

/// `GET /api/{users,tenants,keys}/{id}/budgets/history`: periods that are over.
pub async fn history(
    owners: Owners,
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Value>, BillingError> {
    let owner = Owner::see(&app, &manager, owners, &id).await?;
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
