//! Providers' errors, for the client and for the decision whether another
//! deployment may be tried.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Error, Kind, Timestamp};
use http::HeaderMap;
use serde_json::{Value, json};

use super::wait;
use crate::Provider;

/// Longest text of a provider that is passed on.
const MAX_MESSAGE: usize = 2000;
/// When to come back if a provider at its limit does not say.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What is wrong, as far as it decides where the call goes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The request cannot be understood or carried out.
    Request,
    /// It is longer than what the model reads.
    TooLong,
    /// A filter does not let it through.
    Filtered,
    /// The provider does not take our credentials.
    Credentials,
    /// It does not let us have this model.
    Access,
    /// Our account there is out of credit.
    OutOfCredit,
    /// It does not know the model.
    UnknownModel,
    /// It is at its limit.
    Limited,
    /// It failed, cannot be reached, or answers too late.
    Failed,
    /// The record of the deployment or its key is at fault.
    Record,
}

impl Cause {
    /// The word for it in the usage log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::TooLong => "context_length",
            Self::Filtered => "content_filter",
            Self::Credentials => "credentials",
            Self::Access => "access",
            Self::OutOfCredit => "out_of_credit",
            Self::UnknownModel => "unknown_model",
            Self::Limited => "rate_limit",
            Self::Failed => "failed",
            Self::Record => "record",
        }
    }
}

/// A provider's refusal.
#[derive(Debug)]
pub struct UpstreamFailure {
    /// For the client.
    pub error: Error,
    /// Whether another deployment may do better.
    pub retryable: bool,
    /// Whether the provider may be at work on the call, and charge for it.
    pub taken: bool,
    /// The provider's word for what is wrong with the request.
    pub code: Option<String>,
    /// What is wrong.
    pub cause: Cause,
    /// The provider's status, or what it should have been; 0 where there was no
    /// answer.
    pub status: u16,
    /// How long the provider asks to be left alone.
    pub wait: Option<Duration>,
}

impl UpstreamFailure {
    /// A failure before anything was answered; another deployment may do better.
    pub fn ours(cause: Cause, error: Error) -> Self {
        Self {
            error,
            retryable: true,
            taken: false,
            code: None,
            cause,
            status: 0,
            wait: None,
        }
    }

    /// Whether it is our credentials that the provider does not take.
    pub fn is_unauthorized(&self) -> bool {
        self.cause == Cause::Credentials
    }

    /// Where it is the request that is at fault: the answer in OpenAI's shape,
    /// with the provider's own `param` and `code`, which clients act on.
    pub fn refusal(&self) -> Option<Bytes> {
        let Kind::Invalid { field } = &self.error.kind else {
            return None;
        };
        let body = json!({"error": {
            "message": self.error.message, "type": "invalid_request_error",
            "param": field, "code": self.code,
        }});
        Some(Bytes::from(body.to_string()))
    }
}

/// Reads a provider's error. Its own text is kept where it speaks of the
/// client's request; where it speaks of our credentials it is not the client's.
/// Every occurrence of `secret` is taken out: some quote the key they were sent.
pub fn parse_failure(
    provider: Provider,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    secret: &str,
    now: Timestamp,
) -> UpstreamFailure {
    let mut said = Said::read(body, secret);
    said.read_headers(headers);
    let status = said.true_status(status);
    let retry_after = wait::told(headers, body, now, status == 429);
    let provider = provider.label();
    let appended = if said.message.is_empty() {
        String::new()
    } else {
        format!(" It said: {}", said.message)
    };
    let upstream = |status, text: String| Error::new(Kind::Upstream { status }, text);
    let mut code = None;
    let mut cause = Cause::Failed;
    let (error, retryable) = match status {
        400 | 422 => {
            code = said.code();
            cause = said.request_cause(code.as_deref());
            let text = if said.message.is_empty() {
                format!("The provider {provider} refused the request.")
            } else {
                said.message
            };
            let field = said.param.map(Cow::Owned);
            (Error::new(Kind::Invalid { field }, text), false)
        }
        413 => {
            let text = format!("The request is too large for the provider {provider}.{appended}");
            cause = Cause::TooLong;
            (Error::new(Kind::TooLarge, text), false)
        }
        // What the request refers to is not there, or not for us: no fault of the
        // deployment, which others must not lose for it.
        403 | 404 if said.is_about_what_is_referred_to() => {
            cause = Cause::Request;
            code = said.code();
            let field = said.param.map(Cow::Owned);
            (Error::new(Kind::Invalid { field }, said.message), true)
        }
        401 | 403 => {
            cause = match status {
                401 => Cause::Credentials,
                _ => Cause::Access,
            };
            let text = format!(
                "The provider {provider} refused our credentials or access to the model. An \
                 administrator must check the provider key."
            );
            (upstream(502, text), true)
        }
        404 => {
            cause = Cause::UnknownModel;
            let text = format!(
                "The provider {provider} does not know the model of this deployment. An \
                 administrator must check the model record.{appended}"
            );
            (upstream(502, text), true)
        }
        408 | 504 => {
            let text = format!("The provider {provider} did not answer in time.{appended}");
            (upstream(504, text), true)
        }
        402 | 429 if status == 402 || said.is_out_of_credit() => {
            cause = Cause::OutOfCredit;
            let text = format!(
                "Our account at the provider {provider} is out of credit. An administrator must \
                 check it."
            );
            (upstream(503, text), true)
        }
        429 if said.is_daily_quota => {
            cause = Cause::Limited;
            let text = format!("Our quota of the day at the provider {provider} is used up.");
            (upstream(503, text), true)
        }
        // No waiting makes the request smaller, but another account may take it.
        429 if said.message.starts_with("Request too large") => {
            cause = Cause::TooLong;
            let text = format!("The request is too large for the provider {provider}.{appended}");
            (Error::new(Kind::TooLarge, text), true)
        }
        429 => {
            cause = Cause::Limited;
            let retry_after = retry_after.unwrap_or(RETRY_AFTER);
            let text = format!("The provider {provider} is at its rate limit.{appended}");
            (Error::new(Kind::RateLimited { retry_after }, text), true)
        }
        // 498 and 529 are Groq's and Anthropic's words for overloaded.
        498 | 503 | 529 => {
            let text = format!("The provider {provider} is overloaded.{appended}");
            (upstream(503, text), true)
        }
        // 424 is Bedrock's word for a model that failed.
        424 | 500..=599 => {
            let text = format!("The provider {provider} failed (status {status}).{appended}");
            (upstream(502, text), true)
        }
        _ => {
            let text = format!("The provider {provider} answered with status {status}.{appended}");
            (upstream(502, text), false)
        }
    };
    UpstreamFailure {
        error,
        retryable,
        taken: false,
        code,
        cause,
        status,
        wait: retry_after,
    }
}

/// What a provider said, without our secret.
struct Said {
    message: String,
    param: Option<String>,
    code: String,
    kind: String,
    /// Google: the quota is one of a day, so that waiting is of no use.
    is_daily_quota: bool,
    /// Google: it is our key that is refused, whatever the status.
    is_bad_key: bool,
}

impl Said {
    fn read(body: &[u8], secret: &str) -> Self {
        // An HTML page of some proxy is of no use to the client: it reads as nothing.
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        // Gemini's compatible layer puts the error into a list.
        let body = body.get(0).unwrap_or(&body);
        let error = match &body["error"] {
            Value::Object(_) => &body["error"],
            _ => body,
        };
        let message = match (&error["message"], &body["error"], &body["detail"]) {
            (Value::String(text), _, _) => text.clone(),
            (_, Value::String(text), _) => text.clone(),
            // Mistral's list of the fields that it does not know.
            (list @ (Value::Object(_) | Value::Array(_)), _, _) => list.to_string(),
            (_, _, Value::Null) => String::new(),
            (_, _, Value::String(text)) => text.clone(),
            (_, _, other) => other.to_string(),
        };
        let text = |name: &str| {
            let value = error[name].as_str().unwrap_or_default();
            clean(value, secret, 200)
        };
        let details = error["details"].as_array().map_or(&[][..], |list| list);
        let is_daily_quota = details
            .iter()
            .filter_map(|detail| detail["violations"].as_array())
            .flatten()
            .filter_map(|violation| violation["quotaId"].as_str())
            .any(|quota| quota.contains("PerDay"));
        let is_bad_key = details
            .iter()
            .filter_map(|detail| detail["reason"].as_str())
            .any(|reason| reason.starts_with("API_KEY_") || reason == "ACCESS_TOKEN_EXPIRED");
        // Anthropic's word for why money is out.
        let spent = error["details"]["error_code"].as_str().unwrap_or_default();
        let mut code = text("code");
        if code.is_empty() {
            code = clean(spent, secret, 200);
        }
        Self {
            message: clean(&message, secret, MAX_MESSAGE),
            param: Some(text("param")).filter(|p| !p.is_empty()),
            code,
            kind: text("type"),
            is_daily_quota,
            is_bad_key,
        }
    }

    /// Bedrock tells the type in a header only.
    fn read_headers(&mut self, headers: &HeaderMap) {
        let told = headers
            .get("x-amzn-errortype")
            .and_then(|v| v.to_str().ok());
        if let Some(kind) = told.and_then(|v| v.split(':').next())
            && self.kind.is_empty()
        {
            self.kind = kind.chars().take(200).collect();
        }
    }

    /// The status that others would have given.
    fn true_status(&self, status: u16) -> u16 {
        match (status, &*self.kind) {
            (400, _) if self.is_bad_key => 401,
            (400, "ServiceQuotaExceededException") => 429,
            (429, "ModelNotReadyException") => 503,
            (400, "ModelStreamErrorException") => 424,
            _ => status,
        }
    }

    /// Whether it speaks of a file or the like that the client named, and not of the
    /// model.
    fn is_about_what_is_referred_to(&self) -> bool {
        const NAMED: [&str; 6] = [
            "file",
            "previous response",
            "response with id",
            "item with id",
            "conversation with id",
            "vector store",
        ];
        let message = self.message.to_ascii_lowercase();
        NAMED.iter().any(|word| message.contains(word)) && !message.contains("model")
    }

    /// What is wrong with a request.
    fn request_cause(&self, code: Option<&str>) -> Cause {
        const FILTERED: [&str; 2] = ["content filtering policy", "content management policy"];
        match code {
            Some("context_length_exceeded") => Cause::TooLong,
            Some("content_filter" | "content_policy_violation") => Cause::Filtered,
            _ if FILTERED.iter().any(|text| self.message.contains(text)) => Cause::Filtered,
            _ => Cause::Request,
        }
    }

    /// OpenAI's code where the text says the same in other words.
    fn code(&self) -> Option<String> {
        const TOO_LONG: [&str; 7] = [
            "maximum context length is",
            "exceeds the context window",
            "exceeded max context length",
            "prompt is too long",
            "exceeds the maximum number of tokens allowed",
            "Input is too long",
            "Input Tokens Exceeded",
        ];
        if TOO_LONG.iter().any(|text| self.message.contains(text)) {
            return Some("context_length_exceeded".into());
        }
        // Azure gives the status once more, as a text.
        let is_word = !self.code.bytes().all(|b| b.is_ascii_digit());
        is_word.then(|| self.code.clone()).filter(|c| !c.is_empty())
    }

    /// Whether waiting is of no use: the account has no money left.
    fn is_out_of_credit(&self) -> bool {
        self.kind == "insufficient_quota"
            || [
                "insufficient_quota",
                "credit_balance_exhausted",
                "spend_limit",
            ]
            .iter()
            .any(|word| self.code.contains(word))
    }
}

fn clean(text: &str, secret: &str, most: usize) -> String {
    let text = if secret.len() >= 8 {
        Cow::Owned(text.replace(secret, "•••"))
    } else {
        Cow::Borrowed(text)
    };
    text.chars().take(most).collect()
}

/// What a provider said inside a stream, and its word for it.
pub(crate) fn said(data: &[u8], secret: &str) -> (String, String) {
    let said = Said::read(data, secret);
    let message = if said.message.is_empty() {
        "The provider failed while it answered.".to_owned()
    } else {
        said.message
    };
    (message, said.kind)
}

/// An error inside a stream that has begun, as OpenAI's clients expect it.
pub fn stream_error_frame(message: &str, code: &str) -> Bytes {
    let body =
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": code}});
    Bytes::from(format!("data: {body}\n\n"))
}

/// A provider's own error inside a stream, in OpenAI's shape and without our secret.
pub fn stream_failure_frame(data: &[u8], secret: &str) -> Bytes {
    let (message, code) = said_with_code(data, secret);
    stream_error_frame(&message, &code)
}

/// What a provider said inside a stream, and a code for programs.
pub(crate) fn said_with_code(data: &[u8], secret: &str) -> (String, String) {
    let (message, kind) = said(data, secret);
    // Anthropic and Bedrock have a type and no code.
    let kind = Some(kind).filter(|k| k.ends_with("_error") || k.ends_with("Exception"));
    let code = Said::read(data, secret).code().or(kind);
    (message, code.unwrap_or_else(|| "upstream_error".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sk-secret-123456";

    fn parse(status: u16, retry_after: Option<&str>, body: &[u8]) -> UpstreamFailure {
        let mut headers = HeaderMap::new();
        if let Some(wait) = retry_after {
            headers.insert("retry-after", wait.parse().expect("a header"));
        }
        let now = Timestamp::from_millis(0);
        parse_failure(Provider::OpenAi, status, &headers, body, SECRET, now)
    }

    #[test]
    fn a_providers_refusal_of_our_key_is_not_the_clients() {
        let body = br#"{"error":{"message":"Incorrect API key provided: sk-secret-123456"}}"#;
        let failure = parse(401, None, body);
        assert_eq!(failure.error.kind, Kind::Upstream { status: 502 });
        assert!(!failure.error.message.contains("sk-secret"));
        assert!(failure.refusal().is_none());
    }

    #[test]
    fn a_refused_request_is_told_in_the_providers_words_without_our_secret() {
        let body =
            br#"{"error":{"message":"bad sk-secret-123456","param":"temperature","code":"x"}}"#;
        let failure = parse(400, None, body);
        assert!(!failure.retryable);
        let refusal = failure.refusal().expect("the request is at fault");
        let refusal: Value = serde_json::from_slice(&refusal).expect("JSON");
        assert_eq!(
            refusal,
            json!({"error": {"message": "bad •••", "type": "invalid_request_error",
                "param": "temperature", "code": "x"}})
        );
    }

    #[test]
    fn what_mistral_lists_as_wrong_is_told() {
        let body = br#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"]}]},
            "type":"invalid_request_error","param":null,"code":null}"#;
        let failure = parse(422, None, body);
        let refusal = failure.refusal().expect("the request is at fault");
        let refusal: Value = serde_json::from_slice(&refusal).expect("JSON");
        let message = refusal["error"]["message"].as_str().expect("a text");
        assert!(message.contains("extra_forbidden"), "{message}");
    }

    #[test]
    fn each_status_has_an_answer() {
        let quota =
            br#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let limited = |seconds| Kind::RateLimited {
            retry_after: Duration::from_secs(seconds),
        };
        let upstream = |status| Kind::Upstream { status };
        let wait = Some("7");
        let page: &[u8] = b"<html>oops</html>";
        for (status, wait, body, kind, retryable) in [
            (403, None, page, upstream(502), true),
            (404, None, page, upstream(502), true),
            (408, None, page, upstream(504), true),
            (402, None, page, upstream(503), true),
            (429, None, &quota[..], upstream(503), true),
            (429, wait, page, limited(7), true),
            (429, None, page, limited(5), true),
            (413, None, page, Kind::TooLarge, false),
            (500, None, page, upstream(502), true),
            (503, None, page, upstream(503), true),
            (529, None, page, upstream(503), true),
            (302, None, page, upstream(502), false),
        ] {
            let failure = parse(status, wait, body);
            assert_eq!(failure.error.kind, kind, "{status}");
            assert_eq!(failure.retryable, retryable, "{status}");
            assert!(!failure.error.message.contains("html"), "{status}");
        }
    }

    #[test]
    fn each_refusal_has_a_cause() {
        let said = |message: &str, code: &str| {
            json!({"error": {"message": message, "code": code}}).to_string()
        };
        let quota = said("m", "insufficient_quota");
        let long = said("prompt is too long: 9 tokens > 8 maximum", "");
        let filtered = said("The response was filtered", "content_filter");
        let no_file = said("No such File object: file-123", "");
        let no_access_to_file = said("You do not have permission to access the File abc", "");
        let no_model = said("The model `file-reader` does not exist", "model_not_found");
        let blocked = said("Output blocked by content filtering policy", "");
        for (status, body, cause) in [
            (400, "{}", Cause::Request),
            (400, &*long, Cause::TooLong),
            (413, "", Cause::TooLong),
            (400, &*filtered, Cause::Filtered),
            (400, &*blocked, Cause::Filtered),
            (401, "", Cause::Credentials),
            (403, "", Cause::Access),
            (404, "", Cause::UnknownModel),
            (404, &*no_file, Cause::Request),
            (403, &*no_access_to_file, Cause::Request),
            (404, &*no_model, Cause::UnknownModel),
            (402, "", Cause::OutOfCredit),
            (429, &*quota, Cause::OutOfCredit),
            (429, "", Cause::Limited),
            (500, "", Cause::Failed),
            (503, "", Cause::Failed),
            (408, "", Cause::Failed),
        ] {
            let failure = parse(status, Some("9"), body.as_bytes());
            assert_eq!(failure.cause, cause, "{status} {body}");
            assert_eq!(failure.wait, Some(Duration::from_secs(9)));
        }
    }

    #[test]
    fn an_error_in_a_stream_is_put_into_openais_shape() {
        for (data, message, code) in [
            (
                &br#"{"error":{"message":"a sk-secret-123456","code":"b"}}"#[..],
                "a •••",
                "b",
            ),
            (
                br#"{"error":{"message":"a","code":502}}"#,
                "a",
                "upstream_error",
            ),
            (br#"{"error":"a"}"#, "a", "upstream_error"),
            (
                br#"{"error":true}"#,
                "The provider failed",
                "upstream_error",
            ),
        ] {
            let frame = stream_failure_frame(data, SECRET);
            let text = std::str::from_utf8(&frame).expect("UTF-8");
            let json = text.strip_prefix("data: ").expect("an event").trim_end();
            let json: Value = serde_json::from_str(json).expect("JSON");
            let said = json["error"]["message"].as_str().expect("a text");
            assert!(said.starts_with(message), "{said}");
            assert_eq!(json["error"]["code"], code);
        }
    }
}
