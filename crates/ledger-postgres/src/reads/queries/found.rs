//! What events hold at the sources of a query, and whether they pass the filter.

use std::borrow::Cow;
use std::cmp::Ordering;

use domain::query::{Bound, Comparison, Condition, Filter, Number, Sum, Value, Values, json};
use domain::time::Timestamp;

use super::sources::Sources;

/// What stands at a source.
#[derive(Debug)]
pub(super) enum Found<'r> {
    Nothing,
    Text(&'r str),
    Number(Number),
    Time(Timestamp),
    /// JSON that is not null.
    Json(Cow<'r, str>),
    /// What the server has added up of many events, at a source that is measured and nothing else.
    Summed(Box<Summed<'r>>),
}

/// What many events hold at one source.
#[derive(Debug)]
pub(super) struct Summed<'r> {
    /// In how many of them there is anything.
    pub(super) there: u64,
    /// In how many of them there is a number that the server has added up.
    pub(super) numbers: u64,
    /// The sum of these numbers.
    pub(super) sum: Sum,
    /// The least and the greatest of them, or of instants.
    pub(super) ends: (Value, Value),
    /// What all the others hold that hold anything.
    pub(super) rest: Option<Cow<'r, str>>,
}

impl Found<'_> {
    fn is_there(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// In how many of so many events there is anything.
    pub(super) fn there(&self, times: u64) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Summed(summed) => summed.there,
            _ => times,
        }
    }

    /// What the server has added up.
    pub(super) fn summed(&self) -> Option<&Summed<'_>> {
        match self {
            Self::Summed(summed) => Some(summed),
            _ => None,
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Json(value) => json::text(value),
            _ => None,
        }
    }

    /// The number, and whether it is written as a text.
    pub(super) fn number(&self) -> Option<(Number, bool)> {
        match self {
            Self::Number(number) => Some((*number, false)),
            Self::Json(value) => json::number(value),
            Self::Summed(summed) => json::number(summed.rest.as_deref()?),
            _ => None,
        }
    }

    fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Time(at) => Some(*at),
            _ => None,
        }
    }

    /// The value as it names a group.
    pub(super) fn key(&self) -> Value {
        match self {
            Self::Text(_) | Self::Json(_) => self.text().map_or(Value::Null, |text| Value::Text(text.into_owned())),
            _ => self.measure(),
        }
    }

    /// The value as it is measured.
    pub(super) fn measure(&self) -> Value {
        match self {
            Self::Time(at) => Value::Time(*at),
            _ => self.number().map_or(Value::Null, |(number, _)| Value::Number(number)),
        }
    }
}

/// A filter whose sources are places.
#[derive(Debug)]
pub(super) enum Test<'q> {
    All(Vec<Test<'q>>),
    Any(Vec<Test<'q>>),
    One(usize, &'q Condition),
}

impl<'q> Test<'q> {
    pub(super) fn of(filter: &'q Filter, sources: &Sources<'_>) -> Self {
        let each = |filters: &'q [Filter]| filters.iter().map(|filter| Self::of(filter, sources)).collect();
        match filter {
            Filter::And(all) => Self::All(each(all)),
            Filter::Or(any) => Self::Any(each(any)),
            // Every source of the query has a place.
            Filter::Test(source, condition) => Self::One(sources.place(source).unwrap_or(usize::MAX), condition),
        }
    }

    /// Whether an event takes part.
    pub(super) fn passes(&self, found: &[Found<'_>]) -> bool {
        match self {
            Self::All(all) => all.iter().all(|test| test.passes(found)),
            Self::Any(any) => any.iter().any(|test| test.passes(found)),
            Self::One(place, condition) => holds(condition, found.get(*place).unwrap_or(&Found::Nothing)),
        }
    }
}

fn holds(condition: &Condition, found: &Found<'_>) -> bool {
    match condition {
        Condition::Exists(there) => found.is_there() == *there,
        Condition::In(values) => is_one_of(found, values),
        Condition::NotIn(values) => !is_one_of(found, values),
        Condition::Compare(comparison, bound) => {
            let order = match bound {
                Bound::Text(bound) => found.text().map(|text| text.as_bytes().cmp(bound.as_bytes())),
                Bound::Number(bound) => found.number().map(|(number, _)| number.cmp(bound)),
                Bound::Time(bound) => found.time().map(|time| time.cmp(bound)),
            };
            order.is_some_and(|order| match comparison {
                Comparison::Gt => order == Ordering::Greater,
                Comparison::Gte => order != Ordering::Less,
                Comparison::Lt => order == Ordering::Less,
                Comparison::Lte => order != Ordering::Greater,
            })
        }
    }
}

fn is_one_of(found: &Found<'_>, values: &Values) -> bool {
    match values {
        Values::Texts(texts) => found.text().is_some_and(|text| texts.iter().any(|wanted| *wanted == text)),
        Values::Numbers(numbers) => found.number().is_some_and(|(number, _)| numbers.contains(&number)),
        Values::Times(times) => found.time().is_some_and(|time| times.contains(&time)),
    }
}
