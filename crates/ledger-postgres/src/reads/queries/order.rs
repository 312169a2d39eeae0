//! The order of rows of an answer.

use std::cmp::Ordering;

use domain::query::{Query, Value};

/// By the keys asked for, then by bucket and groups; absent values last, whatever the direction.
pub(super) fn in_order(query: &Query, left: &[Value], right: &[Value]) -> Ordering {
    let asked = query.order_by.iter().map(|key| {
        let (left, right) = (&left[key.column], &right[key.column]);
        let is_absent = [left, right].into_iter().any(|value| matches!(value, Value::Null | Value::Overflow));
        if key.descending && !is_absent { compare(right, left) } else { compare(left, right) }
    });
    let keys = (0..query.key_columns()).map(|column| compare(&left[column], &right[column]));
    asked.chain(keys).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

/// Values of one column in ascending order; texts by their bytes, absent ones last.
pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null | Value::Overflow, Value::Null | Value::Overflow) => Ordering::Equal,
        (Value::Null | Value::Overflow, _) => Ordering::Greater,
        (_, Value::Null | Value::Overflow) => Ordering::Less,
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Time(left), Value::Time(right)) => left.cmp(right),
        // One column never mixes kinds.
        _ => Ordering::Equal,
    }
}
