//! Exact percentiles: every value is kept until the end, and the memory counts. Of n values in order
//! the one at index (n - 1) · p, linear between the neighbours of a broken index (method 7 of Hyndman
//! and Fan, 1996). The engine's own function rounds the weight of a neighbour to a millionth.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion_common::{DataFusionError, Result as QueryResult, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

/// The aggregate function of one percentile.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Percentile {
    hundredths: u8,
    name: String,
    signature: Signature,
}

impl Percentile {
    /// The percentile at so many hundredths.
    pub(super) fn new(hundredths: u8) -> Self {
        let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
        Self { hundredths, name: format!("p{hundredths}"), signature }
    }
}

fn values_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float64, true))
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> QueryResult<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> QueryResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[values]", args.name), DataType::List(values_field()), true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> QueryResult<Box<dyn Accumulator>> {
        Ok(Box::new(One(Groups { hundredths: self.hundredths, values: vec![Vec::new()], held: 0 })))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> QueryResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups { hundredths: self.hundredths, values: Vec::new(), held: 0 }))
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

/// The values of each group.
#[derive(Debug)]
struct Groups {
    hundredths: u8,
    values: Vec<Vec<f64>>,
    /// Bytes that the values take.
    held: usize,
}

impl Groups {
    fn extend(&mut self, group: usize, added: impl IntoIterator<Item = f64>) {
        let values = &mut self.values[group];
        let before = values.capacity();
        values.extend(added);
        self.held += (values.capacity() - before) * size_of::<f64>();
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Vec<f64>> {
        let taken = emit_to.take_needed(&mut self.values);
        self.held = self.values.iter().map(|values| values.capacity() * size_of::<f64>()).sum();
        taken
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.values.resize_with(total_num_groups, Vec::new);
        let numbers = values[0].as_primitive::<Float64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            if numbers.is_valid(row) && opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                self.extend(*group, [numbers.value(row)]);
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.values.resize_with(total_num_groups, Vec::new);
        let lists = values[0].as_list::<i32>();
        for (row, group) in group_indices.iter().enumerate().filter(|(row, _)| lists.is_valid(*row)) {
            let list = lists.value(row);
            self.extend(*group, list.as_primitive::<Float64Type>().values().iter().copied());
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        let all: usize = groups.iter().map(Vec::len).sum();
        if i32::try_from(all).is_err() {
            return Err(DataFusionError::ResourcesExhausted("too many values for a percentile".to_owned()));
        }
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
        let values = Float64Array::from_iter_values(groups.into_iter().flatten());
        Ok(vec![Arc::new(ListArray::try_new(values_field(), offsets, Arc::new(values), None)?)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> QueryResult<ArrayRef> {
        let hundredths = self.hundredths;
        let found = self.take(emit_to).into_iter().map(|mut values| at(&mut values, hundredths));
        Ok(Arc::new(found.collect::<Float64Array>()))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        let numbers = values[0].as_primitive::<Float64Type>();
        let is_taken = |row| {
            numbers.is_valid(row)
                && opt_filter.is_none_or(|filter: &BooleanArray| filter.is_valid(row) && filter.value(row))
        };
        let taken: Vec<bool> = (0..numbers.len()).map(is_taken).collect();
        let offsets = OffsetBuffer::from_lengths(taken.iter().map(|taken| usize::from(*taken)));
        let kept = taken.iter().zip(numbers.values()).filter(|(taken, _)| **taken).map(|(_, number)| *number);
        let values = Arc::new(Float64Array::from_iter_values(kept));
        Ok(vec![Arc::new(ListArray::try_new(values_field(), offsets, values, None)?)])
    }

    fn size(&self) -> usize {
        self.held + self.values.capacity() * size_of::<Vec<f64>>()
    }
}

/// The values of all rows: the groups, of which there is one.
#[derive(Debug)]
struct One(Groups);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> QueryResult<()> {
        self.0.extend(0, values[0].as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> QueryResult<()> {
        let rows = vec![0; states[0].len()];
        self.0.merge_batch(states, &rows, 1)
    }

    fn state(&mut self) -> QueryResult<Vec<ScalarValue>> {
        let lists = self.0.state(EmitTo::All)?;
        self.0.values = vec![Vec::new()];
        Ok(vec![ScalarValue::List(Arc::new(lists[0].as_list::<i32>().clone()))])
    }

    fn evaluate(&mut self) -> QueryResult<ScalarValue> {
        let found = at(&mut self.0.values[0], self.0.hundredths);
        Ok(ScalarValue::Float64(found))
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(&self.0)
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
