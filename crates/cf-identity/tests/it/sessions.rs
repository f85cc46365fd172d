use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cf_base::{Kind, MasterKey, Secret};
use cf_identity::{AuthCollection, Identity, IdentityParams, Purpose, Session, SignInError};

use crate::fixture::{Fixture, fixtures};

async fn user_of(f: &Fixture, token: &str) -> Option<cf_base::Id> {
    let session = f.identity.session(token).await.unwrap()?;
    Some(session.account().id)
}

fn payload(token: &str) -> serde_json::Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn tokens_look_as_clients_of_pocketbase_expect() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let token = f.identity.issue_token(&f.account(user).await);
        let parts: Vec<&str> = token.split('.').collect();
        let header = String::from_utf8(BASE64.decode(parts[0]).unwrap()).unwrap();
        assert_eq!(header, r#"{"alg":"HS256","kid":"1","typ":"JWT"}"#);
        let now = f.clock.now().as_millis() / 1000;
        let text = String::from_utf8(BASE64.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"type":"auth","id":"{user}","collectionId":"pbc_1736455494","exp":{},"refreshable":true}}"#,
                now + 432_000
            )
        );
        let id = f.superuser("root@example.com").await;
        let account = f.identity.account(AuthCollection::Superusers, id).await;
        let token = f.identity.issue_token(&account.unwrap().unwrap());
        assert_eq!(payload(&token)["exp"], now + 86_400);
        assert_eq!(payload(&token)["collectionId"], "pbc_3142635823");
        let session = f.identity.session(&token).await.unwrap().unwrap();
        assert!(matches!(&*session, Session::Superuser(a) if a.id == id));
        // A superuser has no budget to call the router with.
        let error = f.identity.caller_by_token(&token).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden);
    }
}

#[tokio::test]
async fn a_session_is_a_caller_without_a_key() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let token = f.identity.issue_token(&f.account(user).await);
        let caller = f.identity.caller_by_token(&token).await.unwrap();
        assert_eq!((caller.user_id, caller.key_id), (user, None));
        assert_eq!(caller.product_models, ["small", "large"]);
        for (table, status, kind) in [
            ("users", "pending", Kind::UserPending),
            ("users", "suspended", Kind::UserSuspended),
            ("tenants", "suspended", Kind::TenantSuspended),
            ("tenants", "archived", Kind::TenantSuspended),
        ] {
            let id = if table == "users" { user.0 } else { f.tenant.0 };
            f.set(table, id, "status", status).await;
            let error = f.identity.caller_by_token(&token).await.unwrap_err();
            assert_eq!(error.kind, kind);
            assert_eq!(user_of(&f, &token).await, None, "{table} {status}");
            assert!(f.identity.refresh(&token).await.unwrap().is_none());
            f.set(table, id, "status", "active").await;
            assert_eq!(user_of(&f, &token).await, Some(user.0));
        }
        // Without a tenant one may sign in and see, but not spend.
        f.set("users", user, "tenant_id", "").await;
        assert_eq!(user_of(&f, &token).await, Some(user.0));
        let error = f.identity.caller_by_token(&token).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden);
        let error = f.identity.caller_by_token("nonsense").await.unwrap_err();
        assert_eq!(error.kind, Kind::Unauthorized);
    }
}

#[tokio::test]
async fn a_new_token_key_and_deletion_end_all_sessions() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let token = f.identity.issue_token(&f.account(user).await);
        assert_eq!(user_of(&f, &token).await, Some(user.0));
        f.set("users", user, "token_key", &f.identity.new_token_key())
            .await;
        assert_eq!(user_of(&f, &token).await, None);
        let token = f.identity.issue_token(&f.account(user).await);
        assert_eq!(user_of(&f, &token).await, Some(user.0));
        let mut tx = f.db().begin().await.unwrap();
        tx.execute("delete from users where id = $1", vec![user.into()])
            .await
            .unwrap();
        f.identity.note_change(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(user_of(&f, &token).await, None);

        // Superusers are not kept in memory: a change is felt without a word.
        let id = f.superuser("root@example.com").await;
        let account = f.identity.account(AuthCollection::Superusers, id).await;
        let token = f.identity.issue_token(&account.unwrap().unwrap());
        assert_eq!(user_of(&f, &token).await, Some(id));
        f.db()
            .execute("update superusers set token_key = 'other'", vec![])
            .await
            .unwrap();
        assert_eq!(user_of(&f, &token).await, None);
    }
}

#[tokio::test]
async fn tokens_expire_and_are_refreshed() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let token = f.identity.issue_token(&f.account(user).await);
        f.advance(432_000 - 1);
        let (new, session) = f.identity.refresh(&token).await.unwrap().unwrap();
        assert_eq!(session.account().id, user.0);
        assert_eq!(user_of(&f, &token).await, Some(user.0), "stays good");
        f.advance(1);
        assert_eq!(user_of(&f, &token).await, None);
        assert!(f.identity.refresh(&token).await.unwrap().is_none());
        assert_eq!(user_of(&f, &new).await, Some(user.0));

        let hour = Some(Duration::from_secs(3600));
        let token = f.identity.impersonation_token(&f.account(user).await, hour);
        assert_eq!(payload(&token)["refreshable"], false);
        let (same, _) = f.identity.refresh(&token).await.unwrap().unwrap();
        assert_eq!(same, token);
        f.advance(3600);
        assert_eq!(user_of(&f, &token).await, None);
    }
}

#[tokio::test]
async fn changed_and_forged_tokens_are_nobodys() {
    for f in fixtures().await {
        let alice = f.user("alice@example.com").await;
        let bob = f.user("bob@example.com").await;
        let root = f.superuser("root@example.com").await;
        f.set("users", bob, "tenant_id", f.other_tenant.as_str())
            .await;
        let token = f.identity.issue_token(&f.account(alice).await);
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            panic!("three parts")
        };
        let text = String::from_utf8(BASE64.decode(claims).unwrap()).unwrap();
        let as_bob = BASE64.encode(text.replace(alice.as_str(), bob.as_str()));
        let as_root = BASE64.encode(
            text.replace(alice.as_str(), root.as_str())
                .replace("pbc_1736455494", "pbc_3142635823"),
        );
        let longer = BASE64.encode(text.replace("\"exp\":1", "\"exp\":2"));
        let none = BASE64.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let hs512 = BASE64.encode(r#"{"alg":"HS512","kid":"1","typ":"JWT"}"#);
        let other_kid = BASE64.encode(r#"{"alg":"HS256","kid":"2","typ":"JWT"}"#);
        let mut flipped = signature.to_owned();
        flipped.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
        for (what, forged) in [
            ("another's id", format!("{header}.{as_bob}.{signature}")),
            ("a superuser", format!("{header}.{as_root}.{signature}")),
            ("a later expiry", format!("{header}.{longer}.{signature}")),
            ("alg none", format!("{none}.{claims}.")),
            ("alg none, signed", format!("{none}.{claims}.{signature}")),
            ("another alg", format!("{hs512}.{claims}.{signature}")),
            ("another key", format!("{other_kid}.{claims}.{signature}")),
            ("no signature", format!("{header}.{claims}.")),
            (
                "half a signature",
                format!("{header}.{claims}.{}", &signature[..22]),
            ),
            ("changed signature", format!("{header}.{claims}.{flipped}")),
            ("no payload", format!("{header}..{signature}")),
            ("two parts", format!("{header}.{claims}")),
            ("four parts", format!("{token}.{signature}")),
            ("padding", format!("{token}=")),
            ("nothing", String::new()),
            ("dots", "..".to_owned()),
            ("far too long", format!("{token}{}", "A".repeat(5000))),
        ] {
            assert_eq!(user_of(&f, &forged).await, None, "{what}");
        }
        // Who reads the database, and with it the token key, cannot sign.
        let token_key = f
            .text("select token_key from users where id = $1", alice)
            .await;
        let key = hmac::Key::new(hmac::HMAC_SHA256, token_key.as_bytes());
        let signed = format!("{header}.{claims}");
        let own = hmac::sign(&key, signed.as_bytes());
        let forged = format!("{signed}.{}", BASE64.encode(own));
        assert_eq!(user_of(&f, &forged).await, None);
        // Nor can another installation.
        let other = Identity::new(
            f.db().clone(),
            f.clock.clone(),
            f.random.clone(),
            &MasterKey::new(&f.random),
            &IdentityParams::cheap_for_tests(),
        );
        assert!(other.session(&token).await.unwrap().is_none());
        assert_eq!(user_of(&f, &token).await, Some(alice.0), "the real one");
    }
}

#[tokio::test]
async fn tokens_for_mail_links_are_no_sessions_and_the_other_way_round() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let account = f.account(user).await;
        let all = [
            (Purpose::PasswordReset, 1800),
            (Purpose::Verification, 86_400),
            (Purpose::EmailChange, 1800),
            (Purpose::File, 180),
        ];
        let session = f.identity.issue_token(&account);
        for (purpose, _) in all {
            let token = f.identity.purpose_token(&account, purpose, None);
            assert_eq!(user_of(&f, &token).await, None, "{purpose:?}");
            for (other, _) in all {
                let found = f.identity.account_by_purpose_token(&token, other).await;
                assert_eq!(found.unwrap().is_some(), other == purpose);
            }
            let found = f.identity.account_by_purpose_token(&session, purpose).await;
            assert!(found.unwrap().is_none());
        }
        let token =
            f.identity
                .purpose_token(&account, Purpose::EmailChange, Some("new@example.com"));
        let (found, new) = f
            .identity
            .account_by_purpose_token(&token, Purpose::EmailChange)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.id, user.0);
        assert_eq!(new.as_deref(), Some("new@example.com"));
        // A token for an address that was given up is void.
        f.set("users", user, "email", "else@example.com").await;
        let found = f
            .identity
            .account_by_purpose_token(&token, Purpose::EmailChange)
            .await;
        assert!(found.unwrap().is_none());
        f.set("users", user, "email", "a@example.com").await;
        for (purpose, seconds) in all {
            let token = f.identity.purpose_token(&account, purpose, None);
            f.advance(seconds);
            let found = f.identity.account_by_purpose_token(&token, purpose).await;
            assert!(found.unwrap().is_none(), "{purpose:?} has expired");
        }
    }
}

#[tokio::test]
async fn a_password_is_proven_again_by_somebody_signed_in() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let account = f.account(user).await;
        for (password, right) in [(crate::fixture::PASSWORD, true), ("wrong", false)] {
            let matches = f
                .identity
                .prove_password(&account, &Secret::new(password))
                .await;
            assert_eq!(matches.unwrap(), right);
        }
    }
}

#[tokio::test]
async fn guesses_of_somebody_signed_in_are_slowed_down_as_at_a_sign_in() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let account = f.account(user).await;
        let prove = |password: &'static str| {
            let (identity, account) = (&f.identity, &account);
            async move {
                identity
                    .prove_password(account, &Secret::new(password))
                    .await
            }
        };
        for _ in 0..5 {
            assert!(!prove("wrong").await.unwrap());
        }
        for wait in [1, 2, 4] {
            // Not even the right one is looked at.
            let error = prove(crate::fixture::PASSWORD).await.unwrap_err();
            let retry_after = std::time::Duration::from_secs(wait);
            assert_eq!(error.kind, Kind::RateLimited { retry_after });
            f.advance(wait);
            assert!(!prove("wrong").await.unwrap());
        }
        f.advance(8);
        assert!(prove(crate::fixture::PASSWORD).await.unwrap());
        assert!(!prove("wrong").await.unwrap(), "slips before are forgiven");
        // Another account, and signing in, are not slowed down by it.
        f.sign_in("a@example.com", crate::fixture::PASSWORD, "192.0.2.1")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_signs_nobody_out() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        let key = f.key(user).await.key;
        let token = f.identity.issue_token(&f.account(user).await);
        f.db()
            .execute("alter table users rename to away", vec![])
            .await
            .unwrap();
        // An error, not "nobody is signed in" and not "no such key".
        let error = f.identity.session(&token).await.unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
        assert_eq!(f.refused(key.expose()).await, Kind::Internal);
        let error = f.sign_in("a@example.com", "wrong", "192.0.2.1").await;
        assert!(matches!(error, Err(SignInError::Failed(_))));
        f.db()
            .execute("alter table away rename to users", vec![])
            .await
            .unwrap();
        assert!(f.identity.session(&token).await.unwrap().is_some());
        f.identity.caller_by_key(key.expose()).await.unwrap();
    }
}
