//! Exact counts of distinct values: of each value a 128-bit keyed hash is kept until the end, and the
//! memory counts. The engine's own function takes some 40 KB for each group and reports less than that,
//! so that many groups would take far more than a query may.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, ListArray, PrimitiveArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion_common::{DataFusionError, Result as QueryResult, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use hashbrown::HashSet;
use siphasher::sip128::{Hasher128, SipHasher13};

/// Memory that one value takes in a set, in bytes: itself, its control byte and free slots.
const VALUE_BYTES: usize = 20;

/// The aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Unique {
    signature: Signature,
}

impl Unique {
    /// Distinct texts, whole numbers or instants.
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

/// The hashes travel between partitions as 128-bit integers.
fn hashes_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Decimal128(38, 0), true))
}

fn list(sets: Vec<HashSet<i128>>) -> QueryResult<ArrayRef> {
    let all: usize = sets.iter().map(HashSet::len).sum();
    if i32::try_from(all).is_err() {
        return Err(DataFusionError::ResourcesExhausted("too many distinct values".to_owned()));
    }
    let offsets = OffsetBuffer::from_lengths(sets.iter().map(HashSet::len));
    let values: Decimal128Array = PrimitiveArray::from_iter_values(sets.into_iter().flatten());
    let values = values.with_precision_and_scale(38, 0)?;
    Ok(Arc::new(ListArray::try_new(hashes_field(), offsets, Arc::new(values), None)?))
}

impl AggregateUDFImpl for Unique {
    fn name(&self) -> &str {
        "unique"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> QueryResult<DataType> {
        Ok(DataType::Int64)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> QueryResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[hashes]", args.name), DataType::List(hashes_field()), true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> QueryResult<Box<dyn Accumulator>> {
        Ok(Box::new(One(Groups { sets: vec![HashSet::new()], held: 0 })))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> QueryResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups { sets: Vec::new(), held: 0 }))
    }
}

/// What stands for each value: a hash of a text, a whole number itself; `None` where it is absent.
fn stand_ins(values: &ArrayRef) -> QueryResult<Vec<Option<i128>>> {
    let hash = |text: Option<&str>| {
        text.map(|text| {
            let mut hasher = SipHasher13::new();
            std::hash::Hasher::write(&mut hasher, text.as_bytes());
            i128::from_ne_bytes(hasher.finish128().as_u128().to_ne_bytes())
        })
    };
    Ok(match values.data_type() {
        DataType::Utf8View => values.as_string_view().iter().map(hash).collect(),
        DataType::Utf8 => values.as_string::<i32>().iter().map(hash).collect(),
        DataType::Int64 | DataType::Timestamp(..) | DataType::UInt32 => {
            let whole = cast(values, &DataType::Int64)?;
            let whole: &Int64Array = whole.as_primitive::<Int64Type>();
            whole.iter().map(|value| value.map(i128::from)).collect()
        }
        _ => {
            let texts = cast(values, &DataType::Utf8View)?;
            texts.as_string_view().iter().map(hash).collect()
        }
    })
}

/// The values of each group.
#[derive(Debug)]
struct Groups {
    sets: Vec<HashSet<i128>>,
    /// Bytes that the values take.
    held: usize,
}

impl Groups {
    fn insert(&mut self, group: usize, value: i128) {
        let set = &mut self.sets[group];
        let before = set.capacity();
        set.insert(value);
        self.held += (set.capacity() - before) * VALUE_BYTES;
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<HashSet<i128>> {
        let taken = emit_to.take_needed(&mut self.sets);
        self.held = self.sets.iter().map(|set| set.capacity() * VALUE_BYTES).sum();
        taken
    }
}

fn count(set: &HashSet<i128>) -> i64 {
    i64::try_from(set.len()).unwrap_or(i64::MAX)
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.sets.resize_with(total_num_groups, HashSet::new);
        for (row, (group, value)) in group_indices.iter().zip(stand_ins(&values[0])?).enumerate() {
            if let Some(value) = value
                && opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
            {
                self.insert(*group, value);
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
        self.sets.resize_with(total_num_groups, HashSet::new);
        let lists = values[0].as_list::<i32>();
        for (row, group) in group_indices.iter().enumerate().filter(|(row, _)| lists.is_valid(*row)) {
            for value in lists.value(row).as_primitive::<Decimal128Type>().values() {
                self.insert(*group, *value);
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        Ok(vec![list(self.take(emit_to))?])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> QueryResult<ArrayRef> {
        let counts = self.take(emit_to);
        Ok(Arc::new(Int64Array::from_iter_values(counts.iter().map(count))))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        let is_taken = |row| opt_filter.is_none_or(|filter: &BooleanArray| filter.is_valid(row) && filter.value(row));
        let kept = stand_ins(&values[0])?.into_iter().enumerate();
        let sets = kept.map(|(row, value)| value.filter(|_| is_taken(row)).into_iter().collect());
        Ok(vec![list(sets.collect())?])
    }

    fn size(&self) -> usize {
        self.held + self.sets.capacity() * size_of::<HashSet<i128>>()
    }
}

/// The values of all rows: the groups, of which there is one.
#[derive(Debug)]
struct One(Groups);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> QueryResult<()> {
        for value in stand_ins(&values[0])?.into_iter().flatten() {
            self.0.insert(0, value);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> QueryResult<()> {
        let rows = vec![0; states[0].len()];
        self.0.merge_batch(states, &rows, 1)
    }

    fn state(&mut self) -> QueryResult<Vec<ScalarValue>> {
        let lists = GroupsAccumulator::state(&mut self.0, EmitTo::All)?;
        self.0.sets = vec![HashSet::new()];
        Ok(vec![ScalarValue::List(Arc::new(lists[0].as_list::<i32>().clone()))])
    }

    fn evaluate(&mut self) -> QueryResult<ScalarValue> {
        Ok(ScalarValue::Int64(Some(count(&self.0.sets[0]))))
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(&self.0)
    }
}
