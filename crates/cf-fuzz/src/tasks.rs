//! What is no chat: embeddings, pictures, sound, moderations, ranks, counts.

use bytes::Bytes;
use cf_llm::{Answer, StreamFrame, Task, TaskPlan, TaskRequest, Wishes};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::draw::Draw;
use crate::places::Somewhere;
use crate::replies::headers;
use crate::requests::refused;
use crate::shape;

const TASKS: [Task; 6] = [
    Task::Embeddings,
    Task::Images,
    Task::Speech,
    Task::Moderation,
    Task::Rerank,
    Task::CountTokens,
];

/// A request is taken or refused, what is estimated was reserved, and whatever is
/// answered is read or not.
pub fn tasks(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let task = draw.one_of(&TASKS);
    let somewhere = Somewhere::for_tasks(&mut draw);
    let place = somewhere.place();
    let wishes = Wishes {
        drop_params: draw.flag(),
        ..Wishes::default()
    };
    let body = if draw.seldom(12) {
        Bytes::copy_from_slice(draw.rest())
    } else {
        let mut body = request(task);
        draw.spoil(&mut body);
        Bytes::from(body.to_string())
    };
    let request = match TaskRequest::json(task, body.clone()) {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    let bound = request.bound(&place, None, None);
    let estimate = request.estimate();
    shape::usage(&estimate);
    if task != Task::Images {
        assert!(
            estimate.prompt_tokens() <= bound.input.max(1),
            "{estimate:?} {bound:?}"
        );
    }
    let _ = (
        request.picture(),
        request.knows_pieces(),
        request.demo("demo", "id"),
    );
    let plan = match request.plan(&place, &wishes) {
        Ok(plan) => plan,
        Err(error) => return refused(&error),
    };
    assert!(!plan.calls.is_empty());
    for call in &plan.calls {
        shape::bounded(call.body.len(), body.len());
        shape::json(&call.body);
    }
    answered(&mut draw, task, &request, &plan);
    streamed(&mut draw, &request, &plan);
}

fn answered(draw: &mut Draw<'_>, task: Task, request: &TaskRequest, plan: &TaskPlan) {
    let parts: Vec<(HeaderMap, Bytes)> = (plan.calls.iter().take(8))
        .map(|_| {
            let mut body = answer(draw, task);
            draw.spoil(&mut body);
            (headers(draw), Bytes::from(body.to_string()))
        })
        .collect();
    let answers: Vec<Answer<'_>> = parts
        .iter()
        .map(|(headers, body)| Answer { headers, body })
        .collect();
    let came: usize = parts.iter().map(|(_, body)| body.len()).sum();
    if let Some(told) = plan.reply(request, "m", "id", 1, &answers) {
        shape::bounded(told.body.len(), came);
        if let Some(tokens) = &told.tokens {
            shape::usage(tokens);
        }
        // What was kept back has a refusal in its place.
        match told.refusal() {
            Some(refusal) => drop(shape::json(&refusal)),
            None if told.content_type.is_none() => drop(shape::json(&told.body)),
            None => {}
        }
    }
}

/// What is passed on of a stream is the same in any pieces.
fn streamed(draw: &mut Draw<'_>, request: &TaskRequest, plan: &TaskPlan) {
    let kind = draw.one_of(&["text/event-stream", "audio/mpeg", "application/json"]);
    if !plan.streams(request, kind) {
        return;
    }
    let mut body = Vec::new();
    for (kind, more) in [
        ("speech.audio.delta", json!({"audio": "AAEC"})),
        ("transcript.text.delta", json!({"delta": "Hi"})),
        (
            "speech.audio.done",
            json!({"usage": {"input_tokens": 14, "output_tokens": 101}}),
        ),
    ] {
        let mut event = more;
        event["type"] = kind.into();
        if draw.seldom(2) {
            draw.spoil(&mut event);
        }
        body.extend_from_slice(format!("data: {event}\n\n").as_bytes());
    }
    let listen = |pieces: &[&[u8]]| {
        let (mut stream, _) = plan.stream(request, kind, (request.estimate(), true));
        let mut out = Vec::new();
        for piece in pieces {
            stream
                .push(Bytes::copy_from_slice(piece))
                .expect("no event is large");
            while let Some(frame) = stream.next_frame().expect("events") {
                match frame {
                    StreamFrame::Pass(bytes) => out.extend_from_slice(&bytes),
                    last => return (out, last, stream.usage()),
                }
            }
        }
        let last = stream.end();
        (out, last, stream.usage())
    };
    let whole = listen(&[&body]);
    shape::usage(&whole.2.0);
    let cut = listen(&draw.cut(&body));
    assert_eq!(cut, whole);
}

fn request(task: Task) -> Value {
    match task {
        Task::Embeddings => json!({"model": "m", "input": ["One", "Zwei"], "dimensions": 256,
            "encoding_format": "base64", "user": "u"}),
        Task::Images => json!({"model": "m", "prompt": "A cat", "n": 2, "size": "1024x1024",
            "quality": "high", "response_format": "b64_json", "output_format": "png", "stream": false}),
        Task::Speech => json!({"model": "m", "input": "Hello", "voice": "alloy",
            "response_format": "mp3", "speed": 1, "stream_format": "sse", "instructions": "slowly"}),
        Task::Moderation => json!({"model": "m", "input": [{"type": "text", "text": "x"}]}),
        Task::Rerank => json!({"model": "m", "query": "q", "documents": ["d", {"text": "e"}],
            "top_n": 1, "return_documents": true}),
        _ => json!({"model": "m", "system": "x", "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}]}),
    }
}

/// An answer as one of the providers has it.
fn answer(draw: &mut Draw<'_>, task: Task) -> Value {
    let vector = json!([0.5, -1.0]);
    let answers = match task {
        Task::Embeddings => vec![
            json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 2},
                "data": [{"object": "embedding", "index": 0, "embedding": vector},
                    {"object": "embedding", "index": 1, "embedding": "AACAPw=="}]}),
            json!({"embeddings": [{"values": vector}, {"values": vector}],
                "usageMetadata": {"promptTokenCount": 5}}),
            json!({"predictions": [{"embeddings": {"values": vector,
                "statistics": {"token_count": 3}}}]}),
            json!({"embedding": {"values": vector}, "usageMetadata": {"promptTokenCount": 4}}),
            json!({"embedding": vector, "inputTextTokenCount": 2}),
            json!({"embeddings": [{"embeddingType": "TEXT", "embedding": vector}]}),
            json!({"embeddings": {"float": [vector, vector]}}),
        ],
        Task::Images => vec![
            json!({"created": 1, "data": [{"b64_json": "AAEC"}], "usage": {"input_tokens": 5,
                "output_tokens": 100, "total_tokens": 105,
                "input_tokens_details": {"text_tokens": 5, "image_tokens": 0}}}),
            json!({"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png",
                "data": "AAEC"}}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1290}}),
            json!({"predictions": [{"bytesBase64Encoded": "AAEC", "mimeType": "image/png"},
                {"raiFilteredReason": "no"}]}),
            json!({"images": ["AAEC"], "error": null, "finish_reasons": [null], "seeds": [1]}),
        ],
        Task::Speech => vec![json!({"candidates": [{"content": {"parts": [{"inlineData":
            {"mimeType": "audio/L16;rate=24000", "data": "AAEC"}}]}}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 20}})],
        Task::Moderation => vec![
            json!({"id": "m", "model": "x", "results": [{"flagged": true}],
            "usage": {"prompt_tokens": 3}}),
        ],
        Task::Rerank => vec![
            json!({"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1,
                "relevance_score": 0.1}], "meta": {"billed_units": {"search_units": 1}}}),
            json!({"id": "r", "results": [{"index": 1, "relevance_score": 0.5}],
                "usage": {"total_tokens": 9}}),
        ],
        _ => vec![
            json!({"input_tokens": 9}),
            json!({"inputTokens": 9}),
            json!({"totalTokens": 9}),
        ],
    };
    answers[draw.below(answers.len())].clone()
}
