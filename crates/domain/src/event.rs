//! An event: first as a client sent it ([`Candidate`]), then as admitted ([`EventView`]).
//! Both borrow their texts, so that taking a batch copies each byte once, into its record.

use std::borrow::Cow;

use crate::limits::EVENT_ID_BYTES_MAX;
use crate::time::Timestamp;
use crate::warning::Warning;

/// What a client sent for one event: well-formed, fields told apart, nothing decided yet.
/// Absent and JSON `null` are the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate<'a> {
    /// The client's id.
    pub id: Option<Cow<'a, str>>,
    /// What the id means, when it is the stored text of an event that was exported; nothing that a client writes.
    pub stored_scheme: Option<IdScheme>,
    /// The source of a CloudEvent, which is part of its identity.
    pub source: Option<Cow<'a, str>>,
    /// When it happened.
    pub time: Option<TimeText<'a>>,
    /// What happened.
    pub kind: Option<Cow<'a, str>>,
    /// The tenant named in the body, which must be the credential's.
    pub tenant: Option<Cow<'a, str>>,
    /// The project.
    pub project: Option<Cow<'a, str>>,
    /// Who is charged.
    pub customer: Option<Cow<'a, str>>,
    /// Who acted.
    pub user: Option<Cow<'a, str>>,
    /// Which API endpoint was called.
    pub endpoint: Option<Cow<'a, str>>,
    /// The properties: the text of a JSON object.
    pub properties: Option<Cow<'a, str>>,
    /// The measured properties, found in `properties` (or beside it).
    pub usage: UsageText<'a>,
    /// The tokens of a provider's usage object, where there is one; what `usage` says goes before it. Boxed because
    /// few events have any.
    pub provider: Option<Box<ProviderTokens>>,
    /// What looks like a mistake.
    pub warnings: Vec<Warning<'a>>,
    /// The event as the release that made hashes by [`HashRule::EncodedBody`] would have read it, where that
    /// differs.
    ///
    /// [`HashRule::EncodedBody`]: crate::payload::HashRule::EncodedBody
    pub first_reading: Option<Box<Candidate<'a>>>,
}

/// Tokens that a provider of models says a call took: totals, and their parts where it says them. No part is
/// larger than its total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProviderTokens {
    /// All tokens read.
    pub input: Option<u64>,
    /// All tokens written.
    pub output: Option<u64>,
    /// The part of the input that a cache answered.
    pub cache_read: Option<u64>,
    /// The part of the input that was put into a cache.
    pub cache_write: Option<u64>,
    /// The part of the output that is reasoning.
    pub reasoning: Option<u64>,
    /// Whether the usage object stood beside the properties, whose text does not hold it then.
    pub beside: bool,
}

/// A time as written: a text, or the digits of a JSON number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeText<'a> {
    /// RFC 3339 or a text of digits.
    Text(Cow<'a, str>),
    /// An epoch number as it stands in the JSON.
    Number(Cow<'a, str>),
}

/// The measured properties as they stand in the JSON: texts of numbers, not yet checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageText<'a> {
    /// `tokens`.
    pub tokens: Option<Cow<'a, str>>,
    /// `inputTokens`, `input_tokens`.
    pub input_tokens: Option<Cow<'a, str>>,
    /// `outputTokens`, `output_tokens`.
    pub output_tokens: Option<Cow<'a, str>>,
    /// `latencyMs`, `latency_ms`: milliseconds, may have a fraction.
    pub latency_ms: Option<Cow<'a, str>>,
    /// `model`.
    pub model: Option<Cow<'a, str>>,
    /// `cacheReadTokens`, `cache_read_tokens`: the part of the input that a cache answered.
    pub cache_read_tokens: Option<Cow<'a, str>>,
    /// `cacheWriteTokens`, `cache_write_tokens`: the part of the input that was put into a cache.
    pub cache_write_tokens: Option<Cow<'a, str>>,
    /// `reasoningTokens`, `reasoning_tokens`: the part of the output that is reasoning.
    pub reasoning_tokens: Option<Cow<'a, str>>,
}

/// What the text of an id means. Ids are unique per tenant and scheme: equal texts of two schemes are
/// two ids. Its number is part of the journal's and the ledger's formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum IdScheme {
    /// The client's own id, or one assigned by the server, also one made of a request's key.
    #[default]
    Native = 0,
    /// Source and id of a CloudEvent.
    CloudEvent = 1,
    /// The key of a request that may be repeated; names no event.
    Request = 2,
}

impl IdScheme {
    /// The scheme with this number.
    pub const fn of_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Native,
            1 => Self::CloudEvent,
            2 => Self::Request,
            _ => return None,
        })
    }

    /// Its number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// How exports name it; they name none for the scheme of most ids.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::CloudEvent => Some("cloudevent"),
            Self::Native | Self::Request => None,
        }
    }

    /// The scheme that exports name so.
    pub fn of_name(name: &str) -> Option<Self> {
        (Self::CloudEvent.name() == Some(name)).then_some(Self::CloudEvent)
    }
}

/// What the stored text of a `CloudEvent`'s identity begins with.
const CLOUD_EVENT_PREFIX: &str = "ce:";

/// The text under which a `CloudEvent` is stored: its source and its id, apart in any case.
pub fn cloud_event_id(source: &str, id: &str) -> String {
    let escaped = |part: &str| part.replace('%', "%25").replace('#', "%23");
    let text = format!("{CLOUD_EVENT_PREFIX}{}#{}", escaped(source), escaped(id));
    if text.len() <= EVENT_ID_BYTES_MAX {
        return text;
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    format!("{CLOUD_EVENT_PREFIX}h:{}", &hash[..32])
}

/// The source and the id that [`cloud_event_id`] made `text` of; `None` for a text that it did not make, or that holds
/// a hash in their place.
pub fn split_cloud_event_id(text: &str) -> Option<(String, String)> {
    let (source, id) = text.strip_prefix(CLOUD_EVENT_PREFIX)?.split_once('#')?;
    let plain = |part: &str| part.replace("%23", "#").replace("%25", "%");
    let (source, id) = (plain(source), plain(id));
    (cloud_event_id(&source, &id) == text).then_some((source, id))
}

/// Whether `text` may be that of a `CloudEvent`'s identity.
pub fn is_cloud_event_id(text: &str) -> bool {
    text.starts_with(CLOUD_EVENT_PREFIX)
}

/// An id with its scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId<'a> {
    /// What the text means.
    pub scheme: IdScheme,
    /// The text as it is stored.
    pub text: &'a str,
}

impl<'a> EventId<'a> {
    /// A client's own id.
    pub const fn native(text: &'a str) -> Self {
        Self { scheme: IdScheme::Native, text }
    }
}

/// An admitted event: every field checked, within its limit, and canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventView<'a> {
    /// Unique per tenant and scheme; assigned when the client sent none.
    pub id: &'a str,
    /// What the id means.
    pub id_scheme: IdScheme,
    /// When it happened; the receive time when the client sent none.
    pub time: Timestamp,
    /// What happened.
    pub kind: &'a str,
    /// The project, if any.
    pub project: Option<&'a str>,
    /// Who is charged, if anyone.
    pub customer: Option<&'a str>,
    /// Who acted, if known.
    pub user: Option<&'a str>,
    /// The API endpoint, if any.
    pub endpoint: Option<&'a str>,
    /// The text of a JSON object, as the client wrote it.
    pub properties: Option<&'a str>,
    /// What was measured.
    pub usage: Usage<'a>,
}

/// What one event measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage<'a> {
    /// All tokens; input + output when the client sent no `tokens`.
    pub tokens: Option<u64>,
    /// Tokens read.
    pub input_tokens: Option<u64>,
    /// Tokens written.
    pub output_tokens: Option<u64>,
    /// How long the call took, in microseconds.
    pub latency_us: Option<u64>,
    /// The model that answered.
    pub model: Option<&'a str>,
    /// The part of the input tokens that a cache answered.
    pub cache_read_tokens: Option<u64>,
    /// The part of the input tokens that was put into a cache.
    pub cache_write_tokens: Option<u64>,
    /// The part of the output tokens that is reasoning.
    pub reasoning_tokens: Option<u64>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_of_a_hash_or_of_another_scheme_holds_no_source() {
        let hashed = cloud_event_id(&"x".repeat(300), "1");
        for text in [hashed.as_str(), "", "ce:", "ce:a", "a#1", "ce:a#b#1", "ce:a%#1", "ce:a%24#1", "ce:a%2#1"] {
            assert_eq!(split_cloud_event_id(text), None, "{text}");
        }
        assert_eq!(split_cloud_event_id("ce:h:a#1"), Some(("h:a".to_owned(), "1".to_owned())));
    }

    proptest! {
        #[test]
        fn the_text_of_a_cloud_event_gives_back_its_source_and_id(
            source in "[#%235a/:é]{0,12}",
            id in "[#%235a:é]{0,12}",
        ) {
            let text = cloud_event_id(&source, &id);
            prop_assert_eq!(split_cloud_event_id(&text), Some((source, id)));
        }

        #[test]
        fn what_is_split_is_made_into_the_same_text_again(text in "ce:[#%235a]{0,12}") {
            if let Some((source, id)) = split_cloud_event_id(&text) {
                prop_assert_eq!(cloud_event_id(&source, &id), text);
            }
        }
    }
}
