//! AWS's Signature Version 4, as far as a POST with a body needs it.
//!
//! The signing crate of AWS's own SDK brings its runtime with it; this is the
//! documented recipe, checked against vectors of botocore: the request in
//! canonical form is hashed, the hash is signed with a key that is derived from
//! the secret, the day, the region and the service. Two things go wrong easily:
//! - the path is encoded once on the wire and once more in the canonical form
//!   (`%3A` becomes `%253A`), as for every service but S3;
//! - the session token is a header like any other, and is signed.
//!
//! Each attempt is signed anew, as a signature holds for a few minutes only.

use aws_lc_rs::hmac;
use cf_base::{Secret, Timestamp, sha256_hex};

/// A key of AWS.
#[derive(Clone, Debug)]
pub struct AwsKey {
    /// Its public name.
    pub access_key: String,
    /// The secret itself.
    pub secret_key: Secret,
    /// For keys that expire.
    pub session_token: Option<Secret>,
}

/// What is signed.
pub(crate) struct Signed<'a> {
    pub host: &'a str,
    /// As on the wire, without a query.
    pub path: &'a str,
    pub body: &'a [u8],
    pub region: &'a str,
    pub service: &'a str,
}

/// Values of the headers that carry a signature.
pub(crate) struct Signature {
    pub amz_date: String,
    pub authorization: String,
}

/// Signs a POST of JSON.
pub(crate) fn sign(key: &AwsKey, signed: &Signed<'_>, now: Timestamp) -> Signature {
    let amz_date = amz_date(now);
    let (canonical, names) = canonical_request(key, signed, &amz_date);
    let scope = format!(
        "{}/{}/{}/aws4_request",
        &amz_date[..8],
        signed.region,
        signed.service
    );
    let hash = sha256_hex(canonical.as_bytes());
    let to_sign = format!("AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n{hash}");
    let mut secret = format!("AWS4{}", key.secret_key.expose()).into_bytes();
    for part in [
        &amz_date[..8],
        signed.region,
        signed.service,
        "aws4_request",
    ] {
        secret = hmac_sha256(&secret, part.as_bytes());
    }
    let signature: String = hmac_sha256(&secret, to_sign.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        key.access_key
    );
    Signature {
        amz_date,
        authorization,
    }
}

/// The canonical form, and the names of the headers in it.
fn canonical_request(key: &AwsKey, signed: &Signed<'_>, amz_date: &str) -> (String, String) {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("host", signed.host),
        ("x-amz-date", amz_date),
    ];
    if let Some(token) = &key.session_token {
        headers.push(("x-amz-security-token", token.expose()));
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()))
        .collect();
    let path: String = signed
        .path
        .split('/')
        .map(encode)
        .collect::<Vec<_>>()
        .join("/");
    let body = sha256_hex(signed.body);
    (format!("POST\n{path}\n\n{lines}\n{names}\n{body}"), names)
}

/// Percent-encodes all but the characters that need it nowhere.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `20250102T030405Z`
fn amz_date(now: Timestamp) -> String {
    let text = now.to_date_text().to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).take(14).collect();
    format!("{}T{}Z", &digits[..8], &digits[8..])
}

fn hmac_sha256(key: &[u8], content: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, content).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented example key; the vectors of botocore are read from the
    /// facts beside the repository.
    #[test]
    fn trap_20_signatures_are_those_of_botocore() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../shared/facts/sigv4_vectors.json"
        );
        let Ok(text) = std::fs::read_to_string(path) else {
            assert!(
                std::env::var("CI").is_err(),
                "the vectors are not at {path}"
            );
            eprintln!("SKIPPED: no signature vectors at {path}");
            return;
        };
        let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().expect("a text");
            let key = AwsKey {
                access_key: text("access_key").into(),
                secret_key: Secret::new(text("secret_key")),
                session_token: vector["session_token"].as_str().map(Secret::new),
            };
            let url = text("url").strip_prefix("https://").expect("https");
            let (host, path) = url.split_once('/').expect("a path");
            let path = format!("/{path}");
            let signed = Signed {
                host,
                path: &path,
                body: text("body").as_bytes(),
                region: text("region"),
                service: text("service"),
            };
            let date = text("amz_date");
            let iso = format!(
                "{}-{}-{}T{}:{}:{}Z",
                &date[..4],
                &date[4..6],
                &date[6..8],
                &date[9..11],
                &date[11..13],
                &date[13..15]
            );
            let now = Timestamp::parse(&iso).expect("a date");
            let (canonical, _) = canonical_request(&key, &signed, date);
            assert_eq!(canonical, text("canonical_request"), "{}", text("name"));
            let signature = sign(&key, &signed, now);
            assert_eq!(signature.amz_date, date);
            assert_eq!(
                signature.authorization,
                text("authorization"),
                "{}",
                text("name")
            );
        }
    }
}
