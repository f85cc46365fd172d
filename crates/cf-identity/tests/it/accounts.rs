use cf_base::{Random, Role};
use cf_identity::{
    AuthCollection, PasswordError, SetupToken, admin_exists, admin_exists_in, check_password_rules,
};

use crate::fixture::fixtures;

#[tokio::test]
async fn accounts_are_found_by_id_and_address_with_their_tenant() {
    for f in fixtures().await {
        let user = f.user("Ada@example.com").await;
        let find = |email: &'static str| f.identity.account_by_email(AuthCollection::Users, email);
        let account = find("aDA@example.com").await.unwrap().unwrap();
        assert_eq!(account.id, user.0);
        assert_eq!(account.user_id(), Some(user));
        assert_eq!(account.tenant_id, Some(f.tenant));
        assert_eq!(account.role, Role::User);
        assert!(find("ada@example.org").await.unwrap().is_none());
        assert!(find("%").await.unwrap().is_none());
        // Neither password nor token key can get into a log.
        let printed = format!("{account:?}");
        assert!(!printed.contains("argon2"));
        assert!(!printed.contains(account.token_key.expose()));

        let id = f.superuser("root@example.com").await;
        let root = f.identity.account(AuthCollection::Superusers, id).await;
        let root = root.unwrap().unwrap();
        assert_eq!(root.role, Role::Admin);
        assert_eq!(root.user_id(), None);
        let none = f.identity.account(AuthCollection::Users, id).await;
        assert!(none.unwrap().is_none(), "ids count within a collection");
    }
}

#[test]
fn collections_are_found_by_name_and_id() {
    for (text, found) in [
        ("users", Some(AuthCollection::Users)),
        ("pbc_1736455494", Some(AuthCollection::Users)),
        ("_superusers", Some(AuthCollection::Superusers)),
        ("pbc_3142635823", Some(AuthCollection::Superusers)),
        ("tenants", None),
    ] {
        assert_eq!(AuthCollection::find(text), found);
    }
}

#[test]
fn passwords_have_eight_characters_and_at_most_seventy_one_bytes() {
    assert_eq!(
        check_password_rules("1234567"),
        Err(PasswordError::TooShort)
    );
    assert_eq!(check_password_rules("12345678"), Ok(()));
    assert_eq!(check_password_rules("größeren"), Ok(()));
    assert_eq!(check_password_rules(&"x".repeat(71)), Ok(()));
    let error = check_password_rules(&"x".repeat(72)).unwrap_err();
    assert_eq!(error.code(), "validation_max_text_constraint");
    assert_eq!(error.to_string(), "Must be less than 71 character(s).");
    assert!(check_password_rules(&"ß".repeat(36)).is_err());
}

#[tokio::test]
async fn there_is_an_admin_once_there_is_a_superuser_or_a_user_with_the_role() {
    for f in fixtures().await {
        let user = f.user("a@example.com").await;
        f.set("users", user, "role", "tenant_admin").await;
        assert!(!admin_exists(f.db()).await.unwrap());
        f.set("users", user, "role", "admin").await;
        assert!(admin_exists(f.db()).await.unwrap());
        f.set("users", user, "role", "user").await;
        let mut tx = f.db().begin().await.unwrap();
        assert!(!admin_exists_in(&mut tx).await.unwrap());
        drop(tx);
        f.superuser("root@example.com").await;
        assert!(admin_exists(f.db()).await.unwrap());
    }
}

#[test]
fn the_set_up_token_is_redeemed_once() {
    let (token, text) = SetupToken::new(&Random::seeded(5));
    assert!(!token.redeem("wrong") && !token.is_valid(""));
    assert!(token.is_valid(text.expose()), "looking does not use it up");
    assert!(token.redeem(text.expose()));
    assert!(!token.redeem(text.expose()) && !token.is_valid(text.expose()));
}
