use std::sync::atomic::{AtomicUsize, Ordering};

use cf_base::{Kind, Nanos};
use cf_ledger::Ledger;
use futures_util::future::join_all;

use crate::fixture::{DOLLAR, Fixture, call, nanos};

#[tokio::test]
async fn a_call_reserves_its_worst_case_and_posts_what_it_cost() {
    for f in Fixture::each("10").await {
        let hold = f.reserve(4 * DOLLAR).await.unwrap();
        assert_eq!(f.balance().await, (Nanos::ZERO, nanos("4")), "{}", f.name);
        assert_eq!(hold.remaining(), nanos("6"));
        let receipt = hold.settle(call(1_500_000)).await.unwrap();
        assert_eq!(receipt.cost, nanos("1.5"));
        assert_eq!(receipt.remaining, nanos("8.5"));
        assert_eq!(f.balance().await, (nanos("1.5"), Nanos::ZERO));
        let row =
            f.db.query_opt("select * from usage_logs", vec![])
                .await
                .unwrap()
                .unwrap();
        assert_eq!(row.get::<i64>("cost").unwrap(), nanos("1.5").0);
        assert_eq!(row.get::<i64>("completion_tokens").unwrap(), 1_500_000);
        assert_eq!(row.get::<String>("status").unwrap(), "ok");
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn a_hold_that_is_dropped_is_released_and_logged() {
    for f in Fixture::each("10").await {
        drop(f.reserve(4 * DOLLAR).await.unwrap());
        f.assert_settled().await;
        assert_eq!(f.balance().await, (Nanos::ZERO, Nanos::ZERO));
        let cancelled = "select count(*) from usage_logs where status = 'cancelled' and cost = 0";
        assert_eq!(f.count(cancelled).await, 1, "{}", f.name);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_while_reserving_leaves_no_hold() {
    for f in Fixture::each("10").await {
        for _ in 0..50 {
            let reserve = f.reserve(DOLLAR / 10);
            // Polled once, so that the request is on its way, then dropped.
            let _ =
                futures_util::future::select(Box::pin(reserve), Box::pin(tokio::task::yield_now()))
                    .await;
        }
        f.assert_settled().await;
        assert_eq!(f.balance().await, (Nanos::ZERO, Nanos::ZERO), "{}", f.name);
    }
}

#[tokio::test]
async fn when_only_less_is_left_less_is_granted_down_to_what_is_useful() {
    for f in Fixture::each("1").await {
        let request = f.request(4 * DOLLAR, DOLLAR / 2);
        let hold = f.ledger.reserve(request).await.unwrap();
        assert_eq!(hold.granted().0, DOLLAR, "{}", f.name);
        let refused = f.ledger.reserve(f.request(DOLLAR, 1)).await.err().unwrap();
        assert_eq!(refused.kind, Kind::BudgetExceeded);
        assert!(refused.message.starts_with("Budget exceeded"), "{refused}");
        hold.settle(call(100_000)).await.unwrap();
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn the_tenants_budget_refuses_when_it_is_the_tighter_one() {
    for f in Fixture::each("10").await {
        let mut tx = f.db.begin().await.unwrap();
        cf_ledger::set_limit(
            &mut tx,
            f.caller.tenant_id.0,
            Some(nanos("1")),
            "",
            "test",
            &f.clock,
            &f.random,
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let refused = f.reserve(2 * DOLLAR).await.err().unwrap();
        assert!(
            refused.message.contains("tenant's budget"),
            "{}: {refused}",
            f.name
        );
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn two_hundred_calls_at_once_on_a_budget_for_twenty() {
    for f in Fixture::each("20").await {
        let admitted = AtomicUsize::new(0);
        let calls = (0..200).map(|i| {
            let (f, admitted) = (&f, &admitted);
            async move {
                let Ok(hold) = f.reserve(DOLLAR).await else {
                    return;
                };
                admitted.fetch_add(1, Ordering::SeqCst);
                let (posted, pending) = f.balance().await;
                assert!(posted + pending <= nanos("20"), "{posted} + {pending}");
                match i % 3 {
                    0 => drop(hold.settle(call(1_000_000))),
                    1 => drop(hold.settle(call(1_000_000)).await.unwrap()),
                    _ => {
                        tokio::task::yield_now().await;
                        drop(hold.settle(call(1_000_000)));
                    }
                }
            }
        });
        join_all(calls).await;
        assert_eq!(admitted.load(Ordering::SeqCst), 20, "{}", f.name);
        f.assert_settled().await;
        assert_eq!(f.balance().await.0, nanos("20"));
    }
}

/// Another process on the same books, which finds this one's holds abandoned.
async fn next_process(f: &Fixture) -> Ledger {
    let next = Ledger::start(f.db.clone(), f.clock.clone(), f.random.clone())
        .await
        .unwrap();
    if f.name == "postgres" {
        // It may judge others once it has been heard of itself for half a minute.
        assert_eq!(next.expire_holds(false).await.unwrap(), 0);
        f.clock.advance(std::time::Duration::from_secs(31));
        next.heartbeat().await.unwrap();
        next.expire_holds(false).await.unwrap();
    }
    next.flush().await.unwrap();
    next
}

#[tokio::test]
async fn holds_of_a_dead_process_are_closed_by_the_next() {
    for f in Fixture::each("10").await {
        std::mem::forget(f.reserve(4 * DOLLAR).await.unwrap());
        next_process(&f).await;
        f.assert_settled().await;
        let expired = "select count(*) from usage_logs where status = 'expired'";
        assert_eq!(f.count(expired).await, 1, "{}", f.name);
    }
}

#[tokio::test]
async fn a_call_that_was_closed_by_rule_and_lived_is_booked_when_it_ends() {
    for f in Fixture::each("10").await {
        let hold = f.reserve(4 * DOLLAR).await.unwrap();
        next_process(&f).await;
        assert_eq!(f.balance().await, (Nanos::ZERO, Nanos::ZERO), "{}", f.name);
        hold.settle(call(1_500_000)).await.unwrap();
        assert_eq!(f.balance().await.0, nanos("1.5"), "{}", f.name);
        f.assert_settled().await;
        assert_eq!(f.count("select count(*) from usage_logs").await, 1);
    }
}

#[tokio::test]
async fn a_request_id_that_was_reported_already_does_not_stop_the_books() {
    for f in Fixture::each("10").await {
        let hold = f.reserve(4 * DOLLAR).await.unwrap();
        let report = crate::external::report(&f, hold.request_id().as_str(), 100_000);
        f.ledger.log_usage(report).await.unwrap();
        drop(hold);
        f.assert_settled().await;
        assert_eq!(f.balance().await.0, nanos("0.1"), "{}", f.name);
    }
}

#[tokio::test]
async fn verify_names_what_was_tampered_with() {
    for f in Fixture::each("10").await {
        let hold = f.reserve(DOLLAR).await.unwrap();
        hold.settle(call(500_000)).await.unwrap();
        f.assert_settled().await;
        f.db.execute("update usage_logs set cost = cost + 1", vec![])
            .await
            .unwrap();
        f.db.execute(
            "update ledger_accounts set posted_nanos = 1 where owner_id = $1",
            vec![f.caller.user_id.into()],
        )
        .await
        .unwrap();
        let found = Ledger::verify(&f.db).await.unwrap();
        let names: Vec<&str> = found.iter().map(|d| d.what.as_str()).collect();
        assert!(names[0].ends_with("posted"), "{}: {names:?}", f.name);
        assert!(names.iter().any(|n| n.ends_with(" cost")), "{names:?}");
    }
}
