//! cf-db
