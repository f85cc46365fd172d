//! A copy of an answer as the client is given it, for whoever keeps answers.

use bytes::Bytes;
use cf_base::{ProviderKeyId, Usage};

use crate::cache::Slot;
use crate::prompts::Draft;
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

    /// As far as it is text, and whether something was left out.
    pub fn into_text(self) -> (String, bool) {
        match String::from_utf8(self.bytes) {
            Ok(text) => (text, self.cut),
            // A character at the limit was cut in two, or it is sound.
            Err(error) => {
                let end = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(end);
                (String::from_utf8(bytes).unwrap_or_default(), true)
            }
        }
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
/// Dropped before the answer is whole, nothing is kept of it but what is logged.
pub struct Recorder {
    /// As a response that may be gone on from.
    response: Option<Keep>,
    /// To be given again.
    slot: Option<Slot>,
    /// To be read by administrators, also where it breaks off.
    prompt: Option<Draft>,
}

impl Recorder {
    /// `None` where there is nowhere.
    pub fn new(
        response: Option<Keep>,
        slot: Option<Slot>,
        prompt: Option<Draft>,
    ) -> Option<Box<Self>> {
        let any = response.is_some() || slot.is_some() || prompt.is_some();
        any.then(|| {
            Box::new(Self {
                response,
                slot,
                prompt,
            })
        })
    }

    /// The next piece as the client is given it.
    pub fn take(&mut self, piece: &[u8]) {
        if let Some(slot) = &mut self.slot {
            slot.take(piece);
        }
        if let Some(prompt) = &mut self.prompt {
            prompt.take(piece);
        }
    }

    /// The client has left: what is still to come is kept of a conversation only.
    pub fn client_left(&mut self) {
        self.slot = None;
        self.prompt = None;
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
        assert_eq!(copy.into_whole_text(), None);
    }

    #[test]
    fn what_is_cut_is_text_still_and_says_so() {
        let mut copy = Recording::new(2);
        copy.take("aä".as_bytes());
        assert_eq!(copy.into_text(), ("a".to_owned(), true));
        let mut copy = Recording::new(3);
        copy.take("aä".as_bytes());
        assert_eq!(copy.into_text(), ("aä".to_owned(), false));
    }
}
