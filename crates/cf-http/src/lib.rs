//! cf-http
