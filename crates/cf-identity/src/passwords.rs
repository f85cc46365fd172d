//! Passwords: Argon2id (RFC 9106) with the parameters OWASP asks for, on the
//! blocking pool, a bounded number at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use cf_base::{Error, Kind, Random, Result, Secret};
use tokio::sync::Semaphore;

/// Fewest characters of a password.
pub const MIN_CHARACTERS: usize = 8;
/// Most bytes of a password, as PocketBase has it.
pub const MAX_BYTES: usize = 71;

/// How many checks may wait for a free core; past that callers are sent away.
const WAITING: usize = 64;
/// What a caller who was sent away is told to wait.
const BUSY_RETRY: Duration = Duration::from_secs(2);

/// How costly a guess is made.
#[derive(Clone, Debug)]
pub struct PasswordParams {
    argon2: Params,
    at_once: usize,
    waiting: usize,
}

impl PasswordParams {
    /// What OWASP recommends for Argon2id: 19 MiB, two passes, one lane.
    pub fn recommended() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self::new(19_456, 2, cores.max(2), WAITING)
    }

    /// So cheap that it protects nothing: for tests only.
    pub fn cheap_for_tests() -> Self {
        Self::new(Params::MIN_M_COST, 1, 2, WAITING)
    }

    /// The same with another number of checks at once and waiting.
    #[must_use]
    pub fn with_queue(mut self, at_once: usize, waiting: usize) -> Self {
        self.at_once = at_once.max(1);
        self.waiting = waiting;
        self
    }

    fn new(memory_kib: u32, passes: u32, at_once: usize, waiting: usize) -> Self {
        Self {
            argon2: Params::new(memory_kib, passes, 1, None)
                .expect("the parameters are constants within Argon2's limits"),
            at_once,
            waiting,
        }
    }
}

impl Default for PasswordParams {
    fn default() -> Self {
        Self::recommended()
    }
}

/// A password that may not be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// Fewer than [`MIN_CHARACTERS`] characters.
    #[error("Must be at least {MIN_CHARACTERS} character(s).")]
    TooShort,
    /// More than [`MAX_BYTES`] bytes.
    #[error("Must be less than {MAX_BYTES} character(s).")]
    TooLong,
}

impl PasswordError {
    /// The record API's code for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort => "validation_min_text_constraint",
            Self::TooLong => "validation_max_text_constraint",
        }
    }
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        Self::invalid_field("password", error.to_string())
    }
}

/// Whether `password` may be set.
pub fn check_rules(password: &str) -> Result<(), PasswordError> {
    if password.chars().count() < MIN_CHARACTERS {
        Err(PasswordError::TooShort)
    } else if password.len() > MAX_BYTES {
        Err(PasswordError::TooLong)
    } else {
        Ok(())
    }
}

/// How often passwords were checked; lets a test see that an unknown account
/// costs the same work as a known one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PasswordChecks {
    /// Against the hash of an account.
    pub real: u64,
    /// Against nothing, for the time it takes.
    pub dummy: u64,
}

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    random: Random,
    /// One permit for each check that runs.
    running: Arc<Semaphore>,
    /// One permit for each check that runs or waits.
    places: Arc<Semaphore>,
    real: AtomicU64,
    dummy: AtomicU64,
}

impl Passwords {
    pub fn new(params: &PasswordParams, random: Random) -> Self {
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params.argon2.clone()),
            random,
            running: Arc::new(Semaphore::new(params.at_once)),
            places: Arc::new(Semaphore::new(params.at_once + params.waiting)),
            real: AtomicU64::new(0),
            dummy: AtomicU64::new(0),
        }
    }

    /// The hash to store, as a PHC string.
    pub async fn hash(&self, password: &Secret) -> Result<Secret> {
        let salt = SaltString::encode_b64(&self.random.bytes::<16>())
            .expect("16 bytes are within a salt's limits");
        let password = password.clone();
        self.run(move |argon2| {
            argon2
                .hash_password(password.expose().as_bytes(), &salt)
                .map(|hash| Secret::new(hash.to_string()))
        })
        .await?
        .map_err(|e| Error::internal(e.to_string()))
    }

    /// Whether `password` is the one that `hash` was made of.
    pub async fn verify(&self, hash: &Secret, password: &Secret) -> Result<bool> {
        if PasswordHash::new(hash.expose()).is_err() {
            // An account without a usable hash (none set, or of another
            // program) must not be told from one with a hash by its speed.
            self.verify_nothing(password).await?;
            return Ok(false);
        }
        self.real.fetch_add(1, Ordering::Relaxed);
        let (hash, password) = (hash.clone(), password.clone());
        self.run(move |argon2| {
            PasswordHash::new(hash.expose()).is_ok_and(|hash| {
                argon2
                    .verify_password(password.expose().as_bytes(), &hash)
                    .is_ok()
            })
        })
        .await
    }

    /// The work of a check without an account: timing tells nothing about
    /// which accounts exist.
    pub async fn verify_nothing(&self, password: &Secret) -> Result<()> {
        self.dummy.fetch_add(1, Ordering::Relaxed);
        let password = password.clone();
        self.run(move |argon2| {
            let mut out = [0; 32];
            // What comes out is of no interest, nor is whether it worked.
            let _ = argon2.hash_password_into(
                password.expose().as_bytes(),
                b"no account here!",
                &mut out,
            );
            std::hint::black_box(out);
        })
        .await
    }

    pub fn checks(&self) -> PasswordChecks {
        PasswordChecks {
            real: self.real.load(Ordering::Relaxed),
            dummy: self.dummy.load(Ordering::Relaxed),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Error::new(
                Kind::RateLimited {
                    retry_after: BUSY_RETRY,
                },
                "Too many passwords are being checked at the moment; try again in a few seconds.",
            )
        })?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(Error::internal)?;
        let argon2 = self.argon2.clone();
        tokio::task::spawn_blocking(move || {
            // The permits go along: when the caller hangs up the work still
            // runs, and must still count.
            let _permits = (place, running);
            work(&argon2)
        })
        .await
        .map_err(Error::internal)
    }
}
