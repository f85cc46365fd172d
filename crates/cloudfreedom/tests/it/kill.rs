//! Killed in the middle of load, the books are right after the next start.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cf_base::Random;
use cf_db::Location;
use cf_http::HttpClient;
use cf_ledger::Ledger;
use cf_testkit::{MockUpstream, Reply, TestDb};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::process::{Server, call, run};

const CALLERS: usize = 24;
const ROUNDS: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_that_came_in_full_is_booked_once_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("data.db"));
    killed_under_load(folder.path(), &location, &location).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_too() {
    let Some(test_db) = TestDb::postgres().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    killed_under_load(folder.path(), &test_db.location, &test_db.location).await;
}

async fn killed_under_load(data_dir: &std::path::Path, location: &Location, books: &Location) {
    // 10 tokens in and 5 out at 1 and 2 dollars a million: 0.00002 a call.
    let upstream = MockUpstream::start(Reply::chat("Hello!", 10, 5)).await;
    let client = HttpClient::new(true);
    let random = Random::system();
    let mut answered: HashSet<String> = HashSet::new();
    let mut key = String::new();
    for round in 0..ROUNDS {
        let mut server = Server::start(data_dir, location, &["--demo"]);
        if round == 0 {
            key = set_up(&client, &server.url, data_dir, &upstream.base_url()).await;
        }
        let url = server.url.clone();
        let load = (0..CALLERS).map(|caller| {
            let (client, url, key) = (&client, url.clone(), key.as_str());
            let stream = caller % 2 == 0;
            async move {
                let mut done = Vec::new();
                let body = json!({"model": "mock", "stream": stream,
                    "messages": [{"role": "user", "content": "Hi"}]});
                let url = format!("{url}/v1/chat/completions");
                let bearer = format!("Bearer {key}");
                // Ends with the first answer that does not come, when the server is gone.
                while let Some(answer) =
                    call(client, "POST", &url, ("authorization", &bearer), &body).await
                {
                    assert_eq!(answer.status, 200, "{:?}", answer.body);
                    done.push(answer.request_id);
                }
                done
            }
        });
        let killer = async {
            let moment = Duration::from_millis(200 + random.below(600));
            tokio::time::sleep(moment).await;
            server.kill();
        };
        let (done, ()) = futures_util::future::join(join_all(load), killer).await;
        for id in done.into_iter().flatten() {
            assert!(answered.insert(id), "a request id came twice");
        }
    }
    assert!(answered.len() > 20, "only {} answers", answered.len());

    let server = Server::start(data_dir, location, &["--demo"]);
    let db = cf_db::Db::open(books).await.unwrap();
    let count = async |sql: &str| -> i64 {
        let row = db.query_opt(sql, vec![]).await.unwrap().unwrap();
        row.at(0).unwrap()
    };
    // On PostgreSQL the dead process is known as such after half a minute.
    for _ in 0..60 {
        if count("select count(*) from ledger_holds").await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(count("select count(*) from ledger_holds").await, 0);
    assert_eq!(
        count("select cast(coalesce(sum(pending_nanos), 0) as bigint) from ledger_accounts").await,
        0
    );
    let booked: HashSet<String> = db
        .query(
            "select request_id from usage_logs where status = 'ok'",
            vec![],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.at(0).unwrap())
        .collect();
    let missing: Vec<&String> = answered.difference(&booked).collect();
    assert_eq!(missing, Vec::<&String>::new(), "answered but not booked");
    // The provider's own count is the witness: nothing is booked that was not asked of it.
    assert!(booked.len() <= upstream.received().len());
    assert_eq!(Ledger::verify(&db).await.unwrap(), vec![]);
    if matches!(location, Location::Sqlite(_)) {
        let verify = run(data_dir, &["ledger", "verify"]);
        assert!(verify.status.success(), "{verify:?}");
    }
    drop(server);
}

async fn set_up(
    client: &HttpClient,
    url: &str,
    data_dir: &std::path::Path,
    upstream: &str,
) -> String {
    let access: Value =
        serde_json::from_str(&std::fs::read_to_string(data_dir.join("demo.json")).unwrap())
            .unwrap();
    let credentials = json!({"identity": access["superuser"]["email"],
        "password": access["superuser"]["password"]});
    let sign_in = format!("{url}/api/collections/_superusers/auth-with-password");
    let signed_in = call(client, "POST", &sign_in, ("x-none", ""), &credentials)
        .await
        .unwrap()
        .json();
    let token = Arc::from(signed_in["token"].as_str().unwrap());
    let create = async |collection: &str, record: Value| -> Value {
        let path = format!("{url}/api/collections/{collection}/records");
        let token: &Arc<str> = &token;
        let answer = call(client, "POST", &path, ("authorization", token), &record)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.json()
    };
    let key = json!({"name": "mock", "provider": "openai_compatible", "base_url": upstream, "active": true});
    let key = create("provider_keys", key).await;
    let model = json!({"name": "mock", "active": true, "max_output_tokens": 100,
        "prices": {"input": 1, "output": 2},
        "deployments": [{"provider_key": key["id"], "model": "m"}]});
    create("models", model).await;
    let tenants = format!("{url}/api/collections/tenants/records");
    let tenants = call(
        client,
        "GET",
        &tenants,
        ("authorization", &token),
        &json!({}),
    )
    .await
    .unwrap()
    .json();
    let user = json!({"email": "load@example.com", "tenant_id": tenants["items"][0]["id"],
        "budget_total": 1000});
    let billing = access["billing_api_key"].as_str().unwrap();
    let made = call(
        client,
        "POST",
        &format!("{url}/api/users"),
        ("x-api-key", billing),
        &user,
    )
    .await
    .unwrap();
    assert_eq!(made.status, 201, "{:?}", made.body);
    made.json()["litellm_api_key"].as_str().unwrap().to_owned()
}
