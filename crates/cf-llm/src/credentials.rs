//! A provider key's secret, by what it is: a key for a header, a key that signs,
//! or one that is exchanged for a token. The exchange's request is made and its
//! answer read here; who sends it and keeps the token is the gateway.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use cf_base::{Secret, Timestamp};
use http::header::{self, HeaderName};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bedrock::sigv4::AwsKey;
use crate::place::Settings;
use crate::{Provider, bedrock};

/// Where Google gives out tokens.
const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const ENTRA: &str = "https://login.microsoftonline.com";
const ENTRA_SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// How long an assertion holds.
const ASSERTION_SECONDS: i64 = 3600;

/// How a provider is shown that we may call it.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Not at all.
    None,
    /// By a header.
    Header {
        /// Its name.
        name: HeaderName,
        /// What stands before the secret.
        prefix: &'static str,
        /// The secret.
        secret: Secret,
    },
    /// By a signature.
    Aws(AwsKey),
    /// By a token that is fetched with this.
    Token(Box<TokenSource>),
}

/// What is exchanged for a token.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A service account of Google.
    ServiceAccount {
        /// Whose it is.
        email: String,
        /// The id of its key.
        key_id: String,
        /// PKCS #8, in PEM.
        private_key: Secret,
        /// Where the token is fetched.
        token_uri: String,
        /// The account's own project.
        project: String,
    },
    /// A person's standing permission at Google.
    Refresh {
        /// The program's name.
        client_id: String,
        /// The program's secret.
        client_secret: Secret,
        /// The permission.
        refresh_token: Secret,
        /// Where the token is fetched.
        token_uri: String,
    },
    /// A program known to Entra ID.
    Entra {
        /// The directory.
        tenant: String,
        /// The program's name.
        client_id: String,
        /// The program's secret.
        client_secret: Secret,
        /// Where the token is fetched.
        authority: String,
        /// What it is for.
        scope: String,
    },
}

/// A request for a token: a form, to be posted.
#[derive(Debug)]
pub struct TokenRequest {
    /// Where to.
    pub url: String,
    /// `application/x-www-form-urlencoded`.
    pub form: Bytes,
}

/// A token.
#[derive(Clone, Debug)]
pub struct Token {
    /// What goes into the header after `Bearer`.
    pub secret: Secret,
    /// When it is no longer taken.
    pub expires_at: Timestamp,
}

#[derive(Deserialize)]
struct TokenWire {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Value>,
}

impl Credentials {
    /// Reads a provider key's secret; the error says what it should be.
    pub fn read(
        provider: Provider,
        secret: &Secret,
        settings: &Settings,
    ) -> Result<Self, &'static str> {
        // Pasted with the line's end, as it happens.
        let text = secret.expose().trim();
        if text.is_empty() {
            return Ok(Self::None);
        }
        if text.starts_with('{') {
            let json: Value = serde_json::from_str(text)
                .map_err(|_| "The secret begins like JSON and is none.")?;
            return Self::read_json(provider, &json, settings);
        }
        let header = |name: HeaderName, prefix| Self::Header {
            name,
            prefix,
            secret: Secret::new(text),
        };
        Ok(match provider {
            Provider::Azure => header(HeaderName::from_static("api-key"), ""),
            Provider::Anthropic => header(HeaderName::from_static("x-api-key"), ""),
            Provider::Gemini => header(HeaderName::from_static("x-goog-api-key"), ""),
            // A token that someone fetched by hand, else an express key.
            Provider::Vertex if text.starts_with("ya29.") => {
                header(header::AUTHORIZATION, "Bearer ")
            }
            Provider::Vertex => header(HeaderName::from_static("x-goog-api-key"), ""),
            Provider::Bedrock => match aws_key(text) {
                Some(key) => Self::Aws(key),
                None => header(header::AUTHORIZATION, "Bearer "),
            },
            Provider::OpenAi | Provider::Mistral | Provider::OpenAiCompatible | Provider::Demo => {
                header(header::AUTHORIZATION, "Bearer ")
            }
        })
    }

    fn read_json(
        provider: Provider,
        json: &Value,
        settings: &Settings,
    ) -> Result<Self, &'static str> {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let set = |own: String, usual: &str| {
            if own.is_empty() {
                usual.to_owned()
            } else {
                own
            }
        };
        let token = |source| Ok(Self::Token(Box::new(source)));
        match (provider, json["type"].as_str()) {
            (Provider::Vertex | Provider::Gemini, Some("service_account")) => {
                let source = TokenSource::ServiceAccount {
                    email: text("client_email"),
                    key_id: text("private_key_id"),
                    private_key: Secret::new(text("private_key")),
                    token_uri: set(text("token_uri"), GOOGLE_TOKENS),
                    project: text("project_id"),
                };
                token(source)
            }
            (Provider::Vertex | Provider::Gemini, Some("authorized_user")) => {
                token(TokenSource::Refresh {
                    client_id: text("client_id"),
                    client_secret: Secret::new(text("client_secret")),
                    refresh_token: Secret::new(text("refresh_token")),
                    token_uri: set(text("token_uri"), GOOGLE_TOKENS),
                })
            }
            (Provider::Azure, _) if json["client_id"].is_string() => token(TokenSource::Entra {
                tenant: text("tenant_id"),
                client_id: text("client_id"),
                client_secret: Secret::new(text("client_secret")),
                authority: set(settings.authority.clone(), ENTRA),
                scope: set(settings.scope.clone(), ENTRA_SCOPE),
            }),
            (Provider::Bedrock, _) if json["access_key_id"].is_string() => Ok(Self::Aws(AwsKey {
                access_key: text("access_key_id"),
                secret_key: Secret::new(text("secret_access_key")),
                session_token: json["session_token"].as_str().map(Secret::new),
            })),
            (Provider::Vertex | Provider::Gemini, _) => {
                Err("The secret is JSON, but no service account key and no authorized_user.")
            }
            (Provider::Azure, _) => {
                Err("The secret is JSON without tenant_id, client_id and client_secret.")
            }
            (Provider::Bedrock, _) => {
                Err("The secret is JSON without access_key_id and secret_access_key.")
            }
            _ => Err("The secret is JSON, which this provider does not take."),
        }
    }

    /// Whether it is a key alone, not something that belongs to a project.
    pub fn is_plain_key(&self) -> bool {
        matches!(self, Self::Header { name, .. } if *name != header::AUTHORIZATION)
    }

    /// The project that the credentials belong to, where they say so.
    pub fn project(&self) -> &str {
        match self {
            Self::Token(source) => match &**source {
                TokenSource::ServiceAccount { project, .. } => project,
                _ => "",
            },
            _ => "",
        }
    }

    /// Every text that must not be repeated to anyone.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Header { secret, .. } => vec![secret.expose()],
            Self::Aws(key) => {
                let token = key.session_token.as_ref().map(Secret::expose);
                [Some(key.secret_key.expose()), token]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Self::Token(source) => match &**source {
                TokenSource::ServiceAccount { private_key, .. } => vec![private_key.expose()],
                TokenSource::Refresh {
                    client_secret,
                    refresh_token,
                    ..
                } => vec![client_secret.expose(), refresh_token.expose()],
                TokenSource::Entra { client_secret, .. } => vec![client_secret.expose()],
            },
        }
    }
}

/// `AKIA…:secret` or `ASIA…:secret:session token`.
fn aws_key(text: &str) -> Option<AwsKey> {
    let mut parts = text.splitn(3, ':');
    let access_key = parts.next().filter(|key| {
        key.len() >= 16 && key.starts_with('A') && key.bytes().all(|b| b.is_ascii_alphanumeric())
    })?;
    let secret_key = parts.next().filter(|secret| !secret.is_empty())?;
    Some(AwsKey {
        access_key: access_key.to_owned(),
        secret_key: Secret::new(secret_key),
        session_token: parts.next().filter(|t| !t.is_empty()).map(Secret::new),
    })
}

impl TokenSource {
    /// The request that fetches a token.
    pub fn request(&self, now: Timestamp) -> Result<TokenRequest, &'static str> {
        let (url, fields): (String, Vec<(&str, String)>) = match self {
            Self::ServiceAccount {
                email,
                key_id,
                private_key,
                token_uri,
                ..
            } => {
                let assertion = assertion(email, key_id, private_key, token_uri, now)?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned();
                let fields = vec![("grant_type", grant), ("assertion", assertion)];
                (token_uri.clone(), fields)
            }
            Self::Refresh {
                client_id,
                client_secret,
                refresh_token,
                token_uri,
            } => {
                let fields = vec![
                    ("grant_type", "refresh_token".to_owned()),
                    ("client_id", client_id.clone()),
                    ("client_secret", client_secret.expose().to_owned()),
                    ("refresh_token", refresh_token.expose().to_owned()),
                ];
                (token_uri.clone(), fields)
            }
            Self::Entra {
                tenant,
                client_id,
                client_secret,
                authority,
                scope,
            } => {
                let authority = authority.trim_end_matches('/');
                let tenant = bedrock::sigv4::encode(tenant);
                let fields = vec![
                    ("grant_type", "client_credentials".to_owned()),
                    ("client_id", client_id.clone()),
                    ("client_secret", client_secret.expose().to_owned()),
                    ("scope", scope.clone()),
                ];
                (format!("{authority}/{tenant}/oauth2/v2.0/token"), fields)
            }
        };
        let form: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", bedrock::sigv4::encode(value)))
            .collect();
        Ok(TokenRequest {
            url,
            form: Bytes::from(form.join("&")),
        })
    }
}

impl Token {
    /// Reads the answer to a [`TokenRequest`].
    pub fn read(body: &[u8], now: Timestamp) -> Option<Self> {
        let wire: TokenWire = serde_json::from_slice(body).ok()?;
        // Entra's older endpoint writes the number as a text.
        let seconds = match &wire.expires_in {
            Some(Value::Number(n)) => n.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let lasting = std::time::Duration::from_secs(seconds.unwrap_or(300).min(86_400));
        Some(Self {
            secret: Secret::new(wire.access_token),
            expires_at: now.after(lasting),
        })
    }
}

/// The signed statement of a service account that it is itself.
fn assertion(
    email: &str,
    key_id: &str,
    private_key: &Secret,
    audience: &str,
    now: Timestamp,
) -> Result<String, &'static str> {
    const BAD_KEY: &str = "The service account's private_key is no RSA key in PEM (PKCS #8).";
    let base64: String = private_key
        .expose()
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    let der = STANDARD.decode(base64).map_err(|_| BAD_KEY)?;
    let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| BAD_KEY)?;
    let issued = now.as_millis() / 1000;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": key_id});
    let claims = json!({
        "iss": email, "scope": GOOGLE_SCOPE, "aud": audience, "iat": issued,
        "exp": issued + ASSERTION_SECONDS,
    });
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .map_err(|_| BAD_KEY)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(provider: Provider, secret: &str) -> Result<Credentials, &'static str> {
        Credentials::read(provider, &Secret::new(secret), &Settings::default())
    }

    #[test]
    fn a_secret_is_what_it_looks_like() {
        for (provider, secret, name, prefix) in [
            (Provider::OpenAi, " key\n", "authorization", "Bearer "),
            (Provider::Azure, "key", "api-key", ""),
            (Provider::Anthropic, "key", "x-api-key", ""),
            (Provider::Gemini, "key", "x-goog-api-key", ""),
            (Provider::Vertex, "key", "x-goog-api-key", ""),
            (Provider::Bedrock, "key", "authorization", "Bearer "),
        ] {
            let Ok(Credentials::Header {
                name: found,
                prefix: before,
                secret,
            }) = read(provider, secret)
            else {
                panic!("{provider:?}: a header");
            };
            assert_eq!(
                (found.as_str(), before, secret.expose()),
                (name, prefix, "key")
            );
        }
        let Ok(Credentials::Aws(key)) =
            read(Provider::Bedrock, "ASIAEXAMPLEEXAMPLE:sec/ret:tok:en")
        else {
            panic!("a key of AWS");
        };
        assert_eq!(key.access_key, "ASIAEXAMPLEEXAMPLE");
        assert_eq!(key.secret_key.expose(), "sec/ret");
        assert_eq!(
            key.session_token.as_ref().map(Secret::expose),
            Some("tok:en")
        );
        assert!(matches!(read(Provider::Vertex, ""), Ok(Credentials::None)));
        for (provider, secret) in [
            (Provider::Vertex, "{\"type\":\"x\"}"),
            (Provider::Bedrock, "{}"),
            (Provider::Azure, "{}"),
            (Provider::OpenAi, "{\"type\":\"service_account\"}"),
            (Provider::Vertex, "{"),
        ] {
            assert!(read(provider, secret).is_err(), "{provider:?} {secret}");
        }
    }

    #[test]
    fn entra_is_asked_with_the_programs_secret() {
        let secret = r#"{"tenant_id":"t","client_id":"c","client_secret":"s&s"}"#;
        let Ok(Credentials::Token(source)) = read(Provider::Azure, secret) else {
            panic!("a source of tokens");
        };
        let request = source
            .request(Timestamp::from_millis(0))
            .expect("a request");
        assert_eq!(
            request.url,
            "https://login.microsoftonline.com/t/oauth2/v2.0/token"
        );
        assert_eq!(
            &request.form[..],
            &b"grant_type=client_credentials&client_id=c&client_secret=s%26s&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"[..]
        );
    }

    #[test]
    fn a_token_is_read_with_its_end() {
        let now = Timestamp::from_millis(1_000);
        for (body, end) in [
            (
                r#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#,
                3_600_000,
            ),
            (r#"{"access_token":"t","expires_in":"60"}"#, 61_000),
            (r#"{"access_token":"t"}"#, 301_000),
        ] {
            let token = Token::read(body.as_bytes(), now).expect("a token");
            assert_eq!(
                (token.secret.expose(), token.expires_at.as_millis()),
                ("t", end)
            );
        }
        assert!(Token::read(b"{\"error\":\"invalid_grant\"}", now).is_none());
    }

    #[test]
    fn what_is_no_key_cannot_sign() {
        let secret = r#"{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}"#;
        let Ok(Credentials::Token(source)) = read(Provider::Vertex, secret) else {
            panic!("a source of tokens");
        };
        assert!(source.request(Timestamp::from_millis(0)).is_err());
    }
}
