//! What every aggregate function of queries has in common towards the engine. A function says how the
//! values of groups are accumulated; a query without groups has one.

use std::fmt;
use std::hash::Hash;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result as QueryResult, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};
use parking_lot::Mutex;

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

/// The expression that applies the function to a value.
pub(super) fn call(function: impl AggregateFunction, value: Expr) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    AggregateUDF::new_from_impl(EngineFunction { function, signature }).call(vec![value])
}

/// The function as the engine wants it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct EngineFunction<F> {
    function: F,
    signature: Signature,
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
        let values = args.expr_fields[0].data_type();
        Ok(Box::new(Ungrouped::new(self.function.groups(values)?, values)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> QueryResult<Box<dyn GroupsAccumulator>> {
        self.function.groups(args.expr_fields[0].data_type())
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
