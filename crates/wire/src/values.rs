//! What the JSON value of a member says as a text, an identifier, a time or a number. Refuses another type.

use std::borrow::Cow;

use domain::event::TimeText;
use domain::rejection::{RejectCode, Rejection};

use crate::json::{self, JsonKind};

/// What is wrong with a text that no text can hold.
pub(crate) const LONE_SURROGATE: &str = "holds an escape that is half of a surrogate pair";

pub(crate) fn text<'a>(name: &str, value: JsonKind<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    match value {
        JsonKind::Null => Ok(None),
        JsonKind::Text(string) => match json::unescape(string) {
            Some(text) => Ok(Some(text)),
            None => Err(Rejection::of(RejectCode::InvalidJson, name, LONE_SURROGATE)),
        },
        _ => Err(wrong_type(name, "a text")),
    }
}

/// An empty name is none, as an empty cell of a table is.
pub(crate) fn filled(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    text.filter(|text| !text.is_empty())
}

/// A text, or an integer, which is taken as its digits.
pub(crate) fn identifier<'a>(name: &str, value: JsonKind<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    match value {
        JsonKind::Number(digits) if !digits.contains(['.', 'e', 'E']) => Ok(Some(Cow::Borrowed(digits))),
        JsonKind::Null | JsonKind::Text(_) => text(name, value),
        _ => Err(wrong_type(name, "a text or an integer")),
    }
}

pub(crate) fn time<'a>(name: &str, value: JsonKind<'a>) -> Result<Option<TimeText<'a>>, Rejection> {
    match value {
        JsonKind::Number(number) => Ok(Some(TimeText::Number(Cow::Borrowed(number)))),
        JsonKind::Null | JsonKind::Text(_) => Ok(text(name, value)?.map(TimeText::Text)),
        _ => Err(wrong_type(name, "a text or a number")),
    }
}

pub(crate) fn number<'a>(name: &str, value: JsonKind<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    match value {
        JsonKind::Null => Ok(None),
        JsonKind::Number(number) => Ok(Some(Cow::Borrowed(number))),
        // A number in quotes is taken as tables hold it; admission says whether it is one.
        JsonKind::Text(_) => Ok(filled(text(name, value)?)),
        _ => Err(wrong_type(name, "a number")),
    }
}

pub(crate) fn wrong_type(name: &str, wanted: &str) -> Rejection {
    Rejection::of(RejectCode::InvalidType, name, format!("must be {wanted}"))
}

/// A refusal of a member, with its object named before it.
pub(crate) fn inside(object: &str, mut refusal: Rejection) -> Rejection {
    refusal.field = refusal.field.map(|field| format!("{object}.{field}"));
    refusal
}

/// The refusal of a text that should be JSON.
pub(crate) fn not_json(name: &str, error: &serde_json::Error) -> Rejection {
    Rejection::of(RejectCode::InvalidJson, name, format!("is not JSON: {error}"))
}
