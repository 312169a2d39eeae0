//! Exact sums and means. Whole numbers of a field are added up in 128 bits, which hold 10^19 events of the
//! greatest; numbers of properties and means by [`Sum`], which takes any.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Int64Type};
use datafusion_common::{DataFusionError, Result as QueryResult};
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;
use domain::query::{Number, Overflow, Sum};

use super::function::AggregateFunction;
use super::numbers::{BITS, Quantity, SKIPPED, answered};

/// A sum or a mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sums {
    Sum(Quantity),
    Mean(Quantity),
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "some fifty")]
const STATE_BYTES: i32 = Sum::BYTES as i32;

impl AggregateFunction for Sums {
    fn name(&self) -> &str {
        match self {
            Self::Sum(_) => "sum",
            Self::Mean(_) => "avg",
        }
    }

    fn answer_type(&self, _: &DataType) -> DataType {
        BITS
    }

    fn state_type(&self, _: &DataType) -> DataType {
        match self {
            Self::Sum(Quantity::Whole(_)) => BITS,
            _ => DataType::FixedSizeBinary(STATE_BYTES),
        }
    }

    fn groups(&self, _: &DataType) -> QueryResult<Box<dyn GroupsAccumulator>> {
        Ok(match *self {
            Self::Sum(Quantity::Whole(exponent)) => Box::new(WholeSums::new(exponent)),
            Self::Sum(of) => Box::new(ExactSums { of, finish: Sum::total, sums: Vec::new() }),
            Self::Mean(of) => Box::new(ExactSums { of, finish: Sum::mean, sums: Vec::new() }),
        })
    }
}

/// Sums of whole numbers, each times a power of ten.
struct WholeSums {
    sums: Box<dyn GroupsAccumulator>,
    exponent: i16,
}

impl WholeSums {
    fn new(exponent: i16) -> Self {
        let add = |sum: &mut i128, value: i128| *sum = sum.wrapping_add(value);
        Self { sums: Box::new(PrimitiveGroupsAccumulator::<Decimal128Type, _>::new(&BITS, add)), exponent }
    }
}

fn widened(values: &ArrayRef) -> ArrayRef {
    Arc::new(values.as_primitive::<Int64Type>().unary::<_, Decimal128Type>(i128::from))
}

impl GroupsAccumulator for WholeSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.sums.update_batch(&[widened(&values[0])], group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.sums.merge_batch(values, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> QueryResult<ArrayRef> {
        let sums = self.sums.evaluate(emit_to)?;
        let exponent = i64::from(self.exponent);
        let answer = |sum| answered(Number::new(sum, exponent).ok_or(Overflow));
        Ok(Arc::new(sums.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(answer).with_data_type(BITS)))
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        self.sums.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        self.sums.convert_to_state(&[widened(&values[0])], opt_filter)
    }

    fn size(&self) -> usize {
        self.sums.size()
    }
}

/// Sums of each group, and what is answered of them.
struct ExactSums {
    of: Quantity,
    finish: fn(&Sum) -> Option<Result<Number, Overflow>>,
    sums: Vec<Sum>,
}

/// Hands out the values that are there, each with its row.
fn each<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    filter: Option<&BooleanArray>,
    mut take: impl FnMut(usize, T::Native),
) {
    if values.null_count() == 0 && filter.is_none() {
        return values.values().iter().enumerate().for_each(|(row, value)| take(row, *value));
    }
    let is_taken = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
    for row in (0..values.len()).filter(|row| values.is_valid(*row) && is_taken(*row)) {
        take(row, values.value(row));
    }
}

impl GroupsAccumulator for ExactSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.sums.resize(total_num_groups, Sum::default());
        let sums = &mut self.sums;
        match self.of {
            Quantity::Whole(exponent) => each(values[0].as_primitive::<Int64Type>(), opt_filter, |row, value| {
                sums[group_indices[row]].add_scaled(i128::from(value), i32::from(exponent));
            }),
            Quantity::Property => each(values[0].as_primitive::<Decimal128Type>(), opt_filter, |row, bits| {
                if bits != SKIPPED {
                    sums[group_indices[row]].add(Number::of_bits(bits));
                }
            }),
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.sums.resize(total_num_groups, Sum::default());
        let parts = values[0].as_fixed_size_binary();
        for (row, group) in group_indices.iter().enumerate() {
            let part = Sum::of_bytes(parts.value(row));
            let part = part.ok_or_else(|| DataFusionError::Internal("a part of a sum is cut short".to_owned()))?;
            self.sums[*group].merge(&part);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> QueryResult<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let answers: Decimal128Array = sums.iter().map(|sum| (self.finish)(sum).map(answered)).collect();
        Ok(Arc::new(answers.with_data_type(BITS)))
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let bytes: Vec<u8> = sums.iter().flat_map(Sum::bytes).collect();
        Ok(vec![Arc::new(FixedSizeBinaryArray::try_new(STATE_BYTES, bytes.into(), None)?)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut sums = Self { of: self.of, finish: self.finish, sums: Vec::new() };
        sums.update_batch(values, &(0..rows).collect::<Vec<_>>(), opt_filter, rows)?;
        sums.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Sum>()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use arrow::array::Int64Array;
    use datafusion_common::ScalarValue;
    use datafusion_expr::Accumulator;

    use super::*;
    use crate::queries::function::Ungrouped;
    use crate::queries::numbers;

    fn groups(function: Sums) -> Box<dyn GroupsAccumulator> {
        function.groups(&BITS).unwrap()
    }

    fn read(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(values.iter().map(|value| value.and_then(numbers::read)).collect::<Decimal128Array>())
    }

    #[test]
    fn i3_rows_turned_into_parts_merge_to_what_the_rows_give() {
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-7), Some(2), Some(9)]));
        let property = read(&[Some("0.1"), Some("true"), Some("\"0.2\""), None, Some("1e-20")]);
        let (of_rows, filter) = ([0, 1, 0, 1, 2], BooleanArray::from(vec![true, true, true, true, false]));
        for (values, of) in
            [(&whole, Quantity::Whole(0)), (&whole, Quantity::Whole(-3)), (&property, Quantity::Property)]
        {
            for function in [Sums::Sum(of), Sums::Mean(of)] {
                for filter in [None, Some(&filter)] {
                    let values = std::slice::from_ref(values);
                    let (mut direct, mut merged, mut halves) = (groups(function), groups(function), groups(function));
                    direct.update_batch(values, &of_rows, filter, 3).unwrap();
                    let parts = direct.convert_to_state(values, filter).unwrap();
                    merged.merge_batch(&parts, &of_rows, 3).unwrap();
                    let half = merged.state(EmitTo::First(2)).unwrap();
                    halves.merge_batch(&half, &[0, 1], 2).unwrap();
                    halves.merge_batch(&merged.state(EmitTo::All).unwrap(), &[2], 3).unwrap();
                    let answers = [direct, halves].map(|mut groups| groups.evaluate(EmitTo::All).unwrap());
                    assert_eq!(&answers[0], &answers[1], "{function:?} of {values:?}");
                }
            }
        }
    }

    #[test]
    fn no_rows_at_all_have_no_sum() {
        let none: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
        for function in [Sums::Sum(Quantity::Whole(0)), Sums::Mean(Quantity::Whole(0))] {
            let mut one = Ungrouped::new(groups(function), &DataType::Int64);
            one.update_batch(std::slice::from_ref(&none)).unwrap();
            assert!(one.evaluate().unwrap().is_null());
        }
        let mut skipped = Ungrouped::new(groups(Sums::Sum(Quantity::Property)), &BITS);
        skipped.update_batch(&[read(&[Some("true"), None])]).unwrap();
        assert!(skipped.evaluate().unwrap().is_null());
    }

    #[test]
    fn a_sum_of_whole_numbers_is_exact_beyond_64_bits() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX; 3]));
        let mut one = Ungrouped::new(groups(Sums::Sum(Quantity::Whole(-3))), &DataType::Int64);
        one.update_batch(&[values]).unwrap();
        let ScalarValue::Decimal128(Some(rank), ..) = one.evaluate().unwrap() else { return };
        assert_eq!(Number::of_rank(rank).to_string(), "27670116110564327.421");
    }
}
