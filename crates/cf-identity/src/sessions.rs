//! Sessions: a token says whose it is, the account's record says whether it
//! (still) holds. Nothing about a session is stored; a change of the record
//! ends it.

use std::sync::Arc;
use std::time::Duration;

use cf_base::{Caller, Error, Id, Kind, Result, UserId};
use quick_cache::sync::Cache;

use crate::accounts::{self, By, Loaded};
use crate::cache::ReadAt;
use crate::tokens::{AUTH, Claims, Purpose, session_duration};
use crate::{Account, AuthCollection, Identity};

/// Users that are kept. Only users that exist, so that made-up tokens cannot
/// push them out.
const KEPT: usize = 50_000;

pub(crate) struct AccountCache(Cache<UserId, (ReadAt, Arc<Kept>)>);

/// A user that is kept, in the form that is handed out.
struct Kept {
    session: Arc<Session>,
    caller: Result<Arc<Caller>, accounts::NoCaller>,
}

impl AccountCache {
    pub fn new() -> Self {
        Self(Cache::new(KEPT))
    }
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub enum Session {
    /// A record of `_superusers`.
    Superuser(Account),
    /// A record of `users`, active, of an active tenant (or none).
    User(Account),
}

impl Session {
    /// Who it is.
    pub fn account(&self) -> &Account {
        match self {
            Self::Superuser(account) | Self::User(account) => account,
        }
    }
}

impl Kept {
    fn new(loaded: Loaded) -> Self {
        Self {
            session: Arc::new(match loaded.account.collection {
                AuthCollection::Superusers => Session::Superuser(loaded.account),
                AuthCollection::Users => Session::User(loaded.account),
            }),
            caller: loaded.caller,
        }
    }
}

impl Identity {
    /// Who is signed in with `token`. `None`: nobody, or nobody who may (still)
    /// be: the token is wrong or has expired, password or address were changed,
    /// the record is gone, the user or tenant is not active. An error only
    /// where the database does not answer, so that an outage signs nobody out.
    pub async fn session(&self, token: &str) -> Result<Option<Arc<Session>>> {
        let found = self.holder(token, AUTH).await?;
        Ok(found
            .filter(|(kept, _)| kept.session.account().access().is_ok())
            .map(|(kept, _)| Arc::clone(&kept.session)))
    }

    /// The caller behind a signed-in user's token (the built-in chat).
    pub async fn caller_by_token(&self, token: &str) -> Result<Arc<Caller>> {
        let (kept, _) = self.holder(token, AUTH).await?.ok_or_else(|| {
            Error::new(
                Kind::Unauthorized,
                "The session has ended or its token is not valid. Sign in again.",
            )
        })?;
        kept.caller.clone().map_err(Error::from)
    }

    /// A session's token.
    pub fn issue_token(&self, account: &Account) -> String {
        self.issue_auth(account, session_duration(account.collection), true)
    }

    /// A token for acting as somebody else; it cannot be refreshed.
    pub fn impersonation_token(&self, account: &Account, duration: Option<Duration>) -> String {
        let duration = duration.unwrap_or_else(|| session_duration(account.collection));
        self.issue_auth(account, duration, false)
    }

    /// Lengthens a session. The old token stays good until it expires; one that
    /// cannot be refreshed is given back as it is. `None` as for [`Self::session`].
    pub async fn refresh(&self, token: &str) -> Result<Option<(String, Arc<Session>)>> {
        let Some((kept, claims)) = self.holder(token, AUTH).await? else {
            return Ok(None);
        };
        let account = kept.session.account();
        if account.access().is_err() {
            return Ok(None);
        }
        let token = if claims.refreshable == Some(true) {
            self.issue_token(account)
        } else {
            token.to_owned()
        };
        Ok(Some((token, Arc::clone(&kept.session))))
    }

    /// A token for a link in a mail, or for reading files. `new_email` is for
    /// [`Purpose::EmailChange`].
    pub fn purpose_token(
        &self,
        account: &Account,
        purpose: Purpose,
        new_email: Option<&str>,
    ) -> String {
        let with_email = purpose != Purpose::File;
        self.sign(
            account,
            purpose.duration(),
            Claims {
                kind: purpose.as_str().to_owned(),
                email: with_email.then(|| account.email.clone()),
                new_email: new_email.map(str::to_owned),
                ..self.claims(account)
            },
        )
    }

    /// Whose token for `purpose` this is, and the new address that it names.
    /// `None` also if the account's address has changed since. The account may
    /// have any status.
    pub async fn account_by_purpose_token(
        &self,
        token: &str,
        purpose: Purpose,
    ) -> Result<Option<(Account, Option<String>)>> {
        let Some((kept, claims)) = self.holder(token, purpose.as_str()).await? else {
            return Ok(None);
        };
        let account = kept.session.account();
        let same_email = purpose == Purpose::File
            || claims
                .email
                .is_some_and(|email| email.eq_ignore_ascii_case(&account.email));
        Ok(same_email.then(|| (account.clone(), claims.new_email)))
    }

    fn issue_auth(&self, account: &Account, duration: Duration, refreshable: bool) -> String {
        let claims = Claims {
            refreshable: Some(refreshable),
            ..self.claims(account)
        };
        self.sign(account, duration, claims)
    }

    fn claims(&self, account: &Account) -> Claims {
        Claims {
            kind: AUTH.to_owned(),
            id: account.id.to_string(),
            collection_id: account.collection.id().to_owned(),
            email: None,
            new_email: None,
            exp: 0,
            refreshable: None,
        }
    }

    fn sign(&self, account: &Account, duration: Duration, mut claims: Claims) -> String {
        claims.exp = self.0.clock.now().after(duration).as_millis() / 1000;
        self.0.tokens.sign(&claims, &account.token_key)
    }

    /// The account that a token of this kind belongs to, if the token holds.
    async fn holder(&self, token: &str, kind: &str) -> Result<Option<(Arc<Kept>, Claims)>> {
        let now = self.0.clock.now();
        let Some(unverified) = self.0.tokens.read(token) else {
            return Ok(None);
        };
        // Whatever fails without the database is not worth asking it.
        let claims = &unverified.claims;
        let (Ok(id), Some(collection), true, true) = (
            Id::parse(&claims.id),
            AuthCollection::by_id(&claims.collection_id),
            claims.kind == kind,
            now < claims.expires(),
        ) else {
            return Ok(None);
        };
        let Some(kept) = self.kept_account(collection, id).await? else {
            return Ok(None);
        };
        let token_key = &kept.session.account().token_key;
        Ok(self
            .0
            .tokens
            .verify(&unverified, token_key, now)
            .then_some((kept, unverified.claims)))
    }

    async fn kept_account(&self, collection: AuthCollection, id: Id) -> Result<Option<Arc<Kept>>> {
        let inner = &*self.0;
        if collection == AuthCollection::Superusers {
            // They are few and may do everything: always as they are now.
            let loaded = accounts::load(&inner.db, collection, By::Id(id)).await?;
            return Ok(loaded.map(Kept::new).map(Arc::new));
        }
        let kept = || {
            let (read, kept) = inner.accounts.0.get(&UserId(id))?;
            inner
                .generation
                .is_fresh(read, inner.clock.now())
                .then_some(kept)
        };
        if let Some(kept) = kept() {
            return Ok(Some(kept));
        }
        let _turn = inner.loading.turn(id.as_str().as_bytes()[0]).await;
        if let Some(kept) = kept() {
            return Ok(Some(kept));
        }
        let read = inner.generation.read_at(inner.clock.now());
        let Some(loaded) = accounts::load(&inner.db, collection, By::Id(id)).await? else {
            return Ok(None);
        };
        let kept = Arc::new(Kept::new(loaded));
        inner
            .accounts
            .0
            .insert(UserId(id), (read, Arc::clone(&kept)));
        Ok(Some(kept))
    }
}
