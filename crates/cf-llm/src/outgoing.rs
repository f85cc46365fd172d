//! A client's request, made into the provider's.

use bytes::Bytes;
use cf_base::{Error, Kind, Result, Secret, Timestamp};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::anthropic::claude::Claude;
use crate::bedrock::sigv4::{Signed, sign};
use crate::conversation::{Conversation, Dropping};
use crate::credentials::Credentials;
use crate::dialect::{Carrier, Dialect, Route};
use crate::place::Place;
use crate::wire::chat::ChatRequest;
use crate::wire::edits::json_text;
use crate::{Provider, anthropic, bedrock, completions, gemini, openai, responses};

/// The version of Messages that is sent where nobody names another.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// The version that takes no sampling settings.
const STRICT_VERSION: &str = "2026-10-21";

/// What the client asked for in headers.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// What the provider cannot do is to be left out.
    pub drop_params: bool,
    /// Anthropic's version, which its clients name.
    pub anthropic_version: Option<String>,
    /// Anthropic's betas.
    pub anthropic_beta: Option<String>,
}

impl Wishes {
    /// Reads a client's headers.
    pub fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?.trim();
            (!value.is_empty() && value.len() <= 1024).then(|| value.to_owned())
        };
        Self {
            drop_params: text("x-cf-drop-params").is_some_and(|t| t.eq_ignore_ascii_case("true")),
            anthropic_version: text("anthropic-version"),
            anthropic_beta: text("anthropic-beta"),
        }
    }
}

/// How much output a call may have.
#[derive(Clone, Copy, Debug)]
pub struct OutputPlan {
    /// Tokens for each answer.
    pub tokens: u64,
    /// Whether the provider must be told, because it would not stop there itself.
    pub tell: bool,
}

/// A request for a provider: a POST of JSON.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Full address.
    pub url: String,
    /// Headers but for the credentials.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How the answer is to be read.
    pub route: Route,
    /// Fields that were left out, as the client asked.
    pub dropped: Vec<String>,
    region: String,
}

impl Outgoing {
    /// A request that is no chat.
    pub(crate) fn plain(
        url: String,
        headers: HeaderMap,
        body: Bytes,
        route: Route,
        dropped: &[String],
        place: &Place<'_>,
    ) -> Self {
        Self {
            url,
            headers,
            body,
            route,
            dropped: dropped.to_vec(),
            region: place.aws_region().to_owned(),
        }
    }

    /// Adds what shows that we may call: a header, a token that was fetched, or a
    /// signature, which holds for a few minutes from `now`.
    pub fn authorize(
        &mut self,
        credentials: &Credentials,
        token: Option<&Secret>,
        now: Timestamp,
    ) -> Result<()> {
        match (credentials, token) {
            (Credentials::None, _) => Ok(()),
            (
                Credentials::Header {
                    name,
                    prefix,
                    secret,
                },
                _,
            ) => {
                // Claude on AI Foundry knows the key under Anthropic's name.
                if *name == "api-key" && self.route.upstream == Dialect::Anthropic {
                    let name = HeaderName::from_static("x-api-key");
                    self.secret_header(name, secret.expose())?;
                }
                self.secret_header(name.clone(), &format!("{prefix}{}", secret.expose()))
            }
            (Credentials::Token(_), Some(token)) => {
                self.secret_header(header::AUTHORIZATION, &format!("Bearer {}", token.expose()))
            }
            (Credentials::Token(_), None) => Err(unusable()),
            (Credentials::Aws(key), _) => {
                let url: http::Uri = self.url.parse().map_err(|_| unusable())?;
                let host = url.authority().map_or("", |a| a.as_str()).to_owned();
                let signed = Signed {
                    host: &host,
                    path: url.path(),
                    body: &self.body,
                    region: &self.region,
                    service: "bedrock",
                };
                let signature = sign(key, &signed, now);
                self.secret_header(header::AUTHORIZATION, &signature.authorization)?;
                let date = HeaderName::from_static("x-amz-date");
                self.secret_header(date, &signature.amz_date)?;
                if let Some(token) = &key.session_token {
                    let name = HeaderName::from_static("x-amz-security-token");
                    self.secret_header(name, token.expose())?;
                }
                Ok(())
            }
        }
    }

    fn secret_header(&mut self, name: HeaderName, value: &str) -> Result<()> {
        let mut value = HeaderValue::from_str(value).map_err(|_| unusable())?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }
}

fn unusable() -> Error {
    Error::new(
        Kind::Upstream { status: 502 },
        "The secret of the provider key cannot be used as it is. An administrator must check it.",
    )
}

impl ChatRequest<'_> {
    /// The request for a provider.
    pub fn outgoing(
        &self,
        place: &Place<'_>,
        plan: OutputPlan,
        wishes: &Wishes,
    ) -> Result<Outgoing> {
        let route = place.route(self.dialect);
        let url = (place.url(route, self.stream)).map_err(|missing| place.lacks(missing))?;
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::USER_AGENT, HeaderValue::from_static("cloudfreedom"));
        let accept = match (self.stream, route.decoder_is_aws()) {
            (false, _) => "application/json",
            (true, false) => "text/event-stream",
            (true, true) => "application/vnd.amazon.eventstream",
        };
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        if route.upstream == Dialect::Anthropic {
            self.anthropic_headers(place, route, wishes, &mut headers)?;
        }
        let mut dropping = Dropping::new(
            wishes.drop_params || self.drop_params,
            place.provider.label(),
        );
        let body = if route.is_same_dialect() {
            self.same_dialect(place, route, plan, wishes)
        } else {
            self.translated(place, route, plan, &mut headers, &mut dropping)?
        };
        Ok(Outgoing {
            url,
            headers,
            body,
            route,
            dropped: dropping.into_dropped(),
            region: place.aws_region().to_owned(),
        })
    }

    fn same_dialect(
        &self,
        place: &Place<'_>,
        route: Route,
        plan: OutputPlan,
        wishes: &Wishes,
    ) -> Bytes {
        let told = plan.tell.then_some(plan.tokens);
        if route.upstream == Dialect::Responses {
            return self.responses_body(place.model, told);
        }
        if route.upstream == Dialect::Completions {
            return self.completions_body(place.model, plan.tokens, place.provider);
        }
        if route.upstream != Dialect::Anthropic {
            let asks_for_usage = place.provider != Provider::Azure
                || azure_takes_stream_options(&place.settings.api_version);
            return self.openai_body(place.model, told, place.provider, asks_for_usage);
        }
        let version = body_version(place, route);
        let mut fields: Vec<(&str, String)> = Vec::new();
        if let Some(version) = version {
            fields.push(("anthropic_version", json_text(version)));
        }
        let betas = betas(place, wishes);
        if route.carrier == Carrier::Invoke && !betas.is_empty() {
            let list: Vec<String> = betas.iter().map(|beta| json_text(beta)).collect();
            fields.push(("anthropic_beta", format!("[{}]", list.join(","))));
        }
        let mut left_out = vec!["drop_params"];
        if route.carrier != Carrier::Direct {
            left_out.push("model");
        }
        if route.carrier == Carrier::Invoke {
            left_out.push("stream");
        }
        self.messages_body(place.model, told, &left_out, fields)
    }

    fn translated(
        &self,
        place: &Place<'_>,
        route: Route,
        plan: OutputPlan,
        headers: &mut HeaderMap,
        dropping: &mut Dropping,
    ) -> Result<Bytes> {
        let mut conversation = self.conversation()?;
        if route.upstream == Dialect::Anthropic || place.model.contains("claude") {
            Claude::of(place.model).restrict(&mut conversation, dropping)?;
        }
        let json = match route.upstream {
            Dialect::Anthropic => {
                let bound = anthropic::request::Bound {
                    model: place.model,
                    carrier: route.carrier,
                    version: body_version(place, route),
                    max_tokens: plan.tokens,
                };
                anthropic::request::write(&conversation, &bound, dropping)?
            }
            Dialect::Gemini => {
                let is_vertex = place.provider == Provider::Vertex;
                if let Some(tier @ ("flex" | "priority")) = conversation.service_tier.as_deref()
                    && is_vertex
                    && let Ok(value) = HeaderValue::from_str(tier)
                {
                    headers.insert("x-vertex-ai-llm-shared-request-type", value);
                }
                let bound = gemini::request::Bound {
                    model: place.model,
                    max_tokens: plan.tokens,
                    is_vertex,
                };
                gemini::request::write(&conversation, bound, dropping)?
            }
            Dialect::Converse => {
                bedrock::request::write(&conversation, place.model, plan.tokens, dropping)?
            }
            // The last two are spoken to those who speak them.
            Dialect::OpenAi | Dialect::Responses | Dialect::Completions => openai::request::write(
                &conversation,
                place.model,
                place.provider.output_limit(),
                plan.tokens,
                place.provider.takes_stream_options(),
                dropping,
            )?,
        };
        Ok(json.to_bytes())
    }

    /// The request in no dialect.
    fn conversation(&self) -> Result<Conversation<'_>> {
        match self.dialect {
            Dialect::Anthropic => anthropic::conversation::read(self.fields()),
            Dialect::Responses => responses::conversation::read(self.fields()),
            Dialect::Completions => completions::read(self.fields()),
            _ => openai::conversation::read(self.fields()),
        }
    }

    fn anthropic_headers(
        &self,
        place: &Place<'_>,
        route: Route,
        wishes: &Wishes,
        headers: &mut HeaderMap,
    ) -> Result<()> {
        if route.carrier == Carrier::Direct {
            let set = &*place.settings.anthropic_version;
            let version = match &wishes.anthropic_version {
                Some(version) if self.dialect == Dialect::Anthropic => version,
                _ if !set.is_empty() => set,
                _ => ANTHROPIC_VERSION,
            };
            let value = HeaderValue::from_str(version).map_err(|_| {
                Error::invalid_field("anthropic-version", "anthropic-version is a date.")
            })?;
            headers.insert("anthropic-version", value);
        }
        let betas = betas(place, wishes);
        if route.carrier != Carrier::Invoke
            && !betas.is_empty()
            && let Ok(value) = HeaderValue::from_str(&betas.join(","))
        {
            headers.insert("anthropic-beta", value);
        }
        Ok(())
    }

    /// Where the version of Messages that the client names does not reach the
    /// provider, its rules are kept here.
    pub fn check_version(&self, route: &Route, wishes: &Wishes) -> Result<()> {
        let named = wishes.anthropic_version.as_deref();
        let passes = route.upstream == Dialect::Anthropic && route.carrier == Carrier::Direct;
        if self.dialect != Dialect::Anthropic || named != Some(STRICT_VERSION) || passes {
            return Ok(());
        }
        for field in ["temperature", "top_p", "top_k"] {
            if self.fields().iter().any(|(name, _)| name == field) {
                return Err(Error::invalid_field(
                    field,
                    format!("{field}: Extra inputs are not permitted"),
                ));
            }
        }
        Ok(())
    }
}

impl Route {
    fn decoder_is_aws(&self) -> bool {
        self.upstream == Dialect::Converse || self.carrier == Carrier::Invoke
    }
}

/// The version that stands in the body.
fn body_version<'a>(place: &Place<'a>, route: Route) -> Option<&'a str> {
    let usual = match route.carrier {
        Carrier::Direct => return None,
        Carrier::Vertex => "vertex-2023-10-16",
        Carrier::Invoke => "bedrock-2023-05-31",
    };
    Some(match &*place.settings.anthropic_version {
        "" => usual,
        set => set,
    })
}

fn betas(place: &Place<'_>, wishes: &Wishes) -> Vec<String> {
    let set = place.settings.anthropic_beta.split(',');
    let asked = wishes
        .anthropic_beta
        .iter()
        .flat_map(|list| list.split(','));
    let mut betas: Vec<String> = Vec::new();
    for beta in set.chain(asked).map(str::trim) {
        if !beta.is_empty() && !betas.iter().any(|known| known == beta) {
            betas.push(beta.to_owned());
        }
    }
    betas
}

/// Dated versions before this one refuse the field.
fn azure_takes_stream_options(version: &str) -> bool {
    version.is_empty() || version == "v1" || version >= "2024-09"
}
