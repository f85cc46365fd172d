//! A copy of an answer as the client is given it, for whoever keeps answers.

use bytes::Bytes;
use cf_base::{ProviderKeyId, Usage};

use crate::cache::Slot;
use crate::responses::Keep;

/// A copy up to a limit. What is beyond is left out.
pub struct Recording {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Recording {
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            cut: false,
        }
    }

    /// The next piece.
    pub fn take(&mut self, piece: &[u8]) {
        let left = self.limit - self.bytes.len();
        self.cut |= piece.len() > left;
        self.bytes
            .extend_from_slice(&piece[..piece.len().min(left)]);
    }

    /// All of it; `None` if something was left out or it is no text.
    pub fn into_whole_text(self) -> Option<String> {
        (!self.cut)
            .then(|| String::from_utf8(self.bytes).ok())
            .flatten()
    }
}

/// Who gave an answer, and what was used for it.
#[derive(Clone, Debug, Default)]
pub struct Served {
    pub usage: Usage,
    pub estimated: bool,
    /// The provider's name of the model.
    pub model: String,
    pub key: Option<ProviderKeyId>,
}

/// Where an answer is kept beside being given. Most are not: then there is none.
/// Dropped before the answer is whole, nothing is kept of it.
pub struct Recorder {
    /// As a response that may be gone on from.
    response: Option<Keep>,
    /// To be given again.
    slot: Option<Slot>,
}

impl Recorder {
    /// `None` where there is nowhere.
    pub fn new(response: Option<Keep>, slot: Option<Slot>) -> Option<Box<Self>> {
        (response.is_some() || slot.is_some()).then(|| Box::new(Self { response, slot }))
    }

    /// The next piece as the client is given it.
    pub fn take(&mut self, piece: &[u8]) {
        if let Some(slot) = &mut self.slot {
            slot.take(piece);
        }
    }

    /// The client has left: only a conversation is still to be kept.
    pub fn client_left(&mut self) {
        self.slot = None;
    }

    /// The answer is whole. `response` is what a conversation goes on from.
    pub async fn finish(
        self: Box<Self>,
        content_type: &'static str,
        served: Served,
        response: Option<Bytes>,
    ) {
        if let Some((keep, response)) = self.response.zip(response) {
            keep.keep(response).await;
        }
        if let Some(slot) = self.slot {
            slot.keep(content_type, served).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_up_to_its_limit() {
        let mut copy = Recording::new(5);
        copy.take(b"He");
        copy.take(b"llo");
        assert_eq!(copy.into_whole_text().as_deref(), Some("Hello"));
        let mut copy = Recording::new(4);
        copy.take(b"He");
        copy.take(b"llo");
        copy.take(b"!");
        assert_eq!(copy.bytes, b"Hell");
        assert_eq!(copy.into_whole_text(), None);
    }
}
