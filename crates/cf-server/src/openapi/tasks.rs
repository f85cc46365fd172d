//! Requests and answers that are no chats as the document shows them: the fields that
//! are read or acted on here. All are open: further fields reach a provider that speaks
//! the same.

#![allow(
    dead_code,
    reason = "describes what `cf-llm` reads from bytes and writes as bytes"
)]

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{ArrayBuilder, Object, OneOfBuilder, Schema, Type};

use super::texts_or_tokens;

/// Texts to be made vectors of.
#[derive(ToSchema)]
#[schema(example = json!({"model": "small", "input": ["Hello!", "Hallo!"]}))]
pub struct EmbeddingsRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    #[schema(schema_with = embeddings_input)]
    input: Value,
    /// How a vector is written [default: float].
    encoding_format: Option<VectorFormat>,
    /// How long a vector is, where the model can be told.
    dimensions: Option<i64>,
    /// What the vector is for, such as `search_query`: not OpenAI's own; Cohere and Google have it.
    input_type: Option<String>,
    /// Handed to the provider; budgets and limits go by the key alone.
    user: Option<String>,
    /// Leave out what the provider cannot do; `x-cf-dropped-params` names it.
    drop_params: Option<bool>,
}

fn embeddings_input() -> Schema {
    let text = "A text or a list of them, or the same as tokens, which OpenAI-compatible models alone take.";
    texts_or_tokens(text, 2048)
}

/// How a vector is written.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum VectorFormat {
    /// Numbers.
    Float,
    /// The bytes of 32-bit numbers, the low byte first, in base64.
    Base64,
}

/// Vectors.
#[derive(ToSchema)]
pub struct Embeddings {
    /// `list`.
    object: String,
    data: Vec<Embedding>,
    /// The provider's name of the model.
    model: String,
    usage: Option<EmbeddingsUsage>,
}

/// A vector.
#[derive(ToSchema)]
struct Embedding {
    /// `embedding`.
    object: String,
    /// Of which text.
    index: u64,
    embedding: Vector,
}

/// Numbers, or their bytes in base64.
#[derive(ToSchema)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f64>),
    Base64(String),
}

/// What vectors used.
#[derive(ToSchema)]
struct EmbeddingsUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// A picture to be made.
#[derive(ToSchema)]
#[schema(example = json!({"model": "pictures", "prompt": "A cat on a roof", "size": "1024x1024"}))]
pub struct ImageRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// What is to be seen.
    prompt: String,
    /// How many pictures; 1 where they are streamed.
    #[schema(minimum = 1, maximum = 10)]
    n: Option<u64>,
    /// `auto`, or width and height such as `1024x1024`, at most 8192 each.
    #[schema(pattern = "^(auto|[1-9][0-9]{0,3}x[1-9][0-9]{0,3})?$")]
    size: Option<String>,
    /// `low`, `medium`, `high`, `standard`, `hd`, `auto` …: it decides about the price.
    quality: Option<String>,
    /// `b64_json` or, where the provider has it, `url`.
    response_format: Option<String>,
    /// `png`, `jpeg`, `webp`; `svg` is refused.
    output_format: Option<String>,
    /// Frames of a moving picture.
    #[schema(minimum = 1, maximum = 16)]
    frame_count: Option<u64>,
    /// Whether pictures come as events.
    stream: Option<bool>,
    /// Pictures that are shown while the last one is made.
    #[schema(minimum = 0, maximum = 3)]
    partial_images: Option<u64>,
    /// Handed to the provider; budgets and limits go by the key alone.
    user: Option<String>,
    /// Leave out what the provider cannot do; `x-cf-dropped-params` names it.
    drop_params: Option<bool>,
}

/// A picture to be changed.
#[derive(ToSchema)]
pub struct ImageEditForm {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// The pictures that are given, each a part `image` or `image[]`.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 16)]
    image: Vec<Vec<u8>>,
    /// Where it may change.
    #[schema(value_type = String, format = Binary, required = false)]
    mask: Option<Vec<u8>>,
    /// What is to be different.
    prompt: String,
    /// How many pictures; 1 where they are streamed.
    #[schema(value_type = u64, minimum = 1, maximum = 10, required = false)]
    n: Option<u64>,
    /// `auto`, or width and height such as `1024x1024`, at most 8192 each.
    #[schema(value_type = String, pattern = "^(auto|[1-9][0-9]{0,3}x[1-9][0-9]{0,3})?$", required = false)]
    size: Option<String>,
    /// It decides about the price.
    #[schema(value_type = String, required = false)]
    quality: Option<String>,
    /// `png`, `jpeg`, `webp`; `svg` is refused.
    #[schema(value_type = String, required = false)]
    output_format: Option<String>,
    /// Whether pictures come as events.
    #[schema(value_type = bool, required = false)]
    stream: Option<bool>,
    /// Pictures that are shown while the last one is made.
    #[schema(value_type = u64, minimum = 0, maximum = 3, required = false)]
    partial_images: Option<u64>,
}

/// Pictures.
#[derive(ToSchema)]
pub struct Images {
    /// In seconds since 1970.
    created: Option<u64>,
    data: Vec<Image>,
    /// What was used, where the provider counts tokens.
    #[schema(value_type = Option<Object>)]
    usage: Option<Value>,
}

/// A picture, as data or by its address.
#[derive(ToSchema)]
struct Image {
    b64_json: Option<String>,
    url: Option<String>,
    /// What the provider made of the prompt.
    revised_prompt: Option<String>,
}

/// A recording to be written down.
#[derive(ToSchema)]
pub struct TranscriptionForm {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// The recording. Files that lie elsewhere (`file_id`, `file_url`) are refused.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The form of the answer [default: json].
    #[schema(value_type = TranscriptFormat, required = false)]
    response_format: Option<TranscriptFormat>,
    /// Words that are likely, or what came before.
    #[schema(value_type = String, required = false)]
    prompt: Option<String>,
    /// The language that is spoken, such as `de`.
    #[schema(value_type = String, required = false)]
    language: Option<String>,
    /// Whether the text comes as events, where the model can.
    #[schema(value_type = bool, required = false)]
    stream: Option<bool>,
    #[schema(value_type = f64, required = false)]
    temperature: Option<f64>,
}

/// A recording to be written down in English.
#[derive(ToSchema)]
pub struct TranslationForm {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// The recording.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The form of the answer [default: json].
    #[schema(value_type = TranscriptFormat, required = false)]
    response_format: Option<TranscriptFormat>,
    /// Words that are likely, or what came before; in English.
    #[schema(value_type = String, required = false)]
    prompt: Option<String>,
    #[schema(value_type = f64, required = false)]
    temperature: Option<f64>,
}

/// The form of a transcript.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum TranscriptFormat {
    /// JSON with the text.
    Json,
    /// JSON with times.
    VerboseJson,
    /// JSON with who spoke.
    DiarizedJson,
    /// The words alone.
    Text,
    /// Subtitles.
    Srt,
    /// Subtitles.
    Vtt,
}

/// What was said.
#[derive(ToSchema)]
pub struct Transcript {
    text: String,
    /// Where it was asked for, in seconds.
    duration: Option<f64>,
    language: Option<String>,
    #[schema(value_type = Option<Vec<Object>>)]
    segments: Option<Vec<Value>>,
    /// What was used, where the provider says it.
    #[schema(value_type = Option<Object>)]
    usage: Option<Value>,
}

/// A text to be spoken.
#[derive(ToSchema)]
#[schema(example = json!({"model": "voices", "input": "Hello!", "voice": "alloy"}))]
pub struct SpeechRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// The text; OpenAI takes 4,096 characters.
    #[schema(min_length = 1, max_length = 100000)]
    input: String,
    /// The provider's name of the voice, or an object of it.
    voice: Option<Value>,
    /// How it is to be spoken.
    instructions: Option<String>,
    /// `mp3`, `opus`, `aac`, `flac`, `wav` or `pcm` [default: mp3].
    response_format: Option<String>,
    #[schema(minimum = 0.25, maximum = 4)]
    speed: Option<f64>,
    /// Whether the sound comes alone or in events [default: audio].
    stream_format: Option<SpeechStream>,
    /// Leave out what the provider cannot do; `x-cf-dropped-params` names it.
    drop_params: Option<bool>,
}

/// Sound, in the format that was asked for.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Sound(Vec<u8>);

/// How sound comes.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum SpeechStream {
    /// The sound alone, as it is made.
    Audio,
    /// Events with the sound in base64.
    Sse,
}

/// Something to be looked at.
#[derive(ToSchema)]
#[schema(example = json!({"model": "small", "input": "Hello!"}))]
pub struct ModerationRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    #[schema(schema_with = moderation_input)]
    input: Value,
}

fn moderation_input() -> Schema {
    let list = |of: Object| ArrayBuilder::new().items(of).min_items(Some(1));
    OneOfBuilder::new()
        .description(Some(
            "A text, several, or the parts of one input: `text` and `image_url`.",
        ))
        .item(Object::with_type(Type::String))
        .item(list(Object::with_type(Type::String)))
        .item(list(Object::with_type(Type::Object)))
        .build()
        .into()
}

/// What was found.
#[derive(ToSchema)]
pub struct Moderations {
    id: String,
    /// The provider's name of the model.
    model: String,
    /// One for each input: `flagged`, `categories`, `category_scores`.
    #[schema(value_type = Vec<Object>)]
    results: Vec<Value>,
}

/// A question, and documents that may answer it.
#[derive(ToSchema)]
#[schema(example = json!({"model": "small", "query": "What is a cat?", "documents": ["A cat is an animal.", "A car has wheels."]}))]
pub struct RerankRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    query: String,
    #[schema(min_items = 1, max_items = 1000)]
    documents: Vec<RerankDocument>,
    /// How many are wanted.
    top_n: Option<i64>,
    /// Whether the documents are in the answer.
    return_documents: Option<bool>,
    /// Leave out what the provider cannot do; `x-cf-dropped-params` names it.
    drop_params: Option<bool>,
}

/// A text, or an object with one.
#[derive(ToSchema)]
#[serde(untagged)]
enum RerankDocument {
    Text(String),
    Object { text: String },
}

/// Documents, the best first. A server that has the endpoint itself may say more, or say `data`
/// for `results`.
#[derive(ToSchema)]
pub struct Ranking {
    id: Option<String>,
    results: Option<Vec<Rank>>,
    /// `billed_units` of Cohere's.
    #[schema(value_type = Option<Object>)]
    meta: Option<Value>,
}

/// How well a document answers.
#[derive(ToSchema)]
struct Rank {
    /// Which document.
    index: u64,
    relevance_score: f64,
    /// The document, where it was asked for.
    document: Option<Value>,
}

/// The models that a caller may use, as OpenAI has it.
#[derive(ToSchema)]
pub struct ModelList {
    /// `list`.
    object: String,
    data: Vec<ModelEntry>,
}

/// A model, as OpenAI has it.
#[derive(ToSchema)]
pub struct ModelEntry {
    /// Its public name: what calls say for `model`.
    id: String,
    /// `model`.
    object: String,
    /// In seconds since 1970.
    created: u64,
    owned_by: String,
}

/// The models that a caller may use, as Anthropic has it; all of them at once.
#[derive(ToSchema)]
pub struct AnthropicModelList {
    data: Vec<AnthropicModelEntry>,
    /// Always false.
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

/// A model, as Anthropic has it.
#[derive(ToSchema)]
pub struct AnthropicModelEntry {
    /// `model`.
    r#type: String,
    /// Its public name: what calls say for `model`.
    id: String,
    display_name: String,
    created_at: String,
}

/// A list of models in the shape of the API that the caller's headers name.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AnyModelList {
    OpenAi(ModelList),
    Anthropic(AnthropicModelList),
}

/// A model in the shape of the API that the caller's headers name.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AnyModelEntry {
    OpenAi(ModelEntry),
    Anthropic(AnthropicModelEntry),
}
