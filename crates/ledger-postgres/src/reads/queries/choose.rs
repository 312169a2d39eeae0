//! What of a filter the server decides: tests of fields, as they are tested here, to the last number and byte. Whatever
//! reads a property is decided here; of texts that a property must have the server only leaves out what cannot pass.

use domain::query::{Bound, Comparison, Condition, Filter, Number, PropertyPath, Query, Source, Values};

use super::reader::Column;
use crate::reads::select::Select;
use crate::types::Instant;

/// A filter divided.
#[derive(Debug)]
pub(super) struct Choice<'q> {
    /// Which the server decides.
    pub(super) chosen: Vec<&'q Filter>,
    /// Which are decided here, all of them.
    pub(super) left: Vec<&'q Filter>,
}

impl<'q> Choice<'q> {
    pub(super) fn of(query: &'q Query) -> Self {
        let (mut all, mut rest) = (Vec::new(), query.filter.iter().collect::<Vec<_>>());
        while let Some(filter) = rest.pop() {
            match filter {
                Filter::And(filters) => rest.extend(filters),
                filter => all.push(filter),
            }
        }
        let (chosen, left) = all.into_iter().partition(|filter| is_exact(filter));
        Self { chosen, left }
    }

    /// Adds what the server decides.
    pub(super) fn write(&self, select: &mut Select) {
        for filter in &self.chosen {
            select.and(" AND ");
            write(filter, select);
        }
    }

    /// The properties that must have one of some texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'q PropertyPath, &'q [String])> {
        self.left.iter().filter_map(|filter| match *filter {
            Filter::Test(Source::Property(path), Condition::In(Values::Texts(texts))) => Some((path, &**texts)),
            _ => None,
        })
    }
}

/// Whether the server decides as it is decided here.
fn is_exact(filter: &Filter) -> bool {
    match filter {
        Filter::And(all) | Filter::Or(all) => all.iter().all(is_exact),
        Filter::Test(Source::Property(_), _) => false,
        Filter::Test(Source::Field(field), condition) => match (Column::of(*field), condition) {
            (_, Condition::Exists(_)) => true,
            (Column::Text(_), Condition::In(Values::Texts(_)) | Condition::NotIn(Values::Texts(_))) => true,
            (Column::Text(_), Condition::Compare(_, Bound::Text(text))) => !text.contains('\0'),
            (
                Column::Number(..),
                Condition::In(Values::Numbers(numbers)) | Condition::NotIn(Values::Numbers(numbers)),
            ) => numbers.iter().all(|number| number.is_exact()),
            (Column::Number(..), Condition::Compare(_, Bound::Number(number))) => number.is_exact(),
            (Column::Time(_), Condition::In(Values::Times(_)) | Condition::NotIn(Values::Times(_))) => true,
            (Column::Time(_), Condition::Compare(_, Bound::Time(_))) => true,
            _ => false,
        },
    }
}

fn write(filter: &Filter, select: &mut Select) {
    let mut join = |filters: &[Filter], between: &str| {
        for (at, filter) in filters.iter().enumerate() {
            select.and(if at == 0 { "(" } else { between });
            write(filter, select);
        }
        select.and(")");
    };
    match filter {
        Filter::And(all) => join(all, " AND "),
        Filter::Or(any) => join(any, " OR "),
        Filter::Test(Source::Field(field), condition) => test(Column::of(*field), condition, select),
        Filter::Test(Source::Property(_), _) => {}
    }
}

fn test(column: Column, condition: &Condition, select: &mut Select) {
    let name = column.name();
    match condition {
        Condition::Exists(there) => {
            select.and(&format!("t.{name} IS {}NULL", if *there { "NOT " } else { "" }));
        }
        Condition::In(values) => {
            select.and(&format!("t.{name} = ANY("));
            bind_all(column, values, select);
            select.and(")");
        }
        Condition::NotIn(values) => {
            select.and(&format!("(t.{name} IS NULL OR t.{name} <> ALL("));
            bind_all(column, values, select);
            select.and("))");
        }
        Condition::Compare(comparison, bound) => {
            let places = if let Column::Number(_, places) = column { places } else { 0 };
            let (comparison, floor) = match bound {
                Bound::Number(number) => whole(*comparison, *number, places),
                _ => (*comparison, 0),
            };
            let sign = match comparison {
                Comparison::Gt => ">",
                Comparison::Gte => ">=",
                Comparison::Lt => "<",
                Comparison::Lte => "<=",
            };
            select.and(&format!("t.{name} {sign} "));
            match bound {
                Bound::Text(text) => {
                    select.bind_text(text);
                }
                Bound::Number(_) => {
                    select.builder.push_bind(floor);
                }
                Bound::Time(at) => {
                    select.bind_instant(*at);
                }
            }
        }
    }
}

/// A comparison of whole numbers that says the same as one with a number of any places.
fn whole(comparison: Comparison, bound: Number, places: i32) -> (Comparison, i64) {
    let (floor, is_whole) = bound.floor(places);
    let comparison = match comparison {
        _ if is_whole => comparison,
        Comparison::Gt | Comparison::Gte => Comparison::Gt,
        Comparison::Lt | Comparison::Lte => Comparison::Lte,
    };
    (comparison, floor)
}

/// The values that a column may have, as an array.
fn bind_all(column: Column, values: &Values, select: &mut Select) {
    match (column, values) {
        (Column::Number(_, places), Values::Numbers(numbers)) => {
            let wholes = numbers.iter().map(|number| number.floor(places));
            let wholes: Vec<i64> = wholes.filter(|(_, is_whole)| *is_whole).map(|(floor, _)| floor).collect();
            select.builder.push_bind(wholes);
        }
        (_, Values::Times(times)) => {
            select.builder.push_bind(times.iter().copied().map(Instant).collect::<Vec<_>>());
        }
        (_, Values::Texts(texts)) => bind_texts(texts, select),
        // Such tests are not chosen.
        (_, Values::Numbers(_)) => {
            select.builder.push_bind(Vec::<i64>::new());
        }
    }
}

/// Texts as an array, but for those that nothing stored can be.
pub(super) fn bind_texts(texts: &[String], select: &mut Select) {
    let texts: Vec<String> = texts.iter().filter(|text| !text.contains('\0')).cloned().collect();
    select.builder.push_bind(texts);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_between_whole_numbers_divides_them_alike() {
        let bounds = ["-1", "-0.5", "0", "0.001", "2.5", "3", "3.000", "1e30", "-1e30", "9223372036854775807"];
        for bound in bounds.map(|text| Number::parse(text).unwrap_or_default()) {
            for places in [0, 3] {
                for comparison in [Comparison::Gt, Comparison::Gte, Comparison::Lt, Comparison::Lte] {
                    let (of_wholes, floor) = whole(comparison, bound, places);
                    for value in [0, 1, 2, 3, 4, 2_499, 2_500, 2_501, 3_000, i64::MAX - 1, i64::MAX] {
                        let number = Number::new(i128::from(value), -i64::from(places)).unwrap_or_default();
                        let holds = |comparison, order: std::cmp::Ordering| match comparison {
                            Comparison::Gt => order.is_gt(),
                            Comparison::Gte => order.is_ge(),
                            Comparison::Lt => order.is_lt(),
                            Comparison::Lte => order.is_le(),
                        };
                        let expected = holds(comparison, number.cmp(&bound));
                        assert_eq!(holds(of_wholes, value.cmp(&floor)), expected, "{value} {comparison:?} {bound}");
                    }
                }
            }
        }
    }
}
