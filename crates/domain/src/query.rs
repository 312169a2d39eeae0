//! A structured query: typed, validated and bounded before anything runs. No text of a request ever
//! becomes code of a query language. An [`UncheckedQuery`] is what a client wrote; [`UncheckedQuery::check`]
//! alone makes a [`Query`]. What each part means is in `docs/query.md`.

mod unchecked;
mod number;
mod wide;
mod sum;
mod source;
pub mod json;

pub use number::Number;
pub use source::{Field, Kind, Source};
pub use sum::{Overflow, Sum, between};
pub use unchecked::{Literal, QueryRefusal, UncheckedAggregation, UncheckedFilter, UncheckedOrder, UncheckedQuery};

pub use crate::property_path::{PathSegment, PropertyPath};

use crate::calendar::{Calendar, Interval};
use crate::encryption::Lens;
use crate::time::{TimeRange, Timestamp};

/// The name of the column of time buckets.
pub const BUCKET_COLUMN: &str = "time";

/// A validated query; made by [`UncheckedQuery::check`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// Events of these times. A start of [`Timestamp::MIN`] means all that is kept.
    pub range: TimeRange,
    /// One row for each bucket of time with events, if given.
    pub bucket: Option<(Interval, Calendar)>,
    /// One row for each combination of these with events.
    pub group_by: Vec<Source>,
    /// What each row says of its events; at least one.
    pub aggregations: Vec<Aggregation>,
    /// Only events that pass.
    pub filter: Option<Filter>,
    /// Before the default order: by bucket, then by group columns, ascending, absent values last.
    pub order_by: Vec<OrderBy>,
    /// Most rows to answer.
    pub limit: usize,
    /// How encrypted values are seen.
    pub lens: Lens,
}

impl Query {
    /// The names of the columns of the answer: bucket, groups, aggregations.
    pub fn columns(&self) -> Vec<String> {
        let bucket = self.bucket.iter().map(|_| BUCKET_COLUMN.to_owned());
        let groups = self.group_by.iter().map(ToString::to_string);
        bucket.chain(groups).chain(self.aggregations.iter().map(|aggregation| aggregation.name.clone())).collect()
    }

    /// This query, of the events of one project alone.
    #[must_use]
    pub fn within_project(self, project: &str) -> Self {
        let own = Filter::Test(Source::Field(Field::Project), Condition::In(Values::Texts(vec![project.to_owned()])));
        let filter = match self.filter {
            Some(asked) => Filter::And(vec![own, asked]),
            None => own,
        };
        Self { filter: Some(filter), ..self }
    }

    /// This query, with encrypted values seen through `lens`.
    #[must_use]
    pub fn seen_through(self, lens: Lens) -> Self {
        Self { lens, ..self }
    }

    /// The properties whose values show in the answer, or decide what does. A count or a test of what is there tells no
    /// value.
    pub fn value_paths<'q>(&'q self) -> Vec<&'q PropertyPath> {
        let measured = self.aggregations.iter().filter(|aggregation| aggregation.op != AggregateOp::Count);
        let mut sources: Vec<&Source> = measured.filter_map(|aggregation| aggregation.source.as_ref()).collect();
        sources.extend(&self.group_by);
        let mut filters: Vec<&Filter> = self.filter.iter().collect();
        while let Some(filter) = filters.pop() {
            match filter {
                Filter::And(all) | Filter::Or(all) => filters.extend(all),
                Filter::Test(_, Condition::Exists(_)) => {}
                Filter::Test(source, _) => sources.push(source),
            }
        }
        let path = |source: &'q Source| match source {
            Source::Property(path) => Some(path),
            Source::Field(_) => None,
        };
        sources.into_iter().filter_map(path).collect()
    }

    /// How many leading columns name a row: the bucket and the groups.
    pub fn key_columns(&self) -> usize {
        usize::from(self.bucket.is_some()) + self.group_by.len()
    }
}

/// One aggregated column.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Aggregation {
    /// What is computed.
    pub op: AggregateOp,
    /// Over which values; `None` only for [`AggregateOp::Count`].
    pub source: Option<Source>,
    /// The column's name.
    pub name: String,
}

/// What an aggregation computes. Absent values take no part in any; of no values at all, counts are
/// 0 and everything else is [`Value::Null`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// Events; with a source, events that have it.
    Count,
    /// The sum, exact: see [`Sum`](struct@Sum).
    Sum,
    /// The mean, to 28 digits.
    Avg,
    /// The least number or instant.
    Min,
    /// The greatest number or instant.
    Max,
    /// Distinct values: texts of a property, values of a field.
    Unique,
    /// The value at this many hundredths of all values in order, linear between neighbours: of n
    /// sorted values the one at index `(n - 1) · p / 100`.
    Percentile(u8),
}

/// Which events take part.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these pass; at least one.
    And(Vec<Filter>),
    /// Any of these passes; at least one.
    Or(Vec<Filter>),
    /// The value of a source passes.
    Test(Source, Condition),
}

/// What one value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// There (`true`) or absent (`false`). A property is there when it is anything but null.
    Exists(bool),
    /// One of these; at least one.
    In(Values),
    /// Absent, or none of these: exactly the events that [`Condition::In`] leaves out.
    NotIn(Values),
    /// There, and in this relation to a bound. Texts compare by their bytes.
    Compare(Comparison, Bound),
}

/// Values of one kind, which decides how the source is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Texts.
    Texts(Vec<String>),
    /// Exact numbers.
    Numbers(Vec<Number>),
    /// Instants.
    Times(Vec<Timestamp>),
}

/// The value at the other side of a comparison, which decides how the source is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// A text.
    Text(String),
    /// An exact number.
    Number(Number),
    /// An instant.
    Time(Timestamp),
}

/// A relation of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
}

/// One key of the order of rows; absent values come last either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderBy {
    /// Which column, from 0.
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
}

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Absent.
    Null,
    /// A number with too many digits to be told.
    Overflow,
    /// An exact number.
    Number(Number),
    /// A text.
    Text(String),
    /// An instant.
    Time(Timestamp),
}

impl From<i64> for Value {
    fn from(whole: i64) -> Self {
        Self::Number(whole.into())
    }
}

impl From<Result<Number, Overflow>> for Value {
    fn from(result: Result<Number, Overflow>) -> Self {
        result.map_or(Self::Overflow, Self::Number)
    }
}

#[cfg(test)]
mod tests;
