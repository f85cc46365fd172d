//! The way to the mail server: SMTP with STARTTLS, with TLS from the start, or
//! in clear on this machine.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use cf_base::{Secret, Timestamp};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters, TlsParametersBuilder};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::Content;

/// How long one command may take.
const COMMAND: Duration = Duration::from_secs(20);
/// How long a mail may take as a whole, whatever the server does.
const WHOLE: Duration = Duration::from_secs(60);
/// How much of a server's answer is kept.
const ANSWER: usize = 300;

/// How the connection is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    /// In clear at first, then TLS; refused if the server has none.
    StartTls,
    /// TLS from the start.
    Tls,
    /// In clear.
    None,
}

impl Security {
    /// The usual port.
    pub fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// Which mail server, and as whom.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Its name, which its certificate must carry.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Whom to sign in as, and the password.
    pub credentials: Option<(String, Secret)>,
    /// Who writes: `no-reply@example.com` or `Name <no-reply@example.com>`.
    pub from: String,
    /// Certificates (PEM) that are trusted beside the public ones.
    pub trusted: Option<String>,
}

/// Whether a host is this machine for sure.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It will never be: the server or the address says so.
    #[error("{0}")]
    Permanent(String),
    /// It may be later.
    #[error("{0}")]
    Temporary(String),
}

/// Sends mails; cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    domain: String,
}

impl Mailer {
    /// Checks the settings. Nothing is connected before the first mail.
    pub fn new(settings: &SmtpSettings) -> Result<Self, String> {
        let from: Mailbox = settings.from.parse().map_err(|_| {
            format!(
                "smtp_from is an address such as no-reply@example.com or \
                 \"CloudFreedom <no-reply@example.com>\", not \"{}\"",
                settings.from
            )
        })?;
        let domain = from.email.domain().to_owned();
        let tls = match settings.security {
            Security::StartTls => Tls::Required(parameters(settings)?),
            Security::Tls => Tls::Wrapper(parameters(settings)?),
            Security::None => Tls::None,
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(settings.host.as_str())
                .port(settings.port)
                .hello_name(ClientId::Domain(domain.clone()))
                .timeout(Some(COMMAND))
                .tls(tls);
        if let Some((user, password)) = &settings.credentials {
            builder =
                builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            from,
            domain,
        })
    }

    /// Sends one mail. The same `id` makes the same `Message-ID`, so that a mail
    /// that comes twice can be told.
    pub async fn send(
        &self,
        id: &str,
        to: &str,
        name: &str,
        content: &Content,
        written: Timestamp,
    ) -> Result<(), MailError> {
        let message = self
            .message(id, to, name, content, written)
            .map_err(MailError::Permanent)?;
        match tokio::time::timeout(WHOLE, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() && !is_about_sign_in(&error) => {
                Err(MailError::Permanent(sentence(&error)))
            }
            Ok(Err(error)) => Err(MailError::Temporary(sentence(&error))),
            Err(_) => Err(MailError::Temporary(format!(
                "the mail server did not finish within {} s",
                WHOLE.as_secs()
            ))),
        }
    }

    fn message(
        &self,
        id: &str,
        to: &str,
        name: &str,
        content: &Content,
        written: Timestamp,
    ) -> Result<Message, String> {
        let address = to
            .parse()
            .map_err(|_| "the recipient's address cannot be written to".to_owned())?;
        let name = (!name.trim().is_empty()).then(|| name.replace(['\r', '\n'], " "));
        let since_1970 = Duration::from_millis(u64::try_from(written.as_millis()).unwrap_or(0));
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(name, address))
            .message_id(Some(format!("<{id}@{}>", self.domain)))
            .date(SystemTime::UNIX_EPOCH + since_1970)
            .subject(content.subject.clone())
            .multipart(MultiPart::alternative_plain_html(
                content.text.clone(),
                content.html.clone(),
            ))
            .map_err(|e| format!("the mail could not be written: {e}"))?;
        // Holiday notices and the like need not answer (RFC 3834).
        message.headers_mut().insert_raw(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".into(),
        ));
        Ok(message)
    }
}

fn parameters(settings: &SmtpSettings) -> Result<TlsParameters, String> {
    let mut builder = TlsParametersBuilder::new(settings.host.clone());
    if let Some(pem) = &settings.trusted {
        let mut found = false;
        for block in pem.split_inclusive("-----END CERTIFICATE-----") {
            if block.contains("-----BEGIN CERTIFICATE-----") {
                let certificate = Certificate::from_pem(block.as_bytes())
                    .map_err(|e| format!("smtp_ca_file holds a certificate that is none: {e}"))?;
                builder = builder.add_root_certificate(certificate);
                found = true;
            }
        }
        if !found {
            return Err("smtp_ca_file holds no certificate (PEM)".into());
        }
    }
    builder
        .build()
        .map_err(|e| format!("the connection to the mail server cannot be set up: {e}"))
}

/// A wrong password is the settings' fault and not the mail's: once they are
/// mended, the mail can go (RFC 4954).
fn is_about_sign_in(error: &lettre::transport::smtp::Error) -> bool {
    let code = error.status().map(u16::from);
    matches!(code, Some(530 | 534 | 535 | 538))
}

/// The server's answer or the cause. It never holds what was sent: user,
/// password and text of the mail stay out of it.
fn sentence(error: &lettre::transport::smtp::Error) -> String {
    let text = error.to_string();
    let mut text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(ANSWER)
        .collect();
    if error.status().is_some() {
        text.insert_str(0, "the mail server answered: ");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SmtpSettings {
        SmtpSettings {
            host: "mail.example.com".into(),
            port: 587,
            security: Security::StartTls,
            credentials: Some(("user".into(), Secret::new("password"))),
            from: "CloudFreedom <no-reply@example.com>".into(),
            trusted: None,
        }
    }

    #[test]
    fn a_mail_has_a_stable_id_both_forms_and_no_second_recipient() {
        let mailer = Mailer::new(&settings()).expect("valid");
        let content = Content {
            subject: "Grüße".into(),
            text: "Text".into(),
            html: "<p>HTML</p>".into(),
        };
        let written = Timestamp::parse("2026-01-10 12:00:00Z").expect("a date");
        let name = "Max\r\nBcc: everybody@example.com";
        let message = mailer
            .message("abc", "max@example.com", name, &content, written)
            .expect("a mail");
        let text = String::from_utf8(message.formatted()).expect("text");
        assert!(text.contains("Message-ID: <abc@example.com>\r\n"), "{text}");
        assert!(
            text.contains("Date: Sat, 10 Jan 2026 12:00:00 +0000\r\n"),
            "{text}"
        );
        assert!(
            text.contains("Auto-Submitted: auto-generated\r\n"),
            "{text}"
        );
        assert!(text.contains("multipart/alternative"), "{text}");
        assert!(!text.contains("\nBcc:"), "{text}");
        assert_eq!(message.envelope().to().len(), 1);
        assert!(
            mailer
                .message("abc", "no address", "", &content, written)
                .is_err()
        );
    }

    #[test]
    fn settings_are_checked_before_the_first_mail() {
        let bad = SmtpSettings {
            from: "nobody".into(),
            ..settings()
        };
        assert!(
            Mailer::new(&bad)
                .err()
                .expect("refused")
                .contains("smtp_from")
        );
        let bad = SmtpSettings {
            trusted: Some("no certificate".into()),
            ..settings()
        };
        assert!(
            Mailer::new(&bad)
                .err()
                .expect("refused")
                .contains("smtp_ca_file")
        );
        for (host, loopback) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("mail.example.com", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(host), loopback, "{host}");
        }
    }
}
