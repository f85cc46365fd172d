//! Signing in with a password.

use std::net::IpAddr;
use std::time::Duration;

use cf_base::{Error, Id, Kind, Result, Secret};

use crate::accounts::{self, By};
use crate::{Account, AuthCollection, Identity, Refusal};

/// Longest e-mail address that is looked for.
const MAX_IDENTITY: usize = 254;
/// Longest password that is looked at; none can be set that is longer.
const MAX_PASSWORD: usize = 1024;

/// Why somebody could not sign in.
#[derive(Debug)]
pub enum SignInError {
    /// No such account, or another password: nobody learns which.
    WrongCredentials,
    /// The right password, of somebody who is not let in.
    NotAllowed(Refusal),
    /// Too many failures.
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// It could not be found out (database, or too many at a time).
    Failed(Error),
}

impl From<SignInError> for Error {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::WrongCredentials => Self::invalid("Failed to authenticate."),
            SignInError::NotAllowed(refusal) => refusal.into(),
            SignInError::Throttled { retry_after } => Self::new(
                Kind::RateLimited { retry_after },
                format!(
                    "Too many failed attempts to sign in. Try again in {} seconds.",
                    retry_after.as_secs().max(1)
                ),
            ),
            SignInError::Failed(error) => error,
        }
    }
}

/// What was found out about name and password.
enum Checked {
    Right(Box<Account>),
    Wrong(Id),
    Unknown,
}

impl Identity {
    /// Signs in with e-mail address and password. `address` is the client's,
    /// as far as proxies are trusted. Failures are logged, by the account's id:
    /// what was typed may be a password in the wrong field.
    pub async fn sign_in(
        &self,
        collection: AuthCollection,
        identity: &str,
        password: &Secret,
        address: IpAddr,
    ) -> Result<Account, SignInError> {
        let attempt = self
            .0
            .throttle
            .begin(identity, address, self.0.clock.now())
            .map_err(|retry_after| {
                tracing::info!(%address, reason = "too many failures", "a sign-in failed");
                SignInError::Throttled { retry_after }
            })?;
        match self
            .check_credentials(collection, identity.trim(), password)
            .await
        {
            Err(error) => {
                attempt.undo();
                Err(SignInError::Failed(error))
            }
            Ok(Checked::Unknown) => {
                tracing::info!(%address, reason = "no such account", "a sign-in failed");
                Err(SignInError::WrongCredentials)
            }
            Ok(Checked::Wrong(account)) => {
                tracing::info!(%account, %address, reason = "wrong password", "a sign-in failed");
                Err(SignInError::WrongCredentials)
            }
            Ok(Checked::Right(account)) => {
                attempt.succeed(self.0.clock.now());
                account.access().map_err(|refusal| {
                    let id = account.id;
                    tracing::info!(account = %id, %address, reason = ?refusal, "a sign-in failed");
                    SignInError::NotAllowed(refusal)
                })?;
                Ok(*account)
            }
        }
    }

    async fn check_credentials(
        &self,
        collection: AuthCollection,
        identity: &str,
        password: &Secret,
    ) -> Result<Checked> {
        let passwords = &self.0.passwords;
        if identity.len() > MAX_IDENTITY || password.expose().len() > MAX_PASSWORD {
            passwords.verify_nothing(&Secret::new("")).await?;
            return Ok(Checked::Unknown);
        }
        let loaded = accounts::load(&self.0.db, collection, By::Email(identity)).await?;
        let Some(loaded) = loaded else {
            passwords.verify_nothing(password).await?;
            return Ok(Checked::Unknown);
        };
        let matches = passwords
            .verify(&loaded.account.password_hash, password)
            .await?;
        Ok(if matches {
            Checked::Right(Box::new(loaded.account))
        } else {
            Checked::Wrong(loaded.account.id)
        })
    }
}
