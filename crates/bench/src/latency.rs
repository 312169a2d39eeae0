//! Collects latencies and sums them up as percentiles. Values are microseconds, kept to three
//! significant digits; parts collected on different connections merge without loss.

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency that is recorded exactly, in microseconds: one hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Significant digits kept.
const DIGITS: u8 = 3;

/// Latencies in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// No latencies yet.
    pub(super) fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS);
        Ok(Self(histogram.context("failed to make a histogram")?))
    }

    /// Adds a latency; one above [`LATENCY_US_MAX`] counts as that.
    pub(super) fn record(&mut self, latency_us: u64) {
        self.0.saturating_record(latency_us);
    }

    /// Adds the latencies of `other`.
    pub(super) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.0.add(&other.0).context("failed to merge histograms")
    }

    /// The percentiles of all latencies.
    pub(super) fn summary(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Percentiles {
            count: self.0.len(),
            p50_us: at(0.50),
            p90_us: at(0.90),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max(),
        }
    }
}

/// Percentiles of latencies, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Percentiles {
    /// How many latencies.
    pub(super) count: u64,
    /// Half are at most this.
    pub(super) p50_us: u64,
    /// 90 of 100 are at most this.
    pub(super) p90_us: u64,
    /// 99 of 100 are at most this.
    pub(super) p99_us: u64,
    /// 999 of 1,000 are at most this.
    pub(super) p999_us: u64,
    /// The longest.
    pub(super) max_us: u64,
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50_us, p90_us, p99_us, p999_us, max_us } = self;
        write!(
            f,
            "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}  ({count} samples)",
            millis(*p50_us),
            millis(*p90_us),
            millis(*p99_us),
            millis(*p999_us),
            millis(*max_us)
        )
    }
}

/// Microseconds as a text in milliseconds.
pub(super) fn millis(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merged_parts_equal_the_whole(
            parts in proptest::collection::vec(proptest::collection::vec(1_u64..10_000_000, 0..50), 1..6)
        ) {
            let (mut whole, mut merged) = (Latencies::new().unwrap(), Latencies::new().unwrap());
            for part in &parts {
                let mut own = Latencies::new().unwrap();
                for latency_us in part {
                    own.record(*latency_us);
                    whole.record(*latency_us);
                }
                merged.merge(&own).unwrap();
            }
            prop_assert_eq!(merged.summary(), whole.summary());
        }
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        let mut latencies = Latencies::new().unwrap();
        (1..=1_000).for_each(|latency_us| latencies.record(latency_us));
        latencies.record(u64::MAX);
        let found = latencies.summary();
        assert_eq!((found.count, found.p50_us, found.p90_us, found.p99_us), (1_001, 501, 901, 991));
        assert!(found.max_us >= LATENCY_US_MAX);
    }

    #[test]
    fn micros_read_as_millis() {
        assert_eq!(millis(1_234_005), "1234.005 ms");
    }
}
