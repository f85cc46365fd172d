//! Several processes on one PostgreSQL: one budget, not one for each.

use std::sync::Arc;

use cf_base::{
    Caller, Currency, Keeping, KeyId, Limits, Nanos, PicoUsd, Random, RequestId, Role, TenantId,
    UserId,
};
use cf_db::Db;
use cf_ledger::{
    AccountKind, HoldRequest, Ledger, NewAccount, Period, open_account, reset_due_budgets, top_up,
};
use cf_testkit::TestDb;
use futures_util::future::join_all;

use crate::fixture::{DOLLAR, Fixture, call, nanos};

/// Processes of a kind: each with connections, a writer and a memory of its own.
async fn nodes(f: &Fixture, number: usize) -> Vec<Ledger> {
    let mut nodes = Vec::new();
    for _ in 0..number {
        let way = Db::open(f.location()).await.unwrap();
        let node = Ledger::start(way, f.clock.clone(), f.random.clone());
        nodes.push(node.await.unwrap());
    }
    nodes
}

async fn on_postgres(limit: &str) -> Option<Fixture> {
    let test_db = TestDb::postgres().await?;
    let way = test_db.db.clone();
    Some(Fixture::through(test_db, way, limit).await)
}

/// As many calls get in at three nodes as at one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_a_budget_to_the_last_call() {
    let Some(f) = on_postgres("20").await else {
        return;
    };
    let nodes = nodes(&f, 3).await;
    let asked = (0..150).map(|n| nodes[n % nodes.len()].reserve(f.request(DOLLAR, DOLLAR)));
    let holds: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    assert_eq!(holds.len(), 20, "a dollar each, of twenty");
    assert_eq!(f.balance().await, (Nanos::ZERO, nanos("20")));
    // Half is given back, and is there for whoever asks next, wherever.
    for hold in holds {
        hold.settle(call(500_000)).await.unwrap();
    }
    assert_eq!(f.balance().await, (nanos("10"), Nanos::ZERO));
    let asked = (0..50).map(|n| nodes[n % nodes.len()].reserve(f.request(DOLLAR, DOLLAR)));
    let again: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    assert_eq!(again.len(), 10);
    drop(again);
    for node in &nodes {
        node.flush().await.unwrap();
    }
    f.assert_settled().await;
}

/// Calls of many people of one tenant, in every order, beside resets and top-ups
/// at every node: nothing that was spent is lost to a lock that two waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_book_for_the_same_people_at_once_lose_nothing() {
    const PEOPLE: usize = 8;
    const CALLS: usize = 320;
    let Some(f) = on_postgres("1000").await else {
        return;
    };
    let nodes = nodes(&f, 3).await;
    let people = people(&f, PEOPLE).await;
    let random = Random::seeded(5);
    let calls = (0..CALLS).map(|n| {
        let (node, who) = (
            &nodes[n % nodes.len()],
            &people[usize::try_from(random.below(PEOPLE as u64)).unwrap()],
        );
        let request = HoldRequest {
            request_id: RequestId::new(f.clock.now(), &f.random),
            caller: Arc::clone(who),
            model: "small".into(),
            worst: PicoUsd(DOLLAR),
            least: PicoUsd(DOLLAR),
            expires_in: std::time::Duration::from_secs(600),
        };
        async move {
            let hold = node.reserve(request).await.unwrap();
            hold.settle(call(1_000)).await.unwrap();
        }
    });
    let changes = (0..40).map(|n| {
        let who = &people[n % PEOPLE];
        let f = &f;
        async move {
            loop {
                let mut tx = f.db.begin().await.unwrap();
                match top_up(
                    &mut tx,
                    who.user_id.0,
                    nanos("1"),
                    "more",
                    "test",
                    &f.clock,
                    &f.random,
                )
                .await
                {
                    Ok(_) => break tx.commit().await.unwrap(),
                    // Another was faster: as a person would, once more.
                    Err(error) if error.kind == cf_base::Kind::Unavailable => {}
                    Err(error) => panic!("{error}"),
                }
            }
            reset_due_budgets(&f.db, &f.clock, &f.random).await.unwrap();
        }
    });
    tokio::join!(join_all(calls), join_all(changes));
    for node in &nodes {
        node.flush().await.unwrap();
    }
    f.assert_settled().await;
    let rows = f
        .count("select count(*) from usage_logs where status = 'ok'")
        .await;
    assert_eq!(rows, i64::try_from(CALLS).unwrap());
    let mut spent = Nanos::ZERO;
    for who in &people {
        let account = cf_ledger::account(&f.db, who.user_id.0)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(account.pending, Nanos::ZERO);
        spent += account.posted;
    }
    assert_eq!(spent, Nanos(1_000_000 * i64::try_from(CALLS).unwrap()));
    let tenant = cf_ledger::account(&f.db, f.caller.tenant_id.0)
        .await
        .unwrap();
    assert_eq!(
        tenant.unwrap().posted,
        spent,
        "the tenant's is the sum of its people's"
    );
}

/// People of the fixture's tenant, each with a key.
async fn people(f: &Fixture, number: usize) -> Vec<Arc<Caller>> {
    let mut people = Vec::new();
    let mut tx = f.db.begin().await.unwrap();
    for _ in 0..number {
        let caller = Caller {
            user_id: UserId::new(&f.random),
            tenant_id: TenantId(f.caller.tenant_id.0),
            key_id: Some(KeyId::new(&f.random)),
            role: Role::User,
            product_id: None,
            product_models: vec![],
            key_models: vec![],
            limits: Limits::default(),
            key_limits: Limits::default(),
            tenant_limits: Limits::default(),
            keeping: Keeping::default(),
            regions: vec![],
            currency: Currency::USD,
            tenant_currency: Currency::USD,
        };
        for (owner, kind) in [
            (caller.user_id.0, AccountKind::User),
            (caller.key_id.unwrap().0, AccountKind::Key),
        ] {
            let new = NewAccount {
                owner,
                kind,
                currency: Currency::USD,
                limit: Some(nanos("100000")),
                used: Nanos::ZERO,
                period: Period::Total,
                carry_over: false,
                time_zone: String::new(),
                resets_at: None,
            };
            open_account(&mut tx, &new, "test", &f.clock, &f.random)
                .await
                .unwrap();
        }
        people.push(Arc::new(caller));
    }
    tx.commit().await.unwrap();
    people
}
