//! Tells the events of a body apart and reads each. A document is read in one pass that keeps
//! nothing but the events, and stops at the first one over the limit; lines stand each for itself.

use std::borrow::Cow;
use std::fmt;
use std::str;

use domain::limits::Limits;
use domain::rejection::{RejectCode, Rejection};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::draft::{Draft, Item};
use crate::error::BodyError;
use crate::event::{Event, Rules, finish};
use crate::field::Field;
use crate::json;
use crate::media::Media;
use crate::names::{Meaning, Name};

/// Bytes of a document per event, for which room is made before they are known.
const EVENT_BYTES_GUESS: usize = 512;
/// What a document may be.
const EXPECTED: &str = "an event, an array of events, or an object with an array `events`";

/// The events of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<'a> {
    /// In the order of the body; never empty.
    pub items: Vec<Item<'a>>,
}

/// Reads a decoded body as the form its content type says; without one, as JSON.
///
/// # Errors
/// [`BodyError::UnsupportedMediaType`] for a content type that is none of those read,
/// [`BodyError::TooLarge`] for more events than the limit, [`BodyError::Malformed`] when the body
/// as a whole cannot be read or holds no events.
pub fn parse<'a>(content_type: Option<&str>, body: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, BodyError> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let media = Media::of(content_type, body)?;
    if json::trim(body).is_empty() {
        return Err(BodyError::malformed("the body is empty"));
    }
    let rules = Rules { limits, cloud_only: media == Media::CloudEvents, is_file: false };
    let items = match media {
        Media::Lines => lines(body, rules)?,
        Media::Json | Media::CloudEvents => document(body, rules)?,
    };
    if items.is_empty() { Err(BodyError::malformed("the body holds no events")) } else { Ok(Parsed { items }) }
}

/// Reads one line of a file, `number` of it counted from 1; `None` when nothing stands in it.
pub fn line<'a>(number: u64, line: &'a [u8], limits: &Limits) -> Option<Item<'a>> {
    let rules = Rules { limits, cloud_only: false, is_file: true };
    if json::trim(line).is_empty() {
        return None;
    }
    let mut items = Vec::with_capacity(1);
    read_line(number, line, rules, &mut items);
    items.pop()
}

fn lines<'a>(body: &'a [u8], rules: Rules<'_>) -> Result<Vec<Item<'a>>, BodyError> {
    let mut items = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if json::trim(line).is_empty() {
            continue;
        }
        if items.len() >= rules.limits.batch_events_max {
            return Err(too_many(rules.limits));
        }
        read_line(index as u64 + 1, line, rules, &mut items);
    }
    Ok(items)
}

/// Puts the event of one line behind `items`.
fn read_line<'a>(number: u64, line: &'a [u8], rules: Rules<'_>, items: &mut Vec<Item<'a>>) {
    let read = match str::from_utf8(line) {
        Ok(text) => rules
            .read(text, items)
            .map_err(|error| format!("line {number}, column {}: {}", error.column(), reason(&error))),
        Err(error) => Err(format!("line {number} is not UTF-8 at byte {}", error.valid_up_to() + 1)),
    };
    if let Err(why) = read {
        items.push(unreadable(why));
    }
}

fn unreadable<'a>(message: String) -> Item<'a> {
    Err((None, Rejection::whole(RejectCode::InvalidJson, message)))
}

/// What is wrong, without the place, which is one within the event.
fn reason(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
    message
}

fn document<'a>(body: &'a [u8], rules: Rules<'_>) -> Result<Vec<Item<'a>>, BodyError> {
    let not_utf8 = |error: str::Utf8Error| format!("the body is not UTF-8 at byte {}", error.valid_up_to() + 1);
    let text = str::from_utf8(body).map_err(|error| BodyError::malformed(not_utf8(error)))?;
    DocumentItems::read(text, rules, false)
}

/// Says what is wrong with a document without repeating any of it.
fn malformed(error: &serde_json::Error) -> BodyError {
    if error.is_data() {
        let place = format!("at line {} column {}", error.line(), error.column());
        return BodyError::malformed(format!("the body is not {EXPECTED} {place}"));
    }
    BodyError::malformed(format!("the body is not JSON: {error}"))
}

fn too_many(limits: &Limits) -> BodyError {
    BodyError::too_large(format!("more than {} events in one request", limits.batch_events_max))
}

/// The events of a document as far as it has been read.
struct DocumentItems<'a, 'l> {
    rules: Rules<'l>,
    /// Whether elements are first told apart and then read. Slower, and needed only when some
    /// element is JSON that the deserializer has no value for, such as `1e400` or half a pair.
    sift: bool,
    items: Vec<Item<'a>>,
    /// Why reading ended, when it was not for the syntax.
    fault: Option<BodyError>,
}

impl<'a, 'l> DocumentItems<'a, 'l> {
    /// Gives the events that name no tenant the envelope's, or refuses all when it names none rightly.
    fn belong_to(&mut self, tenant: Result<Option<Cow<'a, str>>, Rejection>) {
        for item in &mut self.items {
            match (&tenant, item) {
                (Ok(Some(tenant)), Ok(candidate)) => {
                    candidate.tenant.get_or_insert_with(|| tenant.clone());
                }
                (Err(refusal), item @ Ok(_)) => {
                    let id = item.as_ref().ok().and_then(|candidate| candidate.id.as_deref().map(str::to_owned));
                    *item = Err((id, refusal.clone()));
                }
                _ => {}
            }
        }
    }

    fn read(text: &'a str, rules: Rules<'l>, sift: bool) -> Result<Vec<Item<'a>>, BodyError> {
        let room = (text.len() / EVENT_BYTES_GUESS).min(rules.limits.batch_events_max);
        let mut batch = Self { rules, sift, items: Vec::with_capacity(room + 1), fault: None };
        let mut json = serde_json::Deserializer::from_str(text);
        let outcome = json.deserialize_any(Document(&mut batch)).and_then(|()| json.end());
        match (outcome, batch.fault) {
            (_, Some(fault)) => Err(fault),
            (Ok(()), None) => Ok(batch.items),
            (Err(_), None) if !sift => Self::read(text, rules, true),
            (Err(error), None) => Err(malformed(&error)),
        }
    }

    fn collect<A: SeqAccess<'a>>(&mut self, mut elements: A) -> Result<(), A::Error> {
        while self.next(&mut elements)? {
            if self.items.len() > self.rules.limits.batch_events_max {
                return self.fail(too_many(self.rules.limits));
            }
        }
        Ok(())
    }

    /// Reads the next element, if there is one, and puts its event behind the others.
    fn next<A: SeqAccess<'a>>(&mut self, elements: &mut A) -> Result<bool, A::Error> {
        if !self.sift {
            let event = Event { rules: self.rules, items: &mut self.items };
            return Ok(elements.next_element_seed(event)?.is_some());
        }
        let Some(element) = elements.next_element::<&RawValue>()? else { return Ok(false) };
        if let Err(error) = self.rules.read(element.get(), &mut self.items) {
            self.items.push(unreadable(reason(&error)));
        }
        Ok(true)
    }

    fn fail<T, E: Error>(&mut self, fault: BodyError) -> Result<T, E> {
        self.fault = Some(fault);
        Err(E::custom("see the fault"))
    }
}

/// Reads the one value of a document.
struct Document<'b, 'a, 'l>(&'b mut DocumentItems<'a, 'l>);

impl<'de> Visitor<'de> for Document<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        self.0.collect(elements)
    }

    /// An event, or an envelope: an object with an array `events`.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let batch = self.0;
        // An envelope means nothing beside its events but the tenant.
        let (mut draft, mut envelope, mut is_envelope) = (Draft::default(), Draft::default(), false);
        while let Some(name) = map.next_key::<Name<'de>>()? {
            if name.text != "events" {
                let value = map.next_value()?;
                if matches!(name.meaning, Some(Meaning::Field { field: Field::Tenant, .. })) {
                    envelope.take(name.clone(), value, batch.rules.limits);
                }
                draft.take(name, value, batch.rules.limits);
            } else if is_envelope {
                return batch.fail(BodyError::malformed("`events` stands twice in the body"));
            } else {
                is_envelope = map.next_value_seed(Events(batch))?;
            }
        }
        if is_envelope {
            batch.belong_to(envelope.into_tenant());
        } else {
            finish(draft, batch.rules.cloud_only, &mut batch.items);
        }
        Ok(())
    }
}

/// Reads the value of `events`: whether it was there.
struct Events<'b, 'a, 'l>(&'b mut DocumentItems<'a, 'l>);

impl<'de> DeserializeSeed<'de> for Events<'_, 'de, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Events<'_, 'de, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<bool, A::Error> {
        self.0.collect(elements).map(|()| true)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}
