//! Server-sent events, decoded as they come: whole events, each with the bytes
//! it came as, so that it can be passed on unchanged.

use bytes::{Bytes, BytesMut};

/// Largest event: a frame that never ends must not fill the memory.
const MAX_EVENT: usize = 8 << 20;

/// An event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SseEvent {
    /// As it came, with the empty line at its end.
    pub raw: Bytes,
    /// Its data lines, joined; empty for comments and events without data.
    pub data: Bytes,
}

/// The stream is not one of server-sent events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an event is larger than {MAX_EVENT} bytes")]
pub struct SseError;

/// Takes bytes in any pieces, gives whole events.
#[derive(Default)]
pub struct SseDecoder {
    buffer: BytesMut,
    /// How far the buffer was searched for an end; the line it stopped in.
    searched: usize,
    line_start: usize,
}

impl SseDecoder {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > MAX_EVENT + bytes.len() {
            return Err(SseError);
        }
        Ok(())
    }

    /// The next whole event.
    pub fn next_event(&mut self) -> Option<SseEvent> {
        let end = self.find_end()?;
        let raw = self.buffer.split_to(end).freeze();
        self.searched = 0;
        self.line_start = 0;
        Some(SseEvent {
            data: data_of(&raw),
            raw,
        })
    }

    /// What is left when the stream ends: an event without its empty line.
    pub fn rest(&mut self) -> Option<SseEvent> {
        if let Some(event) = self.next_event() {
            return Some(event);
        }
        if self.buffer.is_empty() {
            return None;
        }
        let raw = self.buffer.split().freeze();
        self.searched = 0;
        self.line_start = 0;
        Some(SseEvent {
            data: data_of(&raw),
            raw,
        })
    }

    /// Where the next event ends, past its empty line.
    fn find_end(&mut self) -> Option<usize> {
        let bytes = &self.buffer[..];
        while let Some(found) = memchr::memchr2(b'\n', b'\r', &bytes[self.searched..]) {
            let at = self.searched + found;
            let after = match (bytes[at], bytes.get(at + 1)) {
                (b'\r', Some(b'\n')) => at + 2,
                // Whether a line feed follows is not known yet.
                (b'\r', None) => {
                    self.searched = at;
                    return None;
                }
                _ => at + 1,
            };
            let empty = at == self.line_start;
            self.searched = after;
            self.line_start = after;
            if empty {
                return Some(after);
            }
        }
        self.searched = bytes.len();
        None
    }
}

/// The data lines of an event; without a copy where there is one.
fn data_of(raw: &Bytes) -> Bytes {
    let mut single: Option<Bytes> = None;
    let mut joined: Option<Vec<u8>> = None;
    for line in raw.split(|b| matches!(b, b'\n' | b'\r')) {
        let Some(value) = line.strip_prefix(b"data:") else {
            continue;
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (&mut joined, &single) {
            (Some(all), _) => {
                all.push(b'\n');
                all.extend_from_slice(value);
            }
            (None, Some(first)) => {
                let mut all = first.to_vec();
                all.push(b'\n');
                all.extend_from_slice(value);
                joined = Some(all);
            }
            (None, None) => single = Some(raw.slice_ref(value)),
        }
    }
    match joined {
        Some(all) => Bytes::from(all),
        None => single.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        for piece in pieces {
            decoder.push(piece).expect("small");
            while let Some(event) = decoder.next_event() {
                events.push(event);
            }
        }
        events.extend(decoder.rest());
        events
    }

    const STREAM: &[u8] =
        "data: {\"a\":1}\n\n: comment\n\nevent: x\r\ndata: é€😀\r\ndata: b\r\n\r\n\
        data:no space\r\rdata: [DONE]\n\n"
            .as_bytes();

    #[test]
    fn events_come_with_their_data_and_their_bytes() {
        let events = decode(&[STREAM]);
        let data: Vec<&str> = events
            .iter()
            .map(|e| std::str::from_utf8(&e.data).expect("UTF-8"))
            .collect();
        assert_eq!(data, ["{\"a\":1}", "", "é€😀\nb", "no space", "[DONE]"]);
        let raw: Vec<u8> = events.iter().flat_map(|e| e.raw.to_vec()).collect();
        assert_eq!(raw, STREAM);
    }

    #[test]
    fn split_at_every_byte_the_events_are_the_same() {
        let whole = decode(&[STREAM]);
        for at in 0..STREAM.len() {
            assert_eq!(
                decode(&[&STREAM[..at], &STREAM[at..]]),
                whole,
                "split at {at}"
            );
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(decode(&bytes), whole);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut decoder = SseDecoder::default();
        let piece = vec![b'x'; 1 << 20];
        let refused =
            (0..20).any(|_| decoder.push(&piece).is_err() || decoder.next_event().is_some());
        assert!(refused);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..300), at in 0usize..300) {
            let at = at.min(bytes.len());
            let events = decode(&[&bytes[..at], &bytes[at..]]);
            let raw: Vec<u8> = events.iter().flat_map(|e| e.raw.to_vec()).collect();
            prop_assert_eq!(raw, bytes);
        }
    }
}
