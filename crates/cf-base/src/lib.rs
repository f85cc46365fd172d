//! Words that every part of CloudFreedom shares: ids, money, usage, callers,
//! time, randomness, secrets and error kinds.
//!
//! No async, no I/O, no database and no HTTP in here.

mod caller;
mod error;
mod id;
mod money;
mod random;
mod secret;
mod time;
mod usage;

pub use caller::{Caller, Keeping, Limits, Role, TenantStatus, UserStatus};
pub use error::{Error, Kind, Result};
pub use id::{Id, IdError, KeyId, ModelId, ProductId, ProviderKeyId, RequestId, TenantId, UserId};
pub use money::{
    Currency, ExchangeRate, Margin, Money, Nanos, PicoUsd, PriceMicros, parse_decimal_nanos,
};
pub use random::Random;
pub use secret::{HashKey, MasterKey, Sealed, Sealer, Secret, hmac_sha256, sha256_hex};
pub use time::{Clock, DateText, Timestamp};
pub use usage::{Extra, ServiceTier, Usage, Work};
