//! The router's endpoints that are no chats: read the request, hand over to the
//! gateway.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use cf_base::{Caller, Error, Kind, RequestId, Timestamp};
use cf_gateway::{Form, Task, TaskRequest, Wishes};
use serde_json::{Value, json};

use crate::App;
use crate::error::{MessagesError, RouterError};
use crate::extract::{ROUTER_BODY, RouterCaller, read_body};

/// How long a form may take to come: recordings come over slow lines too.
const FORM_TIME: Duration = Duration::from_secs(300);

/// A call as it comes.
pub struct Incoming {
    app: App,
    request_id: RequestId,
    caller: Arc<Caller>,
    headers: HeaderMap,
    body: Body,
}

impl FromRequest<App> for Incoming {
    type Rejection = RouterError;

    async fn from_request(request: Request, app: &App) -> Result<Self, RouterError> {
        let (mut parts, body) = request.into_parts();
        let RouterCaller(caller) = RouterCaller::from_request_parts(&mut parts, app).await?;
        let request_id = parts.extensions.get::<RequestId>().cloned();
        Ok(Self {
            app: app.clone(),
            request_id: request_id.ok_or_else(|| Error::internal("a request without an id"))?,
            caller,
            headers: parts.headers,
            body,
        })
    }
}

impl Incoming {
    /// A task whose request is JSON.
    async fn json(self, task: Task) -> Result<Response, Error> {
        let body = read_body(self.body, ROUTER_BODY).await?;
        let request = TaskRequest::json(task, body)?;
        Self::run(
            self.app,
            self.request_id,
            self.caller,
            &self.headers,
            request,
        )
        .await
    }

    /// A task whose request is a form with files.
    async fn form(self, task: Task) -> Result<Response, Error> {
        let kind = self.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let read = Form::read(kind, self.body.into_data_stream(), ROUTER_BODY);
        let form = tokio::time::timeout(FORM_TIME, read)
            .await
            .map_err(|_| Error::invalid("The form did not come within five minutes."))??;
        let request = TaskRequest::form(task, form)?;
        Self::run(
            self.app,
            self.request_id,
            self.caller,
            &self.headers,
            request,
        )
        .await
    }

    async fn run(
        app: App,
        request_id: RequestId,
        caller: Arc<Caller>,
        headers: &HeaderMap,
        request: TaskRequest,
    ) -> Result<Response, Error> {
        let wishes = Wishes::read(headers);
        let answer = app
            .gateway
            .task(wishes, caller, request, request_id)
            .await?;
        Ok(answer.map(Body::new))
    }
}

/// `POST /v1/embeddings`
pub async fn embeddings(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Embeddings).await?)
}

/// `POST /v1/images/generations`
pub async fn images(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Images).await?)
}

/// `POST /v1/images/edits`
pub async fn image_edits(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.form(Task::ImageEdits).await?)
}

/// `POST /v1/audio/transcriptions`
pub async fn transcriptions(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.form(Task::Transcription).await?)
}

/// `POST /v1/audio/translations`
pub async fn translations(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.form(Task::Translation).await?)
}

/// `POST /v1/audio/speech`
pub async fn speech(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Speech).await?)
}

/// `POST /v1/moderations`
pub async fn moderations(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Moderation).await?)
}

/// `POST /v1/rerank`
pub async fn rerank(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Rerank).await?)
}

/// `POST /v1/messages/count_tokens`
pub async fn count_tokens(call: Result<Incoming, RouterError>) -> Result<Response, MessagesError> {
    let call = call.map_err(|RouterError(error)| error)?;
    Ok(call.json(Task::CountTokens).await?)
}

/// `GET /v1/models`: what this caller may use, in Anthropic's shape for its clients.
pub async fn models(
    State(app): State<App>,
    headers: HeaderMap,
    caller: Result<RouterCaller, RouterError>,
) -> Response {
    let anthropic = is_anthropic(&headers);
    let list = match caller {
        Ok(RouterCaller(caller)) => app.gateway.models(&caller),
        Err(RouterError(error)) => return refusal(anthropic, error),
    };
    if !anthropic {
        return Json(list).into_response();
    }
    let models: Vec<Value> = entries(&list).map(anthropic_model).collect();
    let id = |model: Option<&Value>| model.map_or(Value::Null, |model| model["id"].clone());
    let (first, last) = (id(models.first()), id(models.last()));
    Json(json!({"data": models, "has_more": false, "first_id": first, "last_id": last}))
        .into_response()
}

/// `GET /v1/models/{model}`; names may have slashes in them.
pub async fn model(
    State(app): State<App>,
    headers: HeaderMap,
    caller: Result<RouterCaller, RouterError>,
    Path(name): Path<String>,
) -> Response {
    let anthropic = is_anthropic(&headers);
    let list = match caller {
        Ok(RouterCaller(caller)) => app.gateway.models(&caller),
        Err(RouterError(error)) => return refusal(anthropic, error),
    };
    match entries(&list).find(|model| model["id"] == *name) {
        Some(model) if anthropic => Json(anthropic_model(model)).into_response(),
        Some(model) => Json(model).into_response(),
        None => {
            let name: String = name.chars().take(256).collect();
            let text =
                format!("The model \"{name}\" does not exist or you do not have access to it.");
            refusal(anthropic, Error::new(Kind::ModelNotFound, text))
        }
    }
}

fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list["data"].as_array().into_iter().flatten()
}

fn is_anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

fn anthropic_model(model: &Value) -> Value {
    let created = model["created"].as_i64().unwrap_or(0);
    let created = Timestamp::from_millis(created.saturating_mul(1000)).to_date_text();
    json!({
        "type": "model", "id": model["id"], "display_name": model["id"],
        "created_at": created.to_string().replace(' ', "T"),
    })
}

fn refusal(anthropic: bool, error: Error) -> Response {
    if anthropic {
        MessagesError(error).into_response()
    } else {
        RouterError(error).into_response()
    }
}
