//! Where a deployment is: which dialect is spoken there, and at which address.

use cf_base::{Error, Kind};
use serde::Deserialize;

use crate::Provider;
use crate::bedrock::sigv4::encode;
use crate::dialect::{Carrier, Dialect, Route};
use crate::wire::responses::reasons;

/// What a provider key says beside address, region and secret. What is not known
/// is left alone: other versions may know it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Azure: a dated version (`2024-10-21`) selects the form with deployments in
    /// the path; without one it is the v1 form.
    pub api_version: String,
    /// Vertex AI: the project, where the service account's own is not meant.
    pub project: String,
    /// Bedrock: `invoke` calls Claude with InvokeModel instead of Converse. A
    /// compatible server: `responses` says that it speaks Responses too.
    pub api: String,
    /// A compatible server: `chat` says that it has no legacy completions.
    pub completions: String,
    /// Anthropic: the version that is sent where the client names none.
    pub anthropic_version: String,
    /// Anthropic: betas that are sent with every call, comma-separated.
    pub anthropic_beta: String,
    /// Where it works, where neither region nor address say so.
    pub works_in: String,
    /// Entra ID: the address of the authority, for other clouds.
    pub authority: String,
    /// Entra ID: the scope of the token.
    pub scope: String,
}

/// A model at a provider.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Who it is.
    pub provider: Provider,
    /// The provider's name of the model.
    pub model: &'a str,
    /// Address of the provider; empty for its own.
    pub base_url: &'a str,
    /// Region, where the provider has them.
    pub region: &'a str,
    /// Everything else.
    pub settings: &'a Settings,
    /// The project of the credentials, where they name one.
    pub project: &'a str,
    /// Whether the credentials are a key alone (Vertex AI's express mode).
    pub has_plain_key: bool,
}

/// Why a deployment cannot be called: something is missing on the provider key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Missing {
    /// No address.
    #[error("no address (base_url)")]
    BaseUrl,
    /// No region.
    #[error("no region")]
    Region,
    /// No project.
    #[error("no project (settings.project)")]
    Project,
}

impl Place<'_> {
    /// The way from a client's dialect to this place.
    pub fn route(&self, client: Dialect) -> Route {
        let is_claude = self.model.contains("claude");
        let (upstream, carrier) = match self.provider {
            Provider::Anthropic => (Dialect::Anthropic, Carrier::Direct),
            // Claude on AI Foundry; a deployment of another name is OpenAI's.
            Provider::Azure if self.model.starts_with("claude") => {
                (Dialect::Anthropic, Carrier::Direct)
            }
            Provider::Gemini => (Dialect::Gemini, Carrier::Direct),
            Provider::Vertex if is_claude => (Dialect::Anthropic, Carrier::Vertex),
            // `meta/llama-4`, `openai/gpt-oss`: Vertex AI's OpenAI layer.
            Provider::Vertex if self.model.contains('/') => (Dialect::OpenAi, Carrier::Direct),
            Provider::Vertex => (Dialect::Gemini, Carrier::Direct),
            // Anthropic's own clients lose nothing this way.
            Provider::Bedrock
                if is_claude && (client == Dialect::Anthropic || self.settings.api == "invoke") =>
            {
                (Dialect::Anthropic, Carrier::Invoke)
            }
            Provider::Bedrock => (Dialect::Converse, Carrier::Direct),
            Provider::OpenAi
            | Provider::Azure
            | Provider::Mistral
            | Provider::OpenAiCompatible
            | Provider::Demo => (self.openais(client), Carrier::Direct),
        };
        Route {
            provider: self.provider,
            client,
            upstream,
            carrier,
        }
    }

    /// Which of OpenAI's dialects is spoken with a server that has its API.
    fn openais(&self, client: Dialect) -> Dialect {
        let speaks = match (client, self.provider) {
            (Dialect::Responses, Provider::OpenAi) => true,
            (Dialect::Responses, Provider::Azure) => self.is_azure_v1(),
            (Dialect::Responses, Provider::OpenAiCompatible) => self.settings.api == "responses",
            (Dialect::Completions, Provider::OpenAi | Provider::Azure) => {
                !self.base_url.trim_end_matches('/').ends_with("/models")
                    && is_completion_model(self.model)
            }
            (Dialect::Completions, Provider::OpenAiCompatible) => {
                self.settings.completions != "chat"
                    && !NO_COMPLETIONS
                        .iter()
                        .any(|host| self.base_url.contains(host))
            }
            _ => false,
        };
        if speaks { client } else { Dialect::OpenAi }
    }

    /// Whether `max_tokens` is refused here, and `max_completion_tokens` taken only:
    /// OpenAI's thinking models do so. At Azure the name is a deployment's and may tell
    /// nothing; what is not known for an older model is taken for one of them. AI
    /// Foundry's own form (`/models`) names models of many makers as they are.
    pub(crate) fn refuses_max_tokens(&self) -> bool {
        const OLDER: [&str; 3] = ["gpt-3", "gpt-35", "gpt-4"];
        match self.provider {
            Provider::OpenAi => reasons(self.model),
            Provider::Azure if self.base_url.trim_end_matches('/').ends_with("/models") => {
                reasons(self.model)
            }
            Provider::Azure => !OLDER.iter().any(|older| self.model.contains(older)),
            _ => false,
        }
    }

    /// Azure's form without dated versions.
    fn is_azure_v1(&self) -> bool {
        matches!(&*self.settings.api_version, "" | "v1")
            && !self.base_url.trim_end_matches('/').ends_with("/models")
    }

    /// The full address of a call.
    pub(crate) fn url(&self, route: Route, stream: bool) -> Result<String, Missing> {
        let own = self.base_url.trim_end_matches('/');
        let base = if own.is_empty() {
            self.provider.default_base_url()
        } else {
            own
        };
        let need = |base: &str| {
            if base.is_empty() {
                Err(Missing::BaseUrl)
            } else {
                Ok(())
            }
        };
        Ok(match (self.provider, route.upstream) {
            // Built in: nobody is called.
            (Provider::Demo, _) => String::new(),
            (Provider::Azure, Dialect::Anthropic) => {
                need(base)?;
                let base = base
                    .trim_end_matches("/openai/v1")
                    .trim_end_matches("/anthropic");
                format!("{base}/anthropic/v1/messages")
            }
            (Provider::Azure, _) => {
                need(base)?;
                self.azure(base, endpoint(route.upstream))
            }
            (Provider::Anthropic, _) => {
                let base = base.trim_end_matches("/v1");
                format!("{base}/v1/messages")
            }
            (Provider::Gemini, _) => {
                let versioned = base.ends_with("/v1beta") || base.ends_with("/v1");
                let version = if versioned { "" } else { "/v1beta" };
                let model = self.model.trim_start_matches("models/");
                format!(
                    "{base}{version}/models/{}:{}",
                    encode(model),
                    generate(stream)
                )
            }
            (Provider::Vertex, _) => self.vertex(own, route, stream)?,
            (Provider::Bedrock, dialect) => {
                let base = match (own, self.region) {
                    ("", "") => return Err(Missing::Region),
                    ("", region) => format!("https://bedrock-runtime.{region}.amazonaws.com"),
                    (own, _) => own.to_owned(),
                };
                let verb = match (dialect, stream) {
                    (Dialect::Anthropic, false) => "invoke",
                    (Dialect::Anthropic, true) => "invoke-with-response-stream",
                    (_, false) => "converse",
                    (_, true) => "converse-stream",
                };
                format!("{base}/model/{}/{verb}", encode(self.model))
            }
            _ => {
                need(base)?;
                format!("{base}/{}", endpoint(route.upstream))
            }
        })
    }

    /// The region that a signature names: the key's, else the one in the address.
    pub(crate) fn aws_region(&self) -> &str {
        if !self.region.is_empty() {
            return self.region;
        }
        let host = self.base_url.split_once("://").map_or("", |(_, rest)| rest);
        let mut labels = host.split(['.', '/']);
        labels
            .next()
            .filter(|first| first.starts_with("bedrock"))
            .and(labels.next())
            .unwrap_or("us-east-1")
    }

    /// The address of an endpoint as OpenAI has it, at a provider that has it too.
    pub(crate) fn openai_url(&self, path: &str) -> cf_base::Result<String> {
        let own = self.base_url.trim_end_matches('/');
        let base = match own {
            "" => self.provider.default_base_url(),
            own => own,
        };
        match self.provider {
            Provider::Demo => Ok(String::new()),
            _ if base.is_empty() => Err(self.lacks(Missing::BaseUrl)),
            Provider::Azure => Ok(self.azure(base, path)),
            _ => Ok(format!("{base}/{path}")),
        }
    }

    /// The address of what a model does at Google or on Bedrock.
    pub(crate) fn model_url(&self, verb: &str) -> cf_base::Result<String> {
        // The address of a chat but for its last word.
        let route = Route {
            provider: self.provider,
            client: Dialect::OpenAi,
            upstream: match self.provider {
                Provider::Bedrock => Dialect::Converse,
                _ => Dialect::Gemini,
            },
            carrier: Carrier::Direct,
        };
        let url = self.url(route, false).map_err(|what| self.lacks(what))?;
        let end = match self.provider {
            Provider::Bedrock => url.rfind('/').map(|at| at + 1),
            _ => url.rfind(':').map(|at| at + 1),
        };
        Ok(format!("{}{verb}", &url[..end.unwrap_or(url.len())]))
    }

    /// Something is missing on the provider key.
    pub(crate) fn lacks(&self, missing: Missing) -> Error {
        Error::new(
            Kind::Upstream { status: 502 },
            format!(
                "The provider key for {} has {missing}. An administrator must set it.",
                self.provider.label()
            ),
        )
    }

    fn azure(&self, base: &str, path: &str) -> String {
        let version = &*self.settings.api_version;
        if base.ends_with("/models") {
            let version = if version.is_empty() {
                "2024-05-01-preview"
            } else {
                version
            };
            return format!("{base}/{path}?api-version={}", encode(version));
        }
        if version.is_empty() || version == "v1" {
            // The resource's address may be given with or without the path.
            return if base.ends_with("/openai") {
                format!("{base}/v1/{path}")
            } else if base.ends_with("/v1") {
                format!("{base}/{path}")
            } else {
                format!("{base}/openai/v1/{path}")
            };
        }
        let base = base.trim_end_matches("/v1").trim_end_matches("/openai");
        format!(
            "{base}/openai/deployments/{}/{path}?api-version={}",
            encode(self.model),
            encode(version)
        )
    }

    fn vertex(&self, own: &str, route: Route, stream: bool) -> Result<String, Missing> {
        let region = self.region;
        let express = self.has_plain_key;
        let base = if !own.is_empty() {
            let versioned = own.ends_with("/v1") || own.ends_with("/v1beta1");
            format!("{own}{}", if versioned { "" } else { "/v1" })
        } else {
            let host = match region {
                _ if express => "aiplatform.googleapis.com".to_owned(),
                "" => return Err(Missing::Region),
                "global" => "aiplatform.googleapis.com".to_owned(),
                "us" | "eu" => format!("aiplatform.{region}.rep.googleapis.com"),
                region => format!("{region}-aiplatform.googleapis.com"),
            };
            format!("https://{host}/v1")
        };
        let model = self.model.rsplit("models/").next().unwrap_or(self.model);
        if express && route.upstream == Dialect::Gemini {
            let verb = generate(stream);
            return Ok(format!(
                "{base}/publishers/google/models/{}:{verb}",
                encode(model)
            ));
        }
        let project = match &*self.settings.project {
            "" => self.project,
            project => project,
        };
        if project.is_empty() {
            return Err(Missing::Project);
        }
        let region = if region.is_empty() { "global" } else { region };
        let parent = format!(
            "{base}/projects/{}/locations/{}",
            encode(project),
            encode(region)
        );
        Ok(match route.upstream {
            Dialect::OpenAi => format!("{parent}/endpoints/openapi/chat/completions"),
            Dialect::Anthropic => {
                let verb = if stream {
                    "streamRawPredict"
                } else {
                    "rawPredict"
                };
                // The `@` of a dated model stands as it is.
                let model = encode(model).replace("%40", "@");
                format!("{parent}/publishers/anthropic/models/{model}:{verb}")
            }
            _ => {
                let verb = generate(stream);
                format!("{parent}/publishers/google/models/{}:{verb}", encode(model))
            }
        })
    }
}

/// Vendors with OpenAI's API that have chats only.
const NO_COMPLETIONS: [&str; 5] = [
    "groq.com",
    "api.deepseek.com",
    "perplexity.ai",
    "cohere.",
    "sambanova.ai",
];

/// OpenAI's models that have legacy completions; its chat models refuse them.
fn is_completion_model(model: &str) -> bool {
    let bases = ["davinci", "babbage"];
    model.contains("instruct") || bases.iter().any(|base| model.starts_with(base))
}

/// Where OpenAI's API has a dialect.
fn endpoint(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Responses => "responses",
        Dialect::Completions => "completions",
        _ => "chat/completions",
    }
}

/// Without `alt=sse` a stream is one JSON list.
fn generate(stream: bool) -> &'static str {
    if stream {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    }
}

#[cfg(test)]
mod tests;
