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

/// Takes bytes in any pieces, gives whole events. An event that came in one
/// piece is a slice of that piece; only one in several pieces is copied.
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// The rest of the last piece, where nothing is left of those before.
    piece: Bytes,
    /// An event in several pieces, and what follows it. One of the two is empty.
    joined: BytesMut,
    /// How far it was searched for an end; the line the search stopped in.
    searched: usize,
    line_start: usize,
}

impl SseDecoder {
    /// Takes what came.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), SseError> {
        // What is left after all events were taken is a part of one event.
        if self.bytes().len() > MAX_EVENT {
            return Err(SseError);
        }
        if self.joined.is_empty() && self.piece.is_empty() {
            self.piece = bytes;
        } else {
            if self.joined.is_empty() {
                self.joined.extend_from_slice(&self.piece);
                self.piece = Bytes::new();
            }
            self.joined.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// The next whole event.
    pub fn next_event(&mut self) -> Option<SseEvent> {
        let end = self.find_end()?;
        Some(self.split(end))
    }

    /// What is left when the stream ends: an event without its empty line.
    pub fn rest(&mut self) -> Option<SseEvent> {
        if let Some(event) = self.next_event() {
            return Some(event);
        }
        match self.bytes().len() {
            0 => None,
            left => Some(self.split(left)),
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() {
            &self.piece
        } else {
            &self.joined
        }
    }

    fn split(&mut self, end: usize) -> SseEvent {
        let raw = if self.joined.is_empty() {
            self.piece.split_to(end)
        } else {
            self.joined.split_to(end).freeze()
        };
        self.searched = 0;
        self.line_start = 0;
        SseEvent {
            data: data_of(&raw),
            raw,
        }
    }

    /// Where the next event ends, past its empty line.
    fn find_end(&mut self) -> Option<usize> {
        let (mut searched, mut line_start) = (self.searched, self.line_start);
        let bytes = self.bytes();
        let mut end = None;
        while let Some(found) = memchr::memchr2(b'\n', b'\r', &bytes[searched..]) {
            let at = searched + found;
            let after = match (bytes[at], bytes.get(at + 1)) {
                (b'\r', Some(b'\n')) => at + 2,
                // Whether a line feed follows is not known yet.
                (b'\r', None) => {
                    self.searched = at;
                    self.line_start = line_start;
                    return None;
                }
                _ => at + 1,
            };
            let empty = at == line_start;
            searched = after;
            line_start = after;
            if empty {
                end = Some(after);
                break;
            }
        }
        self.searched = if end.is_some() { searched } else { bytes.len() };
        self.line_start = line_start;
        end
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
            decoder.push(Bytes::copy_from_slice(piece)).expect("small");
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
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let refused =
            (0..20).any(|_| decoder.push(piece.clone()).is_err() || decoder.next_event().is_some());
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
