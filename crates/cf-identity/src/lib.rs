//! Who is calling: accounts and their passwords, sessions, API keys, keys of
//! the Billing API, the set-up token, sign-in throttling and the audit trail.
//!
//! Knows the database and nothing else: no HTTP, no rules of the record API, no
//! budgets. [`Identity`] is the way in.

mod accounts;
mod api_keys;
mod audit;
mod billing_keys;
mod books;
mod cache;
mod callers;
mod identity;
mod last_used;
mod passwords;
mod sessions;
mod setup;
mod sign_in;
mod throttle;
mod tokens;

pub use accounts::{
    Account, AuthCollection, Refusal, SUPERUSERS_COLLECTION_ID, USERS_COLLECTION_ID,
};
pub use api_keys::{ApiKey, Issued, MAX_GRACE, NewKey, move_to_tenant};
pub use audit::{Actor, AuditEntry};
pub use billing_keys::{
    BILLING_REQUESTS_PER_MINUTE, BillingKey, BillingScope, BillingScopes, ListedBillingKey,
    MAX_BILLING_REQUESTS_PER_MINUTE, NewBillingKey, count_billing_keys, list_billing_keys,
};
pub use identity::{Identity, IdentityParams};
pub use passwords::{
    MAX_BYTES as MAX_PASSWORD_BYTES, MIN_CHARACTERS as MIN_PASSWORD_CHARACTERS, PasswordChecks,
    PasswordError, PasswordParams, check_rules as check_password_rules,
};
pub use sessions::Session;
pub use setup::{SetupToken, admin_exists, admin_exists_in};
pub use sign_in::SignInError;
pub use tokens::{Purpose, session_duration};
