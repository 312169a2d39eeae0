//! An event as far as it has been read, member by member: which field each member is, what it says, and in the
//! end the [`Candidate`] with what looks like a mistake in it. Decides on no value.

use std::borrow::Cow;

use domain::event::{Candidate, TimeText, UsageText};
use domain::limits::{EVENT_ID_BYTES_MAX, Limits, NAME_BYTES_MAX};
use domain::rejection::{RejectCode, Rejection};
use domain::warning::{Warning, WarningCode};
use serde_json::value::RawValue;

use crate::cloud_event;
use crate::field::Field;
use crate::hints::{Hints, Shape};
use crate::json::{self, JsonKind};
use crate::measures::{Measures, complete, is_of_usage, names_tokens};
use crate::names::{Hint, Meaning, Name};
use crate::slot::{Named, Slot, Text, conflict};
use crate::usage_objects::{ProviderSaid, UsageObjects};
use crate::values::{LONE_SURROGATE, filled, identifier, text, time, wrong_type};

/// The `type` of a message whose `event` says what happened.
const CALL_OF_TRACKERS: &str = "track";
/// The only version of CloudEvents there is in JSON.
const SPEC_VERSION: &str = "1.0";

/// One event of a body: read, or refused under its id as far as that was readable.
pub type Item<'a> = Result<Candidate<'a>, Refused>;

/// The id of a refused event, as far as it was readable, and why it is refused.
type Refused = (Option<String>, Rejection);

/// An event as far as it has been read.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    id: Text<'a>,
    /// What the id means, as an export says.
    id_scheme: Text<'a>,
    time: Slot<'a, TimeText<'a>>,
    kind: Text<'a>,
    /// What happened under the name `event`, which libraries that track users write beside a `type`.
    event: Text<'a>,
    /// Whether some `type` is [`CALL_OF_TRACKERS`].
    is_tracked: bool,
    customer: Text<'a>,
    user: Text<'a>,
    endpoint: Text<'a>,
    project: Text<'a>,
    tenant: Text<'a>,
    properties: Text<'a>,
    /// The name of the properties.
    object: Cow<'a, str>,
    /// The measures in the properties, which go first.
    inside: Measures<'a>,
    /// The first thing that is wrong with those, when the properties have a name that a listed one would replace.
    inside_fault: Option<Box<Rejection>>,
    /// The measures beside the properties; boxed because few events have any.
    beside: Option<Box<Measures<'a>>>,
    /// Where a provider's usage may stand; boxed as the others are.
    usage_objects: Option<Box<UsageObjects<'a>>>,
    source: Option<JsonKind<'a>>,
    has_two_sources: bool,
    spec_version: Text<'a>,
    hints: Option<Box<Hints<'a>>>,
    warnings: Vec<Warning<'a>>,
    /// Whether it is a row of a table, whose columns an earlier release read in any case already.
    is_row: bool,
    /// Whether it is of a file, in which an export may have said what the id means. No client may choose that.
    is_file: bool,
    /// Whether any name was one of a field.
    named: bool,
    /// The first thing that was wrong.
    refusal: Option<Box<Rejection>>,
}

impl<'a> Draft<'a> {
    /// An event that is the row of a table.
    pub(crate) fn of_row() -> Self {
        Self { is_row: true, ..Self::of_line() }
    }

    /// An event that is a line of a file.
    pub(crate) fn of_line() -> Self {
        Self { is_file: true, ..Self::default() }
    }

    /// Takes one member of the event's object.
    pub(crate) fn take(&mut self, name: Name<'a>, value: &'a RawValue, limits: &Limits) {
        let kind = JsonKind::of(value.get());
        if let Err(refusal) = self.set(name, value.get(), kind, limits) {
            self.refusal.get_or_insert_with(|| Box::new(refusal));
        }
    }

    /// Refuses the event, unless it is refused already.
    pub(crate) fn refuse(&mut self, refusal: Rejection) {
        self.named = true;
        self.refusal.get_or_insert_with(|| Box::new(refusal));
    }

    /// Takes the properties of a row of a table.
    pub(crate) fn put_object(&mut self, name: Named<'a>, value: JsonKind<'a>) {
        self.named = true;
        if let Err(refusal) = self.set_properties(name, value) {
            self.refuse(refusal);
        }
    }

    /// Takes a property of a row of a table, which looks like something else.
    pub(crate) fn hint(&mut self, name: &'a str, hint: Option<Hint>, value: Shape) {
        self.hints.get_or_insert_default().beside(Cow::Borrowed(name), hint, value);
    }

    /// Takes a field other than the properties from a row of a table; `number` says that the table
    /// knows it to be one.
    pub(crate) fn put_field(&mut self, field: Field, name: Named<'a>, text: Cow<'a, str>, number: bool) {
        self.named = true;
        if text.is_empty() && !matches!(field, Field::Id | Field::Tenant | Field::Time) {
            return;
        }
        self.is_tracked |= is_call_of_trackers(field, &name.text, Some(&*text));
        let warnings = &mut self.warnings;
        let slot = match field {
            Field::Id => &mut self.id,
            Field::IdScheme => &mut self.id_scheme,
            Field::Kind if name.text.eq_ignore_ascii_case("event") => &mut self.event,
            Field::Kind => &mut self.kind,
            Field::Customer => &mut self.customer,
            Field::User => &mut self.user,
            Field::Endpoint => &mut self.endpoint,
            Field::Project => &mut self.project,
            Field::Tenant => &mut self.tenant,
            Field::Time | Field::Measure(_) => {
                let put = match field {
                    Field::Measure(which) => self.beside.get_or_insert_default().put_text(which, name, text, warnings),
                    _ if number => self.time.put(name, Ok(Some(TimeText::Number(text))), warnings),
                    _ => self.time.put(name, Ok(Some(TimeText::Text(text))), warnings),
                };
                return put.unwrap_or_else(|refusal| self.refuse(refusal));
            }
            Field::Properties | Field::Source | Field::Stamp | Field::SpecVersion | Field::BinaryData => return,
        };
        slot.put(name, Ok(Some(text)), warnings).unwrap_or_else(|refusal| self.refuse(refusal));
    }

    /// The tenant named so far, or why none can be told.
    pub(crate) fn into_tenant(mut self) -> Result<Option<Cow<'a, str>>, Rejection> {
        match self.refusal {
            Some(refusal) => Err(*refusal),
            None => self.tenant.settle().map(|(tenant, _)| tenant),
        }
    }

    /// Fills in `candidate`, which is empty, when all members have been taken.
    ///
    /// # Errors
    /// When the event is refused; what `candidate` holds then means nothing.
    pub(crate) fn finish(&mut self, cloud_only: bool, candidate: &mut Candidate<'a>) -> Result<(), Refused> {
        let id = self.id.value().filter(|id| id.len() <= EVENT_ID_BYTES_MAX).cloned();
        let outcome = match self.refusal.take().or_else(|| self.inside_fault.take()) {
            Some(refusal) => Err(*refusal),
            None => self.complete(cloud_only, candidate),
        };
        outcome.map_err(|refusal| (id.map(Cow::into_owned), refusal))
    }

    fn set(&mut self, name: Name<'a>, raw: &'a str, value: JsonKind<'a>, limits: &Limits) -> Result<(), Rejection> {
        let Name { text: name, meaning } = name;
        self.named |=
            matches!(meaning, Some(Meaning::Field { field, .. }) if !field.is_of_exports() && field != Field::Source);
        // The event's own object is the first level.
        if let JsonKind::Array(text) | JsonKind::Object(text) = value
            && json::is_deeper_than(text, limits.json_depth_max.saturating_sub(1))
        {
            let message = format!("nested deeper than {} levels", limits.json_depth_max);
            let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
            return Err(Rejection::of(RejectCode::TooDeep, name, message));
        }
        match meaning {
            Some(Meaning::Field { field, exact }) => self.set_field(field, Named { text: name, exact }, raw, value),
            Some(Meaning::Hint(Hint::Usage)) => {
                self.usage_objects.get_or_insert_default().usage(false, name, raw);
                Ok(())
            }
            Some(Meaning::Hint(Hint::Response)) => {
                self.usage_objects.get_or_insert_default().response(false, name, raw);
                Ok(())
            }
            _ => {
                if is_of_usage(&name) {
                    self.beside.get_or_insert_default().offer(&name, raw);
                }
                let hint =
                    meaning.and_then(|meaning| if let Meaning::Hint(hint) = meaning { Some(hint) } else { None });
                let name = if name.len() <= NAME_BYTES_MAX { name } else { return Ok(()) };
                self.hints.get_or_insert_default().beside(name, hint, Shape::of(value));
                Ok(())
            }
        }
    }

    fn set_field(&mut self, field: Field, name: Named<'a>, raw: &'a str, value: JsonKind<'a>) -> Result<(), Rejection> {
        let warnings = &mut self.warnings;
        let text_of = |name: &Named<'_>| text(&name.text, value).map(filled);
        let name_of = |name: &Named<'_>| identifier(&name.text, value).map(filled);
        match field {
            Field::Id | Field::Tenant => {
                let read = identifier(&name.text, value);
                if field == Field::Id { &mut self.id } else { &mut self.tenant }.put(name, read, warnings)
            }
            Field::Time => {
                let read = time(&name.text, value);
                self.time.put(name, read, warnings)
            }
            Field::Kind => {
                let read = text_of(&name);
                let value = read.as_ref().ok().and_then(|value| value.as_deref());
                self.is_tracked |= is_call_of_trackers(field, &name.text, value);
                let is_event = name.text.eq_ignore_ascii_case("event");
                if is_event { &mut self.event } else { &mut self.kind }.put(name, read, warnings)
            }
            Field::Customer | Field::User | Field::Project => {
                let read = name_of(&name);
                let slot = match field {
                    Field::Customer => &mut self.customer,
                    Field::User => &mut self.user,
                    _ => &mut self.project,
                };
                slot.put(name, read, warnings)
            }
            Field::Endpoint => {
                let read = text_of(&name);
                self.endpoint.put(name, read, warnings)
            }
            Field::Properties => self.set_properties(name, value),
            Field::Measure(which) => {
                let beside = self.beside.get_or_insert_default();
                beside.offer_measure(which, &name.text, raw);
                beside.put(which, name, value, warnings)
            }
            Field::SpecVersion => {
                let read = text(&name.text, value);
                self.spec_version.put(name, read, warnings)
            }
            Field::Source => {
                if value != JsonKind::Null {
                    self.has_two_sources |= self.source.is_some_and(|source| source != value);
                    self.source = Some(value);
                }
                Ok(())
            }
            Field::BinaryData if value != JsonKind::Null => {
                Err(Rejection::of(RejectCode::InvalidValue, &name.text, "is not read: send the event's data as JSON"))
            }
            Field::IdScheme if self.is_file => {
                let read = text_of(&name);
                self.id_scheme.put(name, read, warnings)
            }
            Field::Stamp => {
                // What exports show stands beside a time there; alone it is meant to be one.
                self.hints.get_or_insert_default().beside(name.text, None, Shape::of(value));
                Ok(())
            }
            Field::BinaryData | Field::IdScheme => Ok(()),
        }
    }

    fn set_properties(&mut self, name: Named<'a>, value: JsonKind<'a>) -> Result<(), Rejection> {
        // What a column of properties holds is meant to be some.
        let refusing = Named { exact: name.exact || self.is_row, text: name.text.clone() };
        let object = match value {
            JsonKind::Null => return Ok(()),
            JsonKind::Object(object) => object,
            _ => {
                return self.properties.put(refusing, Err(wrong_type(&name.text, "an object")), &mut self.warnings);
            }
        };
        if json::has_lone_surrogate(object) {
            let refusal = Rejection::of(RejectCode::InvalidJson, &name.text, LONE_SURROGATE);
            return self.properties.put(refusing, Err(refusal), &mut self.warnings);
        }
        let (outer, is_listed) = (name.text.clone(), name.exact);
        let is_other = self.properties.value().is_some_and(|known| known != object);
        self.properties.put(name, Ok(Some(Cow::Borrowed(object))), &mut self.warnings)?;
        if self.properties.name() != outer {
            // Another name goes before this one, or says the same.
            return Ok(());
        }
        if is_other {
            self.inside = Measures::default();
            self.inside_fault = None;
            if let Some(objects) = &mut self.usage_objects {
                objects.forget_inside();
            }
            if let Some(hints) = &mut self.hints {
                hints.forget_inside();
            }
        }
        self.object = outer;
        match self.set_inside(object) {
            Err(refusal) if !is_listed => {
                self.inside_fault.get_or_insert_with(|| Box::new(refusal));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Takes the members of the properties: all of them, whatever is wrong with one.
    fn set_inside(&mut self, object: &'a str) -> Result<(), Rejection> {
        let Self { inside, warnings, usage_objects, hints, object: outer, .. } = self;
        let mut outcome = Ok(());
        for (name, raw) in json::members(object) {
            let Name { text, meaning } = Name::of(name);
            let value = JsonKind::of(raw);
            match meaning {
                Some(Meaning::Field { field: Field::Measure(which), exact }) => {
                    inside.offer_measure(which, &text, raw);
                    outcome = outcome.and(inside.put_inside(which, outer, Named { text, exact }, value, warnings));
                }
                Some(Meaning::Hint(Hint::Usage)) => usage_objects.get_or_insert_default().usage(true, text, raw),
                Some(Meaning::Hint(Hint::Response)) => {
                    usage_objects.get_or_insert_default().response(true, text, raw);
                }
                _ => {
                    if is_of_usage(&text) {
                        inside.offer(&text, raw);
                    }
                    Hints::inside(hints, text, meaning, Shape::of(value));
                }
            }
        }
        outcome
    }

    fn complete(&mut self, cloud_only: bool, candidate: &mut Candidate<'a>) -> Result<(), Rejection> {
        if !self.named {
            return Err(Rejection::whole(RejectCode::InvalidValue, "names no field of an event"));
        }
        let outer = self.properties.settle()?;
        let object = std::mem::take(&mut self.object);
        let (usage, said) = self.settle_usage(&object, self.is_row || outer.1 || outer.0.is_none())?;
        let Usage { all: usage, first: first_usage } = usage;
        let (time, kind, project) = (self.time.settle()?, self.settle_kind()?, self.project.settle()?);
        let (customer, user, endpoint) = (self.customer.settle()?, self.user.settle()?, self.endpoint.settle()?);
        candidate.id = self.id.settle()?.0;
        candidate.time = time.0;
        candidate.kind = kind.0;
        candidate.tenant = self.tenant.settle()?.0;
        candidate.project = project.0;
        candidate.customer = customer.0;
        candidate.user = user.0;
        candidate.endpoint = endpoint.0;
        candidate.properties = outer.0;
        candidate.usage = usage;
        candidate.provider = said.tokens;
        candidate.warnings = std::mem::take(&mut self.warnings);
        let listed = [time.1, kind.1, project.1, customer.1, user.1, endpoint.1, outer.1];
        let is_there = [
            candidate.time.is_some(),
            candidate.kind.is_some(),
            candidate.project.is_some(),
            candidate.customer.is_some(),
            candidate.user.is_some(),
            candidate.endpoint.is_some(),
            candidate.properties.is_some(),
        ];
        let listed = listed.map(|listed| listed || self.is_row);
        let is_folded = is_there.iter().zip(listed).any(|(is_there, listed)| *is_there && !listed);
        if is_folded || first_usage.is_some() || candidate.provider.is_some() || said.model.is_some() {
            let usage = first_usage.unwrap_or_else(|| candidate.usage.clone());
            candidate.first_reading = Some(Box::new(first_reading(candidate, listed, usage)));
        }
        if candidate.usage.model.is_none() {
            candidate.usage.model = said.model;
        }
        match self.spec_version.settle()?.0.as_deref() {
            Some(SPEC_VERSION) if self.has_two_sources => return Err(conflict("source", "source")),
            Some(SPEC_VERSION) => cloud_event::complete(candidate, self.source)?,
            None if !cloud_only => {
                let id_of_response =
                    said.id.filter(|id| id.len() <= EVENT_ID_BYTES_MAX && !id.contains(char::is_control));
                candidate.id = candidate.id.take().or(id_of_response);
            }
            _ => {
                let message = format!("must be \"{SPEC_VERSION}\"");
                return Err(Rejection::of(RejectCode::InvalidValue, "specversion", message));
            }
        }
        let lacks_usage = said.warning.is_none();
        let is_told =
            |warning: &Warning<'_>| warning.code != WarningCode::UsageNotRead || !names_tokens(&candidate.usage);
        if let Some(warning) = said.warning.filter(is_told) {
            candidate.warnings.push(warning);
        }
        if let Some(hints) = self.hints.take() {
            hints.tell(candidate, &object, lacks_usage);
        }
        if self.id_scheme.value().is_some() { cloud_event::set_scheme(candidate, &mut self.id_scheme) } else { Ok(()) }
    }

    /// The type: what stands under `event` when the type is a tracker's call. Otherwise it is one more name of the
    /// type.
    fn settle_kind(&mut self) -> Result<(Option<Cow<'a, str>>, bool), Rejection> {
        let event_name = Cow::Owned(self.event.name().to_owned());
        let kind_name = Cow::Owned(self.kind.name().to_owned());
        let mut averted = |fault: Rejection| {
            self.warnings.extend(fault.field.map(|field| Warning::of(WarningCode::AmbiguousField, field)));
        };
        match (self.event.settle(), self.kind.settle()) {
            (Ok((None, _)), kind) => kind,
            (event, Ok((None, _))) => event,
            (Err(fault), Ok((Some(kind), true))) => {
                averted(fault);
                Ok((Some(kind), true))
            }
            (Ok((Some(event), true)), Err(fault)) => {
                averted(fault);
                Ok((Some(event), true))
            }
            (Err(fault), _) | (_, Err(fault)) => Err(fault),
            (Ok(event), Ok((Some(kind), _))) if self.is_tracked && kind == CALL_OF_TRACKERS => Ok(event),
            (Ok((Some(event), event_listed)), Ok((kind, kind_listed))) => {
                let mut both = Text::default();
                both.put(Named { text: kind_name, exact: kind_listed }, Ok(kind), &mut self.warnings)?;
                both.put(Named { text: event_name, exact: event_listed }, Ok(Some(event)), &mut self.warnings)?;
                both.settle()
            }
        }
    }

    /// The measures of the event's own names and what a provider's usage object says. `properties_listed` is false
    /// when the properties, which are named `object`, have a name that an earlier release did not read.
    fn settle_usage(
        &mut self,
        object: &str,
        properties_listed: bool,
    ) -> Result<(Usage<'a>, ProviderSaid<'a>), Rejection> {
        self.inside.settle_shared(Some(object), &mut self.warnings)?;
        let flat_inside = self.inside.flat();
        let (mut all, mut first) = self.inside.settle(false)?;
        if !properties_listed {
            first = Some(UsageText::default());
        }
        let mut flat_beside = None;
        if let Some(mut beside) = self.beside.take() {
            beside.settle_shared(None, &mut self.warnings)?;
            flat_beside = beside.flat();
            let (beside, beside_first) = beside.settle(self.is_row)?;
            if first.is_some() || beside_first.is_some() {
                let mut earlier = first.unwrap_or_else(|| all.clone());
                complete(&mut earlier, beside_first.unwrap_or_else(|| beside.clone()));
                first = Some(earlier);
            }
            complete(&mut all, beside);
        }
        let flat = [flat_inside, flat_beside];
        let said = match self.usage_objects.take() {
            Some(objects) => objects.read(object, flat),
            None if flat.iter().any(Option::is_some) => UsageObjects::default().read(object, flat),
            None => ProviderSaid::default(),
        };
        Ok((Usage { all, first }, said))
    }
}

/// What an earlier release would have read, which looked at listed names only: whether the time, the type, the
/// project, the customer, the user, the endpoint and the properties have one. It read other measures: `usage`.
fn first_reading<'a>(candidate: &Candidate<'a>, listed: [bool; 7], usage: UsageText<'a>) -> Candidate<'a> {
    let [time, kind, project, customer, user, endpoint, properties] = listed;
    Candidate {
        time: candidate.time.clone().filter(|_| time),
        kind: candidate.kind.clone().filter(|_| kind),
        project: candidate.project.clone().filter(|_| project),
        customer: candidate.customer.clone().filter(|_| customer),
        user: candidate.user.clone().filter(|_| user),
        endpoint: candidate.endpoint.clone().filter(|_| endpoint),
        properties: candidate.properties.clone().filter(|_| properties),
        usage,
        ..Candidate::default()
    }
}

/// The measures of an event's own names.
struct Usage<'a> {
    all: UsageText<'a>,
    /// What an earlier release would have read, where that differs.
    first: Option<UsageText<'a>>,
}

/// Whether a member says that a library that tracks users has called it: its `type` is what the user's program
/// does (`track`), and what happened is its `event`.
fn is_call_of_trackers(field: Field, name: &str, value: Option<&str>) -> bool {
    field == Field::Kind && name.eq_ignore_ascii_case("type") && value == Some(CALL_OF_TRACKERS)
}
