//! Signing in with a password.

use std::net::IpAddr;
use std::time::Duration;

use cf_base::{Error, Kind, Result, Secret};

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

impl Identity {
    /// Signs in with e-mail address and password. `address` is the client's,
    /// as far as proxies are trusted.
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
            .map_err(|retry_after| SignInError::Throttled { retry_after })?;
        match self.check_credentials(collection, identity.trim(), password).await {
            Err(error) => {
                attempt.undo();
                Err(SignInError::Failed(error))
            }
            Ok(None) => Err(SignInError::WrongCredentials),
            Ok(Some(account)) => {
                attempt.succeed(self.0.clock.now());
                account.access().map_err(SignInError::NotAllowed)?;
                Ok(account)
            }
        }
    }

    async fn check_credentials(
        &self,
        collection: AuthCollection,
        identity: &str,
        password: &Secret,
    ) -> Result<Option<Account>> {
        let passwords = &self.0.passwords;
        if identity.len() > MAX_IDENTITY || password.expose().len() > MAX_PASSWORD {
            passwords.verify_nothing(&Secret::new("")).await?;
            return Ok(None);
        }
        let loaded = accounts::load(&self.0.db, collection, By::Email(identity)).await?;
        let Some(loaded) = loaded else {
            passwords.verify_nothing(password).await?;
            return Ok(None);
        };
        let matches = passwords
            .verify(&loaded.account.password_hash, password)
            .await?;
        Ok(matches.then_some(loaded.account))
    }
}
