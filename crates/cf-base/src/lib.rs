//! cf-base
