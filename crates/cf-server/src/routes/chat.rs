//! The router's endpoints: parse the head, hand over to the gateway.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use cf_base::RequestId;
use cf_gateway::{Asked, Dialect, Wishes};

use crate::App;
use crate::error::{MessagesError, RouterError};
use crate::extract::{ROUTER_BODY, RouterCaller, read_body};
use crate::openapi::RouterErrorAnswer;

/// `POST /v1/chat/completions`, plain and streamed.
pub async fn completions(
    State(app): State<App>,
    Extension(request_id): Extension<RequestId>,
    RouterCaller(caller): RouterCaller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, RouterError> {
    let body = read_body(body, ROUTER_BODY).await?;
    let asked = asked(Dialect::OpenAi, &headers);
    let answer = app.gateway.chat_in(asked, caller, body, request_id).await?;
    Ok(answer.map(Body::new))
}

/// `POST /v1/completions`, plain and streamed: what there was before chats.
#[utoipa::path(
    post, path = "/v1/completions", tag = "Router", operation_id = "create_completion",
    security(("router_key" = [])),
    request_body = Object,
    responses(
        (status = 200, description = "OpenAI's completion, or its chunks where `stream` is true", body = Object),
        (status = 400, description = "The request cannot be sent so", body = RouterErrorAnswer),
        (status = 401, description = "No valid key", body = RouterErrorAnswer),
        (status = 403, description = "Budget, status or model", body = RouterErrorAnswer),
        (status = 404, description = "No such model", body = RouterErrorAnswer),
        (status = 429, description = "Too many requests", body = RouterErrorAnswer),
    )
)]
pub async fn legacy(
    State(app): State<App>,
    Extension(request_id): Extension<RequestId>,
    RouterCaller(caller): RouterCaller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, RouterError> {
    let body = read_body(body, ROUTER_BODY).await?;
    let asked = asked(Dialect::Completions, &headers);
    let answer = app.gateway.chat_in(asked, caller, body, request_id).await?;
    Ok(answer.map(Body::new))
}

/// `POST /v1/messages`, plain and streamed: the same for Anthropic's clients.
pub async fn messages(
    State(app): State<App>,
    Extension(request_id): Extension<RequestId>,
    caller: Result<RouterCaller, RouterError>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, MessagesError> {
    let RouterCaller(caller) = caller.map_err(|RouterError(error)| error)?;
    let body = read_body(body, ROUTER_BODY).await?;
    let asked = asked(Dialect::Anthropic, &headers);
    let answer = app.gateway.chat_in(asked, caller, body, request_id).await?;
    Ok(answer.map(Body::new))
}

fn asked(dialect: Dialect, headers: &HeaderMap) -> Asked {
    Asked {
        dialect,
        wishes: Wishes::read(headers),
    }
}
