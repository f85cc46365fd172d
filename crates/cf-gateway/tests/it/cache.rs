//! Answers that are given again: to whom, for how long, and what they cost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Caller, Keeping, Kind, Nanos, RequestId, TenantId};
use cf_gateway::{Asked, Dialect, GatewayBody, Reuse, Task, TaskRequest, Wishes};
use cf_testkit::{MockUpstream, Reply, Step};
use http::Response;
use serde_json::{Value, json};

use crate::fixture::{Fixture, PATIENCE, cost, frame, header, nanos, plain, streamed, text};

impl Fixture {
    /// The caller, whose tenant keeps answers for a minute at this price.
    fn keeps(&self, percent: u32) -> Arc<Caller> {
        Arc::new(Caller {
            keeping: Keeping {
                cache_seconds: 60,
                cache_price_percent: percent,
                ..Keeping::default()
            },
            ..(*self.caller).clone()
        })
    }

    async fn send_wishing(
        &self,
        caller: &Arc<Caller>,
        dialect: Dialect,
        reuse: Reuse,
        body: &Value,
    ) -> Response<GatewayBody> {
        let id = RequestId::new(self.clock.now(), &self.random);
        let wishes = Wishes {
            reuse,
            ..Wishes::default()
        };
        let asked = Asked { dialect, wishes };
        let body = Bytes::from(body.to_string());
        let answer = self.gateway.chat_in(asked, Arc::clone(caller), body, id);
        answer.await.unwrap()
    }

    /// What the client sees of a call: whether it was kept, and the body.
    async fn see(&self, caller: &Arc<Caller>, body: &Value) -> (Option<String>, String) {
        seen(self.send_as(caller, body).await.unwrap()).await
    }

    async fn kept(&self) -> i64 {
        let sql = "select count(*) from kept_answers";
        let row = self.db.query_opt(sql, vec![]).await.unwrap().unwrap();
        row.at(0).unwrap()
    }
}

async fn seen(response: Response<GatewayBody>) -> (Option<String>, String) {
    let told = header(&response, "x-cf-cache").map(str::to_owned);
    (told, text(response.into_body()).await)
}

fn is(told: &Option<String>, word: &str) -> bool {
    told.as_deref() == Some(word)
}

/// A provider that never says the same twice.
async fn upstream(f: &Fixture) -> MockUpstream {
    let upstream = MockUpstream::start(Reply::chat("last", 10, 5)).await;
    upstream.next(Reply::chat("first", 10, 5));
    upstream.next(Reply::chat("second", 10, 5));
    f.at(&[&upstream]).await;
    upstream
}

#[tokio::test]
async fn without_the_setting_every_call_is_asked() {
    let f = Fixture::new("10").await;
    let upstream = upstream(&f).await;
    for word in ["first", "second"] {
        let (told, body) = f.see(&f.caller, &plain()).await;
        assert_eq!(told, None);
        assert!(body.contains(word), "{body}");
    }
    assert_eq!(upstream.received().len(), 2);
    assert_eq!(f.kept().await, 0);
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_without_a_provider_and_for_nothing() {
    for f in Fixture::each("10").await {
        let upstream = upstream(&f).await;
        let caller = f.keeps(0);
        let (told, first) = f.see(&caller, &plain()).await;
        assert!(is(&told, "miss"), "{}", f.name);
        assert_eq!(f.spent().await, cost(10, 5));
        let again = f.send_as(&caller, &plain()).await.unwrap();
        assert_eq!(header(&again, "x-cf-cost"), Some("0"));
        assert_eq!(header(&again, "x-cf-model"), Some("real-0"));
        assert_eq!(header(&again, "x-cf-provider"), Some("cache"));
        assert_eq!(header(&again, "content-type"), Some("application/json"));
        let (told, body) = seen(again).await;
        assert!(is(&told, "hit"));
        assert_eq!(body, first);
        assert_eq!(upstream.received().len(), 1);
        assert_eq!(f.spent().await, cost(10, 5), "a hit costs nothing");
        f.assert_settled().await;
        let sql = "select model_used, prompt_tokens, completion_tokens, provider_cost, status \
                   from usage_logs where provider = 'cache'";
        let rows = f.db.query(sql, vec![]).await.unwrap();
        assert_eq!(rows.len(), 1, "one row is marked as a hit");
        let row = &rows[0];
        assert_eq!(row.get::<String>("model_used").unwrap(), "real-0");
        assert_eq!(row.get::<String>("status").unwrap(), "ok");
        assert_eq!(row.get::<i64>("prompt_tokens").unwrap(), 10);
        assert_eq!(row.get::<i64>("completion_tokens").unwrap(), 5);
        assert_eq!(row.get::<Nanos>("provider_cost").unwrap(), Nanos::ZERO);
        // Another request is another answer.
        let mut other = plain();
        other["temperature"] = 0.5.into();
        let (told, body) = f.see(&caller, &other).await;
        assert!(is(&told, "miss") && body.contains("second"), "{body}");
    }
}

#[tokio::test]
async fn a_hit_costs_the_share_that_the_tenant_is_charged_and_the_provider_nothing() {
    for f in Fixture::each("10").await {
        let upstream = upstream(&f).await;
        let caller = f.keeps(40);
        f.see(&caller, &plain()).await;
        let whole = f.spent().await;
        let again = f.send_as(&caller, &plain()).await.unwrap();
        let share = Nanos(whole.0 * 40 / 100);
        assert_eq!(header(&again, "x-cf-cost"), Some(&*share.to_string()));
        assert_eq!(f.spent().await, Nanos(whole.0 + share.0), "{}", f.name);
        f.assert_settled().await;
        let sql = "select cost, provider_cost from usage_logs where provider = 'cache'";
        let row = f.db.query_opt(sql, vec![]).await.unwrap().unwrap();
        assert_eq!(row.get::<Nanos>("cost").unwrap(), share);
        assert_eq!(row.get::<Nanos>("provider_cost").unwrap(), Nanos::ZERO);
        assert_eq!(upstream.received().len(), 1);
    }
}

#[tokio::test]
async fn a_stream_is_given_again_event_by_event_as_it_was() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::chat("other", 1, 1)).await;
        upstream.next(Reply::chat_stream(&["Hel", "lo"], 10, 5));
        f.at(&[&upstream]).await;
        let caller = f.keeps(0);
        let (told, first) = f.see(&caller, &streamed()).await;
        assert!(is(&told, "miss") && first.ends_with("data: [DONE]\n\n"));
        let again = f.send_as(&caller, &streamed()).await.unwrap();
        let kind = header(&again, "content-type").unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        let (told, body) = seen(again).await;
        assert!(is(&told, "hit"), "{}", f.name);
        assert_eq!(body, first);
        assert_eq!(f.spent().await, cost(10, 5));
        // What is not streamed is another answer.
        let (told, _) = f.see(&caller, &plain()).await;
        assert!(is(&told, "miss"));
        assert_eq!(upstream.received().len(), 2);
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn what_is_kept_is_sealed_and_nobodys_but_the_tenants() {
    for f in Fixture::each("10").await {
        let _upstream = upstream(&f).await;
        let caller = f.keeps(0);
        f.see(&caller, &plain()).await;
        let rows = f.db.query("select * from kept_answers", vec![]);
        let row = &rows.await.unwrap()[0];
        let sealed: String = row.get("answer_sealed").unwrap();
        assert!(sealed.starts_with("1.") && !sealed.contains("first"));
        // Under the same budgets, but of another tenant.
        let other = Arc::new(Caller {
            tenant_id: TenantId::new(&f.random),
            ..(*caller).clone()
        });
        let (told, body) = f.see(&other, &plain()).await;
        assert!(is(&told, "miss") && body.contains("second"), "{}", f.name);
        assert!(is(&f.see(&caller, &plain()).await.0, "hit"));
    }
}

#[tokio::test]
async fn who_may_not_call_gets_nothing_that_is_kept() {
    for f in Fixture::each("0.01").await {
        let _upstream = upstream(&f).await;
        let caller = f.keeps(0);
        f.see(&caller, &plain()).await;
        // Another key of the tenant that may not use the model.
        let other_key = Arc::new(Caller {
            key_models: vec!["another".into()],
            ..(*caller).clone()
        });
        let error = f.send_as(&other_key, &plain()).await.err().unwrap();
        assert_eq!(error.kind, Kind::ModelNotAllowed);
        // The model is nowhere that the tenant is limited to.
        let limited = Arc::new(Caller {
            regions: vec!["eu".into()],
            ..(*caller).clone()
        });
        let error = f.send_as(&limited, &plain()).await.err().unwrap();
        assert_eq!(error.kind, Kind::ModelNotAllowed);
        // Too often.
        let mut once = (*caller).clone();
        once.key_limits.requests_per_minute = 1;
        let once = Arc::new(once);
        assert!(is(&f.see(&once, &plain()).await.0, "hit"));
        let error = f.send_as(&once, &plain()).await.err().unwrap();
        assert!(matches!(error.kind, Kind::RateLimited { .. }), "{}", f.name);
        // The budget is used up.
        let sql = "update ledger_accounts set limit_nanos = posted_nanos where owner_id = $1";
        let user = f.caller.user_id.to_string();
        f.db.execute(sql, vec![user.into()]).await.unwrap();
        let error = f.send_as(&caller, &plain()).await.err().unwrap();
        assert_eq!(error.kind, Kind::BudgetExceeded);
    }
}

#[tokio::test]
async fn an_answer_from_elsewhere_is_not_given_to_a_tenant_limited_to_regions() {
    let f = Fixture::new("10").await;
    let outside = MockUpstream::start(Reply::chat("outside", 1, 1)).await;
    let inside = MockUpstream::start(Reply::chat("inside", 1, 1)).await;
    let mut deployments = Vec::new();
    for (order, (upstream, region)) in [(&outside, "us"), (&inside, "eu")].iter().enumerate() {
        let settings = json!({"region": region});
        let url = upstream.base_url();
        let key = f.key_with("openai_compatible", &url, "", "sk", settings);
        let key = key.await;
        deployments.push(json!({"provider_key": key, "model": region, "order": order}));
    }
    f.model("m", deployments.into(), json!({})).await;
    let caller = f.keeps(0);
    assert!(f.see(&caller, &plain()).await.1.contains("outside"));
    let limited = Arc::new(Caller {
        regions: vec!["eu".into()],
        ..(*caller).clone()
    });
    let (told, body) = f.see(&limited, &plain()).await;
    assert!(is(&told, "miss") && body.contains("inside"), "{body}");
}

#[tokio::test]
async fn an_answer_is_given_as_long_as_the_tenant_says_and_then_forgotten() {
    for f in Fixture::each("10").await {
        let upstream = upstream(&f).await;
        let sql = "insert into tenants (id, name, slug, cache_seconds, created, updated) \
                   values ($1, 'T', 't', 60, '', '')";
        let tenant = f.caller.tenant_id.to_string();
        f.db.execute(sql, vec![tenant.clone().into()])
            .await
            .unwrap();
        let caller = f.keeps(0);
        f.see(&caller, &plain()).await;
        f.clock.advance(Duration::from_secs(59));
        assert!(is(&f.see(&caller, &plain()).await.0, "hit"));
        assert_eq!(f.gateway.prune_cache().await.unwrap(), 0);
        // A shorter time holds at once.
        let mut shorter = (*caller).clone();
        shorter.keeping.cache_seconds = 30;
        let (told, body) = f.see(&Arc::new(shorter), &plain()).await;
        assert!(is(&told, "miss") && body.contains("second"), "{}", f.name);
        f.clock.advance(Duration::from_secs(31));
        assert!(is(&f.see(&caller, &plain()).await.0, "miss"));
        assert_eq!(upstream.received().len(), 3);
        f.clock.advance(Duration::from_secs(60));
        assert_eq!(f.gateway.prune_cache().await.unwrap(), 1);
        assert_eq!(f.kept().await, 0);
        // And at once where the tenant keeps nothing any more.
        f.see(&caller, &plain()).await;
        let sql = "update tenants set cache_seconds = 0 where id = $1";
        f.db.execute(sql, vec![tenant.into()]).await.unwrap();
        assert_eq!(f.gateway.prune_cache().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_client_may_ask_anew_and_may_leave_nothing_behind() {
    let f = Fixture::new("10").await;
    let upstream = upstream(&f).await;
    let caller = f.keeps(0);
    let body = plain();
    let send = |reuse| f.send_wishing(&caller, Dialect::OpenAi, reuse, &body);
    let (told, body) = seen(send(Reuse::Never).await).await;
    assert!(told.is_none() && body.contains("first"));
    assert_eq!(f.kept().await, 0);
    let (told, body) = seen(send(Reuse::Fresh).await).await;
    assert!(is(&told, "miss") && body.contains("second"));
    let (told, body) = seen(send(Reuse::Allowed).await).await;
    assert!(is(&told, "hit") && body.contains("second"));
    // What is asked anew takes its place.
    let (told, body) = seen(send(Reuse::Fresh).await).await;
    assert!(is(&told, "miss") && body.contains("last"));
    let (told, body) = seen(send(Reuse::Allowed).await).await;
    assert!(is(&told, "hit") && body.contains("last"));
    assert_eq!(upstream.received().len(), 3);
}

#[tokio::test]
async fn what_did_not_go_well_to_the_end_is_not_kept() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::chat("good", 10, 5)).await;
        f.at(&[&upstream]).await;
        let caller = f.keeps(0);
        let refused = r#"{"error":{"message":"no","type":"invalid_request_error"}}"#;
        for bad in [Reply::json(400, refused), Reply::json(200, "{}")] {
            upstream.next(bad);
            let _ = f.send_as(&caller, &plain()).await;
            assert_eq!(f.kept().await, 0, "{}", f.name);
        }
        // The provider breaks off.
        let chunk = || {
            Step::Send(Bytes::from_static(
            b"data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n",
        ))
        };
        upstream.next(Reply::stream(vec![chunk(), Step::Reset]));
        f.see(&caller, &streamed()).await;
        assert_eq!(f.kept().await, 0);
        // The client hangs up.
        upstream.next(Reply::stream(vec![chunk(), Step::Stall]));
        let mut body = f.send_as(&caller, &streamed()).await.unwrap().into_body();
        assert!(frame(&mut body).await.is_some());
        drop(body);
        f.assert_settled().await;
        assert_eq!(f.kept().await, 0);
        assert!(is(&f.see(&caller, &plain()).await.0, "miss"));
    }
}

#[tokio::test]
async fn what_is_read_on_without_its_client_is_not_kept() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("good", 10, 5)).await;
    let settings = json!({"hang_up": "drain"});
    let url = upstream.base_url();
    let key = f.key_with("openai_compatible", &url, "", "sk", settings);
    let deployments = json!([{"provider_key": key.await, "model": "real"}]);
    f.model("m", deployments, json!({})).await;
    let caller = f.keeps(0);
    upstream.next(Reply::chat_stream(&["Hel", "lo"], 10, 5).after(PATIENCE / 4));
    let body = f.send_as(&caller, &streamed()).await.unwrap().into_body();
    drop(body);
    let call = f.the_call().await;
    assert_eq!(
        (call.status.as_str(), call.cost),
        ("cancelled", cost(10, 5))
    );
    assert_eq!(f.kept().await, 0);
}

#[tokio::test]
async fn an_answer_of_a_model_in_its_place_or_cut_short_is_not_kept() {
    for f in Fixture::each("10").await {
        let m = MockUpstream::start(Reply::chat("own", 10, 5)).await;
        let other = MockUpstream::start(Reply::chat("other", 10, 5)).await;
        for (name, upstream) in [("other", &other), ("m", &m)] {
            let key = f.key("openai_compatible", &upstream.base_url(), "").await;
            let deployments = json!([{"provider_key": key, "model": name}]);
            f.model(name, deployments, json!({})).await;
        }
        f.change("m", "fallbacks", r#"["other"]"#).await;
        let caller = f.keeps(0);
        m.next(Reply::json(503, "{}"));
        let (_, body) = f.see(&caller, &plain()).await;
        assert!(body.contains("other"), "{body}");
        assert_eq!(f.kept().await, 0, "{}", f.name);
        f.clock.advance(Duration::from_secs(120));
        // More output than the model's record allows: what comes may be cut short.
        let mut long = plain();
        long["max_tokens"] = 5_000.into();
        let response = f.send_as(&caller, &long).await.unwrap();
        assert_eq!(header(&response, "x-cf-output-limit"), Some("1000"));
        assert_eq!(header(&response, "x-cf-cache"), None);
        assert_eq!(f.kept().await, 0);
        let (told, body) = f.see(&caller, &plain()).await;
        assert!(is(&told, "miss") && body.contains("own"), "{body}");
        assert_eq!(f.kept().await, 1);
    }
}

#[tokio::test]
async fn a_model_that_was_moved_elsewhere_gives_new_answers() {
    let f = Fixture::new("10").await;
    let _upstream = upstream(&f).await;
    let caller = f.keeps(0);
    f.see(&caller, &plain()).await;
    let moved = MockUpstream::start(Reply::chat("moved", 10, 5)).await;
    let key = f.key("openai_compatible", &moved.base_url(), "").await;
    let deployments = json!([{"provider_key": key, "model": "real-0"}]);
    f.change("m", "deployments", deployments.to_string()).await;
    let (told, body) = f.see(&caller, &plain()).await;
    assert!(is(&told, "miss") && body.contains("moved"), "{body}");
}

#[tokio::test]
async fn what_is_too_large_is_not_kept() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat(&"x".repeat(1 << 20), 10, 5)).await;
    f.at(&[&upstream]).await;
    let caller = f.keeps(0);
    for _ in 0..2 {
        assert!(is(&f.see(&caller, &plain()).await.0, "miss"));
    }
    assert_eq!(f.kept().await, 0);
}

#[tokio::test]
async fn each_way_of_asking_has_answers_of_its_own() {
    let f = Fixture::new("10").await;
    let upstream = upstream(&f).await;
    let caller = f.keeps(0);
    let mut body = plain();
    body["max_tokens"] = 100.into();
    for (dialect, asked) in [(Dialect::OpenAi, 1), (Dialect::Anthropic, 2)] {
        for told in ["miss", "hit"] {
            let answer = f.send_wishing(&caller, dialect, Reuse::Allowed, &body);
            assert!(is(&seen(answer.await).await.0, told));
        }
        assert_eq!(upstream.received().len(), asked);
    }
    // Responses are made to be gone on from.
    let respond = || async {
        let id = RequestId::new(f.clock.now(), &f.random);
        let body = Bytes::from(json!({"model": "m", "input": "Hi"}).to_string());
        let answer = f
            .gateway
            .respond(Wishes::default(), caller.clone(), body, id);
        answer.await.unwrap()
    };
    for _ in 0..2 {
        assert_eq!(header(&respond().await, "x-cf-cache"), None);
    }
    assert_eq!(upstream.received().len(), 4);
    f.assert_settled().await;
}

#[tokio::test]
async fn vectors_are_given_again_and_cost_their_share() {
    for f in Fixture::each("10").await {
        let vectors = json!({"object": "list", "model": "real-0", "data": [{"object": "embedding",
            "index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1000, "total_tokens": 1000}});
        let upstream = MockUpstream::start(Reply::json(200, vectors.to_string())).await;
        f.at(&[&upstream]).await;
        let caller = f.keeps(50);
        let body = Bytes::from(json!({"model": "m", "input": "One"}).to_string());
        let mut bodies = Vec::new();
        for told in ["miss", "hit"] {
            let request = TaskRequest::json(Task::Embeddings, body.clone()).unwrap();
            let id = RequestId::new(f.clock.now(), &f.random);
            let answer = f
                .gateway
                .task(Wishes::default(), caller.clone(), request, id);
            let (cache, body) = seen(answer.await.unwrap()).await;
            assert!(is(&cache, told), "{}", f.name);
            bodies.push(body);
        }
        assert_eq!(bodies[0], bodies[1]);
        assert_eq!(upstream.received().len(), 1);
        assert_eq!(f.spent().await, nanos("0.0015"));
        f.assert_settled().await;
    }
}
