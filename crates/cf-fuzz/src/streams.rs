//! Streamed answers of every provider, for every client.

use bytes::Bytes;
use cf_base::Usage;
use cf_llm::{ChatStream, Dialect, Route, StreamFrame};

use crate::draw::Draw;
use crate::examples::{self, CLIENTS};
use crate::frames;
use crate::places::Somewhere;
use crate::replies::{SECRET, opening};
use crate::shape;

/// How a stream ended.
#[derive(PartialEq, Eq, Debug)]
enum End {
    Whole,
    Failed(Bytes),
    CutOff(String),
}

/// What a client was given, how that ended, and what was counted.
#[derive(PartialEq, Eq, Debug)]
pub struct Heard {
    out: Vec<u8>,
    end: End,
    usage: (Usage, bool),
    others: Vec<(String, Usage)>,
}

/// What is given to clients is the same in whichever pieces a stream comes, is in the
/// shape of their dialect, and ends once.
pub fn streams(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let client = draw.one_of(&CLIENTS);
    let somewhere = Somewhere::for_chats(&mut draw);
    let route = somewhere.place().route(client);
    let upstream = somewhere.speaks(client);
    let body = if draw.seldom(16) {
        draw.rest().to_vec()
    } else if somewhere.frames_as_aws() {
        frames::events_as_aws(&mut draw, upstream)
    } else {
        events(&mut draw, upstream)
    };
    let whole = heard(&route, &[&body]);
    assert_eq!(heard(&route, &draw.cut(&body)), whole);
    shape::usage(&whole.usage.0);
    for (_, usage) in &whole.others {
        shape::usage(usage);
    }
    shape::bounded(whole.out.len(), body.len());
    if route.is_same_dialect() {
        return;
    }
    match &whole.end {
        End::Whole => shape::stream(client, &whole.out),
        // Whatever was given, the error comes after whole events.
        End::Failed(_) | End::CutOff(_) => drop(shape::events(&whole.out)),
    }
}

/// The sound stream as server-sent events, spoilt here and there.
fn events(draw: &mut Draw<'_>, upstream: Dialect) -> Vec<u8> {
    let end = draw.one_of(&["\n", "\r\n", "\r"]);
    let mut body = Vec::new();
    for (name, mut data) in examples::events(upstream) {
        let times = match draw.byte() % 16 {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        if draw.seldom(3) {
            draw.spoil(&mut data);
        }
        let data = match &data {
            serde_json::Value::String(word) if word == "[DONE]" => word.clone(),
            other => other.to_string(),
        };
        for _ in 0..times {
            if !name.is_empty() {
                body.extend_from_slice(format!("event: {name}{end}").as_bytes());
            }
            body.extend_from_slice(format!("data: {data}{end}{end}").as_bytes());
        }
        if draw.seldom(16) {
            body.extend_from_slice(format!(": comment{end}{end}").as_bytes());
        }
    }
    if draw.seldom(4) {
        body.truncate(draw.below(body.len() + 1));
    }
    body
}

/// Listens to a stream that comes in these pieces.
pub fn heard(route: &Route, pieces: &[&[u8]]) -> Heard {
    let mut stream = route.stream(opening());
    let mut out = Vec::new();
    let mut end = None;
    for piece in pieces {
        if let Err(error) = stream.push(Bytes::copy_from_slice(piece)) {
            end = Some(End::CutOff(error.to_string()));
        }
        end = end.or_else(|| drain(&mut stream, &mut out));
        if end.is_some() {
            break;
        }
    }
    let end = end.unwrap_or_else(|| match stream.end() {
        StreamFrame::Failed(data) => End::Failed(data),
        StreamFrame::Done(bytes) => {
            out.extend_from_slice(&bytes);
            End::Whole
        }
        StreamFrame::Pass(_) => panic!("nothing comes after the end"),
    });
    let told = match &end {
        End::Whole => None,
        End::Failed(data) => Some(stream.failure_frame(data, SECRET)),
        End::CutOff(why) => Some(stream.error_frame(why, "upstream_error")),
    };
    if let Some(told) = told {
        shape::events(&told);
        assert!(!String::from_utf8_lossy(&told).contains(SECRET));
    }
    if let Some(kept) = stream.response() {
        shape::json(kept);
    }
    Heard {
        out,
        end,
        usage: stream.usage(),
        others: stream.other_models(),
    }
}

/// Takes all frames that are there; says if one of them was the last.
fn drain(stream: &mut ChatStream, out: &mut Vec<u8>) -> Option<End> {
    loop {
        match stream.next_frame() {
            Ok(None) => return None,
            Ok(Some(StreamFrame::Pass(bytes))) => out.extend_from_slice(&bytes),
            Ok(Some(StreamFrame::Done(bytes))) => {
                out.extend_from_slice(&bytes);
                return Some(End::Whole);
            }
            Ok(Some(StreamFrame::Failed(data))) => return Some(End::Failed(data)),
            Err(error) => return Some(End::CutOff(error.to_string())),
        }
    }
}
