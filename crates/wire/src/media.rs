//! Which form a body has, by its content type. A body of unknown type is looked at, but only far
//! enough to tell one JSON value from lines of them.

use serde::de::IgnoredAny;

use crate::error::BodyError;
use crate::json;

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// One JSON value: an event, an array of events or an envelope of them.
    Json,
    /// One JSON value whose events must be CloudEvents.
    CloudEvents,
    /// One event per line.
    Lines,
}

impl Media {
    /// The form that `content_type` says `body` has.
    pub(crate) fn of(content_type: Option<&str>, body: &[u8]) -> Result<Self, BodyError> {
        let named = content_type.unwrap_or_default();
        let mut parts = named.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let media = match essence.as_str() {
            "application/json" | "text/json" => Self::Json,
            "application/cloudevents+json" | "application/cloudevents-batch+json" => Self::CloudEvents,
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/json-lines"
            | "text/x-ndjson" => Self::Lines,
            "" | "text/plain" if looks_like_lines(body) => Self::Lines,
            "" | "text/plain" => Self::Json,
            _ => return Err(unsupported(named)),
        };
        if parts.all(is_readable_parameter) { Ok(media) } else { Err(unsupported(named)) }
    }
}

fn unsupported(named: &str) -> BodyError {
    let message = format!(
        "content type {named:?} is not supported; use application/json, application/x-ndjson, \
         application/cloudevents+json or application/cloudevents-batch+json, in UTF-8"
    );
    BodyError::UnsupportedMediaType { message }
}

/// Parameters say nothing here, but for the character set.
fn is_readable_parameter(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            ["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
        }
        _ => true,
    }
}

/// Whether the first line is a whole JSON object and something follows it.
fn looks_like_lines(body: &[u8]) -> bool {
    let body = json::trim(body);
    let Some(end) = body.iter().position(|byte| *byte == b'\n') else { return false };
    body.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(&body[..end]).is_ok()
}
