//! The median of ratios, and how sure it is. Pure.
//!
//! The interval is the one between two order statistics, which supposes nothing about how the ratios are
//! spread but that pairs are independent: each ratio lies below the true median with probability 1/2, so
//! the number that does is binomial, and the true median lies between the k-th smallest and the k-th
//! largest of n with probability 1 − 2 · P(Bin(n, 1/2) < k). k is the largest for which that is at least
//! 90 %. Reckoned in whole numbers, not approximated. Source: H. A. David and H. N. Nagaraja, Order
//! Statistics, 3rd edition (Wiley 2003), section 7.1.

use serde::Serialize;

/// Most pairs of a comparison: the ways in which more can lie are not counted in 128 bits.
pub(crate) const PAIRS_MAX: u32 = 100;

/// A range in which the true median lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Interval {
    /// The lower end.
    pub(crate) low: f64,
    /// The upper end.
    pub(crate) high: f64,
    /// With which probability, at least 0.9.
    pub(crate) coverage: f64,
}

impl Interval {
    /// The interval of `ratios` in ascending order; `None` for fewer than five, which have none of 90 %.
    pub(crate) fn of(ratios: &[f64]) -> Option<Self> {
        let (rank, coverage) = rank(ratios.len())?;
        let low = *ratios.get(rank - 1)?;
        let high = *ratios.get(ratios.len() - rank)?;
        Some(Self { low, high, coverage })
    }
}

/// The median of `ratios` in ascending order: the middle one, or the geometric mean of both middle ones,
/// so that comparing B with A gives the inverse of comparing A with B.
pub(crate) fn median(ratios: &[f64]) -> Option<f64> {
    let upper = *ratios.get(ratios.len() / 2)?;
    let lower = *ratios.get((ratios.len() - 1) / 2)?;
    Some((lower * upper).sqrt())
}

/// The rank k of the ends of the interval of `count` ratios, from 1, and its coverage.
fn rank(count: usize) -> Option<(usize, f64)> {
    let pairs = u32::try_from(count).ok().filter(|pairs| *pairs <= PAIRS_MAX)?;
    let all = 1_u128 << pairs;
    let mut found = None;
    // How many of the 2^n ways to lie below or above the median have fewer than `rank` below it.
    let (mut tail, mut ways) = (0_u128, 1_u128);
    for below in 0..pairs / 2 {
        tail += ways;
        ways = ways * u128::from(pairs - below) / u128::from(below + 1);
        if 20 * tail > all {
            break;
        }
        found = Some((usize::try_from(below + 1).ok()?, share(all - 2 * tail, all)));
    }
    found
}

#[expect(clippy::cast_precision_loss, reason = "a share that is shown and not reckoned with")]
fn share(part: u128, whole: u128) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use proptest::prelude::*;

    /// The share of all ways in which `count` ratios can lie below or above the true median that leave it
    /// between the ends of rank `rank`.
    fn coverage(count: usize, rank: usize) -> f64 {
        let ways = 1_u32 << count;
        let inside = (0..ways).filter(|way| {
            let below = way.count_ones() as usize;
            below >= rank && count - below >= rank
        });
        f64::from(u32::try_from(inside.count()).unwrap()) / f64::from(ways)
    }

    #[test]
    fn the_rank_is_the_largest_with_a_coverage_of_90_percent_by_enumeration() {
        for count in 0..=16 {
            match rank(count) {
                Some((rank, found)) => {
                    assert!((found - coverage(count, rank)).abs() < 1e-12, "{count}: {found}");
                    assert!(found >= 0.9, "{count}: {found}");
                    assert!(coverage(count, rank + 1) < 0.9, "{count}");
                }
                None => assert!(coverage(count, 1) < 0.9, "{count}"),
            }
            assert_eq!(rank(count).is_some(), count >= 5, "{count}");
        }
    }

    #[test]
    fn ranks_are_those_of_the_published_tables() {
        assert_eq!([5, 8, 10, 11, 20].map(|count| rank(count).unwrap().0), [1, 2, 2, 3, 6]);
        assert!(rank(PAIRS_MAX as usize).is_some() && rank(PAIRS_MAX as usize + 1).is_none());
    }

    proptest! {
        #[test]
        fn comparing_the_other_way_round_gives_the_inverse(
            mut ratios in proptest::collection::vec(0.1_f64..10.0, 1..40)
        ) {
            ratios.sort_by(f64::total_cmp);
            let inverse: Vec<f64> = ratios.iter().rev().map(|ratio| ratio.recip()).collect();
            let close = |left: f64, right: f64| (left - right).abs() < 1e-9;
            prop_assert!(close(median(&ratios).unwrap(), median(&inverse).unwrap().recip()));
            if let (Some(found), Some(other)) = (Interval::of(&ratios), Interval::of(&inverse)) {
                prop_assert!(close(found.low, other.high.recip()) && close(found.high, other.low.recip()));
                let median = median(&ratios).unwrap();
                prop_assert!(found.low <= median + 1e-9 && median <= found.high + 1e-9);
            }
        }
    }

    #[test]
    fn no_ratios_have_no_median() {
        assert_eq!((median(&[]), Interval::of(&[])), (None, None));
        assert_eq!(median(&[2.0, 8.0]), Some(4.0));
    }
}
