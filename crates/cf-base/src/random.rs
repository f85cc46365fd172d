//! Randomness as a parameter: the system's generator, or a seeded one for tests.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// A handle to a source of random bytes that is cheap to clone.
#[derive(Clone)]
pub struct Random(Source);

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// The operating system's generator.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A reproducible sequence, for tests only.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(
            seed,
        )))))
    }

    /// Fills `buffer`.
    pub fn fill(&self, buffer: &mut [u8]) {
        match &self.0 {
            // A generator that fails would hand out guessable keys: stopping is right.
            Source::System => aws_lc_rs::rand::fill(buffer).expect("the system's random generator"),
            Source::Seeded(rng) => rng.lock().fill_bytes(buffer),
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// `N` characters of `alphabet` (at most 256 of them), each equally likely.
    pub fn characters<const N: usize>(&self, alphabet: &[u8]) -> [u8; N] {
        let mut text = [0; N];
        // Bytes past the last whole multiple would favour the first characters.
        let limit = 256 - 256 % alphabet.len();
        let mut at = 0;
        while at < N {
            for byte in self.bytes::<32>() {
                if at < N && usize::from(byte) < limit {
                    text[at] = alphabet[usize::from(byte) % alphabet.len()];
                    at += 1;
                }
            }
        }
        text
    }

    /// `N` letters and digits, for keys, passwords and tokens.
    pub fn token<const N: usize>(&self) -> String {
        const ALPHANUMERIC: &[u8] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        self.characters::<N>(ALPHANUMERIC)
            .iter()
            .map(|b| char::from(*b))
            .collect()
    }

    /// A number below `bound`, for weighted choices.
    pub fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(u64::from_le_bytes(self.bytes())) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the product's upper half fits")
    }
}
