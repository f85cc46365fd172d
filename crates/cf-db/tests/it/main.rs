//! Every rule of the database layer, on SQLite and PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cf_base::Clock;
use cf_db::{Db, DbError, Value};
use cf_testkit::databases;

#[tokio::test]
async fn values_of_every_kind_come_back_as_they_went_in() {
    for test in databases().await {
        let db = &test.db;
        db.execute(
            "create table kinds (i bigint, r double precision, t text, b bytea)",
            vec![],
        )
        .await
        .unwrap();
        let row = vec![
            Value::Int(i64::MIN),
            Value::Real(0.1),
            Value::Text("größer €".into()),
            Value::Blob(vec![0, 255]),
        ];
        db.execute("insert into kinds values ($1, $2, $3, $4)", row.clone())
            .await
            .unwrap();
        db.execute(
            "insert into kinds values ($1, $2, $3, $4)",
            vec![Value::Null, Value::Null, Value::Null, Value::Null],
        )
        .await
        .unwrap();
        let rows = db
            .query("select i, r, t, b from kinds order by i is null", vec![])
            .await
            .unwrap();
        let read: Vec<Value> = rows[0].iter().map(|(_, v)| v.clone()).collect();
        assert_eq!(read, row, "{}", test.name);
        assert!(rows[1].iter().all(|(_, v)| *v == Value::Null));
        let sum = db
            .query_opt("select cast(sum(i) as bigint) from kinds", vec![])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(sum.at::<i64>(0).unwrap(), i64::MIN);
    }
}

#[tokio::test]
async fn parameters_go_by_their_number_not_by_their_place() {
    for test in databases().await {
        let row = test
            .db
            .query_opt(
                "select cast($2 as text), cast($1 as text), cast($2 as text)",
                vec!["one".into(), "two".into()],
            )
            .await
            .unwrap()
            .unwrap();
        let read: Vec<String> = (0..3).map(|i| row.at(i).unwrap()).collect();
        assert_eq!(read, ["two", "one", "two"], "{}", test.name);
    }
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing_and_runs_no_effect() {
    for test in databases().await {
        let db = &test.db;
        let effect = Arc::new(AtomicBool::new(false));
        let mut tx = db.begin().await.unwrap();
        tx.execute("update data_version set version = 7", vec![])
            .await
            .unwrap();
        tx.after_commit({
            let effect = Arc::clone(&effect);
            move || effect.store(true, Ordering::SeqCst)
        });
        drop(tx);
        assert_eq!(version(db).await, 0, "{}", test.name);
        assert!(!effect.load(Ordering::SeqCst));

        let mut tx = db.begin().await.unwrap();
        tx.execute("update data_version set version = 7", vec![])
            .await
            .unwrap();
        tx.after_commit({
            let effect = Arc::clone(&effect);
            move || effect.store(true, Ordering::SeqCst)
        });
        tx.commit().await.unwrap();
        assert_eq!(version(db).await, 7, "{}", test.name);
        assert!(effect.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_second_row_with_a_unique_value_is_refused_as_such() {
    for test in databases().await {
        let insert = |id: &'static str| {
            test.db.execute(
                "insert into settings (id, key, created, updated) values ($1, 'a', '', '')",
                vec![id.into()],
            )
        };
        insert("x").await.unwrap();
        let refused = insert("y").await.unwrap_err();
        assert!(
            matches!(refused, DbError::Unique(_)),
            "{}: {refused}",
            test.name
        );
    }
}

#[tokio::test]
async fn many_rows_are_written_in_one_go() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        let rows = (0..500)
            .map(|i| vec![format!("k{i}").into(), format!("key{i}").into()])
            .collect();
        let changed = tx
            .execute_many(
                "insert into settings (id, key, created, updated) values ($1, $2, '', '')",
                rows,
            )
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(changed, vec![1; 500], "{}", test.name);
    }
}

#[tokio::test]
async fn parallel_writers_take_turns() {
    for test in databases().await {
        let writers = (0..20).map(|_| async {
            for _ in 0..5 {
                let mut tx = test.db.begin().await.unwrap();
                tx.execute("update data_version set version = version + 1", vec![])
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
        });
        futures_util::future::join_all(writers).await;
        assert_eq!(version(&test.db).await, 100, "{}", test.name);
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing_and_a_newer_schema_is_refused() {
    for test in databases().await {
        let clock = Clock::system();
        let state = test.db.migrate(&clock).await.unwrap();
        assert_eq!(state.current, state.target);
        test.db
            .execute(
                "insert into schema_migrations (version, name, checksum, applied_at) \
                 values (9999, 'future', '', 0)",
                vec![],
            )
            .await
            .unwrap();
        let refused = test.db.migrate(&clock).await.unwrap_err().to_string();
        assert!(
            refused.contains("schema 9999") && refused.contains("newer program"),
            "{}: {refused}",
            test.name
        );
    }
}

/// An upgrade is done or not done: nobody starts on half of one.
#[tokio::test]
async fn a_migration_that_fails_in_the_middle_leaves_nothing_behind() {
    for test in databases().await {
        let clock = Clock::system();
        // The database of an older program, in which a later statement will fail: the
        // first table of the migration is not there, the others stand in its way.
        for sql in [
            "delete from schema_migrations where version >= 7",
            "drop table usage_hours",
        ] {
            test.db.execute(sql, vec![]).await.unwrap();
        }
        let failed = test.db.migrate(&clock).await.unwrap_err().to_string();
        assert!(
            failed.contains("usage_tenant_hours"),
            "{}: {failed}",
            test.name
        );
        let state = test.db.migration_state().await.unwrap();
        assert_eq!(state.current, 6, "{}", test.name);
        let made = test.db.query("select 1 from usage_hours", vec![]).await;
        assert!(made.is_err(), "{}: its first table was kept", test.name);
    }
}

#[tokio::test]
async fn a_dropped_transaction_gives_its_connection_and_its_locks_back() {
    for test in databases().await.into_iter().filter(|t| t.db.is_postgres()) {
        let mut connections = HashSet::new();
        for _ in 0..40 {
            let mut tx = test.db.begin().await.unwrap();
            tx.execute("update data_version set version = 7", vec![])
                .await
                .unwrap();
            let row = tx
                .query_opt("select pg_backend_pid()", vec![])
                .await
                .unwrap()
                .unwrap();
            connections.insert(row.at::<i64>(0).unwrap());
            drop(tx);
        }
        assert!(connections.len() <= 2, "{connections:?}");
        // Another connection is not kept waiting by the row's lock.
        let other = Db::open(&test.location).await.unwrap();
        let written = other.execute("update data_version set version = 8", vec![]);
        tokio::time::timeout(Duration::from_secs(5), written)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(version(&test.db).await, 8);
    }
}

#[tokio::test]
async fn a_transaction_that_failed_says_why_ever_after_and_is_not_committed() {
    const INSERT: &str = "insert into settings (id, key, created, updated) values ($1, $2, '', '')";
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        // The tenth of a hundred is one too many.
        let rows = (0..100)
            .map(|i| {
                let id = if i == 9 { 8 } else { i };
                vec![format!("k{id}").into(), format!("key{i}").into()]
            })
            .collect();
        let refused = tx.execute_many(INSERT, rows).await.unwrap_err();
        assert!(
            matches!(refused, DbError::Unique(_)),
            "{}: {refused}",
            test.name
        );
        if test.db.is_postgres() {
            let later = tx.query("select 1", vec![]).await.unwrap_err();
            assert!(matches!(later, DbError::Unique(_)), "{later}");
            let effect = Arc::new(AtomicBool::new(false));
            tx.after_commit({
                let effect = Arc::clone(&effect);
                move || effect.store(true, Ordering::SeqCst)
            });
            let uncommitted = tx.commit().await.unwrap_err();
            assert!(matches!(uncommitted, DbError::Unique(_)), "{uncommitted}");
            assert!(!effect.load(Ordering::SeqCst));
        }
    }
}

#[tokio::test]
async fn a_read_with_a_limit_ends_at_it_and_leaves_the_connection_as_it_was() {
    const ENDLESS: &str = "with recursive n(i) as (select 1 union all select i + 1 - 1 from n) \
                           select count(*) from n";
    for test in databases().await {
        let limit = Duration::from_millis(50);
        for _ in 0..20 {
            // More than there are connections, so that one left running shows.
            let read = test.db.query_within(limit, ENDLESS, vec![]);
            let ended = tokio::time::timeout(Duration::from_secs(10), read)
                .await
                .expect("the limit holds");
            assert!(
                matches!(ended, Err(DbError::TooLong)),
                "{}: {ended:?}",
                test.name
            );
        }
        let short = test
            .db
            .query_within(limit, "select cast($1 as bigint)", vec![5.into()])
            .await
            .unwrap();
        assert_eq!(short[0].at::<i64>(0).unwrap(), 5, "{}", test.name);
        // What has no limit may take longer, on the same connections.
        let long = "with recursive n(i) as (select 1 union all select i + 1 from n \
                    where i < 3000000) select count(*) from n";
        let rows = test.db.query(long, vec![]).await.unwrap();
        assert_eq!(rows[0].at::<i64>(0).unwrap(), 3_000_000, "{}", test.name);
        test.db
            .execute("update data_version set version = 1", vec![])
            .await
            .unwrap();
    }
}

async fn version(db: &Db) -> i64 {
    db.query_opt("select version from data_version", vec![])
        .await
        .unwrap()
        .unwrap()
        .at(0)
        .unwrap()
}
