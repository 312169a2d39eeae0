//! The id of an event that came without one: a hash of its content and of nothing else, so that the
//! same row is the same event whenever, wherever and in whichever format it is imported. Two rows that
//! say the same are one event. Format: `imp_` and 128 bits of BLAKE3 in hexadecimal.

use std::borrow::Cow;

use domain::event::{Candidate, TimeText};
use domain::time::{Timestamp, first};

/// Says where the hash comes from, and changes when what is hashed does.
const CONTEXT: &str = "nilometer imported event v1";
/// Bytes of the hash that are shown.
const HASH_BYTES: usize = 16;

/// The id of `candidate`.
pub(super) fn content_id(candidate: &Candidate<'_>) -> String {
    let Candidate { source, time, kind, project, customer, user, endpoint, properties, usage, .. } = candidate;
    // What a provider's usage in the properties says is part of their text; an earlier release read other measures
    // of it, and the id is the same all the same.
    let usage = match candidate.first_reading.as_deref() {
        Some(first) if first.properties.is_some() => &first.usage,
        _ => usage,
    };
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    let mut part = |text: Option<&str>| match text {
        // The length tells where a part ends, and an absent one from an empty one.
        Some(text) => {
            hasher.update(&(text.len() as u64 + 1).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        None => {
            hasher.update(&0_u64.to_le_bytes());
        }
    };
    part(time.as_ref().map(canonical).as_deref());
    for text in [kind, project, customer, user, endpoint, properties] {
        part(text.as_deref());
    }
    for text in [&usage.tokens, &usage.input_tokens, &usage.output_tokens, &usage.latency_ms, &usage.model] {
        part(text.as_deref());
    }
    // What an earlier release did not read changes the id of such rows alone.
    let parts = [source, &usage.cache_read_tokens, &usage.cache_write_tokens, &usage.reasoning_tokens];
    for (number, text) in (0_u8..).zip(parts) {
        if let Some(text) = text {
            hasher.update(&[0xFF, number]);
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    // In the properties it is part of their text.
    if let Some(tokens) = candidate.provider.as_deref().filter(|tokens| tokens.beside) {
        for part in [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, tokens.reasoning] {
            hasher.update(&[0xFE, u8::from(part.is_some())]);
            hasher.update(&part.unwrap_or(0).to_le_bytes());
        }
    }
    let hash = hasher.finalize().to_hex();
    format!("imp_{}", hash.get(..HASH_BYTES * 2).unwrap_or_default())
}

/// The instant in one form, when it is one: as the first release read it, if it could.
fn canonical<'t>(time: &'t TimeText<'_>) -> Cow<'t, str> {
    let (text, instant) = match time {
        TimeText::Text(text) => (text, first::parse(text).or_else(|_| Timestamp::parse(text))),
        TimeText::Number(number) => (number, first::parse_epoch(number).or_else(|_| Timestamp::parse_epoch(number))),
    };
    instant.map_or(Cow::Borrowed(text.as_ref()), |instant| Cow::Owned(instant.micros().to_string()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use std::collections::HashSet;

    use domain::limits::Limits;

    use super::*;

    fn id(json: &str) -> String {
        content_id(&wire::line(1, json.as_bytes(), &Limits::default()).unwrap().unwrap())
    }

    #[test]
    fn the_same_content_is_the_same_event_and_any_other_is_not() {
        assert_eq!(id(r#"{"type":"a","time":"2026-01-01T00:00:00Z"}"#), id(r#"{"ts":1767225600,"event":"a"}"#));
        let different = [
            r#"{"type":"a"}"#,
            r#"{"type":"b"}"#,
            r#"{"customer":"a"}"#,
            r#"{"user":"a"}"#,
            r#"{"type":"a","user":"b"}"#,
            r#"{"type":"ab"}"#,
            r#"{"type":"a","time":1767225600}"#,
            r#"{"type":"a","tokens":1}"#,
            r#"{"type":"a","input_tokens":1}"#,
            r#"{"type":"a","data":{}}"#,
        ];
        assert_eq!(different.map(id).into_iter().collect::<HashSet<_>>().len(), different.len());
        assert_eq!(id(r#"{"type":"a","time":"2026-01-01 00:00:00 UTC"}"#), id(r#"{"ts":1767225600,"event":"a"}"#));
        // Read otherwise today, and rounded up then.
        let rounded = id(r#"{"type":"a","time":1431857103.1234567}"#);
        assert_eq!(rounded, id(r#"{"type":"a","time":1431857103.123457}"#));
        let parts: [fn(&mut Candidate<'_>); 3] = [
            |candidate| candidate.usage.cache_read_tokens = Some("1".into()),
            |candidate| candidate.usage.cache_write_tokens = Some("1".into()),
            |candidate| candidate.usage.reasoning_tokens = Some("1".into()),
        ];
        let with = |set: fn(&mut Candidate<'_>)| {
            let mut candidate = Candidate { kind: Some("a".into()), ..Candidate::default() };
            set(&mut candidate);
            content_id(&candidate)
        };
        let ids: HashSet<_> = parts.map(with).into_iter().chain([id(r#"{"type":"a"}"#)]).collect();
        assert_eq!(ids.len(), 4);
        // Fixed for ever: a new version that hashes otherwise would count old files again.
        assert_eq!(id(r#"{"type":"a"}"#), "imp_f0c3042a5e0b567416a69771fea744ec");
    }
}
