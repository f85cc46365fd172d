//! Several writes in one transaction.

use serde_json::{Map, Value as Json, json};

use super::view::Shape;
use crate::engine::Engine;
use crate::error::{RecordError, Result};
use crate::principal::Principal;

/// Most requests in one batch.
const MAX_REQUESTS: usize = 50;

/// One write of a batch.
#[derive(Clone, Debug)]
pub enum BatchRequest {
    /// A new record.
    Create {
        /// Collection.
        collection: String,
        /// The record.
        body: Map<String, Json>,
        /// How the answer is wanted.
        shape: Shape,
    },
    /// A change.
    Update {
        /// Collection.
        collection: String,
        /// Which record.
        id: String,
        /// What changes.
        body: Map<String, Json>,
        /// How the answer is wanted.
        shape: Shape,
    },
    /// A change if the body's `id` exists, else a new record.
    Upsert {
        /// Collection.
        collection: String,
        /// The record.
        body: Map<String, Json>,
        /// How the answer is wanted.
        shape: Shape,
    },
    /// A deletion.
    Delete {
        /// Collection.
        collection: String,
        /// Which record.
        id: String,
    },
}

impl Engine {
    /// Does all of them or none; answers as PocketBase's `/api/batch`.
    pub async fn batch(&self, principal: &Principal, requests: Vec<BatchRequest>) -> Result<Json> {
        if requests.is_empty() {
            return Err(requests_error("validation_required", "Cannot be blank."));
        }
        if requests.len() > MAX_REQUESTS {
            return Err(requests_error(
                "validation_length_too_long",
                format!("The length must be no more than {MAX_REQUESTS}."),
            ));
        }
        let mut tx = self.0.db.begin().await?;
        let mut done = Vec::with_capacity(requests.len());
        for (at, request) in requests.into_iter().enumerate() {
            let result = match request {
                BatchRequest::Create {
                    collection,
                    body,
                    shape,
                } => self
                    .create_in(&mut tx, principal, &collection, &body)
                    .await
                    .map(|written| Some((written, shape))),
                BatchRequest::Update {
                    collection,
                    id,
                    body,
                    shape,
                } => self
                    .update_in(&mut tx, principal, &collection, &id, &body)
                    .await
                    .map(|written| Some((written, shape))),
                BatchRequest::Upsert {
                    collection,
                    body,
                    shape,
                } => self
                    .upsert_in(&mut tx, principal, &collection, &body)
                    .await
                    .map(|written| Some((written, shape))),
                BatchRequest::Delete { collection, id } => self
                    .delete_in(&mut tx, principal, &collection, &id)
                    .await
                    .map(|()| None),
            };
            match result {
                Ok(written) => done.push(written),
                // Not the request's fault: said as it is, so that it is tried again.
                Err(error) if error.status >= 500 => return Err(error),
                Err(error) => return Err(failed_at(at, &error)),
            }
        }
        tx.commit().await?;
        let mut answers = Vec::with_capacity(done.len());
        for written in done {
            answers.push(match written {
                None => json!({"status": 204, "body": null}),
                Some(((record, answer), shape)) => {
                    let body = self.shape_with(principal, record, answer, &shape).await?;
                    json!({"status": 200, "body": body})
                }
            });
        }
        Ok(Json::Array(answers))
    }

    async fn upsert_in(
        &self,
        tx: &mut cf_db::Tx,
        principal: &Principal,
        collection: &str,
        body: &Map<String, Json>,
    ) -> Result<(crate::Record, Map<String, Json>)> {
        if let Some(id) = body.get("id").and_then(Json::as_str)
            && self.find_in(tx, collection, id).await?.is_some()
        {
            return self.update_in(tx, principal, collection, id, body).await;
        }
        self.create_in(tx, principal, collection, body).await
    }
}

fn requests_error(
    code: &'static str,
    message: impl Into<std::borrow::Cow<'static, str>>,
) -> RecordError {
    let mut error = RecordError::field("requests", code, message);
    error.message = "An error occurred while validating the submitted data.".into();
    error
}

fn failed_at(at: usize, error: &RecordError) -> RecordError {
    let mut refusal = RecordError::new(400, "Batch transaction failed.");
    refusal.data.insert(
        "requests".to_owned(),
        json!({ at.to_string(): {
            "code": "batch_request_failed",
            "message": "Batch request failed.",
            "response": error.to_json(),
        }}),
    );
    refusal
}
