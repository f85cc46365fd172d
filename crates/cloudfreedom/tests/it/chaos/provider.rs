//! The provider that the chaos calls: it numbers its replies, and writes the
//! number into their usage, which ends up in the books.

use std::time::Duration;

use cf_testkit::{Reply, Step};

/// Prompt tokens of a reply at least; the prompts are longer than twice that.
const PROMPT: u64 = 501;
const PROMPTS: u64 = 500;
const CACHED: u64 = 500;
/// As many output tokens as even the tightest budget grants.
const COMPLETIONS: u64 = 16;

/// What stands for a reply in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number(pub u64);

impl Number {
    /// The number that these counts stand for.
    pub fn of(prompt: u64, cached: u64, completion: u64) -> Self {
        Self(((completion - 1) * PROMPTS + (prompt - PROMPT)) * CACHED + cached)
    }

    fn usage(self) -> (u64, u64, u64) {
        let completion = self.0 / (PROMPTS * CACHED) + 1;
        assert!(completion <= COMPLETIONS, "more calls than numbers");
        (
            PROMPT + self.0 / CACHED % PROMPTS,
            self.0 % CACHED,
            completion,
        )
    }
}

/// Some wait, so that at any moment calls are at every stage.
pub fn reply(number: u64, body: &[u8]) -> Reply {
    let (prompt, cached, completion) = Number(number).usage();
    let pause = Duration::from_millis(number * 7919 % 60);
    let streamed = body.windows(13).any(|w| w == b"\"stream\":true");
    if !streamed {
        return Reply::chat_cached("Hello!", prompt, cached, completion).after(pause);
    }
    let mut reply = Reply::chat_stream_cached(&["Hel", "lo", "!"], prompt, cached, completion);
    let at = usize::try_from(number % 5).unwrap_or(0);
    reply.steps.insert(at, Step::Wait(pause));
    reply
}
