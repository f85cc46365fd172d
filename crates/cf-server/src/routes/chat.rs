//! The router's endpoints: parse the head, hand over to the gateway.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use cf_base::{Error, Kind, RequestId};

use crate::App;
use crate::error::RouterError;
use crate::extract::{ROUTER_BODY, RouterCaller, read_body};

/// `POST /v1/chat/completions`, plain and streamed.
pub async fn completions(
    State(app): State<App>,
    Extension(request_id): Extension<RequestId>,
    RouterCaller(caller): RouterCaller,
    body: Body,
) -> Result<Response, RouterError> {
    let body = read_body(body, ROUTER_BODY).await?;
    let answer = app.gateway.chat(caller, body, request_id).await?;
    Ok(answer.map(Body::new))
}

/// `GET /v1/models`: what this caller may use.
pub async fn models(
    State(app): State<App>,
    RouterCaller(caller): RouterCaller,
) -> Json<serde_json::Value> {
    Json(app.gateway.models(&caller))
}

/// `GET /v1/models/{model}`
pub async fn model(
    State(app): State<App>,
    RouterCaller(caller): RouterCaller,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, RouterError> {
    let list = app.gateway.models(&Arc::clone(&caller));
    list["data"]
        .as_array()
        .and_then(|models| models.iter().find(|m| m["id"] == name.as_str()))
        .map(|model| Json(model.clone()))
        .ok_or_else(|| {
            Error::new(
                Kind::ModelNotFound,
                format!("The model \"{name}\" does not exist or you do not have access to it."),
            )
            .into()
        })
}
