//! Forms with files.

use std::convert::Infallible;

use bytes::Bytes;
use cf_llm::{Form, Task, TaskRequest, Wishes};
use futures_util::{FutureExt as _, stream};
use http::header;

use crate::draw::Draw;
use crate::places::Somewhere;
use crate::requests::refused;
use crate::shape;

/// Largest form that is read.
const MOST: usize = 64 << 10;

/// A form is the same in whichever pieces it comes, and what is sent on of it is a
/// form that can be read.
pub fn form(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let kind = draw.one_of(&[
        "multipart/form-data; boundary=b",
        "multipart/form-data; boundary=\"a b\"",
        "multipart/form-data",
        "multipart/form-data; boundary=0123456789012345678901234567890123456789012345678901234567890123456789",
    ]);
    let task = draw.one_of(&[Task::Transcription, Task::Translation, Task::ImageEdits]);
    let somewhere = Somewhere::for_tasks(&mut draw);
    let body = if draw.seldom(8) {
        draw.rest().to_vec()
    } else {
        parts(&mut draw, kind)
    };
    let whole = read(kind, &[&body]);
    let cut = read(kind, &draw.cut(&body));
    assert_eq!(format!("{cut:?}"), format!("{whole:?}"));
    let form = match whole {
        Ok(form) => form,
        Err(error) => return refused(&error),
    };
    let request = match TaskRequest::form(task, form) {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    let place = somewhere.place();
    let _ = request.bound(&place, Some(1000), Some(1000));
    match request.plan(&place, &Wishes::default()) {
        Err(error) => refused(&error),
        Ok(plan) => {
            for call in &plan.calls {
                shape::bounded(call.body.len(), body.len());
                let kind = call.headers.get(header::CONTENT_TYPE);
                let kind = kind
                    .and_then(|kind| kind.to_str().ok())
                    .expect("a content type");
                if kind.starts_with("multipart/") {
                    let sent = read(kind, &[&call.body]).expect("a form is sent on");
                    TaskRequest::form(task, sent).expect("and it asks for the same");
                } else {
                    shape::json(&call.body);
                }
            }
        }
    }
}

fn read(kind: &str, pieces: &[&[u8]]) -> cf_base::Result<Form> {
    let pieces: Vec<_> = pieces
        .iter()
        .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
        .collect();
    Form::read(kind, stream::iter(pieces), MOST)
        .now_or_never()
        .expect("all of it is there")
}

/// A form with the fields that are read, and others, spoilt here and there.
fn parts(draw: &mut Draw<'_>, kind: &str) -> Vec<u8> {
    const FIELDS: [(&str, &[&str]); 10] = [
        ("model", &["m", "", "x y"]),
        ("prompt", &["A cat", "", "Größe"]),
        ("response_format", &["json", "verbose_json", "text", "srt"]),
        ("language", &["de", "xx"]),
        ("stream", &["true", "false", "1", "maybe"]),
        ("n", &["1", "2", "-1", "99999999999999999999"]),
        ("size", &["1024x1024", "auto", "0x0"]),
        ("temperature", &["0", "x"]),
        ("drop_params", &["true"]),
        ("Model", &["m"]),
    ];
    let boundary = kind.split("boundary=").nth(1).unwrap_or("b");
    let boundary = boundary.trim_matches('"');
    let mut body = Vec::new();
    let part = |body: &mut Vec<u8>, head: &str, data: &[u8]| {
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: {head}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    };
    if !draw.seldom(8) {
        part(&mut body, "form-data; name=\"model\"", b"m");
    }
    for _ in 0..draw.byte() % 5 {
        let (name, values) = draw.one_of(&FIELDS);
        let head = format!("form-data; name=\"{name}\"");
        let value = draw.one_of(values);
        part(&mut body, &head, value.as_bytes());
    }
    for _ in 0..draw.byte() % 3 {
        let name = draw.one_of(&["file", "image", "image[]", "mask"]);
        let file = draw.one_of(&["a.wav", "ü.png", "a\\\"b", ""]);
        let head =
            format!("form-data; name=\"{name}\"; filename=\"{file}\"\r\nContent-Type: audio/wav");
        let data = draw.some().to_vec();
        part(&mut body, &head, &data);
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    for _ in 0..draw.byte() % 3 {
        // Once in a while at any byte.
        if draw.seldom(4) {
            let at = draw.below(body.len());
            body[at] = draw.byte();
        }
    }
    body
}
