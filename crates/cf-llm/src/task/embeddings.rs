//! Embeddings: OpenAI's request for every provider that has them, and its answer
//! made of theirs.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cf_base::{Error, Result, Usage, Work};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::Body;
use super::{Answers, Call, Reading, Told, json_body, none_of_it};
use crate::conversation::Dropping;
use crate::json::{Json, Object, object};
use crate::place::Place;
use crate::tokens::{estimated_tokens, length};
use crate::wire::prompt::Text;
use crate::{Provider, embedding_usage};

/// Texts of one request at most, as OpenAI has it.
const MAX_INPUTS: usize = 2048;
/// Calls that one request may become, where a provider takes few texts at a time.
const MAX_CALLS: usize = 100;

/// What is to be embedded.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// Bytes, or tokens where those were given, of each input.
    sizes: Vec<u64>,
    /// Whether the inputs are tokens already.
    is_tokens: bool,
    /// Whether vectors are wanted as base64.
    base64: bool,
}

/// How a provider takes texts and gives vectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// OpenAI's.
    OpenAi,
    /// The Gemini API: a list.
    GeminiBatch,
    /// Vertex AI: one text, by the newer models.
    VertexEmbed,
    /// Vertex AI's predict.
    VertexPredict,
    /// Amazon's Titan on Bedrock: one text.
    Titan,
    /// Amazon's Nova on Bedrock: one text.
    Nova,
    /// Cohere on Bedrock.
    Cohere,
}

impl Format {
    fn of(place: &Place<'_>) -> Option<Self> {
        let model = place.model;
        Some(match place.provider {
            Provider::OpenAi
            | Provider::Azure
            | Provider::Mistral
            | Provider::OpenAiCompatible
            | Provider::Demo => Self::OpenAi,
            Provider::Gemini => Self::GeminiBatch,
            Provider::Vertex if model.contains('/') || model.contains("claude") => return None,
            Provider::Vertex if model.contains("gemini-embedding-2") => Self::VertexEmbed,
            Provider::Vertex => Self::VertexPredict,
            Provider::Bedrock if model.contains("titan-embed") => Self::Titan,
            Provider::Bedrock if model.contains("multimodal-embeddings") => Self::Nova,
            Provider::Bedrock if model.contains("cohere.embed") => Self::Cohere,
            Provider::Bedrock | Provider::Anthropic => return None,
        })
    }

    /// Texts in one call at most.
    fn at_a_time(self, model: &str) -> usize {
        match self {
            Self::OpenAi => MAX_INPUTS,
            Self::GeminiBatch => 100,
            Self::VertexPredict if model.contains("gemini-embedding") => 1,
            Self::VertexPredict => 250,
            Self::Cohere => 96,
            Self::VertexEmbed | Self::Titan | Self::Nova => 1,
        }
    }
}

impl Embeddings {
    pub fn read(body: &Body<'_>) -> Result<Self> {
        let wrong = "a string, a list of strings, or tokens";
        let input: Input = body.read("input", wrong)?.ok_or_else(|| {
            Error::invalid_field("input", format!("You must provide input: {wrong}."))
        })?;
        if input.sizes.is_empty() || input.sizes.len() > MAX_INPUTS {
            return Err(Error::invalid_field(
                "input",
                format!("input has 1 to {MAX_INPUTS} texts."),
            ));
        }
        let format = body.text("encoding_format")?;
        let base64 = match format.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => {
                return Err(Error::invalid_field(
                    "encoding_format",
                    "encoding_format is float or base64.",
                ));
            }
        };
        Ok(Self {
            sizes: input.sizes,
            is_tokens: input.is_tokens,
            base64,
        })
    }

    /// No tokenizer makes more than a token of a byte; a few mark its ends.
    pub fn bound(&self, longest: Option<u64>) -> Work {
        let longest = longest.unwrap_or(u64::MAX);
        let input = self.sizes.iter().map(|n| (n + 8).min(longest));
        Work {
            input: input.fold(0, u64::saturating_add),
            ..Work::default()
        }
    }

    pub fn estimate(&self) -> Usage {
        let all: u64 = self.sizes.iter().sum();
        Usage {
            input: if self.is_tokens {
                all
            } else {
                estimated_tokens(all)
            },
            ..Usage::default()
        }
    }

    pub fn calls(
        &self,
        body: &Body<'_>,
        place: &Place<'_>,
        dropping: &mut Dropping,
    ) -> Result<(Vec<Call>, Reading)> {
        let Some(format) = Format::of(place) else {
            return Err(none_of_it(place, "embeddings"));
        };
        let reading = Reading::Embeddings(format);
        if format == Format::OpenAi {
            let body = if place.provider == Provider::Mistral {
                // It has another name for the dimensions, and gives floats.
                self.for_mistral(body, place.model, dropping)?
            } else {
                body.with_model(place.model)
            };
            let url = place.openai_url("embeddings")?;
            return Ok((vec![Call::json(url, body)], reading));
        }
        let texts = self.texts(body, place)?;
        let dimensions: Option<u64> = body.read("dimensions", "a whole number")?;
        for name in body.names() {
            match name {
                "model" | "input" | "encoding_format" | "dimensions" | "user" | "drop_params"
                | "input_type" | "metadata" => {}
                other => dropping.refuse(other)?,
            }
        }
        let kind = body.text("input_type")?;
        let chunks = texts.chunks(format.at_a_time(place.model));
        if chunks.len() > MAX_CALLS {
            return Err(Error::invalid_field(
                "input",
                format!(
                    "{} takes {} texts at a time with this model; send at most {} at once.",
                    place.provider.label(),
                    format.at_a_time(place.model),
                    format.at_a_time(place.model) * MAX_CALLS
                ),
            ));
        }
        let mut calls = Vec::with_capacity(chunks.len());
        for texts in chunks {
            let json = write(
                format,
                place.model,
                texts,
                dimensions,
                kind.as_deref(),
                dropping,
            )?;
            let url = match format {
                Format::OpenAi | Format::GeminiBatch => place.model_url("batchEmbedContents")?,
                Format::VertexEmbed => place.model_url("embedContent")?,
                Format::VertexPredict => place.model_url("predict")?,
                Format::Titan | Format::Nova | Format::Cohere => place.model_url("invoke")?,
            };
            calls.push(Call::json(url, json.to_bytes()));
        }
        Ok((calls, reading))
    }

    fn texts<'a>(&self, body: &Body<'a>, place: &Place<'_>) -> Result<Vec<Cow<'a, str>>> {
        if self.is_tokens {
            return Err(Error::invalid_field(
                "input",
                format!(
                    "{} takes texts, not tokens: send input as strings.",
                    place.provider.label()
                ),
            ));
        }
        let raw = body.raw("input").map_or("[]", RawValue::get);
        if let Ok(Text(text)) = serde_json::from_str(raw) {
            return Ok(vec![text]);
        }
        let texts: Vec<Text<'_>> = serde_json::from_str(raw)
            .map_err(|_| Error::invalid_field("input", "input is a list of strings."))?;
        Ok(texts.into_iter().map(|Text(text)| text).collect())
    }

    fn for_mistral(&self, body: &Body<'_>, model: &str, dropping: &mut Dropping) -> Result<Bytes> {
        let mut json = object! {"model": model.to_owned()};
        for name in body.names() {
            let Some(raw) = body.raw(name) else { continue };
            match name {
                "input" if self.is_tokens => {
                    return Err(Error::invalid_field(
                        "input",
                        "Mistral takes texts, not tokens: send input as strings.",
                    ));
                }
                "input" => json.put("input", raw),
                "metadata" => json.put("metadata", raw),
                "dimensions" | "output_dimension" => json.put("output_dimension", raw),
                "output_dtype" if raw.get() != "\"float\"" => {
                    // What the vectors are made of here is floats.
                    dropping.refuse("output_dtype")?;
                }
                "model" | "encoding_format" | "user" | "drop_params" | "output_dtype" => {}
                other => dropping.refuse(other)?,
            }
        }
        Ok(Json::from(json).to_bytes())
    }

    /// Made into OpenAI's answer.
    pub fn reply(&self, format: Format, model: &str, answers: &Answers<'_>) -> Option<Told> {
        if format == Format::OpenAi {
            return self.passed(answers.first()?);
        }
        let mut vectors = Vec::with_capacity(self.sizes.len());
        let mut tokens = Some(0_u64);
        for answer in answers.iter() {
            let counted = match header_count(answer.headers) {
                Some(counted) => Some(counted),
                None => embedding_usage(answer.body).map(|counted| counted.usage.input),
            };
            tokens = tokens.zip(counted).map(|(a, b)| a.saturating_add(b));
            vectors.extend(vectors_of(format, answer.body)?);
        }
        if vectors.len() != self.sizes.len() {
            return None;
        }
        let usage = tokens.map(|input| Usage {
            input,
            ..Usage::default()
        });
        let shown = usage.unwrap_or_else(|| self.estimate());
        let body = self.write(model, &vectors, shown.input)?;
        Some(Told {
            tokens: usage,
            ..Told::json(body)
        })
    }

    /// An answer in OpenAI's shape; some servers give floats whatever is asked for.
    fn passed(&self, answer: &super::Answer<'_>) -> Option<Told> {
        #[derive(Deserialize)]
        struct List<'a> {
            #[serde(borrow)]
            data: Vec<Item<'a>>,
            #[serde(default)]
            model: Option<String>,
        }
        #[derive(Deserialize)]
        struct Item<'a> {
            #[serde(borrow)]
            embedding: &'a RawValue,
        }
        let list: List<'_> = serde_json::from_slice(answer.body).ok()?;
        let tokens = super::usage::read(answer.body, super::usage::Output::Text).tokens;
        let is_list = |item: &Item<'_>| item.embedding.get().starts_with('[');
        let body = if self.base64 && list.data.iter().any(is_list) {
            let vectors: Vec<_> = list
                .data
                .iter()
                .map(|i| Cow::Borrowed(i.embedding))
                .collect();
            let model = list.model.unwrap_or_default();
            let shown = tokens.unwrap_or_else(|| self.estimate());
            self.write(&model, &vectors, shown.input)?
        } else {
            answer.body.clone()
        };
        Some(Told {
            tokens,
            ..Told::json(body)
        })
    }

    fn write(&self, model: &str, vectors: &[Cow<'_, RawValue>], tokens: u64) -> Option<Bytes> {
        let mut data = Vec::with_capacity(vectors.len());
        for (index, vector) in vectors.iter().enumerate() {
            let mut item = object! {"object": "embedding", "index": length(index)};
            if self.base64 {
                item.put("embedding", as_base64(vector)?);
            } else {
                item.put("embedding", &**vector);
            }
            data.push(Json::from(item));
        }
        Some(
            Json::from(object! {
                "object": "list", "data": data, "model": model.to_owned(),
                "usage": object! {"prompt_tokens": tokens, "total_tokens": tokens},
            })
            .to_bytes(),
        )
    }

    /// What the demo provider says: vectors made of the text's bytes, the same ones
    /// for the same text. They mean nothing.
    pub fn demo(&self, body: &Body<'_>, model: &str) -> Result<Told> {
        let raw = body.raw("input").map_or("", RawValue::get);
        let dimensions: u64 = body.read("dimensions", "a whole number")?.unwrap_or(64);
        if !(1..=4096).contains(&dimensions) {
            return Err(Error::invalid_field(
                "dimensions",
                "dimensions is 1 to 4096.",
            ));
        }
        let inputs: Vec<&RawValue> = match serde_json::from_str::<Vec<&RawValue>>(raw) {
            // A list of numbers is one input.
            Ok(list) if self.sizes.len() == list.len() && !is_number_list(&list) => list,
            _ => body.raw("input").into_iter().collect(),
        };
        let vectors: Option<Vec<Cow<'_, RawValue>>> = inputs
            .iter()
            .map(|input| meaningless(input.get(), dimensions).map(Cow::Owned))
            .collect();
        let estimate = self.estimate();
        let body = vectors.and_then(|vectors| self.write(model, &vectors, estimate.input));
        Ok(Told {
            tokens: Some(estimate),
            ..Told::json(body.ok_or_else(|| Error::internal("a vector that is none"))?)
        })
    }
}

fn is_number_list(list: &[&RawValue]) -> bool {
    let first = list.first().map_or("", |raw| raw.get());
    first.starts_with(|c: char| c.is_ascii_digit())
}

/// A vector of length one that follows from the text's hash alone.
fn meaningless(text: &str, dimensions: u64) -> Option<Box<RawValue>> {
    let mut numbers = Vec::with_capacity(usize::try_from(dimensions).ok()?);
    for block in 0..dimensions.div_ceil(16) {
        let hash = cf_base::sha256_hex(format!("{block}:{text}").as_bytes());
        for digits in hash.as_bytes().chunks(4) {
            let digits = std::str::from_utf8(digits).ok()?;
            let n = u16::from_str_radix(digits, 16).ok()?;
            numbers.push(f64::from(n) / 32_767.5 - 1.0);
        }
    }
    numbers.truncate(usize::try_from(dimensions).ok()?);
    let size = numbers.iter().map(|n| n * n).sum::<f64>().sqrt().max(1e-9);
    let texts: Vec<String> = numbers.iter().map(|n| format!("{:.6}", n / size)).collect();
    RawValue::from_string(format!("[{}]", texts.join(","))).ok()
}

fn write<'a>(
    format: Format,
    model: &str,
    texts: &'a [Cow<'a, str>],
    dimensions: Option<u64>,
    kind: Option<&'a str>,
    dropping: &mut Dropping,
) -> Result<Json<'a>> {
    let first = || texts.first().map_or("", |text| &**text);
    let parts = |text: &'a str| {
        let part = Json::from(object! {"text": text});
        object! {"parts": vec![part]}
    };
    // Words of Google's for what Cohere calls so.
    let google = kind.map(|kind| match kind {
        "search_document" | "passage" => "RETRIEVAL_DOCUMENT".to_owned(),
        "search_query" | "query" => "RETRIEVAL_QUERY".to_owned(),
        other => other.to_ascii_uppercase(),
    });
    let json: Object<'a> = match format {
        Format::OpenAi | Format::GeminiBatch => {
            let name = format!("models/{}", model.trim_start_matches("models/"));
            let requests = texts.iter().map(|text| {
                let mut request = object! {"model": name.clone(), "content": parts(text)};
                request.maybe("taskType", google.clone());
                request.maybe("outputDimensionality", dimensions);
                Json::from(request)
            });
            object! {"requests": requests.collect::<Vec<_>>()}
        }
        Format::VertexEmbed => {
            let mut config = Object::default();
            config.maybe("taskType", google);
            config.maybe("outputDimensionality", dimensions);
            let mut json = object! {"content": parts(first())};
            if !config.is_empty() {
                json.put("embedContentConfig", config);
            }
            json
        }
        Format::VertexPredict => {
            let instances = texts.iter().map(|text| {
                let mut instance = object! {"content": &**text};
                instance.maybe("task_type", google.clone());
                Json::from(instance)
            });
            let mut json = object! {"instances": instances.collect::<Vec<_>>()};
            json.maybe(
                "parameters",
                dimensions.map(|n| object! {"outputDimensionality": n}),
            );
            json
        }
        Format::Titan => {
            let mut json = object! {"inputText": first()};
            if model.contains("embed-image") {
                json.maybe(
                    "embeddingConfig",
                    dimensions.map(|n| object! {"outputEmbeddingLength": n}),
                );
            } else if model.contains("embed-text-v2") {
                json.maybe("dimensions", dimensions);
            } else if dimensions.is_some() {
                dropping.refuse("dimensions")?;
            }
            json
        }
        Format::Nova => {
            let text = object! {"truncationMode": "END", "value": first()};
            let purpose = match kind {
                None => "GENERIC_INDEX".to_owned(),
                Some("search_query" | "query") => "TEXT_RETRIEVAL".to_owned(),
                Some("search_document" | "passage") => "GENERIC_INDEX".to_owned(),
                Some(other) => other.to_ascii_uppercase(),
            };
            let mut params = object! {"embeddingPurpose": purpose, "text": text};
            params.maybe("embeddingDimension", dimensions);
            object! {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}
        }
        Format::Cohere => {
            let list: Vec<Json<'a>> = texts.iter().map(|text| Json::from(&**text)).collect();
            let types = vec![Json::from("float")];
            let mut json = object! {
                "texts": list, "input_type": kind.unwrap_or("search_document"),
                "embedding_types": types,
            };
            if model.contains("embed-v4") {
                json.maybe("output_dimension", dimensions);
            } else if dimensions.is_some() {
                dropping.refuse("dimensions")?;
            }
            json
        }
    };
    Ok(Json::from(json))
}

/// Bedrock tells the tokens in a header, whatever the model.
fn header_count(headers: &http::HeaderMap) -> Option<u64> {
    let told = headers.get("x-amzn-bedrock-input-token-count")?;
    told.to_str()
        .ok()?
        .parse()
        .ok()
        .filter(|n| *n <= crate::count::MOST)
}

fn vectors_of<'a>(format: Format, body: &'a [u8]) -> Option<Vec<Cow<'a, RawValue>>> {
    #[derive(Deserialize)]
    struct Values<'a> {
        #[serde(borrow)]
        values: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Listed<'a> {
        #[serde(borrow)]
        embeddings: Vec<Values<'a>>,
    }
    #[derive(Deserialize)]
    struct One<'a> {
        #[serde(borrow)]
        embedding: Values<'a>,
    }
    #[derive(Deserialize)]
    struct Predictions<'a> {
        #[serde(borrow)]
        predictions: Vec<Prediction<'a>>,
    }
    #[derive(Deserialize)]
    struct Prediction<'a> {
        #[serde(borrow)]
        embeddings: Values<'a>,
    }
    #[derive(Deserialize)]
    struct Titan<'a> {
        #[serde(borrow)]
        embedding: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Nova<'a> {
        #[serde(borrow)]
        embeddings: Vec<Titan<'a>>,
    }
    #[derive(Deserialize)]
    struct Cohere<'a> {
        #[serde(borrow)]
        embeddings: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct ByType<'a> {
        #[serde(borrow)]
        float: Vec<&'a RawValue>,
    }
    let raw: Vec<&'a RawValue> = match format {
        Format::OpenAi | Format::GeminiBatch => {
            let listed: Listed<'a> = json_body(body)?;
            listed.embeddings.into_iter().map(|e| e.values).collect()
        }
        Format::VertexEmbed => vec![json_body::<One<'a>>(body)?.embedding.values],
        Format::VertexPredict => {
            let all: Predictions<'a> = json_body(body)?;
            let vectors = all.predictions.into_iter();
            vectors.map(|p| p.embeddings.values).collect()
        }
        Format::Titan => vec![json_body::<Titan<'a>>(body)?.embedding],
        Format::Nova => {
            let all: Nova<'a> = json_body(body)?;
            all.embeddings.into_iter().map(|e| e.embedding).collect()
        }
        Format::Cohere => {
            let raw = json_body::<Cohere<'a>>(body)?.embeddings.get();
            // By type where a type was asked for; else a plain list.
            match serde_json::from_str::<ByType<'a>>(raw) {
                Ok(by_type) => by_type.float,
                Err(_) => serde_json::from_str(raw).ok()?,
            }
        }
    };
    let vectors = raw.into_iter();
    Some(vectors.map(Cow::Borrowed).collect())
}

/// Numbers of four bytes, the least significant byte first.
fn as_base64(vector: &RawValue) -> Option<String> {
    let numbers: Vec<f32> = serde_json::from_str(vector.get()).ok()?;
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    Some(STANDARD.encode(bytes))
}

/// The inputs, weighed.
struct Input {
    sizes: Vec<u64>,
    is_tokens: bool,
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inputs;
        impl<'de> Visitor<'de> for Inputs {
            type Value = Input;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings, or tokens")
            }
            fn visit_str<E>(self, text: &str) -> Result<Input, E> {
                Ok(Input {
                    sizes: vec![length(text.len())],
                    is_tokens: false,
                })
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Input, S::Error> {
                use serde::de::Error as _;
                let mut sizes = Vec::new();
                let mut kind = None;
                while let Some(item) = seq.next_element::<Item>()? {
                    let (this, size) = match item {
                        Item::Text(size) => (0, size),
                        Item::Tokens(size) => (1, size),
                        Item::Token => (2, 1),
                    };
                    if kind.is_some_and(|kind| kind != this) {
                        return Err(S::Error::custom("inputs of several kinds"));
                    }
                    kind = Some(this);
                    match (this, sizes.first_mut()) {
                        // Numbers alone are one input of so many tokens.
                        (2, Some(one)) => *one += 1,
                        _ => sizes.push(size),
                    }
                    if sizes.len() > MAX_INPUTS {
                        return Err(S::Error::custom("too many inputs"));
                    }
                }
                Ok(Input {
                    sizes,
                    is_tokens: kind.is_some_and(|kind| kind > 0),
                })
            }
        }
        deserializer.deserialize_any(Inputs)
    }
}

enum Item {
    Text(u64),
    Tokens(u64),
    Token,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a token, or a list of tokens")
            }
            fn visit_str<E>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(length(text.len())))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Item, E> {
                Ok(Item::Token)
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Item, S::Error> {
                let mut count = 0;
                while seq.next_element::<u64>()?.is_some() {
                    count += 1;
                }
                Ok(Item::Tokens(count))
            }
        }
        deserializer.deserialize_any(Items)
    }
}
