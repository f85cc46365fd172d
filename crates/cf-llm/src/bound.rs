//! How much can go into a call at most, before anybody has counted it: by bytes
//! at once, exactly where that is worth the work. Always an upper bound.

pub(crate) mod media;
pub(crate) mod pictures;
mod tokenizer;

use memchr::memmem;

use crate::Provider;
use crate::dialect::Dialect;
use crate::place::Place;
use crate::tokens::{IMAGE_BOUND, length};
use crate::wire::chat::ChatRequest;
use crate::wire::prompt::{Picture, Sound};
use pictures::PictureRule;
use tokenizer::Tokenizer;

/// Searches that a call may make where it does not say how many.
pub(crate) const SEARCHES: u64 = 10;
/// Tokens of a second of sound: Google's 32 is the most that anybody publishes.
const SOUND: u64 = 32;
/// Text that is counted at most; more is no model's context.
const COUNTED: usize = 8 << 20;

/// Input tokens of a call at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InputBound {
    /// Of which nobody knows what they will be counted as.
    pub any: u64,
    /// Text.
    pub text: u64,
    /// Pictures, or text.
    pub pictures: u64,
    /// Sound, or text.
    pub sound: u64,
    /// Whether text may be written to the provider's cache, at a price.
    pub writes_cache: bool,
    /// Whether for an hour.
    pub writes_cache_for_hours: bool,
    /// Searches that are billed by the piece.
    pub web_searches: u64,
}

impl InputBound {
    /// All tokens.
    pub fn tokens(&self) -> u64 {
        [self.text, self.pictures, self.sound]
            .into_iter()
            .fold(self.any, u64::saturating_add)
    }

    /// As much of it as fits into a context, of what may be dearest.
    #[must_use]
    pub fn within(mut self, context: u64) -> Self {
        let mut left = context;
        for part in [
            &mut self.any,
            &mut self.sound,
            &mut self.pictures,
            &mut self.text,
        ] {
            *part = (*part).min(left);
            left -= *part;
        }
        self
    }
}

/// Whose rules a model's input is counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    OpenAi(PictureRule),
    Claude(PictureRule),
    Gemini(PictureRule),
    Mistral,
    Nova,
    Unknown,
}

impl Family {
    fn of(place: &Place<'_>, client: Dialect) -> Self {
        let is_claude = place.model.contains("claude");
        match place.route(client).upstream {
            Dialect::Anthropic => Self::Claude(PictureRule::claude(place.model)),
            Dialect::Converse if is_claude => Self::Claude(PictureRule::claude(place.model)),
            Dialect::Gemini => Self::Gemini(PictureRule::gemini(place.model)),
            Dialect::OpenAi | Dialect::Responses | Dialect::Completions
                if matches!(place.provider, Provider::OpenAi | Provider::Azure) =>
            {
                PictureRule::openai(openai_name(place.model)).map_or(Self::Unknown, Self::OpenAi)
            }
            Dialect::OpenAi if place.provider == Provider::Mistral => Self::Mistral,
            Dialect::Converse if place.model.contains("amazon.nova") => Self::Nova,
            Dialect::OpenAi | Dialect::Responses | Dialect::Completions | Dialect::Converse => {
                Self::Unknown
            }
        }
    }

    fn pictures(self) -> Option<PictureRule> {
        match self {
            Self::OpenAi(rule) | Self::Claude(rule) | Self::Gemini(rule) => Some(rule),
            Self::Mistral => Some(PictureRule::Mistral),
            Self::Nova => Some(PictureRule::Nova),
            Self::Unknown => None,
        }
    }

    /// Tokens of a picture, and bytes of the body that are not text beside it.
    fn picture(self, picture: &Picture) -> (u64, u64) {
        match self.pictures() {
            Some(rule) => (rule.bound(picture.size, picture.detail), picture.bytes),
            // A server that nobody knows may read even the picture's bytes as text.
            None => (IMAGE_BOUND, 0),
        }
    }

    /// The same of sound.
    fn sound(self, sound: &Sound) -> (u64, u64) {
        match (self, sound.seconds) {
            (Self::OpenAi(_) | Self::Gemini(_), Some(seconds)) => {
                (seconds.saturating_add(1).saturating_mul(SOUND), sound.bytes)
            }
            // A byte of sound is never more than a token.
            _ => (sound.bytes, sound.bytes),
        }
    }
}

/// The name of a model of OpenAI's, of one made out of it too.
fn openai_name(model: &str) -> &str {
    let model = model.strip_prefix("ft:").unwrap_or(model);
    model.strip_prefix("openai/").unwrap_or(model)
}

impl ChatRequest<'_> {
    /// An upper bound of what goes in at a provider: text by its bytes, pictures and
    /// sound by the provider's rules. `context` is what the model takes at most, where
    /// that is known. `None` if only that bounds it, and it is not known.
    pub fn input_bound(&self, place: &Place<'_>, context: Option<u64>) -> Option<InputBound> {
        let family = Family::of(place, self.dialect);
        let media = self.media(family);
        let bound = match self.text_bytes(&media) {
            None => opaque(family, context?),
            Some(text) => media.with_text(family, text),
        };
        Some(self.finish(family, bound, context))
    }

    /// Bytes that may be text, and what is known to stand around them.
    fn text_bytes(&self, media: &Media) -> Option<u64> {
        let pictures = self.prompt().images() * IMAGE_BOUND;
        let whole = self.prompt_token_bound()?;
        Some(whole.saturating_sub(pictures + media.bytes))
    }

    /// The same with the text counted by the model's tokenizer. `None` where that
    /// is not known. Takes its time: see [`ChatRequest::is_countable`].
    pub fn counted_bound(&self, place: &Place<'_>, context: Option<u64>) -> Option<InputBound> {
        let family = Family::of(place, self.dialect);
        let tokenizer = self.tokenizer(place, family)?;
        let media = self.media(family);
        let mut text = 64;
        let mut counted = 0;
        for (name, raw) in self.fields() {
            let json = raw.get();
            counted += json.len();
            match &**name {
                "messages" | "system" | "input" | "instructions" => {
                    text += tokenizer.count_texts(json)?
                }
                // They are put in words of the provider's own, which are shorter than
                // the JSON; a quarter is for where they are not.
                "tools" | "functions" | "response_format" | "output_config" | "text" => {
                    text += tokenizer.count(json).saturating_mul(5) / 4 + 256;
                }
                _ => text += length(json.len()),
            }
        }
        // The names of the fields.
        text += length(self.body().len().saturating_sub(counted));
        // Of a short text the bytes may say less.
        let text = text.min(self.text_bytes(&media)?);
        let bound = media.with_text(family, text);
        Some(self.finish(family, bound, context))
    }

    /// Whether counting can tell more than the bytes do.
    pub fn is_countable(&self, place: &Place<'_>) -> bool {
        let family = Family::of(place, self.dialect);
        self.tokenizer(place, family).is_some()
    }

    fn tokenizer(&self, place: &Place<'_>, family: Family) -> Option<Tokenizer> {
        let is_openai = matches!(family, Family::OpenAi(_));
        // Messages' own pictures are not told from text by the counter.
        let is_plain = self.dialect == Dialect::OpenAi || self.prompt().pictures.is_empty();
        let fits = self.body().len() <= COUNTED && self.prompt_token_bound().is_some();
        (is_openai && is_plain && fits)
            .then(|| Tokenizer::of(openai_name(place.model)))
            .flatten()
    }

    fn media(&self, family: Family) -> Media {
        let mut media = Media::default();
        for picture in &self.prompt().pictures {
            let (tokens, bytes) = family.picture(picture);
            media.pictures += tokens;
            media.bytes += bytes;
        }
        for sound in &self.prompt().sounds {
            let (tokens, bytes) = family.sound(sound);
            media.sound += tokens;
            media.bytes += bytes;
        }
        media
    }

    fn finish(&self, family: Family, bound: InputBound, context: Option<u64>) -> InputBound {
        let (writes_cache, writes_cache_for_hours) = match family {
            // From 1,024 tokens on, whether asked for or not.
            Family::OpenAi(_) => (true, false),
            // Only where asked for.
            Family::Claude(_) | Family::Nova => (self.may_say(b"cache"), self.may_say(b"1h")),
            // Nothing is billed for it.
            Family::Gemini(_) | Family::Mistral => (false, false),
            Family::Unknown => (true, true),
        };
        InputBound {
            writes_cache,
            writes_cache_for_hours: writes_cache && writes_cache_for_hours,
            web_searches: self.web_searches(family),
            ..bound.within(context.unwrap_or(u64::MAX))
        }
    }

    /// Whether a word stands in the body; perhaps where digits or letters of it may
    /// be written as numbers.
    fn may_say(&self, word: &[u8]) -> bool {
        let body = self.body();
        // Those of ASCII begin so; what is beyond it is often written as numbers.
        let hides = |at: usize| matches!(body.get(at + 4), Some(b'3'..=b'7'));
        memmem::find(body, word).is_some() || memmem::find_iter(body, b"\\u00").any(hides)
    }

    /// Searches in the web at most.
    fn web_searches(&self, family: Family) -> u64 {
        let has = |name: &str| self.fields().iter().any(|(n, _)| n == name);
        let by_field = match family {
            // Search models look once.
            Family::OpenAi(_) if has("web_search_options") => 1,
            _ if has("web_search_options") || has("search_parameters") || has("plugins") => {
                SEARCHES
            }
            _ => 0,
        };
        if !self.may_say(b"web_search") {
            return by_field;
        }
        by_field + self.search_tools(SEARCHES)
    }

    /// Output beyond the limit: what OpenAI bills of a prediction that was wrong,
    /// and thinking of Claude's that was allowed more than the limit.
    pub fn output_beyond_limit(&self) -> u64 {
        let mut beyond = 0;
        for (name, raw) in self.fields() {
            match &**name {
                "prediction" => beyond += length(raw.get().len()),
                "thinking" => {
                    let budget = self.thinking_budget().unwrap_or(0);
                    if self.max_output_tokens.is_some_and(|limit| budget >= limit) {
                        beyond += budget;
                    }
                }
                _ => {}
            }
        }
        beyond
    }
}

/// What of a request is not text.
#[derive(Default)]
struct Media {
    pictures: u64,
    sound: u64,
    /// Bytes of the body that are counted by these and not as text.
    bytes: u64,
}

impl Media {
    fn with_text(&self, family: Family, text: u64) -> InputBound {
        if family == Family::Unknown {
            return InputBound {
                any: text + self.pictures + self.sound,
                ..InputBound::default()
            };
        }
        InputBound {
            text,
            pictures: self.pictures,
            sound: self.sound,
            ..InputBound::default()
        }
    }
}

/// A whole context of what nobody sees from here. Claude does not hear.
fn opaque(family: Family, context: u64) -> InputBound {
    let is_claude = matches!(family, Family::Claude(_));
    InputBound {
        pictures: if is_claude { context } else { 0 },
        any: if is_claude { 0 } else { context },
        ..InputBound::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=";

    fn bound_in(dialect: Dialect, provider: Provider, model: &str, fields: &str) -> InputBound {
        let body = format!(r#"{{"model":"m","max_tokens":9,{fields}}}"#);
        let request = ChatRequest::read_as(dialect, body.as_bytes()).expect("a request");
        let place = Place {
            provider,
            model,
            base_url: "",
            region: "",
            settings: &Settings::default(),
            project: "",
            has_plain_key: false,
        };
        let bound = request.input_bound(&place, Some(1_000_000)).expect("bound");
        if let Some(counted) = request.counted_bound(&place, Some(1_000_000)) {
            assert!(counted.tokens() <= bound.tokens(), "{counted:?} {bound:?}");
            assert_eq!(counted.pictures, bound.pictures);
        }
        bound
    }

    fn bound(provider: Provider, model: &str, fields: &str) -> InputBound {
        bound_in(Dialect::OpenAi, provider, model, fields)
    }

    #[test]
    fn a_picture_counts_by_the_rule_of_who_sees_it() {
        let picture = format!(
            r#""messages":[{{"role":"user","content":[{{"type":"image_url",
                "image_url":{{"url":"data:image/png;base64,{PIXEL}","detail":"high"}}}}]}}]"#
        );
        for (provider, model, tokens) in [
            (Provider::OpenAi, "gpt-4o", 85 + 4 * 170 + 32),
            (Provider::Azure, "gpt-4.1-mini", 447),
            (Provider::Anthropic, "claude-opus-4-7", 33),
            (Provider::Bedrock, "us.anthropic.claude-sonnet-4-5", 33),
            (Provider::Vertex, "claude-sonnet-4-5", 33),
            (Provider::Gemini, "gemini-2.5-flash", 2 * 258 + 32),
            (Provider::Mistral, "pixtral-12b", 2 + 32),
            (
                Provider::Bedrock,
                "amazon.nova-2-lite-v1:0",
                996_u64.pow(2).div_ceil(450) + 32,
            ),
        ] {
            let bound = bound(provider, model, &picture);
            assert_eq!(bound.pictures, tokens, "{model}");
            assert!(bound.text < 200, "its bytes are no text: {bound:?}");
        }
        // Who is not known may count it as anything, and read its bytes too.
        for (provider, model) in [
            (Provider::OpenAiCompatible, "gpt-4o"),
            (Provider::Azure, "grok-4"),
            (Provider::Bedrock, "meta.llama4-maverick-17b-instruct-v1:0"),
        ] {
            let bound = bound(provider, model, &picture);
            assert!(
                bound.any > IMAGE_BOUND + length(PIXEL.len()),
                "{model} {bound:?}"
            );
        }
    }

    #[test]
    fn what_is_not_seen_from_here_is_the_largest_that_the_model_takes() {
        let url = r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x/a.png"}}]}]"#;
        let both = format!(
            r#""messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{PIXEL}"}},"image":"https://x/a.png"}}]}}]"#
        );
        for fields in [url, &both] {
            assert_eq!(
                bound(Provider::OpenAi, "gpt-4o", fields).pictures,
                85 + 8 * 170 + 32
            );
        }
        let file = r#""messages":[{"content":[{"type":"file","file":{"file_id":"f"}}]}]"#;
        assert_eq!(bound(Provider::OpenAi, "gpt-4o", file).any, 1_000_000);
    }

    #[test]
    fn sound_counts_by_its_length() {
        let mp3 = format!("SUQz{}", "A".repeat(39_996));
        let fields = format!(
            r#""messages":[{{"content":[{{"type":"input_audio","input_audio":{{"data":"{mp3}","format":"mp3"}}}}]}}]"#
        );
        let seconds = 30;
        let openai = bound(Provider::OpenAi, "gpt-4o-audio-preview", &fields);
        assert_eq!(openai.sound, (seconds + 1) * SOUND);
        assert!(openai.text < 200, "{openai:?}");
        let unknown = bound(Provider::OpenAiCompatible, "x", &fields);
        assert!(unknown.any > 40_000 && unknown.sound == 0, "{unknown:?}");
    }

    #[test]
    fn caches_are_written_where_providers_do() {
        let plain = r#""messages":[{"content":"Hi"}]"#;
        let cached = r#""messages":[{"content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}}]}]"#;
        let hour = r#""messages":[{"content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]"#;
        let hidden = r#""messages":[{"content":[{"type":"text","text":"Hi","c\u0061che_control":{"type":"ephemeral","ttl":"1h"}}]}]"#;
        let writes = |provider, model, fields| {
            let bound = bound(provider, model, fields);
            (bound.writes_cache, bound.writes_cache_for_hours)
        };
        let claude = |fields| writes(Provider::Anthropic, "claude-sonnet-4-5", fields);
        assert_eq!(claude(plain), (false, false));
        assert_eq!(claude(cached), (true, false));
        assert_eq!(claude(hour), (true, true));
        assert_eq!(claude(hidden), (true, true));
        let umlaut = r#""messages":[{"content":"Gr\u00fc\u00dfe"}]"#;
        assert_eq!(claude(umlaut), (false, false));
        assert_eq!(writes(Provider::OpenAi, "gpt-5.6", plain), (true, false));
        assert_eq!(
            writes(Provider::Gemini, "gemini-3-pro", plain),
            (false, false)
        );
        assert_eq!(writes(Provider::OpenAiCompatible, "x", plain), (true, true));
    }

    #[test]
    fn searches_are_counted_by_the_piece() {
        let searches = |tools: &str| {
            let fields = format!(r#""messages":[{{"content":"Hi"}}],"tools":[{tools}]"#);
            let claude = (Provider::Anthropic, "claude-sonnet-4-5");
            bound_in(Dialect::Anthropic, claude.0, claude.1, &fields).web_searches
        };
        assert_eq!(searches(r#"{"name":"mine","input_schema":{}}"#), 0);
        let limited = r#"{"type":"web_search_20250305","name":"web_search","max_uses":3}"#;
        assert_eq!(searches(limited), 3);
        assert_eq!(
            searches(r#"{"type":"web_search_20250305","name":"web_search"}"#),
            SEARCHES
        );
        let openai = r#""messages":[{"content":"Hi"}],"web_search_options":{}"#;
        assert_eq!(
            bound(Provider::OpenAi, "gpt-4o-search-preview", openai).web_searches,
            1
        );
        assert_eq!(
            bound(Provider::OpenAiCompatible, "x", openai).web_searches,
            SEARCHES
        );
    }

    #[test]
    fn tools_that_the_client_runs_leave_the_text_bounded() {
        let bound = |kind: &str| {
            let fields = format!(
                r#""messages":[{{"content":"Hi"}}],"tools":[{{"type":"{kind}","name":"x"}}]"#
            );
            let claude = (Provider::Anthropic, "claude-sonnet-4-5");
            bound_in(Dialect::Anthropic, claude.0, claude.1, &fields).tokens()
        };
        assert!(bound("bash_20250124") < 5_000);
        assert_eq!(bound("code_execution_20250825"), 1_000_000);
    }

    #[test]
    fn a_context_keeps_what_may_be_dearest() {
        let bound = InputBound {
            text: 900,
            pictures: 80,
            sound: 40,
            ..InputBound::default()
        };
        let within = bound.within(100);
        assert_eq!((within.sound, within.pictures, within.text), (40, 60, 0));
        assert_eq!(bound.within(u64::MAX), bound);
    }

    #[test]
    fn output_beyond_the_limit_is_told() {
        let beyond = |dialect, fields: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"content":"Hi"}}],{fields}}}"#);
            ChatRequest::read_as(dialect, body.as_bytes())
                .expect("a request")
                .output_beyond_limit()
        };
        let thinking = |budget: u64| {
            let fields = format!(
                r#""max_tokens":5000,"thinking":{{"type":"enabled","budget_tokens":{budget}}}"#
            );
            beyond(Dialect::Anthropic, &fields)
        };
        assert_eq!(thinking(4_999), 0);
        assert_eq!(thinking(60_000), 60_000);
        let prediction = r#""prediction":{"type":"content","content":"abc"}"#;
        assert_eq!(beyond(Dialect::OpenAi, prediction), 34);
        assert_eq!(beyond(Dialect::OpenAi, r#""temperature":1"#), 0);
    }
}
