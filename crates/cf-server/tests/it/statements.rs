//! Statements: who may read them, and that they are the sums of the rows.

use std::collections::BTreeMap;
use std::time::Duration;

use cf_base::{Nanos, Timestamp, parse_decimal_nanos};
use cf_ledger::{PruneOwner, prune_usage};
use cf_testkit::Reply;
use serde_json::{Value, json};

use crate::app::{Client, TestApp};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// An amount as it stands in the answer's text, to the last digit.
fn amount(value: &Value) -> Nanos {
    Nanos(parse_decimal_nanos(&value.to_string()).unwrap())
}

async fn statement(test: &TestApp, month: &str) -> Value {
    let path = format!("/api/statements/{}/{month}", test.tenant);
    test.root.get(&path).await.expect(200).json()
}

async fn call(test: &TestApp, user: &Client, prompt: u64, completion: u64) {
    test.upstream.next(Reply::chat("x", prompt, completion));
    user.by_key().chat(json!({})).await.expect(200);
}

/// The sum of the rows of a month, by user and model, read from the rows themselves.
async fn of_rows(test: &TestApp, from: &str, until: &str) -> BTreeMap<(String, String), i64> {
    let rows = test
        .app
        .db
        .query(
            "select user_id, model, cast(sum(tenant_cost) as bigint) from usage_logs \
             where created >= $1 and created < $2 group by user_id, model",
            vec![from.into(), until.into()],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| ((row.at(0).unwrap(), row.at(1).unwrap()), row.at(2).unwrap()))
        .collect()
}

fn of_lines(statement: &Value) -> BTreeMap<(String, String), i64> {
    let mut sums = BTreeMap::new();
    for line in statement["usage"].as_array().unwrap() {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        assert_eq!(line["currency"], "EUR");
        *sums.entry((text("user_id"), text("model"))).or_insert(0) += amount(&line["amount"]).0;
    }
    sums
}

#[tokio::test]
async fn a_month_is_the_sum_of_its_rows_in_the_tenants_time_zone() {
    for mut test in TestApp::each().await {
        let (alice, bob) = (test.user("alice").await, test.user("bob").await);
        // Prices with odd digits, so that every digit counts.
        let prices = json!({"prices": {"input": 0.123_457, "output": 1.234_567}});
        let models = test
            .root
            .get("/api/collections/models/records")
            .await
            .json();
        let model = models["items"][0]["id"].as_str().unwrap();
        test.root.change("models", model, &prices).await.expect(200);
        test.root
            .change("products", &test.product, &json!({"price": 19.99}))
            .await
            .expect(200);
        // 2026-01-10 12:00 UTC; the tenant is in Berlin.
        call(&test, &alice, 13, 7).await;
        call(&test, &bob, 101, 3).await;
        // To 2026-01-31 22:30 UTC, still January in Berlin; then half past midnight there.
        test.clock.advance(21 * DAY + 10 * HOUR + HOUR / 2);
        call(&test, &alice, 17, 19).await;
        test.clock.advance(HOUR);
        call(&test, &alice, 1_000, 1).await;
        test.sign_in_again().await;
        let january = ("2025-12-31 23:00", "2026-01-31 23:00");
        let rows = of_rows(&test, january.0, january.1).await;
        assert_eq!(rows.len(), 2);

        let open = statement(&test, "2026-01").await;
        assert_eq!(open["closed"], "", "{}", test.name);
        assert_eq!(open["from"], "2025-12-31 23:00:00.000Z");
        assert_eq!(open["until"], "2026-01-31 23:00:00.000Z");
        assert_eq!(of_lines(&open), rows, "{}", test.name);
        let february = statement(&test, "2026-02").await;
        assert_eq!(february["usage"].as_array().unwrap().len(), 1);

        // Closed an hour after its end, then fixed.
        assert_eq!(test.app.ledger.close_statements().await.unwrap(), 0);
        test.clock.advance(HOUR);
        assert_eq!(test.app.ledger.close_statements().await.unwrap(), 1);
        assert_eq!(test.app.ledger.close_statements().await.unwrap(), 0);
        let closed = statement(&test, "2026-01").await;
        assert_ne!(closed["closed"], "");
        assert_eq!(of_lines(&closed), rows);
        let usage: i64 = rows.values().sum();
        let fees = 2 * 19_990_000_000;
        assert_eq!(amount(&closed["totals"]["usage"]).0, usage);
        assert_eq!(amount(&closed["totals"]["fees"]).0, fees);
        assert_eq!(amount(&closed["totals"]["total"]).0, usage + fees);
        assert_eq!(closed["totals"]["requests"], 3);
        let tokens: i64 = (closed["usage"].as_array().unwrap().iter())
            .map(|line| line["prompt_tokens"].as_i64().unwrap())
            .sum();
        assert_eq!(tokens, 13 + 101 + 17);

        // Later prices, fees and names of zones change nothing, and pruned rows neither.
        let path = format!("/api/statements/{}/2026-01.csv", test.tenant);
        let table = test.root.get(&path).await.expect(200).text();
        test.root
            .change("products", &test.product, &json!({"price": 99}))
            .await
            .expect(200);
        test.root
            .change(
                "models",
                model,
                &json!({"prices": {"input": 50, "output": 50}}),
            )
            .await
            .expect(200);
        test.root
            .change("tenants", &test.tenant, &json!({"time_zone": "Asia/Tokyo"}))
            .await
            .expect(200);
        let tenant = PruneOwner::Tenant(test.tenant.parse().unwrap());
        let until = Timestamp::parse("2026-02-01 01:00:00Z").unwrap();
        assert_eq!(prune_usage(&test.app.db, tenant, until).await.unwrap(), 4);
        assert_eq!(test.count("select count(*) from usage_logs").await, 0);
        assert_eq!(statement(&test, "2026-01").await, closed, "{}", test.name);
        assert_eq!(test.root.get(&path).await.expect(200).text(), table);
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn the_table_has_every_line_and_the_total() {
    let test = TestApp::new().await;
    let alice = test.user("alice").await;
    test.root
        .change(
            "products",
            &test.product,
            &json!({"price": 5, "name": "=Pro, \"best\""}),
        )
        .await
        .expect(200);
    call(&test, &alice, 10, 5).await;
    let path = format!("/api/statements/{}/2026-01.csv", test.tenant);
    let answer = test.root.get(&path).await.expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let text = answer.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0]
            .starts_with("line,month,user_id,user,product,model,provider,price_version,requests")
    );
    assert!(lines[0].ends_with("amount,currency"));
    assert!(lines[1].starts_with(&format!(
        "usage,2026-01,{},alice@example.com,,small,",
        alice.id
    )));
    assert!(lines[1].ends_with(",0.00002,EUR"), "{text}");
    assert!(lines[2].contains(r#","'=Pro, ""best""","#), "{text}");
    assert!(lines[2].ends_with(",5,EUR"));
    assert!(lines[3].starts_with("total,2026-01,,") && lines[3].ends_with(",5.00002,EUR"));
}

#[tokio::test]
async fn a_fee_in_another_currency_is_exchanged_or_stands_apart() {
    let test = TestApp::new().await;
    test.user("alice").await;
    let rate =
        json!({"base": "USD", "quote": "CHF", "rate": 0.8, "date": "2026-01-01", "source": "test"});
    test.root.create("exchange_rates", rate).await;
    for (currency, price, owed, in_currency) in [
        // A dollar is a euro in these tests.
        ("USD", 7.0, 7.0, "EUR"),
        ("CHF", 4.0, 5.0, "EUR"),
        ("JPY", 300.0, 300.0, "JPY"),
    ] {
        let product =
            json!({"name": currency, "currency": currency, "price": price, "active": true});
        let product = test.root.create("products", product).await;
        test.execute(&format!(
            "update users set product_id = '{}'",
            product["id"].as_str().unwrap()
        ))
        .await;
        let statement = statement(&test, "2026-01").await;
        let fee = &statement["fees"][0];
        assert_eq!(amount(&fee["price"]), amount(&json!(price)));
        assert_eq!(fee["price_currency"], currency);
        assert_eq!(amount(&fee["amount"]), amount(&json!(owed)));
        assert_eq!(fee["currency"], in_currency);
        let totals = &statement["totals"];
        if in_currency == "EUR" {
            assert_eq!(amount(&totals["total"]), amount(&json!(owed)));
        } else {
            assert_eq!(totals["total"], 0);
            assert_eq!(
                amount(&totals["other_currencies"][in_currency]),
                amount(&json!(owed))
            );
        }
    }
}

#[tokio::test]
async fn statements_are_for_administrators_and_the_own_tenants() {
    for test in TestApp::each().await {
        let other = test.new_tenant("other").await;
        let own = format!("/api/statements/{}", test.tenant);
        let foreign = format!("/api/statements/{other}");
        let chief = test.person("chief", "tenant_admin", &test.tenant).await;
        let user = test.user("alice").await;
        let admin = test.person("admin", "admin", &test.tenant).await;
        call(&test, &user, 10, 5).await;
        for month in ["", "/2026-01", "/2026-01.json", "/2026-01.csv"] {
            let (own, foreign) = (format!("{own}{month}"), format!("{foreign}{month}"));
            chief.get(&own).await.expect(200);
            chief.get(&foreign).await.expect(403);
            user.get(&own).await.expect(403);
            user.by_key().get(&own).await.expect(401);
            test.guest().get(&own).await.expect(401);
            for all in [&admin, &test.root, &test.program()] {
                all.get(&own).await.expect(200);
                all.get(&foreign).await.expect(200);
            }
            for (scopes, tenant, of_own, of_foreign) in [
                (json!(["read"]), "", 200, 200),
                (json!(["read"]), test.tenant.as_str(), 200, 403),
                (json!(["check", "log"]), "", 403, 403),
            ] {
                let key = json!({"name": "k", "scopes": scopes, "tenant_id": tenant});
                let key = test.root.post("/api/billing-keys", &key).await.json();
                let program = test.guest().with("x-api-key", key["key"].as_str().unwrap());
                program.get(&own).await.expect(of_own);
                program.get(&foreign).await.expect(of_foreign);
            }
        }
        // What the provider takes is the operator's to know.
        let path = format!("{own}/2026-01");
        assert!(admin.get(&path).await.json()["usage"][0]["unit_prices"].is_object());
        assert!(chief.get(&path).await.json()["usage"][0]["unit_prices"].is_null());
    }
}

#[tokio::test]
async fn what_is_no_statement_is_refused_with_a_sentence() {
    let test = TestApp::new().await;
    for (tenant, month, status, says) in [
        (test.tenant.as_str(), "2026-02", 404, "lies ahead"),
        (test.tenant.as_str(), "2025-12", 404, "not there yet"),
        (test.tenant.as_str(), "2026-13", 400, "2026-01"),
        (test.tenant.as_str(), "2026-1", 400, "2026-01"),
        (test.tenant.as_str(), "2026-01.pdf", 422, "not yet as PDF"),
        (test.tenant.as_str(), "2026-01.xls", 404, ".csv"),
        ("aaaaaaaaaaaaaaa", "2026-01", 404, "no statement"),
        ("x'", "2026-01", 400, "15 characters"),
    ] {
        let path = format!("/api/statements/{tenant}/{month}");
        let answer = test.root.get(&path).await.expect(status);
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    test.root
        .get("/api/statements/aaaaaaaaaaaaaaa")
        .await
        .expect(404);
}
