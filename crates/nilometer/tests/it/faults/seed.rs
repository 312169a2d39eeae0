//! What a run is made of: one number, printed with every complaint. `FAULTS_SEED` repeats a run as
//! far as processes and their timing let it.

use std::fmt;

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u64);

impl Seed {
    /// The one asked for, or a new one.
    pub(crate) fn new() -> Self {
        let given = std::env::var("FAULTS_SEED").ok();
        Self(given.map_or_else(rand::random, |text| u64::from_str_radix(&text, 16).unwrap()))
    }

    /// A source of randomness of its own for each `part` of the run.
    pub(crate) fn random(self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.0 ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
