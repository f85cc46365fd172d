//! Pictures made of words, and pictures changed: OpenAI's request for every
//! provider that has them, and its answer made of theirs.

use bytes::Bytes;
use cf_base::{Error, Extra, Result, Usage, Work};
use serde::Deserialize;

use super::fields::Body;
use super::form::Form;
use super::usage::{self, Output};
use super::{Answers, Call, Reading, Told, json_body, none_of_it};
use crate::conversation::Dropping;
use crate::json::{Json, object};
use crate::place::Place;
use crate::tokens::{estimated_tokens, length};
use crate::{GeminiCounter, Provider};

/// Pictures of one request at most, as OpenAI has it.
const MAX_N: u64 = 10;
/// Pictures that are given to be changed, at most, as OpenAI has it.
const MAX_GIVEN: usize = 16;
/// Most tokens that a picture which is given counts as.
const GIVEN: u64 = 10_000;
/// Pixels of the largest picture of OpenAI's table of tokens by quality.
const TABLE_PIXELS: u64 = 1024 * 1536;
/// Output that Google's models are held to, thinking included.
const GEMINI_OUTPUT: u64 = 8_192;
/// Tokens of a picture that is shown while it is being made.
const PARTIAL: u64 = 100;

/// A picture that is wanted.
#[derive(Debug)]
pub(super) struct Images {
    prompt_bytes: u64,
    given: u64,
    n: u64,
    size: Option<(u64, u64)>,
    quality: Option<String>,
    frames: u64,
    partial: u64,
    pub stream: bool,
}

/// How a provider takes the wish and gives the picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// OpenAI's.
    OpenAi,
    /// Google's generateContent, one picture a call.
    Gemini,
    /// Google's Imagen.
    Imagen,
    /// Amazon's Nova Canvas and Titan on Bedrock.
    Amazon,
    /// Stability's on Bedrock, one picture a call.
    Stability,
}

impl Format {
    fn of(place: &Place<'_>) -> Option<Self> {
        let model = place.model;
        Some(match place.provider {
            Provider::OpenAi | Provider::Azure | Provider::OpenAiCompatible => Self::OpenAi,
            Provider::Gemini | Provider::Vertex if model.contains("imagen") => Self::Imagen,
            Provider::Vertex if model.contains('/') || model.contains("claude") => return None,
            Provider::Gemini | Provider::Vertex => Self::Gemini,
            Provider::Bedrock if model.contains("nova-canvas") || model.contains("titan-image") => {
                Self::Amazon
            }
            Provider::Bedrock
                if model.contains("stability.sd3")
                    || model.contains("stable-image-core")
                    || model.contains("stable-image-ultra") =>
            {
                Self::Stability
            }
            Provider::Bedrock | Provider::Anthropic | Provider::Mistral | Provider::Demo => {
                return None;
            }
        })
    }
}

impl Images {
    pub fn read(body: &Body<'_>) -> Result<Self> {
        let prompt = body.needed("prompt")?;
        let format = body.text("output_format")?;
        // It is drawn by another model, at that model's price.
        if body.raw("svg").is_some() || format.as_deref() == Some("svg") {
            return Err(Error::invalid_field(
                "output_format",
                "output_format: svg is not offered here.",
            ));
        }
        let number = |name| body.read::<u64>(name, "a whole number");
        Self {
            prompt_bytes: length(prompt.len()),
            given: 0,
            n: number("n")?.unwrap_or(1),
            size: size(body.text("size")?.as_deref())?,
            quality: body.text("quality")?.map(|q| q.into_owned()),
            frames: frames(format.as_deref(), number("frame_count")?),
            partial: number("partial_images")?.unwrap_or(0),
            stream: body.read("stream", "true or false")?.unwrap_or(false),
        }
        .check()
    }

    pub fn read_form(form: &Form) -> Result<Self> {
        let given = form.all("image").chain(form.all("mask")).count();
        if !form.has("image") || given > MAX_GIVEN + 1 {
            return Err(Error::invalid_field(
                "image",
                format!("You must provide image, 1 to {MAX_GIVEN} files."),
            ));
        }
        let prompt = form.text("prompt")?.ok_or_else(|| {
            Error::invalid_field("prompt", "You must provide prompt, as a string.")
        })?;
        let format = form.text("output_format")?;
        if form.has("svg") || format == Some("svg") {
            return Err(Error::invalid_field(
                "output_format",
                "output_format: svg is not offered here.",
            ));
        }
        Self {
            prompt_bytes: length(prompt.len()),
            given: length(given),
            n: form.number("n")?.unwrap_or(1),
            size: size(form.text("size")?)?,
            quality: form.text("quality")?.map(str::to_owned),
            frames: frames(format, form.number("frame_count")?),
            partial: form.number("partial_images")?.unwrap_or(0),
            stream: form.flag("stream")?,
        }
        .check()
    }

    fn check(self) -> Result<Self> {
        if !(1..=MAX_N).contains(&self.n) {
            return Err(Error::invalid_field("n", format!("n is 1 to {MAX_N}.")));
        }
        if self.stream && self.n > 1 {
            return Err(Error::invalid_field(
                "n",
                "n: only one picture can be streamed.",
            ));
        }
        if self.partial > 3 {
            return Err(Error::invalid_field(
                "partial_images",
                "partial_images is 0 to 3.",
            ));
        }
        if !(1..=16).contains(&self.frames) {
            return Err(Error::invalid_field(
                "frame_count",
                "frame_count is 2 to 16.",
            ));
        }
        Ok(self)
    }

    /// Quality and size by which a picture may have a price of its own.
    pub fn variant(&self) -> (&str, String) {
        let (width, height) = self.size.unwrap_or((1024, 1024));
        let quality = match self.quality.as_deref() {
            None | Some("auto") => "standard",
            Some(quality) => quality,
        };
        (quality, format!("{width}x{height}"))
    }

    pub fn bound(&self, place: &Place<'_>) -> Work {
        let out = match Format::of(place) {
            Some(Format::Gemini) => GEMINI_OUTPUT,
            _ => self.tokens_each(),
        };
        Work {
            // A few words are put around the prompt.
            input: (self.prompt_bytes + 1_000 + self.given * GIVEN) * self.n,
            output: (out + self.partial * PARTIAL) * self.n,
            pieces: Extra {
                images: self.n,
                ..Extra::default()
            },
        }
    }

    /// Tokens of a picture at most: of OpenAI's published ones, the largest of each
    /// quality, by size where it is larger than that table. For `xhigh`, `max` and
    /// for what is left to the model no table is published.
    fn tokens_each(&self) -> u64 {
        let table = match self.quality.as_deref() {
            Some("low") => 408,
            Some("medium") => 1_584,
            Some("high" | "standard" | "hd") => 6_240,
            Some("max") => 4 * 6_240,
            _ => 2 * 6_240,
        };
        let pixels = self.size.map_or(TABLE_PIXELS, |(w, h)| w * h);
        let sizes = pixels.div_ceil(TABLE_PIXELS).max(1);
        table * sizes * self.frames
    }

    /// What is charged where nobody counts.
    pub fn estimate(&self) -> Usage {
        let table = match self.quality.as_deref() {
            Some("low") => 272,
            Some("high" | "hd") => 4_160,
            Some("xhigh" | "max") => 6_240,
            _ => 1_056,
        };
        Usage {
            input: estimated_tokens(self.prompt_bytes),
            extra: Extra {
                image_input: self.given * 500,
                image_output: table * self.n * self.frames,
                ..self.pieces(self.n)
            },
            ..Usage::default()
        }
    }

    fn pieces(&self, images: u64) -> Extra {
        Extra {
            images,
            ..Extra::default()
        }
    }

    pub fn edit_calls(&self, form: &Form, place: &Place<'_>) -> Result<(Vec<Call>, Reading)> {
        if Format::of(place) != Some(Format::OpenAi) {
            return Err(none_of_it(place, "changes of pictures"));
        }
        let set = [("model", Some(place.model)), ("drop_params", None)];
        let call = Call::form(place.openai_url("images/edits")?, form, &set)?;
        Ok((vec![call], Reading::Images(Format::OpenAi)))
    }

    pub fn calls(
        &self,
        body: &Body<'_>,
        place: &Place<'_>,
        dropping: &mut Dropping,
    ) -> Result<(Vec<Call>, Reading)> {
        let Some(format) = Format::of(place) else {
            return Err(none_of_it(place, "pictures"));
        };
        let reading = Reading::Images(format);
        if format == Format::OpenAi {
            let url = place.openai_url("images/generations")?;
            return Ok((vec![Call::json(url, body.with_model(place.model))], reading));
        }
        if self.stream {
            return Err(Error::invalid_field(
                "stream",
                format!(
                    "stream: {} does not show pictures while it makes them; leave it out.",
                    place.provider.label()
                ),
            ));
        }
        if body.text("response_format")?.as_deref() == Some("url") {
            return Err(Error::invalid_field(
                "response_format",
                format!(
                    "response_format: {} gives pictures as data; ask for b64_json.",
                    place.provider.label()
                ),
            ));
        }
        for name in body.names() {
            match name {
                "model" | "prompt" | "n" | "size" | "quality" | "response_format" | "stream"
                | "user" | "drop_params" | "moderation" | "safety_identifier" => {}
                "background" | "style" if is_auto(body, name) => {}
                "output_format" if is_png(body) => {}
                other => dropping.refuse(other)?,
            }
        }
        let prompt = body.needed("prompt")?;
        let ratio = |allowed: &[(u64, u64)]| self.ratio(allowed, place);
        let (json, verb, times) = match format {
            Format::OpenAi | Format::Imagen => {
                let mut parameters = object! {"sampleCount": self.n};
                parameters.maybe("aspectRatio", ratio(&IMAGEN)?);
                let instance = Json::from(object! {"prompt": &*prompt});
                let json = object! {"instances": vec![instance], "parameters": parameters};
                (json, "predict", 1)
            }
            Format::Gemini => {
                let text = Json::from(object! {"text": &*prompt});
                let content = Json::from(object! {"role": "user", "parts": vec![text]});
                let modalities = vec![Json::from("TEXT"), Json::from("IMAGE")];
                let mut config = object! {
                    "responseModalities": modalities, "maxOutputTokens": GEMINI_OUTPUT,
                };
                config.maybe(
                    "imageConfig",
                    ratio(&GEMINI)?.map(|ratio| object! {"aspectRatio": ratio}),
                );
                let json = object! {"contents": vec![content], "generationConfig": config};
                (json, "generateContent", self.n)
            }
            Format::Amazon => {
                let quality = match self.quality.as_deref() {
                    Some("high" | "hd" | "premium") => "premium",
                    _ => "standard",
                };
                let mut config = object! {"numberOfImages": self.n, "quality": quality};
                if let Some((width, height)) = self.size {
                    config.put("width", width);
                    config.put("height", height);
                }
                let text = object! {"text": &*prompt};
                let json = object! {
                    "taskType": "TEXT_IMAGE", "textToImageParams": text,
                    "imageGenerationConfig": config,
                };
                (json, "invoke", 1)
            }
            Format::Stability => {
                let mut json = object! {"prompt": &*prompt, "output_format": "png"};
                json.maybe("aspect_ratio", ratio(&STABILITY)?);
                if place.model.contains("sd3") {
                    json.put("mode", "text-to-image");
                }
                (json, "invoke", self.n)
            }
        };
        let url = place.model_url(verb)?;
        let bytes = Json::from(json).to_bytes();
        let calls = (0..times).map(|_| Call::json(url.clone(), bytes.clone()));
        Ok((calls.collect(), reading))
    }

    /// The shape of the picture in the provider's words; `None` where it is left to
    /// the model.
    fn ratio(&self, allowed: &[(u64, u64)], place: &Place<'_>) -> Result<Option<String>> {
        let Some((width, height)) = self.size else {
            return Ok(None);
        };
        let found = allowed.iter().find(|(w, h)| width * h == height * w);
        // OpenAI's two other sizes are 2:3 and 3:2.
        match found {
            Some((w, h)) => Ok(Some(format!("{w}:{h}"))),
            None => {
                let shapes: Vec<String> = allowed.iter().map(|(w, h)| format!("{w}:{h}")).collect();
                Err(Error::invalid_field(
                    "size",
                    format!(
                        "size: {} makes pictures of these shapes with this model: {}. Send a size of one of \
                         them, such as 1024x1024.",
                        place.provider.label(),
                        shapes.join(", ")
                    ),
                ))
            }
        }
    }

    /// Made into OpenAI's answer.
    pub fn reply(&self, format: Format, created: u64, answers: &Answers<'_>) -> Option<Told> {
        if format == Format::OpenAi {
            return self.passed(answers.first()?.body);
        }
        let mut pictures = Vec::new();
        let mut reason = None;
        let mut tokens: Option<Usage> = None;
        for answer in answers.iter() {
            let (found, why) = pictures_of(format, answer.body)?;
            pictures.extend(found);
            reason = reason.or(why);
            if format == Format::Gemini
                && let Some(counted) = GeminiCounter::body(answer.body)
            {
                tokens = Some(match tokens {
                    None => counted.usage,
                    Some(all) => sum(all, &counted.usage),
                });
            }
        }
        let images = length(pictures.len());
        let pieces = self.pieces(images);
        if pictures.is_empty() {
            return Some(Told {
                tokens,
                pieces,
                refused: Some(reason.unwrap_or_else(|| {
                    "The provider made no picture of this prompt, and does not say why.".into()
                })),
                ..Told::json(Bytes::new())
            });
        }
        let data = pictures
            .into_iter()
            .map(|data| Json::from(object! {"b64_json": data}));
        let mut json = object! {"created": created, "data": data.collect::<Vec<_>>()};
        if let Some(usage) = tokens {
            let (input, output) = (usage.prompt_tokens(), usage.completion_tokens());
            let details = object! {
                "text_tokens": input - usage.extra.image_input,
                "image_tokens": usage.extra.image_input,
            };
            json.put(
                "usage",
                object! {"input_tokens": input, "output_tokens": output,
                "total_tokens": input + output, "input_tokens_details": details},
            );
        }
        Some(Told {
            tokens,
            pieces,
            ..Told::json(Json::from(json).to_bytes())
        })
    }

    fn passed(&self, body: &Bytes) -> Option<Told> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<serde::de::IgnoredAny>,
        }
        let list: List = json_body(body)?;
        Some(Told {
            tokens: usage::read(body, Output::Picture).tokens,
            pieces: self.pieces(length(list.data.len())),
            ..Told::json(body.clone())
        })
    }
}

const IMAGEN: [(u64, u64); 5] = [(1, 1), (3, 4), (4, 3), (9, 16), (16, 9)];
const GEMINI: [(u64, u64); 10] = [
    (1, 1),
    (2, 3),
    (3, 2),
    (3, 4),
    (4, 3),
    (4, 5),
    (5, 4),
    (9, 16),
    (16, 9),
    (21, 9),
];
const STABILITY: [(u64, u64); 9] = [
    (1, 1),
    (16, 9),
    (21, 9),
    (2, 3),
    (3, 2),
    (4, 5),
    (5, 4),
    (9, 16),
    (9, 21),
];

/// `1024x1536`; none for `auto`.
fn size(text: Option<&str>) -> Result<Option<(u64, u64)>> {
    let Some(text) = text.filter(|text| *text != "auto" && !text.is_empty()) else {
        return Ok(None);
    };
    let number = |text: &str| text.parse().ok().filter(|n| (1..=8_192).contains(n));
    text.split_once('x')
        .and_then(|(width, height)| Some((number(width)?, number(height)?)))
        .map(Some)
        .ok_or_else(|| {
            Error::invalid_field(
                "size",
                "size is auto or WIDTHxHEIGHT, such as 1024x1024, and at most 8192 each.",
            )
        })
}

/// A moving picture has nine frames unless it is said how many.
fn frames(format: Option<&str>, asked: Option<u64>) -> u64 {
    match (format, asked) {
        (Some("gif"), None) => 9,
        (_, asked) => asked.unwrap_or(1),
    }
}

fn is_auto(body: &Body<'_>, name: &str) -> bool {
    body.raw(name).is_some_and(|raw| raw.get() == "\"auto\"")
}

fn is_png(body: &Body<'_>) -> bool {
    let format = body.raw("output_format");
    format.is_some_and(|raw| raw.get() == "\"png\"")
}

/// The pictures of an answer in base64, and why there may be none.
fn pictures_of(format: Format, body: &[u8]) -> Option<(Vec<String>, Option<String>)> {
    match format {
        Format::OpenAi | Format::Imagen => imagen(body),
        Format::Gemini => gemini(body),
        Format::Amazon => amazon(body),
        Format::Stability => stability(body),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Imagen {
    #[serde(default)]
    predictions: Vec<Prediction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prediction {
    #[serde(default)]
    bytes_base64_encoded: Option<String>,
    #[serde(default)]
    rai_filtered_reason: Option<String>,
}

fn imagen(body: &[u8]) -> Option<(Vec<String>, Option<String>)> {
    let answer: Imagen = json_body(body)?;
    let mut reason = None;
    let mut pictures = Vec::new();
    for prediction in answer.predictions {
        pictures.extend(prediction.bytes_base64_encoded);
        reason = reason.or(prediction.rai_filtered_reason);
    }
    let blocked = || "The provider's safety filter kept the pictures back.".to_owned();
    Some((pictures, Some(reason.unwrap_or_else(blocked))))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Generated {
    candidates: Vec<Candidate>,
    prompt_feedback: Option<Feedback>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Content {
    parts: Vec<Part>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Part {
    inline_data: Option<Inline>,
    /// A sketch made while thinking.
    thought: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Inline {
    data: String,
}

fn gemini(body: &[u8]) -> Option<(Vec<String>, Option<String>)> {
    let answer: Generated = json_body(body)?;
    let feedback = answer.prompt_feedback.and_then(|f| f.block_reason);
    let mut reason = feedback.map(|why| format!("The provider refused the prompt ({why})."));
    let mut pictures = Vec::new();
    for candidate in answer.candidates {
        let parts = candidate.content.unwrap_or_default().parts;
        let shown = parts.into_iter().filter(|part| !part.thought);
        let found = shown.filter_map(|part| part.inline_data);
        pictures.extend(found.map(|inline| inline.data));
        let ended = candidate.finish_reason.filter(|why| why != "STOP");
        reason = reason.or(ended.map(|why| format!("The provider made no picture ({why}).")));
    }
    Some((pictures, reason))
}

#[derive(Deserialize)]
struct Amazon {
    #[serde(default)]
    images: Option<Vec<String>>,
    #[serde(default)]
    error: Option<String>,
}

fn amazon(body: &[u8]) -> Option<(Vec<String>, Option<String>)> {
    let answer: Amazon = json_body(body)?;
    Some((answer.images.unwrap_or_default(), answer.error))
}

#[derive(Deserialize)]
struct Stability {
    #[serde(default)]
    images: Vec<Option<String>>,
    #[serde(default)]
    finish_reasons: Vec<Option<String>>,
}

fn stability(body: &[u8]) -> Option<(Vec<String>, Option<String>)> {
    let answer: Stability = json_body(body)?;
    let reason = answer.finish_reasons.into_iter().flatten().next();
    // A picture with a reason is a blurred one.
    let pictures = match &reason {
        Some(_) => Vec::new(),
        None => answer.images.into_iter().flatten().collect(),
    };
    Some((pictures, reason))
}

fn sum(mut all: Usage, one: &Usage) -> Usage {
    all.input += one.input;
    all.cache_read += one.cache_read;
    all.audio_input += one.audio_input;
    all.output += one.output;
    all.reasoning += one.reasoning;
    all.audio_output += one.audio_output;
    all.extra.image_input += one.extra.image_input;
    all.extra.image_output += one.extra.image_output;
    all
}
