//! One caller: a plain or a streamed call, told apart by what came back.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use cf_http::HttpClient;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::provider::Number;

/// What became of a call.
#[derive(Debug)]
pub enum Outcome {
    /// The client had the reply in full.
    Full {
        request_id: String,
        /// What stands for it in the books; none where the client did not ask for usage.
        number: Option<Number>,
    },
    /// Refused in the shape of the API, with a sentence.
    Refused { status: u16, sentence: String },
    /// The client hung up.
    HungUp,
    /// The server was gone, or broke off with a reason.
    Cut,
}

#[derive(Default)]
pub struct Tally {
    pub full: u64,
    pub refused: u64,
    hung_up: u64,
    cut: u64,
}

impl Tally {
    pub fn add(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            *match outcome {
                Outcome::Full { .. } => &mut self.full,
                Outcome::Refused { .. } => &mut self.refused,
                Outcome::HungUp => &mut self.hung_up,
                Outcome::Cut => &mut self.cut,
            } += 1;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} replies in full, {} refused, {} hung up, {} cut off",
            self.full, self.refused, self.hung_up, self.cut
        )
    }
}

pub struct Caller<'a> {
    pub client: &'a HttpClient,
    pub url: &'a str,
    pub key: &'a str,
    pub stream: bool,
    /// Asks for the stream's usage.
    pub usage: bool,
    /// Waits so long before it calls.
    pub after: Duration,
    /// Hangs up after so long.
    pub patience: Option<Duration>,
}

impl Caller<'_> {
    pub async fn call(self) -> Outcome {
        tokio::time::sleep(self.after).await;
        let Some(patience) = self.patience else {
            return self.wait().await;
        };
        match tokio::time::timeout(patience, self.wait()).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::HungUp,
        }
    }

    async fn wait(&self) -> Outcome {
        let mut body = json!({"model": "chaos", "max_tokens": 64, "stream": self.stream,
            "messages": [{"role": "user", "content": "Say hello! ".repeat(110)}]});
        if self.stream && self.usage {
            body["stream_options"] = json!({"include_usage": true});
        }
        let request = Request::post(format!("{}/v1/chat/completions", self.url))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.key))
            .body(Full::from(body.to_string()))
            .unwrap();
        let Ok(response) = self.client.send(request, Duration::from_secs(60)).await else {
            return Outcome::Cut;
        };
        let status = response.status().as_u16();
        let request_id = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let mut body = response.into_body();
        let mut text = Vec::new();
        let mut whole = false;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { break };
            if let Ok(data) = frame.into_data() {
                text.extend_from_slice(&data);
            }
            // A client of streams goes by the end mark, whatever becomes of the connection.
            whole = self.stream && text.ends_with(b"data: [DONE]\n\n");
            if whole {
                break;
            }
        }
        let text = String::from_utf8(text).unwrap();
        if status != 200 {
            return refusal(status, &text);
        }
        if self.stream {
            return match whole {
                true => Outcome::Full {
                    request_id,
                    number: streamed_number(&text),
                },
                false => Outcome::Cut,
            };
        }
        // The length was sent before, so a reply that is JSON is one that is whole.
        match serde_json::from_str::<Value>(&text) {
            Ok(reply) => Outcome::Full {
                request_id,
                number: number(&reply["usage"]),
            },
            Err(_) => Outcome::Cut,
        }
    }
}

fn refusal(status: u16, text: &str) -> Outcome {
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return Outcome::Cut;
    };
    let code = body["error"]["code"].as_str().unwrap_or_default();
    // 503 only while the server stops or cannot write its books.
    let known = HashSet::from([(403, "budget_exceeded"), (503, "unavailable")]);
    assert!(known.contains(&(status, code)), "{status}: {body}");
    Outcome::Refused {
        status,
        sentence: body["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn streamed_number(text: &str) -> Option<Number> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .find_map(|event| number(&event["usage"]))
}

fn number(usage: &Value) -> Option<Number> {
    Some(Number::of(
        usage["prompt_tokens"].as_u64()?,
        usage["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap_or(0),
        usage["completion_tokens"].as_u64()?,
    ))
}
