//! Anthropic's Messages: from clients, and to Anthropic itself, to Vertex AI
//! (`rawPredict`), to Bedrock (`InvokeModel`) and to AI Foundry.

pub(crate) mod answer;
pub(crate) mod claude;
pub(crate) mod conversation;
pub(crate) mod failure;
pub(crate) mod request;
pub(crate) mod stream;
