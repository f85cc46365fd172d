//! Several writes in one transaction.

use serde_json::{Map, Value as Json, json};

use super::view::Shape;
use crate::engine::{Engine, Reader};
use crate::error::{RecordError, Result};
use crate::filter::{Cond, Root};
use crate::principal::Principal;
use crate::rules::Access;

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
        self.refuse_early(principal, &requests).await?;
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

    /// What is refused anyway takes no turn of the writer: the first request is
    /// looked at in full, the others as far as no request before them could
    /// change the answer.
    async fn refuse_early(&self, principal: &Principal, requests: &[BatchRequest]) -> Result<()> {
        for (at, request) in requests.iter().enumerate() {
            let result = match at {
                0 => self.check_alone(principal, request).await,
                _ if self.never(principal, request)? => self.check_alone(principal, request).await,
                _ => Ok(()),
            };
            match result {
                Ok(()) => {}
                Err(error) if error.status >= 500 => return Err(error),
                Err(error) => return Err(failed_at(at, &error)),
            }
        }
        Ok(())
    }

    /// Whether rules and fields let a request pass as things stand.
    async fn check_alone(&self, principal: &Principal, request: &BatchRequest) -> Result<()> {
        let reader = &mut Reader::Engine(self);
        match request {
            BatchRequest::Create {
                collection, body, ..
            } => {
                let target = self.collection(collection, true)?;
                self.checked_create(reader, principal, &target, body)
                    .await
                    .map(drop)
            }
            BatchRequest::Update {
                collection,
                id,
                body,
                ..
            } => {
                let target = self.collection(collection, true)?;
                self.checked_update(reader, principal, &target, id, body)
                    .await
                    .map(drop)
            }
            BatchRequest::Upsert {
                collection, body, ..
            } => {
                let target = self.collection(collection, true)?;
                let id = body.get("id").and_then(Json::as_str).unwrap_or_default();
                if self.load(reader, &target, id).await?.is_some() {
                    self.checked_update(reader, principal, &target, id, body)
                        .await
                        .map(drop)
                } else {
                    self.checked_create(reader, principal, &target, body)
                        .await
                        .map(drop)
                }
            }
            BatchRequest::Delete { collection, id } => {
                let target = self.collection(collection, false)?;
                self.checked_delete(reader, principal, &target, id)
                    .await
                    .map(drop)
            }
        }
    }

    /// Whether the principal may do this to no record whatever stands in it.
    fn never(&self, principal: &Principal, request: &BatchRequest) -> Result<bool> {
        let (collection, accesses): (_, &[Access]) = match request {
            BatchRequest::Create { collection, .. } => (collection, &[Access::Create]),
            BatchRequest::Update { collection, .. } => (collection, &[Access::Update]),
            BatchRequest::Upsert { collection, .. } => {
                (collection, &[Access::Create, Access::Update])
            }
            BatchRequest::Delete { collection, .. } => (collection, &[Access::Delete]),
        };
        let Some(target) = self.0.schema.get(collection) else {
            return Ok(true);
        };
        if target.read_only {
            return Ok(true);
        }
        for access in accesses {
            let condition = self.0.rules.condition(
                *access,
                target,
                &Root::Row("t0"),
                &self.context(principal),
                &mut self.statement(),
            )?;
            if condition.is_some_and(|condition| condition != Cond::False) {
                return Ok(false);
            }
        }
        Ok(true)
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
