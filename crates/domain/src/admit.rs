//! Decides what is taken: [`Candidate`] in, checked event or [`Rejection`] out, and the record that
//! the journal will hold. The only maker of [`Admitted`], so that nothing reaches the journal
//! unchecked. Reads no clock and makes no ids: both are handed in.

use std::borrow::Cow;

use bytes::Bytes;

use crate::event::{Candidate, EventId, EventView, IdScheme, TimeText, Usage, UsageText};
use crate::limits::{
    ENDPOINT_BYTES_MAX, EVENT_ID_BYTES_MAX, LATENCY_US_MAX, Limits, NAME_BYTES_MAX, RECORD_EVENTS_MAX, TOKENS_MAX,
};
use crate::payload::{HashRule, PayloadHash, PayloadHasher};
use crate::record::{self, EventIdentity, ReceiptTimes, RecordWriter, RequestKey};
use crate::rejection::{RejectCode, Rejection};
use crate::tenant::TenantScope;
use crate::time::{Timestamp, first};

/// The type of an event that names none and has an endpoint.
pub const TYPE_OF_CALL: &str = "api_call";
/// The type of an event that names neither a type nor an endpoint.
pub const TYPE_OF_OTHER: &str = "custom";

/// A kind of name whose number of distinct values per tenant is limited, because aggregates are
/// broken down by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Event types.
    Type,
    /// Endpoints.
    Endpoint,
    /// Models.
    Model,
    /// Projects.
    Project,
}

impl Dimension {
    /// All dimensions.
    pub const ALL: [Self; 4] = [Self::Type, Self::Endpoint, Self::Model, Self::Project];

    /// The field that carries the name.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Endpoint => "endpoint",
            Self::Model => "model",
            Self::Project => "project",
        }
    }

    /// How many distinct names a tenant may use.
    pub const fn limit(self, limits: &Limits) -> usize {
        match self {
            Self::Type => limits.types_max,
            Self::Endpoint => limits.endpoints_max,
            Self::Model => limits.models_max,
            Self::Project => limits.projects_max,
        }
    }
}

/// Knows which names a tenant uses.
pub trait Names {
    /// Whether `name` is known, or was added because the tenant is below its limit.
    fn admit(&mut self, dimension: Dimension, name: &str) -> bool;
}

/// Takes every name.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyName;

impl Names for AnyName {
    fn admit(&mut self, _: Dimension, _: &str) -> bool {
        true
    }
}

/// An event that may be taken.
#[derive(Debug, Clone)]
pub struct Checked<'c> {
    id: Cow<'c, str>,
    event: EventView<'c>,
    payload: PayloadHash,
    time_assigned: bool,
    candidate: &'c Candidate<'c>,
}

/// A time as the release read it that made hashes by [`HashRule::EncodedBody`].
fn first_reading(time: &TimeText<'_>) -> Option<Timestamp> {
    match time {
        TimeText::Text(text) => first::parse(text),
        TimeText::Number(number) => first::parse_epoch(number),
    }
    .ok()
}

impl Checked<'_> {
    /// The event's id, the client's or the assigned one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The event.
    pub fn view(&self) -> EventView<'_> {
        EventView { id: &self.id, ..self.event }
    }

    /// What the ledger knows the event by.
    pub fn event_id(&self) -> EventId<'_> {
        EventId { scheme: self.event.id_scheme, text: &self.id }
    }

    /// What the ledger will compare to tell a retry from another event under the same id.
    pub fn payload_hash(&self) -> PayloadHash {
        self.payload
    }

    /// The payload's hash by the rule of an earlier sighting, to be compared with that one.
    pub fn payload_hash_by(&self, rule: HashRule) -> PayloadHash {
        match rule {
            HashRule::Written | HashRule::RequestBody => self.payload,
            HashRule::EncodedBody => {
                let time = self.candidate.time.as_ref().and_then(first_reading).unwrap_or(self.event.time);
                record::first_payload_hash(&EventView { time, ..self.view() }, self.time_assigned)
            }
        }
    }
}

/// The admission of one request's events.
#[derive(Debug)]
pub struct Admission<'p> {
    scope: &'p TenantScope,
    limits: &'p Limits,
    hasher: &'p PayloadHasher,
    received_at: Timestamp,
    writer: RecordWriter,
}

/// What the admission of a request is given beside its events.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionContext<'p> {
    /// Whose events these are.
    pub scope: &'p TenantScope,
    /// What the tenant may send.
    pub limits: &'p Limits,
    /// With the secret of the folder.
    pub hasher: &'p PayloadHasher,
    /// When the request was received.
    pub times: ReceiptTimes,
    /// The key of the request, if it has one.
    pub request: Option<RequestKey<'p>>,
}

impl<'p> Admission<'p> {
    /// Begins the admission of a request whose record will take about `capacity` bytes.
    pub fn new(context: AdmissionContext<'p>, capacity: usize) -> Self {
        let AdmissionContext { scope, limits, hasher, times, request } = context;
        let writer = RecordWriter::new(scope.tenant(), times, request, capacity);
        Self { scope, limits, hasher, received_at: times.received_at, writer }
    }

    /// Checks one event. `assign_id` makes an id for an event without one.
    ///
    /// # Errors
    /// The [`Rejection`] that names the first field that is refused.
    pub fn check<'c>(
        &self,
        candidate: &'c Candidate<'c>,
        names: &mut dyn Names,
        assign_id: impl FnOnce() -> String,
    ) -> Result<Checked<'c>, Rejection> {
        self.check_tenant(candidate.tenant.as_deref())?;
        let id = match candidate.id.as_deref() {
            Some(id) => Cow::Borrowed(checked_text("id", id, EVENT_ID_BYTES_MAX)?),
            None => Cow::Owned(assign_id()),
        };
        let (time, time_assigned) = self.check_time(candidate.time.as_ref())?;
        let endpoint = optional("endpoint", candidate.endpoint.as_deref(), ENDPOINT_BYTES_MAX)?;
        let kind = optional("type", candidate.kind.as_deref(), NAME_BYTES_MAX)?;
        let kind = kind.unwrap_or(if endpoint.is_some() { TYPE_OF_CALL } else { TYPE_OF_OTHER });
        let project = optional("project", candidate.project.as_deref(), NAME_BYTES_MAX)?;
        let customer = optional("customer", candidate.customer.as_deref(), NAME_BYTES_MAX)?;
        let user = optional("user", candidate.user.as_deref(), NAME_BYTES_MAX)?;
        let properties = candidate.properties.as_deref();
        if properties.is_some_and(|text| text.len() > self.limits.properties_bytes_max) {
            let message = format!("longer than {} bytes", self.limits.properties_bytes_max);
            return Err(Rejection::of(RejectCode::PropertiesTooLarge, "properties", message));
        }
        let usage = check_usage(&candidate.usage)?;
        let dimensions = [
            (Dimension::Type, Some(kind)),
            (Dimension::Endpoint, endpoint),
            (Dimension::Model, usage.model),
            (Dimension::Project, project),
        ];
        for (dimension, name) in dimensions {
            if name.is_some_and(|name| !names.admit(dimension, name)) {
                return Err(self.too_many(dimension));
            }
        }
        let id_scheme = IdScheme::Native;
        let event = EventView { id: "", id_scheme, time, kind, project, customer, user, endpoint, properties, usage };
        Ok(Checked { id, event, payload: self.hasher.written(candidate), time_assigned, candidate })
    }

    /// Takes a checked event into the record.
    pub fn push(&mut self, checked: &Checked<'_>) {
        debug_assert!((self.writer.count() as usize) < RECORD_EVENTS_MAX);
        let identity = EventIdentity { payload: checked.payload, former: None };
        self.writer.push(&checked.view(), &identity, checked.time_assigned);
    }

    /// The record, or `None` when no event was taken.
    pub fn finish(self) -> Option<Admitted> {
        let events = self.writer.count();
        // Exactly as large as the record: it stays in memory until flushed, and is counted by its length.
        let payload = Bytes::from(self.writer.finish().into_boxed_slice());
        (events > 0).then(|| Admitted { scope: self.scope.clone(), received_at: self.received_at, events, payload })
    }

    fn check_tenant(&self, named: Option<&str>) -> Result<(), Rejection> {
        match named {
            Some(named) if named != self.scope.tenant().as_str() => {
                Err(Rejection::of(RejectCode::TenantMismatch, "tenant", "is not the tenant of the API key"))
            }
            _ => Ok(()),
        }
    }

    fn check_time(&self, time: Option<&TimeText<'_>>) -> Result<(Timestamp, bool), Rejection> {
        let parsed = match time {
            None => return Ok((self.received_at, true)),
            Some(TimeText::Text(text)) => Timestamp::parse(text),
            Some(TimeText::Number(number)) => Timestamp::parse_epoch(number),
        };
        let time = parsed.map_err(|why| Rejection::of(RejectCode::InvalidTime, "time", why.to_string()))?;
        if time < self.limits.time_min {
            let message = format!("before {}, the earliest time that is taken", self.limits.time_min);
            return Err(Rejection::of(RejectCode::TimeTooOld, "time", message));
        }
        if time > self.received_at.plus_micros(self.limits.future_us_max) {
            let seconds = self.limits.future_us_max / 1_000_000;
            let message = format!("more than {seconds} s in the future");
            return Err(Rejection::of(RejectCode::TimeInFuture, "time", message));
        }
        match self.limits.lateness_us_max {
            Some(lateness) if time < self.received_at.plus_micros(-lateness) => {
                let message = format!("more than {} s in the past", lateness / 1_000_000);
                Err(Rejection::of(RejectCode::TooLate, "time", message))
            }
            _ => Ok((time, false)),
        }
    }

    fn too_many(&self, dimension: Dimension) -> Rejection {
        let limit = dimension.limit(self.limits);
        let message = format!("the tenant already uses {limit} distinct values");
        Rejection::of(RejectCode::CardinalityLimit, dimension.field(), message)
    }
}

/// The admitted events of one request, ready for the journal.
#[derive(Debug, Clone)]
pub struct Admitted {
    scope: TenantScope,
    received_at: Timestamp,
    events: u32,
    payload: Bytes,
}

impl Admitted {
    /// Whose they are.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// When they were received.
    pub fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// How many.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// The record's payload; see [`crate::record`].
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

fn optional<'c>(field: &str, text: Option<&'c str>, bytes_max: usize) -> Result<Option<&'c str>, Rejection> {
    text.map(|text| checked_text(field, text, bytes_max)).transpose()
}

fn checked_text<'c>(field: &str, text: &'c str, bytes_max: usize) -> Result<&'c str, Rejection> {
    if text.is_empty() {
        return Err(Rejection::of(RejectCode::InvalidValue, field, "must not be empty"));
    }
    if text.len() > bytes_max {
        return Err(Rejection::of(RejectCode::TooLong, field, format!("longer than {bytes_max} bytes")));
    }
    // Only these bytes begin a control character; nearly no text has one, and bytes are looked at many at once.
    let perhaps = text.bytes().fold(false, |found, byte| found | byte.is_ascii_control() | (byte == 0xC2));
    if perhaps && text.chars().any(char::is_control) {
        return Err(Rejection::of(RejectCode::InvalidValue, field, "must not hold control characters"));
    }
    Ok(text)
}

fn check_usage<'c>(text: &'c UsageText<'c>) -> Result<Usage<'c>, Rejection> {
    let input_tokens = count("inputTokens", text.input_tokens.as_deref())?;
    let output_tokens = count("outputTokens", text.output_tokens.as_deref())?;
    let sum = match (input_tokens, output_tokens) {
        (None, None) => None,
        (input, output) => Some(input.unwrap_or(0) + output.unwrap_or(0)),
    };
    let tokens = count("tokens", text.tokens.as_deref())?.or(sum);
    let latency_us = latency_us(text.latency_ms.as_deref())?;
    let model = optional("model", text.model.as_deref(), NAME_BYTES_MAX)?;
    let cache_read_tokens = count("cacheReadTokens", text.cache_read_tokens.as_deref())?;
    let cache_write_tokens = count("cacheWriteTokens", text.cache_write_tokens.as_deref())?;
    let reasoning_tokens = count("reasoningTokens", text.reasoning_tokens.as_deref())?;
    Ok(Usage {
        tokens,
        input_tokens,
        output_tokens,
        latency_us,
        model,
        cache_read_tokens,
        cache_write_tokens,
        reasoning_tokens,
    })
}

fn count(field: &str, number: Option<&str>) -> Result<Option<u64>, Rejection> {
    let Some(number) = number else { return Ok(None) };
    let value = number.parse::<u64>().ok().or_else(|| whole(number));
    match value {
        Some(value) if value <= TOKENS_MAX => Ok(Some(value)),
        _ => {
            let message = format!("must be a whole number from 0 to {TOKENS_MAX}");
            Err(Rejection::of(RejectCode::InvalidNumber, field, message))
        }
    }
}

/// `1500.0` and `1.5e3` are whole numbers too.
fn whole(number: &str) -> Option<u64> {
    let value: f64 = number.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the comparison")]
    (value.fract() == 0.0 && (0.0..=1e15).contains(&value)).then_some(value as u64)
}

fn latency_us(number: Option<&str>) -> Result<Option<u64>, Rejection> {
    let Some(number) = number else { return Ok(None) };
    let micros = number.parse::<f64>().map_or(f64::NAN, |ms| (ms * 1_000.0).round());
    #[expect(clippy::cast_precision_loss, reason = "the limit is a power of ten that f64 holds")]
    if (0.0..=LATENCY_US_MAX as f64).contains(&micros) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the comparison")]
        return Ok(Some(micros as u64));
    }
    let message = format!("must be a number of milliseconds from 0 to {}", LATENCY_US_MAX / 1_000);
    Err(Rejection::of(RejectCode::InvalidNumber, "latencyMs", message))
}

#[cfg(test)]
mod tests;
