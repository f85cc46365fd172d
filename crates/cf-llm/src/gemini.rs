//! Google's generateContent, of the Gemini API and of Vertex AI.

pub(crate) mod request;
pub(crate) mod stream;
