//! A provider of OpenAI chat completions, plain and streamed, with fixed usage.
//!
//! `mock-upstream --port 9400` listens on the loopback interface only and runs until it is ended. Below
//! `/v1` it answers as fast as it can; below `/paced/v1` streams come at the pace of a model (`paced.rs`).

// A stand-alone program for measurements: it prints to its user and has no shutdown to track tasks for.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::{Context as _, Result};
use bench::arguments::Arguments;
use bench::paced::Script;
use bench::pacer::Pacer;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const REQUEST_LIMIT_BYTES: usize = 1024 * 1024;
const ACCEPT_BACKOFF: std::time::Duration = std::time::Duration::from_millis(10);
const STREAMED_WORDS: usize = 16;

const PLAIN: &str = r#"{"id":"chatcmpl-mock","object":"chat.completion","created":1760000000,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog and is home before the rain."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":16,"total_tokens":28}}"#;
const MODELS: &str = r#"{"object":"list","data":[{"id":"mock","object":"model","created":1760000000,"owned_by":"bench"}]}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::read(&["port"])?;
    let port: u16 = arguments.number("port", 9400)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .context("listening")?;
    println!("the mock upstream listens on 127.0.0.1:{port}");
    let pacer = Pacer::start().context("starting the pacer")?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let pacer = pacer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, pacer.clone()));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is not our concern: the load generator counts its own errors.
            let _ = connection.await;
        });
    }
}

async fn answer(request: Request<Incoming>, pacer: Pacer) -> Result<Response<Reply>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = Limited::new(request.into_body(), REQUEST_LIMIT_BYTES)
        .collect()
        .await;
    let Ok(body) = body.map(|body| body.to_bytes()) else {
        return Ok(respond(
            StatusCode::PAYLOAD_TOO_LARGE,
            "text/plain",
            Reply::whole("too large"),
        ));
    };
    Ok(match (method, path.as_str()) {
        (Method::GET, "/health") => respond(StatusCode::OK, "text/plain", Reply::whole("ok")),
        (Method::GET, "/v1/models") => {
            respond(StatusCode::OK, "application/json", Reply::whole(MODELS))
        }
        (Method::POST, "/v1/chat/completions") if wants_stream(&body) => {
            respond(StatusCode::OK, "text/event-stream", Reply::streamed())
        }
        (Method::POST, "/v1/chat/completions") => {
            respond(StatusCode::OK, "application/json", Reply::whole(PLAIN))
        }
        (Method::POST, "/paced/v1/chat/completions") => match Script::of_request(&body) {
            Some(script) => respond(
                StatusCode::OK,
                "text/event-stream",
                Reply::paced(script, pacer),
            ),
            None => respond(
                StatusCode::BAD_REQUEST,
                "text/plain",
                Reply::whole("no seed or max_tokens"),
            ),
        },
        _ => respond(
            StatusCode::NOT_FOUND,
            "text/plain",
            Reply::whole("not found"),
        ),
    })
}

/// Looks for the flag instead of parsing: the mock must stay far cheaper than what is measured.
fn wants_stream(body: &[u8]) -> bool {
    let flag = b"\"stream\":";
    let Some(at) = body.windows(flag.len()).position(|window| window == flag) else {
        return false;
    };
    body[at + flag.len()..]
        .trim_ascii_start()
        .starts_with(b"true")
}

fn respond(status: StatusCode, content_type: &'static str, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

enum Reply {
    Whole(Option<Bytes>),
    /// `rested` makes every event a packet of its own, as real models send them: between two events the
    /// body is pending for one turn, and the server flushes what it has.
    Streamed {
        next: usize,
        rested: bool,
    },
    Paced {
        script: Script,
        next: u32,
        began: Instant,
        pacer: Pacer,
    },
}

impl Reply {
    fn whole(text: &'static str) -> Self {
        Self::Whole(Some(Bytes::from_static(text.as_bytes())))
    }

    fn streamed() -> Self {
        Self::Streamed {
            next: 0,
            rested: true,
        }
    }

    fn paced(script: Script, pacer: Pacer) -> Self {
        Self::Paced {
            script,
            next: 0,
            began: Instant::now(),
            pacer,
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Reply::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Reply::Streamed { next, rested } => {
                if !*rested {
                    *rested = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let frame = event(*next);
                *next += 1;
                *rested = false;
                Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
            }
            Reply::Paced {
                script,
                next,
                began,
                pacer,
            } => {
                let due = *began + script.due(*next);
                if Instant::now() < due {
                    pacer.wake_at(due, context.waker());
                    return Poll::Pending;
                }
                let frame = script.event(*next);
                *next += 1;
                Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Whole(Some(bytes)) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(0))
            }
            Reply::Whole(None) => SizeHint::with_exact(0),
            Reply::Streamed { .. } | Reply::Paced { .. } => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Reply::Whole(None))
    }
}

/// Words, then the end of the choice, then usage, then the end mark; nothing after that.
fn event(number: usize) -> Option<Bytes> {
    const WORD: &str = "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";
    const STOP: &str = "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const USAGE: &str = "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":16,\"total_tokens\":28}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";
    let text = match number.checked_sub(STREAMED_WORDS) {
        None => WORD,
        Some(0) => STOP,
        Some(1) => USAGE,
        Some(2) => DONE,
        Some(_) => return None,
    };
    Some(Bytes::from_static(text.as_bytes()))
}
