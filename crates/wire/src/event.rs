//! Reads one event: a JSON object into a [`Candidate`], in one pass that borrows every text without escapes. What is wrong with a field becomes this event's [`Rejection`]; only broken syntax is an
//! error of the deserializer, because after it nothing behind can be told apart.

use std::fmt;

use domain::event::Candidate;
use domain::limits::Limits;
use domain::rejection::{RejectCode, Rejection};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::draft::{Draft, Item};
use crate::names::Name;

const NOT_AN_OBJECT: &str = "an event must be a JSON object";

/// How events are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'l> {
    pub(crate) limits: &'l Limits,
    /// Whether an event without `specversion` is refused.
    pub(crate) cloud_only: bool,
    /// Whether it is the line of a file, in which an export may have said what the ids mean.
    pub(crate) is_file: bool,
}

impl Rules<'_> {
    /// Reads `text`, one JSON value and nothing else, and puts the event behind `items`.
    pub(crate) fn read<'a>(self, text: &'a str, items: &mut Vec<Item<'a>>) -> serde_json::Result<()> {
        let before = items.len();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Event { rules: self, items }.deserialize(&mut json).and_then(|()| json.end());
        if read.is_err() {
            items.truncate(before);
        }
        read
    }
}

/// Puts the event that `draft` holds behind `items`, where it is built: an event is too large to be moved often.
pub(crate) fn finish<'a>(mut draft: Draft<'a>, cloud_only: bool, items: &mut Vec<Item<'a>>) {
    items.push(Ok(Candidate::default()));
    if let Some(Ok(candidate)) = items.last_mut()
        && let Err(refused) = draft.finish(cloud_only, candidate)
    {
        items.pop();
        items.push(Err(refused));
    }
}

/// Reads the next value of a document as an event and puts it behind `items`.
pub(crate) struct Event<'i, 'a, 'l> {
    pub(crate) rules: Rules<'l>,
    pub(crate) items: &'i mut Vec<Item<'a>>,
}

impl Event<'_, '_, '_> {
    fn not_an_object<E>(self) -> Result<(), E> {
        self.items.push(Err((None, Rejection::whole(RejectCode::InvalidJson, NOT_AN_OBJECT))));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Event<'_, 'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Event<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut draft = if self.rules.is_file { Draft::of_line() } else { Draft::default() };
        while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            draft.take(name, value, self.rules.limits);
        }
        finish(draft, self.rules.cloud_only, self.items);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.not_an_object()
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.not_an_object()
    }
}
