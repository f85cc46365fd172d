//! What becomes of a request on its way to the provider.

use cf_llm::{ChatRequest, Provider};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Everything that stands in a request of a busy client, in its own spelling.
const REQUEST: &str = r#"{
  "messages" : [ {"role":"system","content":"caf\u00e9 \ud83d\ude00 é"},
    {"role":"user","content":[{"type":"text","text":"What is \"this\"?"},
      {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo=","detail":"low"}}]} ],
  "temperature": 1.0e0, "seed": 18446744073709551615, "unknown_field": {"a":[1,2.50,null]},
  "tools":[{"type":"function","function":{"name":"f","parameters":{}}}],
  "api_base":"http://elsewhere", "model" :"public", "stream": true , "max_tokens":100
}"#;

fn sent(body: &str, limit: Option<u64>, provider: Provider) -> String {
    let request = ChatRequest::parse(body.as_bytes()).unwrap();
    let bytes = request.upstream_body("at-the-provider", limit, provider);
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_busy_request_arrives_byte_for_byte_but_for_what_we_change() {
    let expected = REQUEST
        .replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1)
        .replace("\"public\"", "\"at-the-provider\"");
    assert_eq!(sent(REQUEST, None, Provider::OpenAi), expected);
    assert_eq!(
        sent(REQUEST, Some(40), Provider::OpenAi),
        expected.replace("\"max_tokens\":100", "\"max_tokens\":40")
    );
    let plain = REQUEST.replace("\"stream\": true ,", "");
    assert_eq!(
        sent(&plain, None, Provider::Mistral),
        plain.replace("\"public\"", "\"at-the-provider\"")
    );
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"\\\\é]{1,6}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn fields_that_we_do_not_know_stay_as_they_were(
        extra in prop::collection::btree_map("x_[a-zé\"]{1,8}", value(), 0..5),
        text in "\\PC{0,40}", limit in prop::option::of(1u64..10_000), stream: bool, pretty: bool,
    ) {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream});
        for (name, value) in extra {
            body[name] = value;
        }
        let text = if pretty {
            serde_json::to_string_pretty(&body)
        } else {
            serde_json::to_string(&body)
        }.unwrap();
        let mut expected = body.clone();
        expected["model"] = "at-the-provider".into();
        if let Some(limit) = limit {
            expected["max_completion_tokens"] = limit.into();
        }
        if stream {
            expected["stream_options"] = json!({"include_usage": true});
        }
        let out = sent(&text, limit, Provider::OpenAi);
        prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);
    }
}
