//! How many tokens a request of Anthropic's clients is: asked of the provider where
//! it counts for nothing, else estimated.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cf_base::{Error, Result};
use serde::Deserialize;

use super::fields::Body;
use super::{Answer, Call, Reading, Told, json_body};
use crate::count::Count;
use crate::dialect::{Carrier, Dialect};
use crate::json::{Json, object};
use crate::place::Place;
use crate::wire::edits::{json_text, without};
use crate::{ChatRequest, OutputPlan, Provider, Wishes};

/// Groups of regions that Bedrock's profiles begin with; tokens are counted by the
/// model itself.
const PROFILES: [&str; 7] = ["us.", "eu.", "apac.", "au.", "jp.", "us-gov.", "global."];

/// A request whose tokens are to be counted.
#[derive(Debug)]
pub(super) struct CountTokens {
    estimate: u64,
}

impl CountTokens {
    pub fn read(body: &Body<'_>) -> Result<Self> {
        let body = as_chat(body);
        let chat = ChatRequest::read_as(Dialect::Anthropic, &body)?;
        Ok(Self {
            estimate: chat.estimated_prompt_tokens(),
        })
    }

    /// Whether the provider counts.
    pub fn counts(place: &Place<'_>) -> bool {
        let route = place.route(Dialect::Anthropic);
        let has_name = !place.model.starts_with("arn:");
        route.upstream == Dialect::Anthropic && (place.provider != Provider::Bedrock || has_name)
    }

    pub fn calls(
        &self,
        body: &Body<'_>,
        place: &Place<'_>,
        wishes: &Wishes,
    ) -> Result<(Vec<Call>, Reading)> {
        let model = PROFILES
            .iter()
            .find_map(|profile| place.model.strip_prefix(profile))
            .filter(|_| place.provider == Provider::Bedrock)
            .unwrap_or(place.model);
        let place = &Place { model, ..*place };
        let route = place.route(Dialect::Anthropic);
        let chat = as_chat(body);
        let chat = ChatRequest::read_as(Dialect::Anthropic, &chat)?;
        let plan = OutputPlan {
            tokens: 1,
            tell: false,
        };
        let outgoing = chat.outgoing(place, plan, wishes)?;
        chat.check_version(&outgoing.route, wishes)?;
        let unlimited =
            |added: &[(&str, String)]| without(&outgoing.body, &["max_tokens", "stream"], added);
        let (url, json) = match route.carrier {
            Carrier::Direct => (format!("{}/count_tokens", outgoing.url), unlimited(&[])),
            Carrier::Vertex => {
                let (parent, _) = outgoing
                    .url
                    .rsplit_once("/models/")
                    .ok_or_else(|| Error::internal("an address without a model"))?;
                let url = format!("{parent}/models/count-tokens:rawPredict");
                (url, unlimited(&[("model", json_text(place.model))]))
            }
            Carrier::Invoke => {
                let invoke = object! {"body": STANDARD.encode(&outgoing.body)};
                let json = object! {"input": object! {"invokeModel": invoke}};
                (
                    place.model_url("count-tokens")?,
                    Json::from(json).to_bytes(),
                )
            }
        };
        let call = Call {
            url,
            headers: outgoing.headers,
            body: json,
        };
        Ok((vec![call], Reading::Tokens))
    }

    /// The provider's count, in Anthropic's shape.
    pub fn reply(answer: &Answer<'_>) -> Option<Told> {
        #[derive(Deserialize)]
        struct Counted {
            #[serde(alias = "inputTokens")]
            input_tokens: Count,
        }
        let counted: Counted = json_body(answer.body)?;
        let tokens = counted.input_tokens.0?;
        let passes = answer.body.starts_with(b"{\"input_tokens\"");
        let body = if passes {
            answer.body.clone()
        } else {
            told(tokens)
        };
        Some(Told::json(body))
    }

    /// Our own estimate.
    pub fn estimated(&self) -> Told {
        Told::json(told(self.estimate))
    }
}

fn told(tokens: u64) -> Bytes {
    let mut body = String::from("{\"input_tokens\":");
    let _ = write!(body, "{tokens}}}");
    Bytes::from(body)
}

/// The same request as one that could be answered: these need a limit.
fn as_chat(body: &Body<'_>) -> Bytes {
    match body.raw("max_tokens") {
        Some(_) => body.with(&[]),
        None => body.with(&[("max_tokens", "1".into())]),
    }
}
