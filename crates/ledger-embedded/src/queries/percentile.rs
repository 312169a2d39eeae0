//! Exact percentiles: every value is kept until the end. Of n values in order the one at index
//! (n - 1) · p, linear between the neighbours of a broken index (method 7 of Hyndman and Fan, 1996), to the
//! last digit. The engine's own function rounds the weight of a neighbour to a millionth.

use std::cmp::Ordering;
use std::fmt;
use std::hash::Hash;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion_common::Result as QueryResult;
use domain::query::{Number, Overflow, between};

use super::holistic::Holistic;
use super::numbers::{BITS, SKIPPED, answered};

/// Which values are kept, and in what form.
pub(super) trait Kept: fmt::Debug + Clone + PartialEq + Eq + Hash + Send + Sync + 'static {
    type Item: ArrowPrimitiveType;

    const ITEM: DataType;

    /// The values that are numbers.
    fn read(values: &ArrayRef) -> QueryResult<PrimitiveArray<Self::Item>>;

    fn order(left: &Native<Self>, right: &Native<Self>) -> Ordering;

    fn number(&self, item: Native<Self>) -> Result<Number, Overflow>;
}

type Native<K> = <<K as Kept>::Item as ArrowPrimitiveType>::Native;

/// Whole numbers, each times this power of ten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Whole(pub(super) i16);

impl Kept for Whole {
    type Item = Int64Type;

    const ITEM: DataType = DataType::Int64;

    fn read(values: &ArrayRef) -> QueryResult<PrimitiveArray<Int64Type>> {
        Ok(values.as_primitive().clone())
    }

    fn order(left: &i64, right: &i64) -> Ordering {
        left.cmp(right)
    }

    fn number(&self, item: i64) -> Result<Number, Overflow> {
        Number::new(i128::from(item), i64::from(self.0)).ok_or(Overflow)
    }
}

/// Numbers of properties.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Property;

impl Kept for Property {
    type Item = Decimal128Type;

    const ITEM: DataType = BITS;

    fn read(values: &ArrayRef) -> QueryResult<Decimal128Array> {
        let values = values.as_primitive::<Decimal128Type>();
        if !values.values().contains(&SKIPPED) {
            return Ok(values.clone());
        }
        Ok(values.iter().map(|bits| bits.filter(|bits| *bits != SKIPPED)).collect())
    }

    fn order(left: &i128, right: &i128) -> Ordering {
        Number::of_bits(*left).cmp(&Number::of_bits(*right))
    }

    fn number(&self, item: i128) -> Result<Number, Overflow> {
        Ok(Number::of_bits(item))
    }
}

/// One percentile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Percentile<K> {
    hundredths: u8,
    name: String,
    of: K,
}

impl<K> Percentile<K> {
    /// The percentile at so many hundredths.
    pub(super) fn new(hundredths: u8, of: K) -> Self {
        Self { hundredths, name: format!("p{hundredths}"), of }
    }
}

impl<K: Kept> Holistic for Percentile<K> {
    type Item = K::Item;
    type State = Vec<Native<K>>;

    const ITEM: DataType = K::ITEM;
    const ANSWER: DataType = BITS;

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, values: &ArrayRef) -> QueryResult<PrimitiveArray<K::Item>> {
        K::read(values)
    }

    fn add(kept: &mut Vec<Native<K>>, items: impl IntoIterator<Item = Native<K>>) {
        kept.extend(items);
    }

    fn len(kept: &Vec<Native<K>>) -> usize {
        kept.len()
    }

    fn bytes(kept: &Vec<Native<K>>) -> usize {
        kept.capacity() * size_of::<Native<K>>()
    }

    fn answer(&self, groups: &mut [Vec<Native<K>>]) -> ArrayRef {
        let found = groups.iter_mut().map(|values| at(values, self.hundredths, &self.of).map(answered));
        Arc::new(found.collect::<Decimal128Array>().with_data_type(BITS))
    }
}

/// The number at so many hundredths of all, which are reordered.
fn at<K: Kept>(values: &mut [Native<K>], hundredths: u8, of: &K) -> Option<Result<Number, Overflow>> {
    let steps = values.len().checked_sub(1)? * usize::from(hundredths);
    let (index, rest) = (steps / 100, u8::try_from(steps % 100).unwrap_or_default());
    let (_, low, above) = values.select_nth_unstable_by(index, K::order);
    let low = of.number(*low);
    let next = above.iter().copied().min_by(K::order).filter(|_| rest > 0);
    let Some(high) = next else { return Some(low) };
    Some(low.and_then(|low| between(low, of.number(high)?, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(values: &[i64], hundredths: u8) -> Option<String> {
        let found = at(&mut values.to_vec(), hundredths, &Whole(0))?;
        Some(found.map_or_else(|_| "overflow".to_owned(), |number| number.to_string()))
    }

    #[test]
    fn percentiles_are_linear_between_neighbours() {
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(whole(&[], 50), None);
        assert_eq!(whole(&[7], 99), told("7"));
        assert_eq!(whole(&[4, 1], 50), told("2.5"));
        assert_eq!(whole(&[3, 1, 2], 50), told("2"));
        let hundred: Vec<i64> = (0..=100).rev().collect();
        assert_eq!([50, 95, 99].map(|p| whole(&hundred, p)), ["50", "95", "99"].map(told));
        let ten: Vec<i64> = (1..=10).collect();
        assert_eq!(whole(&ten, 95), told("9.55"));
        assert_eq!(whole(&[i64::MAX, i64::MAX - 1], 50), told("9223372036854775806.5"));
    }

    #[test]
    fn percentiles_of_properties_keep_every_digit() {
        let of = |texts: &[&str]| {
            let mut bits: Vec<i128> = texts.iter().filter_map(|text| super::super::numbers::read(text)).collect();
            at(&mut bits, 50, &Property)
        };
        assert_eq!(of(&["0.1", "\"0.2\""]), Some(Number::parse("0.15").ok_or(Overflow)));
        assert_eq!(
            of(&["9007199254740993", "9007199254740993.0", "-1e400"]),
            Some(Number::parse("9007199254740993").ok_or(Overflow))
        );
        assert_eq!(of(&["1e27", "1.000000000000000000000000001"]), Some(Err(Overflow)));
    }
}
