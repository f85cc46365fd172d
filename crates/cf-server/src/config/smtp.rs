//! The mail server's settings, checked.

use cf_base::Secret;
use cf_mail::{Mailer, Security, SmtpSettings, is_loopback};

use super::Settings;

/// What is set of the mail server; none without `smtp_host`.
pub(super) fn mailer(settings: &mut Settings) -> Result<Option<Mailer>, String> {
    let user = settings.smtp_user.take().filter(|u| !u.is_empty());
    let password = settings.smtp_password.take().filter(|p| !p.is_empty());
    let from = settings.smtp_from.take().filter(|f| !f.is_empty());
    let Some(host) = settings.smtp_host.take().filter(|h| !h.is_empty()) else {
        if user.is_some() || password.is_some() || from.is_some() {
            return Err("smtp_host is not set, but other settings of the mail server are".into());
        }
        return Ok(None);
    };
    let security = match settings.smtp_security.as_deref().unwrap_or("starttls") {
        "starttls" => Security::StartTls,
        "tls" => Security::Tls,
        "none" => Security::None,
        other => {
            return Err(format!(
                "smtp_security is starttls, tls or none, not \"{other}\""
            ));
        }
    };
    if security == Security::None
        && !is_loopback(&host)
        && !settings.smtp_allow_plaintext.unwrap_or(false)
    {
        return Err(format!(
            "smtp_security is none, but {host} is not this machine: mails and the password would \
             travel in clear; set smtp_allow_plaintext to allow it"
        ));
    }
    let credentials = match (user, password) {
        (Some(user), Some(password)) => Some((user, Secret::new(password))),
        (None, None) => None,
        _ => return Err("smtp_user and smtp_password are set together or not at all".into()),
    };
    let Some(from) = from else {
        return Err("smtp_from is missing: the address that mails come from".into());
    };
    let trusted = match settings.smtp_ca_file.as_deref() {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|e| format!("smtp_ca_file {} cannot be read: {e}", path.display()))?,
        ),
        None => None,
    };
    Mailer::new(&SmtpSettings {
        host,
        port: settings.smtp_port.unwrap_or(security.port()),
        security,
        credentials,
        from,
        trusted,
    })
    .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(host: &str, security: &str) -> Settings {
        Settings {
            smtp_host: Some(host.into()),
            smtp_security: Some(security.into()),
            smtp_from: Some("no-reply@example.com".into()),
            ..Settings::default()
        }
    }

    fn refused(settings: Settings) -> String {
        settings.resolve().err().expect("refused")
    }

    #[test]
    fn plain_text_stays_on_this_machine_unless_it_is_allowed() {
        assert!(set("127.0.0.1", "none").resolve().is_ok());
        assert!(refused(set("mail.example.com", "none")).contains("smtp_allow_plaintext"));
        let allowed = Settings {
            smtp_allow_plaintext: Some(true),
            ..set("mail.example.com", "none")
        };
        assert!(allowed.resolve().is_ok());
    }

    #[test]
    fn half_settings_are_refused_and_name_what_is_missing() {
        assert!(
            Settings::default()
                .resolve()
                .is_ok_and(|c| c.mailer.is_none())
        );
        let from = Settings {
            smtp_from: None,
            ..set("mail.example.com", "tls")
        };
        assert!(refused(from).contains("smtp_from"));
        let user = Settings {
            smtp_user: Some("user".into()),
            ..set("mail.example.com", "tls")
        };
        assert!(refused(user).contains("smtp_password"));
        let host = Settings {
            smtp_host: None,
            ..set("mail.example.com", "tls")
        };
        assert!(refused(host).contains("smtp_host"));
        assert!(refused(set("mail.example.com", "ssl")).contains("starttls"));
    }
}
