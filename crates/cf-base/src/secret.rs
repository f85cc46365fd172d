//! Secrets: never printed, hashed with a key where they need only be
//! recognised, sealed where they must be read again.

use std::fmt;

use aws_lc_rs::{aead, digest, hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroize;

use crate::Random;

/// A text that is never shown: no `Debug` or `Display` of the content, wiped
/// when dropped.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; to be used at the very place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `••••abcd`: the last four characters of a long secret, none of a short one.
    pub fn masked(&self) -> String {
        let count = self.0.chars().count();
        let shown = if count >= 12 { 4 } else { 0 };
        let tail: String = self.0.chars().skip(count - shown).collect();
        format!("••••{tail}")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The one secret of an installation; every other key is derived from it
/// (HKDF-SHA256, RFC 5869), each for one purpose.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// A new random key.
    pub fn new(random: &Random) -> Self {
        Self(random.bytes())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// As 64 hexadecimal digits, for the key file.
    pub fn to_text(&self) -> Secret {
        Secret::new(hex(&self.0))
    }

    /// The key for one purpose, such as `api-keys` or `seal/1`.
    pub fn derive(&self, purpose: &str) -> HashKey {
        struct Length;
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                32
            }
        }
        let mut key = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"cloudfreedom")
            .extract(&self.0)
            .expand(&[purpose.as_bytes()], Length)
            .and_then(|okm| okm.fill(&mut key))
            .expect("32 bytes are within what HKDF-SHA256 gives");
        HashKey(key)
    }

    /// A text that tells two master keys apart and gives nothing away.
    pub fn fingerprint(&self) -> String {
        self.derive("fingerprint").hash(b"cloudfreedom")[..16].to_owned()
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A derived key for HMAC-SHA256.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// HMAC-SHA256 of `content`, as 64 hexadecimal digits.
    pub fn hash(&self, content: &[u8]) -> String {
        hex(self.tag(&[content]).as_ref())
    }

    /// HMAC-SHA256 over the parts one after the other.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        hmac_sha256(&self.0, parts)
    }
}

impl Drop for HashKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A sealed secret as it stands in the database: `1.<nonce and ciphertext>`,
/// where the number names the key that sealed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed(pub String);

/// Seals secrets (AES-256-GCM) and opens them again. The row a secret belongs
/// to is authenticated with it: a sealed text copied to another row does not open.
#[derive(Clone)]
pub struct Sealer {
    key: HashKey,
}

/// Id of the key that seals now; older ids stay readable when keys rotate.
const SEAL_KEY_ID: &str = "1";

impl Sealer {
    /// The sealer of an installation.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            key: master.derive(&format!("seal/{SEAL_KEY_ID}")),
        }
    }

    /// Seals `secret` for the row named `row` (such as `provider_keys/<id>`).
    pub fn seal(&self, secret: &Secret, row: &str, random: &Random) -> Sealed {
        let nonce: [u8; 12] = random.bytes();
        let mut buffer = secret.expose().as_bytes().to_vec();
        self.aead()
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(row.as_bytes()),
                &mut buffer,
            )
            .expect("a secret is far shorter than AES-GCM's limit");
        let mut content = nonce.to_vec();
        content.append(&mut buffer);
        Sealed(format!("{SEAL_KEY_ID}.{}", BASE64.encode(content)))
    }

    /// Opens a secret that was sealed for `row`; `None` if it was sealed with
    /// another key, for another row, or was changed.
    pub fn open(&self, sealed: &Sealed, row: &str) -> Option<Secret> {
        let content = sealed.0.strip_prefix(SEAL_KEY_ID)?.strip_prefix('.')?;
        let content = BASE64.decode(content).ok()?;
        let (nonce, ciphertext) = content.split_at_checked(12)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = ciphertext.to_vec();
        let plain = self
            .aead()
            .open_in_place(nonce, aead::Aad::from(row.as_bytes()), &mut buffer)
            .ok()?;
        let text = String::from_utf8(plain.to_vec()).ok();
        buffer.zeroize();
        text.map(Secret::new)
    }

    fn aead(&self) -> aead::LessSafeKey {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &self.key.0)
            .expect("a derived key has AES-256's length");
        aead::LessSafeKey::new(key)
    }
}

/// HMAC-SHA256 under a key that two parties share (webhooks), over the parts one
/// after the other.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    context
        .sign()
        .as_ref()
        .try_into()
        .expect("HMAC-SHA256 gives 32 bytes")
}

/// SHA-256 as hexadecimal digits, for comparing contents.
pub fn sha256_hex(content: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, content).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is a hex digit"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_for_its_row_and_key() {
        let random = Random::seeded(7);
        let sealer = Sealer::new(&MasterKey::new(&random));
        let sealed = sealer.seal(&Secret::new("sk-provider-1234"), "provider_keys/a", &random);
        assert!(!sealed.0.contains("provider"));
        let opened = sealer
            .open(&sealed, "provider_keys/a")
            .expect("its own row");
        assert_eq!(opened.expose(), "sk-provider-1234");
        assert!(sealer.open(&sealed, "provider_keys/b").is_none());
        let other = Sealer::new(&MasterKey::new(&random));
        assert!(other.open(&sealed, "provider_keys/a").is_none());
        let mut changed = sealed.0.clone();
        changed.pop();
        changed.push('A');
        assert!(sealer.open(&Sealed(changed), "provider_keys/a").is_none());
    }

    #[test]
    fn secrets_show_four_characters_at_most() {
        assert_eq!(Secret::new("sk-0123456789abcd").masked(), "••••abcd");
        assert_eq!(Secret::new("short").masked(), "••••");
        assert_eq!(format!("{:?}", Secret::new("sk-0123456789abcd")), "Secret");
    }

    #[test]
    fn the_master_key_is_read_back_from_its_text() {
        let master = MasterKey::new(&Random::seeded(3));
        let read = MasterKey::parse(master.to_text().expose()).expect("64 digits");
        assert_eq!(read.fingerprint(), master.fingerprint());
        assert!(MasterKey::parse("abc").is_none());
    }
}
