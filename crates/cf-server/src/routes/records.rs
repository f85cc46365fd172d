//! Records over HTTP, as PocketBase has them.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use cf_collections::{ListParams, RecordError, Shape};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::App;
use crate::error::CoreError;
use crate::extract::{Origin, RECORD_BODY, SIGN_IN_BODY, SignedIn, read_body};
use crate::hosts::Site;

/// The query of a list, all as text: PocketBase answers 400 to a page that is
/// no number, in its own shape.
#[derive(Deserialize, Default)]
pub struct ListQuery {
    #[serde(default)]
    page: String,
    #[serde(default, rename = "perPage")]
    per_page: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    filter: String,
    #[serde(default)]
    fields: String,
    #[serde(default)]
    expand: String,
    #[serde(default, rename = "skipTotal")]
    skip_total: String,
}

/// The query of everything else.
#[derive(Deserialize, Default)]
pub struct ShapeQuery {
    #[serde(default)]
    fields: String,
    #[serde(default)]
    expand: String,
}

impl ShapeQuery {
    /// As the engine takes it.
    pub fn shape(self) -> Shape {
        Shape {
            fields: self.fields,
            expand: self.expand,
        }
    }
}

/// `GET …/records`
pub async fn list(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(collection): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, CoreError> {
    let params = ListParams {
        page: number(&query.page, 1)?,
        per_page: number(&query.per_page, 30)?,
        sort: query.sort,
        filter: query.filter,
        skip_total: match query.skip_total.as_str() {
            "" | "0" | "false" => false,
            "1" | "true" => true,
            _ => return Err(bad_request()),
        },
        fields: query.fields,
        expand: query.expand,
    };
    Ok(Json(
        app.engine
            .list(&signed_in.principal, &collection, &params)
            .await?,
    ))
}

/// `GET …/records/{id}`
pub async fn view(
    State(app): State<App>,
    signed_in: SignedIn,
    Path((collection, id)): Path<(String, String)>,
    Query(query): Query<ShapeQuery>,
) -> Result<Json<Value>, CoreError> {
    Ok(Json(
        app.engine
            .view(&signed_in.principal, &collection, &id, &query.shape())
            .await?,
    ))
}

/// `POST …/records`
pub async fn create(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(collection): Path<String>,
    Query(query): Query<ShapeQuery>,
    headers: HeaderMap,
    origin: Origin,
    body: Body,
) -> Result<Json<Value>, CoreError> {
    let limit = if signed_in.session.is_some() {
        RECORD_BODY
    } else {
        app.sign_ups.count(origin.address, &app.clock)?;
        SIGN_IN_BODY
    };
    let mut body = object(&headers, &read_body(body, limit).await?)?;
    // A guest at a tenant's host signs up with that tenant.
    if let Site::Tenant(tenant) = origin.site
        && signed_in.session.is_none()
        && matches!(
            collection.as_str(),
            "users" | cf_identity::USERS_COLLECTION_ID
        )
    {
        body.insert("tenant_id".into(), tenant.id.to_string().into());
    }
    let record = app
        .engine
        .create(&signed_in.principal, &collection, &body, &query.shape())
        .await?;
    app.changed(&collection).await?;
    Ok(Json(record))
}

/// `PATCH …/records/{id}`
pub async fn update(
    State(app): State<App>,
    signed_in: SignedIn,
    Path((collection, id)): Path<(String, String)>,
    Query(query): Query<ShapeQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, CoreError> {
    let body = object(&headers, &read_body(body, RECORD_BODY).await?)?;
    let record = app
        .engine
        .update(
            &signed_in.principal,
            &collection,
            &id,
            &body,
            &query.shape(),
        )
        .await?;
    app.changed(&collection).await?;
    Ok(Json(record))
}

/// `DELETE …/records/{id}`
pub async fn delete(
    State(app): State<App>,
    signed_in: SignedIn,
    Path((collection, id)): Path<(String, String)>,
) -> Result<StatusCode, CoreError> {
    app.engine
        .delete(&signed_in.principal, &collection, &id)
        .await?;
    app.changed(&collection).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A JSON object, or the fields of a form; nothing is an empty object.
pub fn object(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, CoreError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if kind.starts_with("application/json") {
        return match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(RecordError::new(
                400,
                "Failed to read the request body: it is not a JSON object.",
            )
            .into()),
        };
    }
    if kind.starts_with("application/x-www-form-urlencoded") {
        return serde_urlencoded::from_bytes::<Vec<(String, String)>>(body)
            .map(|pairs| {
                pairs
                    .into_iter()
                    .map(|(name, value)| (name, Value::String(value)))
                    .collect()
            })
            .map_err(|_| bad_request());
    }
    Err(RecordError::new(400, "Unsupported Content-Type. Send application/json.").into())
}

fn number(text: &str, default: i64) -> Result<i64, CoreError> {
    if text.is_empty() {
        return Ok(default);
    }
    text.parse().map_err(|_| bad_request())
}

fn bad_request() -> CoreError {
    RecordError::new(400, "Something went wrong while processing your request.").into()
}
