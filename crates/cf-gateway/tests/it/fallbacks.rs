//! Other models in a model's place, and tenants that are limited to regions.

use std::sync::Arc;

use cf_base::{Caller, Kind, Nanos};
use cf_testkit::{MockUpstream, Reply};
use serde_json::{Value, json};

use crate::fixture::{Fixture, cost, header, nanos, plain, streamed, text};

/// The models `m` and `other` at these upstreams; `other` costs ten times as much
/// and stands in `m`'s place.
async fn two_models(f: &Fixture, m: &MockUpstream, other: &MockUpstream) {
    for (name, upstream, prices) in [
        ("other", other, json!({"input": 10, "output": 20})),
        ("m", m, json!({"input": 1, "output": 2})),
    ] {
        let key = f.key("openai_compatible", &upstream.base_url(), "").await;
        let deployments = json!([{"provider_key": key, "model": format!("real-{name}")}]);
        f.model(name, deployments, json!({"prices": prices})).await;
    }
    f.change("m", "fallbacks", r#"["m", "nothing", "other", "other"]"#)
        .await;
}

fn too_long() -> Reply {
    let said = json!({"error": {"message": "This model's maximum context length is 8 tokens",
        "code": "context_length_exceeded"}});
    Reply::json(400, said.to_string())
}

fn filtered() -> Reply {
    let said = json!({"error": {"message": "The prompt was filtered", "code": "content_filter"}});
    Reply::json(400, said.to_string())
}

#[tokio::test]
async fn another_model_answers_for_the_chosen_causes_and_its_price_is_billed() {
    let causes = [
        ("unavailable", Reply::json(503, "{}")),
        ("context_length", too_long()),
        ("content_filter", filtered()),
    ];
    for (at, (cause, reply)) in causes.iter().enumerate() {
        for body in [plain(), streamed()] {
            let f = Fixture::new("10").await;
            let m = MockUpstream::start(reply.clone()).await;
            let answer = match body["stream"] == true {
                true => Reply::chat_stream(&["Hello"], 10, 5),
                false => Reply::chat("Hello", 10, 5),
            };
            let other = MockUpstream::start(answer).await;
            two_models(&f, &m, &other).await;
            f.change("m", "fallback_on", format!("[\"{cause}\"]")).await;
            let response = f.send(&body).await.unwrap();
            assert_eq!(response.status(), 200, "{cause}");
            assert_eq!(header(&response, "x-cf-model"), Some("real-other"));
            assert!(text(response.into_body()).await.contains("Hello"));
            let call = f.the_call().await;
            assert_eq!(call.cost, Nanos(10 * cost(10, 5).0));
            let tried = f.tried().await;
            assert_eq!(tried.last().unwrap().1, "real-other");

            let not_chosen = causes[(at + 1) % causes.len()].0;
            f.change("m", "fallback_on", format!("[\"{not_chosen}\"]"))
                .await;
            let refused = f.send(&body).await;
            assert!(refused.map_or(true, |r| r.status() == 400), "{cause}");
            assert_eq!(other.received().len(), 1);
        }
    }
}

#[tokio::test]
async fn what_is_reserved_covers_the_dearest_model_that_may_answer() {
    // A prompt and one token of output cost 10 to 20 times what they cost at `m`.
    let f = Fixture::new("0.0025").await;
    let m = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    let other = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    two_models(&f, &m, &other).await;
    let mut body = plain();
    body["max_tokens"] = 1000.into();
    let response = f.send(&body).await.unwrap();
    let limit: u64 = header(&response, "x-cf-output-limit")
        .unwrap()
        .parse()
        .unwrap();
    // 0.0025 dollars buy 125 tokens of `other` without a prompt.
    assert!((16..125).contains(&limit), "{limit}");
    assert_eq!(f.the_call().await.cost, cost(10, 5), "but `m` answered");
    f.change("m", "fallbacks", "[]").await;
    let response = f.send(&body).await.unwrap();
    assert_eq!(header(&response, "x-cf-output-limit"), None);
    assert!(f.spent().await <= nanos("0.0025"));
}

#[tokio::test]
async fn a_model_that_the_caller_may_not_use_is_in_nobodys_place() {
    let f = Fixture::new("10").await;
    let m = MockUpstream::start(Reply::json(503, "{}")).await;
    let other = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    two_models(&f, &m, &other).await;
    let caller = Arc::new(Caller {
        product_models: vec!["m".into()],
        ..(*f.caller).clone()
    });
    assert!(f.send_as(&caller, &plain()).await.is_err());
    assert!(other.received().is_empty());
    assert!(f.send(&plain()).await.is_ok());
}

#[tokio::test]
async fn a_model_in_anothers_place_keeps_its_own_limits() {
    let f = Fixture::new("10").await;
    let m = MockUpstream::start(Reply::json(503, "{}")).await;
    let other = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    two_models(&f, &m, &other).await;
    f.change("other", "rate_limit", 1_i64).await;
    assert!(f.send(&plain()).await.is_ok());
    assert_eq!(f.tried().await.last().unwrap().0, "ok");
    let error = f.send(&plain()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Upstream { status: 503 });
    assert_eq!(f.tried().await.last().unwrap().0, "limit");
    assert_eq!(other.received().len(), 1);
}

#[tokio::test]
async fn a_refusal_of_the_last_model_is_told_as_it_is() {
    let f = Fixture::new("10").await;
    let m = MockUpstream::start(too_long()).await;
    let other = MockUpstream::start(too_long()).await;
    two_models(&f, &m, &other).await;
    let response = f.send(&plain()).await.unwrap();
    assert_eq!(response.status(), 400);
    let told: Value = serde_json::from_str(&text(response.into_body()).await).unwrap();
    assert_eq!(told["error"]["code"], "context_length_exceeded");
    assert_eq!(other.received().len(), 1);
    f.assert_settled().await;
}

/// The model `m` with a deployment in each of these regions, by order.
async fn in_regions(f: &Fixture, places: &[(&MockUpstream, &str)]) {
    let mut deployments = Vec::new();
    for (order, (upstream, region)) in places.iter().enumerate() {
        let settings = json!({"region": region});
        let url = upstream.base_url();
        let key = f
            .key_with("openai_compatible", &url, "", "sk-provider", settings)
            .await;
        deployments
            .push(json!({"provider_key": key, "model": format!("in-{region}"), "order": order}));
    }
    f.model("m", deployments.into(), json!({})).await;
}

fn limited_to(f: &Fixture, regions: &[&str]) -> Arc<Caller> {
    Arc::new(Caller {
        regions: regions.iter().map(|r| (*r).to_owned()).collect(),
        ..(*f.caller).clone()
    })
}

#[tokio::test]
async fn a_tenant_limited_to_the_eu_never_reaches_a_deployment_elsewhere() {
    let f = Fixture::new("10").await;
    let outside = MockUpstream::start(Reply::chat("outside", 1, 1)).await;
    let inside = MockUpstream::start(Reply::chat("inside", 1, 1)).await;
    let places = [
        (&outside, "us"),
        (&outside, ""),
        (&outside, "europe-west2"),
        (&inside, "europe-west3"),
    ];
    in_regions(&f, &places).await;
    let caller = limited_to(&f, &["eu"]);
    let response = f.send_as(&caller, &plain()).await.unwrap();
    assert_eq!(header(&response, "x-cf-model"), Some("in-europe-west3"));
    // Not even when the one in the EU fails.
    inside.next(Reply::json(500, "{}"));
    f.change("m", "retries", 1_i64).await;
    inside.next(Reply::json(500, "{}"));
    assert!(f.send_as(&caller, &plain()).await.is_err());
    assert!(outside.received().is_empty());
    assert_eq!(inside.received().len(), 3);
    assert!(f.send(&plain()).await.is_ok());
    assert_eq!(outside.received().len(), 1, "others go where they like");
}

#[tokio::test]
async fn a_limited_tenant_has_no_model_that_is_elsewhere_and_none_in_its_place() {
    let f = Fixture::new("10").await;
    let outside = MockUpstream::start(Reply::chat("outside", 1, 1)).await;
    in_regions(&f, &[(&outside, "us-east-1")]).await;
    let key = f.key("openai_compatible", &outside.base_url(), "").await;
    let nowhere = json!([{"provider_key": key, "model": "nowhere"}]);
    f.model("other", nowhere, json!({})).await;
    f.change("m", "fallbacks", r#"["other"]"#).await;
    let caller = limited_to(&f, &["eu"]);
    let error = f.send_as(&caller, &plain()).await.err().unwrap();
    assert_eq!(error.kind, Kind::ModelNotAllowed);
    assert!(error.message.contains("(eu)"), "{error}");
    assert_eq!(f.gateway.models(&caller)["data"], json!([]));
    assert!(outside.received().is_empty());
    // A model in its place that is in the EU may answer.
    let inside = MockUpstream::start(Reply::chat("inside", 1, 1)).await;
    let settings = json!({"region": "eu"});
    let key = f
        .key_with("openai_compatible", &inside.base_url(), "", "sk", settings)
        .await;
    let deployments = json!([{"provider_key": key, "model": "inside"}]);
    f.model("third", deployments, json!({})).await;
    f.change("m", "fallbacks", r#"["other", "third"]"#).await;
    let response = f.send_as(&caller, &plain()).await.unwrap();
    assert_eq!(header(&response, "x-cf-model"), Some("inside"));
    assert!(outside.received().is_empty());
}
