//! What every aggregate function of queries has in common towards the engine. A function says how the
//! values of groups are accumulated; a query without groups has one. What enters a function is counted on the
//! way, once: each row comes either as itself or, merged, in a part.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef};
use datafusion_common::{Result as QueryResult, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};
use parking_lot::Mutex;
use ports::queries::AggregationCounts;

use super::numbers::{SKIPPED, is_from_text};

/// An aggregate function of one value.
pub(super) trait AggregateFunction: fmt::Debug + PartialEq + Eq + Hash + Send + Sync + 'static {
    fn name(&self) -> &str;

    /// The type of the answer for values of this type.
    fn answer_type(&self, values: &DataType) -> DataType;

    /// The type in which what is accumulated travels between partitions.
    fn state_type(&self, answer: &DataType) -> DataType;

    /// The accumulator of groups of values of this type.
    fn groups(&self, values: &DataType) -> QueryResult<Box<dyn GroupsAccumulator>>;
}

/// The expression that applies the function to a value, and counts what enters it.
pub(super) fn call(function: impl AggregateFunction, value: Expr, tally: &Arc<Tally>) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    AggregateUDF::new_from_impl(EngineFunction { function, signature, tally: Arc::clone(tally) }).call(vec![value])
}

/// The function as the engine wants it. What it has counted does not make it another.
#[derive(Debug)]
struct EngineFunction<F> {
    function: F,
    signature: Signature,
    tally: Arc<Tally>,
}

impl<F: PartialEq> PartialEq for EngineFunction<F> {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl<F: Eq> Eq for EngineFunction<F> {}

impl<F: Hash> Hash for EngineFunction<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl<F: AggregateFunction> EngineFunction<F> {
    fn counted(&self, args: &AccumulatorArgs<'_>) -> QueryResult<Box<dyn GroupsAccumulator>> {
        let groups = self.function.groups(args.expr_fields[0].data_type())?;
        Ok(Box::new(Counted { groups, tally: Arc::clone(&self.tally) }))
    }
}

impl<F: AggregateFunction> AggregateUDFImpl for EngineFunction<F> {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, values: &[DataType]) -> QueryResult<DataType> {
        Ok(self.function.answer_type(&values[0]))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> QueryResult<Vec<FieldRef>> {
        let state = self.function.state_type(args.return_field.data_type());
        Ok(vec![Arc::new(Field::new(format!("{}[state]", args.name), state, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> QueryResult<Box<dyn Accumulator>> {
        Ok(Box::new(Ungrouped::new(self.counted(&args)?, args.expr_fields[0].data_type())))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> QueryResult<Box<dyn GroupsAccumulator>> {
        self.counted(&args)
    }
}

/// What has entered a function.
#[derive(Debug, Default)]
pub(super) struct Tally {
    values: AtomicU64,
    texts_read: AtomicU64,
    skipped: AtomicU64,
}

impl Tally {
    fn count(&self, values: &ArrayRef) {
        let (mut there, mut texts, mut skipped) = (values.len() - values.logical_null_count(), 0, 0);
        if let Some(bits) = values.as_primitive_opt::<Decimal128Type>() {
            for bits in bits.iter().flatten() {
                if bits == SKIPPED {
                    skipped += 1;
                } else {
                    texts += u64::from(is_from_text(bits));
                }
            }
        }
        there -= skipped;
        for (counter, count) in
            [(&self.values, there as u64), (&self.texts_read, texts), (&self.skipped, skipped as u64)]
        {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> AggregationCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AggregationCounts {
            values: count(&self.values),
            texts_read: count(&self.texts_read),
            skipped: count(&self.skipped),
        }
    }
}

/// Groups that count what enters them.
struct Counted {
    groups: Box<dyn GroupsAccumulator>,
    tally: Arc<Tally>,
}

impl Counted {
    fn count(&self, values: &ArrayRef, opt_filter: Option<&BooleanArray>) -> QueryResult<()> {
        match opt_filter {
            None => self.tally.count(values),
            Some(taken) => self.tally.count(&filter(values, taken)?),
        }
        Ok(())
    }
}

impl GroupsAccumulator for Counted {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.count(&values[0], opt_filter)?;
        self.groups.update_batch(values, group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> QueryResult<()> {
        self.groups.merge_batch(values, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> QueryResult<ArrayRef> {
        self.groups.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> QueryResult<Vec<ArrayRef>> {
        self.groups.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> QueryResult<Vec<ArrayRef>> {
        self.count(&values[0], opt_filter)?;
        self.groups.convert_to_state(values, opt_filter)
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}

/// The accumulator of a query without groups: all rows are one group.
pub(super) struct Ungrouped {
    groups: Mutex<Box<dyn GroupsAccumulator>>,
    values: DataType,
    /// The group of each row of the last batch that had any.
    rows: Vec<usize>,
}

impl Ungrouped {
    pub(super) fn new(groups: Box<dyn GroupsAccumulator>, values: &DataType) -> Self {
        Self { groups: Mutex::new(groups), values: values.clone(), rows: Vec::new() }
    }

    /// The groups when all rows are in; without any row, one group that has no value.
    fn ended(&mut self) -> QueryResult<&mut dyn GroupsAccumulator> {
        let groups = self.groups.get_mut();
        if self.rows.is_empty() {
            groups.update_batch(&[new_null_array(&self.values, 1)], &[0], None, 1)?;
        }
        Ok(groups.as_mut())
    }
}

impl fmt::Debug for Ungrouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ungrouped").field("values", &self.values).finish_non_exhaustive()
    }
}

impl Accumulator for Ungrouped {
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
