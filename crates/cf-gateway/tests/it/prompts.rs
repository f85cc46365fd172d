//! What was asked and answered, for tenants that keep it: nothing by default, all
//! that the client was given otherwise, and for no longer than is said.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Caller, Keeping, RequestId};
use cf_gateway::{Form, Part, Prompt, Task, TaskRequest, Wishes};
use cf_testkit::{MockUpstream, Reply, Step};
use http::HeaderValue;
use serde_json::{Value, json};

use crate::fixture::{Fixture, frame, header, plain, streamed, text};

impl Fixture {
    /// The caller, whose tenant keeps prompts for so many days.
    async fn logs(&self, days: u32) -> Arc<Caller> {
        let tenant = self.caller.tenant_id.to_string();
        let user = self.caller.user_id.to_string();
        let sql = "insert into tenants (id, name, slug, prompt_log_days, created, updated) \
                   values ($1, 'T', 't', $2, '', '')";
        let values = vec![tenant.clone().into(), i64::from(days).into()];
        self.db.execute(sql, values).await.unwrap();
        let sql = "insert into users (id, email, password_hash, token_key, tenant_id, created, updated) \
                   values ($1, 'u@example.com', '', '', $2, '', '')";
        let values = vec![user.into(), tenant.into()];
        self.db.execute(sql, values).await.unwrap();
        Arc::new(Caller {
            keeping: Keeping {
                prompt_log_days: days,
                ..Keeping::default()
            },
            ..(*self.caller).clone()
        })
    }

    /// What was kept of a call.
    async fn prompt(&self, request_id: &str) -> Option<Prompt> {
        self.gateway.flush_prompts().await;
        self.gateway.prompt(request_id).await.unwrap()
    }

    async fn prompts(&self) -> i64 {
        self.gateway.flush_prompts().await;
        let sql = "select count(*) from prompt_logs";
        let row = self.db.query_opt(sql, vec![]).await.unwrap().unwrap();
        row.at(0).unwrap()
    }

    /// The one call that is kept.
    async fn only_prompt(&self) -> Prompt {
        self.gateway.flush_prompts().await;
        let sql = "select request_id from prompt_logs";
        let rows = self.db.query(sql, vec![]).await.unwrap();
        assert_eq!(rows.len(), 1, "{}", self.name);
        let id: String = rows[0].at(0).unwrap();
        self.prompt(&id).await.unwrap()
    }
}

#[tokio::test]
async fn nothing_is_kept_unless_the_tenant_says_so() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    f.at(&[&upstream]).await;
    f.send(&plain()).await.unwrap();
    assert_eq!(f.prompts().await, 0);
}

#[tokio::test]
async fn question_and_answer_are_kept_sealed_as_the_client_has_them() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
        f.at(&[&upstream]).await;
        let caller = f.logs(7).await;
        for body in [plain(), streamed()] {
            if body["stream"] == true {
                upstream.next(Reply::chat_stream(&["Hel", "lo"], 10, 5));
            }
            let response = f.send_as(&caller, &body).await.unwrap();
            let id = header(&response, "x-request-id").unwrap().to_owned();
            let answer = text(response.into_body()).await;
            let kept = f.prompt(&id).await.unwrap();
            assert_eq!(kept.tenant_id, caller.tenant_id, "{}", f.name);
            assert_eq!(kept.user_id, caller.user_id.to_string());
            assert_eq!(kept.created, f.clock.now());
            assert_eq!(kept.endpoint, "chat/completions");
            assert_eq!(
                (kept.question, kept.question_cut),
                (body.to_string(), false)
            );
            assert_eq!((kept.answer, kept.answer_cut), (answer, false));
        }
        let sql = "select question_sealed, answer_sealed from prompt_logs";
        for row in f.db.query(sql, vec![]).await.unwrap() {
            for at in [0, 1] {
                let sealed: String = row.at(at).unwrap();
                assert!(sealed.starts_with("1.") && !sealed.contains("content"));
            }
        }
        f.assert_settled().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_given_again_is_logged_like_any_other() {
    let f = Fixture::new("10").await;
    let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
    f.at(&[&upstream]).await;
    let mut caller = (*f.logs(7).await).clone();
    caller.keeping.cache_seconds = 60;
    let caller = Arc::new(caller);
    let mut answers = Vec::new();
    for told in ["miss", "hit"] {
        let response = f.send_as(&caller, &plain()).await.unwrap();
        assert_eq!(header(&response, "x-cf-cache"), Some(told));
        let id = header(&response, "x-request-id").unwrap();
        answers.push(f.prompt(id).await.unwrap().answer);
    }
    assert!(answers[0].contains("Hello"));
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_what_it_was_given() {
    for f in Fixture::each("10").await {
        let chunk = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":\
                     [{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n";
        let upstream = MockUpstream::start(Reply::stream(vec![
            Step::Send(Bytes::from_static(chunk.as_bytes())),
            Step::Stall,
        ]))
        .await;
        f.at(&[&upstream]).await;
        let caller = f.logs(7).await;
        let mut body = f.send_as(&caller, &streamed()).await.unwrap().into_body();
        let seen = frame(&mut body).await.unwrap();
        drop(body);
        assert_eq!(f.the_call().await.status, "cancelled");
        let kept = f.only_prompt().await;
        assert_eq!(kept.question, streamed().to_string(), "{}", f.name);
        assert_eq!(kept.answer, seen);
    }
}

#[tokio::test]
async fn a_call_that_fails_is_kept_with_what_the_client_is_told() {
    let f = Fixture::new("10").await;
    let refused = r#"{"error":{"message":"too hot","type":"invalid_request_error"}}"#;
    let upstream = MockUpstream::start(Reply::json(400, refused)).await;
    f.at(&[&upstream]).await;
    let caller = f.logs(7).await;
    let response = f.send_as(&caller, &plain()).await.unwrap();
    assert_eq!(response.status(), 400);
    let kept = f.only_prompt().await;
    assert!(kept.answer.contains("too hot"), "{}", kept.answer);
    f.db.execute("delete from prompt_logs", vec![])
        .await
        .unwrap();
    upstream.next(Reply::json(500, "{}"));
    assert!(f.send_as(&caller, &plain()).await.is_err());
    let kept = f.only_prompt().await;
    assert_eq!(kept.question, plain().to_string());
    assert_eq!(kept.answer, "");
}

#[tokio::test]
async fn what_is_too_long_is_cut_and_says_so() {
    for f in Fixture::each("10").await {
        let long = "ä".repeat(200_000);
        let upstream = MockUpstream::start(Reply::chat(&long, 10, 5)).await;
        f.at(&[&upstream]).await;
        let caller = f.logs(7).await;
        let body = json!({"model": "m", "messages": [{"role": "user", "content": long}]});
        let response = f.send_as(&caller, &body).await.unwrap();
        let answer = text(response.into_body()).await;
        let kept = f.only_prompt().await;
        for (kept, cut, whole) in [
            (kept.question, kept.question_cut, body.to_string()),
            (kept.answer, kept.answer_cut, answer),
        ] {
            assert!(cut && whole.starts_with(&kept), "{}", f.name);
            assert!((262_143..=262_144).contains(&kept.len()), "{}", kept.len());
        }
    }
}

#[tokio::test]
async fn prompts_go_when_their_days_are_over_and_when_the_tenant_keeps_none() {
    for f in Fixture::each("10").await {
        let upstream = MockUpstream::start(Reply::chat("Hello", 10, 5)).await;
        f.at(&[&upstream]).await;
        let caller = f.logs(2).await;
        f.send_as(&caller, &plain()).await.unwrap();
        f.clock.advance(Duration::from_secs(86_400));
        f.send_as(&caller, &plain()).await.unwrap();
        assert_eq!(f.prompts().await, 2, "{}", f.name);
        assert_eq!(f.gateway.prune_prompts().await.unwrap(), 0);
        f.clock.advance(Duration::from_secs(86_400));
        assert_eq!(f.gateway.prune_prompts().await.unwrap(), 1);
        let sql = "update tenants set prompt_log_days = 0";
        f.db.execute(sql, vec![]).await.unwrap();
        assert_eq!(f.gateway.prune_prompts().await.unwrap(), 1);
        assert_eq!(f.prompts().await, 0);
        // What was still on its way when its user was deleted.
        let sql = "update tenants set prompt_log_days = 2";
        f.db.execute(sql, vec![]).await.unwrap();
        f.send_as(&caller, &plain()).await.unwrap();
        f.db.execute("delete from users", vec![]).await.unwrap();
        assert_eq!(f.prompts().await, 1);
        assert_eq!(f.gateway.prune_prompts().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn other_endpoints_are_kept_too_and_of_files_their_sizes() {
    let f = Fixture::new("10").await;
    let vectors = json!({"object": "list", "model": "real-0", "data": [{"object": "embedding",
        "index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}});
    let upstream = MockUpstream::start(Reply::json(200, vectors.to_string())).await;
    f.at(&[&upstream]).await;
    let caller = f.logs(7).await;
    let send = |request: TaskRequest| async {
        let id = RequestId::new(f.clock.now(), &f.random);
        let shown = id.as_str().to_owned();
        let answer = f
            .gateway
            .task(Wishes::default(), caller.clone(), request, id);
        let _ = answer.await;
        f.prompt(&shown).await.unwrap()
    };
    let body = json!({"model": "m", "input": "One"}).to_string();
    let kept = send(TaskRequest::json(Task::Embeddings, Bytes::from(body.clone())).unwrap()).await;
    assert_eq!(
        (kept.endpoint.as_str(), kept.question),
        ("embeddings", body)
    );
    assert!(kept.answer.contains("0.5"));

    let mut form = Form::new("BOUNDARY");
    for (name, data, is_file) in [
        ("model", &b"w"[..], false),
        ("prompt", b"names", false),
        ("file", &[1; 9_000], true),
    ] {
        let more = if is_file { "; filename=\"a.wav\"" } else { "" };
        let disposition = format!("form-data; name=\"{name}\"{more}");
        form.push(Part {
            name: name.into(),
            disposition: HeaderValue::from_str(&disposition).unwrap(),
            content_type: None,
            is_file,
            data: Bytes::copy_from_slice(data),
        })
        .unwrap();
    }
    let key = f.key("openai", &upstream.base_url(), "").await;
    let deployments = json!([{"provider_key": key, "model": "whisper-1"}]);
    let by_the_book = json!({"prices": {}, "max_output_tokens": 0});
    f.model("w", deployments, by_the_book).await;
    upstream.next(Reply::json(200, r#"{"text":"Hello"}"#));
    let kept = send(TaskRequest::form(Task::Transcription, form).unwrap()).await;
    assert_eq!(kept.endpoint, "audio/transcriptions");
    let shown: Value = serde_json::from_str(&kept.question).unwrap();
    assert_eq!(shown[1], json!({"name": "prompt", "text": "names"}));
    assert_eq!(shown[2], json!({"name": "file", "bytes": 9_000}));
    assert!(kept.answer.contains("Hello"), "{}", kept.answer);
}
