//! A raw event.

use std::borrow::Cow;

use domain::encryption::{Lens, Shown};
use domain::event::EventId;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::reports::StoredEvent;
use ports::{ErrorKind, PortError};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A counted event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// The client's id, or the assigned one.
    event_id: String,
    /// What happened.
    #[serde(rename = "type")]
    kind: String,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// When the server received it.
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// The tenant that the event belongs to.
    tenant: String,
    /// The project, if any.
    project: Option<String>,
    /// The customer who is charged, if any.
    customer: Option<String>,
    /// The user who acted, if known.
    user: Option<String>,
    /// The API endpoint, if any.
    endpoint: Option<String>,
    /// The properties as the client wrote them, with `"<encrypted>"` in place of encrypted values for who may not see
    /// them, and `"<unreadable>"` in place of those that do not open.
    #[schema(value_type = Option<Object>)]
    properties: Option<Box<RawValue>>,
    /// Number of all tokens.
    tokens: Option<u64>,
    /// Number of input tokens.
    input_tokens: Option<u64>,
    /// Number of output tokens.
    output_tokens: Option<u64>,
    /// How long the call took, in milliseconds.
    #[serde(serialize_with = "super::millis")]
    latency_ms: Option<f64>,
    /// The model that answered.
    model: Option<String>,
    /// The part of the input tokens that a cache answered; absent when it was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_tokens: Option<u64>,
    /// The part of the input tokens that was put into a cache; absent when it was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
    /// The part of the output tokens that is reasoning; absent when it was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<u64>,
    /// Encrypted values that did not open.
    #[serde(skip)]
    unreadable: usize,
}

impl EventBody {
    /// The event as the API shows it to who sees encrypted values through `lens`.
    ///
    /// # Errors
    /// `Corrupt` when its properties are no JSON.
    pub fn new(scope: &TenantScope, event: StoredEvent, lens: &Lens) -> Result<Self, PortError> {
        let shown = shown(scope, &event, lens);
        let unreadable = shown.as_ref().map_or(0, |shown| shown.unreadable);
        let properties = shown.map(|shown| RawValue::from_string(shown.properties.into_owned())).transpose();
        #[expect(clippy::cast_precision_loss, reason = "latencies are at most 1e12 us")]
        let latency_ms = event.latency_us.map(|micros| micros as f64 / 1e3);
        Ok(Self {
            properties: properties
                .map_err(|why| PortError::new(ErrorKind::Corrupt, "read an event's properties").because(why))?,
            event_id: event.id,
            kind: event.kind,
            time: event.time,
            received_at: event.received_at,
            tenant: scope.tenant().to_string(),
            project: event.project,
            customer: event.customer,
            user: event.user,
            endpoint: event.endpoint,
            tokens: event.tokens,
            input_tokens: event.input_tokens,
            output_tokens: event.output_tokens,
            latency_ms,
            model: event.model,
            cache_read_tokens: event.cache_read_tokens,
            cache_write_tokens: event.cache_write_tokens,
            reasoning_tokens: event.reasoning_tokens,
            unreadable,
        })
    }

    /// How many of its encrypted values did not open.
    pub(crate) fn unreadable(&self) -> usize {
        self.unreadable
    }
}

/// The properties of an event as its reader sees them. Values that do not open are told in the log: somebody has
/// changed or moved them, or their key is gone.
pub fn shown_properties<'e>(scope: &TenantScope, event: &'e StoredEvent, lens: &Lens) -> Option<Cow<'e, str>> {
    Some(shown(scope, event, lens)?.properties)
}

fn shown<'e>(scope: &TenantScope, event: &'e StoredEvent, lens: &Lens) -> Option<Shown<'e>> {
    let id = EventId { scheme: event.id_scheme, text: &event.id };
    let shown = lens.properties(id, event.properties.as_deref()?);
    if shown.unreadable > 0 {
        let (tenant, values) = (scope.tenant(), shown.unreadable);
        tracing::warn!(%tenant, event = event.id, values, "encrypted values of an event do not open");
    }
    Some(shown)
}
