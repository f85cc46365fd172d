//! What each command of the program does.

mod prices;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use cf_base::{Clock, Limits, MasterKey, Random, Sealer, TenantId, UserId};
use cf_collections::{Engine, EngineParts, RecordError, Shape};
use cf_db::{Db, Location};
use cf_identity::{
    Actor, AuditEntry, BILLING_REQUESTS_PER_MINUTE, BillingScopes, Identity, IdentityParams,
    NewBillingKey, NewKey, SetupToken,
};
use cf_ledger::Ledger;
use serde_json::{Map, Value, json};

use crate::app::Parts;
use crate::password::Password;
use crate::provision::{self, NewAdmin};
use crate::wiring::Wiring;
use crate::{App, Config, LogFormat, Settings, data_dir, demo, doctor, serve};

/// A command of the program.
pub enum Command {
    /// Runs the server.
    Serve,
    /// Makes a superuser or changes its password.
    SuperuserUpsert {
        /// E-mail address.
        email: String,
        /// Password.
        password: Password,
    },
    /// Makes an administrator.
    AdminCreate {
        /// E-mail address.
        email: String,
        /// Password.
        password: Password,
        /// Slug of the tenant.
        tenant: Option<String>,
    },
    /// Makes an API key.
    KeyCreate {
        /// E-mail address of the user.
        user: String,
        /// Name of the key.
        name: String,
    },
    /// Makes a key of the Billing API.
    BillingKeyCreate {
        /// Name of the key.
        name: String,
        /// What it may do; everything where none are named.
        scopes: Vec<String>,
        /// Slug of the one tenant it sees; none for all.
        tenant: Option<String>,
        /// Requests a minute, where it is not the usual number.
        requests_per_minute: Option<u32>,
    },
    /// Lists the keys of the Billing API.
    BillingKeyList,
    /// Ends keys of the Billing API.
    BillingKeyRevoke {
        /// Name of the keys.
        name: String,
    },
    /// Checks the books.
    LedgerVerify,
    /// Shows what a new price list changes, and takes it.
    PricesImport {
        /// The file; none for the list that comes with the program.
        file: Option<PathBuf>,
        /// The day from which it holds; empty for today.
        effective: String,
        /// Taken without asking.
        yes: bool,
    },
    /// Brings the schema to this version.
    Migrate,
    /// Checks settings and data.
    Doctor,
}

/// Runs a command; what went wrong is said in a sentence on standard error.
pub fn run(command: Command, settings: Settings, file: Option<&Path>) -> ExitCode {
    let config = file
        .map_or_else(|| Ok(Settings::default()), Settings::read)
        .and_then(|file| settings.or(file).resolve());
    let config = match config {
        Ok(config) => config,
        Err(sentence) => return fail(&sentence),
    };
    log_to_stderr(config.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no threads can be started: {error}")),
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve => run_server(config).await,
            Command::Doctor => doctor::run(&config).await,
            other => run_on_data(other, &config).await,
        }
    });
    // Blocking work that never ends (a stuck disk) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(code) => code,
        Err(sentence) => fail(&sentence),
    }
}

fn fail(sentence: &str) -> ExitCode {
    eprintln!("cloudfreedom: {sentence}");
    ExitCode::FAILURE
}

fn log_to_stderr(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CLOUDFREEDOM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // Fails only where a log is set up already, which is then as good.
    let _ = match format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text => log.with_ansi(false).try_init(),
    };
}

/// The data a command works on, and what it needs to work on it as the server would.
pub struct Desk {
    /// The database, migrated.
    pub db: Db,
    /// The secret of the installation.
    pub master: MasterKey,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Who is calling, and keys.
    pub identity: Identity,
    /// Records.
    pub engine: Engine,
}

impl Desk {
    /// Opens the data directory and brings its schema up to date.
    pub async fn open(config: &Config) -> Result<Self, String> {
        data_dir::prepare(&config.data_dir)?;
        let (clock, random) = (Clock::system(), Random::system());
        let db = data_dir::open_database(&config.database).await?;
        db.migrate(&clock)
            .await
            .map_err(|e| format!("the database cannot be brought up to date: {e}"))?;
        let master = data_dir::master_key(config, &db, &random).await?;
        let identity = Identity::new(
            db.clone(),
            clock.clone(),
            random.clone(),
            &master,
            &IdentityParams::default(),
        );
        let engine = Engine::new(EngineParts {
            db: db.clone(),
            clock: clock.clone(),
            random: random.clone(),
            hooks: Arc::new(Wiring {
                clock: clock.clone(),
                random: random.clone(),
                identity: identity.clone(),
                sealer: Sealer::new(&master),
                allow_private_upstreams: config.allow_private_upstreams,
                hub: Arc::default(),
            }),
        });
        Ok(Self {
            db,
            master,
            clock,
            random,
            identity,
            engine,
        })
    }
}

async fn run_server(config: Config) -> Result<ExitCode, String> {
    // First what costs nothing to check: a port in use must not migrate a database.
    data_dir::prepare(&config.data_dir)?;
    serve::take_open_files();
    let listener = serve::bind(config.listen).await?;
    let _lock = match &config.database {
        Location::Sqlite(_) => Some(data_dir::lock(&config.data_dir)?),
        Location::Postgres(_) => None,
    };
    let desk = Desk::open(&config).await?;
    let app = App::start(Parts {
        db: desk.db,
        clock: desk.clock,
        random: desk.random.clone(),
        master: desk.master,
        identity: IdentityParams {
            billing_key: config.billing_api_key.clone(),
            ..IdentityParams::default()
        },
        config,
    })
    .await
    .map_err(|e| e.to_string())?;
    if app.config.demo {
        demo::seed(&app).await?;
    }
    announce(
        &app,
        &desk.random,
        listener.local_addr().map_err(|e| e.to_string())?,
    )
    .await?;
    serve::serve(&app, listener).await;
    Ok(ExitCode::SUCCESS)
}

/// Says where everything is, and how to get in where nobody can yet.
async fn announce(app: &App, random: &Random, address: std::net::SocketAddr) -> Result<(), String> {
    let names: Vec<&str> = app.config.roles.iter().map(|r| r.as_str()).collect();
    tracing::info!(%address, roles = names.join(","), "listening");
    for (what, name) in [("portal", "admin"), ("core", "api"), ("billing", "billing")] {
        tracing::info!(url = app.public_url(name), "{what}");
    }
    let admin_exists = cf_identity::admin_exists(&app.db)
        .await
        .map_err(|e| e.to_string())?;
    if !admin_exists {
        let (setup, token) = SetupToken::new(random);
        *app.setup.write() = Some(setup);
        // To a person's eyes, not through the log's format; the token is for
        // whoever started the server, good once, and gone with the process.
        eprintln!(
            "\nThere is no administrator yet. Open this link once to make one:\n\n  \
             {0}/setup?token={1}\n\nor, if that name does not resolve:\n\n  \
             http://{2}/setup?token={1}\n",
            app.public_url("admin"),
            token.expose(),
            address,
        );
    }
    Ok(())
}

async fn run_on_data(command: Command, config: &Config) -> Result<ExitCode, String> {
    if let Command::LedgerVerify = command {
        return verify(config).await;
    }
    let desk = Desk::open(config).await?;
    match command {
        Command::Migrate => {
            let state = desk.db.migration_state().await.map_err(|e| e.to_string())?;
            eprintln!("The database is at schema {}.", state.current);
        }
        Command::SuperuserUpsert { email, password } => {
            let password = password.read("Password of the superuser: ")?;
            superuser_upsert(&desk, &email, password.expose())
                .await
                .map_err(sentence)?;
            eprintln!("The superuser {email} can sign in.");
        }
        Command::AdminCreate {
            email,
            password,
            tenant,
        } => {
            let password = password.read("Password of the administrator: ")?;
            let admin = NewAdmin {
                email: email.clone(),
                password: password.expose().to_owned(),
                name: String::new(),
                tenant,
            };
            provision::create_admin(&desk.engine, &desk.clock, admin)
                .await
                .map_err(sentence)?;
            eprintln!("The administrator {email} can sign in.");
        }
        Command::KeyCreate { user, name } => key_create(&desk, &user, name).await?,
        Command::BillingKeyCreate {
            name,
            scopes,
            tenant,
            requests_per_minute,
        } => {
            let scopes = match scopes.is_empty() {
                true => BillingScopes::all(),
                false => BillingScopes::parse(scopes.iter().map(String::as_str))
                    .map_err(|e| e.to_string())?,
            };
            let new = NewBillingKey {
                scopes,
                tenant_id: match tenant {
                    None => None,
                    Some(slug) => Some(tenant_by_slug(&desk, &slug).await?),
                },
                requests_per_minute: requests_per_minute.unwrap_or(BILLING_REQUESTS_PER_MINUTE),
                ..NewBillingKey::new(name)
            };
            billing_key_create(&desk, &new).await?;
        }
        Command::BillingKeyList => billing_key_list(&desk).await?,
        Command::BillingKeyRevoke { name } => billing_key_revoke(&desk, &name).await?,
        Command::PricesImport {
            file,
            effective,
            yes,
        } => return prices::import(&desk, file.as_deref(), &effective, yes).await,
        Command::Serve | Command::LedgerVerify | Command::Doctor => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn superuser_upsert(desk: &Desk, email: &str, password: &str) -> Result<(), RecordError> {
    let mut body = Map::new();
    body.insert("password".into(), password.into());
    body.insert("passwordConfirm".into(), password.into());
    match provision::find(&desk.engine, "_superusers", "email", email).await? {
        Some(found) => {
            let id = found["id"].as_str().unwrap_or_default();
            desk.engine
                .update(
                    &provision::system(),
                    "_superusers",
                    id,
                    &body,
                    &Shape::default(),
                )
                .await?;
        }
        None => {
            body.insert("email".into(), email.into());
            provision::create(&desk.engine, "_superusers", Value::Object(body)).await?;
        }
    }
    Ok(())
}

async fn key_create(desk: &Desk, email: &str, name: String) -> Result<(), String> {
    let user = provision::find(&desk.engine, "users", "email", email)
        .await
        .map_err(sentence)?
        .ok_or_else(|| format!("there is no user with the e-mail address {email}"))?;
    let user_id =
        UserId::parse(user["id"].as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
    let mut tx = desk.db.begin().await.map_err(|e| e.to_string())?;
    let tenant_id = user["tenant_id"]
        .as_str()
        .and_then(|t| TenantId::parse(t).ok());
    let key = NewKey {
        user_id,
        tenant_id,
        name,
        models: Vec::new(),
        limits: Limits::default(),
        expires: None,
        key: None,
    };
    let issued = provision::issue_key(
        &mut tx,
        &desk.clock,
        &desk.random,
        &desk.identity,
        key,
        None,
        "cli",
    )
    .await
    .map_err(|e| e.to_string())?;
    tx.commit().await.map_err(|e| e.to_string())?;
    print_secret(issued.key.expose());
    Ok(())
}

async fn tenant_by_slug(desk: &Desk, slug: &str) -> Result<TenantId, String> {
    let tenant = provision::find(&desk.engine, "tenants", "slug", slug)
        .await
        .map_err(sentence)?
        .ok_or_else(|| format!("there is no tenant with the slug \"{slug}\""))?;
    TenantId::parse(tenant["id"].as_str().unwrap_or_default()).map_err(|e| e.to_string())
}

async fn billing_key_create(desk: &Desk, new: &NewBillingKey) -> Result<(), String> {
    let mut tx = desk.db.begin().await.map_err(|e| e.to_string())?;
    let (id, key) = desk
        .identity
        .create_billing_key(&mut tx, new)
        .await
        .map_err(|e| e.to_string())?;
    let entry = AuditEntry {
        actor: Actor::command(),
        action: "create",
        collection: "billing_keys",
        record_id: id.as_str(),
        tenant_id: new.tenant_id,
        changes: json!({"name": new.name, "scopes": new.scopes.words(),
            "requests_per_minute": new.requests_per_minute}),
    };
    desk.identity
        .audit(&mut tx, entry)
        .await
        .map_err(|e| e.to_string())?;
    tx.commit().await.map_err(|e| e.to_string())?;
    print_secret(key.expose());
    Ok(())
}

async fn billing_key_revoke(desk: &Desk, name: &str) -> Result<(), String> {
    let mut tx = desk.db.begin().await.map_err(|e| e.to_string())?;
    let revoked = desk
        .identity
        .revoke_billing_keys_named(&mut tx, name)
        .await
        .map_err(|e| e.to_string())?;
    for key in &revoked {
        let entry = AuditEntry {
            actor: Actor::command(),
            action: "revoke",
            collection: "billing_keys",
            record_id: &key.id_text(),
            tenant_id: key.tenant_id,
            changes: json!({"name": key.name}),
        };
        desk.identity
            .audit(&mut tx, entry)
            .await
            .map_err(|e| e.to_string())?;
    }
    tx.commit().await.map_err(|e| e.to_string())?;
    for key in &revoked {
        eprintln!(
            "The billing key {} ({}) is revoked.",
            key.name,
            key.id_text()
        );
    }
    Ok(())
}

/// One key a line, tab-separated: id, name, scopes, tenant, requests a minute,
/// last four characters, status, when it was made.
#[allow(clippy::print_stdout)] // the command's result
async fn billing_key_list(desk: &Desk) -> Result<(), String> {
    const PAGE: u32 = 500;
    let mut offset = 0;
    loop {
        let keys = cf_identity::list_billing_keys(&desk.db, PAGE, offset)
            .await
            .map_err(|e| e.to_string())?;
        for listed in &keys {
            let key = &listed.key;
            println!(
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                key.id_text(),
                key.name,
                key.scopes,
                key.tenant_id
                    .map_or_else(|| "all tenants".to_owned(), |t| t.to_string()),
                key.requests_per_minute,
                listed.last4,
                if listed.active { "active" } else { "revoked" },
                listed.created,
            );
        }
        if keys.len() < PAGE as usize {
            return Ok(());
        }
        offset += u64::from(PAGE);
    }
}

/// Alone on the last line of standard output, for scripts.
#[allow(clippy::print_stdout)] // the command's result
fn print_secret(secret: &str) {
    println!("{secret}");
}

#[allow(clippy::print_stdout)] // the command's result
async fn verify(config: &Config) -> Result<ExitCode, String> {
    let db = data_dir::open_database(&config.database).await?;
    let state = db.migration_state().await.map_err(|e| e.to_string())?;
    if state.current != state.target {
        return Err(format!(
            "the database is at schema {}, this program needs {}; run `cloudfreedom migrate` first",
            state.current, state.target
        ));
    }
    let found = Ledger::verify(&db).await.map_err(|e| e.to_string())?;
    for difference in &found {
        println!(
            "{}: stands at {}, should be {}",
            difference.what, difference.stands, difference.should_be
        );
    }
    if found.is_empty() {
        println!("The ledger is clean.");
        Ok(ExitCode::SUCCESS)
    } else {
        println!("{} differences.", found.len());
        Ok(ExitCode::FAILURE)
    }
}

/// A refusal of the record engine as one sentence for a terminal.
fn sentence(error: RecordError) -> String {
    let mut text = error.message.to_string();
    for (field, what) in &error.data {
        let message = what["message"].as_str().unwrap_or_default();
        text.push_str(&format!(" {field}: {message}"));
    }
    if let Some(source) = error.source {
        text.push_str(&format!(" ({source})"));
    }
    text
}
