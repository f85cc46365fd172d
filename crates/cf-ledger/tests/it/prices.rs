//! Which prices hold when, for whom, and that bills do not change with them.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{Caller, ExchangeRate, Kind, Nanos, PriceMicros, ProductId, Usage};
use cf_ledger::{Ledger, editions, propose, take};

use crate::fixture::{DOLLAR, Fixture, call, nanos, price};

const CATALOGUE: &str = r#"{"models": [
    {"id": "gpt-5", "provider": "openai", "prices": {"input": "0.000002", "output": "0.00001"}},
    {"id": "brand-new", "provider": "openai", "prices": {"input": "0.000001", "output": "0.000003"}}
]}"#;

async fn product(f: &Fixture, margin: f64, prices: &str) -> Arc<Caller> {
    let id = ProductId::new(&f.random);
    f.db.execute(
        "insert into products (id, name, margin, prices, created, updated) \
         values ($1, 'Plan', $2, $3, '', '')",
        vec![id.into(), margin.into(), prices.into()],
    )
    .await
    .unwrap();
    f.ledger.reload().await.unwrap();
    Arc::new(Caller {
        product_id: Some(id),
        ..(*f.caller).clone()
    })
}

async fn import(f: &Fixture, text: &str, effective: &str) -> cf_base::Result<()> {
    let import = propose(&f.db, &f.clock, Some(text), effective).await?;
    let mut tx = f.db.begin().await.unwrap();
    take(
        &mut tx,
        &import,
        &import.hash,
        "op@example.com",
        &f.clock,
        &f.random,
    )
    .await?;
    tx.commit().await.unwrap();
    f.ledger.reload().await
}

fn input_price(f: &Fixture) -> PriceMicros {
    f.ledger
        .book_price("openai", "gpt-5", "")
        .unwrap()
        .prices
        .input
}

#[tokio::test]
async fn a_margin_is_charged_and_the_providers_cost_kept() {
    for f in Fixture::each("10").await {
        let caller = product(&f, 25.0, "[]").await;
        let mut record = call(1_000_000);
        record.price = f.ledger.customer_price(&caller, "small", &record.price);
        let again = f.ledger.customer_price(&caller, "small", &price());
        assert!(Arc::ptr_eq(&record.price, &again), "worked out once");
        let hold = f.reserve(2 * DOLLAR).await.unwrap();
        let receipt = hold.settle(record).await.unwrap();
        assert_eq!(receipt.cost, nanos("1.25"), "{}", f.name);
        let row = "select provider_cost from usage_logs";
        assert_eq!(f.count(row).await, nanos("1").0);
        f.assert_settled().await;
        // The bill is worked out again with the margin it was made with.
        f.db.execute("update products set margin = 50", vec![])
            .await
            .unwrap();
        assert_eq!(Ledger::verify(&f.db).await.unwrap(), vec![]);
        // The first version of the program kept no cost of the provider.
        for kept in [0, nanos("1").0] {
            for table in [
                "usage_logs",
                "usage_hours",
                "usage_tenant_hours",
                "usage_user_days",
                "usage_model_days",
            ] {
                let kept = format!("update {table} set provider_cost = {kept}");
                f.db.execute(&kept, vec![]).await.unwrap();
            }
            assert_eq!(Ledger::verify(&f.db).await.unwrap(), vec![]);
        }
        for (column, what) in [("cost", "cost"), ("provider_cost", "provider cost")] {
            let sql = format!("update usage_logs set {column} = {column} + 1");
            f.db.execute(&sql, vec![]).await.unwrap();
            let found = Ledger::verify(&f.db).await.unwrap();
            assert!(found.iter().any(|d| d.what.ends_with(what)), "{found:?}");
            let sql = format!("update usage_logs set {column} = {column} - 1");
            f.db.execute(&sql, vec![]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_price_list_comes_before_a_margin_and_the_tenants_before_the_products() {
    for f in Fixture::each("10").await {
        let list = r#"[{"model": "small", "input": 3, "output": 4}]"#;
        let caller = product(&f, 25.0, list).await;
        let usage = Usage {
            output: 1_000_000,
            ..Usage::default()
        };
        let charged = |model: &str| {
            let version = f.ledger.customer_price(&caller, model, &price());
            version.charge(&usage, ExchangeRate::ONE)
        };
        assert_eq!(charged("small"), nanos("4"));
        assert_eq!(
            charged("large"),
            nanos("1.25"),
            "the margin where the list is silent"
        );
        f.db.execute(
            "insert into tenants (id, name, slug, prices, created, updated) \
             values ($1, 'T', 't', '[{\"model\": \"small\", \"input\": 5, \"output\": 6}]', '', '')",
            vec![caller.tenant_id.into()],
        )
        .await
        .unwrap();
        f.ledger.reload().await.unwrap();
        assert_eq!(charged("small"), nanos("6"));
        let plain = f.ledger.customer_price(&f.caller, "large", &price());
        assert_eq!(
            plain.charge(&usage, ExchangeRate::ONE),
            nanos("1"),
            "no product"
        );
    }
}

#[tokio::test]
async fn usage_of_every_class_comes_back_from_its_row() {
    for f in Fixture::each("10").await {
        let mut record = call(1_000);
        record.usage = Usage {
            input: 1,
            cache_read: 2,
            cache_write: 3,
            cache_write_1h: 4,
            audio_input: 5,
            output: 60,
            reasoning: 7,
            audio_output: 8,
            extra: cf_base::Extra {
                image_input: 9,
                image_output: 10,
                cache_read_audio: 1,
                images: 2,
                web_searches: 3,
                other_models_pico_usd: 1_000_000,
                characters: 4,
                audio_seconds: 5,
                units: 6,
                tier: cf_base::ServiceTier::Priority,
                us_only: true,
                fast: true,
            },
        };
        f.reserve(DOLLAR)
            .await
            .unwrap()
            .settle(record)
            .await
            .unwrap();
        // 24 + 78 tokens at a dollar a million, and what others cost.
        let cost = f.count("select cost from usage_logs").await;
        assert_eq!(cost, 103_000, "{}", f.name);
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn an_import_is_shown_first_and_holds_from_its_day_on() {
    for f in Fixture::each("10").await {
        let before = input_price(&f);
        let shown = propose(&f.db, &f.clock, Some(CATALOGUE), "2026-02-01")
            .await
            .unwrap();
        assert_eq!(shown.added.len(), 1, "{}", f.name);
        assert_eq!(shown.added[0].model, "brand-new");
        assert!(shown.removed.len() > 1_000);
        let field = shown.changed[0]
            .fields
            .iter()
            .find(|c| c.name == "input")
            .unwrap();
        assert_eq!(field.old.as_deref(), Some("0.00000125"));
        assert_eq!(field.new.as_deref(), Some("0.000002"));
        // Nothing is taken without the hash of exactly this.
        let mut tx = f.db.begin().await.unwrap();
        let refused = take(&mut tx, &shown, "other", "op", &f.clock, &f.random).await;
        assert_eq!(refused.unwrap_err().kind, Kind::Conflict);
        drop(tx);
        import(&f, CATALOGUE, "2026-02-01").await.unwrap();
        assert_eq!(input_price(&f), before, "not before its day");
        assert!(f.ledger.book_price("openai", "brand-new", "").is_none());
        // From the first moment of that day on, with nobody reloading.
        f.clock
            .advance(Duration::from_secs(21 * 86_400 + 12 * 3600 - 1));
        assert_eq!(input_price(&f), before);
        f.clock.advance(Duration::from_secs(1));
        assert_eq!(input_price(&f), PriceMicros(2_000_000));
        assert!(
            f.ledger.book_price("openai", "gpt-4o", "").is_none(),
            "removed"
        );
        // What was shown before another list came is not confirmed any more.
        let mut tx = f.db.begin().await.unwrap();
        let refused = take(&mut tx, &shown, &shown.hash, "op", &f.clock, &f.random).await;
        assert_eq!(refused.unwrap_err().kind, Kind::Conflict);
        drop(tx);
        let listed = editions(&f.db, f.clock.now()).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|e| (&*e.source, e.in_force)).collect();
        assert_eq!(listed, [("import", true), ("built-in", false)]);
    }
}

#[tokio::test]
async fn of_two_lists_of_a_day_the_later_one_holds() {
    for f in Fixture::each("10").await {
        import(&f, CATALOGUE, "").await.unwrap();
        assert_eq!(input_price(&f), PriceMicros(2_000_000), "today is at once");
        f.clock.advance(Duration::from_secs(1));
        import(&f, &CATALOGUE.replace("0.000002", "0.000004"), "")
            .await
            .unwrap();
        assert_eq!(input_price(&f), PriceMicros(4_000_000), "{}", f.name);
        // A new process reads the same.
        let other = Ledger::start(f.db.clone(), f.clock.clone(), f.random.clone())
            .await
            .unwrap();
        let price = other.book_price("openai", "gpt-5", "").unwrap();
        assert_eq!(price.prices.input, PriceMicros(4_000_000));
    }
}

#[tokio::test]
async fn past_bills_do_not_change_with_the_book() {
    for f in Fixture::each("10").await {
        let mut record = call(1_000);
        record.price = f.ledger.book_price("openai", "gpt-5", "").unwrap();
        let hold = f.reserve(DOLLAR).await.unwrap();
        // The list changes while the call runs: it is billed as it was reserved.
        import(&f, CATALOGUE, "").await.unwrap();
        let receipt = hold.settle(record).await.unwrap();
        assert_eq!(receipt.cost, nanos("0.01"));
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn what_is_no_price_list_is_refused_with_the_place() {
    let f = Fixture::each("10").await.remove(0);
    for (text, says) in [
        ("{}", "not a price catalogue"),
        (r#"{"models": []}"#, "1 to 20000 models"),
        (
            r#"{"models": [{"id": "m", "provider": "openai", "prices": {"input": "-1"}}]}"#,
            "openai/m: input",
        ),
        (
            r#"{"models": [{"id": "m", "provider": "openai", "prices": {"input": "1e-6"}}]}"#,
            "openai/m: input",
        ),
        (
            r#"{"models": [{"id": "m", "provider": "openai", "multipliers": {"x": "99"}}]}"#,
            "openai/m: x is not a multiplier",
        ),
        (
            r#"{"models": [{"id": "m", "provider": "p"}, {"id": "m", "provider": "p"}]}"#,
            "p/m stands there twice",
        ),
    ] {
        let refused = propose(&f.db, &f.clock, Some(text), "").await.unwrap_err();
        assert!(refused.message.contains(says), "{refused}");
    }
    for day in ["2026-01-09", "2031-01-01", "soon"] {
        let refused = propose(&f.db, &f.clock, Some(CATALOGUE), day)
            .await
            .unwrap_err();
        assert!(refused.message.contains("effective"), "{refused}");
    }
    // The list that is in force already changes nothing.
    let same = propose(&f.db, &f.clock, None, "").await.unwrap();
    assert!(same.is_empty());
    let mut tx = f.db.begin().await.unwrap();
    let refused = take(&mut tx, &same, &same.hash, "op", &f.clock, &f.random).await;
    assert_eq!(refused.unwrap_err().kind, Kind::Unprocessable);
    assert_eq!(f.balance().await.0, Nanos::ZERO);
}
