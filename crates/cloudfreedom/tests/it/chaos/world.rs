//! Who calls in the chaos, and on which budgets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cf_base::Random;
use cf_db::{Db, Location};
use cf_http::HttpClient;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::load::{Caller, Outcome};
use crate::process::{Answer, call};

const USERS: usize = 10;
/// Calls at once, in each round.
const CALLS: usize = 500;
/// Users whose key has a budget of its own.
const TIGHT_KEYS: usize = 3;
/// In nano-euros: a budget holds about twenty calls at once.
const BUDGET: i64 = 30_000_000;
const KEY_BUDGET: i64 = 15_000_000;
const TENANT_BUDGET: i64 = 200_000_000;
/// What a top-up adds: enough to be seen, too little to matter.
const TOP_UP: i64 = 1_000;
const NANOS: i64 = 1_000_000_000;

struct User {
    id: String,
    key: String,
    key_id: String,
    /// What the limit should be.
    limit: i64,
}

pub struct World {
    client: HttpClient,
    token: Arc<str>,
    billing: String,
    tenant: String,
    users: Vec<User>,
    /// Budget changes that were sent and not answered: sent again until they are.
    open: Vec<Change>,
}

#[derive(Clone)]
struct Change {
    user: usize,
    top_up: bool,
    key: String,
}

impl World {
    /// Each user gets `budgets` times the usual budget.
    pub async fn set_up(url: &str, data_dir: &Path, provider: &str, budgets: i64) -> Self {
        let limit = BUDGET * budgets;
        let access = std::fs::read_to_string(data_dir.join("demo.json")).unwrap();
        let access: Value = serde_json::from_str(&access).unwrap();
        let client = HttpClient::new(true);
        let credentials = json!({"identity": access["superuser"]["email"],
            "password": access["superuser"]["password"]});
        let sign_in = format!("{url}/api/collections/_superusers/auth-with-password");
        let signed_in = call(&client, "POST", &sign_in, ("x-none", ""), &credentials).await;
        let mut world = Self {
            client,
            token: signed_in.unwrap().json()["token"].as_str().unwrap().into(),
            billing: access["billing_api_key"].as_str().unwrap().to_owned(),
            tenant: String::new(),
            users: Vec::new(),
            open: Vec::new(),
        };
        let key = json!({"name": "chaos", "provider": "openai_compatible",
            "base_url": provider, "active": true});
        let key = world.record(url, "POST", "provider_keys", &key).await;
        let model = json!({"name": "chaos", "active": true, "max_output_tokens": 100,
            "prices": {"input": 1, "cached_input": 0.5, "output": 2},
            "deployments": [{"provider_key": key["id"], "model": "m"}]});
        world.record(url, "POST", "models", &model).await;
        let tenant = json!({"name": "Chaos", "slug": "chaos", "status": "active"});
        let tenant = world.record(url, "POST", "tenants", &tenant).await;
        world.tenant = tenant["id"].as_str().unwrap().to_owned();
        for number in 0..USERS {
            let user = json!({"email": format!("chaos{number}@example.com"),
                "tenant_id": world.tenant, "budget_total": euros(limit)});
            let made = world.billing(url, "/api/users", "", &user).await.unwrap();
            assert_eq!(made.status, 201, "{:?}", made.body);
            let made = made.json();
            let id = made["id"].as_str().unwrap().to_owned();
            let filter = format!("api_keys/records?filter=user_id%3D%27{id}%27");
            let keys = world.record(url, "GET", &filter, &json!({})).await;
            world.users.push(User {
                key: made["litellm_api_key"].as_str().unwrap().to_owned(),
                key_id: keys["items"][0]["id"].as_str().unwrap().to_owned(),
                id,
                limit,
            });
        }
        world
    }

    /// Before a round: changes that are still open are made, and the budgets that
    /// no reset gives back (the tenant's, some keys') get room for one more round.
    pub async fn prepare(&mut self, url: &str, location: &Location, random: &Random) {
        for change in std::mem::take(&mut self.open) {
            let answer = self.change(url, &change).await.unwrap();
            assert_eq!(answer.status, 200, "{:?}", answer.body);
            self.made(&change);
        }
        let db = Db::open(location).await.unwrap();
        let tight = self.users.iter().take(TIGHT_KEYS);
        let mut owners: Vec<(&str, &str, i64)> = tight
            .map(|user| ("api_keys", user.key_id.as_str(), KEY_BUDGET))
            .collect();
        owners.push(("tenants", &self.tenant, TENANT_BUDGET));
        for (collection, owner, room) in owners {
            let used = db
                .query_opt(
                    "select posted_nanos + pending_nanos from ledger_accounts where owner_id = $1",
                    vec![owner.into()],
                )
                .await
                .unwrap();
            let used: i64 = used.map_or(0, |row| row.at(0).unwrap());
            let limit = used + room + i64::try_from(random.below(1000)).unwrap();
            let path = format!("{collection}/records/{owner}");
            self.record(url, "PATCH", &path, &json!({"budget_total": euros(limit)}))
                .await;
        }
    }

    /// 500 calls at once and, beside them, a reset or a top-up for each user.
    pub async fn load(&mut self, url: &str, random: &Random, round: u64) -> Vec<Outcome> {
        let callers: Vec<Caller<'_>> = (0..CALLS)
            .map(|number| Caller {
                client: &self.client,
                url,
                key: &self.users[number % USERS].key,
                stream: random.below(2) == 0,
                usage: random.below(4) > 0,
                after: Duration::from_millis(random.below(250)),
                patience: (random.below(20) == 0).then(|| Duration::from_millis(random.below(150))),
            })
            .collect();
        let changes: Vec<(Duration, Change)> = (0..USERS)
            .map(|user| {
                let top_up = random.below(3) == 0;
                let key = format!("chaos-{round}-{user}");
                let after = Duration::from_millis(random.below(300));
                (after, Change { user, top_up, key })
            })
            .collect();
        let changing = join_all(changes.iter().map(|(after, change)| async {
            tokio::time::sleep(*after).await;
            self.change(url, change).await
        }));
        let calling = join_all(callers.into_iter().map(Caller::call));
        let (outcomes, answers) = futures_util::future::join(calling, changing).await;
        for ((_, change), answer) in changes.into_iter().zip(answers) {
            match answer {
                Some(answer) if answer.status == 200 => self.made(&change),
                Some(answer) if answer.status != 503 => panic!("{:?}", answer.body),
                _ => self.open.push(change),
            }
        }
        outcomes
    }

    /// Some plain and streamed calls, spread over `time`.
    pub async fn calls(&self, url: &str, number: usize, time: Duration) -> Vec<Outcome> {
        let client = HttpClient::new(true);
        let callers = (0..number).map(|at| Caller {
            client: &client,
            url,
            key: &self.users[at % USERS].key,
            stream: at % 2 == 0,
            usage: true,
            after: time.mul_f64(at as f64 / number as f64),
            patience: None,
        });
        join_all(callers.map(Caller::call)).await
    }

    /// Every top-up that was answered is in the limits, once.
    pub async fn limits_add_up(&self, location: &Location, context: &str) {
        let db = Db::open(location).await.unwrap();
        for user in &self.users {
            let row = db
                .query_opt(
                    "select limit_nanos from ledger_accounts where owner_id = $1",
                    vec![(&user.id).into()],
                )
                .await
                .unwrap();
            let limit: i64 = row.unwrap().at(0).unwrap();
            assert_eq!(limit, user.limit, "the limit of user {} {context}", user.id);
        }
    }

    fn made(&mut self, change: &Change) {
        if change.top_up {
            self.users[change.user].limit += TOP_UP;
        }
    }

    async fn change(&self, url: &str, change: &Change) -> Option<Answer> {
        let id = &self.users[change.user].id;
        let (what, body) = match change.top_up {
            true => ("top-up", json!({"amount": 0.000_001, "currency": "EUR"})),
            false => ("reset-budget", json!({})),
        };
        let path = format!("/api/users/{id}/{what}");
        self.billing(url, &path, &change.key, &body).await
    }

    async fn billing(&self, url: &str, path: &str, once: &str, body: &Value) -> Option<Answer> {
        let headers = [
            ("x-api-key", self.billing.as_str()),
            ("idempotency-key", once),
        ];
        let headers = &headers[..if once.is_empty() { 1 } else { 2 }];
        crate::process::call_with(&self.client, "POST", &format!("{url}{path}"), headers, body)
            .await
    }

    async fn record(&self, url: &str, method: &str, path: &str, body: &Value) -> Value {
        let path = match path.contains("records") {
            true => format!("{url}/api/collections/{path}"),
            false => format!("{url}/api/collections/{path}/records"),
        };
        let token = ("authorization", &*self.token);
        let answer = call(&self.client, method, &path, token, body)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.json()
    }
}

/// An amount as the records have it, exactly.
fn euros(nanos: i64) -> Value {
    serde_json::from_str(&format!("{}.{:09}", nanos / NANOS, nanos % NANOS)).unwrap()
}
