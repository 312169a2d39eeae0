//! Reads one event: a JSON object into a [`Candidate`](domain::event::Candidate), in one pass that borrows every text without
//! escapes. What is wrong with a field becomes this event's [`Rejection`]; only broken syntax is an
//! error of the deserializer, because after it nothing behind can be told apart.

use std::fmt;

use domain::limits::Limits;
use domain::rejection::{RejectCode, Rejection};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::draft::{Draft, Item};
use crate::names::Name;

const NOT_AN_OBJECT: &str = "an event must be a JSON object";

/// How events are read; as a seed it reads the next value of a document as an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'l> {
    pub(crate) limits: &'l Limits,
    /// Whether an event without `specversion` is refused.
    pub(crate) cloud_only: bool,
    /// Whether it is the line of a file, in which an export may have said what the ids mean.
    pub(crate) is_file: bool,
}

impl Rules<'_> {
    /// Reads `text`, one JSON value and nothing else.
    pub(crate) fn read<'a>(self, text: &'a str) -> serde_json::Result<Item<'a>> {
        let mut json = serde_json::Deserializer::from_str(text);
        let item = self.deserialize(&mut json)?;
        json.end().map(|()| item)
    }
}

fn not_an_object<'a>() -> Item<'a> {
    Err((None, Rejection::whole(RejectCode::InvalidJson, NOT_AN_OBJECT)))
}

impl<'de> DeserializeSeed<'de> for Rules<'_> {
    type Value = Item<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rules<'_> {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut draft = if self.is_file { Draft::of_line() } else { Draft::default() };
        while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            draft.take(name, value, self.limits);
        }
        Ok(draft.finish(self.cloud_only))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(not_an_object())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(not_an_object())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(not_an_object())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(not_an_object())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(not_an_object())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(not_an_object())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(not_an_object())
    }
}
