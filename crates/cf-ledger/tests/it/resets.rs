//! Many budgets due at once. `CLOUDFREEDOM_RESET_USERS=100000` makes a
//! measurement of it; the figures are printed.

use std::time::Duration;

use cf_base::{Currency, Id, Nanos};
use cf_db::Value;
use cf_ledger::reset_due_budgets;

use tokio::time::Instant;

use crate::fixture::{DOLLAR, Fixture, call};

/// Users whose month is over, each with something spent.
async fn users(f: &Fixture, count: usize) {
    let date = f.clock.now().to_date_text().to_string();
    for _ in 0..count.div_ceil(1_000) {
        let ids: Vec<Id> = (0..count.min(1_000)).map(|_| Id::new(&f.random)).collect();
        let accounts = ids.iter().map(|id| -> Vec<Value> {
            vec![
                (*id).into(),
                Currency::USD.as_str().into(),
                date.clone().into(),
            ]
        });
        let entries = ids.iter().map(|id| -> Vec<Value> {
            vec![
                Id::new(&f.random).into(),
                (*id).into(),
                Currency::USD.as_str().into(),
                date.clone().into(),
            ]
        });
        let (accounts, entries) = (accounts.collect(), entries.collect());
        let mut tx = f.db.begin().await.unwrap();
        tx.execute_many(
            "insert into ledger_accounts (owner_id, kind, currency, limit_nanos, posted_nanos, \
             adjusted_nanos, period, time_zone, period_start, reset_date) \
             values ($1, 'user', $2, 9000, 5000, 5000, 'month', 'Europe/Berlin', '', $3)",
            accounts,
        )
        .await
        .unwrap();
        tx.execute_many(
            "insert into ledger_entries (id, kind, window_name, user_id, currency, posted_nanos, \
             limit_nanos, created) values ($1, 'limit', 'main', $2, $3, 5000, 9000, $4)",
            entries,
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_budgets_due_at_once_are_reset_while_calls_go_on() {
    let count = std::env::var("CLOUDFREEDOM_RESET_USERS").map_or(3_000, |n| n.parse().unwrap());
    for f in Fixture::each("1000000").await {
        users(&f, count).await;
        let (started, mut calls, mut slowest) = (Instant::now(), 0, Duration::ZERO);
        let reset = reset_due_budgets(&f.db, &f.clock, &f.random);
        tokio::pin!(reset);
        let done = loop {
            let call = async {
                let began = Instant::now();
                let hold = f.reserve(DOLLAR / 1000).await.unwrap();
                hold.settle(call(1_000)).await.unwrap();
                f.clock.advance(Duration::from_millis(1));
                began.elapsed()
            };
            tokio::pin!(call);
            let took = tokio::select! {
                done = &mut reset => {
                    call.await;
                    break done.unwrap();
                }
                took = &mut call => took,
            };
            (calls, slowest) = (calls + 1, slowest.max(took));
        };
        let took = started.elapsed();
        println!(
            "{}: {done} resets in {took:?}, {calls} calls meanwhile, slowest {slowest:?}",
            f.name
        );
        assert_eq!(done, count, "{}", f.name);
        assert!(calls > 0, "{}: no call got through", f.name);
        // Far above what is measured, and far below waiting for the job's end.
        assert!(slowest < Duration::from_secs(1), "{}: {slowest:?}", f.name);
        let left = "select count(*) from ledger_accounts where posted_nanos <> 0";
        assert_eq!(
            f.count(left).await,
            3,
            "{}: user, tenant and key of the calls",
            f.name
        );
        let kept = "select count(*) from budget_periods where spent_nanos = 5000";
        assert_eq!(f.count(kept).await, i64::try_from(count).unwrap());
        f.assert_settled().await;
        assert_ne!(f.balance().await.0, Nanos::ZERO);
    }
}
