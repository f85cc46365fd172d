//! A form with files (`multipart/form-data`) that is read as it comes and sent on:
//! parts stay as they came but for a few fields.

use bytes::Bytes;
use cf_base::{Error, Kind, Result};
use futures_util::Stream;
use http::{HeaderValue, header};
use multer::{Constraints, Multipart, SizeLimit, parse_boundary};

/// Parts of a form at most.
const MAX_PARTS: usize = 64;
/// Longest text field: a prompt of OpenAI's is at most 32,000 characters.
const MAX_TEXT: usize = 256 << 10;
/// Longest boundary, as RFC 2046 has it.
const MAX_BOUNDARY: usize = 70;

/// One part.
#[derive(Clone, Debug)]
pub struct Part {
    /// Name of the field.
    pub name: String,
    /// Its `Content-Disposition`, as it came.
    pub disposition: HeaderValue,
    /// Its `Content-Type`, where it has one.
    pub content_type: Option<HeaderValue>,
    /// Whether it has a file name.
    pub is_file: bool,
    /// Its content.
    pub data: Bytes,
}

/// A form that was read to its end.
#[derive(Clone, Debug)]
pub struct Form {
    /// What parts are separated by: it is in none of them.
    boundary: String,
    parts: Vec<Part>,
}

impl Form {
    /// Reads a body of this content type part by part, and no more than `most` bytes
    /// of it: more is [`Kind::TooLarge`], what is no form is a 400 that says why.
    pub async fn read<S, E>(content_type: &str, body: S, most: usize) -> Result<Self>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let boundary = parse_boundary(content_type)
            .ok()
            .filter(|boundary| is_boundary(boundary))
            .ok_or_else(|| {
                Error::invalid(
                    "The body must be multipart/form-data, with its boundary in the header.",
                )
            })?;
        let limit = SizeLimit::new().whole_stream(u64::try_from(most).unwrap_or(u64::MAX));
        let limits = Constraints::new().size_limit(limit);
        let unreadable = |error| unreadable(error, most);
        let mut parts = Multipart::with_constraints(body, boundary.clone(), limits);
        let mut form = Self::new(&boundary);
        while let Some(field) = parts.next_field().await.map_err(unreadable)? {
            let mut head = field.headers().clone();
            let disposition = head.remove(header::CONTENT_DISPOSITION);
            let (Some(name), Some(disposition)) = (field.name().map(str::to_owned), disposition)
            else {
                return Err(Error::invalid("A part of the form has no name."));
            };
            form.push(Part {
                name,
                disposition,
                content_type: head.remove(header::CONTENT_TYPE),
                is_file: field.file_name().is_some(),
                data: field.bytes().await.map_err(unreadable)?,
            })?;
        }
        Ok(form)
    }

    /// A form without parts; `boundary` is the client's.
    pub fn new(boundary: &str) -> Self {
        Self {
            boundary: boundary.to_owned(),
            parts: Vec::new(),
        }
    }

    /// Adds a part, within the limits.
    pub fn push(&mut self, part: Part) -> Result<()> {
        if self.parts.len() >= MAX_PARTS {
            return Err(Error::invalid(format!(
                "The form has more than {MAX_PARTS} parts."
            )));
        }
        if !part.is_file && part.data.len() > MAX_TEXT {
            return Err(Error::invalid(format!(
                "The form field \"{}\" is longer than {MAX_TEXT} bytes.",
                part.name
            )));
        }
        self.parts.push(part);
        Ok(())
    }

    /// Its fields as JSON; of files their sizes.
    pub(super) fn shown(&self) -> Bytes {
        let shown: Vec<serde_json::Value> = (self.parts.iter())
            .map(|part| match part.is_file {
                true => serde_json::json!({"name": part.name, "bytes": part.data.len()}),
                false => {
                    let text = String::from_utf8_lossy(&part.data);
                    serde_json::json!({"name": part.name, "text": text})
                }
            })
            .collect();
        Bytes::from(serde_json::Value::from(shown).to_string())
    }

    /// The parts of this name, also as a list (`image[]`).
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Part> {
        self.parts
            .iter()
            .filter(move |part| part.name == name || part.name.strip_suffix("[]") == Some(name))
    }

    /// A text field that is there once at most, and once only by any letter case.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>> {
        let mut found = self
            .parts
            .iter()
            .filter(|part| part.name.eq_ignore_ascii_case(name));
        let Some(part) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() || part.name != name {
            return Err(Error::invalid_field(
                name,
                format!("{name} stands in the form twice, or is not written like that."),
            ));
        }
        std::str::from_utf8(&part.data)
            .map(Some)
            .map_err(|_| Error::invalid_field(name, format!("{name} is not UTF-8.")))
    }

    /// A whole number, if it is there.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        text.trim()
            .parse()
            .map(Some)
            .map_err(|_| Error::invalid_field(name, format!("{name} must be a whole number.")))
    }

    /// True or false; false if it is not there.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool> {
        match self
            .text(name)?
            .map(|text| text.trim().to_ascii_lowercase())
        {
            None => Ok(false),
            Some(text) => match &*text {
                "true" | "1" => Ok(true),
                "false" | "0" | "" => Ok(false),
                _ => Err(Error::invalid_field(
                    name,
                    format!("{name} must be true or false."),
                )),
            },
        }
    }

    /// Whether there is such a part.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The form's content type.
    pub(super) fn content_type(&self) -> Option<HeaderValue> {
        // Not all that may stand in a boundary may stand there without quotes.
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b"-_.+'".contains(&b);
        let value = if self.boundary.bytes().all(is_word) {
            format!("multipart/form-data; boundary={}", self.boundary)
        } else {
            format!("multipart/form-data; boundary=\"{}\"", self.boundary)
        };
        HeaderValue::from_str(&value).ok()
    }

    /// The form as bytes, with these texts in place of those that came; `None` leaves
    /// a field out.
    pub(super) fn encode(&self, set: &[(&str, Option<&str>)]) -> Bytes {
        let size: usize = self.parts.iter().map(|p| p.data.len() + 300).sum();
        let mut out = Vec::with_capacity(size + 1024);
        let begin = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"--");
            out.extend_from_slice(self.boundary.as_bytes());
            out.extend_from_slice(b"\r\nContent-Disposition: ");
        };
        let mut left: Vec<_> = set.iter().filter(|(_, value)| value.is_some()).collect();
        for part in &self.parts {
            let replaced = set.iter().find(|(name, _)| *name == part.name);
            let data = match replaced {
                Some((_, None)) => continue,
                Some((name, Some(text))) => {
                    left.retain(|(n, _)| n != name);
                    text.as_bytes()
                }
                None => &part.data,
            };
            begin(&mut out);
            out.extend_from_slice(part.disposition.as_bytes());
            if let Some(kind) = &part.content_type {
                out.extend_from_slice(b"\r\nContent-Type: ");
                out.extend_from_slice(kind.as_bytes());
            }
            out.extend_from_slice(b"\r\n\r\n");
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
        }
        for (name, text) in left {
            begin(&mut out);
            out.extend_from_slice(format!("form-data; name=\"{name}\"\r\n\r\n").as_bytes());
            out.extend_from_slice(text.unwrap_or_default().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"--");
        out.extend_from_slice(self.boundary.as_bytes());
        out.extend_from_slice(b"--\r\n");
        Bytes::from(out)
    }
}

/// Whether parts may be separated by this, by RFC 2046.
fn is_boundary(boundary: &str) -> bool {
    let may_be = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    (1..=MAX_BOUNDARY).contains(&boundary.len())
        && boundary.bytes().all(may_be)
        && !boundary.ends_with(' ')
}

fn unreadable(error: multer::Error, most: usize) -> Error {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            Error::new(
                Kind::TooLarge,
                format!("The request body is larger than {} KiB.", most >> 10),
            )
        }
        multer::Error::StreamReadFailed(cause) => {
            Error::invalid("The request body could not be read.").because(cause)
        }
        other => Error::invalid(format!("The form cannot be read: {other}.")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt as _, stream};

    use super::*;

    const FORM: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\xc3\xbc.wav\"\r\n\
        Content-Type: audio/wav\r\n\r\n\r\n--c\x00\xff\r\n\r\n--b--\r\n";
    const KIND: &str = "multipart/form-data; boundary=b";

    /// What is read of a body that comes in these pieces, all of them at once.
    fn read(kind: &str, pieces: &[&[u8]]) -> Result<Form> {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
            .collect();
        Form::read(kind, stream::iter(pieces), 10_000)
            .now_or_never()
            .expect("it waits for nothing")
    }

    #[test]
    fn a_form_is_the_same_wherever_it_is_cut() {
        let whole = read(KIND, &[FORM]).expect("a form");
        let shown = format!("{whole:?}");
        assert!(shown.contains("r\\n--c\\0\\xff\\r\\n"), "{shown}");
        for cut in 0..=FORM.len() {
            let form = read(KIND, &[&FORM[..cut], &FORM[cut..]]).expect("a form");
            assert_eq!(format!("{form:?}"), shown, "cut at {cut}");
        }
    }

    #[test]
    fn a_form_that_ends_early_is_refused_wherever_it_ends() {
        // Its last line break may be missing.
        for end in 0..FORM.len() - 2 {
            assert!(read(KIND, &[&FORM[..end]]).is_err(), "ends at {end}");
        }
    }

    #[test]
    fn no_more_than_the_limit_is_read_and_nothing_without_a_boundary() {
        let mut form = FORM[..FORM.len() - 7].to_vec();
        form.resize(10_001, b'x');
        let error = read(KIND, &[&form]).expect_err("too much");
        assert_eq!(error.kind, Kind::TooLarge);
        for kind in [
            "",
            "multipart/form-data",
            "multipart/form-data; boundary=\"b \"",
            "multipart/form-data; boundary=\"b\\\"\"",
            "application/json; boundary=b",
        ] {
            assert!(read(kind, &[FORM]).is_err(), "{kind}");
        }
    }

    #[test]
    fn a_boundary_that_needs_quotes_is_sent_on_with_them() {
        let body = String::from_utf8_lossy(FORM).replace("--b", "--a b");
        let kind = "multipart/form-data; boundary=\"a b\"";
        let form = read(kind, &[body.as_bytes()]).expect("a form");
        let sent = form.content_type().expect("a header");
        assert_eq!(sent, kind);
        let again = read(kind, &[&form.encode(&[])]).expect("a form");
        assert_eq!(format!("{again:?}"), format!("{form:?}"));
    }

    /// A form with these texts, and files.
    pub fn form(texts: &[(&str, &str)], files: &[(&str, &[u8])]) -> Form {
        let mut form = Form::new("XX");
        for (name, text) in texts {
            let disposition = format!("form-data; name=\"{name}\"");
            form.push(Part {
                name: (*name).into(),
                disposition: disposition.parse().expect("a header"),
                content_type: None,
                is_file: false,
                data: Bytes::copy_from_slice(text.as_bytes()),
            })
            .expect("a part");
        }
        for (name, data) in files {
            let disposition = format!("form-data; name=\"{name}\"; filename=\"a b.wav\"");
            form.push(Part {
                name: (*name).into(),
                disposition: disposition.parse().expect("a header"),
                content_type: Some(HeaderValue::from_static("audio/wav")),
                is_file: true,
                data: Bytes::copy_from_slice(data),
            })
            .expect("a part");
        }
        form
    }

    #[test]
    fn parts_stay_as_they_came_but_for_what_is_set() {
        let form = form(
            &[("model", "public"), ("drop", "1"), ("prompt", "Wörter")],
            &[("file", b"\x00\r\n--X\xff")],
        );
        let encoded = form.encode(&[
            ("model", Some("real")),
            ("drop", None),
            ("response_format", Some("json")),
        ]);
        let expected = b"--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nreal\r\n\
            --XX\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nW\xc3\xb6rter\r\n\
            --XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.wav\"\r\n\
            Content-Type: audio/wav\r\n\r\n\x00\r\n--X\xff\r\n\
            --XX\r\nContent-Disposition: form-data; name=\"response_format\"\r\n\r\njson\r\n--XX--\r\n";
        assert_eq!(encoded, expected[..]);
        assert_eq!(
            form.content_type().expect("a header"),
            "multipart/form-data; boundary=XX"
        );
    }

    #[test]
    fn limits_and_doubles_are_refused() {
        let twice = form(&[("model", "a"), ("Model", "b")], &[]);
        assert!(twice.text("model").is_err());
        let listed = form(&[], &[("image[]", b"1"), ("image[]", b"2")]);
        assert_eq!(listed.all("image").count(), 2);
        let mut full = Form::new("x");
        let part = |size| Part {
            name: "a".into(),
            disposition: HeaderValue::from_static("form-data"),
            content_type: None,
            is_file: false,
            data: Bytes::from(vec![b'a'; size]),
        };
        assert!(full.push(part(MAX_TEXT + 1)).is_err());
        for _ in 0..MAX_PARTS {
            full.push(part(1)).expect("within the limit");
        }
        assert!(full.push(part(1)).is_err());
    }
}
