//! Users and superusers as sign-in sees them, with their tenant and product.

use std::str::FromStr;
use std::sync::Arc;

use cf_base::{
    Caller, Currency, Error, Id, Keeping, KeyId, Kind, Limits, ProductId, Result, Role, Secret,
    TenantId, TenantStatus, Timestamp, UserId, UserStatus,
};
use cf_db::{Db, DbError, Row};

/// Id of the collection `users`, part of its tokens.
pub const USERS_COLLECTION_ID: &str = "pbc_1736455494";
/// Id of the collection `_superusers`, part of its tokens.
pub const SUPERUSERS_COLLECTION_ID: &str = "pbc_3142635823";

/// A collection whose records can sign in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AuthCollection {
    /// `users`
    Users,
    /// `_superusers`
    Superusers,
}

impl AuthCollection {
    /// Its name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Superusers => "_superusers",
        }
    }

    /// Its id in tokens.
    pub fn id(self) -> &'static str {
        match self {
            Self::Users => USERS_COLLECTION_ID,
            Self::Superusers => SUPERUSERS_COLLECTION_ID,
        }
    }

    /// The collection with this name or id.
    pub fn find(name_or_id: &str) -> Option<Self> {
        [Self::Users, Self::Superusers]
            .into_iter()
            .find(|c| c.name() == name_or_id || c.id() == name_or_id)
    }

    /// The collection with this id.
    pub(crate) fn by_id(id: &str) -> Option<Self> {
        [Self::Users, Self::Superusers]
            .into_iter()
            .find(|c| c.id() == id)
    }
}

/// Somebody who can sign in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Where the record is.
    pub collection: AuthCollection,
    /// The record's id.
    pub id: Id,
    /// The address, as the person writes it.
    pub email: String,
    /// Whether the address was proven to be the person's own.
    pub verified: bool,
    /// What to call the person.
    pub name: String,
    /// A superuser counts as an admin.
    pub role: Role,
    /// A superuser is always active.
    pub status: UserStatus,
    /// The tenant, if one is assigned.
    pub tenant_id: Option<TenantId>,
    /// Where the tenant stands; none also if the tenant was deleted.
    pub tenant_status: Option<TenantStatus>,
    /// The product, if one is assigned.
    pub product_id: Option<ProductId>,
    /// PHC string of the password.
    pub password_hash: Secret,
    /// Part of the key that signs this record's tokens.
    pub token_key: Secret,
    /// When the record was made, as the record API writes it.
    pub created: String,
    /// When the record was last changed, as the record API writes it.
    pub updated: String,
}

/// Why somebody who is known is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Waits for approval.
    UserPending,
    /// Shut out.
    UserSuspended,
    /// Shut out with the tenant.
    TenantSuspended,
    /// The tenant is closed for good.
    TenantArchived,
    /// The tenant was deleted.
    TenantMissing,
    /// May sign in, but has no tenant whose budget a call could run on.
    NoTenant,
    /// A superuser is no user: there is no budget a call could run on.
    Superuser,
    /// May sign in, but the product was deleted, and with it what it allowed.
    ProductMissing,
}

impl Refusal {
    /// The sentence that says what to do.
    pub fn message(self) -> &'static str {
        match self {
            Self::UserPending => {
                "This account is waiting for approval. Ask your administrator to approve it."
            }
            Self::UserSuspended => {
                "This account is suspended. Ask your administrator to activate it again."
            }
            Self::TenantSuspended => {
                "The tenant of this account is suspended. Ask the operator to activate it again."
            }
            Self::TenantArchived => {
                "The tenant of this account is archived. Ask the operator if it is still needed."
            }
            Self::TenantMissing => {
                "The tenant of this account no longer exists. Ask the operator to assign another."
            }
            Self::NoTenant => {
                "This account belongs to no tenant. Ask your administrator to assign one."
            }
            Self::Superuser => {
                "A superuser has no budget of its own. Use an API key, or sign in as a user."
            }
            Self::ProductMissing => {
                "The product of this account no longer exists. Ask your administrator to assign another."
            }
        }
    }

    /// What a client can act on.
    pub fn kind(self) -> Kind {
        match self {
            Self::UserPending => Kind::UserPending,
            Self::UserSuspended => Kind::UserSuspended,
            Self::TenantSuspended | Self::TenantArchived | Self::TenantMissing => {
                Kind::TenantSuspended
            }
            Self::NoTenant | Self::Superuser | Self::ProductMissing => Kind::Forbidden,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind(), refusal.message())
    }
}

impl Account {
    /// Whether the account may be used now.
    pub fn access(&self) -> Result<(), Refusal> {
        match self.status {
            UserStatus::Pending => return Err(Refusal::UserPending),
            UserStatus::Suspended => return Err(Refusal::UserSuspended),
            UserStatus::Active => {}
        }
        match (self.tenant_id, self.tenant_status) {
            (None, _) | (Some(_), Some(TenantStatus::Active)) => Ok(()),
            (Some(_), Some(TenantStatus::Suspended)) => Err(Refusal::TenantSuspended),
            (Some(_), Some(TenantStatus::Archived)) => Err(Refusal::TenantArchived),
            (Some(_), None) => Err(Refusal::TenantMissing),
        }
    }

    /// The id as a user's; none for a superuser.
    pub fn user_id(&self) -> Option<UserId> {
        (self.collection == AuthCollection::Users).then_some(UserId(self.id))
    }

    /// Whether this is a superuser.
    pub fn is_superuser(&self) -> bool {
        self.collection == AuthCollection::Superusers
    }
}

/// An account with what it may do at the router.
pub(crate) struct Loaded {
    pub account: Account,
    pub caller: Result<Arc<Caller>, NoCaller>,
}

/// Why there is no caller.
#[derive(Clone, Debug)]
pub(crate) enum NoCaller {
    Refused(Refusal),
    /// A record holds what cannot be understood. Nothing is assumed in its
    /// place: an unreadable list of models must not become "all models".
    Broken(Arc<str>),
}

impl From<NoCaller> for Error {
    fn from(no: NoCaller) -> Self {
        match no {
            NoCaller::Refused(refusal) => refusal.into(),
            NoCaller::Broken(what) => Self::internal(what.to_string()),
        }
    }
}

impl From<DbError> for NoCaller {
    fn from(error: DbError) -> Self {
        Self::Broken(error.to_string().into())
    }
}

/// The columns that [`read_user`] and [`read_caller`] read.
pub(crate) const USER_COLUMNS: &str = "\
    u.id as user_id, u.email, u.verified, u.name as user_name, u.role, u.status as user_status, \
    u.tenant_id, u.product_id, u.password_hash, u.token_key, u.created, u.updated, \
    t.status as tenant_status, t.currency as tenant_currency, t.regions as tenant_regions, \
    t.rate_limit as tenant_rate_limit, t.tokens_per_minute as tenant_tokens_per_minute, \
    t.parallel_requests as tenant_parallel_requests, \
    t.cache_seconds, t.cache_price_percent, t.prompt_log_days, \
    p.id as found_product_id, p.currency as product_currency, p.models as product_models, \
    p.rate_limit, p.tokens_per_minute, p.parallel_requests";

/// The joins that [`USER_COLUMNS`] needs.
pub(crate) const USER_JOINS: &str = "\
    left join tenants t on t.id = u.tenant_id \
    left join products p on p.id = u.product_id";

const SUPERUSER_COLUMNS: &str = "\
    u.id, u.email, u.verified, u.password_hash, u.token_key, u.created, u.updated";

/// The column by which an account is looked for.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    Id(Id),
    /// However it is written.
    Email(&'a str),
}

/// The account, with its tenant and product, straight from the database.
pub(crate) async fn load(
    db: &Db,
    collection: AuthCollection,
    by: By<'_>,
) -> Result<Option<Loaded>> {
    let (condition, param) = match by {
        By::Id(id) => ("u.id = $1", id.into()),
        By::Email(email) => ("lower(u.email) = lower(cast($1 as text))", email.into()),
    };
    let sql = match collection {
        AuthCollection::Users => {
            format!("select {USER_COLUMNS} from users u {USER_JOINS} where {condition}")
        }
        AuthCollection::Superusers => {
            format!("select {SUPERUSER_COLUMNS} from superusers u where {condition}")
        }
    };
    let Some(row) = db.query_opt(&sql, vec![param]).await? else {
        return Ok(None);
    };
    let account = match collection {
        AuthCollection::Superusers => read_superuser(&row)?,
        AuthCollection::Users => read_user(&row)?,
    };
    let caller = match collection {
        AuthCollection::Superusers => Err(NoCaller::Refused(Refusal::Superuser)),
        AuthCollection::Users => read_caller(&row, &account, None).map(Arc::new),
    };
    Ok(Some(Loaded { account, caller }))
}

/// The user as a payer for what was used already, whatever the status.
pub(crate) async fn load_for_books(db: &Db, id: UserId) -> Result<Option<Arc<Caller>>> {
    let sql = format!("select {USER_COLUMNS} from users u {USER_JOINS} where u.id = $1");
    let Some(row) = db.query_opt(&sql, vec![id.into()]).await? else {
        return Ok(None);
    };
    let account = read_user(&row)?;
    match read_payer(&row, &account, None) {
        Ok(caller) => Ok(Some(Arc::new(caller))),
        Err(no) => Err(no.into()),
    }
}

/// The user of a row with [`USER_COLUMNS`].
pub(crate) fn read_user(row: &Row) -> Result<Account, DbError> {
    Ok(Account {
        collection: AuthCollection::Users,
        id: row.get("user_id")?,
        email: row.get("email")?,
        verified: row.get("verified")?,
        name: row.get("user_name")?,
        role: word(row, "role")?,
        status: word(row, "user_status")?,
        tenant_id: reference(row, "tenant_id")?.map(TenantId),
        tenant_status: match row.get::<Option<String>>("tenant_status")? {
            Some(_) => Some(word(row, "tenant_status")?),
            None => None,
        },
        product_id: reference(row, "product_id")?.map(ProductId),
        password_hash: Secret::new(row.get::<String>("password_hash")?),
        token_key: Secret::new(row.get::<String>("token_key")?),
        created: row.get("created")?,
        updated: row.get("updated")?,
    })
}

fn read_superuser(row: &Row) -> Result<Account, DbError> {
    Ok(Account {
        collection: AuthCollection::Superusers,
        id: row.get("id")?,
        email: row.get("email")?,
        verified: row.get("verified")?,
        name: String::new(),
        role: Role::Admin,
        status: UserStatus::Active,
        tenant_id: None,
        tenant_status: None,
        product_id: None,
        password_hash: Secret::new(row.get::<String>("password_hash")?),
        token_key: Secret::new(row.get::<String>("token_key")?),
        created: row.get("created")?,
        updated: row.get("updated")?,
    })
}

/// What an API key allows of its user's.
pub(crate) struct KeyTerms {
    pub id: KeyId,
    pub models: Vec<String>,
    pub limits: Limits,
}

impl KeyTerms {
    /// Columns of `api_keys k` that this reads.
    pub(crate) const COLUMNS: &str = "\
        k.id as key_id, k.models as key_models, k.rate_limit as key_rate_limit, \
        k.tokens_per_minute as key_tokens_per_minute, k.parallel_requests as key_parallel_requests";

    pub(crate) fn read(row: &Row) -> Result<Self, NoCaller> {
        Ok(Self {
            id: KeyId(row.get("key_id")?),
            models: names(row, "key_models")?,
            limits: limits(row, "key_")?,
        })
    }
}

/// What the user of a row with [`USER_COLUMNS`] may do at the router.
pub(crate) fn read_caller(
    row: &Row,
    account: &Account,
    key: Option<KeyTerms>,
) -> Result<Caller, NoCaller> {
    account.access().map_err(NoCaller::Refused)?;
    read_payer(row, account, key)
}

/// The same whatever the status, for what was used already.
fn read_payer(row: &Row, account: &Account, key: Option<KeyTerms>) -> Result<Caller, NoCaller> {
    let tenant_id = account
        .tenant_id
        .ok_or(NoCaller::Refused(Refusal::NoTenant))?;
    let tenant_currency = currency(row, "tenant_currency")?;
    let has_product = row.get::<Option<Id>>("found_product_id")?.is_some();
    if account.product_id.is_some() && !has_product {
        return Err(NoCaller::Refused(Refusal::ProductMissing));
    }
    let (currency, product_models, user_limits) = if has_product {
        (
            currency(row, "product_currency")?,
            names(row, "product_models")?,
            limits(row, "")?,
        )
    } else {
        (tenant_currency, Vec::new(), Limits::default())
    };
    let (key_id, key_models, key_limits) = match key {
        Some(key) => (Some(key.id), key.models, key.limits),
        None => (None, Vec::new(), Limits::default()),
    };
    Ok(Caller {
        user_id: UserId(account.id),
        tenant_id,
        key_id,
        role: account.role,
        product_id: account.product_id,
        product_models,
        key_models,
        limits: user_limits,
        key_limits,
        tenant_limits: limits(row, "tenant_")?,
        keeping: Keeping {
            cache_seconds: limit(row, "cache_seconds")?,
            cache_price_percent: limit(row, "cache_price_percent")?,
            prompt_log_days: limit(row, "prompt_log_days")?,
        },
        // What cannot be read must not become "anywhere": it is an error.
        regions: names(row, "tenant_regions")?,
        currency,
        tenant_currency,
    })
}

/// A JSON list of names; `null` and nothing count as the empty list.
pub(crate) fn names(row: &Row, column: &str) -> Result<Vec<String>, DbError> {
    let text: String = row.get(column)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str::<Option<Vec<String>>>(&text)
        .map(Option::unwrap_or_default)
        .map_err(|_| DbError::Data(format!("column {column} is not a JSON list of names")))
}

/// A date; the empty text is none.
pub(crate) fn date(row: &Row, column: &str) -> Result<Option<Timestamp>, DbError> {
    let text: String = row.get(column)?;
    if text.is_empty() {
        return Ok(None);
    }
    Timestamp::parse(&text)
        .map(Some)
        .ok_or_else(|| DbError::Data(format!("column {column} is not a date")))
}

fn word<T: FromStr>(row: &Row, column: &str) -> Result<T, DbError> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|_| DbError::Data(format!("column {column} holds an unknown word: {text:?}")))
}

/// A reference to another record; the empty text is none.
fn reference(row: &Row, column: &str) -> Result<Option<Id>, DbError> {
    let text: String = row.get(column)?;
    if text.is_empty() {
        return Ok(None);
    }
    Id::parse(&text)
        .map(Some)
        .map_err(|_| DbError::Data(format!("column {column} is not an id")))
}

fn currency(row: &Row, column: &str) -> Result<Currency, DbError> {
    let text: String = row.get(column)?;
    Currency::parse(&text)
        .ok_or_else(|| DbError::Data(format!("column {column} is not a currency: {text:?}")))
}

/// The limits in the columns whose names begin so.
fn limits(row: &Row, of: &str) -> Result<Limits, DbError> {
    Ok(Limits {
        requests_per_minute: limit(row, &format!("{of}rate_limit"))?,
        tokens_per_minute: limit(row, &format!("{of}tokens_per_minute"))?,
        parallel_requests: limit(row, &format!("{of}parallel_requests"))?,
    })
}

/// Zero means no limit, so a number below zero must not be taken for it.
fn limit(row: &Row, column: &str) -> Result<u32, DbError> {
    let number: i64 = row.get(column)?;
    if number < 0 {
        return Err(DbError::Data(format!("column {column} is below zero")));
    }
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}
