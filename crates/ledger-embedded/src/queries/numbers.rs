//! Numbers on their way through a query, each in 128 bits of a decimal column: a property's as it was read,
//! with what it was read from, and an answer's as its rank, by which the engine orders rows.

use arrow::datatypes::DataType;
use domain::query::{Number, Overflow, Value, json};

/// The type of all these columns. Its own meaning is not used.
pub(super) const BITS: DataType = DataType::Decimal128(38, 0);
/// In a column that was read: something is there, and it is no number.
pub(super) const SKIPPED: i128 = i128::MIN;
/// In a column of answers: a number with too many digits to be told.
pub(super) const OVERFLOW: i128 = i128::MAX;
/// In the bits of a number: it was read from a text.
const FROM_TEXT: i128 = 1;

/// What stands for a property's value; `None` for null.
pub(super) fn read(value: &str) -> Option<i128> {
    match json::number(value) {
        Some((number, is_text)) => Some(number.bits() | if is_text { FROM_TEXT } else { 0 }),
        None => json::is_there(value).then_some(SKIPPED),
    }
}

/// Whether such bits were read from a text.
pub(super) const fn is_from_text(bits: i128) -> bool {
    bits & FROM_TEXT != 0
}

/// What stands for a number in an answer.
pub(super) fn answered(result: Result<Number, Overflow>) -> i128 {
    result.ok().filter(|number| number.is_exact()).map_or(OVERFLOW, Number::rank)
}

/// The value of an answer.
pub(super) fn shown(rank: i128) -> Value {
    if rank == OVERFLOW { Value::Overflow } else { Value::Number(Number::of_rank(rank)) }
}

/// What is added up or put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Quantity {
    /// Whole numbers of a field, each times this power of ten.
    Whole(i16),
    /// Numbers that were read from properties.
    Property,
}
