//! What an event holds at a source, read as a text, a number or an instant. Properties are parsed
//! for each reading.

use std::collections::BTreeMap;

use domain::encryption::Lens;
use domain::query::{Field, Kind, Number, PathSegment, PropertyPath, Source, Value};
use domain::time::Timestamp;
use serde_json::value::RawValue;

use super::super::Counted;

/// The JSON that stands at a path of the properties; `None` for nothing and for null.
fn property(counted: &Counted, path: &PropertyPath, lens: &Lens) -> Option<String> {
    let found = find(counted.event.properties.as_deref()?, path.segments())?;
    (found != "null").then(|| lens.value_at(&path.joined(), &found).into_owned())
}

/// The JSON at a path: by the longest key that leads to anything.
fn find(json: &str, path: &[PathSegment]) -> Option<String> {
    if path.is_empty() {
        return Some(json.trim().to_owned());
    }
    let object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).ok()?;
    (1..=path.len()).rev().find_map(|count| {
        let (key, rest) = path.split_at(count);
        if count > 1 && key.iter().any(|segment| segment.is_quoted) {
            return None;
        }
        let key: Vec<_> = key.iter().map(|segment| segment.key.as_str()).collect();
        find(object.get(&key.join("."))?.get(), rest)
    })
}

/// Whether there is anything.
pub(super) fn exists(counted: &Counted, source: &Source, lens: &Lens) -> bool {
    match source {
        Source::Property(path) => property(counted, path, lens).is_some(),
        Source::Field(_) => key(counted, source, lens) != Value::Null,
    }
}

/// The text of a text field or a property.
pub(super) fn text(counted: &Counted, source: &Source, lens: &Lens) -> Option<String> {
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
            let json = property(counted, path, lens)?;
            match json.as_bytes().first()? {
                b'"' => serde_json::from_str(&json).ok(),
                b'{' | b'[' => None,
                _ => Some(json),
            }
        }
    }
}

/// A number that is there, or something else.
pub(super) enum Found {
    Number { number: Number, is_text: bool },
    NoNumber,
}

/// What a field of numbers or a property holds; `None` for nothing.
pub(super) fn find_number(counted: &Counted, source: &Source, lens: &Lens) -> Option<Found> {
    let event = &counted.event;
    let stored = |count: Option<u64>, places: i64| {
        let number = Number::new(i128::from(count?), -places)?;
        Some(Found::Number { number, is_text: false })
    };
    match source {
        Source::Field(Field::Tokens) => stored(event.tokens, 0),
        Source::Field(Field::InputTokens) => stored(event.input_tokens, 0),
        Source::Field(Field::OutputTokens) => stored(event.output_tokens, 0),
        Source::Field(Field::CacheReadTokens) => stored(event.cache_read_tokens, 0),
        Source::Field(Field::CacheWriteTokens) => stored(event.cache_write_tokens, 0),
        Source::Field(Field::ReasoningTokens) => stored(event.reasoning_tokens, 0),
        Source::Field(Field::LatencyMs) => stored(event.latency_us, 3),
        Source::Field(_) => None,
        Source::Property(path) => {
            let json = property(counted, path, lens)?;
            let content = serde_json::from_str::<String>(&json);
            let (literal, is_text) = content.map_or((json, false), |text| (text, true));
            let begins = literal.starts_with(|first: char| first == '-' || first.is_ascii_digit());
            let is_number = begins && !literal.ends_with(char::is_whitespace);
            let is_number = is_number && serde_json::from_str::<&RawValue>(&literal).is_ok();
            Some(match Number::parse(&literal).filter(|_| is_number) {
                Some(number) => Found::Number { number, is_text },
                None => Found::NoNumber,
            })
        }
    }
}

/// The number of a field of numbers or a property.
pub(super) fn number(counted: &Counted, source: &Source, lens: &Lens) -> Option<Number> {
    match find_number(counted, source, lens)? {
        Found::Number { number, .. } => Some(number),
        Found::NoNumber => None,
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
pub(super) fn key(counted: &Counted, source: &Source, lens: &Lens) -> Value {
    match source.kind() {
        Kind::Text | Kind::Property => text(counted, source, lens).map_or(Value::Null, Value::Text),
        Kind::Time | Kind::Count | Kind::Millis => measure(counted, source, lens),
    }
}

/// The value as it is measured.
pub(super) fn measure(counted: &Counted, source: &Source, lens: &Lens) -> Value {
    match source.kind() {
        Kind::Time => time(counted, source).map_or(Value::Null, Value::Time),
        Kind::Count | Kind::Millis | Kind::Property => number(counted, source, lens).map_or(Value::Null, Value::Number),
        Kind::Text => Value::Null,
    }
}
