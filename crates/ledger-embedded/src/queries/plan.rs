//! A query as expressions of DataFusion: filter, keys, aggregates and the answer's columns over the
//! query's own columns. Expressions are built from types; no text is parsed, no type is guessed.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, cast, col, lit};
use domain::query::{
    AggregateOp, Aggregation, Bound, Comparison, Condition, Field, Filter, Kind, Number, OrderBy, Query, Source, Values,
};
use domain::time::Timestamp;

use super::columns::{self, Derived, Reading};
use super::distributive::{count, max, min, sum};
use super::function::call;
use super::percentile::Percentile;
use super::unique::Unique;

/// Most values of a list that are compared one by one; more are looked up.
const COMPARED_MAX: usize = 3;
/// From here on, several whole numbers have one double.
const DOUBLES_MAX: f64 = (1_u64 << 53) as f64;

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
    /// The answer's columns, from keys and aggregates.
    pub(super) outputs: Vec<Expr>,
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
        let mut outputs = keys.clone();
        for source in &query.group_by {
            let key = reader.value(source);
            outputs.push(if source.kind() == Kind::Millis { millis(key.clone()) } else { key.clone() });
            keys.push(key);
        }
        let mut aggregates = Vec::new();
        for (at, aggregation) in query.aggregations.iter().enumerate() {
            let (parts, shown) = reader.aggregation(aggregation, at);
            aggregates.extend(parts);
            outputs.push(shown);
        }
        let default = (0..query.key_columns()).map(|column| OrderBy { column, descending: false });
        let order = query.order_by.iter().copied().chain(default).collect();
        Self { columns: reader.columns, filter, keys, aggregates, outputs, order, fetch: query.limit + 1 }
    }
}

/// Microseconds as milliseconds.
fn millis(micros: Expr) -> Expr {
    cast(micros, DataType::Float64) / lit(1_000.0_f64)
}

fn instant(at: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(at.micros()), Some(Arc::from("UTC"))))
}

/// Whether a double may stand for this number and for others too. Fields have no values that large.
fn is_beyond_doubles(source: &Source, number: Number) -> bool {
    source.kind() == Kind::Property && number.double().abs() >= DOUBLES_MAX
}

/// The other side of [`Reader::comparable`].
fn comparable(number: Number, exactly: bool) -> Expr {
    if exactly {
        return lit(ScalarValue::Decimal128(Some(number.rank()), 38, 0));
    }
    lit(number.double())
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

    /// The value as a double.
    fn number(&mut self, source: &Source) -> Expr {
        match source {
            Source::Field(field) if field.kind() == Kind::Millis => millis(self.field(*field)),
            Source::Field(field) => cast(self.field(*field), DataType::Float64),
            Source::Property(path) => self.column(Derived::Property(path.clone(), Reading::Number)),
        }
    }

    /// The value as it is compared with numbers, `exactly` beyond doubles.
    fn comparable(&mut self, source: &Source, exactly: bool) -> Expr {
        match source {
            Source::Property(path) if exactly => self.column(Derived::Property(path.clone(), Reading::Rank)),
            _ => self.number(source),
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
                let (value, bound) = match bound {
                    Bound::Text(text) => (self.value(source), text_literal(text)),
                    Bound::Number(number) => {
                        let exactly = is_beyond_doubles(source, *number);
                        (self.comparable(source, exactly), comparable(*number, exactly))
                    }
                    Bound::Time(time) => (self.value(source), instant(*time)),
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
            Values::Numbers(numbers) => {
                let exactly = numbers.iter().any(|number| is_beyond_doubles(source, *number));
                let list = numbers.iter().map(|number| comparable(*number, exactly)).collect();
                (self.comparable(source, exactly), list)
            }
            Values::Times(times) => (self.value(source), times.iter().map(|time| instant(*time)).collect()),
        }
    }

    /// What is aggregated, and what is shown of it.
    fn aggregation(&mut self, aggregation: &Aggregation, at: usize) -> (Vec<Expr>, Expr) {
        let (first, second) = (format!("a{at}"), format!("b{at}"));
        let (one, two) = (col(first.as_str()), col(second.as_str()));
        let Some(source) = &aggregation.source else {
            return (vec![count(lit(1_i64)).alias(first)], one);
        };
        let kind = source.kind();
        let of_millis = |expr: Expr| if kind == Kind::Millis { millis(expr) } else { expr };
        let (parts, shown) = match aggregation.op {
            AggregateOp::Count => (vec![count(self.presence(source))], one),
            AggregateOp::Sum => (vec![sum(self.quantity(source))], of_millis(one)),
            AggregateOp::Avg => {
                let value = self.quantity(source);
                let mean = cast(one, DataType::Float64) / cast(two, DataType::Float64);
                (vec![sum(value.clone()), count(value)], of_millis(mean))
            }
            AggregateOp::Min => (vec![min(self.quantity(source))], of_millis(one)),
            AggregateOp::Max => (vec![max(self.quantity(source))], of_millis(one)),
            AggregateOp::Unique => (vec![call(Unique::new(self.key), self.value(source))], one),
            AggregateOp::Percentile(hundredths) => (vec![call(Percentile::new(hundredths), self.number(source))], one),
        };
        (parts.into_iter().zip([first, second]).map(|(part, name)| part.alias(name)).collect(), shown)
    }

    /// The value as it is added up and compared: whole where it is stored so.
    fn quantity(&mut self, source: &Source) -> Expr {
        match source {
            Source::Field(field) => self.field(*field),
            Source::Property(_) => self.number(source),
        }
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
