//! Typed record ids: 15 characters `a-z0-9`, as PocketBase makes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Random;

/// The text given is not a record id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 15 characters a-z0-9")]
pub struct IdError;

/// A record id of any collection: 15 characters `a-z0-9`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 15]);

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

impl Id {
    /// A new random id (77 bits).
    pub fn new(random: &Random) -> Self {
        Self(random.characters(ALPHABET))
    }

    /// A new id that sorts by `now`: nine characters of time, six of chance.
    /// For tables that only grow, whose index is then written at its end.
    pub fn sorted(now: crate::Timestamp, random: &Random) -> Self {
        const SORTED: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut bytes = [b'0'; 15];
        let mut ms = now.as_millis().unsigned_abs();
        for place in bytes[..9].iter_mut().rev() {
            *place = SORTED[usize::try_from(ms % 36).expect("below 36")];
            ms /= 36;
        }
        bytes[9..].copy_from_slice(&random.characters::<6>(ALPHABET));
        Self(bytes)
    }

    /// Reads an id, refusing anything that is not 15 characters `a-z0-9`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let bytes: [u8; 15] = text.as_bytes().try_into().map_err(|_| IdError)?;
        if bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            Ok(Self(bytes))
        } else {
            Err(IdError)
        }
    }

    /// An id that is the same for the same content, for rows that are
    /// addressed by what they hold (price versions).
    pub fn of_content(content: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
        let mut bytes = [0; 15];
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = ALPHABET[usize::from(*from) % ALPHABET.len()];
        }
        Self(bytes)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is ASCII by construction")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Id);

        impl $name {
            /// A new random id.
            pub fn new(random: &Random) -> Self {
                Self(Id::new(random))
            }

            /// Reads an id, refusing anything that is not 15 characters `a-z0-9`.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                Id::parse(text).map(Self)
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

typed_ids! {
    /// A record of `users`.
    UserId,
    /// A record of `tenants`.
    TenantId,
    /// A record of `api_keys`.
    KeyId,
    /// A record of `products`.
    ProductId,
    /// A record of `models`.
    ModelId,
    /// A record of `provider_keys`.
    ProviderKeyId,
}

/// The id of one call; unique in `usage_logs` and the ledger.
///
/// Our own are UUID version 7 (RFC 9562: sorted by time); those of the Billing
/// API come from the caller and may be any text of 1 to 128 visible characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// A new id that sorts by `now`.
    pub fn new(now: crate::Timestamp, random: &Random) -> Self {
        let mut bytes: [u8; 16] = random.bytes();
        let ms = now.as_millis().to_be_bytes();
        bytes[..6].copy_from_slice(&ms[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        let mut text = String::with_capacity(36);
        for (i, byte) in bytes.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push(char::from_digit(u32::from(byte >> 4), 16).expect("a nibble is a hex digit"));
            text.push(char::from_digit(u32::from(byte & 15), 16).expect("a nibble is a hex digit"));
        }
        Self(text.into_boxed_str())
    }

    /// Takes a caller's own id: 1 to 128 visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, RequestIdError> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(RequestIdError)
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text given cannot be a request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request id is 1 to 128 visible ASCII characters")]
pub struct RequestIdError;

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn ids_are_fifteen_characters() {
        let id = Id::new(&Random::seeded(1));
        assert_eq!(Id::parse(id.as_str()), Ok(id));
        assert_eq!(Id::parse("short"), Err(IdError));
        assert_eq!(Id::parse("ABCDEFGHIJKLMNO"), Err(IdError));
    }

    #[test]
    fn request_ids_sort_by_time() {
        let random = Random::seeded(1);
        let early = RequestId::new(Timestamp::from_millis(1_700_000_000_000), &random);
        let late = RequestId::new(Timestamp::from_millis(1_700_000_000_001), &random);
        assert!(early < late);
        assert_eq!(early.as_str().len(), 36);
        assert_eq!(&early.as_str()[14..15], "7");
    }
}
