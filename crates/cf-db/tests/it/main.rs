//! Every rule of the database layer, on SQLite and PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

async fn version(db: &Db) -> i64 {
    db.query_opt("select version from data_version", vec![])
        .await
        .unwrap()
        .unwrap()
        .at(0)
        .unwrap()
}
