//! Which seeds a test runs. `NILOMETER_SIM_SEEDS=n` runs `n` of them instead of the test's own number,
//! `NILOMETER_SIM_SEED=s` only the seed `s`.

use std::env;
use std::ops::Range;

const COUNT: &str = "NILOMETER_SIM_SEEDS";
const ONLY: &str = "NILOMETER_SIM_SEED";

/// The seeds of one test.
#[derive(Debug, Clone)]
pub struct Seeds {
    range: Range<u64>,
}

impl Seeds {
    /// The first `count` seeds, unless the environment says otherwise.
    pub fn from_environment(count: u64) -> Self {
        let number = |name| env::var(name).ok().and_then(|text| text.trim().parse().ok());
        let range = match number(ONLY) {
            Some(only) => only..only + 1,
            None => 0..number(COUNT).unwrap_or(count),
        };
        Self { range }
    }

    /// How to run one seed of this test again.
    pub fn rerun(seed: u64) -> String {
        format!("seed {seed}; to run it alone, set {ONLY}={seed}")
    }
}

impl Iterator for Seeds {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.range.next()
    }
}
