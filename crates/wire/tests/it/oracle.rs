//! The rules of the parser over `serde_json::Value`, written to be plain: no borrowing, no streaming, every
//! fault collected. What it says of a body is what the parser must say.

use std::collections::BTreeSet;

use domain::event::{Candidate, TimeText};
use domain::rejection::RejectCode;
use serde_json::{Map, Value};
use wire::Item;

const PROPERTIES: [&str; 4] = ["properties", "metadata", "data", "payload"];
const MEASURES: [(&[&str], Form); 8] = [
    (&["tokens"], Form::Number),
    (&["inputTokens", "input_tokens"], Form::Number),
    (&["outputTokens", "output_tokens"], Form::Number),
    (&["latencyMs", "latency_ms"], Form::Number),
    (&["model"], Form::Text),
    (&["cacheReadTokens", "cache_read_tokens"], Form::Number),
    (&["cacheWriteTokens", "cache_write_tokens"], Form::Number),
    (&["reasoningTokens", "reasoning_tokens"], Form::Number),
];

/// An event without borrowing: the fields in a fixed order, and the properties as a tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plain {
    fields: Vec<Option<String>>,
    properties: Option<Value>,
}

/// Which types a field may have.
#[derive(Clone, Copy)]
enum Form {
    Text,
    TextOrInteger,
    TextOrNumber,
    Number,
    Object,
}

/// Whether the parser's item is what the tree means.
pub(crate) fn agrees(item: &Item<'_>, value: &Value) -> Result<(), String> {
    match (item, read(value)) {
        (Ok(candidate), Ok(plain)) if plain_of(candidate) == plain => Ok(()),
        (Err((_, why)), Err(faults)) if faults.contains(&why.code) => Ok(()),
        (item, wanted) => Err(format!("{value} gave {item:?}, not {wanted:?}")),
    }
}

fn plain_of(candidate: &Candidate<'_>) -> Plain {
    let time = candidate.time.as_ref().map(|time| match time {
        TimeText::Text(text) => format!("text {text}"),
        TimeText::Number(number) => format!("number {number}"),
    });
    let usage = &candidate.usage;
    let texts = [
        &candidate.id,
        &candidate.kind,
        &candidate.customer,
        &candidate.user,
        &candidate.endpoint,
        &candidate.project,
        &candidate.tenant,
        &usage.tokens,
        &usage.input_tokens,
        &usage.output_tokens,
        &usage.latency_ms,
        &usage.model,
        &usage.cache_read_tokens,
        &usage.cache_write_tokens,
        &usage.reasoning_tokens,
    ];
    let texts = texts.into_iter().map(|text| text.as_deref().map(str::to_owned));
    let properties = candidate.properties.as_deref().map(|text| serde_json::from_str(text).unwrap());
    Plain { fields: [time].into_iter().chain(texts).collect(), properties }
}

fn read(value: &Value) -> Result<Plain, BTreeSet<RejectCode>> {
    let Value::Object(event) = value else { return Err([RejectCode::InvalidJson].into()) };
    let mut faults = BTreeSet::new();
    let mut field = |names: &[&str], form| pick(event, names, form, &mut faults);
    let time = field(&["time", "timestamp", "ts", "occurred_at", "event_time"], Form::TextOrNumber);
    let mut fields = vec![
        time.map(|time| match time {
            Value::String(text) => format!("text {text}"),
            number => format!("number {number}"),
        }),
        field(&["id", "event_id", "eventId", "idempotency_key", "idempotencyKey"], Form::TextOrInteger).map(digits),
        field(&["type", "event_type", "eventType", "event"], Form::Text).map(digits),
        field(&["customer", "customer_id", "customerId", "account_id", "accountId", "subject"], Form::TextOrInteger)
            .map(digits),
        field(&["user", "user_id", "userId"], Form::TextOrInteger).map(digits),
        field(&["endpoint", "apiEndpoint", "api_endpoint"], Form::Text).map(digits),
        field(&["project", "project_id", "projectId"], Form::TextOrInteger).map(digits),
        field(&["tenant", "tenant_id", "tenantId", "workspace_id"], Form::TextOrInteger).map(digits),
    ];
    let properties = field(&PROPERTIES, Form::Object);
    let listed = PROPERTIES.iter().filter_map(|name| event.get(*name)?.as_object());
    let mut objects: Vec<_> = listed.collect();
    if objects.is_empty() {
        objects.extend(properties.as_ref().and_then(Value::as_object));
    }
    for (names, form) in MEASURES {
        // All are looked at, because a conflict of two does not excuse what is in them.
        let found = objects.iter().filter_map(|object| pick_inside(object, names, form, &mut faults));
        let inside = found.collect::<Vec<_>>().into_iter().next();
        let beside = pick(event, names, form, &mut faults);
        fields.push(inside.or(beside).map(digits));
    }
    if !event.keys().any(|name| is_field(name)) {
        faults.insert(RejectCode::InvalidValue);
    }
    if faults.is_empty() { Ok(Plain { fields, properties }) } else { Err(faults) }
}

/// A name without case and separators.
fn folded(name: &str) -> String {
    name.chars().filter(|c| !"_- ".contains(*c)).map(|c| c.to_ascii_lowercase()).collect()
}

/// The members whose names are those of a field but for case and separators.
fn unlisted<'v>(object: &'v Map<String, Value>, names: &[&str]) -> Vec<&'v Value> {
    let is_meant = |name: &str| names.iter().any(|known| folded(known) == folded(name)) && !names.contains(&name);
    object.iter().filter(|(name, _)| is_meant(name)).map(|(_, value)| value).collect()
}

/// A measure in the properties: its listed names, else the first other one that can be read.
fn pick_inside(
    object: &Map<String, Value>,
    names: &[&str],
    form: Form,
    faults: &mut BTreeSet<RejectCode>,
) -> Option<Value> {
    let listed = names.iter().filter_map(|name| object.get(*name)).collect();
    pick_of(listed, names, form, faults).or_else(|| {
        unlisted(object, names).into_iter().find_map(|value| match (form, value) {
            (Form::Text, Value::String(text)) if !text.is_empty() && !text.contains(char::is_control) => {
                Some(value.clone())
            }
            (Form::Number, Value::String(text)) if !text.is_empty() => counts(text, names).then(|| value.clone()),
            (Form::Number, Value::Number(number)) => {
                let digits = number.to_string();
                counts(&digits, names).then_some(Value::String(digits))
            }
            _ => None,
        })
    })
}

/// Whether a number is no reason to refuse the event.
fn counts(text: &str, names: &[&str]) -> bool {
    let number: f64 = text.parse().unwrap_or(-1.0);
    (0.0..=1e12).contains(&number) && (names.contains(&"latencyMs") || number.fract() == 0.0)
}

/// A field that is present and not null: its listed names, else others that differ in case and separators.
fn pick(object: &Map<String, Value>, names: &[&str], form: Form, faults: &mut BTreeSet<RejectCode>) -> Option<Value> {
    let listed = names.iter().filter_map(|name| object.get(*name)).collect();
    pick_of(listed, names, form, faults).or_else(|| {
        // What the field cannot be is not read under such a name.
        let others = unlisted(object, names).into_iter().filter(|value| fits(value, names, form)).collect();
        pick_of(others, names, form, faults)
    })
}

/// Whether the value has a type that the field may have.
fn fits(value: &Value, names: &[&str], form: Form) -> bool {
    let mut faults = BTreeSet::new();
    pick_of(vec![value], names, form, &mut faults);
    faults.is_empty()
}

/// The value of members of one meaning, when all agree and have the right type.
fn pick_of(mut found: Vec<&Value>, names: &[&str], form: Form, faults: &mut BTreeSet<RejectCode>) -> Option<Value> {
    let keeps_empty =
        matches!(form, Form::TextOrNumber | Form::Object) || names.iter().any(|n| ["id", "tenant"].contains(n));
    found.retain(|value| !value.is_null() && (keeps_empty || value.as_str() != Some("")));
    let fits = |value: &&Value| match form {
        Form::Text => value.is_string(),
        Form::TextOrInteger => value.is_string() || value.is_i64() || value.is_u64(),
        Form::TextOrNumber => value.is_string() || value.is_number(),
        Form::Number => value.is_string() || value.is_number(),
        Form::Object => value.is_object(),
    };
    if !found.iter().all(fits) {
        faults.insert(RejectCode::InvalidType);
        found.retain(fits);
    }
    let mut values: Vec<Value> = found.into_iter().cloned().collect();
    if matches!(form, Form::TextOrInteger | Form::Number) {
        values = values.into_iter().map(|value| Value::String(digits(value))).collect();
    }
    if values.windows(2).any(|pair| pair[0] != pair[1]) {
        faults.insert(RejectCode::ConflictingFields);
    }
    values.into_iter().next()
}

fn digits(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// All names, as the design lists them.
pub(crate) const NAMES: [&str; 53] = [
    "id",
    "event_id",
    "eventId",
    "idempotency_key",
    "idempotencyKey",
    "time",
    "timestamp",
    "ts",
    "occurred_at",
    "event_time",
    "type",
    "event_type",
    "eventType",
    "event",
    "customer",
    "customer_id",
    "customerId",
    "account_id",
    "accountId",
    "subject",
    "user",
    "user_id",
    "userId",
    "endpoint",
    "apiEndpoint",
    "api_endpoint",
    "project",
    "project_id",
    "projectId",
    "tenant",
    "tenant_id",
    "tenantId",
    "workspace_id",
    "properties",
    "metadata",
    "data",
    "payload",
    "tokens",
    "inputTokens",
    "input_tokens",
    "outputTokens",
    "output_tokens",
    "latencyMs",
    "latency_ms",
    "model",
    "cacheReadTokens",
    "cache_read_tokens",
    "cacheWriteTokens",
    "cache_write_tokens",
    "reasoningTokens",
    "reasoning_tokens",
    "specversion",
    "data_base64",
];

fn is_field(name: &str) -> bool {
    let fixed = ["specversion", "data_base64"];
    NAMES.contains(&name) || NAMES.iter().any(|known| !fixed.contains(known) && folded(known) == folded(name))
}
