//! AWS Bedrock: Converse and ConverseStream, Claude through InvokeModel, and the
//! signature.

pub(crate) mod failure;
pub(crate) mod invoke;
pub(crate) mod request;
pub(crate) mod sigv4;
pub(crate) mod stream;
