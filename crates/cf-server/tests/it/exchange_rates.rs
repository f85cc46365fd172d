//! Rates that are fetched from a configured address.

use std::time::Duration;

use cf_server::fetch_exchange_rates;
use cf_testkit::{MockUpstream, Reply};
use serde_json::{Value, json};

use crate::app::{PASSWORD, TestApp};

fn ecb(date: &str, dollar: &str) -> Reply {
    let text = format!(
        "<?xml version=\"1.0\"?><e:Envelope xmlns:e=\"urn:e\" xmlns=\"urn:r\"><Cube><Cube time='{date}'>\
         <Cube currency='USD' rate='{dollar}'/><Cube currency='CHF' rate='0.95'/></Cube></Cube></e:Envelope>"
    );
    let mut reply = Reply::json(200, text);
    reply.headers = vec![("content-type", "text/xml".into())];
    reply
}

async fn rates(test: &TestApp, date: &str) -> Vec<Value> {
    let path =
        format!("/api/collections/exchange_rates/records?filter=(date='{date}')&sort=created");
    let list = test.root.get(&path).await.expect(200).json();
    list["items"].as_array().unwrap().clone()
}

async fn status(test: &TestApp) -> Value {
    let status = test
        .root
        .get("/api/exchange-rates/status")
        .await
        .expect(200);
    status.json()["items"][0].clone()
}

#[tokio::test]
async fn the_rates_of_a_day_are_fetched_kept_and_billed_by() {
    for test in TestApp::each().await {
        let bank = MockUpstream::start(ecb("2026-01-09", "1.25")).await;
        let url = format!("{}/daily.xml", bank.base_url());
        assert_eq!(
            fetch_exchange_rates(&test.app, &url).await.unwrap(),
            1,
            "{}",
            test.name
        );
        let kept = rates(&test, "2026-01-09").await;
        assert_eq!(kept.len(), 1, "only currencies that budgets are in");
        assert_eq!(
            (&kept[0]["quote"], &kept[0]["rate"]),
            (&json!("EUR"), &json!(0.8))
        );
        assert_eq!(kept[0]["source"], "fetched from 127.0.0.1");
        let alice = test.user("alice").await;
        let answer = alice.by_key().chat(json!({})).await.expect(200);
        assert_eq!(
            answer.header("x-cf-cost"),
            "0.000016",
            "20 millionths at 0.8"
        );
        // Again is nothing new; corrected is corrected, in the same record.
        assert_eq!(fetch_exchange_rates(&test.app, &url).await.unwrap(), 0);
        bank.next(ecb("2026-01-09", "1.6"));
        assert_eq!(fetch_exchange_rates(&test.app, &url).await.unwrap(), 1);
        let kept = rates(&test, "2026-01-09").await;
        assert_eq!((kept.len(), &kept[0]["rate"]), (1, &json!(0.625)));
        test.assert_settled().await;
    }
}

#[tokio::test]
async fn what_was_set_by_hand_for_the_day_stays() {
    for test in TestApp::each().await {
        let by_hand = json!({"base": "USD", "quote": "EUR", "rate": 0.9, "date": "2026-01-09",
            "source": "the bank's invoice"});
        test.root.create("exchange_rates", by_hand).await;
        let bank = MockUpstream::start(ecb("2026-01-09", "1.25")).await;
        assert_eq!(
            fetch_exchange_rates(&test.app, &bank.base_url())
                .await
                .unwrap(),
            0
        );
        let kept = rates(&test, "2026-01-09").await;
        assert_eq!(
            (kept.len(), &kept[0]["rate"]),
            (1, &json!(0.9)),
            "{}",
            test.name
        );
        // The next day's is fetched again.
        bank.next(ecb("2026-01-10", "1.25"));
        assert_eq!(
            fetch_exchange_rates(&test.app, &bank.base_url())
                .await
                .unwrap(),
            1
        );
    }
}

#[tokio::test]
async fn a_placeholder_gives_way_to_an_earlier_days_real_rate() {
    for test in TestApp::each().await {
        test.execute(
            "update exchange_rates set source = 'placeholder: set the real rate', date = '2026-01-10'",
        )
        .await;
        assert_eq!(status(&test).await["placeholder"], true, "{}", test.name);
        let bank = MockUpstream::start(ecb("2026-01-09", "1.25")).await;
        assert_eq!(
            fetch_exchange_rates(&test.app, &bank.base_url())
                .await
                .unwrap(),
            1
        );
        let now = status(&test).await;
        assert_eq!(
            (&now["placeholder"], &now["rate"]),
            (&json!(false), &json!(0.8))
        );
    }
}

#[tokio::test]
async fn what_cannot_be_a_rate_changes_nothing() {
    for test in TestApp::each().await {
        let bank = MockUpstream::start(Reply::json(503, "down")).await;
        let url = format!("{}/?key=secret-of-the-bank", bank.base_url());
        for (reply, what) in [
            (Reply::json(503, "down"), "503"),
            (Reply::json(200, "<html/>"), "no rates of a day"),
            (Reply::json(200, "x".repeat(2 << 20)), "limit"),
            (ecb("2026-01-12", "1.25"), "lies ahead"),
        ] {
            bank.next(reply);
            let error = fetch_exchange_rates(&test.app, &url).await.unwrap_err();
            assert!(error.message.contains(what), "{error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
        // Three times what it was: a slip of the source, or a matter for a person.
        bank.next(ecb("2026-01-10", "0.3"));
        assert_eq!(fetch_exchange_rates(&test.app, &url).await.unwrap(), 0);
        assert_eq!(status(&test).await["rate"], 1.0, "{}", test.name);
    }
}

#[tokio::test]
async fn an_old_rate_is_told_to_administrators() {
    let mut test = TestApp::new().await;
    let now = status(&test).await;
    assert_eq!((&now["age_days"], &now["stale"]), (&json!(9), &json!(true)));
    let today = json!({"base": "USD", "quote": "EUR", "rate": 1, "date": "2026-01-10"});
    test.root.create("exchange_rates", today).await;
    assert_eq!(status(&test).await["stale"], false);
    let boss = test.person("boss", "tenant_admin", &test.tenant).await;
    boss.get("/api/exchange-rates/status").await.expect(403);
    test.guest()
        .get("/api/exchange-rates/status")
        .await
        .expect(401);
    // A week and a day later, by when everybody has to sign in again.
    test.clock.advance(Duration::from_secs(8 * 86_400));
    let guest = test.guest();
    test.root = guest
        .sign_in("_superusers", "root@example.com", PASSWORD)
        .await;
    assert_eq!(status(&test).await["stale"], true);
}

#[tokio::test]
async fn the_configured_address_is_asked_when_the_server_starts() {
    let bank = MockUpstream::start(ecb("2026-01-09", "1.25")).await;
    let test = TestApp::fetching_rates(bank.base_url()).await;
    for _ in 0..100 {
        if !bank.received().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bank.received().len(), 1);
    let status = test
        .root
        .get("/api/exchange-rates/status")
        .await
        .expect(200);
    assert_eq!(status.json()["fetched"], true);
}

#[tokio::test]
async fn of_two_nodes_that_fetch_at_once_one_writes() {
    for test in TestApp::each().await {
        let bank = MockUpstream::start(ecb("2026-01-09", "1.25")).await;
        let url = bank.base_url();
        let fetches = (0..8).map(|_| fetch_exchange_rates(&test.app, &url));
        let new = futures_util::future::join_all(fetches).await;
        let new: usize = new.into_iter().map(|n| n.unwrap()).sum();
        assert_eq!(new, 1, "{}", test.name);
        assert_eq!(rates(&test, "2026-01-09").await.len(), 1);
    }
}
