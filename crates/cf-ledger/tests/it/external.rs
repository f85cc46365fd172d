use std::sync::Arc;
use std::time::Duration;

use cf_base::{Currency, Kind, Money, RequestId, Usage};
use cf_ledger::ExternalUsage;

use crate::fixture::{Fixture, nanos, price};

pub fn report(f: &Fixture, id: &str, tokens: u64) -> ExternalUsage {
    ExternalUsage {
        request_id: RequestId::parse(id).unwrap(),
        caller: Arc::clone(&f.caller),
        model: "small".into(),
        usage: Usage {
            output: tokens,
            ..Usage::default()
        },
        cost: None,
        price: Some(price()),
        reservation: None,
        metadata: "null".into(),
    }
}

#[tokio::test]
async fn reported_usage_is_booked_once() {
    for f in Fixture::each("10").await {
        let first = f
            .ledger
            .log_usage(report(&f, "a-1", 500_000))
            .await
            .unwrap();
        assert_eq!(first.cost.nanos, nanos("0.5"));
        assert!(!first.repeated);
        let again = f
            .ledger
            .log_usage(report(&f, "a-1", 500_000))
            .await
            .unwrap();
        assert!(again.repeated);
        assert_eq!(again.id, first.id);
        let conflict = f.ledger.log_usage(report(&f, "a-1", 1)).await.unwrap_err();
        assert_eq!(conflict.kind, Kind::Conflict, "{}", f.name);
        assert_eq!(f.balance().await.0, nanos("0.5"));
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn the_same_report_many_times_at_once_is_booked_once() {
    for f in Fixture::each("10").await {
        let reports = (0..30).map(|_| f.ledger.log_usage(report(&f, "same", 100_000)));
        for logged in futures_util::future::join_all(reports).await {
            assert_eq!(logged.unwrap().cost.nanos, nanos("0.1"));
        }
        assert_eq!(f.balance().await.0, nanos("0.1"), "{}", f.name);
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn a_cost_that_is_reported_is_taken_as_it_is() {
    for f in Fixture::each("10").await {
        let mut with_cost = report(&f, "b", 1);
        with_cost.cost = Some(Money {
            nanos: nanos("2"),
            currency: Currency::USD,
        });
        with_cost.price = None;
        let logged = f.ledger.log_usage(with_cost).await.unwrap();
        assert_eq!(logged.cost.nanos, nanos("2"));
        let mut unknown = report(&f, "c", 1);
        unknown.price = None;
        let refused = f.ledger.log_usage(unknown).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unprocessable, "{}", f.name);
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn a_reservation_is_checked_held_and_ended_by_the_report() {
    for f in Fixture::each("10").await {
        let id = f
            .ledger
            .reserve_external(
                Arc::clone(&f.caller),
                "small".into(),
                nanos("8"),
                Duration::from_secs(900),
            )
            .await
            .unwrap();
        let check = f.ledger.check(&f.caller, nanos("3")).await.unwrap();
        assert!(!check.allowed, "{}", f.name);
        assert_eq!(check.refused_by, "user");
        let mut ended = report(&f, "d", 1_000_000);
        ended.reservation = Some(id);
        f.ledger.log_usage(ended).await.unwrap();
        assert!(f.ledger.check(&f.caller, nanos("3")).await.unwrap().allowed);
        assert_eq!(f.balance().await.0, nanos("1"));
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn a_reservation_that_nobody_ends_expires() {
    for f in Fixture::each("10").await {
        f.ledger
            .reserve_external(
                Arc::clone(&f.caller),
                "small".into(),
                nanos("8"),
                Duration::from_secs(900),
            )
            .await
            .unwrap();
        assert_eq!(f.ledger.expire_holds(false).await.unwrap(), 0);
        f.clock.advance(Duration::from_secs(901));
        assert_eq!(f.ledger.expire_holds(false).await.unwrap(), 1, "{}", f.name);
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn a_report_in_another_name_gives_the_reservation_back_to_its_own_accounts() {
    for f in Fixture::each("10").await {
        let id = f
            .ledger
            .reserve_external(
                Arc::clone(&f.caller),
                "small".into(),
                nanos("8"),
                Duration::from_secs(900),
            )
            .await
            .unwrap();
        // Reserved with the key, reported for the user alone.
        let mut without_key = (*f.caller).clone();
        without_key.key_id = None;
        let mut ended = report(&f, "e", 1_000_000);
        ended.caller = Arc::new(without_key);
        ended.reservation = Some(id);
        f.ledger.log_usage(ended).await.unwrap();
        f.assert_settled().await;
        let key = cf_ledger::account(&f.db, f.caller.key_id.unwrap().0)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(key.pending.0, 0, "{}", f.name);
    }
}

#[tokio::test]
async fn the_same_report_with_and_without_a_reservation_at_once_is_booked_once() {
    for f in Fixture::each("10").await {
        for round in 0..10 {
            let id = f
                .ledger
                .reserve_external(
                    Arc::clone(&f.caller),
                    "small".into(),
                    nanos("0.1"),
                    Duration::from_secs(900),
                )
                .await
                .unwrap();
            let request = format!("both-{round}");
            let plain = f.ledger.log_usage(report(&f, &request, 10_000));
            let mut with = report(&f, &request, 10_000);
            with.reservation = Some(id);
            let with = f.ledger.log_usage(with);
            // Either may be the first; the other is a conflict, and nothing hangs.
            let _ = futures_util::future::join(plain, with).await;
        }
        f.clock.advance(Duration::from_secs(901));
        f.ledger.expire_holds(false).await.unwrap();
        f.assert_settled().await;
        assert_eq!(f.balance().await.0, nanos("0.1"), "{}", f.name);
    }
}
