//! Commits whose answer is lost on its way from PostgreSQL: what the ledger was
//! not told, it finds out, and nothing is booked twice or kept reserved.

use std::sync::Arc;

use cf_base::{Kind, Nanos};
use cf_db::{Db, Location};
use cf_ledger::Ledger;
use cf_testkit::TestDb;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::fixture::{DOLLAR, Fixture, call};

/// What becomes of a commit whose answer is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Commit {
    /// PostgreSQL has done it.
    Stands,
    /// It never reached PostgreSQL.
    Lost,
}

/// A commit that is being lost: the test is told, and says when to go on.
struct Cut {
    commit: Commit,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// Stands between the ledger and PostgreSQL and passes everything on.
struct Proxy {
    url: String,
    next: Arc<Mutex<Option<Cut>>>,
}

impl Proxy {
    async fn before(url: &str) -> Self {
        let (head, rest) = url.split_once('@').expect("a user");
        let (server, name) = rest.split_once('/').expect("a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let next = Arc::new(Mutex::new(None));
        let (server, cut) = (server.to_owned(), Arc::clone(&next));
        #[allow(clippy::disallowed_methods)] // ends with the test
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), Arc::clone(&cut)));
            }
        });
        Self {
            url: format!("{head}@{address}/{name}"),
            next,
        }
    }

    /// The next commit's answer is lost.
    fn lose(&self, commit: Commit) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (reached, is_reached) = oneshot::channel();
        let (go, go_on) = oneshot::channel();
        *self.next.lock() = Some(Cut {
            commit,
            reached,
            go_on,
        });
        (is_reached, go)
    }
}

async fn pass(mut client: TcpStream, server: String, next: Arc<Mutex<Option<Cut>>>) {
    const COMMIT: &[u8] = b"Q\0\0\0\x0bcommit\0";
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut asked, mut told) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let message = &asked[..length];
                let cut = if message.ends_with(COMMIT) { next.lock().take() } else { None };
                let Some(cut) = cut else {
                    if server.write_all(message).await.is_err() {
                        return;
                    }
                    continue;
                };
                if cut.commit == Commit::Stands {
                    server.write_all(message).await.unwrap();
                    // Answered, so it is done.
                    assert!(server.read(&mut told).await.unwrap() > 0);
                }
                drop(server);
                let _ = cut.reached.send(());
                let _ = cut.go_on.await;
                return;
            }
            read = server.read(&mut told) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&told[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A ledger that reaches its database through a proxy; none without PostgreSQL.
async fn behind_proxy(limit: &str) -> Option<(Fixture, Proxy)> {
    let test_db = TestDb::postgres().await?;
    let Location::Postgres(url) = &test_db.location else {
        unreachable!("PostgreSQL")
    };
    let proxy = Proxy::before(url).await;
    let through = Db::open(&Location::Postgres(proxy.url.clone()))
        .await
        .unwrap();
    Some((Fixture::through(test_db, through, limit).await, proxy))
}

/// Waits until the ledger is being written again.
async fn written_again(ledger: &Ledger) {
    for _ in 0..100 {
        if ledger.flush().await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the ledger is not written again");
}

const HOLDS: &str = "select count(*) from ledger_holds";

/// The client was told that nothing was spent, so nothing may stay reserved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_that_was_refused_is_taken_back_whether_it_stands_or_not() {
    for commit in [Commit::Stands, Commit::Lost] {
        let Some((f, proxy)) = behind_proxy("1").await else {
            return;
        };
        let (reached, go_on) = proxy.lose(commit);
        let asked = f.reserve(DOLLAR);
        let seen = async {
            reached.await.unwrap();
            let stands = i64::from(commit == Commit::Stands);
            assert_eq!(f.count(HOLDS).await, stands, "{commit:?}");
            let reserved = Nanos(stands * 1_000_000_000);
            assert_eq!(f.balance().await.1, reserved, "{commit:?}");
            go_on.send(()).unwrap();
        };
        let (refused, ()) = tokio::join!(asked, seen);
        let refused = refused.err().expect("nobody knows whether it stands");
        assert_eq!(refused.kind, Kind::Unavailable, "{commit:?}");
        assert!(refused.message.contains("nothing was spent"), "{refused}");
        written_again(&f.ledger).await;
        f.assert_settled().await;
        // All of the budget is there again, in every window of every owner.
        let again = f.reserve(DOLLAR).await.unwrap();
        again.settle(call(10)).await.unwrap();
        f.assert_settled().await;
        assert_eq!(f.balance().await.0, Nanos(10_000));
        assert_eq!(f.count("select count(*) from usage_logs").await, 1);
    }
}

/// Another budget of the same owners must come out right too, and somebody else's
/// reservation is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_reserved_stays_when_one_is_taken_back() {
    let Some((f, proxy)) = behind_proxy("10").await else {
        return;
    };
    let other = f.reserve(DOLLAR).await.unwrap();
    let (reached, go_on) = proxy.lose(Commit::Stands);
    let (refused, ()) = tokio::join!(f.reserve(2 * DOLLAR), async {
        reached.await.unwrap();
        assert_eq!(f.count(HOLDS).await, 2);
        go_on.send(()).unwrap();
    });
    assert!(refused.is_err());
    written_again(&f.ledger).await;
    assert_eq!(f.balance().await.1, Nanos(1_000_000_000));
    other.settle(call(5)).await.unwrap();
    f.assert_settled().await;
}

/// A call that was made is booked once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_booking_was_not_answered_is_booked_once() {
    for commit in [Commit::Stands, Commit::Lost] {
        let Some((f, proxy)) = behind_proxy("1").await else {
            return;
        };
        let hold = f.reserve(DOLLAR / 2).await.unwrap();
        let (reached, go_on) = proxy.lose(commit);
        let (settled, ()) = tokio::join!(hold.settle(call(1_000)), async {
            reached.await.unwrap();
            let booked = "select count(*) from usage_logs";
            let stands = i64::from(commit == Commit::Stands);
            assert_eq!(f.count(booked).await, stands, "{commit:?}");
            go_on.send(()).unwrap();
        });
        let receipt = settled.unwrap();
        assert_eq!(receipt.cost, Nanos(1_000_000), "{commit:?}");
        f.assert_settled().await;
        assert_eq!(f.balance().await.0, Nanos(1_000_000), "{commit:?}");
        assert_eq!(f.count("select count(*) from usage_logs").await, 1);
        assert_eq!(
            f.count("select count(*) from ledger_entries where request_id <> ''")
                .await,
            1
        );
    }
}

/// PostgreSQL, shut down at once, may forget the reservations of its last moments:
/// they are not waited for on the disk. Account and hold go back together.
async fn forget_reservations(f: &Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for sql in [
        "delete from ledger_holds",
        "update ledger_accounts set pending_nanos = 0",
    ] {
        tx.execute(sql, vec![]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_call_whose_reservation_the_database_forgot_is_booked_once_all_the_same() {
    for f in Fixture::each("1").await {
        let hold = f.reserve(DOLLAR / 2).await.unwrap();
        let left = f.reserve(DOLLAR / 4).await.unwrap();
        forget_reservations(&f).await;
        // What came since is not touched by the end of the others.
        let later = f.reserve(DOLLAR / 10).await.unwrap();
        let receipt = hold.settle(call(1_000)).await.unwrap();
        assert_eq!(receipt.cost, Nanos(1_000_000), "{}", f.name);
        drop(left);
        f.ledger.flush().await.unwrap();
        let (posted, pending) = f.balance().await;
        assert_eq!(posted, Nanos(1_000_000), "{}", f.name);
        assert_eq!(pending, Nanos(100_000_000), "{}", f.name);
        later.settle(call(10)).await.unwrap();
        f.assert_settled().await;
        for (status, calls) in [("ok", 2), ("cancelled", 1)] {
            let rows = format!("select count(*) from usage_logs where status = '{status}'");
            assert_eq!(f.count(&rows).await, calls, "{}: {status}", f.name);
        }
    }
}
