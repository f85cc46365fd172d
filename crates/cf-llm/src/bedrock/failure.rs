//! Exceptions inside a stream that began well.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::frame::aws::AwsEvent;

/// The exception in the shape that errors in streams have elsewhere.
pub(crate) fn in_stream(event: &AwsEvent) -> Bytes {
    let said: Value = serde_json::from_slice(&event.payload).unwrap_or_default();
    let message = said["message"]
        .as_str()
        .or_else(|| said["originalMessage"].as_str())
        .unwrap_or("Bedrock failed while it answered.");
    let body = json!({"error": {"message": message, "type": event.name, "code": event.name}});
    Bytes::from(body.to_string())
}
