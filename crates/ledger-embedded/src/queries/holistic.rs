//! Aggregate functions that keep what they are given until the end, because only all of it gives an exact
//! answer. What is kept counts as memory of the query.

use std::fmt;
use std::hash::Hash;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result as QueryResult};
use datafusion_expr::{EmitTo, GroupsAccumulator};

use super::function::AggregateFunction;

/// A function whose answer needs all values: what is kept of them, and what becomes of it (holistic, as in Gray
/// et al., 1997).
pub(super) trait Holistic: fmt::Debug + Clone + PartialEq + Eq + Hash + Send + Sync + 'static {
    /// What is kept of one value; in this form it travels between partitions.
    type Item: ArrowPrimitiveType;
    /// What is kept of one group.
    type State: fmt::Debug + Default + Send + Sync + IntoIterator<Item = <Self::Item as ArrowPrimitiveType>::Native>;

    /// The type of an item.
    const ITEM: DataType;
    /// The type of the answer.
    const ANSWER: DataType;

    fn name(&self) -> &str;

    /// The items of some values.
    fn read(&self, values: &ArrayRef) -> QueryResult<PrimitiveArray<Self::Item>>;

    fn add(state: &mut Self::State, items: impl IntoIterator<Item = <Self::Item as ArrowPrimitiveType>::Native>);

    /// How many items.
    fn len(state: &Self::State) -> usize;

    /// Memory that the items take.
    fn bytes(state: &Self::State) -> usize;

    /// The answer for each group.
    fn answer(&self, groups: &mut [Self::State]) -> ArrayRef;
}

fn item_field<G: Holistic>() -> FieldRef {
    Arc::new(Field::new_list_field(G::ITEM, true))
}

fn lists<G: Holistic>(
    lengths: impl ExactSizeIterator<Item = usize>,
    items: impl Iterator<Item = <G::Item as ArrowPrimitiveType>::Native>,
) -> QueryResult<ArrayRef> {
    let items = PrimitiveArray::<G::Item>::from_iter_values(items).with_data_type(G::ITEM);
    if i32::try_from(items.len()).is_err() {
        return Err(DataFusionError::ResourcesExhausted("too many values".to_owned()));
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(item_field::<G>(), offsets, Arc::new(items), None)?))
}

impl<G: Holistic> AggregateFunction for G {
    fn name(&self) -> &str {
        Holistic::name(self)
    }

    fn answer_type(&self, _: &DataType) -> DataType {
        G::ANSWER
    }

    fn state_type(&self, _: &DataType) -> DataType {
        DataType::List(item_field::<G>())
    }

    fn groups(&self, _: &DataType) -> QueryResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups { function: self.clone(), states: Vec::new(), item_bytes: 0 }))
    }
}

/// What is kept of each group.
#[derive(Debug)]
struct Groups<G: Holistic> {
    function: G,
    states: Vec<G::State>,
    /// Memory that all items take.
    item_bytes: usize,
}

impl<G: Holistic> Groups<G> {
    fn add(&mut self, group: usize, items: impl IntoIterator<Item = <G::Item as ArrowPrimitiveType>::Native>) {
        let state = &mut self.states[group];
        let before = G::bytes(state);
        G::add(state, items);
        self.item_bytes += G::bytes(state) - before;
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<G::State> {
        let taken = emit_to.take_needed(&mut self.states);
        self.item_bytes = self.states.iter().map(G::bytes).sum();
        taken
    }
}

fn is_taken(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl<G: Holistic> GroupsAccumulator for Groups<G> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.states.resize_with(total_num_groups, G::State::default);
        let items = self.function.read(&values[0])?;
        if total_num_groups == 1 && opt_filter.is_none() {
            self.add(0, items.iter().flatten());
            return Ok(());
        }
        for (row, group) in group_indices.iter().enumerate() {
            if items.is_valid(row) && is_taken(opt_filter, row) {
                self.add(*group, [items.value(row)]);
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
        self.states.resize_with(total_num_groups, G::State::default);
        let lists = values[0].as_list::<i32>();
        for (row, group) in group_indices.iter().enumerate().filter(|(row, _)| lists.is_valid(*row)) {
            let items = lists.value(row);
            self.add(*group, items.as_primitive::<G::Item>().values().iter().copied());
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        let lengths: Vec<_> = groups.iter().map(G::len).collect();
        Ok(vec![lists::<G>(lengths.into_iter(), groups.into_iter().flatten())?])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> QueryResult<ArrayRef> {
        let mut groups = self.take(emit_to);
        Ok(self.function.answer(&mut groups))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        let items = self.function.read(&values[0])?;
        let taken = |row| (items.is_valid(row) && is_taken(opt_filter, row)).then(|| items.value(row));
        let taken: Vec<_> = (0..items.len()).map(taken).collect();
        let lengths = taken.iter().map(|item| usize::from(item.is_some()));
        Ok(vec![lists::<G>(lengths, taken.iter().flatten().copied())?])
    }

    fn size(&self) -> usize {
        self.item_bytes + self.states.capacity() * size_of::<G::State>()
    }
}
