//! A closed-loop load generator: N connections, each sending its next request when the last is answered.
//!
//! `load --address 127.0.0.1:8080 --path /v1/chat/completions --connections 32 --seconds 5 --body-file F
//! [--key sk-…]` prints one line of JSON. Only loopback addresses are accepted, so that a misspelt
//! address cannot become an attack on somebody.

// A program that measures wall-clock time and prints its result.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench::arguments::Arguments;
use bench::histogram::Histogram;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const MAX_CONNECTIONS: usize = 1024;
const MAX_SECONDS: u64 = 600;
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

struct Plan {
    address: SocketAddr,
    path: String,
    authorization: Option<String>,
    body: Bytes,
    end: Instant,
}

#[derive(Default)]
struct Outcome {
    total: Histogram,
    first_byte: Histogram,
    errors: u64,
    first_error: Option<String>,
    bytes: u64,
}

// One thread: a second one would take the core that the measured server needs.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::read(&[
        "address",
        "path",
        "connections",
        "seconds",
        "body-file",
        "key",
    ])?;
    let address: SocketAddr = arguments
        .required("address")?
        .parse()
        .context("`--address` is no IP address with a port")?;
    if !address.ip().is_loopback() {
        bail!("only loopback addresses are measured");
    }
    let connections: usize = arguments.number("connections", 1)?;
    let seconds: u64 = arguments.number("seconds", 5)?;
    if connections == 0 || connections > MAX_CONNECTIONS || seconds == 0 || seconds > MAX_SECONDS {
        bail!("connections must be 1 to {MAX_CONNECTIONS}, seconds 1 to {MAX_SECONDS}");
    }
    let body = std::fs::read(arguments.required("body-file")?).context("reading the body")?;

    let start = Instant::now();
    let plan = std::sync::Arc::new(Plan {
        address,
        path: arguments
            .text("path")
            .unwrap_or("/v1/chat/completions")
            .to_owned(),
        authorization: arguments.text("key").map(|key| format!("Bearer {key}")),
        body: Bytes::from(body),
        end: start + Duration::from_secs(seconds),
    });
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let plan = std::sync::Arc::clone(&plan);
        workers.spawn(async move { work(&plan).await });
    }
    let mut sum = Outcome::default();
    while let Some(outcome) = workers.join_next().await {
        let outcome = outcome.context("a connection's task ended early")?;
        sum.total.merge(&outcome.total);
        sum.first_byte.merge(&outcome.first_byte);
        sum.errors += outcome.errors;
        sum.bytes += outcome.bytes;
        sum.first_error = sum.first_error.or(outcome.first_error);
    }
    print_result(&sum, start.elapsed());
    Ok(())
}

async fn work(plan: &Plan) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection = None;
    while Instant::now() < plan.end {
        let result = tokio::time::timeout(
            REQUEST_LIMIT,
            one_request(plan, &mut connection, &mut outcome),
        )
        .await;
        let error = match result {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer within {} s", REQUEST_LIMIT.as_secs()),
        };
        outcome.errors += 1;
        outcome.first_error.get_or_insert(error);
        connection = None;
        // A refusing server must not be hammered with new connections.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    outcome
}

async fn one_request(
    plan: &Plan,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    outcome: &mut Outcome,
) -> Result<()> {
    let sender = match connection {
        Some(sender) => sender,
        None => connection.insert(connect(plan.address).await?),
    };
    sender.ready().await.context("the connection was closed")?;
    let mut request = Request::post(plan.path.as_str())
        .header(HOST, plan.address.to_string())
        .header(CONTENT_TYPE, "application/json");
    if let Some(authorization) = &plan.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.body(Full::new(plan.body.clone()))?;

    let start = Instant::now();
    let response = sender.send_request(request).await?;
    let status = response.status();
    let mut body = response.into_body();
    let mut first_byte = None;
    let mut length = 0u64;
    let mut refusal = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        first_byte.get_or_insert_with(|| start.elapsed());
        length += u64::try_from(data.len()).unwrap_or(0);
        if status != StatusCode::OK && refusal.len() < 500 {
            refusal.extend_from_slice(&data);
        }
    }
    if status != StatusCode::OK {
        bail!("status {status}: {}", String::from_utf8_lossy(&refusal));
    }
    outcome.total.record(start.elapsed());
    outcome
        .first_byte
        .record(first_byte.context("the answer was empty")?);
    outcome.bytes += length;
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with the connection, which ends when the sender is dropped.
    tokio::spawn(connection);
    Ok(sender)
}

fn print_result(sum: &Outcome, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    let requests = sum.total.count();
    let micros =
        |histogram: &Histogram, per_mille| histogram.percentile(per_mille).as_secs_f64() * 1e6;
    // `Debug` of a string escapes what JSON wants escaped for the plain text that errors are.
    let error = sum
        .first_error
        .as_deref()
        .map_or("null".to_owned(), |text| {
            format!(
                "{:?}",
                text.replace(|c: char| !c.is_ascii() || c.is_ascii_control(), " ")
            )
        });
    println!(
        "{{\"requests\":{requests},\"errors\":{},\"first_error\":{error},\"seconds\":{seconds:.3},\"requests_per_second\":{:.1},\"bytes\":{},\
         \"p50_us\":{:.1},\"p99_us\":{:.1},\"first_byte_p50_us\":{:.1},\"first_byte_p99_us\":{:.1}}}",
        sum.errors,
        f64::from(u32::try_from(requests).unwrap_or(u32::MAX)) / seconds,
        sum.bytes,
        micros(&sum.total, 500),
        micros(&sum.total, 990),
        micros(&sum.first_byte, 500),
        micros(&sum.first_byte, 990),
    );
}
