//! `cloudfreedom doctor`: looks at settings and data as an operator would, and
//! says what is wrong and what to do about it.

use std::process::ExitCode;

use cf_base::{Clock, Random, Sealed, Sealer};
use cf_db::{Db, Location};
use cf_ledger::Ledger;

use crate::{Config, data_dir, exchange_rates};

struct Report {
    problems: usize,
}

#[allow(clippy::print_stdout)] // the command's result
impl Report {
    fn ok(&self, what: &str) {
        println!("ok       {what}");
    }

    fn problem(&mut self, what: &str) {
        self.problems += 1;
        println!("PROBLEM  {what}");
    }

    fn note(&self, what: &str) {
        println!("note     {what}");
    }
}

/// Checks everything; exit code 1 if there is a problem.
pub async fn run(config: &Config) -> Result<ExitCode, String> {
    let mut report = Report { problems: 0 };
    match data_dir::prepare(&config.data_dir) {
        Ok(()) => report.ok(&format!(
            "data directory {} can be written",
            config.data_dir.display()
        )),
        Err(e) => report.problem(&e),
    }
    match data_dir::open_database(&config.database).await {
        Err(e) => report.problem(&e),
        Ok(db) => {
            if let Err(error) = database(config, &db, &mut report).await {
                report.problem(&format!("the database cannot be read: {error}"));
            }
        }
    }
    if report.problems == 0 {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

async fn database(config: &Config, db: &Db, report: &mut Report) -> Result<(), cf_base::Error> {
    report.ok(match config.database {
        Location::Sqlite(_) => "SQLite database opens",
        Location::Postgres(_) => "PostgreSQL answers",
    });
    let state = db.migration_state().await?;
    if state.current == 0 {
        report.note("the database is empty; the first start of the server sets it up");
        return Ok(());
    }
    if state.current != state.target {
        report.problem(&format!(
            "the database is at schema {}, this program needs {}: run `cloudfreedom migrate`",
            state.current, state.target
        ));
        return Ok(());
    }
    report.ok(&format!("schema {} is current", state.current));
    let master = match data_dir::master_key(config, db, &Random::system()).await {
        Ok(key) => {
            report.ok("the master key belongs to this database");
            Some(key)
        }
        Err(e) => {
            report.problem(&e);
            None
        }
    };
    people(db, report).await?;
    models(db, master.map(|m| Sealer::new(&m)), report).await?;
    budgets(db, report).await?;
    messages(config, db, report).await?;
    rates(config, db, report).await?;
    prices(db, report).await?;
    let differences = Ledger::verify(db).await?;
    if differences.is_empty() {
        report.ok("the ledger is clean");
    } else {
        report.problem(&format!(
            "the ledger has {} differences: see `cloudfreedom ledger verify`",
            differences.len()
        ));
    }
    Ok(())
}

/// "No mail arrives."
async fn messages(config: &Config, db: &Db, report: &mut Report) -> Result<(), cf_base::Error> {
    let waiting = "select count(*) from messages where state = 'waiting' and kind = 'mail'";
    let waiting = count(db, waiting).await?;
    match (&config.mailer, waiting) {
        (None, 0) => {
            report.note("no mail server is set (smtp_host): mails will wait in the outbox")
        }
        (None, _) => report.problem(&format!(
            "{waiting} mails wait because no mail server is set: set smtp_host and smtp_from"
        )),
        (Some(_), _) => report.ok("a mail server is set"),
    }
    let dead = count(db, "select count(*) from messages where state = 'dead'").await?;
    if dead > 0 {
        report.note(&format!(
            "{dead} mails and webhook deliveries were given up; the portal's outbox says why"
        ));
    }
    Ok(())
}

/// "I cannot sign in to the portal."
async fn people(db: &Db, report: &mut Report) -> Result<(), cf_base::Error> {
    let admins = count(
        db,
        "select count(*) from users where role = 'admin' and status = 'active'",
    )
    .await?;
    if admins == 0 {
        report.problem(
            "nobody can sign in to the portal as administrator: run `cloudfreedom admin create --email E \
             --password P` (a user needs role admin and status active)",
        );
    } else {
        report.ok(&format!("{admins} active administrators"));
    }
    let shut = "select count(*) from users u join tenants t on t.id = u.tenant_id \
                where u.role = 'admin' and u.status = 'active' and t.status <> 'active'";
    let shut = count(db, shut).await?;
    if shut > 0 {
        report.problem(&format!(
            "{shut} administrators belong to a tenant that is not active, so they cannot sign in"
        ));
    }
    let pending = count(db, "select count(*) from users where status = 'pending'").await?;
    if pending > 0 {
        report.note(&format!("{pending} users wait for approval"));
    }
    Ok(())
}

/// "The chat says: no models available."
async fn models(
    db: &Db,
    sealer: Option<Sealer>,
    report: &mut Report,
) -> Result<(), cf_base::Error> {
    let active = count(db, "select count(*) from models where active = 1").await?;
    if active == 0 {
        report.problem(
            "there is no active model, so the chat shows none: add one in the portal under Models",
        );
    } else {
        report.ok(&format!("{active} active models"));
    }
    let keys = db
        .query(
            "select id, name, provider, secret_sealed, trouble, trouble_since from provider_keys \
             where active = 1",
            vec![],
        )
        .await?;
    if keys.is_empty() {
        report
            .problem("there is no active provider key: add one in the portal under Provider keys");
    }
    let mut known: Vec<String> = Vec::new();
    for row in &keys {
        let (id, name): (String, String) = (row.get("id")?, row.get("name")?);
        let sealed: String = row.get("secret_sealed")?;
        if let Some(sealer) = &sealer
            && !sealed.is_empty()
            && sealer
                .open(&Sealed(sealed), &format!("provider_keys/{id}"))
                .is_none()
        {
            report.problem(&format!(
                "the secret of provider key \"{name}\" cannot be opened: enter it again in the portal"
            ));
        }
        let trouble: String = row.get("trouble")?;
        if !trouble.is_empty() {
            let since: String = row.get("trouble_since")?;
            report.problem(&format!(
                "the provider refuses provider key \"{name}\" ({trouble}, since {since}): put it right \
                 and test it in the portal under Provider keys"
            ));
        }
        known.push(id);
    }
    for row in db
        .query(
            "select name, deployments from models where active = 1",
            vec![],
        )
        .await?
    {
        let name: String = row.get("name")?;
        let deployments: serde_json::Value =
            serde_json::from_str(&row.get::<String>("deployments")?).unwrap_or_default();
        let usable = deployments.as_array().is_some_and(|list| {
            list.iter().any(|d| {
                d["provider_key"]
                    .as_str()
                    .is_some_and(|key| known.iter().any(|k| k == key))
            })
        });
        if !usable {
            report.problem(&format!(
                "model \"{name}\" has no deployment with an active provider key"
            ));
        }
    }
    Ok(())
}

/// "Budget exceeded, although there is budget."
async fn budgets(db: &Db, report: &mut Report) -> Result<(), cf_base::Error> {
    let without = "select count(*) from users u left join ledger_accounts a on a.owner_id = u.id \
                   and a.window_name = 'main' \
                   where u.status = 'active' and coalesce(a.limit_nanos, 0) = 0";
    let without = count(db, without).await?;
    if without > 0 {
        report.note(&format!(
            "{without} active users have a budget of zero: every call that costs something is refused"
        ));
    }
    let now = Clock::system().now().to_date_text().to_string();
    let late = db
        .query_opt(
            "select count(*) from ledger_accounts where reset_date <> '' and reset_date < $1",
            vec![now.into()],
        )
        .await?
        .map_or(Ok(0_i64), |row| row.at(0))?;
    if late > 0 {
        report.note(&format!(
            "{late} budgets are due for a reset; a running server does it within a minute"
        ));
    }
    Ok(())
}

/// "The bills are off."
async fn rates(config: &Config, db: &Db, report: &mut Report) -> Result<(), cf_base::Error> {
    for rate in cf_ledger::rates_in_use(db, Clock::system().now()).await? {
        let quote = &rate.quote;
        if rate.rate.is_none() {
            report.problem(&format!(
                "there are budgets in {quote} without an exchange rate from USD: calls of these users are \
                 refused"
            ));
        } else if rate.placeholder {
            report.problem(&format!(
                "the exchange rate from USD to {quote} is a placeholder: set the real one in the portal \
                 under Exchange rates, or every bill is off"
            ));
        } else if rate.age_days > config.exchange_rates_max_age_days {
            report.problem(&format!(
                "the exchange rate from USD to {quote} is of {} ({} days old): {}",
                rate.date,
                rate.age_days,
                exchange_rates::remedy(config)
            ));
        }
    }
    Ok(())
}

/// "Is what we bill by still right?"
async fn prices(db: &Db, report: &mut Report) -> Result<(), cf_base::Error> {
    if cf_ledger::prices_outdated(db, &Clock::system()).await? {
        report.note(
            "this program brings a newer price book than the one in force: look at what it changes with \
             `cloudfreedom prices import`, and take it there",
        );
    }
    Ok(())
}

async fn count(db: &Db, sql: &str) -> Result<i64, cf_base::Error> {
    Ok(db
        .query_opt(sql, vec![])
        .await?
        .map_or(Ok(0), |row| row.at(0))?)
}
