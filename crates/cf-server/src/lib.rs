//! cf-server
