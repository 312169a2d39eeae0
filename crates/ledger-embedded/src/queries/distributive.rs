//! Counts, sums, least and greatest values: the functions whose parts merge as rows do. The engine has
//! them too, in a library of fifty others that takes more time to compile than any other but one.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, Int64Array, new_null_array};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion_common::{DataFusionError, Result as QueryResult, ScalarValue};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::accumulate_indices;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;
use parking_lot::Mutex;

/// The sum of whole numbers: 38 digits hold 10^19 events of the greatest.
const WHOLE: DataType = DataType::Decimal128(38, 0);

/// The rows whose value is there.
pub(super) fn count(value: Expr) -> Expr {
    Distributive::of(Op::Count, value)
}

/// The sum of doubles, or of whole numbers: then a decimal, which does not wrap.
pub(super) fn sum(value: Expr) -> Expr {
    Distributive::of(Op::Sum, value)
}

/// The least number or instant.
pub(super) fn min(value: Expr) -> Expr {
    Distributive::of(Op::Min, value)
}

/// The greatest number or instant.
pub(super) fn max(value: Expr) -> Expr {
    Distributive::of(Op::Max, value)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Op {
    Count,
    Sum,
    Min,
    Max,
}

/// The aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Distributive {
    op: Op,
    signature: Signature,
}

impl Distributive {
    fn of(op: Op, value: Expr) -> Expr {
        let signature = Signature::any(1, Volatility::Immutable);
        AggregateUDF::new_from_impl(Self { op, signature }).call(vec![value])
    }

    /// The groups of values of this type.
    fn groups(&self, values: &DataType) -> QueryResult<Box<dyn GroupsAccumulator>> {
        match (self.op, values) {
            (Op::Count, _) => Ok(Box::new(Counts::default())),
            (Op::Sum, DataType::Int64) => Ok(Box::new(WholeSums(sums::<Decimal128Type>(&WHOLE)))),
            (Op::Sum, DataType::Float64) => Ok(sums::<Float64Type>(values)),
            (Op::Min | Op::Max, DataType::Int64) => Ok(self.extremes::<Int64Type>(values)),
            (Op::Min | Op::Max, DataType::Float64) => Ok(self.extremes::<Float64Type>(values)),
            (Op::Min | Op::Max, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                Ok(self.extremes::<TimestampMicrosecondType>(values))
            }
            _ => Err(DataFusionError::Plan(format!("{} of values of type {values}", self.name()))),
        }
    }

    fn extremes<T: ArrowPrimitiveType + Send>(&self, values: &DataType) -> Box<dyn GroupsAccumulator> {
        let (first, last) = (T::Native::MIN_TOTAL_ORDER, T::Native::MAX_TOTAL_ORDER);
        if self.op == Op::Min {
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

impl AggregateUDFImpl for Distributive {
    /// Functions named `min` and `max` are asked for their value again and again by an engine that
    /// hopes to skip rows; these answer once.
    fn name(&self) -> &str {
        match self.op {
            Op::Count => "count",
            Op::Sum => "sum",
            Op::Min => "least",
            Op::Max => "greatest",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, values: &[DataType]) -> QueryResult<DataType> {
        Ok(match (self.op, &values[0]) {
            (Op::Count, _) => DataType::Int64,
            (Op::Sum, DataType::Int64) => WHOLE,
            (_, same) => same.clone(),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> QueryResult<Box<dyn Accumulator>> {
        let values = args.expr_fields[0].data_type();
        Ok(Box::new(One::new(self.groups(values)?, values)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> QueryResult<Box<dyn GroupsAccumulator>> {
        self.groups(args.expr_fields[0].data_type())
    }
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

/// All rows: the groups, of which there is one.
struct One {
    groups: Mutex<Box<dyn GroupsAccumulator>>,
    values: DataType,
    /// The group of each row of the last batch that had any.
    rows: Vec<usize>,
}

impl One {
    fn new(groups: Box<dyn GroupsAccumulator>, values: &DataType) -> Self {
        Self { groups: Mutex::new(groups), values: values.clone(), rows: Vec::new() }
    }

    /// The groups when all rows are in; of none at all, one group that has no value.
    fn ended(&mut self) -> QueryResult<&mut dyn GroupsAccumulator> {
        let groups = self.groups.get_mut();
        if self.rows.is_empty() {
            groups.update_batch(&[new_null_array(&self.values, 1)], &[0], None, 1)?;
        }
        Ok(groups.as_mut())
    }
}

impl fmt::Debug for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("One").field("values", &self.values).finish_non_exhaustive()
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> QueryResult<()> {
        if values[0].is_empty() {
            return Ok(());
        }
        self.rows.resize(values[0].len(), 0);
        self.groups.get_mut().update_batch(values, &self.rows, None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> QueryResult<()> {
        if states[0].is_empty() {
            return Ok(());
        }
        self.rows.resize(states[0].len(), 0);
        self.groups.get_mut().merge_batch(states, &self.rows, 1)
    }

    fn state(&mut self) -> QueryResult<Vec<ScalarValue>> {
        let states = self.ended()?.state(EmitTo::All)?;
        states.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn evaluate(&mut self) -> QueryResult<ScalarValue> {
        ScalarValue::try_from_array(&self.ended()?.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.groups.lock().size() + self.rows.capacity() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use arrow::array::{Decimal128Array, Float64Array, TimestampMicrosecondArray};

    use super::*;

    const OPS: [Op; 4] = [Op::Count, Op::Sum, Op::Min, Op::Max];

    fn groups(op: Op, values: &ArrayRef) -> Box<dyn GroupsAccumulator> {
        let function = Distributive { op, signature: Signature::any(1, Volatility::Immutable) };
        function.groups(values.data_type()).unwrap()
    }

    #[test]
    fn rows_turned_into_parts_merge_to_what_the_rows_give() {
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-7), Some(2), Some(9)]));
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(0.5), Some(-2.0), Some(4.0), None]));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![3, 1, 2, 0, 4]));
        let (of_rows, filter) = ([0, 1, 0, 1, 2], BooleanArray::from(vec![true, true, true, true, false]));
        for (op, values) in OPS.iter().flat_map(|op| [&whole, &doubles, &times].map(|values| (*op, values))) {
            if op == Op::Sum && Arc::ptr_eq(values, &times) {
                continue;
            }
            for filter in [None, Some(&filter)] {
                let values = std::slice::from_ref(values);
                let (mut direct, mut merged) = (groups(op, &values[0]), groups(op, &values[0]));
                direct.update_batch(values, &of_rows, filter, 3).unwrap();
                let parts = direct.convert_to_state(values, filter).unwrap();
                merged.merge_batch(&parts, &of_rows, 3).unwrap();
                let answers = [direct, merged].map(|mut groups| groups.evaluate(EmitTo::All).unwrap());
                assert_eq!(&answers[0], &answers[1], "{op:?} of {values:?}");
            }
        }
    }

    #[test]
    fn no_rows_at_all_have_a_count_and_nothing_else() {
        for op in OPS {
            let values: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
            let mut one = One::new(groups(op, &values), &DataType::Int64);
            one.update_batch(&[values]).unwrap();
            let answer = one.evaluate().unwrap();
            if op == Op::Count {
                assert_eq!(answer, ScalarValue::Int64(Some(0)));
            } else {
                assert!(answer.is_null(), "{op:?}: {answer}");
            }
        }
    }

    #[test]
    fn a_sum_of_whole_numbers_is_exact_beyond_64_bits() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX; 3]));
        let mut one = One::new(groups(Op::Sum, &values), &DataType::Int64);
        one.update_batch(&[values]).unwrap();
        let sum = Decimal128Array::from(vec![3 * i128::from(i64::MAX)]).with_data_type(WHOLE);
        assert_eq!(one.evaluate().unwrap(), ScalarValue::try_from_array(&sum, 0).unwrap());
    }
}
