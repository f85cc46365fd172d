use super::*;

fn url(
    provider: Provider,
    model: &str,
    base_url: &str,
    region: &str,
    settings: &str,
    stream: bool,
) -> Result<String, Missing> {
    let settings: Settings = serde_json::from_str(settings).expect("settings");
    let place = Place {
        provider,
        model,
        base_url,
        region,
        settings: &settings,
        project: "",
        has_plain_key: false,
    };
    place.url(place.route(Dialect::OpenAi), stream)
}

#[test]
fn openai_and_azure_are_called_where_the_key_says() {
    let v1 = "https://r.openai.azure.com/openai/v1/chat/completions";
    for base in [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/",
        "https://r.openai.azure.com/openai",
        "https://r.openai.azure.com/openai/v1/",
    ] {
        assert_eq!(
            url(Provider::Azure, "d", base, "", "{}", true).as_deref(),
            Ok(v1),
            "{base}"
        );
        assert_eq!(
            url(
                Provider::Azure,
                "my d",
                base,
                "",
                r#"{"api_version":"2024-10-21"}"#,
                true
            )
            .as_deref(),
            Ok(
                "https://r.openai.azure.com/openai/deployments/my%20d/chat/completions?api-version=2024-10-21"
            )
        );
    }
    assert_eq!(
        url(
            Provider::Azure,
            "m",
            "https://r.services.ai.azure.com/models",
            "",
            "{}",
            false
        )
        .as_deref(),
        Ok(
            "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"
        )
    );
    assert_eq!(
        url(
            Provider::Azure,
            "claude-sonnet-5",
            "https://r.services.ai.azure.com",
            "",
            "{}",
            false
        )
        .as_deref(),
        Ok("https://r.services.ai.azure.com/anthropic/v1/messages")
    );
    assert_eq!(
        url(Provider::Azure, "m", "", "", "{}", false),
        Err(Missing::BaseUrl)
    );
    assert_eq!(
        url(Provider::OpenAiCompatible, "m", "", "", "{}", false),
        Err(Missing::BaseUrl)
    );
    assert_eq!(
        url(Provider::OpenAi, "m", "", "", "{}", false).as_deref(),
        Ok("https://api.openai.com/v1/chat/completions")
    );
}

#[test]
fn each_of_openais_dialects_has_its_place() {
    let at = |provider, model, base_url, settings: &str, client| {
        let settings: Settings = serde_json::from_str(settings).expect("settings");
        let place = Place {
            provider,
            model,
            base_url,
            region: "",
            settings: &settings,
            project: "",
            has_plain_key: false,
        };
        place.url(place.route(client), true).expect("an address")
    };
    let azure = "https://r.openai.azure.com";
    let dated = r#"{"api_version":"2024-10-21"}"#;
    let v1 = "https://h/v1";
    for (provider, model, base, settings, client, end) in [
        (
            Provider::OpenAi,
            "gpt-5",
            "",
            "{}",
            Dialect::Responses,
            "/v1/responses",
        ),
        (
            Provider::Azure,
            "d",
            azure,
            "{}",
            Dialect::Responses,
            "/openai/v1/responses",
        ),
        (
            Provider::Azure,
            "d",
            azure,
            dated,
            Dialect::Responses,
            "/d/chat/completions?api-version=2024-10-21",
        ),
        (
            Provider::Azure,
            "m",
            "https://r.services.ai.azure.com/models",
            "{}",
            Dialect::Responses,
            "/models/chat/completions?api-version=2024-05-01-preview",
        ),
        (
            Provider::Azure,
            "gpt-35-instruct",
            azure,
            dated,
            Dialect::Completions,
            "/gpt-35-instruct/completions?api-version=2024-10-21",
        ),
        (
            Provider::OpenAi,
            "gpt-5",
            "",
            "{}",
            Dialect::Completions,
            "/v1/chat/completions",
        ),
        (
            Provider::OpenAi,
            "davinci-002",
            "",
            "{}",
            Dialect::Completions,
            "/v1/completions",
        ),
        (
            Provider::OpenAiCompatible,
            "m",
            v1,
            "{}",
            Dialect::Responses,
            "/v1/chat/completions",
        ),
        (
            Provider::OpenAiCompatible,
            "m",
            v1,
            r#"{"api":"responses"}"#,
            Dialect::Responses,
            "h/v1/responses",
        ),
        (
            Provider::OpenAiCompatible,
            "m",
            v1,
            "{}",
            Dialect::Completions,
            "h/v1/completions",
        ),
        (
            Provider::OpenAiCompatible,
            "m",
            v1,
            r#"{"completions":"chat"}"#,
            Dialect::Completions,
            "h/v1/chat/completions",
        ),
        (
            Provider::OpenAiCompatible,
            "m",
            "https://api.groq.com/openai/v1",
            "{}",
            Dialect::Completions,
            "/v1/chat/completions",
        ),
        (
            Provider::Mistral,
            "m",
            "",
            "{}",
            Dialect::Completions,
            "/v1/chat/completions",
        ),
        (
            Provider::Anthropic,
            "c",
            "",
            "{}",
            Dialect::Responses,
            "/v1/messages",
        ),
    ] {
        let url = at(provider, model, base, settings, client);
        assert!(url.ends_with(end), "{url} {client:?}");
    }
}

#[test]
fn trap_8_google_is_asked_for_events() {
    assert_eq!(
        url(Provider::Gemini, "gemini-3-pro", "", "", "{}", true).as_deref(),
        Ok(
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
        )
    );
    let project = r#"{"project":"p"}"#;
    for (region, host) in [
        ("europe-west1", "europe-west1-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ] {
        assert_eq!(
            url(
                Provider::Vertex,
                "gemini-2.5-flash",
                "",
                region,
                project,
                true
            ),
            Ok(format!(
                "https://{host}/v1/projects/p/locations/{region}/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
            ))
        );
    }
    assert_eq!(
        url(
            Provider::Vertex,
            "claude-sonnet-4-5@20250929",
            "",
            "global",
            project,
            true
        )
        .as_deref(),
        Ok(
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict"
        )
    );
    assert_eq!(
        url(
            Provider::Vertex,
            "meta/llama-4",
            "",
            "us-east5",
            project,
            false
        )
        .as_deref(),
        Ok(
            "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/endpoints/openapi/chat/completions"
        )
    );
    assert_eq!(
        url(Provider::Vertex, "gemini-3", "", "", project, false),
        Err(Missing::Region)
    );
    assert_eq!(
        url(Provider::Vertex, "gemini-3", "", "eu", "{}", false),
        Err(Missing::Project)
    );
}

#[test]
fn bedrocks_models_are_encoded_once() {
    assert_eq!(
        url(
            Provider::Bedrock,
            "eu.anthropic.claude-sonnet-5-v1:0",
            "",
            "eu-central-1",
            "{}",
            true
        )
        .as_deref(),
        Ok(
            "https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.anthropic.claude-sonnet-5-v1%3A0/converse-stream"
        )
    );
    assert_eq!(
        url(
            Provider::Bedrock,
            "anthropic.claude-sonnet-5",
            "",
            "us-east-1",
            r#"{"api":"invoke"}"#,
            true
        )
        .as_deref(),
        Ok(
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-sonnet-5/invoke-with-response-stream"
        )
    );
    assert_eq!(
        url(Provider::Bedrock, "m", "", "", "{}", true),
        Err(Missing::Region)
    );
    assert_eq!(
        url(
            Provider::Anthropic,
            "m",
            "https://proxy.example/v1",
            "",
            "{}",
            true
        )
        .as_deref(),
        Ok("https://proxy.example/v1/messages")
    );
}
