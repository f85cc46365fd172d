//! The settings of the server: from the command line, the environment and a
//! TOML file, in this order, each name the same in all three.

mod smtp;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use cf_base::Secret;
use cf_db::Location;
use cf_mail::Mailer;
use serde::Deserialize;

/// Days that responses are kept unless set otherwise, and at most.
const RESPONSE_DAYS: u32 = 30;
const MOST_RESPONSE_DAYS: u32 = 3_650;

/// The settings as they were given; what is missing takes its default. The keys
/// of the TOML file are exactly these names.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address and port to listen on.
    pub listen: Option<String>,
    /// Folder for the embedded database and the master key.
    pub data_dir: Option<PathBuf>,
    /// Domain under which the components have their hosts.
    pub base_domain: Option<String>,
    /// `postgres://…`; none for SQLite in the data directory.
    pub database_url: Option<String>,
    /// Comma list of addresses of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Option<String>,
    /// Reserved for shared counters.
    pub redis_url: Option<String>,
    /// Comma list of `core`, `portal`, `billing`, `router`.
    pub roles: Option<String>,
    /// Example data on an empty data directory; private upstreams allowed.
    pub demo: Option<bool>,
    /// Whether providers may be in private networks.
    pub allow_private_upstreams: Option<bool>,
    /// A key for the Billing API given from outside.
    pub billing_api_key: Option<String>,
    /// The master key as 64 hexadecimal digits; none: `master.key` in the data directory.
    pub master_key: Option<String>,
    /// Address of the day's exchange rates, in the ECB's XML.
    pub exchange_rates_url: Option<String>,
    /// Days after which an exchange rate is warned about.
    pub exchange_rates_max_age_days: Option<u32>,
    /// Days that usage rows are kept; 0 for ever.
    pub usage_retention_days: Option<u32>,
    /// Days that responses are kept after they were last gone on from.
    pub response_retention_days: Option<u32>,
    /// Days that closed periods of budgets are kept; 0 for ever.
    pub budget_retention_days: Option<u32>,
    /// `json` or `text`.
    pub log_format: Option<LogFormat>,
    /// The mail server; none: mails wait in the outbox.
    pub smtp_host: Option<String>,
    /// Its port; none: the usual one.
    pub smtp_port: Option<u16>,
    /// `starttls`, `tls` or `none`.
    pub smtp_security: Option<String>,
    /// Whom to sign in as at the mail server.
    pub smtp_user: Option<String>,
    /// The password for it.
    pub smtp_password: Option<String>,
    /// The address that mails come from.
    pub smtp_from: Option<String>,
    /// Certificates (PEM) that are trusted beside the public ones.
    pub smtp_ca_file: Option<PathBuf>,
    /// Whether mail may leave this machine in clear.
    pub smtp_allow_plaintext: Option<bool>,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object an event.
    Json,
    /// For people.
    Text,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("the log format is json or text".into()),
        }
    }
}

/// A part of the program that can run on its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Records, sign-in, realtime.
    Core,
    /// The web application for administrators.
    Portal,
    /// Budgets and usage for other programs.
    Billing,
    /// The AI router and the chat.
    Router,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Core, Self::Portal, Self::Billing, Self::Router];

    /// The name in settings, health answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Portal => "portal",
            Self::Billing => "billing",
            Self::Router => "router",
        }
    }
}

/// The settings, checked.
#[derive(Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Folder for the embedded database and the master key.
    pub data_dir: PathBuf,
    /// Domain under which the components have their hosts.
    pub base_domain: String,
    /// Where the data is.
    pub database: Location,
    /// What runs here.
    pub roles: BTreeSet<Role>,
    /// Whether an empty data directory gets example data.
    pub demo: bool,
    /// Whether providers may be in private networks.
    pub allow_private_upstreams: bool,
    /// A key for the Billing API given from outside.
    pub billing_api_key: Option<Secret>,
    /// The master key given from outside.
    pub master_key: Option<Secret>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Where the day's exchange rates are fetched, if anywhere.
    pub exchange_rates_url: Option<String>,
    /// Days after which an exchange rate is warned about.
    pub exchange_rates_max_age_days: i64,
    /// Days that usage rows are kept; 0 for ever.
    pub usage_retention_days: i64,
    /// How long responses are kept after they were last gone on from.
    pub response_retention: Duration,
    /// Days that closed periods of budgets are kept; 0 for ever.
    pub budget_retention_days: i64,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The way to the mail server, where one is set.
    pub mailer: Option<Mailer>,
    /// How long running streams get when the server stops.
    pub shutdown_grace: Duration,
}

impl Settings {
    /// Reads a TOML file; a key it does not know is an error that names it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("the settings file {} cannot be read: {e}", path.display()))?;
        toml::from_str(&text).map_err(|e| {
            format!(
                "the settings file {} is not valid{}: {}",
                path.display(),
                // Not the line itself: it may hold a password.
                e.span().map_or_else(String::new, |span| {
                    let line = text[..span.start].lines().count().max(1);
                    format!(" (line {line})")
                }),
                e.message()
            )
        })
    }

    /// What is set here, else what is set in `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            data_dir: self.data_dir.or(other.data_dir),
            base_domain: self.base_domain.or(other.base_domain),
            database_url: self.database_url.or(other.database_url),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            redis_url: self.redis_url.or(other.redis_url),
            roles: self.roles.or(other.roles),
            demo: self.demo.or(other.demo),
            allow_private_upstreams: self
                .allow_private_upstreams
                .or(other.allow_private_upstreams),
            billing_api_key: self.billing_api_key.or(other.billing_api_key),
            master_key: self.master_key.or(other.master_key),
            exchange_rates_url: self.exchange_rates_url.or(other.exchange_rates_url),
            exchange_rates_max_age_days: self
                .exchange_rates_max_age_days
                .or(other.exchange_rates_max_age_days),
            usage_retention_days: self.usage_retention_days.or(other.usage_retention_days),
            response_retention_days: self
                .response_retention_days
                .or(other.response_retention_days),
            budget_retention_days: self.budget_retention_days.or(other.budget_retention_days),
            log_format: self.log_format.or(other.log_format),
            smtp_host: self.smtp_host.or(other.smtp_host),
            smtp_port: self.smtp_port.or(other.smtp_port),
            smtp_security: self.smtp_security.or(other.smtp_security),
            smtp_user: self.smtp_user.or(other.smtp_user),
            smtp_password: self.smtp_password.or(other.smtp_password),
            smtp_from: self.smtp_from.or(other.smtp_from),
            smtp_ca_file: self.smtp_ca_file.or(other.smtp_ca_file),
            smtp_allow_plaintext: self.smtp_allow_plaintext.or(other.smtp_allow_plaintext),
        }
    }

    /// Checks the settings and fills in the defaults.
    pub fn resolve(mut self) -> Result<Config, String> {
        let mailer = smtp::mailer(&mut self)?;
        let listen = self.listen.as_deref().unwrap_or("127.0.0.1:8080");
        let listen: SocketAddr = listen.parse().map_err(|_| {
            format!("listen is an address and a port such as 127.0.0.1:8080, not \"{listen}\"")
        })?;
        let data_dir = self.data_dir.unwrap_or_else(|| "cf_data".into());
        let database = match self.database_url {
            None => Location::Sqlite(data_dir.join("data.db")),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Location::Postgres(url)
            }
            Some(_) => {
                return Err(
                    "database_url begins with postgres://; leave it out for SQLite in the data directory"
                        .into(),
                );
            }
        };
        if self.redis_url.is_some_and(|url| !url.is_empty()) {
            return Err(
                "redis_url is set, but this version keeps all counters in the database and in memory; \
                 leave it out"
                    .into(),
            );
        }
        let base_domain = self.base_domain.unwrap_or_else(|| "localhost".into());
        let base_domain = base_domain.trim_matches('.').to_ascii_lowercase();
        if base_domain.is_empty()
            || !base_domain
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        {
            return Err("base_domain is a domain such as example.com".into());
        }
        let demo = self.demo.unwrap_or(false);
        let allow_private_upstreams = self.allow_private_upstreams.unwrap_or(demo);
        let exchange_rates_url = self.exchange_rates_url.filter(|url| !url.is_empty());
        if let Some(url) = &exchange_rates_url {
            cf_http::check_address(url, allow_private_upstreams)
                .map_err(|e| format!("exchange_rates_url cannot be used: {e}"))?;
        }
        Ok(Config {
            listen,
            data_dir,
            base_domain,
            database,
            roles: roles(self.roles.as_deref())?,
            demo,
            allow_private_upstreams,
            billing_api_key: billing_key(self.billing_api_key)?,
            master_key: self.master_key.filter(|k| !k.is_empty()).map(Secret::new),
            trusted_proxies: proxies(self.trusted_proxies.as_deref())?,
            exchange_rates_url,
            exchange_rates_max_age_days: self.exchange_rates_max_age_days.unwrap_or(7).into(),
            usage_retention_days: retention(
                "usage_retention_days",
                self.usage_retention_days,
                cf_ledger::LEAST_RETENTION_DAYS,
            )?,
            budget_retention_days: retention(
                "budget_retention_days",
                self.budget_retention_days,
                cf_ledger::LEAST_PERIOD_DAYS,
            )?,
            response_retention: response_retention(self.response_retention_days)?,
            log_format: self.log_format.unwrap_or(LogFormat::Text),
            mailer,
            shutdown_grace: Duration::from_secs(30),
        })
    }
}

fn retention(name: &str, days: Option<u32>, least: i64) -> Result<i64, String> {
    match i64::from(days.unwrap_or(0)) {
        days if days > 0 && days < least => {
            Err(format!("{name} is 0, for ever, or at least {least}"))
        }
        days => Ok(days),
    }
}

fn response_retention(days: Option<u32>) -> Result<Duration, String> {
    match days.unwrap_or(RESPONSE_DAYS) {
        days @ 1..=MOST_RESPONSE_DAYS => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        _ => Err(format!(
            "response_retention_days is 1 to {MOST_RESPONSE_DAYS}"
        )),
    }
}

fn proxies(text: Option<&str>) -> Result<Vec<IpAddr>, String> {
    text.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(|address| {
            address.parse().map_err(|_| {
                format!(
                    "trusted_proxies is a list of addresses such as 127.0.0.1, not \"{address}\""
                )
            })
        })
        .collect()
}

fn roles(text: Option<&str>) -> Result<BTreeSet<Role>, String> {
    let Some(text) = text else {
        return Ok(Role::ALL.into());
    };
    let roles = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            Role::ALL
                .into_iter()
                .find(|role| role.as_str() == name)
                .ok_or_else(|| {
                    format!("there is no role \"{name}\"; roles are core, portal, billing, router")
                })
        })
        .collect::<Result<BTreeSet<_>, _>>()?;
    if roles.is_empty() {
        return Err("roles names at least one of core, portal, billing, router".into());
    }
    Ok(roles)
}

fn billing_key(key: Option<String>) -> Result<Option<Secret>, String> {
    match key.filter(|k| !k.is_empty()) {
        Some(key) if key.len() < 16 => {
            Err("billing_api_key has at least 16 characters, so that it cannot be guessed".into())
        }
        key => Ok(key.map(Secret::new)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_of_the_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cloudfreedom.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\nlisten_adress = \"x\"\n")
            .expect("written");
        let error = Settings::read(&path).err().expect("refused");
        assert!(error.contains("listen_adress"), "{error}");
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let line = Settings {
            listen: Some("127.0.0.1:1".into()),
            ..Settings::default()
        };
        let file = Settings {
            listen: Some("127.0.0.1:2".into()),
            base_domain: Some("Example.COM.".into()),
            ..Settings::default()
        };
        let config = line.or(file).resolve().expect("valid");
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.base_domain, "example.com");
        assert_eq!(config.roles.len(), 4);
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.resolve().err().expect("refused")
        };
        assert!(with(|s| s.listen = Some("8080".into())).contains("127.0.0.1:8080"));
        assert!(with(|s| s.usage_retention_days = Some(6)).contains("at least 7"));
        assert!(with(|s| s.budget_retention_days = Some(30)).contains("at least 62"));
        assert!(with(|s| s.roles = Some("core,kitchen".into())).contains("kitchen"));
        assert!(with(|s| s.database_url = Some("mysql://x".into())).contains("postgres://"));
        assert!(with(|s| s.billing_api_key = Some("short".into())).contains("16"));
    }
}
