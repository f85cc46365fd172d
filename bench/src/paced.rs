//! Streams at the pace of a model, of which every byte is known beforehand: what `mock-upstream` sends and
//! `streams` compares with what arrives.

use std::time::Duration;

use bytes::Bytes;

/// As a fast model sends them.
pub const EVENTS_PER_SECOND: u32 = 50;
/// Between two words of one stream.
pub const INTERVAL: Duration = Duration::from_millis(20);
/// Words of one stream; the end mark has to come some time.
pub const MAX_WORDS: u32 = 10_000;
/// Timers tick every millisecond. Without this, all streams that are due within one would be sent in a burst.
const SPREAD: Duration = Duration::from_micros(20);
const SPREAD_STEPS: u32 = 50;

/// One stream: its number, which is in each of its words, and how many words it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script {
    pub number: u32,
    pub words: u32,
}

impl Script {
    /// What a client asks with. The two numbers travel in fields that a router passes on.
    pub fn request(&self, model: &str) -> Bytes {
        Bytes::from(format!(
            r#"{{"model":"{model}","messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"Tell me something about foxes, dogs and the weather."}}],"stream":true,"stream_options":{{"include_usage":true}},"max_tokens":{},"seed":{}}}"#,
            self.words, self.number
        ))
    }

    /// Looks for the numbers instead of parsing: the mock must stay far cheaper than what is measured.
    pub fn of_request(body: &[u8]) -> Option<Self> {
        let words = number_after(body, b"\"max_tokens\":")?;
        Some(Self {
            number: number_after(body, b"\"seed\":")?,
            words: words.clamp(1, MAX_WORDS),
        })
    }

    /// Words, then the end of the choice, then usage, then the end mark; nothing after that.
    pub fn event(&self, nth: u32) -> Option<Bytes> {
        let choice = match nth.checked_sub(self.words) {
            None => format!(
                r#"[{{"index":0,"delta":{{"content":" word {nth} of stream {}"}},"finish_reason":null}}]"#,
                self.number
            ),
            Some(0) => r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#.to_owned(),
            Some(1) => format!(
                r#"[],"usage":{{"prompt_tokens":12,"completion_tokens":{},"total_tokens":{}}}"#,
                self.words,
                self.words + 12
            ),
            Some(2) => return Some(Bytes::from_static(b"data: [DONE]\n\n")),
            Some(_) => return None,
        };
        Some(Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-{}\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\",\"choices\":{choice}}}\n\n",
            self.number
        )))
    }

    /// How long after its start the stream sends this event: the first at once, what ends it with its last word.
    pub fn due(&self, nth: u32) -> Duration {
        match nth.min(self.words - 1) {
            0 => Duration::ZERO,
            word => INTERVAL * word + SPREAD * (self.number % SPREAD_STEPS),
        }
    }

    /// How long the whole stream takes.
    pub fn duration(&self) -> Duration {
        self.due(self.words)
    }
}

fn number_after(body: &[u8], name: &[u8]) -> Option<u32> {
    let at = body.windows(name.len()).position(|window| window == name)?;
    let rest = body[at + name.len()..].trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Script = Script {
        number: 17,
        words: 3,
    };

    #[test]
    fn the_mock_reads_out_of_a_request_what_the_client_put_in() {
        assert_eq!(Script::of_request(&SCRIPT.request("m")), Some(SCRIPT));
        assert_eq!(Script::of_request(b"{\"seed\": 1}"), None);
    }

    #[test]
    fn a_stream_has_its_words_and_three_events_that_end_it() {
        let events: Vec<String> = (0..)
            .map_while(|nth| SCRIPT.event(nth))
            .map(|event| String::from_utf8_lossy(&event).into_owned())
            .collect();
        assert_eq!(events.len(), 6);
        assert!(events[2].contains("word 2 of stream 17"), "{}", events[2]);
        assert!(
            events[4].contains("\"completion_tokens\":3"),
            "{}",
            events[4]
        );
        assert_eq!(events[5], "data: [DONE]\n\n");
    }

    #[test]
    fn words_come_at_their_pace_and_the_end_with_the_last() {
        assert_eq!(SCRIPT.due(0), Duration::ZERO);
        assert_eq!(SCRIPT.due(2) - SCRIPT.due(1), INTERVAL);
        assert_eq!(SCRIPT.due(5), SCRIPT.due(2));
    }
}
