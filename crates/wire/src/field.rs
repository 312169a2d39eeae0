//! The fields of an event, as far as clients can write them.

/// What a member of an event's object can be.
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
    /// The source of a CloudEvent.
    Source,
    /// What the server sets and exports show.
    Stamp,
    /// What the id means, which exports show.
    IdScheme,
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
    /// The part of the tokens read that a cache answered.
    CacheReadTokens,
    /// The part of the tokens read that was put into a cache.
    CacheWriteTokens,
    /// The part of the tokens written that is reasoning.
    ReasoningTokens,
}

impl Measure {
    /// How many there are.
    pub(crate) const COUNT: usize = 8;

    /// Its bit among all.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Its listed name, with underscores or without.
    pub(crate) const fn spelling(self, snake_case: bool) -> &'static str {
        match (self, snake_case) {
            (Self::Tokens, _) => "tokens",
            (Self::InputTokens, false) => "inputTokens",
            (Self::InputTokens, true) => "input_tokens",
            (Self::OutputTokens, false) => "outputTokens",
            (Self::OutputTokens, true) => "output_tokens",
            (Self::LatencyMs, false) => "latencyMs",
            (Self::LatencyMs, true) => "latency_ms",
            (Self::Model, _) => "model",
            (Self::CacheReadTokens, false) => "cacheReadTokens",
            (Self::CacheReadTokens, true) => "cache_read_tokens",
            (Self::CacheWriteTokens, false) => "cacheWriteTokens",
            (Self::CacheWriteTokens, true) => "cache_write_tokens",
            (Self::ReasoningTokens, false) => "reasoningTokens",
            (Self::ReasoningTokens, true) => "reasoning_tokens",
        }
    }
}

impl Field {
    /// Whether the field has its name from a standard, which is written in one way only.
    pub(crate) const fn has_fixed_name(self) -> bool {
        matches!(self, Self::SpecVersion | Self::Source | Self::BinaryData)
    }

    /// Whether exports write the field, and clients do not.
    pub(crate) const fn is_of_exports(self) -> bool {
        matches!(self, Self::Stamp | Self::IdScheme)
    }
}
