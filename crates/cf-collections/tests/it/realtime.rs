//! Who hears of what.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cf_base::Secret;
use cf_collections::{Action, Client, ClientLimits, Hub, Principal};
use serde_json::{Value as Json, json};

use crate::world::{World, worlds};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Radio {
    hub: Hub,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Radio {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Radio {
    fn new(w: &World, limits: ClientLimits) -> Self {
        let hub = Hub::new(w.engine.clone(), limits);
        #[allow(clippy::disallowed_methods)] // ended with the radio
        let task = tokio::spawn({
            let hub = hub.clone();
            async move { hub.run().await }
        });
        Self { hub, task }
    }

    async fn tune(&self, who: &Principal, topics: &[&str]) -> Client {
        let mut client = self.hub.connect(HERE).unwrap();
        let hello = client.next().await.unwrap();
        assert_eq!(hello.event, "PB_CONNECT");
        assert_eq!(hello.data, json!({"clientId": client.id()}).to_string());
        assert_eq!(client.id().len(), 40);
        let topics: Vec<String> = topics.iter().map(|t| (*t).to_owned()).collect();
        self.hub
            .subscribe(client.id(), who.clone(), None, &topics)
            .unwrap();
        client
    }
}

async fn heard(client: &mut Client) -> Option<(String, Json)> {
    let frame = tokio::time::timeout(Duration::from_secs(5), client.next())
        .await
        .ok()??;
    Some((frame.event, serde_json::from_str(&frame.data).unwrap()))
}

/// Whether the client hears nothing, told by that the next thing it hears is a
/// change made after it.
async fn next_record(client: &mut Client) -> Json {
    heard(client).await.expect("a message").1["record"].clone()
}

#[tokio::test]
async fn everybody_hears_what_the_rules_let_them() {
    for w in worlds().await {
        let radio = Radio::new(&w, ClientLimits::default());
        let user = w.a.user.id().to_owned();
        let own = format!("users/{user}");
        let mut owner = radio.tune(&w.a.user, &["users/*", &own]).await;
        let mut boss = radio.tune(&w.a.boss, &["users/*"]).await;
        let mut stranger = radio.tune(&w.b.boss, &["users/*", &own, "tenants/*"]).await;
        let mut guest = radio
            .tune(&Principal::Guest, &["users/*", &own, "notifications/*"])
            .await;
        w.update(&w.admin, "users", &user, json!({"name": "Changed"}))
            .await
            .unwrap();
        let mut topics = vec![
            heard(&mut owner).await.unwrap().0,
            heard(&mut owner).await.unwrap().0,
        ];
        topics.sort();
        let mut wanted = vec!["users/*".to_owned(), own.clone()];
        wanted.sort();
        assert_eq!(topics, wanted);
        let (event, message) = heard(&mut boss).await.unwrap();
        assert_eq!(
            (event.as_str(), &message["action"]),
            ("users/*", &json!("update"))
        );
        assert_eq!(message["record"]["name"], "Changed");
        assert_eq!(message["record"]["email"], "user@alpha.example");
        // The stranger's next message is of something the stranger may hear.
        w.update(&w.admin, "users", w.b.user.id(), json!({"name": "Theirs"}))
            .await
            .unwrap();
        assert_eq!(next_record(&mut stranger).await["name"], "Theirs");
        // Deletions are judged by the last state.
        w.engine.delete(&w.admin, "users", &user).await.unwrap();
        let (_, message) = heard(&mut boss).await.unwrap();
        assert_eq!(
            (&message["action"], &message["record"]["id"]),
            (&json!("delete"), &json!(user))
        );
        w.update(&w.admin, "users", w.b.user.id(), json!({"name": "Again"}))
            .await
            .unwrap();
        assert_eq!(next_record(&mut stranger).await["name"], "Again");
        let silence = tokio::time::timeout(Duration::from_millis(50), guest.next()).await;
        assert!(silence.is_err());
    }
}

#[tokio::test]
async fn changes_by_the_ledger_are_published() {
    for w in worlds().await {
        let radio = Radio::new(&w, ClientLimits::default());
        let mut user = radio.tune(&w.a.user, &["usage_logs/*"]).await;
        let mut other = radio.tune(&w.b.user, &["usage_logs/*"]).await;
        w.engine
            .publish("usage_logs", Action::Create, "usagealphaaaaaa")
            .await
            .unwrap();
        w.engine
            .publish("usage_logs", Action::Create, "usagebetaaaaaaa")
            .await
            .unwrap();
        assert_eq!(next_record(&mut user).await["request_id"], "request-alpha");
        let seen = next_record(&mut other).await;
        assert_eq!(seen["request_id"], "request-beta");
        assert!(seen.get("provider_key_id").is_none());
        w.engine
            .publish("usage_logs", Action::Create, "nothing")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn options_narrow_what_is_heard() {
    for w in worlds().await {
        let radio = Radio::new(&w, ClientLimits::default());
        let topic = |options: &str| format!("products/*?options={options}");
        let narrowed = topic(
            "%7B%22query%22%3A%7B%22filter%22%3A%22name~'two'%22%2C%22fields%22%3A%22name%22%7D%7D",
        );
        let broken = topic("%7B%22query%22%3A%7B%22filter%22%3A%22nothing=1%22%7D%7D");
        let mut client = radio
            .tune(&w.a.user, &[&narrowed, &broken, "nothing/*", "@oauth2"])
            .await;
        w.make("products", json!({"name": "number one"})).await;
        w.make("products", json!({"name": "number Two"})).await;
        let (event, message) = heard(&mut client).await.unwrap();
        assert_eq!(event, narrowed);
        assert_eq!(message["record"], json!({"name": "number Two"}));
        let frame = cf_collections::Frame {
            event: "@oauth2".into(),
            data: "{}".into(),
        };
        assert!(radio.hub.send(client.id(), frame.clone()));
        assert!(!radio.hub.send("nobody", frame));
        assert_eq!(heard(&mut client).await.unwrap().0, "@oauth2");
    }
}

#[tokio::test]
async fn who_is_shut_out_hears_nothing_more() {
    for w in worlds().await {
        let radio = Radio::new(&w, ClientLimits::default());
        let mut user = radio.tune(&w.a.user, &["products/*"]).await;
        let mut boss = radio.tune(&w.a.boss, &["products/*", "users/*"]).await;
        let mut other = radio.tune(&w.b.user, &["products/*"]).await;
        w.update(
            &w.admin,
            "users",
            w.a.user.id(),
            json!({"status": "suspended"}),
        )
        .await
        .unwrap();
        assert_eq!(next_record(&mut boss).await["status"], "suspended");
        w.update(&w.admin, "tenants", &w.b.id, json!({"status": "suspended"}))
            .await
            .unwrap();
        w.make("products", json!({"name": "new"})).await;
        assert_eq!(next_record(&mut boss).await["name"], "new");
        radio.hub.sign_out("users", w.a.boss.id());
        w.make("products", json!({"name": "newer"})).await;
        for client in [&mut user, &mut other, &mut boss] {
            let silence = tokio::time::timeout(Duration::from_millis(50), client.next()).await;
            assert!(silence.is_err(), "{silence:?}");
        }
    }
}

#[tokio::test]
async fn subscriptions_have_limits_and_an_owner() {
    for w in worlds().await {
        let limits = ClientLimits {
            clients: 2,
            subscriptions: 3,
            queue: 2,
            ..ClientLimits::default()
        };
        let radio = Radio::new(&w, limits);
        let hub = &radio.hub;
        let mut slow = radio.tune(&Principal::Guest, &[]).await;
        let topics = |n: usize| vec!["products/*".to_owned(); n];
        assert_eq!(
            hub.subscribe("nobody", Principal::Guest, None, &topics(1))
                .unwrap_err()
                .status,
            404
        );
        assert_eq!(
            hub.subscribe(slow.id(), Principal::Guest, None, &topics(4))
                .unwrap_err()
                .status,
            400
        );
        hub.subscribe(slow.id(), w.a.user.clone(), None, &topics(1))
            .unwrap();
        hub.subscribe(slow.id(), w.a.user.clone(), None, &topics(2))
            .unwrap();
        for other in [&Principal::Guest, &w.b.user, &w.root] {
            let refused = hub
                .subscribe(slow.id(), other.clone(), None, &topics(1))
                .unwrap_err();
            assert_eq!(refused.status, 403);
        }
        let second = hub.connect(HERE).unwrap();
        assert_eq!(hub.connect(HERE).err().unwrap().status, 503);
        drop(second);
        let mut third = radio.tune(&w.b.user, &["products/*"]).await;
        // One that does not listen is let go, the others are not.
        for n in 0..4 {
            w.make("products", json!({"name": n})).await;
            assert_eq!(next_record(&mut third).await["name"], n.to_string());
        }
        assert_eq!(hub.len(), 1);
        let mut received = 0;
        while slow.next().await.is_some() {
            received += 1;
        }
        assert!(received <= 2);
    }
}

#[tokio::test]
async fn guests_have_few_connections_and_not_for_nothing() {
    for w in worlds().await {
        let limits = ClientLimits {
            guests_per_address: 2,
            guest_idle: Duration::from_millis(50),
            ..ClientLimits::default()
        };
        let radio = Radio::new(&w, limits);
        let hub = &radio.hub;
        let at = |address: &str| hub.connect(address.parse().unwrap());
        let mut idle = at("2001:db8::1").unwrap();
        let busy = radio.tune(&Principal::Guest, &["products/*"]).await;
        let user = radio.tune(&w.a.user, &[]).await;
        let _second = at("2001:db8::2").unwrap();
        assert_eq!(at("2001:db8::3").err().unwrap().status, 429);
        // Whoever is signed in is counted no longer, and others are not counted here.
        let _third = hub.connect(HERE).unwrap();
        assert_eq!(hub.connect(HERE).err().unwrap().status, 429);
        assert!(at("2001:db9::1").is_ok());
        drop(idle.next().await.expect("the greeting"));
        let ended = tokio::time::timeout(Duration::from_secs(5), idle.next()).await;
        assert_eq!(ended.expect("the connection ends"), None);
        drop(idle);
        assert!(at("2001:db8::3").is_ok());
        for mut waiting in [busy, user] {
            let waited = tokio::time::timeout(Duration::from_millis(300), waiting.next()).await;
            assert!(waited.is_err(), "one that is wanted stays");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_nobodys_any_longer_closes_what_it_opened() {
    for w in worlds().await {
        let radio = Radio::new(&w, ClientLimits::default());
        let mut clients = Vec::new();
        for token in ["ended", "lesser", "same"] {
            let client = radio.hub.connect(HERE).unwrap();
            let token = Some(Secret::new(token));
            let topics = ["users/*".to_owned()];
            radio
                .hub
                .subscribe(client.id(), w.a.boss.clone(), token, &topics)
                .unwrap();
            clients.push(client);
        }
        assert_eq!(radio.hub.tokens().len(), 3);
        radio.hub.recheck(&[
            (Secret::new("ended"), None),
            (Secret::new("lesser"), Some(w.b.user.clone())),
            (Secret::new("same"), Some(w.a.boss.clone())),
        ]);
        w.update(&w.root, "users", w.a.user.id(), json!({"name": "New"}))
            .await
            .unwrap();
        w.update(&w.root, "users", w.b.user.id(), json!({"name": "Other"}))
            .await
            .unwrap();
        let [ended, lesser, same] = &mut clients[..] else {
            panic!("three")
        };
        ended.next().await.expect("the greeting");
        assert_eq!(ended.next().await, None);
        lesser.next().await.expect("the greeting");
        assert_eq!(next_record(lesser).await["name"], "Other");
        same.next().await.expect("the greeting");
        assert_eq!(next_record(same).await["name"], "New");
    }
}
