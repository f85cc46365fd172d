//! The filter language.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::world::{World, worlds};

async fn products(w: &World) {
    for (name, price, rate, margin, active, models) in [
        (
            "Alpha",
            json!(10),
            5,
            json!(0.5),
            true,
            json!(["gpt-5", "claude"]),
        ),
        (
            "beta 50% off",
            json!(0.000_000_001),
            0,
            json!(-1.5),
            false,
            json!([]),
        ),
        (
            "Gämma_1",
            json!("12.5"),
            1000,
            json!(3),
            true,
            json!(["gpt-5"]),
        ),
        (
            r#"quote " and ' and \ x"#,
            json!(99),
            7,
            json!(0),
            true,
            json!(["x"]),
        ),
    ] {
        w.make(
            "products",
            json!({
                "name": name, "price": price, "rate_limit": rate, "margin": margin,
                "active": active, "models": models, "description": "made here",
            }),
        )
        .await;
    }
}

#[tokio::test]
async fn every_operator_and_operand_means_what_it_says() {
    for w in worlds().await {
        products(&w).await;
        let ours = "description = 'made here'";
        for (filter, found) in [
            ("", 4),
            ("name = 'Alpha'", 1),
            ("name = 'alpha'", 0),
            ("name != 'Alpha'", 3),
            ("name ?= \"Alpha\"", 1),
            ("'Alpha' = name", 1),
            ("name:lower = 'alpha'", 1),
            ("name ~ 'ALPHA'", 1),
            ("name !~ 'alpha'", 3),
            ("name ~ 'al%'", 1),
            ("name ~ '%al'", 0),
            ("name ~ 'a_pha'", 0),
            ("name ~ 'mma_1'", 1),
            (r"name ~ '50\%'", 1),
            (r"name ~ '5\%'", 0),
            ("name ~ '%'", 4),
            ("name ~ ''", 4),
            (r#"name ~ "quote \" and""#, 1),
            (r"name ~ '\ x'", 1),
            ("price ~ '0.000000001'", 1),
            ("price ~ '9%'", 1),
            ("name > 'B'", 3),
            ("name < 'B'", 1),
            ("price = 12.5", 1),
            ("price = '12.5'", 1),
            ("price > 10", 2),
            ("price >= 10", 3),
            ("10 <= price", 3),
            ("price < 0.000000002", 1),
            ("price = 0.000000001", 1),
            ("price > 99999999999999", 0),
            ("price < 99999999999999", 4),
            ("price = 'much'", 0),
            ("price != 'much'", 4),
            ("price = null", 0),
            ("price != null", 4),
            ("price ~ '12'", 1),
            ("rate_limit = 1000", 1),
            ("rate_limit > 4.5", 3),
            ("rate_limit < 99999999999999999999", 4),
            ("margin < 0", 1),
            ("margin = 0.5", 1),
            ("margin >= -1.5 && margin < 3", 3),
            ("rate_limit > margin", 4),
            ("price > rate_limit", 3),
            ("active = true", 3),
            ("active = FALSE", 1),
            ("active != true", 1),
            ("active = 1", 3),
            ("description = null", 0),
            ("description = ''", 0),
            ("description != null", 4),
            ("currency = 'EUR' && (name = 'Alpha' || rate_limit = 0)", 2),
            ("name = 'Alpha' || name = 'nothing' && rate_limit = 0", 1),
            ("name='Alpha'// a remark\n||rate_limit=0", 2),
            ("models ~ 'gpt-5'", 2),
            ("models.0 = 'gpt-5'", 2),
            ("models.1 = 'claude'", 1),
            ("models.1 != ''", 1),
            ("created = '2026-11-24 10:00:00.123Z'", 4),
            ("created <= @now", 4),
            ("created > @yesterday && created < @tomorrow", 4),
            ("created >= @todayStart && created <= @todayEnd", 4),
            ("created >= @monthStart && created <= @yearEnd", 4),
            (
                "@year = 2026 && @month = 11 && @day = 24 && @weekday = 2 && @hour = 10",
                4,
            ),
            ("1 = 1", 4),
            ("1 > 2", 0),
            ("'a' < 'b'", 4),
            ("null = ''", 4),
            ("true = 1", 4),
            ("collectionName = 'products'", 4),
            ("name ~ description", 0),
            ("description ~ description", 4),
        ] {
            let filter = if filter.is_empty() {
                ours.to_owned()
            } else {
                format!("{ours} && ({filter})")
            };
            let count = w.count(&w.root, "products", &filter).await;
            assert_eq!(count, found, "{filter} on {}", w.test.name);
        }
    }
}

#[tokio::test]
async fn paths_lead_through_relations() {
    for w in worlds().await {
        for (collection, filter, found) in [
            ("users", "tenant_id.slug = 'beta'", 2),
            ("users", "tenant_id.slug ~ 'ALPH'", 3),
            ("users", "tenant_id.slug != 'beta'", 3),
            ("users", "product_id.price = 99", 5),
            (
                "users",
                "product_id.price > 98.9 && tenant_id.signup_enabled = false",
                2,
            ),
            ("api_keys", "user_id.tenant_id.slug = 'alpha'", 1),
            ("api_keys", "user_id.product_id.budget_included = 0", 2),
            ("usage_logs", "user_id.email = 'USER@alpha.example'", 1),
            ("usage_logs", "cost = 0.00125 && exchange_rate = 0.92", 2),
            ("usage_logs", "user_id.budget_total > 0", 2),
            ("models", "tenant_id.slug = ''", 0),
            ("users", "email = 'BOSS@ALPHA.EXAMPLE'", 1),
            (
                "users",
                "budget_total = 100 && budget_remaining = 100 && budget_currency = 'EUR'",
                5,
            ),
            ("users", "budget_reset_date = null", 5),
            ("users", "budget_used != 0", 0),
        ] {
            let count = w.count(&w.root, collection, filter).await;
            assert_eq!(count, found, "{filter} on {}", w.test.name);
        }
        // A relation to nothing is nothing.
        w.make("models", json!({"name": "m"})).await;
        for (filter, found) in [
            ("tenant_id.slug = ''", 1),
            ("tenant_id.slug = null", 1),
            ("tenant_id.slug != 'x'", 1),
            ("tenant_id.budget_total = 0", 0),
            ("tenant_id.budget_total != 0", 1),
            ("tenant_id.budget_total = null", 1),
            ("tenant_id.budget_total < 1", 0),
        ] {
            assert_eq!(w.count(&w.root, "models", filter).await, found, "{filter}");
        }
    }
}

#[tokio::test]
async fn what_means_nothing_is_a_bad_request() {
    for w in worlds().await {
        let deep = format!("{}id = ''", "tenant_id.".repeat(3));
        for filter in [
            "nothing = 1",
            "name",
            "name =",
            "name = 'x",
            "name = 'a' name = 'b'",
            "name = 'x'; drop table users",
            "\"name\" = 'x' or 1=1 --",
            "name.slug = 'x'",
            "tenant_id. = 'x'",
            "tenant_id.nothing = 'x'",
            "name:upper = 'x'",
            "name:each = 'x'",
            "@nothing = 1",
            "strftime('%Y', created) = '2026'",
            "users_via_tenant_id.name = 'x'",
            "name > budget_total",
            "product_id.margin ~ '1'",
            "name = '\0'",
            deep.as_str(),
        ] {
            let refused = w.list(&w.root, "users", filter).await.unwrap_err();
            assert_eq!(refused.status, 400, "{filter}");
            assert_eq!(
                refused.message,
                "Something went wrong while processing your request."
            );
        }
    }
}

/// Pieces of filters and of attacks, thrown together.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "name",
            "tenant_id.slug",
            "tenant_id",
            "price",
            "active",
            "models.0",
            "created",
            "budget_total",
            "password_hash",
            "@now",
            "@request.auth.id",
            "@collection.users.id",
            "=",
            "!=",
            "~",
            "!~",
            ">",
            "<=",
            "?=",
            "&&",
            "||",
            "(",
            ")",
            "//",
            "\n",
            "'",
            "\"",
            "\\",
            "%",
            "_",
            "$1",
            ";",
            "--",
            "null",
            "true",
            "-1",
            "1.5",
            "1e5",
            "99999999999999999999",
            "'x'",
            "\"y\"",
            ":lower",
            ",",
            ".",
            "::",
            "\0",
            "é",
            "inf",
            "nan",
            "collate",
            "/*",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.join(" "))
}

#[test]
fn no_text_does_anything_but_list_or_be_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let worlds = Arc::new(runtime.block_on(worlds()));
    let mut runner = TestRunner::new(Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(soup(), soup()), |(filter, sort)| {
            for w in worlds.iter() {
                for who in [&w.root, &w.a.boss] {
                    for collection in ["users", "products"] {
                        let params = cf_collections::ListParams {
                            filter: filter.clone(),
                            sort: sort.clone(),
                            ..Default::default()
                        };
                        for params in [
                            cf_collections::ListParams {
                                sort: String::new(),
                                ..params.clone()
                            },
                            cf_collections::ListParams {
                                filter: String::new(),
                                ..params.clone()
                            },
                        ] {
                            let result = runtime.block_on(w.engine.list(who, collection, &params));
                            if let Err(error) = result {
                                prop_assert!(
                                    matches!(error.status, 400 | 403),
                                    "{params:?} on {}: {error} {:?}",
                                    w.test.name,
                                    error.source
                                );
                            }
                        }
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn comparisons_that_are_well_formed_run_on_both_databases() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let worlds = Arc::new(runtime.block_on(worlds()));
    let operand = || {
        prop::sample::select(vec![
            "name",
            "role",
            "email",
            "emailVisibility",
            "budget_total",
            "budget_remaining",
            "budget_reset_date",
            "tenant_id",
            "tenant_id.slug",
            "tenant_id.budget_total",
            "tenant_id.signup_enabled",
            "product_id.margin",
            "product_id.rate_limit",
            "product_id.models.0",
            "tenant_id.regions",
            "created",
            "'text'",
            "'12.5'",
            "''",
            "null",
            "true",
            "12.5",
            "-3",
            "99999999999999999999999",
            "@now",
            "@year",
            "tenant_id.name:lower",
        ])
    };
    let sign = prop::sample::select(vec!["=", "!=", ">", ">=", "<", "<=", "~", "!~"]);
    let mut runner = TestRunner::new(Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(operand(), sign, operand()), |(left, sign, right)| {
            let filter = format!("{left} {sign} {right}");
            let mut counts = Vec::new();
            for w in worlds.iter() {
                match runtime.block_on(w.list(&w.root, "users", &filter)) {
                    Ok(items) => counts.push(Some(items.len())),
                    Err(e) => {
                        prop_assert_eq!(
                            e.status,
                            400,
                            "{} on {}: {:?}",
                            filter,
                            w.test.name,
                            e.source
                        );
                        counts.push(None);
                    }
                }
            }
            prop_assert!(
                counts.windows(2).all(|c| c[0] == c[1]),
                "{}: {:?}",
                filter,
                counts
            );
            Ok(())
        })
        .unwrap();
}
