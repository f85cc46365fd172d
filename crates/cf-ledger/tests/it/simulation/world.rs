//! The driver: makes up steps, does them to the ledger and to the model, compares.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cf_base::{
    Caller, Clock, Currency, Id, Keeping, KeyId, Limits, Money, Nanos, PicoUsd, Random, RequestId,
    Role, TenantId, Timestamp, Usage, UserId,
};
use cf_db::Db;
use cf_ledger::{
    AccountKind, By, ExternalUsage, Hold, HoldRequest, Ledger, MAIN, NewAccount, Period, Settled,
    WindowSpec, end_increase, increase, open_account, reset_budget, reset_due_budgets, set_limit,
    set_windows, top_up,
};
use cf_testkit::TestDb;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};

use super::model::{Extra, Model, Payers, ZONE, line};
use crate::fixture::call;

const USERS: usize = 5;
/// Calls running at a time, at most.
const RUNNING: usize = 120;
/// Steps between looks at the whole ledger.
const VERIFY: u64 = 4_000;
/// One token of the test price.
const TOKEN: i64 = 1_000;
const MINUTE: Duration = Duration::from_secs(60);

type Reserving = Pin<Box<MaybeDone<BoxFuture<'static, cf_base::Result<Hold>>>>>;

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub admitted: u64,
    pub lowered: u64,
    pub refused: u64,
    pub cancelled: u64,
    pub settled: u64,
    pub expired: u64,
    pub resets: u64,
    pub crashes: u64,
    pub verified: u64,
}

impl Tally {
    pub fn plus(mut self, other: Self) -> Self {
        self.steps += other.steps;
        self.admitted += other.admitted;
        self.lowered += other.lowered;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        self.settled += other.settled;
        self.expired += other.expired;
        self.resets += other.resets;
        self.crashes += other.crashes;
        self.verified += other.verified;
        self
    }
}

struct Running {
    hold: Hold,
    payers: Payers,
    reserved: i64,
}

/// A reservation of the Billing API.
struct Reserved {
    id: RequestId,
    caller: usize,
    reserved: i64,
    expires_at: Timestamp,
}

pub struct World {
    db: Db,
    ledger: Ledger,
    clock: Clock,
    random: Random,
    /// What the steps are made up from; the ledger's own ids come from another,
    /// whose order threads decide.
    dice: Random,
    callers: Vec<Arc<Caller>>,
    model: Model,
    running: Vec<Running>,
    reserved: Vec<Reserved>,
    tally: Tally,
    name: String,
    _test_db: TestDb,
}

impl World {
    pub async fn run(test_db: TestDb, seed: u64, steps: u64) -> Tally {
        let mut world = Self::new(test_db, seed).await;
        let mut verified = 0;
        while world.tally.steps < steps {
            world.calls().await;
            world.step().await;
            world.compare().await;
            if world.tally.steps - verified >= VERIFY {
                verified = world.tally.steps;
                world.verify().await;
            }
        }
        world.restart(false).await;
        world.clock.advance(MINUTE * 11);
        world.expire().await;
        world.compare().await;
        world.verify().await;
        assert_eq!(world.count("select count(*) from ledger_holds").await, 0);
        world.tally
    }

    async fn new(test_db: TestDb, seed: u64) -> Self {
        let clock = Clock::mock(Timestamp::parse("2026-03-20 12:00:00Z").unwrap());
        let (random, dice) = (Random::system(), Random::seeded(seed));
        let db = test_db.db.clone();
        let tenant_id = TenantId::new(&random);
        let mut callers = Vec::new();
        for _ in 0..USERS {
            let user_id = UserId::new(&random);
            for _ in 0..2 {
                callers.push(Arc::new(Caller {
                    user_id,
                    tenant_id,
                    key_id: Some(KeyId::new(&random)),
                    role: Role::User,
                    product_id: None,
                    product_models: vec![],
                    key_models: vec![],
                    limits: Limits::default(),
                    key_limits: Limits::default(),
                    tenant_limits: Limits::default(),
                    keeping: Keeping::default(),
                    regions: vec![],
                    currency: Currency::USD,
                    tenant_currency: Currency::USD,
                }));
            }
        }
        let ledger = Ledger::start(db.clone(), clock.clone(), random.clone())
            .await
            .unwrap();
        let mut world = Self {
            name: format!("{} with seed {seed}", test_db.name),
            db,
            ledger,
            clock,
            random,
            dice,
            callers,
            model: Model::default(),
            running: Vec::new(),
            reserved: Vec::new(),
            tally: Tally::default(),
            _test_db: test_db,
        };
        world.open(tenant_id.0, AccountKind::Tenant).await;
        for caller in world.callers.clone() {
            world.open(caller.key_id.unwrap().0, AccountKind::Key).await;
            if !world.model.owners.contains_key(caller.user_id.as_str()) {
                world.open(caller.user_id.0, AccountKind::User).await;
            }
        }
        world
    }

    fn below(&self, bound: u64) -> u64 {
        self.dice.below(bound)
    }

    fn tokens(&self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).unwrap() * TOKEN
    }

    fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn count(&self, sql: &str) -> i64 {
        let row = self.db.query_opt(sql, vec![]).await.unwrap();
        row.unwrap().at(0).unwrap()
    }

    async fn open(&mut self, owner: Id, kind: AccountKind) {
        let spec = self.spec(MAIN, kind);
        let new = NewAccount {
            owner,
            kind,
            currency: Currency::USD,
            limit: spec.limit,
            used: Nanos::ZERO,
            period: spec.period,
            carry_over: spec.carry_over,
            time_zone: ZONE.into(),
            resets_at: None,
        };
        let mut tx = self.db.begin().await.unwrap();
        open_account(&mut tx, &new, "test", &self.clock, &self.random)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let now = self.now();
        self.model.open(owner, kind, &spec, now);
    }

    fn spec(&self, name: &str, kind: AccountKind) -> WindowSpec {
        let most = match kind {
            AccountKind::Tenant => 600_000,
            AccountKind::User => 80_000,
            AccountKind::Key => 60_000,
        };
        let unlimited = name == MAIN && kind != AccountKind::User && self.below(3) > 0;
        WindowSpec {
            name: name.into(),
            limit: (!unlimited).then(|| Nanos(self.tokens(most))),
            period: match self.below(7) {
                0 => Period::Total,
                1 => Period::Days(1 + i64::try_from(self.below(4)).unwrap()),
                2..=4 => Period::Day,
                5 => Period::Week,
                _ => Period::Month,
            },
            carry_over: self.below(3) == 0,
        }
    }

    /// Reservations, ends and cancellations, all queued at once: the writer
    /// makes batches of them as it likes, but in this order.
    async fn calls(&mut self) {
        let mut asked: Vec<(Reserving, Payers, i64, Option<i64>, i64)> = Vec::new();
        let mut ending: Vec<Settled> = Vec::new();
        for _ in 0..self.below(100) {
            self.tally.steps += 1;
            let ends = self.running.len() > RUNNING || self.below(100) < 45;
            if ends && !self.running.is_empty() {
                let at = self.index(self.running.len());
                let Running {
                    hold,
                    payers,
                    reserved,
                } = self.running.swap_remove(at);
                self.tally.settled += 1;
                if self.below(6) == 0 {
                    drop(hold);
                    self.model.settle(payers, reserved, 0);
                    continue;
                }
                // Less, just as much, or more than was reserved.
                let cost = match self.below(4) {
                    0 => reserved / TOKEN * TOKEN,
                    1 => reserved / TOKEN * TOKEN + self.tokens(50),
                    _ => self.tokens(u64::try_from(reserved / TOKEN + 1).unwrap()),
                };
                ending.push(hold.settle(call(u64::try_from(cost / TOKEN).unwrap())));
                self.model.settle(payers, reserved, cost);
                continue;
            }
            let caller = Arc::clone(&self.callers[self.index(self.callers.len())]);
            let payers = payers(&caller);
            let worst = TOKEN + self.tokens(900);
            let least = match self.below(3) {
                0 => worst,
                _ => self.tokens(200).min(worst),
            };
            let mut reserving = self.reserving(caller, worst, least);
            // The first poll queues it; nothing is waited for.
            let _ = futures_util::poll!(tokio::task::unconstrained(&mut reserving));
            let granted = self.model.reserve(payers, worst, least);
            if self.below(20) == 0 {
                // The client is gone before the answer comes.
                drop(reserving);
                self.tally.cancelled += 1;
                if let Some(granted) = granted {
                    self.model.settle(payers, granted, 0);
                }
                continue;
            }
            let left = self.model.left(payers.user);
            asked.push((reserving, payers, worst, granted, left));
        }
        for (mut reserving, payers, worst, granted, left) in asked {
            (&mut reserving).await;
            match (reserving.as_mut().take_output().unwrap(), granted) {
                (Ok(hold), Some(reserved)) => {
                    assert_eq!(hold.granted(), pico(reserved), "{}", self.name);
                    assert_eq!(hold.remaining().0, left, "{}", self.name);
                    self.tally.admitted += 1;
                    self.tally.lowered += u64::from(reserved < worst);
                    self.running.push(Running {
                        hold,
                        payers,
                        reserved,
                    });
                }
                (Err(error), None) => {
                    assert!(error.message.starts_with("Budget exceeded"), "{error}");
                    self.tally.refused += 1;
                }
                (answer, granted) => panic!(
                    "{} after {} steps: the ledger says {:?}, the model {granted:?}",
                    self.name,
                    self.tally.steps,
                    answer.map(|hold| hold.granted()).map_err(|e| e.message)
                ),
            }
        }
        for settled in ending {
            settled.await.unwrap();
        }
        self.ledger.flush().await.unwrap();
    }

    fn reserving(&self, caller: Arc<Caller>, worst: i64, least: i64) -> Reserving {
        let request = HoldRequest {
            request_id: RequestId::new(self.now(), &self.random),
            caller,
            model: "small".into(),
            worst: pico(worst),
            least: pico(least),
            expires_in: MINUTE,
        };
        let ledger = self.ledger.clone();
        let reserving = async move { ledger.reserve(request).await };
        Box::pin(maybe_done(reserving.boxed()))
    }

    /// Anything else that may happen.
    async fn step(&mut self) {
        self.tally.steps += 1;
        match self.below(100) {
            0..20 => {
                let most = if self.below(10) == 0 {
                    40 * 24 * 60
                } else {
                    1_200
                };
                let minutes = u32::try_from(self.below(most)).unwrap();
                self.clock.advance(MINUTE * minutes);
            }
            20..40 => self.run_job().await,
            40..45 => self.change_limit().await,
            45..50 => self.top_up().await,
            50..56 => self.increase().await,
            56..60 => self.end_increase().await,
            60..66 => self.set_windows().await,
            66..70 => self.reset_by_hand().await,
            70..80 => self.reserve_external().await,
            80..88 => self.log_external().await,
            88..92 => self.expire().await,
            92..95 => self.restart(true).await,
            95..97 => self.restart(false).await,
            _ => {}
        }
    }

    async fn run_job(&mut self) {
        let reset = reset_due_budgets(&self.db, &self.clock, &self.random)
            .await
            .unwrap();
        self.tally.resets += u64::try_from(reset).unwrap();
        let now = self.now();
        self.model.run_job(now);
    }

    fn any_owner(&self) -> Id {
        let all: Vec<[Id; 3]> = self
            .callers
            .iter()
            .map(|c| [c.user_id.0, c.key_id.unwrap().0, c.tenant_id.0])
            .collect();
        all[self.index(all.len())][self.index(3)]
    }

    fn any_window(&self, owner: Id) -> String {
        let windows = &self.model.owners[owner.as_str()].windows;
        windows
            .keys()
            .nth(self.index(windows.len()))
            .unwrap()
            .clone()
    }

    async fn change_limit(&mut self) {
        let owner = self.any_owner();
        let kind = self.model.owners[owner.as_str()].kind;
        let limit = self.spec(MAIN, kind).limit;
        let mut tx = self.db.begin().await.unwrap();
        set_limit(
            &mut tx,
            owner,
            limit,
            "set",
            "test",
            &self.clock,
            &self.random,
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        self.model.window(owner, MAIN).base = limit.map(|limit| limit.0);
    }

    async fn top_up(&mut self) {
        let owner = self.any_owner();
        let amount = TOKEN + self.tokens(20_000);
        let mut tx = self.db.begin().await.unwrap();
        let done = top_up(
            &mut tx,
            owner,
            Nanos(amount),
            "paid",
            "test",
            &self.clock,
            &self.random,
        );
        let done = done.await;
        tx.commit().await.unwrap();
        let main = self.model.window(owner, MAIN);
        assert_eq!(done.is_ok(), main.base.is_some());
        main.base = main.base.map(|base| base + amount);
    }

    fn by(&self) -> By<'_> {
        By {
            note: "test",
            actor: "test",
            clock: &self.clock,
            random: &self.random,
        }
    }

    async fn increase(&mut self) {
        let owner = self.any_owner();
        let window = self.any_window(owner);
        let amount = TOKEN + self.tokens(20_000);
        let minutes = 1 + u32::try_from(self.below(3 * 24 * 60)).unwrap();
        let until = self.now().after(MINUTE * minutes);
        let mut tx = self.db.begin().await.unwrap();
        let done = increase(&mut tx, owner, &window, Nanos(amount), until, &self.by()).await;
        tx.commit().await.unwrap();
        let limited = self.model.window(owner, &window).base.is_some();
        assert_eq!(done.is_ok(), limited, "{done:?}");
        if let Ok(id) = done {
            self.model.window(owner, &window).extra += amount;
            self.model.extras.push(Extra {
                id,
                owner,
                window,
                amount,
                until,
            });
        }
    }

    async fn end_increase(&mut self) {
        if self.model.extras.is_empty() {
            return;
        }
        let at = self.index(self.model.extras.len());
        let extra = self.model.extras.swap_remove(at);
        let mut tx = self.db.begin().await.unwrap();
        end_increase(&mut tx, extra.owner, extra.id, &self.by())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.model.window(extra.owner, &extra.window).extra -= extra.amount;
    }

    async fn set_windows(&mut self) {
        let owner = self.any_owner();
        let kind = self.model.owners[owner.as_str()].kind;
        let mut specs = vec![self.spec(MAIN, kind)];
        for name in ["a", "b", "zz"] {
            if self.below(3) == 0 {
                specs.push(self.spec(name, kind));
            }
        }
        let mut tx = self.db.begin().await.unwrap();
        set_windows(&mut tx, owner, &specs, ZONE, &self.by())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let now = self.now();
        self.model.set_windows(owner, &specs, now);
    }

    async fn reset_by_hand(&mut self) {
        let owner = self.any_owner();
        let mut tx = self.db.begin().await.unwrap();
        reset_budget(&mut tx, owner, "by hand", "test", &self.clock, &self.random)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let now = self.now();
        self.model.reset_by_hand(owner, now);
    }

    async fn reserve_external(&mut self) {
        let caller = self.index(self.callers.len());
        let estimate = TOKEN + self.tokens(500);
        let who = Arc::clone(&self.callers[caller]);
        let got = self
            .ledger
            .reserve_external(
                RequestId::new(self.now(), &self.random),
                Arc::clone(&who),
                "x".into(),
                Nanos(estimate),
                MINUTE * 10,
            )
            .await;
        let granted = self.model.reserve(payers(&who), estimate, estimate);
        assert_eq!(got.is_ok(), granted.is_some(), "{}", self.name);
        if let Ok(id) = got {
            self.reserved.push(Reserved {
                id,
                caller,
                reserved: estimate,
                expires_at: self.now().after(MINUTE * 10),
            });
        }
    }

    /// Reported by another program: with a reservation or without, and whatever
    /// is left, as it has been spent.
    async fn log_external(&mut self) {
        let reservation = if self.reserved.is_empty() || self.below(3) == 0 {
            None
        } else {
            let at = self.index(self.reserved.len());
            Some(self.reserved.swap_remove(at))
        };
        let caller = match &reservation {
            Some(reserved) => reserved.caller,
            None => self.index(self.callers.len()),
        };
        let who = Arc::clone(&self.callers[caller]);
        let cost = self.tokens(600);
        let report = ExternalUsage {
            request_id: RequestId::new(self.now(), &self.random),
            caller: Arc::clone(&who),
            model: "x".into(),
            usage: Usage::default(),
            cost: Some(Money {
                nanos: Nanos(cost),
                currency: Currency::USD,
            }),
            price: None,
            reservation: reservation.as_ref().map(|r| r.id.clone()),
            metadata: "null".into(),
        };
        self.ledger.log_usage(report).await.unwrap();
        let reserved = reservation.map_or(0, |r| r.reserved);
        self.model.settle(payers(&who), reserved, cost);
    }

    async fn expire(&mut self) {
        let closed = self.ledger.expire_holds(false).await.unwrap();
        self.ledger.flush().await.unwrap();
        let expired = self.expire_in_model();
        self.tally.expired += u64::try_from(expired).unwrap();
        assert_eq!(closed, expired, "{}", self.name);
    }

    fn expire_in_model(&mut self) -> usize {
        let now = self.now();
        let mut expired = 0;
        for reserved in std::mem::take(&mut self.reserved) {
            if reserved.expires_at <= now {
                let payers = payers(&self.callers[reserved.caller]);
                self.model.settle(payers, reserved.reserved, 0);
                expired += 1;
            } else {
                self.reserved.push(reserved);
            }
        }
        expired
    }

    /// A new process. The old one has died with its calls, or was stopped.
    async fn restart(&mut self, crash: bool) {
        for running in std::mem::take(&mut self.running) {
            if crash {
                let _ = running.hold.leave_open();
            } else {
                drop(running.hold);
            }
            self.model.settle(running.payers, running.reserved, 0);
        }
        self.ledger.flush().await.unwrap();
        self.ledger = Ledger::start(self.db.clone(), self.clock.clone(), self.random.clone())
            .await
            .unwrap();
        // On PostgreSQL the others wait until it has been silent long enough.
        self.clock.advance(Duration::from_secs(31));
        self.ledger.heartbeat().await.unwrap();
        self.ledger.expire_holds(false).await.unwrap();
        self.ledger.flush().await.unwrap();
        self.expire_in_model();
        self.tally.crashes += u64::from(crash);
    }

    /// Every balance, limit and date against the model.
    async fn compare(&self) {
        let rows = self
            .db
            .query(
                "select owner_id, window_name, limit_nanos, posted_nanos, pending_nanos, \
                 carried_nanos, extra_nanos, reset_date from ledger_accounts \
                 order by owner_id, window_name",
                vec![],
            )
            .await
            .unwrap();
        let found: Vec<String> = rows
            .iter()
            .map(|row| {
                let amounts = [3, 4, 5, 6].map(|at| row.at(at).unwrap());
                line(
                    &row.at::<String>(0).unwrap(),
                    &row.at::<String>(1).unwrap(),
                    row.at(2).unwrap(),
                    amounts,
                    &row.at::<String>(7).unwrap(),
                )
            })
            .collect();
        let expected = self.model.lines();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(
                found, expected,
                "{} after {} steps",
                self.name, self.tally.steps
            );
        }
        assert_eq!(found.len(), expected.len(), "{}", self.name);
    }

    async fn verify(&mut self) {
        let found = Ledger::verify(&self.db).await.unwrap();
        assert_eq!(
            found,
            vec![],
            "{} after {} steps",
            self.name,
            self.tally.steps
        );
        self.tally.verified += 1;
    }
}

fn payers(caller: &Caller) -> Payers {
    Payers {
        user: caller.user_id.0,
        key: caller.key_id.unwrap().0,
        tenant: caller.tenant_id.0,
    }
}

fn pico(nanos: i64) -> PicoUsd {
    PicoUsd(i128::from(nanos) * 1_000)
}
