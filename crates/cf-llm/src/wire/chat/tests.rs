use super::*;
use proptest::prelude::*;

fn parse(body: &str) -> Result<ChatRequest<'_>, Error> {
    ChatRequest::parse(body.as_bytes())
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).expect("JSON is UTF-8")
}

#[test]
fn a_request_is_looked_at() {
    let request = parse(
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,
           "max_tokens":50,"max_completion_tokens":40,"stream_options":{"include_usage":true}}"#,
    )
    .expect("a request");
    assert_eq!(request.model, "m");
    assert!(request.stream && request.include_usage);
    assert_eq!(request.max_output_tokens, Some(40));
    assert_eq!(request.last_user_text(), "Hi");
}

#[test]
fn what_cannot_be_a_request_is_refused_by_name() {
    const MESSAGES: &str = r#""messages":[{"role":"user","content":"Hi"}]"#;
    for (body, expected) in [
        ("", "parse the JSON body"),
        ("[]", "parse the JSON body"),
        ("{\"model\":\"m\",}", "parse the JSON body"),
        ("{}", "model"),
        (r#"{"model":7}"#, "model must be"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[]}"#, "messages"),
        (r#"{"model":"m","messages":["x"]}"#, "messages must be"),
        (
            &format!(r#"{{"model":"m","model":"x",{MESSAGES}}}"#),
            "twice",
        ),
        (&format!(r#"{{"model":"m","n":0,{MESSAGES}}}"#), "n is 1"),
        (&format!(r#"{{"model":"m","n":129,{MESSAGES}}}"#), "n is 1"),
        (
            &format!(r#"{{"model":"m","max_tokens":-1,{MESSAGES}}}"#),
            "max_tokens",
        ),
        (
            &format!(r#"{{"model":"m","stream":"yes",{MESSAGES}}}"#),
            "stream",
        ),
        (
            &format!(r#"{{"model":"m","service_tier":"turbo",{MESSAGES}}}"#),
            "service tier \"turbo\"",
        ),
        (
            &format!(r#"{{"model":"m","Service_Tier":"fast",{MESSAGES}}}"#),
            "write service_tier",
        ),
    ] {
        let error = parse(body).expect_err(body);
        assert!(error.message.contains(expected), "{body}: {error}");
    }
}

#[test]
fn every_byte_but_the_changed_ones_stays() {
    let body = "{ \"x\" : 1.50, \"model\":\"m\" ,\"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9 é\"}]}";
    let request = parse(body).expect("a request");
    let out = request.upstream_body("other \"name\"", None, Provider::OpenAiCompatible);
    assert_eq!(text(&out), body.replace("\"m\"", "\"other \\\"name\\\"\""));
}

#[test]
fn the_limit_and_the_wish_for_usage_are_set() {
    let body = r#"{"model":"m","messages":[{}],"stream":true,"max_tokens":9}"#;
    let out = parse(body)
        .expect("a request")
        .upstream_body("m", Some(5), Provider::OpenAi);
    assert_eq!(
        text(&out),
        r#"{"stream_options":{"include_usage":true},"model":"m","messages":[{}],"stream":true,"max_tokens":5}"#
    );
    let body = r#"{"model":"m","messages":[{}],"stream":true,"stream_options":{"a":1}}"#;
    let out = parse(body)
        .expect("a request")
        .upstream_body("m", Some(5), Provider::OpenAi);
    assert_eq!(
        text(&out),
        r#"{"max_completion_tokens":5,"model":"m","messages":[{}],"stream":true,"stream_options":{"a":1,"include_usage":true}}"#
    );
}

fn sent(fields: &str, limit: Option<u64>, provider: Provider) -> String {
    let body = format!(r#"{{"model":"m",{fields},"messages":[{{}}]}}"#);
    let request = parse(&body).expect("a request");
    text(&request.upstream_body("m", limit, provider)).to_owned()
}

#[test]
fn a_provider_cannot_read_another_limit_than_was_reserved_for() {
    const COMPATIBLE: Provider = Provider::OpenAiCompatible;
    for (fields, limit, provider, expected) in [
        // In the word that it knows.
        (
            r#""max_completion_tokens":7"#,
            None,
            COMPATIBLE,
            r#""max_tokens":7"#,
        ),
        (
            r#""max_completion_tokens":7"#,
            Some(5),
            Provider::Mistral,
            r#""max_tokens":5"#,
        ),
        (
            r#""max_completion_tokens":7"#,
            Some(5),
            Provider::OpenAi,
            r#""max_completion_tokens":5"#,
        ),
        (
            r#""max_tokens":7"#,
            None,
            Provider::Azure,
            r#""max_tokens":7"#,
        ),
        (
            r#""max_tokens":null,"max_completion_tokens":7"#,
            None,
            COMPATIBLE,
            r#""max_completion_tokens":null,"max_tokens":7"#,
        ),
        // Two are made one.
        (
            r#""max_tokens":9,"max_completion_tokens":7"#,
            None,
            COMPATIBLE,
            r#""max_tokens":7,"max_completion_tokens":7"#,
        ),
        (
            r#""max_tokens":9,"n_predict":-1"#,
            None,
            COMPATIBLE,
            r#""max_tokens":9,"n_predict":9"#,
        ),
        (
            r#""max_tokens":9,"n_predict":-1"#,
            Some(3),
            COMPATIBLE,
            r#""max_tokens":3,"n_predict":3"#,
        ),
        (
            r#""max_tokens":null"#,
            Some(3),
            COMPATIBLE,
            r#""max_tokens":3"#,
        ),
    ] {
        let expected = format!(r#"{{"model":"m",{expected},"messages":[{{}}]}}"#);
        assert_eq!(sent(fields, limit, provider), expected, "{fields}");
    }
}

#[test]
fn usage_is_not_asked_for_where_that_is_refused() {
    let fields = r#""stream":true"#;
    assert!(!sent(fields, None, Provider::Mistral).contains("stream_options"));
    assert!(sent(fields, None, Provider::OpenAiCompatible).contains("stream_options"));
    let null = sent(
        r#""stream":true,"stream_options":null"#,
        None,
        Provider::OpenAi,
    );
    assert!(
        null.contains(r#""stream_options":{"include_usage":true}"#),
        "{null}"
    );
}

#[test]
fn a_prompt_is_bounded_by_its_bytes_its_pictures_or_not_at_all() {
    let bound = |fields: &str| {
        let body = format!(r#"{{"model":"m",{fields}}}"#);
        let length = length(body.len());
        let request = parse(&body).expect("a request");
        request.prompt_token_bound().map(|bound| bound - length)
    };
    assert_eq!(bound(r#""messages":[{"content":"Hi"}]"#), Some(0));
    let picture =
        r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]"#;
    assert_eq!(bound(picture), Some(IMAGE_BOUND));
    assert_eq!(
        bound(r#""messages":[{"content":[{"type":"file","file":{"file_id":"f"}}]}]"#),
        None
    );
    assert_eq!(bound(r#""messages":[{}],"web_search_options":{}"#), None);
    let body = format!(
        r#"{{"model":"m","messages":[{{"content":[{{"image_url":"{}"}}]}}]}}"#,
        "A".repeat(100_000)
    );
    let estimate = parse(&body).expect("a request").estimated_prompt_tokens();
    assert!(
        estimate < 1000,
        "a picture's bytes are not text: {estimate}"
    );
}

#[test]
fn tools_and_thinking_that_can_be_read_in_two_ways_are_refused() {
    let refused = |fields: &str| {
        let body =
            format!(r#"{{"model":"m","max_tokens":9,"messages":[{{"content":"Hi"}}],{fields}}}"#);
        let request = ChatRequest::read_as(Dialect::Anthropic, body.as_bytes());
        request.map(drop).expect_err(fields).message
    };
    for (fields, expected) in [
        (
            r#""tools":[{"type":"custom","type":"web_search_20250305"}]"#,
            "tools must be",
        ),
        (
            r#""tools":[],"tools":[{"type":"advisor_20260301"}]"#,
            "tools stands",
        ),
        (r#""Tools":[]"#, "write tools"),
        (
            r#""tools":[{"type":"web_search_20250305","max_uses":1,"max_uses":99}]"#,
            "tools must be",
        ),
        (
            r#""thinking":{"type":"enabled","budget_tokens":1024,"budget_tokens":99999}"#,
            "thinking must be",
        ),
    ] {
        let told = refused(fields);
        assert!(told.contains(expected), "{fields}: {told}");
    }
}

#[test]
fn the_tier_that_is_asked_for_is_told() {
    let request = |tier| format!(r#"{{"model":"m","messages":[{{}}],"service_tier":{tier}}}"#);
    for (text, tier) in [
        (r#""priority""#, ServiceTier::Priority),
        (r#""fast""#, ServiceTier::Priority),
        (r#""flex""#, ServiceTier::Flex),
        (r#""auto""#, ServiceTier::Standard),
        ("null", ServiceTier::Standard),
    ] {
        assert_eq!(parse(&request(text)).expect(text).tier, tier);
    }
    let error = parse(&request("7")).expect_err("no name").message;
    assert!(error.contains("service_tier must be a string"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_a_refusal(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ChatRequest::parse(&body);
    }

    #[test]
    fn an_edited_body_is_the_same_json_but_for_the_edits(
        extra in "[a-z]{1,8}", value in -1000i64..1000, model in "\\PC{1,20}", limit in 1u64..1000,
    ) {
        prop_assume!(!["model", "messages", "n", "stream"].contains(&extra.as_str()));
        let mut json = serde_json::json!({"model": "m", "messages": [{"role": "user"}]});
        json[&extra] = value.into();
        let body = json.to_string();
        let request = ChatRequest::parse(body.as_bytes()).expect("a request");
        let out = request.upstream_body(&model, Some(limit), Provider::OpenAiCompatible);
        let mut expected = json.clone();
        expected["model"] = model.into();
        expected["max_tokens"] = limit.into();
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).expect("JSON"), expected);
    }
}
