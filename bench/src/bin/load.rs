//! A closed-loop load generator: N connections, each sending its next request when the last is answered.
//!
//! `load --address 127.0.0.1:8080 --path /v1/chat/completions --connections 32 --seconds 5 --body-file F
//! [--key sk-…]` prints one line of JSON.

// A program that measures wall-clock time and prints its result.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench::arguments::Arguments;
use bench::client::{Target, json_text};
use bench::histogram::Histogram;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinSet;

const MAX_CONNECTIONS: usize = 1024;
const MAX_SECONDS: u64 = 600;
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

struct Plan {
    target: Target,
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
    let target = Target::new(
        arguments.required("address")?,
        arguments.text("path").unwrap_or("/v1/chat/completions"),
        arguments.text("key"),
    )?;
    let connections: usize = arguments.number("connections", 1)?;
    let seconds: u64 = arguments.number("seconds", 5)?;
    if connections == 0 || connections > MAX_CONNECTIONS || seconds == 0 || seconds > MAX_SECONDS {
        bail!("connections must be 1 to {MAX_CONNECTIONS}, seconds 1 to {MAX_SECONDS}");
    }
    let body = std::fs::read(arguments.required("body-file")?).context("reading the body")?;

    let start = Instant::now();
    let plan = std::sync::Arc::new(Plan {
        target,
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
        None => connection.insert(plan.target.connect().await?),
    };
    sender.ready().await.context("the connection was closed")?;
    let request = plan.target.request(plan.body.clone())?;

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

fn print_result(sum: &Outcome, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    let requests = sum.total.count();
    let micros =
        |histogram: &Histogram, per_mille| histogram.percentile(per_mille).as_secs_f64() * 1e6;
    let error = sum
        .first_error
        .as_deref()
        .map_or("null".to_owned(), json_text);
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
