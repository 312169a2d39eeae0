//! The payload of a journal record: the admitted events of one request, in a compact form, so that
//! JSON is parsed once in an event's life. Format: `docs/formats/journal-record.md`. Decoding any
//! bytes gives events or an error, never a panic.
//!
//! ```text
//! record  version u8 = 2 | tenant len u16, bytes | received_at i64 | watermark i64
//!         | key u8: 0 none, 1 with a hash by RequestBody, 2 by SealedRequestBody
//!         | if there is one: key len u16, bytes, body hash u64 | count u32 | count × event
//! event   len u32 | body
//! body    flags u32 with bit 15 set, bit 16 says by which rule the payload hash is | time i64 | id scheme u8 | payload hash u64
//!         | tokens, input, output, latency_us, cache read, cache write, reasoning: u64 each, if flagged
//!         | id | kind | project, customer, user, endpoint, model, if flagged: len u16, bytes
//!         | properties, if flagged: len u32, bytes
//!         | former id len u16, bytes, former hash u64, if flagged
//! ```
//! Integers are little-endian, texts UTF-8, times microseconds since the epoch. A body of version 1 never
//! had bit 15, so every body says its own version.

mod first;
mod parts;
mod reader;

pub use reader::RecordError;

use crate::event::{EventView, IdScheme, Usage};
use crate::limits::RECORD_EVENTS_MAX;
use crate::payload::{HashRule, PayloadHash};
use crate::tenant::TenantId;
use crate::time::Timestamp;
use parts::{flag, put_short};
use reader::Reader;

/// The version this code writes.
const VERSION: u8 = 2;
/// The version before it, which is still read.
const FIRST_VERSION: u8 = 1;

/// When a request was received, and what was closed by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptTimes {
    /// The receive time.
    pub received_at: Timestamp,
    /// Up to when windows may have been closed when the request was admitted: an event whose window closes
    /// by then is late, whatever the receive time says.
    pub watermark: Timestamp,
}

impl ReceiptTimes {
    /// What an event's window is compared with to tell whether it came in time.
    pub fn late_from(self) -> Timestamp {
        self.received_at.max(self.watermark)
    }
}

/// The key of a request that may be repeated, with what the request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey<'a> {
    /// The name that [`crate::request::RequestHasher`] gives the request; unique per tenant.
    pub text: &'a str,
    /// Hash of the decoded body, by [`HashRule::RequestBody`] or [`HashRule::SealedRequestBody`].
    pub body: PayloadHash,
}

/// The id under which an earlier release would have taken an event, with the hash it would have made. Only
/// in folders that hold ids of that release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerId<'a> {
    /// The id, of scheme [`IdScheme::Native`].
    pub id: &'a str,
    /// The hash, by [`HashRule::EncodedBody`].
    pub payload: PayloadHash,
}

/// What tells an event from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventIdentity<'a> {
    /// Hash of what the client wrote.
    pub payload: PayloadHash,
    /// What an earlier release would have known it by, if that is another id.
    pub former: Option<FormerId<'a>>,
}

/// Builds a record's payload event by event.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    bytes: Vec<u8>,
    count_at: usize,
    count: u32,
}

impl RecordWriter {
    pub(crate) fn new(
        tenant: &TenantId,
        times: ReceiptTimes,
        request: Option<RequestKey<'_>>,
        capacity: usize,
    ) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(VERSION);
        put_short(&mut bytes, tenant.as_str());
        bytes.extend_from_slice(&times.received_at.micros().to_le_bytes());
        bytes.extend_from_slice(&times.watermark.micros().to_le_bytes());
        bytes.push(request.map_or(0, |request| 1 + u8::from(request.body.rule == HashRule::SealedRequestBody)));
        if let Some(request) = request {
            put_short(&mut bytes, request.text);
            bytes.extend_from_slice(&request.body.hash.to_le_bytes());
        }
        let count_at = bytes.len();
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        Self { bytes, count_at, count: 0 }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn push(&mut self, event: &EventView<'_>, identity: &EventIdentity<'_>, time_assigned: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        encode_body(&mut self.bytes, event, identity, time_assigned);
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
fn encode_body(out: &mut Vec<u8>, event: &EventView<'_>, identity: &EventIdentity<'_>, time_assigned: bool) {
    let usage = &event.usage;
    let numbers = [
        (flag::TOKENS, usage.tokens),
        (flag::INPUT, usage.input_tokens),
        (flag::OUTPUT, usage.output_tokens),
        (flag::LATENCY, usage.latency_us),
        (flag::CACHE_READ, usage.cache_read_tokens),
        (flag::CACHE_WRITE, usage.cache_write_tokens),
        (flag::REASONING, usage.reasoning_tokens),
    ];
    let texts = [
        (flag::PROJECT, event.project),
        (flag::CUSTOMER, event.customer),
        (flag::USER, event.user),
        (flag::ENDPOINT, event.endpoint),
        (flag::MODEL, usage.model),
    ];
    let mut flags = flag::VERSION_2 | if time_assigned { flag::TIME_ASSIGNED } else { 0 };
    flags |= numbers.iter().filter(|(_, value)| value.is_some()).fold(0, |all, (bit, _)| all | bit);
    flags |= texts.iter().filter(|(_, value)| value.is_some()).fold(0, |all, (bit, _)| all | bit);
    flags |= if event.properties.is_some() { flag::PROPERTIES } else { 0 };
    flags |= if identity.former.is_some() { flag::FORMER } else { 0 };
    flags |= if identity.payload.rule == HashRule::Sealed { flag::SEALED } else { 0 };
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&event.time.micros().to_le_bytes());
    out.push(event.id_scheme.code());
    out.extend_from_slice(&identity.payload.hash.to_le_bytes());
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
    if let Some(former) = &identity.former {
        put_short(out, former.id);
        out.extend_from_slice(&former.payload.hash.to_le_bytes());
    }
}

/// The hash that the release which wrote version 1 would have made of an event, read as it read it.
pub(crate) fn first_payload_hash(event: &EventView<'_>, time_assigned: bool) -> PayloadHash {
    first::payload_hash(&first::encode(event, time_assigned))
}

/// A record's payload, checked as far as its header.
#[derive(Debug, Clone)]
pub struct RecordView<'a> {
    tenant: TenantId,
    times: ReceiptTimes,
    request: Option<RequestKey<'a>>,
    count: u32,
    events: Reader<'a>,
}

impl<'a> RecordView<'a> {
    /// Reads the header of a payload.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are no record of a known version.
    pub fn parse(payload: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(payload);
        let version = reader.u8()?;
        if !matches!(version, FIRST_VERSION | VERSION) {
            return Err(RecordError::Version(version));
        }
        let tenant = TenantId::parse(reader.short()?).map_err(|_| RecordError::Malformed("tenant"))?;
        let received_at = Timestamp::from_micros(reader.i64()?);
        let (watermark, request) = match version {
            FIRST_VERSION => (Timestamp::MIN, None),
            _ => (Timestamp::from_micros(reader.i64()?), request_key(&mut reader)?),
        };
        let count = reader.u32()?;
        if count as usize > RECORD_EVENTS_MAX {
            return Err(RecordError::Malformed("count"));
        }
        Ok(Self { tenant, times: ReceiptTimes { received_at, watermark }, request, count, events: reader })
    }

    /// Whose events these are.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// When the request was received, stamped at admission.
    pub fn received_at(&self) -> Timestamp {
        self.times.received_at
    }

    /// Both stamps of admission.
    pub fn times(&self) -> ReceiptTimes {
        self.times
    }

    /// The key of the request, if it had one.
    pub fn request(&self) -> Option<RequestKey<'a>> {
        self.request
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
                return (!reader.is_at_end()).then_some(Err(RecordError::Malformed("end of record")));
            }
            left -= 1;
            let body = reader.framed().map(|(offset, bytes)| Body { offset, bytes });
            ended = body.is_err();
            Some(body)
        })
    }
}

fn request_key<'a>(reader: &mut Reader<'a>) -> Result<Option<RequestKey<'a>>, RecordError> {
    let rule = match reader.u8()? {
        0 => return Ok(None),
        1 => HashRule::RequestBody,
        2 => HashRule::SealedRequestBody,
        _ => return Err(RecordError::Malformed("key of a request")),
    };
    let text = reader.short()?;
    Ok(Some(RequestKey { text, body: PayloadHash { rule, hash: reader.u64()? } }))
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
    /// Decodes what is made known of an event whose whole body was decoded before. Looks at nothing else.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes looked at are those of no event.
    pub fn brief(&self) -> Result<EventBrief<'a>, RecordError> {
        if !is_version_2(self.bytes) {
            let EventView { time, kind, customer, user, .. } = first::decode(self.bytes)?;
            return Ok(EventBrief { time, kind, customer, user });
        }
        let mut reader = Reader::new(self.bytes);
        let flags = reader.u32()?;
        let has = |bit: u32| flags & bit != 0;
        let time = Timestamp::from_micros(reader.i64()?);
        // The scheme of the id, the hash of the payload, and the measures.
        let numbers = 1 + (flags & flag::NUMBERS).count_ones() as usize;
        reader.skip(1 + numbers * size_of::<u64>())?;
        reader.skip_short()?;
        let kind = reader.short()?;
        if has(flag::PROJECT) {
            reader.skip_short()?;
        }
        let customer = has(flag::CUSTOMER).then(|| reader.short()).transpose()?;
        let user = has(flag::USER).then(|| reader.short()).transpose()?;
        Ok(EventBrief { time, kind, customer, user })
    }

    /// Decodes the event and what tells it from others.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are no event.
    pub fn event_with_identity(&self) -> Result<(EventView<'a>, EventIdentity<'a>), RecordError> {
        if is_version_2(self.bytes) {
            return decode(self.bytes);
        }
        let payload = first::payload_hash(self.bytes);
        Ok((first::decode(self.bytes)?, EventIdentity { payload, former: None }))
    }
}

/// What is made known of an event once it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBrief<'a> {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub kind: &'a str,
    /// Who is charged.
    pub customer: Option<&'a str>,
    /// Who acted.
    pub user: Option<&'a str>,
}

/// Decodes the body of one event, as written by admission.
///
/// # Errors
/// [`RecordError`] when the bytes are no event.
pub fn decode_body(bytes: &[u8]) -> Result<EventView<'_>, RecordError> {
    if is_version_2(bytes) { decode(bytes).map(|(event, _)| event) } else { first::decode(bytes) }
}

fn is_version_2(body: &[u8]) -> bool {
    body.get(1).is_some_and(|high| u32::from(*high) << 8 & flag::VERSION_2 != 0)
}

fn decode(bytes: &[u8]) -> Result<(EventView<'_>, EventIdentity<'_>), RecordError> {
    let mut reader = Reader::new(bytes);
    let flags = reader.u32()?;
    if flags & !flag::KNOWN != 0 {
        return Err(RecordError::Malformed("flags"));
    }
    let has = |bit: u32| flags & bit != 0;
    let time = Timestamp::from_micros(reader.i64()?);
    let id_scheme = IdScheme::of_code(reader.u8()?).ok_or(RecordError::Malformed("scheme of an id"))?;
    let rule = if has(flag::SEALED) { HashRule::Sealed } else { HashRule::Written };
    let payload = PayloadHash { rule, hash: reader.u64()? };
    let tokens = has(flag::TOKENS).then(|| reader.u64()).transpose()?;
    let input_tokens = has(flag::INPUT).then(|| reader.u64()).transpose()?;
    let output_tokens = has(flag::OUTPUT).then(|| reader.u64()).transpose()?;
    let latency_us = has(flag::LATENCY).then(|| reader.u64()).transpose()?;
    let cache_read_tokens = has(flag::CACHE_READ).then(|| reader.u64()).transpose()?;
    let cache_write_tokens = has(flag::CACHE_WRITE).then(|| reader.u64()).transpose()?;
    let reasoning_tokens = has(flag::REASONING).then(|| reader.u64()).transpose()?;
    let names = [has(flag::PROJECT), has(flag::CUSTOMER), has(flag::USER), has(flag::ENDPOINT), has(flag::MODEL)];
    let [project, customer, user, endpoint, model] = names;
    let texts = reader.shorts([true, true, project, customer, user, endpoint, model])?;
    let [Some(id), Some(kind), project, customer, user, endpoint, model] = texts else {
        return Err(RecordError::Truncated);
    };
    let properties = has(flag::PROPERTIES).then(|| reader.long()).transpose()?;
    let former = has(flag::FORMER).then(|| former_id(&mut reader)).transpose()?;
    if !reader.is_at_end() {
        return Err(RecordError::Malformed("end of event"));
    }
    let usage = Usage {
        tokens,
        input_tokens,
        output_tokens,
        latency_us,
        model,
        cache_read_tokens,
        cache_write_tokens,
        reasoning_tokens,
    };
    let event = EventView { id, id_scheme, time, kind, project, customer, user, endpoint, properties, usage };
    Ok((event, EventIdentity { payload, former }))
}

fn former_id<'a>(reader: &mut Reader<'a>) -> Result<FormerId<'a>, RecordError> {
    let id = reader.short()?;
    Ok(FormerId { id, payload: PayloadHash { rule: HashRule::EncodedBody, hash: reader.u64()? } })
}
