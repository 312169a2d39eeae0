//! A query as expressions of DataFusion: filter, keys, aggregates and the answer's columns over the
//! query's own columns. Expressions are built from types; no text is parsed, no type is guessed.

use std::sync::Arc;

use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, col, lit};
use domain::query::{
    AggregateOp, Aggregation, Bound, Comparison, Condition, Field, Filter, Kind, Number, OrderBy, Query, Source, Values,
};
use domain::time::Timestamp;

use super::columns::{self, Derived, Reading};
use super::distributive::Distributive;
use super::function::{Tally, call};
use super::numbers::Quantity;
use super::percentile::{Percentile, Property, Whole};
use super::sums::Sums;
use super::unique::Unique;

/// Most values of a list that are compared one by one; more are looked up.
const COMPARED_MAX: usize = 3;
/// A microsecond in milliseconds, as a power of ten.
const MICRO: i16 = -3;

/// How a column of the answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// As what it is.
    Plain,
    /// Microseconds as milliseconds.
    Millis,
    /// A rank as its number.
    Rank,
}

/// A query whose columns are known.
#[derive(Debug)]
pub(super) struct QueryPlan {
    /// What the scan computes.
    pub(super) columns: Vec<Derived>,
    /// Which rows take part.
    pub(super) filter: Option<Expr>,
    /// Columns whose values name a group.
    pub(super) keys: Vec<Expr>,
    /// What is computed of each group, each with a name.
    pub(super) aggregates: Vec<Expr>,
    /// What has entered each aggregate.
    pub(super) tallies: Vec<Arc<Tally>>,
    /// The answer's columns, from keys and aggregates.
    pub(super) outputs: Vec<(Expr, Shown)>,
    /// Which columns of the answer to order by.
    pub(super) order: Vec<OrderBy>,
    /// Most rows; one more than the limit, to see whether there are.
    pub(super) fetch: usize,
}

impl QueryPlan {
    /// The plan of a query over a folder with this secret.
    pub(super) fn of(query: &Query, key: [u8; 16]) -> Self {
        let mut reader = Reader { columns: Vec::new(), key };
        let filter = query.filter.as_ref().map(|filter| reader.filter(filter));
        let bucket = query.bucket.clone().map(|(interval, calendar)| Derived::Bucket(interval, calendar));
        let mut keys: Vec<_> = bucket.into_iter().map(|bucket| reader.column(bucket)).collect();
        let mut outputs: Vec<_> = keys.iter().map(|bucket| (bucket.clone(), Shown::Plain)).collect();
        for source in &query.group_by {
            let key = reader.value(source);
            outputs.push((key.clone(), shown_as_stored(source.kind())));
            keys.push(key);
        }
        let (mut aggregates, mut tallies) = (Vec::new(), Vec::new());
        for (at, aggregation) in query.aggregations.iter().enumerate() {
            let (name, tally) = (format!("a{at}"), Arc::default());
            let (aggregate, shown) = reader.aggregation(aggregation, &tally);
            outputs.push((col(name.as_str()), shown));
            aggregates.push(aggregate.alias(name));
            tallies.push(tally);
        }
        let default = (0..query.key_columns()).map(|column| OrderBy { column, descending: false });
        let order = query.order_by.iter().copied().chain(default).collect();
        Self { columns: reader.columns, filter, keys, aggregates, tallies, outputs, order, fetch: query.limit + 1 }
    }
}

/// How a field is shown that is answered as it is stored.
const fn shown_as_stored(kind: Kind) -> Shown {
    if matches!(kind, Kind::Millis) { Shown::Millis } else { Shown::Plain }
}

fn instant(at: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(at.micros()), Some(Arc::from("UTC"))))
}

fn rank(number: Number) -> Expr {
    lit(ScalarValue::Decimal128(Some(number.rank()), 38, 0))
}

/// Places that a field's numbers are moved by to be stored.
fn stored_places(field: Field) -> i32 {
    if field.kind() == Kind::Millis { -i32::from(MICRO) } else { 0 }
}

/// Gathers the columns that expressions read.
struct Reader {
    columns: Vec<Derived>,
    /// The folder's secret.
    key: [u8; 16],
}

impl Reader {
    fn column(&mut self, column: Derived) -> Expr {
        let at = self.columns.iter().position(|known| *known == column).unwrap_or_else(|| {
            self.columns.push(column);
            self.columns.len() - 1
        });
        col(columns::name(at))
    }

    fn field(&mut self, field: Field) -> Expr {
        self.column(Derived::Field(field))
    }

    /// The value that tells one from another.
    fn value(&mut self, source: &Source) -> Expr {
        match source {
            Source::Field(field) => self.field(*field),
            Source::Property(path) => self.column(Derived::Property(path.clone(), Reading::Text)),
        }
    }

    /// Not null where the value is there.
    fn presence(&mut self, source: &Source) -> Expr {
        match source {
            Source::Field(field) => self.field(*field),
            Source::Property(path) => self.column(Derived::Property(path.clone(), Reading::Presence)),
        }
    }

    fn filter(&mut self, filter: &Filter) -> Expr {
        match filter {
            Filter::And(all) => self.filters(all, Expr::and),
            Filter::Or(any) => self.filters(any, Expr::or),
            Filter::Test(source, condition) => self.test(source, condition),
        }
    }

    fn filters(&mut self, filters: &[Filter], join: fn(Expr, Expr) -> Expr) -> Expr {
        let parts: Vec<_> = filters.iter().map(|filter| self.filter(filter)).collect();
        parts.into_iter().reduce(join).unwrap_or_else(|| lit(true))
    }

    fn test(&mut self, source: &Source, condition: &Condition) -> Expr {
        match condition {
            Condition::Exists(true) => self.presence(source).is_not_null(),
            Condition::Exists(false) => self.presence(source).is_null(),
            Condition::In(values) => {
                let (value, list) = self.values(source, values);
                one_of(value, list)
            }
            Condition::NotIn(values) => {
                let (value, list) = self.values(source, values);
                value.clone().is_null().or(!one_of(value, list))
            }
            Condition::Compare(comparison, bound) => {
                let (value, bound) = match (bound, source) {
                    (Bound::Text(text), _) => (self.value(source), text_literal(text)),
                    (Bound::Time(time), _) => (self.value(source), instant(*time)),
                    (Bound::Number(number), Source::Property(_)) => (self.rank(source), rank(*number)),
                    (Bound::Number(number), Source::Field(field)) => {
                        return compare_whole(self.field(*field), *comparison, number.floor(stored_places(*field)));
                    }
                };
                match comparison {
                    Comparison::Gt => value.gt(bound),
                    Comparison::Gte => value.gt_eq(bound),
                    Comparison::Lt => value.lt(bound),
                    Comparison::Lte => value.lt_eq(bound),
                }
            }
        }
    }

    fn values(&mut self, source: &Source, values: &Values) -> (Expr, Vec<Expr>) {
        match values {
            Values::Texts(texts) => (self.value(source), texts.iter().map(|text| text_literal(text)).collect()),
            Values::Numbers(numbers) => match source {
                Source::Property(_) => (self.rank(source), numbers.iter().map(|number| rank(*number)).collect()),
                Source::Field(field) => {
                    let floors = numbers.iter().map(|number| number.floor(stored_places(*field)));
                    let whole = floors.filter(|(_, is_whole)| *is_whole).map(|(whole, _)| lit(whole));
                    (self.field(*field), whole.collect())
                }
            },
            Values::Times(times) => (self.value(source), times.iter().map(|time| instant(*time)).collect()),
        }
    }

    /// What is aggregated, and how it is shown.
    fn aggregation(&mut self, aggregation: &Aggregation, tally: &Arc<Tally>) -> (Expr, Shown) {
        let Some(source) = &aggregation.source else {
            return (call(Distributive::Count, lit(1_i64), tally), Shown::Plain);
        };
        let kind = source.kind();
        let quantity = match kind {
            Kind::Property => Quantity::Property,
            Kind::Millis => Quantity::Whole(MICRO),
            _ => Quantity::Whole(0),
        };
        let extreme = if kind == Kind::Property { Shown::Rank } else { shown_as_stored(kind) };
        match (aggregation.op, quantity) {
            (AggregateOp::Count, _) => (call(Distributive::Count, self.presence(source), tally), Shown::Plain),
            (AggregateOp::Sum, _) => (call(Sums::Sum(quantity), self.quantity(source), tally), Shown::Rank),
            (AggregateOp::Avg, _) => (call(Sums::Mean(quantity), self.quantity(source), tally), Shown::Rank),
            (AggregateOp::Min, _) => (call(Distributive::Min, self.quantity(source), tally), extreme),
            (AggregateOp::Max, _) => (call(Distributive::Max, self.quantity(source), tally), extreme),
            (AggregateOp::Unique, _) => (call(Unique::new(self.key), self.value(source), tally), Shown::Plain),
            (AggregateOp::Percentile(hundredths), Quantity::Whole(exponent)) => {
                let percentile = Percentile::new(hundredths, Whole(exponent));
                (call(percentile, self.quantity(source), tally), Shown::Rank)
            }
            (AggregateOp::Percentile(hundredths), Quantity::Property) => {
                (call(Percentile::new(hundredths, Property), self.quantity(source), tally), Shown::Rank)
            }
        }
    }

    /// The value as it is added up and put in order: whole where it is stored so.
    fn quantity(&mut self, source: &Source) -> Expr {
        match source {
            Source::Field(field) => self.field(*field),
            Source::Property(path) => self.column(Derived::Property(path.clone(), Reading::Number)),
        }
    }

    /// The value as it is compared with numbers.
    fn rank(&mut self, source: &Source) -> Expr {
        match source {
            Source::Field(field) => self.field(*field),
            Source::Property(path) => self.column(Derived::Property(path.clone(), Reading::Rank)),
        }
    }
}

/// Compares whole numbers with a number of which the floor is known, and whether it is whole itself.
fn compare_whole(value: Expr, comparison: Comparison, (floor, is_whole): (i64, bool)) -> Expr {
    match comparison {
        Comparison::Gt => value.gt(lit(floor)),
        Comparison::Gte if is_whole => value.gt_eq(lit(floor)),
        Comparison::Gte => value.gt(lit(floor)),
        Comparison::Lt if is_whole => value.lt(lit(floor)),
        Comparison::Lt => value.lt_eq(lit(floor)),
        Comparison::Lte => value.lt_eq(lit(floor)),
    }
}

/// Whether the value is one of a list.
fn one_of(value: Expr, list: Vec<Expr>) -> Expr {
    if list.len() > COMPARED_MAX {
        return value.in_list(list, false);
    }
    list.into_iter().map(|one| value.clone().eq(one)).reduce(Expr::or).unwrap_or_else(|| lit(false))
}

fn text_literal(text: &str) -> Expr {
    lit(ScalarValue::Utf8View(Some(text.to_owned())))
}
