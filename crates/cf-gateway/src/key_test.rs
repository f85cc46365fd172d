//! Whether a provider key works: the smallest real call with it, which nobody's
//! budget pays.

use std::time::Duration;

use bytes::Bytes;
use cf_base::{Error, Kind, ProviderKeyId, Result};
use cf_llm::{ChatRequest, Dialect, Opening, OutputPlan, Provider, Reply, UpstreamFailure, Wishes};
use http::HeaderMap;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::Instant;

use crate::Gateway;
use crate::attempt::Attempt;
use crate::entry::Entry;

/// What is asked.
const QUESTION: &[u8] =
    br#"{"model":"test","messages":[{"role":"user","content":"Answer with OK."}],"max_tokens":16}"#;
/// How much may come of it.
const OUTPUT: u64 = 16;
/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const ANSWER: usize = 1 << 20;

/// What became of a test.
#[derive(Debug)]
pub struct KeyTest {
    /// Whether the provider answered.
    pub ok: bool,
    /// What is wrong, in a sentence without the secret; empty where nothing is.
    pub message: String,
    /// The provider's name of the model that was asked.
    pub model: String,
    /// The provider's status; 0 where there was no answer.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
}

impl Gateway {
    /// Makes the smallest real call with a key, to `model` or to the first model
    /// that is deployed with it. A key that works is not set aside any more; one
    /// that the provider refuses is.
    pub async fn test_key(&self, id: ProviderKeyId, model: Option<&str>) -> Result<KeyTest> {
        let inner = &*self.0;
        let found = inner
            .catalogue
            .deployment_to_test(
                (&inner.db, &inner.sealer, &inner.ledger, &inner.clock),
                id,
                model,
            )
            .await?;
        let deployment = match found {
            Ok(deployment) => deployment,
            Err(sentence) => {
                return Ok(KeyTest {
                    ok: false,
                    message: sentence.to_owned(),
                    model: model.unwrap_or_default().to_owned(),
                    status: 0,
                    took: Duration::ZERO,
                });
            }
        };
        let started = Instant::now();
        let mut entry = Entry::anyway(&deployment);
        let result = if deployment.key.provider == Provider::Demo {
            Ok(())
        } else {
            self.ask(&deployment).await
        };
        let took = started.elapsed();
        let now = inner.clock.now();
        let (message, status) = match &result {
            Ok(()) => {
                entry.answered(false, took, now, &inner.key_news);
                entry.finished();
                // Another process may have found it refused.
                entry.tell_that_it_works(&inner.key_news);
                (String::new(), 200)
            }
            Err(failure) if failure.taken => {
                entry.broke_off(now);
                (failure.error.message.to_string(), failure.status)
            }
            Err(failure) => {
                entry.refused(failure, now, &inner.key_news);
                let provider = deployment.key.provider.label();
                let message = match failure.error.kind {
                    // The provider's own words, about our own question.
                    Kind::Invalid { .. } => {
                        format!("{provider} refused the request: {}", failure.error.message)
                    }
                    _ => failure.error.message.to_string(),
                };
                (message, failure.status)
            }
        };
        Ok(KeyTest {
            ok: result.is_ok(),
            message,
            model: deployment.model.clone(),
            status,
            took,
        })
    }

    async fn ask(&self, deployment: &crate::models::Deployment) -> Result<(), UpstreamFailure> {
        let inner = &*self.0;
        let ours = |error| UpstreamFailure::ours(cf_llm::Cause::Failed, error);
        let upstream = |status, sentence| ours(Error::new(Kind::Upstream { status }, sentence));
        let question = Bytes::from_static(QUESTION);
        let request = ChatRequest::read_as(Dialect::OpenAi, &question).map_err(ours)?;
        let plan = OutputPlan {
            tokens: OUTPUT,
            tell: true,
        };
        let attempt = Attempt::new(&request, deployment, plan, &Wishes::default())?;
        let route = attempt.route;
        let response = attempt
            .send(&inner.http, &inner.clock, deployment, PATIENCE)
            .await?;
        let body = Limited::new(response.into_body(), ANSWER).collect();
        let body = match tokio::time::timeout(PATIENCE, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return Err(upstream(502, "The provider's answer broke off.")),
            Err(_) => return Err(upstream(504, "The provider did not finish its answer.")),
        };
        match route.reply(body, &Opening::default()) {
            (Reply::Completion(..), _) => Ok(()),
            (Reply::Failed, body) => {
                let secret = deployment.key.shown_secret();
                let none = HeaderMap::new();
                Err(route.failure(500, &none, &body, secret, inner.clock.now()))
            }
            (Reply::Unreadable, _) => Err(upstream(
                502,
                "Something answered that is no chat completion. Check the address (base_url).",
            )),
        }
    }
}
