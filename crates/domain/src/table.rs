//! One cell of a table that is imported, whatever the format of its file. Borrows its text, so that
//! a row is copied once, into its record.

use std::borrow::Cow;

use crate::time::Timestamp;

/// The value of one column in one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// Nothing: null, or an empty cell of CSV.
    Absent,
    /// A text, of which nothing is known.
    Text(&'a str),
    /// A number as JSON writes it.
    Number(Cow<'a, str>),
    /// A truth value.
    Bool(bool),
    /// An instant of a column that holds instants.
    Time(Timestamp),
}
