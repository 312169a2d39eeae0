//! Reads one event: a JSON object into a [`Candidate`], in one pass that borrows every text without
//! escapes. What is wrong with a field becomes this event's [`Rejection`]; only broken syntax is an
//! error of the deserializer, because after it nothing behind can be told apart.

use std::borrow::Cow;
use std::fmt;

use domain::event::{Candidate, TimeText, UsageText};
use domain::limits::{EVENT_ID_BYTES_MAX, Limits, NAME_BYTES_MAX};
use domain::rejection::{RejectCode, Rejection};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::field::{Field, Measure, Name};
use crate::json::{self, JsonKind};

const LONE_SURROGATE: &str = "holds an escape that is half of a surrogate pair";
const NOT_AN_OBJECT: &str = "an event must be a JSON object";
/// The `type` of a message whose `event` says what happened.
const CALL_OF_TRACKERS: &str = "track";
/// The only version of CloudEvents there is in JSON.
const SPEC_VERSION: &str = "1.0";

/// One event of a body: read, or refused under its id as far as that was readable.
pub type Item<'a> = Result<Candidate<'a>, (Option<String>, Rejection)>;

/// How events are read; as a seed it reads the next value of a document as an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'l> {
    pub(crate) limits: &'l Limits,
    /// Whether an event without `specversion` is refused.
    pub(crate) cloud_only: bool,
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
        let mut draft = Draft::default();
        while let Some((name, value)) = map.next_entry::<Name<'_>, &RawValue>()? {
            draft.take(&name, value, self.limits);
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

/// Members that a type is read from, as far as they are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum KindMember {
    /// `type`.
    Type,
    /// `event`.
    Event,
    /// Any other, or none.
    #[default]
    Other,
}

impl KindMember {
    fn of(name: &str) -> Self {
        if name.eq_ignore_ascii_case("type") {
            Self::Type
        } else if name.eq_ignore_ascii_case("event") {
            Self::Event
        } else {
            Self::Other
        }
    }
}

/// An event as far as it has been read.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    /// With the measures found in the properties, which go first.
    candidate: Candidate<'a>,
    /// The measures found beside the properties; boxed because few events have any.
    beside: Option<Box<UsageText<'a>>>,
    spec_version: Option<Cow<'a, str>>,
    /// Which member the type was read from.
    kind_of: KindMember,
    /// Whether any name was one of a field.
    named: bool,
    /// The first thing that was wrong.
    refusal: Option<Rejection>,
}

impl<'a> Draft<'a> {
    /// Takes one member of the event's object.
    pub(crate) fn take(&mut self, name: &Name<'_>, value: &'a RawValue, limits: &Limits) {
        self.named |= name.field.is_some();
        if let Err(refusal) = self.set(name.field, &name.text, JsonKind::of(value.get()), limits) {
            self.refusal.get_or_insert(refusal);
        }
    }

    /// Refuses the event, unless it is refused already.
    pub(crate) fn refuse(&mut self, refusal: Rejection) {
        self.named = true;
        self.refusal.get_or_insert(refusal);
    }

    /// Takes the properties of a row of a table.
    pub(crate) fn put_object(&mut self, name: &str, value: JsonKind<'a>) {
        self.named = true;
        if let Err(refusal) = self.set_properties(name, value) {
            self.refuse(refusal);
        }
    }

    /// Takes a field other than the properties from a row of a table; `number` says that the table
    /// knows it to be one.
    pub(crate) fn put_field(&mut self, field: Field, name: &str, text: Cow<'a, str>, number: bool) {
        self.named = true;
        if text.is_empty() && !matches!(field, Field::Id | Field::Tenant | Field::Time) {
            return;
        }
        let candidate = &mut self.candidate;
        let put = match field {
            Field::Id => put(&mut candidate.id, name, Some(text)),
            Field::Time if number => put(&mut candidate.time, name, Some(TimeText::Number(text))),
            Field::Time => put(&mut candidate.time, name, Some(TimeText::Text(text))),
            Field::Kind => put_kind(&mut candidate.kind, &mut self.kind_of, name, Some(text)),
            Field::Customer => put(&mut candidate.customer, name, Some(text)),
            Field::User => put(&mut candidate.user, name, Some(text)),
            Field::Endpoint => put(&mut candidate.endpoint, name, Some(text)),
            Field::Project => put(&mut candidate.project, name, Some(text)),
            Field::Tenant => put(&mut candidate.tenant, name, Some(text)),
            Field::Measure(which) => {
                let usage = self.beside.get_or_insert_default();
                let slot = match which {
                    Measure::Tokens => &mut usage.tokens,
                    Measure::InputTokens => &mut usage.input_tokens,
                    Measure::OutputTokens => &mut usage.output_tokens,
                    Measure::LatencyMs => &mut usage.latency_ms,
                    Measure::Model => &mut usage.model,
                };
                put(slot, name, Some(text))
            }
            Field::Properties | Field::SpecVersion | Field::BinaryData => Ok(()),
        };
        if let Err(refusal) = put {
            self.refuse(refusal);
        }
    }

    /// The tenant named so far, or why none can be told.
    pub(crate) fn into_tenant(self) -> Result<Option<Cow<'a, str>>, Rejection> {
        self.refusal.map_or(Ok(self.candidate.tenant), Err)
    }

    /// The event, when all of its members have been taken.
    pub(crate) fn finish(mut self, cloud_only: bool) -> Item<'a> {
        let outcome = match self.refusal.take() {
            Some(refusal) => Err(refusal),
            None => self.complete(cloud_only),
        };
        match outcome {
            Ok(()) => Ok(self.candidate),
            Err(refusal) => {
                let id = self.candidate.id.filter(|id| id.len() <= EVENT_ID_BYTES_MAX);
                Err((id.map(Cow::into_owned), refusal))
            }
        }
    }

    fn set(&mut self, field: Option<Field>, name: &str, value: JsonKind<'a>, limits: &Limits) -> Result<(), Rejection> {
        // The event's own object is the first level.
        if let JsonKind::Array(text) | JsonKind::Object(text) = value
            && json::is_deeper_than(text, limits.json_depth_max.saturating_sub(1))
        {
            let message = format!("nested deeper than {} levels", limits.json_depth_max);
            let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
            return Err(Rejection::of(RejectCode::TooDeep, name, message));
        }
        let Some(field) = field else { return Ok(()) };
        let candidate = &mut self.candidate;
        match field {
            Field::Id => put(&mut candidate.id, name, identifier(name, value)?),
            Field::Time => put(&mut candidate.time, name, time(name, value)?),
            Field::Kind => put_kind(&mut candidate.kind, &mut self.kind_of, name, filled(text(name, value)?)),
            Field::Customer => put(&mut candidate.customer, name, filled(identifier(name, value)?)),
            Field::User => put(&mut candidate.user, name, filled(identifier(name, value)?)),
            Field::Endpoint => put(&mut candidate.endpoint, name, filled(text(name, value)?)),
            Field::Project => put(&mut candidate.project, name, filled(identifier(name, value)?)),
            Field::Tenant => put(&mut candidate.tenant, name, identifier(name, value)?),
            Field::Properties => self.set_properties(name, value),
            Field::Measure(which) => put_measure(self.beside.get_or_insert_default(), which, name, value),
            Field::SpecVersion => put(&mut self.spec_version, name, text(name, value)?),
            Field::BinaryData => match value {
                JsonKind::Null => Ok(()),
                _ => Err(Rejection::of(RejectCode::InvalidValue, name, "is not read: send the event's data as JSON")),
            },
        }
    }

    fn set_properties(&mut self, name: &str, value: JsonKind<'a>) -> Result<(), Rejection> {
        let object = match value {
            JsonKind::Null => return Ok(()),
            JsonKind::Object(object) => object,
            _ => return Err(wrong_type(name, "an object")),
        };
        if json::has_lone_surrogate(object) {
            return Err(Rejection::of(RejectCode::InvalidJson, name, LONE_SURROGATE));
        }
        put(&mut self.candidate.properties, name, Some(Cow::Borrowed(object)))?;
        let usage = &mut self.candidate.usage;
        for_members(name, object, |field, inner, value| match field {
            Field::Measure(which) => put_measure(usage, which, inner, value).map_err(|why| inside(name, why)),
            _ => Ok(()),
        })
    }

    fn complete(&mut self, cloud_only: bool) -> Result<(), Rejection> {
        if !self.named {
            return Err(Rejection::whole(RejectCode::InvalidValue, "names no field of an event"));
        }
        if let Some(beside) = self.beside.take() {
            let UsageText { tokens, input_tokens, output_tokens, latency_ms, model, .. } = *beside;
            let usage = &mut self.candidate.usage;
            usage.tokens = usage.tokens.take().or(tokens);
            usage.input_tokens = usage.input_tokens.take().or(input_tokens);
            usage.output_tokens = usage.output_tokens.take().or(output_tokens);
            usage.latency_ms = usage.latency_ms.take().or(latency_ms);
            usage.model = usage.model.take().or(model);
        }
        match self.spec_version.as_deref() {
            Some(SPEC_VERSION) => self.complete_from_data(),
            None if !cloud_only => Ok(()),
            _ => {
                let message = format!("must be \"{SPEC_VERSION}\"");
                Err(Rejection::of(RejectCode::InvalidValue, "specversion", message))
            }
        }
    }

    /// Looks for what the envelope of a CloudEvent has no attribute for. Its data is free, so that
    /// a member of another type than text or integer is not the field.
    fn complete_from_data(&mut self) -> Result<(), Rejection> {
        let Some(Cow::Borrowed(data)) = self.candidate.properties else { return Ok(()) };
        let mut found = Candidate::default();
        for_members("data", data, |field, name, value| {
            let slot = match field {
                Field::Customer => &mut found.customer,
                Field::User => &mut found.user,
                Field::Endpoint => &mut found.endpoint,
                Field::Project => &mut found.project,
                Field::Tenant => &mut found.tenant,
                _ => return Ok(()),
            };
            let value = filled(identifier(name, value).unwrap_or_default());
            put(slot, name, value).map_err(|why| inside("data", why))
        })?;
        let candidate = &mut self.candidate;
        candidate.customer = candidate.customer.take().or(found.customer);
        candidate.user = candidate.user.take().or(found.user);
        candidate.endpoint = candidate.endpoint.take().or(found.endpoint);
        candidate.project = candidate.project.take().or(found.project);
        candidate.tenant = candidate.tenant.take().or(found.tenant);
        Ok(())
    }
}

/// Fills the field, or finds it filled by a synonym or a repetition.
fn put<T: PartialEq>(slot: &mut Option<T>, name: &str, value: Option<T>) -> Result<(), Rejection> {
    match (&*slot, value) {
        (_, None) => Ok(()),
        (Some(known), Some(value)) if *known != value => {
            let message = "differs from another member of the same meaning";
            Err(Rejection::of(RejectCode::ConflictingFields, name, message))
        }
        (_, value) => {
            *slot = value;
            Ok(())
        }
    }
}

/// Fills the type. Libraries that track users write what they do (`track`) as `type` and what happened as
/// `event`: of this pair `event` is the type, in whatever order they come.
fn put_kind<'a>(
    slot: &mut Option<Cow<'a, str>>,
    kind_of: &mut KindMember,
    name: &str,
    value: Option<Cow<'a, str>>,
) -> Result<(), Rejection> {
    let Some(value) = value else { return Ok(()) };
    let member = KindMember::of(name);
    match (*kind_of, member) {
        (KindMember::Event, KindMember::Type) if value == CALL_OF_TRACKERS => return Ok(()),
        (KindMember::Type, KindMember::Event) if slot.as_deref() == Some(CALL_OF_TRACKERS) => *slot = None,
        _ => {}
    }
    if slot.is_none() {
        *kind_of = member;
    }
    put(slot, name, Some(value))
}

fn put_measure<'a>(
    usage: &mut UsageText<'a>,
    which: Measure,
    name: &str,
    value: JsonKind<'a>,
) -> Result<(), Rejection> {
    match which {
        Measure::Tokens => put(&mut usage.tokens, name, number(name, value)?),
        Measure::InputTokens => put(&mut usage.input_tokens, name, number(name, value)?),
        Measure::OutputTokens => put(&mut usage.output_tokens, name, number(name, value)?),
        Measure::LatencyMs => put(&mut usage.latency_ms, name, number(name, value)?),
        Measure::Model => put(&mut usage.model, name, filled(text(name, value)?)),
    }
}

fn text<'a>(name: &str, value: JsonKind<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
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
fn filled(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    text.filter(|text| !text.is_empty())
}

/// A text, or an integer, which is taken as its digits.
fn identifier<'a>(name: &str, value: JsonKind<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    match value {
        JsonKind::Number(digits) if !digits.contains(['.', 'e', 'E']) => Ok(Some(Cow::Borrowed(digits))),
        JsonKind::Null | JsonKind::Text(_) => text(name, value),
        _ => Err(wrong_type(name, "a text or an integer")),
    }
}

fn time<'a>(name: &str, value: JsonKind<'a>) -> Result<Option<TimeText<'a>>, Rejection> {
    match value {
        JsonKind::Number(number) => Ok(Some(TimeText::Number(Cow::Borrowed(number)))),
        JsonKind::Null | JsonKind::Text(_) => Ok(text(name, value)?.map(TimeText::Text)),
        _ => Err(wrong_type(name, "a text or a number")),
    }
}

fn number<'a>(name: &str, value: JsonKind<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    match value {
        JsonKind::Null => Ok(None),
        JsonKind::Number(number) => Ok(Some(Cow::Borrowed(number))),
        // A number in quotes is taken as tables hold it; admission says whether it is one.
        JsonKind::Text(_) => Ok(filled(text(name, value)?)),
        _ => Err(wrong_type(name, "a number")),
    }
}

fn wrong_type(name: &str, wanted: &str) -> Rejection {
    Rejection::of(RejectCode::InvalidType, name, format!("must be {wanted}"))
}

/// A refusal of a member, with its object named before it.
fn inside(object: &str, mut refusal: Rejection) -> Rejection {
    refusal.field = refusal.field.map(|field| format!("{object}.{field}"));
    refusal
}

/// Shows each member of the object `name` that has the name of a field to `visit`; the first refusal.
fn for_members<'a>(
    name: &str,
    object: &'a str,
    visit: impl FnMut(Field, &str, JsonKind<'a>) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let mut members = Members { visit, refusal: None };
    let mut json = serde_json::Deserializer::from_str(object);
    let read = json.deserialize_map(&mut members).and_then(|()| json.end());
    read.map_err(|error| not_json(name, &error))?;
    members.refusal.map_or(Ok(()), Err)
}

/// The refusal of a text that should be JSON.
pub(crate) fn not_json(name: &str, error: &serde_json::Error) -> Rejection {
    Rejection::of(RejectCode::InvalidJson, name, format!("is not JSON: {error}"))
}

struct Members<F> {
    visit: F,
    refusal: Option<Rejection>,
}

impl<'de, F: FnMut(Field, &str, JsonKind<'de>) -> Result<(), Rejection>> Visitor<'de> for &mut Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<Name<'_>, &RawValue>()? {
            let Some(field) = name.field else { continue };
            if let Err(refusal) = (self.visit)(field, &name.text, JsonKind::of(value.get())) {
                self.refusal.get_or_insert(refusal);
            }
        }
        Ok(())
    }
}
