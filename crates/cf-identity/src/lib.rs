//! cf-identity
