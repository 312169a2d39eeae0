//! Where a query's values come from: a field of the event, or a path into its properties. Refuses
//! names it does not know, and paths that are too long or too deep.

use std::fmt;

use crate::limits::{QUERY_PATH_BYTES_MAX, QUERY_PATH_SEGMENTS_MAX};

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
    pub const ALL: [Self; 13] = [
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
            Self::LatencyMs => "latency_ms",
        }
    }

    /// What its values are.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Time | Self::ReceivedAt => Kind::Time,
            Self::Tokens | Self::InputTokens | Self::OutputTokens => Kind::Count,
            Self::LatencyMs => Kind::Millis,
            _ => Kind::Text,
        }
    }
}

/// The way to a value in the properties: the keys of nested objects, outermost first. Arrays are not
/// entered, and a key that holds a dot cannot be named.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyPath {
    segments: Vec<String>,
}

impl PropertyPath {
    /// Reads `a.b.c`.
    ///
    /// # Errors
    /// Says which bound the path is over, or that a segment is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > QUERY_PATH_BYTES_MAX {
            return Err(format!("a property path has at most {QUERY_PATH_BYTES_MAX} bytes"));
        }
        let segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        if segments.len() > QUERY_PATH_SEGMENTS_MAX {
            return Err(format!("a property path has at most {QUERY_PATH_SEGMENTS_MAX} segments"));
        }
        if segments.iter().any(String::is_empty) {
            return Err("no segment of a property path may be empty".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("a property path has no control characters".to_owned());
        }
        Ok(Self { segments })
    }

    /// The keys, outermost first; at least one.
    pub fn segments(&self) -> &[String] {
        &self.segments
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
            Self::Property(path) => write!(f, "{PROPERTIES_PREFIX}{}", path.segments.join(".")),
        }
    }
}
