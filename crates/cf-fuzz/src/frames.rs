//! Server-sent events and AWS's event stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cf_llm::{Dialect, SseDecoder, SseEvent};
use serde_json::Value;

use crate::draw::Draw;
use crate::examples;
use crate::places::Somewhere;
use crate::streams;

/// Events are the same in any pieces, and no byte of them is lost.
pub fn sse(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let ends: [&[u8]; 4] = [b"\n", b"\r\n", b"\r", b"\n\n"];
    let mut body = Vec::new();
    let mut order = Draw::new(draw.some());
    let text = draw.rest();
    // Line ends and fields are put in, as chance seldom writes them.
    for piece in text.chunks(8) {
        body.extend_from_slice(order.one_of(&[
            b"" as &[u8],
            b"data:",
            b"data: ",
            b"event: ",
            b": ",
        ]));
        body.extend_from_slice(piece);
        body.extend_from_slice(order.one_of(&ends));
    }
    let mut cuts = Draw::new(text);
    let whole = decoded(&[&body]);
    let raw: Vec<u8> = whole.iter().flat_map(|event| event.raw.to_vec()).collect();
    assert_eq!(raw, body, "no byte is lost");
    assert_eq!(decoded(&cuts.cut(&body)), whole);
}

fn decoded(pieces: &[&[u8]]) -> Vec<SseEvent> {
    let mut decoder = SseDecoder::default();
    let mut events = Vec::new();
    for piece in pieces {
        let pushed = decoder.push(Bytes::copy_from_slice(piece));
        pushed.expect("no event is large");
        while let Some(event) = decoder.next_event() {
            events.push(event);
        }
    }
    events.extend(decoder.rest());
    events
}

/// A stream in AWS's framing is the same in any pieces, sound or damaged.
pub fn event_stream(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let somewhere = Somewhere::at_bedrock(&mut draw);
    let client = draw.one_of(&examples::CLIENTS);
    let route = somewhere.place().route(client);
    if draw.seldom(8) {
        let noise = draw.rest();
        let pieces = Draw::new(noise).cut(noise);
        assert_eq!(
            streams::heard(&route, &pieces),
            streams::heard(&route, &[noise])
        );
        return;
    }
    let mut body = events_as_aws(&mut draw, somewhere.speaks(client));
    if draw.seldom(3) && !body.is_empty() {
        let at = draw.below(body.len());
        body[at] ^= 1 << (draw.byte() % 8);
    }
    let whole = streams::heard(&route, &[&body]);
    assert_eq!(streams::heard(&route, &draw.cut(&body)), whole);
}

/// A stream of messages: the sound one, spoilt here and there.
pub fn events_as_aws(draw: &mut Draw<'_>, upstream: Dialect) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, mut data) in examples::events(upstream) {
        if draw.seldom(3) {
            draw.spoil(&mut data);
        }
        let (name, payload) = if name.is_empty() {
            (
                "chunk",
                serde_json::json!({"bytes": STANDARD.encode(data.to_string())}),
            )
        } else {
            (name, data)
        };
        message(draw, name, &payload, &mut body);
    }
    body
}

/// A message in AWS's framing, now and then an exception or with headers of other types.
fn message(draw: &mut Draw<'_>, name: &str, payload: &Value, out: &mut Vec<u8>) {
    let payload = payload.to_string();
    let mut head = Vec::new();
    let is_exception = draw.seldom(32);
    let (kind, told) = match is_exception {
        true => ("exception", ":exception-type"),
        false => ("event", ":event-type"),
    };
    for (header, value) in [(":message-type", kind), (told, name)] {
        put_header(&mut head, header, 7, value.as_bytes());
    }
    if draw.seldom(8) {
        // One byte, eight, sixteen, and none.
        for (kind, size) in [(2_u8, 1), (5, 8), (9, 16), (0, 0)] {
            put_header(&mut head, "x", kind, &[7; 16][..size]);
        }
    }
    let length = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
    let begin = out.len();
    out.extend(length(16 + head.len() + payload.len()));
    out.extend(length(head.len()));
    out.extend(crc32fast::hash(&out[begin..]).to_be_bytes());
    out.extend(head);
    out.extend(payload.as_bytes());
    out.extend(crc32fast::hash(&out[begin..]).to_be_bytes());
}

fn put_header(head: &mut Vec<u8>, name: &str, kind: u8, value: &[u8]) {
    head.push(u8::try_from(name.len()).expect("a short name"));
    head.extend(name.as_bytes());
    head.push(kind);
    if kind == 7 {
        head.extend(
            u16::try_from(value.len())
                .expect("a short value")
                .to_be_bytes(),
        );
    }
    head.extend(value);
}
