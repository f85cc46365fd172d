use std::time::Duration;

use cf_base::{Kind, Nanos};
use cf_ledger::{reset_budget, reset_due_budgets, top_up};

use crate::fixture::{DOLLAR, Fixture, call, nanos};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_period_ends_once_also_after_months_of_downtime() {
    for f in Fixture::each("10").await {
        let hold = f.reserve(DOLLAR).await.unwrap();
        hold.settle(call(1_000_000)).await.unwrap();
        let reset = || reset_due_budgets(&f.db, &f.clock, &f.random);
        assert_eq!(reset().await.unwrap(), 0, "{}", f.name);
        f.clock.advance(DAY * 100);
        assert_eq!(reset().await.unwrap(), 1);
        assert_eq!(reset().await.unwrap(), 0);
        assert_eq!(f.balance().await.0, Nanos::ZERO);
        let account = cf_ledger::account(&f.db, f.caller.user_id.0)
            .await
            .unwrap()
            .unwrap();
        // 10 January + 30 days = 9 February, then 11 March, 10 April, 10 May.
        assert_eq!(account.reset_date, "2026-05-10 12:00:00.000Z");
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn a_reset_by_hand_leaves_running_calls_reserved() {
    for f in Fixture::each("10").await {
        let hold = f.reserve(DOLLAR).await.unwrap();
        hold.settle(call(1_000_000)).await.unwrap();
        let running = f.reserve(2 * DOLLAR).await.unwrap();
        let mut tx = f.db.begin().await.unwrap();
        reset_budget(
            &mut tx,
            f.caller.user_id.0,
            "",
            "admin",
            &f.clock,
            &f.random,
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(f.balance().await, (Nanos::ZERO, nanos("2")), "{}", f.name);
        running.settle(call(2_000_000)).await.unwrap();
        assert_eq!(f.balance().await.0, nanos("2"));
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn a_top_up_raises_the_limit_and_refuses_nonsense() {
    for f in Fixture::each("10").await {
        let owner = f.caller.user_id.0;
        let mut tx = f.db.begin().await.unwrap();
        top_up(
            &mut tx,
            owner,
            nanos("5"),
            "paid",
            "admin",
            &f.clock,
            &f.random,
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        drop(f.reserve(15 * DOLLAR).await.unwrap());
        for amount in [Nanos::ZERO, nanos("-1"), Nanos(i64::MAX)] {
            let mut tx = f.db.begin().await.unwrap();
            let refused = top_up(&mut tx, owner, amount, "", "admin", &f.clock, &f.random)
                .await
                .unwrap_err();
            assert!(matches!(refused.kind, Kind::Invalid { .. }), "{refused}");
        }
        f.assert_settled().await;
    }
}
