//! Which models a caller has, and where they are.

use std::sync::Arc;

use cf_base::{Caller, Kind, TenantId};
use cf_testkit::{MockUpstream, Reply};
use serde_json::json;

use crate::fixture::{Fixture, header, plain};

fn named(model: &str) -> serde_json::Value {
    let mut body = plain();
    body["model"] = model.into();
    body
}

fn names(list: &serde_json::Value) -> Vec<&str> {
    let data = list["data"].as_array().unwrap().iter();
    data.map(|m| m["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tenants_own_model_stands_before_the_one_for_all_and_is_nobody_elses() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
        let key = f.key("openai_compatible", &upstream.base_url(), "").await;
        let at = |model: &str| json!([{"provider_key": key, "model": model}]);
        let own = f.caller.tenant_id.to_string();
        let other = TenantId::new(&f.random).to_string();
        f.model("shared", at("for-all"), json!({})).await;
        f.model("shared", at("own"), json!({"tenant_id": own}))
            .await;
        f.model("shared", at("others"), json!({"tenant_id": other}))
            .await;
        f.model("secret", at("others"), json!({"tenant_id": other}))
            .await;
        f.model("off", at("for-all"), json!({"active": 0})).await;
        let response = f.send(&named("shared")).await.unwrap();
        assert_eq!(header(&response, "x-cf-model"), Some("own"), "{}", f.name);
        for hidden in ["secret", "off", "nothing"] {
            let error = f.send(&named(hidden)).await.err().unwrap();
            assert_eq!(error.kind, Kind::ModelNotFound, "{hidden}");
        }
        assert_eq!(names(&f.gateway.models(&f.caller)), ["shared"]);
        assert_eq!(upstream.received().len(), 1);
    }
}

#[tokio::test]
async fn a_tenants_provider_key_serves_that_tenant_only() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    let own = f.caller.tenant_id.to_string();
    let other = TenantId::new(&f.random).to_string();
    let of_other = f
        .key("openai_compatible", &upstream.base_url(), &other)
        .await;
    let of_own = f.key("openai_compatible", &upstream.base_url(), &own).await;
    let at = |key, model: &str| json!({"provider_key": key, "model": model});
    f.model("theirs", json!([at(of_other, "x")]), json!({}))
        .await;
    f.model(
        "both",
        json!([at(of_other, "x"), at(of_own, "y")]),
        json!({}),
    )
    .await;
    f.model(
        "mixed",
        json!([at(of_other, "x")]),
        json!({"tenant_id": own}),
    )
    .await;
    for model in ["theirs", "mixed"] {
        let error = f.send(&named(model)).await.err().unwrap();
        assert_eq!(error.kind, Kind::Upstream { status: 503 }, "{error}");
    }
    let response = f.send(&named("both")).await.unwrap();
    assert_eq!(header(&response, "x-cf-model"), Some("y"));
    assert_eq!(names(&f.gateway.models(&f.caller)), ["both"]);
}

#[tokio::test]
async fn product_and_key_decide_which_models_may_be_used() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    let key = f.key("openai_compatible", &upstream.base_url(), "").await;
    for model in ["a", "b", "c"] {
        let deployments = json!([{"provider_key": key, "model": model}]);
        f.model(model, deployments, json!({})).await;
    }
    let caller = Arc::new(Caller {
        product_models: vec!["a".into(), "b".into()],
        key_models: vec!["b".into(), "c".into()],
        ..(*f.caller).clone()
    });
    for (model, allowed) in [("a", false), ("b", true), ("c", false)] {
        let answer = f.send_as(&caller, &named(model)).await;
        match answer {
            Ok(_) => assert!(allowed, "{model}"),
            Err(error) => assert!(!allowed && error.kind == Kind::ModelNotAllowed, "{error}"),
        }
    }
    assert_eq!(names(&f.gateway.models(&caller)), ["b"]);
}

#[tokio::test]
async fn what_cannot_be_called_says_why() {
    let f = Fixture::new("10").await;
    let compatible = f
        .key("openai_compatible", "http://127.0.0.1:1/v1", "")
        .await;
    let no_region = f.key("bedrock", "", "").await;
    let no_address = f.key("openai_compatible", "", "").await;
    let at = |key| json!([{"provider_key": key, "model": "unheard-of"}]);
    f.model("unpriced", at(compatible), json!({"prices": {}}))
        .await;
    f.model("nowhere in particular", at(no_region), json!({}))
        .await;
    f.model("nowhere", at(no_address), json!({})).await;
    f.model("empty", json!([]), json!({})).await;
    for (model, kind, words) in [
        ("unpriced", Kind::Unprocessable, "No price is known"),
        (
            "nowhere in particular",
            Kind::Upstream { status: 502 },
            "AWS Bedrock has no region",
        ),
        ("nowhere", Kind::Upstream { status: 502 }, "base_url"),
        ("empty", Kind::Upstream { status: 503 }, "no deployment"),
    ] {
        let error = f.send(&named(model)).await.err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    f.assert_settled().await;
}

#[tokio::test]
async fn deployments_share_the_calls_by_weight() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 1, 1)).await;
    let key = f.key("openai_compatible", &upstream.base_url(), "").await;
    let deployments = json!([
        {"provider_key": key, "model": "much", "weight": 3},
        {"provider_key": key, "model": "little", "weight": 1},
        {"provider_key": key, "model": "never", "weight": 0},
        {"provider_key": key, "model": "spare", "weight": 9, "order": 1},
    ]);
    f.model("m", deployments, json!({})).await;
    let mut much = 0;
    for _ in 0..80 {
        let response = f.send(&plain()).await.unwrap();
        match header(&response, "x-cf-model") {
            Some("much") => much += 1,
            other => assert_eq!(other, Some("little")),
        }
    }
    assert!((45..75).contains(&much), "{much} of 80");
}
