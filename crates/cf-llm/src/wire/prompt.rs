//! What a prompt is made of, as far as its size depends on it: text, pictures,
//! and things whose size nobody sees from here.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::bound::media::{picture_size, sound_seconds};
use crate::bound::pictures::{Detail, Size};
use crate::tokens::length;

/// Parts of a message that name something elsewhere, or that unfold: a file of
/// a few bytes may have a thousand pages.
const OPAQUE_PARTS: [&str; 9] = [
    "file",
    // Anthropic's.
    "document",
    "file_id",
    "file_url",
    "document_url",
    "video_url",
    "audio_url",
    "input_video",
    "video",
];

/// The messages of a request, weighed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub messages: u64,
    pub pictures: Vec<Picture>,
    pub sounds: Vec<Sound>,
    /// Bytes of what is not text.
    pub media_bytes: u64,
    /// Whether something is in it whose tokens its bytes do not bound.
    pub opaque: bool,
}

/// A picture in a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Picture {
    /// In pixels; none where it is not in the request, or not to be read.
    pub size: Option<Size>,
    pub detail: Detail,
    /// Bytes of the body that are the picture, not text.
    pub bytes: u64,
}

/// Sound in a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sound {
    /// How long it is at most; none where that is not to be read.
    pub seconds: Option<u64>,
    /// Bytes of the body that are the sound.
    pub bytes: u64,
}

impl Prompt {
    fn add(&mut self, other: Self) {
        self.pictures.extend(other.pictures);
        self.sounds.extend(other.sounds);
        self.media_bytes += other.media_bytes;
        self.opaque |= other.opaque;
    }

    pub(crate) fn images(&self) -> u64 {
        length(self.pictures.len())
    }
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Messages;
        impl<'de> Visitor<'de> for Messages {
            type Value = Prompt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of messages")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Prompt, S::Error> {
                let mut prompt = Prompt::default();
                while let Some(Message(message)) = seq.next_element()? {
                    prompt.add(message);
                    prompt.messages += 1;
                }
                Ok(prompt)
            }
        }
        deserializer.deserialize_seq(Messages)
    }
}

/// The input of a Responses request: a text, or items.
#[derive(Clone, Debug, Default)]
pub(super) struct Input(pub Prompt);

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputVisitor;
        impl<'de> Visitor<'de> for InputVisitor {
            type Value = Input;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of items")
            }
            fn visit_str<E>(self, _: &str) -> Result<Input, E> {
                let messages = 1;
                Ok(Input(Prompt {
                    messages,
                    ..Prompt::default()
                }))
            }
            fn visit_unit<E>(self) -> Result<Input, E> {
                Ok(Input::default())
            }
            fn visit_seq<S: SeqAccess<'de>>(self, seq: S) -> Result<Input, S::Error> {
                let list = de::value::SeqAccessDeserializer::new(seq);
                Prompt::deserialize(list).map(Input)
            }
        }
        deserializer.deserialize_any(InputVisitor)
    }
}

struct Message(Prompt);

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MessageVisitor;
        impl<'de> Visitor<'de> for MessageVisitor {
            type Value = Message;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message with role and content")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Message, M::Error> {
                let mut prompt = Prompt::default();
                while let Some(Text(name)) = map.next_key()? {
                    match &*name {
                        // Twice the same name: whichever counts, both are weighed.
                        "content" => prompt.add(map.next_value::<Content>()?.0),
                        // What a tool answered, in Responses.
                        "output" => prompt.add(map.next_value::<Content>()?.0),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Message(prompt))
            }
        }
        deserializer.deserialize_map(MessageVisitor)
    }
}

/// A text, or a list of parts.
struct Content(Prompt);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }
            fn visit_str<E>(self, _: &str) -> Result<Content, E> {
                Ok(Content(Prompt::default()))
            }
            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content(Prompt::default()))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Content, S::Error> {
                let mut prompt = Prompt::default();
                while let Some(Part(part)) = seq.next_element()? {
                    prompt.add(part);
                }
                Ok(Content(prompt))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Content, M::Error> {
                read_part(map).map(Content)
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct Part(Prompt);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor;
        impl<'de> Visitor<'de> for PartVisitor {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part of a message")
            }
            fn visit_str<E>(self, _: &str) -> Result<Part, E> {
                Ok(Part(Prompt::default()))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Part, M::Error> {
                read_part(map).map(Part)
            }
        }
        deserializer.deserialize_any(PartVisitor)
    }
}

/// What a part is, by its type and by the names of its fields: servers differ
/// in which of them they go by.
fn read_part<'de, M: MapAccess<'de>>(mut map: M) -> Result<Prompt, M::Error> {
    let mut image = false;
    let mut opaque = false;
    let mut audio = false;
    let mut all = Weight::default();
    let mut inner = Prompt::default();
    while let Some(Text(name)) = map.next_key()? {
        // What a tool answered may hold pictures too.
        if name == "content" {
            inner.add(map.next_value::<Content>()?.0);
            continue;
        }
        if name == "type" {
            if let Some(Text(kind)) = map.next_value::<Weight<'_>>()?.text {
                image |= matches!(&*kind, "image_url" | "image" | "input_image");
                opaque |= OPAQUE_PARTS.contains(&&*kind) || kind == "input_file";
            }
            continue;
        }
        image |= matches!(&*name, "image_url" | "image");
        audio |= name == "input_audio";
        opaque |= OPAQUE_PARTS.contains(&&*name);
        let weight = map.next_value::<Weight<'_>>()?;
        all.add(&name, weight);
    }
    if !(image || opaque || audio) {
        return Ok(inner);
    }
    // What could be taken for two things is measured as neither.
    let data = all.data.filter(|_| all.sources == 1);
    let mut part = Prompt {
        media_bytes: all.bytes,
        opaque,
        ..Prompt::default()
    };
    if image {
        part.pictures.push(Picture {
            size: data.and_then(|data| match data {
                Data::Picture(size) => Some(size),
                Data::Sound(_) => None,
            }),
            detail: all.detail.unwrap_or_default(),
            bytes: all.bytes,
        });
    } else if audio {
        part.sounds.push(Sound {
            seconds: data.and_then(|data| match data {
                Data::Sound(seconds) => Some(seconds),
                Data::Picture(_) => None,
            }),
            bytes: all.bytes,
        });
    }
    inner.add(part);
    Ok(inner)
}

/// What a text turns out to be when it is read.
#[derive(Clone, Copy)]
enum Data {
    Picture(Size),
    Sound(u64),
}

/// The bytes of all texts in a value, and what they are.
#[derive(Clone, Default)]
struct Weight<'a> {
    bytes: u64,
    /// The value itself where it is a text.
    text: Option<Text<'a>>,
    /// How many texts may be what a part is about.
    sources: u32,
    data: Option<Data>,
    detail: Option<Detail>,
}

impl Weight<'_> {
    /// Takes in what stands under a name.
    fn add(&mut self, name: &str, other: Self) {
        /// Fields that only say how the others are to be taken.
        const QUIET: [&str; 8] = [
            "type",
            "detail",
            "format",
            "media_type",
            "mime_type",
            "ttl",
            "mode",
            "cache_control",
        ];
        self.bytes += other.bytes;
        if name == "detail" {
            self.detail = Some(match other.text {
                Some(Text(detail)) if detail == "low" => Detail::Low,
                Some(Text(detail)) if detail == "high" => Detail::High,
                _ => Detail::Most,
            });
        } else {
            self.detail = self.detail.max(other.detail);
        }
        if !QUIET.contains(&name) {
            self.sources += other.sources;
            self.data = self.data.or(other.data);
        }
    }

    fn of(text: &str) -> Self {
        Self {
            bytes: length(text.len()),
            text: None,
            sources: 1,
            data: picture_size(text)
                .map(Data::Picture)
                .or_else(|| sound_seconds(text).map(Data::Sound)),
            detail: None,
        }
    }
}

impl<'de> Deserialize<'de> for Weight<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WeightVisitor;
        impl<'de> Visitor<'de> for WeightVisitor {
            type Value = Weight<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Weight<'de>, E> {
                let weight = Weight::of(text);
                Ok(Weight {
                    text: Some(Text(text.into())),
                    ..weight
                })
            }
            fn visit_str<E>(self, text: &str) -> Result<Weight<'de>, E> {
                // Only a type is of interest, and none is long.
                let kept = (text.len() <= 64).then(|| Text(text.to_owned().into()));
                let weight = Weight::of(text);
                Ok(Weight {
                    text: kept,
                    bytes: weight.bytes,
                    sources: weight.sources,
                    data: weight.data,
                    detail: None,
                })
            }
            fn visit_u64<E>(self, _: u64) -> Result<Weight<'de>, E> {
                Ok(Weight::default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<Weight<'de>, E> {
                Ok(Weight::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Weight<'de>, E> {
                Ok(Weight::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Weight<'de>, E> {
                Ok(Weight::default())
            }
            fn visit_unit<E>(self) -> Result<Weight<'de>, E> {
                Ok(Weight::default())
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Weight<'de>, S::Error> {
                let mut sum = Weight::default();
                while let Some(weight) = seq.next_element::<Weight<'de>>()? {
                    sum.add("", weight);
                }
                Ok(sum)
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Weight<'de>, M::Error> {
                let mut sum = Weight::default();
                while let Some((Text(name), weight)) = map.next_entry::<Text<'de>, Weight<'de>>()? {
                    sum.add(&name, weight);
                }
                Ok(sum)
            }
        }
        deserializer.deserialize_any(WeightVisitor)
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Clone, serde::Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn weigh(content: &str) -> (u64, u64, bool) {
        let messages = format!(r#"[{{"role":"user","content":{content}}}]"#);
        let prompt: Prompt = serde_json::from_str(&messages).expect("messages");
        assert_eq!(prompt.messages, 1);
        (prompt.images(), prompt.media_bytes, prompt.opaque)
    }

    #[test]
    fn parts_are_weighed_by_what_they_are() {
        for (content, expected) in [
            (r#""text""#, (0, 0, false)),
            ("null", (0, 0, false)),
            (r#"[{"type":"text","text":"image_url"}]"#, (0, 0, false)),
            (
                r#"[{"type":"image_url","image_url":{"url":"abcd"}}]"#,
                (1, 4, false),
            ),
            (
                r#"[{"type":"image_url","image_url":"abcd"},{"type":"text","text":"x"}]"#,
                (1, 4, false),
            ),
            (
                r#"[{"type":"im\u0061ge_url","image\u005furl":{"url":"abcd"}}]"#,
                (1, 4, false),
            ),
            (r#"[{"type":"text","type":"image_url"}]"#, (1, 0, false)),
            (
                r#"[{"type":"input_audio","input_audio":{"data":"abcdef","format":"wav"}}]"#,
                (0, 9, false),
            ),
            (r#"[{"type":"file","file":{"file_id":"f"}}]"#, (0, 1, true)),
            (
                r#"[{"type":"text","text":"x","video_url":null}]"#,
                (0, 1, true),
            ),
            (r#"["plain",{"text":"x"}]"#, (0, 0, false)),
        ] {
            assert_eq!(weigh(content), expected, "{content}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            "{}",
            "[1]",
            "[\"x\"]",
            r#"[{"content":[1]}]"#,
            r#"[{"content":7}]"#,
        ] {
            assert!(serde_json::from_str::<Prompt>(bad).is_err(), "{bad}");
        }
        let deep = format!(
            r#"[{{"content":[{{"x":{}1{}}}]}}]"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        assert!(serde_json::from_str::<Prompt>(&deep).is_err());
    }
}
