//! Two things measured in turns, and by how much the second differs from the first: the median of the ratios, and
//! the interval of [`crate::pair::interval`]. Pure.

use std::fmt;

use serde::Serialize;

use crate::pair::interval::{Interval, median};

/// Values of both, pair by pair.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs(Vec<(f64, f64)>);

/// What they come to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Compared {
    /// The median of the first.
    pub(crate) first: f64,
    /// The median of the second.
    pub(crate) second: f64,
    /// The median of second / first.
    pub(crate) ratio: f64,
    /// Where the true median of the ratio lies; none of fewer than five pairs.
    pub(crate) interval: Option<Interval>,
    /// Second / first, pair by pair.
    pub(crate) ratios: Vec<f64>,
}

impl Pairs {
    /// Adds a pair, both above zero.
    pub(crate) fn add(&mut self, first: f64, second: f64) {
        if first > 0.0 && second > 0.0 {
            self.0.push((first, second));
        }
    }

    /// What they come to; none without a pair.
    pub(crate) fn compared(&self) -> Option<Compared> {
        let sorted = |of: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = self.0.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let in_order = sorted(|(first, second)| second / first);
        Some(Compared {
            first: median(&sorted(|(first, _)| *first))?,
            second: median(&sorted(|(_, second)| *second))?,
            ratio: median(&in_order)?,
            interval: Interval::of(&in_order),
            ratios: self.0.iter().map(|(first, second)| second / first).collect(),
        })
    }
}

impl Compared {
    /// The ratio in thousandths, rounded down.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ratios are above zero and small")]
    pub(crate) fn kept_thousandths(&self) -> u64 {
        (self.ratio * 1_000.0) as u64
    }

    /// The ratio in thousandths, rounded up.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ratios are above zero and small")]
    pub(crate) fn spent_thousandths(&self) -> u64 {
        (self.ratio * 1_000.0).ceil() as u64
    }
}

/// Bounds in thousandths. Without an interval nothing is known well enough to break one.
impl Compared {
    /// Whether the second keeps less of the first than `bound` for certain.
    pub(crate) fn surely_keeps_less(&self, bound: u64) -> bool {
        self.interval.is_some_and(|interval| interval.high * 1_000.0 < as_float(bound))
    }

    /// Whether the second takes more of the first than `bound` for certain.
    pub(crate) fn surely_spends_more(&self, bound: u64) -> bool {
        self.interval.is_some_and(|interval| interval.low * 1_000.0 > as_float(bound))
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds are small")]
fn as_float(bound: u64) -> f64 {
    bound as f64
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.ratio)?;
        if let Some(Interval { low, high, coverage }) = self.interval {
            write!(f, ", {low:.3} to {high:.3} with {:.0} %", coverage * 100.0)?;
        }
        write!(f, ", of {} pairs", self.ratios.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_its_pair_and_is_never_rounded_in_its_own_favour() {
        let mut pairs = Pairs::default();
        assert!(pairs.compared().is_none());
        for (first, second) in [(100.0, 96.99), (200.0, 193.98), (0.0, 1.0), (50.0, 48.495)] {
            pairs.add(first, second);
        }
        let found = pairs.compared().map(|compared| (compared.kept_thousandths(), compared.spent_thousandths()));
        assert_eq!(found, Some((969, 970)));
        let judged = pairs.compared().map(|it| (it.surely_keeps_less(999), it.surely_spends_more(1)));
        assert_eq!(judged, Some((false, false)), "three pairs have no interval");
        let medians = pairs.compared().map(|compared| (compared.first, compared.second, compared.ratios.len()));
        assert_eq!(medians, Some((100.0, 96.99, 3)));
    }

    /// Found in November 2026: a bound that was broken in every pair was no failure.
    #[test]
    fn a_bound_is_broken_when_the_whole_interval_lies_beyond_it() {
        let mut pairs = Pairs::default();
        for second in [90.0, 92.0, 94.0, 96.0, 98.0] {
            pairs.add(100.0, second);
        }
        let compared = pairs.compared();
        let keeps_less = |bound| compared.as_ref().map(|it| it.surely_keeps_less(bound));
        assert_eq!([970, 979, 981, 990].map(keeps_less), [false, false, true, true].map(Some));
        let spends_more = |bound| compared.as_ref().map(|it| it.surely_spends_more(bound));
        assert_eq!([970, 901, 899, 850].map(spends_more), [false, false, true, true].map(Some));
    }
}
