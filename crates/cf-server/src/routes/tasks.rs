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
use crate::openapi::chats::{CountTokensRequest, TokenCount};
use crate::openapi::tasks::{
    AnyModelEntry, AnyModelList, Embeddings, EmbeddingsRequest, ImageEditForm, ImageRequest,
    Images, ModerationRequest, Moderations, Ranking, RerankRequest, Sound, SpeechRequest,
    Transcript, TranscriptionForm, TranslationForm,
};

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

/// Makes vectors of texts
///
/// As OpenAI has it, at every provider that has them. A provider that takes few texts at a time is
/// called several times.
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "Router", operation_id = "create_embedding",
    request_body = EmbeddingsRequest,
    responses((status = 200, description = "The vectors, in the order of the texts", body = Embeddings))
)]
pub async fn embeddings(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Embeddings).await?)
}

/// Makes pictures
///
/// As OpenAI has it. A picture that the provider's filter keeps back is 400 with the code
/// `content_filter`.
#[utoipa::path(
    post, path = "/v1/images/generations", tag = "Router", operation_id = "create_image",
    request_body = ImageRequest,
    responses((
        status = 200,
        description = "The pictures; with `stream` the provider's events",
        content((Images = "application/json"), (String = "text/event-stream")),
    ))
)]
pub async fn images(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Images).await?)
}

/// Changes pictures
///
/// As OpenAI has it, at OpenAI, Azure and OpenAI-compatible servers.
#[utoipa::path(
    post, path = "/v1/images/edits", tag = "Router", operation_id = "create_image_edit",
    request_body(content = ImageEditForm, content_type = "multipart/form-data"),
    responses((
        status = 200,
        description = "The pictures; with `stream` the provider's events",
        content((Images = "application/json"), (String = "text/event-stream")),
    ))
)]
pub async fn image_edits(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.form(Task::ImageEdits).await?)
}

/// Writes down what was said
///
/// As OpenAI has it.
#[utoipa::path(
    post, path = "/v1/audio/transcriptions", tag = "Router", operation_id = "create_transcription",
    request_body(content = TranscriptionForm, content_type = "multipart/form-data"),
    responses((
        status = 200,
        description = "The text, as asked for; subtitles under the type that the provider gives them; with \
                       `stream` the provider's events",
        content(
            (Transcript = "application/json"),
            (String = "text/plain"),
            (String = "text/vtt"),
            (String = "text/event-stream"),
        ),
    ))
)]
pub async fn transcriptions(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.form(Task::Transcription).await?)
}

/// Writes down in English what was said
///
/// As OpenAI has it, at OpenAI, Azure and OpenAI-compatible servers.
#[utoipa::path(
    post, path = "/v1/audio/translations", tag = "Router", operation_id = "create_translation",
    request_body(content = TranslationForm, content_type = "multipart/form-data"),
    responses((
        status = 200,
        description = "The text, as asked for; subtitles under the type that the provider gives them",
        content(
            (Transcript = "application/json"),
            (String = "text/plain"),
            (String = "text/vtt"),
        ),
    ))
)]
pub async fn translations(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.form(Task::Translation).await?)
}

/// Speaks a text
///
/// As OpenAI has it. Sound that breaks off breaks the connection, so that it does not look whole.
#[utoipa::path(
    post, path = "/v1/audio/speech", tag = "Router", operation_id = "create_speech",
    request_body = SpeechRequest,
    responses((
        status = 200,
        description = "The sound as it comes, or events with it where `stream_format` is `sse`",
        content((Sound = "audio/*"), (Sound = "application/octet-stream"), (String = "text/event-stream")),
    ))
)]
pub async fn speech(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Speech).await?)
}

/// Looks whether something is harmful
///
/// As OpenAI has it.
#[utoipa::path(
    post, path = "/v1/moderations", tag = "Router", operation_id = "create_moderation",
    request_body = ModerationRequest,
    responses((status = 200, description = "What was found", body = Moderations))
)]
pub async fn moderations(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Moderation).await?)
}

/// Puts documents in order
///
/// As Cohere and Jina have it.
#[utoipa::path(
    post, path = "/v1/rerank", tag = "Router", operation_id = "create_ranking",
    request_body = RerankRequest,
    responses((status = 200, description = "The documents, the best first", body = Ranking))
)]
pub async fn rerank(call: Incoming) -> Result<Response, RouterError> {
    Ok(call.json(Task::Rerank).await?)
}

/// Counts the tokens of a chat of Anthropic's clients
///
/// Costs nothing, and stands in the usage log as a call without tokens.
#[utoipa::path(
    post, path = "/v1/messages/count_tokens", tag = "Router", operation_id = "count_message_tokens",
    request_body = CountTokensRequest,
    responses((status = 200, description = "How long it is", body = TokenCount))
)]
pub async fn count_tokens(call: Result<Incoming, RouterError>) -> Result<Response, MessagesError> {
    let call = call.map_err(|RouterError(error)| error)?;
    Ok(call.json(Task::CountTokens).await?)
}

/// Lists the models that the caller may use
///
/// In Anthropic's shape where `anthropic-version` is sent, else in OpenAI's.
#[utoipa::path(
    get, path = "/v1/models", tag = "Router", operation_id = "list_models",
    responses((status = 200, description = "The models", body = AnyModelList))
)]
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

/// Tells of a model
///
/// In Anthropic's shape where `anthropic-version` is sent, else in OpenAI's. Names may have slashes in
/// them, written as they are or as `%2F`.
#[utoipa::path(
    get, path = "/v1/models/{model}", tag = "Router", operation_id = "get_model",
    params(("model" = String, Path, description = "The public name of the model")),
    responses(
        (status = 200, description = "The model", body = AnyModelEntry),
    )
)]
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
