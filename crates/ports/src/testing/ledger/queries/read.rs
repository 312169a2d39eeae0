//! What an event holds at a source, read as a text, a number or an instant. Properties are parsed
//! for each reading.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use domain::query::{Field, Kind, Number, Source, Value};
use domain::time::Timestamp;
use serde_json::value::RawValue;

use super::Counted;

/// The JSON that stands at a path of the properties; `None` for nothing and for null.
fn property(counted: &Counted, path: &[String]) -> Option<String> {
    let mut found = counted.event.properties.clone()?;
    for key in path {
        let object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&found).ok()?;
        found = object.get(key)?.get().trim().to_owned();
    }
    (found != "null").then_some(found)
}

/// Whether there is anything.
pub(super) fn exists(counted: &Counted, source: &Source) -> bool {
    match source {
        Source::Property(path) => property(counted, path.segments()).is_some(),
        Source::Field(_) => key(counted, source) != Value::Null,
    }
}

/// The text of a text field or a property.
pub(super) fn text(counted: &Counted, source: &Source) -> Option<String> {
    let event = &counted.event;
    match source {
        Source::Field(Field::Id) => Some(event.id.clone()),
        Source::Field(Field::Type) => Some(event.kind.clone()),
        Source::Field(Field::Project) => event.project.clone(),
        Source::Field(Field::Customer) => event.customer.clone(),
        Source::Field(Field::User) => event.user.clone(),
        Source::Field(Field::Endpoint) => event.endpoint.clone(),
        Source::Field(Field::Model) => event.model.clone(),
        Source::Field(_) => None,
        Source::Property(path) => {
            let json = property(counted, path.segments())?;
            match json.as_bytes().first()? {
                b'"' => serde_json::from_str(&json).ok(),
                b'{' | b'[' => None,
                _ => Some(json),
            }
        }
    }
}

/// The number of a field of numbers or a property.
#[expect(clippy::cast_precision_loss, reason = "as the query compares them")]
pub(super) fn number(counted: &Counted, source: &Source) -> Option<f64> {
    let event = &counted.event;
    match source {
        Source::Field(Field::Tokens) => event.tokens.map(|count| count as f64),
        Source::Field(Field::InputTokens) => event.input_tokens.map(|count| count as f64),
        Source::Field(Field::OutputTokens) => event.output_tokens.map(|count| count as f64),
        Source::Field(Field::LatencyMs) => event.latency_us.map(|us| us as f64 / 1_000.0),
        Source::Field(_) => None,
        Source::Property(path) => {
            let json = property(counted, path.segments())?;
            let digits = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
            if digits { json.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
        }
    }
}

/// How the number of a field or a property compares with another. Whole numbers compare as such, also
/// where a double cannot tell them apart.
pub(super) fn compare(counted: &Counted, source: &Source, with: Number) -> Option<Ordering> {
    let literal = match source {
        Source::Property(path) => property(counted, path.segments()),
        Source::Field(_) => None,
    };
    let double = number(counted, source)?;
    let written = literal.and_then(|literal| literal.parse::<i128>().ok());
    let written = written.filter(|whole| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(whole));
    match (written.or_else(|| Number::from(double).whole()), with.whole()) {
        (Some(whole), Some(with)) => Some(whole.cmp(&with)),
        _ => double.partial_cmp(&with.double()),
    }
}

/// The instant of a field of time.
pub(super) fn time(counted: &Counted, source: &Source) -> Option<Timestamp> {
    match source {
        Source::Field(Field::Time) => Some(counted.event.time),
        Source::Field(Field::ReceivedAt) => Some(counted.event.received_at),
        _ => None,
    }
}

/// The value as it names a group.
pub(super) fn key(counted: &Counted, source: &Source) -> Value {
    match source.kind() {
        Kind::Text | Kind::Property => text(counted, source).map_or(Value::Null, Value::Text),
        Kind::Time | Kind::Count | Kind::Millis => measure(counted, source),
    }
}

/// The value as it is measured.
pub(super) fn measure(counted: &Counted, source: &Source) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "a count of tokens")]
    match source.kind() {
        Kind::Time => time(counted, source).map_or(Value::Null, Value::Time),
        Kind::Count => number(counted, source).map_or(Value::Null, |number| Value::Int(number as i64)),
        Kind::Millis | Kind::Property => number(counted, source).map_or(Value::Null, Value::Float),
        Kind::Text => Value::Null,
    }
}
