//! OpenAI's Responses: made, read again, forgotten. They are kept here for whom
//! made them, whichever provider answered.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use cf_base::{Error, RequestId};
use cf_gateway::{InputPage, Wishes};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::App;
use crate::error::RouterError;
use crate::extract::{ROUTER_BODY, RouterCaller, read_body};
use crate::openapi::chats::{DeletedResponse, InputItems, ResponseObject, ResponseRequest};
use crate::openapi::router::RouterErrorAnswer;

/// How a response is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ViewQuery {
    /// Not offered: only a response that is made in the background could be streamed later.
    #[serde(default)]
    stream: Option<String>,
}

/// Which part of an input is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InputQuery {
    /// The id of the item after which the page begins.
    #[serde(default)]
    after: Option<String>,
    /// How many items [default: 20].
    #[serde(default)]
    #[param(value_type = Option<u64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// The oldest first (`asc`) or the newest [default: desc].
    #[serde(default)]
    #[param(pattern = "^(asc|desc)$")]
    order: Option<String>,
}

/// Makes a response
///
/// As OpenAI has it, at every provider. It is kept here, for whom made it, to be read and gone on from,
/// unless `store` is false.
#[utoipa::path(
    post, path = "/v1/responses", tag = "Router", operation_id = "create_response",
    request_body = ResponseRequest,
    responses((
        status = 200,
        description = "The response; with `stream` OpenAI's events, from `response.created` to \
                       `response.completed`, `response.incomplete`, `response.failed` or `error`",
        content((ResponseObject = "application/json"), (String = "text/event-stream")),
    ))
)]
pub async fn create(
    State(app): State<App>,
    Extension(request_id): Extension<RequestId>,
    RouterCaller(caller): RouterCaller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, RouterError> {
    let body = read_body(body, ROUTER_BODY).await?;
    let wishes = Wishes::read(&headers);
    let answer = app
        .gateway
        .respond(wishes, caller, body, request_id)
        .await?;
    Ok(answer.map(Body::new))
}

/// Reads a response
///
/// As it was given.
#[utoipa::path(
    get, path = "/v1/responses/{id}", tag = "Router", operation_id = "get_response",
    params(("id" = String, Path, description = "The id of the response"), ViewQuery),
    responses(
        (status = 200, description = "The response", body = ResponseObject),
        (status = 400, description = "It cannot be streamed again", body = RouterErrorAnswer),
        (status = 404, description = "Not kept, or not for this user", body = RouterErrorAnswer),
    )
)]
pub async fn view(
    State(app): State<App>,
    RouterCaller(caller): RouterCaller,
    Path(id): Path<String>,
    query: Result<Query<ViewQuery>, QueryRejection>,
) -> Result<Response, RouterError> {
    let query = read_query(query)?;
    if query.stream.as_deref() == Some("true") {
        return Err(Error::invalid_field(
            "stream",
            "A response that is kept cannot be streamed again; leave stream out.",
        )
        .into());
    }
    Ok(json_text(app.gateway.response(&caller, &id).await?))
}

/// Forgets a response
///
/// Nothing goes on from it any more.
#[utoipa::path(
    delete, path = "/v1/responses/{id}", tag = "Router", operation_id = "delete_response",
    params(("id" = String, Path, description = "The id of the response")),
    responses(
        (status = 200, description = "It is forgotten", body = DeletedResponse),
        (status = 404, description = "Not kept, or not for this user", body = RouterErrorAnswer),
    )
)]
pub async fn delete(
    State(app): State<App>,
    RouterCaller(caller): RouterCaller,
    Path(id): Path<String>,
) -> Result<Json<Value>, RouterError> {
    app.gateway.delete_response(&caller, &id).await?;
    Ok(Json(
        json!({"id": id, "object": "response", "deleted": true}),
    ))
}

/// Reads what a response was made from
///
/// The conversation before it, and what its own request brought.
#[utoipa::path(
    get, path = "/v1/responses/{id}/input_items", tag = "Router", operation_id = "list_response_input_items",
    params(("id" = String, Path, description = "The id of the response"), InputQuery),
    responses(
        (status = 200, description = "A page of it", body = InputItems),
        (status = 400, description = "The page cannot be read so", body = RouterErrorAnswer),
        (status = 404, description = "Not kept, or not for this user", body = RouterErrorAnswer),
    )
)]
pub async fn input_items(
    State(app): State<App>,
    RouterCaller(caller): RouterCaller,
    Path(id): Path<String>,
    query: Result<Query<InputQuery>, QueryRejection>,
) -> Result<Response, RouterError> {
    let query = read_query(query)?;
    let mut page = InputPage {
        after: query.after.filter(|after| !after.is_empty()),
        ..InputPage::default()
    };
    if let Some(limit) = query.limit {
        let limit = limit.parse().ok().filter(|n| (1..=100).contains(n));
        page.limit = limit.ok_or_else(|| Error::invalid_field("limit", "limit is 1 to 100."))?;
    }
    page.ascending = match query.order.as_deref() {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(Error::invalid_field("order", "order is asc or desc.").into()),
    };
    let list = app.gateway.response_input(&caller, &id, &page).await?;
    Ok(json_text(list))
}

/// Refuses to cancel a response
///
/// Responses are not made in the background here: close the connection of the request instead.
#[utoipa::path(
    post, path = "/v1/responses/{id}/cancel", tag = "Router", operation_id = "cancel_response",
    params(("id" = String, Path, description = "The id of the response")),
    responses(
        (status = 400, description = "Always: responses are not made in the background here", body = RouterErrorAnswer),
    )
)]
pub async fn cancel(_caller: RouterCaller) -> RouterError {
    Error::invalid(
        "Responses are not made in the background here, so there is nothing to cancel: close the \
         connection of the request instead.",
    )
    .into()
}

fn read_query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, RouterError> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(Error::invalid("The query cannot be read.")
            .because(error)
            .into()),
    }
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
