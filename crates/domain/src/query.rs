//! A structured query: typed, validated and bounded before anything runs. No text of a request ever
//! becomes code of a query language.

use crate::calendar::{Calendar, Interval};
use crate::time::TimeRange;

/// A validated query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Events of these times.
    pub range: TimeRange,
    /// One row for each bucket of time, if given.
    pub bucket: Option<(Interval, Calendar)>,
    /// Most rows to answer.
    pub limit: usize,
}

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
}
