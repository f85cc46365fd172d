use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cf_base::{Kind, Secret};
use cf_identity::{
    AuthCollection, Identity, IdentityParams, PasswordChecks, PasswordParams, Refusal, SignInError,
};

use crate::fixture::{Fixture, PASSWORD, fixtures};

const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.7";

/// Tries a wrong password; how long to wait, where the attempt was not made.
async fn wrong(f: &Fixture, email: &str, address: &str) -> Option<Duration> {
    match f.sign_in(email, "not the password", address).await {
        Err(SignInError::WrongCredentials) => None,
        Err(SignInError::Throttled { retry_after }) => Some(retry_after),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_right_password_signs_in_however_the_address_is_written() {
    for f in fixtures().await {
        let user = f.user("Ada@Example.com").await;
        for email in ["Ada@Example.com", "ada@example.com", " ADA@EXAMPLE.COM "] {
            let account = f.sign_in(email, PASSWORD, HOME).await.unwrap();
            assert_eq!(account.id, user.0);
            assert_eq!(account.email, "Ada@Example.com");
        }
        let id = f.superuser("root@example.com").await;
        let account = f
            .identity
            .sign_in(
                AuthCollection::Superusers,
                "ROOT@example.com",
                &Secret::new(PASSWORD),
                HOME.parse().unwrap(),
            )
            .await
            .unwrap();
        assert!(account.is_superuser() && account.id == id);
        // A superuser is not a user of the same address.
        let error = f.sign_in("root@example.com", PASSWORD, HOME).await;
        assert!(matches!(error, Err(SignInError::WrongCredentials)));
    }
}

#[tokio::test]
async fn who_is_not_let_in_learns_it_only_with_the_right_password() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        for (table, status, refusal) in [
            ("users", "pending", Refusal::UserPending),
            ("users", "suspended", Refusal::UserSuspended),
            ("tenants", "suspended", Refusal::TenantSuspended),
            ("tenants", "archived", Refusal::TenantArchived),
        ] {
            let id = if table == "users" { user.0 } else { f.tenant.0 };
            f.set(table, id, "status", status).await;
            let error = f.sign_in("a@example.com", PASSWORD, HOME).await;
            assert!(matches!(error, Err(SignInError::NotAllowed(r)) if r == refusal));
            let error = f.sign_in("a@example.com", "wrong", HOME).await;
            assert!(matches!(error, Err(SignInError::WrongCredentials)));
            f.set(table, id, "status", "active").await;
        }
        f.sign_in("a@example.com", PASSWORD, HOME).await.unwrap();
    }
}

#[tokio::test]
async fn an_unknown_account_costs_the_same_work_as_a_known_one() {
    for f in fixtures().await {
        f.user("a@example.com").await;
        let unusable = f.user("b@example.com").await;
        f.set("users", unusable, "password_hash", "").await;
        let checks = || f.identity.password_checks();
        assert_eq!(checks(), PasswordChecks { real: 0, dummy: 0 });
        assert!(wrong(&f, "a@example.com", HOME).await.is_none());
        assert_eq!(checks(), PasswordChecks { real: 1, dummy: 0 });
        assert!(wrong(&f, "nobody@example.com", HOME).await.is_none());
        assert_eq!(checks(), PasswordChecks { real: 1, dummy: 1 });
        assert!(wrong(&f, "b@example.com", HOME).await.is_none());
        assert_eq!(checks(), PasswordChecks { real: 1, dummy: 2 });
        assert!(wrong(&f, &"x".repeat(300), HOME).await.is_none());
        assert_eq!(checks(), PasswordChecks { real: 1, dummy: 3 });
        // Who is throttled costs nothing, known or not.
        for email in ["a@example.com", "nobody@example.com"] {
            while wrong(&f, email, HOME).await.is_none() {}
            let before = checks();
            assert!(wrong(&f, email, HOME).await.is_some());
            assert_eq!(checks(), before);
        }
    }
}

#[tokio::test]
async fn waits_grow_and_end_and_never_lock_for_good() {
    for f in fixtures().await {
        f.user("a@example.com").await;
        for _ in 0..5 {
            assert_eq!(wrong(&f, "a@example.com", HOME).await, None);
        }
        let mut total = 0;
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
            // Trying again too early makes it no longer.
            for _ in 0..3 {
                let wait = wrong(&f, "a@example.com", HOME).await;
                assert_eq!(wait, Some(Duration::from_secs(expected)));
            }
            f.advance(expected);
            total += expected;
            assert_eq!(wrong(&f, "a@example.com", HOME).await, None, "{total}");
        }
        // The owner, at the worst moment, waits as long as is said and is in.
        let error = f.sign_in("a@example.com", PASSWORD, HOME).await;
        let Err(SignInError::Throttled { retry_after }) = error else {
            panic!("{error:?}")
        };
        f.clock.advance(retry_after);
        f.sign_in("a@example.com", PASSWORD, HOME).await.unwrap();
        // And has all attempts again.
        for _ in 0..5 {
            assert_eq!(wrong(&f, "a@example.com", HOME).await, None);
        }
        assert!(wrong(&f, "a@example.com", HOME).await.is_some());
        f.advance(3600);
        assert_eq!(wrong(&f, "a@example.com", HOME).await, None, "forgotten");
    }
}

#[tokio::test]
async fn strangers_do_not_lock_the_owner_out() {
    for f in fixtures().await {
        f.user("a@example.com").await;
        f.sign_in("a@example.com", PASSWORD, HOME).await.unwrap();
        // A crowd of addresses, each of which stays below its own limit.
        let mut thrown_out = 0;
        for i in 0..200 {
            if wrong(&f, "a@example.com", &format!("203.0.113.{i}"))
                .await
                .is_some()
            {
                thrown_out += 1;
            }
        }
        assert_eq!(thrown_out, 180, "the crowd meets the account's own limit");
        f.sign_in("a@example.com", PASSWORD, HOME).await.unwrap();
        // From an address that is new, the owner waits half a minute at most.
        let error = f.sign_in("a@example.com", PASSWORD, AWAY).await;
        let Err(SignInError::Throttled { retry_after }) = error else {
            panic!("{error:?}")
        };
        assert!(retry_after <= Duration::from_secs(30));
        f.clock.advance(retry_after);
        f.sign_in("a@example.com", PASSWORD, AWAY).await.unwrap();
        // Other accounts are not touched.
        f.user("b@example.com").await;
        f.sign_in("b@example.com", PASSWORD, AWAY).await.unwrap();
    }
}

#[tokio::test]
async fn one_address_guessing_at_many_accounts_is_slowed_down() {
    for f in fixtures().await {
        f.user("a@example.com").await;
        for i in 0..30 {
            assert_eq!(wrong(&f, &format!("{i}@example.com"), AWAY).await, None);
            if i % 10 == 5 {
                // An account of one's own does not wash the failures off.
                f.sign_in("a@example.com", PASSWORD, AWAY).await.unwrap();
            }
        }
        assert!(wrong(&f, "31@example.com", AWAY).await.is_some());
        assert!(f.sign_in("a@example.com", PASSWORD, HOME).await.is_ok());

        // All of an IPv6 network counts as one address.
        for i in 0..30 {
            let address = format!("2001:db8:1:2::{i:x}");
            assert_eq!(wrong(&f, &format!("{i}@example.net"), &address).await, None);
        }
        let next = "2001:db8:1:2:ffff::1";
        assert!(wrong(&f, "31@example.net", next).await.is_some());
        assert!(
            wrong(&f, "31@example.net", "2001:db8:1:3::1")
                .await
                .is_none()
        );
        // IPv4 written as IPv6 is the same address.
        let mapped = format!("::ffff:{AWAY}");
        assert!(wrong(&f, "32@example.com", &mapped).await.is_some());
    }
}

#[tokio::test]
async fn attempts_at_the_same_time_do_not_slip_through() {
    for f in fixtures().await {
        f.user("a@example.com").await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let identity = f.identity.clone();
            tasks.spawn(async move {
                let password = Secret::new("not the password");
                identity
                    .sign_in(
                        AuthCollection::Users,
                        "a@example.com",
                        &password,
                        AWAY.parse().unwrap(),
                    )
                    .await
                    .unwrap_err()
            });
        }
        let errors = tasks.join_all().await;
        let made = errors
            .iter()
            .filter(|e| matches!(e, SignInError::WrongCredentials))
            .count();
        assert_eq!(made, 5);
    }
}

#[tokio::test]
async fn the_portal_tries_both_collections_without_harm_to_a_superuser() {
    for f in fixtures().await {
        f.superuser("root@example.com").await;
        for _ in 0..100 {
            assert_eq!(wrong(&f, "root@example.com", HOME).await, None);
            let found = f
                .identity
                .sign_in(
                    AuthCollection::Superusers,
                    "root@example.com",
                    &Secret::new(PASSWORD),
                    HOME.parse().unwrap(),
                )
                .await;
            assert!(found.is_ok());
        }
    }
}

#[tokio::test]
async fn only_so_many_passwords_are_checked_at_a_time() {
    for f in fixtures().await {
        f.user("a@example.com").await;
        let identity = Identity::new(
            f.db().clone(),
            f.clock.clone(),
            f.random.clone(),
            &f.master,
            &IdentityParams {
                passwords: PasswordParams::recommended().with_queue(1, 1),
                billing_key: None,
            },
        );
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..6 {
            let identity = identity.clone();
            tasks.spawn(async move {
                let password = Secret::new("not the password");
                let address = format!("192.0.2.{i}").parse().unwrap();
                identity
                    .sign_in(AuthCollection::Users, &format!("{i}"), &password, address)
                    .await
                    .unwrap_err()
            });
        }
        let errors = tasks.join_all().await;
        let sent_away = errors
            .iter()
            .filter(|e| {
                matches!(e, SignInError::Failed(e) if matches!(e.kind, Kind::RateLimited { .. }))
            })
            .count();
        assert!((1..=4).contains(&sent_away), "{errors:?}");
    }
}

#[tokio::test]
async fn hashes_are_argon2id_as_owasp_recommends() {
    let f = fixtures().await.remove(0);
    let identity = Identity::new(
        f.db().clone(),
        f.clock.clone(),
        f.random.clone(),
        &f.master,
        &IdentityParams::default(),
    );
    let password = Secret::new("correct horse");
    let hash = identity.hash_password(&password).await.unwrap();
    assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    let again = identity.hash_password(&password).await.unwrap();
    assert_ne!(hash.expose(), again.expose(), "each has its own salt");
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn failed_sign_ins_are_logged_without_what_was_typed() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let logging = tracing::subscriber::set_default(subscriber);
        f.sign_in("a@example.com", PASSWORD, HOME).await.unwrap();
        assert!(wrong(&f, "a@example.com", HOME).await.is_none());
        assert!(
            wrong(&f, "my-password-in-the-wrong-field", AWAY)
                .await
                .is_none()
        );
        f.set("users", user, "status", "suspended").await;
        let _ = f.sign_in("a@example.com", PASSWORD, HOME).await;
        f.set("users", user, "status", "active").await;
        for _ in 0..10 {
            wrong(&f, "a@example.com", HOME).await;
        }
        drop(logging);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|l| l.contains("sign-in")).collect();
        let (user, home, away) = (user.0.to_string(), HOME, AWAY);
        for (line, parts) in [
            (0, [user.as_str(), home, "wrong password"]),
            (1, ["a sign-in failed", away, "no such account"]),
            (2, [user.as_str(), home, "UserSuspended"]),
            (12, ["a sign-in failed", home, "too many failures"]),
        ] {
            for part in parts {
                assert!(lines[line].contains(part), "{part}: {}", lines[line]);
            }
        }
        for typed in ["my-password", "not the password", PASSWORD, "example.com"] {
            assert!(!text.contains(typed), "{typed} in {text}");
        }
    }
}
