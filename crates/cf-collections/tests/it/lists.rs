//! Pages, order, fields and expansion.

use std::sync::Arc;
use std::time::Duration;

use cf_base::Random;
use cf_collections::{Engine, EngineParts, ListParams, NoHooks};
use serde_json::{Value as Json, json};

use crate::world::{World, worlds};

async fn page(w: &World, query: &[(&str, &str)]) -> Json {
    let params = ListParams::from_query(query.iter().copied()).unwrap();
    w.engine.list(&w.root, "settings", &params).await.unwrap()
}

fn keys(page: &Json) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|i| i["key"].as_str().unwrap()).collect()
}

async fn settings(w: &World, count: u64) {
    for n in 0..count {
        w.clock.advance(std::time::Duration::from_millis(1));
        let key = format!("{}{n}", if n % 2 == 0 { "B" } else { "a" });
        w.make("settings", json!({"key": key, "value": n})).await;
    }
}

#[tokio::test]
async fn pages_are_cut_as_pocketbase_cuts_them() {
    for w in worlds().await {
        settings(&w, 5).await;
        let first = page(&w, &[("perPage", "2")]).await;
        assert_eq!(keys(&first), ["B0", "a1"]);
        assert_eq!(
            (
                &first["page"],
                &first["perPage"],
                &first["totalItems"],
                &first["totalPages"]
            ),
            (&json!(1), &json!(2), &json!(5), &json!(3))
        );
        assert_eq!(
            keys(&page(&w, &[("perPage", "2"), ("page", "3")]).await),
            ["B4"]
        );
        assert!(keys(&page(&w, &[("page", "9")]).await).is_empty());
        assert!(keys(&page(&w, &[("page", "9223372036854775807")]).await).is_empty());
        let odd = page(&w, &[("page", "-1"), ("perPage", "0"), ("skipTotal", "1")]).await;
        assert_eq!(
            (
                &odd["page"],
                &odd["perPage"],
                &odd["totalItems"],
                &odd["totalPages"]
            ),
            (&json!(1), &json!(30), &json!(-1), &json!(-1))
        );
        assert_eq!(page(&w, &[("perPage", "5000")]).await["perPage"], 1000);
        for wrong in [("page", "x"), ("perPage", "1.5"), ("skipTotal", "maybe")] {
            assert_eq!(ListParams::from_query([wrong]).unwrap_err().status, 400);
        }
        let none = w
            .engine
            .list(&w.root, "nothing", &ListParams::default())
            .await;
        assert_eq!(none.unwrap_err().message, "Missing collection context.");
    }
}

#[tokio::test]
async fn order_is_as_asked_and_otherwise_of_insertion() {
    for w in worlds().await {
        settings(&w, 4).await;
        for (sort, order) in [
            ("", "B0 a1 B2 a3"),
            ("@rowid", "B0 a1 B2 a3"),
            ("-@rowid", "a3 B2 a1 B0"),
            // By bytes: capitals first.
            ("key", "B0 B2 a1 a3"),
            ("-key", "a3 a1 B2 B0"),
            ("+created", "B0 a1 B2 a3"),
            (" -created , key ", "a3 B2 a1 B0"),
        ] {
            let sorted = page(&w, &[("sort", sort)]).await;
            assert_eq!(keys(&sorted).join(" "), order, "{sort} on {}", w.test.name);
        }
        assert_eq!(keys(&page(&w, &[("sort", "@random")]).await).len(), 4);
        for wrong in [
            "nothing",
            "key,",
            ",",
            "key;",
            "a,b,c,d,e,f,g,h,i",
            "--key",
            "password",
        ] {
            let params = ListParams {
                sort: wrong.to_owned(),
                ..ListParams::default()
            };
            let refused = w.engine.list(&w.root, "settings", &params).await;
            assert_eq!(refused.unwrap_err().status, 400, "{wrong}");
        }
        let params = ListParams {
            sort: "-tenant_id.slug,email".into(),
            ..ListParams::default()
        };
        let users = w.engine.list(&w.root, "users", &params).await.unwrap();
        assert_eq!(users["items"][0]["email"], "boss@beta.example");
        let params = ListParams {
            sort: "-budget_total,-product_id.price".into(),
            ..params
        };
        w.engine.list(&w.root, "users", &params).await.unwrap();
    }
}

#[tokio::test]
async fn answers_hold_what_was_asked_for() {
    for w in worlds().await {
        let params = ListParams {
            fields: "id,expand.user_id.expand.tenant_id.slug,expand.user_id.email".into(),
            expand: "user_id.tenant_id,key_id".into(),
            filter: "request_id = 'request-alpha'".into(),
            ..ListParams::default()
        };
        let page = w.engine.list(&w.root, "usage_logs", &params).await.unwrap();
        assert_eq!(
            page["items"][0],
            json!({
                "id": "usagealphaaaaaa",
                "expand": {"user_id": {"email": "user@alpha.example", "expand": {"tenant_id": {"slug": "alpha"}}}},
            })
        );
        let params = ListParams {
            expand: "nothing".into(),
            fields: String::new(),
            ..params
        };
        let page = w.engine.list(&w.root, "usage_logs", &params).await.unwrap();
        let log = &page["items"][0];
        assert!(log.get("expand").is_none());
        assert_eq!(log["cost"], json!(0.00125));
        assert_eq!(log["exchange_rate"], json!(0.92));
        assert_eq!(log["estimated"], json!(false));
        assert_eq!(log["metadata"], Json::Null);
        assert_eq!(log["collectionName"], "usage_logs");
        let model = w.make("models", json!({"name": "m"})).await;
        let shape = cf_collections::Shape {
            expand: "tenant_id".into(),
            fields: String::new(),
        };
        let model = w
            .engine
            .view(&w.root, "models", &model, &shape)
            .await
            .unwrap();
        assert_eq!(model["expand"], json!({}));
        let wrong = ListParams {
            fields: "id:upper".into(),
            ..ListParams::default()
        };
        assert_eq!(
            w.engine
                .list(&w.root, "users", &wrong)
                .await
                .unwrap_err()
                .status,
            400
        );
    }
}

#[tokio::test]
async fn a_list_that_takes_too_long_is_given_up_with_a_sentence() {
    for w in worlds().await {
        w.test
            .db
            .execute(
                "insert into settings (id, key, created, updated) \
                 with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000) \
                 select cast(100000000000000 + i as text), 'key' || cast(i as text), '', '' from n",
                vec![],
            )
            .await
            .unwrap();
        let hurried = Engine::with_read_limit(
            EngineParts {
                db: w.test.db.clone(),
                hooks: Arc::new(NoHooks),
                clock: w.clock.clone(),
                random: Random::system(),
            },
            Duration::from_millis(1),
        );
        let costly = ListParams::from_query([
            (
                "filter",
                "key ~ 'a%b%c' || key ~ '1%2%3%4%5%6' || created ~ 'x%y%z'",
            ),
            ("sort", "created,-key"),
        ])
        .unwrap();
        let refused = hurried
            .list(&w.root, "settings", &costly)
            .await
            .unwrap_err();
        assert_eq!(refused.status, 400, "{}: {refused}", w.test.name);
        assert!(refused.message.contains("Narrow the filter"), "{refused}");
        // With the usual limit it is a list like any other.
        assert!(w.engine.list(&w.root, "settings", &costly).await.is_ok());
    }
}
