//! Counts, sums, least and greatest values: the functions whose parts merge as rows do. The engine has
//! them too, in a library of fifty others that takes more time to compile than any other but one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion_common::{DataFusionError, Result as QueryResult};
use datafusion_expr::{EmitTo, Expr, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::accumulate_indices;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use super::function::{AggregateFunction, call};

/// The sum of whole numbers: 38 digits hold 10^19 events of the greatest.
const WHOLE: DataType = DataType::Decimal128(38, 0);

/// The rows whose value is there.
pub(super) fn count(value: Expr) -> Expr {
    call(Distributive::Count, value)
}

/// The sum of doubles, or of whole numbers: then a decimal, which does not wrap.
pub(super) fn sum(value: Expr) -> Expr {
    call(Distributive::Sum, value)
}

/// The least number or instant.
pub(super) fn min(value: Expr) -> Expr {
    call(Distributive::Min, value)
}

/// The greatest number or instant.
pub(super) fn max(value: Expr) -> Expr {
    call(Distributive::Max, value)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Distributive {
    Count,
    Sum,
    Min,
    Max,
}

impl AggregateFunction for Distributive {
    /// Functions named `min` and `max` are asked for their value again and again by an engine that
    /// hopes to skip rows; these answer once.
    fn name(&self) -> &str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "least",
            Self::Max => "greatest",
        }
    }

    fn answer_type(&self, values: &DataType) -> DataType {
        match (self, values) {
            (Self::Count, _) => DataType::Int64,
            (Self::Sum, DataType::Int64) => WHOLE,
            (_, same) => same.clone(),
        }
    }

    fn state_type(&self, answer: &DataType) -> DataType {
        answer.clone()
    }

    fn groups(&self, values: &DataType) -> QueryResult<Box<dyn GroupsAccumulator>> {
        match (self, values) {
            (Self::Count, _) => Ok(Box::new(Counts::default())),
            (Self::Sum, DataType::Int64) => Ok(Box::new(WholeSums(sums::<Decimal128Type>(&WHOLE)))),
            (Self::Sum, DataType::Float64) => Ok(sums::<Float64Type>(values)),
            (Self::Min | Self::Max, DataType::Int64) => Ok(self.extremes::<Int64Type>(values)),
            (Self::Min | Self::Max, DataType::Float64) => Ok(self.extremes::<Float64Type>(values)),
            (Self::Min | Self::Max, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                Ok(self.extremes::<TimestampMicrosecondType>(values))
            }
            _ => Err(DataFusionError::Plan(format!("{} of values of type {values}", self.name()))),
        }
    }
}

impl Distributive {
    fn extremes<T: ArrowPrimitiveType + Send>(&self, values: &DataType) -> Box<dyn GroupsAccumulator> {
        let (first, last) = (T::Native::MIN_TOTAL_ORDER, T::Native::MAX_TOTAL_ORDER);
        if *self == Self::Min {
            let least = |least: &mut T::Native, value: T::Native| {
                if value.is_lt(*least) {
                    *least = value;
                }
            };
            return Box::new(PrimitiveGroupsAccumulator::<T, _>::new(values, least).with_starting_value(last));
        }
        let greatest = |greatest: &mut T::Native, value: T::Native| {
            if value.is_gt(*greatest) {
                *greatest = value;
            }
        };
        Box::new(PrimitiveGroupsAccumulator::<T, _>::new(values, greatest).with_starting_value(first))
    }
}

fn sums<T: ArrowPrimitiveType + Send>(values: &DataType) -> Box<dyn GroupsAccumulator> {
    let add = |sum: &mut T::Native, value: T::Native| *sum = sum.add_wrapping(value);
    Box::new(PrimitiveGroupsAccumulator::<T, _>::new(values, add))
}

/// The sums of whole numbers, added up as decimals.
struct WholeSums(Box<dyn GroupsAccumulator>);

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
        self.0.update_batch(&[widened(&values[0])], group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.0.merge_batch(values, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> QueryResult<ArrayRef> {
        self.0.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        self.0.convert_to_state(&[widened(&values[0])], opt_filter)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// The rows of each group.
#[derive(Debug, Default)]
struct Counts(Vec<i64>);

impl GroupsAccumulator for Counts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.0.resize(total_num_groups, 0);
        let nulls = values[0].logical_nulls();
        accumulate_indices(group_indices, nulls.as_ref(), opt_filter, |group| self.0[group] += 1);
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.0.resize(total_num_groups, 0);
        let counts = values[0].as_primitive::<Int64Type>().values();
        for (group, count) in group_indices.iter().zip(counts) {
            self.0[*group] += count;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> QueryResult<ArrayRef> {
        Ok(Arc::new(Int64Array::from(emit_to.take_needed(&mut self.0))))
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut counts = Self::default();
        counts.update_batch(values, &(0..rows).collect::<Vec<_>>(), opt_filter, rows)?;
        counts.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<i64>()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use arrow::array::{Decimal128Array, Float64Array, TimestampMicrosecondArray};

    use datafusion_common::ScalarValue;
    use datafusion_expr::Accumulator;

    use super::*;
    use crate::queries::function::Ungrouped;

    const FUNCTIONS: [Distributive; 4] = [Distributive::Count, Distributive::Sum, Distributive::Min, Distributive::Max];

    fn groups(function: Distributive, values: &ArrayRef) -> Box<dyn GroupsAccumulator> {
        function.groups(values.data_type()).unwrap()
    }

    #[test]
    fn rows_turned_into_parts_merge_to_what_the_rows_give() {
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-7), Some(2), Some(9)]));
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(0.5), Some(-2.0), Some(4.0), None]));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![3, 1, 2, 0, 4]));
        let (of_rows, filter) = ([0, 1, 0, 1, 2], BooleanArray::from(vec![true, true, true, true, false]));
        for (function, values) in
            FUNCTIONS.iter().flat_map(|function| [&whole, &doubles, &times].map(|values| (*function, values)))
        {
            if function == Distributive::Sum && Arc::ptr_eq(values, &times) {
                continue;
            }
            for filter in [None, Some(&filter)] {
                let values = std::slice::from_ref(values);
                let (mut direct, mut merged) = (groups(function, &values[0]), groups(function, &values[0]));
                direct.update_batch(values, &of_rows, filter, 3).unwrap();
                let parts = direct.convert_to_state(values, filter).unwrap();
                merged.merge_batch(&parts, &of_rows, 3).unwrap();
                let answers = [direct, merged].map(|mut groups| groups.evaluate(EmitTo::All).unwrap());
                assert_eq!(&answers[0], &answers[1], "{function:?} of {values:?}");
            }
        }
    }

    #[test]
    fn no_rows_at_all_have_a_count_and_nothing_else() {
        for function in FUNCTIONS {
            let values: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
            let mut one = Ungrouped::new(groups(function, &values), &DataType::Int64);
            one.update_batch(&[values]).unwrap();
            let answer = one.evaluate().unwrap();
            if function == Distributive::Count {
                assert_eq!(answer, ScalarValue::Int64(Some(0)));
            } else {
                assert!(answer.is_null(), "{function:?}: {answer}");
            }
        }
    }

    #[test]
    fn a_sum_of_whole_numbers_is_exact_beyond_64_bits() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX; 3]));
        let mut one = Ungrouped::new(groups(Distributive::Sum, &values), &DataType::Int64);
        one.update_batch(&[values]).unwrap();
        let sum = Decimal128Array::from(vec![3 * i128::from(i64::MAX)]).with_data_type(WHOLE);
        assert_eq!(one.evaluate().unwrap(), ScalarValue::try_from_array(&sum, 0).unwrap());
    }
}
