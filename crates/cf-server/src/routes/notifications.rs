//! What a person does with all notifications at once; one by one they are the
//! collection `notifications`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::App;
use crate::error::CoreError;
use crate::extract::SignedIn;
use crate::openapi::CoreErrorAnswer;

/// `POST /api/notifications/read`: all that were written to the caller.
#[utoipa::path(
    post, path = "/api/notifications/read", tag = "Messages", operation_id = "read_notifications",
    security(("session" = [])),
    responses(
        (status = 200, description = "`{marked}`: how many were unread", body = Object),
        (status = 401, description = "Nobody is signed in", body = CoreErrorAnswer),
    )
)]
pub async fn read_all(
    State(app): State<App>,
    signed_in: SignedIn,
) -> Result<Json<Value>, CoreError> {
    let account = signed_in.account()?;
    // A superuser has an id of another collection: nobody writes to one.
    let marked = if account.is_superuser() {
        0
    } else {
        app.db
            .execute(
                "update notifications set read = 1, updated = $1 where user_id = $2 and read = 0",
                vec![
                    app.clock.now().to_date_text().to_string().into(),
                    account.id.into(),
                ],
            )
            .await?
    };
    Ok(Json(json!({"marked": marked})))
}
