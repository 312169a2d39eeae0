//! The names clients give to an event's fields. Refuses nothing: an unknown name is no field.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// The name of a member of an object, read from JSON.
#[derive(Debug)]
pub(crate) struct Name<'a> {
    /// Without its escapes.
    pub(crate) text: Cow<'a, str>,
    /// The field it means, if any.
    pub(crate) field: Option<Field>,
}

/// What a name in a body means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The event's id.
    Id,
    /// When it happened.
    Time,
    /// What happened.
    Kind,
    /// Who is charged.
    Customer,
    /// Who acted.
    User,
    /// Which API endpoint was called.
    Endpoint,
    /// The project.
    Project,
    /// The tenant, which must be the credential's.
    Tenant,
    /// The free properties.
    Properties,
    /// One of the measured properties.
    Measure(Measure),
    /// The version of CloudEvents, which makes the event one.
    SpecVersion,
    /// Data of a CloudEvent that is not JSON.
    BinaryData,
}

/// A measured property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// All tokens.
    Tokens,
    /// Tokens read.
    InputTokens,
    /// Tokens written.
    OutputTokens,
    /// How long the call took, in milliseconds.
    LatencyMs,
    /// The model that answered.
    Model,
}

impl Field {
    /// The field that `name` means.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "id" | "event_id" | "eventId" | "idempotency_key" | "idempotencyKey" => Self::Id,
            "time" | "timestamp" | "ts" | "occurred_at" | "event_time" => Self::Time,
            "type" | "event_type" | "eventType" | "event" => Self::Kind,
            "customer" | "customer_id" | "customerId" | "account_id" | "accountId" | "subject" => Self::Customer,
            "user" | "user_id" | "userId" => Self::User,
            "endpoint" | "apiEndpoint" | "api_endpoint" => Self::Endpoint,
            "project" | "project_id" | "projectId" => Self::Project,
            "tenant" | "tenant_id" | "tenantId" | "workspace_id" => Self::Tenant,
            "properties" | "metadata" | "data" | "payload" => Self::Properties,
            "tokens" => Self::Measure(Measure::Tokens),
            "inputTokens" | "input_tokens" => Self::Measure(Measure::InputTokens),
            "outputTokens" | "output_tokens" => Self::Measure(Measure::OutputTokens),
            "latencyMs" | "latency_ms" => Self::Measure(Measure::LatencyMs),
            "model" => Self::Measure(Measure::Model),
            "specversion" => Self::SpecVersion,
            "data_base64" => Self::BinaryData,
            _ => return None,
        })
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
        Ok(Name { text: Cow::Borrowed(text), field: Field::of(text) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
        Ok(Name { text: Cow::Owned(text.to_owned()), field: Field::of(text) })
    }
}
