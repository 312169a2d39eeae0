//! Decides what is taken: [`Candidate`] in, checked event or [`Rejection`] out, and the record that
//! the journal will hold. The only maker of [`Admitted`], so that nothing reaches the journal
//! unchecked. Reads no clock and makes no ids: both are handed in.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::encryption::FieldEncryption;
use crate::event::{Candidate, EventId, EventView, IdScheme, TimeText, cloud_event_id};
use crate::limits::{
    ENDPOINT_BYTES_MAX, EVENT_ID_BYTES_MAX, Limits, NAME_BYTES_MAX, RECORD_EVENTS_MAX, SOURCE_BYTES_MAX,
};
use crate::payload::{HashRule, PayloadHash, PayloadHasher};
use crate::record::{self, EventIdentity, FormerId, ReceiptTimes, RecordWriter, RequestKey};
use crate::rejection::{RejectCode, Rejection};
use crate::tenant::TenantScope;
use crate::time::{Timestamp, first};
use crate::warning::{Warning, WarningCode, is_placeholder};

mod sealing;
mod text;
mod usage;

use sealing::Sealing;
use text::{checked_text, optional};
use usage::{check_usage, first_usage};
pub use usage::{is_count, is_latency, is_model, whole};

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
    /// The project of its sender, when it names none itself.
    stamped: Option<Arc<str>>,
    payload: PayloadHash,
    sealing: Sealing,
    time_assigned: bool,
    candidate: &'c Candidate<'c>,
    warnings: Vec<Warning<'c>>,
}

/// A time as the release read it that made hashes by [`HashRule::EncodedBody`].
fn first_reading(time: &TimeText<'_>) -> Option<Timestamp> {
    match time {
        TimeText::Text(text) => first::parse(text),
        TimeText::Number(number) => first::parse_epoch(number),
    }
    .ok()
}

impl<'c> Checked<'c> {
    /// The id to be told to the client: the one it wrote, or the assigned one.
    pub fn shown_id(&self) -> &str {
        self.candidate.id.as_deref().unwrap_or(&self.id)
    }

    /// The event.
    pub fn view(&self) -> EventView<'_> {
        let project = self.stamped.as_deref().or(self.event.project);
        let properties = self.sealing.properties().or(self.event.properties);
        EventView { id: &self.id, project, properties, ..self.event }
    }

    /// What the ledger knows the event by.
    pub fn event_id(&self) -> EventId<'_> {
        EventId { scheme: self.event.id_scheme, text: &self.id }
    }

    /// The id under which an earlier release would have taken the event, if that is another one.
    pub fn former_id(&self) -> Option<EventId<'c>> {
        // The id of an export is the one it was stored under.
        let is_sent = self.candidate.stored_scheme.is_none();
        let former = self.candidate.id.as_deref().filter(|_| is_sent && self.event.id_scheme == IdScheme::CloudEvent);
        former.map(EventId::native)
    }

    /// By how many bytes its properties are longer for what is encrypted of them.
    pub fn encryption_bytes(&self) -> usize {
        let written = self.event.properties.map_or(0, str::len);
        self.sealing.properties().map_or(0, |sealed| sealed.len().saturating_sub(written))
    }

    /// Gives up what was encrypted of an event that is compared with an earlier one alone.
    pub fn forget_encrypted(&mut self) {
        self.sealing.forget();
    }

    /// What looks like a mistake.
    pub fn warnings(&self) -> &[Warning<'c>] {
        &self.warnings
    }

    /// What looks like a mistake, alone.
    pub fn into_warnings(self) -> Vec<Warning<'c>> {
        self.warnings
    }

    /// What the ledger will compare to tell a retry from another event under the same id.
    pub fn payload_hash(&self) -> PayloadHash {
        if self.sealing.properties().is_some() { self.sealing.sealed_hash(self.payload) } else { self.payload }
    }

    /// The payload's hash by the rule of an earlier sighting, to be compared with that one.
    pub fn payload_hash_by(&self, rule: HashRule) -> PayloadHash {
        match rule {
            HashRule::Sealed => self.sealing.sealed_hash(self.payload),
            HashRule::Written
            | HashRule::RequestBody
            | HashRule::SealedRequestBody
            | HashRule::Erased
            | HashRule::ErasedFirst => self.payload,
            HashRule::EncodedBody => self.first_payload_hash(),
        }
    }

    /// The hash that the release would have made that hashed encoded bodies, of the event as it read it.
    fn first_payload_hash(&self) -> PayloadHash {
        let first = self.candidate.first_reading.as_deref().unwrap_or(self.candidate);
        let (time, time_assigned) = match first.time.as_ref() {
            // A time that was assigned is left out of the hash.
            None => (self.event.time, true),
            Some(time) => (first_reading(time).unwrap_or(self.event.time), false),
        };
        let (kind, endpoint) = (first.kind.as_deref(), first.endpoint.as_deref());
        let event = EventView {
            id: self.candidate.id.as_deref().unwrap_or(&self.id),
            id_scheme: IdScheme::Native,
            time,
            kind: kind.unwrap_or_else(|| default_kind(endpoint)),
            project: first.project.as_deref(),
            customer: first.customer.as_deref(),
            user: first.user.as_deref(),
            endpoint,
            properties: first.properties.as_deref(),
            usage: first_usage(&first.usage),
        };
        record::first_payload_hash(&event, time_assigned)
    }
}

const fn default_kind(endpoint: Option<&str>) -> &'static str {
    if endpoint.is_some() { TYPE_OF_CALL } else { TYPE_OF_OTHER }
}

/// The admission of one request's events.
#[derive(Debug)]
pub struct Admission<'p> {
    scope: &'p TenantScope,
    limits: &'p Limits,
    hasher: &'p PayloadHasher,
    received_at: Timestamp,
    strict: bool,
    former_ids: bool,
    project: Option<&'p Arc<str>>,
    encryption: Option<&'p Arc<FieldEncryption>>,
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
    /// Whether events are refused that would be taken with a strict warning.
    pub strict: bool,
    /// Whether the ledger holds ids of a release that knew `CloudEvent`s by their ids alone.
    pub former_ids: bool,
    /// The one project that the sender may name, which events get that name none.
    pub project: Option<&'p Arc<str>>,
    /// What of the properties is encrypted, if the tenant has ever had anything encrypted.
    pub encryption: Option<&'p Arc<FieldEncryption>>,
}

impl<'p> Admission<'p> {
    /// Begins the admission of a request whose record will take about `capacity` bytes.
    pub fn new(context: AdmissionContext<'p>, capacity: usize) -> Self {
        let AdmissionContext { scope, limits, hasher, times, request, strict, former_ids, project, encryption } =
            context;
        let writer = RecordWriter::new(scope.tenant(), times, request, capacity);
        let received_at = times.received_at;
        Self { scope, limits, hasher, received_at, strict, former_ids, project, encryption, writer }
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
        let checked = self.examine(candidate, assign_id)?;
        self.admit_names(&checked, names)?;
        Ok(checked)
    }

    /// Does all of [`Admission::check`] but for the names, which a tenant's requests share.
    ///
    /// # Errors
    /// As there.
    pub fn examine<'c>(
        &self,
        candidate: &'c Candidate<'c>,
        assign_id: impl FnOnce() -> String,
    ) -> Result<Checked<'c>, Rejection> {
        self.check_tenant(candidate.tenant.as_deref())?;
        let (id, id_scheme) = checked_id(candidate, assign_id)?;
        let (time, time_assigned) = self.check_time(candidate.time.as_ref())?;
        let endpoint = optional("endpoint", candidate.endpoint.as_deref(), ENDPOINT_BYTES_MAX)?;
        let kind = optional("type", candidate.kind.as_deref(), NAME_BYTES_MAX)?;
        let kind = kind.unwrap_or_else(|| default_kind(endpoint));
        let project = optional("project", candidate.project.as_deref(), NAME_BYTES_MAX)?;
        let stamped = self.stamped_project(project)?;
        let customer = optional("customer", candidate.customer.as_deref(), NAME_BYTES_MAX)?;
        let user = optional("user", candidate.user.as_deref(), NAME_BYTES_MAX)?;
        let properties = candidate.properties.as_deref();
        if properties.is_some_and(|text| text.len() > self.limits.properties_bytes_max) {
            let message = format!("longer than {} bytes", self.limits.properties_bytes_max);
            return Err(Rejection::of(RejectCode::PropertiesTooLarge, "properties", message));
        }
        let sealing = Sealing::of(self.encryption, EventId { scheme: id_scheme, text: &id }, properties, self.limits)?;
        let (usage, is_cut) = check_usage(&candidate.usage, candidate.provider.as_deref())?;
        let warnings = warnings(candidate, (!time_assigned).then_some(time), is_cut);
        if let Some(warning) = warnings.iter().find(|warning| self.strict && warning.code.is_strict()) {
            return Err(Rejection::strict(warning));
        }
        let event = EventView { id: "", id_scheme, time, kind, project, customer, user, endpoint, properties, usage };
        let payload = self.hasher.written(candidate);
        Ok(Checked { id, event, stamped, payload, sealing, time_assigned, candidate, warnings })
    }

    /// Holds an event to how many names its tenant may use.
    ///
    /// # Errors
    /// The [`Rejection`] that names the field of the first name that is one too many.
    pub fn admit_names(&self, checked: &Checked<'_>, names: &mut dyn Names) -> Result<(), Rejection> {
        let EventView { kind, endpoint, project, usage, .. } = checked.view();
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
        Ok(())
    }

    /// The project that an event gets which names `named`.
    fn stamped_project(&self, named: Option<&str>) -> Result<Option<Arc<str>>, Rejection> {
        match (self.project, named) {
            (Some(own), Some(named)) if **own != *named => {
                let message = "the credential is bound to another project";
                Err(Rejection::of(RejectCode::ProjectMismatch, "project", message))
            }
            (Some(own), None) => Ok(Some(Arc::clone(own))),
            _ => Ok(None),
        }
    }

    /// Takes a checked event into the record.
    pub fn push(&mut self, checked: &Checked<'_>) {
        debug_assert!((self.writer.count() as usize) < RECORD_EVENTS_MAX);
        // The hash of an earlier release has a key that everybody knows, and would tell a value to who guesses it.
        let former = checked.former_id().filter(|_| self.former_ids && checked.sealing.properties().is_none());
        let former = former.map(|id| FormerId { id: id.text, payload: checked.first_payload_hash() });
        let identity = EventIdentity { payload: checked.payload_hash(), former };
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

/// The id to store, with what it means.
fn checked_id<'c>(
    candidate: &'c Candidate<'c>,
    assign_id: impl FnOnce() -> String,
) -> Result<(Cow<'c, str>, IdScheme), Rejection> {
    let id = candidate.id.as_deref().map(|id| checked_text("id", id, EVENT_ID_BYTES_MAX)).transpose()?;
    let source = candidate.source.as_deref();
    let source = source.map(|source| checked_text("source", source, SOURCE_BYTES_MAX)).transpose()?;
    Ok(match (id, candidate.stored_scheme, source) {
        (Some(id), Some(scheme), _) => (Cow::Borrowed(id), scheme),
        (Some(id), None, Some(source)) => (Cow::Owned(cloud_event_id(source, id)), IdScheme::CloudEvent),
        (Some(id), None, None) => (Cow::Borrowed(id), IdScheme::Native),
        (None, ..) => (Cow::Owned(assign_id()), IdScheme::Native),
    })
}

/// Instants that stand for "no time": the epochs that clocks and languages count from, as far as they are late
/// enough to be taken. 1980-01-06 is that of GPS, 2000-01-01 of clocks without a battery and of PostgreSQL,
/// 2001-01-01 of Apple's systems.
const ZERO_TIMES_SECONDS: [i64; 3] = [315_964_800, 946_684_800, 978_307_200];

/// All that looks like a mistake; `time` is the client's.
fn warnings<'c>(candidate: &'c Candidate<'c>, time: Option<Timestamp>, is_usage_cut: bool) -> Vec<Warning<'c>> {
    let mut warnings = candidate.warnings.clone();
    let has = |warnings: &[Warning<'_>], code| warnings.iter().any(|warning| warning.code == code);
    let (customer, user) = (candidate.customer.as_deref(), candidate.user.as_deref());
    if customer.is_none() && user.is_none() && !has(&warnings, WarningCode::NoCustomerOrUser) {
        warnings.push(Warning::whole(WarningCode::NoCustomerOrUser));
    }
    for (field, name) in [("customer", customer), ("user", user)] {
        if name.is_some_and(is_placeholder) {
            warnings.push(Warning::of(WarningCode::PlaceholderValue, field));
        }
    }
    if time
        .is_some_and(|time| ZERO_TIMES_SECONDS.contains(&(time.micros() / 1_000_000)) && time.micros() % 1_000_000 == 0)
    {
        warnings.push(Warning::of(WarningCode::ZeroTime, "time"));
    }
    if is_usage_cut && !has(&warnings, WarningCode::UsageConflict) {
        warnings.push(Warning::whole(WarningCode::UsageConflict));
    }
    warnings
}

#[cfg(test)]
mod tests;
