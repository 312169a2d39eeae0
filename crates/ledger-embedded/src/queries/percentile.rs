//! Exact percentiles: every value is kept until the end. Of n values in order the one at index
//! (n - 1) · p, linear between the neighbours of a broken index (method 7 of Hyndman and Fan, 1996). The
//! engine's own function rounds the weight of a neighbour to a millionth.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::Result as QueryResult;

use super::holistic::Holistic;

/// One percentile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Percentile {
    hundredths: u8,
    name: String,
}

impl Percentile {
    /// The percentile at so many hundredths.
    pub(super) fn new(hundredths: u8) -> Self {
        Self { hundredths, name: format!("p{hundredths}") }
    }
}

impl Holistic for Percentile {
    type Item = Float64Type;
    type State = Vec<f64>;

    const ITEM: DataType = DataType::Float64;
    const ANSWER: DataType = DataType::Float64;

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, values: &ArrayRef) -> QueryResult<Float64Array> {
        Ok(values.as_primitive::<Float64Type>().clone())
    }

    fn add(kept: &mut Vec<f64>, items: impl IntoIterator<Item = f64>) {
        kept.extend(items);
    }

    fn len(kept: &Vec<f64>) -> usize {
        kept.len()
    }

    fn bytes(kept: &Vec<f64>) -> usize {
        kept.capacity() * size_of::<f64>()
    }

    fn answer(&self, groups: &mut [Vec<f64>]) -> ArrayRef {
        let found = groups.iter_mut().map(|values| at(values, self.hundredths));
        Arc::new(found.collect::<Float64Array>())
    }
}

/// The value at so many hundredths of all, which are reordered.
fn at(values: &mut [f64], hundredths: u8) -> Option<f64> {
    let steps = values.len().checked_sub(1)? * usize::from(hundredths);
    let (index, rest) = (steps / 100, steps % 100);
    let (_, low, above) = values.select_nth_unstable_by(index, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp);
    match next {
        #[expect(clippy::cast_precision_loss, reason = "below 100")]
        Some(high) if rest > 0 => Some(*low + (high - *low) * (rest as f64 / 100.0)),
        _ => Some(*low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_linear_between_neighbours() {
        assert_eq!(at(&mut [], 50), None);
        assert_eq!(at(&mut [7.0], 99), Some(7.0));
        assert_eq!(at(&mut [4.0, 1.0], 50), Some(2.5));
        assert_eq!(at(&mut [3.0, 1.0, 2.0], 50), Some(2.0));
        let mut hundred: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!([50, 95, 99].map(|p| at(&mut hundred, p)), [Some(50.0), Some(95.0), Some(99.0)]);
        let mut ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(at(&mut ten, 95), Some(9.0 + 0.55));
    }
}
