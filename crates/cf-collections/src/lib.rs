//! cf-collections
