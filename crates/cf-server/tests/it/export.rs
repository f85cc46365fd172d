//! Usage as files, and summaries from the sums that are kept.

use std::time::Duration;

use cf_testkit::Reply;
use serde_json::{Value, json};

use crate::app::{Client, TestApp};

const CSV: &str = "/api/usage/export?format=csv";
const JSONL: &str = "/api/usage/export?format=jsonl";

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn report(test: &TestApp, user: &Client, id: &str, metadata: &str) {
    let report = json!({
        "request_id": id, "user_id": user.id, "model": "=cmd|' /C calc'!A0", "cost": 0.000_000_012,
        "currency": "EUR", "metadata": {"note": metadata},
    });
    test.program()
        .post("/api/usage/log", &report)
        .await
        .expect(201);
}

#[tokio::test]
async fn every_row_is_exported_once_however_many_pages_there_are() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        test.upstream.next(Reply::chat("x", 10, 5));
        alice.by_key().chat(json!({})).await.expect(200);
        test.app.ledger.flush().await.unwrap();
        // Many of the same moment, so that pages end among them.
        let columns = "user_id, tenant_id, model, provider, cost, currency, tenant_cost, \
                       tenant_currency, exchange_rate, tenant_exchange_rate, status";
        for n in 0..1_203 {
            let minute = n / 300;
            test.execute(&format!(
                "insert into usage_logs (id, request_id, created, {columns}) \
                 select 'a{n:014}', 'copy-{n}', '2026-01-09 12:0{minute}:00.000Z', {columns} \
                 from usage_logs where request_id not like 'copy-%'"
            ))
            .await;
        }
        let answer = test.root.get(JSONL).await.expect(200);
        assert_eq!(
            answer.header("content-type"),
            "application/jsonl; charset=utf-8"
        );
        assert!(answer.header("content-disposition").contains("usage.jsonl"));
        let rows = objects(&answer.text());
        let ids: std::collections::BTreeSet<&str> =
            rows.iter().map(|r| r["id"].as_str().unwrap()).collect();
        assert_eq!((rows.len(), ids.len()), (1_204, 1_204), "{}", test.name);
        let newest_first = rows.windows(2).all(|pair| {
            pair[0]["created"].as_str().unwrap() >= pair[1]["created"].as_str().unwrap()
        });
        assert!(newest_first);
        let table = test.root.get(CSV).await.expect(200).text();
        assert_eq!(table.lines().count(), 1_205);
        // As the list shows them, one by one.
        let page = test.root.get("/api/usage?perPage=1").await.json();
        let mut shown = page["items"][0].clone();
        shown.as_object_mut().unwrap().remove("collectionId");
        shown.as_object_mut().unwrap().remove("collectionName");
        assert_eq!(rows[0], shown);
        // The filters are those of the list.
        for (filter, count) in [
            ("from=2026-01-10", 1),
            ("to=2026-01-09", 1_203),
            ("from=2026-01-09T12:04:00Z&to=2026-01-09", 3),
            ("model=small", 1_204),
            ("model=other", 0),
        ] {
            let rows = test
                .root
                .get(&format!("{JSONL}&{filter}"))
                .await
                .expect(200);
            assert_eq!(objects(&rows.text()).len(), count, "{filter}");
        }
    }
}

#[tokio::test]
async fn nothing_in_a_table_is_run_as_a_formula_and_amounts_are_written_out() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        report(&test, &alice, "r-1", "a \"b\",\nc").await;
        let text = test.root.get(CSV).await.expect(200).text();
        assert!(text.contains(",'=cmd|' /C calc'!A0,"), "{text}");
        assert!(text.contains(",0.000000012,"), "{text}");
        assert!(text.contains(r#""{""note"":""a \""b\"",\nc""}""#), "{text}");
        // Read back by another reader, no cell has moved.
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let of = |name: &str| &row[names.iter().position(|n| n == name).unwrap()];
        assert_eq!(of("request_id"), "r-1");
        assert_eq!(of("user_id"), alice.id);
        assert_eq!(of("created"), "2026-01-10 12:00:00.000Z");
    }
}

#[tokio::test]
async fn everybody_exports_what_they_may_see() {
    for test in TestApp::each().await {
        let other = test.new_tenant("other").await;
        let (alice, bob) = (test.user("alice").await, test.user("bob").await);
        let carol = test.person("carol", "user", &other).await;
        let chief = test.person("chief", "tenant_admin", &test.tenant).await;
        for user in [&alice, &bob, &carol] {
            user.by_key().chat(json!({})).await.expect(200);
        }
        for (who, rows) in [
            (&alice, 1),
            (&chief, 2),
            (&test.root, 3),
            (&test.program(), 3),
        ] {
            let text = who.get(JSONL).await.expect(200).text();
            assert_eq!(objects(&text).len(), rows, "{}", test.name);
            let head = who.get(CSV).await.expect(200).text();
            let admin = rows == 3;
            assert_eq!(
                head.lines().next().unwrap().contains("provider_cost"),
                admin
            );
            assert_eq!(text.contains("provider_cost"), admin);
        }
        let foreign = [
            alice.get(&format!("{CSV}&user_id={}", bob.id)).await,
            chief.get(&format!("{CSV}&tenant_id={other}")).await,
        ];
        for answer in foreign {
            answer.expect(403);
        }
        test.guest().get(CSV).await.expect(401);
        let of_carol = chief.get(&format!("{JSONL}&user_id={}", carol.id)).await;
        assert_eq!(of_carol.expect(200).text(), "");
        let key = json!({"name": "k", "scopes": ["check", "log"]});
        let key = test.root.post("/api/billing-keys", &key).await.json();
        let program = test.guest().with("x-api-key", key["key"].as_str().unwrap());
        program.get(CSV).await.expect(403);
        for bad in [
            "format=xls",
            "format=csv&form=2026-01-01",
            "format=csv&from=soon",
            "",
        ] {
            let path = format!("/api/usage/export?{bad}");
            test.root.get(&path).await.expect(400);
        }
    }
}

#[tokio::test]
async fn no_more_exports_run_at_once_than_there_are_places() {
    let test = TestApp::new().await;
    let places = test.app.exports.available_permits();
    let taken = test
        .app
        .exports
        .clone()
        .acquire_many_owned(4)
        .await
        .unwrap();
    assert_eq!(places, 4);
    let refused = test.root.get(CSV).await.expect(429);
    assert!(refused.text().contains("exports are running"));
    drop(taken);
    for _ in 0..6 {
        test.root.get(CSV).await.expect(200);
    }
}

#[tokio::test]
async fn summaries_are_those_of_the_rows_also_when_the_rows_are_gone() {
    for mut test in TestApp::each().await {
        let (alice, bob) = (test.user("alice").await, test.user("bob").await);
        for user in [&alice, &alice, &bob] {
            user.by_key().chat(json!({})).await.expect(200);
        }
        test.root
            .change("tenants", &test.tenant, &json!({"usage_retention_days": 3}))
            .await
            .expect(400);
        test.root
            .change(
                "tenants",
                &test.tenant,
                &json!({"usage_retention_days": 10}),
            )
            .await
            .expect(200);
        test.clock.advance(Duration::from_secs(20 * 86_400));
        test.sign_in_again().await;
        let at_home = test.guest();
        let alice_now = at_home
            .sign_in("users", "alice@example.com", crate::app::PASSWORD)
            .await;
        alice.by_key().chat(json!({})).await.expect(200);
        test.app.ledger.flush().await.unwrap();
        let before = test.root.get("/api/usage/summary").await.json();
        assert_eq!(before["total"]["requests"], 4);
        let now = test.app.clock.now();
        let gone = cf_ledger::prune_old_usage(&test.app.db, 0, now).await;
        assert_eq!(gone.unwrap(), 3, "{}", test.name);
        assert_eq!(test.count("select count(*) from usage_logs").await, 1);
        assert_eq!(test.root.get("/api/usage/summary").await.json(), before);
        let mine = alice_now
            .get("/api/usage/summary?group_by=model")
            .await
            .json();
        assert_eq!(mine["items"][0]["requests"], 3);
        assert_eq!(mine["total"]["requests"], 3);
        test.assert_settled().await;
        // Tenant administrators cannot have traces deleted.
        let chief = test.person("chief", "tenant_admin", &test.tenant).await;
        let own = json!({"usage_retention_days": 7});
        let refused = chief.change("tenants", &test.tenant, &own).await;
        assert!(refused.status.is_client_error(), "{}", refused.text());
    }
}

#[tokio::test]
async fn days_of_a_summary_are_those_of_the_time_zone_asked_for() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    // 23:30 in London is the next day in Berlin.
    test.clock.advance(Duration::from_secs(11 * 3600 + 1800));
    alice.by_key().chat(json!({})).await.expect(200);
    for (zone, day) in [("", "2026-01-10"), ("Europe/Berlin", "2026-01-11")] {
        let path = format!("/api/usage/summary?time_zone={zone}");
        let days = test.root.get(&path).await.expect(200).json();
        assert_eq!(days["items"][0]["key"], day);
        let that_day = format!("{path}&from={day}&to={day}");
        let that_day = test.root.get(&that_day).await.expect(200).json();
        assert_eq!(that_day["total"]["requests"], 1);
    }
    let unknown = test.root.get("/api/usage/summary?time_zone=Mars").await;
    assert!(unknown.expect(400).text().contains("time_zone"));
}
