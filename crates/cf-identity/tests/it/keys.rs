use std::sync::Arc;
use std::time::Duration;

use cf_base::{Clock, Currency, Kind, Limits, Role, Secret, Timestamp};
use cf_db::Db;
use cf_identity::{
    BillingScope, BillingScopes, Identity, IdentityParams, NewBillingKey, NewKey,
    count_billing_keys, list_billing_keys, move_to_tenant,
};

use crate::fixture::{Fixture, PRODUCT, fixtures};

#[tokio::test]
async fn a_key_leads_to_its_caller_with_limits_and_models() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let issued = f
            .issue(NewKey {
                models: vec!["small".into()],
                ..f.new_key(user)
            })
            .await
            .unwrap();
        assert_eq!(issued.key.expose().len(), 51);
        assert!(issued.key.expose().starts_with("sk-"));
        let caller = f.identity.caller_by_key(issued.key.expose()).await.unwrap();
        assert_eq!(caller.user_id, user);
        assert_eq!(caller.tenant_id, f.tenant);
        assert_eq!(caller.key_id, Some(issued.id));
        assert_eq!(caller.role, Role::User);
        assert_eq!(caller.product_id.unwrap().as_str(), PRODUCT);
        assert_eq!(caller.currency.as_str(), "USD");
        assert_eq!(caller.tenant_currency, Currency::EUR);
        assert_eq!(
            caller.limits,
            Limits {
                requests_per_minute: 60,
                tokens_per_minute: 1000,
                parallel_requests: 3
            }
        );
        assert!(caller.may_use("small") && !caller.may_use("large"));

        // Without a product the tenant's currency counts.
        f.set("users", user, "product_id", "").await;
        let caller = f.identity.caller_by_key(issued.key.expose()).await.unwrap();
        assert_eq!(caller.currency, Currency::EUR);
        assert_eq!(caller.product_id, None);

        // Another call is answered from memory: the same copy.
        let again = f.identity.caller_by_key(issued.key.expose()).await.unwrap();
        assert!(Arc::ptr_eq(&caller, &again), "{}", f.test.name);

        // The key itself is nowhere in the database.
        let hash = f
            .text("select hash from api_keys where id = $1", issued.id)
            .await;
        assert!(!hash.contains(&issued.key.expose()[3..]));
        assert_eq!(
            issued.masked,
            format!(
                "{}••••{}",
                &issued.key.expose()[..7],
                &issued.key.expose()[47..]
            )
        );
    }
}

#[tokio::test]
async fn every_role_may_call_and_keeps_its_role() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let key = f.key(user).await.key;
        for role in [Role::User, Role::TenantAdmin, Role::Admin] {
            f.set("users", user, "role", role.as_str()).await;
            let caller = f.identity.caller_by_key(key.expose()).await.unwrap();
            assert_eq!(caller.role, role);
        }
    }
}

#[tokio::test]
async fn each_status_of_user_and_tenant_is_felt_at_once() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let key = f.key(user).await.key;
        let key = key.expose();
        let cases = [
            ("users", "pending", Kind::UserPending),
            ("users", "suspended", Kind::UserSuspended),
            ("tenants", "suspended", Kind::TenantSuspended),
            ("tenants", "archived", Kind::TenantSuspended),
        ];
        for (table, status, kind) in cases {
            let id = if table == "users" { user.0 } else { f.tenant.0 };
            assert!(f.identity.caller_by_key(key).await.is_ok());
            f.set(table, id, "status", status).await;
            assert_eq!(f.refused(key).await, kind, "{table} {status}");
            assert_eq!(f.refused(key).await, kind, "from memory");
            f.set(table, id, "status", "active").await;
        }
        assert!(f.identity.caller_by_key(key).await.is_ok());

        // The tenant of the key's user counts, not any other.
        f.set("tenants", f.other_tenant, "status", "suspended")
            .await;
        assert!(f.identity.caller_by_key(key).await.is_ok());
        f.set("users", user, "tenant_id", f.other_tenant.as_str())
            .await;
        assert_eq!(f.refused(key).await, Kind::TenantSuspended);
        f.set("users", user, "tenant_id", "").await;
        assert_eq!(f.refused(key).await, Kind::Forbidden);
        f.set("users", user, "tenant_id", "gonegonegonegon").await;
        assert_eq!(f.refused(key).await, Kind::TenantSuspended);
        f.set("users", user, "tenant_id", f.tenant.as_str()).await;

        // What cannot be read allows nothing: not all models, not no limit.
        f.set("products", PRODUCT, "models", "{}").await;
        assert_eq!(f.refused(key).await, Kind::Internal);
        f.set("products", PRODUCT, "models", "null").await;
        assert!(f.identity.caller_by_key(key).await.is_ok());
        f.set("users", user, "status", "who knows").await;
        assert_eq!(f.refused(key).await, Kind::Internal);
        f.set("users", user, "status", "active").await;
        f.set("users", user, "product_id", "gonegonegonegon").await;
        assert_eq!(f.refused(key).await, Kind::Forbidden);
    }
}

#[tokio::test]
async fn unknown_revoked_and_deleted_keys_are_refused() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        for text in [
            "",
            "sk-short",
            "sk-0123456789 with spaces in it",
            "sk-umlaute-sind-nicht-möglich",
            "sk-000000000000000000000000000000000000000000000000",
            &"x".repeat(257),
        ] {
            assert_eq!(
                f.identity.caller_by_key(text).await.unwrap_err().kind,
                Kind::Unauthorized
            );
        }
        let issued = f.key(user).await;
        let key = issued.key.expose();
        f.identity.caller_by_key(key).await.unwrap();
        let mut tx = f.db().begin().await.unwrap();
        f.identity.revoke_key(&mut tx, issued.id).await.unwrap();
        drop(tx);
        assert!(
            f.identity.caller_by_key(key).await.is_ok(),
            "rolled back: still good"
        );
        let mut tx = f.db().begin().await.unwrap();
        f.identity.revoke_key(&mut tx, issued.id).await.unwrap();
        f.identity.revoke_key(&mut tx, issued.id).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(f.refused(key).await, Kind::Unauthorized);

        let issued = f.key(user).await;
        f.identity.caller_by_key(issued.key.expose()).await.unwrap();
        let mut tx = f.db().begin().await.unwrap();
        tx.execute("delete from users where id = $1", vec![user.into()])
            .await
            .unwrap();
        f.identity.note_change(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(f.refused(issued.key.expose()).await, Kind::Unauthorized);

        let mut tx = f.db().begin().await.unwrap();
        let nobody = cf_base::KeyId::new(&f.random);
        let error = f.identity.revoke_key(&mut tx, nobody).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        let error = f
            .identity
            .rotate_key(&mut tx, nobody, Duration::ZERO)
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
    }
}

#[tokio::test]
async fn a_key_made_just_now_works_though_it_was_refused_before() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let text = format!("sk-{}", "0123456789abcdef".repeat(4));
        assert_eq!(f.refused(&text).await, Kind::Unauthorized);
        let issued = f
            .issue(NewKey {
                key: Some(Secret::new(text.as_str())),
                ..f.new_key(user)
            })
            .await
            .unwrap();
        assert_eq!(issued.masked, "sk-0123••••cdef");
        let caller = f.identity.caller_by_key(&text).await.unwrap();
        assert_eq!(caller.key_id, Some(issued.id));
    }
}

#[tokio::test]
async fn keys_from_elsewhere_have_rules_and_are_taken_once() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let foreign = |text: &str| NewKey {
            key: Some(Secret::new(text)),
            ..f.new_key(user)
        };
        for text in ["short", "has spaces in the middle", &"x".repeat(257)] {
            let error = f.issue(foreign(text)).await.unwrap_err();
            assert!(matches!(error.kind, Kind::Invalid { .. }), "{text}");
            assert!(!error.message.contains(text));
        }
        let short = f.issue(foreign("my-legacy-key-42")).await.unwrap();
        assert_eq!(short.masked, "my-••••42");
        let error = f.issue(foreign("my-legacy-key-42")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict);

        // A predecessor in its grace is taken, too.
        let mut tx = f.db().begin().await.unwrap();
        f.identity
            .rotate_key(&mut tx, short.id, Duration::from_secs(60))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let error = f.issue(foreign("my-legacy-key-42")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict);
    }
}

#[tokio::test]
async fn a_key_ends_at_its_expiry_also_when_it_is_in_memory() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let now = f.clock.now();
        let past = NewKey {
            expires: Some(now),
            ..f.new_key(user)
        };
        assert!(matches!(
            f.issue(past).await.unwrap_err().kind,
            Kind::Invalid { .. }
        ));
        let issued = f
            .issue(NewKey {
                expires: Some(now.after(Duration::from_secs(30))),
                ..f.new_key(user)
            })
            .await
            .unwrap();
        let key = issued.key.expose();
        f.identity.caller_by_key(key).await.unwrap();
        f.advance(29);
        f.identity.caller_by_key(key).await.unwrap();
        f.advance(1);
        assert_eq!(f.refused(key).await, Kind::Unauthorized);
        f.identity.invalidate_all();
        assert_eq!(f.refused(key).await, Kind::Unauthorized, "read afresh");
        let mut tx = f.db().begin().await.unwrap();
        let error = f
            .identity
            .rotate_key(&mut tx, issued.id, Duration::ZERO)
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::Conflict);
    }
}

async fn rotate(f: &Fixture, id: cf_base::KeyId, grace: u64) -> Secret {
    let mut tx = f.db().begin().await.unwrap();
    let issued = f
        .identity
        .rotate_key(&mut tx, id, Duration::from_secs(grace))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(issued.id, id);
    issued.key
}

#[tokio::test]
async fn a_rotated_key_stays_good_for_its_grace_and_no_longer() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let issued = f.key(user).await;
        let first = issued.key;
        f.identity.caller_by_key(first.expose()).await.unwrap();
        let second = rotate(&f, issued.id, 30).await;
        for key in [&first, &second] {
            let caller = f.identity.caller_by_key(key.expose()).await.unwrap();
            assert_eq!(caller.key_id, Some(issued.id));
        }
        f.advance(30);
        assert_eq!(f.refused(first.expose()).await, Kind::Unauthorized);
        f.identity.invalidate_all();
        assert_eq!(f.refused(first.expose()).await, Kind::Unauthorized);
        f.identity.caller_by_key(second.expose()).await.unwrap();

        // Without grace the old one ends at once, and so does one in grace
        // when the key is rotated again or revoked.
        let third = rotate(&f, issued.id, 0).await;
        assert_eq!(f.refused(second.expose()).await, Kind::Unauthorized);
        let fourth = rotate(&f, issued.id, 3600).await;
        f.identity.caller_by_key(third.expose()).await.unwrap();
        let fifth = rotate(&f, issued.id, 3600).await;
        assert_eq!(f.refused(third.expose()).await, Kind::Unauthorized);
        f.identity.caller_by_key(fourth.expose()).await.unwrap();
        let mut tx = f.db().begin().await.unwrap();
        f.identity.revoke_key(&mut tx, issued.id).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(f.refused(fourth.expose()).await, Kind::Unauthorized);
        assert_eq!(f.refused(fifth.expose()).await, Kind::Unauthorized);

        let mut tx = f.db().begin().await.unwrap();
        let too_long = cf_identity::MAX_GRACE + Duration::from_secs(1);
        let error = f
            .identity
            .rotate_key(&mut tx, issued.id, too_long)
            .await
            .unwrap_err();
        assert!(matches!(error.kind, Kind::Invalid { .. }));
    }
}

#[tokio::test]
async fn a_change_of_another_process_is_felt_after_refresh_if_changed() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let key = f.key(user).await.key;
        let key = key.expose();
        let token = f.identity.issue_token(&f.account(user).await);
        assert!(f.identity.refresh_if_changed().await.unwrap(), "the first");
        assert!(!f.identity.refresh_if_changed().await.unwrap());
        f.identity.caller_by_key(key).await.unwrap();
        assert!(f.identity.session(&token).await.unwrap().is_some());

        let elsewhere = Db::open(&f.test.location).await.unwrap();
        let other = Identity::new(
            elsewhere.clone(),
            f.clock.clone(),
            f.random.clone(),
            &f.master,
            &IdentityParams::cheap_for_tests(),
        );
        other.caller_by_key(key).await.unwrap();
        let mut tx = elsewhere.begin().await.unwrap();
        tx.execute(
            "update users set status = 'suspended' where id = $1",
            vec![user.into()],
        )
        .await
        .unwrap();
        other.note_change(&mut tx).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(
            other.caller_by_key(key).await.unwrap_err().kind,
            Kind::UserSuspended,
            "its own process feels it at once"
        );
        assert!(f.identity.caller_by_key(key).await.is_ok(), "not yet seen");
        assert!(f.identity.refresh_if_changed().await.unwrap());
        assert_eq!(f.refused(key).await, Kind::UserSuspended);
        assert!(f.identity.session(&token).await.unwrap().is_none());

        // Even a change that forgot to say so is felt within a minute.
        f.set("users", user, "status", "active").await;
        f.identity.caller_by_key(key).await.unwrap();
        elsewhere
            .execute("update users set status = 'pending'", vec![])
            .await
            .unwrap();
        f.identity.caller_by_key(key).await.unwrap();
        f.advance(60);
        assert_eq!(f.refused(key).await, Kind::UserPending);
    }
}

#[tokio::test]
async fn the_last_use_is_written_down_by_the_job() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let issued = f.key(user).await;
        let unused = f.key(user).await;
        let version = "select cast(version as text) from data_version where id = $1";
        let before = f.text(version, 1i64).await;
        f.identity.caller_by_key(issued.key.expose()).await.unwrap();
        f.advance(5);
        f.identity.caller_by_key(issued.key.expose()).await.unwrap();
        f.identity.invalidate_all();
        assert_eq!(f.identity.flush_last_used().await.unwrap(), 1);
        let last_used = "select last_used from api_keys where id = $1";
        assert_eq!(
            f.text(last_used, issued.id).await,
            "2026-11-24 10:00:05.000Z"
        );
        assert_eq!(f.text(last_used, unused.id).await, "");
        assert_eq!(f.identity.flush_last_used().await.unwrap(), 0);
        assert_eq!(f.text(version, 1i64).await, before, "no cache is dropped");

        // A later use seen by another node is not set back.
        f.set(
            "api_keys",
            issued.id,
            "last_used",
            "2026-11-25 00:00:00.000Z",
        )
        .await;
        f.advance(5);
        f.identity.caller_by_key(issued.key.expose()).await.unwrap();
        f.identity.flush_last_used().await.unwrap();
        assert_eq!(
            f.text(last_used, issued.id).await,
            "2026-11-25 00:00:00.000Z"
        );
    }
}

#[tokio::test]
async fn a_users_keys_move_with_the_user() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let issued = f.key(user).await;
        let mut tx = f.db().begin().await.unwrap();
        let moved = move_to_tenant(&mut tx, user, Some(f.other_tenant))
            .await
            .unwrap();
        assert_eq!(moved, 1);
        let key = f.identity.key(&mut tx, issued.id).await.unwrap().unwrap();
        assert_eq!(key.tenant_id, Some(f.other_tenant));
        assert_eq!(key.user_id, user);
        assert_eq!(key.masked, issued.masked);
    }
}

#[tokio::test]
async fn many_callers_at_once_read_a_forgotten_key_once() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let key = Arc::new(f.key(user).await.key);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (identity, key) = (f.identity.clone(), Arc::clone(&key));
            tasks.spawn(async move { identity.caller_by_key(key.expose()).await.unwrap() });
        }
        let callers = tasks.join_all().await;
        assert!(callers.iter().all(|c| Arc::ptr_eq(c, &callers[0])));
    }
}

#[tokio::test]
async fn billing_keys_are_known_until_revoked_and_one_may_come_from_outside() {
    for f in fixtures().await {
        let mut tx = f.db().begin().await.unwrap();
        let (id, key) = f
            .identity
            .create_billing_key(&mut tx, &NewBillingKey::new("crm"))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert!(key.expose().starts_with("cfb-") && key.expose().len() == 52);
        for _ in 0..2 {
            let found = f.identity.billing_key(key.expose()).await.unwrap().unwrap();
            assert_eq!((found.id, found.name.as_str()), (Some(id), "crm"));
        }
        for wrong in ["", "wrong", "outside-key", &"x".repeat(600)] {
            assert!(f.identity.billing_key(wrong).await.unwrap().is_none());
        }
        // An API key is no billing key, nor the other way round.
        let user = f.user("a@example.com").await;
        let api_key = f.key(user).await.key;
        assert!(
            f.identity
                .billing_key(api_key.expose())
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(f.refused(key.expose()).await, Kind::Unauthorized);

        let mut tx = f.db().begin().await.unwrap();
        f.identity
            .revoke_billing_key(&mut tx, id.as_str())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert!(
            f.identity
                .billing_key(key.expose())
                .await
                .unwrap()
                .is_none()
        );

        for (set, works) in [("outside-key", true), ("", false)] {
            let identity = Identity::new(
                f.db().clone(),
                f.clock.clone(),
                f.random.clone(),
                &f.master,
                &IdentityParams {
                    billing_key: Some(Secret::new(set)),
                    ..IdentityParams::cheap_for_tests()
                },
            );
            let found = identity.billing_key(set).await.unwrap();
            assert_eq!(found.is_some_and(|k| k.id.is_none()), works);
        }
    }
}

#[tokio::test]
async fn a_billing_key_knows_its_scopes_tenant_and_limit_and_goes_with_its_name() {
    for f in fixtures().await {
        let new = NewBillingKey {
            scopes: BillingScopes::parse(["check", "log", "check"]).unwrap(),
            tenant_id: Some(f.tenant),
            requests_per_minute: 7,
            ..NewBillingKey::new("gateway")
        };
        let mut tx = f.db().begin().await.unwrap();
        let (_, secret) = f.identity.create_billing_key(&mut tx, &new).await.unwrap();
        // A name may be given again: scripts that are run twice make a key each.
        f.identity.create_billing_key(&mut tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        let found = f.identity.billing_key(secret.expose()).await.unwrap();
        let found = found.unwrap();
        assert_eq!(found.scopes.words(), ["check", "log"]);
        assert!(found.scopes.allow(BillingScope::Log) && !found.scopes.allow(BillingScope::Read));
        assert_eq!(found.tenant_id, Some(f.tenant));
        assert_eq!(found.requests_per_minute, 7);
        let mut tx = f.db().begin().await.unwrap();
        let gone = f
            .identity
            .revoke_billing_keys_named(&mut tx, "gateway")
            .await;
        assert_eq!(gone.unwrap().len(), 2);
        let twice = f
            .identity
            .revoke_billing_keys_named(&mut tx, "gateway")
            .await;
        assert_eq!(twice.unwrap_err().kind, Kind::NotFound);
        f.identity.create_billing_key(&mut tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        assert!(
            f.identity
                .billing_key(secret.expose())
                .await
                .unwrap()
                .is_none()
        );
        // Revoked keys stay listed.
        let listed = list_billing_keys(f.db(), 10, 0).await.unwrap();
        let active: Vec<bool> = listed.iter().map(|k| k.active).collect();
        assert_eq!(active, [true, false, false]);
        assert_eq!(count_billing_keys(f.db()).await.unwrap(), 3);
    }
    for wrong in [vec![], vec!["write"], vec!["read", ""]] {
        assert!(BillingScopes::parse(wrong).is_err());
    }
}

#[tokio::test]
async fn keys_hashed_under_another_master_key_are_unknown() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let key = f.key(user).await.key;
        let other = Identity::new(
            f.db().clone(),
            Clock::mock(Timestamp::from_millis(0)),
            f.random.clone(),
            &cf_base::MasterKey::new(&f.random),
            &IdentityParams::cheap_for_tests(),
        );
        let error = other.caller_by_key(key.expose()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unauthorized);
    }
}
