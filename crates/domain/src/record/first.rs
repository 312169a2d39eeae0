//! Bodies of record format 1: how they are read, and how the release that wrote them made the hash that
//! tells a retry from another event. Kept for journals and ids of that release; nothing writes them.
//!
//! ```text
//! body    flags u16 | time i64 | tokens, input, output, latency_us: u64 each, if flagged
//!         | id | kind | project, customer, user, endpoint, model, if flagged: len u16, bytes
//!         | properties, if flagged: len u32, bytes
//! ```

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::parts::{flag, put_short};
use super::reader::{Reader, RecordError};
use crate::event::{EventView, IdScheme, Usage};
use crate::payload::{HashRule, PayloadHash};
use crate::time::Timestamp;

/// Bytes before the first optional part: flags and time.
const FIXED_BYTES: usize = 10;
/// The flags that a body of this format may have.
const KNOWN: u16 = (1 << 11) - 1;

/// The hash of a body. A time that was assigned on receipt is left out, since a retry would be given
/// another.
pub(super) fn payload_hash(body: &[u8]) -> PayloadHash {
    let mut hasher = SipHasher13::new_with_keys(0x6e69_6c6f_6d65_7465, 0x7061_796c_6f61_6431);
    let assigned = body.first().is_some_and(|low| u32::from(*low) & flag::TIME_ASSIGNED != 0);
    match (assigned, body.get(FIXED_BYTES..)) {
        (true, Some(rest)) => {
            hasher.write(&body[..2]);
            hasher.write(rest);
        }
        _ => hasher.write(body),
    }
    PayloadHash { rule: HashRule::EncodedBody, hash: hasher.finish() }
}

/// The body of an event, so that its hash can be compared with one that was made then. The measures that
/// came later are no part of it.
pub(super) fn encode(event: &EventView<'_>, time_assigned: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let usage = &event.usage;
    let numbers = [
        (flag::TOKENS, usage.tokens),
        (flag::INPUT, usage.input_tokens),
        (flag::OUTPUT, usage.output_tokens),
        (flag::LATENCY, usage.latency_us),
    ];
    let texts = [
        (flag::PROJECT, event.project),
        (flag::CUSTOMER, event.customer),
        (flag::USER, event.user),
        (flag::ENDPOINT, event.endpoint),
        (flag::MODEL, usage.model),
    ];
    let mut flags = if time_assigned { flag::TIME_ASSIGNED } else { 0 };
    flags |= numbers.iter().filter(|(_, value)| value.is_some()).fold(0, |all, (bit, _)| all | bit);
    flags |= texts.iter().filter(|(_, value)| value.is_some()).fold(0, |all, (bit, _)| all | bit);
    if event.properties.is_some() {
        flags |= flag::PROPERTIES;
    }
    let low = u16::try_from(flags).unwrap_or(u16::MAX);
    out.extend_from_slice(&low.to_le_bytes());
    out.extend_from_slice(&event.time.micros().to_le_bytes());
    for value in numbers.iter().filter_map(|(_, value)| *value) {
        out.extend_from_slice(&value.to_le_bytes());
    }
    put_short(&mut out, event.id);
    put_short(&mut out, event.kind);
    for text in texts.iter().filter_map(|(_, text)| *text) {
        put_short(&mut out, text);
    }
    if let Some(properties) = event.properties {
        let len = u32::try_from(properties.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(properties.as_bytes());
    }
    out
}

/// Decodes the event of a body.
pub(super) fn decode(bytes: &[u8]) -> Result<EventView<'_>, RecordError> {
    let mut reader = Reader::new(bytes);
    let flags = reader.u16()?;
    if flags & !KNOWN != 0 {
        return Err(RecordError::Malformed("flags"));
    }
    let has = |bit: u32| u32::from(flags) & bit != 0;
    let time = Timestamp::from_micros(reader.i64()?);
    let tokens = has(flag::TOKENS).then(|| reader.u64()).transpose()?;
    let input_tokens = has(flag::INPUT).then(|| reader.u64()).transpose()?;
    let output_tokens = has(flag::OUTPUT).then(|| reader.u64()).transpose()?;
    let latency_us = has(flag::LATENCY).then(|| reader.u64()).transpose()?;
    let id = reader.short()?;
    let kind = reader.short()?;
    let project = has(flag::PROJECT).then(|| reader.short()).transpose()?;
    let customer = has(flag::CUSTOMER).then(|| reader.short()).transpose()?;
    let user = has(flag::USER).then(|| reader.short()).transpose()?;
    let endpoint = has(flag::ENDPOINT).then(|| reader.short()).transpose()?;
    let model = has(flag::MODEL).then(|| reader.short()).transpose()?;
    let properties = has(flag::PROPERTIES).then(|| reader.long()).transpose()?;
    if !reader.is_at_end() {
        return Err(RecordError::Malformed("end of event"));
    }
    let usage = Usage { tokens, input_tokens, output_tokens, latency_us, model, ..Usage::default() };
    let id_scheme = IdScheme::Native;
    Ok(EventView { id, id_scheme, time, kind, project, customer, user, endpoint, properties, usage })
}
