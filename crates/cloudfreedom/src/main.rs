//! The program: commands and their options. What they do is in `cf-server`.

use std::path::PathBuf;
use std::process::ExitCode;

use cf_server::{Command, LogFormat, Password, Settings};
use clap::{Args, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sells access to AI models to many customers: users, budgets, an
/// OpenAI-compatible router, an admin portal and a chat, as one program.
#[derive(Parser)]
#[command(name = "cloudfreedom", version)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
    #[command(flatten)]
    options: Options,
}

/// Every option is also an environment variable and a key of the TOML file.
#[derive(Args)]
struct Options {
    /// TOML file with the same names as these options
    #[arg(long, global = true, env = "CLOUDFREEDOM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, global = true, env = "CLOUDFREEDOM_LISTEN")]
    listen: Option<String>,
    /// Folder for the embedded database and the master key [default: ./cf_data]
    #[arg(long, global = true, env = "CLOUDFREEDOM_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Domain under which api., admin., billing. and the tenants are [default: localhost]
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_BASE_DOMAIN",
        value_name = "DOMAIN"
    )]
    base_domain: Option<String>,
    /// postgres://… instead of SQLite in the data directory
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<String>,
    /// Addresses of proxies in front, comma-separated, whose X-Forwarded-For is believed
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_TRUSTED_PROXIES",
        value_name = "ADDRESSES"
    )]
    trusted_proxies: Option<String>,
    /// Not used by this version
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_REDIS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    redis_url: Option<String>,
    /// What runs here: core,portal,billing,router [default: all]
    #[arg(long, global = true, env = "CLOUDFREEDOM_ROLES")]
    roles: Option<String>,
    /// Example data on an empty data directory; allows private upstreams
    #[arg(long, global = true, env = "CLOUDFREEDOM_DEMO", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    demo: Option<bool>,
    /// Allows provider addresses in private networks (loopback, RFC 1918 …)
    #[arg(long, global = true, env = "CLOUDFREEDOM_ALLOW_PRIVATE_UPSTREAMS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_private_upstreams: Option<bool>,
    /// A key for the Billing API given from outside (environment rather than command line)
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_BILLING_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    billing_api_key: Option<String>,
    /// 64 hexadecimal digits instead of master.key (environment rather than command line)
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_MASTER_KEY",
        hide_env_values = true,
        value_name = "HEX"
    )]
    master_key: Option<String>,
    /// Address of the day's exchange rates in the ECB's XML, fetched every few hours [default: none]
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_EXCHANGE_RATES_URL",
        value_name = "URL"
    )]
    exchange_rates_url: Option<String>,
    /// Days after which an exchange rate is warned about [default: 7]
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_EXCHANGE_RATES_MAX_AGE_DAYS",
        value_name = "DAYS"
    )]
    exchange_rates_max_age_days: Option<u32>,
    /// Days that usage rows are kept, at least 7; their sums and statements stay [default: for ever]
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_USAGE_RETENTION_DAYS",
        value_name = "DAYS"
    )]
    usage_retention_days: Option<u32>,
    /// Days that responses are kept after they were last gone on from [default: 30]
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_RESPONSE_RETENTION_DAYS",
        value_name = "DAYS"
    )]
    response_retention_days: Option<u32>,
    /// Days that closed periods of budgets are kept, at least 62 [default: for ever]
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_BUDGET_RETENTION_DAYS",
        value_name = "DAYS"
    )]
    budget_retention_days: Option<u32>,
    /// text or json [default: text]
    #[arg(long, global = true, env = "CLOUDFREEDOM_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// Mail server; without one mails wait in the outbox
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_SMTP_HOST",
        value_name = "HOST"
    )]
    smtp_host: Option<String>,
    /// Port of the mail server [default: 587 with starttls, 465 with tls, 25 with none]
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_SMTP_PORT",
        value_name = "PORT"
    )]
    smtp_port: Option<u16>,
    /// starttls, tls or none (this machine only) [default: starttls]
    #[arg(long, global = true, env = "CLOUDFREEDOM_SMTP_SECURITY")]
    smtp_security: Option<String>,
    /// Whom to sign in as at the mail server
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_SMTP_USER",
        value_name = "USER"
    )]
    smtp_user: Option<String>,
    /// Password for the mail server (environment rather than command line)
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_SMTP_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    smtp_password: Option<String>,
    /// Address that mails come from, such as "CloudFreedom <no-reply@example.com>"
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_SMTP_FROM",
        value_name = "ADDRESS"
    )]
    smtp_from: Option<String>,
    /// PEM file with certificates that are trusted beside the public ones
    #[arg(
        long,
        global = true,
        env = "CLOUDFREEDOM_SMTP_CA_FILE",
        value_name = "FILE"
    )]
    smtp_ca_file: Option<PathBuf>,
    /// Allows mail in clear to another machine
    #[arg(long, global = true, env = "CLOUDFREEDOM_SMTP_ALLOW_PLAINTEXT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    smtp_allow_plaintext: Option<bool>,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Runs the server
    Serve,
    /// Superusers, who may do everything
    #[command(subcommand)]
    Superuser(Superuser),
    /// Administrators, who are users with role admin
    #[command(subcommand)]
    Admin(Admin),
    /// API keys of users
    #[command(subcommand)]
    Key(Key),
    /// Keys of the Billing API
    #[command(subcommand)]
    BillingKey(BillingKey),
    /// The price book
    #[command(subcommand)]
    Prices(Prices),
    /// The books
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Brings the database schema to this version
    Migrate,
    /// Checks settings and data and names what is wrong
    Doctor,
}

#[derive(Subcommand)]
enum Superuser {
    /// Makes a superuser, or changes its password
    Upsert {
        email: String,
        /// `-` reads a line of standard input; left out, it is asked for
        password: Option<String>,
    },
}

#[derive(Subcommand)]
enum Admin {
    /// Makes a user with role admin, and the internal tenant where there is none
    Create {
        #[arg(long)]
        email: String,
        /// `-` reads a line of standard input; left out, it is asked for
        #[arg(long, allow_hyphen_values = true)]
        password: Option<String>,
        /// Slug of the tenant [default: app]
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
    },
}

#[derive(Subcommand)]
enum Key {
    /// Makes an API key and prints it once, alone on the last line
    Create {
        /// E-mail address of the user
        #[arg(long, value_name = "EMAIL")]
        user: String,
        #[arg(long, default_value = "cli")]
        name: String,
    },
}

#[derive(Subcommand)]
enum BillingKey {
    /// Makes a key and prints it once, alone on the last line
    Create {
        #[arg(long)]
        name: String,
        /// read, check, log or manage; several times or comma-separated [default: manage]
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
        scopes: Vec<String>,
        /// Slug of the one tenant that it sees and touches [default: all]
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
        /// Requests a minute [default: 60000]
        #[arg(long, value_name = "NUMBER")]
        requests_per_minute: Option<u32>,
    },
    /// Lists the keys, one a line: id, name, scopes, tenant, requests a minute, last four
    /// characters, status, when it was made
    List,
    /// Ends the keys that have this name
    Revoke {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Subcommand)]
enum Prices {
    /// Shows what a new price list changes, and takes it where that is confirmed
    Import {
        /// A price list [default: the one that comes with the program]
        file: Option<PathBuf>,
        /// The day from which it holds, such as 2026-01-31 [default: today]
        #[arg(
            long,
            value_name = "DATE",
            default_value = "",
            hide_default_value = true
        )]
        effective: String,
        /// Takes it without asking
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
enum LedgerCommand {
    /// Works every balance and cost out again; prints what differs, exit code 1 if anything does
    Verify,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = match cli.command {
        CliCommand::Serve => Command::Serve,
        CliCommand::Superuser(Superuser::Upsert { email, password }) => Command::SuperuserUpsert {
            email,
            password: Password::given(password),
        },
        CliCommand::Admin(Admin::Create {
            email,
            password,
            tenant,
        }) => Command::AdminCreate {
            email,
            password: Password::given(password),
            tenant,
        },
        CliCommand::Key(Key::Create { user, name }) => Command::KeyCreate { user, name },
        CliCommand::BillingKey(BillingKey::Create {
            name,
            scopes,
            tenant,
            requests_per_minute,
        }) => Command::BillingKeyCreate {
            name,
            scopes,
            tenant,
            requests_per_minute,
        },
        CliCommand::BillingKey(BillingKey::List) => Command::BillingKeyList,
        CliCommand::BillingKey(BillingKey::Revoke { name }) => Command::BillingKeyRevoke { name },
        CliCommand::Prices(Prices::Import {
            file,
            effective,
            yes,
        }) => Command::PricesImport {
            file,
            effective,
            yes,
        },
        CliCommand::Ledger(LedgerCommand::Verify) => Command::LedgerVerify,
        CliCommand::Migrate => Command::Migrate,
        CliCommand::Doctor => Command::Doctor,
    };
    let options = cli.options;
    let file = options.config;
    let settings = Settings {
        listen: options.listen,
        data_dir: options.data_dir,
        base_domain: options.base_domain,
        database_url: options.database_url,
        trusted_proxies: options.trusted_proxies,
        redis_url: options.redis_url,
        roles: options.roles,
        demo: options.demo,
        allow_private_upstreams: options.allow_private_upstreams,
        billing_api_key: options.billing_api_key,
        master_key: options.master_key,
        exchange_rates_url: options.exchange_rates_url,
        exchange_rates_max_age_days: options.exchange_rates_max_age_days,
        usage_retention_days: options.usage_retention_days,
        response_retention_days: options.response_retention_days,
        budget_retention_days: options.budget_retention_days,
        log_format: options.log_format,
        smtp_host: options.smtp_host,
        smtp_port: options.smtp_port,
        smtp_security: options.smtp_security,
        smtp_user: options.smtp_user,
        smtp_password: options.smtp_password,
        smtp_from: options.smtp_from,
        smtp_ca_file: options.smtp_ca_file,
        smtp_allow_plaintext: options.smtp_allow_plaintext,
    };
    cf_server::run(command, settings, file.as_deref())
}
