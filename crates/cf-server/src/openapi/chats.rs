//! Requests and answers of chats as the document shows them: the fields that are read
//! or acted on here. All are open: further fields reach a provider that speaks the same.

#![allow(
    dead_code,
    reason = "describes what `cf-llm` reads from bytes and writes as bytes"
)]

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use super::texts_or_tokens;

/// A chat, as OpenAI has it.
///
/// Fields that are not listed reach the provider as they are, where it speaks the same; where the
/// request is translated they are refused with 400 or, with `drop_params`, left out.
#[derive(ToSchema)]
#[schema(example = json!({"model": "small", "messages": [{"role": "user", "content": "Hello!"}]}))]
pub struct ChatCompletionRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// The conversation so far.
    #[schema(min_items = 1)]
    messages: Vec<ChatMessage>,
    /// Whether the answer comes as events.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    /// The most tokens of an answer; of the two limits the lower one counts.
    #[schema(minimum = 1)]
    max_completion_tokens: Option<u64>,
    /// The same by its older name.
    #[schema(minimum = 1)]
    max_tokens: Option<u64>,
    /// How many answers are wanted. All of them are reserved and billed.
    #[schema(minimum = 1, maximum = 128)]
    n: Option<u64>,
    /// Tools that the model may call.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// `none`, `auto`, `required`, or the tool to call.
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    /// Text, JSON, or JSON of a schema.
    #[schema(value_type = Option<Object>)]
    response_format: Option<Value>,
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`.
    reasoning_effort: Option<String>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    /// Not OpenAI's own; many servers have it.
    top_k: Option<i64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    /// At which the answer ends.
    stop: Option<Stop>,
    seed: Option<i64>,
    logprobs: Option<bool>,
    top_logprobs: Option<i64>,
    service_tier: Option<ServiceTier>,
    /// Handed to the provider; budgets and limits go by the key alone.
    user: Option<String>,
    /// Leave out what the provider cannot do; `x-cf-dropped-params` names it.
    drop_params: Option<bool>,
}

/// A text, or parts of several kinds.
#[derive(ToSchema)]
#[serde(untagged)]
enum TextOrParts {
    Text(String),
    #[schema(value_type = Vec<Object>)]
    Parts(Vec<Value>),
}

/// A text, or several.
#[derive(ToSchema)]
#[serde(untagged)]
enum Stop {
    Text(String),
    Texts(Vec<String>),
}

/// How a call is served. Dearer ones need a price of them.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ServiceTier {
    Auto,
    Default,
    Standard,
    StandardOnly,
    Flex,
    Batch,
    Scale,
    Priority,
    Fast,
}

/// A message of a conversation.
#[derive(ToSchema)]
struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    role: String,
    /// A text, or parts: `text`, `image_url`, `input_audio`, `file`, each with `cache_control` where
    /// it is wanted.
    content: Option<TextOrParts>,
    /// What the assistant called.
    #[schema(value_type = Option<Vec<Object>>)]
    tool_calls: Option<Vec<Value>>,
    /// Of which call this is the result.
    tool_call_id: Option<String>,
    /// Sealed thinking as it came: send the assistant's message back as it was.
    #[schema(value_type = Option<Vec<Object>>)]
    reasoning_details: Option<Vec<Value>>,
}

/// What a stream tells.
#[derive(ToSchema)]
struct StreamOptions {
    /// Whether the last chunk says what was used.
    include_usage: Option<bool>,
}

/// A whole answer.
#[derive(ToSchema)]
pub struct ChatCompletion {
    id: String,
    /// `chat.completion`.
    object: String,
    /// In seconds since 1970.
    created: u64,
    /// The provider's name of the model.
    model: String,
    choices: Vec<ChatChoice>,
    usage: Option<ChatUsage>,
}

/// One of the answers.
#[derive(ToSchema)]
struct ChatChoice {
    index: u64,
    message: ChatAnswer,
    /// `stop`, `length`, `tool_calls` or `content_filter`.
    finish_reason: Option<String>,
    /// The provider's own word for it, where the answer was translated.
    native_finish_reason: Option<String>,
    #[schema(value_type = Option<Object>)]
    logprobs: Option<Value>,
}

/// What the assistant says.
#[derive(ToSchema)]
struct ChatAnswer {
    role: String,
    content: Option<String>,
    refusal: Option<String>,
    /// Thinking that the provider shows.
    reasoning_content: Option<String>,
    /// Thinking with its seal, to be sent back.
    #[schema(value_type = Option<Vec<Object>>)]
    reasoning_details: Option<Vec<Value>>,
    #[schema(value_type = Option<Vec<Object>>)]
    tool_calls: Option<Vec<Value>>,
}

/// What a chat used.
#[derive(ToSchema)]
struct ChatUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    /// `cached_tokens`, `cache_write_tokens`, `audio_tokens`.
    #[schema(value_type = Option<Object>)]
    prompt_tokens_details: Option<Value>,
    /// `reasoning_tokens`, `audio_tokens`.
    #[schema(value_type = Option<Object>)]
    completion_tokens_details: Option<Value>,
}

/// The `data` of an event of a streamed answer. The last event's is `[DONE]`.
#[derive(ToSchema)]
pub struct ChatCompletionChunk {
    id: String,
    /// `chat.completion.chunk`.
    object: String,
    created: u64,
    model: String,
    /// What is new; empty in the chunk that tells the usage.
    choices: Vec<ChatDelta>,
    usage: Option<ChatUsage>,
}

/// What is new of one of the answers.
#[derive(ToSchema)]
struct ChatDelta {
    index: u64,
    /// The new part of a message.
    #[schema(value_type = Object)]
    delta: Value,
    finish_reason: Option<String>,
}

/// A text to go on from, as OpenAI's legacy completions have it.
#[derive(ToSchema)]
#[schema(example = json!({"model": "small", "prompt": "Once upon a time", "max_tokens": 16}))]
pub struct CompletionRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    #[schema(schema_with = completion_prompt)]
    prompt: Value,
    /// The most tokens of an answer [default: 16].
    #[schema(minimum = 1)]
    max_tokens: Option<u64>,
    /// How many answers to each prompt.
    #[schema(minimum = 1, maximum = 128)]
    n: Option<u64>,
    /// Of so many the best are given; all are reserved and billed.
    #[schema(minimum = 1, maximum = 128)]
    best_of: Option<u64>,
    /// Whether the answer comes as events.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    /// At which the answer ends.
    stop: Option<Stop>,
    seed: Option<i64>,
    /// Handed to the provider; budgets and limits go by the key alone.
    user: Option<String>,
    /// Leave out what the provider cannot do; `x-cf-dropped-params` names it.
    drop_params: Option<bool>,
}

fn completion_prompt() -> Schema {
    texts_or_tokens("A text or a list of them, or the same as tokens.", 128)
}

/// A whole answer of a legacy completion.
#[derive(ToSchema)]
pub struct Completion {
    id: String,
    /// `text_completion`.
    object: String,
    created: u64,
    model: String,
    choices: Vec<CompletionChoice>,
    usage: Option<ChatUsage>,
}

/// One of the answers.
#[derive(ToSchema)]
struct CompletionChoice {
    index: u64,
    text: String,
    finish_reason: Option<String>,
    #[schema(value_type = Option<Object>)]
    logprobs: Option<Value>,
}

/// A response to be made, as OpenAI has it.
///
/// Fields that are not listed reach the provider as they are, where it speaks the same; where the
/// request is translated they are refused with 400 or, with `drop_params`, left out.
#[derive(ToSchema)]
#[schema(example = json!({"model": "small", "input": "Hello!"}))]
pub struct ResponseRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// A text, or items: messages, calls and their results, reasoning, references. Needed unless
    /// `prompt` names a template.
    input: Option<ResponseInput>,
    /// Goes before the conversation, of this request alone.
    instructions: Option<String>,
    /// The kept response from which the conversation goes on.
    previous_response_id: Option<String>,
    /// Whether the response is kept here, to go on from it [default: true].
    store: Option<bool>,
    /// Whether the answer comes as events.
    stream: Option<bool>,
    /// The most tokens of the answer.
    #[schema(minimum = 1)]
    max_output_tokens: Option<u64>,
    /// The most calls of tools that the provider runs itself [default: 10, for web searches].
    #[schema(minimum = 0)]
    max_tool_calls: Option<u64>,
    /// Functions, and web searches where the provider has them. `file_search`, `code_interpreter` and
    /// `image_generation` are refused.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// `none`, `auto`, `required`, or the tool to call.
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    /// The format of the text: `text`, `json_object` or `json_schema`.
    #[schema(value_type = Option<Object>)]
    text: Option<Value>,
    /// How much the model thinks (`effort`).
    #[schema(value_type = Option<Object>)]
    reasoning: Option<Value>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    service_tier: Option<ServiceTier>,
    /// Handed to the provider; budgets and limits go by the key alone.
    user: Option<String>,
    /// Leave out what the provider cannot do; `x-cf-dropped-params` names it.
    drop_params: Option<bool>,
}

/// What is said: a text, or items.
#[derive(ToSchema)]
#[serde(untagged)]
enum ResponseInput {
    Text(String),
    #[schema(value_type = Vec<Object>)]
    Items(Vec<Value>),
}

/// A response, as OpenAI has it.
#[derive(ToSchema)]
pub struct ResponseObject {
    /// By which it is read, gone on from and deleted.
    id: String,
    /// `response`.
    object: String,
    created_at: u64,
    /// `completed`, `incomplete` or `failed`.
    status: String,
    model: String,
    /// Messages, calls of tools, reasoning.
    #[schema(value_type = Vec<Object>)]
    output: Vec<Value>,
    /// `input_tokens`, `output_tokens`, `total_tokens` and what they are made of.
    #[schema(value_type = Option<Object>)]
    usage: Option<Value>,
}

/// A response that is forgotten.
#[derive(ToSchema)]
pub struct DeletedResponse {
    id: String,
    /// `response`.
    object: String,
    deleted: bool,
}

/// A page of what a response was made from.
#[derive(ToSchema)]
pub struct InputItems {
    /// `list`.
    object: String,
    #[schema(value_type = Vec<Object>)]
    data: Vec<Value>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

/// A chat, as Anthropic has it.
///
/// Fields that are not listed reach the provider as they are, where it speaks the same; where the
/// request is translated they are refused with 400 or, with `drop_params`, left out.
#[derive(ToSchema)]
#[schema(example = json!({"model": "small", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello!"}]}))]
pub struct MessagesRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// The most tokens of the answer.
    #[schema(minimum = 1)]
    max_tokens: u64,
    /// The conversation so far.
    #[schema(min_items = 1)]
    messages: Vec<AnthropicMessage>,
    /// A text, or blocks of text, that go before the conversation.
    system: Option<TextOrParts>,
    /// Whether the answer comes as events.
    stream: Option<bool>,
    /// Tools that the model may call. Those that Anthropic runs itself work at Claude alone; `advisor`
    /// is refused.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// Which tool is called (`type`, `name`, `disable_parallel_tool_use`).
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<Value>,
    /// Whether and how much the model thinks (`type`, `budget_tokens`).
    #[schema(value_type = Option<Object>)]
    thinking: Option<Value>,
    /// `effort`, and the format of the text.
    #[schema(value_type = Option<Object>)]
    output_config: Option<Value>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    stop_sequences: Option<Vec<String>>,
    /// Handed to the provider (`user_id`); budgets and limits go by the key alone.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    service_tier: Option<ServiceTier>,
    /// `standard`: no other is offered.
    #[schema(value_type = Option<Standard>)]
    speed: Option<Standard>,
    /// Leave out what the provider cannot do; `x-cf-dropped-params` names it.
    drop_params: Option<bool>,
}

/// The only one that is offered.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum Standard {
    Standard,
}

/// A message of a conversation.
#[derive(ToSchema)]
struct AnthropicMessage {
    /// `user` or `assistant`.
    role: String,
    /// A text, or blocks: `text`, `image`, `document`, `tool_use`, `tool_result`, `thinking` …
    content: TextOrParts,
}

/// A whole answer, as Anthropic has it.
#[derive(ToSchema)]
pub struct MessagesAnswer {
    id: String,
    /// `message`.
    r#type: String,
    /// `assistant`.
    role: String,
    model: String,
    /// Blocks: `text`, `thinking`, `redacted_thinking`, `tool_use`.
    #[schema(value_type = Vec<Object>)]
    content: Vec<Value>,
    /// `end_turn`, `max_tokens`, `stop_sequence`, `tool_use`, `refusal` …
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    usage: MessagesUsage,
}

/// What an answer used.
#[derive(ToSchema)]
struct MessagesUsage {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

/// A request whose tokens are to be counted: one of Messages, where `max_tokens` may be missing.
#[derive(ToSchema)]
#[schema(example = json!({"model": "small", "messages": [{"role": "user", "content": "Hello!"}]}))]
pub struct CountTokensRequest {
    /// The public name of the model.
    #[schema(min_length = 1, max_length = 256)]
    model: String,
    /// The conversation so far.
    #[schema(min_items = 1)]
    messages: Vec<AnthropicMessage>,
    /// A text, or blocks of text, that go before the conversation.
    system: Option<TextOrParts>,
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    #[schema(value_type = Option<Object>)]
    thinking: Option<Value>,
}

/// How long a prompt is.
#[derive(ToSchema)]
pub struct TokenCount {
    /// As Claude's providers count; of other models an estimate.
    input_tokens: u64,
}
