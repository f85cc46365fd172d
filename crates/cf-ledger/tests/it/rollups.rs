use std::time::Duration;

use cf_base::{Extra, Timestamp, Usage};
use cf_ledger::{CallStatus, Ledger, PruneOwner, SummaryBy, SummaryFilter, Zone, prune_usage};
use futures_util::future::join_all;

use crate::external::report;
use crate::fixture::{DOLLAR, Fixture, call, nanos};

const HOUR: Duration = Duration::from_secs(3600);
const TABLES: [&str; 4] = [
    "usage_hours",
    "usage_tenant_hours",
    "usage_user_days",
    "usage_model_days",
];

/// Calls over three days, some at once, some that fail, some with rare counters.
async fn some_days(f: &Fixture) {
    for round in 0..6_u64 {
        let calls = (0..5_u64).map(|i| async move {
            let hold = f.reserve(DOLLAR / 2).await.unwrap();
            let mut record = call(1000 * i + round);
            if i == 3 {
                record.status = CallStatus::Error;
            }
            if i == 4 {
                record.provider = "mistral".into();
                record.usage = Usage {
                    input: 70,
                    cache_read: 30,
                    cache_write: 4,
                    reasoning: 6,
                    output: 10,
                    extra: Extra {
                        image_input: 3,
                        web_searches: 2,
                        characters: 100,
                        audio_seconds: 60,
                        ..Extra::default()
                    },
                    ..Usage::default()
                };
            }
            hold.settle(record).await.unwrap();
        });
        join_all(calls).await;
        f.clock.advance(11 * HOUR);
    }
}

#[tokio::test]
async fn every_table_of_sums_says_what_the_rows_say() {
    for f in Fixture::each("100").await {
        some_days(&f).await;
        f.assert_settled().await;
        assert_eq!(
            f.count("select count(*) from usage_hours").await,
            12,
            "{}",
            f.name
        );
        for table in TABLES {
            for sum in [
                "cost",
                "tenant_cost",
                "provider_cost",
                "prompt_tokens",
                "completion_tokens",
            ] {
                let of_rows = f
                    .count(&format!(
                        "select cast(sum({sum}) as bigint) from usage_logs"
                    ))
                    .await;
                let kept = f
                    .count(&format!("select cast(sum({sum}) as bigint) from {table}"))
                    .await;
                assert_eq!(kept, of_rows, "{}: {sum} of {table}", f.name);
                assert!(kept > 0, "{sum}");
            }
            let counts =
                format!("select cast(sum(requests) * 1000 + sum(failed) as bigint) from {table}");
            assert_eq!(f.count(&counts).await, 30_006, "{}: {table}", f.name);
        }
        let rare = "select cast(sum(image_input_tokens) * 1000 + sum(web_searches) + \
                    sum(characters) + sum(audio_seconds) - 160 * 6 as bigint) from usage_hours";
        assert_eq!(f.count(rare).await, 18_012, "{}", f.name);
    }
}

#[tokio::test]
async fn the_rows_of_an_older_version_are_summed_by_the_migration() {
    for f in Fixture::each("100").await {
        some_days(&f).await;
        // None of those versions' rows had the counters of `extra`.
        f.db.execute("update usage_logs set extra = ''", vec![])
            .await
            .unwrap();
        for table in TABLES {
            f.db.execute(&format!("delete from {table}"), vec![])
                .await
                .unwrap();
        }
        let migration = include_str!("../../../../migrations/0007_rollups.sql");
        let without_comments: Vec<&str> = (migration.lines())
            .filter(|line| !line.starts_with("--"))
            .collect();
        let mut filled = 0;
        for statement in without_comments.join("\n").split(';') {
            if statement.trim_start().starts_with("insert") {
                f.db.execute(statement, vec![]).await.unwrap();
                filled += 1;
            }
        }
        assert_eq!(filled, TABLES.len());
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn verify_names_a_sum_that_was_tampered_with() {
    for f in Fixture::each("100").await {
        some_days(&f).await;
        for (change, back, what) in [
            (
                "usage_hours set cost = cost + 1",
                "usage_hours set cost = cost - 1",
                "cost",
            ),
            (
                "usage_hours set web_searches = web_searches + 1",
                "usage_hours set web_searches = web_searches - 1",
                "web_searches",
            ),
            (
                "usage_user_days set requests = requests + 1",
                "usage_user_days set requests = requests - 1",
                "usage_user_days",
            ),
            (
                "usage_logs set completion_tokens = completion_tokens + 1",
                "usage_logs set completion_tokens = completion_tokens - 1",
                "completion_tokens",
            ),
        ] {
            f.db.execute(&format!("update {change}"), vec![])
                .await
                .unwrap();
            let found = Ledger::verify(&f.db).await.unwrap();
            assert!(
                found
                    .iter()
                    .any(|d| d.what.starts_with("sum at") || d.what.starts_with("hour"))
                    && found.iter().any(|d| d.what.contains(what)),
                "{}: {found:?}",
                f.name
            );
            f.db.execute(&format!("update {back}"), vec![])
                .await
                .unwrap();
        }
        f.assert_settled().await;
        f.db.execute("delete from usage_hours where provider = 'mistral'", vec![])
            .await
            .unwrap();
        assert!(
            !Ledger::verify(&f.db).await.unwrap().is_empty(),
            "{}",
            f.name
        );
    }
}

#[tokio::test]
async fn a_summary_over_any_hours_is_that_of_the_rows() {
    for f in Fixture::each("100").await {
        some_days(&f).await;
        // The calls are at 12, 23, 10 (11th), 21, 8 (12th) and 19 o'clock.
        for (from, until, calls) in [
            ("", "", 30),
            ("2026-01-10 23:00:00.000Z", "", 25),
            ("2026-01-10 12:30:00.000Z", "2026-01-11 10:00:00.000Z", 10),
            ("2026-01-10 13:00:00.000Z", "2026-01-12 08:00:00.000Z", 15),
            ("2026-01-10 13:00:00.000Z", "2026-01-12 08:59:00.000Z", 20),
            ("2026-01-11 00:00:00.000Z", "2026-01-12 00:00:00.000Z", 10),
            ("2026-01-11 11:00:00.000Z", "2026-01-11 20:00:00.000Z", 0),
        ] {
            for (user, model) in [(false, false), (true, false), (false, true), (true, true)] {
                let filter = SummaryFilter {
                    from: from.into(),
                    until: until.into(),
                    user_id: if user {
                        f.caller.user_id.to_string()
                    } else {
                        String::new()
                    },
                    model: if model { "small".into() } else { String::new() },
                    ..SummaryFilter::default()
                };
                let totals = f.ledger.totals(&filter).await.unwrap();
                let total: i64 = totals.iter().map(|t| t.requests).sum();
                assert_eq!(total, calls, "{}: {filter:?}", f.name);
                for by in [
                    SummaryBy::Day,
                    SummaryBy::User,
                    SummaryBy::Tenant,
                    SummaryBy::Model,
                    SummaryBy::Provider,
                ] {
                    let rows = f.ledger.summary(by, &filter).await.unwrap();
                    let sum: i64 = rows.iter().map(|row| row.requests).sum();
                    assert_eq!(sum, calls, "{}: {by:?} {filter:?}", f.name);
                    let cost = rows
                        .iter()
                        .fold(cf_base::Nanos::ZERO, |sum, row| sum + row.cost);
                    let of_totals = totals.first().map_or(cf_base::Nanos::ZERO, |t| t.cost);
                    assert_eq!(cost, of_totals, "{}: {by:?} {filter:?}", f.name);
                }
            }
        }
    }
}

#[tokio::test]
async fn days_are_those_of_the_time_zone_that_is_asked_for() {
    for f in Fixture::each("100").await {
        some_days(&f).await;
        let days = async |zone: &str, user: bool| {
            let filter = SummaryFilter {
                zone: Zone::parse(zone).unwrap(),
                user_id: if user {
                    f.caller.user_id.to_string()
                } else {
                    String::new()
                },
                ..SummaryFilter::default()
            };
            let rows = f.ledger.summary(SummaryBy::Day, &filter).await.unwrap();
            let days = rows.into_iter().map(|row| (row.key, row.requests));
            days.collect::<Vec<_>>()
        };
        let day = |day: &str, calls: i64| (day.to_owned(), calls);
        let utc = vec![
            day("2026-01-12", 10),
            day("2026-01-11", 10),
            day("2026-01-10", 10),
        ];
        // 23 o'clock of London is midnight of Berlin.
        let berlin = vec![
            day("2026-01-12", 10),
            day("2026-01-11", 15),
            day("2026-01-10", 5),
        ];
        for user in [false, true] {
            assert_eq!(days("", user).await, utc, "{}", f.name);
            assert_eq!(days("Europe/Berlin", user).await, berlin, "{}", f.name);
        }
    }
}

#[tokio::test]
async fn old_rows_go_and_sums_and_balances_stay() {
    for f in Fixture::each("100").await {
        some_days(&f).await;
        let balance = f.balance().await;
        let sum = "select cast(sum(cost) as bigint) from usage_hours";
        let before = f.count(sum).await;
        // Within the hour: the whole hour stays.
        let until = Timestamp::parse("2026-01-11 10:30:00Z").unwrap();
        let gone = prune_usage(&f.db, PruneOwner::Tenant(f.caller.tenant_id.0), until);
        assert_eq!(gone.await.unwrap(), 10, "{}", f.name);
        assert_eq!(f.count("select count(*) from usage_logs").await, 20);
        f.assert_settled().await;
        let until = Timestamp::parse("2026-01-12 00:00:00Z").unwrap();
        let gone = prune_usage(&f.db, PruneOwner::User(f.caller.user_id.0), until);
        assert_eq!(gone.await.unwrap(), 10, "{}", f.name);
        f.assert_settled().await;
        assert_eq!(f.balance().await, balance);
        assert_eq!(f.count(sum).await, before, "{}", f.name);
        // What is left is still looked at.
        f.db.execute("update usage_logs set cost = cost + 1", vec![])
            .await
            .unwrap();
        let found = Ledger::verify(&f.db).await.unwrap();
        assert_eq!(
            found
                .iter()
                .filter(|d| d.what.starts_with("sum at"))
                .count(),
            4,
            "{}: {found:?}",
            f.name
        );
    }
}

#[tokio::test]
async fn a_report_that_comes_again_is_summed_once() {
    for f in Fixture::each("10").await {
        let reports = (0..20).map(|_| f.ledger.log_usage(report(&f, "same", 100_000)));
        for logged in join_all(reports).await {
            logged.unwrap();
        }
        f.assert_settled().await;
        let summed = "select cast(sum(cost) as bigint) from usage_hours";
        assert_eq!(f.count(summed).await, nanos("0.1").0, "{}", f.name);
    }
}
