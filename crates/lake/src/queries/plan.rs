//! A query as a plan of DataFusion: filter, group, aggregate, order, limit over the query's own
//! columns. Expressions are built from types; no text is parsed.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::Result as QueryResult;
use datafusion::functions_aggregate::expr_fn::{avg, count, max, min, sum};
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, TableSource, cast, col, lit,
};
use datafusion::scalar::ScalarValue;
use domain::query::{
    AggregateOp, Aggregation, Bound, Comparison, Condition, Field, Filter, Kind, Number, Query, Source, Values,
};
use domain::time::Timestamp;

use super::columns::{self, Derived, Reading};
use super::gathering::Gathering;
use super::percentile::Percentile;
use super::unique::Unique;

/// Counts as decimals, so that no sum of them wraps: 38 digits hold 10^19 events of the greatest.
const COUNT: DataType = DataType::Decimal128(19, 0);
/// From here on, several whole numbers have one double.
const DOUBLES_MAX: f64 = (1_u64 << 53) as f64;

/// A query whose columns are known.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the scan computes.
    pub(super) columns: Vec<Derived>,
    filter: Option<Expr>,
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// The answer's columns, from keys and aggregates.
    outputs: Vec<Expr>,
    order: Vec<SortExpr>,
    fetch: usize,
}

/// The name of the answer's column `at`.
fn output(at: usize) -> String {
    format!("o{at}")
}

impl Plan {
    /// The plan of a query.
    pub(super) fn of(query: &Query) -> Self {
        let mut reader = Reader::default();
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
        let outputs = outputs.into_iter().enumerate().map(|(at, expr)| expr.alias(output(at))).collect();
        let named = query.order_by.iter().map(|order| (order.column, !order.descending));
        let default = (0..query.key_columns()).map(|column| (column, true));
        let order = named.chain(default).map(|(column, ascending)| col(output(column)).sort(ascending, false));
        let (columns, order) = (reader.columns, order.collect());
        Self { columns, filter, keys, aggregates, outputs, order, fetch: query.limit + 1 }
    }

    /// The plan over the table of its columns; one row more than the limit, to see whether there are.
    pub(super) fn over(self, table: Arc<dyn TableSource>) -> QueryResult<LogicalPlan> {
        let mut plan = LogicalPlanBuilder::scan("events", table, None)?;
        if let Some(filter) = self.filter {
            plan = plan.filter(filter)?;
        }
        plan = plan.aggregate(self.keys, self.aggregates)?.project(self.outputs)?;
        if self.order.is_empty() {
            return plan.build();
        }
        plan.sort(self.order)?.limit(0, Some(self.fetch))?.build()
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
#[derive(Debug, Default)]
struct Reader {
    columns: Vec<Derived>,
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
                value.in_list(list, false)
            }
            Condition::NotIn(values) => {
                let (value, list) = self.values(source, values);
                value.clone().is_null().or(value.in_list(list, true))
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
        let is_whole = matches!(kind, Kind::Count | Kind::Millis);
        let (parts, shown) = match aggregation.op {
            AggregateOp::Count => (vec![count(self.presence(source))], one),
            AggregateOp::Sum if is_whole => (vec![sum(cast(self.value(source), COUNT))], of_millis(one)),
            AggregateOp::Sum => (vec![sum(self.number(source))], one),
            AggregateOp::Avg if is_whole => {
                let value = self.value(source);
                let mean = cast(one, DataType::Float64) / cast(two, DataType::Float64);
                (vec![sum(cast(value.clone(), COUNT)), count(value)], of_millis(mean))
            }
            AggregateOp::Avg => (vec![avg(self.number(source))], one),
            AggregateOp::Min => (vec![min(self.extreme(source))], of_millis(one)),
            AggregateOp::Max => (vec![max(self.extreme(source))], of_millis(one)),
            AggregateOp::Unique => {
                let unique = AggregateUDF::new_from_impl(Gathering::new(Unique));
                (vec![unique.call(vec![self.value(source)])], one)
            }
            AggregateOp::Percentile(hundredths) => {
                let percentile = AggregateUDF::new_from_impl(Gathering::new(Percentile::new(hundredths)));
                (vec![percentile.call(vec![self.number(source)])], one)
            }
        };
        (parts.into_iter().zip([first, second]).map(|(part, name)| part.alias(name)).collect(), shown)
    }

    /// The value that has an order of its own.
    fn extreme(&mut self, source: &Source) -> Expr {
        match source {
            Source::Field(field) => self.field(*field),
            Source::Property(_) => self.number(source),
        }
    }
}

fn text_literal(text: &str) -> Expr {
    lit(ScalarValue::Utf8View(Some(text.to_owned())))
}
