//! Whole answers and refusals of every provider, for every client.

use bytes::Bytes;
use cf_base::Timestamp;
use cf_llm::{BedrockCounter, Opening, Reply, embedding_usage};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::draw::Draw;
use crate::examples::{self, CLIENTS};
use crate::places::Somewhere;
use crate::shape;

/// What a provider is sent as its secret.
pub const SECRET: &str = "sk-provider-0123456789";
/// Names of headers that are read.
const HEADERS: [&str; 10] = [
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-reset-requests",
    "anthropic-ratelimit-tokens-reset",
    "x-amzn-errortype",
    "x-should-retry",
    "x-amzn-bedrock-input-token-count",
    "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-cache-read-input-token-count",
];
const VALUES: [&str; 9] = [
    "1",
    "-1",
    "18446744073709551615",
    "99999999999999999999999",
    "1m0s",
    "6ms",
    "Wed, 21 Oct 2026 07:28:00 GMT",
    "2026-10-21T07:28:00Z",
    "ThrottlingException:http://x/",
];

/// An answer is read or not; what of it is ours is an answer of the client's dialect.
/// A refusal is told without the secret.
pub fn replies(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let client = draw.one_of(&CLIENTS);
    let somewhere = Somewhere::for_chats(&mut draw);
    let route = somewhere.place().route(client);
    let headers = headers(&mut draw);
    let status = draw.one_of(&[
        200, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503, 529, 999,
    ]);
    let body = if draw.seldom(8) {
        Bytes::copy_from_slice(draw.rest())
    } else {
        let mut body = examples::answer(somewhere.speaks(client));
        if status != 200 {
            body = serde_json::json!({"error": {"message": format!("no {SECRET}"), "type": "x",
                "code": "y", "param": "z", "status": "INVALID_ARGUMENT", "details": [
                    {"reason": "API_KEY_INVALID", "retryDelay": "3s", "error_code": "w"}]},
                "message": SECRET, "detail": SECRET});
        }
        draw.spoil(&mut body);
        Bytes::from(body.to_string())
    };
    if let Some(counted) = BedrockCounter::headers(&headers) {
        shape::usage(&counted.usage);
    }
    if let Some(counted) = embedding_usage(&body) {
        shape::usage(&counted.usage);
    }
    let (reply, out) = route.reply(body.clone(), &opening());
    for (_, usage) in route.other_models(&body) {
        shape::usage(&usage);
    }
    match reply {
        Reply::Completion(usage, _) => {
            shape::usage(&usage);
            shape::bounded(out.len(), body.len());
            if !route.is_same_dialect() {
                shape::reply(client, &out);
            }
        }
        Reply::Failed | Reply::Unreadable => assert_eq!(out, body, "it is kept for the log"),
    }
    let now = Timestamp::from_millis(1_800_000_000_000);
    let failure = route.failure(status, &headers, &body, SECRET, now);
    let message = &failure.error.message;
    assert!(
        !message.contains(SECRET) && message.len() <= 64 << 10,
        "{message}"
    );
    if let Some(told) = client.refusal(&failure) {
        shape::json(&told);
        assert!(!String::from_utf8_lossy(&told).contains(SECRET));
    }
    let frame = client.failure_frame(&body, SECRET);
    assert!(!String::from_utf8_lossy(&frame).contains(SECRET));
    shape::events(&frame);
}

/// Headers by chance, of those that mean something.
pub fn headers(draw: &mut Draw<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for _ in 0..draw.byte() % 4 {
        let name = HeaderName::from_static(draw.one_of(&HEADERS));
        let value = if draw.seldom(4) {
            HeaderValue::from_bytes(draw.some()).ok()
        } else {
            Some(HeaderValue::from_static(draw.one_of(&VALUES)))
        };
        headers.extend(value.map(|value| (name, value)));
    }
    headers
}

/// What an answer is named by.
pub fn opening() -> Opening {
    Opening {
        id: "chatcmpl-made".into(),
        created: 1_700_000_000,
        model: "at-the-provider".into(),
        include_usage: true,
        estimated_input: 77,
        echo: None,
    }
}
