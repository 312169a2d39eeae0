//! Random choices whose result depends on the seed alone.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A source of choices.
#[derive(Debug)]
pub(crate) struct Choice {
    random: StdRng,
}

impl Choice {
    /// The choices of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed) }
    }

    /// A number from 0 up to but without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.random.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    /// Whether something of probability `share` happens.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// A number from 0 up to but without `limit`, by multiplication (Lemire, 2019, without the
    /// correction of a bias far below what any figure shows).
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        let scaled = u64::from(self.random.next_u32()) * u64::from(limit);
        u32::try_from(scaled >> 32).unwrap_or(0)
    }

    /// A long-tailed number: most lie near `middle`, few far above it, none above `limit`.
    pub(super) fn long_tailed(&mut self, middle: f64, limit: f64) -> u64 {
        // Exponential: the inverse of its distribution at a uniform place.
        let value = -middle * (1.0 - self.unit()).ln();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a small range")]
        let value = value.clamp(0.0, limit) as u64;
        value
    }
}

/// Weights, and how to choose by them.
#[derive(Debug)]
pub(super) struct Weighted {
    /// The sums of the weights up to and with each index, the last one being 1.
    sums: Vec<f64>,
}

impl Weighted {
    /// Index `i` has the weight `weight(i)`.
    pub(super) fn new(count: u32, weight: impl Fn(u32) -> f64) -> Self {
        let mut total = 0.0;
        let mut sums: Vec<f64> = (0..count)
            .map(|index| {
                total += weight(index);
                total
            })
            .collect();
        for sum in &mut sums {
            *sum /= total;
        }
        Self { sums }
    }

    /// Zipf's law: index `i` has the weight 1 / (i + 1) to the power of `exponent`.
    pub(super) fn zipf(count: u32, exponent: f64) -> Self {
        Self::new(count, |index| (f64::from(index) + 1.0).powf(-exponent))
    }

    /// An index.
    pub(super) fn pick(&self, choice: &mut Choice) -> usize {
        self.at(choice.unit())
    }

    /// The index in which the share `share` of all weight lies.
    pub(super) fn at(&self, share: f64) -> usize {
        self.sums.partition_point(|sum| *sum <= share).min(self.sums.len().saturating_sub(1))
    }

    /// How far into its index `share` lies, from 0 to 1.
    pub(super) fn within(&self, share: f64) -> f64 {
        let index = self.at(share);
        let before = index.checked_sub(1).and_then(|before| self.sums.get(before)).copied().unwrap_or(0.0);
        let width = self.sums.get(index).copied().unwrap_or(1.0) - before;
        if width > 0.0 { ((share - before) / width).clamp(0.0, 1.0) } else { 0.0 }
    }
}
