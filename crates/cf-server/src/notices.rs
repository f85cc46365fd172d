//! Notices at parts of a budget: a mail, an entry in the portal and webhooks,
//! once for each threshold and period.
//!
//! Calls only leave behind whose budget changed (`Touched`, in memory); a job
//! looks at those soon after, and now and then at all, which finds what
//! was missed. What was given stands in the database, in the transaction that
//! writes the messages, so that nodes and restarts do not repeat it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cf_base::{Clock, Id, Nanos, Timestamp, UserId};
use cf_collections::Action;
use cf_db::{Db, Row, Tx};
use cf_ledger::{AccountKind, Budget, OWNERS};
use cf_mail::{BudgetNotice, BudgetOf, Locale, budget_notice};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::outbox::NewMail;
use crate::{App, webhooks};

/// Key of the setting with the thresholds of tenants that have none of their own.
pub const SETTING: &str = "budget_notice_percents";
/// Thresholds where nothing is set.
const THRESHOLDS: [i64; 3] = [50, 80, 100];
/// Thresholds of a tenant at most.
const THRESHOLDS_MAX: usize = 10;
/// Owners that are remembered as touched; past that all are looked at.
const TOUCHED: usize = 10_000;
/// People who are told of a tenant's budget at most, of each kind.
const PEOPLE: usize = 50;
/// How long a notice is worth mailing.
const WORTH: Duration = Duration::from_secs(30 * 86_400);
/// How long entries of the portal are kept.
const KEPT: Duration = Duration::from_secs(365 * 86_400);

/// Reads thresholds: `None` if the text holds none, `Some(None)` if it leaves
/// them to the settings.
pub fn thresholds(text: &str) -> Option<Option<Vec<i64>>> {
    let found: Option<Vec<i64>> = serde_json::from_str(text).ok()?;
    let valid = found.as_ref().is_none_or(|list| {
        list.len() <= THRESHOLDS_MAX && list.iter().all(|percent| (1..=100).contains(percent))
    });
    valid.then_some(found)
}

/// Whose budgets changed since they were last looked at.
#[derive(Default)]
pub struct Touched(Mutex<Marks>);

#[derive(Default)]
struct Marks {
    users: HashSet<UserId>,
    /// More than can be remembered, or some were missed.
    all: bool,
}

impl Touched {
    /// Marks a user, and with the user the tenant.
    pub fn mark(&self, user: UserId) {
        let mut marks = self.0.lock();
        if marks.users.len() >= TOUCHED {
            marks.users.clear();
            marks.all = true;
        }
        if !marks.all {
            marks.users.insert(user);
        }
    }

    /// Marks everybody.
    pub fn mark_all(&self) {
        self.0.lock().all = true;
    }

    fn take(&self) -> Marks {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Whose budget it is, and what is needed to write about it.
pub struct Owner {
    kind: AccountKind,
    id: Id,
    name: String,
    email: String,
    active: bool,
    tenant_id: String,
    locale: String,
    time_zone: String,
    thresholds: Option<Vec<i64>>,
    /// Since when the owner is there.
    pub created: Timestamp,
}

/// The users and tenants among these ids.
pub async fn owners(db: &Db, ids: &[Id]) -> cf_base::Result<HashMap<Id, Owner>> {
    let mut found = HashMap::new();
    for ids in ids.chunks(OWNERS) {
        let list: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
        let list = list.join(", ");
        let params: Vec<cf_db::Value> = ids.iter().map(|id| (*id).into()).collect();
        let users = format!(
            "select u.id, u.name, u.created, coalesce(t.time_zone, ''), \
             coalesce(t.budget_notices, 'null'), \
             case when u.locale <> '' then u.locale else coalesce(t.locale, 'de') end, \
             u.tenant_id, u.email, u.status \
             from users u left join tenants t on t.id = u.tenant_id where u.id in ({list})"
        );
        let tenants = format!(
            "select id, name, created, time_zone, budget_notices, locale, id, '', status \
             from tenants where id in ({list})"
        );
        for (kind, sql) in [(AccountKind::User, users), (AccountKind::Tenant, tenants)] {
            for row in db.query(&sql, params.clone()).await? {
                let owner = owner(kind, &row)?;
                found.insert(owner.id, owner);
            }
        }
    }
    Ok(found)
}

fn owner(kind: AccountKind, row: &Row) -> cf_base::Result<Owner> {
    Ok(Owner {
        kind,
        id: row.at(0)?,
        name: row.at(1)?,
        created: Timestamp::parse(&row.at::<String>(2)?).unwrap_or_default(),
        time_zone: row.at(3)?,
        thresholds: thresholds(&row.at::<String>(4)?).flatten(),
        locale: row.at(5)?,
        tenant_id: row.at(6)?,
        email: row.at(7)?,
        active: row.at::<String>(8)? == "active",
    })
}

/// Gives the notices of those whose budgets changed.
pub async fn look_at_touched(app: &App) -> cf_base::Result<()> {
    let marks = app.touched.take();
    if marks.all {
        return look_at_all(app).await;
    }
    let mut users: Vec<Id> = marks.users.iter().map(|user| user.0).collect();
    users.sort_unstable();
    for users in users.chunks(OWNERS) {
        let result = look_at_users(app, users).await;
        if result.is_err() {
            // They are found with all others.
            app.touched.mark_all();
        }
        result?;
    }
    Ok(())
}

async fn look_at_users(app: &App, users: &[Id]) -> cf_base::Result<()> {
    let of_users = owners(&app.db, users).await?;
    let mut tenants: Vec<Id> = of_users
        .values()
        .filter_map(|owner| Id::parse(&owner.tenant_id).ok())
        .collect();
    tenants.sort_unstable();
    tenants.dedup();
    settle(app, cf_ledger::budgets_of(&app.db, users).await?).await?;
    settle(app, cf_ledger::budgets_of(&app.db, &tenants).await?).await
}

/// Gives the notices of all: the truth, whatever was missed.
pub async fn look_at_all(app: &App) -> cf_base::Result<()> {
    let mut after = None;
    loop {
        let budgets = cf_ledger::spent_budgets(&app.db, after).await?;
        let Some(last) = budgets.last() else {
            return Ok(());
        };
        after = Some(last.owner);
        settle(app, budgets).await?;
    }
}

async fn settle(app: &App, budgets: Vec<Budget>) -> cf_base::Result<()> {
    let ids: Vec<Id> = budgets.iter().map(|b| b.owner).collect();
    let owners = owners(&app.db, &ids).await?;
    let default = default_thresholds(&app.db).await?;
    let with_thresholds = budgets
        .into_iter()
        .filter_map(|budget| {
            let owner = owners.get(&budget.owner)?;
            let thresholds = owner.thresholds.as_ref().unwrap_or(&default).clone();
            Some((budget, thresholds))
        })
        .collect();
    for (budget, thresholds) in cf_ledger::unsettled(&app.db, with_thresholds).await? {
        if let Some(owner) = owners.get(&budget.owner) {
            give(app, owner, &budget, &thresholds).await?;
        }
    }
    Ok(())
}

async fn default_thresholds(db: &Db) -> cf_base::Result<Vec<i64>> {
    let row = db
        .query_opt(
            "select value from settings where key = $1",
            vec![SETTING.into()],
        )
        .await?;
    let set = row.map(|row| row.at::<String>(0)).transpose()?;
    Ok(set
        .and_then(|text| thresholds(&text).flatten())
        .unwrap_or_else(|| THRESHOLDS.to_vec()))
}

/// Somebody to tell.
pub struct Reader {
    pub id: String,
    pub name: String,
    pub locale: Locale,
    /// Where to write to; none: only the portal tells.
    pub email: Option<String>,
}

async fn give(app: &App, owner: &Owner, seen: &Budget, thresholds: &[i64]) -> cf_base::Result<()> {
    let mut tx = app.db.begin().await?;
    let given = cf_ledger::give_notice(&mut tx, seen, thresholds, &app.clock).await?;
    let Some((budget, percent)) = given else {
        // What is above the level now was taken back.
        return Ok(tx.commit().await?);
    };
    let now = app.clock.now();
    let told = told(owner, &budget, percent, now);
    let mut entries = Vec::new();
    for reader in readers(&mut tx, owner).await? {
        let letter = budget_notice(
            &BudgetNotice {
                name: &reader.name,
                of: match owner.kind {
                    AccountKind::Tenant => BudgetOf::Tenant(&owner.name),
                    _ => BudgetOf::Reader,
                },
                // The main budget needs no name.
                window: Some(budget.window.as_str())
                    .filter(|window| *window != cf_ledger::MAIN)
                    .unwrap_or_default(),
                percent,
                used: budget.account.posted,
                limit: budget.account.limit.unwrap_or_default(),
                currency: budget.account.currency,
                renews: budget.period_end().map(|t| owner.day(t)).as_deref(),
                used_up: budget
                    .forecast(owner.created, now)
                    .at()
                    .map(|t| owner.day(t))
                    .as_deref(),
                portal: &app.public_url("admin"),
            },
            reader.locale,
        );
        let entry = Entry {
            user_id: &reader.id,
            tenant_id: &owner.tenant_id,
            kind: "budget_notice",
            title: &letter.subject,
            body: &letter.body(),
            data: &told,
        };
        entries.push(write_entry(&mut tx, app, entry).await?);
        if let Some(email) = &reader.email {
            app.outbox
                .mail(
                    &mut tx,
                    NewMail {
                        event: "budget_notice",
                        to: email,
                        name: &reader.name,
                        user_id: &reader.id,
                        tenant_id: &owner.tenant_id,
                        letter: &letter,
                        valid_for: WORTH,
                    },
                )
                .await?;
        }
    }
    webhooks::tell(
        &app.outbox,
        &mut tx,
        webhooks::BUDGET_NOTICE,
        &owner.tenant_id,
        now,
        &told,
    )
    .await?;
    tx.commit().await?;
    tracing::info!(owner = %owner.id, percent, "a budget notice was given");
    for id in entries {
        app.publish("notifications", Action::Create, id.as_str())
            .await;
    }
    Ok(())
}

/// What webhooks and clients with words of their own are told.
fn told(owner: &Owner, budget: &Budget, percent: i64, now: Timestamp) -> Json {
    let date = |time: Option<Timestamp>| {
        time.map(|t| t.to_date_text().to_string())
            .unwrap_or_default()
    };
    let forecast = budget.forecast(owner.created, now);
    json!({
        "owner": if owner.kind == AccountKind::Tenant { "tenant" } else { "user" },
        "owner_id": owner.id,
        "name": owner.name,
        "tenant_id": owner.tenant_id,
        "window": budget.window,
        "percent": percent,
        "used": budget.account.posted.to_f64(),
        "limit": budget.account.limit.map(Nanos::to_f64),
        "currency": budget.account.currency.as_str(),
        "period_end": date(budget.period_end()),
        "forecast": forecast.as_str(),
        "used_up_at": date(forecast.at()),
    })
}

/// A user is told of the own budget; of a tenant's its administrators, and in
/// the portal those of the whole too, who would raise it.
async fn readers(tx: &mut Tx, owner: &Owner) -> cf_base::Result<Vec<Reader>> {
    if owner.kind != AccountKind::Tenant {
        return Ok(vec![Reader {
            id: owner.id.to_string(),
            name: owner.name.clone(),
            locale: Locale::of(&owner.locale),
            email: owner.active.then(|| owner.email.clone()),
        }]);
    }
    let mut readers = Vec::new();
    for (role, mails) in [("tenant_admin", true), ("admin", false)] {
        for mut reader in people(tx, role, owner.id.as_str()).await? {
            reader.email = reader.email.filter(|_| mails);
            readers.push(reader);
        }
    }
    if readers.is_empty() {
        // Somebody may become its administrator.
        readers.push(Reader {
            id: String::new(),
            name: String::new(),
            locale: Locale::of(&owner.locale),
            email: None,
        });
    }
    Ok(readers)
}

/// The active people of a role: `admin` of the whole, others of one tenant.
pub async fn people(tx: &mut Tx, role: &str, tenant: &str) -> cf_base::Result<Vec<Reader>> {
    let rows = tx
        .query(
            &format!(
                "select u.id, u.name, u.email, case when u.locale <> '' then u.locale \
                 else coalesce(t.locale, 'de') end from users u \
                 left join tenants t on t.id = u.tenant_id where u.role = $1 \
                 and u.status = 'active' and ($1 = 'admin' or u.tenant_id = $2) \
                 order by u.created limit {PEOPLE}"
            ),
            vec![role.into(), tenant.into()],
        )
        .await?;
    let mut people = Vec::with_capacity(rows.len());
    for row in &rows {
        people.push(Reader {
            id: row.at(0)?,
            name: row.at(1)?,
            locale: Locale::of(&row.at::<String>(3)?),
            email: Some(row.at(2)?),
        });
    }
    Ok(people)
}

/// An entry of the portal's notices.
pub struct Entry<'a> {
    /// Whom it is for; empty: administrators of the whole.
    pub user_id: &'a str,
    /// The tenant it is about; may be empty.
    pub tenant_id: &'a str,
    /// What it tells of.
    pub kind: &'a str,
    /// A line.
    pub title: &'a str,
    /// What it says.
    pub body: &'a str,
    /// The same for clients with words of their own.
    pub data: &'a Json,
}

/// Writes an entry, in the transaction of its cause; to be published after it.
pub async fn write_entry(tx: &mut Tx, app: &App, entry: Entry<'_>) -> cf_base::Result<Id> {
    let now = app.clock.now();
    let id = Id::sorted(now, &app.random);
    tx.execute(
        "insert into notifications (id, user_id, tenant_id, kind, title, body, data, created, \
         updated) values ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        vec![
            id.into(),
            entry.user_id.into(),
            entry.tenant_id.into(),
            entry.kind.into(),
            entry.title.into(),
            entry.body.into(),
            entry.data.to_string().into(),
            now.to_date_text().to_string().into(),
        ],
    )
    .await?;
    Ok(id)
}

impl Owner {
    /// The day in the owner's time zone, as `2026-01-31`.
    fn day(&self, time: Timestamp) -> String {
        let zone = jiff::tz::TimeZone::get(&self.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
        jiff::Timestamp::from_millisecond(time.as_millis())
            .map(|t| zone.to_datetime(t).date().to_string())
            .unwrap_or_default()
    }
}

/// Forgets entries of the portal that are a year old.
pub async fn clean(db: &Db, clock: &Clock) -> cf_base::Result<()> {
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_millis(clock.now().as_millis() - kept);
    let before: Vec<cf_db::Value> = vec![before.to_date_text().to_string().into()];
    let old = "select id from notifications where created < $1";
    // A read first: most of the time there is nothing to write.
    if db
        .query_opt(&format!("{old} limit 1"), before.clone())
        .await?
        .is_some()
    {
        let sql = format!("delete from notifications where id in ({old} limit 1000)");
        db.execute(&sql, before).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cf_base::Random;

    #[test]
    fn thresholds_are_a_short_list_of_percents_or_left_to_the_settings() {
        assert_eq!(thresholds("null"), Some(None));
        assert_eq!(thresholds("[]"), Some(Some(vec![])));
        assert_eq!(thresholds("[50, 100]"), Some(Some(vec![50, 100])));
        for wrong in [
            "",
            "50",
            "[0]",
            "[101]",
            "[\"50\"]",
            "[50.5]",
            "[1,2,3,4,5,6,7,8,9,10,11]",
        ] {
            assert_eq!(thresholds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn more_touched_than_can_be_remembered_are_all() {
        let random = Random::seeded(1);
        let touched = Touched::default();
        let user = UserId::new(&random);
        touched.mark(user);
        touched.mark(user);
        let marks = touched.take();
        assert_eq!((marks.users.len(), marks.all), (1, false));
        for _ in 0..=TOUCHED {
            touched.mark(UserId::new(&random));
        }
        let marks = touched.take();
        assert!(marks.all && marks.users.is_empty());
        assert!(!touched.take().all);
    }
}
