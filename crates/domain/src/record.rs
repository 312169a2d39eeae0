//! The payload of a journal record: the admitted events of one request, in a compact form, so that
//! JSON is parsed once in an event's life. Format: `docs/formats/journal-record.md`. Decoding any
//! bytes gives events or an error, never a panic.
//!
//! ```text
//! record  version u8 = 1 | tenant len u16, bytes | received_at i64 | count u32 | count × event
//! event   len u32 | body
//! body    flags u16 | time i64 | tokens, input, output, latency_us: u64 each, if flagged
//!         | id | kind | project, customer, user, endpoint, model, if flagged: len u16, bytes
//!         | properties, if flagged: len u32, bytes
//! ```
//! Integers are little-endian, texts UTF-8, times microseconds since the epoch.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::event::{EventView, Usage};
use crate::limits::RECORD_EVENTS_MAX;
use crate::tenant::TenantId;
use crate::time::Timestamp;

/// The version this code writes.
const VERSION: u8 = 1;
/// Bytes of an event's body before its first optional part: flags and time.
const BODY_FIXED_BYTES: usize = 10;

mod flag {
    pub(super) const TIME_ASSIGNED: u16 = 1;
    pub(super) const PROJECT: u16 = 1 << 1;
    pub(super) const CUSTOMER: u16 = 1 << 2;
    pub(super) const USER: u16 = 1 << 3;
    pub(super) const ENDPOINT: u16 = 1 << 4;
    pub(super) const PROPERTIES: u16 = 1 << 5;
    pub(super) const TOKENS: u16 = 1 << 6;
    pub(super) const INPUT: u16 = 1 << 7;
    pub(super) const OUTPUT: u16 = 1 << 8;
    pub(super) const LATENCY: u16 = 1 << 9;
    pub(super) const MODEL: u16 = 1 << 10;
    pub(super) const KNOWN: u16 = (1 << 11) - 1;
}

/// Builds a record's payload event by event.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    bytes: Vec<u8>,
    count_at: usize,
    count: u32,
}

impl RecordWriter {
    pub(crate) fn new(tenant: &TenantId, received_at: Timestamp, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(VERSION);
        put_short(&mut bytes, tenant.as_str());
        bytes.extend_from_slice(&received_at.micros().to_le_bytes());
        let count_at = bytes.len();
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        Self { bytes, count_at, count: 0 }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn push(&mut self, event: &EventView<'_>, time_assigned: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        encode_body(&mut self.bytes, event, time_assigned);
        let len = u32::try_from(self.bytes.len() - start - 4).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.count += 1;
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes[self.count_at..self.count_at + 4].copy_from_slice(&self.count.to_le_bytes());
        self.bytes
    }
}

/// Appends the body of `event`; every text is within its limit, which admission has checked.
pub(crate) fn encode_body(out: &mut Vec<u8>, event: &EventView<'_>, time_assigned: bool) {
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
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&event.time.micros().to_le_bytes());
    for value in numbers.iter().filter_map(|(_, value)| *value) {
        out.extend_from_slice(&value.to_le_bytes());
    }
    put_short(out, event.id);
    put_short(out, event.kind);
    for text in texts.iter().filter_map(|(_, text)| *text) {
        put_short(out, text);
    }
    if let Some(properties) = event.properties {
        let len = u32::try_from(properties.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(properties.as_bytes());
    }
}

fn put_short(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A record's payload, checked as far as its header.
#[derive(Debug, Clone)]
pub struct RecordView<'a> {
    tenant: TenantId,
    received_at: Timestamp,
    count: u32,
    events: Reader<'a>,
}

impl<'a> RecordView<'a> {
    /// Reads the header of a payload.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are no record of a known version.
    pub fn parse(payload: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Reader { bytes: payload, at: 0 };
        match reader.u8()? {
            VERSION => {}
            version => return Err(RecordError::Version(version)),
        }
        let tenant = TenantId::parse(reader.short()?).map_err(|_| RecordError::Malformed("tenant"))?;
        let received_at = Timestamp::from_micros(reader.i64()?);
        let count = reader.u32()?;
        if count as usize > RECORD_EVENTS_MAX {
            return Err(RecordError::Malformed("count"));
        }
        Ok(Self { tenant, received_at, count, events: reader })
    }

    /// Whose events these are.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// When the request was received, stamped at admission.
    pub fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// How many events the record holds.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The bodies of the events in order, each with its offset in the payload. Yields one error and
    /// ends when the payload is cut short or has bytes to spare.
    pub fn bodies(&self) -> impl Iterator<Item = Result<Body<'a>, RecordError>> + use<'a> {
        let mut reader = self.events.clone();
        let mut left = self.count;
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            if left == 0 {
                ended = true;
                return (reader.at != reader.bytes.len()).then_some(Err(RecordError::Malformed("end of record")));
            }
            left -= 1;
            let body = reader.body();
            ended = body.is_err();
            Some(body)
        })
    }
}

/// The encoded body of one event.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// Offset of the body in its payload.
    pub offset: usize,
    /// The body.
    pub bytes: &'a [u8],
}

impl<'a> Body<'a> {
    /// Decodes the event.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are no event.
    pub fn event(&self) -> Result<EventView<'a>, RecordError> {
        decode_body(self.bytes)
    }

    /// A hash of what the client sent, to tell a retry from another event under the same id. A time
    /// that was assigned on receipt is left out, since a retry would be given another.
    pub fn payload_hash(&self) -> u64 {
        payload_hash(self.bytes)
    }
}

/// See [`Body::payload_hash`].
pub(crate) fn payload_hash(body: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6e69_6c6f_6d65_7465, 0x7061_796c_6f61_6431);
    let assigned = body.first().is_some_and(|low| u16::from(*low) & flag::TIME_ASSIGNED != 0);
    match (assigned, body.get(BODY_FIXED_BYTES..)) {
        (true, Some(rest)) => {
            hasher.write(&body[..2]);
            hasher.write(rest);
        }
        _ => hasher.write(body),
    }
    hasher.finish()
}

/// Decodes the body of one event, as written by admission.
///
/// # Errors
/// [`RecordError`] when the bytes are no event.
pub fn decode_body(bytes: &[u8]) -> Result<EventView<'_>, RecordError> {
    let mut reader = Reader { bytes, at: 0 };
    let flags = reader.u16()?;
    if flags & !flag::KNOWN != 0 {
        return Err(RecordError::Malformed("flags"));
    }
    let has = |bit: u16| flags & bit != 0;
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
    if reader.at != bytes.len() {
        return Err(RecordError::Malformed("end of event"));
    }
    let usage = Usage { tokens, input_tokens, output_tokens, latency_us, model };
    Ok(EventView { id, time, kind, project, customer, user, endpoint, properties, usage })
}

#[derive(Debug, Clone)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let end = self.at.checked_add(len).ok_or(RecordError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(RecordError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.take(N)?.try_into().map_err(|_| RecordError::Truncated)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn short(&mut self) -> Result<&'a str, RecordError> {
        let len = self.u16()?;
        self.text(len as usize)
    }

    fn long(&mut self) -> Result<&'a str, RecordError> {
        let len = self.u32()?;
        self.text(len as usize)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| RecordError::Malformed("text"))
    }

    fn body(&mut self) -> Result<Body<'a>, RecordError> {
        let len = self.u32()? as usize;
        let offset = self.at;
        Ok(Body { offset, bytes: self.take(len)? })
    }
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer program.
    #[error("record version {0} is not known to this program")]
    Version(u8),
    /// Ends before it is complete.
    #[error("record is cut short")]
    Truncated,
    /// A part has an impossible value.
    #[error("record has an impossible {0}")]
    Malformed(&'static str),
}
