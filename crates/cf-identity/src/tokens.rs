//! Session tokens: JSON Web Tokens (RFC 7519) with HMAC-SHA256, with the
//! payload that PocketBase's clients read.
//!
//! The header is compared with our own, byte by byte, and never interpreted:
//! no token can choose how it is verified. The signing key is made of the
//! server's key and the record's `token_key`, so that a new `token_key` ends
//! every session of the record.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cf_base::{HashKey, MasterKey, Secret, Timestamp};
use serde::{Deserialize, Serialize};

use crate::AuthCollection;

/// Longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 4096;
/// Names of the server's keys, the one that signs first. A key that is to be
/// replaced stays behind the new one until its last token has expired.
const SERVER_KEYS: &[&str] = &["1"];

/// What a token other than a session is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Setting a new password.
    PasswordReset,
    /// Proving that an e-mail address is one's own.
    Verification,
    /// Changing to another e-mail address.
    EmailChange,
    /// Reading protected files.
    File,
}

impl Purpose {
    /// The word in the token.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "passwordReset",
            Self::Verification => "verification",
            Self::EmailChange => "emailChange",
            Self::File => "file",
        }
    }

    /// How long such a token is good, as PocketBase has it.
    pub fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::PasswordReset | Self::EmailChange => 1_800,
            Self::Verification => 86_400,
            Self::File => 180,
        })
    }
}

/// The word of a session's token.
pub(crate) const AUTH: &str = "auth";

/// How long a session is good that is not refreshed.
pub fn session_duration(collection: AuthCollection) -> Duration {
    Duration::from_secs(match collection {
        AuthCollection::Users => 432_000,
        AuthCollection::Superusers => 86_400,
    })
}

/// The payload; the order of the fields is PocketBase's.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claims {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
    pub collection_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_email: Option<String>,
    /// Seconds since 1970.
    pub exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshable: Option<bool>,
}

impl Claims {
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_millis(self.exp.saturating_mul(1000))
    }
}

/// A token that was taken apart; nothing in it is to be believed before
/// [`Tokens::verify`] says so.
pub(crate) struct Unverified<'t> {
    pub claims: Claims,
    signed: &'t str,
    signature: Vec<u8>,
    key: usize,
}

pub(crate) struct Tokens {
    keys: Vec<ServerKey>,
}

struct ServerKey {
    /// The header of its tokens, encoded.
    header: String,
    key: HashKey,
}

impl Tokens {
    pub fn new(master: &MasterKey) -> Self {
        let keys = SERVER_KEYS
            .iter()
            .map(|kid| ServerKey {
                header: BASE64.encode(format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"JWT"}}"#)),
                key: master.derive(&format!("sessions/{kid}")),
            })
            .collect();
        Self { keys }
    }

    pub fn sign(&self, claims: &Claims, token_key: &Secret) -> String {
        let key = &self.keys[0];
        let payload = serde_json::to_vec(claims).expect("claims are plain data");
        let mut token = format!("{}.{}", key.header, BASE64.encode(payload));
        let signature = hmac::sign(&key.signing(token_key), token.as_bytes());
        token.push('.');
        token.push_str(&BASE64.encode(signature));
        token
    }

    /// Takes a token apart. `None` if no key of ours can have made it.
    pub fn read<'t>(&self, token: &'t str) -> Option<Unverified<'t>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let key = self.keys.iter().position(|k| k.header == header)?;
        Some(Unverified {
            claims: serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?,
            signed,
            signature: BASE64.decode(signature).ok()?,
            key,
        })
    }

    /// Whether we signed the token for the record with this `token_key`
    /// (compared in constant time) and it has not expired.
    pub fn verify(&self, token: &Unverified<'_>, token_key: &Secret, now: Timestamp) -> bool {
        let key = self.keys[token.key].signing(token_key);
        hmac::verify(&key, token.signed.as_bytes(), &token.signature).is_ok()
            && now < token.claims.expires()
    }
}

impl ServerKey {
    fn signing(&self, token_key: &Secret) -> hmac::Key {
        let key = self.key.tag(&[token_key.expose().as_bytes()]);
        hmac::Key::new(hmac::HMAC_SHA256, &key)
    }
}
