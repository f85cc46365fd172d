//! The one way out: an HTTP client with connection pools, deadlines and a
//! guard against addresses in private networks. Follows no redirects and knows
//! no providers.

mod address;
mod client;

pub use address::{check_address, is_private};
pub use client::{HttpClient, HttpError};
