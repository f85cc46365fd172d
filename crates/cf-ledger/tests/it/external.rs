use std::sync::Arc;
use std::time::Duration;

use cf_base::{Currency, Kind, Money, RequestId, Usage};
use cf_ledger::{ExternalUsage, Reservation};

use crate::fixture::{Fixture, nanos, price};

fn id(text: &str) -> RequestId {
    RequestId::parse(text).unwrap()
}

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
        let held = f
            .ledger
            .reserve_external(
                id("held"),
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
        ended.reservation = Some(held);
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
                id("held"),
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
        let held = f
            .ledger
            .reserve_external(
                id("held"),
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
        ended.reservation = Some(held);
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
            let held = f
                .ledger
                .reserve_external(
                    id(&format!("held-{round}")),
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
            with.reservation = Some(held);
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

#[tokio::test]
async fn a_released_reservation_gives_everything_back_once() {
    for f in Fixture::each("10").await {
        let reserve = async |name: &str| {
            f.ledger
                .reserve_external(
                    id(name),
                    Arc::clone(&f.caller),
                    "small".into(),
                    nanos("8"),
                    Duration::from_secs(900),
                )
                .await
                .unwrap()
        };
        let held = reserve("held").await;
        let state = async |held: &RequestId| f.ledger.reservation(held).await.unwrap();
        assert_eq!(state(&held).await, Reservation::Open);
        for _ in 0..2 {
            f.ledger.release_reservation(&held, None).await.unwrap();
            f.assert_settled().await;
        }
        assert_eq!(state(&held).await, Reservation::Ended);
        assert_eq!(f.balance().await.0, nanos("0"), "{}", f.name);
        let unknown = f.ledger.release_reservation(&id("x"), None).await;
        assert_eq!(unknown.unwrap_err().kind, Kind::NotFound);
        // The same id again can never hold twice.
        let second = reserve("second").await;
        let twice = f
            .ledger
            .reserve_external(
                second.clone(),
                Arc::clone(&f.caller),
                "small".into(),
                nanos("1"),
                Duration::from_secs(900),
            )
            .await;
        assert!(twice.is_err(), "{}", f.name);
        f.ledger.release_reservation(&second, None).await.unwrap();
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn what_was_used_is_booked_although_its_reservation_has_expired() {
    for f in Fixture::each("10").await {
        for (name, own) in [("first", false), ("second", true)] {
            let held = f
                .ledger
                .reserve_external(
                    id(name),
                    Arc::clone(&f.caller),
                    "small".into(),
                    nanos("2"),
                    Duration::from_secs(900),
                )
                .await
                .unwrap();
            f.clock.advance(Duration::from_secs(901));
            f.ledger.expire_holds(false).await.unwrap();
            let mut late = report(&f, if own { name } else { "late" }, 1_000_000);
            late.reservation = Some(held);
            let logged = f.ledger.log_usage(late).await.unwrap();
            assert!(!logged.repeated, "{}", f.name);
        }
        f.assert_settled().await;
        assert_eq!(f.balance().await.0, nanos("2"), "{}", f.name);
        let mut unknown = report(&f, "x", 1);
        unknown.reservation = Some(id("nobody-knows"));
        let refused = f.ledger.log_usage(unknown).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unprocessable);
    }
}
