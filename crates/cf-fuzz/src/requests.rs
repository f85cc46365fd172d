//! What clients of chats send, for every provider.

use std::collections::HashMap;

use bytes::Bytes;
use cf_base::{Error, Kind};
use cf_llm::{ChatRequest, Dialect, History, Kept, OutputPlan, Wishes};

use crate::draw::Draw;
use crate::examples::{self, CLIENTS};
use crate::places::Somewhere;
use crate::shape;

/// Output tokens that are told where a limit is.
const LIMIT: u64 = 3000;
const CONTEXT: u64 = 200_000;

/// A request is taken or refused, its bound covers its count, and what a provider is
/// sent is a request with the limit that was reserved for.
pub fn requests(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let client = draw.one_of(&CLIENTS);
    let somewhere = Somewhere::for_chats(&mut draw);
    let place = somewhere.place();
    let (tell, counts) = (draw.flag(), draw.seldom(32));
    let wishes = Wishes {
        drop_params: draw.flag(),
        anthropic_version: draw.seldom(4).then(|| "2026-10-21".to_owned()),
        ..Wishes::default()
    };
    let body = if draw.seldom(8) {
        draw.rest().to_vec()
    } else {
        let mut body = examples::request(client);
        draw.spoil(&mut body);
        body.to_string().into_bytes()
    };
    let Some(body) = completed(client, body) else {
        return;
    };
    let request = match ChatRequest::read_as(client, &body) {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    let bound = request.input_bound(&place, Some(CONTEXT));
    let bound = bound.expect("the context bounds it").tokens();
    assert!(bound <= CONTEXT, "{bound}");
    // It takes longer than all the rest.
    if counts && let Some(counted) = request.counted_bound(&place, Some(CONTEXT)) {
        assert!(counted.tokens() <= bound, "{counted:?} {bound}");
    }
    let _ = request.output_beyond_limit();
    let _ = request.last_user_text();
    let plan = OutputPlan {
        tokens: LIMIT,
        tell,
    };
    match request.outgoing(&place, plan, &wishes) {
        Err(error) => refused(&error),
        Ok(outgoing) => {
            if let Err(error) = request.check_version(&outgoing.route, &wishes) {
                refused(&error);
            }
            shape::bounded(outgoing.body.len(), body.len());
            shape::outgoing(&outgoing, tell.then_some(LIMIT));
        }
    }
}

/// A request of Responses with what it goes on from; others as they are.
fn completed(client: Dialect, body: Vec<u8>) -> Option<Vec<u8>> {
    if client != Dialect::Responses {
        return Some(body);
    }
    let earlier = examples::answer(Dialect::Responses).to_string();
    let earlier = Kept::read(earlier.as_bytes()).map_or_else(Vec::new, |kept| kept.output);
    let mut history = match History::read(&body) {
        Ok(history) => history,
        Err(error) => {
            refused(&error);
            return None;
        }
    };
    match history.complete(&Bytes::from(body), &earlier, &HashMap::new()) {
        Ok(body) => Some(body.to_vec()),
        Err(error) => {
            refused(&error);
            None
        }
    }
}

/// Whatever a client sends, it is not our fault and says so in a few words.
pub fn refused(error: &Error) {
    let is_clients = matches!(error.kind, Kind::Invalid { .. } | Kind::TooLarge);
    assert!(is_clients, "{error:?}");
    let length = error.message.len();
    assert!((1..=4096).contains(&length), "{length} bytes: {error}");
}
