//! Whom a call of the Billing API is about, as far as its caller may know of them.

use std::sync::Arc;

use cf_base::{Caller, Error, Id, KeyId, Kind, TenantId, UserId};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::App;
use crate::error::BillingError;
use crate::manager::Manager;

/// Who is meant: one of the three.
#[derive(Deserialize, Default, ToSchema)]
pub struct Who {
    /// The user's id.
    #[serde(default)]
    user_id: Option<String>,
    /// The user's e-mail address; case does not matter.
    #[serde(default)]
    email: Option<String>,
    /// One of the user's API keys; then its own budget and models hold too.
    #[serde(default)]
    api_key: Option<String>,
}

/// The caller that is meant, if user and tenant are active.
pub async fn find(app: &App, manager: &Manager, who: &Who) -> Result<Arc<Caller>, BillingError> {
    let (user, _) = find_user(app, manager, who).await?;
    let found = match &who.api_key {
        Some(key) => app.identity.caller_by_key(key).await,
        None => app.identity.caller_by_user(user).await,
    };
    match found {
        // A key that was revoked or is over.
        Err(error) if error.kind == Kind::Unauthorized => Err(BillingError::user_not_found()),
        other => Ok(other?),
    }
}

/// The caller that is meant, whatever the status: for the books.
pub async fn find_any_status(
    app: &App,
    manager: &Manager,
    who: &Who,
) -> Result<Arc<Caller>, BillingError> {
    let (id, key_id) = find_user(app, manager, who).await?;
    let mut caller = app
        .identity
        .caller_for_books(id)
        .await?
        .ok_or_else(BillingError::user_not_found)?;
    // What was used with a key counts on the key's budget too.
    Arc::make_mut(&mut caller).key_id = key_id;
    Ok(caller)
}

/// The user that is meant, if this caller may know of them.
async fn find_user(
    app: &App,
    manager: &Manager,
    who: &Who,
) -> Result<(UserId, Option<KeyId>), BillingError> {
    const BY_ID: &str = "select id, tenant_id from users where id = $1";
    let mut key_id = None;
    let mut meant = Vec::new();
    if let Some(key) = &who.api_key {
        meant.push(match app.identity.user_of_key(key).await? {
            Some((user, key)) => {
                key_id = Some(key);
                app.db.query_opt(BY_ID, vec![user.into()]).await?
            }
            None => None,
        });
    }
    if let Some(id) = &who.user_id {
        // What is no id is nobody's, and need not reach the database.
        meant.push(match Id::parse(id) {
            Ok(id) => app.db.query_opt(BY_ID, vec![id.into()]).await?,
            Err(_) => None,
        });
    }
    if let Some(email) = &who.email {
        meant.push(
            app.db
                .query_opt(
                    "select id, tenant_id from users where lower(email) = lower($1)",
                    vec![email.trim().into()],
                )
                .await?,
        );
    }
    let mut found: Option<UserId> = None;
    for row in meant {
        let row = row.ok_or_else(BillingError::user_not_found)?;
        let user = UserId(row.at(0)?);
        if let Some(tenant) = manager.only_tenant()
            && TenantId::parse(&row.at::<String>(1)?).ok() != Some(tenant)
        {
            return Err(BillingError::user_not_found());
        }
        if found.is_some_and(|other| other != user) {
            return Err(Error::invalid_field(
                "user_id",
                "user_id, email and api_key are of different users; one of them is enough.",
            )
            .into());
        }
        found = Some(user);
    }
    match found {
        Some(user) => Ok((user, key_id)),
        None => Err(Error::invalid_field(
            "user_id",
            "Say who is meant: user_id, email or api_key.",
        )
        .into()),
    }
}
