//! Subscriptions as server-sent events, as PocketBase has them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use cf_base::Secret;
use cf_collections::RecordError;
use futures_util::stream;
use serde::Deserialize;

use crate::App;
use crate::error::CoreError;
use crate::extract::{Origin, RECORD_BODY, SignedIn, read_body, token};

/// An idle stream is closed and the SDK connects again.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// So is every stream in the end: the next one asks again who is signed in.
const LONGEST: Duration = Duration::from_secs(30 * 60);

#[derive(Deserialize)]
struct Subscribe {
    #[serde(rename = "clientId", default)]
    client_id: String,
    #[serde(default)]
    subscriptions: Vec<String>,
}

/// `GET /api/realtime`
pub async fn connect(State(app): State<App>, origin: Origin) -> Result<Response, CoreError> {
    let client = app.hub.connect(origin.address)?;
    let stopping = app.stopping.clone();
    let ends_at = tokio::time::Instant::now() + LONGEST;
    let frames = stream::unfold(
        (client, stopping),
        move |(mut client, stopping)| async move {
            let frame = tokio::select! {
                frame = client.next() => frame?,
                () = tokio::time::sleep(IDLE) => return None,
                () = tokio::time::sleep_until(ends_at) => return None,
                () = stopping.cancelled() => return None,
            };
            let text = format!(
                "id:{}\nevent:{}\ndata:{}\n\n",
                client.id(),
                frame.event,
                frame.data
            );
            Some((
                Ok::<_, std::io::Error>(Bytes::from(text)),
                (client, stopping),
            ))
        },
    );
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((head, Body::from_stream(frames)).into_response())
}

/// `POST /api/realtime`
pub async fn subscribe(
    State(app): State<App>,
    signed_in: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, CoreError> {
    let body = read_body(body, RECORD_BODY).await?;
    let request: Subscribe = serde_json::from_slice(&body).map_err(|_| {
        RecordError::new(400, "An error occurred while loading the submitted data.")
    })?;
    app.hub.subscribe(
        &request.client_id,
        signed_in.principal,
        signed_in.session.and(token(&headers)).map(Secret::new),
        &request.subscriptions,
    )?;
    Ok(StatusCode::NO_CONTENT)
}
