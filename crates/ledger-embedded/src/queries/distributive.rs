//! Counts, least and greatest values: the functions whose parts merge as rows do. The engine has
//! them too, in a library of fifty others that takes more time to compile than any other but one.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion_common::{DataFusionError, Result as QueryResult};
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::accumulate_indices;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use domain::query::Number;

use super::function::AggregateFunction;
use super::numbers::{self, BITS, SKIPPED};

/// The rows whose value is there, the least value, the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Distributive {
    Count,
    Min,
    Max,
}

impl AggregateFunction for Distributive {
    /// Functions named `min` and `max` are asked for their value again and again by an engine that
    /// hopes to skip rows; these answer once.
    fn name(&self) -> &str {
        match self {
            Self::Count => "count",
            Self::Min => "least",
            Self::Max => "greatest",
        }
    }

    fn answer_type(&self, values: &DataType) -> DataType {
        match (self, values) {
            (Self::Count, _) => DataType::Int64,
            (_, same) => same.clone(),
        }
    }

    fn state_type(&self, answer: &DataType) -> DataType {
        answer.clone()
    }

    fn groups(&self, values: &DataType) -> QueryResult<Box<dyn GroupsAccumulator>> {
        match (self, values) {
            (Self::Count, _) => Ok(Box::new(Counts::default())),
            (Self::Min | Self::Max, DataType::Int64) => Ok(self.extremes::<Int64Type>(values)),
            (Self::Min | Self::Max, DataType::Decimal128(..)) => Ok(Box::new(Numbers(self.numbers()))),
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

    fn numbers(self) -> Box<dyn GroupsAccumulator> {
        let wanted = if self == Self::Min { Ordering::Less } else { Ordering::Greater };
        let take = move |taken: &mut i128, bits: i128| {
            if bits != SKIPPED && (*taken == SKIPPED || Number::of_bits(bits).cmp(&Number::of_bits(*taken)) == wanted) {
                *taken = bits;
            }
        };
        Box::new(PrimitiveGroupsAccumulator::<Decimal128Type, _>::new(&BITS, take).with_starting_value(SKIPPED))
    }
}

/// The least or the greatest of numbers that were read. What is no number is none yet.
struct Numbers(Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for Numbers {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.0.update_batch(values, group_indices, opt_filter, total_num_groups)
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
        let found = self.0.evaluate(emit_to)?;
        let found = found.as_primitive::<Decimal128Type>().iter();
        let answer = |bits: i128| numbers::answered(Ok(Number::of_bits(bits)));
        let answers: Decimal128Array = found.map(|bits| bits.filter(|bits| *bits != SKIPPED).map(answer)).collect();
        Ok(Arc::new(answers.with_data_type(BITS)))
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        self.0.convert_to_state(values, opt_filter)
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

    use arrow::array::TimestampMicrosecondArray;
    use datafusion_common::ScalarValue;
    use datafusion_expr::Accumulator;

    use super::*;
    use crate::queries::function::Ungrouped;

    const FUNCTIONS: [Distributive; 3] = [Distributive::Count, Distributive::Min, Distributive::Max];

    fn groups(function: Distributive, values: &ArrayRef) -> Box<dyn GroupsAccumulator> {
        function.groups(values.data_type()).unwrap()
    }

    #[test]
    fn rows_turned_into_parts_merge_to_what_the_rows_give() {
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-7), Some(2), Some(9)]));
        let read = ["0.5", "null", "\"-2\"", "true", "4"].map(numbers::read);
        let numbers: ArrayRef = Arc::new(Decimal128Array::from(read.to_vec()));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![3, 1, 2, 0, 4]));
        let (of_rows, filter) = ([0, 1, 0, 1, 2], BooleanArray::from(vec![true, true, true, true, false]));
        for (function, values) in
            FUNCTIONS.iter().flat_map(|function| [&whole, &numbers, &times].map(|values| (*function, values)))
        {
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
}
