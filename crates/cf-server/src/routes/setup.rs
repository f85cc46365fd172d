//! The one-time set-up link of an empty installation.

use axum::Json;
use axum::extract::State;
use cf_collections::RecordError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::error::CoreError;
use crate::extract::{SIGN_IN_BODY, read_body};
use crate::openapi::CoreErrorAnswer;
use crate::provision::{self, NewAdmin};

#[derive(Deserialize)]
struct Setup {
    token: String,
    email: String,
    password: String,
    #[serde(default)]
    name: String,
}

/// Makes the first administrator
///
/// Once, with the token that the server printed at its start.
#[utoipa::path(
    post, path = "/api/setup", tag = "Server", operation_id = "setup", security(()),
    request_body = Object,
    responses(
        (status = 200, description = "The administrator", body = Object),
        (status = 400, description = "A field cannot be taken", body = CoreErrorAnswer),
        (status = 403, description = "The link is not good any more", body = CoreErrorAnswer),
    )
)]
pub async fn setup(
    State(app): State<App>,
    body: axum::body::Body,
) -> Result<Json<Value>, CoreError> {
    let body = read_body(body, SIGN_IN_BODY).await?;
    let setup: Setup = serde_json::from_slice(&body).map_err(|_| {
        RecordError::new(400, "An error occurred while loading the submitted data.")
    })?;
    let refused = || {
        RecordError::new(
            403,
            "This set-up link is not valid (any more). Start the server again for a new one, or make \
             an administrator with `cloudfreedom admin create`.",
        )
    };
    // Taken out while it is used, so that two at once cannot both use it.
    let token = {
        let mut kept = app.setup.write();
        match kept.take() {
            Some(token) if token.is_valid(&setup.token) => token,
            other => {
                *kept = other;
                return Err(refused().into());
            }
        }
    };
    if cf_identity::admin_exists(&app.db).await? {
        return Err(refused().into());
    }
    let email = setup.email.clone();
    let admin = NewAdmin {
        email: setup.email,
        password: setup.password,
        name: setup.name,
        tenant: None,
    };
    let record = match provision::create_admin(&app.engine, &app.clock, admin).await {
        Ok(record) => record,
        Err(error) => {
            // A refused password must not use the link up.
            *app.setup.write() = Some(token);
            return Err(error.into());
        }
    };
    let id = record["id"].as_str().unwrap_or_default();
    let account = app
        .identity
        .account_by_email(cf_identity::AuthCollection::Users, &email)
        .await?
        .ok_or_else(refused)?;
    app.refresh().await?;
    let record = app
        .engine
        .view(
            &provision::system(),
            "users",
            id,
            &cf_collections::Shape::default(),
        )
        .await?;
    Ok(Json(
        json!({"token": app.identity.issue_token(&account), "record": record}),
    ))
}
