//! A provider that follows a script: answers, streams, stalls and resets as
//! told, and keeps what it was sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One step of a reply's body.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send these bytes as one chunk.
    Send(Bytes),
    /// Wait.
    Wait(Duration),
    /// Cut the connection.
    Reset,
    /// Send nothing more and keep the connection open.
    Stall,
}

/// A scripted reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body, step by step.
    pub steps: Vec<Step>,
    /// How long to wait before the headers.
    pub delay: Duration,
}

impl Reply {
    /// A JSON reply.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".into())],
            steps: vec![Step::Send(Bytes::from(body.into()))],
            delay: Duration::ZERO,
        }
    }

    /// A stream of server-sent events, one step each.
    pub fn stream(steps: Vec<Step>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "text/event-stream".into())],
            steps,
            delay: Duration::ZERO,
        }
    }

    /// A stream in AWS's framing: kinds of events and their payloads. A kind that
    /// ends in `Exception` is sent as one.
    pub fn aws_stream(events: &[(&str, serde_json::Value)]) -> Self {
        let steps = events
            .iter()
            .map(|(kind, payload)| Step::Send(aws_message(kind, payload.to_string().as_bytes())))
            .collect();
        Self {
            headers: vec![("content-type", "application/vnd.amazon.eventstream".into())],
            ..Self::stream(steps)
        }
    }

    /// Waits before answering.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// A chat completion with these token counts.
    pub fn chat(text: &str, prompt: u64, completion: u64) -> Self {
        Self::chat_cached(text, prompt, 0, completion)
    }

    /// The same with `cached` tokens among those of the prompt.
    pub fn chat_cached(text: &str, prompt: u64, cached: u64, completion: u64) -> Self {
        Self::json(
            200,
            serde_json::json!({
                "id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000,
                "model": "mock-model",
                "choices": [{"index": 0, "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text}}],
                "usage": usage(prompt, cached, completion)
            })
            .to_string(),
        )
    }

    /// A streamed chat completion: a chunk for each word, a last one with usage.
    pub fn chat_stream(words: &[&str], prompt: u64, completion: u64) -> Self {
        Self::chat_stream_cached(words, prompt, 0, completion)
    }

    /// The same with `cached` tokens among those of the prompt.
    pub fn chat_stream_cached(words: &[&str], prompt: u64, cached: u64, completion: u64) -> Self {
        let event =
            |value: serde_json::Value| Step::Send(Bytes::from(format!("data: {value}\n\n")));
        let chunk = |delta: serde_json::Value, finish: Option<&str>| {
            serde_json::json!({
                "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000,
                "model": "mock-model",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]
            })
        };
        let mut steps: Vec<Step> = words
            .iter()
            .map(|word| event(chunk(serde_json::json!({"content": word}), None)))
            .collect();
        steps.push(event(chunk(serde_json::json!({}), Some("stop"))));
        steps.push(event(serde_json::json!({
            "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": "mock-model", "choices": [],
            "usage": usage(prompt, cached, completion)
        })));
        steps.push(Step::Send(Bytes::from_static(b"data: [DONE]\n\n")));
        Self::stream(steps)
    }
}

fn usage(prompt: u64, cached: u64, completion: u64) -> serde_json::Value {
    let mut usage = serde_json::json!({"prompt_tokens": prompt, "completion_tokens": completion,
        "total_tokens": prompt + completion});
    if cached > 0 {
        usage["prompt_tokens_details"] = serde_json::json!({"cached_tokens": cached});
    }
    usage
}

/// A message in AWS's framing.
pub fn aws_message(kind: &str, payload: &[u8]) -> Bytes {
    let (message_type, name) = if kind.ends_with("Exception") {
        ("exception", ":exception-type")
    } else {
        ("event", ":event-type")
    };
    let mut head = Vec::new();
    for (name, value) in [(":message-type", message_type), (name, kind)] {
        head.push(u8::try_from(name.len()).expect("a short name"));
        head.extend(name.as_bytes());
        head.push(7);
        head.extend(
            u16::try_from(value.len())
                .expect("a short value")
                .to_be_bytes(),
        );
        head.extend(value.as_bytes());
    }
    let length = |n: usize| u32::try_from(n).expect("a small message").to_be_bytes();
    let mut out = Vec::new();
    out.extend(length(16 + head.len() + payload.len()));
    out.extend(length(head.len()));
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend(head);
    out.extend(payload);
    out.extend(crc32fast::hash(&out).to_be_bytes());
    Bytes::from(out)
}

/// What the upstream was sent.
#[derive(Clone, Debug)]
pub struct Received {
    /// Path and query.
    pub path: String,
    /// Headers, lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Received {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the gateway sends JSON")
    }
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    otherwise: Option<Reply>,
    received: Vec<Received>,
    cancelled: usize,
}

/// A provider on a free loopback port.
pub struct MockUpstream {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    accepting: JoinHandle<()>,
}

impl MockUpstream {
    /// Starts an upstream that gives `otherwise` whenever no reply was queued.
    #[allow(clippy::disallowed_methods)] // aborted when dropped
    pub async fn start(otherwise: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let script = Arc::new(Mutex::new(Script {
            otherwise: Some(otherwise),
            ..Script::default()
        }));
        let accepting = tokio::spawn(serve(listener, {
            let script = Arc::clone(&script);
            move |request| answer(Arc::clone(&script), request)
        }));
        Self {
            address,
            script,
            accepting,
        }
    }

    /// The base address, such as `http://127.0.0.1:4711/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Queues a reply for the next request.
    pub fn next(&self, reply: Reply) {
        self.script.lock().replies.push_back(reply);
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.script.lock().received.clone()
    }

    /// Streams whose reader went away before the script's end.
    pub fn cancelled(&self) -> usize {
        self.script.lock().cancelled
    }
}

impl Drop for MockUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers every request on every connection with `answer`.
#[allow(clippy::disallowed_methods)] // connections end with their clients
pub(crate) async fn serve<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<ScriptedBody>, Infallible>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let service = hyper::service::service_fn(answer.clone());
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

pub(crate) type ScriptedBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

async fn answer(
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> Result<Response<ScriptedBody>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned())
        .unwrap_or_default();
    let reply = {
        let mut script = script.lock();
        script.received.push(Received {
            path: head
                .uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            headers: head
                .headers
                .iter()
                .map(|(n, v)| {
                    (
                        n.to_string(),
                        String::from_utf8_lossy(v.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            body,
        });
        script
            .replies
            .pop_front()
            .or_else(|| script.otherwise.clone())
            .expect("an upstream has a reply")
    };
    Ok(respond(reply, move |to_the_end| {
        if !to_the_end {
            script.lock().cancelled += 1;
        }
    })
    .await)
}

/// Plays a reply; `ended` is told whether its reader took all of it.
pub(crate) async fn respond(
    reply: Reply,
    ended: impl FnOnce(bool) + Send + 'static,
) -> Response<ScriptedBody> {
    tokio::time::sleep(reply.delay).await;
    let (sender, receiver) = mpsc::channel(1);
    #[allow(clippy::disallowed_methods)] // ends when the reader goes
    tokio::spawn(async move { ended(play(reply.steps, sender).await) });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("a valid status");
    for (name, value) in reply.headers {
        response
            .headers_mut()
            .insert(name, value.parse().expect("a scripted header is valid"));
    }
    response
}

/// Whether the reader stayed to the end.
async fn play(
    steps: Vec<Step>,
    sender: mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>,
) -> bool {
    for step in steps {
        let sent = match step {
            Step::Send(bytes) => sender.send(Ok(Frame::data(bytes))).await,
            Step::Wait(time) => {
                tokio::select! {
                    () = tokio::time::sleep(time) => Ok(()),
                    () = sender.closed() => return false,
                }
            }
            Step::Reset => {
                sender
                    .send(Err(std::io::ErrorKind::ConnectionReset.into()))
                    .await
            }
            Step::Stall => {
                sender.closed().await;
                return false;
            }
        };
        if sent.is_err() {
            return false;
        }
    }
    true
}
