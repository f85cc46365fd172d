use std::time::Duration;

use cf_server::Settings;
use cf_testkit::{MockMail, MockUpstream, Reply};
use serde_json::{Value, json};

use crate::app::{Client, TestApp, eventually, mail_settings};

/// Books a cost in the user's name.
async fn spend(test: &TestApp, user: &Client, cost: f64) {
    let request = test.count("select count(*) from usage_logs").await;
    let spent = json!({
        "request_id": format!("spent-{request}"), "user_id": user.id, "model": "small",
        "prompt_tokens": 1, "completion_tokens": 1, "cost": cost, "currency": "EUR",
    });
    test.program()
        .post("/api/usage/log", &spent)
        .await
        .expect(201);
}

async fn entries(client: &Client) -> Vec<Value> {
    let path = "/api/collections/notifications/records?sort=id";
    let answer = client.get(path).await.expect(200).json();
    answer["items"].as_array().unwrap().clone()
}

fn percents(entries: &[Value]) -> Vec<i64> {
    entries
        .iter()
        .map(|e| e["data"]["percent"].as_i64().unwrap())
        .collect()
}

/// Moves the clock on, so that later entries sort behind these.
async fn until_entries(test: &TestApp, client: &Client, count: usize) -> Vec<Value> {
    let found = eventually("an entry in the portal", || async {
        let entries = entries(client).await;
        (entries.len() >= count).then_some(entries)
    })
    .await;
    test.clock.advance(Duration::from_secs(1));
    found
}

async fn until_mails(mail: &MockMail, count: usize) {
    eventually("a mail", || async {
        (mail.received().len() >= count).then_some(())
    })
    .await;
}

/// Long enough for every job to have looked.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(2_600)).await;
}

#[tokio::test]
async fn a_user_is_told_once_at_each_threshold_whatever_restarts() {
    for (test, mail) in TestApp::each_with_mail().await {
        let alice = test.user("alice").await;
        spend(&test, &alice, 4.9).await;
        a_while().await;
        assert!(entries(&alice).await.is_empty());
        spend(&test, &alice, 0.1).await;
        let told = until_entries(&test, &alice, 1).await;
        assert_eq!(told[0]["title"], "Ihr Budget ist zu 50 Prozent verbraucht");
        assert_eq!(told[0]["read"], false);
        assert_eq!(told[0]["data"]["used"], 5.0);
        assert_eq!(told[0]["data"]["owner_id"], alice.id.as_str());
        spend(&test, &alice, 1.0).await;
        spend(&test, &alice, 3.0).await;
        assert_eq!(percents(&until_entries(&test, &alice, 2).await), [50, 80]);
        spend(&test, &alice, 1.0).await;
        until_entries(&test, &alice, 3).await;
        // Another node looks at all of them when it starts.
        let node = test.another_node(mail_settings(&mail)).await;
        spend(&test, &alice, 1.0).await;
        a_while().await;
        assert_eq!(percents(&entries(&alice).await), [50, 80, 100]);
        until_mails(&mail, 3).await;
        let received = mail.received();
        assert_eq!(received.len(), 3, "{}", test.name);
        for mail in &received {
            assert_eq!(mail.to, "alice@example.com");
        }
        node.stop().await;
    }
}

#[tokio::test]
async fn several_nodes_give_one_notice() {
    for test in TestApp::each().await {
        let mut people = Vec::new();
        for n in 0..5 {
            people.push(test.user(&format!("user{n}")).await);
        }
        let one = test.another_node(Settings::default()).await;
        let two = test.another_node(Settings::default()).await;
        for user in &people {
            spend(&test, user, 9.0).await;
        }
        // New nodes look at all at once, while the first one looks at what was booked.
        let three = test.another_node(Settings::default()).await;
        for user in &people {
            // From nothing to 90 percent: one notice, of the highest threshold.
            assert_eq!(percents(&until_entries(&test, user, 1).await), [80]);
        }
        a_while().await;
        for user in &people {
            assert_eq!(entries(user).await.len(), 1, "{}", test.name);
        }
        let mails = "select count(*) from messages where kind = 'mail'";
        assert_eq!(test.count(mails).await, 5, "{}", test.name);
        for node in [one, two, three] {
            node.stop().await;
        }
    }
}

#[tokio::test]
async fn a_reset_and_a_higher_limit_let_a_threshold_count_anew() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        spend(&test, &alice, 9.0).await;
        until_entries(&test, &alice, 1).await;
        // Another end of the period is no other period.
        let later = json!({"budget_reset_date": "2026-03-01 00:00:00.000Z"});
        let root = &test.root;
        root.change("users", &alice.id, &later).await.expect(200);
        spend(&test, &alice, 0.1).await;
        a_while().await;
        assert_eq!(entries(&alice).await.len(), 1);
        let path = format!("/api/users/{}/reset-budget", alice.id);
        test.program().post(&path, &json!({})).await.expect(200);
        spend(&test, &alice, 9.0).await;
        assert_eq!(percents(&until_entries(&test, &alice, 2).await), [80, 80]);
        // 9 of 20 are 45 percent; 9 of 12 would have been above the half still.
        user_changed(&test, &alice, 12).await;
        spend(&test, &alice, 0.5).await;
        a_while().await;
        assert_eq!(entries(&alice).await.len(), 2, "the half is old news");
        user_changed(&test, &alice, 20).await;
        spend(&test, &alice, 1.0).await;
        assert_eq!(
            percents(&until_entries(&test, &alice, 3).await),
            [80, 80, 50]
        );
    }
}

async fn user_changed(test: &TestApp, user: &Client, total: i64) {
    test.root
        .change("users", &user.id, &json!({"budget_total": total}))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_new_period_begins_with_new_thresholds_and_a_lower_limit_is_noticed() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        spend(&test, &alice, 6.0).await;
        until_entries(&test, &alice, 1).await;
        test.clock.advance(Duration::from_secs(31 * 86_400));
        let node = test.another_node(Settings::default()).await;
        eventually("a reset", || async {
            let used = "select sum(posted_nanos) from ledger_accounts where kind = 'user'";
            let used = format!("select cast(({used}) as bigint)");
            (test.count(&used).await == 0).then_some(())
        })
        .await;
        spend(&test, &alice, 6.0).await;
        let notices = "select count(*) from notifications";
        eventually("a second notice", || async {
            (test.count(notices).await == 2).then_some(())
        })
        .await;
        // Nothing is booked when a limit is lowered: whoever looks at all finds it.
        let root = test.guest();
        let root = root
            .sign_in("_superusers", "root@example.com", crate::app::PASSWORD)
            .await;
        let lower = json!({"budget_total": 6});
        root.change("users", &alice.id, &lower).await.expect(200);
        let third = test.another_node(Settings::default()).await;
        eventually("a third notice", || async {
            (test.count(notices).await == 3).then_some(())
        })
        .await;
        for node in [node, third] {
            node.stop().await;
        }
    }
}

#[tokio::test]
async fn a_tenants_administrators_are_told_of_its_budget_and_nobody_else() {
    for (test, mail) in TestApp::each_with_mail().await {
        let receiver = MockUpstream::start(Reply::json(200, "{}")).await;
        let other_receiver = MockUpstream::start(Reply::json(200, "{}")).await;
        let other = test.new_tenant("other").await;
        for (receiver, tenant) in [(&receiver, &test.tenant), (&other_receiver, &other)] {
            let webhook = json!({"name": "Ops", "url": receiver.base_url(), "tenant_id": tenant});
            test.root.create("webhooks", webhook).await;
        }
        let boss = test.person("boss", "tenant_admin", &test.tenant).await;
        let english = json!({"locale": "en"});
        boss.change("users", &boss.id, &english).await.expect(200);
        let stranger = test.person("stranger", "tenant_admin", &other).await;
        let operator = test.person("operator", "admin", &test.tenant).await;
        let alice = test.user("alice").await;
        let limit = json!({"budget_total": 4});
        test.root
            .change("tenants", &test.tenant, &limit)
            .await
            .expect(200);
        spend(&test, &alice, 2.0).await;
        let told = until_entries(&test, &boss, 2).await;
        let own: Vec<&Value> = told
            .iter()
            .filter(|e| e["user_id"] == boss.id.as_str())
            .collect();
        assert_eq!(own[0]["title"], "The budget of app is 50 percent used");
        assert_eq!(own[0]["data"]["owner"], "tenant");
        until_mails(&mail, 1).await;
        a_while().await;
        let received = mail.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].to, "boss@example.com");
        assert!(
            received[0].text.contains("Hello boss"),
            "{}",
            received[0].text
        );
        // The operator sees it in the portal, the user and other tenants do not.
        let seen = entries(&operator).await;
        assert!(seen.iter().any(|e| e["user_id"] == operator.id.as_str()));
        assert!(entries(&alice).await.is_empty());
        assert!(entries(&stranger).await.is_empty());
        // Read is what its reader has read.
        let id = own[0]["id"].as_str().unwrap();
        let read = json!({"read": true});
        for who in [&stranger, &alice] {
            who.change("notifications", id, &read).await.expect(404);
        }
        boss.change("notifications", id, &read).await.expect(200);
        let of_operator = told
            .iter()
            .find(|e| e["user_id"] == operator.id.as_str())
            .unwrap();
        let of_operator = of_operator["id"].as_str().unwrap();
        boss.change("notifications", of_operator, &read)
            .await
            .expect(404);
        // All at once: the own ones, and nobody else's.
        let read_all = "/api/notifications/read";
        let marked = |who: &Client| {
            let who = who.clone();
            async move {
                let answer = who.post(read_all, &json!({})).await.expect(200).json();
                answer["marked"].as_i64().unwrap()
            }
        };
        assert_eq!(marked(&stranger).await, 0);
        assert_eq!(marked(&boss).await, 0, "the own one was read already");
        assert_eq!(marked(&operator).await, 1);
        test.guest().post(read_all, &json!({})).await.expect(401);
        // Webhooks of the tenant are told, others not.
        let delivery = &receiver.received()[0].json();
        assert_eq!(delivery["type"], "budget.threshold_reached");
        assert_eq!(delivery["data"]["owner_id"], test.tenant.as_str());
        assert_eq!(delivery["data"]["used"], 2.0);
        assert_eq!(delivery["data"]["limit"], 4.0);
        assert!(other_receiver.received().is_empty());
    }
}

#[tokio::test]
async fn thresholds_are_the_tenants_else_the_settings() {
    for test in TestApp::each().await {
        let other = test.new_tenant("other").await;
        let off = test.new_tenant("off").await;
        let setting = json!({"key": "budget_notice_percents", "value": [30]});
        test.root.create("settings", setting).await;
        for (tenant, percents) in [(&other, json!([70])), (&off, json!([]))] {
            test.root
                .change("tenants", tenant, &json!({"budget_notices": percents}))
                .await
                .expect(200);
        }
        let alice = test.user("alice").await;
        let bob = test.person("bob", "user", &other).await;
        let carol = test.person("carol", "user", &off).await;
        for user in [&alice, &bob, &carol] {
            spend(&test, user, 4.0).await;
        }
        assert_eq!(percents(&until_entries(&test, &alice, 1).await), [30]);
        assert!(entries(&bob).await.is_empty());
        for user in [&bob, &carol] {
            spend(&test, user, 6.0).await;
        }
        assert_eq!(percents(&until_entries(&test, &bob, 1).await), [70]);
        a_while().await;
        assert!(entries(&carol).await.is_empty());

        let boss = test.person("boss", "tenant_admin", &other).await;
        let change = json!({"budget_notices": [1]});
        boss.change("tenants", &other, &change).await.expect(403);
        for wrong in [json!([0]), json!([101]), json!("50"), json!({"a": 1})] {
            let change = json!({"budget_notices": wrong});
            let refused = test.root.change("tenants", &other, &change).await;
            assert!(refused.expect(400).json()["data"]["budget_notices"].is_object());
            let setting = json!({"key": "budget_notice_percents", "value": wrong});
            let path = "/api/collections/settings/records";
            test.root.post(path, &setting).await.expect(400);
        }
    }
}

#[tokio::test]
async fn a_budget_shows_where_its_pace_leads_to_those_who_may_see_it() {
    for test in TestApp::each().await {
        let alice = test.user("alice").await;
        let bob = test.user("bob").await;
        let boss = test.person("boss", "tenant_admin", &test.tenant).await;
        let other = test.new_tenant("other").await;
        let stranger = test.person("stranger", "tenant_admin", &other).await;
        let limit = json!({"budget_total": 100});
        test.root
            .change("tenants", &test.tenant, &limit)
            .await
            .expect(200);
        spend(&test, &alice, 4.0).await;
        let path = format!(
            "/api/budgets?owners={},{},{}",
            alice.id, bob.id, test.tenant
        );
        let ask = |who: Client| {
            let path = path.clone();
            async move {
                let answer = who.get(&path).await.expect(200).json();
                answer["items"].as_array().unwrap().clone()
            }
        };
        let of =
            |items: &[Value], owner: &str| items.iter().find(|b| b["owner_id"] == owner).cloned();
        // On the first day nothing can be said.
        let items = ask(test.program()).await;
        assert_eq!(items.len(), 3);
        let budget = of(&items, &alice.id).unwrap();
        assert_eq!(budget["forecast"]["state"], "unknown");
        assert_eq!(budget["used"], 4.0);
        assert_eq!(budget["remaining"], 6.0);
        assert_eq!(budget["percent"], 40);
        // A user sees the own, a tenant's administrator the tenant's, others none.
        let owners = |items: &[Value]| items.len();
        assert_eq!(owners(&ask(alice.clone()).await), 1);
        assert_eq!(owners(&ask(boss.clone()).await), 3);
        assert_eq!(owners(&ask(stranger.clone()).await), 0);
        test.guest().get(&path).await.expect(401);
        for wrong in ["", "nonsense", &format!("{},", "a".repeat(15)).repeat(101)] {
            let path = format!("/api/budgets?owners={wrong}");
            test.program().get(&path).await.expect(400);
        }
        // 4 of 10 in six days: all in fifteen.
        test.clock.advance(Duration::from_secs(6 * 86_400));
        let items = ask(test.program()).await;
        let forecast = &of(&items, &alice.id).unwrap()["forecast"];
        assert_eq!(forecast["state"], "used_up_at");
        assert_eq!(forecast["at"], "2026-01-25 12:00:00.000Z");
        assert_eq!(of(&items, &bob.id).unwrap()["forecast"]["state"], "lasts");
        assert_eq!(
            of(&items, &test.tenant).unwrap()["forecast"]["state"],
            "lasts"
        );
    }
}
