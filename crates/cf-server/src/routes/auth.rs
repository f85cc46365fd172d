//! Sign-in as PocketBase has it.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use cf_base::Secret;
use cf_collections::RecordError;
use cf_identity::{Account, AuthCollection, Session, SignInError};
use serde_json::{Value, json};

use crate::App;
use crate::error::CoreError;
use crate::extract::{self, Origin, SIGN_IN_BODY, SignedIn, read_body, token};
use crate::hosts::Site;
use crate::routes::records::{ShapeQuery, object};

/// `GET …/auth-methods`
pub async fn methods(Path(collection): Path<String>) -> Result<Json<Value>, CoreError> {
    find(&collection)?;
    Ok(Json(json!({
        "password": {"enabled": true, "identityFields": ["email"]},
        "otp": {"enabled": false, "duration": 0},
        "mfa": {"enabled": false, "duration": 0},
        "oauth2": {"enabled": false, "providers": []},
        "authProviders": [], "usernamePassword": false, "emailPassword": true,
    })))
}

/// `POST …/auth-with-password`
pub async fn with_password(
    State(app): State<App>,
    Path(collection): Path<String>,
    Query(query): Query<ShapeQuery>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, CoreError> {
    let collection = find(&collection)?;
    let body = object(&headers, &read_body(body, SIGN_IN_BODY).await?).map_err(|_| {
        RecordError::new(400, "An error occurred while loading the submitted data.")
    })?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let (identity, password) = (text("identity"), text("password"));
    let mut invalid = RecordError::new(
        400,
        "An error occurred while validating the submitted data.",
    );
    for (name, value) in [("identity", identity), ("password", password)] {
        if value.is_empty() {
            invalid.data.insert(
                name.into(),
                json!({"code": "validation_required", "message": "Cannot be blank."}),
            );
        }
    }
    if !matches!(text("identityField"), "" | "email") {
        invalid.data.insert(
            "identityField".into(),
            json!({"code": "validation_in_invalid", "message": "Must be a valid value."}),
        );
    }
    if !invalid.data.is_empty() {
        return Err(invalid.into());
    }
    let result = app
        .identity
        .sign_in(collection, identity, &Secret::new(password), origin.address)
        .await;
    let account = match result {
        Ok(account) => account,
        Err(SignInError::WrongCredentials) => {
            return Err(RecordError::new(400, "Failed to authenticate.").into());
        }
        Err(SignInError::NotAllowed(refusal)) => {
            return Err(RecordError::new(403, refusal.message()).into());
        }
        Err(SignInError::Throttled { retry_after }) => {
            let mut response = CoreError(RecordError::new(
                429,
                "Too many failed sign-ins. Wait a moment and try again.",
            ))
            .into_response();
            let seconds = retry_after.as_secs().max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            return Ok(response);
        }
        Err(SignInError::Failed(error)) => return Err(error.into()),
    };
    // A tenant's address is for its own people: others are told no more than
    // with a wrong password.
    if let Site::Tenant(tenant) = origin.site
        && collection == AuthCollection::Users
        && account.tenant_id != Some(tenant.id)
    {
        let (id, address) = (account.id, origin.address);
        tracing::info!(account = %id, %address, reason = "another tenant's host", "a sign-in failed");
        return Err(RecordError::new(400, "Failed to authenticate.").into());
    }
    Ok(answer(&app, &account, query).await?.into_response())
}

/// `POST …/auth-refresh`
pub async fn refresh(
    State(app): State<App>,
    Path(collection): Path<String>,
    Query(query): Query<ShapeQuery>,
    signed_in: SignedIn,
    headers: HeaderMap,
) -> Result<Json<Value>, CoreError> {
    let collection = find(&collection)?;
    let account = signed_in.account()?;
    if account.collection != collection {
        return Err(RecordError::new(
            403,
            format!(
                "The request requires auth record from {} collection.",
                account.collection.name()
            ),
        )
        .into());
    }
    let token = token(&headers).unwrap_or_default();
    let mut body = answer(&app, account, query).await?.0;
    // A token that may not be refreshed comes back as it is.
    if let Some((token, _)) = app.identity.refresh(token).await? {
        body["token"] = token.into();
    }
    Ok(Json(body))
}

async fn answer(app: &App, account: &Account, query: ShapeQuery) -> Result<Json<Value>, CoreError> {
    let session = match account.collection {
        AuthCollection::Users => Session::User(account.clone()),
        AuthCollection::Superusers => Session::Superuser(account.clone()),
    };
    let mut shape = query.shape();
    // `fields=token,record.id` speaks of the whole answer.
    shape.fields = shape
        .fields
        .split(',')
        .filter_map(|f| f.trim().strip_prefix("record."))
        .collect::<Vec<_>>()
        .join(",");
    let record = app
        .engine
        .view(
            &extract::principal(&session),
            account.collection.name(),
            account.id.as_str(),
            &shape,
        )
        .await?;
    Ok(Json(
        json!({"token": app.identity.issue_token(account), "record": record}),
    ))
}

fn find(collection: &str) -> Result<AuthCollection, CoreError> {
    AuthCollection::find(collection)
        .ok_or_else(|| RecordError::new(404, "Missing or invalid auth collection context.").into())
}
