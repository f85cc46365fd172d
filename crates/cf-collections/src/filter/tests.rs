//! A condition decided in memory and the same one asked of the database must
//! agree: rules are decided in memory for writes and realtime, in SQL for lists.

use std::collections::BTreeSet;
use std::sync::Arc;

use cf_base::{Clock, Random};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value as Json, json};

use super::{Root, condition, parse};
use crate::engine::Reader;
use crate::record::Record;
use crate::{Engine, EngineParts, ListParams, NoHooks, Principal, Shape};

fn filters() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "name",
        "price",
        "rate_limit",
        "margin",
        "active",
        "models",
        "models.0",
        "created",
        "currency",
        "id",
        "name:lower",
    ]);
    let literal = prop_oneof![
        prop::sample::select(vec![
            "''",
            "'a'",
            "'B'",
            "'ab'",
            "'ä'",
            "'7'",
            "'EUR'",
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "7",
            "7.5",
            "0.000000001",
            "12345678901234567890",
            "'[]'",
            "'x'",
            "'%a'",
        ])
        .prop_map(str::to_owned),
        (-20_i32..20).prop_map(|n| format!("{}", f64::from(n) / 4.0)),
        "'[aAbB%_ ]{0,3}'",
    ];
    let sign = prop::sample::select(vec!["=", "!=", ">", ">=", "<", "<=", "~", "!~"]);
    let one = (field, sign, literal, any::<bool>()).prop_map(|(field, sign, literal, swap)| {
        if swap && !sign.contains('~') {
            format!("{literal} {sign} {field}")
        } else {
            format!("{field} {sign} {literal}")
        }
    });
    (one.clone(), one, prop::sample::select(vec!["", "&&", "||"])).prop_map(|(a, b, join)| {
        if join.is_empty() {
            a
        } else {
            format!("{a} {join} {b}")
        }
    })
}

async fn engine(test: &cf_testkit::TestDb) -> (Engine, Principal) {
    let engine = Engine::new(EngineParts {
        db: test.db.clone(),
        hooks: Arc::new(NoHooks),
        clock: Clock::system(),
        random: Random::seeded(3),
    });
    let root = Principal::Superuser {
        id: "r".to_owned(),
        email: "r@x.example".to_owned(),
    };
    for (name, price, rate, margin, active, models) in [
        ("a", json!(0), 0, json!(0), true, json!([])),
        ("AB", json!(7), 7, json!(7.5), false, json!(["a", "B"])),
        (
            "b_%",
            json!(0.000_000_001),
            1,
            json!(-1),
            true,
            json!(["x"]),
        ),
        ("ä", json!(7.5), 100, json!(0.25), false, json!(["ä"])),
    ] {
        let record = json!({
            "name": name, "price": price, "rate_limit": rate, "margin": margin,
            "active": active, "models": models,
        });
        let Json::Object(record) = record else {
            unreachable!("it is written as an object")
        };
        engine
            .create(&root, "products", &record, &Shape::default())
            .await
            .unwrap();
    }
    (engine, root)
}

async fn both(
    engine: &Engine,
    root: &Principal,
    filter: &str,
) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let params = ListParams {
        filter: filter.to_owned(),
        ..ListParams::default()
    };
    let asked = engine.list(root, "products", &params).await.ok()?;
    let id = |record: &Map<String, Json>| record["id"].as_str().unwrap().to_owned();
    let asked = asked["items"].as_array().unwrap();
    let asked = asked.iter().map(|r| id(r.as_object().unwrap())).collect();
    let collection = engine.collection("products", false).unwrap();
    let sql = format!(
        "select {} from products t0",
        Record::columns(&collection, "t0")
    );
    let mut decided = BTreeSet::new();
    for row in engine.db().query(&sql, vec![]).await.unwrap() {
        let record = Record::read(&collection, &row).unwrap();
        let mut statement = engine.statement();
        let cond = condition(
            &parse(filter).unwrap().unwrap(),
            &collection,
            &Root::Values(record.values()),
            &engine.context(root),
            &mut statement,
        )
        .unwrap();
        let mut reader = Reader::Engine(engine);
        if engine.holds(&mut reader, cond, statement).await.unwrap() {
            decided.insert(record.id().to_owned());
        }
    }
    Some((asked, decided))
}

#[test]
fn memory_and_database_agree() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tests = runtime.block_on(cf_testkit::databases());
    let engines: Vec<_> = tests
        .iter()
        .map(|test| (test.name, runtime.block_on(engine(test))))
        .collect();
    let mut runner = TestRunner::new(Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&filters(), |filter| {
            for (name, (engine, root)) in &engines {
                if let Some((asked, decided)) = runtime.block_on(both(engine, root, &filter)) {
                    prop_assert_eq!(asked, decided, "{} on {}", filter, name);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn rules_see_what_is_sent() {
    let test = cf_testkit::TestDb::sqlite().await;
    let (engine, root) = engine(&test).await;
    let collection = engine.collection("products", false).unwrap();
    let body = json!({"name": "n", "price+": 1, "active": true, "margin": 2.5, "models": null});
    let holds = |filter: &str| {
        let mut statement = engine.statement();
        condition(
            &parse(filter).unwrap().unwrap(),
            &collection,
            &Root::Values(&[]),
            &super::Context {
                trusted: true,
                body: body.as_object(),
                ..engine.context(&root)
            },
            &mut statement,
        )
        .map(|cond| cond == super::Cond::True)
    };
    for (filter, truth) in [
        ("@request.body.name = 'n'", true),
        ("@request.body.name:isset = true", true),
        ("@request.body.price:isset = true", true),
        ("@request.body.currency:isset = true", false),
        ("@request.body.currency = ''", true),
        ("@request.body.models = null", true),
        (
            "@request.body.active = true && @request.body.margin > 2",
            true,
        ),
    ] {
        assert_eq!(holds(filter), Ok(truth), "{filter}");
    }
    assert!(holds("@request.body.name:changed = true").is_err());
}
