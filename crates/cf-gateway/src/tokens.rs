//! Tokens that stand in for a provider key: fetched when they are needed, kept
//! until shortly before their end, by one call at a time.

use std::time::Duration;

use cf_base::{Clock, Error, Kind, Secret};
use cf_http::HttpClient;
use cf_llm::{Cause, Token, TokenSource, UpstreamFailure};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use parking_lot::Mutex;

/// A token is renewed so long before its end.
const EARLY: Duration = Duration::from_secs(300);
/// How long whoever gives out tokens may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest answer that can be a token.
const ANSWER: usize = 64 << 10;

/// The token of a provider key.
#[derive(Debug, Default)]
pub struct Tokens {
    current: Mutex<Option<Token>>,
    /// Held while one is fetched: the others wait for it instead of fetching too.
    fetching: tokio::sync::Mutex<()>,
}

impl Tokens {
    /// A token that holds for a while.
    pub async fn get(
        &self,
        source: &TokenSource,
        http: &HttpClient,
        clock: &Clock,
    ) -> Result<Secret, UpstreamFailure> {
        if let Some(token) = self.fresh(clock, EARLY) {
            return Ok(token);
        }
        let _fetching = self.fetching.lock().await;
        if let Some(token) = self.fresh(clock, EARLY) {
            return Ok(token);
        }
        match fetch(source, http, clock).await {
            Ok(token) => {
                let secret = token.secret.clone();
                *self.current.lock() = Some(token);
                Ok(secret)
            }
            // The old one may hold for a little longer.
            Err(error) => self.fresh(clock, Duration::ZERO).ok_or(error),
        }
    }

    /// Forgets a token that the provider did not take.
    pub fn forget(&self, refused: &Secret) {
        let mut current = self.current.lock();
        if current
            .as_ref()
            .is_some_and(|token| token.secret.expose() == refused.expose())
        {
            *current = None;
        }
    }

    fn fresh(&self, clock: &Clock, early: Duration) -> Option<Secret> {
        let current = self.current.lock();
        let token = current.as_ref()?;
        (token.expires_at > clock.now().after(early)).then(|| token.secret.clone())
    }
}

async fn fetch(
    source: &TokenSource,
    http: &HttpClient,
    clock: &Clock,
) -> Result<Token, UpstreamFailure> {
    let error = |sentence: &'static str| Error::new(Kind::Upstream { status: 502 }, sentence);
    let at_fault = |sentence| UpstreamFailure::ours(Cause::Record, error(sentence));
    let asked = source.request(clock.now()).map_err(at_fault)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(asked.url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::USER_AGENT, "cloudfreedom")
        .body(Full::new(asked.form))
        .map_err(|_| at_fault("The address where tokens are fetched is not valid."))?;
    let response = http.send(request, PATIENCE).await.map_err(|cause| {
        let sentence = "Nobody could be reached where the provider's tokens are given out.";
        UpstreamFailure::ours(Cause::Failed, error(sentence).because(cause))
    })?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER).collect();
    let body = tokio::time::timeout(PATIENCE, body)
        .await
        .ok()
        .and_then(std::result::Result::ok)
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    // The sentence only: what stands in the answer may repeat a secret.
    let token = status
        .is_success()
        .then(|| Token::read(&body, clock.now()))
        .flatten();
    token.ok_or_else(|| {
        let sentence = "The provider gave no token for the credentials of the provider key. An \
                        administrator must check them.";
        let told = format!("the token endpoint answered with status {status}");
        let cause = match status.is_client_error() {
            true => Cause::Credentials,
            false => Cause::Failed,
        };
        UpstreamFailure {
            status: status.as_u16(),
            ..UpstreamFailure::ours(cause, error(sentence).because(told))
        }
    })
}
