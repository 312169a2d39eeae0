//! Where a query's values come from: a field of the event, or a path into its properties. Refuses
//! names it does not know.

use std::fmt;

use crate::property_path::PropertyPath;

/// What a path into the properties begins with.
const PROPERTIES_PREFIX: &str = "properties.";

/// A field that every event has or may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// `id`
    Id,
    /// `time`
    Time,
    /// `received_at`
    ReceivedAt,
    /// `type`
    Type,
    /// `project`
    Project,
    /// `customer`
    Customer,
    /// `user`
    User,
    /// `endpoint`
    Endpoint,
    /// `model`
    Model,
    /// `tokens`
    Tokens,
    /// `input_tokens`
    InputTokens,
    /// `output_tokens`
    OutputTokens,
    /// `cache_read_tokens`
    CacheReadTokens,
    /// `cache_write_tokens`
    CacheWriteTokens,
    /// `reasoning_tokens`
    ReasoningTokens,
    /// `latency_ms`: milliseconds, with a fraction.
    LatencyMs,
}

/// What a source's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Texts.
    Text,
    /// Instants.
    Time,
    /// Whole numbers from 0.
    Count,
    /// Milliseconds from 0, a thousandth of whole microseconds.
    Millis,
    /// Anything JSON has: read as a text or as a number, as its use asks for.
    Property,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 16] = [
        Self::Id,
        Self::Time,
        Self::ReceivedAt,
        Self::Type,
        Self::Project,
        Self::Customer,
        Self::User,
        Self::Endpoint,
        Self::Model,
        Self::Tokens,
        Self::InputTokens,
        Self::OutputTokens,
        Self::CacheReadTokens,
        Self::CacheWriteTokens,
        Self::ReasoningTokens,
        Self::LatencyMs,
    ];

    /// Its name in queries and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Time => "time",
            Self::ReceivedAt => "received_at",
            Self::Type => "type",
            Self::Project => "project",
            Self::Customer => "customer",
            Self::User => "user",
            Self::Endpoint => "endpoint",
            Self::Model => "model",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::CacheReadTokens => "cache_read_tokens",
            Self::CacheWriteTokens => "cache_write_tokens",
            Self::ReasoningTokens => "reasoning_tokens",
            Self::LatencyMs => "latency_ms",
        }
    }

    /// What its values are.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Time | Self::ReceivedAt => Kind::Time,
            Self::Tokens
            | Self::InputTokens
            | Self::OutputTokens
            | Self::CacheReadTokens
            | Self::CacheWriteTokens
            | Self::ReasoningTokens => Kind::Count,
            Self::LatencyMs => Kind::Millis,
            _ => Kind::Text,
        }
    }
}

/// Where values come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A field of the event.
    Field(Field),
    /// A value in its properties.
    Property(PropertyPath),
}

impl Source {
    /// Reads the name of a field, or `properties.` and a path.
    ///
    /// # Errors
    /// Says what is wrong with the name.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(PROPERTIES_PREFIX) {
            return PropertyPath::parse(path).map(Self::Property);
        }
        match Field::ALL.into_iter().find(|field| field.name() == text) {
            Some(field) => Ok(Self::Field(field)),
            None => {
                let known = Field::ALL.map(Field::name).join(", ");
                Err(format!("no field of an event; there are {known} and properties.<path>"))
            }
        }
    }

    /// What its values are.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Field(field) => field.kind(),
            Self::Property(_) => Kind::Property,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field.name()),
            Self::Property(path) => write!(f, "{PROPERTIES_PREFIX}{path}"),
        }
    }
}
