//! Providers that speak Responses themselves: what they say passes as it is, is
//! counted, and kept from misleading the client where it repeats what we asked
//! (that nothing be stored there) instead of what the client did.

use bytes::Bytes;
use cf_base::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::echo::Echo;
use crate::counters::ResponsesCounter;
use crate::openai::usage::estimate;
use crate::stream::StreamFrame;
use crate::tokens::length;
use crate::wire::edits::{Edits, Fields};
use crate::wire::prompt::Text;
use crate::{Reply, SseEvent};

/// Listens to a stream.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    counter: ResponsesCounter,
    echo: std::sync::Arc<Echo>,
    delivered: u64,
    sequence: u64,
    last: Option<Bytes>,
}

#[derive(Deserialize)]
struct EventWire<'a> {
    // Some servers name the event after the data, or not at all.
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    sequence_number: Option<u64>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

impl Tap {
    pub fn new(echo: std::sync::Arc<Echo>) -> Self {
        Self {
            echo,
            ..Self::default()
        }
    }

    /// Takes an event.
    pub fn event(&mut self, event: &SseEvent) -> StreamFrame {
        let data = event.data.trim_ascii();
        let Ok(wire) = serde_json::from_slice::<EventWire<'_>>(data) else {
            // Not ours to judge: it is passed on, and counted by its length.
            self.delivered += length(data.len());
            return StreamFrame::Pass(event.raw.clone());
        };
        if let Some(number) = wire.sequence_number {
            self.sequence = number.saturating_add(1);
        }
        self.delivered += wire.delta.map_or(0, |delta| length(delta.get().len()));
        let Text(kind) = &wire.kind;
        match &**kind {
            "response.completed" | "response.incomplete" => {
                self.counter.event(data);
                let event = self.own(event, kind, wire.response);
                StreamFrame::Done(event)
            }
            "response.failed" => {
                self.counter.event(data);
                StreamFrame::Failed(event.data.clone())
            }
            "error" => StreamFrame::Failed(event.data.clone()),
            "response.created" | "response.in_progress" | "response.queued" => {
                StreamFrame::Pass(self.own(event, kind, wire.response))
            }
            _ => StreamFrame::Pass(event.raw.clone()),
        }
    }

    /// The response object that the stream ended with.
    pub fn response(&self) -> Option<&Bytes> {
        self.last.as_ref()
    }

    /// The number of the next event.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What was used so far, and whether that is an estimate.
    pub fn usage(&self, estimated_input: u64) -> (Usage, bool) {
        match self.counter.counted() {
            Some(counted) => (counted.usage, !counted.complete),
            None => (estimate(estimated_input, self.delivered), true),
        }
    }

    /// The event with the client's own words in it; as it came where they are.
    fn own(&mut self, event: &SseEvent, kind: &str, response: Option<&RawValue>) -> Bytes {
        let Some(response) = response else {
            return event.raw.clone();
        };
        let is_last = matches!(kind, "response.completed" | "response.incomplete");
        let whole = Bytes::copy_from_slice(response.get().as_bytes());
        let Some(owned) = own(&self.echo, &whole) else {
            if is_last {
                self.last = Some(whole);
            }
            return event.raw.clone();
        };
        let mut edits = Edits::new(&event.data);
        edits.replace(Some(response), &String::from_utf8_lossy(&owned));
        let data = edits.apply();
        if is_last {
            self.last = Some(owned);
        }
        let mut raw = Vec::with_capacity(data.len() + 64);
        raw.extend_from_slice(b"event: ");
        raw.extend_from_slice(kind.as_bytes());
        raw.extend_from_slice(b"\ndata: ");
        // On one line, whichever way it came.
        raw.extend(
            data.iter()
                .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }),
        );
        raw.extend_from_slice(b"\n\n");
        Bytes::from(raw)
    }
}

/// A response object that says what the client asked for; `None` where it does.
fn own(echo: &Echo, response: &Bytes) -> Option<Bytes> {
    let previous = echo.previous.as_deref().map(RawValue::get);
    if !echo.store && previous.is_none() {
        return None;
    }
    let Fields(fields) = serde_json::from_slice(response).ok()?;
    let mut edits = Edits::new(response);
    let mut changed = false;
    for (name, raw) in &fields {
        let own = match (&**name, previous) {
            ("store", _) if echo.store => "true",
            ("previous_response_id", Some(previous)) => previous,
            _ => continue,
        };
        changed |= raw.get() != own;
        edits.replace(Some(raw), own);
    }
    changed.then(|| edits.apply())
}

/// Looks at a whole reply: what it is and what it used, and the body for the
/// client.
pub(crate) fn whole(body: Bytes, echo: Option<&Echo>, estimated_input: u64) -> (Reply, Bytes) {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, default)]
        id: Option<Text<'a>>,
        #[serde(borrow, default)]
        status: Option<Text<'a>>,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
        #[serde(borrow, default)]
        output: Option<&'a RawValue>,
    }
    let Ok(wire) = serde_json::from_slice::<Wire<'_>>(&body) else {
        return (Reply::Unreadable, body);
    };
    let failed = wire
        .status
        .as_ref()
        .is_some_and(|Text(status)| status == "failed");
    let error = wire.error.is_some_and(|raw| raw.get() != "null");
    if failed || (error && wire.output.is_none()) {
        return (Reply::Failed, body);
    }
    let (Some(output), Some(_)) = (wire.output, wire.id) else {
        return (Reply::Unreadable, body);
    };
    let reply = match ResponsesCounter::body(&body) {
        Some(counted) => Reply::Completion(counted.usage, !counted.complete),
        None => {
            let used = estimate(estimated_input, length(output.get().len()));
            Reply::Completion(used, true)
        }
    };
    let owned = echo.and_then(|echo| own(echo, &body));
    (reply, owned.unwrap_or(body))
}

/// An error inside a stream that has begun.
pub(crate) fn error_frame(message: &str, code: &str, sequence: u64) -> Bytes {
    let body = serde_json::json!({
        "type": "error", "code": code, "message": message, "param": null,
        "sequence_number": sequence,
    });
    Bytes::from(format!("event: error\ndata: {body}\n\n"))
}

/// A provider's own last event, without our secret; `None` if it is something else.
pub(crate) fn failure_frame(data: &[u8], secret: &str) -> Option<Bytes> {
    let wire: EventWire<'_> = serde_json::from_slice(data).ok()?;
    let Text(kind) = &wire.kind;
    let speaks_responses = match &**kind {
        "response.failed" => wire.response.is_some(),
        // Anthropic's errors are of this type too.
        "error" => wire.sequence_number.is_some(),
        _ => false,
    };
    if !speaks_responses {
        return None;
    }
    let text = String::from_utf8_lossy(data).replace(['\n', '\r'], " ");
    let text = if secret.len() >= 8 {
        text.replace(secret, "•••")
    } else {
        text
    };
    Some(Bytes::from(format!("event: {kind}\ndata: {text}\n\n")))
}
