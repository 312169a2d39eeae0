//! Whether two servers that were told the same answer the same: byte for byte, but for what each makes up for itself.

use serde_json::Value;

use crate::faults::http::Answer;

/// Members that each server makes up for itself: when something came, and names of requests, pages and keys.
const OWN: [&str; 14] = [
    "received_at",
    "created",
    "updated",
    "receipt",
    "jobId",
    "next_cursor",
    "request_id",
    "last_used",
    "at",
    "hash",
    "kid",
    "x",
    "requested",
    "finished",
];
/// Lengths of the ids that a server makes up: of keys of tokens, and of all else.
const ID_CHARS: [usize; 2] = [16, 12];
/// Routes of events, whose properties are the same as JSON and need not be the same text.
const OF_EVENTS: [&str; 2] = ["/v1/events", "/v1/query"];

/// What differs between two answers to one request, if anything.
pub(crate) fn difference_of_twins(path: &str, one: &Answer, other: &Answer) -> Option<String> {
    if one.status != other.status {
        return Some(format!("status {} and {}", one.status, other.status));
    }
    let has_json = |answer: &Answer| answer.header("content-type").is_some_and(|kind| kind.contains("json"));
    if !has_json(one) || !has_json(other) {
        return (one.text() != other.text()).then(|| "the texts".to_owned());
    }
    let (mut left, mut right) = (parsed(one.text()), parsed(other.text()));
    blur(&mut left);
    blur(&mut right);
    if left != right {
        return Some(first_difference("", &left, &right));
    }
    // Values say nothing of the order of members and of how numbers are written.
    let is_of_events = OF_EVENTS.iter().any(|route| path.starts_with(route));
    let shape = |answer: &Answer| skeleton(answer.text());
    (!is_of_events && shape(one) != shape(other)).then(|| "the order of members, or how numbers are written".to_owned())
}

/// The value of a JSON text; a number that no 64-bit one can be is its text.
pub(crate) fn parsed(text: &str) -> Value {
    let (mut plain, mut number, mut inside, mut escaped) = (String::new(), String::new(), false, false);
    for character in text.chars() {
        let is_digit = character.is_ascii_digit();
        if !inside && (is_digit || character == '-' || !number.is_empty() && "+.eE".contains(character)) {
            number.push(character);
            continue;
        }
        let is_huge = number.parse().is_ok_and(|number: f64| number.is_infinite());
        let quote = if is_huge { "\"" } else { "" };
        plain.push_str(&format!("{quote}{number}{quote}"));
        number.clear();
        plain.push(character);
        if inside {
            inside = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else {
            inside = character == '"';
        }
    }
    plain.push_str(&number);
    serde_json::from_str(&plain).unwrap_or_else(|why| panic!("{why}: {text}"))
}

/// Takes out what each server makes up for itself.
fn blur(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if OWN.contains(&name.as_str()) && !member.is_null() {
                    *member = Value::from("…");
                } else {
                    blur(member);
                }
            }
        }
        Value::Array(rows) => rows.iter_mut().for_each(blur),
        Value::String(text) => {
            let last = text.rsplit(':').next().unwrap_or_default();
            if ID_CHARS.contains(&last.len())
                && last.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            {
                *text = text.replace(last, "…");
            }
        }
        _ => {}
    }
}

/// A JSON text without what stands in its strings, unless they are names of members.
fn skeleton(text: &str) -> String {
    let (mut skeleton, mut string, mut inside, mut escaped) = (String::new(), String::new(), false, false);
    for character in text.chars() {
        if inside {
            inside = escaped || character != '"';
            escaped = !escaped && character == '\\';
            string.push(character);
        } else if character == '"' {
            inside = true;
            string.clear();
        } else {
            if character == ':' {
                skeleton.push_str(&string);
            }
            string.clear();
            skeleton.push(character);
        }
    }
    skeleton
}

/// Where two values differ first.
fn first_difference(place: &str, left: &Value, right: &Value) -> String {
    match (left, right) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys());
            let null = Value::Null;
            let pairs = names.map(|name| (name, one.get(name).unwrap_or(&null), other.get(name).unwrap_or(&null)));
            let mut differing = pairs.filter(|(_, one, other)| one != other);
            let differing =
                differing.next().map(|(name, one, other)| first_difference(&format!("{place}.{name}"), one, other));
            differing.unwrap_or_else(|| format!("{place}: a member that is null, and one that is not there"))
        }
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other).enumerate().filter(|(_, (one, other))| one != other);
            let differing =
                pairs.next().map(|(at, (one, other))| first_difference(&format!("{place}[{at}]"), one, other));
            differing.unwrap_or_else(|| format!("{place}: {} and {} rows", one.len(), other.len()))
        }
        _ => format!("{place}: {left} and {right}"),
    }
}

#[test]
fn twins_are_told_apart_by_what_they_do_not_make_up() {
    let blurred = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        blur(&mut value);
        value
    };
    assert_eq!(blurred(r#"{"id":"Ab3dE6gH9jK2","at":"1"}"#), blurred(r#"{"id":"Xb3dE6gH9jK3","at":"2"}"#));
    assert_ne!(blurred(r#"{"next_cursor":null}"#), blurred(r#"{"next_cursor":"c"}"#));
    assert_ne!(blurred(r#"{"value":1}"#), blurred(r#"{"value":1.0}"#));
    assert_eq!(
        parsed(r#"{"a-1":[1e400,-2.5e1,"\"-1e400"]}"#),
        serde_json::json!({"a-1": ["1e400", -25.0, "\"-1e400"]})
    );
    assert_eq!(skeleton(r#"{"a":"x\"y","b":[1.0,"z"]}"#), r#"{a":,b":[1.0,]}"#);
    assert_ne!(skeleton(r#"{"a":1,"b":2}"#), skeleton(r#"{"b":2,"a":1}"#));
}
