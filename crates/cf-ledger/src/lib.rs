//! cf-ledger
