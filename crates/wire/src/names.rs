//! What the names of members mean: the listed names of each field, names that differ from those in case and
//! separators alone, and names that look like a field's without being one. Looks at names, never at events.

mod lists;

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use hashbrown::HashMap;
use serde::de::{Deserialize, Deserializer, Visitor};

use lists::{IDS, LIMITS_OF_TOKENS, MEANT, OBJECTS_OF_TOKENS, OTHER_WORDS, PEOPLE, TIMES};

use crate::field::{Field, Measure};
use crate::measures::is_of_usage;

/// Longest name that can mean anything, without its separators.
const FOLDED_BYTES_MAX: usize = 32;
/// Fewest letters of two names that are near each other.
const NEAR_LETTERS_MIN: usize = 5;

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A field.
    Field {
        /// Which.
        field: Field,
        /// Whether the name is listed as it is written.
        exact: bool,
    },
    /// No field, but something that people write for one.
    Hint(Hint),
}

/// What a name that is no field's looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// A time.
    Time,
    /// The id of an event.
    Id,
    /// The name of a customer or user.
    Who,
    /// The usage object of a provider of models.
    Usage,
    /// The whole answer of a provider of models.
    Response,
}

/// The listed names of the fields, those of one line being the same without case and separators.
const FIELDS: [(&[&str], Field); 42] = [
    (&["id"], Field::Id),
    (&["event_id", "eventId"], Field::Id),
    (&["idempotency_key", "idempotencyKey"], Field::Id),
    (&["time"], Field::Time),
    (&["timestamp"], Field::Time),
    (&["ts"], Field::Time),
    (&["occurred_at"], Field::Time),
    (&["event_time"], Field::Time),
    (&["type"], Field::Kind),
    (&["event_type", "eventType"], Field::Kind),
    (&["event"], Field::Kind),
    (&["customer"], Field::Customer),
    (&["customer_id", "customerId"], Field::Customer),
    (&["account_id", "accountId"], Field::Customer),
    (&["subject"], Field::Customer),
    (&["user"], Field::User),
    (&["user_id", "userId"], Field::User),
    (&["endpoint"], Field::Endpoint),
    (&["api_endpoint", "apiEndpoint"], Field::Endpoint),
    (&["project"], Field::Project),
    (&["project_id", "projectId"], Field::Project),
    (&["tenant"], Field::Tenant),
    (&["tenant_id", "tenantId"], Field::Tenant),
    (&["workspace_id"], Field::Tenant),
    (&["properties"], Field::Properties),
    (&["metadata"], Field::Properties),
    (&["data"], Field::Properties),
    (&["payload"], Field::Properties),
    (&["tokens"], Field::Measure(Measure::Tokens)),
    (&["inputTokens", "input_tokens"], Field::Measure(Measure::InputTokens)),
    (&["outputTokens", "output_tokens"], Field::Measure(Measure::OutputTokens)),
    (&["cacheReadTokens", "cache_read_tokens"], Field::Measure(Measure::CacheReadTokens)),
    (&["cacheWriteTokens", "cache_write_tokens"], Field::Measure(Measure::CacheWriteTokens)),
    (&["reasoningTokens", "reasoning_tokens"], Field::Measure(Measure::ReasoningTokens)),
    (&["latencyMs", "latency_ms"], Field::Measure(Measure::LatencyMs)),
    (&["model"], Field::Measure(Measure::Model)),
    // Attributes of CloudEvents, whose names are fixed.
    (&["specversion"], Field::SpecVersion),
    (&["source"], Field::Source),
    (&["data_base64"], Field::BinaryData),
    // Names that export writes.
    (&["received_at", "receivedAt"], Field::Stamp),
    (&["position"], Field::Stamp),
    (&["id_scheme", "idScheme"], Field::IdScheme),
];

static TABLE: LazyLock<HashMap<Vec<u8>, Meaning>> = LazyLock::new(|| {
    let mut table = HashMap::new();
    let hints = [(&TIMES[..], Hint::Time), (&IDS[..], Hint::Id), (&PEOPLE[..], Hint::Who)];
    for (names, hint) in hints {
        for name in names {
            table.entry(name.as_bytes().to_vec()).or_insert(Meaning::Hint(hint));
        }
    }
    table.insert(b"usage".to_vec(), Meaning::Hint(Hint::Usage));
    table.insert(b"usagemetadata".to_vec(), Meaning::Hint(Hint::Usage));
    table.insert(b"response".to_vec(), Meaning::Hint(Hint::Response));
    for (spellings, field) in FIELDS {
        let mut buffer = [0; FOLDED_BYTES_MAX];
        let key = spellings.first().and_then(|name| fold(name, &mut buffer)).unwrap_or_default();
        table.insert(key.to_vec(), Meaning::Field { field, exact: false });
    }
    table
});

/// The names, without case and separators, that others can be near.
static NEARABLE: LazyLock<Vec<(Vec<u8>, Field)>> = LazyLock::new(|| {
    let mut names = Vec::new();
    for (spellings, field) in FIELDS.iter().filter(|(_, field)| !field.has_fixed_name() && !field.is_of_exports()) {
        let mut buffer = [0; FOLDED_BYTES_MAX];
        let name = spellings.first().and_then(|name| fold(name, &mut buffer)).unwrap_or_default();
        if name.len() >= NEAR_LETTERS_MIN {
            names.push((name.to_vec(), *field));
        }
    }
    names
});

/// `name` in small letters and without `_`, `-` and spaces; `None` when it is too long to mean anything.
fn fold<'b>(name: &str, buffer: &'b mut [u8; FOLDED_BYTES_MAX]) -> Option<&'b [u8]> {
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !matches!(byte, b'_' | b'-' | b' ')) {
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    buffer.get(..length)
}

/// What `name` means.
pub(crate) fn meaning(name: &str) -> Option<Meaning> {
    // Nearly all names that mean something are listed, and nearly all others cannot be.
    if let Some(field) = listed(name) {
        return Some(Meaning::Field { field, exact: true });
    }
    let mut buffer = [0; FOLDED_BYTES_MAX];
    let folded = fold(name, &mut buffer)?;
    let first = folded.first()?;
    if LENGTHS.get(usize::from(*first))? >> folded.len() & 1 == 0 {
        return None;
    }
    let meaning = *TABLE.get(folded)?;
    match meaning {
        Meaning::Field { field, .. } => (!field.has_fixed_name()).then_some(Meaning::Field { field, exact: false }),
        hint => Some(hint),
    }
}

/// The field that is listed under this very name: [`FIELDS`] once more, as the compiler looks them up best.
fn listed(name: &str) -> Option<Field> {
    Some(match name {
        "id" | "event_id" | "eventId" | "idempotency_key" | "idempotencyKey" => Field::Id,
        "time" | "timestamp" | "ts" | "occurred_at" | "event_time" => Field::Time,
        "type" | "event_type" | "eventType" | "event" => Field::Kind,
        "customer" | "customer_id" | "customerId" | "account_id" | "accountId" | "subject" => Field::Customer,
        "user" | "user_id" | "userId" => Field::User,
        "endpoint" | "api_endpoint" | "apiEndpoint" => Field::Endpoint,
        "project" | "project_id" | "projectId" => Field::Project,
        "tenant" | "tenant_id" | "tenantId" | "workspace_id" => Field::Tenant,
        "properties" | "metadata" | "data" | "payload" => Field::Properties,
        "tokens" => Field::Measure(Measure::Tokens),
        "inputTokens" | "input_tokens" => Field::Measure(Measure::InputTokens),
        "outputTokens" | "output_tokens" => Field::Measure(Measure::OutputTokens),
        "cacheReadTokens" | "cache_read_tokens" => Field::Measure(Measure::CacheReadTokens),
        "cacheWriteTokens" | "cache_write_tokens" => Field::Measure(Measure::CacheWriteTokens),
        "reasoningTokens" | "reasoning_tokens" => Field::Measure(Measure::ReasoningTokens),
        "latencyMs" | "latency_ms" => Field::Measure(Measure::LatencyMs),
        "model" => Field::Measure(Measure::Model),
        "specversion" => Field::SpecVersion,
        "source" => Field::Source,
        "data_base64" => Field::BinaryData,
        "received_at" | "receivedAt" | "position" => Field::Stamp,
        "id_scheme" | "idScheme" => Field::IdScheme,
        _ => return None,
    })
}

/// How long names are that mean something, without case and separators: a bit for each length, by the first byte.
static LENGTHS: LazyLock<[u64; 128]> = LazyLock::new(|| {
    let mut lengths = [0; 128];
    for name in TABLE.keys() {
        if let Some(of_first) = name.first().and_then(|first| lengths.get_mut(usize::from(*first))) {
            *of_first |= 1 << name.len();
        }
    }
    lengths
});

/// Whether the server reads a property of this name, or what is in it, as a field or a measure of its event, also in
/// one kind of event alone.
pub fn is_read_property(name: &str) -> bool {
    let is_read = match meaning(name) {
        Some(Meaning::Field { field: Field::Measure(_), .. } | Meaning::Hint(Hint::Usage | Hint::Response)) => true,
        // Of CloudEvents, whose data says what the envelope has no attribute for.
        Some(Meaning::Field { field, .. }) => {
            matches!(field, Field::Customer | Field::User | Field::Endpoint | Field::Project | Field::Tenant)
        }
        _ => false,
    };
    is_read || is_of_usage(name)
}

/// The field that `name` means, with or without the case and separators of its listed names.
pub(crate) fn field_of(name: &str) -> Option<(Field, bool)> {
    match meaning(name)? {
        Meaning::Field { field, exact } => Some((field, exact)),
        Meaning::Hint(_) => None,
    }
}

/// Whether a number under `name` is likely to be a count of tokens.
pub(crate) fn counts_tokens(name: &str) -> bool {
    if memchr::memchr2(b'k', b'K', name.as_bytes()).is_none() {
        return false;
    }
    let mut buffer = [0; FOLDED_BYTES_MAX];
    let Some(folded) = fold(name, &mut buffer).and_then(|folded| std::str::from_utf8(folded).ok()) else {
        return false;
    };
    let is_count = folded == "token" || ["tokens", "tokencount", "tokenusage"].iter().any(|part| folded.contains(part));
    is_count && !LIMITS_OF_TOKENS.contains(&folded)
}

/// Whether an object under `name` is likely to hold counts of tokens.
pub(crate) fn holds_tokens(name: &str) -> bool {
    let mut buffer = [0; FOLDED_BYTES_MAX];
    fold(name, &mut buffer).is_some_and(|folded| OBJECTS_OF_TOKENS.iter().any(|name| name.as_bytes() == folded))
}

/// The field that `name`, which is none, is nearly the name of: one letter more, less or other, two exchanged,
/// or one of a fixed list.
pub(crate) fn near(name: &str) -> Option<Field> {
    let mut buffer = [0; FOLDED_BYTES_MAX];
    let folded = fold(name, &mut buffer)?;
    let is = |word: &str| word.as_bytes() == folded;
    if let Some((_, field)) = MEANT.iter().find(|(word, _)| is(word)) {
        return Some(*field);
    }
    if folded.len() < NEAR_LETTERS_MIN || OTHER_WORDS.iter().any(|word| is(word)) {
        return None;
    }
    let is_near = |name: &[u8]| name.len().abs_diff(folded.len()) <= 1 && is_one_edit_away(name, folded);
    let near = NEARABLE.iter().find(|(name, _)| is_near(name));
    near.map(|(_, field)| *field)
}

/// Whether one letter inserted, left out, replaced or exchanged with its neighbour makes `a` into `b`.
fn is_one_edit_away(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() - short.len() > 1 || short == long {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let (short, long) = (&short[same..], &long[same..]);
    if short.len() < long.len() {
        return short == &long[1..];
    }
    let replaced = short[1..] == long[1..];
    replaced || (short.len() > 1 && short[0] == long[1] && short[1] == long[0] && short[2..] == long[2..])
}

/// The name of a member of an object, read from JSON.
#[derive(Debug, Clone)]
pub(crate) struct Name<'a> {
    /// Without its escapes.
    pub(crate) text: Cow<'a, str>,
    /// What it means, if anything.
    pub(crate) meaning: Option<Meaning>,
}

impl<'a> Name<'a> {
    /// The name `text`, without escapes.
    pub(crate) fn of(text: Cow<'a, str>) -> Self {
        let meaning = meaning(&text);
        Self { text, meaning }
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
        Ok(Name::of(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
        Ok(Name::of(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_without_case_and_separators_and_no_other_sign() {
        for (name, field) in [
            ("customerID", Field::Customer),
            ("CustomerId", Field::Customer),
            ("customer-id", Field::Customer),
            ("Customer ID", Field::Customer),
            ("accountID", Field::Customer),
            ("userID", Field::User),
            ("eventID", Field::Id),
            ("EventId", Field::Id),
            ("Properties", Field::Properties),
            ("LATENCY_MS", Field::Measure(Measure::LatencyMs)),
        ] {
            assert_eq!(field_of(name), Some((field, false)), "{name}");
        }
        for name in ["$user", "user.id", "user/id", "usér", "SpecVersion", "Source", "x".repeat(40).as_str()] {
            assert_eq!(field_of(name), None, "{name}");
        }
        for (spellings, field) in FIELDS {
            for name in spellings {
                assert_eq!(field_of(name), Some((field, true)), "{name}");
            }
        }
    }

    #[test]
    fn near_names_are_one_edit_away_at_five_letters_or_more() {
        for (name, field) in [
            ("custmer", Field::Customer),
            ("custumer", Field::Customer),
            ("costumer_id", Field::Customer),
            ("usre_id", Field::User),
            ("userids", Field::User),
            ("timestmap", Field::Time),
            ("endpoit", Field::Endpoint),
            ("propertys", Field::Properties),
            ("latency", Field::Measure(Measure::LatencyMs)),
            ("event_name", Field::Kind),
        ] {
            assert_eq!(near(name), Some(field), "{name}");
        }
        for name in ["times", "types", "users", "uses", "timer", "modal", "events", "cost", "subjective"] {
            assert_eq!(near(name), None, "{name}");
        }
    }

    #[test]
    fn no_hint_is_a_field_and_every_hint_is_written_without_separators() {
        let mut buffer = [0; FOLDED_BYTES_MAX];
        for name in TIMES.iter().chain(&IDS).chain(&PEOPLE).chain(MEANT.iter().map(|(name, _)| name)) {
            assert_eq!(fold(name, &mut buffer), Some(name.as_bytes()), "{name}");
            assert_eq!(field_of(name), None, "{name}");
        }
    }
}
