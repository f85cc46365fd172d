//! Making things with all that belongs to them: the first administrator, users
//! with password and key, API keys with their account. Shared by commands,
//! set-up, portal, Billing API and example data.

use cf_base::{Clock, Currency, Error, Nanos, Random, UserId};
use cf_collections::{Engine, ListParams, Principal, RecordError, Shape};
use cf_db::Tx;
use cf_identity::{Identity, Issued, NewKey};
use cf_ledger::{AccountKind, NewAccount, Period, open_account};
use serde_json::{Map, Value, json};

/// Slug of the tenant that administrators belong to where nothing else is said.
pub const INTERNAL_TENANT: &str = "app";

/// An administrator to make.
pub struct NewAdmin {
    /// E-mail address.
    pub email: String,
    /// Password.
    pub password: String,
    /// Name.
    pub name: String,
    /// Slug of the tenant; none for the internal one.
    pub tenant: Option<String>,
}

/// The program itself, as the record engine sees it.
pub fn system() -> Principal {
    Principal::Superuser {
        id: String::new(),
        email: "system".into(),
    }
}

/// Makes an administrator, and the internal tenant where there is none.
pub async fn create_admin(
    engine: &Engine,
    clock: &Clock,
    admin: NewAdmin,
) -> Result<Value, RecordError> {
    placeholder_rate(engine, clock).await?;
    let tenant = match &admin.tenant {
        None => match find(engine, "tenants", "slug", INTERNAL_TENANT).await? {
            Some(tenant) => tenant,
            None => {
                let tenant = json!({
                    "name": "CloudFreedom Internal", "slug": INTERNAL_TENANT,
                    "type": "internal", "status": "active",
                });
                create(engine, "tenants", tenant).await?
            }
        },
        Some(slug) => find(engine, "tenants", "slug", slug)
            .await?
            .ok_or_else(|| {
                RecordError::new(404, format!("There is no tenant with the slug \"{slug}\"."))
            })?,
    };
    let name = if admin.name.is_empty() {
        "Admin".to_owned()
    } else {
        admin.name
    };
    let user = json!({
        "email": admin.email, "password": admin.password, "passwordConfirm": admin.password,
        "name": name, "role": "admin", "status": "active", "verified": true,
        "tenant_id": tenant["id"],
    });
    create(engine, "users", user).await
}

/// Fills in what portal and Billing API leave out of a new user: active, with
/// a password made up where none is given. Returns that password, to be told once.
pub fn complete_user(random: &Random, body: &mut Map<String, Value>) -> Option<String> {
    let generated = match body.get("password").and_then(Value::as_str) {
        Some(password) if !password.is_empty() => {
            let password = password.to_owned();
            body.entry("passwordConfirm").or_insert(password.into());
            None
        }
        _ => {
            let password = random.token::<20>();
            body.insert("password".into(), password.clone().into());
            body.insert("passwordConfirm".into(), password.clone().into());
            Some(password)
        }
    };
    body.entry("status").or_insert("active".into());
    body.entry("role").or_insert("user".into());
    generated
}

/// A rate so that budgets in euros can be charged for prices in dollars from
/// the first minute; its source says that somebody must set the real one, and
/// portal and doctor say so too.
async fn placeholder_rate(engine: &Engine, clock: &Clock) -> Result<(), RecordError> {
    if find(engine, "exchange_rates", "quote", "EUR")
        .await?
        .is_none()
    {
        let rate = json!({
            "base": "USD", "quote": "EUR", "rate": 1, "date": clock.now().to_day(),
            "source": "placeholder: set the real rate",
        });
        create(engine, "exchange_rates", rate).await?;
    }
    Ok(())
}

/// Creates a record as the program itself.
pub async fn create(
    engine: &Engine,
    collection: &str,
    record: Value,
) -> Result<Value, RecordError> {
    let Value::Object(body) = record else {
        return Err(RecordError::new(400, "a record is an object"));
    };
    engine
        .create(&system(), collection, &body, &Shape::default())
        .await
}

/// The record whose `field` is `value`; `value` must be free of quotes.
pub async fn find(
    engine: &Engine,
    collection: &str,
    field: &str,
    value: &str,
) -> Result<Option<Value>, RecordError> {
    let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
    let params = ListParams {
        per_page: 1,
        filter: format!("{field} = '{quoted}'"),
        ..ListParams::default()
    };
    let list = engine.list(&system(), collection, &params).await?;
    Ok(list["items"].get(0).cloned())
}

/// Makes an API key with its account in the ledger.
pub async fn issue_key(
    tx: &mut Tx,
    clock: &Clock,
    random: &Random,
    identity: &Identity,
    key: NewKey,
    limit: Option<Nanos>,
    actor: &str,
) -> Result<Issued, Error> {
    let user_id: UserId = key.user_id;
    let issued = identity.issue_key(tx, key).await?;
    // A key spends its user's budget, so its own is in the same currency and zone.
    let users = tx
        .query_opt(
            "select currency, time_zone from ledger_accounts \
             where owner_id = $1 and window_name = 'main'",
            vec![user_id.into()],
        )
        .await?;
    let (currency, time_zone) = match users {
        Some(row) => (row.at::<String>(0)?, row.at(1)?),
        None => (String::new(), String::new()),
    };
    let currency = Currency::parse(&currency).unwrap_or(Currency::EUR);
    let account = NewAccount {
        owner: issued.id.0,
        kind: AccountKind::Key,
        currency,
        limit,
        used: Nanos::ZERO,
        period: Period::Total,
        carry_over: false,
        time_zone,
        resets_at: None,
    };
    open_account(tx, &account, actor, clock, random).await?;
    Ok(issued)
}
