use std::time::Duration;

use cf_base::{Id, Nanos, Timestamp};
use cf_ledger::{
    Account, By, Ledger, MAIN, Period, WindowSpec, closed_periods, end_increase, increase,
    increases, prune_old_periods, reset_due_budgets, set_windows, windows,
};

use crate::fixture::{DOLLAR, Fixture, call, nanos};

const DAY: Duration = Duration::from_secs(86_400);

fn window(name: &str, limit: &str, period: Period) -> WindowSpec {
    WindowSpec {
        name: name.into(),
        limit: Some(nanos(limit)),
        period,
        carry_over: false,
    }
}

impl Fixture {
    fn by(&self) -> By<'_> {
        By {
            note: "test",
            actor: "admin",
            clock: &self.clock,
            random: &self.random,
        }
    }

    async fn set(&self, owner: Id, specs: &[WindowSpec]) -> cf_base::Result<()> {
        let mut tx = self.db.begin().await?;
        set_windows(&mut tx, owner, specs, "Europe/Berlin", &self.by()).await?;
        Ok(tx.commit().await?)
    }

    async fn window(&self, name: &str) -> Account {
        let found = windows(&self.db, self.caller.user_id.0).await.unwrap();
        found.into_iter().find(|w| w.window == name).unwrap()
    }

    async fn reset(&self) -> usize {
        reset_due_budgets(&self.db, &self.clock, &self.random)
            .await
            .unwrap()
    }

    async fn spend(&self, dollars: i128) {
        let hold = self.reserve(dollars * DOLLAR).await.unwrap();
        let tokens = u64::try_from(dollars).unwrap() * 1_000_000;
        hold.settle(call(tokens)).await.unwrap();
    }
}

#[tokio::test]
async fn five_a_day_and_a_hundred_a_month() {
    for f in Fixture::each("100").await {
        let user = f.caller.user_id.0;
        // Spent, and running, before there was a daily budget.
        f.spend(7).await;
        let running = f.reserve(DOLLAR).await.unwrap();
        f.set(
            user,
            &[
                window(MAIN, "100", Period::Month),
                window("daily", "5", Period::Day),
            ],
        )
        .await
        .unwrap();
        let daily = f.window("daily").await;
        assert_eq!((daily.posted, daily.pending), (Nanos::ZERO, nanos("1")));
        running.settle(call(1_000_000)).await.unwrap();
        f.spend(4).await;
        let refused = f.reserve(DOLLAR).await.err().unwrap();
        assert!(
            refused
                .message
                .starts_with("Budget exceeded: the user's daily budget has 0 of 5 USD left"),
            "{}",
            refused.message
        );
        f.assert_settled().await;
        // The day ends at midnight in Berlin; the month goes on.
        f.clock.advance(Duration::from_secs(11 * 3600 - 1));
        assert_eq!(f.reset().await, 0, "{}", f.name);
        f.clock.advance(Duration::from_secs(1));
        assert_eq!(f.reset().await, 1);
        assert_eq!(
            f.window("daily").await.reset_date,
            "2026-01-11 23:00:00.000Z"
        );
        f.spend(5).await;
        assert_eq!(f.window(MAIN).await.posted, nanos("17"));
        assert_eq!(f.window(MAIN).await.reset_date, "2026-01-31 23:00:00.000Z");
        f.assert_settled().await;
        // Without it, only the month counts; with it again, it begins empty.
        f.set(user, &[window(MAIN, "100", Period::Month)])
            .await
            .unwrap();
        f.spend(50).await;
        f.set(
            user,
            &[
                window(MAIN, "100", Period::Month),
                window("daily", "5", Period::Day),
            ],
        )
        .await
        .unwrap();
        assert_eq!(f.window("daily").await.posted, Nanos::ZERO);
        f.spend(1).await;
        f.assert_settled().await;
        let (periods, count) = closed_periods(&f.db, user, "daily", 0, 10).await.unwrap();
        let spent: Vec<Nanos> = periods.iter().map(|p| p.spent).collect();
        assert_eq!((spent, count), (vec![nanos("5"), nanos("5")], 2));
        assert_eq!(periods[1].starts, "2026-01-09 23:00:00.000Z");
        assert_eq!(periods[1].ends, "2026-01-10 23:00:00.000Z");
    }
}

#[tokio::test]
async fn a_keys_and_a_tenants_windows_refuse_too() {
    for f in Fixture::each("100").await {
        let key = f.caller.key_id.unwrap().0;
        let no_main = |name: &str, limit: &str, period| {
            let main = WindowSpec {
                limit: None,
                ..window(MAIN, "0", Period::Total)
            };
            vec![main, window(name, limit, period)]
        };
        f.set(key, &no_main("burst", "2", Period::Days(3)))
            .await
            .unwrap();
        f.set(f.caller.tenant_id.0, &no_main("weekly", "3", Period::Week))
            .await
            .unwrap();
        f.spend(2).await;
        let refused = f.reserve(DOLLAR).await.err().unwrap().message;
        assert!(
            refused.contains("the API key's budget \"burst\" has 0 of 2"),
            "{refused}"
        );
        f.clock.advance(DAY * 3);
        // The key's three days are over, and so is Sunday.
        assert_eq!(f.reset().await, 2, "{}", f.name);
        f.set(key, &no_main("burst", "9", Period::Days(3)))
            .await
            .unwrap();
        f.spend(3).await;
        let refused = f.reserve(DOLLAR).await.err().unwrap().message;
        assert!(
            refused.contains("the tenant's weekly budget has 0 of 3"),
            "{refused}"
        );
        f.assert_settled().await;
        // A user cannot be without a limit, and nobody without the main budget.
        for specs in [
            no_main("a", "1", Period::Day),
            vec![window("a", "1", Period::Day)],
        ] {
            assert!(f.set(f.caller.user_id.0, &specs).await.is_err());
        }
    }
}

#[tokio::test]
async fn what_is_left_is_carried_over_also_past_missed_periods() {
    for f in Fixture::each("10").await {
        let user = f.caller.user_id.0;
        let carrying = WindowSpec {
            carry_over: true,
            ..window(MAIN, "10", Period::Day)
        };
        f.set(user, &[carrying]).await.unwrap();
        f.spend(4).await;
        let running = f.reserve(DOLLAR).await.unwrap();
        f.clock.advance(DAY);
        f.reset().await;
        let main = f.window(MAIN).await;
        assert_eq!((main.limit, main.carried), (Some(nanos("16")), nanos("6")));
        assert_eq!((main.posted, main.pending), (Nanos::ZERO, nanos("1")));
        assert_eq!(main.base(), Some(nanos("10")));
        running.settle(call(2_000_000)).await.unwrap();
        // Three days of downtime: 14 left, and two whole days nobody was there for.
        f.clock.advance(DAY * 3);
        assert_eq!(f.reset().await, 1, "{}", f.name);
        assert_eq!(f.window(MAIN).await.limit, Some(nanos("44")));
        // The limit is changed without what was carried over.
        f.set(user, &[window(MAIN, "20", Period::Day)])
            .await
            .unwrap();
        assert_eq!(f.window(MAIN).await.limit, Some(nanos("54")));
        f.clock.advance(DAY);
        f.reset().await;
        assert_eq!(f.window(MAIN).await.limit, Some(nanos("20")));
        f.assert_settled().await;
        let (periods, _) = closed_periods(&f.db, user, MAIN, 0, 10).await.unwrap();
        let carried: Vec<Nanos> = periods.iter().map(|p| p.carried).collect();
        assert_eq!(carried, vec![Nanos::ZERO, nanos("34"), nanos("6")]);
    }
}

#[tokio::test]
async fn an_increase_ends_by_itself_also_after_downtime() {
    for f in Fixture::each("1").await {
        let user = f.caller.user_id.0;
        let until = f.clock.now().after(DAY);
        let give = async |amount: &str, until: Timestamp| -> cf_base::Result<Id> {
            let mut tx = f.db.begin().await?;
            let id = increase(&mut tx, user, MAIN, nanos(amount), until, &f.by()).await?;
            tx.commit().await?;
            Ok(id)
        };
        give("2", until).await.unwrap();
        let second = give("4", until.after(DAY * 9)).await.unwrap();
        for (amount, until) in [("0", until), ("-1", until), ("1", f.clock.now())] {
            assert!(give(amount, until).await.is_err(), "{amount}");
        }
        f.spend(3).await;
        assert_eq!(f.window(MAIN).await.limit, Some(nanos("7")));
        assert_eq!(f.window(MAIN).await.base(), Some(nanos("1")));
        f.assert_settled().await;
        let mut tx = f.db.begin().await.unwrap();
        end_increase(&mut tx, user, second, &f.by()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(f.window(MAIN).await.limit, Some(nanos("3")));
        f.clock.advance(DAY * 40);
        assert_eq!(f.reset().await, 1, "{}", f.name);
        let main = f.window(MAIN).await;
        assert_eq!((main.limit, main.extra), (Some(nanos("1")), Nanos::ZERO));
        assert!(f.reserve(2 * DOLLAR).await.is_err());
        let kept = increases(&f.db, user).await.unwrap();
        assert!(kept.iter().all(|i| !i.ended.is_empty()) && kept.len() == 2);
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn nodes_that_reset_at_once_reset_once() {
    for f in Fixture::each("10").await {
        f.spend(1).await;
        f.clock.advance(DAY * 31);
        let all = futures_util::future::join_all((0..8).map(|_| f.reset())).await;
        assert_eq!(all.iter().sum::<usize>(), 1, "{}", f.name);
        let resets = "select count(*) from ledger_entries where kind = 'reset'";
        assert_eq!(f.count(resets).await, 1);
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn windows_come_and_go_while_calls_run() {
    for f in Fixture::each("1000").await {
        let user = f.caller.user_id.0;
        let calls = async {
            for _ in 0..40 {
                let holds = (0..8).map(|_| f.reserve(DOLLAR / 100));
                for hold in futures_util::future::join_all(holds)
                    .await
                    .into_iter()
                    .flatten()
                {
                    let _ = hold.settle(call(9_000)).await.unwrap();
                }
            }
        };
        let changes = async {
            let mut specs = vec![window(MAIN, "1000", Period::Month)];
            for _ in 0..20 {
                f.set(user, &specs).await.unwrap();
                if specs.len() == 1 {
                    specs.push(window("a", "500", Period::Day));
                    specs.push(window("z", "500", Period::Week));
                } else {
                    specs.truncate(1);
                }
                let mut tx = f.db.begin().await.unwrap();
                let (clock, random) = (&f.clock, &f.random);
                cf_ledger::reset_budget(&mut tx, user, "", "admin", clock, random)
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
        };
        futures_util::future::join(calls, changes).await;
        assert_eq!(Ledger::verify(&f.db).await.unwrap(), vec![], "{}", f.name);
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn closed_periods_are_kept_for_as_many_days_as_is_set() {
    for f in Fixture::each("100").await {
        let user = f.caller.user_id.0;
        f.set(
            user,
            &[
                window(MAIN, "100", Period::Total),
                window("daily", "5", Period::Day),
            ],
        )
        .await
        .unwrap();
        for _ in 0..100 {
            f.clock.advance(DAY);
            f.reset().await;
        }
        f.spend(1).await;
        let before = (f.balance().await, f.window("daily").await.posted);
        let now = f.clock.now();
        let count = async || closed_periods(&f.db, user, "daily", 0, 1).await.unwrap().1;
        assert_eq!(count().await, 100, "{}", f.name);
        // 0 is for ever, and a month is too short to look back at one.
        assert_eq!(prune_old_periods(&f.db, 0, now).await.unwrap(), 0);
        assert_eq!(prune_old_periods(&f.db, 30, now).await.unwrap(), 38);
        assert_eq!(count().await, 62, "{}", f.name);
        assert_eq!(prune_old_periods(&f.db, 70, now).await.unwrap(), 0);
        let (kept, _) = closed_periods(&f.db, user, "daily", 0, 100).await.unwrap();
        let oldest = kept.last().unwrap();
        assert!(oldest.ends.as_str() >= "2026-02-", "{}", oldest.ends);
        // Balances are not made of it.
        let after = (f.balance().await, f.window("daily").await.posted);
        assert_eq!(before, after);
        f.assert_settled().await;
    }
}
