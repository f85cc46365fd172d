//! AWS's event stream: length-prefixed messages with two checksums. The head of
//! a message is checked before any of the rest is waited for, so that a damaged
//! length cannot make us collect.

use bytes::{Buf as _, Bytes, BytesMut};

/// Largest message.
const MAX_MESSAGE: usize = 8 << 20;
/// Most bytes of headers, as AWS has it.
const MAX_HEADERS: usize = 128 << 10;
/// Total length, length of the headers, their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end.
const CHECKSUM: usize = 4;

/// An event, or an exception in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AwsEvent {
    /// Whether the provider failed.
    pub is_exception: bool,
    /// The kind of event or exception.
    pub name: String,
    pub payload: Bytes,
}

/// The stream is not in AWS's framing, or is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AwsError {
    /// A length that cannot be.
    #[error("a message has an impossible length")]
    Length,
    /// A checksum that does not fit.
    #[error("a message is damaged")]
    Checksum,
    /// Headers that cannot be read.
    #[error("a message has headers that cannot be read")]
    Headers,
}

/// Takes bytes in any pieces, gives whole messages.
#[derive(Debug, Default)]
pub(crate) struct AwsDecoder {
    buffer: BytesMut,
    /// The length of the message at the front, once its head was checked.
    checked: Option<(usize, usize)>,
}

impl AwsDecoder {
    /// Takes what came. After all messages were taken, what is left is a part of
    /// one whose length was checked, or of a head.
    pub fn push(&mut self, bytes: Bytes) {
        self.buffer.extend_from_slice(&bytes);
    }

    /// The next whole message.
    pub fn next_event(&mut self) -> Result<Option<AwsEvent>, AwsError> {
        let (total, headers) = match self.checked {
            Some(lengths) => lengths,
            None if self.buffer.len() < PRELUDE => return Ok(None),
            None => *self.checked.insert(prelude(&self.buffer)?),
        };
        if self.buffer.len() < total {
            return Ok(None);
        }
        self.checked = None;
        let message = self.buffer.split_to(total).freeze();
        let (covered, mut checksum) = message.split_at(total - CHECKSUM);
        if crc32fast::hash(covered) != checksum.get_u32() {
            return Err(AwsError::Checksum);
        }
        let end = PRELUDE + headers;
        let (is_exception, name) = read_headers(&message[PRELUDE..end])?;
        Ok(Some(AwsEvent {
            is_exception,
            name,
            payload: message.slice(end..total - CHECKSUM),
        }))
    }
}

/// The lengths of the message and of its headers.
fn prelude(bytes: &[u8]) -> Result<(usize, usize), AwsError> {
    let mut head = &bytes[..PRELUDE];
    let (total, headers, checksum) = (head.get_u32(), head.get_u32(), head.get_u32());
    if crc32fast::hash(&bytes[..PRELUDE - 4]) != checksum {
        return Err(AwsError::Checksum);
    }
    let total = usize::try_from(total).map_err(|_| AwsError::Length)?;
    let headers = usize::try_from(headers).map_err(|_| AwsError::Length)?;
    let fits = headers <= MAX_HEADERS && total <= MAX_MESSAGE;
    if fits && total >= PRELUDE + headers + CHECKSUM {
        Ok((total, headers))
    } else {
        Err(AwsError::Length)
    }
}

/// Whether it is an exception, and of which name.
fn read_headers(mut bytes: &[u8]) -> Result<(bool, String), AwsError> {
    fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8], AwsError> {
        let (taken, rest) = bytes.split_at_checked(n).ok_or(AwsError::Headers)?;
        *bytes = rest;
        Ok(taken)
    }
    let (mut is_exception, mut name) = (false, String::new());
    while !bytes.is_empty() {
        let length = usize::from(take(&mut bytes, 1)?[0]);
        let header = take(&mut bytes, length)?;
        let kind = take(&mut bytes, 1)?[0];
        let size = match kind {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            5 | 8 => 8,
            9 => 16,
            6 | 7 => usize::from(take(&mut bytes, 2)?.get_u16()),
            _ => return Err(AwsError::Headers),
        };
        let value = take(&mut bytes, size)?;
        let text = || String::from_utf8_lossy(value).into_owned();
        match header {
            b":message-type" => is_exception = value != b"event",
            b":event-type" | b":exception-type" | b":error-code" => name = text(),
            _ => {}
        }
    }
    Ok((is_exception, name))
}

/// A message as AWS would send it, for tests.
#[cfg(test)]
pub(crate) fn encode(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    use bytes::BufMut as _;
    let mut head = Vec::new();
    for (name, value) in headers {
        head.put_u8(u8::try_from(name.len()).expect("a short name"));
        head.put_slice(name.as_bytes());
        head.put_u8(7);
        head.put_u16(u16::try_from(value.len()).expect("a short value"));
        head.put_slice(value.as_bytes());
    }
    let total = PRELUDE + head.len() + payload.len() + CHECKSUM;
    let mut out = Vec::with_capacity(total);
    out.put_u32(u32::try_from(total).expect("a small message"));
    out.put_u32(u32::try_from(head.len()).expect("few headers"));
    out.put_u32(crc32fast::hash(&out));
    out.put_slice(&head);
    out.put_slice(payload);
    out.put_u32(crc32fast::hash(&out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message() -> Vec<u8> {
        encode(
            &[(":event-type", "messageStart"), (":message-type", "event")],
            br#"{"role":"assistant"}"#,
        )
    }

    #[test]
    fn a_stream_split_at_every_byte_is_the_same_stream() {
        let mut bytes = message();
        bytes.extend(encode(
            &[
                (":exception-type", "throttlingException"),
                (":message-type", "exception"),
            ],
            b"{}",
        ));
        for at in 0..=bytes.len() {
            let mut decoder = AwsDecoder::default();
            let mut events = Vec::new();
            for piece in [&bytes[..at], &bytes[at..]] {
                decoder.push(Bytes::copy_from_slice(piece));
                while let Some(event) = decoder.next_event().expect("sound") {
                    events.push(event);
                }
            }
            assert_eq!(events.len(), 2, "split at {at}");
            assert_eq!(
                (events[0].is_exception, &*events[0].name),
                (false, "messageStart")
            );
            assert_eq!(&events[0].payload[..], br#"{"role":"assistant"}"#);
            assert_eq!(
                (events[1].is_exception, &*events[1].name),
                (true, "throttlingException")
            );
        }
    }

    #[test]
    fn a_damaged_byte_is_noticed_wherever_it_is() {
        let sound = message();
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x40;
            let mut decoder = AwsDecoder::default();
            decoder.push(Bytes::from(bytes));
            assert!(decoder.next_event().is_err(), "damaged at {at}");
        }
    }

    #[test]
    fn an_impossible_length_is_refused_before_anything_is_collected() {
        for (total, headers) in [(u32::MAX, 0), (15, 0), (20, 8), (1 << 20, 1 << 19)] {
            let mut bytes = Vec::new();
            bytes.extend(u32::to_be_bytes(total));
            bytes.extend(u32::to_be_bytes(headers));
            bytes.extend(u32::to_be_bytes(crc32fast::hash(&bytes)));
            let mut decoder = AwsDecoder::default();
            decoder.push(Bytes::from(bytes));
            assert_eq!(
                decoder.next_event(),
                Err(AwsError::Length),
                "{total} {headers}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, headers in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut decoder = AwsDecoder::default();
            decoder.push(Bytes::from(bytes));
            let _ = decoder.next_event();
            let _ = read_headers(&headers);
        }
    }
}
