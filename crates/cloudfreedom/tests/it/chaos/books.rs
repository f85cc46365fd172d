//! What the books must say, compared with what clients had and what the provider
//! counted.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use cf_db::{Db, Location};
use cf_ledger::Ledger;
use cf_testkit::Count;

use super::load::Outcome;
use super::provider::Number;
use crate::process::run;

/// Compares what clients had with the books.
pub struct Witness {
    location: Location,
    provider: Count,
    /// The last row that was looked at; ids sort by time.
    last: String,
    /// Calls in the books.
    booked: HashMap<String, Option<Number>>,
    /// Replies of the provider that a row stands for.
    billed: HashSet<Number>,
    /// Replies that clients had in full and that were not looked for yet.
    expected: Vec<(String, Option<Number>)>,
    /// Ids that clients were told, each once.
    told: HashSet<String>,
    hung_up: u64,
    cancelled: u64,
    verified: u64,
}

impl Witness {
    pub fn new(location: &Location, provider: &Count) -> Self {
        Self {
            location: location.clone(),
            provider: provider.clone(),
            last: String::new(),
            booked: HashMap::new(),
            billed: HashSet::new(),
            expected: Vec::new(),
            told: HashSet::new(),
            hung_up: 0,
            cancelled: 0,
            verified: 0,
        }
    }

    pub fn rows(&self) -> usize {
        self.booked.len()
    }

    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Keeps what clients had, to be looked for after the next start.
    pub fn expect(&mut self, outcomes: Vec<Outcome>, context: &str) {
        for outcome in outcomes {
            match outcome {
                Outcome::Full { request_id, number } => {
                    assert!(
                        self.told.insert(request_id.clone()),
                        "the id {request_id} came twice in {context}"
                    );
                    self.expected.push((request_id, number));
                }
                Outcome::HungUp => self.hung_up += 1,
                Outcome::Refused { .. } | Outcome::Cut => {}
            }
        }
    }

    /// Looks at all that came into the books since the last time. The connection
    /// is closed again: the next start must find the files as the kill left them.
    pub async fn look(&mut self, context: &str) {
        let db = Db::open(&self.location).await.unwrap();
        self.read_rows(&db, context).await;
        for (request_id, number) in std::mem::take(&mut self.expected) {
            let booked = self.booked.get(&request_id);
            let Some(Some(booked)) = booked else {
                panic!("{request_id} was answered in full and stands as {booked:?} in {context}");
            };
            assert!(
                number.is_none_or(|number| number == *booked),
                "{request_id} was answered as {number:?} and is booked as {booked:?} in {context}"
            );
        }
        let over = db
            .query(
                "select kind, owner_id, limit_nanos, posted_nanos, pending_nanos \
                 from ledger_accounts where posted_nanos + pending_nanos > limit_nanos",
                vec![],
            )
            .await
            .unwrap();
        assert!(over.is_empty(), "above its limit in {context}: {over:?}");
        // Only a call that its client left is booked as cancelled.
        assert!(
            self.cancelled <= self.hung_up,
            "{} cancelled calls, {} hung up in {context}",
            self.cancelled,
            self.hung_up
        );
        if matches!(self.location, Location::Sqlite(_)) {
            self.nothing_open_in(&db, context).await;
        }
    }

    async fn read_rows(&mut self, db: &Db, context: &str) {
        let rows = db
            .query(
                "select id, request_id, status, prompt_tokens, cached_tokens, completion_tokens, \
                 (select count(*) from ledger_entries e where e.id = u.id \
                 and e.request_id = u.request_id and e.posted_nanos = u.cost) as entries \
                 from usage_logs u where id > $1 order by id",
                vec![self.last.clone().into()],
            )
            .await
            .unwrap();
        for row in rows {
            self.last = row.get("id").unwrap();
            let request_id: String = row.get("request_id").unwrap();
            let entries: i64 = row.get("entries").unwrap();
            assert_eq!(entries, 1, "entries of {request_id} in {context}");
            let status: String = row.get("status").unwrap();
            let number = match status.as_str() {
                "ok" => Some(Number::of(
                    row.get("prompt_tokens").unwrap(),
                    row.get("cached_tokens").unwrap(),
                    row.get("completion_tokens").unwrap(),
                )),
                "expired" => None,
                "cancelled" => {
                    self.cancelled += 1;
                    None
                }
                other => panic!("{request_id} is booked as {other} in {context}"),
            };
            if let Some(number) = number {
                assert!(
                    self.provider.has_answered(number.0),
                    "{request_id} is booked as {number:?}, which the provider did not answer, in {context}"
                );
                assert!(
                    self.billed.insert(number),
                    "{number:?} of the provider is billed twice, again as {request_id}, in {context}"
                );
            }
            let twice = self.booked.insert(request_id.clone(), number).is_some();
            assert!(!twice, "{request_id} is booked twice in {context}");
        }
    }

    /// No hold, nothing pending, and a row for every call that the provider was sent.
    async fn nothing_open_in(&self, db: &Db, context: &str) {
        assert_eq!(open(db).await, (0, 0), "open holds, pending in {context}");
        let asked = usize::try_from(self.provider.asked()).unwrap();
        assert!(
            self.booked.len() >= asked,
            "the provider was sent {asked} calls, {} are in the books in {context}",
            self.booked.len()
        );
    }

    /// After an orderly stop, before anything is put in order.
    pub async fn nothing_open(&self, context: &str) {
        if matches!(self.location, Location::Sqlite(_)) {
            let db = Db::open(&self.location).await.unwrap();
            assert_eq!(open(&db).await, (0, 0), "after SIGTERM in {context}");
        }
    }

    /// Waits until the reservations of dead processes are released.
    pub async fn wait_for_expiry(&mut self, limit: Duration, context: &str) {
        let db = Db::open(&self.location).await.unwrap();
        let start = Instant::now();
        while open(&db).await != (0, 0) {
            assert!(start.elapsed() < limit, "holds stay open {context}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        self.read_rows(&db, context).await;
        self.nothing_open_in(&db, context).await;
    }

    /// `cloudfreedom ledger verify`, as an operator runs it beside the server.
    pub async fn verify(&mut self, data_dir: &Path, context: &str) {
        let mut arguments = vec!["ledger", "verify"];
        if let Location::Postgres(url) = &self.location {
            arguments.extend(["--database-url", url]);
        }
        let output = run(data_dir, &arguments);
        assert!(output.status.success(), "{output:?} in {context}");
        let db = Db::open(&self.location).await.unwrap();
        assert_eq!(Ledger::verify(&db).await.unwrap(), vec![], "{context}");
        self.verified += 1;
    }
}

/// Open holds, and what is pending on all accounts.
async fn open(db: &Db) -> (i64, i64) {
    let row = db
        .query_opt(
            "select (select count(*) from ledger_holds), \
             (select cast(coalesce(sum(abs(pending_nanos)), 0) as bigint) from ledger_accounts)",
            vec![],
        )
        .await
        .unwrap()
        .unwrap();
    (row.at(0).unwrap(), row.at(1).unwrap())
}
