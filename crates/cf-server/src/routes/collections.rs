//! Descriptions of the collections, for superusers.

use axum::Json;
use axum::extract::{Path, State};
use cf_collections::{Principal, RecordError};
use serde_json::{Value, json};

use crate::App;
use crate::error::CoreError;
use crate::extract::SignedIn;

/// `GET /api/collections`
pub async fn list(State(app): State<App>, signed_in: SignedIn) -> Result<Json<Value>, CoreError> {
    superuser(&signed_in)?;
    let items: Vec<Value> = app
        .engine
        .collections()
        .iter()
        .map(|c| c.to_json())
        .collect();
    let count = items.len();
    Ok(Json(json!({
        "items": items, "page": 1, "perPage": count.max(30), "totalItems": count, "totalPages": 1,
    })))
}

/// `GET /api/collections/{collection}`
pub async fn view(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(name): Path<String>,
) -> Result<Json<Value>, CoreError> {
    superuser(&signed_in)?;
    match app.engine.collections().get(&name) {
        Some(collection) => Ok(Json(collection.to_json())),
        None => Err(RecordError::new(404, "The requested resource wasn't found.").into()),
    }
}

fn superuser(signed_in: &SignedIn) -> Result<(), CoreError> {
    signed_in.account()?;
    match signed_in.principal {
        Principal::Superuser { .. } => Ok(()),
        _ => Err(RecordError::new(
            403,
            "The authorized record is not allowed to perform this action.",
        )
        .into()),
    }
}
