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
use crate::openapi::chats::{
    ChatCompletion, ChatCompletionRequest, Completion, CompletionRequest, MessagesAnswer,
    MessagesRequest,
};

/// Answers a chat
///
/// As OpenAI has it, at every provider.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "Router", operation_id = "create_chat_completion",
    request_body = ChatCompletionRequest,
    responses((
        status = 200,
        description = "The answer; with `stream` events, whose `data` is a ChatCompletionChunk each and at last \
                       `[DONE]`. Comments keep a silent stream open",
        content((ChatCompletion = "application/json"), (String = "text/event-stream")),
    ))
)]
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

/// Goes on from a text
///
/// What there was before chats. Where a provider has chats only, the prompt becomes one.
#[utoipa::path(
    post, path = "/v1/completions", tag = "Router", operation_id = "create_completion",
    request_body = CompletionRequest,
    responses((
        status = 200,
        description = "The answer; with `stream` events, whose `data` is a part of it each and at last `[DONE]`",
        content((Completion = "application/json"), (String = "text/event-stream")),
    ))
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

/// Answers a chat of Anthropic's clients
///
/// As Anthropic has it, at every provider.
#[utoipa::path(
    post, path = "/v1/messages", tag = "Router", operation_id = "create_message",
    request_body = MessagesRequest,
    responses((
        status = 200,
        description = "The answer; with `stream` Anthropic's events, from `message_start` to `message_stop`, or \
                       `error`",
        content((MessagesAnswer = "application/json"), (String = "text/event-stream")),
    ))
)]
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
