//! A provider that numbers the calls it is sent and keeps their numbers, not
//! their bodies: for runs with very many calls.

use std::collections::HashSet;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Reply;
use crate::upstream::{respond, serve};

/// What a provider counted; cheap to clone.
#[derive(Clone, Default)]
pub struct Count(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    asked: u64,
    answered: HashSet<u64>,
}

impl Count {
    /// Calls that came in full.
    pub fn asked(&self) -> u64 {
        self.0.lock().asked
    }

    /// Calls whose reply was taken to its end.
    pub fn answered(&self) -> usize {
        self.0.lock().answered.len()
    }

    /// Whether the reply to this call was taken to its end.
    pub fn has_answered(&self, number: u64) -> bool {
        self.0.lock().answered.contains(&number)
    }
}

/// A provider on a free loopback port; its first call has the number 0.
pub struct NumberedUpstream {
    base_url: String,
    count: Count,
    accepting: JoinHandle<()>,
}

impl NumberedUpstream {
    /// Starts an upstream that replies by number and body.
    #[allow(clippy::disallowed_methods)] // aborted when dropped
    pub async fn start(reply: fn(u64, &[u8]) -> Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let count = Count::default();
        let counting = count.clone();
        let accepting = tokio::spawn(serve(
            listener,
            move |request: hyper::Request<hyper::body::Incoming>| {
                let count = counting.clone();
                async move {
                    let Ok(body) = request.into_body().collect().await else {
                        // Its sender is gone, and it was no call yet.
                        return Ok(respond(Reply::json(400, "{}"), |_| ()).await);
                    };
                    let number = {
                        let mut counted = count.0.lock();
                        counted.asked += 1;
                        counted.asked - 1
                    };
                    let reply = reply(number, &body.to_bytes());
                    Ok(respond(reply, move |to_the_end| {
                        if to_the_end {
                            count.0.lock().answered.insert(number);
                        }
                    })
                    .await)
                }
            },
        ));
        Self {
            base_url: format!("http://{address}/v1"),
            count,
            accepting,
        }
    }

    /// The base address, such as `http://127.0.0.1:4711/v1`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What it counts.
    pub fn count(&self) -> &Count {
        &self.count
    }
}

impl Drop for NumberedUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
