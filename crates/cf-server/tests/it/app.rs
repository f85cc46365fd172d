//! A program of its own for each test, with a tenant, a product, a model at a
//! scripted provider, and people who are signed in.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use cf_base::{Clock, MasterKey, Random, Timestamp};
use cf_identity::IdentityParams;
use cf_server::{App, Dispatch, Parts, Settings};
use cf_testkit::{MockMail, MockUpstream, Reply, TestDb};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The password of everybody in tests.
pub const PASSWORD: &str = "correct horse";

/// The program, with example data.
pub struct TestApp {
    pub app: App,
    pub clock: Clock,
    pub upstream: MockUpstream,
    pub root: Client,
    pub tenant: String,
    pub product: String,
    pub name: &'static str,
    dispatch: Dispatch,
    master: MasterKey,
    random: Random,
    test_db: TestDb,
    _data_dir: tempfile::TempDir,
}

/// What tests of all kinds need.
fn usual(data_dir: &std::path::Path) -> Settings {
    Settings {
        data_dir: Some(data_dir.into()),
        allow_private_upstreams: Some(true),
        billing_api_key: Some("billing-key-of-the-tests".into()),
        ..Settings::default()
    }
}

/// The settings for a scripted mail server.
pub fn mail_settings(mail: &MockMail) -> Settings {
    Settings {
        smtp_host: Some("127.0.0.1".into()),
        smtp_port: Some(mail.port()),
        smtp_security: Some("none".into()),
        smtp_from: Some("CloudFreedom <no-reply@example.com>".into()),
        ..Settings::default()
    }
}

/// Waits until `probe` finds something, ten seconds at most.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    for _ in 0..400 {
        if let Some(found) = probe().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("waited ten seconds for {what}");
}

/// Somebody who calls, with what proves who it is.
#[derive(Clone)]
pub struct Client {
    dispatch: Dispatch,
    host: String,
    headers: Vec<(&'static str, String)>,
    /// Id of the record, where there is one.
    pub id: String,
    /// The user's first API key, where there is one.
    pub key: String,
}

/// A stream of events, as far as it has been read.
pub struct Listening {
    body: Body,
    text: String,
}

impl Listening {
    /// The next event, or `None` once the server has ended the stream.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame())
                .await
                .expect("something within ten seconds")?;
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

impl TestApp {
    /// The program on each database.
    pub async fn each() -> Vec<Self> {
        let mut all = Vec::new();
        for test_db in cf_testkit::databases().await {
            all.push(Self::start(test_db, Settings::default()).await);
        }
        all
    }

    /// The program on each database, with a mail server.
    pub async fn each_with_mail() -> Vec<(Self, MockMail)> {
        let mut all = Vec::new();
        for test_db in cf_testkit::databases().await {
            let mail = MockMail::start().await;
            let test = Self::start(test_db, mail_settings(&mail)).await;
            all.push((test, mail));
        }
        all
    }

    /// The program on SQLite with these settings beside the usual ones.
    pub async fn with(settings: Settings) -> Self {
        Self::start(TestDb::sqlite().await, settings).await
    }

    /// Another node on the same database, or the program after a restart.
    pub async fn another_node(&self, settings: Settings) -> App {
        let settings = settings.or(usual(self._data_dir.path()));
        self.node(settings).await
    }

    async fn node(&self, settings: Settings) -> App {
        let config = settings.resolve().unwrap();
        App::start(Parts {
            identity: IdentityParams {
                billing_key: config.billing_api_key.clone(),
                ..IdentityParams::cheap_for_tests()
            },
            config,
            db: self.test_db.db.clone(),
            clock: self.clock.clone(),
            master: self.master.clone(),
            random: self.random.clone(),
        })
        .await
        .unwrap()
    }

    /// The program on SQLite, for what no database has a part in.
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    /// The same, with exchange rates fetched from an address.
    pub async fn fetching_rates(url: String) -> Self {
        let settings = Settings {
            exchange_rates_url: Some(url),
            ..Settings::default()
        };
        Self::with(settings).await
    }

    async fn start(test_db: TestDb, settings: Settings) -> Self {
        let clock = Clock::mock(Timestamp::parse("2026-01-10 12:00:00Z").unwrap());
        let random = Random::system();
        let data_dir = tempfile::tempdir().unwrap();
        let config = settings.or(usual(data_dir.path())).resolve().unwrap();
        let master = MasterKey::new(&random);
        let app = App::start(Parts {
            identity: IdentityParams {
                billing_key: config.billing_api_key.clone(),
                ..IdentityParams::cheap_for_tests()
            },
            config,
            db: test_db.db.clone(),
            clock: clock.clone(),
            master: master.clone(),
            random: random.clone(),
        })
        .await
        .unwrap();
        let dispatch = Dispatch::new(app.clone());
        let upstream = MockUpstream::start(Reply::chat("Hello!", 10, 5)).await;
        let guest = Client {
            dispatch: dispatch.clone(),
            host: "127.0.0.1:8080".into(),
            headers: Vec::new(),
            id: String::new(),
            key: String::new(),
        };
        let mut test = Self {
            app,
            clock,
            upstream,
            root: guest,
            tenant: String::new(),
            product: String::new(),
            name: test_db.name,
            dispatch,
            master,
            random,
            test_db,
            _data_dir: data_dir,
        };
        test.root = test.superuser().await;
        test.fill().await;
        test
    }

    async fn superuser(&self) -> Client {
        let body =
            json!({"email": "root@example.com", "password": PASSWORD, "passwordConfirm": PASSWORD});
        let Value::Object(body) = body else {
            unreachable!("an object")
        };
        let system = cf_collections::Principal::Superuser {
            id: String::new(),
            email: "test".into(),
        };
        self.app
            .engine
            .create(&system, "_superusers", &body, &Default::default())
            .await
            .unwrap();
        self.guest()
            .sign_in("_superusers", "root@example.com", PASSWORD)
            .await
    }

    /// A tenant, a product of 10 EUR, a rate, a model at the scripted provider.
    async fn fill(&mut self) {
        let rate = json!({"base": "USD", "quote": "EUR", "rate": 1, "date": "2026-01-01", "source": "test"});
        self.root.create("exchange_rates", rate).await;
        self.tenant = self.new_tenant("app").await;
        let product =
            json!({"name": "Pro Plan", "currency": "EUR", "budget_included": 10, "active": true});
        self.product = id(&self.root.create("products", product).await);
        let key = json!({
            "name": "Mock", "provider": "openai_compatible", "base_url": self.upstream.base_url(),
            "secret": "sk-provider-secret-1234", "active": true,
        });
        let key = id(&self.root.create("provider_keys", key).await);
        let model = json!({
            "name": "small", "active": true, "max_output_tokens": 1000, "context_window": 100_000,
            "deployments": [{"provider_key": key, "model": "small-1", "weight": 1, "order": 0}],
            "prices": {"input": 1, "output": 2},
        });
        self.root.create("models", model).await;
    }

    /// A tenant's id.
    pub async fn new_tenant(&self, slug: &str) -> String {
        let tenant = json!({"name": slug, "slug": slug, "type": "customer", "status": "active"});
        id(&self.root.create("tenants", tenant).await)
    }

    /// Somebody unknown.
    pub fn guest(&self) -> Client {
        Client {
            dispatch: self.dispatch.clone(),
            host: "127.0.0.1:8080".into(),
            headers: Vec::new(),
            id: String::new(),
            key: String::new(),
        }
    }

    /// A program with a billing key.
    pub fn program(&self) -> Client {
        self.guest().with("x-api-key", "billing-key-of-the-tests")
    }

    /// A user of the first tenant.
    pub async fn user(&self, name: &str) -> Client {
        self.person(name, "user", &self.tenant).await
    }

    /// A person with a role in a tenant, active and signed in.
    pub async fn person(&self, name: &str, role: &str, tenant: &str) -> Client {
        let email = format!("{name}@example.com");
        let record = self
            .root
            .create(
                "users",
                json!({
                    "email": email, "name": name, "role": role, "status": "active",
                    "tenant_id": tenant, "product_id": self.product,
                    "password": PASSWORD, "passwordConfirm": PASSWORD,
                }),
            )
            .await;
        let mut client = self.guest().sign_in("users", &email, PASSWORD).await;
        client.key = record["litellm_api_key"].as_str().unwrap().to_owned();
        client
    }

    /// Fails unless the books add up and nothing is reserved.
    pub async fn assert_settled(&self) {
        for _ in 0..100 {
            self.app.ledger.flush().await.unwrap();
            if self.count("select count(*) from ledger_holds").await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.count("select count(*) from ledger_holds").await, 0);
        let found = cf_ledger::Ledger::verify(&self.test_db.db).await.unwrap();
        assert_eq!(found, vec![], "{}", self.name);
    }

    /// A number from the database.
    pub async fn count(&self, sql: &str) -> i64 {
        let row = self.test_db.db.query_opt(sql, vec![]).await.unwrap();
        row.unwrap().at(0).unwrap()
    }

    /// Signs the superuser in again, whose session has ended on the clock.
    pub async fn sign_in_again(&mut self) {
        let root = self.guest();
        self.root = root
            .sign_in("_superusers", "root@example.com", PASSWORD)
            .await;
    }

    /// Sums the rows that a test put into the table itself, as the migration does.
    pub async fn sum_rows(&self) {
        let migration = include_str!("../../../../migrations/0007_rollups.sql");
        let lines = migration.lines().filter(|line| !line.starts_with("--"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let inserts = text
            .split(';')
            .filter(|s| s.trim().starts_with("insert into "));
        for insert in inserts {
            let table = insert.split_whitespace().nth(2).unwrap();
            self.execute(&format!("delete from {table}")).await;
            self.execute(insert).await;
        }
    }

    /// Writes to the database as another process would.
    pub async fn execute(&self, sql: &str) {
        self.test_db.db.execute(sql, vec![]).await.unwrap();
    }
}

impl Client {
    /// The same calling another node.
    pub fn through(&self, node: &App) -> Self {
        Self {
            dispatch: Dispatch::new(node.clone()),
            ..self.clone()
        }
    }

    /// The same at another host.
    pub fn at(&self, host: &str) -> Self {
        Self {
            host: host.into(),
            ..self.clone()
        }
    }

    /// The same with one more header.
    pub fn with(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name, value.to_owned()));
        client
    }

    /// The same calling the router with the user's API key.
    pub fn by_key(&self) -> Self {
        let mut client = self.clone();
        client.headers = vec![("authorization", format!("Bearer {}", self.key))];
        client
    }

    /// Signs in and returns a client that is.
    pub async fn sign_in(&self, collection: &str, email: &str, password: &str) -> Self {
        let answer = self
            .post(
                &format!("/api/collections/{collection}/auth-with-password"),
                &json!({"identity": email, "password": password}),
            )
            .await
            .expect(200)
            .json();
        let mut client = self.with("authorization", answer["token"].as_str().unwrap());
        client.id = id(&answer["record"]);
        client
    }

    /// Creates a record, which must work.
    pub async fn create(&self, collection: &str, record: Value) -> Value {
        let path = format!("/api/collections/{collection}/records");
        self.post(&path, &record).await.expect(200).json()
    }

    /// A record of a collection.
    pub async fn record(&self, collection: &str, id: &str) -> Answer {
        self.get(&format!("/api/collections/{collection}/records/{id}"))
            .await
    }

    /// Changes a record.
    pub async fn change(&self, collection: &str, id: &str, record: &Value) -> Answer {
        let path = format!("/api/collections/{collection}/records/{id}");
        self.send("PATCH", &path, Some(record)).await
    }

    /// A chat call for the model `small`.
    pub async fn chat(&self, more: Value) -> Answer {
        let mut body = json!({"model": "small", "messages": [{"role": "user", "content": "Hi"}]});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.post("/v1/chat/completions", &body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send_text(method, path, body).await
    }

    /// Listens to topics over the realtime API.
    pub async fn listen(&self, topics: &[&str]) -> Listening {
        let request = Request::get("/api/realtime")
            .header("host", &self.host)
            .body(Body::empty())
            .unwrap();
        let response = self.dispatch.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut listening = Listening {
            body: response.into_body(),
            text: String::new(),
        };
        let hello = listening.next().await.unwrap();
        let data = hello.split("data:").nth(1).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        let body = json!({"clientId": data["clientId"], "subscriptions": topics});
        self.post("/api/realtime", &body).await.expect(204);
        listening
    }

    pub async fn send_text(&self, method: &str, path: &str, body: String) -> Answer {
        self.send_bytes(method, path, "application/json", body.into())
            .await
    }

    /// Posts a form with these texts and one file.
    pub async fn post_form(
        &self,
        path: &str,
        texts: &[(&str, &str)],
        file: (&str, &[u8]),
    ) -> Answer {
        let mut body = Vec::new();
        for (name, text) in texts {
            let head = format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
            body.extend([head.as_bytes(), text.as_bytes(), b"\r\n"].concat());
        }
        let head = format!(
            "--XX\r\ncontent-disposition: form-data; name=\"{}\"; filename=\"f\"\r\n\r\n",
            file.0
        );
        body.extend([head.as_bytes(), file.1, b"\r\n--XX--\r\n"].concat());
        let kind = "multipart/form-data; boundary=XX";
        self.send_bytes("POST", path, kind, body.into()).await
    }

    async fn send_bytes(&self, method: &str, path: &str, kind: &str, body: Bytes) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", kind);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = self.dispatch.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => Bytes::from(format!("(the body broke off: {error})")),
        };
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }
}

/// The id of a record.
pub fn id(record: &Value) -> String {
    record["id"].as_str().unwrap().to_owned()
}
