//! Many streams at once at the pace of a model, each compared byte by byte with what was sent.
//!
//! `streams --address 127.0.0.1:8080 --path /v1/chat/completions --model M --streams 1000 --words 400
//! --seconds 12 [--key sk-…] [--watch PID]` opens one stream after the other until all stand, keeps that
//! many standing for so many seconds (one that ends is begun anew), lets them run out and prints one line of
//! JSON. Starts are spread evenly over the length of a stream, and so are ends and new starts: there is never
//! a burst of them. What is measured is measured while all stand.

// A program that measures wall-clock time and prints its result.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::arguments::Arguments;
use bench::client::{Target, json_text};
use bench::histogram::Histogram;
use bench::paced::{INTERVAL, MAX_WORDS, Script};
use bench::watched::Watched;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::task::LocalSet;

const MAX_STREAMS: u32 = 10_000;
const MAX_SECONDS: u64 = 120;
/// Beyond the length of a stream, until it counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
const SAMPLE: Duration = Duration::from_millis(500);

struct Plan {
    target: Target,
    model: String,
    streams: u32,
    words: u32,
    /// When the last stream has begun, and when no stream is begun anew any more.
    all_stand: Instant,
    end: Instant,
}

#[derive(Default)]
struct Outcome {
    begun: Cell<u32>,
    clean: Cell<u32>,
    events: Cell<u64>,
    /// Streams between their first word and their end.
    standing: Cell<u32>,
    measured: RefCell<Measured>,
    first_error: RefCell<Option<String>>,
}

#[derive(Default)]
struct Measured {
    first_word: Histogram,
    gap: Histogram,
}

/// The watched process and the number of streams while all are said to stand.
#[derive(Default)]
struct Samples {
    least_standing: Option<u32>,
    resident_kb: Vec<u64>,
    cpu: Duration,
    events: u64,
    seconds: f64,
}

// One thread: a second one would take the core that the measured server needs.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::read(&[
        "address", "path", "key", "model", "streams", "words", "seconds", "watch",
    ])?;
    let target = Target::new(
        arguments.required("address")?,
        arguments.required("path")?,
        arguments.text("key"),
    )?;
    let streams: u32 = arguments.number("streams", 1000)?;
    let words: u32 = arguments.number("words", 400)?;
    let seconds: u64 = arguments.number("seconds", 12)?;
    if !(1..=MAX_STREAMS).contains(&streams)
        || !(2..=MAX_WORDS).contains(&words)
        || !(1..=MAX_SECONDS).contains(&seconds)
    {
        bail!(
            "streams must be 1 to {MAX_STREAMS}, words 2 to {MAX_WORDS}, seconds 1 to {MAX_SECONDS}"
        );
    }
    let watched = match arguments.text("watch") {
        Some(pid) => Some(Watched::new(pid.parse().context("`--watch` is no number")?)),
        None => None,
    };
    let at_rest = watched.as_ref().map(Watched::resident_kb).transpose()?;

    let length = INTERVAL * words;
    let all_stand = Instant::now() + length + Duration::from_secs(1);
    let plan = Rc::new(Plan {
        target,
        model: arguments.required("model")?.to_owned(),
        streams,
        words,
        all_stand,
        end: all_stand + Duration::from_secs(seconds),
    });
    let outcome = Rc::new(Outcome::default());
    let local = LocalSet::new();
    for slot in 0..streams {
        let (plan, outcome) = (Rc::clone(&plan), Rc::clone(&outcome));
        local.spawn_local(async move { work(slot, &plan, &outcome).await });
    }
    let samples = local
        .run_until(sample(&plan, &outcome, watched.as_ref()))
        .await?;
    let limit = length + PATIENCE;
    if tokio::time::timeout(limit, local).await.is_err() {
        bail!(
            "streams still run {} s after the last began",
            limit.as_secs()
        );
    }
    print_result(&plan, &outcome, &samples, at_rest);
    Ok(())
}

/// One stream after the other in one place.
async fn work(slot: u32, plan: &Plan, outcome: &Outcome) {
    // One every so many milliseconds, and all 20 ms between two words are used alike.
    let start = INTERVAL * plan.words * slot / plan.streams + INTERVAL * slot / plan.streams;
    tokio::time::sleep(start).await;
    let mut connection = None;
    let mut turn = 0;
    while Instant::now() < plan.end {
        let script = Script {
            number: slot + turn * plan.streams,
            words: plan.words,
        };
        turn += 1;
        outcome.begun.set(outcome.begun.get() + 1);
        let limit = script.duration() + PATIENCE;
        let result =
            tokio::time::timeout(limit, one_stream(script, plan, &mut connection, outcome)).await;
        let error = match result {
            Ok(Ok(())) => {
                outcome.clean.set(outcome.clean.get() + 1);
                continue;
            }
            Ok(Err(error)) => format!("stream {}: {error:#}", script.number),
            Err(_) => format!("stream {} did not end in time", script.number),
        };
        outcome.first_error.borrow_mut().get_or_insert(error);
        connection = None;
        // A refusing server must not be hammered with new connections.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Counts a stream as standing as long as it lives.
struct Standing<'a>(&'a Cell<u32>);

impl<'a> Standing<'a> {
    fn new(count: &'a Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn one_stream(
    script: Script,
    plan: &Plan,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    outcome: &Outcome,
) -> Result<()> {
    let sender = match connection {
        Some(sender) => sender,
        None => connection.insert(plan.target.connect().await?),
    };
    sender.ready().await.context("the connection was closed")?;
    let request = plan.target.request(script.request(&plan.model))?;
    let start = Instant::now();
    let response = sender.send_request(request).await?;
    let status = response.status();
    let mut body = response.into_body();
    if status != StatusCode::OK {
        let refusal = body.collect().await?.to_bytes();
        let refusal = &refusal[..refusal.len().min(500)];
        bail!("status {status}: {}", String::from_utf8_lossy(refusal));
    }
    let mut reader = EventReader::new(script);
    let mut last = None;
    let mut standing = None;
    while let Some(data) = next_data(&mut body).await? {
        let arrived = reader.take(&data)?;
        if arrived == 0 {
            continue;
        }
        let now = Instant::now();
        let measures = start >= plan.all_stand && now < plan.end;
        outcome
            .events
            .set(outcome.events.get() + u64::from(arrived));
        match last.replace(now) {
            None => {
                standing = Some(Standing::new(&outcome.standing));
                if measures {
                    let waited = now - start;
                    outcome.measured.borrow_mut().first_word.record(waited);
                }
            }
            // What ends a stream comes with its last word.
            Some(before) if reader.events_read <= script.words => {
                if before >= plan.all_stand && now < plan.end {
                    outcome.measured.borrow_mut().gap.record(now - before);
                }
            }
            Some(_) => {}
        }
    }
    drop(standing);
    reader.end()
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Compares what arrives with what must arrive: every event, in order, whole, and nothing else.
struct EventReader {
    script: Script,
    /// Events that arrived in full.
    events_read: u32,
    /// What is left of the one that is to arrive next.
    expected: Bytes,
}

impl EventReader {
    fn new(script: Script) -> Self {
        Self {
            script,
            events_read: 0,
            expected: script.event(0).unwrap_or_default(),
        }
    }

    /// Takes bytes; returns how many events they completed.
    fn take(&mut self, mut data: &[u8]) -> Result<u32> {
        let before = self.events_read;
        while !data.is_empty() {
            let common = data.len().min(self.expected.len());
            ensure!(common > 0, "something came after the end mark");
            ensure!(
                data[..common] == self.expected[..common],
                "event {} is not what was sent: {:?} instead of {:?}",
                self.events_read,
                String::from_utf8_lossy(&data[..common]),
                self.expected
            );
            data = &data[common..];
            self.expected = self.expected.slice(common..);
            if self.expected.is_empty() {
                self.events_read += 1;
                self.expected = self.script.event(self.events_read).unwrap_or_default();
            }
        }
        Ok(self.events_read - before)
    }

    fn end(&self) -> Result<()> {
        ensure!(
            self.script.event(self.events_read).is_none(),
            "it ended after {} events",
            self.events_read
        );
        Ok(())
    }
}

async fn sample(plan: &Plan, outcome: &Outcome, watched: Option<&Watched>) -> Result<Samples> {
    tokio::time::sleep_until(plan.all_stand.into()).await;
    let mut samples = Samples::default();
    let cpu = || watched.map(Watched::cpu).transpose();
    let (began, events, used) = (Instant::now(), outcome.events.get(), cpu()?);
    while Instant::now() + SAMPLE < plan.end {
        tokio::time::sleep(SAMPLE).await;
        let standing = outcome.standing.get();
        samples.least_standing = Some(samples.least_standing.map_or(standing, |l| l.min(standing)));
        if let Some(watched) = watched {
            samples.resident_kb.push(watched.resident_kb()?);
        }
    }
    samples.seconds = began.elapsed().as_secs_f64();
    samples.events = outcome.events.get() - events;
    samples.cpu = cpu()?.unwrap_or_default() - used.unwrap_or_default();
    Ok(samples)
}

fn print_result(plan: &Plan, outcome: &Outcome, samples: &Samples, at_rest: Option<u64>) {
    let error = outcome.first_error.borrow();
    let error = error.as_deref().map_or("null".to_owned(), json_text);
    let number = |number: Option<u64>| number.map_or("null".to_owned(), |n| n.to_string());
    let measured = outcome.measured.borrow();
    let micros =
        |histogram: &Histogram, per_mille| histogram.percentile(per_mille).as_secs_f64() * 1e6;
    println!(
        "{{\"streams\":{},\"begun\":{},\"clean\":{},\"first_error\":{error},\"least_standing\":{},\"first_words\":{},\
         \"first_word_p50_us\":{:.1},\"first_word_p99_us\":{:.1},\"gaps\":{},\"gap_p50_us\":{:.1},\"gap_p99_us\":{:.1},\
         \"seconds\":{:.3},\"events\":{},\"cpu_ms\":{},\"rest_kb\":{},\"standing_kb\":{}}}",
        plan.streams,
        outcome.begun.get(),
        outcome.clean.get(),
        samples.least_standing.unwrap_or(0),
        measured.first_word.count(),
        micros(&measured.first_word, 500),
        micros(&measured.first_word, 990),
        measured.gap.count(),
        micros(&measured.gap, 500),
        micros(&measured.gap, 990),
        samples.seconds,
        samples.events,
        samples.cpu.as_millis(),
        number(at_rest),
        number(samples.resident_kb.iter().copied().max()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Script = Script {
        number: 5,
        words: 2,
    };

    fn whole() -> Vec<u8> {
        (0..)
            .map_while(|nth| SCRIPT.event(nth))
            .flat_map(|event| event.to_vec())
            .collect()
    }

    fn read(pieces: &[&[u8]]) -> Result<()> {
        let mut reader = EventReader::new(SCRIPT);
        for piece in pieces {
            reader.take(piece)?;
        }
        reader.end()
    }

    #[test]
    fn a_whole_stream_is_clean_in_whatever_pieces() {
        let whole = whole();
        read(&[&whole]).expect("in one piece");
        let pieces: Vec<&[u8]> = whole.chunks(7).collect();
        read(&pieces).expect("in small pieces");
    }

    #[test]
    fn a_missing_a_doubled_a_changed_and_a_cut_event_are_not() {
        let whole = whole();
        let first = SCRIPT.event(0).expect("an event").len();
        let mut changed = whole.clone();
        changed[20] ^= 1;
        assert!(read(&[&whole[first..]]).is_err());
        assert!(read(&[&whole[..first], &whole]).is_err());
        assert!(read(&[&changed]).is_err());
        assert!(read(&[&whole[..whole.len() - 1]]).is_err());
        assert!(read(&[&whole[..whole.len() - 14]]).is_err(), "no end mark");
        assert!(read(&[&whole, b": more\n\n"]).is_err());
    }
}
