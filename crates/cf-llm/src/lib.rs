//! cf-llm
